"""Selection: one of several fitted families, or a weighted mean of them, by their outputs for the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lamina.families.ensemble import greedy_weights, weighted_mean
from lamina.tasks.task import Task

SKILL = 0.8
"""A candidate is clearly behind with less than this share of the best gain over the baseline."""
PARTS = 5
"""Parts of the validation rows; each is scored by what the other parts chose."""
CERTAIN, BEYOND_DOUBT = 1.0, 3.0
"""A difference of losses counts from so many standard errors on; where few rows are to exclude a candidate."""


@dataclass(frozen=True, eq=False)
class ValidationLoss:
    """The loss of outputs for validation rows, and whether a difference of two is larger than chance.

    Args:
        task: It has the loss of a row, see :meth:`~lamina.tasks.task.Task.row_losses`.
        truth: The target of the validation rows, as :meth:`~lamina.tasks.task.Task.truth` gives it.
        weight: Their sample weights (N,).
        group: Rows of the same group (N,) count as one in the standard error.
    """

    task: Task
    truth: np.ndarray
    weight: np.ndarray | None = None
    group: np.ndarray | None = None

    def of_rows(self, outputs: np.ndarray) -> np.ndarray:
        """The loss of each row (N,), of outputs (N, size)."""
        return self.task.row_losses(self.truth, outputs)

    def mean(self, outputs: np.ndarray) -> float:
        """The weighted mean of the losses of all rows, of outputs (N, size)."""
        return self._mean(self.of_rows(outputs))

    def best(self, outputs: Sequence[np.ndarray]) -> int:
        """The index of the first outputs whose loss is within a standard error of the lowest one, paired by row."""
        losses = [self.of_rows(values) for values in outputs]
        means = [self._mean(values) for values in losses]
        lowest = int(np.nanargmin(means)) if np.isfinite(means).any() else 0
        return next(i for i in range(len(means)) if i == lowest or not self.larger(losses[i], losses[lowest]))

    def larger(self, losses: np.ndarray, others: np.ndarray, errors: float = CERTAIN) -> bool:
        """Whether the mean of the first losses (N,) is larger by more than so many standard errors of the difference."""
        difference = losses - others
        share = np.ones(len(difference)) if self.weight is None else self.weight / self.weight.mean()
        mean = float((share * difference).mean())
        deviation = share * (difference - mean)
        if self.group is not None:
            deviation = np.bincount(np.unique(self.group, return_inverse=True)[1], deviation)
        units = len(deviation)
        error = float(np.sqrt((deviation**2).sum() * units / max(units - 1, 1))) / len(difference)
        return mean > errors * error

    def subset(self, chosen: np.ndarray) -> ValidationLoss:
        """The loss of the rows where a mask (N,) is true."""
        weight, group = (None if values is None else values[chosen] for values in (self.weight, self.group))
        return ValidationLoss(self.task, self.truth[chosen], weight, group)

    def parts(self, seed: int) -> np.ndarray:
        """The number of the part of each row (N,), drawn at random; the same for rows of a group."""
        rows = len(self.truth)
        member = np.arange(rows) if self.group is None else np.unique(self.group, return_inverse=True)[1]
        units = int(member.max()) + 1
        order = np.random.default_rng(seed).permutation(units)
        part = np.empty(units, dtype=np.int64)
        part[order] = np.arange(units) % PARTS
        return part[member]

    def _mean(self, losses: np.ndarray) -> float:
        return float(np.average(losses, weights=self.weight))


def near_best(losses: Sequence[float], baseline: float, *, factor: float, most: int | None = None) -> list[int]:
    """The indices of the candidates that are not clearly behind, the best first; at most so many, and at least one.

    Args:
        losses: The loss of each candidate.
        baseline: The loss of the baseline; one that stays has at least :data:`SKILL` of the best gain over it.
        factor: One that stays has at most this factor of the lowest loss.
        most: How many stay at most.

    Example:
        >>> near_best([0.9, 0.4, 0.3, 0.95], 1.0, factor=1.5)
        [2, 1]
    """
    order = np.argsort(losses, kind="stable").tolist()
    lowest = losses[order[0]]
    near = [i for i in order if baseline - losses[i] >= SKILL * (baseline - lowest) and losses[i] <= factor * lowest]
    return near[:most] or order[:1]


Choose = Callable[[ValidationLoss, Sequence[np.ndarray]], list[float]]
"""A function of the outputs of each candidate (N, size), the simplest candidate first: their weights, which sum to 1."""


def best_single(loss: ValidationLoss, outputs: Sequence[np.ndarray]) -> list[float]:
    """The weight 1 for the first candidate whose loss is within a standard error of the lowest one, 0 for the others."""
    return np.eye(len(outputs))[loss.best(outputs)].tolist()


def lowest(loss: ValidationLoss, outputs: Sequence[np.ndarray]) -> list[float]:
    """The weight 1 for the candidate with the lowest loss, the first of equal ones, 0 for the others."""
    means = np.nan_to_num([loss.mean(values) for values in outputs], nan=np.inf)
    return np.eye(len(outputs))[int(means.argmin())].tolist()


def best_mean(loss: ValidationLoss, outputs: Sequence[np.ndarray]) -> list[float]:
    """The weights of the mean that :func:`~lamina.families.ensemble.greedy_weights` finds."""
    return greedy_weights(outputs, loss.mean)


def best_single_or_mean(loss: ValidationLoss, outputs: Sequence[np.ndarray]) -> list[float]:
    """:func:`best_mean` where its loss is lower by more than a standard error than that of :func:`best_single`, else that.

    The mean is without the members that it does not need: its loss is within a standard error of that of all.
    """
    alone, mean = best_single(loss, outputs), best_mean(loss, outputs)
    losses, lowest = (loss.of_rows(weighted_mean(outputs, weights)) for weights in (alone, mean))
    if not loss.larger(losses, lowest):
        return alone
    for place in sorted(np.flatnonzero(mean).tolist(), key=lambda place: mean[place]):
        places = [other for other, weight in enumerate(mean) if weight and other != place]
        if not places:
            break
        fewer = np.zeros(len(outputs))
        fewer[places] = best_mean(loss, [outputs[other] for other in places])
        if not loss.larger(loss.of_rows(weighted_mean(outputs, fewer.tolist())), lowest):
            mean = fewer.tolist()
    return mean


def cross_fitted(choose: Choose, loss: ValidationLoss, outputs: Sequence[np.ndarray], *, seed: int = 0) -> np.ndarray:
    """Outputs (N, size) for each fifth of the rows of what is chosen on the other four fifths.

    So no row is scored by a choice that it took part in, and the score is not optimistic because of the choice.
    """
    part = loss.parts(seed)
    result = np.array(outputs[0], dtype=np.float64)
    for number in range(PARTS):
        inside, others = part == number, part != number
        if not inside.any() or not others.any() or (loss.weight is not None and not loss.weight[others].any()):
            others = np.ones(len(part), dtype=bool)
        weights = choose(loss.subset(others), [values[others] for values in outputs])
        result[inside] = weighted_mean([values[inside] for values in outputs], weights)
    return result
