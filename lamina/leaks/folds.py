"""Group leakage and temporal leakage: random folds score better than folds that keep groups or periods together.

Both kinds of folds are tried on the same rows, with trees that memorise every row. The difference of losses is summed over each
group (or period) before its standard error is computed: rows of a group are dependent, groups are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import t as student

from lamina.data.columns import KINDS
from lamina.data.columns.column import name_words
from lamina.data.schema import IGNORED_BY_ROLE, Column
from lamina.leaks.rows import FOLDS, Rows, identifies, losses, predict_out_of_fold, random_folds

MIN_GAP = 0.05
"""Least difference between random and grouped folds, in explained variance."""
MAX_P_VALUE = {"person": 1e-2, "identifier": 1e-2, "time": 1e-3, "": 1e-4}
"""Largest p-value of such a difference (one-sided t-test over groups); larger where the column's name is evidence, too."""
MIN_ROWS = 60
"""Fewer rows are too few to compare folds."""
_TIME_WORDS = frozenset("t time date datetime day week month quarter year timestamp epoch step tick".split())
_BIRTH_WORDS = frozenset("birth born birthday birthdate dob built founded".split())
_ZIP_WORDS = {"zip", "zipcode", "post", "postal", "postcode"}
_UNIX = (3e8, 4e9)  # seconds since 1970: 1979 to 2096
_MIN_GROUPS = 5  # or distinct times
_MANY_GROUPS = 30  # from which on new groups are to be expected; a column named like a person needs no such number
_MIN_ROWS_PER_GROUP = 1.3
_ROWS_PER_GROUP = 8  # sampled: few, so that there are many groups
_CONSTANT = 0.9  # share of equal pairs within groups in a column that is constant in a group
_MAX_COLUMNS = 4  # columns of a table that are tried
_MORE_TRAINING_ROWS = 1.5  # for each row of a sample
_PERIODS = 40


@dataclass(frozen=True)
class FoldTest:
    """Explained variance with grouped folds and with random folds, and the p-value of the difference."""

    grouped: float
    random: float
    p_value: float

    def leaks(self, named: str) -> bool:
        return self.random - max(self.grouped, 0) >= MIN_GAP and self.p_value <= MAX_P_VALUE[named]

    def __str__(self) -> str:
        return f"random folds explain {self.random:.0%} of the variance, folds by it {max(self.grouped, 0):.0%}"


def find_group(rows: Rows, excluded: set[str]) -> tuple[str, str] | None:
    """The column whose groups leak most, and the evidence; None without one."""
    tests = [(*group_test(rows, name, group, excluded), name) for name, group in _group_columns(rows)]
    leaking = [(test.grouped, name, evidence) for test, evidence, name in tests if test.leaks(identifies(name))]
    return min(leaking)[1:] if leaking else None


def group_test(rows: Rows, name: str, group: np.ndarray, excluded: set[str]) -> tuple[FoldTest, str]:
    """Compare random folds with folds by a column; the column is no input unless it is a number."""
    generator = np.random.default_rng(rows.seed)
    sample = _sample_groups(group, generator, rows.most)
    count, member = len(sample), np.unique(group[sample], return_inverse=True)[1]
    sample = _add_training_rows(sample, np.flatnonzero(group >= 0), generator, rows.most)
    inputs = rows.without(*excluded, *(() if rows.is_number(name) else (name,)))[sample]
    targets = rows.targets[sample]
    fold = generator.permutation(np.arange(group.max() + 1) % FOLDS)[group[sample]]
    grouped = predict_out_of_fold(inputs, targets, fold, rows.seed, quick=rows.quick)[:count]
    random = predict_out_of_fold(inputs, targets, random_folds(len(sample), generator), rows.seed, quick=rows.quick)[:count]
    targets = targets[:count]
    if losses(grouped, targets).mean() > 1:  # worse than the mean: nothing can be predicted of a new group
        grouped = np.tile(targets.mean(axis=0), (count, 1))
    random = losses(random, targets)
    memorised = losses(grouped + _group_effect(targets - grouped, member), targets)  # a model that memorises each group
    test = _fold_test(losses(grouped, targets), min(random, memorised, key=np.mean), member)
    similarity = _similarity(rows, name, targets, member)
    return test, f"{name} has {group.max() + 1:,} values in {len(group):,} rows; {similarity}; {test}"


