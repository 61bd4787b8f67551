"""Series as arrays of steps, for networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.summary import check_length, empty_series
from lamina.data.encoding import Encoding, Input
from lamina.data.scaling import moments
from lamina.errors import ModelFileError
from lamina.wording import count

MOST_STEPS = 2_048
"""Largest length in steps where no other is set."""
CLIP = 10.0
"""Standard deviations from the mean at which values are clipped."""

_PIECE = 1 << 21  # numbers in a chunk, which stays in the cache


@dataclass(frozen=True)
class SeriesBlock(Block):
    """The encoding of one column of series, fitted on training rows.

    Every channel is standardised by mean and standard deviation over all training steps and clipped at 10 deviations. Values
    beyond are left out of mean and deviation, unless all others are equal: one broken reading of 1e30 would otherwise make
    everything else equal. Series are padded with zeros at the end and truncated to their last steps. A missing value is 0,
    the mean, and each channel with missing values in training has an indicator channel.

    Only the order of steps counts, not the time between them; where that matters, add it as a channel.

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
    """0 for a channel without any training value."""
    marked: tuple[int, ...] = ()
    """The channels with a channel that indicates missing values."""
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        multiple = math.lcm(encoding.sentence or 1, encoding.chunk)
        most = max((encoding.length or MOST_STEPS) // multiple, 1) * multiple
        longest = int(values.list.len().max() or 1)  # pyright: ignore[reportArgumentType]
        length = most if encoding.length else min(-(-longest // multiple) * multiple, most)
        notes = empty_series(values) + _truncated(values, length)
        steps, _ = _last(values, length)
        finite = np.isfinite(steps)
        measured = [_measure(channel[valid]) for channel, valid in zip(steps.T, finite.T, strict=True)]
        empty = [channel for channel, (_, scale) in enumerate(measured) if not scale]
        if empty:
            which = ", ".join(str(channel + 1) for channel in empty[:10]) + (", ..." if len(empty) > 10 else "")
            notes.append(f"{values.name}: channel{'s' if empty[1:] else ''} {which} without any training value; set to zero")
        marked = tuple(int(channel) for channel in np.flatnonzero(~finite.all(axis=0)) if channel not in empty)
        centers, scales = tuple(center for center, _ in measured), tuple(scale for _, scale in measured)
        return cls(values.name, block, length, centers, scales, marked, tuple(notes))

    @property
    def channels(self) -> int:
        return len(self.centers)

    def verify(self) -> None:
        channels = self.channels
        check_length(self.name, self.length, channels)
        if len(self.scales) != channels or not set(self.marked) <= set(range(channels)):
            raise ModelFileError(
                f"series of column {self.name!r} have {channels} centers, {len(self.scales)} scales and the marked channels "
                f"{list(self.marked)[:10]}, expected one of each for a channel"
            )

    @property
    def extent(self) -> str:
        return f"at most {self.length:,} steps of {count(len(self.centers), 'channel')}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        channels = [f"channel {channel}" for channel in range(1, len(self.centers) + 1)]
        channels += [f"channel {channel + 1} is missing" for channel in self.marked]
        return {
            self.block: Input((self.length, len(channels)), (self.name, *channels), kind="series"),
            f"{self.block}_steps": Input((self.length,), (self.name,), kind="steps"),
        }

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """The series, float32 (N, steps, channels), and the mask of their steps, 0 for padding: uint8 (N, steps)."""
        (series, shape), (steps, _) = ((name, block.shape) for name, block in self.inputs.items())
        out = np.zeros((len(values), *shape), dtype=np.float32)
        mask = np.zeros((len(values), self.length), dtype=np.uint8)
        centers, scales = np.array(self.centers), np.array([scale or np.inf for scale in self.scales])
        size = max(_PIECE // (self.length * len(centers)), 1)
        for start in range(0, len(values), size):
            rows = slice(start, start + size)
            numbers, counts = _last(values.slice(start, size), self.length)
            finite = np.isfinite(numbers)
            with np.errstate(over="ignore"):
                scaled = (np.where(finite, numbers, centers) - centers) / scales
            np.clip(scaled, -CLIP, CLIP, out=scaled)
            valid = np.arange(self.length) < counts[:, None]
            out[rows][valid] = np.hstack([scaled, ~finite[:, list(self.marked)]]) if self.marked else scaled
            mask[rows] = valid
        return {series: out, steps: mask}

    def remarks(self, values: pl.Series) -> list[str]:
        return _truncated(values, self.length) + empty_series(values)


def _truncated(values: pl.Series, length: int) -> list[str]:
    """A sentence if series are longer than the length."""
    cut, rows = int((values.list.len() > length).sum()), len(values)
    if not cut:
        return []
    return [f"{values.name}: {cut:,} of {rows:,} series are longer than {length:,} steps and truncated to the last steps"]


def _last(values: pl.Series, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The concatenated last steps of all rows, float64 (steps, channels), and their number in each row."""
    values = values.list.tail(length)
    counts = values.list.len().fill_null(0)
    return values.filter(counts > 0).explode().to_numpy(), counts.to_numpy()


def _measure(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the values that they do not clip; deviation 1 for a constant, 0 without values."""
    if not len(values):
        return 0.0, 0.0
    while True:
        center, scale = moments(values)
        with np.errstate(over="ignore"):
            near = values[np.abs(values - center) <= CLIP * scale]
        if len(near) == len(values) or near.min() == near.max():
            return center, scale
        values = near
