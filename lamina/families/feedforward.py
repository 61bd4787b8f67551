"""The feed-forward family: a multilayer perceptron."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

from lamina.data.encoding import Input
from lamina.families.family import EVERY, MOST_VISITS, TableFamily
from lamina.families.readers import auto_option, plain
from lamina.graph.graph import Graph
from lamina.graph.layer import ACTIVATIONS
from lamina.graph.layers import Dense
from lamina.options import option
from lamina.tasks.task import Task
from lamina.train.recipe import Recipe

MANY_ROWS = 10_000
"""From so many training rows on Muon and a third layer are better than AdamW; of few rows Muon learns the noise."""
SIZES, SIZES_OF_MANY = (128, 128), (128, 128, 128)
MEMBERS, MEMBERS_OF_MANY = 16, 8


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

    hidden_sizes: tuple[int, ...] | str = option(
        "auto",
        "number of neurons of each hidden layer; auto is 128, 128, for at least 10,000 training rows of plain columns "
        "128, 128, 128",
        low=1,
        high=65_536,
        choices=("auto",),
        kind=tuple,
        items=int,
        tune=[(128,), (256,), (64, 64), (128, 128), (256, 256), (128, 128, 128), (256, 256, 256)],
    )
    activation: str = option("relu", "activation of the hidden layers", choices=ACTIVATIONS)
    members: int | str = auto_option(
        "number of ensemble members, which share weights; 1 is a plain network; auto is 16 for plain columns, 8 for at least "
        "10,000 training rows of them, else 1",
        low=1,
        high=1024,
    )
    dropout: float = option(0.0, "dropout rate", low=0, high=0.95, tune=(0.0, 0.5))

    def suited(self, inputs: Mapping[str, Input], device: str, rows: int) -> tuple[Self, str]:
        """The sizes and members for so many rows."""
        many = _are_many(inputs, rows)
        members = (MEMBERS_OF_MANY if many else MEMBERS) if len(plain(inputs)) == len(inputs) else 1
        values = {"hidden_sizes": SIZES_OF_MANY if many else SIZES, "members": members}
        return dataclasses.replace(self, **{name: value for name, value in values.items() if getattr(self, name) == "auto"}), ""

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[str | list[str], int | None]:
        decided = self.suited(inputs, "cpu", 0)[0]
        after, chunks = self.stem(graph, inputs)
        members = None if decided.members == 1 else int(decided.members)
        for i, size in enumerate(decided.hidden_sizes, 1):
            # TabM-mini: only the first layer has weights of its own for each member.
            adapter = {"adapter": True, "chunks": tuple(chunks)} if members and i == 1 else {}
            layer = Dense(int(size), self.activation, dropout=self.dropout, members=members, **adapter)
            graph.layer(f"hidden{i}", layer, after=after)
            after = f"hidden{i}"
        return after, members

    def complete(self, recipe: Recipe, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> Recipe:
        """The completed recipe; for many rows of plain columns with muon, which needs about half as many epochs as adamw."""
        if recipe.optimizer == "auto" and _are_many(inputs, rows):
            recipe = dataclasses.replace(recipe, optimizer="muon")
        if recipe.optimizer == "muon":
            decided = {"epochs": max(10, min(200, MOST_VISITS // 2 // rows)), "patience": 6}
            decided = {name: value for name, value in decided.items() if getattr(recipe, name) == "auto"}
            recipe = dataclasses.replace(recipe, **decided)
        return super().complete(recipe, rows=rows, inputs=inputs, task=task, device=device)


def _are_many(inputs: Mapping[str, Input], rows: int) -> bool:
    return rows >= MANY_ROWS and len(plain(inputs)) == len(inputs)
