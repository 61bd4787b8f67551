"""Permutation feature importance, for any model and column kind. For single predictions see :mod:`lamina.trust.reasons`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.train.events import Monitor, Shuffle

MOST_ROWS, MOST_ROWS_RICH = 5000, 1000


@dataclass(frozen=True)
class Importance:
    """Importance of a column: the decrease of the score when its values are shuffled among the rows.

    Args:
        mean: Mean over the shuffles, in units of the score; may be below 0 by chance where the column is not used.
        error: Standard error of the mean over shuffles of these rows; None for a single shuffle.
    """

    column: str
    mean: float
    error: float | None


def importances(
    score: Callable[[pl.DataFrame], float],
    table: pl.DataFrame,
    *,
    repeats: int = 5,
    seed: int = 0,
    monitor: Monitor | None = None,
) -> list[Importance]:
    """Permutation importance of the columns of a table, the most important first.

    Shuffling a column breaks its relation with the target and with all other columns (Breiman 2001, "Random forests", section
    10). The importance is that of the column *to this model*: another model of the same accuracy may rely on other columns
    (Fisher, Rudin and Dominici 2019, "All models are wrong, but many are useful", JMLR 20(177), equation 3.3; this is their
    difference, not their ratio).

    The means are those of ``sklearn.inspection.permutation_importance`` with ``random_state=seed``, which gives the standard
    deviation over the shuffles, this the standard error of their mean. All columns have the same shuffles. Breiman shuffles
    out-of-bag rows, tree by tree. Fisher et al. swap every row with every other; in a shuffle one row, on average, keeps its
    value, so for n rows the mean decrease is smaller by one part in n.

    The importance of correlated columns is underestimated, as the model still has the others: with a linear model's weight
    split equally between two equal columns, each has a quarter of the importance of one alone, in squared error. Ignore all but
    one and fit again to measure it. Shuffled rows may be unrealistic.

    Args:
        score: Score of the model on a table with the same rows; greater is better.
        table: Rows with the columns to shuffle. Images, texts and series are shuffled as whole cells.
        repeats: Shuffles of each column.
        seed: Seed of the shuffles.
        monitor: Called after each shuffle with a :class:`~lamina.train.events.Shuffle`.

    Raises:
        DataError: There are fewer than 2 rows.

    Example:
        >>> table = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 3.0, 2.0]})
        >>> truth = table["a"]
        >>> def score(rows):  # of a model that predicts "a"
        ...     return -float(((rows["a"] - truth) ** 2).mean())
        >>> [(importance.column, importance.mean > 0) for importance in importances(score, table)]
        [('a', True), ('b', False)]
    """
    if len(table) < 2:
        raise DataError(f"shuffling needs at least 2 rows with a target, these are {len(table)}; give more rows")
    random = np.random.RandomState(np.random.RandomState(seed).randint(2**31))
    order, permutation, shuffles = np.arange(len(table)), np.arange(len(table)), []
    for _ in range(repeats):  # as scikit-learn: each shuffle is applied to the previous permutation
        random.shuffle(order)
        permutation = permutation[order]
        shuffles.append(permutation)
    before, result = score(table), []
    for position, column in enumerate(table):
        decreases = np.empty(repeats)
        for i, rows in enumerate(shuffles):
            decreases[i] = before - score(table.with_columns(column.gather(rows)))
            if monitor is not None:
                monitor(Shuffle(column.name, (position + (i + 1) / repeats) / table.width))
        error = float(decreases.std(ddof=1)) / repeats**0.5 if repeats > 1 else None
        result.append(Importance(column.name, float(decreases.mean()), error))
    return sorted(result, key=lambda importance: -importance.mean)


def most_rows(schema: Schema) -> int:
    """Maximum number of shuffled rows: smaller with images, texts or series, which are slower to predict."""
    return MOST_ROWS_RICH if len(schema.plain) < len(schema.features) else MOST_ROWS
