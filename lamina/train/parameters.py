"""All trainable numbers of a network in one flat tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lamina.errors import TrainingError

_LINE = 64  # bytes: every parameter starts on a cache line, as a tensor of its own would


class FlatParameters:
    """The trainable parameters of a module as views into one contiguous tensor, their gradients into another.

    An optimizer is then a handful of operations whatever the number of layers, the norm of the gradient is one operation,
    and the weights of a checkpoint are one tensor. Parameters that weight decay shrinks come first, the rest (biases and
    other one-dimensional ones) after, so that decay is one operation on :attr:`decaying`. The module stays a plain
    ``nn.Module``: its parameters are the same objects with the same values, only their memory has moved.

    Args:
        module: The network; parameters with ``requires_grad=False`` are left alone.
        no_decay: ``(name, parameter) -> bool``, true for parameters that weight decay must leave alone; by default those
            with fewer than two dimensions.

    Raises:
        TrainingError: The module has nothing to train, or parameters of several dtypes or devices.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> flat = FlatParameters(net)
        >>> _ = flat.value.fill_(0.5)
        >>> net(torch.ones(1, 2)).item()
        1.5
    """

    def __init__(self, module: nn.Module, *, no_decay: Callable[[str, nn.Parameter], bool] | None = None) -> None:
        if no_decay is None:
            no_decay = _is_vector
        named = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
        if not named:
            raise TrainingError("the network has no trainable parameters, expected at least one; add a layer with weights")
        kinds = sorted({f"{parameter.dtype} on {parameter.device}" for _, parameter in named})
        if len(kinds) > 1:
            raise TrainingError(f"the parameters are {' and '.join(kinds)}, expected one dtype and device; convert the network")
        named.sort(key=lambda item: no_decay(*item))  # stable: False (decays) before True

        first = named[0][1]
        line = _LINE // first.element_size()
        starts, size, self._decay_end = [], 0, 0
        for name, parameter in named:
            starts.append(size)
            size += -(-parameter.numel() // line) * line
            if not no_decay(name, parameter):
                self._decay_end = size

        self.value = torch.zeros(size, dtype=first.dtype, device=first.device)
        self.gradient = torch.zeros_like(self.value)
        self.names = tuple(name for name, _ in named)
        self.parameters = tuple(parameter for _, parameter in named)
        self.views = tuple(self._view(self.value, start, p) for start, p in zip(starts, self.parameters, strict=True))
        self.gradients = tuple(self._view(self.gradient, start, p) for start, p in zip(starts, self.parameters, strict=True))
        for parameter, view, gradient in zip(self.parameters, self.views, self.gradients, strict=True):
            view.copy_(parameter.detach())
            parameter.data = view
            parameter.grad = gradient

    @staticmethod
    def _view(flat: Tensor, start: int, parameter: nn.Parameter) -> Tensor:
        return flat[start : start + parameter.numel()].view(parameter.shape)

    def decaying(self, flat: Tensor) -> Tensor:
        """The part of a flat tensor (the values, the gradients, ...) that weight decay acts on."""
        return flat[: self._decay_end]

    def release(self) -> None:
        """Give every parameter memory of its own again, for a module that is taken away, copied or pickled."""
        for parameter in self.parameters:
            parameter.data = parameter.detach().clone()
            parameter.grad = None


def _is_vector(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim < 2