def find_time(rows: Rows, excluded: set[str]) -> tuple[str, str] | None:
    """The column of times that leaks most (the target drifts, or neighbours are similar), and the evidence."""
    tests = [(name, time_test(rows, moment, excluded)) for name, moment in _time_columns(rows)]
    leaking = [(test.grouped, name, str(test)) for name, test in tests if test.leaks("time")]
    if not leaking:
        return None
    _, name, evidence = min(leaking)
    return name, f"rows close to each other in {name} are similar: {evidence}"


def time_test(rows: Rows, moment: np.ndarray, excluded: set[str]) -> FoldTest:
    """Compare random folds with the first, second and last third of the time."""
    generator = np.random.default_rng(rows.seed)
    order = np.argsort(moment, kind="stable")
    order = order[np.isfinite(moment[order])]
    sample, period = _sample_periods(order, generator, rows.most)
    sample = _add_training_rows(sample, order, generator, rows.most)
    third = np.empty(len(moment), dtype=np.int64)
    third[order] = np.arange(len(order)) * FOLDS // len(order)
    inputs, targets = rows.without(*excluded)[sample], rows.targets[sample]
    by_time = losses(predict_out_of_fold(inputs, targets, third[sample], rows.seed, quick=rows.quick), targets)[: len(period)]
    random = predict_out_of_fold(inputs, targets, random_folds(len(sample), generator), rows.seed, quick=rows.quick)
    return _fold_test(by_time, losses(random, targets)[: len(period)], period)


def _fold_test(grouped: np.ndarray, random: np.ndarray, member: np.ndarray) -> FoldTest:
    difference = grouped - random
    sizes = np.bincount(member)
    sums = np.bincount(member, weights=difference) - sizes * difference.mean()
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(difference)
    p_value = float(student.sf(difference.mean() / max(error, 1e-12), len(sums) - 1))
    return FoldTest(1 - float(grouped.mean()), 1 - float(random.mean()), p_value)


