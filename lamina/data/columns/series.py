"""Series: columns whose every row is a run of steps, each of one or more channels; time first, channels last.

A series is a signal, a sentence of sounds, the visits of a patient. Rows may differ in their number of steps, not in their
channels. A column of numbers in lists is a series of one channel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block, Column, ColumnKind, Guess, Values, describe
from lamina.data.columns.summary import SummaryBlock
from lamina.data.encoding import Encoding, Input
from lamina.data.scaling import moments
from lamina.errors import SchemaError

MOST_STEPS = 2_048
"""Most steps that are read unless a family asks for more."""
CLIP = 10.0
"""How many standard deviations from the mean a value counts at most."""

_PIECE = 1 << 21  # numbers scaled at once: they stay in the cache and cost little memory


# The kind


def guess(column: pl.Series) -> Guess | None:
    """Is this a column of series? Arrays of uint8 of two axes, and any of three, are images.

    Example:
        >>> guess(pl.Series("wave", [[0.5, 1.0], [0.25], None])).reason
        '2 series of 1 to 2 steps, 1 channel'
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Array) and len(dtype.shape) == 2 and _number(dtype) == pl.UInt8:
        return None
    return _guess(column)


def regard(column: pl.Series) -> Guess | None:
    """Take a column for series because a person says so; None if it cannot be.

    Raises:
        SchemaError: It holds lists of numbers, but steps differ in their channels; names the rows.
    """
    found = _guess(column)
    if found is not None and found.kind == "other":
        raise SchemaError(f"column {column.name!r} cannot be a series: {found.reason}; fill up what is missing with NaN")
    return found if found is not None and found.kind == "series" else None


def check(column: Column, values: pl.Series) -> pl.Series:
    """Bring series to predict into the form that was learnt: List of Array(Float64, channels). Changes nothing the second time.

    Raises:
        SchemaError: What is given holds no series, or has other channels; names the row.
    """
    channels: int = column.details["channels"]
    form = pl.List(pl.Array(pl.Float64, channels))
    if values.dtype in (form, pl.Null):
        return values.cast(form)
    lists = _lists(values)
    if lists is None:
        raise SchemaError(
            f"column {column.name!r} holds {values.dtype}, a series of {_count(channels, 'channel')} was learnt; "
            "give each row an array of (steps, channels)"
        )
    low, high = _channels(lists)
    wrong = ((low != channels) | (high != channels)).fill_null(False)
    if wrong.any():
        row = int(wrong.arg_true()[0])
        found = int(high[row] if low[row] == channels else low[row])
        turned = low[row] == high[row] and lists.list.len()[row] == channels
        raise SchemaError(
            f"column {column.name!r} has {_count(found, 'channel')} in row {row + 1:,}, {channels:,} learnt; "
            + ("give (steps, channels): turn it with .T" if turned else "give every step the same channels as in training")
        )
    return _formed(lists, channels, form)


def _guess(column: pl.Series) -> Guess | None:
    lists = _lists(column)
    if lists is None:
        return None
    details = describe(column)
    if column.null_count() == len(column):
        return Guess("constant", "missing in every row", details)
    low, high = _channels(lists)
    channels: Any = high.max()
    if channels is None:
        return Guess("constant", "series without any steps", details)
    if low.min() != channels:
        fewest, most = (low.arg_min() or 0) + 1, (high.arg_max() or 0) + 1
        reason = (
            f"lists whose steps have {low.min()} (row {fewest:,}) to {channels} (row {most:,}) values; "
            "series have as many in every step"
        )
        return Guess("other", reason, details)
    lengths = lists.list.len()
    shortest, longest = int(lengths.min()), int(lengths.max())  # pyright: ignore[reportArgumentType]
    span = _count(longest, "step") if shortest == longest else f"{shortest:,} to {longest:,} steps"
    reason = f"{len(lists) - lists.null_count():,} series of {span}, {_count(channels, 'channel')}"
    return Guess("series", reason, details | {"channels": channels, "shortest": shortest, "longest": longest})


