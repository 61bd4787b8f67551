"""Rows that are overlapping windows of a longer series: a training row then contains most of a validation row."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from lamina.data.columns.scaled import floats
from lamina.data.rowhash import hash_values
from lamina.leaks.rows import Rows

MIN_SHARE = 0.5
"""Least share of the rows that overlap with another one."""
MIN_LAGS = 0.9
"""Least share of the rows in which a column has the value that its neighbour had in the row before."""
_STEPS = 8  # that two rows must have in common, at different places, to be compared as a whole
_DISTINCT = 5  # of these: rows of zeros have much in common
_MOST_STEPS = 200_000
_MOST_ROWS = 20_000
_COMPARED = 300  # rows
_FEWEST_ROWS = 20


def find(rows: Rows) -> tuple[tuple[str, ...], str] | None:
    """The columns that hold windows, and the evidence; None without any."""
    if len(rows.table) < _FEWEST_ROWS:
        return None
    for column in rows.schema.by_kind("series"):
        share = overlapping(rows.table[column.name])
        if share >= MIN_SHARE:
            evidence = f"{share:.0%} of the series contain steps of another one: they are windows of a longer series"
            return (column.name,), evidence
    numbers = [column.name for column in rows.columns if rows.is_number(column.name)]
    values = [floats(rows.values[name][:_MOST_ROWS]) for name in numbers]
    targets = [outcome.values[:_MOST_ROWS] for outcome in rows.outcomes if outcome.labels is None]
    names = lagged(numbers, values, targets)
    if not names and len(numbers) >= _STEPS + 4:
        table = pl.Series(np.stack(values, axis=1)).arr.to_list()
        names = numbers if overlapping(table) >= MIN_SHARE else []
    if not names:
        return None
    shown = f"{names[0]} to {names[-1]}" if len(names) > 1 else names[0]
    return tuple(names), f"the values of {shown} move on by one from row to row: they are windows of a longer series"


def lagged(names: list[str], values: list[np.ndarray], targets: list[np.ndarray]) -> list[str]:
    """The first run of columns whose values move to the next column from row to row; with a target before or behind it.

    Example:
        >>> series = np.random.default_rng(0).normal(size=100)
        >>> lagged(["now", "lag 1", "lag 2"], [series[2:], series[1:-1], series[:-2]], [])
        ['now', 'lag 1', 'lag 2']
    """

    def moves(first: np.ndarray, second: np.ndarray) -> bool:
        changes = first[1:] != first[:-1]
        return changes.mean() > 0.5 and (second[1:] == first[:-1])[changes].mean() >= MIN_LAGS

    for step in (1, -1):  # the newest value is in the first column of a run, or in the last
        runs = [[place] for place in range(len(names))[::step]]
        for run in reversed(runs[:-1]):
            if moves(values[run[0]], values[run[0] + step]):
                run += runs[runs.index(run) + 1]
        for run in runs:
            if len(run) > 2 or (len(run) == 2 and any(moves(target, values[run[0]]) for target in targets)):
                return [names[place] for place in sorted(run)]
    return []


def overlapping(series: pl.Series) -> float:
    """The share of series that contain steps of another one at another place, among the first of them.

    Two series overlap if the end of one is the start of the other, as far as both reach.

    Example:
        >>> long = np.random.default_rng(0).normal(size=300)
        >>> overlapping(pl.Series([long[start : start + 50] for start in range(0, 240, 10)]))
        1.0
    """
    series = series.drop_nulls()
    series = series if isinstance(series.dtype, pl.List) else series.arr.to_list()
    lengths = series.list.len()
    series = series.head(max(int((lengths.cum_sum() <= _MOST_STEPS).sum()), 2))
    lengths = lengths.head(len(series)).cast(pl.Int64).to_numpy()
    steps = hash_values(series.explode())
    if lengths.sum() != len(steps) or len(steps) < 2 * _STEPS:  # an empty series is one step of its own
        return 0.0
    starts = np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(len(lengths)), lengths)
    windows = sliding_window_view(steps, _STEPS)
    inside = row[: len(windows)] == row[_STEPS - 1 :]
    place = np.flatnonzero(inside)
    factors = np.arange(1, 2 * _STEPS, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    keys = (windows[place] * factors).sum(axis=1, dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    first, second = place[order[:-1][same]], place[order[1:][same]]
    offset = (first - starts[row[first]]) - (second - starts[row[second]])
    elsewhere = (row[first] != row[second]) & (offset != 0)
    varied = (np.diff(np.sort(windows[first[elsewhere]], axis=1), axis=1) != 0).sum(axis=1) >= _DISTINCT - 1
    pairs = np.stack([row[first], row[second], offset], axis=1)[elsewhere][varied]
    overlaps = np.unique(np.concatenate([pairs, pairs[:, [1, 0, 2]] * [1, 1, -1]]), axis=0)
    compared = np.random.default_rng(0).permutation(len(lengths))[:_COMPARED]
    parts = {int(number): steps[starts[number] : starts[number] + lengths[number]] for number in np.unique(overlaps[:, :2])}
    overlap = 0
    for number in compared:
        low, high = np.searchsorted(overlaps[:, 0], [number, number + 1])
        overlap += any(_same(parts[int(a)], parts[int(b)], int(by)) for a, b, by in overlaps[low:high][:_STEPS])
    return overlap / max(len(compared), 1)


def _same(first: np.ndarray, second: np.ndarray, offset: int) -> bool:
    """Whether the steps from an offset on are the first ones of the other series."""
    if offset < 0:
        first, second, offset = second, first, -offset
    common = min(len(first) - offset, len(second))
    return bool((first[offset : offset + common] == second[:common]).all())
