"""The column, and the base of the kinds of columns.

A kind is one file of this folder: a :class:`ColumnKind`, and its :class:`Block` where its columns do not share the blocks of a
table's plain columns. It is listed in :mod:`lamina.data.columns`; how networks read it is an entry of
:mod:`lamina.families.readers`. No other file branches on the kind of a column.
"""

from __future__ import annotations

import dataclasses
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
import polars as pl

from lamina.data.parse import dates, numbers, texts
from lamina.data.readings import TEXTS, Reading
from lamina.errors import SchemaError
from lamina.stored import stored

if TYPE_CHECKING:
    from lamina.data.encoding import Encoding, Input

FREQUENT = 0.05
"""Least share of the rows of a number that may be a code, such as 0 for no costs."""

Measure = Callable[[np.ndarray], tuple[float, float]]
"""A function that returns the center and the scale of values."""


@dataclass(frozen=True)
class Column:
    """One column: its kind, its role, and the reason for both in words.

    ``details`` describe the values (range, levels, unit, channels) as JSON; they are stored in the model file, and
    :meth:`ColumnKind.check` compares later values with them. ``reading`` is how its cells are read where they are text.
    """

    name: str
    kind: str
    role: str
    reason: str
    details: dict[str, Any]
    reading: Reading | None = None

    @property
    def is_feature(self) -> bool:
        """Whether models are trained on it: the time that splits the rows, too, where its cycles are features."""
        return self.role == "feature" or (self.role == "time" and bool(self.details.get("cycles")))


@dataclass(frozen=True)
class Guess:
    """The guessed kind of a column, the reason, and the details of its values."""

    kind: str
    reason: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Indicator:
    """Rows with one value of a column, or without any, which the search for target leakage compares with the target.

    Args:
        rows: Which rows have the value, bool (N,).
        words: The condition, to follow the name of the column.
        min_coverage: Least share of the rows of a target that has to be indicated.
        neighbours: Rows with the nearest other values, for a number.
    """

    rows: np.ndarray
    words: str
    min_coverage: float
    neighbours: np.ndarray | None = None


