"""Readers: the first layers of networks for each kind of block; a block without a reader, as a mask, belongs to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.data.encoding import Input
from lamina.families.readers import image, series, table, text
from lamina.families.readers.reader import Reader
from lamina.graph.graph import Graph

READERS: dict[str, Reader] = {**table.READERS, "image": image.READER, "text": text.READER, "series": series.READER}


def plain(inputs: Mapping[str, Input]) -> dict[str, Input]:
    """The blocks of plain columns among the inputs."""
    return {name: block for name, block in inputs.items() if block.kind in READERS and READERS[block.kind].plain}


def read_flat(graph: Graph, inputs: Mapping[str, Input], options: Any) -> tuple[list[str], list[int]]:
    """Add inputs and layers that flatten each block; return the nodes and the width of each embedded column, in order."""
    nodes: list[str] = []
    chunks: list[int] = []
    for name, block in inputs.items():
        if block.kind in READERS:
            graph.input(name, shape=block.shape)
            node, widths = READERS[block.kind].flat(graph, name, block, options)
            nodes.append(node)
            chunks += widths
    return nodes, chunks
