"""The reader of series: steps and their mask, or all steps flattened, padded with zeros."""

from __future__ import annotations

from typing import Any

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader, unchanged
from lamina.graph.graph import Graph
from lamina.graph.layers.sequence import Present


def _steps(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, str]:
    graph.input(f"{name}_steps", shape=block.shape[:1])
    graph.layer(f"{name}_present", Present(), after=f"{name}_steps")
    return name, f"{name}_present"


READER = Reader(unchanged, _steps)
