"""Columns and their kinds: what every kind of column answers for itself.

A kind is one file of this folder: a :class:`ColumnKind`, and its :class:`Block` where its columns do not share the blocks of a
table's plain columns. It is listed in :mod:`lamina.data.columns`; how networks read it is a file of
:mod:`lamina.families.readers`. No other file asks which kind a column is.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import polars as pl

from lamina.data.parse import ISO, NULLS, as_iso, dates, numbers, parsed_dates, parsed_numbers, texts, unit_of, unparsed
from lamina.errors import SchemaError

if TYPE_CHECKING:
    from lamina.data.encoding import Encoding, Input

SHOWN_LEVELS = 20
"""How many levels of a category are kept for showing; the encoder keeps its own table."""
ID_WORDS = frozenset("id uuid guid uid key index idx rownames rowname rownum rownumber rowid pk hash serial unnamed".split())
CODE_WORDS = frozenset("zip zipcode postcode postal code codes id ids uid type subtype category sku subclass cluster".split())

_TIME_WORDS = frozenset("t time date day week month quarter year hour minute second timestamp step epoch".split())


@dataclass(frozen=True)
class Column:
    """One column: what it is taken for (kind), what it is used for (role), and the reason in words.

    ``details`` is what its kind learnt of the values (range, levels, unit, channels): JSON, kept in the file, and what
    :meth:`ColumnKind.check` reads every later source by.
    """

    name: str
    kind: str
    role: str
    reason: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Guess:
    """What a column is taken for, why, and what was learnt about its values."""

    kind: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)


class Block(ABC):
    """Base of the ways from one column to arrays, learnt from training rows; frozen dataclasses of JSON values.

    Attributes:
        kind: Its word in files.
        name: The column.
        block: The name of the array that it becomes.
        notes: What a person should know of the training rows.
    """

    kind: ClassVar[str]
    name: str
    block: str
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def extent(self) -> str:
        """What every value is brought to, in words."""

    @property
    @abstractmethod
    def inputs(self) -> dict[str, Input]:
        """The arrays that :meth:`transform` gives."""

    @classmethod
    @abstractmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Learn from training rows, as the kind's check returns them."""

    @abstractmethod
    def transform(self, values: pl.Series) -> dict[str, Any]:
        """Turn values, as the kind's check returns them, into arrays."""

    @abstractmethod
    def remarks(self, values: pl.Series) -> list[str]:
        """What was handled in rows to predict and is worth saying."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(cast(Any, self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


class ColumnKind:
    """Base of the kinds of columns; it knows no values and cannot be learnt from.

    Attributes:
        name: Its word in files, options and docs.
        expects: What values it needs, for errors.
        learnt: Whether it can be learnt from.
        shared: The block that all of its columns share with other plain columns; "" where each has a block of its own.
        block: What networks read of a column that has a block of its own.
        vector: The same as a row of numbers, for classical families.
        numeric: Whether its values can be weights.
        floats: Whether :meth:`check` leaves finite numbers as they are.
        all_different: Whether its values mostly differ from row to row; as a target it is taken for something simpler.
        streams: Whether its block, made one step long, reads a value step by step.
    """

    name: ClassVar[str]
    expects: ClassVar[str] = "plain values"
    learnt: ClassVar[bool] = True
    shared: ClassVar[str] = ""
    block: ClassVar[type[Block] | None] = None
    vector: ClassVar[type[Block] | None] = None
    numeric: ClassVar[bool] = False
    floats: ClassVar[bool] = False
    all_different: ClassVar[bool] = False
    streams: ClassVar[bool] = False

    @property
    def plain(self) -> bool:
        """Whether a value is a word or a number, which can be shown and swapped for that of another row."""
        return bool(self.shared)

    def guess(self, values: Values) -> Guess | None:
        """Take a column for this kind if its values are; None if not. Kinds that come before in the order have said no."""
        raise TypeError(f"columns of the kind {self.name!r} have no guess")

    def coerce(self, column: pl.Series) -> Guess | None:
        """Take a column for this kind because a person says so; None if its values cannot be of it."""
        raise TypeError(f"columns of the kind {self.name!r} have no coerce")

    def reason(self, guess: Guess) -> str:
        """The reason of a guess, with how many values are missing."""
        missing = guess.details["missing"]
        share = f"{missing:.1%}" if missing >= 0.001 else "under 0.1%"
        return guess.reason + (f"; {share} missing" if 0 < missing < 1 else "")

    def as_only(self, column: Column, values: pl.Series) -> Guess | None:
        """What an ignored column of this kind is taken for where there is no other to learn from; None to ignore it still."""
        return None

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        """Bring values to predict into the form that was learnt, adding what was handled to the remarks.

        Raises:
            SchemaError: They cannot be of this kind; names column, value and row.
        """
        raise TypeError(f"columns of the kind {self.name!r} are not learnt from so")

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        """A sentence if checked values lie outside the range learnt."""
        return []

    def verify(self, values: pl.Series) -> None:
        """Read all values of a column whose reading failed, so that the error names every fault and its row."""

    def enter(self, values: pl.Series, measure: Callable[[np.ndarray], tuple[float, float]]) -> tuple[Any, str]:
        """What a column becomes in the block that it shares, learnt from training rows, and a note."""
        raise TypeError(f"columns of the kind {self.name!r} are not learnt from so")

    def view(self, values: pl.Series, encoding: Encoding, block: str) -> Block | None:
        """The block that novelty compares rows by, where it is not that of the classical families."""
        return None

    def compare(self, array: np.ndarray) -> np.ndarray:
        """An array of :meth:`view` as rows of numbers in which unlike values are far apart."""
        size = np.float32(1 / 255 if array.dtype == np.uint8 else 1)
        return array.reshape(len(array), math.prod(array.shape[1:])).astype(np.float32) * size


class Values:
    """A column whose kind is asked for, and what several kinds want to know of it, each computed once.

    Args:
        column: All of its values.
        plain: Of what kind are the values, never mind whether they are worth learning from (no id, text or constant)?
        details: What is known of them, where they were parsed from text.
        how: What the reason begins with there.
    """

    def __init__(self, column: pl.Series, plain: bool = False, *, details: dict[str, Any] | None = None, how: str = "") -> None:
        self.column, self.plain, self.how = column, plain, how
        self.details = describe(column) if details is None else details
        self.is_text = column.dtype in (pl.String, pl.Categorical, pl.Enum)
        self.declared = column.dtype in (pl.Categorical, pl.Enum)
        self.words = words(column.name)

    @cached_property
    def numbers(self) -> pl.Series | None:
        """Finite numbers, null where they are none, if the column is of numbers; text that holds them is ``in_text``."""
        dtype = self.column.dtype
        return numbers(self.column) if dtype.is_numeric() or dtype in (pl.Duration, pl.Time) else None

    @cached_property
    def measured(self) -> dict[str, Any]:
        """The details, and how many numbers are infinite."""
        assert self.numbers is not None
        infinite = self.numbers.null_count() - self.column.null_count()
        missing = round(self.numbers.null_count() / len(self.numbers), 6)
        return self.details | ({"infinite": infinite, "missing": missing} if infinite else {})

    @cached_property
    def span(self) -> tuple[float, float]:
        """The lowest and highest number; whole ones as int."""
        assert self.numbers is not None
        low, high = float(self.numbers.min()), float(self.numbers.max())  # pyright: ignore[reportArgumentType]
        return (int(low), int(high)) if self._is_whole(low, high) else (low, high)

    @cached_property
    def whole(self) -> pl.Series | None:
        """The numbers if there are several and all are whole; as integers where the column has them as such."""
        if self.numbers is None or self.single is not None or not isinstance(self.span[0], int):
            return None
        return self.column if self.column.dtype.is_integer() else self.numbers

    @cached_property
    def coded(self) -> pl.Series | None:
        """Whole numbers that are named like a code."""
        return self.whole if self.words & CODE_WORDS else None

    @cached_property
    def running(self) -> bool:
        """Whether they are integers without large gaps, as the numbers of rows are."""
        integers, (low, high) = self.column, self.span
        rows = len(integers) - integers.null_count()
        return integers.dtype.is_integer() and rows >= 20 and high - low < 2 * rows and not self.words & _TIME_WORDS

    @cached_property
    def distinct(self) -> int:
        """How many different whole numbers there are."""
        assert self.whole is not None
        return self.whole.n_unique() - (self.whole.null_count() > 0)

    @cached_property
    def counted(self) -> pl.DataFrame:
        """Different texts and their counts, the most frequent first."""
        return counted(self.column.cast(pl.String))

    @cached_property
    def single(self) -> pl.Series | None:
        """The column, if all of its values are the same; not of dates."""
        if self.numbers is not None:
            low, high = self.span
            return (self.column if self.column.dtype.is_integer() else self.numbers) if low == high else None
        if self.column.dtype == pl.Boolean:
            return self.column if self.column.n_unique() - (self.column.null_count() > 0) == 1 else None
        return self.column.cast(pl.String) if self.is_text and self.counted.height == 1 else None

    @cached_property
    def in_text(self) -> Values | None:
        """The numbers that all but 1 % of a text column are."""
        if not self._has_digits:
            return None
        levels, counts, known = self._levels
        present = int(counts.filter(known).sum())
        good = parsed_numbers(levels).is_not_null() & known
        count = int(counts.filter(good).sum())
        if count < 0.99 * present or levels.filter(good).str.contains(r"^0\d").any():
            return None
        number = parsed_numbers(self.column).fill_nan(None)  # the word NaN is a number to polars
        if (number.floor() == number).all() and number.abs().max() < 2**53:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
            number = number.cast(pl.Int64)
        unit = {"unit": unit} if (unit := unit_of(levels)) else {}
        details = lost(self.details, number, present - count) | unit
        return Values(number, self.plain, details=details, how="text that holds ")

    @cached_property
    def dates(self) -> tuple[pl.Series, dict[str, Any]] | None:
        """Dates, and their details, if the column is of dates or all but 1 % of a text column are."""
        if isinstance(self.column.dtype, pl.Date | pl.Datetime):
            found = dates(self.column)
            return None if found is None else (found, self.details)
        if not self._has_digits:
            return None
        levels, counts, known = self._levels
        iso = as_iso(levels)
        count = int(counts.filter(parsed_dates(iso).is_not_null() & iso.str.contains(ISO)).sum())
        present = int(counts.filter(known).sum())
        found = dates(self.column) if count >= 0.99 * present else None
        return None if found is None else (found, lost(self.details, found, present - count))

    @cached_property
    def blank(self) -> bool:
        """Whether a text column holds nothing but words that stand for a missing value."""
        return self.is_text and not self.declared and not self._levels[2].any()

    @cached_property
    def _levels(self) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Different texts, their counts, and whether they say something."""
        levels = self.counted.to_series(0)
        return levels, self.counted.to_series(1), ~levels.str.strip_chars().is_in(NULLS)

    @cached_property
    def _has_digits(self) -> bool:
        if not self.is_text or self.declared:
            return False
        levels, _, known = self._levels
        return bool(levels.filter(known).head(50).str.contains(r"\d").any())

    def _is_whole(self, low: float, high: float) -> bool:
        if self.column.dtype.is_integer():
            return True
        return max(abs(low), abs(high)) < 2**53 and bool((self.numbers.floor() == self.numbers).all())  # pyright: ignore


