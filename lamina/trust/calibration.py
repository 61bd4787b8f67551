"""Calibration: probabilities that come true as often as they say.

A network that says 0.9 is often right less than nine times in ten. What it says is corrected by what happened on the validation
rows, and only where that is better beyond noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.errors import DataError, OptionError

FOLDS = 5
FEWEST = 20
"""With fewer validation rows nothing is chosen: what is said stays as it is."""

_TINY = 1e-15
_TEMPERATURES = (0.05, 20.0)


@dataclass(frozen=True)
class Calibration:
    """A correction of class probabilities, fitted on validation rows. It never changes which class is the most probable.

    Three candidates, the simplest first: none; one temperature for all classes (Guo et al. 2017, "On calibration of modern
    neural networks", eq. 9); the temperature, then one isotonic curve for all classes, normalised (Zhang, Kailkhura and Han
    2020, "Mix-n-Match: ensemble and compositional methods for uncertainty calibration in deep learning", section 3). A curve
    for each class by itself (Zadrozny and Elkan 2002) has fewer rows to learn from, and would change labels: on 20 of 22 models
    of six sets its log-loss on new rows was higher.

    Each is compared by log-loss, cross-validated within the validation rows, with the best so far, and taken if it is better by
    more than a standard error of the difference (Breiman et al. 1984). Where we differ from the papers: the temperature works
    on the logarithm of the probabilities, since an ensemble has no logits. Both are fitted as if there were one more row, of
    every class in equal parts (compare Platt 1999), so that a few rows that are all right do not make the model certain. And of
    what the curve is given one part in (rows + 1) stays mixed in: its flat pieces tie no classes.

    Attributes:
        method: ``"none"``, ``"temperature"`` or ``"isotonic"``.
        rows: How many validation rows it was fitted on.
        temperature: Above 1 the model was too sure, below 1 not sure enough.
        least: Smaller probabilities are taken for this one.
        curve: Corners of the isotonic curve: probabilities after the temperature, and how often they came true.
        error_before: Expected calibration error of what was said on these rows.
        error_after: The same after the correction, each row corrected by what the other folds say.
        loss_before: Log-loss of what was said.
        loss_after: Log-loss after the correction, cross-validated likewise.
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
    def fit(cls, said: np.ndarray, truth: np.ndarray) -> Self:
        """Choose and fit the correction.

        Args:
            said: Class probabilities of rows that were not learnt from.
            truth: Their class codes. A class may be absent.

        Shape:
            said (N, classes), truth (N,).

        Raises:
            DataError: These are no probabilities, or no codes of these classes.

        Example:
            >>> generator = np.random.default_rng(0)
            >>> right = generator.random(2000) < 0.8  # says 0.95 each time, and is right in 8 of 10
            >>> found = Calibration.fit(np.tile([0.05, 0.95], (2000, 1)), right.astype(int))
            >>> found.method, found.apply(np.array([[0.05, 0.95]])).round(1)
            ('temperature', array([[0.2, 0.8]]))
        """
        said, truth = check_probabilities(said, truth)
        rows = len(said)
        best = _losses(said, truth)
        start = {"rows": rows, "error_before": expected_calibration_error(said, truth), "loss_before": float(best.mean())}
        found = cls("none", error_after=start["error_before"], loss_after=start["loss_before"], **start)
        if rows < FEWEST:
            return found
        fold = np.random.default_rng(0).permutation(rows) % FOLDS
        for fit in (cls._temperature, cls._isotonic):
            apart = np.empty_like(said)
            for held in (fold == i for i in range(FOLDS)):
                apart[held] = fit(said[~held], truth[~held]).apply(said[held])
            losses = _losses(apart, truth)
            gain = best - losses
            if gain.mean() > gain.std(ddof=1) / np.sqrt(rows):
                after = {"error_after": expected_calibration_error(apart, truth), "loss_after": float(losses.mean())}
                found, best = dataclasses.replace(fit(said, truth), **start, **after), losses
        return found

    def apply(self, said: np.ndarray) -> np.ndarray:
        """Corrected probabilities (N, classes); each row sums to 1."""
        from scipy.special import softmax

        said, _ = check_probabilities(said)
        if self.method == "none":
            return said
        said = softmax(np.log(np.maximum(said, self.least)) / self.temperature, axis=1)
        if self.method == "temperature":
            return said
        trace = 1 / (self.rows + 1)
        new = (1 - trace) * np.interp(said, *self.curve) + trace * said
        return new / new.sum(1, keepdims=True)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        said, share = values["curve"]
        return cls(**{**values, "curve": (tuple(said), tuple(share))})

    @classmethod
    def _temperature(cls, said: np.ndarray, truth: np.ndarray) -> Self:
        from scipy.optimize import minimize_scalar

        rows, classes = said.shape
        least, never = _TINY, said == 0
        if never.any():
            least = (never[np.arange(rows), truth].sum() + 1 / classes) / (never.sum() + 1)
            least = min(float(least), 1 / (2 * classes))  # below the most probable class of any row
        logs = np.log(np.maximum(said, least))
        logs -= logs.max(axis=1, keepdims=True)  # then no power of them overflows
        # A row's loss is its normaliser less the logarithm of its class; the one row more is a mean row of a mean class.
        wanted = (logs[np.arange(rows), truth].sum() + logs.mean()) / (rows + 1)

        def loss(log_temperature: float) -> float:
            inverse = np.exp(-log_temperature)
            return float(np.log(np.exp(logs * inverse).sum(axis=1)).mean() - wanted * inverse)

        found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded", options={"xatol": 1e-6})
        return cls("temperature", rows, temperature=float(np.exp(found.x)), least=least)

    @classmethod
    def _isotonic(cls, said: np.ndarray, truth: np.ndarray) -> Self:
        from sklearn.isotonic import IsotonicRegression

        found, classes = cls._temperature(said, truth), said.shape[1]
        tempered = found.apply(said).ravel()
        came_true = np.arange(classes) == truth[:, None]
        ends = [tempered.min(), tempered.max()]  # at each end an answer of the one row more
        curve = IsotonicRegression().fit(np.append(tempered, ends), np.append(came_true, [1 / classes] * 2))
        corners = tuple(curve.X_thresholds_.tolist()), tuple(curve.y_thresholds_.tolist())
        return dataclasses.replace(found, method="isotonic", curve=corners)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """How far, on average, the probability of the predicted class is from how often it is right.

    Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al. 2017, eq. 3: bins of equal
    width over the probability of the predicted class, each weighed by its rows.

    Args:
        probabilities: Class probabilities (N, classes).
        truth: Class codes (N,).
        bins: How many bins. With few rows in each, chance alone makes the error larger.

    Raises:
        DataError: These are no probabilities, or no codes of these classes.
        OptionError: There is no bin.

    Example:
        >>> said = np.array([[0.1, 0.9]] * 10)
        >>> round(expected_calibration_error(said, np.array([1] * 7 + [0] * 3)), 3)
        0.2
    """
    probabilities, truth = check_probabilities(probabilities, truth)
    if bins < 1:
        raise OptionError(f"bins is {bins}, expected a whole number of at least 1, such as 15")
    sure = probabilities.max(1)
    right = probabilities.argmax(1) == truth
    bin_of = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)  # closed above, as in the paper
    return float(np.abs(np.bincount(bin_of, sure - right, bins)).sum() / len(sure))


def check_probabilities(said: np.ndarray, truth: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64 and int64, or a DataError that says what is wrong with them."""
    said = np.asarray(said, dtype=np.float64)
    if said.ndim != 2 or said.shape[1] < 2:
        raise DataError(f"probabilities have the shape {said.shape}, expected (rows, classes) with at least 2 classes")
    if not np.isfinite(said).all() or (said < 0).any() or (np.abs(said.sum(1) - 1) > 1e-3).any():
        raise DataError("these are no probabilities, expected numbers from 0 to 1 that sum to 1 in each row; apply softmax")
    if truth is None:
        return said, np.empty(0, dtype=np.int64)
    codes = np.asarray(truth)
    if codes.shape != said.shape[:1] or not len(codes):
        raise DataError(f"truth has the shape {codes.shape}, expected a class code for each of {len(said):,} rows, at least 1")
    if codes.dtype.kind not in "iu" or codes.min() < 0 or codes.max() >= said.shape[1]:
        raise DataError(f"truth holds {codes.min()} to {codes.max()} ({codes.dtype}), expected codes 0 to {said.shape[1] - 1}")
    return said, codes.astype(np.int64)


def _losses(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(said[np.arange(len(truth)), truth], _TINY))
