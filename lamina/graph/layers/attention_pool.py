"""Attention pooling."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, Whole
from lamina.graph.layers.sequence import check_steps


@dataclass(frozen=True)
class AttentionPool(Layer):
    """The mean of all steps weighted by attention (Yang et al. 2016, aclanthology.org/N16-1174, eq. 5-7 and 8-10)::

        u_t = tanh(W h_t + b)        a = softmax over steps of (context . u_t)        y = sum of a_t h_t

    Unlike there, several heads are possible: each has its own context vector and its own part of ``h``. Masked steps get weight
    0; a fully masked sequence gives zeros.

    Args:
        size: Neurons of ``u``; ``None`` for the width of ``h``.
        heads: Number of heads; the width must be a multiple of it.

    Shape:
        ``(..., steps, d)`` to ``(..., d)``.

    Example:
        >>> AttentionPool().shape([(30, 25, 64)])
        (30, 64)
    """

    size: Whole | None = None
    _: KW_ONLY
    heads: Whole = 1

    axes = {"weight": ("out", "in"), "bias": ("out",), "context": ("head", "out")}
    unitwise = True
    masked = True

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
