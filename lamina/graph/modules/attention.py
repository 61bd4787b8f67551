"""The modules of :mod:`lamina.graph.layers.attention`."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.modules.part import Part, uniform
from lamina.graph.random import current_generator, dropout


class Position(Part):
    def initialise(self, generator: Generator) -> None:
        if self.layer.kind == "learnt":
            self.position.normal_(0, 0.02, generator=generator)
        else:
            self.register_buffer("position", sinusoidal(*self.shape[-2:]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position


class MultiHeadAttention(Part):
    def initialise(self, generator: Generator) -> None:
        uniform(generator, self.shape[-1], self.in_weight, self.out_weight)
        self.in_bias.fill_(0)
        self.out_bias.fill_(0)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        flat = x.flatten(0, -3)
        query, key, value = self._heads(flat)
        dropout = self.layer.dropout if self.training else 0.0
        y = attend(query, key, value, _attention_mask(mask), dropout)
        return F.linear(y.transpose(1, 2).flatten(2), self.out_weight, self.out_bias).view(x.shape)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The attention weights ``(N, ..., heads, query steps, key steps)``; they sum to 1 over the keys."""
        query, key, _ = self._heads(x.flatten(0, -3))
        score = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        allowed = _attention_mask(mask)
        score = score if allowed is None else score.masked_fill(~allowed, -torch.inf)
        return score.softmax(-1).unflatten(0, x.shape[:-2])

    def _heads(self, x: Tensor) -> tuple[Tensor, ...]:
        """Query, key and value, each (sequences, heads, steps, width of a head)."""
        projected = F.linear(x, self.in_weight, self.in_bias)
        return projected.unflatten(-1, (3, self.layer.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class AttentionPool(Part):
    def initialise(self, generator: Generator) -> None:
        uniform(generator, self.shape[-1], self.weight, self.bias)
        uniform(generator, len(self.bias), self.context)

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The attention weights ``(N, ..., heads, steps)``; they sum to 1, or are 0 in a fully masked sequence."""
        score = F.linear(torch.tanh(F.linear(x, self.weight, self.bias)), self.context).transpose(-1, -2)
        if mask is None:
            return score.softmax(-1)
        # The lowest number instead of minus infinity: no NaN in a fully masked sequence, forward or backward.
        present = mask.unsqueeze(-2)
        return score.masked_fill(~present, torch.finfo(score.dtype).min).softmax(-1) * present

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        parts = x.unflatten(-1, (self.layer.heads, -1)).transpose(-3, -2)  # (..., heads, steps, d / heads)
        return (self.weights(x, mask).unsqueeze(-2) @ parts).flatten(-3)


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


def sinusoidal(steps: int, width: int) -> Tensor:
    """The sinusoidal positional encoding (steps, width): sine and cosine alternate."""
    exponent = torch.arange(width) // 2 * 2 / width
    angle = torch.arange(steps)[:, None] / 10_000**exponent
    return torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())


def attend(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None, share: float) -> Tensor:
    """``F.scaled_dot_product_attention`` with dropout from the generator of this thread: the same kernels, the same numbers."""
    if not share or current_generator() is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=share)
    scale = query.shape[-1] ** -0.25
    weights = (query * scale) @ (key.transpose(-2, -1) * scale)
    if allowed is not None:
        weights = weights + torch.zeros_like(allowed, dtype=weights.dtype).masked_fill(~allowed, -torch.inf)
    return dropout(weights.softmax(-1), share, training=True) @ value


def _attention_mask(mask: Tensor | None) -> Tensor | None:
    """The mask for attention; in a fully masked sequence all steps are allowed, to avoid NaN."""
    if mask is None:
        return None
    mask = mask.flatten(0, -2)
    return (mask | ~mask.any(-1, keepdim=True))[:, None, None]
