"""Labels: sets that miss no more of a row's labels than stated, and probabilities that come true as often as they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.trust.calibration import FEWEST, Calibration
from lamina.trust.conformal import check_coverage


@dataclass(frozen=True, eq=False)
class LabelSets:
    """Sets of labels that hold a stated share of the labels that a row has, on average over rows.

    Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814, equation 4). The loss of a row is the share of its
    labels that the set misses, 0 for a row without labels. A label is in the set where its probability reaches a threshold: the
    highest one for which ``(n R + 1) / (n + 1)`` is at most what may be missed, with the mean loss ``R`` of ``n`` rows that
    were not learnt from. The bound is on the mean of rows drawn alike; with too few rows all labels are in.

    Attributes:
        rows: How many rows it was fitted on.
        chances: The probability of each label that a row has, rising.
        shares: How much the loss grows by where that label is missed, summed up to it.
        calibrations: One for each label; None where too few rows are known.
    """

    rows: int
    chances: np.ndarray
    shares: np.ndarray
    calibrations: tuple[Calibration | None, ...]

    @classmethod
    def fit(cls, probabilities: np.ndarray, truth: np.ndarray, known: np.ndarray) -> Self:
        """Keep the probabilities of the labels that rows have, so that any rate can be asked for later.

        Args:
            probabilities: Of each label, for rows that were not learnt from.
            truth: 1 where a row has the label, else 0.
            known: 1 where that is known, else 0.

        Shape:
            (N, labels) each.

        Example:
            >>> chances = np.linspace(0.05, 0.95, 99)[:, None]
            >>> found = LabelSets.fit(chances, np.ones((99, 1)), np.ones((99, 1)))
            >>> found.sets(np.array([[0.1], [0.2]]), coverage=0.9).tolist()
            [[False], [True]]
        """
        has = (truth > 0) & (known > 0)
        share = has / np.maximum(has.sum(axis=1, keepdims=True), 1)
        order = np.argsort(probabilities[has], kind="stable")
        calibrations = []
        for label in range(truth.shape[1]):
            some = known[:, label] > 0
            yes = probabilities[some, label]
            codes = truth[some, label].astype(np.int64)
            enough = min(codes.sum(), (1 - codes).sum()) >= FEWEST
            calibrations.append(Calibration.fit(np.stack([1 - yes, yes], axis=1), codes) if enough else None)
        rows = len(probabilities)
        return cls(rows, probabilities[has][order], np.cumsum(share[has][order]) / max(rows, 1), tuple(calibrations))

    def sets(self, probabilities: np.ndarray, coverage: float = 0.9) -> np.ndarray:
        """Which labels are in each row's set (N, labels).

        Args:
            probabilities: As in ``fit``.
            coverage: Share of a row's labels that its set holds, on average; at most 1 - coverage of them is missed.

        Raises:
            OptionError: The coverage is no share.
        """
        check_coverage(coverage)
        most = ((1 - coverage) * (self.rows + 1) - 1) / max(self.rows, 1)  # the largest mean loss of these rows
        if most < 0:
            return np.ones(probabilities.shape, dtype=bool)
        missed = int(np.searchsorted(self.shares, most + 1e-12, side="right"))  # so many labels of theirs may be missed
        return probabilities >= (self.chances[missed] if missed < len(self.chances) else 1.0)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities (N, labels)."""
        found = np.array(outputs, dtype=np.float64)
        for label, calibration in enumerate(self.calibrations):
            if calibration is not None:
                yes = found[:, label]
                found[:, label] = calibration.apply(np.stack([1 - yes, yes], axis=1))[:, 1]
        return found

    def to_json(self) -> dict[str, Any]:
        return {"rows": self.rows, "calibrations": [None if one is None else one.to_json() for one in self.calibrations]}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"chances": self.chances, "shares": self.shares}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        read = tuple(None if one is None else Calibration.from_json(one) for one in values["calibrations"])
        return cls(values["rows"], arrays["chances"], arrays["shares"], read)
