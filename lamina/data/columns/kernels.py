"""Series as features of random convolutions, for linear models (MiniRocket; Dempster, Schmidt and Webb 2021, arXiv 2012.08791).

A kernel has 9 weights, of which three are 2 and the others -1: there are 84. Each is applied with several dilations, so that it
spans short and long times. A feature is the share of the steps at which the response of a kernel is above a bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.steps import SeriesBlock
from lamina.data.columns.summary import SummaryBlock
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError

KERNELS = tuple(combinations(range(9), 3))
"""The places of the weights 2 of each kernel."""
MOST_DILATIONS = 32
MOST_CHANNELS = 9
"""Most channels that a kernel reads."""
MOST_FEATURES = 1_000_000

_EXAMPLES = 32  # training series whose responses the biases are quantiles of
_GOLDEN = (math.sqrt(5) + 1) / 2
_PIECE = 1 << 22  # comparisons in a chunk


@dataclass(frozen=True)
class KernelsBlock(Block):
    """The encoding of a column of series as features of random convolutions, fitted on training rows.

    Series are scaled, padded and truncated as by :class:`~lamina.data.columns.steps.SeriesBlock`. The largest dilation makes a
    kernel as long as the median of the training series; of the others, each is the next power of about 2. Every other kernel
    reads only steps at which it does not reach beyond the ends. The response of several channels is the sum over up to 9 of
    them, drawn for each dilation and kernel. Biases are quantiles of the responses of training series. Summary statistics are
    another array, as kernels see little of the level of a series.

    Args:
        series: The scaling of the series.
        summary: The summary statistics.
        dilations: Steps between two weights.
        subsets: The channels that each kernel reads: (dilations, 84), tuples.
        biases: (dilations, 84), tuples of the same length for one dilation.

    Example:
        >>> waves = [[[math.sin(i / (2 + j))] for i in range(40)] for j in range(4)]
        >>> column = pl.Series("wave", waves, dtype=pl.List(pl.Array(pl.Float64, 1)))
        >>> block = KernelsBlock.fit(column, Encoding(kernels=500), "series")
        >>> block.dilations, block.transform(column)["series"].shape
        ((1, 2, 3, 4), (4, 420))
    """

    kind: ClassVar[str] = "kernels"

    name: str
    block: str
    series: SeriesBlock
    summary: SummaryBlock
    dilations: tuple[int, ...]
    subsets: tuple[tuple[tuple[int, ...], ...], ...]
    biases: tuple[tuple[tuple[float, ...], ...], ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit at most ``encoding.kernels`` features to training rows, at least 84."""
        series = SeriesBlock.fit(values, encoding, block)
        blocks = series.transform(values)
        steps, mask = blocks[block], blocks[f"{block}_steps"]
        lengths = mask.sum(axis=1, dtype=np.int64)
        usual = int(np.median(lengths[lengths > 0])) if lengths.any() else 1
        dilations, counts = _dilations(usual, max(encoding.kernels // len(KERNELS), 1))
        random = np.random.Generator(np.random.PCG64(0))
        subsets = tuple(tuple(_subset(random, steps.shape[2]) for _ in KERNELS) for _ in dilations)
        examples = np.flatnonzero(lengths)
        examples = examples[np.linspace(0, len(examples) - 1, min(len(examples), _EXAMPLES)).astype(np.int64)]
        biases, start = [], 1
        for place, (dilation, count) in enumerate(zip(dilations, counts, strict=True)):
            responses = _responses(steps[examples], dilation, subsets[place])
            valid = _valid(lengths[examples], steps.shape[1], dilation, place)
            of_dilation = []
            for kernel in range(len(KERNELS)):
                shares = np.arange(start, start + count) * _GOLDEN % 1
                known = responses[kernel][valid[kernel % 2]]
                quantiles = np.quantile(known, shares) if len(known) else np.zeros(count)
                of_dilation.append(tuple(np.sort(quantiles).astype(np.float32).tolist()))
                start += count
            biases.append(tuple(of_dilation))
        summary = SummaryBlock.fit(values, encoding, f"{block}_summary")
        return cls(values.name, block, series, summary, dilations, subsets, tuple(biases), series.notes)

    @property
    def channels(self) -> int:
        return self.series.channels

    def verify(self) -> None:
        self.series.verify()
        self.summary.verify()
        steps, channels = self.series.inputs[self.series.block].shape
        counts = [len(bias) for kernels in self.biases for bias in kernels]
        whole = (
            len(self.dilations) == len(self.subsets) == len(self.biases)
            and all(len(kernels) == len(KERNELS) for part in (self.subsets, self.biases) for kernels in part)
            and all(len(set(map(len, kernels))) == 1 for kernels in self.biases)
            and 0 < sum(counts) <= MOST_FEATURES
            and all(1 <= dilation <= steps for dilation in self.dilations)
            and all(subset and {*subset} <= {*range(channels)} for kernels in self.subsets for subset in kernels)
            and self.summary.channels == self.channels
        )
        if not whole:
            raise ModelFileError(
                f"the kernels of column {self.name!r} cannot be read, expected what KernelsBlock.fit made; fit again"
            )

    @property
    def extent(self) -> str:
        return f"{self._features:,} features of random convolutions of {self.series.extent}, with {self.summary.extent}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        names = (
            f"kernel {kernel + 1} dilation {dilation} bias {number + 1}"
            for dilation, kernels in zip(self.dilations, self.biases, strict=True)
            for kernel, biases in enumerate(kernels)
            for number in range(len(biases))
        )
        return {self.block: Input((self._features,), (self.name, *names), kind="kernels")} | self.summary.inputs

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """The shares, float32 (N, features), 0 for a series without steps; and the summary statistics."""
        out = np.empty((len(values), self._features), dtype=np.float32)
        most = max(len(KERNELS) * len(biases[0]) for biases in self.biases)
        size = max(_PIECE // (most * self.series.length), 1)
        for start in range(0, len(values), size):
            blocks = self.series.transform(values.slice(start, size))
            steps, mask = blocks[self.series.block], blocks[f"{self.series.block}_steps"]
            lengths = mask.sum(axis=1, dtype=np.int64)
            parts = self._shares(steps[:, : int(lengths.max(initial=1))], lengths)  # without padding that no series here needs
            np.concatenate([*parts], axis=1, out=out[start : start + size])
        return {self.block: out} | self.summary.transform(values)

    def remarks(self, values: pl.Series) -> list[str]:
        return self.series.remarks(values)

    @cached_property
    def _features(self) -> int:
        return sum(len(bias) for kernels in self.biases for bias in kernels)

    @cached_property
    def _arrays(self) -> list[np.ndarray]:
        return [np.array(biases, dtype=np.float32)[:, :, None, None] for biases in self.biases]

    def _shares(self, steps: np.ndarray, lengths: np.ndarray) -> Iterator[np.ndarray]:
        """The features of each dilation, float32 (N, 84 biases)."""
        for place, (dilation, biases) in enumerate(zip(self.dilations, self._arrays, strict=True)):
            responses = _responses(steps, dilation, self.subsets[place])
            valid = _valid(lengths, steps.shape[1], dilation, place)
            for part in (0, 1):
                responses[part::2][:, ~valid[part]] = -np.inf
            above = (responses[:, None] > biases).view(np.int8).sum(axis=-1, dtype=np.int32)  # exact, so a row is as if alone
            counts = np.maximum(valid.sum(axis=-1), 1).astype(np.float32)
            shares = above.astype(np.float32)
            for part in (0, 1):
                shares[part::2] /= counts[part]
            yield shares.reshape(-1, len(steps)).T


def _dilations(length: int, features: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Dilations for series of a length, and how many features each kernel has with each of them."""
    most = min(features, MOST_DILATIONS)
    exponents = np.linspace(0, math.log2(max((length - 1) / 8, 1)), most)
    dilations, counts = np.unique((2**exponents).astype(np.int64), return_counts=True)
    counts = counts * (features // most)
    left = features - int(counts.sum())
    counts += left // len(counts)
    counts[: left % len(counts)] += 1
    return tuple(dilations.tolist()), tuple(counts.tolist())


def _subset(random: np.random.Generator, channels: int) -> tuple[int, ...]:
    """Channels of a kernel: their number is between 1 and 9, each power of 2 as likely as another."""
    most = min(channels, MOST_CHANNELS)
    size = min(int(2 ** (random.random() * math.log2(most + 1))), most)
    return tuple(sorted(np.argsort(random.random(channels))[:size].tolist()))


def _responses(steps: np.ndarray, dilation: int, channels: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Responses of the kernels at each step, zeros beyond the ends: float32 (N, steps, channels) to (84, N, steps).

    Sums of whole arrays in one order, so that a row is as if alone.
    """
    rows, length, _ = steps.shape
    padded = np.zeros((steps.shape[2], rows, length + 8 * dilation), dtype=np.float32)
    padded[:, :, 4 * dilation : 4 * dilation + length] = steps.transpose(2, 0, 1)
    out = np.empty((len(KERNELS), rows, length), dtype=np.float32)
    shifts, total, shifted = [], out[0], ()
    for kernel, ((first, second, third), subset) in enumerate(zip(KERNELS, channels, strict=True)):
        if subset != shifted:  # the same for all kernels of one channel
            joined = padded[subset[0]] if len(subset) == 1 else padded[list(subset)].sum(axis=0)
            shifts = [joined[:, place * dilation : place * dilation + length] for place in range(9)]
            total, shifted = np.sum(shifts, axis=0), subset
        np.add(shifts[first], shifts[second], out=out[kernel])
        out[kernel] += shifts[third]
        out[kernel] *= 3
        out[kernel] -= total
    return out


def _valid(lengths: np.ndarray, length: int, dilation: int, place: int) -> np.ndarray:
    """Which steps count, for even and for odd kernels: bool (2, N, steps).

    Half of the kernels count every step, half only those at which they do not reach beyond the ends, if there are such; which
    half alternates.
    """
    step = np.arange(length)
    every = step < lengths[:, None]
    reach = np.where(lengths > 8 * dilation, 4 * dilation, 0)[:, None]
    inner = (step >= reach) & (step < lengths[:, None] - reach)
    return np.stack([every, inner] if place % 2 == 0 else [inner, every])
