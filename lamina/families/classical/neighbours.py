"""Nearest neighbors: class frequencies or the mean of the training rows nearest to each row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from lamina.data.encoding import Input
from lamina.errors import ModelFileError
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import cardinalities, check_cardinalities, check_outputs, count_columns, one_hot
from lamina.families.predictor import ArrayPredictor, Predictor
from lamina.options import option
from lamina.stored import check_array, check_codes

#: Candidates of n_neighbors="auto".
N_NEIGHBORS = (1, 3, 9, 27, 81)
#: Most rows that n_neighbors is chosen on.
_SEARCH_ROWS = 2_000
#: Distances computed in one batch.
_DISTANCES = 1 << 22
#: Relative difference below which squared distances are ties: that of float32 features.
_TOLERANCE = 1e-6
#: The features: two levels of a category, or the two values of a flag, are 1 apart.
_SPARSE = ("values", "places", "starts")
_features = partial(one_hot, flag=0.5, level=np.sqrt(0.5))


@dataclass
class Neighbours(ClassicalFamily):
    """Class frequencies, or the mean, among the k nearest training rows (Cover & Hart 1967).

    The distance is Euclidean, on scaled numbers; two levels of a category, or the two values of a flag, are 1 apart. All rows
    as near as the k-th count, so that predictions do not depend on the order of the rows. A saved model contains the training
    rows themselves: consider that before you share it.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier("neighbours", random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.9
        True
    """

    name: ClassVar[str] = "neighbours"

    n_neighbors: str | int = option(
        "auto",
        "number of neighbors; auto selects it by leave-one-out on the training rows, or leave-one-group-out",
        low=1,
        high=100_000,
        choices=("auto",),
        kind=int,
        tune=(1, 100, "log"),
    )
    max_rows: int = option(50_000, "maximum number of training rows to keep, sampled at random", low=1, high=10_000_000)

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> Predictor:
        levels = cardinalities(rows.inputs)
        weighted = np.arange(len(rows)) if rows.weight is None else np.flatnonzero(rows.weight)
        if not len(weighted):
            return Constant().fit(rows, validation, fitting)
        random = np.random.default_rng(fitting.seed)
        kept = np.sort(random.permutation(weighted)[: self.max_rows])
        weight = np.ones(len(kept)) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64)[kept]
        X = _features(rows.blocks, levels)[kept]
        predictor = NearestNeighborsPredictor(X, rows.target[kept], weight, 1, levels, rows.classes)
        if self.n_neighbors == "auto":
            n_neighbors = predictor.choose(kept if rows.group is None else rows.group[kept], random, fitting)
        else:
            n_neighbors = int(self.n_neighbors)
        fitting.progress(1.0)
        return replace(predictor, n_neighbors=min(n_neighbors, len(kept)))


@dataclass(frozen=True)
class NearestNeighborsPredictor(ArrayPredictor):
    """Predictor of the nearest neighbors.

    Attributes:
        rows: Training rows; float32 (M, columns), dense or sparse.
        target: Class codes int64 (M,), or values float32 (M, K).
        weight: Sample weights, float64 (M,).
        n_neighbors: Number of neighbors.
        cardinalities: Number of codes of each category.
        classes: Number of classes, 0 for regression.
    """

    rows: Any
    target: np.ndarray
    weight: np.ndarray
    n_neighbors: int
    cardinalities: tuple[int, ...]
    classes: int
    kind: ClassVar[str] = "neighbours"
    stores_rows: ClassVar[bool] = True
    counted: ClassVar[str] = "rows"
    saved_as: ClassVar[Mapping[str, str]] = {"n_neighbors": "k"}

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        count, columns = len(self.target), count_columns(inputs, levels=True)
        check_cardinalities(self.cardinalities, inputs)
        check_outputs(outputs, None, self.classes, outputs)
        if sparse.issparse(self.rows):
            check_array("the values of the rows", self.rows.data, "f", (None,))
            self.rows.check_format(full_check=True)
        else:
            check_array("the rows", self.rows, "f", (count, None))
        if self.rows.shape != (count, columns) or not 1 <= self.n_neighbors <= count:
            raise ModelFileError(
                f"{self.n_neighbors} neighbors of rows {self.rows.shape} with {count} targets, expected {columns} columns"
            )
        if self.classes:
            check_array("the target", self.target, "iu", (count,))
            check_codes("the target", self.target, self.classes)
        else:
            check_array("the target", self.target, "f", (count, outputs))
        check_array("the weights", self.weight, "f", (count,))

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        X = _features(blocks, self.cardinalities)
        parts = [self._mean(distances, self.n_neighbors) for _, distances in self._distances(X)]
        return np.concatenate(parts) if parts else np.empty((0, self._targets.shape[1]))

    def choose(self, group: np.ndarray, random: np.random.Generator, fitting: Fitting) -> int:
        """The n_neighbors of least squared error when each row is predicted from the rows of other groups."""
        outside = len(group) - np.unique(group, return_counts=True)[1].max()
        candidates = [count for count in N_NEIGHBORS if count <= outside] or [1]
        sample = np.sort(random.permutation(len(self.target))[:_SEARCH_ROWS])
        losses = np.zeros(len(candidates))
        for start, distances in self._distances(self.rows[sample]):
            batch = sample[start : start + len(distances)]
            distances[group[batch, None] == group] = np.inf
            for place, count in enumerate(candidates):
                error = (self._mean(distances, count) - self._targets[batch]) ** 2
                losses[place] += (self.weight[batch] * error.sum(1)).sum()
            fitting.progress(min((start + len(batch)) / len(sample), 0.99))
        return candidates[int(losses.argmin())]

    def size(self) -> int:
        return len(self.target)

    def saved(self) -> dict[str, Any]:
        values = super().saved()
        if sparse.issparse(self.rows):
            rows = values.pop("rows")
            values |= {"columns": rows.shape[1], "values": rows.data, "places": rows.indices, "starts": rows.indptr}
        return values

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        if "rows" not in values:
            values = {**values, "rows": _sparse(**{name: values.get(name) for name in (*_SPARSE, "target", "columns")})}
        return super().restored(values)

    def _distances(self, X: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Squared distances (batch, M) to the training rows, batch by batch, each with the index of its first row.

        The squared norm of the row itself is left out: it does not change which rows are nearest.
        """
        size = max(_DISTANCES // len(self.target), 1)
        for start in range(0, X.shape[0], size):
            batch = X[start : start + size].astype(np.float64)
            distances = _append_column(batch, np.ones(batch.shape[0])) @ self._factors
            yield start, distances.toarray() if sparse.issparse(distances) else distances

    def _mean(self, distances: np.ndarray, count: int) -> np.ndarray:
        """Weighted mean target of the nearest rows, ties with the last of them included."""
        last = np.partition(distances, count - 1, axis=1)[:, count - 1 : count]
        row, place = np.divmod(np.flatnonzero(distances <= last + _TOLERANCE * (1 + np.abs(last))), distances.shape[1])
        starts = np.searchsorted(row, np.arange(len(distances) + 1))
        # A sparse product sums each row by itself: the same bits in a batch of any size.
        near = sparse.csr_matrix((np.ones(len(place)), place, starts), shape=distances.shape)
        return (near @ (self._targets * self.weight[:, None])) / (near @ self.weight)[:, None]

    @cached_property
    def _factors(self) -> Any:
        """(columns + 1, M): -2 x and |x|^2 of each training row x, to multiply [y, 1] with."""
        rows = self.rows.astype(np.float64)
        norms = rows.multiply(rows).sum(1) if sparse.issparse(rows) else (rows**2).sum(1)
        return _append_column(-2 * rows, np.asarray(norms).reshape(-1)).T

    @cached_property
    def _targets(self) -> np.ndarray:
        """One-hot classes or values, float64 (M, outputs)."""
        return np.eye(self.classes)[self.target] if self.classes else self.target.astype(np.float64)


def _sparse(values: Any, places: Any, starts: Any, target: Any, columns: Any) -> sparse.csr_matrix:
    """Sparse rows from arrays of a file; ``check`` looks at the indices before anything reads the rows."""
    check_array("the values of the rows", values, "f", (None,))
    check_array("the columns of the values", places, "i", values.shape)
    check_array("the target", target, "iuf", (None,) * np.ndim(target))
    check_array("the starts of the rows", starts, "i", (len(target) + 1,))
    if not isinstance(columns, int) or not 0 < columns < 2**31:
        raise ModelFileError(f"the rows have {columns!r} columns, expected a number of them")
    return sparse.csr_matrix((values, places, starts), shape=(len(target), columns))


def _append_column(rows: Any, column: np.ndarray) -> Any:
    if sparse.issparse(rows):
        return sparse.hstack([rows, sparse.csr_matrix(column[:, None])], format="csr")
    return np.hstack([rows, column[:, None]])
