"""The reader of images: scaled pixels, flattened."""

from __future__ import annotations

import math
from typing import Any

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader
from lamina.graph.graph import Graph
from lamina.graph.layers.convolution import Pixels


def _flat(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, list[int]]:
    graph.layer(f"{name}_pixels", Pixels(), after=name)
    return f"{name}_pixels", [1] * math.prod(block.shape)


READER = Reader(_flat)
