"""The module of :mod:`lamina.graph.layers.attention_pool`."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.modules.part import Part, uniform


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
