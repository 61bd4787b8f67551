"""Metrics: each is one object that validation, evaluate, compare, importance and the screen share.

Every metric honours row weights. A row of weight 0 does not count; weights that are all equal change nothing.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.errors import OptionError
from lamina.options import shortened
from lamina.tasks.prediction import Prediction

TINY = 1e-15
"""Smaller probabilities count as this one in a log-loss."""

Compute = Callable[[np.ndarray, Prediction, "np.ndarray | None"], Any]


@dataclass(frozen=True)
class Metric:
    """A figure that says how good predictions are.

    Attributes:
        name: Its key among the scores, as scikit-learn spells it where it has it.
        title: How it is called in a sentence.
        compute: ``compute(truth, prediction, weight)``; NaN where these rows say nothing of it.
        greater: Whether more is better.
        rope: Half the width of the region of practical equivalence: a smaller difference makes no difference in practice.
        relative: The rope is a share of the best score, because the metric is in the target's own units.
        lowest: No score is below.
        shown: Whether it is among the scores of a model card; the others are there to compare by.
        silent: When these rows say nothing of it.
        needs: "labels" or "probabilities" of predictions.

    Example:
        >>> truth, outputs = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
        >>> prediction = Prediction(outputs, outputs.argmax(1), outputs.argmax(1))
        >>> Metric("accuracy", "accuracy", accuracy)(truth, prediction, np.array([1.0, 0.0, 1.0]))
        1.0
    """

    name: str
    title: str
    compute: Compute
    greater: bool = True
    rope: float = 0.01
    relative: bool = False
    lowest: float = 0.0
    shown: bool = True
    silent: str = "a single row is predicted"
    needs: str = "labels"

    @property
    def highest(self) -> float:
        """No score is above."""
        return 1.0 if self.greater else math.inf

    def __call__(self, truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None = None) -> float:
        if weight is not None:
            counts = weight > 0
            if not counts.any():
                return math.nan
            if not counts.all():
                truth, weight = truth[counts], weight[counts]
                parts = (prediction.outputs, prediction.decision, prediction.labels)
                prediction = Prediction(*(part[counts] for part in parts))
            weight = None if (weight == weight[0]).all() else weight
        return float(self.compute(truth, prediction, weight))


def make_metric(
    function: Callable[..., Any], *, greater: bool | None = None, needs: str = "labels", name: str | None = None
) -> Metric:
    """A metric of one's own, as scikit-learn's ``make_scorer``: ``function(y_true, y_pred)`` or with ``sample_weight=`` too.

    Args:
        function: Gets predictions of the validation rows, of test rows, or of other rows whose target is known.
        greater: Is more better? None is no for a name that ends in ``_loss`` or ``_error``, else yes.
        needs: What ``y_pred`` is. "labels": for classes whole numbers from 0 on, in the order of ``classes_``; values in the
            units of the target; 0 and 1 for each label. "probabilities": (N, classes), for two classes those of the second
            (N,); for several labels (N, labels). A label that is not known is NaN in ``y_true``.
        name: The name among the scores; None is that of the function.

    Raises:
        OptionError: The function cannot be called, or ``needs`` is neither. When it is computed: it returns no number, or rows
            have weights and it has no ``sample_weight``.

    Example:
        >>> from sklearn.metrics import matthews_corrcoef
        >>> metric = make_metric(matthews_corrcoef)
        >>> metric.name, metric.greater, make_metric(lambda y_true, y_pred: 1.0, name="own_error").greater
        ('matthews_corrcoef', True, False)
    """
    if not callable(function):
        raise OptionError(f"the metric is {shortened(function)}, expected a function of y_true and y_pred")
    if needs not in ("labels", "probabilities"):
        raise OptionError(f"needs is {needs!r}, expected 'labels' or 'probabilities'")
    title = name or getattr(function, "__name__", type(function).__name__)
    parameters = inspect.signature(function).parameters

    def compute(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
        y_pred = prediction.decision if needs == "labels" else prediction.outputs
        if needs == "probabilities" and truth.ndim == 1 and y_pred.ndim == 2 and y_pred.shape[1] == 2:
            y_pred = y_pred[:, 1]
        if weight is not None and "sample_weight" not in parameters:
            raise OptionError(
                f"the metric {title} has no sample_weight, but rows have weights; define it as "
                f"{title}(y_true, y_pred, sample_weight=None)"
            )
        value = function(truth, y_pred) if weight is None else function(truth, y_pred, sample_weight=weight)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise OptionError(f"the metric {title} returned {shortened(value)}, expected a number; return float(...)")
        return value

    greater = not title.endswith(("_loss", "_error")) if greater is None else greater
    return Metric(title, title.replace("_", " "), compute, greater=greater, lowest=-math.inf, needs=needs)


def scores(
    metrics: Iterable[Metric], truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None = None
) -> dict[str, float]:
    """The figures by the name of the metric; without those of which these rows say nothing."""
    values = {metric.name: metric(truth, prediction, weight) for metric in metrics}
    return {name: value for name, value in values.items() if not math.isnan(value)}


# Classes: truth is codes (N,), outputs are probabilities (N, classes).


def accuracy(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The share of rows whose class is predicted."""
    return np.average(truth == prediction.decision, weights=weight)


