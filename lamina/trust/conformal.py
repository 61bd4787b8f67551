"""Conformal prediction sets and intervals, for any model.

Split conformal prediction (Vovk et al. 2005; introduced in Angelopoulos and Bates 2021, "A gentle introduction to conformal
prediction"): each validation row gets a nonconformity score of its true value; a set or interval has every value whose score is
at most their quantile. If new rows are drawn from the same distribution, the share of rows whose truth is inside is the
requested coverage, on average over rows: not for each kind of row. Out-of-bag predictions of a forest serve as well. At least
``coverage / (1 - coverage)`` validation rows are needed: 9 for 90 %, 99 for 99 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from lamina.errors import DataError, ModelFileError
from lamina.stored import check_array
from lamina.trust.calibration import check_probabilities
from lamina.trust.part import Part

MOST_SCORES = 10_000
"""Scores are sampled above this number: coverage then has a standard deviation of 0.3 percentage points at 90 %."""

_SHARES = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, math.inf)


@dataclass(frozen=True, eq=False)
class Sets(Part):
    """Prediction sets: the classes that include the true one with the requested coverage.

    Least ambiguous sets (Sadinle, Lei and Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error levels"):
    a class is in the set when its probability reaches a threshold, a low quantile of the true class's probability. No other
    rule has smaller sets on average.

    **A set may be empty**, shown as "unsure": no class is as probable as the true class usually is. A model with an accuracy of
    99 % reaches a coverage of 90 % with its most certain rows alone. Rules without empty sets (adaptive sets, Romano et al.
    2020) have a higher coverage than requested.

    Where many rows have equal probabilities (votes of trees, certainty) coverage would be higher than requested; a second
    number for each row, ``ties``, breaks the ties: a novelty score, or a hash of the row as a random number.
    """

    classes: int
    scores: np.ndarray
    ties: np.ndarray

    def check(self, outputs: int) -> None:
        """Raise ModelFileError unless loaded sets fit this number of classes."""
        check_array("the scores of the sets", self.scores, "f", (None,))
        check_array("the ties of the sets", self.ties, "f", (len(self.scores),))
        if self.classes != outputs:
            raise ModelFileError(f"the sets are of {self.classes} classes, expected {outputs}")

    @classmethod
    def fit(cls, probabilities: np.ndarray, truth: np.ndarray, *, ties: np.ndarray | None = None) -> Self:
        """Compute the nonconformity scores of validation rows; any coverage can be requested later.

        Args:
            probabilities: Preferably before calibration: calibrated on the same rows they overfit a little (89 instead of 90 %
                for a forest on 1,800 rows).
            truth: Class codes.
            ties: Tie-breaker of rows with equal probabilities; lower is more certain.

        Shape:
            probabilities (N, classes), truth (N,), ties (N,).

        Raises:
            DataError: Invalid probabilities.

        Example:
            >>> probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
            >>> sets = Sets.fit(probabilities, np.array([0, 0, 0, 1]))
            >>> sets.sets(np.array([[0.65, 0.35], [0.5, 0.5]]), coverage=0.6)
            array([[False, False],
                   [False, False]])
            >>> sets.sets(np.array([[0.65, 0.35], [0.5, 0.5]]), coverage=0.8)
            array([[ True, False],
                   [ True,  True]])
        """
        probabilities = check_probabilities(probabilities)
        scores, sample = -probabilities[np.arange(len(truth)), truth], _sample(len(truth))
        ties = np.zeros(len(truth)) if ties is None else ties
        order = sample[np.lexsort((ties[sample], scores[sample]))]
        return cls(probabilities.shape[1], scores[order], ties[order])

    def sets(self, probabilities: np.ndarray, coverage: float = 0.9, *, ties: np.ndarray | None = None) -> np.ndarray:
        """Membership of each class in each row's set, bool (N, classes); with too few validation rows all are in.

        Args:
            probabilities: As in ``fit``.
            coverage: Share of rows whose true class is in their set.
            ties: As in ``fit``; without them ties are included, and coverage is at least the requested one.

        Raises:
            DataError: Invalid probabilities.
        """
        probabilities = check_probabilities(probabilities)
        rank = _rank(len(self.scores), coverage)
        if rank > len(self.scores):
            return np.ones(probabilities.shape, dtype=bool)
        score, tie = self.scores[rank - 1], self.ties[rank - 1]
        inside = -probabilities <= score
        if ties is None:
            return inside
        return inside & ((-probabilities < score) | (ties <= tie)[:, None])


@dataclass(frozen=True, eq=False)
class Intervals(Part):
    """Prediction intervals around predicted values that include the true value with the requested coverage.

    Absolute residuals (Lei et al. 2018, "Distribution-free predictive inference for regression", algorithm 2), divided by the
    model's uncertainty of the row where there is one (their section 5.2): the standard deviation of trees or of an ensemble's
    members. As it is only a part of the uncertainty, a constant is added to it: of a few multiples of its median the one with
    the highest likelihood of the residuals (Laplace distribution). With an infinite constant all intervals are equally wide.

    Attributes:
        scores: Residuals divided by widths, ascending, for each target (N, targets).
        added: Constant added to the spread, for each target; infinite where the spread is not informative.
        with_spread: Whether the intervals need a spread.
    """

    scores: np.ndarray
    added: np.ndarray
    with_spread: bool

    def check(self, outputs: int) -> None:
        """Raise ModelFileError unless loaded intervals fit this number of targets."""
        check_array("the scores of the intervals", self.scores, "f", (None, outputs))
        check_array("the constants of the intervals", self.added, "f", (outputs,))

    @classmethod
    def fit(cls, values: np.ndarray, truth: np.ndarray, *, spread: np.ndarray | None = None) -> Self:
        """Compute the nonconformity scores of validation rows; any coverage can be requested later.

        Args:
            values: Predictions for validation rows, (N, targets).
            truth: True values, (N, targets).
            spread: Uncertainty of each prediction, in any unit, 0 or more, (N, targets).

        Example:
            >>> intervals = Intervals.fit(np.zeros((9, 1)), np.arange(9.0)[:, None])
            >>> intervals.intervals(np.array([[100.0]]), coverage=0.9)
            (array([[92.]]), array([[108.]]))
        """
        sample, targets = _sample(len(values)), values.shape[1]
        residuals = np.abs(truth.astype(np.float64) - values.astype(np.float64))[sample]
        if spread is None:
            return cls(np.sort(residuals, axis=0), np.full(targets, np.inf), False)
        spread = spread.astype(np.float64)[sample]
        added = np.array([_added(residuals[:, k], spread[:, k]) for k in range(targets)])
        return cls(np.sort(residuals / _widths(spread, added), axis=0), added, True)

    def intervals(
        self, values: np.ndarray, coverage: float = 0.9, *, spread: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper bounds, (N, targets) each; with too few validation rows they are infinite.

        Args:
            values: Predictions, (N, targets).
            coverage: Share of rows whose true value is inside, for each target.
            spread: As in ``fit``, if it was given there.

        Raises:
            DataError: A value is not finite.
        """
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            shape = f"values has the shape {values.shape}, expected (rows, targets)"
            raise DataError(f"{shape}, finite numbers; leave out missing ones")
        rank = _rank(len(self.scores), coverage)
        if rank > len(self.scores):
            return np.full(values.shape, -np.inf), np.full(values.shape, np.inf)
        half = self.scores[rank - 1] * (1.0 if spread is None else _widths(spread.astype(np.float64), self.added))
        return values - half, values + half


def _rank(rows: int, coverage: float) -> int:
    """Rank of the score that is the threshold, from 1; above ``rows`` where they are too few."""
    return max(1, math.ceil((rows + 1) * coverage - 1e-9))  # 10 * 0.9 may be rounded above 9


def _sample(rows: int) -> np.ndarray:
    if rows <= MOST_SCORES:
        return np.arange(rows)
    return np.random.default_rng(0).choice(rows, MOST_SCORES, replace=False)


def _added(residuals: np.ndarray, spread: np.ndarray) -> float:
    """The constant with the highest Laplace likelihood of the residuals, at the best scale."""
    typical = float(np.median(spread)) or float(spread.mean())
    if typical == 0:
        return math.inf
    added, best_loss = math.inf, math.inf
    for share in reversed(_SHARES):  # starts with equal widths
        widths = _widths(spread, share * typical)
        if not widths.all():
            continue
        loss = math.log(np.mean(residuals / widths) or 1e-300) + float(np.log(widths).mean())
        if loss < best_loss - 1e-9:
            added, best_loss = share * typical, loss
    return added


def _widths(spread: np.ndarray, added: np.ndarray | float) -> np.ndarray:
    """Width of each row's interval, up to a factor."""
    return np.where(np.isinf(added), 1.0, spread + np.where(np.isinf(added), 0.0, added))
