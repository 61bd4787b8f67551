"""Rows that are there twice, so that one fold knows the answers of another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl

from lamina.data.rowhash import hash_column
from lamina.leaks.rows import Rows

LEAST_SHARE = 0.01
"""Fewer doubles change a score by less than the choice of the folds does."""
LEAST = 10
NEAR_SHARE = 0.05
"""Rows that agree in all columns but one are as many by nature sooner than rows that agree in all."""
CHANCE = 1.5
"""So many times the doubles that chance lets one expect: on tables as they come it was at most 1.04 where doubles are many."""
UNLIKE = 0.2
"""Most doubles with answers of their own, as a share of those of rows at random: such are measurements, no copies."""
_COPIES = 5  # of a row on average, at most, where they differ in a column: many more are a plain category
_NEAR_COLUMNS = 4  # fewest columns of a table in which one may differ
_COMPARED = 64  # columns that are left out one by one
_PAIRED = 6  # columns that are left out two by two


def find(rows: Rows) -> tuple[tuple[str, ...], str] | None:
    """The column that the copies differ in (none if they are exact), and the evidence; None where there is nothing to say."""
    features = rows.schema.features
    names = [column.name for column in features]
    if len(features) == len(rows.columns) == 1:
        return None  # values of a single column agree by chance, and nothing says how often
    table = _by_side(rows)
    hashes = [hash_column(table[name], place) for place, name in enumerate(names)]
    truth = rows.task.truth(table)
    found, freest = _copies(hashes, truth, LEAST_SHARE)
    if found or len(names) < _NEAR_COLUMNS:
        return ((), found.format("")) if found else None
    found, _ = _copies([values for place, values in enumerate(hashes) if place != freest], truth, NEAR_SHARE)
    return ((names[freest],), found.format(f" in all but {names[freest]}")) if found else None


def expected(hashes: list[np.ndarray]) -> tuple[float, int]:
    """How many pairs of rows agree in everything by chance, and the column that most pairs would differ in alone.

    Coarse values agree by chance, but then many more rows nearly agree. If agreeing in column j has nothing to do with
    agreeing in column k once all others agree, pairs that differ in nothing are to those that differ only in j as those that
    differ only in k are to those that differ in both: n = n_j n_k / n_jk. That is how a population is estimated from two
    captures (Lincoln 1930, Petersen 1896); the largest estimate among the columns that matter is taken. Copies stand out
    because they have no neighbours.

    Example:
        >>> dice = np.random.default_rng(0).integers(0, 6, (4, 3000))
        >>> chance, _ = expected([hash_column(pl.Series(die), place) for place, die in enumerate(dice)])
        >>> round(chance / (3000 * 2999 / 2 / 6**4), 1)
        1.0
    """
    whole = np.sum(hashes, axis=0)  # 64 bits that wrap around: taking a column away is a subtraction
    pairs = repeats(whole)[1]
    compared = range(0, len(hashes), -(-len(hashes) // _COMPARED))
    single = {place: repeats(whole - hashes[place])[1] - pairs for place in compared}
    free = sorted(compared, key=lambda place: -single[place])[:_PAIRED]
    estimates = [0.0]
    for j, k in combinations(free, 2):
        both = repeats(whole - hashes[j] - hashes[k])[1] - pairs - single[j] - single[k]
        estimates.append(single[j] * single[k] / max(both, 1))
    return max(estimates), free[0]


def repeats(hashes: np.ndarray) -> tuple[int, int]:
    """How many rows repeat an earlier one, and how many pairs of rows are equal."""
    counts = np.unique(hashes, return_counts=True)[1].astype(np.int64)
    return len(hashes) - len(counts), int((counts * (counts - 1) // 2).sum())


def _copies(hashes: list[np.ndarray], truth: np.ndarray, least_share: float) -> tuple[str, int]:
    """The evidence, empty where there are no copies, and the column that most pairs of rows would differ in alone."""
    whole = np.sum(hashes, axis=0)
    copies, pairs = repeats(whole)
    chance, freest = expected(hashes)
    share = min(chance / max(pairs, 1), 1.0)  # of the doubles that are there by chance
    many = copies * (1 - share) >= max(LEAST, least_share * len(whole)) and pairs >= CHANCE * chance + 3 * np.sqrt(chance)
    if not many or (least_share == NEAR_SHARE and _crowded(whole)):
        return "", freest
    alike = _alike(truth, whole)
    shuffled = np.random.default_rng(0).permutation(len(whole))  # rows may be sorted by the answer
    if 1 - alike > UNLIKE * (1 - _alike(truth[shuffled], np.zeros_like(whole))):
        return "", freest
    return (
        f"{copies:,} of {len(whole):,} rows ({copies / len(whole):.1%}) equal an earlier one{{}}, {alike:.0%} of them with the "
        f"same answer; by chance about {round(copies * share):,} would"
    ), freest


def _crowded(hashes: np.ndarray) -> bool:
    counts = np.unique(hashes, return_counts=True)[1]
    return float(counts[counts > 1].mean()) > _COPIES


def _alike(truth: np.ndarray, hashes: np.ndarray) -> float:
    """The share of rows equal to an earlier one whose answer is the same."""
    order = np.argsort(hashes, kind="stable")
    again = np.diff(hashes[order]) == 0
    answers = truth.reshape(len(truth), -1)[order]
    width = answers.std(axis=0) * (0.01 if truth.dtype.kind == "f" else 0)
    same = (np.abs(np.diff(answers, axis=0)) <= width).all(axis=1)
    return float(same[again].mean())


def _by_side(rows: Rows) -> pl.DataFrame:
    """One row of each that a group or a split column keeps on the same side anyway."""
    sides = [column.name for column in rows.schema.columns if column.role in ("group", "split")]
    features = [column.name for column in rows.schema.features]
    return _first_of_each(rows.table, [*features, *sides]) if sides else rows.table


def without(rows: Rows) -> pl.DataFrame:
    """The rows without those that equal an earlier one, answer included."""
    known = [column.name for column in rows.schema.features] + list(rows.task.targets)
    return _first_of_each(rows.table, known)


def _first_of_each(table: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The rows without those that equal an earlier one in these columns."""
    some = table[names]
    some.columns = [str(place) for place in range(some.width)]  # polars takes names such as "*" for patterns
    return table[some.with_row_index().unique(some.columns, keep="first", maintain_order=True)["index"]]
