"""Recurrent layers: ``Recurrent`` is an LSTM, GRU or RNN; ``Loop`` is any recurrent graph as a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Annotated, Any

from lamina.errors import GraphError
from lamina.graph.graph import Graph
from lamina.graph.layer import Layer, Shape, Share, Whole, one_of, projection_name
from lamina.graph.layers.sequence import check_steps
from lamina.graph.plan import Plan

#: Each cell with its number of gates.
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Recurrent(Layer):
    """Recurrent layer: LSTM, GRU or RNN.

    ``"rnn"`` is Elman's (1990), ``h_t = tanh(W x_t + b + U h_{t-1} + c)``. ``"lstm"`` is Hochreiter & Schmidhuber's (1997) with
    the forget gate of Gers et al. (2000), whose bias is initialised with 1 (Jozefowicz et al. 2015). ``"gru"`` is Cho et al.'s
    (2014) in the variant of cuDNN: the reset gate acts on ``U h``. Gates are in PyTorch's order.

    Masked steps must be at the end of their sequence. The backward direction begins at the last present step; the outputs of
    both directions are concatenated.

    Args:
        size: Hidden size of each direction.
        cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
        bidirectional: Also read the sequence backwards, with separate weights; not possible on a stream.
        dropout: Dropout rate of the output.

    Shape:
        ``(..., steps, d)`` to ``(..., steps, size)``, or ``(..., steps, 2 * size)`` if bidirectional.

    Example:
        >>> Recurrent(64, bidirectional=True).shape([(29, 12)])
        (29, 128)
    """

    size: Whole
    cell: Annotated[str, one_of(*GATES)] = "lstm"
    _: KW_ONLY
    bidirectional: bool = False
    dropout: Share = 0.0

    masked = True
    axes = {"weight": ("out", "in"), "weight_state": ("out", "out"), "bias": ("out",), "bias_state": ("out",)}
    axes |= {name + "_back": roles for name, roles in axes.items()}

    @property
    def ways(self) -> tuple[str, ...]:
        """The suffix of the tensor names of each direction."""
        return ("", "_back") if self.bidirectional else ("",)

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        return (*shape[:-1], self.size * len(self.ways))

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        gates = GATES[self.cell]
        sizes = {
            "weight": (gates, self.size, shape[-1]),
            "weight_state": (gates, self.size, self.size),
            "bias": (gates, self.size),
            "bias_state": (gates, self.size),
        }
        return {name + way: size for way in self.ways for name, size in sizes.items()}


@dataclass(frozen=True)
class Ends(Layer):
    """The final outputs of both directions: forward at the last present step, backward at the first.

    Shape:
        ``(..., steps, 2 * d)`` of a bidirectional layer to ``(..., 2 * d)``; zeros for a fully masked sequence.

    Example:
        >>> Ends().shape([(29, 128)])
        (128,)
    """

    masked = True

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        if shape[-1] % 2:
            raise GraphError(f"Ends was given steps of {shape[-1]} neurons, expected two directions of one size; use StepPool")
        return (*shape[:-2], shape[-1])


@dataclass(frozen=True)
class Loop(Layer):
    """A recurrent graph, applied to a sequence step by step, as one layer of another graph, which need not be recurrent.

    Args:
        graph: The graph, or its ``to_json``; one input (a step) and one output, both of one axis.

    Shape:
        ``(..., steps, size of the graph's input)`` to ``(..., steps, size of its output)``.

    Example:
        >>> from lamina.graph import Dense, Graph
        >>> g = Graph()
        >>> g.input("step", shape=3)
        >>> g.layer("hidden", Dense(8, "tanh"), after="step")
        >>> g.layer("deeper", Dense(4, "tanh"), after="hidden")
        >>> g.connect("deeper", "hidden")
        >>> g.output("state", after="deeper")
        >>> Loop(g).shape([(20, 3)])
        (20, 4)
    """

    graph: Graph

    def __post_init__(self) -> None:
        super().__post_init__()
        graph = self.graph
        if not isinstance(graph, Graph | Mapping):
            raise GraphError(f"Loop.graph is a {type(graph).__name__}, expected a Graph or what its to_json gives")
        graph = graph.copy() if isinstance(graph, Graph) else Graph.from_json(graph)
        object.__setattr__(self, "graph", graph)
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise GraphError(
                f"Loop.graph has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, expected one of each; "
                "join them in the graph around it"
            )
        plan = self.plan
        if not plan.recurrent:
            raise GraphError("Loop.graph feeds nothing back; connect a layer to an earlier one, or use StepDense")
        shapes = (*plan.inputs.values(), *(plan.shapes[after] for after in plan.outputs.values()))
        if any(len(shape) != 1 for shape in shapes):
            raise GraphError(f"Loop.graph reads {shapes[0]} and gives {shapes[1]}, expected one axis each; flatten them")

    @cached_property
    def plan(self) -> Plan:
        return Plan(self.graph)

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        plan = self.plan
        (width,), (after,) = next(iter(plan.inputs.values())), plan.outputs.values()
        if shape[-1] != width:
            raise GraphError(f"Loop was given steps of {shape[-1]} neurons, but its graph reads {width}; make them equal")
        return (*shape[:-1], *plan.shapes[after])

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        plan = self.plan
        own = {
            f"net.{name}.{tensor}": size
            for name, layer in plan.layers.items()
            for tensor, size in layer.tensors(plan.joined[name]).items()
        }
        return own | {
            f"net.{projection_name(*ends)}.weight": (width_out, width_in)
            for ends, (width_in, width_out) in plan.projections.items()
        }

    def saved(self, shape: Shape) -> dict[str, Shape]:
        return {f"net.{name}": size for name, size in self.plan.saved().items()}

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "graph": self.graph.to_json()}
