"""The task: everything that depends on what is predicted. One file each, one protocol, one registry."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import polars as pl

from lamina.errors import OptionError, TargetError
from lamina.tasks.head import Head
from lamina.tasks.losses import LOSSES, Loss
from lamina.tasks.metrics import ALIASES, Metric, scores
from lamina.tasks.prediction import Prediction
from lamina.tasks.target import count_rows, missing, target_names, titled

TASKS: dict[str, type[Task]] = {}
"""The tasks by name, in the order in which a target is offered to them."""


@dataclass(frozen=True)
class Outcome:
    """One thing that is predicted of each row: a class, or a quantity.

    Attributes:
        target: The column, or the label, that it is of.
        values: Class codes int64 (N,), -1 where it is not known; or quantities float64 (N,).
        labels: The class of each code; None for a quantity.
    """

    target: str
    values: np.ndarray
    labels: tuple[Any, ...] | None = None

    def named(self, code: int) -> str:
        """``income = '>50K'``."""
        return f"{self.target} = {code if self.labels is None else self.labels[code]}"


@dataclass(frozen=True)
class Learnable:
    """What one classical learner fits: class codes, or standardised values.

    Attributes:
        values: int64 codes (N,), or float32 values (N, K).
        classes: How many classes there are, 0 for values.
        known: Rows with a value (N,); None where all have one.
    """

    values: np.ndarray
    classes: int
    known: np.ndarray | None = None


@dataclass(frozen=True)
class Table:
    """A small table for a screen or a report.

    Attributes:
        title: What it shows; may be empty.
        header: The title of each column.
        rows: Its cells, as they are printed.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Task(ABC):
    """What is predicted, and the way from a target to numbers and back.

    Args:
        targets: Names of the target columns.
        reason: Why the task was chosen, in words.

    Example:
        >>> task = Task.infer(pl.DataFrame({"income": ["low", "high", "low", "high"]}), "income")
        >>> task.name, task.encode(pl.DataFrame({"income": ["low", "high"]}))["target"].tolist()
        ('classification', [1, 0])
        >>> task.predict(np.array([[0.2, 0.8]])).labels.tolist()
        ['low']
    """

    targets: tuple[str, ...]
    reason: str = ""

    #: The word for it in options, files and docs.
    name: ClassVar[str]
    #: The method that judges single predictions, see :mod:`lamina.trust`.
    judge: ClassVar[str]

    # -- the target --------------------------------------------------------------------------------------------------------

    @staticmethod
    def infer(table: pl.DataFrame, targets: str | Sequence[str], *, kind: str | None = None, min_class_rows: int = 2) -> Task:
        """The task that the values of the target suggest; rows without one are passed over.

        Args:
            table: Rows with the target columns among theirs.
            targets: A column, or several.
            kind: Name of a task; None to decide from the values.
            min_class_rows: Fewest rows that a class needs. Two, so that one may validate; 1 to accept anything.

        Raises:
            TargetError: Nothing can be learnt from such a target. As scikit-learn asks, the words "Unknown label type" open the
                message for fractions given as classes, and it is a ValueError.
            OptionError: The kind is unknown.
        """
        if kind is not None and kind not in TASKS:
            raise OptionError(f"task is {kind!r}, expected {', '.join(map(repr, TASKS))} or None to decide from the target")
        names = target_names(table, targets)
        rows = max(int((~missing(table[name])).sum()) for name in names)
        if not rows:
            raise TargetError(_no_value(names, len(table)))
        for task in TASKS.values() if kind is None else [TASKS[kind]]:
            found = task.guess(table, names, asked=kind is not None, min_class_rows=min_class_rows)
            if found is not None:
                return found
        raise TargetError(f"the {titled(names)} cannot be predicted; name a column of classes or numbers")

    @classmethod
    @abstractmethod
    def guess(cls, table: pl.DataFrame, names: list[str], *, asked: bool, min_class_rows: int) -> Self | None:
        """The task of these targets, fitted to all rows; None where they do not look like it and nobody asked for it.

        Raises:
            TargetError: It is this task, but nothing can be learnt from such a target.
        """

    def usable_rows(self, table: pl.DataFrame) -> tuple[np.ndarray, str]:
        """The rows whose target is known; only they can be learnt from or scored.

        Returns:
            A mask (N,), true where the target is known, and a sentence about the rows left out (empty when there are none).

        Raises:
            TargetError: A target is no column of the table, or no row has one.

        Example:
            >>> table = pl.DataFrame({"y": ["a", None, "b"]})
            >>> mask, note = Task.infer(table, "y", min_class_rows=1).usable_rows(table)
            >>> mask.tolist(), note
            ([True, False, True], "1 of 3 rows has no value in the target 'y' and is left out")
        """
        names = target_names(table, self.targets)
        mask = self._known(table)
        lost = len(table) - int(mask.sum())
        if lost == len(table):
            raise TargetError(_no_value(names, len(table)))
        if not lost:
            return mask, ""
        verb, leave = ("has", "is") if lost == 1 else ("have", "are")
        return mask, f"{lost:,} of {len(table):,} rows {verb} no value in the {titled(names)} and {leave} left out"

    def _known(self, table: pl.DataFrame) -> np.ndarray:
        return ~np.any([missing(table[name]) for name in self.targets], axis=0)

    @abstractmethod
    def fit(self, table: pl.DataFrame) -> Self:
        """The same task with what is measured on these rows: call it with the training rows."""

    def decide(self, outputs: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """The same with what turns probabilities into decisions, chosen on rows that the model has not learnt from."""
        return self

    @abstractmethod
    def encode(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """The target as blocks by name, for networks; ``"target"`` always, masks beside it where values may be missing.

        Raises:
            TargetError: A value is missing, is a class that training did not have, or is no number.
        """

    @abstractmethod
    def truth(self, table: pl.DataFrame) -> np.ndarray:
        """The target as metrics compare it, in the form of :attr:`Prediction.decision`."""

    @abstractmethod
    def decode_truth(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """The truth from target blocks."""

    @abstractmethod
    def outcomes(self, truth: np.ndarray) -> tuple[Outcome, ...]:
        """The truth as single classes and quantities: what splits, folds and the search for leaks look at."""

    @abstractmethod
    def learnables(self, blocks: Mapping[str, np.ndarray]) -> tuple[Learnable, ...]:
        """Target blocks as what classical learners fit: one model for each."""

    def strata(self, table: pl.DataFrame) -> np.ndarray | None:
        """Codes (N,) of what a split keeps in proportion; None where rows are drawn plainly."""
        return None

    @property
    def doubt(self) -> str:
        """A sentence about the target that a person should read, empty where there is none."""
        return ""

    def class_weights(self, table: pl.DataFrame, class_weight: str | Mapping[Any, float]) -> np.ndarray:
        """The weight of each row (N,) by its class.

        Raises:
            OptionError: There are no classes, or these are no weights of them.
        """
        raise OptionError(f"class_weight is for classes, but the task is {self.name}; give a weight for each row")

    # -- outputs -----------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """How many classes, labels or values there are."""

    @property
    def output_names(self) -> tuple[str, ...]:
        """A name for each output: classes, labels or targets."""
        return self.targets

    @property
    @abstractmethod
    def losses(self) -> tuple[Loss, ...]:
        """The losses that fit, the default first."""

    def head(self, loss: str) -> Head:
        """The last layer of a network for this loss: one logit, a logit for each class or label, a value for each target.

        Raises:
            OptionError: The loss does not fit the task.
        """
        if loss not in [fit.name for fit in self.losses]:
            expected = " or ".join(repr(fit.name) for fit in self.losses)
            raise OptionError(f"the loss {loss!r} does not fit {self.title}, expected {expected}")
        return Head(LOSSES[loss].units(self.size))

    @abstractmethod
    def predict(self, outputs: np.ndarray) -> Prediction:
        """What a person gets, from probabilities or standardised values (N, size)."""

    @abstractmethod
    def baseline(self, rows: int) -> np.ndarray:
        """Outputs of the trivial model, (rows, size): class frequencies, or the mean."""

    @property
    def column_names(self) -> tuple[tuple[str, str], ...]:
        """The columns of a table of predictions: "prediction" or "probability", and the name."""
        return tuple(("prediction", target) for target in self.targets)

    @abstractmethod
    def columns(self, prediction: Prediction, probabilities: np.ndarray) -> list[np.ndarray]:
        """The columns of a table of predictions, in the order of :attr:`column_names`.

        Args:
            prediction: Of the rows.
            probabilities: Its outputs, calibrated where that is asked for.
        """

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs in terms of the target: probabilities (N, size), or values in their own units (N, K)."""
        return outputs

    def align(self, outputs: np.ndarray, other: Task) -> np.ndarray:
        """Outputs of a model fitted to another part of the rows, as outputs of this task.

        Args:
            outputs: In the terms of ``other``: with fewer classes, or with another mean and standard deviation.
            other: The same task, fitted to other rows.
        """
        return outputs

    def adopting(self, other: Task) -> Self:
        """This task with what ``other``, fitted to another part of the rows, turns outputs into decisions by."""
        return self

    def explained(self) -> tuple[tuple[str, int | None], ...]:
        """What reasons are given for: a suffix of their column's name, and an output, None for the most probable."""
        return (("", None),)

    # -- how good it is ----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics that models can be compared by."""

    @property
    @abstractmethod
    def main_metric(self) -> Metric:
        """The metric that a model is judged by where nobody says which; greater is better."""

    @property
    @abstractmethod
    def watched(self) -> tuple[Metric, ...]:
        """The metrics after each epoch: the first, which falls, chooses the best one."""

    def metric(self, name: str) -> Metric:
        """The metric of that name, also as scikit-learn spells it, or "auto".

        Raises:
            OptionError: The metric is unknown or does not fit the task.
        """
        if name == "auto":
            return self.main_metric
        fit = {metric.name: metric for metric in self.metrics}
        name = ALIASES.get(name, name)
        if name not in fit:
            raise OptionError(f"the metric {name!r} is unknown or does not fit {self.title}; choose auto, {', '.join(fit)}")
        return fit[name]

    def scores(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """The figures of a model card, by the name of the metric."""
        return scores(tuple(metric for metric in self.metrics if metric.shown), truth, self.predict(outputs), weight)

    def baseline_scores(self, truth: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """The same of the trivial model."""
        return self.scores(truth, self.baseline(len(truth)), weight)

    def details(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        """What is worth seeing beside the figures, as JSON by name: a confusion matrix, figures of each label."""
        return {}

    def tables(self, details: Mapping[str, Any]) -> tuple[Table, ...]:
        """The details for a screen."""
        return ()

    # -- words and files ---------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def title(self) -> str:
        """The task in words: ``classification: <=50K, >50K``."""

    @abstractmethod
    def summary(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: str) -> tuple[str, ...]:
        """Sentences that say how good a model is beside the baseline, on so many rows."""

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.name} | {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Task:
        """A task from :meth:`to_json`, or from a file of an earlier version, whose tasks had all fields."""
        cls = TASKS[values["kind"]]
        names = {field.name for field in dataclasses.fields(cls)}
        read = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
        return cls(**cls._read(read))

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fields as they were, from fields as JSON has them."""
        return values


T = TypeVar("T", bound=type[Task])


def register(task: T) -> T:
    """Put a task into the registry; a target is offered to tasks in the order of their registration."""
    TASKS[task.name] = task
    return task


def _no_value(names: Sequence[str], rows: int) -> str:
    return f"{titled(names)} has no value in any of the {count_rows(rows)}; name the column that holds the target"
