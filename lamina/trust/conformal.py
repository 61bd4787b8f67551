"""Conformal sets and intervals: what holds the truth as often as it says, whatever the model.

Split conformal prediction (Vovk et al. 2005; introduced in Angelopoulos and Bates 2021, "A gentle introduction to conformal
prediction"): rows that were not learnt from show how strange the truth usually looks to the model; a new row's answer holds all
that looks no stranger. If new rows are drawn as those were, the share of rows whose truth is inside is the coverage asked for,
on average over rows: not for each kind of row by itself. Out-of-bag answers of a forest serve as well as validation rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.errors import DataError, OptionError
from lamina.trust.calibration import check_probabilities

MOST_SCORES = 10_000
"""More rows than this are drawn from: coverage then strays by 0.3 percentage points (one standard deviation) at 90 %."""

_SHARES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)


@dataclass(frozen=True, eq=False)
class Sets:
    """Sets of classes that hold the true one as often as asked.

    Least ambiguous sets (Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error levels"):
    a class is in the set when its probability is no lower than the truth's is in all but the worst rows. No other rule has
    smaller sets on average.

    **A set may be empty**, and that reads "unsure". A model that is right in 99 of 100 rows need not answer every row to be
    right in 90: the coverage asked for is spent on the rows it is surest of, and an empty set marks one where no class is as
    probable as the truth usually is. Rules that fill such sets (adaptive sets, Romano et al. 2020) cover more than was asked
    for.

    Where many rows have the very same probability (votes of trees, certainty) sets would cover more than was asked for; a
    second number for each row, ``ties``, then decides. Pass a novelty score: among equals the rows least like those learnt from
    are left unsure. Or a hash of the row as a random number.
    """

    classes: int
    scores: np.ndarray
    ties: np.ndarray

    @classmethod
    def fit(cls, probabilities: np.ndarray, truth: np.ndarray, *, ties: np.ndarray | None = None) -> Self:
        """Keep how strange the truth looks, row by row, so that any coverage can be asked for later.

        Args:
            probabilities: Class probabilities of rows that were not learnt from, best before calibration: corrected on the very
                same rows they fit them a little too well (89 instead of 90 % for a forest on 1,800 rows).
            truth: Their class codes.
            ties: What decides between rows of equal probability, the lower the surer.

        Shape:
            probabilities (N, classes), truth (N,), ties (N,).

        Raises:
            DataError: These are no probabilities, no codes of these classes, or ties of another shape.

        Example:
            >>> said = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
            >>> Sets.fit(said, np.array([0, 0, 0, 1])).sets(np.array([[0.65, 0.35], [0.5, 0.5]]), coverage=0.6)
            array([[False, False],
                   [False, False]])
            >>> Sets.fit(said, np.array([0, 0, 0, 1])).sets(np.array([[0.65, 0.35], [0.5, 0.5]]), coverage=0.8)
            array([[ True, False],
                   [ True,  True]])
        """
        probabilities, truth = check_probabilities(probabilities, truth)
        rows = np.arange(len(truth))
        scores, kept = -probabilities[rows, truth], _drawn(len(truth))
        ties = _ties(ties, len(truth))
        order = kept[np.lexsort((ties[kept], scores[kept]))]
        return cls(probabilities.shape[1], scores[order], ties[order])

    def sets(self, probabilities: np.ndarray, coverage: float = 0.9, *, ties: np.ndarray | None = None) -> np.ndarray:
        """Which classes are in each row's set. With too few rows (:func:`rows_needed`) all are.

        Args:
            probabilities: As in ``fit``.
            coverage: Share of rows whose true class shall be in their set.
            ties: As in ``fit``; without them rows with equal probabilities are all in, and sets cover at least what was asked.

        Shape:
            probabilities (N, classes), answer (N, classes), true where the class is in the set.

        Raises:
            DataError: These are no probabilities of the classes fitted, or ties of another shape.
            OptionError: The coverage is no share.
        """
        probabilities, _ = check_probabilities(probabilities)
        if probabilities.shape[1] != self.classes:
            raise DataError(
                f"probabilities of {probabilities.shape[1]} classes, expected {self.classes}; give all classes fitted"
            )
        rank = _rank(len(self.scores), coverage)
        if rank > len(self.scores):
            return np.ones(probabilities.shape, dtype=bool)
        score, tie = self.scores[rank - 1], self.ties[rank - 1]
        inside = -probabilities <= score
        return inside if ties is None else inside & ((-probabilities < score) | (_ties(ties, len(inside)) <= tie)[:, None])

    def to_json(self) -> dict[str, Any]:
        return {"classes": self.classes}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores, "ties": self.ties}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(values["classes"], arrays["scores"], arrays["ties"])


@dataclass(frozen=True, eq=False)
class Intervals:
    """Intervals that hold the true value as often as asked, around what is said.

    Absolute residuals (Lei et al. 2018, "Distribution-free predictive inference for regression", algorithm 2), divided by how
    unsure the model is of the row where that is known (their section 5.2): the disagreement of trees or of an ensemble's
    members. What they disagree about is not all there is to be unsure of, so a constant is added to it, chosen from a few
    multiples of its median as the most likely for the residuals (of a Laplace distribution). One of them is infinite: all
    intervals are then equally wide, because the disagreement told nothing.

    Attributes:
        scores: Residuals over widths, rising, for each target by itself (N, targets).
        added: For each target what is added to the spread; infinite where the spread is of no use.
        with_spread: Whether a spread was given, and has to be given again.
    """

    scores: np.ndarray
    added: np.ndarray
    with_spread: bool

    @classmethod
    def fit(cls, values: np.ndarray, truth: np.ndarray, *, spread: np.ndarray | None = None) -> Self:
        """Keep how far the truth is from what is said, row by row, so that any coverage can be asked for later.

        Args:
            values: What is said of rows that were not learnt from.
            truth: What was true.
            spread: How unsure the model is of each row, in any unit, 0 or more.

        Shape:
            values and truth (N, targets), spread (N, targets), or (N,) for all targets alike.

        Raises:
            DataError: The shapes do not fit, or a number is missing or negative.

        Example:
            >>> found = Intervals.fit(np.zeros((9, 1)), np.arange(9.0)[:, None])
            >>> found.intervals(np.array([[100.0]]), coverage=0.9)
            (array([[92.]]), array([[108.]]))
        """
        values, truth = _finite("values", values, "rows", "targets"), _finite("truth", truth, "rows", "targets")
        if values.shape != truth.shape or not values.size:
            raise DataError(f"values have the shape {values.shape} and truth {truth.shape}, expected the same (rows, targets)")
        kept = _drawn(len(values))
        residuals, targets = np.abs(truth - values)[kept], values.shape[1]
        if spread is None:
            return cls(np.sort(residuals, axis=0), np.full(targets, np.inf), False)
        spread = _spread(spread, values.shape)[kept]
        added = np.array([_added(residuals[:, k], spread[:, k]) for k in range(targets)])
        return cls(np.sort(residuals / _widths(spread, added), axis=0), added, True)

    def intervals(
        self, values: np.ndarray, coverage: float = 0.9, *, spread: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends. With too few rows (:func:`rows_needed`) they are infinite.

        Args:
            values: What is said, (N, targets).
            coverage: Share of rows whose truth shall be inside, for each target by itself.
            spread: As in ``fit``, if it was given there.

        Raises:
            DataError: The shapes do not fit, or a spread is missing or not expected.
            OptionError: The coverage is no share.
        """
        values = _finite("values", values, "rows", "targets")
        if values.shape[1] != self.scores.shape[1]:
            raise DataError(f"values of {values.shape[1]} targets, expected {self.scores.shape[1]} as fitted; give all targets")
        if (spread is not None) != self.with_spread:
            given, fitted = ("a", "none") if spread is not None else ("no", "one")
            raise DataError(f"{given} spread was given, but {fitted} when intervals were fitted; give it both times or never")
        rank = _rank(len(self.scores), coverage)
        if rank > len(self.scores):
            return np.full(values.shape, -np.inf), np.full(values.shape, np.inf)
        half = self.scores[rank - 1] * (1.0 if spread is None else _widths(_spread(spread, values.shape), self.added))
        return values - half, values + half

    def to_json(self) -> dict[str, Any]:
        return {"with_spread": self.with_spread}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"scores": self.scores, "added": self.added}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(arrays["scores"], arrays["added"], values["with_spread"])


