"""Tables from the sheets of Excel workbooks (.xlsx, .xlsm, .xlsb, .xls) and of OpenDocument (.ods).

Cells keep their types: numbers, dates, booleans, text. They are read by fastexcel, of the extra ``lamina[excel]``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from lamina.data.folder import brief
from lamina.data.frames import column_names
from lamina.data.memory import DAMAGE, available_memory, check_archive, check_size
from lamina.errors import ReadError

_CELL = 100
"""Bytes that the readers take for each cell of the rectangle of a sheet, while it becomes columns."""
WORKBOOKS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")


def workbook(path: Path) -> tuple[Path, str] | None:
    """The file and the sheet of a path such as ``book.xlsx`` or ``book.xlsx#Sheet2``; None for other files.

    Example:
        >>> workbook(Path("book.xlsx#Sheet2")), workbook(Path("rows.csv"))
        ((PosixPath('book.xlsx'), 'Sheet2'), None)
    """
    if path.suffix.lower() in WORKBOOKS:
        return path, ""
    name, mark, sheet = str(path).rpartition("#")
    return (Path(name), sheet) if mark and Path(name).suffix.lower() in WORKBOOKS and not path.exists() else None


def is_workbook(data: bytes) -> bool:
    """Whether bytes are a workbook, as those of an upload without a name."""
    return (data.startswith(b"PK\x03\x04") and b"xl/workbook" in data) or data.startswith(b"\xd0\xcf\x11\xe0")


def read_workbook(path: Path, sheet: str = "", data: bytes | None = None) -> pl.DataFrame:
    """The table of a sheet, by default of the only one with cells.

    Raises:
        ReadError: fastexcel is not installed; the file is damaged or protected; there are several sheets and none is named, or
            none of that name; two columns have one name; there are no rows.
    """
    if importlib.util.find_spec("fastexcel") is None:
        raise ReadError(f"{path} is a workbook, which fastexcel reads: pip install 'lamina[excel]', or save the sheet as CSV")
    import fastexcel  # pyright: ignore[reportMissingImports]

    logging.getLogger("fastexcel").setLevel(logging.ERROR)  # that a column of mixed values is text
    if data is None:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ReadError(f"cannot read {path}: {error.strerror}; check its name and permissions") from None
    check_archive(path, io.BytesIO(data), least=1 << 26)  # a reader takes many times the size of a sheet
    _check_cells(path, data)
    with _reading(f"{path} is damaged or protected by a password", "open it and save it again"):
        reader = fastexcel.read_excel(data)
        heads = {name: _head(reader, name) for name in reader.sheet_names}
    filled = [name for name, head in heads.items() if len(head)]
    if not sheet and len(filled) > 1:
        raise ReadError(f"{path} has {len(filled)} sheets: {', '.join(map(repr, filled))}; choose one: '{path}#{filled[0]}'")
    if sheet and sheet not in heads:
        raise ReadError(f"{path} has no sheet {sheet!r}; it has {', '.join(map(repr, heads))}")
    chosen = sheet or (filled[0] if filled else "")
    if not chosen or not len(heads[chosen]):
        raise ReadError(f"{path} has no cells{f' in the sheet {chosen!r}' if chosen else ''}; expected a line of column names")
    owner = f"{path}, sheet {chosen!r}"
    names = column_names([str(name or "") for name in heads[chosen].row(0)], owner, "rename one of them")
    with _reading(f"{owner} cannot be read", "save it as CSV"):
        table: Any = pl.read_excel(
            io.BytesIO(data), sheet_name=chosen, engine="calamine", infer_schema_length=None, raise_if_empty=False
        )
    if table.width == len(names):
        table.columns = names
    if not table.height:
        raise ReadError(f"{owner} has column names but no rows; expected at least one")
    return table


@contextmanager
def _reading(fault: str, remedy: str) -> Iterator[None]:
    """A context in which errors of the libraries, a panic among them, are one ReadError."""
    try:
        yield
    except BaseException as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        if not names & {"FastExcelError", "PolarsError", "PanicException"}:
            raise
        raise ReadError(f"{fault} ({brief(error)}); {remedy}") from None


def _check_cells(path: Path, data: bytes) -> None:
    """Raise ReadError for a cell so far from the others that the rectangle of the sheet does not fit the memory."""
    cells, most = 0, available_memory() // 2 // _CELL
    with contextlib.suppress(*DAMAGE), zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            sheet = archive.read(name) if name.endswith(".xml") else b""
            cells = max(cells, _rectangle(sheet, most) if b"sheetData" in sheet else 0)
    check_size(path, _CELL * cells)


def _rectangle(sheet: bytes, most: int) -> int:
    """At most how many cells the rectangle around all cells of a sheet has; exact where a quick bound is above ``most``."""
    digits = len(str(sheet.count(b"<row")))
    for letters, columns in ((1, 26), (2, 26 * 27)):
        beyond = rb"""\sr=["'](?:[A-Z]{%d}|[A-Z]*\d{%d})""" % (letters + 1, digits + 1)
        if columns * 10**digits <= most and not re.search(beyond, sheet):
            return columns * 10**digits
    columns = {_column(letters) for letters in set(re.findall(rb"""\sr=["']([A-Z]{1,6})""", sheet))} or {1}
    rows = {int(row) for row in set(re.findall(rb"""\sr=["'][A-Z]*(\d{1,18})""", sheet))} or {1}
    return (max(rows) - min(rows) + 1) * (max(columns) - min(columns) + 1)


def _column(letters: bytes) -> int:
    """The number of a column from its letters: 1 for A, 28 for AB."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number


def _head(reader: Any, sheet: str) -> pl.DataFrame:
    """The first row of a sheet, as text."""
    return reader.load_sheet(sheet, header_row=None, n_rows=1, dtypes="string").to_polars()
