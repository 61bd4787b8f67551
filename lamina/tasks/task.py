"""The base class of tasks: everything that depends on the kind of target."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from lamina.errors import OptionError, TargetError
from lamina.stored import stored
from lamina.tasks.head import Head
from lamina.tasks.learning import fidelity_sentence, judged
from lamina.tasks.losses import TARGET, Loss, find_loss
from lamina.tasks.metrics import ALIASES, Metric, make_metric, scores
from lamina.tasks.prediction import Prediction
from lamina.tasks.report import Table
from lamina.tasks.target import first_values, missing, target_names, titled
from lamina.tasks.threshold import Rule
from lamina.wording import count

TASKS: dict[str, type[Task]] = {}
"""The tasks by name, in the order in which :meth:`Task.infer` tries them."""
MOST_TITLED = 8
"""Maximum number of classes or labels in a title."""
DOUBT = 0.001
"""Share of equal probabilities that is mixed into those that models are compared by, see :meth:`Task.row_losses`."""


@dataclass(frozen=True)
class Outcome:
    """One predicted class or quantity of each row.

    Attributes:
        target: The column or label.
        values: Class codes int64 (N,), -1 for missing; or quantities float64 (N,).
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
    """The target of one classical learner: class codes, or standardised values.

    Attributes:
        values: int64 codes (N,), or float32 values (N, K).
        classes: Number of classes, 0 for values.
        known: True for rows with a value (N,); None if all have one.
    """

    values: np.ndarray
    classes: int
    known: np.ndarray | None = None


