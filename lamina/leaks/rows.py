"""Rows as plain numbers for the leak searches, and out-of-fold predictions of the target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lamina.data.columns.column import name_words
from lamina.data.schema import Column, Schema
from lamina.tasks.task import Outcome, Task

FOLDS = 3
SAMPLE = 2_000
"""Rows that the trees are trained on; more would cost seconds and change no finding."""
PERSONS = frozenset(
    "person people customer client patient subject user member household family account device session participant respondent "
    "student pupil player animal employee driver owner donor visitor tenant card policy specimen firm company".split()
)
"""Last words of a column name whose values identify a person or a thing with several rows."""
IDENTIFIERS = frozenset("id ids uid uuid guid nr".split())
"""Last words of a column name whose values identify anything."""
_NUMBERED = IDENTIFIERS | {"no", "num", "number", "code", "key"}
TREES = 25
QUICK_SAMPLE, QUICK_TREES = 1_000, 10
"""The same for a quick search, a tenth of the work."""
_QUICK_COLUMNS = 32
_MAX_FEATURES = 16  # of a split, so that wide tables cost no more than narrow ones
_MAX_CLASSES = 50
_MAX_VALUE = 1e30  # scikit-learn sums the rows in float32
_DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Rows:
    """Rows, their plain features as numbers, and their targets.

    Shape:
        ``inputs``: float32 (N, D), missing is NaN; ``feature_of``: (D,), the index in ``columns`` of the feature of each input
        (a date has several inputs); ``targets``: float64 (N, K), an indicator of each class, or the ranks of each number
        between 0 and 1, so that neither units nor outliers matter.
    """

    table: pl.DataFrame
    schema: Schema
    task: Task
    columns: tuple[Column, ...]
    values: pl.DataFrame
    inputs: np.ndarray
    feature_of: np.ndarray
    outcomes: tuple[Outcome, ...]
    targets: np.ndarray
    seed: int
    quick: bool = False

    @classmethod
    def from_table(cls, table: pl.DataFrame, schema: Schema, task: Task, seed: int, quick: bool = False) -> Rows:
        columns = tuple(column for column in schema.plain if column.role == "feature")  # the time that splits the rows is none
        values = Schema(columns).check(table, notes=False)[0] if columns else pl.DataFrame()
        parts = [numeric(values[column.name]) for column in columns]
        feature_of = np.repeat(np.arange(len(columns)), [part.shape[1] for part in parts])
        inputs = np.concatenate([np.empty((len(table), 0), dtype=np.float32), *parts], axis=1)
        outcomes = task.outcomes(task.truth(table))
        return cls(table, schema, task, columns, values, inputs, feature_of, outcomes, _numeric_targets(outcomes), seed, quick)

    @property
    def most(self) -> int:
        """Rows of a sample."""
        return QUICK_SAMPLE if self.quick else SAMPLE

    @property
    def candidates(self) -> tuple[Column, ...]:
        """The features that may give the target away; in a quick search of many, those that correlate most with it."""
        if not self.quick or len(self.columns) <= _QUICK_COLUMNS:
            return self.columns
        sample = self.sample(self.most)
        inputs, targets = self.inputs[sample].astype(np.float64), self.targets[sample] - self.targets[sample].mean(axis=0)
        present = np.isfinite(inputs)
        mean = np.where(present, inputs, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
        both = np.stack([np.where(present, inputs - mean, 0), present - present.mean(axis=0)])
        norms = np.linalg.norm(both, axis=1)[..., None] * np.linalg.norm(targets, axis=0)
        highest = np.abs(both.swapaxes(1, 2) @ targets / np.where(norms > 0, norms, np.inf)).max(axis=(0, 2))
        kept = set(self.feature_of[np.argsort(-highest, kind="stable")][:_QUICK_COLUMNS].tolist())
        return tuple(column for place, column in enumerate(self.columns) if place in kept)

    @property
    def classes(self) -> int:
        """The number of classes; 0 for regression."""
        return sum(len(outcome.labels or ()) for outcome in self.outcomes)

    def is_number(self, name: str) -> bool:
        """Whether a plain feature holds numbers, in which order counts."""
        return name in self._dtypes and self._dtypes[name].is_numeric()

    def inputs_of(self, column: Column) -> np.ndarray:
        """The inputs of one feature."""
        return self.inputs[:, self._inputs_by_name[column.name]]

    @cached_property
    def first_inputs(self) -> np.ndarray:
        """The first input of each feature (N, features): of a date, the days."""
        return self.inputs[:, [places[0] for places in self._inputs_by_name.values()]]

    @cached_property
    def _dtypes(self) -> dict[str, pl.DataType]:
        return dict(zip(self.values.columns, self.values.dtypes, strict=True))

    @cached_property
    def _inputs_by_name(self) -> dict[str, np.ndarray]:
        starts = np.searchsorted(self.feature_of, np.arange(len(self.columns) + 1))
        pairs = zip(self.columns, starts[:-1], starts[1:], strict=True)
        return {column.name: np.arange(start, stop) for column, start, stop in pairs}

    def without(self, *names: str) -> np.ndarray:
        """The inputs of all features but these."""
        kept = [index for index, column in enumerate(self.columns) if column.name not in names]
        return self.inputs[:, np.isin(self.feature_of, kept)]

    def sample(self, size: int) -> np.ndarray:
        """Indices of random rows, sorted."""
        return np.sort(np.random.default_rng(self.seed).permutation(len(self.table))[:size])


def numeric(column: pl.Series) -> np.ndarray:
    """A column as numbers that a tree can split: a date also as day of the year, weekday and hour, a level as its frequency."""
    if column.dtype == pl.String:
        column = frequency_codes(column)
    elif column.dtype.is_temporal():
        days = (column.cast(pl.Int64) / _DAY).to_numpy()
        parts = column.dt.ordinal_day(), column.dt.weekday(), column.dt.hour()
        return np.stack([days, *(part.cast(pl.Float64).to_numpy() for part in parts)], axis=1).astype(np.float32)
    return column.cast(pl.Float64).clip(-_MAX_VALUE, _MAX_VALUE).cast(pl.Float32).to_numpy()[:, None]


def frequency_codes(column: pl.Series) -> pl.Series:
    """The rank of each value by frequency, 0 for the most frequent; missing stays missing."""
    counts = column.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    levels = counts["level"]
    return column.replace_strict(levels, pl.arange(len(levels), eager=True), default=None, return_dtype=pl.Int64)


def random_folds(rows: int, generator: np.random.Generator, folds: int = FOLDS) -> np.ndarray:
    return generator.permutation(np.arange(rows) % folds)


def predict_out_of_fold(
    inputs: np.ndarray, targets: np.ndarray, fold: np.ndarray, seed: int, *, quick: bool = False, model: Any = None
) -> np.ndarray:
    """Predictions for each fold (N, K) of a model trained on the other folds, by default extremely randomised trees.

    These (Geurts et al. 2006) are full-grown and memorise every row, so they find what leaks from one fold into another.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    if model is None:
        model = ExtraTreesRegressor(
            QUICK_TREES if quick else TREES, max_features=min(inputs.shape[1], _MAX_FEATURES), random_state=seed
        )
    predictions = np.empty_like(targets)
    for validation_fold in np.unique(fold):
        train = fold != validation_fold
        if inputs.shape[1]:
            model.fit(inputs[train], targets[train].squeeze(axis=1) if targets.shape[1] == 1 else targets[train])
            predictions[~train] = model.predict(inputs[~train]).reshape(-1, targets.shape[1])
        else:
            predictions[~train] = targets[train].mean(axis=0)
    return predictions


