"""The modules of :mod:`lamina.graph.layers.sequence`."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.activations import ACTIVATIONS
from lamina.graph.modules.part import Part, uniform
from lamina.graph.random import dropout


def first_step(x: Tensor, mask: Tensor) -> Tensor:
    """The first present step of (..., steps, d); zeros if all are masked."""
    return _total(x, mask & (mask.cumsum(-1) == 1))


def last_step(x: Tensor, mask: Tensor) -> Tensor:
    """The last present step of (..., steps, d); zeros if all are masked."""
    count = mask.cumsum(-1)
    return _total(x, mask & (count == count[..., -1:]))


def _total(x: Tensor, mask: Tensor) -> Tensor:
    """The sum of the present steps, as a matrix product: no data-dependent indexing."""
    return (mask.to(x.dtype).unsqueeze(-2) @ x).squeeze(-2)


class Present(Part):
    def forward(self, x: Tensor) -> Tensor:
        return x != 0


class AnyPresent(Part):
    def forward(self, mask: Tensor) -> Tensor:
        return mask.any(-1)


class StepDense(Part):
    def initialise(self, generator: Generator) -> None:
        uniform(generator, self.shape[-1], *self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        y = ACTIVATIONS[self.layer.activation](F.linear(x, self.weight, self.bias))
        return dropout(y, self.layer.dropout, self.training)


class StepPool(Part):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        kind = self.layer.kind
        if mask is None:
            if kind == "last":
                return x[..., -1, :]
            return x.amax(-2) if kind == "max" else x.sum(-2) if kind == "sum" else x.mean(-2)
        if kind == "max":
            y = x.masked_fill(~mask[..., None], -torch.inf).amax(-2)
            return torch.where(mask.any(-1)[..., None], y, torch.zeros_like(y))
        if kind == "last":
            return last_step(x, mask)
        total = _total(x, mask)
        return total if kind == "sum" else total / mask.sum(-1, keepdim=True).clamp_min(1)


class Chunk(Part):
    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, self.layer.size))


class Reshape(Part):
    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, self.layer.result(self.shape))
