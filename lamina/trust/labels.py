"""Label sets with conformal risk control, and calibrated label probabilities, of multilabel tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from lamina.errors import ModelFileError
from lamina.stored import check_array
from lamina.trust.calibration import FEWEST, Calibration
from lamina.trust.part import Part


@dataclass(frozen=True, eq=False)
class LabelSets(Part):
    """Label sets that include the requested share of a row's labels, on average over rows.

    Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814, equation 4). The loss of a row is the share of its
    labels that the set misses, 0 for a row without labels. A label is in the set where its probability reaches a threshold: the
    highest one for which ``(n R + 1) / (n + 1)`` is at most ``1 - coverage``, with the mean loss ``R`` of ``n`` validation
    rows. The bound is on the mean over rows of the same distribution; with too few rows all labels are in.

    Attributes:
        rows: Number of validation rows.
        true_probabilities: Probabilities of the labels that rows have, ascending.
        cumulative_loss: Mean loss where these labels, up to each, are missed.
        calibrations: One for each label; None where it has too few rows.
    """

    stored_as: ClassVar[Mapping[str, str]] = {"true_probabilities": "chances", "cumulative_loss": "shares"}

    rows: int
    true_probabilities: np.ndarray
    cumulative_loss: np.ndarray
    calibrations: tuple[Calibration | None, ...]

    @classmethod
    def fit(cls, probabilities: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Self:
        """Fit the calibrations and collect the probabilities of true labels; any coverage can be requested later.

        Args:
            probabilities: Label probabilities of validation rows, (N, labels).
            truth: 1 where a row has the label, else 0.
            known: 0 where the label is missing, else 1.

        Example:
            >>> probabilities = np.linspace(0.05, 0.95, 99)[:, None]
            >>> labels = LabelSets.fit(probabilities, np.ones((99, 1)), np.ones((99, 1)))
            >>> labels.sets(np.array([[0.1], [0.2]]), coverage=0.9).tolist()
            [[False], [True]]
        """
        has = (truth > 0) & (known > 0)
        share = has / np.maximum(has.sum(axis=1, keepdims=True), 1)
        order = np.argsort(probabilities[has], kind="stable")
        calibrations = []
        for label in range(truth.shape[1]):
            rows = known[:, label] > 0
            codes = truth[rows, label].astype(np.int64)
            enough = min(codes.sum(), (1 - codes).sum()) >= FEWEST
            calibrations.append(Calibration.fit(_binary(probabilities[rows, label]), codes) if enough else None)
        count = len(probabilities)
        return cls(count, probabilities[has][order], np.cumsum(share[has][order]) / max(count, 1), tuple(calibrations))

    def sets(self, probabilities: np.ndarray, coverage: float = 0.9) -> np.ndarray:
        """Membership of each label in each row's set, bool (N, labels).

        The coverage is the share of a row's labels that is in its set, on average.
        """
        max_loss = ((1 - coverage) * (self.rows + 1) - 1) / max(self.rows, 1)
        if max_loss < 0:
            return np.ones(probabilities.shape, dtype=bool)
        missed = int(np.searchsorted(self.cumulative_loss, max_loss + 1e-12, side="right"))  # number of true labels
        return probabilities >= (self.true_probabilities[missed] if missed < len(self.true_probabilities) else 1.0)

    def calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, labels)."""
        calibrated = np.array(probabilities, dtype=np.float64)
        for label, calibration in enumerate(self.calibrations):
            if calibration is not None:
                calibrated[:, label] = calibration.apply(_binary(calibrated[:, label]))[:, 1]
        return calibrated

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "calibrations": [part and part.to_json() for part in self.calibrations]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        calibrations = tuple(part and Calibration.from_json(part) for part in values["calibrations"])
        return super().from_json({**values, "calibrations": calibrations}, arrays)

    def check(self, outputs: int) -> None:
        """Raise ModelFileError unless a loaded part fits this number of labels."""
        check_array("the probabilities of true labels", self.true_probabilities, "f", (None,))
        check_array("the losses of the label sets", self.cumulative_loss, "f", (len(self.true_probabilities),))
        if len(self.calibrations) != outputs or self.rows < 0:
            raise ModelFileError(f"there are {len(self.calibrations)} calibrations, expected {outputs}")


def _binary(probability: np.ndarray) -> np.ndarray:
    """Probabilities of no and yes (N, 2)."""
    return np.stack([1 - probability, probability], axis=1)
