"""Reading a table from a file or from memory.

The format of a file is recognised by its bytes and then by its name. An error is one line with the file, the column or the
line, and the remedy.
"""

from __future__ import annotations

import difflib
import gzip
import io
import mmap
import os
import re
import stat
import time
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from lamina.data.arrow import claimed_size
from lamina.data.delimited import HEAD, MARKS, read_delimited
from lamina.data.excel import is_workbook, read_workbook, workbook
from lamina.data.folder import brief, read_arrays, read_folder, subfolders
from lamina.data.frames import from_memory, without_patterns
from lamina.data.json_lines import read_json
from lamina.data.memory import check_size, read_bounded
from lamina.data.pictures import SUFFIXES
from lamina.errors import ReadError

_PATHS_CHECKED = 50
"""Values of a column that are checked for images beside the file, as each check accesses the disk."""
_YEARS = -719162, 2932897
"""Days since 1970 of the first day of year 1, and of year 10000."""
_WAIT = 9.0
"""Seconds until a program must have opened a pipe for writing."""
_WHOLE_PATH = r"^(/|\\|~|\w+:[/\\])"
"""Absolute paths and addresses: /data/1.png, C:/1.png, https://example.org/1.png."""

_IMAGE = {"bytes", "path"}
"""The fields of an image of Hugging Face's datasets."""
STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
"""Names of standard input."""

_FORMATS = {
    ".csv": "text", ".tsv": "text", ".tab": "text", ".txt": "text", ".data": "text",
    ".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
    ".jsonl": "json", ".ndjson": "json", ".json": "json",
}  # fmt: skip
_NAMES = {"text": "CSV", "parquet": "Parquet", "arrow": "Arrow", "json": "JSON Lines"}
_ENDINGS = {"text": ".csv", "parquet": ".parquet", "arrow": ".arrow", "json": ".jsonl"}
_SIGNATURES = {
    b"PAR1": "parquet",
    b"PARE": "an encrypted Parquet file; decrypt it first",
    b"ARROW1": "arrow",
    b"\xff\xff\xff\xff": "stream",
    b"FEA1": "an old Feather 1 file; write it again with a current pyarrow or pandas",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive; unpack it, or give an Excel workbook a name that ends in .xlsx",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; give it a name that ends in .xls",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first",
    b"BZh": "compressed with bzip2; decompress it first",
    b"\xfd7zXZ": "compressed with xz; decompress it first",
    b"SQLite format 3": "an SQLite database; export a table as CSV",
    b"\x93NUMPY": "a NumPy array; give numpy.load(...) itself",
    b"\x89HDF": "an HDF5 file; export a table as CSV",
    b"\x80\x04": "a Python pickle; give the unpickled frame itself",
    b"\x80\x05": "a Python pickle; give the unpickled frame itself",
}


@dataclass(frozen=True)
class Source:
    """A table, and what its source says about its text.

    Attributes:
        table: The rows.
        separator: The separator of a text file, all of whose values are text; None for all other sources.
        skipped: Files of a folder that were left out.
    """

    table: pl.DataFrame
    separator: str | None = None
    skipped: tuple[str, ...] = ()


def read_table(source: Any) -> pl.DataFrame:
    """Read a table from a file or from memory.

    The result has null, never NaN, for missing values, and unique column names.

    Args:
        source: A path to CSV or TSV (separated by ``, ; |`` or tab), Parquet, Arrow/Feather, JSON Lines or a JSON list of
            objects, each also .gz; "-" for standard input, or another pipe or open file, read once; a folder that holds folders
            of images or .txt files for each class; an .npz archive of arrays; a frame of pandas, polars, pyarrow or any library
            that narwhals or Arrow knows; a NumPy array (columns ``x0, x1, ...``; one of 3 or 4 axes is a column of series or
            images); a dict of columns; a list of dicts, texts, arrays, images or paths.

    Two kinds of names are changed: a blank one becomes ``column_3``, by its position, and one that polars would read as a
    pattern, such as ``^a$``, becomes ``^a$_``. Options accept either.

    Raises:
        ReadError: The source is not a table; with the remedy.

    Example:
        >>> read_table({"age": [17, None], "city": ["Bern", "Oslo"]}).shape
        (2, 2)
    """
    return read_source(source).table


