"""The plan: a checked graph with its order of execution, delays, shapes and parameter counts."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TypeVar

from lamina.errors import GraphError
from lamina.graph.graph import Edge, Graph, check_masked
from lamina.graph.layer import Layer, Shape, joined, notes, projection_name, size_text

PADDED_ROWS = 32
LARGE_ROW = 4096
"""Batches are padded to this many rows, unless a row of the inputs has this many values."""
MOST_VALUES, MOST_VALUES_PADDED = 2**29, 2**25
"""Most values of all layers for a row that the plan of a file may have, without and with padding: a few gigabytes."""

_Node = TypeVar("_Node", str, int)


@dataclass(frozen=True)
class Block:
    """Layers that are executed together: one layer, or all layers of a cycle."""

    names: tuple[str, ...]
    cyclic: bool


class Plan:
    """The execution order, shapes and parameter counts of a graph.

    The rule for delays: edges with ``delay=1`` are delayed by one step. Within each strongly connected component of the other
    edges, an edge is delayed if and only if its source was defined at or after its target, unless it has ``delay=0``.

    Args:
        graph: The graph; the plan keeps a copy.

    Raises:
        GraphError: The graph cannot be executed; the message names the nodes and the remedy.

    Example:
        >>> from lamina.graph import Dense, Graph, Plan
        >>> g = Graph()
        >>> g.input("x", shape=3)
        >>> g.layer("hidden", Dense(4, "tanh"), after=["x"])
        >>> g.connect("hidden", "hidden")
        >>> g.output("y", after="hidden")
        >>> print(Plan(g))
        layer   kind    from                 shape  parameters  notes
        x       Input                            3
        hidden  Dense   x, hidden (delayed)      4          32  tanh
        y       Output  hidden                   4
        total                                               32  recurrent: steps over the time axis
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph.copy()
        _check_ends(self.graph)
        #: The edges into each layer, in the order in which they are joined; ``delay`` is 0 or 1.
        edges = _delays(self.graph)
        self.edges: dict[str, tuple[Edge, ...]] = {
            name: tuple(edge for edge in group if not edge.mask) for name, group in edges.items()
        }
        #: The mask node of each layer that has one.
        self.masks: dict[str, str] = {edge.target: edge.source for group in edges.values() for edge in group if edge.mask}
        #: The blocks in their order of execution.
        self.blocks: tuple[Block, ...] = _blocks(self.graph, edges)
        #: The names of the layers in their order of execution.
        self.order: tuple[str, ...] = tuple(name for block in self.blocks for name in block.names)
        layers = self.graph.layers
        #: The layers, in their order of execution.
        self.layers: dict[str, Layer] = {name: layers[name] for name in self.order}
        #: Whether an edge is delayed; then batches have a time axis.
        self.recurrent: bool = any(edge.delay for edges in self.edges.values() for edge in edges)
        #: The shape of every input and layer, without batch and time.
        self.shapes: dict[str, Shape] = _shapes(self.graph, self.edges, self.order)
        #: The shape of each layer's joined input.
        self.joined: dict[str, Shape] = {name: _join(self, name) for name in self.order}
        for name, mask in self.masks.items():
            _check_mask(self, name, mask)
        #: (width in, width out) of each projected edge.
        self.projections: dict[tuple[str, str], tuple[int, int]] = {
            (edge.source, name): (self.read(edge)[-1], self.joined[name][-1])
            for name in self.order
            for edge in self.edges[name]
            if edge.projection
        }
        for source, target in self.projections:
            if (name := projection_name(source, target)) in self.graph.nodes:
                raise GraphError(f"the projection from {source!r} to {target!r} needs the name {name!r}; rename that layer")
        #: The number of parameters of each layer, projections into it included.
        self.parameters: dict[str, int] = {name: self._parameters(name) for name in self.order}

    @property
    def parameter_count(self) -> int:
        return sum(self.parameters.values())

    @property
    def inputs(self) -> dict[str, Shape]:
        return self.graph.inputs

    @property
    def outputs(self) -> dict[str, str]:
        return self.graph.outputs

    def read(self, edge: Edge) -> Shape:
        """The shape in which an edge's source is read, before joining."""
        return self.layers[edge.target].reads(self.shapes[edge.source])

    def saved(self) -> dict[str, Shape]:
        """Name and shape of each tensor that a file of this plan must have."""
        own = {
            f"{name}.{tensor}": shape
            for name, layer in self.layers.items()
            for tensor, shape in layer.saved(self.joined[name]).items()
        }
        return own | {f"{projection_name(*ends)}.weight": sizes[::-1] for ends, sizes in self.projections.items()}

    def check_file(self, shapes: Mapping[str, Shape]) -> None:
        """Raise GraphError unless tensors of these shapes are those of the plan: before anything of its sizes is allocated."""
        for name, shape in self.saved().items():
            if name not in shapes or tuple(shapes[name]) != shape:
                given = f"has the shape {tuple(shapes[name])}" if name in shapes else "is missing"
                raise GraphError(f"the tensor {name!r} {given}, expected {shape} as the graph has it")
        row = sum(math.prod(shape) for shape in self.shapes.values())
        few = sum(math.prod(shape) for shape in self.inputs.values()) < LARGE_ROW
        if row > (most := MOST_VALUES_PADDED if few else MOST_VALUES):
            raise GraphError(f"the layers have {row:,} values for a row, more than the {most:,} that a file may have")

    def _parameters(self, name: str) -> int:
        own = sum(math.prod(shape) for shape in self.layers[name].tensors(self.joined[name]).values())
        return own + sum(math.prod(size) for (_, target), size in self.projections.items() if target == name)

    def __repr__(self) -> str:
        kind = "recurrent" if self.recurrent else "feed-forward"
        return f"Plan({len(self.order)} layers, {self.parameter_count:,} parameters, {kind})"

    def __str__(self) -> str:
        rows = [("layer", "kind", "from", "shape", "parameters", "notes")]
        rows += [(name, "Input", "", size_text(shape), "", "") for name, shape in self.inputs.items()]
        for name, layer in self.layers.items():
            marks = {edge: " (delayed)" * bool(edge.delay) + " (projected)" * edge.projection for edge in self.edges[name]}
            sources = ", ".join(edge.source + mark for edge, mark in marks.items())
            sources += f" where {self.masks[name]}" if name in self.masks else ""
            count = f"{self.parameters[name]:,}" if self.parameters[name] else ""
            rows.append((name, type(layer).__name__, sources, size_text(self.shapes[name]), count, ", ".join(notes(layer))))
        rows += [(name, "Output", after, size_text(self.shapes[after]), "", "") for name, after in self.outputs.items()]
        time = "recurrent: steps over the time axis" if self.recurrent else ""
        rows.append(("total", "", "", "", f"{self.parameter_count:,}", time))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        line = "  ".join(f"{{:{side}{width}}}" for side, width in zip("<<<>><", widths, strict=True))
        return "\n".join(line.format(*row).rstrip() for row in rows)


