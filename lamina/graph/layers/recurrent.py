"""Recurrence: layers that step through a sequence and carry a state from step to step.

``Recurrent`` is one of the textbook cells; ``Loop`` is any graph that feeds back, directly or through other layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from lamina.errors import GraphError
from lamina.graph.graph import Graph
from lamina.graph.layer import Layer, Shape, check_share, check_whole, check_word, projection_name
from lamina.graph.layers.sequence import check_steps
from lamina.graph.plan import Plan

#: Each cell with the number of weighted sums that a neuron of it makes.
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


@dataclass(frozen=True)
class Recurrent(Layer):
    """Neurons that read, at every step, the step and what they themselves said one step before.

    ``"rnn"`` is Elman's (1990), ``h_t = tanh(W x_t + b + U h_{t-1} + c)``, which forgets within some ten steps. ``"lstm"``
    (Hochreiter & Schmidhuber 1997; with the forget gate of Gers et al. 2000) and ``"gru"`` (Cho et al. 2014, the variant of
    cuDNN: the reset gate acts on ``U h``) carry what they know along by addition and keep it for hundreds. Gates stand in
    PyTorch's order. The bias of the LSTM's forget gate begins at 1, so that it begins by remembering (Jozefowicz et al.
    2015).

    Steps that the mask says are not there must come last in their sequence. Read backwards a sequence begins at its last step
    that is there; the two directions are laid side by side.

    Args:
        size: Number of neurons in each direction.
        cell: ``"lstm"``, ``"gru"`` or ``"rnn"``.
        bidirectional: Read the sequence backwards, too, with neurons of their own. A stream cannot.
        dropout: Share of what comes out that is silenced at random while training.

    Shape:
        ``(..., steps, d)`` to ``(..., steps, size)``, or ``(..., steps, 2 * size)`` in two directions.

    Example:
        >>> Recurrent(64, bidirectional=True).shape([(29, 12)])
        (29, 128)
    """

    size: int
    cell: str = "lstm"
    bidirectional: bool = field(default=False, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)

    masked: ClassVar[bool] = True
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        name + way: axes
        for way in ("", "_back")
        for name, axes in {
            "weight": ("out", "in"),
            "weight_state": ("out", "out"),
            "bias": ("out",),
            "bias_state": ("out",),
        }.items()
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")
        check_word(self, "cell", tuple(GATES))
        check_share(self, "dropout")

    @property
    def ways(self) -> tuple[str, ...]:
        """What the names of the tensors end in, for each direction."""
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
    """What both directions say when they have read everything: forwards at the last step that is there, backwards at the first.

    Shape:
        ``(..., steps, 2 * d)`` as two directions give it, to ``(..., 2 * d)``; zeros where there is no step.

    Example:
        >>> Ends().shape([(29, 128)])
        (128,)
    """

    masked: ClassVar[bool] = True

    def result(self, shape: Shape) -> Shape:
        check_steps(self, shape)
        if shape[-1] % 2:
            raise GraphError(f"Ends was given steps of {shape[-1]} neurons, expected two directions of one size; take StepPool")
        return (*shape[:-2], shape[-1])


@dataclass(frozen=True)
class Loop(Layer):
    """A recurrent graph of its own that is stepped through a sequence, as one layer of another graph.

    So layers that feed back through other layers can stand in a net that is otherwise not recurrent, behind a table's
    columns or before a pooling.

    Args:
        graph: The graph, or what its ``to_json`` gives; one input (a step) and one output, both of one axis.

    Shape:
        ``(..., steps, d)``, d that of the input, to ``(..., steps, size of the output)``.

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
            raise GraphError("Loop.graph feeds nothing back; connect a layer to an earlier one, or take StepDense")
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

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "graph": self.graph.to_json()}
