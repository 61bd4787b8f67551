"""The reader of texts: token embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader
from lamina.graph.graph import Graph
from lamina.graph.layers import TokenEmbedding
from lamina.graph.layers.sequence import Present, StepPool
from lamina.options import Options, option


@dataclass
class TextOptions(Options):
    """Options of token embeddings."""

    embedding_dim: int = option(64, "dimension of the token embedding", low=1, high=4096)


def _steps(graph: Graph, name: str, block: Input, options: TextOptions) -> tuple[str, str]:
    graph.layer(f"{name}_present", Present(), after=name)
    graph.layer(f"{name}_embedding", TokenEmbedding(block.cardinalities[0], options.embedding_dim), after=name)
    return f"{name}_embedding", f"{name}_present"


def _flat(graph: Graph, name: str, block: Input, options: TextOptions) -> tuple[str, list[int]]:
    """Mean token embedding: a deep averaging network (Iyyer et al. 2015)."""
    source, mask = _steps(graph, name, block, options)
    graph.layer(f"{name}_mean", StepPool("mean"), after=source, mask=mask)
    return f"{name}_mean", [options.embedding_dim]


READER = Reader(_flat, _steps)
