"""Reading CSV and its relatives as text: separators, quotes, encodings, ends of lines, and lines above the column names."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lamina.data.folder import brief, not_utf8
from lamina.data.frames import column_names
from lamina.errors import ReadError
from lamina.wording import count

HEAD = 65536
"""Bytes by which the format of a file is recognised."""
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""
_ABOVE = re.compile(rb'(?:\xef\xbb\xbf)?(?:"?sep=([^\r\n])"?[^\S\n]*\n)?((?:(?:#[^\n]*|[^\S\n]*)\n)*)', re.IGNORECASE)
"""Lines above the column names: a line ``sep=;`` of Excel, comments, and empty lines."""


def read_delimited(path: Path, data: bytes | None, head: bytes, name: str) -> tuple[pl.DataFrame, str]:
    """The table, all of text, and its separator."""
    data, stated = _without_lines_above(path, data, head)
    head = head if data is None else data[:HEAD]
    sample = head.decode("utf-8-sig", errors="replace")
    separator = stated or ("\t" if name.endswith((".tsv", ".tab")) else _separator(sample))
    number, header = _header(path, data, separator)
    if fault := _title(head, separator):
        raise ReadError(f"{path}, {fault}")
    if _padded(sample, separator):  # "39, Private, 77516"
        data = re.sub(rb"[ \t]*" + re.escape(separator.encode()) + rb"[ ]+", separator.encode(), data or path.read_bytes())
    owner = f"{path}, line {number}:"
    names = column_names([name.strip() for name in header], owner, "rename one, or add a line of names if the file has none")
    try:
        source = path if data is None else data
        table = pl.read_csv(
            source, separator=separator, new_columns=names, infer_schema=False, null_values=""
        )  # quoted ones too
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ReadError(_text_fault(path, data, separator, len(names)) or f"{path}: {brief(error)}") from None
    if not table.height:
        raise ReadError(f"{path} has column names but no rows; expected at least one row")
    if table.to_series(-1).null_count():  # short lines are filled by polars and lack their last value
        fault = _ragged(path, data, separator, len(names))
        if isinstance(fault, str):
            raise ReadError(fault)
        if fault and len(names) > 1:
            table = table.filter(~pl.all_horizontal(pl.all().is_null()))
    return table, separator


def _without_lines_above(path: Path, data: bytes | None, head: bytes) -> tuple[bytes | None, str | None]:
    """The text as UTF-8 with LF at the ends of lines, and the separator that a line ``sep=;`` states.

    That line and comments above the column names become empty lines, so that the numbers of lines in errors are those of the
    file. None is the unchanged file.
    """
    data = in_utf8(path, data, head)
    head = head if data is None else data[:HEAD]
    if b"\r" in head and b"\n" not in head:
        data = (path.read_bytes() if data is None else data).replace(b"\r", b"\n")
        head = data[:HEAD]
    above = _ABOVE.match(head)
    if not above or not (above[1] or b"#" in above[2]):
        return data, None
    if above[1] and not above[1].isascii():
        raise ReadError(f"{path}, line 1: {above[0][:8]!r} is no separator; expected one such as , ; | or tab")
    stated = above[1].decode() if above[1] else None
    end, lines = above.end(), above[2].splitlines(keepends=True)
    while lines and not lines[-1].startswith(b"#"):
        end -= len(lines.pop())
    if lines and _names_columns(lines[-1], head[above.end() :], stated):  # "#id,name"
        end -= len(lines.pop())
    data = path.read_bytes() if data is None else data
    return b"\n" * data.count(b"\n", 0, end) + data[end:], stated


def in_utf8(path: Path, data: bytes | None, head: bytes) -> bytes | None:
    """The content of a file of UTF-16 or UTF-32 with a mark as UTF-8; another is unchanged."""
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            try:
                return (path.read_bytes() if data is None else data).decode(encoding).encode()
            except UnicodeDecodeError:
                raise ReadError(f"{path} is damaged {encoding.upper()}; save it as UTF-8") from None
    return data


def _names_columns(line: bytes, below: bytes, stated: str | None) -> bool:
    """Whether a line that begins with # has the names of the columns below, instead of a comment."""
    text, after = line.decode(errors="replace"), below.decode(errors="replace")
    separator = stated or _separator(after)
    first = _fields(after.partition("\n")[0], separator)
    alike = len(_fields(text, separator)) == len(first)
    return alike and (any(map(_is_number, first)) or len(first) > 1 and not text[1:2].isspace())


