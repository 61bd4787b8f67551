"""Steps: what turns a sequence into steps of another width, fewer steps, or none.

A sequence is ``(steps, width)``; more axes before it are sequences side by side, as ``(sentences, words, width)``. Which
steps are there is said by a mask, ``(steps,)`` or ``(sentences, words)``: ``graph.layer(..., mask="present")`` connects it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lamina.errors import GraphError
from lamina.graph.layer import ACTIVATIONS, Layer, Shape, check_share, check_whole, check_wholes, check_word


def check_steps(layer: Layer, shape: Shape) -> None:
    if len(shape) < 2:
        raise GraphError(f"{type(layer).__name__} reads (steps, width), but was given {shape}; put a Reshape before it")


@dataclass(frozen=True)
class Present(Layer):
    """A mask: true where something is there, that is where the code or the flag of a step is not 0.

    Example:
        >>> Present().shape([(128,)])
        (128,)
    """


@dataclass(frozen=True)
class AnyPresent(Layer):
    """The mask of the level above: a sentence is there when any of its words is.

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
    """The same fully connected neurons at every step, ``activation(W x_t + b)``.

    Args:
        size: Number of neurons.
        activation: By name, see ``ACTIVATIONS``.
        bias: Learn ``b``.
        dropout: Share of the neurons silenced at random while training.

    Shape:
        ``(..., steps, d)`` to ``(..., steps, size)``.

    Example:
        >>> StepDense(64, "relu").shape([(128, 300)])
        (128, 64)
    """

    size: int
    activation: str = "identity"
    bias: bool = field(default=True, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"weight": ("out", "in"), "bias": ("out",)}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")
        check_word(self, "activation", ACTIVATIONS)
        check_share(self, "dropout")

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return (*shape[:-1], self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.size, shape[-1])} | ({"bias": (self.size,)} if self.bias else {})


@dataclass(frozen=True)
class StepPool(Layer):
    """All steps as one: their mean, their greatest values, their sum, or the last step that is there.

    Steps that the mask says are not there do not count; a sequence without any step gives zeros.

    Args:
        kind: ``"mean"``, ``"max"``, ``"sum"`` or ``"last"``.

    Shape:
        ``(..., steps, d)`` to ``(..., d)``.

    Example:
        >>> StepPool("max").shape([(128, 64)])
        (64,)
    """

    kind: str = "mean"

    masked: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("mean", "max", "sum", "last"))

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return (*shape[:-2], shape[-1])


@dataclass(frozen=True)
class Chunk(Layer):
    """Cut the first axis into chunks of equal size: words into sentences, steps into stretches.

    Args:
        size: Steps in a chunk.

    Shape:
        ``(steps, ...)`` to ``(steps / size, size, ...)``.

    Example:
        >>> Chunk(25).shape([(500, 64)])
        (20, 25, 64)
    """

    size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")

    def result(self, shape: Shape) -> Shape:
        if shape[0] % self.size:
            raise GraphError(f"Chunk({self.size}) was given {shape[0]} steps; give a multiple of {self.size}")
        return (shape[0] // self.size, self.size, *shape[1:])


@dataclass(frozen=True)
class Reshape(Layer):
    """The same neurons on other axes; several inputs are laid end to end before.

    Args:
        sizes: The shape that comes out; one axis may be -1, whatever is left for it.

    Example:
        >>> Reshape((-1, 8)).shape([(40,), (24,)])
        (8, 8)
    """

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_wholes(self, "sizes", -1)

    def reads(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def result(self, shape: Shape) -> Shape:
        known = math.prod(size for size in self.sizes if size != -1)
        free = self.sizes.count(-1)
        if not self.sizes or free > 1 or known == 0 or shape[0] % known or (not free and known != shape[0]):
            raise GraphError(f"Reshape cannot make {self.sizes} of {shape[0]} neurons; give sizes whose product is {shape[0]}")
        return tuple(shape[0] // known if size == -1 else size for size in self.sizes)
