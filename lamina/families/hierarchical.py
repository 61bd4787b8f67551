"""Hierarchical attention: words to sentences to document, looking at each level for what tells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from lamina.data.encoding import Encoding, Input
from lamina.errors import OptionError
from lamina.families.branches import MixedFamily
from lamina.graph.graph import Graph
from lamina.graph.layers import Dropout, Norm
from lamina.graph.layers.attention_pool import AttentionPool
from lamina.graph.layers.recurrent import Recurrent
from lamina.graph.layers.sequence import AnyPresent, Chunk, StepDense
from lamina.options import option
from lamina.tasks.task import Task

SENTENCE = 25  # words: about the mean of English prose
MOST_STEPS = 2**19  # words in a batch: what the levels keep of each for the way back is some kilobytes


@dataclass
class Hierarchical(MixedFamily):
    """Long texts and series in levels: words make sentences, sentences make paragraphs, these make the document.

    Each level reads its own short sequences and sums each up by learnt attention (Yang et al. 2016, hierarchical attention
    networks, aclanthology.org/N16-1174), so that no sequence is long, memory grows linearly with the number of words, and
    one telling sentence among a thousand is found; the attention says which. We differ: any number of levels, and series beside
    texts, whose lowest level is a stretch of steps.

    Example:
        >>> Hierarchical(levels=(25, 20), max_length=10_000).encoding().chunk
        500
    """

    name: ClassVar[str] = "hierarchical"
    reads: ClassVar[tuple[str, ...]] = ("text", "series")

    levels: tuple[int, ...] | str = option(
        "auto",
        "sizes from the lowest level up: (25, 20) is 25 words to a sentence, 20 sentences to a paragraph; auto from the length",
        low=2,
        high=100_000,
        choices=("auto",),
        items=int,
    )
    hidden_size: int = option(64, "neurons that each level gives on", low=2, high=4096)
    encoder: str = option(
        "gru", "what reads the members of a level in their context; none reads each by itself", choices=("gru", "none")
    )
    num_heads: int = option(1, "places of a sequence that attention can look at independently", low=1, high=64)
    norm: bool = option(True, "bring the sum of a document to mean 0 and variance 1 over the documents of a batch")

    def check(self) -> Self:
        super().check()
        if not self.levels:
            raise OptionError("Hierarchical.levels is empty, expected the size of one level or more, as in (25,)")
        if self.encoder == "gru" and self.hidden_size % 2:
            raise OptionError(
                f"Hierarchical.hidden_size is {self.hidden_size}, expected an even number: half of it reads backwards"
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
        """The sizes of the levels for this column, from the lowest up; what is left is the highest."""
        if self.levels != "auto":
            return tuple(map(int, self.levels))
        steps = block.shape[0]
        sizes = [SENTENCE if block.kind == "text" else _divisor(steps, steps ** (1 / 2 if steps <= 1024 else 1 / 3))]
        # Members of a level depend on each other step by step: where many are left, one more level halves the wait.
        if (left := steps // sizes[0]) > 64 and (size := _divisor(left, left**0.5)) ** 2 >= left / 4:
            sizes.append(size)
        return tuple(sizes)

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        node, present = self.steps(graph, name, block)
        sizes = self.sizes(block)
        for level, size in enumerate(sizes, 1):
            graph.layer(f"{name}_chunk{level}", Chunk(size), after=node)
            graph.layer(f"{name}_present{level}", Chunk(size), after=present)
            node = self._level(graph, name, level, f"{name}_chunk{level}", f"{name}_present{level}")
            present = f"{name}_any{level}"
            graph.layer(present, AnyPresent(), after=f"{name}_present{level}")
        node = self._level(graph, name, len(sizes) + 1, node, present)
        if self.norm:
            # Documents differ little beside what they all have in common, above all before attention has learnt to choose: of
            # one telling sentence among 800 nothing is learnt without this.
            graph.layer(f"{name}_norm", Norm("batch"), after=node)
            node = f"{name}_norm"
        graph.layer(f"{name}_dropout", Dropout(self.dropout), after=node)
        return f"{name}_dropout"

    def _level(self, graph: Graph, name: str, level: int, after: str, present: str) -> str:
        """Read the members of each chunk and sum them up; the node holds one vector for each chunk."""
        read, attention = f"{name}_read{level}", f"{name}_attention{level}"
        if self.encoder == "gru":
            layer = Recurrent(self.hidden_size // 2, cell="gru", bidirectional=True)
            graph.layer(read, layer, after=after, mask=present)
        else:
            graph.layer(read, StepDense(self.hidden_size, "tanh"), after=after)
        graph.layer(attention, AttentionPool(heads=self.num_heads), after=read, mask=present)
        return attention

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        steps = max([block.shape[0] for block in inputs.values() if block.kind in self.reads], default=1)
        most = 2 ** max(2, int(math.log2(MOST_STEPS / steps)))  # memory: a batch of long documents has few of them
        return super().prefers(rows=rows, inputs=inputs, task=task, device=device) | {
            "batch_size": min(32, most, rows),
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "epochs": max(10, min(100, 200_000 // rows)),
            "patience": 20,
            "clip_value": 1.0,
        }


def _divisor(whole: int, near: float) -> int:
    """The divisor of a whole number that is nearest in ratio.

    Example:
        >>> _divisor(300, 17.3)
        15
    """
    divisors = [size for size in range(1, whole + 1) if whole % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / near)))
