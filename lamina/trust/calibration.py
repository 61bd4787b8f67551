"""Calibration of class probabilities, fitted on validation rows and used only where it is better beyond noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.errors import DataError, ModelFileError
from lamina.stored import stored

METHODS = ("none", "temperature", "isotonic")
FOLDS = 5
FEWEST = 20
"""With fewer validation rows the probabilities are not changed."""

_TINY = 1e-15
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """Calibrated class probabilities, fitted on validation rows. The most probable class never changes.

    Three candidates, the simplest first: none; one temperature for all classes (Guo et al. 2017, "On calibration of modern
    neural networks", eq. 9); the temperature, then one isotonic curve for all classes, normalised (Zhang, Kailkhura and Han
    2020, "Mix-n-Match: ensemble and compositional methods for uncertainty calibration in deep learning", section 3). A curve
    for each class (Zadrozny and Elkan 2002) has fewer rows to fit, and would change labels: for 20 of 22 models of six data
    sets its log-loss on new rows was higher.

    A candidate is chosen if its log-loss, cross-validated within the validation rows, is lower than the best so far by more
    than a standard error of the difference (Breiman et al. 1984). Differences from the papers: the temperature scales the
    logarithm of the probabilities, since an ensemble has no logits; both are fitted with one additional row, of every class in
    equal parts (compare Platt 1999), so that a few correct rows do not make the model certain; and 1 / (rows + 1) of the
    curve's input is mixed into its output, so that flat pieces make no ties between classes.

    Attributes:
        method: ``"none"``, ``"temperature"`` or ``"isotonic"``.
        rows: Validation rows.
        temperature: Above 1 the model was overconfident, below 1 underconfident.
        least: Lower bound of the probabilities before their logarithm.
        curve: Corners of the isotonic curve: probabilities after the temperature, and observed frequencies.
        error_before, error_after: Expected calibration error before and after calibration, the latter cross-validated.
        loss_before, loss_after: The same of the log-loss.
    """

    method: str
    rows: int
    temperature: float = 1.0
    least: float = _TINY
    curve: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    error_before: float = 0.0
    error_after: float = 0.0
    loss_before: float = 0.0
    loss_after: float = 0.0

    @classmethod
    def fit(cls, probabilities: np.ndarray, truth: np.ndarray) -> Self:
        """Choose and fit a calibration.

        Args:
            probabilities: Class probabilities of validation rows, (N, classes).
            truth: Class codes (N,). A class may be absent.

        Raises:
            DataError: Invalid probabilities.

        Example:
            >>> generator = np.random.default_rng(0)
            >>> correct = generator.random(2000) < 0.8  # predicted with 0.95, and correct in 8 of 10
            >>> calibration = Calibration.fit(np.tile([0.05, 0.95], (2000, 1)), correct.astype(int))
            >>> calibration.method, calibration.apply(np.array([[0.05, 0.95]])).round(1)
            ('temperature', array([[0.2, 0.8]]))
        """
        probabilities = check_probabilities(probabilities)
        rows = len(probabilities)
        best_losses = _losses(probabilities, truth)
        before = {
            "rows": rows,
            "error_before": expected_calibration_error(probabilities, truth),
            "loss_before": float(best_losses.mean()),
        }
        best = cls("none", error_after=before["error_before"], loss_after=before["loss_before"], **before)
        if rows < FEWEST:
            return best
        folds = np.random.default_rng(0).permutation(rows) % FOLDS
        for fit in (cls._temperature, cls._isotonic):
            calibrated = np.empty_like(probabilities)
            for fold in range(FOLDS):
                test = folds == fold
                calibrated[test] = fit(probabilities[~test], truth[~test]).apply(probabilities[test])
            losses = _losses(calibrated, truth)
            gain = best_losses - losses
            if gain.mean() > gain.std(ddof=1) / np.sqrt(rows):
                after = {"error_after": expected_calibration_error(calibrated, truth), "loss_after": float(losses.mean())}
                best, best_losses = dataclasses.replace(fit(probabilities, truth), **before, **after), losses
        return best

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, classes); each row sums to 1."""
        from scipy.special import softmax

        probabilities = check_probabilities(probabilities)
        if self.method == "none":
            return probabilities
        probabilities = softmax(np.log(np.maximum(probabilities, self.least)) / self.temperature, axis=1)
        if self.method == "temperature":
            return probabilities
        share = 1 / (self.rows + 1)
        calibrated = (1 - share) * np.interp(probabilities, *self.curve) + share * probabilities
        return calibrated / calibrated.sum(1, keepdims=True)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        calibration = stored(cls, values)
        x, y = calibration.curve
        curve = len(x) == len(y) and (len(x) > 0 or calibration.method != "isotonic")
        if calibration.method not in METHODS or calibration.temperature <= 0 or calibration.rows < 0 or not curve:
            raise ModelFileError(f"the calibration is {repr(calibration)[:200]}, expected one that Calibration.fit made")
        return calibration

    @classmethod
    def _temperature(cls, probabilities: np.ndarray, truth: np.ndarray) -> Self:
        from scipy.optimize import minimize_scalar

        rows, classes = probabilities.shape
        least, zero = _TINY, probabilities == 0
        if zero.any():
            least = (zero[np.arange(rows), truth].sum() + 1 / classes) / (zero.sum() + 1)
            least = min(float(least), 1 / (2 * classes))  # below the most probable class of any row
        logs = np.log(np.maximum(probabilities, least))
        logs -= logs.max(axis=1, keepdims=True)  # avoids overflow
        # A row's loss is its normaliser less the logarithm of its class; the additional row is the mean over rows and classes.
        mean_target = (logs[np.arange(rows), truth].sum() + logs.mean()) / (rows + 1)

        def loss(log_temperature: float) -> float:
            inverse = np.exp(-log_temperature)
            return float(np.log(np.exp(logs * inverse).sum(axis=1)).mean() - mean_target * inverse)

        result = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
        return cls("temperature", rows, temperature=float(np.exp(result.x)), least=least)

    @classmethod
    def _isotonic(cls, probabilities: np.ndarray, truth: np.ndarray) -> Self:
        from sklearn.isotonic import IsotonicRegression

        calibration, classes = cls._temperature(probabilities, truth), probabilities.shape[1]
        x = calibration.apply(probabilities).ravel()
        y = np.arange(classes) == truth[:, None]
        # the additional row has a value at each end
        curve = IsotonicRegression().fit(np.append(x, [x.min(), x.max()]), np.append(y, [1 / classes] * 2))
        corners = tuple(curve.X_thresholds_.tolist()), tuple(curve.y_thresholds_.tolist())
        return dataclasses.replace(calibration, method="isotonic", curve=corners)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean difference between the probability of the predicted class and the accuracy.

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al. 2017, eq. 3: bins of equal
    width over the probability of the predicted class, each weighted by its number of rows.

    Args:
        probabilities: Class probabilities (N, classes).
        truth: Class codes (N,).
        bins: Number of bins. With few rows in each, chance alone makes the error larger.

    Example:
        >>> probabilities = np.array([[0.1, 0.9]] * 10)
        >>> round(expected_calibration_error(probabilities, np.array([1] * 7 + [0] * 3)), 3)
        0.2
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == truth
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)  # closed above, as in the paper
    return float(np.abs(np.bincount(bin_of, confidence - correct, bins)).sum() / len(truth))


def check_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Probabilities in float64; raises DataError where they are invalid."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if not np.isfinite(probabilities).all() or (probabilities < 0).any() or (np.abs(probabilities.sum(1) - 1) > 1e-3).any():
        raise DataError("invalid probabilities, expected numbers from 0 to 1 that sum to 1 in each row; apply softmax")
    return probabilities


def _losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(probabilities[np.arange(len(truth)), truth], _TINY))
