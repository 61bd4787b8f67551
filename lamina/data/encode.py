"""The encoder: a table becomes blocks of numbers that a network reads.

It is fitted on training rows only, and works on what :meth:`lamina.data.schema.Schema.check` returns.

================  ==========================================================================================================
block             one column for
================  ==========================================================================================================
``numbers``       each number, and the time of each date in days: float32, scaled; missing is 0, the middle (NaN if unscaled)
``flags``         each flag: -1 no, +1 yes, 0 missing; each number or date that had missing training values: 1 where it is
                  missing, else 0; each cycle of a date that varies (month, weekday, hour): its sine and cosine
``categories``    each category: int64, 0 for missing or unseen, then 1, 2, ... from the most frequent level down
================  ==========================================================================================================

Each image, text and series has a block of its own, ``image``, ``image2``, ...; its file says what is in it:
:mod:`lamina.data.image`, :mod:`lamina.data.text`, :mod:`lamina.data.series`; for learners that read rows of numbers
:mod:`lamina.data.terms`, :mod:`lamina.data.summary`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.encoding import Encoding, Input
from lamina.data.frames import FEW_ROWS
from lamina.data.image import ImageBlock
from lamina.data.scaling import moments, robust, scale
from lamina.data.schema import Schema
from lamina.data.series import SeriesBlock
from lamina.data.summary import SummaryBlock
from lamina.data.terms import TermsBlock
from lamina.data.text import TextBlock
from lamina.errors import DataError, OptionError

RICH = {"image": ImageBlock, "text": TextBlock, "series": SeriesBlock}
AS_ROWS = {"text": TermsBlock, "series": SummaryBlock}
"""What takes their place with ``Encoding(plain=True)``."""
MOST_LEVELS = 20_000
"""Most levels of a category that get a code of their own."""
SCALINGS = ("robust", "standard", "none")
_STORED = RICH | {"terms": TermsBlock, "summary": SummaryBlock}
_PLAIN = ("numbers", "flags", "categories")

_DAY = 86_400e6  # microseconds
_CYCLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "month": lambda day: _whole(day).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 / 12,
    "weekday": lambda day: (_whole(day) + 3) % 7 / 7,  # 1970-01-01 was a Thursday, and Monday is 0
    "hour": lambda day: np.nan_to_num(day - np.floor(day)),
}
"""Where in its cycle a time is, from 0 to 1, by days since 1970."""
_WAVES = ("sine", "cosine")
_ROWS, _COLUMNS = 65_536, 16  # a piece of this size stays in the cache and costs little memory
_LARGEST = float(np.finfo(np.float32).max)
_FEW_ROWS = 256  # below, looking words up one by one is faster than polars' set-up


@dataclass(frozen=True)
class Scaled:
    """A number, or the time of a date in days: where its middle is and how wide it is spread."""

    name: str
    center: float
    scale: float
    has_missing: bool = False
    is_date: bool = False
    cycles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Levels:
    """A category and its levels, the most frequent first."""

    name: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Encoder:
    """The way from a table to blocks of numbers, learnt from training rows.

    ``scaling="robust"``: ``z = (x - median) / (q75 - q25)``, then the smooth clip ``z / sqrt(1 + (z / 3)^2)``, which keeps
    every value within 3 of the middle and most of them where they were (RealMLP: Holzmüller et al. 2024, arXiv 2407.04491,
    section 3). It differs from the paper where more than half of the values are equal, so that the quartiles may not differ
    (92 % zeros in a column of capital gains): then the width is twice the median distance from the median among the values
    that do differ, which is what the quartiles give for a symmetric column, and which a single huge value cannot spoil, as it
    spoils a standard deviation or a range. A constant has width 1.

    ``scaling="standard"``: ``(x - mean) / standard deviation``, as in textbooks and scikit-learn's StandardScaler.

    ``scaling="none"``: values as they are and NaN where one is missing, for trees, which ask only which value is larger.

    Example:
        >>> table = pl.DataFrame({"age": [20.0, 30.0, 40.0, None], "town": ["Bern", "Bern", "Rome", None]})
        >>> age, town = Scaled("age", center=30.0, scale=10.0, has_missing=True), Levels("town", ("Bern", "Rome"))
        >>> encoder = Encoder(numbers=(age,), categories=(town,))
        >>> {name: block.tolist() for name, block in encoder.transform(table[1:]).items()}
        {'numbers': [[0.0], [0.94868...], [0.0]], 'flags': [[0.0], [0.0], [1.0]], 'categories': [[1], [2], [0]]}
    """

    numbers: tuple[Scaled, ...] = ()
    flags: tuple[str, ...] = ()
    categories: tuple[Levels, ...] = ()
    scaling: str = "robust"
    notes: tuple[str, ...] = ()
    blocks: tuple[ImageBlock | TextBlock | SeriesBlock | TermsBlock | SummaryBlock, ...] = ()

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema, encoding: Encoding | None = None) -> Self:
        """Learn from training rows.

        Args:
            table: Training rows, as ``schema.check`` returns them.
            schema: What the columns are.
            encoding: What is asked for, such as ``Encoding(scaling="standard")`` for the plain textbook network.

        Raises:
            OptionError: The scaling is unknown.
            DataError: No column is left to learn from.
        """
        encoding = encoding or Encoding()
        scaling = encoding.scaling
        if scaling not in SCALINGS:
            raise OptionError(f"scaling is {scaling!r}, expected {', '.join(map(repr, SCALINGS))}")
        measure = {"robust": robust, "standard": moments, "none": _as_it_is}[scaling]
        numbers = [_fit_number(column.name, _floats(table[column.name]), measure) for column in schema.by_kind("number")]
        numbers += [_fit_date(column.name, _floats(table[column.name]) / _DAY, measure) for column in schema.by_kind("date")]
        if scaling == "none":
            numbers = [dataclasses.replace(number, has_missing=False) for number in numbers]
        flags = tuple(column.name for column in schema.by_kind("flag"))
        fitted = [_fit_levels(table[column.name]) for column in schema.by_kind("category")]
        blocks = tuple(
            maker.fit(table[column.name], encoding, kind if i == 1 else f"{kind}{i}")
            for kind, maker in (RICH | AS_ROWS if encoding.plain else RICH).items()
            for i, column in enumerate(schema.by_kind(kind), 1)
        )
        if not (numbers or flags or fitted or blocks):
            left = "; ".join(f"{column.name}: {column.reason}" for column in schema.ignored[:3])
            raise DataError(
                "no column is left to learn from, expected at least one number, flag, category, date, image, text or series; "
                + (
                    f"say kinds={{...}} to use one that was ignored ({left})"
                    if left
                    else "give a table with more columns than the target"
                )
            )
        notes = (*(note for _, note in fitted if note), *(note for block in blocks for note in block.notes))
        return cls(tuple(numbers), flags, tuple(levels for levels, _ in fitted), scaling, notes, blocks)

    @property
    def texts(self) -> tuple[TextBlock, ...]:
        """The blocks of the columns of texts."""
        return tuple(block for block in self.blocks if isinstance(block, TextBlock))

    @property
    def series(self) -> tuple[SeriesBlock, ...]:
        """The blocks of the columns of series."""
        return tuple(block for block in self.blocks if isinstance(block, SeriesBlock))

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The blocks that :meth:`transform` gives; an empty one is left out."""
        pairs = {  # what people call a number, and the column it comes from
            "numbers": [(f"{n.name} (days)" if n.is_date else n.name, n.name) for n in self.numbers],
            "flags": [
                *((name, name) for name in self.flags),
                *((f"{n.name} is missing", n.name) for n in self.numbers if n.has_missing),
                *((f"{n.name} {cycle} ({wave})", n.name) for n in self.numbers for cycle in n.cycles for wave in _WAVES),
            ],
            "categories": [(category.name, category.name) for category in self.categories],
        }
        sizes = {"categories": tuple(len(category.levels) + 1 for category in self.categories)}
        inputs = {}
        for block, some in pairs.items():
            if some:
                names, columns = zip(*some, strict=True)
                inputs[block] = Input((len(some),), names, sizes.get(block, ()), block, columns)
        for block in self.blocks:
            inputs |= block.inputs
        return inputs

    def transform(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """Turn rows, as ``schema.check`` returns them, into blocks.

        It goes through the table in pieces, so besides the result it needs a few megabytes whatever the number of rows.

        Shape:
            ``numbers`` and ``flags`` float32 (N, columns), ``categories`` int64 (N, columns); all dense but for
            :class:`~lamina.data.terms.TermsBlock`, whose vectors are a ``scipy.sparse.csr_matrix``.
        """
        rows = len(table)
        out = {
            name: np.empty((rows, *block.shape), dtype=np.int64 if name == "categories" else np.float32)
            for name, block in self.inputs.items()
            if name in _PLAIN
        }
        for start in range(0, rows, _ROWS):
            piece = table if rows <= _ROWS else table.slice(start, _ROWS)
            part = {name: block[start : start + _ROWS] for name, block in out.items()}
            extra = self._numbers(piece, part.get("numbers"))
            for j, values in enumerate([*(_signs(piece.get_column(name)) for name in self.flags), *extra]):
                part["flags"][:, j] = values
            for j, (category, (codes, enum)) in enumerate(zip(self.categories, self._lookup, strict=True)):
                part["categories"][:, j] = _codes(piece.get_column(category.name), codes, enum)
        for block in self.blocks:
            out |= block.transform(table.get_column(block.name))
        return out

    def unseen(self, table: pl.DataFrame) -> list[str]:
        """What training did not have, a sentence each: categories without a code, unknown words, longer series, ..."""
        found = []
        for category, (_, enum) in zip(self.categories, self._lookup, strict=True):
            column = table.get_column(category.name)
            new = column.filter(column.is_not_null() & column.cast(enum, strict=False).is_null())
            if len(new):
                distinct = new.unique(maintain_order=True)
                words = ", ".join(map(repr, distinct.head(3))) + (", ..." if len(distinct) > 3 else "")
                was = "1 row has a value" if len(new) == 1 else f"{len(new):,} rows have values"
                found.append(f"{category.name}: {was} not known from training ({words}), taken for missing")
        for block in self.blocks:
            found += block.remarks(table.get_column(block.name))
        return found

    def to_json(self) -> dict[str, Any]:
        kinds = {maker: kind for kind, maker in _STORED.items()}
        plain = dataclasses.asdict(dataclasses.replace(self, blocks=()))
        return plain | {"blocks": [{"kind": kinds[type(block)], **block.to_json()} for block in self.blocks]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        numbers = tuple(Scaled(**{**number, "cycles": tuple(number["cycles"])}) for number in values["numbers"])
        categories = tuple(Levels(category["name"], tuple(category["levels"])) for category in values["categories"])
        stored = [dict(block) for block in values.get("blocks", ())]  # a file of lamina 0.1.0 knows nothing but plain columns
        blocks = tuple(_STORED[block.pop("kind")].from_json(block) for block in stored)
        return cls(numbers, tuple(values["flags"]), categories, values["scaling"], tuple(values["notes"]), blocks)

    @cached_property
    def _lookup(self) -> list[tuple[dict[str | None, int], pl.Enum]]:
        return [
            ({level: code for code, level in enumerate(category.levels, 1)}, pl.Enum(category.levels))
            for category in self.categories
        ]

    @cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[n.center] for n in self.numbers]), np.array([[n.scale] for n in self.numbers])

    def _numbers(self, table: pl.DataFrame, out: np.ndarray | None) -> Iterator[np.ndarray]:
        """Fill the block of numbers; yield what belongs into the flags: missing indicators, then cycles."""
        if out is None:
            return
        cycles = []
        centers, scales = self._scales
        few = len(table) <= FEW_ROWS and table.columns == [number.name for number in self.numbers if not number.is_date]
        at_once = len(self.numbers) if few else _COLUMNS
        for start in range(0, len(self.numbers), at_once):
            group = slice(start, start + at_once)
            numbers = self.numbers[group]
            if few:  # one by one takes longer than predicting such rows
                values = np.array(table.rows(), dtype=np.float64).T.copy()
            else:
                values = np.stack([_floats(table.get_column(number.name)) for number in numbers])
            for j, number in enumerate(numbers):
                if number.is_date:
                    values[j] /= _DAY
                    cycles += [wave for cycle in number.cycles for wave in _waves(values[j], cycle)]
            missing = ~np.isfinite(values)
            if self.scaling == "none":
                out[:, group] = np.where(missing, np.nan, np.clip(values, -_LARGEST, _LARGEST)).T
            else:
                out[:, group] = scale(values, missing, centers[group], scales[group], clip=self.scaling == "robust").T
            yield from (missing[j] for j, number in enumerate(numbers) if number.has_missing)
        yield from cycles


