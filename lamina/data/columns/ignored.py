"""Columns that are not learnt from: identifiers, constants, and values that are neither words nor numbers."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from lamina.data.columns.column import ID_WORDS, Column, ColumnKind, Guess, Values, describe, same_everywhere
from lamina.data.parse import is_unplain


class Ignored(ColumnKind):
    """Base of the kinds that are not learnt from; a person's word is enough to be one."""

    learnt = False

    def coerce(self, column: pl.Series) -> Guess | None:
        return Guess(self.name, f"given as {self.name}, which is not learnt from", describe(column))


class Id(Ignored):
    """A name or number for each row.

    Args:
        simpler: Takes a column of whole numbers that run through the rows for what else they are.
        text: Takes a column for text because a person says so.
    """

    name = "id"
    all_different = True

    def __init__(self, simpler: Callable[[pl.Series], Guess], text: Callable[[pl.Series], Guess | None]) -> None:
        self.simpler, self.text = simpler, text

    def guess(self, values: Values) -> Guess | None:
        if values.plain:
            return None
        named = values.words & ID_WORDS
        if (whole := values.whole) is not None:
            rows = len(whole) - whole.null_count()
            if not (values.running or named):
                return None
            if named and values.distinct >= (rows if rows < 20 else 0.95 * rows):
                why = f"{values.distinct:,} different whole numbers in {rows:,} rows, named like an identifier"
                return Guess(self.name, why, values.measured)
            if values.running and values.distinct == rows:
                (low, high), details = values.span, values.measured | {"running": True}
                return Guess(self.name, f"counts through the rows, from {low:,} to {high:,}", details)
            return None
        if not values.is_text or values.declared:
            return None
        distinct, present = values.counted.height, int(values.counted.to_series(1).sum())
        if distinct / present < 0.95 or not (present >= 20 or (present >= 5 and named)):
            return None
        return Guess(self.name, f"{distinct:,} different texts in {present:,} rows", values.details | {"distinct": distinct})

    def as_only(self, column: Column, values: pl.Series) -> Guess | None:
        """A lone x = 1, 2, 3, ... is more likely a measurement than a row number, a lone text no name."""
        if column.details.get("running"):
            found = self.simpler(values)
            return Guess(found.kind, found.reason + "; kept, as there is no other column", found.details)
        found = self.text(values) if values.dtype == pl.String else None
        if found is None or found.details["words"] < 2:
            return None
        return Guess(found.kind, "texts, mostly different; there is no other column", found.details)


class Constant(Ignored):
    """One value everywhere, or none at all."""

    name = "constant"

    def guess(self, values: Values) -> Guess | None:
        column, details = values.column, values.details
        if column.dtype == pl.Null or column.null_count() == len(column) or values.blank:
            return Guess(self.name, "missing in every row", details)
        if values.numbers is not None and values.numbers.null_count() == len(column):
            return Guess(self.name, "no finite number in any row", details)
        if values.plain:
            return None
        if values.dates is not None:
            moments, details = values.dates
            same = moments.min() == moments.max() and not moments.null_count()
            return Guess(self.name, f"the same date in every row: {moments.min()}", details) if same else None
        return same_everywhere(self.name, values)

    def reason(self, guess: Guess) -> str:
        return guess.reason


class Other(Ignored):
    """Lists, structs, bytes, Python objects."""

    name = "other"

    def guess(self, values: Values) -> Guess | None:
        dtype = values.column.dtype
        what = str(dtype).partition("(")[0].lower()
        reason = f"holds {what} values, which are not learnt from in tables"
        return Guess(self.name, reason, values.details) if is_unplain(dtype) else None
