"""Reading a table from a file or from memory.

The format of a file is recognised by its bytes and then by its name. An error is one line with the file, the column or the
line, and the remedy.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from lamina.data.folder import brief, in_utf8, read_arrays, read_folder
from lamina.data.frames import column_names, from_memory, objects, without_patterns
from lamina.data.pictures import SUFFIXES
from lamina.errors import ReadError

_PATHS_CHECKED = 50
"""Values of a column that are checked for images beside the file, as each check accesses the disk."""
_WHOLE_PATH = r"^(/|\\|~|\w+:[/\\])"
"""Absolute paths and addresses: /data/1.png, C:/1.png, https://example.org/1.png."""

_FORMATS = {
    ".csv": "text", ".tsv": "text", ".tab": "text", ".txt": "text", ".data": "text",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".jsonl": "json", ".ndjson": "json",
}  # fmt: skip
_NAMES = {"text": "CSV", "parquet": "Parquet", "arrow": "Arrow", "json": "JSON Lines"}
_ENDINGS = {"text": ".csv", "parquet": ".parquet", "arrow": ".arrow", "json": ".jsonl"}
_SIGNATURES = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "stream",
    b"FEA1": "an old Feather 1 file; write it again with a current pyarrow or pandas",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive or an Excel workbook; open it and save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; open it and save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
    b"BZh": "compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "compressed with xz; decompress it first",
    b"SQLite format 3": "an SQLite database; export a table as CSV",
    b"\x93NUMPY": "a NumPy array; give numpy.load(...) itself",
    b"\x89HDF": "an HDF5 file; export a table as CSV",
    b"\x80\x04": "a Python pickle; give the unpickled frame itself",
    b"\x80\x05": "a Python pickle; give the unpickled frame itself",
}


def read_table(source: Any) -> pl.DataFrame:
    """Read a table from a file or from memory.

    The result has null, never NaN, for missing values, and unique column names.

    Args:
        source: A path to CSV or TSV (the separator is found: ``, ; |`` or tab), Parquet, Arrow/Feather or JSON Lines, each also
            .gz; a folder that holds a folder of images or of .txt files for each class; an .npz archive of arrays; a frame of
            pandas, polars, pyarrow or any library that narwhals or Arrow knows; a NumPy array (columns ``x0, x1, ...``; one of
            3 or 4 axes is a column of series or images); a dict of columns; a list of dicts, texts, arrays, images or paths.

    Two kinds of names are changed: a blank one becomes ``column_3``, by its position, and one that polars would read as a
    pattern, such as ``^a$``, becomes ``^a$_``. Options accept either.

    Raises:
        ReadError: The source is not a table; with the remedy.

    Example:
        >>> read_table({"age": [17, None], "city": ["Bern", "Oslo"]}).shape
        (2, 2)
    """
    is_path = isinstance(source, str | os.PathLike)
    table = _read_file(Path(os.path.expanduser(source))) if is_path else from_memory(source)
    # Only if needed: for a single row, a pass over the columns takes longer than the rest.
    if any(dtype == pl.Object or dtype.is_float() for dtype in set(table.dtypes)):
        columns_of = list(zip(table.get_columns(), table.dtypes, strict=True))
        paths = [_paths(column) for column, dtype in columns_of if dtype == pl.Object]
        # An infinite plus a negative infinite value is NaN too; filling then changes nothing.
        holes = [column.fill_nan(None) for column, dtype in columns_of if dtype.is_float() and (total := column.sum()) != total]
        table = table.with_columns(*holes, *paths) if holes or paths else table
    return table


