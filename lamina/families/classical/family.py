"""Base of the classical families: they read plain rows of numbers and are fitted in one call, without epochs."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from lamina.data.columns.tokens import TOKENS_HELP
from lamina.data.encoding import Encoding, Input
from lamina.families.family import EVERY, Family
from lamina.families.predictor import Predictor
from lamina.options import option
from lamina.tasks.task import Learnable


@dataclass(frozen=True)
class Rows:
    """Encoded rows with their targets.

    Attributes:
        blocks: The encoder's blocks by name.
        inputs: Kind, shape and columns of each block.
        target: Class codes int64 (N,), or standardised values float32 (N, K).
        classes: Number of classes, 0 for regression.
        weight: Sample weights (N,); None for equal weights.
        group: Group of each row (N,), kept whole in cross-validation; None without groups.
    """

    blocks: Mapping[str, Any]
    inputs: Mapping[str, Input]
    target: np.ndarray
    classes: int
    weight: np.ndarray | None = None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.target)

    def with_target(self, target: Learnable) -> Rows:
        """The rows with the target of one learner, without rows whose target is missing."""
        rows = dataclasses.replace(self, target=target.values, classes=target.classes)
        if target.known is None or target.known.all():
            return rows
        keep = np.flatnonzero(target.known)
        blocks = {name: block[keep] for name, block in rows.blocks.items()}
        weight, group = (None if part is None else part[keep] for part in (rows.weight, rows.group))
        return Rows(blocks, rows.inputs, rows.target[keep], rows.classes, weight, group)


@dataclass(frozen=True)
class Fitting:
    """Seed, threads and progress callback of a fit.

    Attributes:
        seed: Seed of everything random.
        threads: Number of processor cores to use.
        progress: Called with the fraction of the work done, from 0 to 1.
        deadline: Time, as :func:`time.monotonic` gives it, at which a family that stops in time ends its fit.
    """

    seed: int
    threads: int
    progress: Callable[[float], None] = lambda done: None
    deadline: float = math.inf


@dataclass
class ClassicalFamily(Family):
    """Base of the families that are not networks."""

    reads: ClassVar[tuple[str, ...]] = EVERY
    #: The library that has to be installed besides lamina's dependencies.
    needs: ClassVar[str | None] = None
    #: Do validation rows end its fit?
    stops_early: ClassVar[bool] = False
    #: How numbers are scaled, see :class:`lamina.data.encoding.Encoding`.
    scaling: ClassVar[str] = "robust"

    image_size: int = option(28, "height and width that images are resized to", low=2, high=512, blocks=("image",))
    vocabulary_size: int = option(
        50_000,
        "maximum number of terms (words and pairs of words, or up to 4 characters) of a text column",
        low=10,
        high=1_000_000,
        blocks=("terms",),
    )
    tokens: str = option("auto", TOKENS_HELP, choices=("auto", "words", "characters"), blocks=("terms",))

    def encoding(self) -> Encoding:
        return Encoding(
            scaling=self.scaling,
            image_size=self.image_size,
            tokens=self.tokens,
            vocabulary=self.vocabulary_size,
            plain=True,
        )

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> Predictor:
        """Fit a predictor to ``rows``; ``validation`` rows are for early stopping only."""
        raise TypeError(f"{type(self).__name__} has no fit(); use a family such as Forest")

    def chosen(self, predictor: Predictor) -> Self:
        """The family with the options that its fit to fewer rows chose for this predictor, which are not searched again."""
        return self

    def refit(self, predictor: Predictor) -> Self | None:
        """The family as it is fitted to training and validation rows once these have judged this predictor.

        None where it needs validation rows.
        """
        return None if self.stops_early else self.chosen(predictor)


def share_of_time(deadline: float, fits: int) -> float:
    """The deadline of the first of so many fits that are to end by this deadline."""
    now = time.monotonic()
    return now + (deadline - now) / fits
