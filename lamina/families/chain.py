"""Drawing a branch of a network layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.graph.graph import Graph
from lamina.graph.layer import Layer


class Chain:
    """Adds consecutive layers, with the name of the branch as a prefix; those that accept a mask get that of the steps."""

    def __init__(self, graph: Graph, name: str = "", last: str | None = None, mask: str | None = None) -> None:
        self.graph, self.prefix, self.last, self.mask = graph, f"{name}_" if name else "", last or name, mask

    def add(self, name: str, layer: Layer, *, after: str | Sequence[str] | None = None, beside: str | None = None) -> str:
        """Add a layer after the last one and the one beside it, or after others; the chain goes on from it."""
        self.last = self.aside(name, layer, after=[beside, self.last] if beside else after)
        return self.last

    def aside(self, name: str, layer: Layer, *, after: str | Sequence[str] | None = None) -> str:
        """Add a layer after the last one, or after others; later layers of the chain do not follow it."""
        name = f"{self.prefix}{name}"
        self.graph.layer(name, layer, after=after or self.last, mask=self.mask if layer.masked else None)
        return name
