"""Kinds of columns that are never features: identifiers, constants, and values that are neither words nor numbers."""

from __future__ import annotations

import polars as pl

from lamina.data.columns.column import Column, ColumnKind, Guess, Values, describe, guess_constant, name_words
from lamina.data.columns.text import Text
from lamina.data.parse import is_unplain

ID_WORDS = frozenset("id uuid guid uid key index idx rownames rowname rownum rownumber rowid pk hash serial unnamed".split())
_FEWEST_ROWS = 20
_ROW_WORDS = frozenset("row obs observation record nr".split())  # where they are the last word of a name
_TIME_WORDS = frozenset("t time date day week month quarter year hour minute second timestamp step epoch".split())


class Ignored(ColumnKind):
    """Base of the kinds that are never features; the option ``kinds`` can declare any column to be of one."""

    can_be_feature = False

    def coerce(self, column: pl.Series) -> Guess | None:
        return Guess(self.name, f"given as {self.name}, which is ignored", describe(column))

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return values


class Id(Ignored):
    """A name or number for each row."""

    name = "id"
    all_different = True
    max_group_size = 100

    def guess(self, values: Values) -> Guess | None:
        if values.plain:
            return None
        words = name_words(values.column.name)
        named = values.nameless or values.words & ID_WORDS or (words and words[-1] in _ROW_WORDS)
        if values.whole is not None:
            return self._of_numbers(values, values.whole, bool(named))
        if values.column.dtype != pl.String:
            return None
        distinct, present = values.text_counts.height, int(values.text_counts.to_series(1).sum())
        if distinct / present < 0.95 or not (present >= 20 or (present >= 5 and named)):
            return None
        return Guess(self.name, f"{distinct:,} distinct texts in {present:,} rows", values.details | {"distinct": distinct})

    def _of_numbers(self, values: Values, whole: pl.Series, named: bool) -> Guess | None:
        (low, high), rows = values.span, len(whole) - whole.null_count()
        dense = rows >= _FEWEST_ROWS and high - low < 2 * rows
        is_row_number = dense and whole.dtype.is_integer() and not values.words & _TIME_WORDS
        if not (is_row_number or named):
            return None
        distinct = whole.drop_nulls().n_unique()
        differ = distinct >= (rows if rows < _FEWEST_ROWS else 0.95 * rows)
        if named and (differ or _counts(whole)) and (low >= 0 or not values.nameless):
            like = "without a name, as a saved index" if values.nameless else "named like an identifier"
            reason = f"{distinct:,} distinct whole numbers in {rows:,} rows, {like}"
            return Guess(self.name, reason, values.measured)
        if is_row_number and distinct == rows:
            return Guess(self.name, f"row numbers from {low:,} to {high:,}", values.measured | {"running": True})
        return None

    def as_only_feature(self, column: Column, values: pl.Series, plain: Guess) -> Guess | None:
        """Plain values for x = 1, 2, 3, ..., text for texts of several words and for names, which seldom have digits."""
        if column.details.get("running"):
            return Guess(plain.kind, plain.reason + "; kept as the only feature", plain.details)
        text = Text().coerce(values) if values.dtype == pl.String else None
        if text is None or (text.details["words"] < 2 and int(values.str.contains(r"\d").sum()) > 0.1 * len(values)):
            return None
        return Guess(text.kind, "texts, mostly distinct; kept as the only feature", text.details)


def _counts(whole: pl.Series) -> bool:
    """Whether nearly each number is one more than that of the row before, as in an index of several joined tables."""
    return len(whole) >= _FEWEST_ROWS and int((whole.diff() == 1).sum()) >= 0.9 * len(whole)


class Constant(Ignored):
    """One value everywhere, or none at all."""

    name = "constant"

    def guess(self, values: Values) -> Guess | None:
        column, details = values.column, values.details
        if column.dtype == pl.Null or column.null_count() == len(column):
            return Guess(self.name, "missing in every row", details)
        if values.numbers is not None and values.numbers.null_count() == len(column):
            return Guess(self.name, "no finite number in any row", details)
        if values.plain:
            return None
        if values.dates is not None:
            moments = values.dates
            same = moments.min() == moments.max() and not moments.null_count()
            return Guess(self.name, f"the same date in every row: {moments.min()}", details) if same else None
        return guess_constant(self.name, values)

    def reason(self, guess: Guess) -> str:
        return guess.reason


class Other(Ignored):
    """Lists, structs, bytes, Python objects."""

    name = "other"

    def guess(self, values: Values) -> Guess | None:
        dtype = values.column.dtype
        reason = f"holds {str(dtype).partition('(')[0].lower()} values, which cannot be a feature"
        return Guess(self.name, reason, values.details) if is_unplain(dtype) else None
