"""Families with one branch for each image, text and series, and one for the plain columns, joined before the head."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

from lamina.data.columns.tokens import TextBlock, words_of
from lamina.data.encoding import Encoding, Input
from lamina.errors import DataError, OptionError
from lamina.families.chain import Chain
from lamina.families.family import LEARNING_RATES, NetworkFamily
from lamina.families.readers import READERS, TableOptions, TextOptions, auto_option, plain, read_flat
from lamina.families.vectors import WordVectors
from lamina.graph.graph import Graph
from lamina.graph.layers import Dense, SparseDense
from lamina.graph.layers.pretrained import Normalise, Pretrained, part_maker, registered
from lamina.options import option
from lamina.tasks.head import Head
from lamina.tasks.task import Task
from lamina.train.recipe import Recipe

if TYPE_CHECKING:
    from lamina.data.encode import Encoder
    from lamina.graph.net import Net

#: Most outputs of a network that has a wide part by default: it has a weight for each term and output.
WIDEST = 64
#: TF-IDF weights are about 0.1, and Adam moves a weight by about the learning rate, whatever its gradient. Of the scales 1, 5
#: and 20, the loss of the validation rows of three sets was lowest with 5 or 20.
WIDE_SCALE = 10.0

#: For each kind of column the default family, whose branch is used in families that have none for that kind.
BRANCHES: dict[str, type[BranchFamily]] = {}


@dataclass
class BranchFamily(TextOptions, NetworkFamily):
    """Base of the families with a branch for each column that is not plain."""

    joint_size: int = option(128, "number of neurons of the layer that joins several branches", low=1, high=65_536)
    dropout: float = option(0.1, "dropout rate", low=0, high=0.95)
    word_vectors: str = option(
        "", "file of pretrained word vectors (GloVe, word2vec, .npz); sets embedding_dim", blocks=("text",)
    )
    wide: bool | str = auto_option(
        "a linear layer from TF-IDF terms of texts to the outputs, beside the network (wide and deep); auto has it for up to "
        f"{WIDEST} outputs",
        kind=bool,
        blocks=("text",),
    )
    backbone: str = option(
        "", "registered pretrained network for images, instead of the family's own layers", blocks=("image",)
    )
    freeze_backbone: bool = option(True, "freeze the weights of the backbone", blocks=("image",))

    def check(self) -> Self:
        super().check()
        owner = type(self).__name__
        if self.word_vectors and not Path(self.word_vectors).is_file():
            raise OptionError(f"{owner}.word_vectors is {self.word_vectors!r}, expected the path of an existing file")
        if self.word_vectors and self.tokens not in ("auto", "words"):
            raise OptionError(f"{owner}.tokens is {self.tokens!r}, expected 'words' with word_vectors")
        if self.backbone and self.backbone not in registered():
            known = ", ".join(registered()) or "none"
            raise OptionError(
                f"{owner}.backbone is {self.backbone!r}, expected a registered part ({known}); "
                "register it: from lamina.graph.layers.pretrained import register"
            )
        return self

    def encoding(self) -> Encoding:
        """With a backbone images are resized to the size it was trained on, unless image_size is set; vectors are of words."""
        encoding = super().encoding()
        if self.word_vectors:
            encoding = dataclasses.replace(encoding, tokens="words")
        encoding = dataclasses.replace(encoding, wide=bool(self.wide))
        if not self.backbone or encoding.image_size:
            return encoding
        return dataclasses.replace(encoding, image_size=part_maker(self.backbone).size)

    def complete(self, recipe: Recipe, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> Recipe:
        """The completed recipe; a backbone is trained for few epochs, with a tenth of the learning rate."""
        completed = super().complete(recipe, rows=rows, inputs=inputs, task=task, device=device)
        if self.backbone and any(block.kind == "image" for block in inputs.values()):
            rate = round(LEARNING_RATES[completed.optimizer] / 10, 6)
            decided = {"augment": None, "epochs": 30} if self.freeze_backbone else {"epochs": 15, "learning_rate": rate}
            decided = {name: value for name, value in decided.items() if getattr(recipe, name) == "auto"}
            completed = dataclasses.replace(completed, **decided)
        return completed

    def graph(self, inputs: Mapping[str, Input], head: Head | int) -> Graph:
        """The branches, and for each text a wide part that the head reads beside them (Cheng et al. 2016, arXiv 1606.07792)."""
        head = Head(head) if isinstance(head, int) else head
        graph = Graph()
        nodes, _ = self.body(graph, inputs)
        for name, block in inputs.items() if self.wide is True or head.units <= WIDEST else ():
            if block.kind == "weighted":
                graph.input(name, shape=block.shape)
                layer = SparseDense(head.units, columns=block.cardinalities[0], scale=WIDE_SCALE)
                nodes.append(f"{name}_wide")
                graph.layer(nodes[-1], layer, after=name)
        head.draw(graph, nodes)
        return graph

    def branch(self, graph: Graph, name: str, block: Input) -> str:
        """Add the branch of a column, whose input exists already; return its last node, of one axis."""
        raise TypeError(f"{type(self).__name__} has no branch(); use a family such as Convolutional")

    def table(self, graph: Graph, inputs: Mapping[str, Input]) -> str:
        """Add inputs and branch of the plain columns; return its last node, of one axis."""
        raise TypeError(f"{type(self).__name__} has no table(); use a family such as Convolutional")

    def steps(self, graph: Graph, name: str, block: Input) -> tuple[str, str]:
        """Add the first layers of a text or series; return the node of shape (steps, width) and the mask of the steps."""
        steps = READERS[block.kind].steps
        if steps is None:
            raise TypeError(f"a block of kind {block.kind!r} has no steps; use a family that reads it as one row")
        return steps(graph, name, block, self)

    def pretrained(self, graph: Graph, name: str, block: Input) -> str:
        """Add the backbone as the branch of an image."""
        from lamina.graph.modules.pretrained import part_shape

        maker, chain = part_maker(self.backbone), Chain(graph, name)
        normalise = Normalise(maker.mean, maker.std)
        chain.add("normalise", normalise)
        out = part_shape(self.backbone, normalise.result(block.shape))
        return chain.add("part", Pretrained(self.backbone, out=out, frozen=self.freeze_backbone))

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[list[str], None]:
        if self.word_vectors and (width := WordVectors(self.word_vectors).width) != self.embedding_dim:
            return dataclasses.replace(self, embedding_dim=width).body(graph, inputs)
        table = plain(inputs)
        nodes = [self.table(graph, table)] if table else []
        for name, block in inputs.items():
            if name in table or block.kind not in READERS:
                continue
            graph.input(name, shape=block.shape)
            draw = self.branch
            if block.kind == "image" and self.backbone:
                draw = self.pretrained
            elif block.kind not in self.reads:
                draw = BRANCHES[block.kind](embedding_dim=self.embedding_dim, word_vectors=self.word_vectors).branch
            nodes.append(draw(graph, name, block))
        if len(nodes) > 1:
            graph.layer("joined", Dense(self.joint_size, "relu", dropout=self.dropout), after=nodes)
            nodes = ["joined"]
        return nodes, None

    def initialise(self, net: Net, encoder: Encoder) -> tuple[str, ...]:
        """Copy the word vectors into the embedding of each text; words without a vector keep their initial embedding.

        The head begins with the sum of the wide parts and what it makes of the other branches.

        Returns:
            For each text a note with the number of words that have a vector.

        Raises:
            DataError: No word has a vector.
        """
        import torch

        notes = []
        _add_wide(net)
        for text in encoder.by_kind("text") if self.word_vectors else ():
            words = words_of(cast(TextBlock, text))[2:]  # code 0 is padding, 1 is unknown
            vectors = WordVectors(self.word_vectors).find(words)
            if not vectors:
                raise DataError(
                    f"none of the {len(words):,} words of column {text.name!r} has a vector in {self.word_vectors}; "
                    "use a file of the same language, or remove word_vectors"
                )
            weight = net.get_parameter(f"{text.block}_embedding.weight").data
            for code, word in enumerate(words, 2):
                if word in vectors:
                    weight[code] = torch.from_numpy(vectors[word])
            notes.append(f"{text.name}: {len(vectors):,} of {len(words):,} words are initialised from {self.word_vectors}")
        return tuple(notes)


@dataclass
class MixedFamily(TableOptions, BranchFamily):
    """Base of the families with branches that read plain columns as ``feedforward`` does, with the same options."""

    def table(self, graph: Graph, inputs: Mapping[str, Input]) -> str:
        nodes, _ = read_flat(graph, inputs, self)
        graph.layer("table", Dense(self.joint_size, "relu", dropout=self.dropout), after=nodes)
        return "table"


def _add_wide(net: Net) -> None:
    """Initialise the weights of the head for the outputs of wide parts with the identity."""
    import torch

    start = 0
    for edge in net.plan.edges.get("head", ()):
        width = math.prod(net.plan.shapes[edge.source])
        if isinstance(net.plan.layers.get(edge.source), SparseDense):
            net.get_parameter("head.weight").data[:, start : start + width] = torch.eye(width)
        start += width


def default_augmentation(inputs: Mapping[str, Input]) -> tuple[str, ...] | None:
    """The default augmentation: shifts and flips of colour images, shifts and rotations of gray ones; None without images."""
    gray = [block.shape[2] == 1 for block in inputs.values() if block.kind == "image"]
    if not gray:
        return None
    return ("shift", "rotate") if all(gray) else ("shift", "flip")
