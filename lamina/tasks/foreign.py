"""The target as scikit-learn's estimators take it, and their predictions as those of a task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import numpy as np
import polars as pl

from lamina.errors import DataError, OptionError
from lamina.options import shortened
from lamina.tasks.classification import Classification
from lamina.tasks.multilabel import Multilabel
from lamina.tasks.prediction import Prediction
from lamina.tasks.regression import Regression
from lamina.tasks.task import Task

CALIBRATE = "CalibratedClassifierCV(estimator) gives probabilities"


@singledispatch
def target_for_sklearn(task: Task, table: pl.DataFrame) -> np.ndarray:
    """The target as ``y`` of scikit-learn: labels in their own type (N,), values (N,) or (N, targets), or 0 and 1 (N, labels).

    A label that is not known is NaN.
    """
    raise OptionError(f"scikit-learn estimators cannot be candidates for {task.title}; compare families of lamina")


@singledispatch
def prediction_of_sklearn(task: Task, decision: Any, probabilities: Any, classes: Any) -> Prediction:
    """The prediction from the results of ``predict`` and ``predict_proba``; classes that a fold lacks have probability 0.

    Args:
        task: The task on all rows.
        decision: The result of ``predict``.
        probabilities: The result of ``predict_proba``; None without it: the class that is predicted then has probability 1.
        classes: The estimator's ``classes_``; None without it.

    Raises:
        DataError: A result has another shape than expected, or holds what is no class, number or probability.
    """
    raise OptionError(f"scikit-learn estimators cannot be candidates for {task.title}; compare families of lamina")


@target_for_sklearn.register
def _(task: Classification, table: pl.DataFrame) -> np.ndarray:
    return task.labels[task.truth(table)]


@target_for_sklearn.register(Regression)
@target_for_sklearn.register(Multilabel)
def _(task: Task, table: pl.DataFrame) -> np.ndarray:
    return task.truth(table).copy()


@prediction_of_sklearn.register
def _(task: Classification, decision: Any, probabilities: Any, classes: Any) -> Prediction:
    codes = _codes(_column("predict", decision), task.classes, "predict")
    outputs = np.eye(task.size)[codes]
    if probabilities is not None:
        known = _codes(np.asarray(classes), task.classes, "classes_")
        outputs = np.zeros((len(codes), task.size))
        outputs[:, known] = _probabilities(probabilities, (len(codes), len(known)), "classes")
        total = outputs.sum(axis=1)
        if (wrong := np.abs(total - 1) > 1e-3).any():
            row = int(wrong.argmax())
            raise DataError(
                f"its predict_proba sums to {total[row]:.4g} in row {row + 1:,}, expected 1; divide by the sum, or {CALIBRATE}"
            )
        outputs /= total[:, None]
    return Prediction(outputs, codes, task.labels[codes])


@prediction_of_sklearn.register
def _(task: Multilabel, decision: Any, probabilities: Any, classes: Any) -> Prediction:
    decision = np.asarray(decision.toarray() if hasattr(decision, "toarray") else decision, dtype=np.float64)
    if decision.ndim != 2 or decision.shape[1] != task.size or not np.isin(decision, (0.0, 1.0)).all():
        raise DataError(f"its predict has the shape {decision.shape}, expected 0 and 1 of the shape (N, {task.size})")
    outputs = decision
    if isinstance(probabilities, Sequence):  # one array for each label, as of a forest
        ones = [np.flatnonzero(np.asarray(labels) == 1) for labels in classes]
        columns = [
            np.asarray(p)[:, one[0]] if len(one) else np.zeros(len(p)) for p, one in zip(probabilities, ones, strict=True)
        ]
        probabilities = np.stack(columns, axis=1)
    if probabilities is not None:
        outputs = _probabilities(probabilities, decision.shape, "labels")
    return Prediction(outputs, decision, decision)


@prediction_of_sklearn.register
def _(task: Regression, decision: Any, probabilities: Any, classes: Any) -> Prediction:
    values = np.asarray(decision, dtype=np.float64)
    values = values if len(task.targets) > 1 else _column("predict", values)
    if values.reshape(len(values), -1).shape[1] != len(task.targets):
        raise DataError(f"its predict has the shape {values.shape}, expected (N, {len(task.targets)}), a value for each target")
    if not np.isfinite(values).all():
        row = int((~np.isfinite(values.reshape(len(values), -1))).any(axis=1).argmax())
        raise DataError(f"its predict returns {values[row]} in row {row + 1:,}, expected finite values")
    return Prediction(values.reshape(len(values), -1), values, values)


@singledispatch
def outputs_of_sklearn(task: Task, prediction: Prediction) -> np.ndarray:
    """A prediction of :func:`prediction_of_sklearn` as outputs of the task: probabilities, or standardised values."""
    return prediction.outputs


@outputs_of_sklearn.register
def _(task: Regression, prediction: Prediction) -> np.ndarray:
    return (prediction.outputs - np.array(task.center)) / np.array(task.scale)


def _column(method: str, values: Any) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(f"its {method} has the shape {values.shape}, expected (N,)")
    return values


def _codes(labels: np.ndarray, classes: tuple[Any, ...], source: str) -> np.ndarray:
    """The place of each label among the classes; a library that turns labels into texts is understood."""
    labels = labels.astype(object) if labels.dtype.kind == "M" else labels
    places = {str(label): place for place, label in enumerate(classes)} | {label: i for i, label in enumerate(classes)}
    values = labels.tolist()
    try:
        return np.array([places[value] for value in values], dtype=np.int64)
    except (KeyError, TypeError):
        unknown = next(value for value in values if not isinstance(value, str | int | float | bool) or value not in places)
        raise DataError(f"its {source} holds {shortened(unknown)}, which is no class of the target") from None


def _probabilities(values: Any, shape: tuple[int, int], of: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.shape != shape:
        raise DataError(f"its predict_proba has the shape {values.shape}, expected {shape}: rows and {of}")
    inside = (values >= -1e-6) & (values <= 1 + 1e-6)  # false for NaN
    if not inside.all():
        row, column = np.argwhere(~inside)[0].tolist()
        raise DataError(f"its predict_proba returns {values[row, column]} in row {row + 1:,}, expected a probability")
    return np.clip(values, 0.0, 1.0)