def read_source(source: Any, *, skip_bad: bool = False) -> Source:
    """Read a table as :func:`read_table` does, with what its source says about its text; foreign files may be skipped."""
    is_path = isinstance(source, str | os.PathLike)
    try:
        if is_path:
            read = _read_file(Path(os.path.expanduser(source)), skip_bad)
        else:
            read = _read_open(source) if hasattr(source, "read") else Source(from_memory(source))
    except UnicodeEncodeError as error:
        if not is_path:
            raise
        raise ReadError(
            f"{error.object!r}: the name of a file or folder is not UTF-8, which a table cannot hold; rename it"
        ) from None
    # Only if needed: for a single row, a pass over the columns takes longer than the rest.
    table = read.table
    if any(dtype in (pl.Object, pl.Struct, pl.Date, pl.Datetime) or dtype.is_float() for dtype in set(table.dtypes)):
        columns_of = list(zip(table.get_columns(), table.dtypes, strict=True))
        for column, dtype in columns_of:
            if isinstance(dtype, pl.Date | pl.Datetime):
                _check_years(column)
        paths = [_of_objects(column) for column, dtype in columns_of if dtype == pl.Object]
        paths += [_images(column) for column, dtype in columns_of if dtype == pl.Struct and set(column.struct.fields) == _IMAGE]
        # An infinite plus a negative infinite value is NaN too; filling then changes nothing.
        holes = [column.fill_nan(None) for column, dtype in columns_of if dtype.is_float() and (total := column.sum()) != total]
        return replace(read, table=table.with_columns(*holes, *paths)) if holes or paths else read
    return read


def is_table_name(text: str) -> bool:
    """Whether a text is the name of a file of a table, an address or "-", and no text to predict.

    Example:
        >>> is_table_name("new.csv.gz"), is_table_name("What a film.")
        (True, False)
    """
    name = text.lower().removesuffix(".gz")
    if workbook(Path(text)):
        return True
    return text == "-" or ("://" in text or name.endswith((*_FORMATS, ".npz"))) and len(text.split()) == 1


def _read_file(path: Path, skip_bad: bool) -> Source:
    if "://" in str(path) or ":/" in str(path)[:8]:
        raise ReadError(f"{path} is an address; lamina reads local files: download it first")
    if path.is_dir():
        tables = sorted(entry.name for entry in path.iterdir() if entry.is_file() and entry.suffix.lower() in _FORMATS)
        if tables and not subfolders(path):
            raise ReadError(f"{path} is a folder, expected a file: one of {', '.join(tables[:5])}")
        skipped: list[str] | None = [] if skip_bad else None
        table = read_folder(path, skipped)
        return Source(table, skipped=tuple(skipped or ()))
    if path.suffix.lower() == ".npz" and path.exists():
        _check_regular(path)
        return Source(_beside(path, read_arrays(path)))
    if book := workbook(path):
        if not book[0].exists():
            raise ReadError(f"no file {book[0]}; {_near_files(book[0])}")
        _check_regular(book[0])
        return Source(_beside(book[0], without_patterns(read_workbook(*book))))
    try:
        data = _streamed(path)
        if data is not None:
            return _read_content(path, data, data[:HEAD])
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise ReadError(f"no file {path}; {_near_files(path)}") from None
    except OSError as error:
        raise ReadError(f"cannot read {path}: {error.strerror}; check its permissions") from None
    return _read_content(path, None, head)


def _read_open(file: Any) -> Source:
    """The table in an open file or a buffer of text or bytes."""
    name = getattr(file, "name", None)
    path = Path(name if isinstance(name, str) else f"the {type(file).__name__}")
    try:
        content = file.read()
        content = content.encode() if isinstance(content, str) else bytes(content)
    except (OSError, ValueError, TypeError) as error:
        raise ReadError(f"cannot read {path}: {error}; open the file in mode 'rb'") from None
    if not content:
        raise ReadError(f"{path} has nothing left to read; give the path, or go back to its start: file.seek(0)")
    return _read_content(path, content, content[:HEAD])


