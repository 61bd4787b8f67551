"""Layers of sequences: masks, dense layers per step, pooling over steps, reshaping.

A sequence is ``(..., steps, width)``, as ``(sentences, words, width)``. Its mask, ``(..., steps)``, is true for present steps
and connected by ``graph.layer(..., mask="present")``.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from lamina.errors import GraphError
from lamina.graph.layer import ActivationName, Layer, Shape, Share, Whole, one_of, wholes


def check_steps(layer: Layer, shape: Shape) -> None:
    if len(shape) < 2:
        raise GraphError(f"{type(layer).__name__} reads (steps, width), but was given {shape}; put a Reshape before it")


@dataclass(frozen=True)
class Present(Layer):
    """A mask from codes or flags of steps: true where they are not 0.

    Example:
        >>> Present().shape([(128,)])
        (128,)
    """


@dataclass(frozen=True)
class AnyPresent(Layer):
    """The mask of the level above: a sentence is present if any of its words is.

    Shape:
        ``(..., steps)`` to ``(...)``.

    Example:
        >>> AnyPresent().shape([(30, 25)])
        (30,)
    """

    def result(self, shape: Shape) -> Shape:
        if len(shape) < 2:
            raise GraphError(f"AnyPresent reads (..., steps), but was given {shape}; put a Chunk before it")
        return shape[:-1]


@dataclass(frozen=True)
class StepDense(Layer):
    """The same fully connected layer at every step, ``activation(W x_t + b)``.

    Args:
        size: Number of neurons.
        activation: By name, see ``ACTIVATIONS``.
        bias: Train ``b``.
        dropout: Dropout rate of the output.

    Shape:
        ``(..., steps, d)`` to ``(..., steps, size)``.

    Example:
        >>> StepDense(64, "relu").shape([(128, 300)])
        (128, 64)
    """

    size: Whole
    activation: ActivationName = "identity"
    _: KW_ONLY
    bias: bool = True
    dropout: Share = 0.0

    axes = {"weight": ("out", "in"), "bias": ("out",)}

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return (*shape[:-1], self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.size, shape[-1])} | ({"bias": (self.size,)} if self.bias else {})


@dataclass(frozen=True)
class StepPool(Layer):
    """Pooling over the steps: mean, maximum, sum, or the last present step.

    Masked steps do not count; a fully masked sequence gives zeros.

    Args:
        kind: ``"mean"``, ``"max"``, ``"sum"`` or ``"last"``.

    Shape:
        ``(..., steps, d)`` to ``(..., d)``.

    Example:
        >>> StepPool("max").shape([(128, 64)])
        (64,)
    """

    kind: Annotated[str, one_of("mean", "max", "sum", "last")] = "mean"

    masked = True

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return (*shape[:-2], shape[-1])


@dataclass(frozen=True)
class Chunk(Layer):
    """Split the first axis into chunks of equal size.

    Args:
        size: Steps in a chunk.

    Shape:
        ``(steps, ...)`` to ``(steps / size, size, ...)``.

    Example:
        >>> Chunk(25).shape([(500, 64)])
        (20, 25, 64)
    """

    size: Whole

    def result(self, shape: Shape) -> Shape:
        if shape[0] % self.size:
            raise GraphError(f"Chunk({self.size}) was given {shape[0]} steps; give a multiple of {self.size}")
        return (shape[0] // self.size, self.size, *shape[1:])


@dataclass(frozen=True)
class Reshape(Layer):
    """Reshape the input; several inputs are flattened and concatenated first.

    Args:
        sizes: The output shape; one axis may be -1, which is inferred.

    Example:
        >>> Reshape((-1, 8)).shape([(40,), (24,)])
        (8, 8)
    """

    sizes: Annotated[tuple[int, ...], wholes(-1)]

    flattens = True

    def result(self, shape: Shape) -> Shape:
        product = math.prod(size for size in self.sizes if size != -1)
        free = self.sizes.count(-1)
        if not self.sizes or free > 1 or product == 0 or shape[0] % product or (not free and product != shape[0]):
            raise GraphError(f"Reshape cannot make {self.sizes} of {shape[0]} neurons; give sizes whose product is {shape[0]}")
        return tuple(shape[0] // product if size == -1 else size for size in self.sizes)
