"""Nearest neighbours: a row is answered by the training rows that are most like it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy import sparse

from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import cardinalities, one_hot
from lamina.families.predictor import Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch

COUNTS = (1, 3, 9, 27, 81)
#: Rows that the number of neighbours is chosen on.
_TRIED_ON = 2_000
#: Distances that are computed at once.
_DISTANCES = 1 << 22
#: Squared distances so near to each other are the same: what they come from has no more digits.
_SAME = 1e-6


@dataclass
class Neighbours(ClassicalFamily):
    """The shares of the classes, or the mean, among the k nearest training rows (Cover & Hart 1967).

    Near is the Euclidean distance of what the encoder scaled; two different levels of a category, or yes and no of a flag, are
    1 apart. All rows that are as near as the k-th count, so that the order of the rows does not. The file holds the rows
    themselves: whoever has it has them.

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
        "how many neighbours answer; auto tries a few numbers, each training row answered by the others, or by other groups",
        low=1,
        high=100_000,
        choices=("auto",),
        kind=int,
    )
    max_rows: int = option(50_000, "most rows that are remembered, drawn at random", low=1, high=10_000_000)

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        levels = cardinalities(rows.inputs)
        counting = np.arange(len(rows)) if rows.weight is None else np.flatnonzero(rows.weight)
        if not len(counting):
            return Constant().fit(rows, held, how)
        random = np.random.default_rng(how.seed)
        kept = np.sort(random.permutation(counting)[: self.max_rows])
        weight = np.ones(len(kept)) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64)[kept]
        X = _rows(rows.blocks, levels)[kept]
        found = Remembered(X, rows.target[kept], weight, 1, levels, rows.classes)
        group = kept if rows.group is None else rows.group[kept]
        k = found.choose(group, random, how) if self.n_neighbors == "auto" else int(self.n_neighbors)
        how.progress(1.0)
        return Remembered(X, found.target, weight, min(k, len(kept)), levels, found.classes)


def _rows(blocks: Mapping[str, Any], levels: tuple[int, ...]) -> Any:
    return one_hot(blocks, levels, flag=0.5, level=np.sqrt(0.5))


@dataclass(frozen=True)
class Remembered(Predictor):
    """The predictor of the nearest neighbours.

    Attributes:
        rows: Training rows; float32 (M, columns), an array or sparse.
        target: Their answers: codes int64 (M,), or values float32 (M, K).
        weight: How much each counts; float64 (M,).
        k: How many answer.
        cardinalities: How many codes each category has.
        classes: How many classes there are, 0 for values.
    """

    rows: Any
    target: np.ndarray
    weight: np.ndarray
    k: int
    cardinalities: tuple[int, ...]
    classes: int
    kind: ClassVar[str] = "neighbours"
    counted: ClassVar[str] = "rows"

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        parts = [self._mean(distances, self.k) for _, distances in self._distances(_rows(blocks, self.cardinalities))]
        return np.concatenate(parts) if parts else np.empty((0, self._answers.shape[1]))

    def choose(self, group: np.ndarray, random: np.random.Generator, how: Fitting) -> int:
        """The number of neighbours with the least squared error where each row is answered by those of other groups."""
        others = len(group) - np.unique(group, return_counts=True)[1].max()
        counts = [count for count in COUNTS if count <= others] or [1]
        tried = np.sort(random.permutation(len(self.target))[:_TRIED_ON])
        losses = np.zeros(len(counts))
        for start, distances in self._distances(self.rows[tried]):
            own = tried[start : start + len(distances)]
            distances[group[own, None] == group] = np.inf
            for place, count in enumerate(counts):
                error = (self._mean(distances, count) - self._answers[own]) ** 2
                losses[place] += (self.weight[own] * error.sum(1)).sum()
            how.progress(min((start + len(own)) / len(tried), 0.99))
        return counts[int(losses.argmin())]

    def size(self) -> int:
        return len(self.target)

    def to_json(self) -> dict[str, Any]:
        content = {"k": self.k, "cardinalities": list(self.cardinalities), "classes": self.classes}
        return content | ({} if isinstance(self.rows, np.ndarray) else {"columns": self.rows.shape[1]})

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        arrays = {"target": self.target, "weight": self.weight}
        if isinstance(self.rows, np.ndarray):
            arrays["rows"] = self.rows
        else:
            arrays |= {"values": self.rows.data, "places": self.rows.indices, "starts": self.rows.indptr}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        rows = arrays.get("rows")
        if rows is None:
            shape = (len(arrays["target"]), content["columns"])
            rows = sparse.csr_matrix((arrays["values"], arrays["places"], arrays["starts"]), shape=shape)
        sizes = tuple(content["cardinalities"])
        return cls(rows, arrays["target"], arrays["weight"], content["k"], sizes, content["classes"])

    def _distances(self, X: Any) -> Iterator[tuple[int, np.ndarray]]:
        """Squared distances of some rows at a time from all that are remembered, and which row is the first.

        They lack the squared length of the row itself, which changes nothing of which are near.
        """
        size = max(_DISTANCES // len(self.target), 1)
        for start in range(0, X.shape[0], size):
            part = X[start : start + size].astype(np.float64)
            found = _beside(part, np.ones(part.shape[0])) @ self._others
            yield start, found.toarray() if sparse.issparse(found) else found

    def _mean(self, distances: np.ndarray, count: int) -> np.ndarray:
        """What the nearest rows say; all that are as near as the last of them count."""
        last = np.partition(distances, count - 1, axis=1)[:, count - 1 : count]
        row, place = np.divmod(np.flatnonzero(distances <= last + _SAME * (1 + np.abs(last))), distances.shape[1])
        starts = np.searchsorted(row, np.arange(len(distances) + 1))
        # A sparse product adds up each row by itself, so that a row gets the same bits alone as in company.
        near = sparse.csr_matrix((np.ones(len(place)), place, starts), shape=distances.shape)
        return (near @ (self._answers * self.weight[:, None])) / (near @ self.weight)[:, None]

    @cached_property
    def _others(self) -> Any:
        """What rows with a one behind them are multiplied with: -2 times the remembered rows, and their squared lengths."""
        rows = self.rows.astype(np.float64)
        lengths = rows.multiply(rows).sum(1) if sparse.issparse(rows) else (rows**2).sum(1)
        return _beside(-2 * rows, np.asarray(lengths).reshape(-1)).T

    @cached_property
    def _answers(self) -> np.ndarray:
        """(M, outputs)."""
        return np.eye(self.classes)[self.target] if self.classes else self.target.astype(np.float64)


def _beside(rows: Any, column: np.ndarray) -> Any:
    if sparse.issparse(rows):
        return sparse.hstack([rows, sparse.csr_matrix(column[:, None])], format="csr")
    return np.hstack([rows, column[:, None]])