def rows_needed(coverage: float = 0.9) -> int:
    """From how many rows on sets and intervals say anything; with fewer, only "everything" is sure to cover so often.

    Example:
        >>> rows_needed(0.9), rows_needed(0.95), rows_needed(0.99)
        (9, 19, 99)
    """
    _rank(1, coverage)
    return max(1, math.ceil(coverage / (1 - coverage) - 1e-9))


def check_coverage(coverage: float) -> None:
    """Refuse what is no share.

    Raises:
        OptionError: It is no number between 0 and 1.
    """
    if isinstance(coverage, bool) or not isinstance(coverage, int | float) or not 0 < coverage < 1:
        raise OptionError(f"coverage is {coverage!r}, expected a share of the rows between 0 and 1, such as 0.9")


def _rank(rows: int, coverage: float) -> int:
    """The place of the score that decides, from 1; beyond the rows when they are too few."""
    check_coverage(coverage)
    return max(1, math.ceil((rows + 1) * coverage - 1e-9))  # 10 * 0.9 may be a rounding above 9


def _drawn(rows: int) -> np.ndarray:
    if rows <= MOST_SCORES:
        return np.arange(rows)
    return np.random.default_rng(0).choice(rows, MOST_SCORES, replace=False)


def _ties(ties: np.ndarray | None, rows: int) -> np.ndarray:
    return np.zeros(rows) if ties is None else _finite("ties", ties, rows)


