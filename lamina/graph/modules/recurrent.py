"""The modules of :mod:`lamina.graph.layers.recurrent`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from lamina.graph.layer import Shape
from lamina.graph.layers import recurrent as kinds
from lamina.graph.modules.part import MODULES, Part
from lamina.graph.modules.sequence import first_step, last_step
from lamina.graph.random import dropout

#: The state of a recurrent layer.
State = tuple[Tensor, ...]


class Recurrent(Part):
    """PyTorch's kernels, one direction at a time; padding is at the end, so sequences are not packed."""

    def initialise(self, generator: Generator) -> None:
        for way in self.layer.ways:
            weight, weight_state, bias, bias_state = self._tensors(way)
            for gate, gate_state in zip(weight, weight_state, strict=True):
                nn.init.xavier_uniform_(gate, generator=generator)
                nn.init.orthogonal_(gate_state, generator=generator)
            bias.fill_(0)
            bias_state.fill_(0)
            if self.layer.cell == "lstm":
                bias[1] = 1  # the forget gate

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        sides = x.flatten(0, -3)
        outputs = [self._run(sides, "", self.begin(sides))[0]]
        if self.layer.bidirectional:
            order = _backwards(sides, None if mask is None else mask.flatten(0, -2))
            back = self._run(_in_order(sides, order), "_back", self.begin(sides))[0]
            outputs.append(_in_order(back, order))
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        y = dropout(y, self.layer.dropout, self.training)
        return y.view(*x.shape[:-1], y.shape[-1])

    def begin(self, x: Tensor) -> State:
        """The initial state for these rows."""
        return (x.new_zeros(1, x.shape[0], self.layer.size),) * (2 if self.layer.cell == "lstm" else 1)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """The outputs and the next state for more steps, (N, steps, width)."""
        return self._run(x, "", state)

    def _run(self, x: Tensor, way: str, state: State) -> tuple[Tensor, State]:
        weights = [tensor.flatten(0, 1) for tensor in self._tensors(way)]
        weights = _contiguous(weights) if x.is_cuda else weights
        options = (weights, True, 1, 0.0, self.training, False, True)
        if self.layer.cell == "lstm":
            y, *after = torch.lstm(x, state, *options)
        else:
            kernel = torch.gru if self.layer.cell == "gru" else torch.rnn_tanh
            y, *after = kernel(x, state[0], *options)
        return y, tuple(after)

    def _tensors(self, way: str) -> list[Tensor]:
        return [getattr(self, name + way) for name in ("weight", "weight_state", "bias", "bias_state")]


def _contiguous(tensors: list[Tensor]) -> list[Tensor]:
    """Copies in one contiguous block, as cuDNN needs them, else it warns and copies them itself."""
    whole = torch.cat([tensor.flatten() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(whole.split([t.numel() for t in tensors]), tensors, strict=True)]


def _backwards(x: Tensor, mask: Tensor | None) -> Tensor:
    """The indices into (N * steps, width) that reverse each sequence of (N, steps, width); padding stays in place."""
    rows, steps = x.shape[:2]
    place = torch.arange(steps, device=x.device)
    reverse = place.flip(0).expand(rows, steps)
    if mask is not None:
        reverse = mask.sum(-1, keepdim=True) - 1 - place
        reverse = torch.where(reverse < 0, place, reverse)
    return (reverse + torch.arange(0, rows * steps, steps, device=x.device)[:, None]).flatten()


def _in_order(x: Tensor, order: Tensor) -> Tensor:
    return x.flatten(0, 1).index_select(0, order).view_as(x)


class Ends(Part):
    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        forwards, backwards = x.chunk(2, -1)
        if mask is None:
            return torch.cat([forwards[..., -1, :], backwards[..., 0, :]], -1)
        return torch.cat([last_step(forwards, mask), first_step(backwards, mask)], -1)


class Loop(nn.Module):
    """A net inside a net."""

    #: ``lamina.graph.net.Net``; that module sets it, because it imports this one.
    net_class: ClassVar[Any]

    def __init__(self, layer: kinds.Loop, shape: Shape, generator: Generator) -> None:
        super().__init__()
        self.net: Any = self.net_class(layer.plan, seed=int(torch.randint(2**62, (), generator=generator)))
        (self.input,) = self.net.plan.inputs
        (self.output,) = self.net.plan.outputs.values()

    def forward(self, x: Tensor) -> Tensor:
        y = self.net.activations({self.input: x.flatten(0, -3)}, [self.output])[self.output]
        return y.view(*x.shape[:-1], y.shape[-1])

    def begin(self, x: Tensor) -> dict[str, Tensor]:
        """The initial state for these rows: an output for every node of the graph."""
        return {name: x.new_zeros(x.shape[0], *shape) for name, shape in self.net.plan.shapes.items()}

    def step(self, x: Tensor, previous: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output and the next state for one more step, (N, 1, width)."""
        now = {self.input: x[:, 0]}
        for name in self.net.plan.order:
            read = [(previous if edge.delay else now)[edge.source] for edge in self.net.plan.edges[name]]
            now[name] = self.net.get_submodule(name)(self.net._join(name, read))
        return now[self.output][:, None], now


MODULES[kinds.Loop] = Loop
