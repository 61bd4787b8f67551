"""Rows with a damaged file or a cell that cannot be read, which are left out where that is asked for."""

from __future__ import annotations

import numpy as np
import polars as pl

from lamina.data.cells import unreadable
from lamina.data.columns import KINDS
from lamina.data.schema import Schema
from lamina.errors import ReadError
from lamina.wording import count

_SHOWN = 3


def bad_rows(table: pl.DataFrame, schema: Schema) -> dict[int, str]:
    """By row, what cannot be read of its features, in the table's order."""
    faults: dict[int, str] = {}
    for column in schema.features:
        if column.name not in table.columns:
            continue  # the error names it
        values = table.get_column(column.name)
        for row in unreadable(column, values):
            faults.setdefault(row, f"{column.name} {values[row]!r:.60} in row {row + 1:,}")
        for row, fault in KINDS[column.kind].faults(values).items():
            source = values[row] if values.dtype == pl.String else column.name
            faults.setdefault(row, f"{source} in row {row + 1:,} {fault}")
    return dict(sorted(faults.items()))


def skipped(faults: list[str], what: str = "row") -> str:
    """A note on what was skipped, the first three by name; "" for nothing.

    Example:
        >>> skipped(["a.jpg is damaged", "b.jpg is damaged", "c", "d"])
        '4 rows skipped: a.jpg is damaged; b.jpg is damaged; c; ...'
    """
    shown = "; ".join(faults[:_SHOWN]) + ("; ..." if len(faults) > _SHOWN else "")
    return f"{count(len(faults), what)} skipped: {shown}" if faults else ""


def without_bad_rows(table: pl.DataFrame, schema: Schema) -> tuple[pl.DataFrame, str]:
    """The rows that can be read, and a note on the others.

    Raises:
        ReadError: No row can be read.
    """
    faults = bad_rows(table, schema)
    if not faults:
        return table, ""
    if len(faults) == len(table):
        raise ReadError(f"no row can be read: {skipped(list(faults.values()))}")
    return table[good_rows(faults, len(table))], skipped(list(faults.values()))


def good_rows(faults: dict[int, str], rows: int) -> np.ndarray:
    """The other rows."""
    return np.setdiff1d(np.arange(rows), list(faults))


def with_empty_rows(result: pl.DataFrame, faults: dict[int, str], rows: int) -> pl.DataFrame:
    """Results of the rows that can be read, with an empty row for each of the others."""
    places = np.full(rows, -1)
    places[good_rows(faults, rows)] = np.arange(len(result))
    index = pl.Series(places).set(pl.Series(places < 0), None)
    return pl.DataFrame([column.gather(index) for column in result])
