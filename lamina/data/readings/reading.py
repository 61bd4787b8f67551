"""The base of readings, and what an attempt to learn one is given and returns."""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

TEXTS = (pl.String, pl.Categorical, pl.Enum)
"""The dtypes of text."""
SHARE = 0.95
"""Least share of the values of a column that a reading other than text has to fit."""
SAMPLE = 1000  # distinct values that are looked at first
MISSING = (
    "",
    *"na n/a n.a. #n/a #na <na> nan -nan nat null (null) none nil missing unknown undefined (blank) \\n".split(),
    *"? - -- – — . .. ... * #div/0! #value! #ref! #num! #name? #null!".split(),
    *"tbd tba n.d. k.a. n.v. #nv #wert! #bezug! #zahl! #valeur! #nombre! #¡valor! #¡div/0!".split(),
    *("not available", "not applicable", "no data", "k. a.", "n. d.", "(leer)", "(empty)"),
    *("0000-00-00", "0000-00-00 00:00:00", "00.00.0000", "00/00/0000"),
)
"""Texts of a missing number or date, in lower case."""
MINUS = "-\N{MINUS SIGN}\N{EN DASH}"
SIGN = "[+\N{MINUS SIGN}\N{EN DASH}-]"
SPACES = " \u00a0\u2007\u2009\u202f"


@dataclass(frozen=True)
class Reading(ABC):
    """How the cells of a column are read.

    Attributes:
        missing: Words that mean a missing value, with their numbers of training rows.
        invalid: The number of training rows with a cell that does not fit, which is a missing value.
        example: One of these cells.
    """

    missing: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    invalid: int = field(default=0, kw_only=True)
    example: str = field(default="", kw_only=True)

    name: ClassVar[str]

    @abstractmethod
    def read(self, cells: pl.Series) -> pl.Series:
        """The values of stripped cells; null for a missing value and for a cell that does not fit."""

    def blank(self, cells: pl.Series) -> pl.Series:
        """Which stripped cells are missing values."""
        words = {*MISSING, *map(str.lower, self.missing)} if self.missing else MISSING
        return cells.is_null() | cells.str.to_lowercase().is_in(list(words))

    @property
    def verbatim(self) -> bool:
        """Whether all cells stay as they are."""
        return False

    def written(self) -> str:
        """How the values are written, where this is not the usual way."""
        return ""

    def remark(self) -> str:
        """What a person has to know about the reading, to follow the reason of a column; "" if nothing."""
        words = ", ".join(f"{word!r} ({rows:,})" for word, rows in list(self.missing.items())[:3])
        parts = [self.written(), words and f"missing where {words}"]
        parts += [f"{self.invalid:,} invalid, such as {self.example!r:.40}, treated as missing"] if self.invalid else []
        return "; ".join(filter(None, parts))

    def __call__(self, column: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """The values of a text column, and which cells do not fit; None where all do."""
        cells = column.cast(pl.String)
        values = self.read(cells)
        if values.null_count() == cells.null_count():
            return values, None
        cells = cells.str.strip_chars()
        values = self.read(cells)
        failed = values.is_null() & ~self.blank(cells)
        return values, failed if failed.any() else None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Clues:
    """What a table shows about the readings of its columns.

    Attributes:
        separator: The separator of the text file that the table is; None for a frame, which has missing values of its own.
        decimal: The decimal mark of other columns; None where none shows one.
        order: The order of other dates; None where none shows it.
        words: Words that stand for missing values in columns of numbers and dates, in lower case.
    """

    separator: str | None = None
    decimal: str | None = None
    order: str | None = None
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Learnt:
    """A reading, and what its column shows about others.

    Attributes:
        sure: Whether no clue can change it.
        values: The values of the column, where they were parsed to learn it.
    """

    reading: Reading
    decimal: str | None = None
    order: str | None = None
    sure: bool = True
    values: pl.Series | None = None


def counted(words: pl.DataFrame) -> dict[str, int]:
    return dict(words.filter(pl.col("cell") != "").sort("rows", "cell", descending=[True, False]).iter_rows())


@dataclass(frozen=True)
class Cells:
    """The cells of a column whose reading is to be learnt.

    Attributes:
        name: The column.
        values: Each distinct stripped cell that is no word for a missing value, ``cell``, and its number of ``rows``.
        clues: What the other columns show.
        least: Least share of the rows whose cells a reading has to fit.
        ask: Whether a reading that nothing decides is an error.
    """

    name: str
    values: pl.DataFrame
    clues: Clues
    least: float
    ask: bool

    def share(self, fits: pl.Series) -> float:
        """The share of the rows whose cells fit."""
        return int(self.values["rows"].filter(fits).sum()) / int(self.values["rows"].sum())

    def sample(self) -> Cells:
        """Some of the cells."""
        return dataclasses.replace(self, values=self.values.gather_every(max(1, len(self.values) // SAMPLE)))

    def look_like(self, *patterns: str) -> bool:
        """Whether at least half of a sample of the rows, or ``least`` of them, match one of the patterns."""
        sample = self.sample()
        one = "|".join(f"(?:{re.sub(r'[(][?]<[a-z_]+>', '(?:', pattern)})" for pattern in patterns)
        fits = sample.values["cell"].str.contains(one)
        return sample.share(fits) >= min(self.least, 0.5)
