"""Target leakage: copies of the target, and columns that are filled in only once the target is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.columns import KINDS
from lamina.data.columns.column import FREQUENT, Indicator
from lamina.data.schema import Column
from lamina.leaks.rows import FOLDS, Rows, identifies, losses, predict_out_of_fold, random_folds

COPY_OF_CLASS, COPY_OF_NUMBER = 0.02, 0.01
"""Largest loss of a copy of the target, as a share of that of the mean."""
MIN_REST = 0.1
"""Least loss of all other columns together: where it is smaller the task is easy, and the column no leak."""
MIN_RATIO = 10
"""Least ratio of the loss of all other columns to that of the copy."""
MAX_IMPURITY = 0.05
"""Largest share of other targets among the rows of an indicator, relative to their share among all rows."""
MIN_ROWS = 20
_FIRST_SAMPLE = 1_000
_PROMISING = 0.2
_MANY_FOLDS = 10  # of the second test: few values are taken away at once, so the next one is near
_FEW_VALUES = 20  # of a column that may stand for single targets, and ten for each class
_INDICATOR_SAMPLE = 50_000
_SAME_EVENT = 0.7  # least overlap of two indicators of the same event


@dataclass(frozen=True)
class TargetIndicator:
    """A value of a column, or its absence, that occurs with one target only.

    Shape:
        ``rows``, ``target``: bool (N,), the rows with the value and those with the target.
    """

    column: str
    rows: np.ndarray
    target: np.ndarray
    evidence: str

    @property
    def error(self) -> float:
        """Share of the indicated rows that have another target."""
        return 1 - float(self.target[self.rows].mean())

    @property
    def coverage(self) -> float:
        """Share of the rows with the target that are indicated."""
        return float(self.rows[self.target].mean())


def find_copies(rows: Rows) -> dict[str, str]:
    """Columns that alone predict the target (almost) exactly while all others together do not, each with the evidence."""
    first, sample = rows.sample(_FIRST_SAMPLE), rows.sample(rows.most * 2)
    most = COPY_OF_CLASS if rows.classes else COPY_OF_NUMBER
    suspects: dict[str, float] = {}
    if len(first) < MIN_ROWS:
        return {}
    for column in rows.candidates:
        if identifies(column.name):
            continue
        loss = _loss_of(rows, column, first, FOLDS)
        if loss <= _PROMISING and (loss := _loss_of(rows, column, sample, _MANY_FOLDS)) <= most:
            suspects[column.name] = loss
    if not suspects or len(suspects) == len(rows.columns):
        return {}
    sample = sample[:: -(-len(sample) // rows.most)]
    fold = random_folds(len(sample), np.random.default_rng(rows.seed))
    predictions = predict_out_of_fold(rows.without(*suspects)[sample], rows.targets[sample], fold, rows.seed, quick=rows.quick)
    rest = float(losses(predictions, rows.targets[sample]).mean())
    return {
        name: f"{name} alone explains {1 - loss:.1%} of the variance of {' and '.join(rows.task.targets)}, "
        f"all other columns together {max(1 - rest, 0):.0%}"
        for name, loss in suspects.items()
        if rest >= max(MIN_REST, MIN_RATIO * loss)
    }


def find_indicators(rows: Rows, excluded: set[str]) -> list[TargetIndicator]:
    """Columns that are filled in, or have one value, for one target only, while other columns cannot predict these rows."""
    sample = rows.sample(_INDICATOR_SAMPLE)
    candidates = [
        best for column in rows.candidates if column.name not in excluded and (best := _best_indicator(rows, column, sample))
    ]
    few = np.arange(min(len(sample), 2 * rows.most)) * max(len(sample) // (2 * rows.most), 1)
    kept = []
    for candidate in candidates:
        same = [other.column for other in candidates if _overlap(candidate, other) >= _SAME_EVENT]
        indicated, target = candidate.rows[few], candidate.target[few].astype(float)
        if indicated.sum() < MIN_ROWS / 2:
            continue
        fold = random_folds(len(few), np.random.default_rng(rows.seed))
        inputs = rows.without(*excluded, *same)[sample[few]]
        predictions = predict_out_of_fold(inputs, target[:, None], fold, rows.seed, quick=rows.quick)[:, 0]
        missed = float((predictions[indicated] < 0.5).mean())
        if missed >= max(MIN_REST * (1 - target.mean()), MIN_RATIO * candidate.error):
            kept.append(candidate)
    return kept


def _loss_of(rows: Rows, column: Column, sample: np.ndarray, folds: int) -> float:
    """The out-of-fold loss of a tree on one column.

    Folds of a number are over its values: else a number that identifies a customer would pass for a copy of the target where
    all rows of a customer have the same target.
    """
    from sklearn.tree import DecisionTreeRegressor

    inputs, targets = rows.inputs_of(column)[sample], rows.targets[sample]
    generator = np.random.default_rng(rows.seed)
    values, index = np.unique(inputs[:, 0], return_inverse=True)
    many = len(values) > max(_FEW_VALUES, 10 * rows.classes)
    if many and rows.values[column.name].dtype == pl.String:
        return 1.0
    fold = random_folds(len(values), generator, folds)[index] if many else random_folds(len(sample), generator, folds)
    if len(np.unique(fold)) < folds:
        return 1.0
    tree = DecisionTreeRegressor(min_samples_leaf=5 if len(sample) >= 500 else 2, random_state=rows.seed)
    predictions = predict_out_of_fold(inputs, targets, fold, rows.seed, model=tree)
    return float(((predictions - targets) ** 2).sum(axis=1).mean() / (targets.var(axis=0).sum() or 1.0))


def _best_indicator(rows: Rows, column: Column, sample: np.ndarray) -> TargetIndicator | None:
    candidates = [
        candidate
        for indicator in KINDS[column.kind].indicators(column, rows.values[column.name].gather(sample))
        if indicator.rows.sum() >= MIN_ROWS
        for target, name in _frequent_targets(rows, sample, indicator.rows)
        if (candidate := _target_indicator(column, indicator, target, name)) and candidate.coverage >= indicator.min_coverage
        # the highest grade of a scale has neighbours with nearly the same targets; a value that means "none" has not
        if (near := indicator.neighbours) is None or not near.any() or target[near].mean() <= target.mean()
    ]
    return max(candidates, key=lambda candidate: candidate.coverage - candidate.error, default=None)


def _frequent_targets(rows: Rows, sample: np.ndarray, indicated: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Targets that the indicated rows may share: a class, or the one frequent value of a number (a cost of 0)."""
    for outcome in rows.outcomes:
        values = outcome.values[sample]
        if outcome.labels is not None:
            codes = values[indicated]
            if (codes >= 0).any():
                code = int(np.bincount(codes[codes >= 0]).argmax())
                yield values == code, outcome.named(code)
            continue
        distinct, counts = np.unique(values, return_counts=True)
        if counts.max() >= FREQUENT * len(values):
            frequent = distinct[counts.argmax()]
            yield values == frequent, f"{outcome.target} = {frequent:g}"
            yield values != frequent, f"{outcome.target} other than {frequent:g}"


def _target_indicator(column: Column, indicator: Indicator, target: np.ndarray, name: str) -> TargetIndicator | None:
    count, base = int(indicator.rows.sum()), float(target.mean())
    right = int(target[indicator.rows].sum())
    if count - right > MAX_IMPURITY * (1 - base) * count or base**count > 1e-6:
        return None
    share = "all of them" if right == count else f"{right / count:.1%} of them"
    evidence = f"{column.name} {indicator.words} in {count:,} rows: {share} have {name}, as {base:.0%} of all rows do"
    return TargetIndicator(column.name, indicator.rows, target, evidence)


def _overlap(first: TargetIndicator, second: TargetIndicator) -> float:
    """The Jaccard index of the rows of two indicators, or of one and the complement of the other."""
    indices = [(first.rows & rows).sum() / max((first.rows | rows).sum(), 1) for rows in (second.rows, ~second.rows)]
    return float(max(indices))