def _read_file(path: Path) -> pl.DataFrame:
    if "://" in str(path) or ":/" in str(path)[:8]:
        raise ReadError(f"{path} is an address; lamina reads local files: download it first")
    if path.is_dir():
        tables = sorted(entry.name for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in _FORMATS)
        if tables and not any(entry.is_dir() for entry in path.iterdir()):
            raise ReadError(f"{path} is a folder, expected a file: one of {', '.join(tables[:5])}")
        return read_folder(path)
    if path.suffix.lower() == ".npz" and path.exists():
        return _beside(path, read_arrays(path))
    try:
        with open(path, "rb") as file:
            head = file.read(65536)
    except FileNotFoundError:
        raise ReadError(f"no file {path}; {_near_files(path)}") from None
    except OSError as error:
        raise ReadError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    if not head:
        raise ReadError(f"{path} is empty; expected a table with a line of column names")
    name, data = path.name.lower(), None
    if head[:2] == b"\x1f\x8b":
        name, data = name.removesuffix(".gz"), _unzip(path)
        head = data[:65536]
    elif name.endswith(".gz"):
        raise ReadError(f"{path} is not compressed with gzip, although its name ends in .gz; rename it")
    by_name, by_content = _FORMATS.get(Path(name).suffix), _format(path, head)
    if (by_name, by_content) == ("json", "text"):
        by_content = "json"  # its first line may be damaged; the error has its number
    family = "arrow" if by_content == "stream" else by_content
    if by_name not in (None, family):
        raise ReadError(
            f"{path} is not {_NAMES[by_name]}: it holds {_NAMES[family]}"
            + (f" ({head[:24].decode(errors='replace')!r} ...)" if by_content in ("text", "json") else "")
            + f"; rename it to end in {_ENDINGS[family]}"
        )
    if by_content == "text":
        table = _read_text(path, data, head, name)
    elif by_content == "json":
        table = _read_json(path, data)
    else:
        table = _read_binary(path, data, by_content)
    if not table.width or not table.height:
        raise ReadError(f"{path} has no {'columns' if not table.width else 'rows'}; expected at least one")
    return _beside(path, without_patterns(table))


