"""Networks as directed graphs of layers.

``Graph`` and the layers are plain data, ``Plan`` checks them; only ``Net`` needs torch, which is imported on first use.
"""

from typing import TYPE_CHECKING, Any

from lamina.graph.graph import Edge, Graph
from lamina.graph.layer import ACTIVATIONS, Layer
from lamina.graph.layers import (
    Activation,
    AnyPresent,
    AttentionPool,
    CategoryEmbedding,
    Chunk,
    Convolution,
    Dense,
    Dropout,
    Ends,
    Flatten,
    GlobalPool,
    Join,
    Loop,
    MemberDense,
    Module,
    MultiHeadAttention,
    Norm,
    Normalise,
    NumberEmbedding,
    Patches,
    Pixels,
    Pool,
    PoolMask,
    Position,
    Present,
    Pretrained,
    RadialBasis,
    Recurrent,
    Reshape,
    StepDense,
    StepDropout,
    StepPool,
    Subsample,
    TokenEmbedding,
)
from lamina.graph.plan import Plan

if TYPE_CHECKING:
    from lamina.graph.net import Net

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "AnyPresent",
    "AttentionPool",
    "CategoryEmbedding",
    "Chunk",
    "Convolution",
    "Dense",
    "Dropout",
    "Edge",
    "Ends",
    "Flatten",
    "GlobalPool",
    "Graph",
    "Join",
    "Layer",
    "Loop",
    "MemberDense",
    "Module",
    "MultiHeadAttention",
    "Net",
    "Norm",
    "Normalise",
    "NumberEmbedding",
    "Patches",
    "Pixels",
    "Plan",
    "Pool",
    "PoolMask",
    "Position",
    "Present",
    "Pretrained",
    "RadialBasis",
    "Recurrent",
    "Reshape",
    "StepDense",
    "StepDropout",
    "StepPool",
    "Subsample",
    "TokenEmbedding",
]


def __getattr__(name: str) -> Any:
    if name == "Net":
        from lamina.graph.net import Net

        return Net
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
