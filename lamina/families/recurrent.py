"""The recurrent family: LSTM, GRU and other recurrent networks for series and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from lamina.data.encoding import Input
from lamina.errors import OptionError
from lamina.families.branches import MixedFamily
from lamina.families.chain import Chain
from lamina.families.readers import auto_option
from lamina.graph.graph import Graph
from lamina.graph.layers import Dense, Dropout, Ends, Join, Loop, StepPool
from lamina.graph.layers import Recurrent as RecurrentLayer
from lamina.options import option
from lamina.tasks.task import Task


@dataclass
class Recurrent(MixedFamily):
    """A stack of recurrent layers, then pooling over the steps.

    The cells are LSTM, GRU, Elman's ("rnn"), or ``"indirect"``, in which the last hidden layer feeds back into the first.
    Gradients are clipped by value at 1 by default, as they may explode over many steps (Pascanu et al. 2013).

    With ``bidirectional=False`` it can follow a stream: see :class:`lamina.stream.Stream`.

    Example:
        >>> Recurrent(cell="gru", hidden_sizes=(32, 32), pool="last").check().hidden_sizes
        (32, 32)
    """

    name: ClassVar[str] = "recurrent"
    reads: ClassVar[tuple[str, ...]] = ("text", "series")

    cell: str = option("lstm", "recurrent cell", choices=("lstm", "gru", "rnn", "indirect"), tune=["lstm", "gru"])
    hidden_sizes: tuple[int, ...] = option(
        (64,),
        "number of neurons of each recurrent layer, for each direction",
        low=1,
        high=65_536,
        items=int,
        tune=[(32,), (64,), (128,), (64, 64), (128, 128)],
    )
    bidirectional: bool | str = auto_option("bidirectional layers; auto is true except for indirect cells", kind=bool)
    pool: str = option(
        "mean_max",
        "pooling over the steps: the last, mean, max, or both mean and max",
        choices=("last", "mean", "max", "mean_max"),
        tune=["last", "mean_max"],
    )

    def check(self) -> Self:
        super().check()
        if not self.hidden_sizes:
            raise OptionError("Recurrent.hidden_sizes is empty, expected the sizes of one recurrent layer or more, as in (64,)")
        if self.cell == "indirect" and self.bidirectional is True:
            raise OptionError("Recurrent.bidirectional is True with cell='indirect', which is unidirectional; use 'auto'")
        return self

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        return {
            **super().prefers(rows=rows, inputs=inputs, task=task, device=device),
            "batch_size": min(rows, 16 if rows < 1_000 else 32 if rows < 10_000 else 64),
            "epochs": max(5, min(200, 400_000 // rows)),
            "schedule": "cosine",
            "patience": 40 if rows < 1_000 else 10,
            "clip_value": 1.0,
        }

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        chain = Chain(graph, name, *self.steps(graph, name, block))
        both = self.cell != "indirect" and self.bidirectional is not False
        if self.cell == "indirect":
            width = block.shape[-1] if block.kind == "series" else self.embedding_dim
            chain.add("recurrent", Loop(_indirect(width, self.hidden_sizes)))
            chain.add("dropout", Dropout(self.dropout))
        else:
            for i, size in enumerate(self.hidden_sizes, 1):
                chain.add(f"recurrent{i}", RecurrentLayer(size, self.cell, bidirectional=both, dropout=self.dropout))
        if self.pool == "last" and both:
            return chain.add("last", Ends())
        pools = [chain.aside(kind, StepPool(kind)) for kind in self.pool.split("_")]
        return pools[0] if len(pools) == 1 else chain.add("pools", Join("concat"), after=pools)


def _indirect(width: int, hidden: tuple[int, ...]) -> Graph:
    """Two dense layers or more, the last of which feeds back into the first."""
    graph = Graph()
    graph.input("step", shape=width)
    after = "step"
    for i, size in enumerate(hidden if len(hidden) > 1 else hidden * 2, 1):
        graph.layer(f"hidden{i}", Dense(size, "tanh"), after=after)
        after = f"hidden{i}"
    graph.connect(after, "hidden1")
    graph.output("state", after=after)
    return graph
