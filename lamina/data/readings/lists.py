"""Lists of numbers in a cell, as ``to_csv`` of pandas writes them."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import Cells, Learnt, Reading

_NUMBER = r"(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[nN]a[nN]|None|null)"
_LIST = rf"^\[\s*{_NUMBER}(?:(?:\s*,\s*|\s+){_NUMBER})*\s*,?\s*\]$"


@dataclass(frozen=True)
class ListReading(Reading):
    """A list of Python or JSON, ``[0.1, 0.2]``, or an array of NumPy, ``[0.1 0.2]``: List(Float64), NaN for missing."""

    name = "list"

    def read(self, cells: pl.Series) -> pl.Series:
        lists = cells.set(~cells.str.contains(_LIST), None).str.replace_all(r"[\[\],\s]+", " ").str.strip_chars().str.split(" ")
        return lists.list.eval(pl.element().cast(pl.Float64, strict=False).fill_null(float("nan")))

    def written(self) -> str:
        return "written as lists of numbers"


def learn_list(column: Cells) -> Learnt | None:
    """The reading of lists of numbers, where the cells are such; else None."""
    cells = column.values["cell"]
    if not len(cells) or not cells[0].startswith("["):
        return None
    return Learnt(ListReading()) if column.share(cells.str.contains(_LIST)) >= max(column.least, 0.5) else None
