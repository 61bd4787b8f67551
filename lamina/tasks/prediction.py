"""A prediction: what a task makes of a model's outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of some rows.

    Attributes:
        outputs: What the model gives: probabilities of classes (N, classes) or of labels (N, labels), or standardised values
            (N, K); float64.
        decision: As the task encodes the truth: class codes (N,), labels 0 or 1 (N, labels), or values in their own units,
            (N,) or (N, K).
        labels: The same as a person gets it: labels in the type they were given in, or values.
    """

    outputs: np.ndarray
    decision: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.outputs)