def _group_effect(residuals: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The mean residual of the other rows of each row's group, shrunk by one more row with residual 0."""
    sums = np.stack([np.bincount(member, weights=column) for column in residuals.T], axis=1)
    return (sums[member] - residuals) / np.bincount(member)[member, None]


def _similarity(rows: Rows, name: str, targets: np.ndarray, member: np.ndarray) -> str:
    """How similar the targets of two rows of a group are, and of two random rows."""
    order = np.argsort(member, kind="stable")
    same = np.diff(member[order]) == 0
    first, second = targets[order[:-1][same]], targets[order[1:][same]]
    if not rows.classes:
        mean = targets.mean(axis=0)
        correlation = ((first - mean) * (second - mean)).mean() / targets.var(axis=0).mean()
        return f"the targets of two rows of one {name} have a correlation of {correlation:.2f}"
    share, chance = (first * second).sum(axis=1).mean(), (targets.mean(axis=0) ** 2).sum()
    return f"two rows of one {name} have the same target in {share:.0%}, two random rows in {chance:.0%}"


def _group_columns(rows: Rows) -> list[tuple[str, np.ndarray]]:
    """Columns that may name groups, those named like a person first, and the group of each row (-1: missing)."""
    candidates = []
    for column in rows.schema.columns:
        largest = KINDS[column.kind].max_group_size
        unused = column.role == "ignored" and not column.reason.startswith(IGNORED_BY_ROLE)
        if not largest or not (unused or column.role == "feature") or not column.details.get("whole", True):
            continue
        group = rows.table[column.name].rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
        sizes = np.bincount(group[group >= 0])
        if len(sizes) < _MIN_GROUPS or sizes.max() > 0.5 * len(group) or sizes.sum() < _MIN_ROWS_PER_GROUP * len(sizes):
            continue
        named = identifies(column.name)
        many = len(sizes) >= _MANY_GROUPS and sizes.max() <= 0.2 * len(group) and sizes.mean() <= largest
        if named == "person" or (many and (named or _are_codes(rows, column) or _has_constants(rows, column.name, group))):
            candidates.append((("person", "identifier", "").index(named), column.name, group))
    return [(name, group) for _, name, group in sorted(candidates, key=lambda candidate: candidate[0])][:_MAX_COLUMNS]


def _are_codes(rows: Rows, column: Column) -> bool:
    """Whether texts are numbered, like C0123 and N14228: there will be a next one."""
    if rows.is_number(column.name) or not _ZIP_WORDS.isdisjoint(name_words(column.name)):
        return False
    return bool(rows.table[column.name].cast(pl.String).str.contains(r"\d\d").fill_null(True).all())


def _has_constants(rows: Rows, name: str, group: np.ndarray) -> bool:
    """Whether a group has constant values in at least two other columns, in which random rows differ."""
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero((np.diff(group[order]) == 0) & (group[order][1:] >= 0))
    left, right = order[first], order[first + 1]
    shuffled = np.random.default_rng(rows.seed).permutation(right)
    others = [place for place, column in enumerate(rows.columns) if column.name != name]
    values = rows.first_inputs[:, others]
    within, chance = ((values[left] == values[partner]).mean(axis=0) for partner in (right, shuffled))
    return int(((within >= _CONSTANT) & (chance <= 0.5)).sum()) >= 2


def _sample_groups(group: np.ndarray, generator: np.random.Generator, most: int) -> np.ndarray:
    """Random rows in whole groups, of large groups a part."""
    sizes = np.bincount(group[group >= 0])
    shuffled = generator.permutation(np.flatnonzero(group >= 0))
    shuffled = shuffled[np.argsort(generator.permutation(len(sizes))[group[shuffled]], kind="stable")]
    starts = np.r_[0, np.flatnonzero(np.diff(group[shuffled])) + 1]
    position = np.arange(len(shuffled)) - np.repeat(starts, np.diff(np.r_[starts, len(shuffled)]))
    return np.sort(shuffled[position < max(_ROWS_PER_GROUP, most // len(sizes))][:most])


def _time_columns(rows: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """Dates, and numbers that rise from row to row and are named like a time, or count the seconds since 1970."""
    for column in rows.columns:
        moment, words = rows.inputs_of(column)[:, 0], name_words(column.name)
        times = moment[np.isfinite(moment)]
        if not _BIRTH_WORDS.isdisjoint(words) or len(times) < MIN_ROWS:
            continue
        unix = _UNIX[0] <= times[0] and times[-1] <= _UNIX[1]
        is_date = column.kind == "date"
        named = not _TIME_WORDS.isdisjoint(words)
        rises = (unix or named) and rows.is_number(column.name) and bool((np.diff(times) >= 0).all())
        if (is_date or rises) and len(np.unique(times)) >= _MIN_GROUPS:
            yield column.name, moment


def _sample_periods(order: np.ndarray, generator: np.random.Generator, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Runs of successive rows from all parts of the time, and the period of each row."""
    parts = np.array_split(order, _PERIODS)
    size = most // _PERIODS
    starts = [int(generator.integers(0, max(len(part) - size, 0) + 1)) for part in parts]
    runs = [part[start : start + size] for part, start in zip(parts, starts, strict=True)]
    return np.concatenate(runs), np.repeat(np.arange(_PERIODS), [len(run) for run in runs])


def _add_training_rows(sample: np.ndarray, candidates: np.ndarray, generator: np.random.Generator, most: int) -> np.ndarray:
    """The sample, then rows to train on as well: a few groups alone would be too little training data."""
    more = generator.permutation(np.setdiff1d(candidates, sample))
    return np.concatenate([sample, more[: round(most * _MORE_TRAINING_ROWS)]])
