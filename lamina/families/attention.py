"""The attention family: a transformer encoder over the words of a text, steps of a series, patches of an image or columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from lamina.data.encoding import Input
from lamina.errors import OptionError
from lamina.families.branches import BranchFamily, default_augmentation
from lamina.families.chain import Chain
from lamina.families.family import EVERY
from lamina.families.readers import auto_option
from lamina.graph.graph import Graph
from lamina.graph.layers import AttentionPool, CategoryEmbedding, Dropout, Join, Norm, NumberEmbedding
from lamina.graph.layers.attention import MultiHeadAttention, Patches, Position, StepDropout
from lamina.graph.layers.convolution import Pixels
from lamina.graph.layers.sequence import Reshape, StepDense, StepPool
from lamina.options import option
from lamina.tasks.task import Task

# Words are informative by themselves, and a few thousand texts teach little more; a patch means little without the others.
BLOCKS = {"text": 1, "series": 2, "image": 4, "table": 2}
WIDTHS = {"text": 64, "series": 64, "image": 96, "table": 64}
MOST_TOKENS = 2**16  # in a batch: a block keeps some kilobytes of each for the backward pass


@dataclass
class Attention(BranchFamily):
    """A transformer encoder over words, steps, patches or columns, each attending to all the others.

    Pre-norm blocks, ``x + MHA(norm x)``, then ``x + W2 gelu(W1 norm x)`` (Vaswani et al. 2017, arXiv 1706.03762;
    Xiong et al. 2020, arXiv 2002.04745), and attention pooling over the steps. An image is cut into patches (ViT,
    Dosovitskiy et al. 2021, arXiv 2010.11929), a row of plain columns is a sequence in which each column is a step
    (FT-Transformer, Gorishniy et al. 2021, arXiv 2106.11959); we differ in pooling by attention instead of a class
    token, and in that the head of a text also reads the mean of the word embeddings, a good model by itself for few texts.

    Example:
        >>> Attention(num_layers=2, hidden_size=128, num_heads=8).check().num_heads
        8
    """

    name: ClassVar[str] = "attention"
    reads: ClassVar[tuple[str, ...]] = EVERY

    num_layers: int | str = auto_option(
        "number of encoder layers; auto is 1 for texts, 2 for series and plain columns, 4 for images",
        low=1,
        high=1000,
        tune=(1, 4),
    )
    hidden_size: int | str = auto_option(
        "size of the hidden states, a multiple of num_heads; auto is 64, for images 96",
        low=1,
        high=65_536,
        tune=[32, 64, 96, 128],
    )
    num_heads: int = option(4, "number of attention heads", low=1, high=1024)
    mlp_ratio: int = option(2, "size of the hidden layer of the MLP blocks, as a multiple of hidden_size", low=1, high=64)
    positions: str | None = option(
        "auto",
        "position encoding; auto is sinusoidal for texts and series, learnt for images; columns have none",
        choices=("auto", "sinusoidal", "learnt", None),
    )
    patch_size: int | str = auto_option(
        "height and width of a patch in pixels; auto gives about 64 patches", low=1, high=4096, blocks=("image",)
    )
    word_dropout: float = option(
        0.3,
        "word dropout rate: fraction of the words of a text that are dropped in training",
        low=0,
        high=0.95,
        blocks=("text",),
        tune=(0.0, 0.6),
    )

    def check(self) -> Self:
        super().check()
        if self.hidden_size != "auto" and int(self.hidden_size) % self.num_heads:
            raise OptionError(
                f"Attention.hidden_size is {self.hidden_size}, expected a multiple of num_heads, {self.num_heads}; change one"
            )
        return self

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        kind, positions, width = block.kind, self.positions, self._width(block.kind)
        chain, pooled = Chain(graph, name), []
        if kind == "image":
            size = max(1, round(max(block.shape[:2]) / 8)) if self.patch_size == "auto" else int(self.patch_size)
            chain.add("pixels", Pixels())
            chain.add("patches", Patches(size))
        else:
            chain.last, chain.mask = self.steps(graph, name, block)
        if kind == "text":
            if self.word_dropout:
                chain.mask = chain.aside("kept", StepDropout(self.word_dropout), after=chain.mask)
            mean = chain.aside("mean", StepPool("mean"))
            pooled.append(chain.aside("mean_norm", Norm(), after=mean))
        if kind != "text" or self.embedding_dim != width:
            chain.add("stem", StepDense(width))
        chain.add("stem_norm", Norm())  # the same scale as the position encoding
        if positions == "auto":
            positions = "learnt" if kind == "image" else "sinusoidal"
        if positions:
            chain.add("position", Position(positions))
        return self._encoder(chain, kind, pooled)

    def table(self, graph: Graph, inputs: Mapping[str, Input]) -> str:
        width, nodes = self._width("table"), []
        for name, block in inputs.items():
            graph.input(name, shape=block.shape)
            if block.kind == "categories":
                layer = CategoryEmbedding(cardinalities=block.cardinalities, sizes=(width,) * len(block.cardinalities))
            else:  # a flag is 0 or 1: one bin is enough
                layer = NumberEmbedding(size=width, bins=16 if block.kind == "numbers" else 1)
            graph.layer(f"{name}_embedding", layer, after=name)
            nodes.append(f"{name}_embedding")
        chain = Chain(graph, "table")
        chain.add("columns", Reshape((-1, width)), after=nodes)
        return self._encoder(chain, "table", [])

    def _width(self, kind: str) -> int:
        """The hidden size for a kind of column; auto is rounded up to a multiple of the heads."""
        return -(-WIDTHS[kind] // self.num_heads) * self.num_heads if self.hidden_size == "auto" else int(self.hidden_size)

    def _encoder(self, chain: Chain, kind: str, pooled: list[str]) -> str:
        """Add the blocks and the pooling over the steps; ``pooled`` are nodes to concatenate with the pooled vector."""
        width = self._width(kind)
        for i in range(1, (BLOCKS[kind] if self.num_layers == "auto" else int(self.num_layers)) + 1):
            start = chain.last
            chain.add(f"norm{i}", Norm())
            chain.add(f"attention{i}", MultiHeadAttention(self.num_heads))
            chain.add(f"dropout{i}", Dropout(self.dropout))
            attended = chain.add(f"attended{i}", Join("add"), beside=start)
            chain.add(f"inner_norm{i}", Norm())
            chain.add(f"expand{i}", StepDense(self.mlp_ratio * width, "gelu", dropout=self.dropout))
            chain.add(f"project{i}", StepDense(width, dropout=self.dropout))
            chain.add(f"block{i}", Join("add"), beside=attended)
        chain.add("norm", Norm())
        pool = chain.add("pool", AttentionPool(heads=self.num_heads))
        return chain.add("end", Dropout(self.dropout), after=[*pooled, pool])

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        kinds = {block.kind for block in inputs.values()}
        steps = max([block.shape[0] for block in inputs.values() if block.kind in ("text", "series")], default=1)
        epochs, batch = max(10, min(100, 1_000_000 // rows)), min(256, self.batch_size(rows))
        if "image" in kinds:
            epochs = max(12, min(100, 300_000 // rows))
        elif "text" in kinds:
            epochs = max(4, min(20, 50_000 // rows))  # they overfit soon
        return super().prefers(rows=rows, inputs=inputs, task=task, device=device) | {
            "batch_size": max(1, min(batch, MOST_TOKENS // steps)),
            "learning_rate": 3e-3 if "text" in kinds else 1e-3,
            "schedule": "one_cycle",
            "epochs": epochs,
            "patience": None,
            "augment": default_augmentation(inputs),
        }
