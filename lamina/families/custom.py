"""Custom: a graph of one's own, a function that draws one, or a registered factory of an ``nn.Module``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lamina.data.encoding import Input
from lamina.errors import OptionError
from lamina.families.family import EVERY, NetworkFamily
from lamina.graph.graph import Graph
from lamina.graph.layer import nearest
from lamina.graph.layers import CategoryEmbedding, Module, TokenEmbedding
from lamina.graph.layers.pretrained import factory_name, registered
from lamina.graph.plan import Plan
from lamina.options import option, shortened
from lamina.tasks.head import Head

if TYPE_CHECKING:
    from lamina.data.encode import Encoder
    from lamina.graph.net import Net

EXPECTED = (
    "a lamina.Graph, a function of the inputs that returns one, or a factory of an nn.Module registered with lamina.register"
)


@dataclass
class Custom(NetworkFamily):
    """A network of one's own: a graph, a function that draws one, or a registered factory of an ``nn.Module``.

    A graph without an output ends in the last hidden layer, or in several that are concatenated, and the task adds the head:
    one logit, a logit for each class or label, a value for each target. A graph with an output is whole, and its output must
    have these units.

    A model file has the graph: a function is called once, on the inputs of the training rows. A factory is registered again,
    under the same name, before the file is loaded.

    Args:
        network: The graph; or ``draw(inputs) -> Graph``, or a registered factory ``make(inputs) -> nn.Module`` or its name,
            where ``inputs`` are the encoder's by name, each with its ``shape``, ``kind``, ``names`` and ``cardinalities`` (see
            :class:`lamina.data.encoding.Input`). The module reads a dict of tensors by these names and returns one tensor
            (N, features).

    Raises:
        OptionError: Where the inputs are known: the function returns no graph, the graph reads an input that the columns do not
            give, or its output does not have the units of the task.

    Example:
        >>> from lamina import Graph, Recipe, fit
        >>> from lamina.graph import Dense
        >>> def draw(inputs):
        ...     graph = Graph()
        ...     graph.input("numbers", shape=inputs["numbers"].shape)
        ...     graph.layer("hidden", Dense(8, "tanh"), after="numbers")
        ...     return graph
        >>> rows = {"x": [i / 50 for i in range(100)], "y": ["low"] * 50 + ["high"] * 50}
        >>> model = fit(rows, "y", family=Custom(draw), recipe=Recipe(epochs=1), monitor=None)
        >>> model.model_.net.plan.graph
        Graph(numbers -> hidden, hidden -> head, head -> output)
    """

    name: ClassVar[str] = "custom"
    reads: ClassVar[tuple[str, ...]] = EVERY

    network: Graph | Callable[..., Any] | str | None = option(
        None,
        EXPECTED,
        kind=(Graph, str, Callable),  # pyright: ignore[reportArgumentType]
        expected=EXPECTED,
    )

    def check(self) -> Self:
        super().check()
        if self.network is None:
            raise OptionError(f"Custom.network is None, expected {EXPECTED}")
        if isinstance(self.network, str) and self.network not in registered():
            raise _unregistered(self.network, f"Custom.network is {self.network!r}, which is no registered name")
        if (isinstance(self.network, type) or _is_module(self.network)) and factory_name(self.network) is None:
            name = (self.network if isinstance(self.network, type) else type(self.network)).__name__.lower()
            raise _unregistered(name, f"Custom.network is {shortened(self.network)}, a module that no file can hold")
        return self

    def suited(self, inputs: Mapping[str, Input], device: str, rows: int) -> tuple[Self, str]:
        """The family with the graph drawn."""
        return dataclasses.replace(self, network=self.drawn(inputs)), ""

    def drawn(self, inputs: Mapping[str, Input]) -> Graph:
        """The graph for these inputs, without the head of the task unless the graph has an output.

        Raises:
            OptionError: It is no graph, or does not fit the inputs.
        """
        network = self.network
        name = network if isinstance(network, str) else factory_name(network)
        if name is not None:
            return _module_graph(name, inputs)
        if not isinstance(network, Graph):
            assert callable(network)
            function, network = getattr(network, "__name__", type(network).__name__), network(dict(inputs))
            if _is_module(network):
                raise _unregistered(function, f"the function {function} returned an nn.Module, which no file can hold")
            if not isinstance(network, Graph):
                raise OptionError(
                    f"the function {function} returned {shortened(network)}, expected a lamina.Graph; return the graph that it "
                    "draws"
                )
        _check_inputs(network, inputs)
        return network

    def graph(self, inputs: Mapping[str, Input], head: Head | int) -> Graph:
        graph, head = self.drawn(inputs).copy(), Head(head) if isinstance(head, int) else head
        if not graph.outputs:
            head.draw(graph, _last(graph))
        plan = Plan(graph)
        if plan.recurrent:
            raise OptionError(
                "the graph has a cycle, so its output has a time axis, but the task has one output for each row; put the cycle "
                "into a lamina.graph.Loop layer and a StepPool behind it"
            )
        if len(plan.outputs) > 1:
            raise OptionError(
                f"the graph has the outputs {', '.join(plan.outputs)}, expected one; leave them out and the task adds the head"
            )
        output, after = next(iter(plan.outputs.items()))
        shape = plan.shapes[after]
        if shape[-1:] != (head.units,) or len(shape) > 2:
            raise OptionError(
                f"the output {output!r} of the graph has the shape {shape}, expected ({head.units},) for this task; leave "
                "graph.output(...) out and the task adds the head"
            )
        return graph

    def initialise(self, net: Net, encoder: Encoder) -> tuple[str, ...]:
        unread = [name for name in encoder.inputs if name not in net.plan.inputs]
        columns = dict.fromkeys(name for block in unread for name in encoder.inputs[block].names)
        if not unread:
            return ()
        which = f"the graph does not read the input{'s' * (len(unread) > 1)} {', '.join(unread)}"
        return (f"{which}: {', '.join(list(columns)[:5])}{', ...' * (len(columns) > 5)}",)

    def to_json(self) -> dict[str, Any]:
        values = super().to_json()
        return {**values, "network": self.network.to_json()} if isinstance(self.network, Graph) else values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        network = values.get("network")
        if isinstance(network, Mapping) and "nodes" in network:
            values = {**values, "network": Graph.from_json(network)}
        return super().from_json(values)


def _is_module(value: object) -> bool:
    torch = sys.modules.get("torch")  # loaded, if there is a module
    return torch is not None and isinstance(value, torch.nn.Module)


def _unregistered(name: str, what: str) -> OptionError:
    known = f" (registered: {', '.join(registered())})" if registered() else ""
    return OptionError(
        f"{what}{known}; register a function of the inputs that makes the module: "
        f"lamina.register({name!r}, make), then Custom({name!r})"
    )


def _module_graph(part: str, inputs: Mapping[str, Input]) -> Graph:
    """All inputs into the registered module."""
    from lamina.graph.modules.pretrained import module_shape

    graph = Graph()
    for name, block in inputs.items():
        graph.input(name, shape=block.shape)
    options = {"inputs": {name: dataclasses.asdict(block) for name, block in inputs.items()}}
    module = Module(part, out=module_shape(part, options["inputs"]), options=options)
    graph.layer("module", module, after=list(inputs))
    return graph


def _check_inputs(graph: Graph, inputs: Mapping[str, Input]) -> None:
    for name, shape in graph.inputs.items():
        if name not in inputs:
            raise OptionError(f"the graph reads the input {name!r}, which these columns do not give; {nearest(name, inputs)}")
        if shape != inputs[name].shape:
            raise OptionError(
                f"the input {name!r} of the graph has the shape {shape}, but these columns give {inputs[name].shape}; "
                "draw it in a function of the inputs: Custom(draw)"
            )
    for edge in graph.edges:
        layer, block = graph.nodes[edge.target], inputs.get(edge.source)
        if block is None or not isinstance(layer, CategoryEmbedding | TokenEmbedding):
            continue
        sizes = layer.cardinalities if isinstance(layer, CategoryEmbedding) else (layer.vocabulary,)
        if any(size < codes for size, codes in zip(sizes, block.cardinalities, strict=False)):
            raise OptionError(
                f"layer {edge.target!r} embeds {', '.join(map(str, sizes))} codes, but the input {edge.source!r} has "
                f"{', '.join(map(str, block.cardinalities))} with these rows; draw it in a function of the inputs: Custom(draw)"
            )


def _last(graph: Graph) -> list[str]:
    """The layers that no other layer reads."""
    read = {edge.source for edge in graph.edges if edge.source != edge.target}
    last = [name for name in graph.layers if name not in read] or [name for name in graph.inputs if name not in read]
    if not last:
        raise OptionError("the graph has no last layer, as every one is read by another; put a Join() behind the last one")
    return last
