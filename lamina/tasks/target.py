"""Checks of target columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from lamina.data.cells import FEW_CLASSES
from lamina.errors import TargetError
from lamina.wording import count, listed, nearest

_TEXT_WORDS = 5


def target_names(table: pl.DataFrame, targets: str | Sequence[str]) -> list[str]:
    """The names of the target columns; TargetError if there is none, or the table has no such column."""
    names = [targets] if isinstance(targets, str) else list(targets)
    if not names:
        raise TargetError("no target is named; name the column to predict")
    for name in names:
        target_column(table, name)
    return names


def target_column(table: pl.DataFrame, name: str) -> pl.Series:
    """A target column of a table; TargetError if there is no such column."""
    if name not in table.columns:
        raise TargetError(f"the table has no column {name!r} to be the target; {nearest(name, table.columns)}")
    return table[name]


def missing(column: pl.Series) -> np.ndarray:
    """True for missing values (null or NaN), (N,)."""
    null = column.is_null()
    if column.dtype.is_float():
        null = null | column.is_nan().fill_null(False)
    return null.to_numpy()


def plain(column: pl.Series) -> pl.Series:
    """Categories and enums as strings, decimals as floats."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column.cast(pl.Float64) if column.dtype.is_decimal() else column


def looks_like_classes(name: str, column: pl.Series) -> tuple[bool, str]:
    """Whether non-missing values are classes rather than quantities, and the reason."""
    if not column.dtype.is_numeric():
        word = {pl.String: "words", pl.Boolean: "true and false"}.get(column.dtype.base_type(), "dates")
        return True, f"{name} has {word}, so each is a class"
    if column.dtype.is_float() and not (column.is_finite() & (column == column.floor())).all():
        return False, f"{name} has fractions, so it is a quantity"
    distinct = column.n_unique()
    count = f"{name} has {distinct:,} distinct whole numbers in {len(column):,} rows"
    if distinct <= max(2, min(FEW_CLASSES, len(column) // 5)):
        return True, f"{count}, so each is a class (set task='regression' if they are quantities)"
    return False, f"{count}, so they are quantities (set task='classification' if each is a class)"


def check_rows(rows: int, names: Sequence[str]) -> None:
    """Raise TargetError for fewer than two rows."""
    if rows < 2:
        raise TargetError(
            f"one row (n_samples=1) with a value in the {titled(names)}; learning needs at least 2, and many more"
        )


def check_values(name: str, column: pl.Series, *, constant: bool = False) -> None:
    """Raise TargetError for values that are not numeric, infinite, missing or (unless ``constant``) all equal."""
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        example = column.drop_nulls().head(1).to_list()
        value = f" (such as {example[0]!r})" if example else ""
        raise TargetError(
            f"target {name!r} is of type {column.dtype}{value}, but regression needs numbers; convert it or classify"
        )
    check_known(name, column)
    if column.dtype.is_float() and (infinite := int(column.is_infinite().sum())):
        raise TargetError(f"target {name!r} is infinite in {count(infinite, 'row')}; drop or correct them")
    if not constant and column.n_unique() < 2:
        raise TargetError(
            f"target {name!r} is {column[0]!r} in all {len(column):,} rows; there is nothing to learn: give rows that differ"
        )


def check_known(name: str, column: pl.Series) -> None:
    """Raise TargetError for missing values."""
    if absent := int(missing(column).sum()):
        raise TargetError(f"target {name!r} has no value in {count(absent, 'row')}; drop these rows")


def check_classes(name: str, column: pl.Series, *, min_class_rows: int, requested: bool) -> dict[Any, int]:
    """The classes in sorted order with their numbers of rows; TargetError if they are none, too many, too few or too rare."""
    kind = column.dtype
    fits = kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Date)
    if not fits and not (isinstance(kind, pl.Datetime) and kind.time_zone is None):
        raise TargetError(f"target {name!r} is of type {kind}, which cannot be a class; convert it to words or numbers")
    if kind.is_float():
        if column.is_infinite().any():
            raise TargetError(f"target {name!r} has infinite values, which cannot be a class; drop or correct these rows")
        if len(fractions := column.filter(column != column.floor())):
            raise TargetError(
                f"Unknown label type: continuous. Target {name!r} has fractions such as {fractions[0]!r}, "
                "but classes are words or whole numbers; set task='regression'"
            )
    values = column.alias("value").value_counts(name="rows").sort("value")
    counts = dict(zip(values["value"].to_list(), values["rows"].to_list(), strict=True))
    if len(counts) < 2:
        raise TargetError(
            f"target {name!r} has one class ({next(iter(counts))!r}) in all {len(column):,} rows, but classification "
            "needs two; give rows of another class"
        )
    if min_class_rows > 1 and not requested and len(counts) > max(len(column) / 2, 5):
        raise TargetError(_too_many(name, column, len(counts)))
    if rare := [label for label, rows in counts.items() if rows < min_class_rows]:
        first = f"class {rare[0]!r} of target {name!r} has {counts[rare[0]]} row"
        more = f" (and {len(rare) - 1:,} more classes have as few)" if len(rare) > 1 else ""
        raise TargetError(
            f"{first}{more}, but at least {min_class_rows} are needed; merge rare classes (merge_rare=True, --merge-rare), "
            "drop these rows, or get more"
        )
    return counts


def _too_many(name: str, column: pl.Series, classes: int) -> str:
    start = f"target {name!r} has {classes:,} distinct values in {len(column):,} rows, too many for classes"
    if column.dtype == pl.String:
        words = column.str.count_matches(r"\S+").mean()
        if isinstance(words, float) and words >= _TEXT_WORDS:
            return f"{start}: it looks like free text, which cannot be a target; name a column of classes or numbers"
        if column.cast(pl.Float64, strict=False).null_count() <= len(column) / 2:
            return f"{start}: it looks like numbers stored as text (such as {column[0]!r}); convert it to numbers"
    return f"{start}: it looks like an identifier; name a column whose values repeat"


def titled(names: Sequence[str]) -> str:
    """``target 'y'``, ``targets 'a', 'b'``."""
    return ("target " if len(names) == 1 else "targets ") + ", ".join(map(repr, names))


def first_values(values: Sequence[Any]) -> str:
    """The first six values, and the number of others."""
    return listed(list(map(repr, values)), 6)
