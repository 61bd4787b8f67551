"""The reader of a kind of block: the first layers of a network for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lamina.data.encoding import Input
from lamina.graph.graph import Graph


@dataclass(frozen=True)
class Reader:
    """The first layers for blocks of one kind, whose input is in the graph already.

    Attributes:
        flat: ``flat(graph, name, block, options)`` adds layers up to one axis; returns the node and the width of each column.
        steps: ``steps(graph, name, block, options)`` adds layers up to (steps, width); returns the node and the mask of steps.
        plain: Whether it is a block of plain columns, which have one branch in common.
    """

    flat: Callable[[Graph, str, Input, Any], tuple[str, list[int]]]
    steps: Callable[[Graph, str, Input, Any], tuple[str, str]] | None = None
    plain: bool = False


def unchanged(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, list[int]]:
    """The input itself, flattened by the layer that reads it."""
    return name, [1] * math.prod(block.shape)
