"""Self-attention, attention pooling, positional encoding, word dropout and image patches.

A sequence is ``(..., steps, width)``, as in :mod:`lamina.graph.layers.sequence`.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, Share, Whole, one_of
from lamina.graph.layers.sequence import check_steps


@dataclass(frozen=True)
class Position(Layer):
    """Positional encoding: adds a vector for its position to each step.

    ``"sinusoidal"`` is fixed: ``PE(t, 2i) = sin(t / 10000^(2i/d))``, ``PE(t, 2i+1) = cos(t / 10000^(2i/d))`` (Vaswani et al.
    2017, arXiv 1706.03762, section 3.5). ``"learnt"`` is a trained vector for each position, initialised near zero.

    Args:
        kind: ``"sinusoidal"`` or ``"learnt"``.

    Shape:
        ``(..., steps, width)``, kept.

    Example:
        >>> Position("learnt").shape([(128, 64)])
        (128, 64)
    """

    kind: Annotated[str, one_of("sinusoidal", "learnt")] = "sinusoidal"

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"position": shape[-2:]} if self.kind == "learnt" else {}


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Multi-head self-attention.

    Each head has its own ``q``, ``k``, ``v``, linear in the input and ``width / heads`` wide, and computes
    ``softmax(q k^T / sqrt(width / heads)) v``; the heads are concatenated and mapped by a linear layer (Vaswani et al. 2017,
    arXiv 1706.03762, eq. 1 and section 3.2.2). Masked steps get no attention. Equal to ``nn.MultiheadAttention``, except that a
    fully masked sequence gives finite values, not NaN.

    The module's ``weights(x, mask)`` returns the attention weights ``(N, ..., heads, query steps, key steps)``.

    Args:
        heads: Number of heads; the width must be a multiple of it.
        dropout: Dropout rate of the attention weights.

    Shape:
        ``(..., steps, width)``, kept.

    Example:
        >>> MultiHeadAttention(4).shape([(128, 64)])
        (128, 64)
    """

    heads: Whole
    _: KW_ONLY
    dropout: Share = 0.0

    masked = True

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        if shape[-1] % self.heads:
            raise GraphError(
                f"MultiHeadAttention has {self.heads} heads, but was given a width of {shape[-1]}; give a multiple of the heads"
            )
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        width = shape[-1]
        inner = {"in_weight": (3 * width, width), "in_bias": (3 * width,)}
        return inner | {"out_weight": (width, width), "out_bias": (width,)}


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


@dataclass(frozen=True)
class StepDropout(Layer):
    """Word dropout: masks random steps while training (Iyyer et al. 2015, aclanthology.org/P15-1162).

    The remaining steps are not scaled up, as the means and the attention behind it are over fewer steps.

    Args:
        share: Dropout rate.

    Example:
        >>> StepDropout(0.3).shape([(128,)])
        (128,)
    """

    share: Share


@dataclass(frozen=True)
class Patches(Layer):
    """Split an image into flattened square patches, row by row: the steps of a vision transformer.

    Dosovitskiy et al. 2021 (arXiv 2010.11929, section 3.1). Images are padded with zeros at the right and the bottom to a
    multiple of the size.

    Args:
        size: Height and width of a patch in pixels.

    Shape:
        ``(channels, height, width)`` to ``(patches, channels * size * size)``.

    Example:
        >>> Patches(4).shape([(3, 32, 30)])
        (64, 48)
    """

    size: Whole

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise GraphError(f"Patches reads (channels, height, width), but was given {shape}; put Pixels() before it")
        channels, *sides = shape
        return (math.prod(-(-side // self.size) for side in sides), channels * self.size**2)
