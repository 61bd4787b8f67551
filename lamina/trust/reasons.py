"""Reasons: the columns that matter most for what is said of one row.

Works for every model, since it only asks it again with other values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lamina.errors import DataError, OptionError

BATCH = 8192
"""So many changed rows are asked about at once."""
NOISE = 1e-6
"""Effects up to this size are rounding: a column that changes nothing is no reason."""


@dataclass(frozen=True)
class Reason:
    """A column and its effect: what is said of the row less what is said, on average, with another value in this column.

    In probability of the class, or in the unit of what is said; above 0 the row's own value pushes towards the class, or up.
    """

    column: str
    effect: float


def find_reasons(
    say: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    columns: Sequence[str],
    *,
    rows: int,
    background: int,
    output: int | None = None,
    top: int = 3,
    draws: int = 16,
) -> list[tuple[Reason, ...]]:
    """The columns that matter most for each row, the strongest first.

    Each column by itself takes the values of a few other rows, the same ones for all (Štrumbelj and Kononenko 2014, "Explaining
    prediction models and individual predictions with feature contributions", for one column at a time). These are no Shapley
    values: effects do not add up to the prediction; of two columns that say the same each may seem to matter little; and a
    changed row may be one that cannot be.

    Args:
        say: ``say(row, column, donor)`` says of row ``row[i]`` what the model says when its column ``column[i]`` (a position in
            ``columns``) takes the value of background row ``donor[i]``; a column of -1 leaves the row as it is. With a polars
            table::

                mixed, other = table[row], background[donor]
                for j, name in enumerate(columns):
                    swapped = pl.when(pl.lit(pl.Series(column == j))).then(other[name]).otherwise(mixed[name])
                    mixed = mixed.with_columns(swapped.alias(name))
                return model_says(mixed)

        columns: Their names.
        rows: How many rows are to be explained.
        background: How many rows there are to take values from; training rows, some hundred.
        output: The class or the target (its column in what is said) to explain; without it each row's most probable class.
        top: How many reasons at most.
        draws: How many background rows are taken. The error of an effect falls with their square root.

    Shape:
        row, column and donor are int64 (B,), what is said is (B, classes) or (B, targets).

    Raises:
        OptionError: top or draws is below 1.
        DataError: There is no background row, or what is said has another shape.

    Example:
        >>> x, others = np.array([[3.0, 1.0, 5.0]]), np.zeros((10, 3))
        >>> def say(row, column, donor):
        ...     mixed = x[row].copy()
        ...     swapped = np.flatnonzero(column >= 0)
        ...     mixed[swapped, column[swapped]] = others[donor[swapped], column[swapped]]
        ...     return mixed @ np.array([[1.0], [-2.0], [0.0]])
        >>> find_reasons(say, ["a", "b", "c"], rows=1, background=10, output=0)
        [(Reason(column='a', effect=3.0), Reason(column='b', effect=-2.0))]
    """
    for name, value in (("top", top), ("draws", draws)):
        if value < 1:
            raise OptionError(f"{name} is {value}, expected a whole number of at least 1")
    if background < 1:
        raise DataError("there are no background rows, expected at least 1 to take other values from; give training rows")
    if not rows:
        return []
    position, donors = np.arange(rows), np.sort(np.random.default_rng(0).permutation(background)[:draws])
    before = np.concatenate([_said(say, part, np.full_like(part, -1), np.zeros_like(part)) for part in _pieces(position)])
    if output is not None and not 0 <= output < before.shape[1]:
        raise OptionError(f"output is {output}, expected 0 to {before.shape[1] - 1}, a column of what is said")
    outputs = before.argmax(1) if output is None else np.full(rows, output)
    before = before[position, outputs]
    shape = rows, len(columns), len(donors)
    effects = np.zeros(shape[:2])
    for piece in _pieces(np.arange(rows * len(columns) * len(donors))):
        row, column, donor = np.unravel_index(piece, shape)
        after = _said(say, row, column, donors[donor])[np.arange(len(row)), outputs[row]]
        np.add.at(effects, (row, column), before[row] - after)
    effects /= len(donors)
    strongest = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :top]
    return [
        tuple(Reason(columns[int(j)], float(effects[i, j])) for j in best if abs(effects[i, j]) > NOISE)
        for i, best in enumerate(strongest)
    ]


def _pieces(positions: np.ndarray) -> list[np.ndarray]:
    return [positions[start : start + BATCH] for start in range(0, len(positions), BATCH)]


def _said(say: Callable, row: np.ndarray, column: np.ndarray, donor: np.ndarray) -> np.ndarray:
    said = np.asarray(say(row, column, donor), dtype=np.float64)
    if said.ndim != 2 or len(said) != len(row):
        raise DataError(f"what is said has the shape {said.shape}, expected ({len(row)}, classes or targets); answer every row")
    return said
