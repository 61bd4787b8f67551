"""Rows, graphs, modules, losses and metrics of one's own, for the tests of custom families."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import lamina
from lamina import Custom, Recipe
from lamina.graph import CategoryEmbedding, Dense

RANDOM = np.random.default_rng(0)
A, B = RANDOM.normal(size=(2, 90))
TOWN = RANDOM.choice(["Bern", "Rome", "Oslo"], 90)
X = {"a": A, "b": B, "town": TOWN}
TARGETS = {
    "binary": np.where(A + B > 0, "yes", "no"),
    "classes": np.digitize(A, [-0.5, 0.5]).astype(str),
    "regression": 2 * A - B,
}
PLAIN = {"members": 1, "number_embedding": None, "one_hot": 10}
FAST = {"epochs": 3, "learning_rate": 1e-2, "ema_decay": None}


def rows(task="binary"):
    if task == "labels":
        return {**X, "warm": A > 0, "cold": [None if i % 5 == 0 else bool(b > 0) for i, b in enumerate(B)]}
    return {**X, "y": TARGETS[task]}


def target(task):
    return ["warm", "cold"] if task == "labels" else "y"


def fit(task="binary", family=None, **options):
    run = {name: options.pop(name) for name in ("run", "monitor", "weight") if name in options}
    table = {**rows(task), "w": np.arange(90) % 3} if "weight" in run else rows(task)
    family = Custom(draw) if family is None else family
    return lamina.fit(table, target(task), family=family, recipe=Recipe(**{**FAST, **options}), **{"monitor": None, **run})


def draw(inputs):
    """As ``FeedForward(hidden_sizes=(8,), members=1, number_embedding=None)`` draws it."""
    graph, after = lamina.Graph(), []
    for name, block in inputs.items():
        graph.input(name, shape=block.shape)
        after.append(name)
        if block.kind == "categories":
            sizes = (0,) * len(block.cardinalities)
            graph.layer("category_embedding", CategoryEmbedding(block.cardinalities, sizes), after=name)
            after[-1] = "category_embedding"
    graph.layer("hidden1", Dense(8, "relu"), after=after)
    return graph


class Own(nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.town = nn.Embedding(inputs["categories"].cardinalities[0], 2)
        self.linear = nn.Linear(inputs["numbers"].shape[0] + 2, 6)

    def forward(self, blocks):
        town = self.town(blocks["categories"][:, 0])
        return torch.tanh(self.linear(torch.cat([blocks["numbers"], town], 1)))


def logistic(outputs, targets):
    return F.binary_cross_entropy_with_logits(outputs.squeeze(-1), targets.float(), reduction="none")


def entropy(outputs, targets):
    return F.cross_entropy(outputs, targets, reduction="none")


def squares(outputs, targets):
    return (outputs - targets) ** 2


def label_entropy(outputs, targets):
    return F.binary_cross_entropy_with_logits(outputs, targets, reduction="none")


def hits(y_true, y_pred, sample_weight=None):
    return float(np.average(y_true == y_pred, weights=sample_weight))


OWN_LOSSES = {"binary": logistic, "classes": entropy, "regression": squares, "labels": label_entropy}


def weights_of(model):
    return list(model.model_.net.state_dict().values())


def same(one, other):
    pairs = zip(weights_of(one), weights_of(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and one.predict_table(X).equals(other.predict_table(X))