# -- the graph as a whole --------------------------------------------------------------------------------------------------


def _check_ends(graph: Graph) -> None:
    """Check that every node is on a path from an input to an output."""
    if not graph.outputs:
        raise GraphError("the graph has no output; name the layer that it returns, as in g.output('label', after='hidden')")
    readers: dict[str, list[str]] = {name: [] for name in graph.nodes}
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for edge in graph.edges:
        readers[edge.source].append(edge.target)
        sources[edge.target].append(edge.source)
    inputs = graph.inputs
    reading = {edge.target for edge in graph.edges if not edge.mask}
    fed, used = _reach(inputs, readers), _reach(graph.outputs.values(), sources)
    for name in graph.nodes:
        if name in inputs and name not in used:
            raise GraphError(f"no layer reads the input {name!r}; connect it to a layer that leads to an output, or remove it")
        if name not in reading and name not in inputs:
            raise GraphError(f"layer {name!r} reads nothing; give it after=..., or connect something to it")
        if name not in fed:
            raise GraphError(f"layer {name!r} is not reached from any input; connect an input or a layer that is reached to it")
        if name not in used:
            raise GraphError(f"layer {name!r} leads to no output; connect it to another layer, or remove it")


def _reach(starts: Iterable[str], neighbours: Mapping[str, list[str]]) -> set[str]:
    reached, queue = set(starts), list(starts)
    while queue:
        for name in neighbours[queue.pop()]:
            if name not in reached:
                reached.add(name)
                queue.append(name)
    return reached