def _added(residuals: np.ndarray, spread: np.ndarray) -> float:
    """The constant under which the residuals are likeliest: its Laplace log-likelihood, the scale being the best."""
    typical = float(np.median(spread)) or float(spread.mean())
    if typical == 0:
        return math.inf
    found, best = math.inf, math.inf
    for share in reversed(_SHARES):  # equal widths are kept unless something is better
        widths = _widths(spread, share * typical)
        if not widths.all():
            continue
        loss = math.log(np.mean(residuals / widths) or 1e-300) + float(np.log(widths).mean())
        if loss < best - 1e-9:
            found, best = share * typical, loss
    return found


def _widths(spread: np.ndarray, added: np.ndarray | float) -> np.ndarray:
    """How wide each row's interval is, but for a factor."""
    return np.where(np.isinf(added), 1.0, spread + np.where(np.isinf(added), 0.0, added))


def _spread(spread: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    spread = np.asarray(spread, dtype=np.float64)
    spread = np.broadcast_to(spread[:, None], shape) if spread.shape == shape[:1] else spread
    if spread.shape != shape or not np.isfinite(spread).all() or (spread < 0).any():
        raise DataError(f"spread has the shape {spread.shape}, expected {shape} or {shape[:1]}, finite numbers from 0 up")
    return spread


def _finite(name: str, numbers: np.ndarray, *shape: str | int) -> np.ndarray:
    """In float64, if they are finite and of the shape, in which a word stands for any length."""
    numbers = np.asarray(numbers, dtype=np.float64)
    fits = numbers.ndim == len(shape) and all(isinstance(n, str) or n == m for n, m in zip(shape, numbers.shape, strict=True))
    if not fits or not np.isfinite(numbers).all():
        expected = f"({', '.join(map(str, shape))})"
        raise DataError(f"{name} has the shape {numbers.shape}, expected {expected}, finite numbers; leave out what is missing")
    return numbers