def losses(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Squared error of each row (for classes the Brier score), divided by that of predicting the mean (N,)."""
    variance = targets.var(axis=0).sum()
    return ((predictions - targets) ** 2).sum(axis=1) / (variance or 1.0)


def identifies(name: str) -> str:
    """What the values of a column identify, by its name: a "person" or the like, any "identifier", or "" for nothing.

    Example:
        >>> [identifies(name) for name in ("customer_id", "PatientNr", "store_id", "customer_age")]
        ['person', 'person', 'identifier', '']
    """
    words = name_words(name)
    nouns = [word for word in words if word not in _NUMBERED]
    if nouns and nouns[-1] in PERSONS and words[-1] in _NUMBERED | PERSONS:
        return "person"
    return "identifier" if words and words[-1] in IDENTIFIERS else ""


def _numeric_targets(outcomes: tuple[Outcome, ...]) -> np.ndarray:
    parts = []
    for outcome in outcomes:
        if outcome.labels is None:
            parts.append(pl.Series(outcome.values).rank().to_numpy()[:, None] / len(outcome.values))
            continue
        counts = np.bincount(outcome.values[outcome.values >= 0], minlength=len(outcome.labels))
        frequent = np.argsort(-counts, kind="stable")[:_MAX_CLASSES]
        parts.append((outcome.values[:, None] == frequent).astype(np.float64))
    return np.concatenate(parts, axis=1)
