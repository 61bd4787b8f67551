"""Reasons: feature attributions of single predictions, for any model, by predicting changed rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lamina.errors import DataError, OptionError

BATCH = 8192
"""Changed rows that are predicted at once."""
NOISE = 1e-6
"""Effects up to this size are rounding errors and no reasons."""


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
    top: int = 3,
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
        top: Maximum number of reasons.
        draws: Number of background rows used. The error of an effect falls with their square root.

    Shape:
        row, column and donor int64 (B,), predictions (B, classes) or (B, targets).

    Raises:
        OptionError: top or draws is below 1, or output is out of range.
        DataError: There is no background row, or predictions have another shape.

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
    for name, value in (("top", top), ("draws", draws)):
        if value < 1:
            raise OptionError(f"{name} is {value}, expected a whole number of at least 1")
    if background < 1:
        raise DataError("there are no background rows, expected at least 1; give training rows")
    if not rows:
        return []
    position, donors = np.arange(rows), np.sort(np.random.default_rng(0).permutation(background)[:draws])
    batches = (_predictions(predict, batch, np.full_like(batch, -1), np.zeros_like(batch)) for batch in _batches(position))
    before = np.concatenate(list(batches))
    if output is not None and not 0 <= output < before.shape[1]:
        raise OptionError(f"output is {output}, expected 0 to {before.shape[1] - 1}, a column of the predictions")
    outputs = before.argmax(1) if output is None else np.full(rows, output)
    before = before[position, outputs]
    shape = rows, len(columns), len(donors)
    effects = np.zeros(shape[:2])
    for batch in _batches(np.arange(rows * len(columns) * len(donors))):
        row, column, donor = np.unravel_index(batch, shape)
        after = _predictions(predict, row, column, donors[donor])[np.arange(len(row)), outputs[row]]
        np.add.at(effects, (row, column), before[row] - after)
    effects /= len(donors)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :top]
    return [
        tuple(Reason(columns[int(j)], float(effects[i, j])) for j in best if abs(effects[i, j]) > NOISE)
        for i, best in enumerate(strongest)
    ]


def _batches(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]


def _predictions(predict: Callable, row: np.ndarray, column: np.ndarray, donor: np.ndarray) -> np.ndarray:
    predictions = np.asarray(predict(row, column, donor), dtype=np.float64)
    if predictions.ndim != 2 or len(predictions) != len(row):
        raise DataError(f"predictions have the shape {predictions.shape}, expected ({len(row)}, classes or targets)")
    return predictions
