"""Reasons: feature attributions of single predictions, for any model, by predicting changed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

BATCH = 8192
"""Changed rows that are predicted at once."""
NOISE = 1e-6
"""Effects up to this size are rounding errors and no reasons."""
MOST_REASONS = 3


@dataclass(frozen=True)
class Reason:
    """A column and its effect: the prediction for the row minus the mean prediction with other values of this column.

    In probability of the class, or in the unit of the target; above 0 the row's value raises the prediction.
    """

    column: str
    effect: float


def find_reasons(
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    columns: Sequence[str],
    *,
    rows: int,
    background: int,
    output: int | None = None,
    draws: int = 16,
) -> list[tuple[Reason, ...]]:
    """The columns with the largest effects for each row, the largest first.

    The values of one column at a time are replaced by those of a few background rows (Štrumbelj and Kononenko 2014, "Explaining
    prediction models and individual predictions with feature contributions"). These are no Shapley values: effects do not add
    up to the prediction, each of two redundant columns may have a small effect, and changed rows may be unrealistic.

    Args:
        predict: ``predict(row, column, donor)`` predicts row ``row[i]`` with column ``column[i]`` (a position in ``columns``)
            replaced by its value in background row ``donor[i]``; a column of -1 replaces none. With a polars table::

                changed, donors = table[row], background[donor]
                for j, name in enumerate(columns):
                    replaced = pl.when(pl.lit(pl.Series(column == j))).then(donors[name]).otherwise(changed[name])
                    changed = changed.with_columns(replaced.alias(name))
                return model.predict(changed)

        columns: Column names.
        rows: Number of rows to explain.
        background: Number of background rows: a few hundred training rows.
        output: The class or target to explain, a position; None explains each row's most probable class.
        draws: Number of background rows used. The error of an effect falls with their square root.

    Shape:
        row, column and donor int64 (B,), predictions (B, classes) or (B, targets).

    Example:
        >>> x, background = np.array([[3.0, 1.0, 5.0]]), np.zeros((10, 3))
        >>> def predict(row, column, donor):
        ...     changed = x[row].copy()
        ...     i = np.flatnonzero(column >= 0)
        ...     changed[i, column[i]] = background[donor[i], column[i]]
        ...     return changed @ np.array([[1.0], [-2.0], [0.0]])
        >>> find_reasons(predict, ["a", "b", "c"], rows=1, background=10, output=0)
        [(Reason(column='a', effect=3.0), Reason(column='b', effect=-2.0))]
    """
    position, donors = np.arange(rows), np.sort(np.random.default_rng(0).permutation(background)[:draws])
    batches = (predict(batch, np.full_like(batch, -1), np.zeros_like(batch)) for batch in _batches(position))
    before = np.concatenate(list(batches), dtype=np.float64)
    outputs = before.argmax(1) if output is None else np.full(rows, output)
    before = before[position, outputs]
    shape = rows, len(columns), len(donors)
    effects = np.zeros(shape[:2])
    for batch in _batches(np.arange(rows * len(columns) * len(donors))):
        row, column, donor = np.unravel_index(batch, shape)
        after = predict(row, column, donors[donor])[np.arange(len(row)), outputs[row]]
        np.add.at(effects, (row, column), before[row] - after.astype(np.float64))
    effects /= len(donors)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :MOST_REASONS]
    return [
        tuple(Reason(columns[int(j)], float(effects[i, j])) for j in best if abs(effects[i, j]) > NOISE)
        for i, best in enumerate(strongest)
    ]


def _batches(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]
