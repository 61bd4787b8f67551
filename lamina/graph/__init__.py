"""Networks as directed graphs of layers.

``Graph`` and the layers are plain data, ``Plan`` checks them; only ``Net`` needs torch, which is imported on first use.
"""

from typing import TYPE_CHECKING, Any

from lamina.graph import layers
from lamina.graph.graph import Edge, Graph
from lamina.graph.layer import ACTIVATIONS, Layer
from lamina.graph.layers import *  # noqa: F403
from lamina.graph.plan import Plan

if TYPE_CHECKING:
    from lamina.graph.net import Net

__all__ = ["ACTIVATIONS", "Edge", "Graph", "Layer", "Net", "Plan"]
__all__ += layers.__all__


def __getattr__(name: str) -> Any:
    if name == "Net":
        from lamina.graph.net import Net

        return Net
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
