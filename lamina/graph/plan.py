"""The plan: a checked graph with its order of execution, delays, shapes and parameter counts. Needs no torch."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lamina.errors import GraphError
from lamina.graph.graph import Edge, Graph, check_masked
from lamina.graph.layer import Layer, Shape, joined, notes, projection_name, size_text

_Node = TypeVar("_Node", str, int)


@dataclass(frozen=True)
class Block:
    """Layers that run together: one layer, or all layers of a cycle, which step through time side by side."""

    names: tuple[str, ...]
    cyclic: bool


class Plan:
    """What will run, in which order, with which shapes.

    The rule for delays: edges marked ``delay=1`` wait one step. Inside each strongly connected component of what remains, an
    edge waits if and only if its source was defined at or after its target, unless it is marked ``delay=0``.

    Args:
        graph: The graph; the plan keeps a copy.

    Raises:
        GraphError: The graph cannot run; the message names the nodes and the remedy.

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
        #: For each layer the edges that it reads, in the order in which they are joined; ``delay`` is decided: 0 or 1.
        edges = _delays(self.graph)
        self.edges: dict[str, tuple[Edge, ...]] = {
            name: tuple(edge for edge in group if not edge.mask) for name, group in edges.items()
        }
        #: For each layer that is told which steps are there: the node that says so.
        self.masks: dict[str, str] = {edge.target: edge.source for group in edges.values() for edge in group if edge.mask}
        #: What runs one after the other.
        self.blocks: tuple[Block, ...] = _blocks(self.graph, edges)
        #: The names of the layers in their order of execution.
        self.order: tuple[str, ...] = tuple(name for block in self.blocks for name in block.names)
        place = {name: i for i, name in enumerate(self.order)}
        #: The layers, in their order of execution.
        self.layers: dict[str, Layer] = dict(sorted(self.graph.layers.items(), key=lambda item: place[item[0]]))
        #: Whether there is a delayed edge; then batches have a time axis.
        self.recurrent: bool = any(edge.delay for edges in self.edges.values() for edge in edges)
        #: The shape of every input and layer, without batch and time.
        self.shapes: dict[str, Shape] = _shapes(self.graph, self.edges, self.order)
        #: For each layer its joined input's shape.
        self.joined: dict[str, Shape] = {name: _join(self, name) for name in self.order}
        for name, mask in self.masks.items():
            _check_mask(self, name, mask)
        #: For each projected edge its (width in, width out).
        self.projections: dict[tuple[str, str], tuple[int, int]] = {
            (edge.source, name): (self._read(edge)[-1], self.joined[name][-1])
            for name in self.order
            for edge in self.edges[name]
            if edge.projection
        }
        for source, target in self.projections:
            if (name := projection_name(source, target)) in self.graph.nodes:
                raise GraphError(f"the projection from {source!r} to {target!r} needs the name {name!r}; rename that layer")
        #: For each layer the number of parameters, projections into it included.
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

    def _read(self, edge: Edge) -> Shape:
        return self.layers[edge.target].reads(self.shapes[edge.source])

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
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for row in rows:
            cells = [
                cell.rjust(width) if i in (3, 4) else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)


# -- the graph as a whole --------------------------------------------------------------------------------------------------


def _check_ends(graph: Graph) -> None:
    """Everything is on a way from an input to an output."""
    if not graph.outputs:
        raise GraphError("the graph has no output; say which layer answers, as in g.output('label', after='hidden')")
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
            raise GraphError(f"nobody reads the input {name!r}; connect it to a layer that leads to an output, or leave it out")
        if name not in reading and name not in inputs:
            raise GraphError(f"layer {name!r} reads nothing; give it after=..., or connect something to it")
        if name not in fed:
            raise GraphError(f"layer {name!r} is not reached from any input; connect an input or a layer that is reached to it")
        if name not in used:
            raise GraphError(f"layer {name!r} leads to no output; connect it onwards, or leave it out")


def _reach(starts: Iterable[str], ways: Mapping[str, list[str]]) -> set[str]:
    found, queue = set(starts), list(starts)
    while queue:
        for name in ways[queue.pop()]:
            if name not in found:
                found.add(name)
                queue.append(name)
    return found


def _components(names: Iterable[str], edges: Iterable[Edge]) -> dict[str, int]:
    """The number of each node's strongly connected component (Tarjan 1972, without recursion: nets may be deep)."""
    ways: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        ways[edge.source].append(edge.target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    number: dict[str, int] = {}
    path: list[str] = []
    for start in ways:
        work = [start] if start not in index else []
        while work:
            name = work[-1]
            if name not in index:
                index[name] = low[name] = len(index)
                path.append(name)
            ahead = next((target for target in ways[name] if target not in index), None)
            if ahead is not None:
                work.append(ahead)
                continue
            work.pop()
            low[name] = min([low[name], *(low[target] for target in ways[name] if target not in number)])
            if low[name] == index[name]:
                while name not in number:
                    number[path.pop()] = index[name]
    return number


def _sorted(nodes: Sequence[_Node], ways: Iterable[tuple[_Node, _Node]]) -> list[_Node]:
    """Sources before targets; wherever that leaves it open, in the order given (Kahn 1962 with a heap)."""
    place = {node: i for i, node in enumerate(nodes)}
    targets: dict[_Node, list[_Node]] = {node: [] for node in nodes}
    missing = dict.fromkeys(nodes, 0)
    for source, target in ways:
        targets[source].append(target)
        missing[target] += 1
    ready = [place[node] for node in nodes if not missing[node]]
    found = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        found.append(node)
        for target in targets[node]:
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, place[target])
    return found


