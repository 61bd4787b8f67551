"""The answer that is always the same: what every other family has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Encoding
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.predictor import Predictor

if TYPE_CHECKING:
    import torch


@dataclass
class Constant(ClassicalFamily):
    """Every row gets the frequencies of the classes, or the mean: it looks at no column.

    Of all answers that look at nothing, these have the lowest log-loss and squared error. scikit-learn's DummyClassifier
    ("prior") and DummyRegressor say the same.

    Example:
        >>> import lamina
        >>> model = lamina.fit({"x": range(40), "y": ["no", "no", "no", "yes"] * 10}, "y", family="constant", monitor=None)
        >>> model.predict({"x": [1, 2]}).tolist()
        ['no', 'no']
    """

    name: ClassVar[str] = "constant"

    def encoding(self) -> Encoding:
        return Encoding(scaling="none", image_size=2, vocabulary=10, plain=True)  # nothing is read, so little is prepared

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Same:
        weight = None if rows.weight is None or not rows.weight.any() else rows.weight
        if not rows.classes:
            return Same(np.average(rows.target.astype(np.float64), axis=0, weights=weight))
        counts = np.bincount(rows.target, weight, minlength=rows.classes)
        return Same(counts / counts.sum())


@dataclass(frozen=True)
class Same(Predictor):
    """The predictor that always says the same.

    Attributes:
        answer: Shares of the classes, or values; float64 (K,).
    """

    answer: np.ndarray
    kind: ClassVar[str] = "constant"
    counted: ClassVar[str] = "numbers"

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return np.tile(self.answer, (rows, 1))

    def size(self) -> int:
        return len(self.answer)

    def to_json(self) -> dict[str, Any]:
        return {}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        return {"answer": torch.from_numpy(self.answer)}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        return cls(tensors["answer"].numpy())
