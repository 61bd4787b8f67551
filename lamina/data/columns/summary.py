"""Series as summary statistics, for models of rows of numbers such as logistic regression and trees.

=============================  ============================================================================================
of each channel                is
=============================  ============================================================================================
mean, standard deviation       of the steps that are not missing, as all others
smallest, largest              value
first, last                    value
lower quartile, median, upper  linear between values, as in ``numpy.quantile``
slope                          of the least-squares line over time, for each step
mean absolute change           from one step to the next
share above the mean           of the steps
autocorrelation                of lag 1: sum of products of neighbours' distances from the mean, over the sum of squares
main frequency                 the largest of the periodogram, in cycles per step, missing steps filled with the mean
share of the main frequency    of the variance
share missing                  of the steps
=============================  ============================================================================================
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.encoding import Encoding, Input
from lamina.data.scaling import robust, scale
from lamina.errors import ModelFileError

STATISTICS = (
    *("mean", "standard deviation", "smallest", "largest", "first", "last"),
    *("lower quartile", "median", "upper quartile", "slope", "mean absolute change", "share above the mean"),
    *("autocorrelation", "main frequency", "share of the main frequency", "share missing"),
)
MOST_VALUES = 64
"""Most values, steps times channels, of a series whose raw values follow the statistics."""

MOST_STEPS, MOST_NUMBERS, MOST_CHANNELS = 2**20, 2**26, 2**16
"""Most steps, numbers and channels of a series in a file."""

_PIECE = 1 << 18  # numbers in a chunk: some twenty arrays of them stay in the cache
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class SummaryBlock(Block):
    """The encoding of a column of series as rows of numbers, fitted on training rows.

    A row is the number of steps, then the statistics of each channel. Where all training series have the same length and at
    most 64 values, the raw values follow, step by step; a longer series to predict is truncated to its last steps, a shorter
    one fills the first.

    An undefined statistic (the slope of a single step) is missing: NaN with ``Encoding(scaling="none")``, for trees. Else it
    is 0, and the others are scaled by median and quartiles with the smooth clip of :class:`~lamina.data.encode.Encoder`.

    Args:
        channels: Channels of a step.
        steps: Number of steps of raw values; 0 for none.
        centers: Median of each number over training rows; empty without scaling.
        scales: Width of each.

    Example:
        >>> wave = pl.Series("wave", [[[1.0], [3.0], [5.0]], [[7.0]]], dtype=pl.List(pl.Array(pl.Float64, 1)))
        >>> block = SummaryBlock.fit(wave, Encoding(scaling="none"), "series")
        >>> names, rows = block.inputs["series"].names, block.transform(wave)["series"]
        >>> {name: rows[:, names.index(name) - 1].tolist() for name in ("number of steps", "mean", "slope")}
        {'number of steps': [3.0, 1.0], 'mean': [3.0, 7.0], 'slope': [2.0, nan]}
    """

    kind: ClassVar[str] = "summary"

    name: str
    block: str
    channels: int
    steps: int
    centers: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        channels: int = values.dtype.inner.size  # pyright: ignore[reportAttributeAccessIssue]
        lengths = values.list.len().drop_nulls()
        lengths = lengths.filter(lengths > 0).unique().to_list()
        steps = lengths[0] if len(lengths) == 1 and lengths[0] * channels <= MOST_VALUES else 0
        fitted = cls(values.name, block, channels, steps, notes=tuple(empty_series(values)))
        if encoding.scaling == "none":
            return fitted
        finite = [column[np.isfinite(column)] for column in fitted._numbers(values).T]
        measured = [robust(column) if len(column) else (0.0, 1.0) for column in finite]
        centers, scales = tuple(center for center, _ in measured), tuple(width for _, width in measured)
        return dataclasses.replace(fitted, centers=centers, scales=scales)

    def verify(self) -> None:
        check_length(self.name, max(self.steps, 1), self.channels)
        if self.steps < 0 or self.steps * self.channels > MOST_VALUES or self.channels > MOST_CHANNELS:
            raise ModelFileError(f"series of column {self.name!r} have {self.steps} steps of {self.channels} channels")
        if not len(self.centers) == len(self.scales) or len(self.centers) not in (0, len(self._names)):
            raise ModelFileError(
                f"series of column {self.name!r} have {len(self.centers)} centers and {len(self.scales)} scales, "
                f"expected {len(self._names)} of each"
            )

    @property
    def extent(self) -> str:
        return f"{len(self._names):,} summary statistics" + f", with the {self.steps:,} steps" * bool(self.steps)

    @cached_property
    def inputs(self) -> dict[str, Input]:
        return {self.block: Input((len(self._names),), (self.name, *self._names), kind="summary")}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """The statistics, float32 (N, 1 + 16 channels + steps channels)."""
        numbers = self._numbers(values)
        if self.centers:
            scale(numbers, np.isnan(numbers), np.array(self.centers), np.array(self.scales), clip=True)
        return {self.block: np.clip(numbers, -_LARGEST, _LARGEST).astype(np.float32)}

    def remarks(self, values: pl.Series) -> list[str]:
        lengths = values.list.len()
        odd = int(((lengths > 0) & (lengths != self.steps)).sum()) if self.steps else 0
        have = f"{odd:,} of {len(values):,} series {'has' if odd == 1 else 'have'}"
        remarks = [f"{self.name}: {have} more or fewer than the {self.steps:,} steps of training"] if odd else []
        return remarks + empty_series(values)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        channels = [f"channel {channel} " for channel in range(1, self.channels + 1)] if self.channels > 1 else [""]
        statistics = [channel + statistic for channel in channels for statistic in STATISTICS]
        steps = [f"{channel}step {step}" for step in range(1, self.steps + 1) for channel in channels]
        return ("number of steps", *statistics, *steps)

    def _numbers(self, values: pl.Series) -> np.ndarray:
        """The unscaled statistics: float64 (N, numbers), NaN where undefined."""
        lengths = values.list.len()
        out = np.full((len(values), len(self._names)), np.nan)
        out[:, 0] = lengths.cast(pl.Float64).to_numpy()
        counts = lengths.fill_null(0).to_numpy().astype(np.int64)
        flat = values.filter(lengths > 0).explode().to_numpy().T  # (channels, steps of all series)
        flat = np.where(np.isfinite(flat), flat, np.nan)
        starts = np.cumsum(counts) - counts
        for length in np.unique(counts[counts > 0]).tolist():  # series of one length are one array, without padding
            same_length = np.flatnonzero(counts == length)
            size = max(_PIECE // (length * self.channels), 1)
            for rows in np.split(same_length, range(size, len(same_length), size)):
                series = flat[:, starts[rows][:, None] + np.arange(length)]
                statistics = _statistics(series).transpose(1, 0, 2).reshape(len(rows), -1)
                steps = series[..., max(length - self.steps, 0) :] if self.steps else series[..., :0]
                numbers = np.hstack([statistics, steps.transpose(1, 2, 0).reshape(len(rows), -1)])
                out[rows, 1 : 1 + numbers.shape[1]] = numbers
        return out


def check_length(name: str, length: int, channels: int) -> None:
    """Raise ModelFileError for longer or wider series than any fit has."""
    if not (1 <= length <= MOST_STEPS and 1 <= channels and length * channels <= MOST_NUMBERS):
        raise ModelFileError(
            f"series of column {name!r} have {length} steps of {channels} channels, expected 1 to {MOST_STEPS:,} steps and "
            f"at most {MOST_NUMBERS:,} numbers"
        )


def empty_series(values: pl.Series) -> list[str]:
    """A sentence if series have no steps."""
    empty = int((values.list.len().fill_null(0) == 0).sum())
    return [f"{values.name}: {empty:,} of {len(values):,} series {'has' if empty == 1 else 'have'} no steps"] if empty else []


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _statistics(series: np.ndarray) -> np.ndarray:
    """The statistics of series of one length, NaN where undefined; :data:`STATISTICS` names them.

    Sums are over distances from the first value divided by the largest, so that a constant is exact and squares do not
    overflow.

    Shape:
        float64 (..., steps) to (..., statistics).
    """
    length = series.shape[-1]
    known = ~np.isnan(series)
    count = known.sum(-1)
    final = np.maximum(count - 1, 0)
    first = _at(series, known.argmax(-1))
    last = _at(series, length - 1 - known[..., ::-1].argmax(-1))
    distance = np.where(known, series - first[..., None], 0)
    unit = np.abs(distance).max(-1)
    distance /= np.where(unit > 0, unit, 1)[..., None]
    middle = distance.sum(-1) / count
    around = np.where(known, distance - middle[..., None], 0)
    power = (around**2).sum(-1)

    ordered = np.sort(series)  # missing ones come last
    quartiles = [_quantile(ordered, final, share) for share in (0.25, 0.5, 0.75)]

    time = np.arange(length) - (known * np.arange(length)).sum(-1, keepdims=True) / count[..., None]
    slope = (time * around).sum(-1) / (known * time**2).sum(-1)

    joined = around
    if not known.all():
        joined = np.take_along_axis(around, np.argsort(~known, stable=True), -1)
    change = np.where(np.arange(1, length) < count[..., None], np.abs(np.diff(joined)), 0).sum(-1) / final
    neighbours = (joined[..., 1:] * joined[..., :-1]).sum(-1)

    statistics = [
        *(first + unit * middle, unit * np.sqrt(power / count), ordered[..., 0], _at(ordered, final)),
        *(first, last, *quartiles, unit * slope, unit * change, (around > 0).sum(-1) / count),
        *(neighbours / power, *_main_frequency(around, power), 1 - count / length),
    ]
    stacked = np.stack(statistics, -1)
    return np.where(np.isfinite(stacked), stacked, np.nan)


def _main_frequency(around: np.ndarray, power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frequency with most of the variance, in cycles per step, and its share."""
    length = around.shape[-1]
    if length < 2:
        return np.full_like(power, np.nan), np.full_like(power, np.nan)
    spectrum = np.abs(np.fft.rfft(around)[..., 1:]) ** 2
    spectrum[..., : (length - 1) // 2] *= 2  # each has a negative counterpart, but for half a cycle per step
    frequency = (spectrum.argmax(-1) + 1) / length
    return np.where(power > 0, frequency, np.nan), spectrum.max(-1) / (length * power)


def _at(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(values, index[..., None], -1)[..., 0]


def _quantile(ordered: np.ndarray, final: np.ndarray, share: float) -> np.ndarray:
    """Linear between the two nearest values up to index ``final``, exact where they are equal."""
    position = share * final
    below = np.floor(position).astype(np.int64)
    low, high = _at(ordered, below), _at(ordered, np.minimum(below + 1, final))
    return low + (high - low) * (position - below)
