"""Networks as directed graphs of layers: say what connects to what, check it, run it.

``Graph`` and the kinds of layers are plain data, ``Plan`` checks them; only ``Net`` needs torch, and loads it when asked for.
"""

from typing import TYPE_CHECKING, Any

from lamina.graph.graph import Edge, Graph
from lamina.graph.layer import ACTIVATIONS, Layer
from lamina.graph.layers import (
    Activation,
    CategoryEmbedding,
    Dense,
    Dropout,
    Flatten,
    Join,
    MemberDense,
    Norm,
    NumberEmbedding,
)
from lamina.graph.plan import Plan

if TYPE_CHECKING:
    from lamina.graph.net import Net

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "CategoryEmbedding",
    "Dense",
    "Dropout",
    "Edge",
    "Flatten",
    "Graph",
    "Join",
    "Layer",
    "MemberDense",
    "Net",
    "Norm",
    "NumberEmbedding",
    "Plan",
]


def __getattr__(name: str) -> Any:
    if name == "Net":
        from lamina.graph.net import Net

        return Net
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