def _read_content(path: Path, data: bytes | None, head: bytes) -> Source:
    """The table of a file, whose content is given where it was read already."""
    if not head:
        raise ReadError(f"{path} is empty; expected a table with a line of column names")
    if data is not None and is_workbook(data):
        return Source(without_patterns(read_workbook(path, data=data)))
    name = path.name.lower()
    if head[:2] == b"\x1f\x8b":
        name, data = name.removesuffix(".gz"), _unzip(path, data)
        head = data[:HEAD]
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
    separator = None
    if by_content == "text":
        table, separator = read_delimited(path, data, head, name)
    elif by_content == "json":
        table = read_json(path, data)
    else:
        table = _read_binary(path, data, by_content)
    if not table.width or not table.height:
        raise ReadError(f"{path} has no {'columns' if not table.width else 'rows'}; expected at least one")
    return Source(_beside(path, without_patterns(table)), separator)


def _beside(path: Path, table: pl.DataFrame) -> pl.DataFrame:
    """The table with relative paths of images completed by the folder of its file."""
    folder = os.path.dirname(os.path.abspath(path))
    for column in table:
        if column.dtype != pl.String:
            continue
        if len(column) > _PATHS_CHECKED:  # else polars would take most of the time of a wide table
            present = column.drop_nulls()
            column = present.gather_every(max(1, len(present) // _PATHS_CHECKED)).head(_PATHS_CHECKED)
        sample = [value for value in column.to_list() if value is not None]
        images = [value for value in sample if value.lower().endswith(SUFFIXES)]
        loose = [image for image in images if not re.match(_WHOLE_PATH, image)]
        if len(images) > len(sample) / 2 and any(os.path.isfile(os.path.join(folder, image)) for image in loose):
            values = pl.col(column.name)
            beside = pl.when(values.str.contains(_WHOLE_PATH)).then(values).otherwise(os.path.join(folder, "") + values)
            table = table.with_columns(beside)
    return table


def _check_years(column: pl.Series) -> None:
    """Raise an error for a date that no calendar has, which no library can convert."""
    unit = getattr(column.dtype, "time_unit", "day")  # nanoseconds are from 1677 to 2262
    ticks = {"day": 1, "ms": 86_400_000, "us": 86_400_000_000}.get(unit)
    values = column.to_physical()
    least: Any = values.min()
    most: Any = values.max()
    if ticks is None or least is None:
        return
    low, end = _YEARS[0] * ticks, _YEARS[1] * ticks
    if low <= least and most < end:
        return
    row = (~values.is_between(low, end, closed="left")).arg_true()[0] + 1
    raise ReadError(
        f"column {column.name!r}: the date in row {row:,} is outside of the years 1 to 9999; correct it, or leave it empty"
    )


def _of_objects(column: pl.Series) -> pl.Series:
    """Paths as text, and dicts of images of Hugging Face; other objects are unchanged."""
    values = column.to_list()
    if all(value is None or (isinstance(value, dict) and value.keys() == _IMAGE) for value in values):
        return _images(pl.Series(column.name, values, pl.Struct({"bytes": pl.Binary, "path": pl.String})))
    if not all(value is None or isinstance(value, str | os.PathLike) for value in values):
        return column
    return pl.Series(column.name, [None if value is None else os.fspath(value) for value in values], dtype=pl.String)


def _images(column: pl.Series) -> pl.Series:
    """Images of Hugging Face, which are their bytes beside a path, as one of both."""
    content = column.struct.field("bytes")
    return (column.struct.field("path") if content.null_count() == len(content) else content).alias(column.name)


def _near_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either"
    names = [entry.name for entry in folder.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return "did you mean " + " or ".join(close) + "?" if close else f"the folder {folder} has no file of a similar name"


def _streamed(path: Path) -> bytes | None:
    """The content of a pipe, which can be read only once, and of a file with a name that polars cannot open; else None."""
    if str(path) in STDIN:
        with open(0, "rb", closefd=False) as file:
            return read_bounded(path, file)
    if stat.S_ISFIFO(os.stat(path).st_mode):
        return _read_pipe(path)
    _check_regular(path)
    if str(path).isprintable():
        return None
    with open(path, "rb") as file:
        return read_bounded(path, file)


def _read_pipe(path: Path) -> bytes:
    """The content of a named pipe, which another program must have opened by then; else opening it would never return."""
    descriptor, end = os.open(path, os.O_RDONLY | os.O_NONBLOCK), time.monotonic() + _WAIT
    with open(descriptor, "rb", buffering=0) as file:
        try:
            while not (start := os.read(descriptor, 1 << 16)):
                if time.monotonic() > end:
                    raise ReadError(f"{path} is a pipe that no program writes to; start that program first")
                time.sleep(0.02)
        except BlockingIOError:  # it is open, but nothing is written yet
            start = b""
        os.set_blocking(descriptor, True)
        return read_bounded(path, file, start=start)


def _check_regular(path: Path) -> None:
    """Raise an error for what is no file; opening it may wait for ever."""
    if not path.is_file():
        kind = "folder" if path.is_dir() else "pipe" if path.is_fifo() else "device or a socket"
        raise ReadError(f"{path} is a {kind}; expected a file")


def _unzip(path: Path, data: bytes | None) -> bytes:
    packed = os.path.getsize(path) if data is None else len(data)
    try:
        with gzip.open(path if data is None else io.BytesIO(data), "rb") as file:
            data = read_bounded(path, file, packed)
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
    if head.startswith(tuple(MARKS)):
        return "text"
    if b"\x00" in head:
        if max(head[::2].count(0), head[1::2].count(0)) > len(head) // 5:
            raise ReadError(f"{path} looks like UTF-16 without a mark; save it as UTF-8")
        raise ReadError(f"{path} is not a table but binary data; give CSV, Parquet, Arrow or JSON Lines")
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        raise ReadError(f"{path} is not a table but a web page or XML; download the data file itself")
    if re.match(rb'\s*(\[\s*)?\{\s*(\}|"[^"]*"\s*:)', head):
        return "json"
    return "text"


def _parquet_size(source: Path | bytes) -> int:
    """The bytes of the columns of a Parquet file in memory, without those of texts and lists."""
    rows = pl.scan_parquet(source).select(pl.len()).collect().item()
    types = pl.read_parquet_schema(source).values()
    return rows * sum(pl.Series([None], dtype=dtype).estimated_size() for dtype in types)


def _arrow_size(source: Path | bytes) -> int:
    """The bytes that the columns of an Arrow file claim; polars would end the process if they cannot be had."""
    if isinstance(source, bytes):
        return claimed_size(source)
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return claimed_size(content)


def _read_binary(path: Path, data: bytes | None, format: str) -> pl.DataFrame:
    source = path if data is None else data
    try:
        os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")  # offsets such as +05:30, which pandas writes
        if format == "parquet":
            check_size(path, _parquet_size(source))
            return pl.read_parquet(source)
        check_size(path, _arrow_size(source))
        return pl.read_ipc(source) if format == "arrow" else pl.read_ipc_stream(source)
    except ReadError:
        raise
    except pl.exceptions.DuplicateError as error:
        raise ReadError(f"{path} has two columns of the same name ({brief(error)}); rename one of them") from None
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        name = _NAMES.get(format, "Arrow")
        if "decryption properties" in str(error):
            raise ReadError(f"{path} is an encrypted Parquet file; decrypt it first") from None
        if unknown := re.search(r'ErrString\("([^"\\]*)', str(error)):  # a panic
            raise ReadError(f"{path} cannot be read ({unknown[1][:120]}); write that column with another type") from None
        fault = "its parts are larger than the memory" if str(error).startswith("OOM") else brief(error)
        raise ReadError(f"{path} is a damaged {name} file ({fault}); download or write it again") from None
