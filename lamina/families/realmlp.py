"""The realmlp family: a multilayer perceptron with the tuned defaults of RealMLP."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from lamina.data.encoding import Input
from lamina.families.chain import Chain
from lamina.families.family import EVERY, TableFamily
from lamina.graph.graph import Graph
from lamina.graph.layer import ACTIVATIONS
from lamina.graph.layers import Flatten, NTKDense, Scale
from lamina.options import option
from lamina.tasks.losses import MSE
from lamina.tasks.task import Task


@dataclass
class RealMLP(TableFamily):
    """A multilayer perceptron with RealMLP-TD's tuned defaults (Holzmüller et al. 2024, arXiv 2407.04491, table A.1).

    From there: numbers embedded by periodic functions beside themselves, a scale for each input, layers in the neural tangent
    parametrisation, activations with a slope for each neuron, Adam with weight decay 0.02, 256 epochs of batches of 256 rows,
    a learning rate of 0.04 for classes and 0.2 for values, whose four cycles grow in length, and no early stopping: the epoch
    with the lowest validation loss is kept. Unlike there, dropout and weight decay are constant, labels are not smoothed
    (probabilities are judged by the log-loss), the activation is the same for classes and values, and the weights are averaged.

    Example:
        >>> RealMLP(hidden_sizes=(64, 64)).check().activation
        'selu'
    """

    name: ClassVar[str] = "realmlp"
    reads: ClassVar[tuple[str, ...]] = EVERY

    number_embedding: str | None = option(
        "pbld",
        "embedding of numbers; None for no embedding",
        choices=("piecewise_linear", "periodic", "pbld", None),
        blocks=("numbers",),
    )
    one_hot: int = option(
        8,
        "maximum number of levels of a one-hot encoded category; categories with more are embedded",
        low=0,
        high=100_000,
        blocks=("categories",),
    )
    hidden_sizes: tuple[int, ...] = option(
        (256, 256, 256),
        "number of neurons of each hidden layer",
        low=1,
        high=65_536,
        kind=tuple,
        items=int,
        tune=[(128, 128), (256, 256, 256), (512, 512)],
    )
    activation: str = option("selu", "activation of the hidden layers", choices=ACTIVATIONS)
    dropout: float = option(0.15, "dropout rate", low=0, high=0.95, tune=(0.0, 0.5))

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[str, None]:
        nodes, _ = self.stem(graph, inputs)
        chain = Chain(graph)
        chain.add("inputs", Flatten(), after=nodes)
        chain.add("scale", Scale(rate=6.0))
        for number, size in enumerate(self.hidden_sizes, 1):
            chain.add(f"hidden{number}", NTKDense(int(size), self.activation, parametric=True, dropout=self.dropout))
        share = 1 / math.sqrt(self.hidden_sizes[-1])  # the head is an ordinary layer; so its steps are those of the others
        return chain.add("features", Scale(share, rate=share)), None

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        return {
            **super().prefers(rows=rows, inputs=inputs, task=task, device=device),
            "learning_rate": 0.04 if MSE not in task.losses else 0.2,
            "weight_decay": 0.02,
            "schedule": "coslog4",
            "epochs": 256,
            "batch_size": min(256, rows),
            "patience": None,
        }
