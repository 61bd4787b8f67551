"""How networks read series: step by step beside a mask, or all steps in one row."""

from __future__ import annotations

import math
from typing import Any

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader
from lamina.graph.graph import Graph
from lamina.graph.layers.sequence import Present


def _steps(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, str]:
    graph.input(f"{name}_steps", shape=block.shape[:1])
    graph.layer(f"{name}_present", Present(), after=f"{name}_steps")
    return name, f"{name}_present"


def _flat(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, list[int]]:
    """All steps in one row; what is not there is zero, and zero adds nothing to a weighted sum."""
    return name, [1] * math.prod(block.shape)


READER = Reader(_flat, _steps)
