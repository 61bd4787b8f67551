"""What the search for leaks looks at: the rows as plain numbers, the answers as numbers, and how well one tells the other."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Column, Schema
from lamina.tasks.task import Outcome, Task

FOLDS = 3
SAMPLE = 2_000
"""Rows that the learners see; more would cost seconds and change no finding that is worth a line."""
PERSONS = frozenset(
    "person people customer client patient subject user member household family account device session participant respondent "
    "student pupil player animal employee driver owner donor visitor tenant card policy specimen firm company".split()
)
"""Words that end the name of a column whose values stand for someone or something with rows of its own, ..."""
IDENTIFIERS = frozenset("id ids uid uuid guid nr".split())
"""... and for anything."""
_NUMBERED = IDENTIFIERS | {"no", "num", "number", "code", "key"}
_TREES = 25
_TRIED = 16  # inputs tried at a split: wide tables cost no more than narrow ones
_MOST_CLASSES = 50
_HUGE = 1e38  # about the largest float32
_DAY = 86_400e6  # microseconds


@dataclass(frozen=True)
class Rows:
    """Rows, their plain features as numbers, and their answers.

    Shape:
        ``inputs``: float32 (N, D), missing is NaN; ``owners``: (D,), the place in ``columns`` of the feature that each input is
        made of (a date makes several); ``answers``: float64 (N, K), one column for each class, or the ranks of each target
        between 0 and 1, so that neither units nor outliers matter.
    """

    table: pl.DataFrame
    schema: Schema
    task: Task
    columns: tuple[Column, ...]
    values: pl.DataFrame
    inputs: np.ndarray
    owners: np.ndarray
    outcomes: tuple[Outcome, ...]
    answers: np.ndarray
    seed: int

    @classmethod
    def of(cls, table: pl.DataFrame, schema: Schema, task: Task, seed: int) -> Rows:
        columns = schema.plain
        values = Schema(columns).check(table, notes=False)[0] if columns else pl.DataFrame()
        parts = [numeric(values[column.name]) for column in columns]
        owners = np.repeat(np.arange(len(columns)), [part.shape[1] for part in parts])
        inputs = np.concatenate([np.empty((len(table), 0), dtype=np.float32), *parts], axis=1)
        outcomes = task.outcomes(task.truth(table))
        return cls(table, schema, task, columns, values, inputs, owners, outcomes, _answers(outcomes), seed)

    @property
    def classes(self) -> int:
        """How many classes there are; 0 where quantities are predicted."""
        return sum(len(outcome.labels or ()) for outcome in self.outcomes)

    def without(self, *names: str) -> np.ndarray:
        """The inputs of all features but these."""
        kept = [place for place, column in enumerate(self.columns) if column.name not in names]
        return self.inputs[:, np.isin(self.owners, kept)]

    def some(self, most: int) -> np.ndarray:
        """Rows at random, in their order."""
        drawn = np.random.default_rng(self.seed).permutation(len(self.table))[:most]
        return np.sort(drawn)


def numeric(column: pl.Series) -> np.ndarray:
    """A column as numbers a tree can split: dates also by their place in the year and the week, levels by their frequency."""
    if column.dtype == pl.String:
        column = codes(column)
    elif column.dtype.is_temporal():
        days = (column.cast(pl.Int64) / _DAY).to_numpy()
        place = column.dt.ordinal_day(), column.dt.weekday(), column.dt.hour()
        return np.stack([days, *(part.cast(pl.Float64).to_numpy() for part in place)], axis=1).astype(np.float32)
    return column.cast(pl.Float64).clip(-_HUGE, _HUGE).cast(pl.Float32).to_numpy()[:, None]


def codes(column: pl.Series) -> pl.Series:
    """The place of each value among the values from the most frequent down; missing stays missing."""
    counted = column.drop_nulls().alias("level").value_counts(name="rows").sort(["rows", "level"], descending=[True, False])
    levels = counted["level"]
    return column.replace_strict(levels, pl.arange(len(levels), eager=True), default=None, return_dtype=pl.Int64)


def random_folds(rows: int, generator: np.random.Generator, folds: int = FOLDS) -> np.ndarray:
    return generator.permutation(np.arange(rows) % folds)


def foretell(inputs: np.ndarray, answers: np.ndarray, fold: np.ndarray, seed: int) -> np.ndarray:
    """What extremely randomised trees (Geurts et al. 2006) answer for each fold after learning from the others (N, K).

    Full-grown trees remember every row, so what leaks from one fold into another they find.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    said = np.empty_like(answers)
    for held in np.unique(fold):
        train = fold != held
        if inputs.shape[1]:
            forest = ExtraTreesRegressor(_TREES, max_features=min(inputs.shape[1], _TRIED), random_state=seed)
            forest.fit(inputs[train], answers[train].squeeze(axis=1) if answers.shape[1] == 1 else answers[train])
            said[~train] = forest.predict(inputs[~train]).reshape(-1, answers.shape[1])
        else:
            said[~train] = answers[train].mean(axis=0)
    return said


def losses(said: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Squared error of each row (for classes that is the Brier score) in units of what the mean answer makes (N,)."""
    spread = answers.var(axis=0).sum()
    return ((said - answers) ** 2).sum(axis=1) / (spread or 1.0)


def stands_for(name: str) -> str:
    """Whether a name says that the values of a column are each a "person" or the like, just an "identifier", or "" nothing.

    Example:
        >>> [stands_for(name) for name in ("customer_id", "PatientNr", "store_id", "customer_age")]
        ['person', 'person', 'identifier', '']
    """
    parts = words(name)
    named = [part for part in parts if part not in _NUMBERED]
    if named and named[-1] in PERSONS and parts[-1] in _NUMBERED | PERSONS:
        return "person"
    return "identifier" if parts and parts[-1] in IDENTIFIERS else ""


def words(name: str) -> list[str]:
    """``customerID``, ``customer_id`` and ``Customer Id`` are all [customer, id]."""
    return [part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def _answers(outcomes: tuple[Outcome, ...]) -> np.ndarray:
    parts = []
    for outcome in outcomes:
        if outcome.labels is None:
            parts.append(pl.Series(outcome.values).rank().to_numpy()[:, None] / len(outcome.values))
            continue
        counts = np.bincount(outcome.values[outcome.values >= 0], minlength=len(outcome.labels))
        frequent = np.argsort(-counts, kind="stable")[:_MOST_CLASSES]
        parts.append((outcome.values[:, None] == frequent).astype(np.float64))
    return np.concatenate(parts, axis=1)
