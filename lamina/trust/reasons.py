"""Reasons: feature attributions of single predictions, for any model, by predicting changed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

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
    predict: Callable[[pl.DataFrame], np.ndarray],
    table: pl.DataFrame,
    background: pl.DataFrame,
    *,
    output: int | None = None,
    draws: int = 16,
) -> list[tuple[Reason, ...]]:
    """The columns with the largest effects for each row, the largest first.

    The values of one column at a time are replaced by those of a few background rows (Štrumbelj and Kononenko 2014, "Explaining
    prediction models and individual predictions with feature contributions"). These are no Shapley values: effects do not add
    up to the prediction, each of two redundant columns may have a small effect, and changed rows may be unrealistic.

    Args:
        predict: Predictions for rows like those of the table, (B, classes) or (B, targets).
        table: Rows to explain.
        background: Training rows, a few hundred, with the columns that may be reasons.
        output: The class or target to explain, a position; None explains each row's most probable class.
        draws: Number of background rows used. The error of an effect falls with their square root.

    Example:
        >>> def predict(rows):
        ...     return rows.select(pl.col("a") - 2 * pl.col("b")).to_numpy()
        >>> background = pl.DataFrame({"a": [0.0] * 10, "b": [0.0] * 10, "c": [0.0] * 10})
        >>> find_reasons(predict, pl.DataFrame({"a": [3.0], "b": [1.0], "c": [5.0]}), background, output=0)
        [(Reason(column='a', effect=3.0), Reason(column='b', effect=-2.0))]
    """
    names, rows = background.columns, len(table)
    donors = background[np.sort(np.random.default_rng(0).permutation(len(background))[:draws])]
    before = predict(table).astype(np.float64)
    outputs = before.argmax(1) if output is None else np.full(rows, output)
    before = before[np.arange(rows), outputs]
    shape = rows, len(names), len(donors)
    count, effects = rows * len(names) * len(donors), np.zeros(shape[:2])
    for start in range(0, count, BATCH):
        row, column, donor = np.unravel_index(np.arange(start, min(start + BATCH, count)), shape)
        changed, given = table[row], donors[donor]
        replaced = [
            pl.select(pl.when(pl.Series(column == j)).then(given[name]).otherwise(changed[name]).alias(name)).to_series()
            for j, name in enumerate(names)
        ]
        after = predict(changed.with_columns(replaced))[np.arange(len(row)), outputs[row]]
        np.add.at(effects, (row, column), before[row] - after.astype(np.float64))
    effects /= len(donors)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :MOST_REASONS]
    return [
        tuple(Reason(names[int(j)], float(effects[i, j])) for j in best if abs(effects[i, j]) > NOISE)
        for i, best in enumerate(strongest)
    ]
