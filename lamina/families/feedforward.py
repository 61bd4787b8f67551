"""The feed-forward family: a multilayer perceptron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lamina.data.encoding import Input
from lamina.families.family import EVERY, TableFamily
from lamina.families.readers import auto_option, plain
from lamina.graph.graph import Graph
from lamina.graph.layer import ACTIVATIONS
from lamina.graph.layers import Dense
from lamina.options import option


@dataclass
class FeedForward(TableFamily):
    """A multilayer perceptron with any number of hidden layers.

    The default is an ensemble inside one network (TabM-mini, Gorishniy et al. 2024, arXiv 2410.24210): the members share all
    weights but the scales of the first layer and the head, each has a loss of its own, and the prediction is the mean of their
    probabilities. We differ in that the first layer also scales its outputs. ``members=1`` is a plain network.

    Example:
        >>> FeedForward(hidden_sizes=(64, 64), activation="tanh", number_embedding=None, members=1).check().members
        1
    """

    name: ClassVar[str] = "feedforward"
    reads: ClassVar[tuple[str, ...]] = EVERY

    hidden_sizes: tuple[int, ...] = option(
        (128, 128),
        "number of neurons of each hidden layer",
        low=1,
        high=65_536,
        items=int,
        tune=[(128,), (256,), (64, 64), (128, 128), (256, 256), (128, 128, 128), (256, 256, 256)],
    )
    activation: str = option("relu", "activation of the hidden layers", choices=ACTIVATIONS)
    members: int | str = auto_option(
        "number of ensemble members, which share weights; 1 is a plain network; auto is 16 for plain columns, else 1",
        low=1,
        high=1024,
    )
    dropout: float = option(0.0, "dropout rate", low=0, high=0.95, tune=(0.0, 0.5))

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[str | list[str], int | None]:
        after, chunks = self.stem(graph, inputs)
        count = (16 if len(plain(inputs)) == len(inputs) else 1) if self.members == "auto" else int(self.members)
        members = None if count == 1 else count
        for i, size in enumerate(self.hidden_sizes, 1):
            # TabM-mini: only the first layer has weights of its own for each member.
            adapter = {"adapter": True, "chunks": tuple(chunks)} if members and i == 1 else {}
            layer = Dense(size, self.activation, dropout=self.dropout, members=members, **adapter)
            graph.layer(f"hidden{i}", layer, after=after)
            after = f"hidden{i}"
        return after, members
