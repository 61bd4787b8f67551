"""Importance: how much a model relies on each column, over many rows. One row is explained by :mod:`lamina.trust.reasons`.

Works for every model and every kind of column, since it only scores the model again on shuffled values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError
from lamina.train.events import Monitor, Shuffle

MOST_ROWS, MOST_ROWS_RICH = 5000, 1000


@dataclass(frozen=True)
class Importance:
    """A column and how much the score falls when its values are shuffled among the rows.

    Args:
        column: Its name.
        mean: Over the shuffles, in units of the score. Below 0 the shuffled column happened to score higher: it is of no use.
        error: Standard error of the mean; None for a single shuffle. It tells how far other shuffles of these rows may
            lead, not how far other rows would.
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
    """The columns of a table, the one that the score relies on most first.

    Each column by itself is shuffled, which breaks its tie with the target and with all other columns but leaves its values as
    they are (Breiman 2001, "Random forests", section 10). That is how much *this model* relies on the column, not how much the
    column could tell: another model of the same accuracy may rely on others (Fisher, Rudin and Dominici 2019, "All models are
    wrong, but many are useful", JMLR 20(177), equation 3.3; this is their difference, not their ratio).

    The means are those of ``sklearn.inspection.permutation_importance`` with ``random_state=seed``; it tells the standard
    deviation over the shuffles, this the standard error of their mean. All columns are shuffled alike. Breiman shuffles among
    the rows that a tree has not learnt from, tree by tree. Fisher et al. swap every row with every other; in a shuffle one row,
    on average, keeps its own value, so for n rows the mean fall of a mean over rows is smaller by one part in n.

    Where columns are copies of each other, or nearly, the others still tell what the shuffled one no longer does, and each
    seems to matter less than they do together: halve a linear model's weight between two copies, and in squared error each has
    a quarter of the importance that one column alone would have. Which copy a model relies on is chance. Leave all but one
    aside and fit again to learn what they tell. And shuffled rows may be such as cannot be, of which a model may say anything.

    Args:
        score: Scores the model on a table with the same rows; greater is better.
        table: Rows with the columns to shuffle. Of an image, a text or a series the whole cell moves.
        repeats: Shuffles of each column.
        seed: What the shuffles follow from.
        monitor: Called after each shuffle with a :class:`~lamina.train.events.Shuffle`.

    Raises:
        OptionError: repeats is below 1.
        DataError: There are fewer than 2 rows.

    Example:
        >>> table = pl.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 3.0, 2.0]})
        >>> truth = table["a"]
        >>> def score(rows):  # of a model that says "a"
        ...     return -float(((rows["a"] - truth) ** 2).mean())
        >>> [(one.column, one.mean > 0) for one in importances(score, table)]
        [('a', True), ('b', False)]
    """
    if repeats < 1:
        raise OptionError(f"repeats is {repeats}, expected a whole number of at least 1")
    if len(table) < 2:
        raise DataError(f"shuffling needs at least 2 rows whose target is known, these are {len(table)}; give more rows")
    places = list(_shuffles(len(table), repeats, seed))
    before, found = score(table), []
    for position, column in enumerate(table):
        falls = np.empty(repeats)
        for i, place in enumerate(places):
            falls[i] = before - score(table.with_columns(column.gather(place)))
            if monitor is not None:
                monitor(Shuffle(column.name, (position + (i + 1) / repeats) / table.width))
        error = float(falls.std(ddof=1)) / repeats**0.5 if repeats > 1 else None
        found.append(Importance(column.name, float(falls.mean()), error))
    return sorted(found, key=lambda one: -one.mean)


def most_rows(schema: Schema) -> int:
    """How many rows are shuffled at most: fewer with images, texts or series, which take long to answer."""
    return MOST_ROWS_RICH if len(schema.plain) < len(schema.features) else MOST_ROWS


def _shuffles(rows: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Where the value of each row comes from: scikit-learn's shuffles, each made from the one before."""
    random = np.random.RandomState(np.random.RandomState(seed).randint(2**31))
    order, place = np.arange(rows), np.arange(rows)
    for _ in range(repeats):
        random.shuffle(order)
        place = place[order]
        yield place