def _beside(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The table with relative paths of images completed by the folder of its file."""
    folder = os.path.dirname(os.path.abspath(path))
    for column in table:
        if column.dtype != pl.String:
            continue
        present = column.drop_nulls()
        sample = present.gather_every(max(1, len(present) // _PATHS_CHECKED)).head(_PATHS_CHECKED).to_list()
        images = [value for value in sample if value.lower().endswith(SUFFIXES)]
        loose = [image for image in images if not re.match(_WHOLE_PATH, image)]
        if len(images) > len(sample) / 2 and any(os.path.isfile(os.path.join(folder, image)) for image in loose):
            beside = pl.when(column.str.contains(_WHOLE_PATH)).then(column).otherwise(os.path.join(folder, "") + column)
            table = table.with_columns(beside.alias(column.name))
    return table


def _paths(column: pl.Series) -> pl.Series:
    """Paths as text; other objects are unchanged."""
    values = column.to_list()
    if not all(value is None or isinstance(value, str | os.PathLike) for value in values):
        return column
    return pl.Series(column.name, [None if value is None else os.fspath(value) for value in values], dtype=pl.String)


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    names = [entry.name for entry in folder.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return "did you mean " + " or ".join(close) + "?" if close else f"the folder {folder} has no file of a similar name"


def _unzip(path: Path) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            data = file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReadError(f"{path} is truncated or damaged ({error}); download or compress it again") from None
    if not data:
        raise ReadError(f"{path} is empty once decompressed; expected a table")
    return data


def _format(path: Path, head: bytes) -> str:
    """The format by the first bytes: text, json, parquet, arrow or stream."""
    for signature, meaning in _SIGNATURES.items():
        if head.startswith(signature):
            if meaning in ("parquet", "arrow", "stream"):
                return meaning
            remedy = "" if ";" in meaning else "; give a table: CSV, Parquet, Arrow or JSON Lines"
            raise ReadError(f"{path} is not a table but {meaning}{remedy}")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"  # UTF-16 with a byte order mark
    if b"\x00" in head:
        if max(head[::2].count(0), head[1::2].count(0)) > len(head) // 5:
            raise ReadError(f"{path} looks like UTF-16 without a mark; save it as UTF-8")
        raise ReadError(f"{path} is not a table but binary data; give CSV, Parquet, Arrow or JSON Lines")
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        raise ReadError(f"{path} is not a table but a web page or XML; download the data file itself")
    if re.match(rb'\s*\{\s*(\}|"[^"]*"\s*:)', head):
        return "json"
    if re.match(rb"\s*\[\s*\{", head):
        raise ReadError(f"{path} is one JSON list; write it as JSON Lines, one object per line (pandas: to_json(lines=True))")
    return "text"


def _read_binary(path: Path, data: bytes | None, format: str) -> pl.DataFrame:
    source = path if data is None else data
    try:
        if format == "parquet":
            return pl.read_parquet(source)
        return pl.read_ipc(source) if format == "arrow" else pl.read_ipc_stream(source)
    except pl.exceptions.DuplicateError as error:
        raise ReadError(f"{path} has two columns of the same name ({brief(error)}); rename one of them") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        name = _NAMES.get(format, "Arrow")
        raise ReadError(f"{path} is a damaged {name} file ({brief(error)}); download or write it again") from None


# JSON Lines


def _read_json(path: Path, data: bytes | None) -> pl.DataFrame:
    data = path.read_bytes() if data is None else data
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        rows = []  # slower, for mixed types in a column, and for the line number of an error
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ReadError(f"{path}, line {number}: not JSON ({error}); expected one object per line") from None
        if not isinstance(row, dict):
            given = type(row).__name__
            raise ReadError(f"{path}, line {number}: a JSON {given}, expected one object of column: value per line")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([objects(name, [row.get(name) for row in rows]) for name in names])


# CSV and its relatives


def _read_text(path: Path, data: bytes | None, head: bytes, name: str) -> pl.DataFrame:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            data = (path.read_bytes() if data is None else data).decode("utf-16").encode()
        except UnicodeDecodeError:
            raise ReadError(f"{path} is damaged UTF-16; save it as UTF-8") from None
        head = data[:65536]
    sample = head.decode("utf-8-sig", errors="replace")
    separator = "\t" if name.endswith((".tsv", ".tab")) else _separator(sample)
    header = _header(path, data, separator)
    if _padded(sample, separator):  # "39, Private, 77516"
        data = re.sub(rb"[ \t]*" + re.escape(separator.encode()) + rb"[ ]+", separator.encode(), data or path.read_bytes())
    owner = f"{path}, line 1:"
    names = column_names([name.strip() for name in header], owner, "rename one, or add a line of names if the file has none")
    try:
        source = path if data is None else data
        table = pl.read_csv(source, separator=separator, new_columns=names, infer_schema=False)
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
    return table


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
    return best[0] or ","


def _padded(sample: str, separator: str) -> bool:
    return separator != "\t" and '"' not in sample and sample.count(separator + " ") > 0.9 * sample.count(separator) > 0


def _lines(path: Path, data: bytes | None) -> Iterator[tuple[int, bytes]]:
    """Records with the number of their first line; a quoted field may run over several lines."""
    with open(path, "rb") if data is None else io.BytesIO(data) as file:
        pending, start = b"", 1
        for number, line in enumerate(file, 1):
            if pending or b'"' in line:
                pending, start = pending + line, start if pending else number
                if pending.count(b'"') % 2:
                    continue
                line, pending = pending, b""
                yield start, line
            else:
                yield number, line
        if pending:
            yield start, pending


def _header(path: Path, data: bytes | None, separator: str) -> list[str]:
    for number, line in itertools.islice(_lines(path, data), 100):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ReadError(_bad_bytes(path, number, line, error)) from None
        if text.strip():
            return next(csv.reader([text.rstrip("\r\n")], delimiter=separator))
    raise ReadError(f"{path} holds nothing but empty lines; expected a table with a line of column names")


def _text_fault(path: Path, data: bytes | None, separator: str, width: int) -> str | None:
    """The cause of an error of polars: a byte that is not UTF-8, an open quote, a line with too many values."""
    for number, line in _lines(path, data):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            return _bad_bytes(path, number, line, error)
        if line.count(b'"') % 2:
            return f'{path}, line {number}: a quote (") is opened and never closed; close it, or double it inside of a value'
    fault = _ragged(path, data, separator, width)
    return fault if isinstance(fault, str) else None


def _bad_bytes(path: Path, number: int, line: bytes, error: UnicodeDecodeError) -> str:
    if len(error.object) < len(line):  # utf-8-sig counts from behind the mark
        line = line.removeprefix(b"\xef\xbb\xbf")
    number += line[: error.start].count(b"\n")
    around = line[max(0, error.start - 12) : error.start + 12].decode("latin-1").strip()
    byte = f"byte 0x{line[error.start]:02x} is not UTF-8 (as Latin-1 it would read {around!r})"
    return f"{path}, line {number}: {byte}; {in_utf8(path)}"


def _ragged(path: Path, data: bytes | None, separator: str, width: int) -> str | int:
    """The error of the first line with too few or too many values, or the number of empty lines."""
    blank, mark = 0, separator.encode()
    for number, line in _lines(path, data):
        if not line.strip(b"\r\n"):
            blank += 1
            continue
        fields = line.count(mark) + 1
        if fields != width and b'"' in line:
            fields = len(next(csv.reader([line.decode(errors="replace")], delimiter=separator)))
        if fields != width:
            return f"{path}, line {number}: {fields} values, but the first line names {width} columns; correct that line"
    return blank
