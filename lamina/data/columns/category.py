"""Categories: a categorical dtype, whole numbers named like a code, one value that is missing elsewhere, any other text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from lamina.data.columns.column import (
    Column,
    ColumnKind,
    Guess,
    Indicator,
    Values,
    coerced,
    converted,
    guess_constant,
    level_counts,
    level_details,
    mask,
)
from lamina.data.parse import texts

MOST_LEVELS = 20_000
"""Most levels of a category that get a code of their own."""
_INDICATORS = 30  # levels that the search for target leakage looks at
_MISSING = ("", "-", "na", "n/a", "nan", "none", "null", "unknown", "missing", "not applicable")


@dataclass(frozen=True)
class Levels:
    """A category and its levels, the most frequent first."""

    name: str
    levels: tuple[str, ...]


class Category(ColumnKind):
    """String; ``levels``: the (at most 20) most frequent texts; ``distinct``: the number of distinct ones."""

    name = "category"
    shared = "categories"
    max_group_size = 100

    def guess(self, values: Values) -> Guess | None:
        if constant := guess_constant(self.name, values):
            return constant
        if values.codes is not None:
            reason = f"{values.distinct:,} distinct whole numbers in {len(values.column):,} rows, named like a code"
            return Guess(self.name, reason, values.measured | level_details(level_counts(values.codes), values.distinct))
        if not values.is_text:
            return None
        distinct = values.text_counts.height
        reason = f"{distinct:,} distinct {'levels' if values.declared else 'texts'} in {len(values.column):,} rows"
        return Guess(self.name, reason, values.details | level_details(values.text_counts, distinct))

    def coerce(self, column: pl.Series) -> Guess | None:
        if (parsed := coerced(column, texts(column))) is None:
            return None
        counts = level_counts(parsed[0])
        details = parsed[1] | level_details(counts, counts.height)
        return Guess(self.name, f"given; {counts.height:,} distinct values", details)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return converted(column, values, texts(values), remarks)

    def fit_entry(self, values: pl.Series, measure: Any) -> tuple[Levels, str]:
        counts = values.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
        if len(counts) <= MOST_LEVELS:
            return Levels(values.name, tuple(counts["level"].to_list())), ""
        kept, rest = counts[:MOST_LEVELS], counts[MOST_LEVELS:]
        note = (
            f"{values.name} has {len(counts):,} levels; the {MOST_LEVELS:,} most frequent are kept, the others "
            f"({rest['rows'].sum():,} rows) are treated as missing"
        )
        return Levels(values.name, tuple(kept["level"].to_list())), note

    def missing(self, values: pl.Series) -> pl.Series:
        return values.is_null() | values.str.strip_chars().str.to_lowercase().is_in(_MISSING).fill_null(True)

    def indicators(self, column: Column, values: pl.Series) -> Iterator[Indicator]:
        for level in values.alias("level").drop_nulls().value_counts(sort=True)["level"].head(_INDICATORS):
            rows = mask(values == level)
            yield Indicator(rows, f"is {level!r}", 0.8)
            yield Indicator(~rows, f"is not {level!r}", 0.8)
        yield from super().indicators(column, values)
