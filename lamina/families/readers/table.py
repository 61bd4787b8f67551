"""How networks read plain columns: numbers embedded, categories one-hot or as learnt vectors, flags as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lamina.data.encoding import Input
from lamina.families.readers.reader import Reader
from lamina.graph.graph import Graph
from lamina.graph.layers import CategoryEmbedding, NumberEmbedding
from lamina.options import Options, option


@dataclass
class TableOptions(Options):
    """How numbers and categories enter a network; the same for every family that reads a table beside anything else."""

    number_embedding: str | None = option(
        "piecewise_linear",
        "how numbers enter: as bins, as waves, or as they are",
        choices=("piecewise_linear", "periodic", None),
    )
    number_embedding_dim: int | str = option(
        "auto",
        "neurons for each embedded number; auto is 12, or 4 for more than 32 numbers",
        low=1,
        high=1024,
        choices=("auto",),
        kind=int,
    )
    bins: int = option(64, "most bins for each number", low=2, high=1024)
    one_hot: int = option(
        50, "a category with up to this many levels enters one-hot, one with more as a learnt vector", low=0, high=100_000
    )
    category_embedding_dim: int = option(8, "length of the learnt vector of a category", low=1, high=1024)


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


def _flags(graph: Graph, name: str, block: Input, options: TableOptions) -> tuple[str, list[int]]:
    return name, [1] * math.prod(block.shape)


READERS = {
    "numbers": Reader(_numbers, plain=True),
    "flags": Reader(_flags, plain=True),
    "categories": Reader(_categories, plain=True),
}
