"""All trainable parameters of a network in one flat tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lamina.errors import TrainingError
from lamina.graph.modules.convolution import Convolution
from lamina.graph.modules.dense import Dense

_MATRICES = (Dense, Convolution, nn.Linear, nn.Conv1d, nn.Conv2d)
_LINE = 64  # bytes: every parameter starts on a cache line, as a tensor of its own would


class FlatParameters:
    """The trainable parameters of a module as views into one contiguous tensor, their gradients into another.

    An optimizer step is then a few operations, whatever the number of layers. Parameters with weight decay (all but biases,
    embeddings of numbers and the scales of members) come first, so that decay is one operation on :meth:`decaying`. The
    parameters of the module are the same objects with the same values.

    Args:
        module: The network; parameters with ``requires_grad=False`` are not included.
        members: The first dimension of each parameter is that of the members of a population.

    Raises:
        TrainingError: The module has no trainable parameters, or parameters of several dtypes or devices.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> flat = FlatParameters(net)
        >>> _ = flat.value.fill_(0.5)
        >>> net(torch.ones(1, 2)).item()
        1.5
    """

    def __init__(self, module: nn.Module, *, members: bool = False) -> None:
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        if not named:
            raise TrainingError("the network has no trainable parameters, expected at least one; add a layer with weights")
        kinds = sorted({f"{parameter.dtype} on {parameter.device}" for _, parameter in named})
        if len(kinds) > 1:
            raise TrainingError(f"the parameters are {' and '.join(kinds)}, expected one dtype and device; convert the network")
        named.sort(key=lambda item: not _decays(*item, members))  # stable
        self.names = tuple(name for name, _ in named)
        self.parameters = tuple(parameter for _, parameter in named)

        line = _LINE // self.parameters[0].element_size()
        size, self._starts, self._decay_end = 0, [], 0
        for name, parameter in named:
            self._starts.append(size)
            size += -(-parameter.numel() // line) * line
            if _decays(name, parameter, members):
                self._decay_end = size

        weights = _hidden_weights(module)
        self._hidden = [place for place, parameter in enumerate(self.parameters) if id(parameter) in weights]

        self.value = self.parameters[0].new_zeros(size)
        self.gradient = torch.zeros_like(self.value)
        self.views, self.gradients = self.parts(self.value), self.parts(self.gradient)
        for parameter, view, gradient in zip(self.parameters, self.views, self.gradients, strict=True):
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = gradient

    def parts(self, flat: Tensor) -> tuple[Tensor, ...]:
        """Views of a flat tensor (values, gradients, state of an optimizer) in the shape of each parameter."""
        places = zip(self.parameters, self._starts, strict=True)
        return tuple(flat[start : start + parameter.numel()].view(parameter.shape) for parameter, start in places)

    def hidden_weights(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Of the views of all parameters (values or gradients) those of the weights of hidden layers, as (outputs, inputs)."""
        return [parts[place].flatten(1) for place in self._hidden]

    def decaying(self, flat: Tensor) -> Tensor:
        """The part of a flat tensor (values, gradients) with weight decay."""
        return flat[: self._decay_end]

    def release(self) -> None:
        """Give every parameter its own memory again, as before copying or pickling the module."""
        for parameter in self.parameters:
            parameter.data = parameter.detach().clone()
            parameter.grad = None


def _hidden_weights(module: nn.Module) -> set[int]:
    """The ids of the weights of fully connected and convolutional layers, without those of the last layer."""
    weights = [(layer, getattr(layer, "weight", None)) for layer in module.modules()]
    weights = [(layer, weight) for layer, weight in weights if isinstance(weight, nn.Parameter) and weight.ndim > 1]
    return {id(weight) for layer, weight in weights[:-1] if isinstance(layer, _MATRICES)}


def _decays(name: str, parameter: nn.Parameter, members: bool) -> bool:
    return parameter.ndim > 1 + members and "weight" in name.rpartition(".")[2]