def _number(dtype: pl.DataType) -> Any:
    while isinstance(dtype, pl.List | pl.Array):
        dtype = dtype.inner  # pyright: ignore[reportAssignmentType]
    return dtype


def _lists(column: pl.Series) -> pl.Series | None:
    """Steps in a List, whatever they were in: of numbers, of lists or of arrays; None for what is no series."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    step = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    value = step.inner if isinstance(step, pl.List | pl.Array) else step
    return column if value is not None and (value.is_numeric() or value == pl.Null) else None  # pyright: ignore


def _channels(lists: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The fewest and the most channels of any step, row by row; null where there is no step."""
    step = lists.dtype.inner  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(step, pl.List):
        counts = lists.list.eval(pl.element().list.len())
        return counts.list.min(), counts.list.max()
    width = step.size if isinstance(step, pl.Array) else 1
    counts = lists.list.len().clip(0, 1).replace(0, None) * width
    return counts, counts


def _formed(lists: pl.Series, channels: int, form: pl.List) -> pl.Series:
    if not lists.list.len().sum():  # without a step it may be typed as of other channels
        return pl.Series(lists.name, [None if empty else [] for empty in lists.is_null()], dtype=form)
    if isinstance(lists.dtype.inner, pl.List | pl.Array):  # pyright: ignore[reportAttributeAccessIssue]
        return lists.cast(form)
    return lists.list.eval(pl.concat_arr(pl.element().cast(pl.Float64)))


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


# The encoding


