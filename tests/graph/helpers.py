"""What the tests of graphs share: layers one behind the other, one module alone, random rows and masks, all in float64."""

from typing import Any

import torch

from lamina.graph import Dense, Graph
from lamina.graph.modules import MODULES


def chain(*layers, shape=3):
    """Layers one behind the other; none of them masked."""
    g = Graph()
    g.input("x", shape=shape)
    before = "x"
    for i, layer in enumerate(layers):
        g.layer(f"layer{i}", layer, after=before)
        before = f"layer{i}"
    g.output("y", after=before)
    return g


def design():
    g = Graph()
    g.input("pixels", shape=(1, 32, 32))
    g.layer("hidden", Dense(64, activation="relu"), after="pixels")
    g.layer("deeper", Dense(64), after="hidden")
    g.connect("pixels", "deeper")
    g.connect("deeper", "hidden")
    g.output("label", after="deeper")
    return g


def one(layer, *, shape=3):
    g = Graph()
    g.input("x", shape=shape)
    g.layer("layer", layer, after="x")
    g.output("y", after="layer")
    return g


def module_of(layer, shape, seed=0) -> Any:
    return MODULES[type(layer)](layer, shape, torch.Generator().manual_seed(seed)).double()


def rows(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def lengths(*steps, longest):
    """The mask of sequences of these lengths."""
    return torch.arange(longest) < torch.tensor(steps)[:, None]


def same(ours, theirs, tolerance=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance)
