"""The readers of plain columns: embedded numbers, one-hot or embedded categories, flags unchanged."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader, unchanged
from lamina.graph.graph import Graph
from lamina.graph.layers import CategoryEmbedding, NumberEmbedding
from lamina.options import Options, option


@dataclass
class TableOptions(Options):
    """Options of the embeddings of numbers and categories."""

    number_embedding: str | None = option(
        "piecewise_linear",
        "embedding of numbers; None for no embedding",
        choices=("piecewise_linear", "periodic", None),
    )
    number_embedding_dim: int | str = option(
        "auto",
        "dimension of the embedding of a number; auto is 12, or 4 for more than 32 numbers",
        low=1,
        high=1024,
        choices=("auto",),
        kind=int,
    )
    bins: int = option(64, "maximum number of bins of the piecewise linear embedding", low=2, high=1024)
    one_hot: int = option(
        50, "maximum number of levels of a one-hot encoded category; categories with more are embedded", low=0, high=100_000
    )
    category_embedding_dim: int = option(8, "dimension of the category embedding", low=1, high=1024)


def _numbers(graph: Graph, name: str, block: Input, options: TableOptions) -> tuple[str, list[int]]:
    width = math.prod(block.shape)
    if not options.number_embedding:
        return name, [1] * width
    size = (12 if width <= 32 else 4) if options.number_embedding_dim == "auto" else int(options.number_embedding_dim)
    embedding = NumberEmbedding(options.number_embedding, size, bins=options.bins, activation="relu")
    graph.layer("number_embedding", embedding, after=name)
    return "number_embedding", [size] * width


def _categories(graph: Graph, name: str, block: Input, options: TableOptions) -> tuple[str, list[int]]:
    sizes = tuple(0 if levels <= options.one_hot + 1 else options.category_embedding_dim for levels in block.cardinalities)
    embedding = CategoryEmbedding(cardinalities=block.cardinalities, sizes=sizes)
    graph.layer("category_embedding", embedding, after=name)
    return "category_embedding", list(embedding.widths)


READERS = {
    "numbers": Reader(_numbers, plain=True),
    "flags": Reader(unchanged, plain=True),
    "categories": Reader(_categories, plain=True),
}