@dataclass(frozen=True)
class SeriesBlock(Block):
    """The encoding of one column of series, learnt from training rows.

    Every channel is scaled by mean and standard deviation over all training steps and clipped at 10 deviations. Values that
    far out have no say in mean and deviation either, as long as others differ: one broken reading of 1e30 would otherwise
    make everything else equal. Steps stand at the beginning, zeros behind; a missing value is 0, the mean, and a channel that
    had missing ones in training is followed by a channel that says where. Of a series that is too long the last steps are
    read: what is to be foretold mostly follows them.

    Only the order of steps counts, not the time between them; give that as a channel where it says something.

    Example:
        >>> wave = pl.Series("wave", [[[1.0], [3.0]], [[5.0]]], dtype=pl.List(pl.Array(pl.Float64, 1)))
        >>> block = SeriesBlock.fit(wave, Encoding(), "series")
        >>> {name: rows.squeeze().tolist() for name, rows in block.transform(wave).items()}
        {'series': [[-1.22474..., 0.0], [1.22474..., 0.0]], 'series_steps': [[1, 1], [1, 0]]}
    """

    kind: ClassVar[str] = "series"

    name: str
    block: str
    length: int
    centers: tuple[float, ...]
    scales: tuple[float, ...]
    """0 for a channel of which training knew no value."""
    marked: tuple[int, ...] = ()
    """The channels that a channel of their own says of where they are missing."""
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Learn from training rows, as :func:`check` returns them."""
        name, lengths = values.name, values.list.len()
        multiple = math.lcm(encoding.sentence or 1, encoding.chunk)
        most = max((encoding.length or MOST_STEPS) // multiple, 1) * multiple
        longest = int(lengths.max() or 1)  # pyright: ignore[reportArgumentType]
        length = most if encoding.length else min(-(-longest // multiple) * multiple, most)
        notes = _stepless(values)
        if cut := int((lengths > length).sum()):
            notes.append(
                f"{name}: {cut:,} of {len(values):,} series are longer than the {length:,} steps that are read; "
                "the last of each are kept"
            )
        steps, _ = _last(values, length)
        known = np.isfinite(steps)
        measured = [_measure(channel[there]) for channel, there in zip(steps.T, known.T, strict=True)]
        unknown = [channel for channel, (_, scale) in enumerate(measured) if not scale]
        if unknown:
            which = ", ".join(str(channel + 1) for channel in unknown[:10]) + (", ..." if len(unknown) > 10 else "")
            notes.append(f"{name}: no value is known in training of channel{'s' if unknown[1:] else ''} {which}; left at zero")
        marked = tuple(int(channel) for channel in np.flatnonzero(~known.all(axis=0)) if channel not in unknown)
        centers, scales = tuple(center for center, _ in measured), tuple(scale for _, scale in measured)
        return cls(name, block, length, centers, scales, marked, tuple(notes))

    @property
    def extent(self) -> str:
        """What every series is brought to, in words."""
        return f"at most {self.length:,} steps of {_count(len(self.centers), 'channel')}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The two blocks that :meth:`transform` gives."""
        channels = [f"channel {channel}" for channel in range(1, len(self.centers) + 1)]
        channels += [f"channel {channel + 1} is missing" for channel in self.marked]
        return {
            self.block: Input((self.length, len(channels)), (self.name, *channels), kind="series"),
            f"{self.block}_steps": Input((self.length,), (self.name,), kind="steps"),
        }

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """Turn series, as :func:`check` returns them, into blocks.

        Shape:
            The series float32 (N, steps, channels), and which steps are there: uint8 (N, steps).
        """
        (series, shape), (steps, _) = ((name, block.shape) for name, block in self.inputs.items())
        out = np.zeros((len(values), *shape), dtype=np.float32)
        there = np.zeros((len(values), self.length), dtype=np.uint8)
        centers, scales = np.array(self.centers), np.array([scale or np.inf for scale in self.scales])
        size = max(_PIECE // (self.length * len(centers)), 1)
        for start in range(0, len(values), size):
            rows = slice(start, start + size)
            numbers, counts = _last(values.slice(start, size), self.length)
            known = np.isfinite(numbers)
            with np.errstate(over="ignore"):
                scaled = (np.where(known, numbers, centers) - centers) / scales
            np.clip(scaled, -CLIP, CLIP, out=scaled)
            here = np.arange(self.length) < counts[:, None]
            out[rows][here] = np.hstack([scaled, ~known[:, list(self.marked)]]) if self.marked else scaled
            there[rows] = here
        return {series: out, steps: there}

    def remarks(self, values: pl.Series) -> list[str]:
        """What was handled in rows to predict and is worth saying."""
        found = []
        if cut := int((values.list.len() > self.length).sum()):
            found.append(
                f"{self.name}: {cut:,} of {len(values):,} series are longer than {self.length:,} steps; the last are read"
            )
        return found + _stepless(values)


def _stepless(values: pl.Series) -> list[str]:
    empty = int((values.list.len().fill_null(0) == 0).sum())
    return [f"{values.name}: {empty:,} of {len(values):,} series {'has' if empty == 1 else 'have'} no steps"] if empty else []


def _last(values: pl.Series, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The last steps of every row, one below the other: float64 (steps, channels); and how many each row has."""
    values = values.list.tail(length)
    counts = values.list.len().fill_null(0)
    return values.filter(counts > 0).explode().to_numpy(), counts.to_numpy()


def _measure(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of what is not clipped by them; a constant has width 1, what is unknown 0."""
    if not len(values):
        return 0.0, 0.0
    while True:
        center, scale = moments(values)
        with np.errstate(over="ignore"):
            near = values[np.abs(values - center) <= CLIP * scale]
        if len(near) == len(values) or near.min() == near.max():
            return center, scale
        values = near


class Series(ColumnKind):
    """List of Array(Float64, channels); ``channels``, ``shortest``, ``longest``."""

    name = "series"
    expects = "lists or arrays of numbers"
    block = SeriesBlock
    vector = SummaryBlock
    streams = True

    def guess(self, values: Values) -> Guess | None:
        return guess(values.column)

    def coerce(self, column: pl.Series) -> Guess | None:
        return regard(column)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return check(column, values)
