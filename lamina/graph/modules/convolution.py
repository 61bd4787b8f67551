"""Images and sequences through windows, at work."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from lamina.graph.layers import convolution as kinds
from lamina.graph.modules.part import Part, Parts

_ROWS = 4096


class Pixels(Part):
    """Channels last in memory, as images are stored and convolutions on a CPU are fastest: the result is a view for free."""

    mean: Tensor
    scale: Tensor

    def initialise(self, generator: Generator) -> None:
        self.register_buffer("mean", torch.full(self.shape[2:], 127.5))
        self.register_buffer("scale", torch.full(self.shape[2:], 1 / 64))

    def prepare(self, x: Tensor) -> None:
        """Mean and standard deviation of each channel over all pixels, in float64."""
        total, square, count = 0.0, 0.0, x[..., 0].numel()
        for part in x.split(_ROWS):
            values = part.flatten(0, -2).double()
            total, square = total + values.sum(0), square + (values * values).sum(0)
        mean = total / count
        deviation = (square / count - mean**2).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 0, 1 / deviation, torch.ones_like(deviation)))

    def forward(self, x: Tensor) -> Tensor:
        return ((x.to(self.mean.dtype) - self.mean) * self.scale).permute(0, 3, 1, 2)


PARTS: Parts = {kinds.Pixels: Pixels}
