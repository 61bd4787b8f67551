"""The baseline: class frequencies or the mean, whatever the row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lamina.data.encoding import Encoding, Input
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.predictor import ArrayPredictor
from lamina.stored import check_array


@dataclass
class Constant(ClassicalFamily):
    """The class frequencies or the mean for every row, ignoring all columns.

    The constant prediction of least log-loss or squared error, as scikit-learn's DummyClassifier ("prior") and DummyRegressor.

    Example:
        >>> import lamina
        >>> model = lamina.fit({"x": range(40), "y": ["no", "no", "no", "yes"] * 10}, "y", family="constant", monitor=None)
        >>> model.predict({"x": [1, 2]}).tolist()
        ['no', 'no']
    """

    name: ClassVar[str] = "constant"

    def encoding(self) -> Encoding:
        return Encoding(scaling="none", image_size=2, vocabulary=10, plain=True)  # the smallest: no block is read

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> ConstantPredictor:
        weight = None if rows.weight is None or not rows.weight.any() else rows.weight
        if not rows.classes:
            return ConstantPredictor(np.average(rows.target.astype(np.float64), axis=0, weights=weight))
        counts = np.bincount(rows.target, weight, minlength=rows.classes)
        return ConstantPredictor(counts / counts.sum())


@dataclass(frozen=True)
class ConstantPredictor(ArrayPredictor):
    """Predictor of the same output for every row.

    Attributes:
        output: Class probabilities, or values; float64 (K,).
    """

    output: np.ndarray
    kind: ClassVar[str] = "constant"
    counted: ClassVar[str] = "numbers"
    saved_as: ClassVar[Mapping[str, str]] = {"output": "answer"}

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        check_array("the output", self.output, "f", (outputs,))

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return np.tile(self.output, (rows, 1))

    def size(self) -> int:
        return len(self.output)
