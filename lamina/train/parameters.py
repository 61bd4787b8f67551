"""All trainable parameters of a network in one flat tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lamina.errors import TrainingError

_LINE = 64  # bytes: every parameter starts on a cache line, as a tensor of its own would


class FlatParameters:
    """The trainable parameters of a module as views into one contiguous tensor, their gradients into another.

    An optimizer step is then a few operations, whatever the number of layers. Parameters with weight decay come first, so that
    decay is one operation on :meth:`decaying`. The parameters of the module are the same objects with the same values.

    Args:
        module: The network; parameters with ``requires_grad=False`` are not included.
        no_decay: ``(name, parameter) -> bool``, true for parameters without weight decay; by default those with fewer than two
            dimensions.

    Raises:
        TrainingError: The module has no trainable parameters, or parameters of several dtypes or devices.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> flat = FlatParameters(net)
        >>> _ = flat.value.fill_(0.5)
        >>> net(torch.ones(1, 2)).item()
        1.5
    """

    def __init__(self, module: nn.Module, *, no_decay: Callable[[str, nn.Parameter], bool] | None = None) -> None:
        no_decay = no_decay or (lambda _, parameter: parameter.ndim < 2)
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
        """The part of a flat tensor (values, gradients) with weight decay."""
        return flat[: self._decay_end]

    def release(self) -> None:
        """Give every parameter its own memory again, as before copying or pickling the module."""
        for parameter in self.parameters:
            parameter.data = parameter.detach().clone()
            parameter.grad = None
