"""The head: the last layer of a network, drawn by the task after what the family drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lamina.graph.graph import Graph
from lamina.graph.layers import Dense, MemberDense


@dataclass(frozen=True)
class Head:
    """A linear layer of so many outputs.

    Attributes:
        units: Outputs for each row.

    Example:
        >>> graph = Graph()
        >>> graph.input("x", shape=4)
        >>> Head(3).draw(graph, after="x")
        >>> list(graph.layers), graph.outputs
        (['head'], {'answer': 'head'})
    """

    units: int

    def draw(self, graph: Graph, after: str | Sequence[str], *, members: int | None = None) -> None:
        """Add the last layer and the output; with ``members`` one for each member of an ensemble inside the network."""
        layer = MemberDense(self.units, members=members) if members else Dense(self.units)
        graph.layer("head", layer, after=after)
        graph.output("answer", after="head")
