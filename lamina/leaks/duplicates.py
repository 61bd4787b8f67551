"""Duplicate rows, which let a model know the target of a validation row from a training row."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl

from lamina.data.rowhash import first_of_duplicates, hash_column
from lamina.leaks.rows import Rows

MIN_SHARE = 0.01
"""Fewer duplicates change a score by less than the choice of the folds does."""
MIN_ROWS = 10
MIN_NEAR_SHARE = 0.05
"""For rows equal in all columns but one, which are more often a natural part of the data than rows equal in all."""
MIN_RATIO = 1.5
"""Least ratio of duplicate pairs to those expected by chance: on real tables it was at most 1.04 where duplicates are many."""
MAX_DISAGREEMENT = 0.2
"""Most duplicates with differing targets, as a share of those of random pairs; with more they are repeated measurements."""
_MAX_REPEATS = 5  # mean size of a set of near duplicates; larger sets mean a plain category
_MIN_NEAR_COLUMNS = 4  # fewest columns of a table for a search of near duplicates
_MAX_SINGLE = 64  # columns that are left out one by one
_MAX_PAIRED = 6  # columns that are left out two by two


def find(rows: Rows) -> tuple[tuple[str, ...], str] | None:
    """The column that duplicates differ in (none if they are exact) and the evidence; None without duplicates."""
    names = [column.name for column in rows.schema.features]
    if len(names) == len(rows.columns) == 1:
        return None  # how often values of a single column repeat by chance is unknown
    keys = [column.name for column in rows.schema.columns if column.role in ("group", "split")]
    table = unique(rows.table, [*names, *keys]) if keys else rows.table  # these keep duplicates in the same fold
    hashes = [hash_column(table[name], index) for index, name in enumerate(names)]
    truth = rows.task.truth(table)
    evidence, free_column = _evidence(hashes, truth, MIN_SHARE)
    if evidence or len(names) < _MIN_NEAR_COLUMNS:
        return ((), evidence.format("")) if evidence else None
    others = [values for index, values in enumerate(hashes) if index != free_column]
    evidence, _ = _evidence(others, truth, MIN_NEAR_SHARE)
    return ((names[free_column],), evidence.format(f" in all but {names[free_column]}")) if evidence else None


def expected(hashes: list[np.ndarray]) -> tuple[float, int]:
    """The number of equal pairs of rows expected by chance, and the column that most pairs differ in alone.

    Coarse values are equal by chance, but then many more rows are nearly equal. If equality in column j is independent of
    equality in column k given all other columns, the pairs that differ in nothing are to those that differ only in j as those
    that differ only in k are to those that differ in both: n = n_j n_k / n_jk, as a population is estimated from two captures
    (Lincoln 1930, Petersen 1896). The largest estimate over pairs of columns is returned. True duplicates have no near
    neighbours.

    Example:
        >>> dice = np.random.default_rng(0).integers(0, 6, (4, 3000))
        >>> chance, _ = expected([hash_column(pl.Series(die), index) for index, die in enumerate(dice)])
        >>> round(chance / (3000 * 2999 / 2 / 6**4), 1)
        1.0
    """
    total = np.sum(hashes, axis=0)  # 64 bits that wrap around: leaving a column out is a subtraction
    pairs = repeats(total)[1]
    compared = range(0, len(hashes), -(-len(hashes) // _MAX_SINGLE))
    single = {index: repeats(total - hashes[index])[1] - pairs for index in compared}
    free = sorted(compared, key=lambda index: -single[index])[:_MAX_PAIRED]
    estimates = [0.0]
    for j, k in combinations(free, 2):
        both = repeats(total - hashes[j] - hashes[k])[1] - pairs - single[j] - single[k]
        estimates.append(single[j] * single[k] / max(both, 1))
    return max(estimates), free[0]


def repeats(hashes: np.ndarray) -> tuple[int, int]:
    """The number of rows that equal an earlier one, and the number of equal pairs of rows."""
    counts = np.unique(hashes, return_counts=True)[1].astype(np.int64)
    return len(hashes) - len(counts), int((counts * (counts - 1) // 2).sum())


def _evidence(hashes: list[np.ndarray], truth: np.ndarray, min_share: float) -> tuple[str, int]:
    """The evidence, empty without duplicates, and the column that most pairs of rows differ in alone."""
    total = np.sum(hashes, axis=0)
    counts = np.unique(total, return_counts=True)[1]
    duplicates, pairs = repeats(total)
    chance, free_column = expected(hashes)
    chance_share = min(chance / max(pairs, 1), 1.0)
    many = duplicates * (1 - chance_share) >= max(MIN_ROWS, min_share * len(total))
    if not many or pairs < MIN_RATIO * chance + 3 * np.sqrt(chance):
        return "", free_column
    if min_share == MIN_NEAR_SHARE and counts[counts > 1].mean() > _MAX_REPEATS:
        return "", free_column
    agreement = _agreement(truth, total)
    shuffled = np.random.default_rng(0).permutation(len(total))  # rows may be sorted by the target
    if 1 - agreement > MAX_DISAGREEMENT * (1 - _agreement(truth[shuffled], np.zeros_like(total))):
        return "", free_column
    return (
        f"{duplicates:,} of {len(total):,} rows ({duplicates / len(total):.1%}) equal an earlier row{{}}, {agreement:.0%} of "
        f"them with the same target; about {round(duplicates * chance_share):,} expected by chance"
    ), free_column


def _agreement(truth: np.ndarray, hashes: np.ndarray) -> float:
    """The share of rows equal to an earlier one that also have its target."""
    order = np.argsort(hashes, kind="stable")
    repeated = np.diff(hashes[order]) == 0
    targets = truth.reshape(len(truth), -1)[order]
    tolerance = targets.std(axis=0) * (0.01 if truth.dtype.kind == "f" else 0)
    same = (np.abs(np.diff(targets, axis=0)) <= tolerance).all(axis=1)
    return float(same[repeated].mean())


def unique(table: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The rows without those that equal an earlier one in these columns."""
    return table.filter(first_of_duplicates(table[names]))
