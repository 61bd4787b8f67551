"""Categories: a categorical dtype, whole numbers named like a code, one value that is missing elsewhere, any other text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from lamina.data.columns.column import Column, Guess, Indicator, Measure, PlainKind, Values, guess_constant, level_counts, mask
from lamina.data.parse import texts
from lamina.data.readings import TRUTH
from lamina.errors import SchemaError
from lamina.wording import count, listed

MOST_LEVELS = 20_000
"""Most levels of a category that get a code of their own."""
CODE_WORDS = frozenset(
    "zip zipcode postcode postal plz code codes id ids uid type subtype category sku subclass cluster isbn ean upc gtin".split()
)
_SHOWN = 20  # levels that a schema keeps; the encoder keeps its own table
_INDICATORS = 30  # levels that the search for target leakage looks at
_OF_PANDAS = frozenset(["", *"#N/A #NA -NaN -nan <NA> N/A NA NULL NaN None n/a nan null".split()])  # missing for read_csv
_MISSING = ("", "-", "na", "n/a", "nan", "none", "null", "unknown", "missing", "not applicable")


@dataclass(frozen=True)
class Levels:
    """A category and its levels, the most frequent first."""

    name: str
    levels: tuple[str, ...]


class Category(PlainKind):
    """String; ``levels``: the (at most 20) most frequent texts; ``distinct``: the number of distinct ones."""

    name = "category"
    shared = "categories"
    max_group_size = 100
    parse = staticmethod(texts)

    def guess(self, values: Values) -> Guess | None:
        if constant := guess_constant(self.name, values):
            return constant
        rows = f"{len(values.column):,} rows"
        if values.whole is not None and values.words & CODE_WORDS:
            details = values.measured | _level_details(level_counts(values.whole))
            reason = f"{details['distinct']:,} distinct whole numbers in {rows}, named like a code"
            return Guess(self.name, reason, details)
        if not values.is_text:
            return None
        details = values.details | _level_details(values.text_counts)
        noun = "texts" if values.column.dtype == pl.String else "levels"
        return Guess(self.name, f"{details['distinct']:,} distinct {noun} in {rows}", details)

    def given(self, column: pl.Series, parsed: pl.Series, details: dict[str, Any]) -> Guess:
        counts = level_counts(parsed)
        return Guess(self.name, f"given; {counts.height:,} distinct values", details | _level_details(counts))

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        lost = values.null_count()
        words = [level for level in column.details["levels"] if level in _OF_PANDAS]
        if not lost or not words or column.details["missing"] > 0:
            return []
        return [
            f"{column.name}: {count(lost, 'value')} missing, none in the training rows, where {words[0]!r} is a level: "
            "in files, or by pandas without keep_default_na=False, it is read as missing"
        ]

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        if values.dtype == pl.Boolean:
            values = values.cast(pl.String).replace(_truth(column))
        return super().check(column, values, remarks)

    def fit_entry(self, column: Column, values: pl.Series, measure: Measure, notes: list[str]) -> Levels:
        counts = values.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
        if len(counts) > MOST_LEVELS:
            notes.append(
                f"{values.name} has {len(counts):,} levels; the {MOST_LEVELS:,} most frequent are kept, the others "
                f"({counts['rows'][MOST_LEVELS:].sum():,} rows) are treated as missing"
            )
        return Levels(values.name, tuple(counts["level"][:MOST_LEVELS].to_list()))

    def missing(self, values: pl.Series) -> pl.Series:
        return values.is_null() | values.str.strip_chars().str.to_lowercase().is_in(_MISSING).fill_null(True)

    def indicators(self, column: Column, values: pl.Series) -> Iterator[Indicator]:
        for level in values.alias("level").drop_nulls().value_counts(sort=True)["level"].head(_INDICATORS):
            rows = mask(values == level)
            yield Indicator(rows, f"is {level!r}", 0.8)
            yield Indicator(~rows, f"is not {level!r}", 0.8)
        yield from super().indicators(column, values)


def _level_details(counts: pl.DataFrame) -> dict[str, Any]:
    return {"levels": counts.to_series(0).head(_SHOWN).cast(pl.String).to_list(), "distinct": counts.height}


def _truth(column: Column) -> dict[str, str]:
    """The levels of "true" and "false".

    Raises:
        SchemaError: There are none.
    """
    levels = column.details["levels"]
    pairs = [[level for level in levels if TRUTH.get(level.strip().lower()) is word] for word in (False, True)]
    if [len(its) for its in pairs] != [1, 1]:  # as F without T, or several words
        pairs = [[level for level in levels if level.strip().lower() == word] for word in ("false", "true")]
    if not any(pairs):
        shown = listed(list(map(repr, levels)), 6)
        raise SchemaError(
            f"column {column.name!r} holds true and false, expected a category as in training ({shown}), and nothing tells "
            "which of them is true; give these values"
        )
    return {word: its[0] for word, its in zip(("false", "true"), pairs, strict=True) if its}
