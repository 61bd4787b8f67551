"""Attention: every step looks at every other step of its sequence; and what makes steps of an image and tells steps apart.

A sequence is ``(steps, width)``, with any axes before it for sequences side by side, as in :mod:`lamina.graph.layers.sequence`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, check_share, check_whole, check_word
from lamina.graph.layers.sequence import check_steps


@dataclass(frozen=True)
class Position(Layer):
    """Add to each step what says where it stands, as attention by itself does not know the order of steps.

    ``"sinusoidal"`` is fixed: waves from one that turns at every step to one that turns over 10,000 (Vaswani et al. 2017,
    arXiv 1706.03762, section 3.5). ``PE(t, 2i) = sin(t / 10000^(2i/d))``, ``PE(t, 2i+1)`` its cosine. ``"learnt"`` is a vector
    for each place, which begins near zero.

    Args:
        kind: ``"sinusoidal"`` or ``"learnt"``.

    Shape:
        ``(..., steps, width)``, kept.

    Example:
        >>> Position("learnt").shape([(128, 64)])
        (128, 64)
    """

    kind: str = "sinusoidal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("sinusoidal", "learnt"))

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"position": shape[-2:]} if self.kind == "learnt" else {}


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Every step becomes a mean of all steps, weighted by how well its query meets their keys; several times side by side.

    Each head has its own ``q``, ``k``, ``v``, linear in the input and ``width / heads`` wide, and gives
    ``softmax(q k^T / sqrt(width / heads)) v``; the heads are laid end to end and mapped by a last matrix (Vaswani et al. 2017,
    arXiv 1706.03762, eq. 1 and section 3.2.2). Steps that the mask says are not there are not looked at. It equals
    ``nn.MultiheadAttention``, except that a sequence without any step gives numbers, not NaN.

    The module's ``weights(x, mask)``, ``(N, ..., heads, steps, steps)``, says who looks at whom: a row for each that looks.

    Args:
        heads: Number of heads; the width is a multiple of it.
        dropout: Share of the weights silenced at random while training.

    Shape:
        ``(..., steps, width)``, kept.

    Example:
        >>> MultiHeadAttention(4).shape([(128, 64)])
        (128, 64)
    """

    heads: int
    dropout: float = field(default=0.0, kw_only=True)

    masked: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "heads")
        check_share(self, "dropout")

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        if shape[-1] % self.heads:
            raise GraphError(
                f"MultiHeadAttention has {self.heads} heads, but was given a width of {shape[-1]}; give a multiple of the heads"
            )
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        width = shape[-1]
        return {
            "in_weight": (3 * width, width),
            "in_bias": (3 * width,),
            "out_weight": (width, width),
            "out_bias": (width,),
        }


@dataclass(frozen=True)
class StepDropout(Layer):
    """Take a random share of the steps out of a mask while training, so that no single word decides.

    Word dropout (Iyyer et al. 2015, aclanthology.org/P15-1162). What stands at the steps that are left is not scaled up, as the
    means and the attention behind it are over fewer steps.

    Args:
        share: Of the steps.

    Example:
        >>> StepDropout(0.3).shape([(128,)])
        (128,)
    """

    share: float

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "share")


@dataclass(frozen=True)
class Patches(Layer):
    """Cut an image into squares and lay each out flat, row by row: the steps of a vision transformer.

    After Dosovitskiy et al. 2021 (arXiv 2010.11929, section 3.1). An image that does not come out even is padded with zeros at
    the right and the bottom.

    Args:
        size: Height and width of a square in pixels.

    Shape:
        ``(channels, height, width)`` to ``(patches, channels * size * size)``.

    Example:
        >>> Patches(4).shape([(3, 32, 30)])
        (64, 48)
    """

    size: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise GraphError(f"Patches reads (channels, height, width), but was given {shape}; put Pixels() before it")
        channels, *sides = shape
        return (math.prod(-(-side // self.size) for side in sides), channels * self.size**2)
