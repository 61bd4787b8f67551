"""The shortcut family: residual networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lamina.data.encoding import Input
from lamina.families.chain import Chain
from lamina.families.family import EVERY, TableFamily
from lamina.graph.graph import Graph
from lamina.graph.layer import ACTIVATIONS
from lamina.graph.layers import Activation, Dense, Join, Norm
from lamina.options import option


@dataclass
class Shortcut(TableFamily):
    """A residual network with blocks ``x + W2 f(W1 norm(x))``.

    The identity path passes the gradient to the first layer, so that a hundred layers train where thirty without shortcuts do
    not (He et al. 2016, arXiv 1603.05027, "full pre-activation"; for tables
    Gorishniy et al. 2021, arXiv 2106.11959).

    Example:
        >>> Shortcut(num_blocks=15, hidden_size=64).check().num_blocks
        15
    """

    name: ClassVar[str] = "shortcut"
    reads: ClassVar[tuple[str, ...]] = EVERY

    num_blocks: int = option(4, "number of residual blocks of two layers", low=1, high=1000, tune=(1, 8))
    hidden_size: int = option(
        128, "number of neurons of the input and output of each block", low=1, high=65_536, tune=(64, 512, "log")
    )
    inner_size: int = option(
        256, "number of neurons between the two layers of a block", low=1, high=65_536, tune=(64, 512, "log")
    )
    activation: str = option("relu", "activation of the blocks", choices=ACTIVATIONS)
    norm: str | None = option("layer", "normalization before each block", choices=("layer", "batch", None))
    dropout: float = option(0.1, "dropout rate", low=0, high=0.95, tune=(0.0, 0.5))

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[str, None]:
        nodes, _ = self.stem(graph, inputs)
        chain = Chain(graph)
        chain.add("stem", Dense(self.hidden_size), after=nodes)
        for i in range(1, self.num_blocks + 1):
            start = chain.last
            if self.norm:
                chain.add(f"norm{i}", Norm(self.norm))
            chain.add(f"expand{i}", Dense(self.inner_size, self.activation, dropout=self.dropout))
            chain.add(f"project{i}", Dense(self.hidden_size))
            chain.add(f"block{i}", Join("add"), beside=start)
        if self.norm:
            chain.add("norm", Norm(self.norm))
        return chain.add("activation", Activation(self.activation)), None
