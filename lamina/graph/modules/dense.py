"""The modules of :mod:`lamina.graph.layers.dense`."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from lamina.graph.activations import ACTIVATIONS
from lamina.graph.modules.part import SLOW, Part, uniform
from lamina.graph.random import dropout


class Dense(Part):
    def initialise(self, generator: Generator) -> None:
        layer, fan_in = self.layer, self.shape[-1]
        if not layer.adapter:
            uniform(generator, fan_in, *self.parameters(), activation=layer.activation)
            return
        uniform(generator, fan_in, self.weight, activation=layer.activation)
        self.s.fill_(1)
        self.r.fill_(1)
        if len(self.shape) == 1:  # the first layer with members: here they begin to differ
            widths = torch.tensor(layer.chunks or (1,) * fan_in)
            signs = torch.empty(layer.members, len(widths)).bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
            self.r.copy_(signs.repeat_interleave(widths, 1))
        if layer.bias:
            uniform(generator, fan_in, self.b[0])
            self.b.copy_(self.b[0].expand_as(self.b))  # the same initial bias for all members, as in TabM

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        if layer.adapter and x.dim() == 2:
            # (s * W * r) x instead of s * (W (r * x)): one product for all members, and no copy of x for each.
            weight = (self.weight * self.r[:, None] * self.s[:, :, None]).flatten(0, 1)
            y = F.linear(x, weight, self.b.flatten() if layer.bias else None).unflatten(1, self.s.shape)
        elif layer.adapter:
            y = F.linear(x * self.r, self.weight)
            y = torch.addcmul(self.b, y, self.s) if layer.bias else y * self.s
        else:
            y = F.linear(x, self.weight, self.bias)
            if layer.members is not None and x.dim() == 2:
                y = y[:, None].expand(-1, layer.members, -1)
        y = ACTIVATIONS[layer.output](ACTIVATIONS[layer.activation](y))
        return dropout(y, layer.dropout, self.training)


class MemberDense(Part):
    def initialise(self, generator: Generator) -> None:
        uniform(generator, self.shape[-1], *self.parameters())

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1) if x.dim() == 3 else x.expand(self.layer.members, *x.shape)
        y = torch.baddbmm(self.bias[:, None], x, self.weight) if self.layer.bias else torch.bmm(x, self.weight)
        return ACTIVATIONS[self.layer.activation](y.transpose(0, 1))


class NTKDense(Part):
    """Bias and slope are stored ten times as large as they are: for Adam that is a tenth of the learning rate."""

    def initialise(self, generator: Generator) -> None:
        self.weight.normal_(generator=generator)
        self.bias.normal_(generator=generator).div_(SLOW)
        if self.layer.parametric:
            self.slope.fill_(1 / SLOW)

    def forward(self, x: Tensor) -> Tensor:
        layer = self.layer
        z = torch.addmm(self.bias * SLOW, x, self.weight.t(), alpha=1 / math.sqrt(self.shape[-1]))
        y = ACTIVATIONS[layer.activation](z)
        if layer.parametric:
            y = torch.addcmul(z, self.slope * SLOW, y - z)
        return dropout(y, layer.dropout, self.training)


class Scale(Part):
    def initialise(self, generator: Generator) -> None:
        self.weight.fill_(self.layer.initial / self.layer.rate)

    def forward(self, x: Tensor) -> Tensor:
        return x * (self.weight * self.layer.rate)


class Activation(Part):
    def forward(self, x: Tensor) -> Tensor:
        return ACTIVATIONS[self.layer.name](x)


class Dropout(Part):
    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.layer.share, self.training)


class Norm(Part):
    def initialise(self, generator: Generator) -> None:
        self.weight.fill_(1)
        self.bias.fill_(0)
        if self.layer.kind == "batch":
            self.register_buffer("running_mean", torch.zeros_like(self.weight))
            self.register_buffer("running_variance", torch.ones_like(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.kind == "layer":
            return F.layer_norm(x, self.shape[-1:], self.weight, self.bias)
        mean, variance = self.running_mean.flatten(), self.running_variance.flatten()  # views: updated in place
        training = self.training and len(x) > 1  # a batch of one row has no variance
        flat = x if x.dim() == 4 else x.flatten(1)  # an image has one mean for each channel
        y = F.batch_norm(flat, mean, variance, self.weight.flatten(), self.bias.flatten(), training)
        return y.view_as(x)


class Join(Part):
    """The identity, as the net flattens and joins the inputs."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Join):
    pass