# What several kinds do alike


def describe(column: pl.Series) -> dict[str, Any]:
    """The details that every column has: its dtype, and the share of rows that are missing."""
    return {"dtype": str(column.dtype), "missing": round(column.null_count() / max(len(column), 1), 6)}


def lost(details: dict[str, Any], values: pl.Series, count: int) -> dict[str, Any]:
    """The details of values that were parsed, ``count`` of which could not be."""
    missing = round(values.null_count() / len(values), 6)
    return details | {"missing": missing} | ({"unparsed": int(count)} if count else {})


def coerced(column: pl.Series, values: pl.Series | None) -> tuple[pl.Series, dict[str, Any], str] | None:
    """What a person's word makes of a column: values, details, and a remark on those that are none; None if all are."""
    if values is None or values.null_count() == len(values):
        return None
    gone = unparsed(column, values)
    count = 0 if gone is None else int(gone.sum())
    return values, lost(describe(column), values, count), f"; {count:,} that are none taken as missing" if count else ""


def same_everywhere(kind: str, values: Values) -> Guess | None:
    """The guess for a column of one value and nothing else, by whichever kind asks; None for any other column."""
    column = values.single
    if column is None:
        return None
    value = texts(column.drop_nulls().head(1))
    level = value[0] if value is not None else ""
    shown = repr(level) if len(level) <= 30 else repr(level[:30]) + "..."
    details = (values.details if values.numbers is None else values.measured) | {"levels": [level], "distinct": 1}
    if column.null_count() and details["missing"] > 0:
        return Guess("category", f"{shown} or missing", details) if kind == "category" else None
    return Guess(kind, f"the same value in every row: {shown}", details)