def _components(names: Iterable[str], edges: Sequence[Edge]) -> dict[str, int]:
    """The number of each node's strongly connected component."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    place = {name: i for i, name in enumerate(names)}
    ends = [[place[edge.source] for edge in edges], [place[edge.target] for edge in edges]]
    adjacency = coo_array(([1] * len(edges), ends), shape=(len(place), len(place)))
    _, numbers = connected_components(adjacency, connection="strong")
    return dict(zip(place, numbers.tolist(), strict=True))


def _sorted(nodes: Sequence[_Node], edges: Iterable[tuple[_Node, _Node]]) -> list[_Node]:
    """Topological order; ties are in the order of ``nodes``."""
    place = {node: i for i, node in enumerate(nodes)}
    sorter = TopologicalSorter({node: () for node in nodes})
    for source, target in edges:
        sorter.add(target, source)
    sorter.prepare()
    ready: list[int] = []
    order = []
    while sorter.is_active():
        for node in sorter.get_ready():
            heapq.heappush(ready, place[node])
        order.append(nodes[heapq.heappop(ready)])
        sorter.done(order[-1])
    return order


def _delays(graph: Graph) -> dict[str, tuple[Edge, ...]]:
    """The edges into each layer with their delays by the rule in :class:`Plan`."""
    place = {name: i for i, name in enumerate(graph.nodes)}
    component = _components(graph.nodes, [edge for edge in graph.edges if edge.delay != 1])

    def decided(edge: Edge) -> Edge:
        back = component[edge.source] == component[edge.target] and place[edge.source] >= place[edge.target]
        return dataclasses.replace(edge, delay=int(back) if edge.delay is None else edge.delay)

    edges = {name: tuple(decided(edge) for edge in graph.edges_into(name)) for name in graph.layers}
    now = [edge for group in edges.values() for edge in group if not edge.delay]
    component = _components(graph.nodes, now)
    for edge in now:
        if component[edge.source] == component[edge.target]:
            cycle = [name for name in graph.nodes if component[name] == component[edge.source]]
            raise GraphError(
                f"the cycle through {', '.join(map(repr, cycle))} has no delayed edge, as one has delay=0; "
                "remove it, or set delay=1 on another edge of the cycle"
            )
    return edges


def _blocks(graph: Graph, edges: Mapping[str, tuple[Edge, ...]]) -> tuple[Block, ...]:
    layers = list(graph.layers)
    inner = [edge for group in edges.values() for edge in group if edge.source in edges]
    component = _components(layers, inner)
    outer = [(a, b) for edge in inner if (a := component[edge.source]) != (b := component[edge.target])]
    numbers = _sorted(list(dict.fromkeys(component[name] for name in layers)), outer)
    blocks: dict[int, list[str]] = {number: [] for number in numbers}
    for name in _sorted(layers, [(edge.source, edge.target) for edge in inner if not edge.delay]):
        blocks[component[name]].append(name)
    loops = {edge.source for edge in inner if edge.source == edge.target}
    return tuple(Block(tuple(names), len(names) > 1 or names[0] in loops) for names in blocks.values())


# -- shapes ----------------------------------------------------------------------------------------------------------------


def _shapes(graph: Graph, edges: Mapping[str, tuple[Edge, ...]], order: Iterable[str]) -> dict[str, Shape]:
    """The shape of every node. In a cycle the shapes follow from the layers with a fixed shape, as Dense."""
    for name in order:
        if all(edge.projection for edge in edges[name]):
            raise GraphError(f"every edge into {name!r} is projected, so its width is unknown; leave one without projection")
    layers, shapes = graph.layers, dict(graph.inputs)
    shapes |= {name: fixed for name in order if (fixed := layers[name].fixed()) is not None}
    waiting = [name for name in order if name not in shapes]
    while waiting:
        pending = []
        for name in waiting:
            layer = layers[name]
            ready = [edge for edge in edges[name] if edge.source in shapes]
            plain = [edge for edge in ready if not edge.projection]
            # The shape of a sum is that of any input; _join checks the others.
            if plain and (len(ready) == len(edges[name]) or layer.join == "add"):
                _, shapes[name] = _result(layer, name, plain, shapes)
            else:
                pending.append(name)
        if len(pending) == len(waiting):
            cycle = ", ".join(map(repr, pending))
            raise GraphError(f"the cycle through {cycle} has no shape, as each depends on the others; put a Dense into it")
        waiting = pending
    return shapes


def _result(layer: Layer, name: str, edges: Iterable[Edge], shapes: Mapping[str, Shape]) -> tuple[Shape, Shape]:
    """The layer's joined input and its output from these edges; errors name the layer."""
    names = [edge.source for edge in edges]
    try:
        shape = joined(layer.join, [layer.reads(shapes[source]) for source in names], names)
        return shape, layer.result(shape)
    except GraphError as error:
        raise GraphError(f"layer {name!r}: {error}") from None


def _check_mask(plan: Plan, name: str, mask: str) -> None:
    """Check that the layer accepts a mask and that the mask has a value for each step of its input."""
    layer, shape, mask_shape = plan.layers[name], plan.joined[name], plan.shapes[mask]
    check_masked(name, layer)
    if layer.images and len(shape) == 3:
        raise GraphError(f"layer {name!r} reads images of {shape}, which have no steps; leave mask out")
    if plan.recurrent:
        raise GraphError(f"layer {name!r} has a mask, but the graph steps through time; put its cycle into a Loop layer")
    if shape[:-1] != mask_shape:
        raise GraphError(
            f"layer {name!r} reads steps {shape[:-1]}, but its mask {mask!r} has {mask_shape}; mask and input must agree"
        )


def _join(plan: Plan, name: str) -> Shape:
    """The joined shape of a layer's inputs, projections included, after checking that they fit."""
    layer = plan.layers[name]
    plain = [edge for edge in plan.edges[name] if not edge.projection]
    projected = [edge for edge in plan.edges[name] if edge.projection]
    if projected and layer.join != "add":
        raise GraphError(
            f"the edge from {projected[0].source!r} to {name!r} is projected, but {name!r} joins by {layer.join!r}; "
            "use join='add', or leave the projection out"
        )
    shape, _ = _result(layer, name, plain, plan.shapes)
    for edge in projected:
        read = plan.read(edge)
        if read[:-1] != shape[:-1]:
            raise GraphError(
                f"{edge.source} {read} cannot be projected to {shape}, as {name!r} needs; only the last axis may differ"
            )
    return shape
