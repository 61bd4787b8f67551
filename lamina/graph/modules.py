"""The ``nn.Module`` of each kind of layer.

A module is made from the layer and the shape of its joined input; its parameters are those that the layer declares, so the
plan's counts are the net's. Forward passes use few large operations and no Python loops over features or members, because a
training step is traced once and replayed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from lamina.graph import layers as kinds
from lamina.graph.activations import ACTIVATIONS, PROPAGATIONS
from lamina.graph.layer import Layer, Shape, notes, size_text


@runtime_checkable
class Prepares(Protocol):
    """A module that begins from data: it sees the training inputs once, see ``Net.prepare``."""

    def prepare(self, x: Tensor) -> None: ...


class Part(nn.Module):
    """A layer at work: holds the parameters that the layer declares."""

    layer: Any

    def __init__(self, layer: Layer, shape: Shape, generator: Generator) -> None:
        super().__init__()
        self.layer = layer
        self.shape = shape
        for name, size in layer.tensors(shape).items():
            self.register_parameter(name, nn.Parameter(torch.empty(size, dtype=torch.float32)))
        with torch.no_grad():
            self.initialise(generator)

    def initialise(self, generator: Generator) -> None:
        """Fill the parameters and make the buffers."""

    def extra_repr(self) -> str:
        sizes = f"{size_text(self.shape)} -> {size_text(self.layer.result(self.shape))}"
        return ", ".join([sizes, *notes(self.layer)])


def _uniform(generator: Generator, fan_in: int, *tensors: Tensor) -> None:
    """Uniform within 1 / sqrt(fan in), as ``nn.Linear`` begins: what comes out is then of the size of what goes in."""
    bound = 1 / math.sqrt(fan_in)
    for tensor in tensors:
        tensor.uniform_(-bound, bound, generator=generator)


def _signs(generator: Generator, scale: Tensor, chunks: tuple[int, ...]) -> None:
    """Fill (members, d) with -1 and 1 at random, the same throughout each chunk of d."""
    widths = torch.tensor(chunks or (1,) * scale.shape[1])
    signs = torch.empty(scale.shape[0], len(widths)).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
    scale.copy_(signs.repeat_interleave(widths, 1))


class Dense(Part):
    """``output(activation(W x + b))``; with adapter ``W x + b`` is ``s * (W (r * x)) + b`` for each member."""

    weight: Tensor
    bias: Tensor
    r: Tensor
    s: Tensor
    b: Tensor

    def initialise(self, generator: Generator) -> None:
        layer, fan_in = self.layer, self.shape[-1]
        _uniform(generator, fan_in, self.weight)
        if layer.adapter:
            self.s.fill_(1)
            self.r.fill_(1)
            if len(self.shape) == 1:  # the members are made here and begin to differ here
                _signs(generator, self.r, layer.chunks)
            if layer.bias:
                _uniform(generator, fan_in, self.b[0])
                self.b.copy_(self.b[0].expand_as(self.b))  # one bias for all to begin with, as in TabM
        elif layer.bias:
            _uniform(generator, fan_in, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        propagate = PROPAGATIONS[layer.propagation]
        if layer.adapter and x.dim() == 2:
            # (s * W * r) x instead of s * (W (r * x)): one product for all members, and no copy of x for each.
            weight = (self.weight * self.r[:, None] * self.s[:, :, None]).flatten(0, 1)
            y = propagate(x, weight, self.b.flatten() if layer.bias else None).unflatten(1, self.s.shape)
        elif layer.adapter:
            y = propagate(x * self.r, self.weight, None)
            y = torch.addcmul(self.b, y, self.s) if layer.bias else y * self.s
        else:
            y = propagate(x, self.weight, self.bias if layer.bias else None)
            if layer.members is not None and x.dim() == 2:
                y = y[:, None].expand(-1, layer.members, -1)
        y = ACTIVATIONS[layer.output](ACTIVATIONS[layer.activation](y))
        return F.dropout(y, layer.dropout, self.training) if layer.dropout else y


class MemberDense(Part):
    """``activation(W_k x_k + b_k)`` for each member k, in one batched product."""

    weight: Tensor
    bias: Tensor

    def initialise(self, generator: Generator) -> None:
        _uniform(generator, self.shape[-1], self.weight, *([self.bias] if self.layer.bias else []))

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1) if x.dim() == 3 else x.expand(self.layer.members, *x.shape)
        y = torch.baddbmm(self.bias[:, None], x, self.weight) if self.layer.bias else torch.bmm(x, self.weight)
        return ACTIVATIONS[self.layer.activation](y.transpose(0, 1))


class Activation(Part):
    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.layer.name](x)


class Dropout(Part):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.layer.share, self.training)


class Norm(Part):
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_variance: Tensor

    def initialise(self, generator: Generator) -> None:
        self.weight.fill_(1)
        self.bias.fill_(0)
        if self.layer.kind == "batch":
            self.register_buffer("running_mean", torch.zeros(self.shape))
            self.register_buffer("running_variance", torch.ones(self.shape))

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.kind == "layer":
            return F.layer_norm(x, self.shape[-1:], self.weight, self.bias)
        mean, variance = self.running_mean.flatten(), self.running_variance.flatten()  # views: updated in place
        training = self.training and len(x) > 1  # one row has no variance: the last batch may be that small
        y = F.batch_norm(x.flatten(1), mean, variance, self.weight.flatten(), self.bias.flatten(), training)
        return y.view_as(x)


class Join(Part):
    """A point where edges meet; the net has joined them already."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class CategoryEmbedding(Part):
    """All vectors lie end to end in one flat ``weight``; an output neuron reads entry ``base + code * size`` of it.

    One gather of single numbers serves columns of any size, and its backward is one scatter: 2-3 times faster on a CPU than
    a lookup for each column or each size.
    """

    weight: Tensor
    column: Tensor
    size: Tensor
    base: Tensor
    hot_column: Tensor
    hot_level: Tensor
    order: Tensor
    one: Tensor

    def initialise(self, generator: Generator) -> None:
        cells: list[tuple[int, int, int]] = []
        hot: list[tuple[int, int]] = []
        places: list[list[int]] = [[], []]
        first = place = 0
        for column, (cardinality, size) in enumerate(zip(self.layer.cardinalities, self.layer.sizes, strict=True)):
            cells += [(column, size, first + j) for j in range(size)]
            hot += [(column, level) for level in range(cardinality)] if size == 0 else []
            width = size or cardinality
            places[size == 0] += range(place, place + width)
            if size:
                _uniform(generator, size, self.weight[first : first + cardinality * size])
                self.weight[first : first + size] = 0  # missing or unseen: nothing is known, and training may never meet it
            first, place = first + cardinality * size, place + width
        order = sorted(range(place), key=(places[0] + places[1]).__getitem__)
        self.mixed = order != list(range(place))
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
    """Numbers come first and rows last inside, ``(numbers, size, rows)``: then no product needs a transposed copy."""

    weight: Tensor
    bias: Tensor
    linear: Tensor
    frequency: Tensor
    offset: Tensor
    scale: Tensor

    def initialise(self, generator: Generator) -> None:
        layer, numbers = self.layer, self.shape[0]
        if layer.kind == "periodic":
            # Cut at three deviations: a single wild frequency would be noise to its number.
            nn.init.trunc_normal_(self.frequency, 0, layer.sigma, -3 * layer.sigma, 3 * layer.sigma, generator=generator)
            _uniform(generator, 2 * layer.frequencies, self.weight, self.bias)
            return
        if layer.activation in (None, "identity"):
            self.weight.fill_(0)
        else:
            _uniform(generator, layer.bins, self.weight)
        _uniform(generator, 1, self.linear, self.bias)
        # Until prepared, as if the numbers were spread evenly over three deviations.
        edges = np.linspace(-3, 3, layer.bins + 1)
        offset, scale = _bins(edges, layer.bins)
        self.register_buffer("offset", torch.from_numpy(offset).repeat(numbers, 1)[:, :, None])
        self.register_buffer("scale", torch.from_numpy(scale).repeat(numbers, 1)[:, :, None])

    def prepare(self, x: Tensor) -> None:
        """Cut the range of each number so that its bins are about equally full of the values in x."""
        if self.layer.kind == "periodic":
            return
        for i in range(x.shape[1]):
            column = np.sort(x[:, i].detach().cpu().numpy())  # sync; NumPy's sort of floats is 5 times faster than torch's
            edges = bin_edges(column, self.layer.bins)
            offset, scale = _bins(edges, self.layer.bins)
            self.offset[i, :, 0] = torch.from_numpy(offset)
            self.scale[i, :, 0] = torch.from_numpy(scale)

    def forward(self, x: Tensor) -> Tensor:
        x = x.t()[:, None]
        if self.layer.kind == "periodic":
            angle = (2 * math.pi) * self.frequency[:, :, None] * x
            y = torch.baddbmm(self.bias[:, :, None], self.weight, torch.cat([angle.cos(), angle.sin()], 1))
        else:
            # How full each bin is (eq. 1): (x - left edge) / width, held within 0 and 1.
            full = torch.addcmul(self.offset, x, self.scale).clamp_(0, 1)
            y = torch.baddbmm(torch.addcmul(self.bias[:, :, None], x, self.linear[:, :, None]), self.weight, full)
        name = self.layer.activation or ("relu" if self.layer.kind == "periodic" else "identity")
        return ACTIVATIONS[name](y.flatten(0, 1).t())


