"""Attention, at work."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.layers import attention as kinds
from lamina.graph.modules.part import Part, Parts, uniform
from lamina.graph.random import current_generator, dropout


class Position(Part):
    position: Tensor

    def initialise(self, generator: Generator) -> None:
        if self.layer.kind == "learnt":
            self.position.normal_(0, 0.02, generator=generator)
        else:
            self.register_buffer("position", waves(*self.shape[-2:]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position


class MultiHeadAttention(Part):
    in_weight: Tensor
    in_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor

    def initialise(self, generator: Generator) -> None:
        uniform(generator, self.shape[-1], self.in_weight, self.out_weight)
        self.in_bias.fill_(0)
        self.out_bias.fill_(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        flat = x.flatten(0, -3)
        query, key, value = self._heads(flat)
        dropout = self.layer.dropout if self.training else 0.0
        y = attend(query, key, value, _seen(mask), dropout)
        return F.linear(y.transpose(1, 2).flatten(2), self.out_weight, self.out_bias).view(x.shape)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much each step looks at each other: ``(N, ..., heads, steps, steps)``, every row sums to 1."""
        query, key, _ = self._heads(x.flatten(0, -3))
        meets = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        seen = _seen(mask)
        meets = meets if seen is None else meets.masked_fill(~seen, -torch.inf)
        return meets.softmax(-1).unflatten(0, x.shape[:-2])

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Query, key and value, each (sequences, heads, steps, width of a head)."""
        three = F.linear(x, self.in_weight, self.in_bias)
        return three.unflatten(-1, (3, self.layer.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class StepDropout(Part):
    def forward(self, mask: Tensor) -> Tensor:
        if not self.training or not self.layer.share:
            return mask
        return mask & (torch.rand(mask.shape, device=mask.device, generator=current_generator()) >= self.layer.share)


class Patches(Part):
    def forward(self, x: Tensor) -> Tensor:
        size = self.layer.size
        x = F.pad(x, (0, -x.shape[3] % size, 0, -x.shape[2] % size))
        return x.unflatten(3, (-1, size)).unflatten(2, (-1, size)).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def waves(steps: int, width: int) -> Tensor:
    """The sinusoidal positions: sine and cosine in turn, slower and slower."""
    slower = torch.arange(width) // 2 * 2 / width
    angle = torch.arange(steps)[:, None] / 10_000**slower
    return torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())


def attend(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, share: float) -> Tensor:
    """``F.scaled_dot_product_attention`` with dropout from the generator of this thread: the same kernels, the same numbers."""
    if not share or current_generator() is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=share)
    scale = query.shape[-1] ** -0.25
    weights = (query * scale) @ (key.transpose(-2, -1) * scale)
    if seen is not None:
        weights = weights + torch.zeros_like(seen, dtype=weights.dtype).masked_fill(~seen, -torch.inf)
    return dropout(weights.softmax(-1), share, training=True) @ value


def _seen(mask: Tensor | None) -> Tensor | None:
    """The mask as attention wants it; where no step is there, all are seen, as a mean of nothing is no number."""
    if mask is None:
        return None
    mask = mask.flatten(0, -2)
    return (mask | ~mask.any(-1, keepdim=True))[:, None, None]


PARTS: Parts = {
    kinds.Position: Position,
    kinds.MultiHeadAttention: MultiHeadAttention,
    kinds.StepDropout: StepDropout,
    kinds.Patches: Patches,
}
