"""The modules of :mod:`lamina.graph.layers.embedding`."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from lamina.graph.activations import ACTIVATIONS
from lamina.graph.modules.part import SLOW, Part, uniform


class CategoryEmbedding(Part):
    """All vectors are in one flat ``weight``; an output neuron reads its entry ``base + code * size``.

    One gather for all columns is 2-3 times faster on a CPU than a lookup for each column or size.
    """

    def initialise(self, generator: Generator) -> None:
        cells: list[tuple[int, int, int]] = []
        hot: list[tuple[int, int]] = []
        first = 0
        for column, (cardinality, size) in enumerate(zip(self.layer.cardinalities, self.layer.sizes, strict=True)):
            cells += [(column, size, first + j) for j in range(size)]
            if size:
                uniform(generator, size, self.weight[first : first + cardinality * size])
                self.weight[first : first + size] = 0  # missing or unseen: may not occur in training
            else:
                hot += [(column, level) for level in range(cardinality)]
            first += cardinality * size
        # Each neuron's place among the embedded ones and, after them, the one-hot ones.
        order = np.repeat(np.equal(self.layer.sizes, 0), self.layer.widths).argsort(stable=True).argsort().tolist()
        self.mixed = order != list(range(len(order)))
        index = {"column": [c[0] for c in cells], "size": [c[1] for c in cells], "base": [c[2] for c in cells]}
        index |= {"hot_column": [h[0] for h in hot], "hot_level": [h[1] for h in hot], "order": order}
        for name, values in index.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)
        self.register_buffer("one", torch.ones(()), persistent=False)  # carries the net's dtype

    def forward(self, codes: Tensor) -> Tensor:
        parts = []
        if len(self.column):
            index = torch.addcmul(self.base, codes.index_select(1, self.column), self.size)
            parts.append(self.weight.index_select(0, index.flatten()).view(index.shape))
        if len(self.hot_column):
            parts.append((codes.index_select(1, self.hot_column) == self.hot_level) * self.one)
        x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        return x.index_select(1, self.order) if self.mixed else x


class NumberEmbedding(Part):
    """Computed as ``(numbers, size, rows)``, so that no product needs a transposed copy."""

    def initialise(self, generator: Generator) -> None:
        layer, numbers = self.layer, self.shape[0]
        if layer.kind == "periodic":
            # Truncated at three standard deviations, to avoid very high frequencies.
            nn.init.trunc_normal_(self.frequency, 0, layer.sigma, -3 * layer.sigma, 3 * layer.sigma, generator=generator)
            uniform(generator, 2 * layer.frequencies, self.weight, self.bias)
            return
        if layer.kind == "pbld":
            self.frequency.normal_(0, layer.sigma / SLOW, generator=generator)
            self.phase.uniform_(-math.pi / SLOW, math.pi / SLOW, generator=generator)
            uniform(generator, layer.frequencies, self.weight, self.bias)
            return
        if layer.activation in (None, "identity"):
            self.weight.fill_(0)
        else:
            uniform(generator, layer.bins, self.weight)
        uniform(generator, 1, self.linear, self.bias)
        # Until prepared: as for numbers uniform within three standard deviations.
        for name, values in zip(("offset", "scale"), _bins(np.linspace(-3, 3, layer.bins + 1), layer.bins), strict=True):
            self.register_buffer(name, torch.from_numpy(values).repeat(numbers, 1)[:, :, None])

    def prepare(self, x: Tensor) -> None:
        """Set the bins of each number from the values in x."""
        if self.layer.kind != "piecewise_linear":
            return
        for i in range(x.shape[1]):
            column = np.sort(x[:, i].detach().cpu().numpy())  # sync; NumPy's sort of floats is 5 times faster than torch's
            offset, scale = _bins(bin_edges(column, self.layer.bins), self.layer.bins)
            self.offset[i, :, 0] = torch.from_numpy(offset)
            self.scale[i, :, 0] = torch.from_numpy(scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x.t()[:, None]
        if self.layer.kind == "pbld":
            angle = torch.addcmul(SLOW * self.phase[:, :, None], (2 * math.pi * SLOW) * self.frequency[:, :, None], x)
            y = torch.baddbmm(self.bias[:, :, None], self.weight, angle.cos())
            return torch.cat([x, y], 1).flatten(0, 1).t()
        if self.layer.kind == "periodic":
            angle = (2 * math.pi) * self.frequency[:, :, None] * x
            y = torch.baddbmm(self.bias[:, :, None], self.weight, torch.cat([angle.cos(), angle.sin()], 1))
        else:
            # How full each bin is (eq. 1): (x - left edge) / width, clamped to 0 and 1.
            full = torch.addcmul(self.offset, x, self.scale).clamp(0, 1)
            y = torch.baddbmm(torch.addcmul(self.bias[:, :, None], x, self.linear[:, :, None]), self.weight, full)
        name = self.layer.activation or ("relu" if self.layer.kind == "periodic" else "identity")
        return ACTIVATIONS[name](y.flatten(0, 1).t())


class TokenEmbedding(Part):
    def initialise(self, generator: Generator) -> None:
        self.weight.normal_(0, self.layer.size**-0.5, generator=generator)
        self.weight[0] = 0
        self.weight.requires_grad_(not self.layer.frozen)

    def forward(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.weight, padding_idx=0)


class SparseDense(Part):
    def initialise(self, generator: Generator) -> None:
        self.weight.fill_(0)

    def forward(self, x: Tensor) -> Tensor:
        codes, values = x[:, 0].to(torch.int32), x[:, 1] * self.layer.scale
        return (values[:, None] @ F.embedding(codes, self.weight, padding_idx=0)).squeeze(1)


def bin_edges(column: np.ndarray, bins: int) -> np.ndarray:
    """At most ``bins + 1`` edges of bins with about equally many values of a sorted column.

    Unlike quantiles (Gorishniy et al. 2022, section 3.2.1), a value that would fill a bin by itself, as the zeros of a sparse
    column, becomes an edge of its own, and the remaining bins are quantiles of the other values.

    Example:
        >>> bin_edges(np.array([0.0] * 90 + list(range(1, 11))), 4).tolist()
        [0.0, 1.0, 4.0, 7.0, 10.0]
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) <= bins + 1:
        return values.astype(np.float64)
    frequent = np.zeros(len(values), dtype=bool)
    while (left := bins - int(frequent.sum())) > 1:
        added = ~frequent & (counts > counts[~frequent].sum() / left)
        if not added.any():
            break
        frequent |= added
    rest = np.repeat(values[~frequent], counts[~frequent])
    return np.unique(np.concatenate([values[frequent], _quantiles(rest, left), values[[0, -1]]]).astype(np.float64))


def _quantiles(column: np.ndarray, bins: int) -> np.ndarray:
    """The ``bins + 1`` evenly spaced quantiles of a sorted column, linearly interpolated."""
    place = np.linspace(0, len(column) - 1, bins + 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, len(column) - 1)
    left, right = column[low].astype(np.float64), column[high].astype(np.float64)
    return left + (right - left) * (place - low)


def _bins(edges: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """``offset`` and ``scale`` so that ``offset + scale * x`` is 0 to 1 within each bin; unused bins are 0."""
    offset, scale = np.zeros(bins, dtype=np.float32), np.zeros(bins, dtype=np.float32)
    if len(edges) > 1:
        scale[: len(edges) - 1] = 1 / np.diff(edges)
        offset[: len(edges) - 1] = -edges[:-1] / np.diff(edges)
    return offset, scale