def log_loss(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The mean of ``-log p`` of the true class."""
    chosen = prediction.outputs[np.arange(len(truth)), truth]
    return np.average(-np.log(np.clip(chosen, TINY, 1.0)), weights=weight)


def balanced_accuracy(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The mean recall of the classes that are there; scikit-learn's own warns of others that were predicted."""
    right, actual, _ = class_counts(truth, prediction.decision, weight)
    return (right[actual > 0] / actual[actual > 0]).mean()


def f1_macro(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The mean of the F1 of the classes that are there or predicted."""
    right, actual, predicted = class_counts(truth, prediction.decision, weight)
    either = actual + predicted
    return (2 * right[either > 0] / either[either > 0]).mean()


def class_counts(
    truth: np.ndarray, decision: np.ndarray, weight: np.ndarray | None = None, classes: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of the rows of each class that are predicted right, that are of it, and that are predicted so, float64 (K,)."""
    classes = max(classes, int(truth.max(initial=0)) + 1, int(decision.max(initial=0)) + 1)
    equal = truth == decision if weight is None else (truth == decision) * weight
    sums = ((truth, equal), (truth, weight), (decision, weight))
    right, actual, predicted = (np.bincount(codes, weights, minlength=classes).astype(np.float64) for codes, weights in sums)
    return right, actual, predicted


def of_two(name: str, positive: int = 1) -> Compute:
    """The "auc", "f1" or "average_precision" of one class of two; NaN for rows of a single class."""

    def compute(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
        from sklearn.metrics import average_precision_score, roc_auc_score

        if (truth == truth[:1]).all():
            return math.nan
        if name == "f1":
            right, actual, predicted = class_counts(truth, prediction.decision, weight, classes=2)
            return 2 * right[positive] / (actual[positive] + predicted[positive] or 1.0)
        truth = truth == positive
        score = roc_auc_score if name == "auc" else average_precision_score
        return score(truth, prediction.outputs[:, positive], sample_weight=weight)

    return compute


# Values: truth and decision are in their own units, (N,) or (N, K).


def of_values(name: str) -> Compute:
    """The "rmse", "mae", "medae", "mape" or "r2", mean over targets; NaN for the R² of one row and the MAPE beside a 0."""

    def compute(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
        from sklearn import metrics

        largest = float(np.abs(truth).max(initial=0.0))
        unit = largest if largest > 1e100 else 1.0  # so that squares fit into float64
        truth, predicted = truth / unit, prediction.decision / unit
        if name == "r2":
            return metrics.r2_score(truth, predicted, sample_weight=weight) if len(truth) > 1 else math.nan
        if name == "mape":
            scale = largest / unit or 1.0
            truth, predicted = truth / scale, predicted / scale
            if (np.abs(truth) < np.finfo(np.float64).eps).any():
                return math.nan
            return metrics.mean_absolute_percentage_error(truth, predicted, sample_weight=weight)
        if name == "medae":
            return metrics.median_absolute_error(truth, predicted, sample_weight=weight) * unit
        error = metrics.root_mean_squared_error if name == "rmse" else metrics.mean_absolute_error
        return error(truth, predicted, sample_weight=weight) * unit

    return compute


def squared_error(scale: tuple[float, ...]) -> Compute:
    """The mean squared error in standard deviations of each target: what early stopping watches."""

    def compute(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
        errors = (truth.reshape(len(truth), -1) - prediction.decision.reshape(len(truth), -1)) / np.array(scale)
        return np.average((errors**2).mean(axis=1), weights=weight)

    return compute


# Labels: truth and decision are 0, 1 or NaN where it is not known (N, labels), outputs probabilities (N, labels).


def hamming_loss(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The share of known labels that are predicted wrongly."""
    weights = _label_weights(truth, weight)
    return np.average(truth != prediction.decision, weights=weights) if weights.any() else math.nan


def label_log_loss(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The mean binary log-loss of the known labels."""
    weights = _label_weights(truth, weight)
    right = np.where(truth == 1, prediction.outputs, 1 - prediction.outputs)
    return np.average(-np.log(np.clip(right, TINY, 1.0)), weights=weights) if weights.any() else math.nan


def f1_micro(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
    """The F1 of all known labels counted together."""
    weights = _label_weights(truth, weight)
    both = (weights * (truth == 1) * (prediction.decision == 1)).sum()
    either = (weights * (truth == 1)).sum() + (weights * (prediction.decision == 1)).sum()
    return 2 * both / either if either else 0.0


def macro(metric: Compute) -> Compute:
    """The mean over labels of a metric of two classes; labels of which the known rows say nothing are left out."""

    def compute(truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> Any:
        values = [value for value in by_label(metric, truth, prediction, weight) if not math.isnan(value)]
        return np.mean(values) if values else math.nan

    return compute


def by_label(metric: Compute, truth: np.ndarray, prediction: Prediction, weight: np.ndarray | None) -> list[float]:
    """A metric of two classes, for each label on the rows where it is known; NaN where no row is known."""
    values = []
    for label, known in enumerate(~np.isnan(truth.T)):
        yes = prediction.outputs[known, label]
        decision = prediction.decision[known, label].astype(np.int64)
        one = Prediction(np.stack([1 - yes, yes], axis=1), decision, decision)
        codes = truth[known, label].astype(np.int64)
        values.append(float(metric(codes, one, None if weight is None else weight[known])))
    return values


def _label_weights(truth: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The weight of each label (N, labels), 0 where it is not known."""
    known = ~np.isnan(truth)
    return known.astype(np.float64) if weight is None else known * weight[:, None]


TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "f1_macro": "macro F1",
    "f1_micro": "micro F1",
    "auc": "AUC",
    "auc_macro": "macro AUC",
    "average_precision": "average precision",
    "average_precision_macro": "macro average precision",
    "log_loss": "log-loss",
    "hamming_loss": "Hamming loss",
    "r2": "R²",
    "rmse": "RMSE",
    "mae": "MAE",
    "medae": "MedAE",
    "mape": "MAPE",
}
"""The metrics as they are called on the screen, by name."""
ALIASES = {
    "roc_auc": "auc",
    "neg_log_loss": "log_loss",
    "neg_root_mean_squared_error": "rmse",
    "neg_mean_absolute_error": "mae",
    "neg_median_absolute_error": "medae",
    "neg_mean_absolute_percentage_error": "mape",
}
"""What scikit-learn calls some of them."""
