"""Selection: one of several fitted families, or a weighted mean of them, by their outputs for the validation rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lamina.families.ensemble import greedy_weights, weighted_mean
from lamina.tasks.task import Task

Choose = Callable[[Task, Sequence[np.ndarray], np.ndarray, np.ndarray | None, np.ndarray | None], list[float]]

PARTS = 5
"""Parts of the validation rows; each is scored by what the other parts chose."""
CERTAIN = 1.0
"""A difference of losses counts from so many standard errors on."""


def best_single(
    task: Task,
    outputs: Sequence[np.ndarray],
    truth: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> list[float]:
    """The weight 1 for the first candidate whose loss is within a standard error of the lowest one, paired by row.

    Args:
        task: It measures the loss of a row.
        outputs: The outputs of each candidate for the validation rows (N, size), the simplest candidate first.
        truth: The target of these rows.
        weight: Their sample weights (N,).
        group: Rows of the same group (N,) count as one in the standard error.

    Returns:
        A weight for each candidate; they sum to 1.
    """
    losses = [task.row_losses(truth, values) for values in outputs]
    means = [float(np.average(values, weights=weight)) for values in losses]
    best = int(np.nanargmin(means)) if np.isfinite(means).any() else 0
    single = next(i for i in range(len(means)) if i == best or not _worse(losses[i], losses[best], weight, group))
    return np.eye(len(outputs))[single].tolist()


def best_mean(
    task: Task,
    outputs: Sequence[np.ndarray],
    truth: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> list[float]:
    """The weights of the mean that :func:`~lamina.families.ensemble.greedy_weights` finds; arguments as :func:`best_single`."""
    return greedy_weights(outputs, lambda mean: float(np.average(task.row_losses(truth, mean), weights=weight)))


def best_single_or_mean(
    task: Task,
    outputs: Sequence[np.ndarray],
    truth: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
) -> list[float]:
    """:func:`best_mean` where its loss is lower by more than a standard error than that of :func:`best_single`, else that."""
    alone = best_single(task, outputs, truth, weight, group)
    mean = best_mean(task, outputs, truth, weight, group)
    losses = [task.row_losses(truth, weighted_mean(outputs, weights)) for weights in (alone, mean)]
    return mean if _worse(losses[0], losses[1], weight, group) else alone


def cross_fitted(
    choose: Choose,
    task: Task,
    outputs: Sequence[np.ndarray],
    truth: np.ndarray,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Outputs (N, size) for each fifth of the rows of what is chosen on the other four fifths.

    So no row is scored by a choice that it took part in, and the score is not optimistic because of the choice.
    """
    part = _parts(len(truth), group, seed)
    result = np.array(outputs[0], dtype=np.float64)
    for number in range(PARTS):
        inside, others = part == number, part != number
        if not inside.any() or not others.any() or (weight is not None and not weight[others].any()):
            others = np.ones(len(truth), dtype=bool)
        of_others = (None if values is None else values[others] for values in (weight, group))
        weights = choose(task, [values[others] for values in outputs], truth[others], *of_others)
        result[inside] = weighted_mean([values[inside] for values in outputs], weights)
    return result


def _parts(rows: int, group: np.ndarray | None, seed: int) -> np.ndarray:
    """The part of each row (N,), the same for rows of a group."""
    member = np.arange(rows) if group is None else np.unique(group, return_inverse=True)[1]
    units = int(member.max()) + 1
    order = np.random.default_rng(seed).permutation(units)
    part = np.empty(units, dtype=np.int64)
    part[order] = np.arange(units) % PARTS
    return part[member]


def _worse(losses: np.ndarray, others: np.ndarray, weight: np.ndarray | None, group: np.ndarray | None) -> bool:
    """Whether the mean of the first losses is larger by more than a standard error of the difference."""
    difference = losses - others
    share = np.ones(len(difference)) if weight is None else weight / weight.mean()
    mean = float((share * difference).mean())
    deviation = share * (difference - mean)
    if group is not None:
        deviation = np.bincount(np.unique(group, return_inverse=True)[1], deviation)
    units = len(deviation)
    error = float(np.sqrt((deviation**2).sum() * units / max(units - 1, 1))) / len(difference)
    return mean > CERTAIN * error
