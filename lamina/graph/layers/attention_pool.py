"""Pooling by attention: what a sequence says as a whole, when some of its steps say more than others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, check_whole
from lamina.graph.layers.sequence import check_steps


@dataclass(frozen=True)
class AttentionPool(Layer):
    """All steps as one: their weighted mean, where learnt attention says how much each step weighs.

    A mean drowns one telling sentence among a thousand others; attention can give it nearly all of the weight, and the weights
    say afterwards what was looked at. After Yang et al. 2016 (aclanthology.org/N16-1174, eq. 5-7 for words, 8-10 for
    sentences)::

        u_t = tanh(W h_t + b)        a = softmax over steps of (context . u_t)        y = sum of a_t h_t

    We differ where there are several heads: each has a context vector of its own and weighs its own part of ``h``.

    Steps that the mask says are not there weigh nothing; a sequence without any step gives zeros.

    Args:
        size: Neurons of ``u``; ``None`` for as many as ``h`` has.
        heads: How many places can be looked at independently; the width must be a multiple.

    Shape:
        ``(..., steps, d)`` to ``(..., d)``.

    Example:
        >>> AttentionPool().shape([(30, 25, 64)])
        (30, 64)
    """

    size: int | None = None
    heads: int = field(default=1, kw_only=True)

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"weight": ("out", "in"), "bias": ("out",), "context": ("head", "out")}
    unitwise: ClassVar[bool] = True
    masked: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None:
            check_whole(self, "size")
        check_whole(self, "heads")

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        if shape[-1] % self.heads:
            raise GraphError(
                f"AttentionPool has {self.heads} heads for a width of {shape[-1]}; give a number of heads that divides it"
            )
        return (*shape[:-2], shape[-1])

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        size = self.size or shape[-1]
        return {"weight": (size, shape[-1]), "bias": (size,), "context": (self.heads, size)}