def _as_it_is(values: np.ndarray) -> tuple[float, float]:
    return 0.0, 1.0


def _fit_number(name: str, values: np.ndarray, measure: Callable[[np.ndarray], tuple[float, float]]) -> Scaled:
    known = values[np.isfinite(values)]
    center, scale = measure(known) if len(known) else (0.0, 1.0)
    return Scaled(name, center, scale, has_missing=len(known) < len(values))


def _fit_date(name: str, days: np.ndarray, measure: Callable[[np.ndarray], tuple[float, float]]) -> Scaled:
    known = days[np.isfinite(days)]
    cycles = tuple(cycle for cycle, place in _CYCLES.items() if len(known) and np.ptp(place(known)) > 0)
    return dataclasses.replace(_fit_number(name, days, measure), is_date=True, cycles=cycles)


def _fit_levels(column: pl.Series) -> tuple[Levels, str]:
    counts = column.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    if len(counts) <= MOST_LEVELS:
        return Levels(column.name, tuple(counts["level"].to_list())), ""
    kept, rest = counts[:MOST_LEVELS], counts[MOST_LEVELS:]
    note = (
        f"{column.name} has {len(counts):,} levels; the {MOST_LEVELS:,} most frequent are kept, the others "
        f"({rest['rows'].sum():,} rows) are taken for missing"
    )
    return Levels(column.name, tuple(kept["level"].to_list())), note


def _floats(column: pl.Series) -> np.ndarray:
    """Numbers as they are, dates as microseconds since 1970; missing is NaN."""
    if column.dtype.is_temporal():
        column = column.cast(pl.Datetime("us")).cast(pl.Int64)
    return column.cast(pl.Float64).to_numpy()


def _signs(column: pl.Series) -> np.ndarray:
    return np.nan_to_num(column.cast(pl.Float32).to_numpy() * 2 - 1, nan=0)


def _codes(column: pl.Series, codes: dict[str | None, int], enum: pl.Enum) -> np.ndarray | list[int]:
    if len(column) <= _FEW_ROWS:
        return [codes.get(word, 0) for word in column.to_list()]
    found = column.cast(enum, strict=False).to_physical()
    return found.cast(pl.Int64).fill_null(-1).to_numpy() + 1


def _whole(day: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.floor(day)).astype(np.int64)


def _waves(day: np.ndarray, cycle: str) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of the place in a cycle; a missing date is at neither, (0, 0)."""
    angle = 2 * np.pi * np.where(np.isfinite(day), _CYCLES[cycle](day), np.nan)
    return np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))
