"""The head: the last layer of a network, which the task adds to the graph of the family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.graph.graph import Graph
from lamina.graph.layers import Dense, MemberDense


@dataclass(frozen=True)
class Head:
    """A linear output layer.

    Attributes:
        units: Number of outputs.

    Example:
        >>> graph = Graph()
        >>> graph.input("x", shape=4)
        >>> Head(3).draw(graph, after="x")
        >>> list(graph.layers), graph.outputs
        (['head'], {'output': 'head'})
    """

    units: int

    def draw(self, graph: Graph, after: str | Sequence[str], *, members: int | None = None) -> None:
        """Add the layer and the output to the graph; with ``members`` a layer for each member of an ensemble in the network."""
        layer = MemberDense(self.units, members=members) if members else Dense(self.units)
        graph.layer("head", layer, after=after)
        # A layer of a custom graph may be called output already.
        graph.output("output" if "output" not in graph.nodes else "prediction", after="head")
