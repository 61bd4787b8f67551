"""What every family is: its name, what it reads and asks of the encoder; networks are recipes for graphs beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lamina.data.columns import FEATURE_KINDS, KINDS
from lamina.data.columns.tokens import TOKENS, TOKENS_HELP
from lamina.data.encoding import Encoding, Input
from lamina.errors import OptionError
from lamina.families.readers import TableOptions, TextOptions, auto_option, read_flat
from lamina.graph.graph import Graph
from lamina.options import Options, option
from lamina.tasks.head import Head
from lamina.tasks.losses import Loss, custom_loss
from lamina.tasks.task import Task
from lamina.train.recipe import Recipe

if TYPE_CHECKING:
    from lamina.data.encode import Encoder
    from lamina.graph.net import Net

# A step of the textbook size for each optimizer; Adam's kin move each weight by about this much.
LEARNING_RATES = {"sgd": 0.05, "adagrad": 0.02, "rmsprop": 1e-3, "adam": 3e-3, "adamw": 3e-3, "muon": 3e-3}

# Visits to rows in all: few rows are gone through up to 200 times, many at least 10 times. Patience mostly ends it before.
MOST_VISITS = 4_000_000

#: The kinds of a table's plain columns, and all that can be learnt from.
TABLE = tuple(name for name, kind in KINDS.items() if kind.plain)
EVERY = FEATURE_KINDS


@dataclass
class Family(Options):
    """Base of the families. ``name`` is its word in files, the CLI and docs."""

    keyword: ClassVar[str] = "family"
    name: ClassVar[str]
    #: The kinds of columns that it has a way of its own to read.
    reads: ClassVar[tuple[str, ...]] = TABLE
    #: Is it trained epoch by epoch? Callbacks, ``edit=`` and most of a recipe mean nothing to a family that is not.
    in_epochs: ClassVar[bool] = False
    #: Does it predict every training row by parts that were not fitted to it, so that no validation rows are needed?
    out_of_bag: ClassVar[bool] = False
    #: Does its fit end where the time of the recipe does, with a model as good as the time allowed?
    stops_in_time: ClassVar[bool] = False

    def without_effect(self, inputs: Mapping[str, Input]) -> str:
        """A note on the options with another value than the default that nothing reads in these inputs.

        Example:
            >>> from lamina.families.feedforward import FeedForward
            >>> FeedForward(one_hot=3, bins=9).without_effect({"numbers": Input((2,), ("x", "z"))})
            'one_hot=3 has no effect: no column is read as categories'
        """
        present = {block.kind for block in inputs.values()}
        notes = []
        for field in dataclasses.fields(self):
            blocks, value = field.metadata["blocks"], getattr(self, field.name)
            if blocks and value != field.default and not present.intersection(blocks):
                notes.append(f"{field.name}={value!r} has no effect: no column is read as {' or '.join(blocks)}")
        return "; ".join(notes)

    def encoding(self) -> Encoding:
        """What it asks of the encoder."""
        raise TypeError(f"{type(self).__name__} asks nothing of the encoder; take a family such as FeedForward")


@dataclass(kw_only=True)
class NetworkFamily(Family):
    """A recipe for graphs, ``(inputs, options) -> Graph``, and the recipe for training that suits it."""

    in_epochs: ClassVar[bool] = True
    stops_in_time: ClassVar[bool] = True

    scaling: str = option(
        "robust",
        "scaling of numbers: outliers squeezed, or plain z-scores",
        choices=("robust", "standard"),
        blocks=("numbers", "series"),
    )
    image_size: int | str = auto_option("height and width that images are resized to", low=4, high=4096, blocks=("image",))
    tokens: str = option("auto", TOKENS_HELP, choices=("auto", *TOKENS), blocks=("text",))
    vocabulary_size: int = option(
        20_000, "most different tokens that get a vector of their own", low=10, high=1_000_000, blocks=("text",)
    )
    max_length: int | str = auto_option(
        "most tokens of a text or steps of a series that are read", low=1, high=1_000_000, blocks=("text", "series")
    )

    def encoding(self) -> Encoding:
        return Encoding(
            scaling=self.scaling,
            image_size=0 if self.image_size == "auto" else int(self.image_size),
            tokens=self.tokens,
            vocabulary=self.vocabulary_size,
            length=0 if self.max_length == "auto" else int(self.max_length),
        )

    def graph(self, inputs: Mapping[str, Input], head: Head | int) -> Graph:
        """Draw the network: the family up to the last layer, then the head of the task.

        Args:
            inputs: What the encoder gives.
            head: See :meth:`lamina.tasks.Task.head`; a number is a plain head of as many outputs.
        """
        graph = Graph()
        after, members = self.body(graph, inputs)
        (Head(head) if isinstance(head, int) else head).draw(graph, after, members=members)
        return graph

    def body(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[str | list[str], int | None]:
        """Add inputs and hidden layers; return the nodes that the head reads, and its members (None: no ensemble)."""
        raise TypeError(f"{type(self).__name__} draws no graph; take a family such as FeedForward")

    def suited(self, inputs: Mapping[str, Input], device: str, rows: int) -> tuple[Self, str]:
        """The family with "auto" options chosen for a type of device and so many training rows, and a note on the device.

        Most choose nothing: the same network for all of them.
        """
        return self, ""

    def prefers(self, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> dict[str, Any]:
        """The values of "auto" in a recipe with this family, by field."""
        return {
            "batch_size": self.batch_size(rows),
            "schedule": "constant",
            "epochs": max(10, min(200, MOST_VISITS // rows)),
            "patience": 8,
            "clip_value": None,
            "augment": None,
            "precision": "float32",
        }

    def complete(self, recipe: Recipe, *, rows: int, inputs: Mapping[str, Input], task: Task, device: str = "cpu") -> Recipe:
        """The recipe with every "auto" decided from the number of rows, the inputs, the task and the type of device.

        Raises:
            OptionError: The loss does not fit the task.
        """
        if callable(recipe.loss) and not isinstance(recipe.loss, Loss):
            recipe = dataclasses.replace(recipe, loss=custom_loss(recipe.loss, task.losses[0]))
        if recipe.loss != "auto":
            task.head(recipe.loss)
        if recipe.metric not in ("auto", "loss"):
            task.metric(recipe.metric)
        preferred = self.prefers(rows=rows, inputs=inputs, task=task, device=device)
        optimizer = "adamw" if recipe.optimizer == "auto" else recipe.optimizer
        decided: dict[str, Any] = {
            "optimizer": optimizer,
            "loss": task.losses[0].name,
            "metric": "loss",
            "learning_rate": LEARNING_RATES[optimizer],
            "weight_decay": 0.03 if optimizer in ("adamw", "muon") else 0.0,
        }
        if optimizer not in ("adam", "adamw", "muon"):  # the size of its steps is what a family knows about Adam's kin
            preferred.pop("learning_rate", None)
        if optimizer not in ("adamw", "muon"):  # of the others decay is another thing: part of the gradient
            preferred.pop("weight_decay", None)
        decided = {name: value for name, value in {**decided, **preferred}.items() if getattr(recipe, name) == "auto"}
        if recipe.batch_size == "full" or (recipe.batch_size != "auto" and int(recipe.batch_size) > rows):
            decided["batch_size"] = rows
        return dataclasses.replace(recipe, **decided)

    def batch_size(self, rows: int) -> int:
        """More rows, larger batches: about a hundred steps an epoch, between 32 and 1,024 rows."""
        size = 32
        while size < 1024 and size * 160 < rows:
            size *= 2
        return min(size, rows)

    def initialise(self, net: Net, encoder: Encoder) -> tuple[str, ...]:
        """Give a new net what was learnt elsewhere, such as vectors of words; say what that was."""
        return ()


@dataclass
class TableFamily(TableOptions, TextOptions, NetworkFamily):
    """What the families share that read every kind of column as one row of numbers."""

    def stem(self, graph: Graph, inputs: Mapping[str, Input]) -> tuple[list[str], list[int]]:
        """Add the inputs and their embeddings; return the nodes to read and the width of each embedded column, in order."""
        nodes, chunks = read_flat(graph, inputs, self)
        if not nodes:
            raise OptionError(f"{type(self).__name__} has nothing to read: no column is left to learn from")
        return nodes, chunks
