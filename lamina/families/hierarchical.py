"""The hierarchical family: attention over words, then over sentences, for long texts and series."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from lamina.data.encoding import Encoding, Input
from lamina.errors import OptionError
from lamina.families.branches import MixedFamily
from lamina.families.chain import Chain
from lamina.graph.graph import Graph
from lamina.graph.layers import AnyPresent, AttentionPool, Chunk, Dropout, Norm, Recurrent, StepDense
from lamina.options import option
from lamina.tasks.task import Task

SENTENCE = 25  # words: about the mean of English prose
MOST_STEPS = 2**19  # words in a batch: the levels keep some kilobytes of each for the backward pass


@dataclass
class Hierarchical(MixedFamily):
    """A hierarchical attention network for long texts and series: words, sentences, paragraphs, document.

    Each level encodes short sequences and pools each by attention (Yang et al. 2016, hierarchical attention networks,
    aclanthology.org/N16-1174): memory grows linearly with the number of words, and the attention weights show the relevant
    sentences. We differ: any number of levels, and series, whose lowest level is a segment of steps.

    Example:
        >>> Hierarchical(levels=(25, 20), max_length=10_000).encoding().chunk
        500
    """

    name: ClassVar[str] = "hierarchical"
    reads: ClassVar[tuple[str, ...]] = ("text", "series")

    levels: tuple[int, ...] | str = option(
        "auto",
        "sizes from the lowest level up: (25, 20) is 25 words a sentence, 20 sentences a paragraph; auto depends on the length",
        low=2,
        high=100_000,
        choices=("auto",),
        items=int,
    )
    hidden_size: int = option(64, "size of the output of each level", low=2, high=4096, tune=[32, 64, 128, 256])
    encoder: str = option(
        "gru", "encoder of the sequences of a level; none is a dense layer without context", choices=("gru", "none")
    )
    num_heads: int = option(1, "number of attention heads", low=1, high=64)
    norm: bool = option(True, "batch normalization of the document vector")

    def check(self) -> Self:
        super().check()
        if not self.levels:
            raise OptionError("Hierarchical.levels is empty, expected the size of one level or more, as in (25,)")
        if self.encoder == "gru" and self.hidden_size % 2:
            raise OptionError(
                f"Hierarchical.hidden_size is {self.hidden_size}, expected an even number: half of it is the backward GRU"
            )
        if self.hidden_size % self.num_heads:
            raise OptionError(
                f"Hierarchical.num_heads is {self.num_heads}, expected a number that divides hidden_size, {self.hidden_size}"
            )
        return self

    def encoding(self) -> Encoding:
        levels = (SENTENCE,) if self.levels == "auto" else tuple(self.levels)
        return replace(super().encoding(), sentence=int(levels[0]), chunk=math.prod(map(int, levels)))

    def sizes(self, block: Input) -> tuple[int, ...]:
        """The sizes of the levels for this column, from the lowest up, without the highest."""
        if self.levels != "auto":
            return tuple(map(int, self.levels))
        steps = block.shape[0]
        sizes = [SENTENCE if block.kind == "text" else _divisor(steps, steps ** (1 / 2 if steps <= 1024 else 1 / 3))]
        # A GRU is sequential: with many steps left, one more level makes it faster.
        if (left := steps // sizes[0]) > 64 and (size := _divisor(left, left**0.5)) ** 2 >= left / 4:
            sizes.append(size)
        return tuple(sizes)

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        chain = Chain(graph, name, *self.steps(graph, name, block))
        sizes = self.sizes(block)
        for level, size in enumerate(sizes, 1):
            chain.add(f"chunk{level}", Chunk(size))
            chain.mask = chain.aside(f"present{level}", Chunk(size), after=chain.mask)
            self._level(chain, level)
            chain.mask = chain.aside(f"any{level}", AnyPresent(), after=chain.mask)
        self._level(chain, len(sizes) + 1)
        if self.norm:
            # Document vectors differ little before attention is trained: without this norm, one relevant sentence among 800 is
            # never learnt.
            chain.add("norm", Norm("batch"))
        return chain.add("dropout", Dropout(self.dropout))

    def _level(self, chain: Chain, level: int) -> None:
        """Add the encoder of each chunk and the attention pooling to one vector."""
        recurrent = Recurrent(self.hidden_size // 2, cell="gru", bidirectional=True)
        chain.add(f"read{level}", recurrent if self.encoder == "gru" else StepDense(self.hidden_size, "tanh"))
        chain.add(f"attention{level}", AttentionPool(heads=self.num_heads))

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        steps = max([block.shape[0] for block in inputs.values() if block.kind in self.reads], default=1)
        most = 2 ** max(2, int(math.log2(MOST_STEPS / steps)))  # memory: small batches of long documents
        return super().prefers(rows=rows, inputs=inputs, task=task, device=device) | {
            "batch_size": min(32, most, rows),
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "epochs": max(10, min(100, 200_000 // rows)),
            "patience": 20,
            "clip_value": 1.0,
        }


def _divisor(whole: int, near: float) -> int:
    """The divisor of a whole number that is nearest in ratio."""
    divisors = [size for size in range(1, whole + 1) if whole % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / near)))
