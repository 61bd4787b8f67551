"""Series by random convolution kernels and a linear model."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from lamina.data.encoding import Encoding
from lamina.families.classical.family import Fitting, Rows
from lamina.families.classical.linear import LinearPredictor, PenalizedFamily
from lamina.families.classical.matrix import are_of
from lamina.options import option


@dataclass
class Rocket(PenalizedFamily):
    """Logistic or ridge regression on features of random convolutions of series (MiniRocket; Dempster et al. 2021).

    The convolutions are not trained, see :class:`~lamina.data.columns.kernels.KernelsBlock`; the linear model is, on features
    standardised over the training rows. The features of convolutions together, and all others together, have the same
    variance, so that neither hides the other. With more features than rows the model is fitted in the space that the rows span,
    which has the same minimum.

    Example:
        >>> import numpy as np, lamina
        >>> random = np.random.default_rng(0)
        >>> waves = [np.sin(np.arange(60) / (3 + i % 2) + random.uniform(0, 6)) for i in range(40)]
        >>> model = lamina.fit({"wave": waves, "y": ["fast", "slow"] * 20}, "y", family="rocket", seed=0)
        >>> str(model.predict({"wave": [np.sin(np.arange(60) / 4 + 1)]})[0])
        'slow'
    """

    name: ClassVar[str] = "rocket"
    reads: ClassVar[tuple[str, ...]] = ("series",)
    alphas: ClassVar[tuple[float, ...]] = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5)

    num_features: int = option(
        10_000, "maximum number of features of random convolutions of a series", low=84, high=1_000_000, blocks=("kernels",)
    )

    def encoding(self) -> Encoding:
        return dataclasses.replace(super().encoding(), kernels=self.num_features)

    def solve(self, X: Any, rows: Rows, fitting: Fitting) -> LinearPredictor:
        X = np.asarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)
        weight = None if rows.weight is None else rows.weight.astype(np.float32)
        center = np.average(X, axis=0, weights=weight).astype(np.float32)
        X = X - center
        scale = np.sqrt(np.average(X**2, axis=0, weights=weight)).astype(np.float32)
        scale[scale < 1e-6] = np.inf  # constant over the training rows
        convolved = are_of("kernels", rows.inputs, rows.blocks)
        for part in (convolved, ~convolved):
            scale[part] *= math.sqrt(2 * max(np.isfinite(scale[part]).sum(), 1))  # so that a row has a mean square norm of 1
        X /= scale
        back = None
        if len(X) < X.shape[1]:
            values, vectors = np.linalg.eigh(X.astype(np.float64) @ X.T.astype(np.float64))
            keep = values > values[-1] * 1e-9
            root = np.sqrt(values[keep])
            back = X.T.astype(np.float64) @ (vectors[:, keep] / root)
            X = vectors[:, keep] * root
        predictor = super().solve(X, rows, fitting)
        weights = (predictor.weights if back is None else back @ predictor.weights) / scale[:, None]
        return dataclasses.replace(predictor, weights=weights, intercept=predictor.intercept - center @ weights)
