"""The graph: layers and the edges between them, as data; :class:`lamina.graph.Plan` checks it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, is_whole, nearest

MOST_EDGES = 10_000
"""Most nodes and edges of a graph in a file."""
FORMAT = 1
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Edge:
    """One connection.

    Args:
        source: A node.
        target: The layer that reads it.
        delay: 1 to read the output of the previous time step, 0 for the current one, ``None`` for the plan's rule.
        projection: Map the source to the width of the target's other inputs by a trained linear layer.
        mask: The source is the mask of the target: which steps of its input are present.
    """

    source: str
    target: str
    delay: int | None = None
    projection: bool = False
    mask: bool = False


class Graph:
    """A network as a directed graph. Nodes keep the order in which they were defined, which the rule for delays uses.

    Edges that skip layers are shortcuts; an edge that closes a cycle is delayed by one time step and makes the net recurrent.

    Example:
        >>> from lamina.graph import Dense, Graph
        >>> g = Graph()
        >>> g.input("pixels", shape=(1, 32, 32))
        >>> g.layer("hidden", Dense(64, activation="relu"), after="pixels")
        >>> g.layer("deeper", Dense(64), after="hidden")
        >>> g.connect("pixels", "deeper")          # a shortcut
        >>> g.connect("deeper", "hidden")          # closes a cycle: delayed, so the net is recurrent over the time axis
        >>> g.output("label", after="deeper")
        >>> g
        Graph(pixels -> hidden, hidden -> deeper, pixels -> deeper, deeper -> hidden, deeper -> label)
    """

    def __init__(self) -> None:
        self.nodes: dict[str, Shape | Layer] = {}
        self.edges: list[Edge] = []
        self.outputs: dict[str, str] = {}

    # -- building ------------------------------------------------------------------------------------------------------

    def input(self, name: str, *, shape: Sequence[int] | int) -> None:
        """Add an input; the shape is without the batch axis (and, in a recurrent net, the time axis)."""
        self._new(name)
        sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
        if not sizes or not all(is_whole(size, 1) for size in sizes):
            raise GraphError(f"input {name!r} has the shape {shape!r}, expected whole numbers of at least 1, as in (8,)")
        self.nodes[name] = tuple(int(size) for size in sizes)

    def layer(self, name: str, layer: Layer, *, after: str | Sequence[str] = (), mask: str | None = None) -> None:
        """Add a layer that reads these nodes, in this order; :meth:`connect` adds more edges.

        Args:
            name: Name of the layer.
            layer: Its kind.
            after: The nodes that it reads.
            mask: The mask node, true for present steps, for layers that accept a mask.
        """
        self._new(name)
        if not isinstance(layer, Layer):
            raise GraphError(f"layer {name!r} is a {type(layer).__name__}, expected a layer kind, as in Dense(64)")
        sources = [after] if isinstance(after, str) else list(after)
        for source in sources:
            self._check_node(source, f"layer {name!r} comes after")
        if len(set(sources)) < len(sources):
            raise GraphError(f"layer {name!r} comes after {sources}, where a name is repeated; name each once")
        if mask is not None:
            self._check_node(mask, f"layer {name!r} is masked by")
            check_masked(name, layer)
            if mask in sources:
                raise GraphError(f"layer {name!r} reads {mask!r} and is masked by it; name another node as the mask")
        self.nodes[name] = layer
        self.edges.extend(Edge(source, name) for source in sources)
        if mask is not None:
            self.edges.append(Edge(mask, name, delay=0, mask=True))

    def connect(self, source: str, target: str, *, delay: int | None = None, projection: bool = False) -> None:
        """Add an edge: a shortcut when it runs forward, recurrence when it closes a cycle.

        Args:
            source: A node.
            target: The layer that reads it.
            delay: 1 delays this edge, 0 does not; ``None`` for the rule in :class:`lamina.graph.Plan`.
            projection: Train a linear map to the target's width, where the target adds and the widths differ.
        """
        self._check_node(source, "an edge starts at")
        self._check_node(target, "an edge ends at")
        if isinstance(self.nodes[target], tuple):
            raise GraphError(
                f"{source!r} cannot connect to the input {target!r}; inputs come from the batch, connect to a layer"
            )
        if any(edge.source == source and edge.target == target for edge in self.edges):
            raise GraphError(f"{source!r} is connected to {target!r} already; connect two nodes once")
        if delay not in (None, 0, 1):
            raise GraphError(
                f"the delay from {source!r} to {target!r} is {delay!r}, expected 0, 1 or None; chain Join() to wait"
            )
        self.edges.append(Edge(source, target, None if delay is None else int(delay), bool(projection)))

    def output(self, name: str, *, after: str) -> None:
        """Add an output; a net with several outputs returns a dict."""
        self._new(name)
        self._check_node(after, f"output {name!r} comes after")
        self.outputs[name] = after

    def _new(self, name: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise GraphError(f"{name!r} cannot name a node; use letters, digits and underscores, not a digit first")
        if name in self.nodes or name in self.outputs:
            raise GraphError(f"the name {name!r} is taken; give each input, layer and output a name of its own")

    def _check_node(self, name: str, context: str) -> None:
        if name not in self.nodes:
            raise GraphError(f"{context} {name!r}, which is not defined; {nearest(name, self.nodes)}")

    # -- reading -------------------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> dict[str, Shape]:
        return {name: node for name, node in self.nodes.items() if isinstance(node, tuple)}

    @property
    def layers(self) -> dict[str, Layer]:
        return {name: node for name, node in self.nodes.items() if isinstance(node, Layer)}

    def edges_into(self, target: str) -> list[Edge]:
        """The edges that a layer reads, in the order in which they are joined."""
        return [edge for edge in self.edges if edge.target == target]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self.to_json() == other.to_json()

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        arrows = [(edge.source, edge.target) for edge in self.edges] + [(after, name) for name, after in self.outputs.items()]
        return f"Graph({', '.join(f'{source} -> {target}' for source, target in arrows)})"

    # -- editing: each returns a new graph; net.edit(graph) keeps the weights that still fit ---------------------------

    def copy(self) -> Graph:
        """A graph of its own; the layers in it are frozen and shared."""
        new = Graph()
        new.nodes, new.edges, new.outputs = dict(self.nodes), list(self.edges), dict(self.outputs)
        return new

    def replace(self, name: str, layer: Layer) -> Graph:
        """The same edges with another layer under this name."""
        self._layer(name)
        new = self.copy()
        new.nodes[name] = layer
        return new

    def widen(self, name: str, size: int) -> Graph:
        """Give a layer more neurons (or fewer).

        Example:
            >>> from lamina.graph import Dense, Graph
            >>> g = Graph()
            >>> g.input("x", shape=3)
            >>> g.layer("hidden", Dense(4), after="x")
            >>> g.output("y", after="hidden")
            >>> g.widen("hidden", 6).layers["hidden"].size
            6
        """
        layer = self._layer(name)
        if "size" not in {item.name for item in dataclasses.fields(layer)}:
            raise GraphError(f"layer {name!r} is a {type(layer).__name__}, which has no size; widen a layer that has, as Dense")
        return self.replace(name, dataclasses.replace(layer, **{"size": size}))

    def insert(self, name: str, layer: Layer, *, after: str, before: str | Sequence[str]) -> Graph:
        """Put a new layer into the edge (or edges) from one node to others, which may be outputs."""
        self._check_node(after, f"layer {name!r} comes after")
        self._new(name)
        targets = [before] if isinstance(before, str) else list(before)
        readers = [edge.target for edge in self.edges if edge.source == after]
        readers += [output for output, source in self.outputs.items() if source == after]
        for target in targets:
            if target not in readers:
                raise GraphError(f"{after!r} is not read by {target!r}; {nearest(target, readers)}")
        new = Graph()
        for key, node in self.nodes.items():
            new.nodes[key] = node
            if key == after:  # right behind what it reads, so that the rule for delays sees the old edges as it did before
                new.nodes[name] = layer
        for edge in self.edges:
            moved = edge.source == after and edge.target in targets
            new.edges.append(dataclasses.replace(edge, source=name) if moved else edge)
        new.edges.append(Edge(after, name))
        for output, source in self.outputs.items():
            new.outputs[output] = name if source == after and output in targets else source
        return new

    def remove(self, name: str) -> Graph:
        """The graph without this layer; its readers read its inputs instead. Its mask is removed if nothing else uses it."""
        self._layer(name)
        for edge in self.edges:
            if edge.mask and edge.source == name:
                raise GraphError(f"{name!r} masks {edge.target!r}; remove {edge.target!r} first, or replace {name!r} by a mask")
        read = [edge for edge in self.edges_into(name) if edge.source != name and not edge.mask]
        new = self.copy()
        del new.nodes[name]
        new.edges = []
        existing = {(edge.source, edge.target) for edge in self.edges}
        for edge in self.edges:
            if name not in (edge.source, edge.target):
                new.edges.append(edge)
            for into in read if edge.source == name != edge.target else ():
                if (into.source, edge.target) not in existing:
                    existing.add((into.source, edge.target))
                    delay = 1 if into.delay == 1 else edge.delay  # a path that was delayed stays delayed
                    new.edges.append(dataclasses.replace(edge, source=into.source, delay=delay))
        for output, after in self.outputs.items():
            if after == name and len(read) != 1:
                raise GraphError(
                    f"{name!r} reads {len(read)} nodes, so output {output!r} cannot move; put a Join() behind it first"
                )
            new.outputs[output] = read[0].source if after == name else after
        # Nodes that only led to the mask are removed as well, as a plan has no unused layers.
        unused = [edge.source for edge in self.edges_into(name) if edge.mask]
        while unused:
            node = unused.pop()
            if node not in {*new.outputs.values(), *(edge.source for edge in new.edges)}:
                unused += [edge.source for edge in new.edges_into(node)]
                new.edges = [edge for edge in new.edges if edge.target != node]
                new.nodes.pop(node, None)
        return new

    def _layer(self, name: str) -> Layer:
        node = self.nodes.get(name)
        if not isinstance(node, Layer):
            raise GraphError(f"there is no layer {name!r} to edit; {nearest(name, self.layers)}")
        return node

    # -- JSON ----------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """The graph as JSON, defaults included."""
        nodes = [
            {"name": name, "shape": list(node)} if isinstance(node, tuple) else {"name": name, "layer": node.to_json()}
            for name, node in self.nodes.items()
        ]
        edges = [dataclasses.asdict(edge) for edge in self.edges]
        edges = [{k: v for k, v in edge.items() if k != "mask" or v} for edge in edges]  # without masks the format before them
        return {"format": FORMAT, "nodes": nodes, "edges": edges, "outputs": dict(self.outputs)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Graph:
        """The graph from :meth:`to_json`.

        Raises:
            GraphError: A newer format, an unknown kind of layer or option, or a missing key.
        """
        version = values.get("format")
        if version != FORMAT:
            raise GraphError(f"the graph has format {version!r}, this lamina reads {FORMAT}; update lamina to read newer ones")
        _check_keys("graph", values, ("format", "nodes", "edges", "outputs"))
        if len(values["edges"]) + len(values["nodes"]) > MOST_EDGES:
            raise GraphError(f"the graph has more than {MOST_EDGES:,} nodes and edges; give a smaller one")
        graph = cls()
        for node in values["nodes"]:
            if "shape" in node:
                _check_keys("input", node, ("name", "shape"))
                graph.input(node["name"], shape=node["shape"])
            else:
                _check_keys("layer", node, ("name", "layer"))
                graph.layer(node["name"], Layer.from_json(node["layer"]))
        for edge in values["edges"]:
            _check_keys("edge", {"mask": False, **edge}, ("source", "target", "delay", "projection", "mask"))
            graph.connect(edge["source"], edge["target"], delay=edge["delay"], projection=edge["projection"])
            if edge.get("mask"):
                graph.edges[-1] = dataclasses.replace(graph.edges[-1], mask=True)
        for name, after in values["outputs"].items():
            graph.output(name, after=after)
        return graph


def check_masked(name: str, layer: Layer) -> None:
    """Raise GraphError if the layer accepts no mask."""
    if not layer.masked:
        raise GraphError(f"layer {name!r} is a {type(layer).__name__}, which accepts no mask; leave mask out")


def _check_keys(kind: str, values: Mapping[str, Any], expected: Iterable[str]) -> None:
    wrong = sorted(set(values) ^ set(expected))
    if wrong:
        verb = "has" if wrong[0] in values else "lacks"
        raise GraphError(
            f"a stored {kind} {verb} {wrong[0]!r}, which this lamina does not expect; update lamina or store it again"
        )