def counted(column: pl.Series) -> pl.DataFrame:
    """Levels and their counts, the most frequent first."""
    column = column.drop_nulls().alias("level")
    if column.dtype.is_float():
        column = column.cast(pl.Int64)
    return column.value_counts().sort("count", "level", descending=[True, False])


def levels(found: pl.DataFrame, distinct: int) -> dict[str, Any]:
    """The most frequent levels, for showing, and how many there are."""
    return {"levels": found.to_series(0).head(SHOWN_LEVELS).cast(pl.String).to_list(), "distinct": distinct}


def words(name: str) -> set[str]:
    """``customerID``, ``customer_id`` and ``Customer Id`` are all {customer, id}."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts} | {name.lower()}


def show(value: float) -> str:
    """A number as a reason has it."""
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e15 else f"{value:.6g}"


def values_of(count: int) -> str:
    """ "1 value", "2 values"."""
    return f"{count:,} value{'' if count == 1 else 's'}"


def brought(column: Column, before: pl.Series, after: pl.Series | None, remarks: list[str]) -> pl.Series:
    """The values in the form of their kind, or why they cannot be."""
    if after is None:
        raise SchemaError(f"column {column.name!r} holds {before.dtype}, a {column.kind} was learnt; convert it first")
    gone = unparsed(before, after)
    if gone is None:
        return after
    row, count = int(gone.arg_true()[0]), int(gone.sum())
    if "unparsed" not in column.details:  # where training held some too, they are missing here as they were there
        raise SchemaError(
            f"column {column.name!r} holds {before[row]!r:.60} in row {row + 1:,}, a {column.kind} was learnt; "
            "correct it, or leave it empty where unknown"
        )
    remarks.append(f"{column.name}: {values_of(count)} taken as missing, such as {before[row]!r:.60}: no {column.kind}")
    return after


def outside(column: Column, values: pl.Series, low: Any, high: Any, shown: str) -> list[str]:
    """A sentence if values lie below ``low`` or above ``high``."""
    lowest = values.min()
    if lowest is None or not (lowest < low or values.max() > high):  # pyright: ignore[reportOperatorIssue]
        return []
    return [f"{column.name}: {values_of(int(((values < low) | (values > high)).sum()))} outside {shown} learnt"]
