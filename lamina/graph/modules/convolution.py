"""The modules of :mod:`lamina.graph.layers.convolution`.

A sequence is computed as an image of height 1 in channels-last memory format: no copy is made.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.activations import ACTIVATIONS
from lamina.graph.modules.part import Part, uniform
from lamina.graph.random import dropout


class Pixels(Part):
    """The result is channels last in memory: a view, and fastest for convolutions on a CPU."""

    def initialise(self, generator: Generator) -> None:
        self.register_buffer("mean", torch.full(self.shape[2:], 127.5))
        self.register_buffer("scale", torch.full(self.shape[2:], 1 / 64))
        _, *outer = self.layer.result(self.shape)
        down, right = (size - inner for size, inner in zip(outer, self.shape[:2], strict=True))
        self.border = [0, 0, right // 2, right - right // 2, down // 2, down - down // 2]

    def prepare(self, x: Tensor) -> None:
        """Mean and standard deviation of each channel over all pixels, padding included, in float64."""
        total, square = torch.zeros(2, self.shape[2], dtype=torch.float64, device=x.device)
        _, height, width = self.layer.result(self.shape)
        for part in x.split(4096):
            values = part.flatten(0, -2).double()
            total, square = total + values.sum(0), square + (values * values).sum(0)
        count = len(x) * height * width
        mean = total / count
        deviation = (square / count - mean**2).clamp_min(0).sqrt()
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(deviation > 0, 1 / deviation, torch.ones_like(deviation)))

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.border) if any(self.border) else x
        return ((x.to(self.mean.dtype) - self.mean) * self.scale).permute(0, 3, 1, 2)


class Convolution(Part):
    def initialise(self, generator: Generator) -> None:
        layer = self.layer
        window = layer.kernel ** (len(self.shape) - 1)
        self.width = self.shape[0] if len(self.shape) == 3 else self.shape[1]
        if not layer.table:
            uniform(generator, window * self.width // layer.groups, *self.parameters(), activation=layer.activation)
            return
        uniform(generator, window * max(map(len, layer.table)), *self.parameters())
        places = [out * self.width + i for out, inputs in enumerate(layer.table) for i in inputs]
        self.register_buffer("place", torch.tensor(places, dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        layer, weight, steps = self.layer, self.weight, x.dim() == 3
        if layer.table:  # channels that are not connected have weight zero
            weight = weight.new_zeros(layer.channels * self.width, *weight.shape[1:]).index_copy(0, self.place, weight)
            weight = weight.unflatten(0, (layer.channels, self.width))
        if mask is not None:
            x = x * mask[..., None].to(x.dtype)
        if steps:  # (N, steps, d) to (N, d, 1, steps)
            x, weight = x.transpose(1, 2).unsqueeze(2), weight.unsqueeze(2)
        padding = layer.reach - 1 if layer.padding == "same" else 2 * layer.padding
        if padding % 2:  # an even kernel: one more zero at the end
            x = F.pad(x, [0, 1, 0, 0 if steps else 1])
        sides = (0, padding // 2) if steps else padding // 2
        y = F.conv2d(x, weight, self.bias, layer.stride, sides, layer.dilation, layer.groups)
        y = ACTIVATIONS[layer.activation](y.squeeze(2).transpose(1, 2) if steps else y)
        return dropout(y, layer.dropout, self.training)


class Pool(Part):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        layer, steps = self.layer, x.dim() == 3
        size, stride, padding = layer.size, layer.step, layer.padding
        if not steps:
            if layer.kind == "max":
                return F.max_pool2d(x, size, stride, padding)
            return F.avg_pool2d(x, size, stride, padding, count_include_pad=False)
        # Steps of a window that are outside are masked.
        present = x.new_ones(x.shape[:2]) if mask is None else mask.to(x.dtype)
        after = (self.layer.result(self.shape)[0] - 1) * stride + size - x.shape[1] - padding
        x, present = F.pad(x, [0, 0, padding, after]), F.pad(present, [padding, after])
        x, present = x.unfold(1, size, stride), present.unfold(1, size, stride)[:, :, None]
        if layer.kind == "max":
            y = x.masked_fill(present == 0, -torch.inf).amax(-1)
            return torch.where((present != 0).any(-1), y, torch.zeros_like(y))
        return (x * present).sum(-1) / present.sum(-1).clamp_min(1)


class PoolMask(Part):
    def forward(self, mask: Tensor) -> Tensor:
        layer = self.layer
        stride = layer.stride or layer.size
        after = (layer.result(self.shape)[0] - 1) * stride + layer.size - mask.shape[1] - layer.padding
        return F.pad(mask, [layer.padding, after]).unfold(1, layer.size, stride).any(-1)


class GlobalPool(Part):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if self.layer.kind == "average" else x.amax((2, 3))


class Subsample(Part):
    def initialise(self, generator: Generator) -> None:
        self.weight.fill_(1 / self.layer.size)  # keeps the variance of independent inputs
        self.bias.fill_(0)

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, self.layer.size, divisor_override=1)
        return ACTIVATIONS[self.layer.activation](total * self.weight[:, None, None] + self.bias[:, None, None])


#: The digits as 12 rows of 7 pixels, side by side.
_DIGITS = """
.#####. ...##.. .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## ##...## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .####.. ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## .##.##. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## .....## ##..##. ##..... ##..... ....##. ##...## ##...##
##...## ...##.. ....##. ..####. ##..##. ######. ######. ....##. .#####. .######
##...## ...##.. ...##.. .....## ####### .....## ##...## ...##.. ##...## .....##
##...## ...##.. ..##... .....## ....##. .....## ##...## ...##.. ##...## .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## .##.... ##...## ....##.
.#####. .###### ####### .#####. ....##. .#####. .#####. .##.... .#####. .####..
"""


class RadialBasis(Part):
    def initialise(self, generator: Generator) -> None:
        size, width = self.layer.size, self.shape[0]
        rows = [line.split() for line in _DIGITS.split("\n") if line]
        if size <= len(rows[0]) and width == len(rows) * len(rows[0][0]):
            codes = torch.tensor([[2.0 * (c == "#") - 1 for row in rows for c in row[digit]] for digit in range(size)])
        else:
            codes = torch.empty(size, width).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        self.register_buffer("codes", codes)

    def forward(self, x: Tensor) -> Tensor:
        # -|x - c|^2 = 2 x c - |x|^2 - |c|^2, in one product; |c|^2 is the width, as c is -1 or 1.
        width = x.shape[1]
        return (2 * F.linear(x, self.codes) - (x * x).sum(1, keepdim=True) - width) / math.sqrt(width)
