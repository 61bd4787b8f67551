"""The encoder: a table, as :meth:`lamina.data.schema.Schema.check` returns it, to blocks of numbers.

It is fitted on training rows only.

================  ==========================================================================================================
block             one column for
================  ==========================================================================================================
``numbers``       each number, and the time of each date in days: float32, scaled; missing is 0, the center (NaN if unscaled)
``flags``         each flag: -1 no, +1 yes, 0 missing; each number or date that had missing training values: 1 where it is
                  missing, else 0; each cycle of a date that varies (month, weekday, hour): its sine and cosine. The date that
                  splits the rows by time has those cycles that training rows have all of, in harmonics, and no time in days
``categories``    each category: int64, 0 for missing or unseen, then 1, 2, ... from the most frequent level down
================  ==========================================================================================================

Each image, text and series has a block of its own, ``image``, ``image2``, ...: :mod:`lamina.data.columns.image`,
:mod:`~lamina.data.columns.tokens`, :mod:`~lamina.data.columns.steps`; for models of rows of numbers
:mod:`lamina.data.columns.terms`, :mod:`~lamina.data.columns.ngrams`, :mod:`lamina.data.columns.summary`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.columns import BLOCKS, FEATURE_KINDS, KINDS
from lamina.data.columns.category import Levels
from lamina.data.columns.column import Block, Measure, PlainKind
from lamina.data.columns.scaled import CYCLES, Scaled, floats
from lamina.data.encoding import Encoding, Input
from lamina.data.frames import FEW_ROWS
from lamina.data.scaling import moments, robust, scale
from lamina.data.schema import Schema
from lamina.errors import DataError, ModelFileError, OptionError
from lamina.stored import stored

_MEASURES: dict[str, Measure] = {"robust": robust, "standard": moments, "none": lambda values: (0.0, 1.0)}
_SHARED = ("numbers", "flags", "categories")
_ROWS, _COLUMNS = 65_536, 16  # a chunk of this size stays in the cache and needs little memory
_LARGEST = float(np.finfo(np.float32).max)
_FEW_ROWS = 256  # below, a dict is faster than polars


@dataclass(frozen=True)
class Encoder:
    """The encoding of a table as blocks of numbers, fitted on training rows.

    ``scaling="robust"``: ``z = (x - median) / (q75 - q25)``, then the smooth clip ``z / sqrt(1 + (z / 3)^2)``, which keeps
    every value within 3 of the center (RealMLP: Holzmüller et al. 2024, arXiv 2407.04491, section 3). It differs from the
    paper where the quartiles are equal (92 % zeros in a column of capital gains): then the scale is twice the median distance
    from the median among the values that differ from it, which equals the quartile range of a symmetric column and is robust
    to a single huge value. A constant has scale 1.

    ``scaling="standard"``: ``(x - mean) / standard deviation``, as scikit-learn's StandardScaler.

    ``scaling="none"``: raw values, and NaN for missing ones, for trees.

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
    blocks: tuple[Block, ...] = ()

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema, encoding: Encoding | None = None) -> Self:
        """Fit to training rows.

        Args:
            table: Training rows, as ``schema.check`` returns them.
            schema: Kinds and roles of the columns.
            encoding: Options, such as ``Encoding(scaling="standard")``.

        Raises:
            OptionError: The scaling is unknown.
            DataError: There is no feature.
        """
        encoding = encoding or Encoding()
        scaling = encoding.scaling
        if scaling not in _MEASURES:
            raise OptionError(f"scaling is {scaling!r}, expected {', '.join(map(repr, _MEASURES))}")
        entries: dict[str, list[Any]] = {name: [] for name in _SHARED}
        blocks: list[Block] = []
        notes: list[str] = []
        for name, kind in KINDS.items():
            for i, column in enumerate(schema.by_kind(name), 1):
                values = table[column.name]
                if isinstance(kind, PlainKind):
                    entries[kind.shared].append(kind.fit_entry(column, values, _MEASURES[scaling], notes))
                elif block := kind.block(encoding):
                    blocks.append(block.fit(values, kind.encoding(column, encoding), name if i == 1 else f"{name}{i}"))
        if scaling == "none":
            entries["numbers"] = [dataclasses.replace(number, has_missing=False) for number in entries["numbers"]]
        if not (blocks or any(entries.values())):
            remedy = "give a table with more columns than the target"
            if ignored := "; ".join(f"{column.name}: {column.reason}" for column in schema.ignored[:3]):
                remedy = f"set kinds={{...}} to use an ignored one ({ignored})"
            raise DataError(
                f"no column is left to learn from, expected a {', '.join(FEATURE_KINDS[:-1])} or {FEATURE_KINDS[-1]}; {remedy}"
            )
        notes += [note for block in blocks for note in block.notes]
        shared: dict[str, Any] = {name: tuple(columns) for name, columns in entries.items()}
        return cls(**shared, scaling=scaling, notes=tuple(notes), blocks=tuple(blocks))

    def by_kind(self, kind: str) -> tuple[Block, ...]:
        """The blocks of single columns of a kind, in the table's order."""
        return tuple(part for block in self.blocks for part in block.parts if part.kind == kind)

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The blocks that :meth:`transform` returns; empty ones are left out."""
        pairs = {  # the name of a number, and its column
            "numbers": [(f"{n.name} (days)" if n.is_date else n.name, n.name) for n in self.numbers if n.trend],
            "flags": [
                *((name, name) for name in self.flags),
                *((f"{n.name} is missing", n.name) for n in self.numbers if n.has_missing),
                *((wave, n.name) for n in self.numbers for wave in n.wave_names),
            ],
            "categories": [(category.name, category.name) for category in self.categories],
        }
        sizes = {"categories": tuple(len(category.levels) + 1 for category in self.categories)}
        inputs = {}
        for block, named in pairs.items():
            if named:
                names, columns = zip(*named, strict=True)
                inputs[block] = Input((len(named),), names, sizes.get(block, ()), block, columns)
        for block in self.blocks:
            inputs |= block.inputs
        return inputs

    def transform(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """Encode rows, as ``schema.check`` returns them, as blocks, in chunks that need a few megabytes besides the result.

        Shape:
            ``numbers`` and ``flags`` float32 (N, columns), ``categories`` int64 (N, columns); all dense but for
            :class:`~lamina.data.columns.terms.TermsBlock`, whose vectors are a ``scipy.sparse.csr_matrix``.
        """
        rows = len(table)
        out = {
            name: np.empty((rows, *block.shape), dtype=np.int64 if name == "categories" else np.float32)
            for name, block in self.inputs.items()
            if name in _SHARED
        }
        for start in range(0, rows, _ROWS):
            chunk = table if rows <= _ROWS else table.slice(start, _ROWS)
            part = {name: block[start : start + _ROWS] for name, block in out.items()}
            extra = self._numbers(chunk, part.get("numbers"))
            for j, values in enumerate([*(_signs(chunk.get_column(name)) for name in self.flags), *extra]):
                part["flags"][:, j] = values
            for j, (category, (codes, enum)) in enumerate(zip(self.categories, self._lookup, strict=True)):
                part["categories"][:, j] = _codes(chunk.get_column(category.name), codes, enum)
        for block in self.blocks:
            out |= block.transform(table.get_column(block.name))
        return out

    def unseen(self, table: pl.DataFrame) -> list[str]:
        """Sentences on values that training rows did not have: unknown categories and words, longer series, ..."""
        remarks = []
        for category, (codes, enum) in zip(self.categories, self._lookup, strict=True):
            column = table.get_column(category.name)
            if len(column) <= _FEW_ROWS and codes.keys() >= {*column.to_list()} - {None}:
                continue
            new = column.filter(column.is_not_null() & column.cast(enum, strict=False).is_null())
            if len(new):
                distinct = new.unique(maintain_order=True)
                words = ", ".join(map(repr, distinct.head(3))) + (", ..." if len(distinct) > 3 else "")
                was = "1 row has a value" if len(new) == 1 else f"{len(new):,} rows have values"
                remarks.append(f"{category.name}: {was} not in the training rows ({words}), treated as missing")
        for block in self.blocks:
            remarks += block.remarks(table.get_column(block.name))
        return remarks

    def to_json(self) -> dict[str, Any]:
        plain = dataclasses.asdict(dataclasses.replace(self, blocks=()))
        return plain | {"blocks": [{"kind": block.kind, **block.to_json()} for block in self.blocks]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        own = [dict(block) for block in values.get("blocks", ())]  # absent in files of lamina 0.1.0
        blocks = tuple(BLOCKS[block.pop("kind")].from_json(block) for block in own)
        return dataclasses.replace(stored(cls, {**values, "blocks": ()}), blocks=blocks)

    def verify(self, schema: Schema) -> None:
        """Raise ModelFileError unless the encoder of a file reads features of the schema, each once and as its kind."""
        shared = {"numbers": self.numbers, "flags": self.flags, "categories": self.categories}
        if self.scaling not in _MEASURES:
            raise ModelFileError(f"scaling is {self.scaling!r}, expected {', '.join(map(repr, _MEASURES))}")
        read = {getattr(entry, "name", entry): block for block, entries in shared.items() for entry in entries}
        read |= {block.name: block.kind for block in self.blocks}
        if len(read) < sum(map(len, shared.values())) + len(self.blocks):
            raise ModelFileError("the encoder reads a column twice")
        kinds = {column.name: KINDS[column.kind] for column in schema.features}
        for name, block in read.items():
            kind = kinds.get(name)
            if kind is None or block not in (
                getattr(kind, "shared", ""),
                *(own.kind for own in kind.blocks),
            ):
                raise ModelFileError(f"the encoder reads column {name!r} as {block}, the schema has {kind and kind.name}")
        for number in self.numbers:
            if not set(number.cycles) <= CYCLES.keys() or number.is_date != (kinds[number.name].name == "date"):
                raise ModelFileError(f"the encoder of column {number.name!r} is not that of a {kinds[number.name].name}")
        for category in self.categories:
            if len(set(category.levels)) < len(category.levels):
                raise ModelFileError(f"the encoder of column {category.name!r} has a level twice")
        names = [name for block in self.blocks for name in block.inputs]
        if len({*names, *_SHARED}) < len(names) + len(_SHARED):
            raise ModelFileError(f"the encoder has two blocks of one name among {names[:10]}")
        for block in self.blocks:
            details = schema[block.name].details if "channels" in kinds[block.name].saved_details else {}
            if details and (count := getattr(block, "channels", 0)) != details["channels"]:
                raise ModelFileError(f"the encoder of column {block.name!r} has {count} channels, the schema another number")

    @cached_property
    def _lookup(self) -> list[tuple[dict[str | None, int], pl.Enum]]:
        return [
            ({level: code for code, level in enumerate(category.levels, 1)}, pl.Enum(category.levels))
            for category in self.categories
        ]

    @cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array([[n.center] for n in self.numbers]), np.array([[n.scale] for n in self.numbers])

    @cached_property
    def _trends(self) -> np.ndarray:
        return np.array([number.trend for number in self.numbers])

    def _numbers(self, table: pl.DataFrame, out: np.ndarray | None) -> Iterator[np.ndarray]:
        """Fill the block of numbers; yield further columns of the flags: missing indicators, then cycles."""
        if not self.numbers:
            return
        cycles, filled = [], 0
        centers, scales = self._scales
        few = len(table) <= FEW_ROWS and table.columns == [number.name for number in self.numbers if not number.is_date]
        at_once = len(self.numbers) if few else _COLUMNS
        for start in range(0, len(self.numbers), at_once):
            group = slice(start, start + at_once)
            numbers = self.numbers[group]
            if few:  # column by column would take longer than the prediction
                values = np.array(table.rows(), dtype=np.float64).T.copy()
            else:
                values = np.stack([floats(table.get_column(number.name)) for number in numbers])
            cycles += [wave for j, number in enumerate(numbers) if number.cycles for wave in number.waves(values[j])]
            missing = ~np.isfinite(values)
            if self.scaling == "none":
                values = np.where(missing, np.nan, np.clip(values, -_LARGEST, _LARGEST))
            else:
                values = scale(values, missing, centers[group], scales[group], clip=self.scaling == "robust")
            if not self._trends.all():
                values = values[self._trends[group]]
            if out is not None:
                out[:, filled : filled + len(values)] = values.T
                filled += len(values)
            yield from (missing[j] for j, number in enumerate(numbers) if number.has_missing)
        yield from cycles


def _signs(column: pl.Series) -> np.ndarray:
    return np.nan_to_num(column.cast(pl.Float32).to_numpy() * 2 - 1, nan=0)


def _codes(column: pl.Series, codes: dict[str | None, int], enum: pl.Enum) -> np.ndarray | list[int]:
    if len(column) <= _FEW_ROWS:
        return [codes.get(word, 0) for word in column.to_list()]
    physical = column.cast(enum, strict=False).to_physical()
    return physical.cast(pl.Int64).fill_null(-1).to_numpy() + 1