@dataclass(frozen=True)
class Task(ABC):
    """What is predicted: encodes targets, decodes outputs, and has the losses and metrics.

    The defaults are those of tasks whose outputs are probabilities.

    Args:
        targets: Names of the target columns.
        reason: Why the task was chosen.

    Example:
        >>> task = Task.infer(pl.DataFrame({"income": ["low", "high", "low", "high"]}), "income")
        >>> task.name, task.encode(pl.DataFrame({"income": ["low", "high"]}))["target"].tolist()
        ('classification', [1, 0])
        >>> task.predict(np.array([[0.2, 0.8]])).labels.tolist()
        ['low']
    """

    targets: tuple[str, ...]
    reason: str = ""

    #: Its name in options and files.
    name: ClassVar[str]
    #: The name of its estimator.
    estimator: ClassVar[str] = "Classifier"
    #: The uncertainty method of its predictions, see :mod:`lamina.trust`.
    judge: ClassVar[str]
    #: Whether the target is a column of classes, of which rare ones can be merged.
    has_classes: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        TASKS[cls.name] = cls

    # -- the target --------------------------------------------------------------------------------------------------------

    @staticmethod
    def infer(table: pl.DataFrame, targets: str | Sequence[str], *, kind: str | None = None, min_class_rows: int = 2) -> Task:
        """The task for the values of the target; rows without a value are ignored.

        Args:
            table: A table with the target columns.
            targets: One or several columns.
            kind: Name of a task; None to infer it from the values.
            min_class_rows: Minimum number of rows of a class: 2, for training and validation; 1 to accept all.

        Raises:
            TargetError: The target cannot be predicted. As in scikit-learn, the message for fractions as classes begins with
                "Unknown label type".
            OptionError: The kind is unknown.
        """
        if kind is not None and kind not in TASKS:
            raise OptionError(f"task is {kind!r}, expected {', '.join(map(repr, TASKS))} or None to infer it from the target")
        names = target_names(table, targets)
        if all(missing(table[name]).all() for name in names):
            raise TargetError(_no_value(names, len(table)))
        for task in TASKS.values() if kind is None else [TASKS[kind]]:
            if guess := task.guess(table, names, requested=kind is not None, min_class_rows=min_class_rows):
                return guess
        raise TargetError(f"the {titled(names)} cannot be predicted; name a column of classes or numbers")

    @classmethod
    @abstractmethod
    def guess(cls, table: pl.DataFrame, names: list[str], *, requested: bool, min_class_rows: int) -> Self | None:
        """The task for these targets, fitted to all rows; None if they do not fit it and it was not requested.

        Raises:
            TargetError: They fit the task, or it was requested, but the target cannot be predicted.
        """

    def usable_rows(self, table: pl.DataFrame) -> tuple[np.ndarray, str]:
        """The rows with a target, which can be used for training or scoring.

        Returns:
            A mask (N,), true for rows with a target, and a sentence about the ignored rows, or "".

        Raises:
            TargetError: The table lacks a target column, or no row has a value.

        Example:
            >>> table = pl.DataFrame({"y": ["a", None, "b"]})
            >>> mask, note = Task.infer(table, "y", min_class_rows=1).usable_rows(table)
            >>> mask.tolist(), note
            ([True, False, True], "1 of 3 rows has no value in the target 'y' and is ignored")
        """
        names = target_names(table, self.targets)
        mask = self._known(table)
        lost = len(table) - int(mask.sum())
        if lost == len(table):
            raise TargetError(_no_value(names, len(table)))
        if not lost:
            return mask, ""
        verb, auxiliary = ("has", "is") if lost == 1 else ("have", "are")
        return mask, f"{lost:,} of {len(table):,} rows {verb} no value in the {titled(names)} and {auxiliary} ignored"

    def _known(self, table: pl.DataFrame) -> np.ndarray:
        return ~np.any([missing(table[name]) for name in self.targets], axis=0)

    @abstractmethod
    def fit(self, table: pl.DataFrame) -> Self:
        """The task with its statistics, as class frequencies, of these (training) rows."""

    def decide(self, outputs: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """The task with decision thresholds chosen, or made ready to be chosen, on these validation rows."""
        return self

    def with_threshold(self, threshold: float | str) -> Self:
        """The task with another decision threshold; a rule chooses it on the validation rows of the fit, never on other rows.

        Args:
            threshold: "f1", "recall=0.9", "precision=0.9", "cost=1:5" (of a false positive and of a false negative), or a
                probability from which the positive class, or a label, is predicted.

        Raises:
            OptionError: It is none of these, cannot be reached, or the task has no threshold.
        """
        Rule.parse(threshold)
        raise OptionError(f"threshold is for two classes or labels, but the task is {self.title}; leave it out")

    @property
    def chosen(self) -> dict[str, Any]:
        """The threshold that was asked for, as ``threshold`` of an evaluation; empty without one."""
        return {}

    @abstractmethod
    def encode(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """The target as blocks by name, for networks: ``"target"``, and masks if values may be missing.

        Raises:
            TargetError: A value is missing, is not a number, or is a class that was not in training.
        """

    def soften(self, blocks: Mapping[str, np.ndarray], outputs: np.ndarray, share: float) -> dict[str, np.ndarray]:
        """Target blocks of a network that learns the outputs of another model: a share of these, the rest of the true target.

        The losses are linear in the target, up to a constant, so this is the same as a weighted sum of both losses.

        Args:
            blocks: Target blocks, as :meth:`encode` gives them.
            outputs: Probabilities, or standardised values, of this task (N, size).
            share: The share of the outputs, 0 to 1.
        """
        return {**blocks, TARGET: ((1 - share) * self._as_outputs(blocks) + share * outputs).astype(np.float32)}

    def _as_outputs(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """The true target as outputs (N, size)."""
        return blocks[TARGET]

    @abstractmethod
    def truth(self, table: pl.DataFrame) -> np.ndarray:
        """The target for metrics, in the form of :attr:`Prediction.decision`."""

    @abstractmethod
    def decode_truth(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        """The result of :meth:`truth`, from target blocks."""

    @abstractmethod
    def outcomes(self, truth: np.ndarray) -> tuple[Outcome, ...]:
        """The truth as single classes and quantities, for splits, folds and leak detection."""

    @abstractmethod
    def learnables(self, blocks: Mapping[str, np.ndarray]) -> tuple[Learnable, ...]:
        """Target blocks for classical learners: one model for each."""

    def strata(self, table: pl.DataFrame) -> np.ndarray | None:
        """Codes (N,) for stratified splits; None for unstratified ones."""
        return None

    @property
    def warning(self) -> str:
        """A warning about the target, or ""."""
        return ""

    def class_weights(self, table: pl.DataFrame, class_weight: Literal["balanced"] | Mapping[Any, float]) -> np.ndarray:
        """The weight of each row (N,) by its class.

        Raises:
            OptionError: The task has no classes, or the weights are invalid.
        """
        raise OptionError(f"class_weight is for classes, but the task is {self.name}; give a weight for each row")

    # -- outputs -----------------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """A name for each output: classes, labels or targets."""

    @property
    def size(self) -> int:
        """The number of classes, labels or values."""
        return len(self.output_names)

    @property
    @abstractmethod
    def losses(self) -> tuple[Loss, ...]:
        """The losses for this task, the default first."""

    def head(self, loss: str | Loss | Callable[..., Any]) -> Head:
        """The last layer of a network for this loss: one logit, a logit for each class or label, a value for each target.

        Raises:
            OptionError: The loss does not fit the task.
        """
        name, fitting = loss.outputs_of if isinstance(loss, Loss) else loss, [fitting.name for fitting in self.losses]
        if name not in fitting:
            raise OptionError(f"the loss {name!r} does not fit {self.title}, expected {' or '.join(map(repr, fitting))}")
        return Head(1 if find_loss(loss).single else self.size)

    @abstractmethod
    def predict(self, outputs: np.ndarray) -> Prediction:
        """The prediction from probabilities or standardised values (N, size)."""

    @abstractmethod
    def baseline(self, rows: int) -> np.ndarray:
        """Outputs of the baseline (rows, size): class frequencies, or the mean."""

    @property
    def column_names(self) -> tuple[tuple[str, str], ...]:
        """The columns of a table of predictions: "prediction" or "probability", and the name."""
        probabilities = (("probability", f"probability {name}") for name in self.output_names)
        return (*(("prediction", target) for target in self.targets), *probabilities)

    @abstractmethod
    def columns(self, prediction: Prediction, probabilities: np.ndarray) -> list[np.ndarray]:
        """The columns of a table of predictions, in the order of :attr:`column_names`; probabilities may be calibrated."""

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs as probabilities (N, size), or as values in the units of the target (N, K)."""
        return outputs

    def align(self, outputs: np.ndarray, other: Task) -> np.ndarray:
        """Outputs of ``other``, the same task fitted to other rows, with the classes, or mean and scale, of this one."""
        return outputs

    def difference(self, other: Task) -> str:
        """What :meth:`align` cannot bridge between the outputs of another task and this one, as text; empty if nothing.

        Example:
            >>> rows = pl.DataFrame({"y": ["a", "b", "a", "b"], "z": [0.5, 1.5, 2.5, 3.5]})
            >>> Task.infer(rows, "y").difference(Task.infer(rows, "z"))
            'it is a model of regression, the task is classification'
        """
        if other.name != self.name:
            return f"it is a model of {other.name}, the task is {self.name}"
        if other.targets != self.targets:
            return f"it predicts the {titled(other.targets)}, the data have the {titled(self.targets)}"
        if set(self._outputs_by) == set(other._outputs_by):
            return ""
        lacks = [name for name in self._outputs_by if name not in other._outputs_by]
        more = [name for name in other._outputs_by if name not in self._outputs_by]
        parts = (f"does not know {first_values(lacks)}" if lacks else "", f"knows {first_values(more)} besides" if more else "")
        return f"it {' and '.join(filter(None, parts))}, and its classes or labels must be those of the target"

    @property
    def _outputs_by(self) -> tuple[Any, ...]:
        """What tells outputs apart: classes, labels or targets."""
        return self.output_names

    def fidelity(self, outputs: np.ndarray, others: np.ndarray) -> dict[str, float]:
        """How much outputs (N, size) are like those of another model: the share of equal decisions, ``agreement``."""
        task = self.untuned
        return {"agreement": float((task.predict(outputs).decision == task.predict(others).decision).mean())}

    def adopting(self, other: Task) -> Self:
        """This task with the decision thresholds of ``other``, which is fitted to other rows."""
        return self

    def explained(self) -> tuple[tuple[str, int | None], ...]:
        """The explained outputs: suffix of the column's name, and index of the output, None for the most probable."""
        return (("", None),)

    # -- how good it is ----------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics of the task."""

    @property
    @abstractmethod
    def main_metric(self) -> Metric:
        """The default metric; greater is better."""

    @property
    @abstractmethod
    def monitored(self) -> tuple[Metric, ...]:
        """The metrics after each epoch; the first, lower is better, decides the best epoch."""

    def metric(self, name: str | Metric | Callable[..., Any]) -> Metric:
        """The metric of that name, also as scikit-learn spells it, or "auto"; or one's own, see :func:`make_metric`.

        Raises:
            OptionError: The metric is unknown or does not fit the task.
        """
        if not isinstance(name, str):
            return name if isinstance(name, Metric) else make_metric(name)
        if name == "auto":
            return self.main_metric
        fit, name = {metric.name: metric for metric in self.metrics}, ALIASES.get(name, name)
        if name not in fit:
            raise OptionError(f"the metric {name!r} is unknown or does not fit {self.title}; choose auto, {', '.join(fit)}")
        return fit[name]

    def scores(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """The scores of a model card by metric."""
        return scores([metric for metric in self.metrics if metric.shown], truth, self.predict(outputs), weight)

    def baseline_scores(self, truth: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
        """The scores of the baseline by metric."""
        return self.untuned.scores(truth, self.baseline(len(truth)), weight)

    @property
    def untuned(self) -> Self:
        """The task without what was chosen for the outputs of a model, for other outputs."""
        return self

    @abstractmethod
    def row_losses(self, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        """The loss of each row (N,), by which models are chosen and weighed: log-loss, or the standardised squared error.

        Probabilities are mixed with a share :data:`DOUBT` of equal ones, so that no single row decides.
        """

    @abstractmethod
    def details(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        """What an :class:`~lamina.tasks.report.Evaluation` has besides the scores: figures of each class, label or target."""

    def undefined(self, scores: Mapping[str, float]) -> dict[str, str]:
        """The metrics without a score on these rows, and why."""
        return {metric.name: metric.silent for metric in self.metrics if metric.shown and metric.name not in scores}

    def tables(self, details: Mapping[str, Any]) -> tuple[Table, ...]:
        """The details as tables for the screen."""
        return ()

    @abstractmethod
    def errors(self, truth: np.ndarray, outputs: np.ndarray, most: int) -> list[dict[str, Any]]:
        """The worst predictions, as JSON: ``row`` (index), ``actual``, ``predicted``, and a probability or residual.

        Of classes and labels the wrong ones with the highest probability, of values those with the largest residual.
        """

    # -- words and files ---------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """The task as text: ``classification: <=50K, >50K``."""
        more = f" and {self.size - MOST_TITLED:,} more" if self.size > MOST_TITLED else ""
        return f"{self.name}: {', '.join(self.output_names[:MOST_TITLED])}{more}"

    def summary(self, result: Mapping[str, Any], rows: str) -> tuple[str, ...]:
        """Sentences about an evaluation: scores beside the baseline, and what they mean.

        Args:
            result: ``rows``, ``scores`` and ``baseline``, as in :class:`~lamina.tasks.report.Evaluation`; and ``scores`` of
                training rows in ``train``, for a sentence on whether the model memorises them; of a student its ``teacher``.
            rows: What the rows are, such as "validation rows".
        """
        scores, baseline = result["scores"], result["baseline"]
        headline = self.headline(scores, baseline, f"{result['rows']:,} {rows}")
        learnt = judged(self.main_metric, self.evidence(scores, baseline, result["rows"]), result, rows)
        return (headline, *learnt, *fidelity_sentence(result.get("teacher"), rows))

    @abstractmethod
    def headline(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: str) -> str:
        """The most important scores of a model, beside those of the baseline."""

    @abstractmethod
    def evidence(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: int) -> float:
        """The logarithm of the likelihood ratio of these rows, of the model to the baseline."""

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.name} | {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Task:
        """The task from :meth:`to_json`, also of earlier versions."""
        cls = TASKS[values["kind"]]
        names = {field.name for field in dataclasses.fields(cls)}
        read = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name in names}
        return stored(cls, cls._read(read))

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Field values from JSON values."""
        return values


def _no_value(names: Sequence[str], rows: int) -> str:
    return f"{titled(names)} has no value in any of the {count(rows, 'row')}; name the target column"
