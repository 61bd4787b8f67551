"""Novelty: the distance of a row from the training rows, and its conformal p-value among validation rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from lamina.errors import DataError, ModelFileError
from lamina.stored import check_array
from lamina.trust.part import Part

MAX_TRAIN_ROWS = 2000
MAX_VALIDATION_ROWS = 5000
"""Training rows that are stored as the reference, and validation rows that are scored; larger sets are sampled."""
COMPONENTS = 192
"""Principal components; with more features, the residual is one feature, its norm."""

_PCA_ROWS = 10_000
_NEIGHBOUR = 2
_NEIGHBOURS = 5
_BATCH = 256
_SOFT, _SOFT_LAYER = 1.0, 0.3  # in medians of the rows' norms
_RIDGE = 1e-3
_SOFTEST = 1e100  # its square is finite
_ENTRIES = 2**17  # of components: half a megabyte
_LARGEST = 6e4  # below the maximum of float16


@dataclass(frozen=True, eq=False)
class Novelty(Part):
    """Novelty of rows: distance from the training rows in a whitened space.

    The score is the distance to the second nearest of up to 2,000 training rows, divided by the local distance: the mean, over
    the five nearest, of their distance to their fifth neighbour, plus half of the median of all. Without the division rare rows
    in regions of low density would have high scores (compare Breunig et al. 2000, "LOF: identifying density-based local
    outliers").

    Distances are Euclidean after whitening, as Mahalanobis', so that a row with usual values in an unusual combination has a
    high score. Before, each row is split into direction and norm: a network maps unknown inputs more often to features of small
    norm than to distant ones, and similar rows have similar directions (Sun et al. 2022, "Out-of-distribution detection with
    deep nearest neighbors", section 3). Differences: the norm is kept as one more feature, and directions shrink near the
    origin.

    The p-value is conformal: the rank of the score among those of validation rows. If new rows are drawn from the same
    distribution, one in twenty has a p-value up to 0.05 (Bates et al. 2023, "Testing for outliers with conformal p-values").

    Attributes:
        soft: The norm below which directions shrink.
        center: Mean of each feature, norm included (F + 1,).
        scale: Standard deviation of each feature (F + 1,).
        components: Principal components (F + 1, C).
        whitening: Factor of each component, and of the residual norm, 0 without a residual (C + 1,).
        reference: Whitened training rows in float16 (R, C + 1).
        local_distances: Typical distance around each of them (R,).
        validation_scores: Scores of validation rows, ascending.
    """

    stored_as: ClassVar[Mapping[str, str]] = {
        "scale": "size",
        "components": "directions",
        "whitening": "stretch",
        "local_distances": "usual",
        "validation_scores": "held",
    }

    soft: float
    center: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    whitening: np.ndarray
    reference: np.ndarray
    local_distances: np.ndarray
    validation_scores: np.ndarray

    @classmethod
    def fit(cls, train: np.ndarray, validation: np.ndarray, *, layer: bool = False) -> Self:
        """Fit the whitening and the reference to training rows, and score validation rows.

        Args:
            train: Features of training rows (N, F): scaled columns, or the layer before the output of a network.
            validation: The same of validation rows (M, F).
            layer: The features are a layer of a network, where a small norm is novel. Among columns it is not: a row that is
                average in all of them is unusual, but harmless.

        Raises:
            DataError: A number is missing.

        Example:
            >>> generator = np.random.default_rng(0)
            >>> x = generator.normal(size=(1500, 1)) + 0.1 * generator.normal(size=(1500, 2))  # two correlated columns
            >>> novelty = Novelty.fit(x[:1000], x[1000:])
            >>> novelty.p_value(np.array([[1.0, 1.0], [1.0, -1.0]])) < 0.01  # usual values, unusual combination
            array([False,  True])
        """
        _check("train", train)
        _check("validation", validation)
        generator = np.random.default_rng(0)
        rows = train[generator.permutation(len(train))[:_PCA_ROWS]].astype(np.float64)
        share = _SOFT_LAYER if layer else _SOFT
        soft = share * float(np.median(np.linalg.norm(rows, axis=1))) or 1.0
        empty = np.empty(0)
        novelty = cls(soft, *_whiten(_split(rows, soft)), reference=empty, local_distances=empty, validation_scores=empty)
        reference = np.concatenate(list(novelty._transform(rows[:MAX_TRAIN_ROWS])))
        novelty = dataclasses.replace(novelty, reference=reference, local_distances=_local_distances(reference))
        sample = np.sort(generator.permutation(len(validation))[:MAX_VALIDATION_ROWS])
        return dataclasses.replace(novelty, validation_scores=np.sort(novelty.score(validation[sample])))

    def check(self, features: int) -> None:
        """Raise ModelFileError unless a loaded part fits this number of features."""
        components = np.shape(self.components)[-1] if np.ndim(self.components) else 0
        rows = np.shape(self.reference)[0] if np.ndim(self.reference) else 0
        check_array("the center of novelty", self.center, "f", (features + 1,))
        check_array("the scale of novelty", self.scale, "f", (features + 1,))
        check_array("the components of novelty", self.components, "f", (features + 1, components))
        check_array("the whitening of novelty", self.whitening, "f", (components + 1,))
        check_array("the reference of novelty", self.reference, "f", (rows, components + 1))
        check_array("the local distances of novelty", self.local_distances, "f", (rows,))
        check_array("the scores of novelty", self.validation_scores, "f", (None,))
        if not rows or not 0 < self.soft < _SOFTEST:
            raise ModelFileError(f"novelty has {rows} reference rows and directions that shrink below {self.soft}")

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Novelty score of each row (N,), about 1 for usual rows. It does not depend on the other rows.

        Raises:
            DataError: A number is missing.
        """
        from scipy.spatial.distance import cdist

        _check("rows", rows)
        neighbours, neighbour = min(_NEIGHBOURS, len(self.reference)), min(_NEIGHBOUR, len(self.reference))
        reference = self.reference.astype(np.float64)
        scores = [np.empty(0)]
        for batch in self._transform(rows):
            distances = cdist(batch.astype(np.float64), reference)
            nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
            distance = np.sort(np.take_along_axis(distances, nearest, axis=1), axis=1)[:, neighbour - 1]
            scores.append(distance / self.local_distances[nearest].mean(1))
        return np.concatenate(scores)

    def p_value(self, rows: np.ndarray) -> np.ndarray:
        """Share of validation rows with at least this score (N,); small is novel, and never below 1 / (validation rows + 1)."""
        count = len(self.validation_scores)
        at_least = count - np.searchsorted(self.validation_scores, self.score(rows), side="left")
        return (1 + at_least) / (count + 1)

    def _transform(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Batches of whitened rows in float16, as the reference: equal rows have distance 0."""
        for start in range(0, len(rows), _BATCH):
            scaled = (_split(rows[start : start + _BATCH].astype(np.float64), self.soft) - self.center) / self.scale
            projected = scaled @ self.components
            residual = np.sqrt(np.maximum((scaled**2).sum(1) - (projected**2).sum(1), 0))
            whitened = np.column_stack([projected, residual]) * self.whitening
            yield np.clip(whitened, -_LARGEST, _LARGEST).astype(np.float16)


def _split(rows: np.ndarray, soft: float) -> np.ndarray:
    """Direction and, as one more feature, the logarithm of the norm (N, F + 1)."""
    norm = np.sqrt((rows**2).sum(1, keepdims=True) + soft**2)
    return np.concatenate([rows / norm, np.log(norm)], axis=1)


def _whiten(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Center, scale, components and whitening."""
    from sklearn.decomposition import PCA

    center, scale = rows.mean(0), rows.std(0)
    scale[scale <= 1e-9 * np.maximum(1, np.abs(center))] = 1  # constant up to rounding
    features = rows.shape[1]
    components = max(1, min(COMPONENTS, _ENTRIES // features, *rows.shape))
    scaled = (rows - center) / scale
    with np.errstate(invalid="ignore"):  # without variance its ratio, which is not used, is NaN
        pca = PCA(components, random_state=0).fit(scaled)
    total = float(scaled.var(0).sum())
    residual = max(total - float(pca.explained_variance_.sum()), 0) / max(features - components, 1)
    ridge = _RIDGE * total / features or 1.0
    whitening = 1 / np.sqrt(np.append(np.maximum(pca.explained_variance_, 0), residual) + ridge)
    if components == features:
        whitening[-1] = 0
    return center, scale, pca.components_.T.astype(np.float32), whitening


def _local_distances(reference: np.ndarray) -> np.ndarray:
    """Distance of each reference row to its fifth neighbour, plus half of the median of all; never 0."""
    from scipy.spatial.distance import cdist

    k = min(_NEIGHBOURS, len(reference) - 1)
    points = reference.astype(np.float64)
    batches = (points[i : i + _BATCH] for i in range(0, len(points), _BATCH))
    distances = np.concatenate([np.partition(cdist(batch, points), k, axis=1)[:, k] for batch in batches])
    typical = float(np.median(distances)) or float(distances.mean()) or 1.0
    return distances + typical / 2


def _check(name: str, rows: np.ndarray) -> None:
    if not np.isfinite(rows).all():
        shape = f"{name} has the shape {rows.shape} and the type {rows.dtype}"
        raise DataError(f"{shape}, expected finite numbers (rows, features); fill in missing values")
