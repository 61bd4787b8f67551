"""Why a column that looks like numbers or dates is read as text, in words."""

from __future__ import annotations

import re

import polars as pl

from lamina.data.readings.date import look_like_dates, orders, unknown_zones
from lamina.data.readings.months import MONTHS
from lamina.data.readings.number import in_parts, look_like_numbers
from lamina.data.readings.reading import SHARE, Cells
from lamina.wording import count

_UNIT = r"[^\W\d]{2}|\W"  # more than the letters of codes such as 12A
_LEAST = 0.5
"""Least share of the rows that are numbers or dates."""


def doubt(column: Cells, original: pl.Series) -> str:
    """Why the cells are read as text, with examples and the remedy; "" where they do not look like anything else.

    Args:
        column: The distinct cells.
        original: All cells of the column.
    """
    return _of_dates(column, original) or _of_numbers(column, original)


def _of_dates(column: Cells, original: pl.Series) -> str:
    if not look_like_dates(column):
        return ""
    zones = unknown_zones(column.values["cell"])
    if column.share(zones.is_not_null()) > 1 - SHARE:
        where = _rows(column, original, zones.is_not_null())
        zone = zones.drop_nulls()[0]
        return f"read as text, as the time zone {zone!r} is not known, in {where}; write offsets such as +05:30"
    fits = orders(column)
    if column.share(pl.select(pl.any_horizontal(*fits.values())).to_series()) < _LEAST:
        return ""
    name = column.name
    (one, first), (other, second) = fits.items()
    if (first & ~second).any() and (second & ~first).any():
        parts = [
            f"{one} in {_rows(column, original, first & ~second)}",
            f"{other} in {_rows(column, original, second & ~first)}",
        ]
        return (
            f"read as text, as its dates are {' and '.join(parts)}; write all in one order, or leave out the others: "
            f"kinds={{{name!r}: 'date %d/%m/%Y'}} or 'date %m/%d/%Y'"
        )
    others = _rows(column, original, ~(first | second))
    return f"read as text, as only some cells are dates, not {others}; kinds={{{name!r}: 'date'}} reads these as missing"


def _of_numbers(column: Cells, original: pl.Series) -> str:
    if not look_like_numbers(column):
        return ""
    cells = column.values["cell"]
    parts = in_parts(cells, column.values["rows"])
    rows, every = int(parts["rows"].sum()), int(column.values["rows"].sum())
    if rows < _LEAST * every or len(parts) < 3:
        return ""
    units = parts.group_by("unit").agg(pl.col("rows").sum()).sort("rows", "unit", descending=[True, False])
    named = units.filter(~pl.col("unit").str.to_lowercase().is_in(["", *MONTHS]) & (pl.col("rows") > (1 - SHARE) * every))[
        "unit"
    ].to_list()
    if len(named) > 1 and any(re.match(_UNIT, unit) for unit in named):
        cells_of = [parts.filter(pl.col("unit") == unit)["cell"].implode() for unit in named[:3]]
        where = [f"{unit!r} in {_rows(column, original, cells.is_in(its))}" for unit, its in zip(named, cells_of, strict=False)]
        return f"read as text, as its numbers have several units: {', '.join(where)}; bring them to one"
    if every - rows > (1 - SHARE) * every:
        others = _rows(column, original, ~cells.is_in(parts["cell"].implode()))
        remedy = f"kinds={{{column.name!r}: 'number'}} reads these as missing"
        return f"read as text, as only some cells are numbers, not {others}; {remedy}"
    return ""


def _rows(column: Cells, original: pl.Series, which: pl.Series) -> str:
    """The number of rows of some cells, with the first of them."""
    some = column.values.filter(which)
    row = int(original.str.strip_chars().is_in(some["cell"].implode()).arg_true()[0])
    return f"{count(int(some['rows'].sum()), 'row')} ({original[row]!r:.40} in row {row + 1:,})"