def _title(head: bytes, separator: str) -> str | None:
    """The fault of a first line that is no line of column names, such as a title above them."""
    cut = head[: head.rfind(b"\n") + 1] if len(head) == HEAD else head
    lines = itertools.islice(_lines(Path(), cut), 100)
    records = [(number, _fields(line.decode(errors="replace"), separator)) for number, line in lines if line.strip()]
    if len(records) < 2:
        return None
    (number, names), *others = records
    width, amount = Counter(len(fields) for _, fields in others).most_common(1)[0]
    if len(names) != width and amount > 2 and amount >= 0.9 * len(others):
        return (
            f"line {number}: names {count(len(names), 'column')} ({', '.join(names)[:40]!r}), but {amount} of the next "
            f"{len(others)} lines have {count(width, 'value')}; remove a title above the column names, or correct that line"
        )
    for below, fields in others[:10]:
        if all(fields) and not any(map(_is_number, fields)):
            if 2 * sum(map(bool, names)) < len(names):
                return (
                    f"line {number}: most column names are empty; {', '.join(filter(None, names))[:40]!r} seems to be a title, "
                    f"so remove the lines above the column names, which seem to be in line {below}"
                )
            break
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+([.,]\d+)*", text) is not None


def _fields(line: str, separator: str) -> list[str]:
    """The values of a line, without spaces around them; of any length."""
    mark = re.escape(separator)
    values = re.finditer(rf'(?:^|{mark})(?: *"((?:[^"]|"")*+)"\s*(?={mark}|\Z)|([^{mark}]*))', line)
    return [(value[2] if value[1] is None else value[1].replace('""', '"')).strip() for value in values]


def _separator(sample: str) -> str:
    """The separator that divides the first line, and most lines into as many fields."""
    lines = sample.splitlines()[:100]
    lines = lines[:-1] if len(lines) > 2 and len(sample) > 60000 else lines  # the last may be cut
    best = ("", (0.0, 0))
    for separator in ",;\t|":
        widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        if widths and widths[0] > 1:
            score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
            best = max(best, (separator, score), key=lambda item: item[1])
    return best[0] or next((separator for separator in ",;\t|" if _divides(lines[1:], separator)), ",")


def _divides(lines: list[str], separator: str) -> bool:
    """Whether a separator divides all lines into as many fields."""
    widths = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
    return len(widths) > 2 and widths[0] > 1 and len(set(widths)) == 1


def _padded(sample: str, separator: str) -> bool:
    return separator != "\t" and '"' not in sample and sample.count(separator + " ") > 0.9 * sample.count(separator) > 0


def _lines(path: Path, data: bytes | None) -> Iterator[tuple[int, bytes]]:
    """Records with the number of their first line; a quoted field may run over several lines."""
    with open(path, "rb") if data is None else io.BytesIO(data) as file:
        parts, start, is_open = [], 1, False
        for number, line in enumerate(file, 1):
            is_open ^= b'"' in line and line.count(b'"') % 2 == 1
            if not parts and not is_open:
                yield number, line
                continue
            start = start if parts else number
            parts.append(line)
            if not is_open:
                yield start, b"".join(parts)
                parts = []
        if parts:
            yield start, b"".join(parts)


def _header(path: Path, data: bytes | None, separator: str) -> tuple[int, list[str]]:
    """The number of the line of column names, and the names."""
    for number, line in itertools.islice(_lines(path, data), 100):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ReadError(_bad_bytes(path, number, line, error)) from None
        if line.count(b'"') % 2:
            raise ReadError(_open_quote(path, number))
        if text.strip():
            return number, _fields(text, separator)
    raise ReadError(f"{path} holds nothing but empty lines; expected a table with a line of column names")


def _open_quote(path: Path, number: int) -> str:
    return f'{path}, line {number}: a quote (") is opened and never closed; close it, or double it inside of a value'


def _text_fault(path: Path, data: bytes | None, separator: str, width: int) -> str | None:
    """The cause of an error of polars: a byte that is not UTF-8, an open quote, a line with too many values."""
    for number, line in _lines(path, data):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return _bad_bytes(path, number, line, error)
        if line.count(b'"') % 2:
            return _open_quote(path, number)
    fault = _ragged(path, data, separator, width)
    return fault if isinstance(fault, str) else None


def _bad_bytes(path: Path, number: int, line: bytes, error: UnicodeDecodeError) -> str:
    if len(error.object) < len(line):  # utf-8-sig counts from behind the mark
        line = line.removeprefix(b"\xef\xbb\xbf")
    number += line[: error.start].count(b"\n")
    return f"{path}, line {number}: {not_utf8(path, line, error.start)}"


def _ragged(path: Path, data: bytes | None, separator: str, width: int) -> str | int:
    """The error of the first line with too few or too many values, or the number of empty lines."""
    blank, mark = 0, separator.encode()
    for number, line in _lines(path, data):
        if not line.strip(b"\r\n"):
            blank += 1
            continue
        fields = line.count(mark) + 1
        if fields != width and b'"' in line:
            fields = len(_fields(line.decode(errors="replace"), separator))
        if fields != width:
            return f"{path}, line {number}: {fields} values, but the first line names {width} columns; correct that line"
    return blank