def bin_edges(column: np.ndarray, bins: int) -> np.ndarray:
    """At most ``bins + 1`` edges of bins that are about equally full of the values of a sorted column.

    Quantiles (Gorishniy et al. 2022, section 3.2.1) spend nearly all bins on the zeros of a column that is nearly all zeros.
    So a value that would fill a bin by itself becomes an edge of its own, and the bins left go to the quantiles of the others.

    Example:
        >>> bin_edges(np.array([0.0] * 90 + list(range(1, 11))), 4).tolist()
        [0.0, 1.0, 4.0, 7.0, 10.0]
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) <= bins + 1:
        return values.astype(np.float64)
    heavy = np.zeros(len(values), dtype=bool)
    while (left := bins - int(heavy.sum())) > 1:
        more = ~heavy & (counts > counts[~heavy].sum() / left)
        if not more.any():
            break
        heavy |= more
    others = np.repeat(values[~heavy], counts[~heavy])
    return np.unique(np.concatenate([values[heavy], _quantiles(others, left), values[[0, -1]]]).astype(np.float64))


def _quantiles(column: np.ndarray, bins: int) -> np.ndarray:
    """The ``bins + 1`` evenly spaced quantiles of a sorted column, linear between neighbours."""
    place = np.linspace(0, len(column) - 1, bins + 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, len(column) - 1)
    left, right = column[low].astype(np.float64), column[high].astype(np.float64)
    return left + (right - left) * (place - low)


def _bins(edges: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """``offset`` and ``scale`` with which ``offset + scale * x`` runs from 0 to 1 in each bin; bins not needed stay at 0."""
    offset, scale = np.zeros(bins, dtype=np.float32), np.zeros(bins, dtype=np.float32)
    if len(edges) > 1:
        scale[: len(edges) - 1] = 1 / np.diff(edges)
        offset[: len(edges) - 1] = -edges[:-1] / np.diff(edges)
    return offset, scale


#: What makes the module of each kind, from (layer, shape of its joined input, generator).
MODULES: dict[type[Layer], Callable[[Any, Shape, Generator], nn.Module]] = {
    kinds.Dense: Dense,
    kinds.MemberDense: MemberDense,
    kinds.Activation: Activation,
    kinds.Dropout: Dropout,
    kinds.Norm: Norm,
    kinds.Flatten: Join,
    kinds.Join: Join,
    kinds.CategoryEmbedding: CategoryEmbedding,
    kinds.NumberEmbedding: NumberEmbedding,
}
