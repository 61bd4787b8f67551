"""Tables from the sheets of Excel workbooks (.xlsx, .xlsm, .xlsb, .xls) and of OpenDocument (.ods).

Cells keep their types: numbers, dates, booleans, text. They are read by fastexcel, of the extra ``lamina[excel]``.
"""

from __future__ import annotations

import importlib.util
import io
import logging
from pathlib import Path
from typing import Any

import polars as pl

from lamina.data.folder import brief
from lamina.data.frames import column_names
from lamina.data.memory import check_archive
from lamina.errors import ReadError

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
    try:
        reader = fastexcel.read_excel(data)
        heads = {name: _head(reader, name) for name in reader.sheet_names}
    except fastexcel.FastExcelError as error:
        raise ReadError(f"{path} is damaged or protected by a password ({brief(error)}); open it and save it again") from None
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
    try:
        table: Any = pl.read_excel(
            io.BytesIO(data), sheet_name=chosen, engine="calamine", infer_schema_length=None, raise_if_empty=False
        )
    except (fastexcel.FastExcelError, pl.exceptions.PolarsError) as error:
        raise ReadError(f"{owner} cannot be read ({brief(error)}); save it as CSV") from None
    if table.width == len(names):
        table.columns = names
    if not table.height:
        raise ReadError(f"{owner} has column names but no rows; expected at least one")
    return table


def _head(reader: Any, sheet: str) -> pl.DataFrame:
    """The first row of a sheet, as text."""
    return reader.load_sheet(sheet, header_row=None, n_rows=1, dtypes="string").to_polars()
