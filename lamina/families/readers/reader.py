"""The reader of a kind of block: how networks take it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lamina.data.encoding import Input
from lamina.graph.graph import Graph


@dataclass(frozen=True)
class Reader:
    """How networks read blocks of one kind, whose input is in the graph already.

    Attributes:
        flat: ``flat(graph, name, block, options)`` adds what makes one axis of it; the node, and the width of each column.
        steps: ``steps(graph, name, block, options)`` adds what makes steps of it: the node (steps, width), and their mask.
        plain: It is a block of plain columns, which join others of their table before anything else.
    """

    flat: Callable[[Graph, str, Input, Any], tuple[str, list[int]]]
    steps: Callable[[Graph, str, Input, Any], tuple[str, str]] | None = None
    plain: bool = False
