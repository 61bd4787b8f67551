"""Readers: the first layers of networks for each kind of block; a block without a reader, as a mask, belongs to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lamina.data.encoding import Input
from lamina.graph.graph import Graph
from lamina.graph.layers import CategoryEmbedding, NumberEmbedding, Pixels, Present, StepPool, TokenEmbedding
from lamina.options import Options, option

#: A field whose value is a whole number or "auto".
auto_option = partial(option, "auto", choices=("auto",), kind=int)


@dataclass
class TableOptions(Options):
    """Options of the embeddings of numbers and categories."""

    number_embedding: str | None = option(
        "piecewise_linear",
        "embedding of numbers; None for no embedding",
        choices=("piecewise_linear", "periodic", "pbld", None),
        blocks=("numbers",),
        tune=["piecewise_linear", "periodic", None],
    )
    number_embedding_dim: int | str = auto_option(
        "dimension of the embedding of a number; auto is 12, or 4 for more than 32 numbers and for pbld",
        low=1,
        high=1024,
        blocks=("numbers",),
    )
    bins: int = option(64, "maximum number of bins of the piecewise linear embedding", low=2, high=1024, blocks=("numbers",))
    one_hot: int = option(
        50,
        "maximum number of levels of a one-hot encoded category; categories with more are embedded",
        low=0,
        high=100_000,
        blocks=("categories",),
    )
    category_embedding_dim: int = option(8, "dimension of the category embedding", low=1, high=1024, blocks=("categories",))


@dataclass
class TextOptions(Options):
    """Options of token embeddings."""

    embedding_dim: int = option(
        64, "dimension of the token embedding", low=1, high=4096, blocks=("text",), tune=(32, 256, "log")
    )


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


def _unchanged(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, list[int]]:
    """The input itself, flattened by the layer that reads it; for series padded with zeros."""
    return name, [1] * math.prod(block.shape)


def _numbers(graph: Graph, name: str, block: Input, options: TableOptions) -> tuple[str, list[int]]:
    width = math.prod(block.shape)
    if not options.number_embedding:
        return name, [1] * width
    beside = options.number_embedding == "pbld"  # the number beside its embedding
    size = (
        int(options.number_embedding_dim) if options.number_embedding_dim != "auto" else 12 if width <= 32 and not beside else 4
    )
    activation = None if beside else "relu"
    embedding = NumberEmbedding(options.number_embedding, size, bins=options.bins, activation=activation)
    graph.layer("number_embedding", embedding, after=name)
    return "number_embedding", [size] * width


def _categories(graph: Graph, name: str, block: Input, options: TableOptions) -> tuple[str, list[int]]:
    sizes = tuple(0 if levels <= options.one_hot + 1 else options.category_embedding_dim for levels in block.cardinalities)
    embedding = CategoryEmbedding(cardinalities=block.cardinalities, sizes=sizes)
    graph.layer("category_embedding", embedding, after=name)
    return "category_embedding", list(embedding.widths)


def _pixels(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, list[int]]:
    graph.layer(f"{name}_pixels", Pixels(), after=name)
    return f"{name}_pixels", [1] * math.prod(block.shape)


def _token_steps(graph: Graph, name: str, block: Input, options: TextOptions) -> tuple[str, str]:
    graph.layer(f"{name}_present", Present(), after=name)
    graph.layer(f"{name}_embedding", TokenEmbedding(block.cardinalities[0], options.embedding_dim), after=name)
    return f"{name}_embedding", f"{name}_present"


def _mean_token(graph: Graph, name: str, block: Input, options: TextOptions) -> tuple[str, list[int]]:
    """A deep averaging network (Iyyer et al. 2015)."""
    source, mask = _token_steps(graph, name, block, options)
    graph.layer(f"{name}_mean", StepPool("mean"), after=source, mask=mask)
    return f"{name}_mean", [options.embedding_dim]


def _series_steps(graph: Graph, name: str, block: Input, options: Any) -> tuple[str, str]:
    graph.input(f"{name}_steps", shape=block.shape[:1])
    graph.layer(f"{name}_present", Present(), after=f"{name}_steps")
    return name, f"{name}_present"


READERS = {
    "numbers": Reader(_numbers, plain=True),
    "flags": Reader(_unchanged, plain=True),
    "categories": Reader(_categories, plain=True),
    "image": Reader(_pixels),
    "text": Reader(_mean_token, _token_steps),
    "series": Reader(_unchanged, _series_steps),
}


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
