"""What the classical families share: they read rows of plain numbers, and are fitted at once instead of epoch by epoch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lamina.data.encoding import Encoding, Input
from lamina.families.family import EVERY, Family
from lamina.families.predictor import Predictor
from lamina.options import option
from lamina.tasks.task import Learnable


@dataclass(frozen=True)
class Rows:
    """Encoded rows and their answers.

    Attributes:
        blocks: As the encoder gives them.
        inputs: What the blocks are.
        target: Class codes int64 (N,), or standardised values float32 (N, K).
        classes: How many classes there are, 0 for values.
        weight: How much each row counts (N,); None when all count the same.
        group: Rows of one number are alike in more than their columns say: where a choice is tried on rows that were not learnt
            from, none of these may have been (N,). None where each row stands for itself.
    """

    blocks: Mapping[str, Any]
    inputs: Mapping[str, Input]
    target: np.ndarray
    classes: int
    weight: np.ndarray | None = None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    def learning(self, what: Learnable) -> Rows:
        """These rows with the target of one learner, without those where it is not known."""
        rows = dataclasses.replace(self, target=what.values, classes=what.classes)
        return rows if what.known is None or what.known.all() else rows._some(np.flatnonzero(what.known))

    def _some(self, rows: np.ndarray) -> Rows:
        blocks = {name: block[rows] for name, block in self.blocks.items()}
        parts = (None if part is None else part[rows] for part in (self.weight, self.group))
        return Rows(blocks, self.inputs, self.target[rows], self.classes, *parts)


@dataclass(frozen=True)
class Fitting:
    """What else a fit has to know.

    Attributes:
        seed: Everything random follows from it.
        threads: Processor cores that it may use.
        progress: Called with how much of the work is done, from 0 to 1.
    """

    seed: int
    threads: int
    progress: Callable[[float], None] = lambda done: None


@dataclass
class ClassicalFamily(Family):
    """Base of the families that are no networks."""

    reads: ClassVar[tuple[str, ...]] = EVERY
    #: Is every row answered by a part that has not learnt from it, so that no rows need be held back?
    out_of_bag: ClassVar[bool] = False
    #: The library that it needs, where it is none of lamina's own.
    needs: ClassVar[str | None] = None
    #: How numbers are brought to size.
    scaling: ClassVar[str] = "robust"

    image_size: int = option(28, "height and width that images are brought to", low=2, high=512)
    vocabulary_size: int = option(
        50_000, "most different words and pairs of words of a text that count", low=10, high=1_000_000
    )

    def encoding(self) -> Encoding:
        return Encoding(scaling=self.scaling, image_size=self.image_size, vocabulary=self.vocabulary_size, plain=True)

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        """Learn from rows; ``held`` are others that may tell when to stop, and that nothing else is learnt from."""
        raise TypeError(f"{type(self).__name__} fits nothing; take a family such as Forest")
