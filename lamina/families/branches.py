"""A branch for each image, text and series of a table, one for its plain columns; the branches join before the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lamina.data.encoding import Input
from lamina.families.family import TABLE, Family, TableFamily
from lamina.graph.graph import Graph
from lamina.graph.layers import Dense, TokenEmbedding
from lamina.graph.layers.sequence import Present
from lamina.options import option

#: For each kind of column the family whose branch reads it in a family that has none of its own for it.
BRANCHES: dict[str, type[BranchFamily]] = {}


@dataclass
class BranchFamily(Family):
    """What the families share that read more than plain columns: how branches begin and where they join."""

    token_size: int = option(64, "length of the learnt vector of a token", low=1, high=4096)
    joined: int = option(128, "neurons of the layer where several branches join", low=1, high=65_536)
    dropout: float = option(0.1, "share of neurons silenced at random in training", low=0, high=0.95)

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        """Add the branch of a column, whose input is there already; return the node that ends it, of one axis."""
        raise TypeError(f"{type(self).__name__} draws no branch; take a family such as Convolutional")

    def table(self, graph: Graph, inputs: Mapping[str, Input]) -> str:
        """Add inputs and branch of the plain columns; return the node that ends it, of one axis."""
        nodes, _ = TableFamily().stem(graph, inputs)
        graph.layer("table", Dense(self.joined, "relu", dropout=self.dropout), after=nodes)
        return "table"

    def steps(self, graph: Graph, name: str, block: Input) -> tuple[str, str]:
        """Begin the branch of a text or series: the node that holds (steps, width), and the mask of the steps."""
        present = f"{name}_present"
        if block.kind == "text":
            graph.layer(present, Present(), after=name)
            graph.layer(f"{name}_embedding", TokenEmbedding(block.cardinalities[0], self.token_size), after=name)
            return f"{name}_embedding", present
        graph.input(f"{name}_steps", shape=block.shape[:1])
        graph.layer(present, Present(), after=f"{name}_steps")
        return name, present

    def graph(self, inputs: Mapping[str, Input], outputs: int) -> Graph:
        graph = Graph()
        plain = {name: block for name, block in inputs.items() if block.kind in ("numbers", "flags", "categories")}
        nodes = [self.table(graph, plain)] if plain else []
        for name, block in inputs.items():
            if name in plain or block.kind == "steps":
                continue
            graph.input(name, shape=block.shape)
            reader = self if block.kind in self.reads else BRANCHES[block.kind]()
            nodes.append(reader.branch(graph, name, block))
        if len(nodes) > 1:
            graph.layer("joined", Dense(self.joined, "relu", dropout=self.dropout), after=nodes)
            nodes = ["joined"]
        graph.layer("head", Dense(outputs), after=nodes)
        graph.output("answer", after="head")
        return graph


__all__ = ["BRANCHES", "TABLE", "BranchFamily"]