class Block(ABC):
    """Base of the encodings of one column as arrays, fitted on training rows; frozen dataclasses of JSON values.

    Attributes:
        kind: Its name in files.
        name: The column.
        block: The name of the array.
        notes: Remarks on the training rows.
    """

    kind: ClassVar[str]
    name: str
    block: str
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def extent(self) -> str:
        """The size of every encoded value, in words."""

    @property
    def parts(self) -> tuple[Block, ...]:
        """The blocks that it consists of: itself, or those of its arrays."""
        return (self,)

    @property
    @abstractmethod
    def inputs(self) -> dict[str, Input]:
        """The arrays that :meth:`transform` returns."""

    @classmethod
    @abstractmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit to training rows, as the kind's check returns them."""

    @abstractmethod
    def transform(self, values: pl.Series) -> dict[str, Any]:
        """Encode values, as the kind's check returns them, as arrays."""

    @abstractmethod
    def remarks(self, values: pl.Series) -> list[str]:
        """Sentences on rows to predict that differ from the training rows."""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(cast(Any, self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The block that :meth:`to_json` wrote; raises ModelFileError for other values."""
        block = stored(cls, values)
        block.verify()
        return block

    def verify(self) -> None:  # noqa: B027  most have no sizes
        """Raise ModelFileError for sizes of a file that no fit has, before anything is allocated."""


class ColumnKind(ABC):
    """Base of the kinds of columns.

    Attributes:
        name: Its name in files, options and docs.
        expects: The values it needs, for errors.
        can_be_feature: Whether models can train on it.
        plain: Whether a value is a word or a number, which can be shown and permuted.
        blocks: The encodings of a column with a block of its own, the input of networks first.
        numeric: Whether its values can be weights.
        floats: Whether :meth:`check` leaves finite numbers as they are.
        all_different: Whether values mostly differ from row to row; a target of this kind gets a simpler one.
        streams: Whether its block, made one step long, reads a value step by step.
        max_group_size: Most rows of a group on average if its values identify groups; 0 if they never do.
        reading: Class of the reading of text that is declared to be of this kind; None for any.
        saved_details: The details that predictions read, with their types.
        forms: What one value may be given as without a table around it, for errors.
    """

    name: ClassVar[str]
    expects: ClassVar[str] = "plain values"
    can_be_feature: ClassVar[bool] = True
    plain: ClassVar[bool] = False
    blocks: ClassVar[tuple[type[Block], ...]] = ()
    numeric: ClassVar[bool] = False
    floats: ClassVar[bool] = False
    all_different: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    max_group_size: ClassVar[int] = 0
    reading: ClassVar[type[Reading] | None] = None
    saved_details: ClassVar[Mapping[str, Any]] = {}
    forms: ClassVar[str] = ""

    @abstractmethod
    def guess(self, values: Values) -> Guess | None:
        """The guess, if the values are of this kind, and of none that comes before it in the order; else None."""

    @abstractmethod
    def coerce(self, column: pl.Series) -> Guess | None:
        """The guess for a column that the option ``kinds`` declares to be of this kind; None if its values cannot be."""

    def reason(self, guess: Guess) -> str:
        """The reason of a guess, with how many values are missing."""
        missing = guess.details["missing"]
        share = f"{missing:.1%}" if missing >= 0.001 else "under 0.1%"
        return guess.reason + (f"; {share} missing" if 0 < missing < 1 else "")

    def as_only_feature(self, column: Column, values: pl.Series, plain: Guess) -> Guess | None:
        """The guess for a column in a table without any feature, given the plain guess; None to ignore it still."""
        return None

    def as_time(self, guess: Guess) -> Guess:
        """The guess for a column that splits the rows by time, with the cycles that later rows repeat as a detail."""
        reason = f"{guess.reason}; no feature: validation rows are later than all training rows"
        return dataclasses.replace(guess, reason=reason)

    def refuse(self, column: Column, values: pl.Series) -> None:  # noqa: B027  most can be read from each dtype
        """Raise SchemaError for values as they were given whose meaning is not known, before they are checked."""

    @abstractmethod
    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        """Convert values to predict to the form of the training values, appending to the remarks; idempotent.

        Raises:
            SchemaError: They cannot be of this kind; names column, value and row.
        """

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        """A sentence if checked values are outside the range of the training values."""
        return []

    def verify(self, values: pl.Series) -> None:  # noqa: B027  most kinds are read whole
        """Read all values of a column whose reading failed, so that the error names every unreadable row."""

    def faults(self, values: pl.Series) -> dict[int, str]:
        """By row, why a value that is read late, as the file of an image, cannot be read."""
        return {}

    def is_alone(self, column: Column, value: Any) -> bool:
        """Whether this is one value of the column, without a table or a list around it."""
        return False

    def is_value(self, column: Column, value: Any) -> bool:
        """Whether this is one value of the column in a dict, not a list or an array of them."""
        return isinstance(value, str | bytes) or not hasattr(value, "__len__") or self.is_alone(column, value)

    def of_file(self, column: Column, path: Path) -> Any:
        """The value that a file holds; None for a file of another kind."""
        return None

    def of_bytes(self, column: Column, data: bytes) -> Any:
        """The value that the content of a file is; None for a file of another kind."""
        return None

    def contents(self, values: pl.Series) -> pl.Series:
        """Values that are equal where the content is: of files, what is in them."""
        return values

    def missing(self, values: pl.Series) -> pl.Series:
        """Which values are missing, or say that they are."""
        return values.is_null()

    def indicators(self, column: Column, values: pl.Series) -> Iterator[Indicator]:
        """Rows with one value, or without any, for the search for target leakage."""
        missing = mask(self.missing(values))
        if missing.any() and not missing.all():
            yield Indicator(missing, "is missing", 0.25)
            yield Indicator(~missing, "has a value", 0.25)

    def block(self, encoding: Encoding) -> type[Block] | None:
        """The encoding for a family: the input of networks, or a row of numbers."""
        return self.blocks[-1 if encoding.plain else 0] if self.blocks else None

    def encoding(self, column: Column, encoding: Encoding) -> Encoding:
        """The options of a family with "auto" replaced by what suits the column."""
        return encoding

    def novelty_block(self, values: pl.Series, encoding: Encoding, block: str) -> Block | None:
        """The block for novelty scores, where it is not that of the classical families."""
        return None

    def novelty_features(self, array: np.ndarray) -> np.ndarray:
        """An array of :meth:`novelty_block` as rows of numbers in which dissimilar values are far apart."""
        size = np.float32(1 / 255 if array.dtype == np.uint8 else 1)
        return array.reshape(len(array), math.prod(array.shape[1:])).astype(np.float32) * size


class PlainKind(ColumnKind):
    """Base of the kinds whose values are words or numbers; their columns share a block of the encoder.

    Attributes:
        shared: The name of that block.
        parse: Returns values in the form of this kind, null where they cannot be; None for a dtype without any.
    """

    plain = True
    shared: ClassVar[str]
    parse: ClassVar[staticmethod[[pl.Series], pl.Series | None]]

    @abstractmethod
    def given(self, column: pl.Series, parsed: pl.Series, details: dict[str, Any]) -> Guess | None:
        """The guess for a declared column with parsed values."""

    @abstractmethod
    def fit_entry(self, column: Column, values: pl.Series, measure: Measure, notes: list[str]) -> Any:
        """The entry of a column in the shared block, fitted on training rows, appending to the notes."""

    def coerce(self, column: pl.Series) -> Guess | None:
        parsed = self.parse(column)
        if parsed is None or parsed.null_count() == len(parsed):
            return None
        return self.given(column, parsed, describe(parsed) | {"dtype": str(column.dtype)})

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        parsed = self.parse(values)
        if parsed is None:
            raise SchemaError(f"column {column.name!r} holds {values.dtype}, expected a {self.name} as in training; convert it")
        return parsed


class Values:
    """A column whose kind is to be guessed, with the statistics that several kinds need, each computed once.

    Args:
        column: All of its values.
        plain: Guess a plain kind only (no id, text or constant).
        nameless: It is the first column and has no name of its own, as the index of a saved frame.
    """

    def __init__(self, column: pl.Series, plain: bool = False, nameless: bool = False) -> None:
        self.column, self.plain, self.nameless = column, plain, nameless
        self.details = describe(column)
        self.is_text = column.dtype in TEXTS
        self.words = {*name_words(column.name), column.name.lower()}

    @cached_property
    def numbers(self) -> pl.Series | None:
        """Finite numbers, else null, if the column is of numbers."""
        dtype = self.column.dtype
        return numbers(self.column) if dtype.is_numeric() or dtype in (pl.Duration, pl.Time) else None

    @cached_property
    def measured(self) -> dict[str, Any]:
        """The details, and the count of infinite numbers."""
        assert self.numbers is not None
        infinite = self.numbers.null_count() - self.column.null_count()
        missing = round(self.numbers.null_count() / len(self.numbers), 6)
        return self.details | ({"infinite": infinite, "missing": missing} if infinite else {})

    @cached_property
    def span(self) -> tuple[float, float]:
        """The lowest and highest number; whole ones as int."""
        assert self.numbers is not None
        return span(self.numbers, self.column.dtype.is_integer())

    @cached_property
    def whole(self) -> pl.Series | None:
        """The numbers if they differ and all are whole; as integers where the column has an integer dtype."""
        if self.numbers is None or self.constant is not None or not isinstance(self.span[0], int):
            return None
        return self.column if self.column.dtype.is_integer() else self.numbers

    @cached_property
    def text_counts(self) -> pl.DataFrame:
        """Distinct texts and their counts, the most frequent first."""
        return level_counts(self.column.cast(pl.String))

    @cached_property
    def constant(self) -> pl.Series | None:
        """The column, if all of its values are equal; not of dates."""
        if self.numbers is not None:
            low, high = self.span
            whole = self.column.dtype.is_integer()
            same = low == high and (not whole or self.column.min() == self.column.max())  # integers of 19 digits differ
            return (self.column if whole else self.numbers) if same else None
        if self.column.dtype == pl.Boolean:
            return self.column if self.column.drop_nulls().n_unique() == 1 else None
        return self.column.cast(pl.String) if self.is_text and self.text_counts.height == 1 else None

    @cached_property
    def dates(self) -> pl.Series | None:
        """The values as date-times, if the column is of dates."""
        return dates(self.column) if isinstance(self.column.dtype, pl.Date | pl.Datetime) else None


# Functions of several kinds


def describe(column: pl.Series) -> dict[str, Any]:
    """The details of every column: its dtype, and the share of missing rows."""
    return {"dtype": str(column.dtype), "missing": round(column.null_count() / max(len(column), 1), 6)}


def span(values: pl.Series, integers: bool = False) -> tuple[float, float]:
    """The lowest and highest number, as int if all are whole, which ``integers`` below 2**63 are."""
    low, high = float(values.min()), float(values.max())  # pyright: ignore[reportArgumentType]
    largest = max(abs(low), abs(high))
    whole = largest < 2**63 if integers else largest < 2**53 and bool((values.floor() == values).all())
    return (int(low), int(high)) if whole else (low, high)


def guess_constant(kind: str, values: Values) -> Guess | None:
    """The guess of a kind for a column with one distinct value; None for any other column."""
    column = values.constant
    if column is None:
        return None
    level = cast(pl.Series, texts(column.drop_nulls().head(1)))[0]
    shown = repr(level) if len(level) <= 30 else repr(level[:30]) + "..."
    details = (values.details if values.numbers is None else values.measured) | {"levels": [level], "distinct": 1}
    if column.null_count() and details["missing"] > 0:
        return Guess("category", f"{shown} or missing", details) if kind == "category" else None
    return Guess(kind, f"the same value in every row: {shown}", details)


def level_counts(column: pl.Series) -> pl.DataFrame:
    """Levels and their counts, the most frequent first."""
    column = column.drop_nulls().alias("level")
    if column.dtype.is_float():
        column = column.cast(pl.Int64)
    return column.value_counts().sort("count", "level", descending=[True, False])


def mask(values: pl.Series) -> np.ndarray:
    """Booleans as an array; null is False."""
    return values.fill_null(False).to_numpy().astype(bool)


def name_words(name: str) -> list[str]:
    """The words in a name: ``customerID``, ``customer_id`` and ``Customer Id`` are all [customer, id]."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def inner_dtype(dtype: Any) -> pl.DataType:
    """The dtype of the values of arrays."""
    while isinstance(dtype, pl.Array):
        dtype = dtype.inner
    return dtype
