"""The base class of the modules of layers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn

from lamina.graph.layer import KINDS, Layer, Shape, notes, size_text

#: The constructor of each kind's module, from (layer, shape of its joined input, generator).
MODULES: dict[type[Layer], Callable[[Any, Shape, Generator], nn.Module]] = {}

SLOW = 0.1
"""Factor of parameters that are stored larger than they are, so of the learning rate of optimizers with steps of one size."""


class Part(nn.Module):
    """Base class of the modules of layers, named as their layer: creates the parameters that the layer declares.

    A module may have ``prepare(x)``, for ``Net.prepare``, and ``weights(x, mask)``, for ``Net.attention``.
    """

    layer: Any

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Tensor: ...  # a parameter or buffer

    def __init_subclass__(cls) -> None:
        MODULES[KINDS[cls.__name__]] = cls

    def __init__(self, layer: Layer, shape: Shape, generator: Generator) -> None:
        super().__init__()
        self.layer = layer
        self.shape = shape
        for name, size in layer.tensors(shape).items():
            self.register_parameter(name, nn.Parameter(torch.empty(size, dtype=torch.float32)))
        if not hasattr(self, "bias"):
            self.register_parameter("bias", None)
        with torch.no_grad():
            self.initialise(generator)

    def initialise(self, generator: Generator) -> None:
        """Initialise the parameters and register the buffers."""

    def extra_repr(self) -> str:
        sizes = f"{size_text(self.shape)} -> {size_text(self.layer.result(self.shape))}"
        return ", ".join([sizes, *notes(self.layer)])


def uniform(generator: Generator, fan_in: int, *tensors: Tensor, activation: str = "identity") -> None:
    """Initialise uniformly within +-1 / sqrt(fan_in), as ``nn.Linear``; for ``lecun_tanh`` with variance 1 / fan_in.

    The latter is LeCun et al. 1998, Efficient BackProp, section 4.6.
    """
    bound = math.sqrt((3 if activation == "lecun_tanh" else 1) / fan_in)
    for tensor in tensors:
        tensor.uniform_(-bound, bound, generator=generator)
