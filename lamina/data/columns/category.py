"""Categories: a categorical dtype, whole numbers named like a code, one value that is missing elsewhere, any other text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from lamina.data.columns.column import (
    Column,
    ColumnKind,
    Guess,
    Values,
    brought,
    coerced,
    counted,
    levels,
    same_everywhere,
)
from lamina.data.parse import texts

MOST_LEVELS = 20_000
"""Most levels of a category that get a code of their own."""


@dataclass(frozen=True)
class Levels:
    """A category and its levels, the most frequent first."""

    name: str
    levels: tuple[str, ...]


class Category(ColumnKind):
    """String; ``levels``: the (at most 20) most frequent texts; ``distinct``: how many in all."""

    name = "category"
    shared = "categories"

    def guess(self, values: Values) -> Guess | None:
        if found := same_everywhere(self.name, values):
            return found
        if values.coded is not None:
            why = f"{values.distinct:,} distinct whole numbers in {len(values.column):,} rows, named like a code"
            return Guess(self.name, why, values.measured | levels(counted(values.coded), values.distinct))
        if not values.is_text:
            return None
        distinct = values.counted.height
        reason = f"{distinct:,} distinct {'levels' if values.declared else 'texts'} in {len(values.column):,} rows"
        return Guess(self.name, reason, values.details | levels(values.counted, distinct))

    def coerce(self, column: pl.Series) -> Guess | None:
        if (given := coerced(column, texts(column))) is None:
            return None
        found = counted(given[0])
        return Guess(self.name, f"given; {found.height:,} distinct values", given[1] | levels(found, found.height))

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return brought(column, values, texts(values), remarks)

    def enter(self, values: pl.Series, measure: Any) -> tuple[Levels, str]:
        counts = values.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
        if len(counts) <= MOST_LEVELS:
            return Levels(values.name, tuple(counts["level"].to_list())), ""
        kept, rest = counts[:MOST_LEVELS], counts[MOST_LEVELS:]
        note = (
            f"{values.name} has {len(counts):,} levels; the {MOST_LEVELS:,} most frequent are kept, the others "
            f"({rest['rows'].sum():,} rows) are taken for missing"
        )
        return Levels(values.name, tuple(kept["level"].to_list())), note
