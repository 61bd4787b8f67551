"""Predictions: a model's outputs, decoded by the task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions for rows.

    Attributes:
        outputs: The model's outputs: probabilities of classes (N, classes) or of labels (N, labels), or standardised values
            (N, K); float64.
        decision: In the form of ``Task.truth``: class codes (N,), labels 0 or 1 (N, labels), or values in their own units,
            (N,) or (N, K).
        labels: Labels in the type of the target, or values.
    """

    outputs: np.ndarray
    decision: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.outputs)