def _delays(graph: Graph) -> dict[str, tuple[Edge, ...]]:
    """The rule in :class:`Plan`, and the error when marks leave a cycle that never waits."""
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
                f"the cycle through {', '.join(map(repr, cycle))} has an edge marked delay=0 where it must wait; "
                "remove the mark, or mark another edge of it with delay=1"
            )
    return edges


def _blocks(graph: Graph, edges: Mapping[str, tuple[Edge, ...]]) -> tuple[Block, ...]:
    layers = list(graph.layers)
    inner = [edge for group in edges.values() for edge in group if edge.source in edges]
    component = _components(layers, inner)
    ways = [(component[edge.source], component[edge.target]) for edge in inner]
    numbers = _sorted(list(dict.fromkeys(component[name] for name in layers)), [way for way in ways if way[0] != way[1]])
    blocks: dict[int, list[str]] = {number: [] for number in numbers}
    for name in _sorted(layers, [(edge.source, edge.target) for edge in inner if not edge.delay]):
        blocks[component[name]].append(name)
    loops = {edge.source for edge in inner if edge.source == edge.target}
    return tuple(Block(tuple(names), len(names) > 1 or names[0] in loops) for names in blocks.values())


# -- shapes ----------------------------------------------------------------------------------------------------------------


def _shapes(graph: Graph, edges: Mapping[str, tuple[Edge, ...]], order: Iterable[str]) -> dict[str, Shape]:
    """Infer every shape. In a cycle the layers whose shape is fixed, as Dense, come first and the others follow from them."""
    shapes = dict(graph.inputs)
    layers = graph.layers
    shapes |= {name: fixed for name in order if (fixed := layers[name].fixed()) is not None}
    waiting = [name for name in order if name not in shapes]
    while waiting:
        left = []
        for name in waiting:
            layer = layers[name]
            known = [edge for edge in edges[name] if edge.source in shapes]
            plain = [edge for edge in known if not edge.projection]
            # An added input says alone what the sum looks like; all inputs are held against it at the end.
            if plain and (len(known) == len(edges[name]) or layer.join == "add"):
                shapes[name] = _result(layer, name, plain, shapes)
            elif len(known) == len(edges[name]):
                _plain_needed(name)
            else:
                left.append(name)
        if len(left) == len(waiting):
            cycle = ", ".join(map(repr, left))
            raise GraphError(
                f"the cycle through {cycle} grows without end, as each shape needs the others; put a Dense into it"
            )
        waiting = left
    return shapes


def _result(layer: Layer, name: str, edges: Iterable[Edge], shapes: Mapping[str, Shape]) -> Shape:
    """The layer's shape from these of its inputs, with errors that name the layers."""
    reads = [(edge.source, layer.reads(shapes[edge.source])) for edge in edges]
    try:
        return layer.result(joined(layer.join, [shape for _, shape in reads], [source for source, _ in reads]))
    except GraphError as error:
        raise GraphError(f"layer {name!r}: {error}") from None


def _plain_needed(name: str) -> None:
    raise GraphError(f"every edge into {name!r} is projected, so no width is given; leave one without projection")


def _check_mask(plan: Plan, name: str, mask: str) -> None:
    """A mask is for layers that take one, and has a value for each step of what is read."""
    layer, shape, given = plan.layers[name], plan.joined[name], plan.shapes[mask]
    check_masked(name, layer)
    if layer.images and len(shape) == 3:
        raise GraphError(f"layer {name!r} reads images of {shape}, which have no steps; leave mask out")
    if plan.recurrent:
        raise GraphError(f"layer {name!r} has a mask, but the graph steps through time; put its cycle into a Loop layer")
    if shape[:-1] != given:
        raise GraphError(
            f"layer {name!r} reads steps {shape[:-1]}, but its mask {mask!r} has {given}; mask and input must agree"
        )


def _join(plan: Plan, name: str) -> Shape:
    """Hold all inputs of a layer against each other, projections included, and give the joined shape."""
    layer = plan.layers[name]
    plain = [edge for edge in plan.edges[name] if not edge.projection]
    projected = [edge for edge in plan.edges[name] if edge.projection]
    if not plain:
        _plain_needed(name)
    if projected and layer.join != "add":
        raise GraphError(
            f"the edge from {projected[0].source!r} to {name!r} is projected, but {name!r} joins by {layer.join!r}; "
            "use join='add', or leave the projection out"
        )
    _result(layer, name, plain, plan.shapes)
    reads = [(edge.source, plan._read(edge)) for edge in plain]
    shape = joined(layer.join, [shape for _, shape in reads], [source for source, _ in reads])
    for edge in projected:
        read = plan._read(edge)
        if read[:-1] != shape[:-1]:
            raise GraphError(
                f"{edge.source} {read} cannot be projected to {shape}, as {name!r} needs; only the last axis may differ"
            )
    return shape
