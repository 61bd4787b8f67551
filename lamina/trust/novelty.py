"""Novelty: is this row unlike what was learnt from?

A model answers anything, a photograph of a shoe to a question about digits. The score says how far a row is from rows that were
learnt from; its p-value says how often a row like those validated is as far.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.errors import DataError

REFERENCES = 2000
HELD = 5000
"""So many rows learnt from are kept to compare with, and so many validation rows are scored; more are drawn from."""
COMPONENTS = 192
"""So many directions are whitened; with more features, what is outside of them is one number, its length."""

_FITTED = 10_000  # rows that center, size and directions are measured on
_NEIGHBOUR = 2
_AROUND = 5
_ROWS = 256
_SOFT, _SOFT_LAYER = 1.0, 0.3  # lengths, in medians of the rows' own
_RIDGE = 1e-3
_ENTRIES = 2**17  # of directions: half a megabyte
_LARGEST = 6e4  # what float16 holds


@dataclass(frozen=True, eq=False)
class Novelty:
    """How unlike a row is to what was learnt from, measured where relations between features show.

    The score is the distance to the second nearest of up to 2,000 training rows over the distance that is usual there: the
    mean, over the five nearest, of their own distance to their fifth neighbour, plus half of the median of all. Distances alone
    find rows in thin regions strange that are merely rare (compare Breunig et al. 2000, "LOF: identifying density-based local
    outliers").

    Distances are taken in a whitened space, as Mahalanobis' are: a small step against a relation that always held counts as
    much as a large one along it. So rows are found in which each value is usual by itself. Before, each row is parted into
    direction and length: a network answers what it does not know with short features more often than with far ones, and
    directions are more alike among like rows (Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors",
    section 3). Where we differ: the length is kept, as one more feature, and a row loses its direction near the origin.

    With the score's rank among ``held`` rows, which were not learnt from, the p-value is exact: if new rows are drawn as those
    were, one in twenty has a p-value up to 0.05 (Bates et al. 2023, "Testing for outliers with conformal p-values").

    Attributes:
        soft: The length about which rows lose their direction.
        center: Mean of each feature, after parting (F + 1,).
        size: Standard deviation of each feature (F + 1,).
        directions: Principal components (F + 1, C).
        stretch: What makes all of them equally wide, and last the length outside of them, 0 if they are all there are (C + 1,).
        reference: Whitened training rows in float16 (R, C + 1).
        usual: For each of them what distances are usual there.
        held: Scores of validation rows, rising.
    """

    soft: float
    center: np.ndarray
    size: np.ndarray
    directions: np.ndarray
    stretch: np.ndarray
    reference: np.ndarray
    usual: np.ndarray
    held: np.ndarray

    @classmethod
    def fit(cls, learnt: np.ndarray, held: np.ndarray, *, layer: bool = False) -> Self:
        """Measure what was learnt from, and how far rows are that were not.

        Args:
            learnt: Features of training rows: encoded columns brought to size, or the layer before the head of a network.
            held: The same of validation rows.
            layer: These are a layer of a network, in which a short row is strange. Among columns it is not: a row that is
                average in all of them is unusual, but nothing to warn of.

        Shape:
            learnt (N, F), held (M, F).

        Raises:
            DataError: The shapes do not fit, a number is missing, or there are fewer than 2 rows learnt from or 1 held.

        Example:
            >>> generator = np.random.default_rng(0)
            >>> x = generator.normal(size=(1500, 1)) + 0.1 * generator.normal(size=(1500, 2))  # two columns, nearly equal
            >>> found = Novelty.fit(x[:1000], x[1000:])
            >>> found.p_value(np.array([[1.0, 1.0], [1.0, -1.0]])) < 0.01  # each value usual, not both together
            array([False,  True])
        """
        learnt, held = _features("learnt", learnt), _features("held", held)
        if len(learnt) < 2 or not len(held) or held.shape[1] != learnt.shape[1]:
            given = f"rows learnt from have the shape {learnt.shape}, held ones {held.shape}"
            raise DataError(f"{given}, expected at least 2 and at least 1 row with the same features; give more rows")
        generator = np.random.default_rng(0)
        rows = learnt[generator.permutation(len(learnt))[:_FITTED]].astype(np.float64)
        share = _SOFT_LAYER if layer else _SOFT
        soft = share * float(np.median(np.linalg.norm(rows, axis=1))) or 1.0
        none = np.empty(0)
        found = cls(soft, *_whiten(_part(rows, soft)), reference=none, usual=none, held=none)
        reference = np.concatenate(list(found._placed(rows[:REFERENCES])))
        found = dataclasses.replace(found, reference=reference, usual=_usual(reference))
        some = np.sort(generator.permutation(len(held))[:HELD])
        return dataclasses.replace(found, held=np.sort(found.score(held[some])))

    def score(self, rows: np.ndarray) -> np.ndarray:
        """How unlike each row is (N,): about 1 is usual. A row has the same score alone as in company.

        Raises:
            DataError: Not the features fitted, or a number is missing.
        """
        from scipy.spatial.distance import cdist

        rows = _features("rows", rows)
        if rows.shape[1] + 1 != len(self.center):
            raise DataError(f"rows of {rows.shape[1]} features, expected {len(self.center) - 1}; give those that were fitted")
        around, neighbour = min(_AROUND, len(self.reference)), min(_NEIGHBOUR, len(self.reference))
        reference = self.reference.astype(np.float64)
        scores = [np.empty(0)]
        for placed in self._placed(rows):
            distances = cdist(placed.astype(np.float64), reference)
            nearest = np.argpartition(distances, around - 1, axis=1)[:, :around]
            distance = np.sort(np.take_along_axis(distances, nearest, axis=1), axis=1)[:, neighbour - 1]
            scores.append(distance / self.usual[nearest].mean(1))
        return np.concatenate(scores)

    def p_value(self, rows: np.ndarray) -> np.ndarray:
        """How often a row that is like those learnt from is as unlike them as this one (N,); small is novel.

        It is never below 1 / (held rows + 1): with 100 held rows nothing is rarer than one in a hundred.
        """
        at_least = len(self.held) - np.searchsorted(self.held, self.score(rows), side="left")
        return (1 + at_least) / (len(self.held) + 1)

    def to_json(self) -> dict[str, Any]:
        return {"soft": self.soft}

    def arrays(self) -> dict[str, np.ndarray]:
        names = ("center", "size", "directions", "stretch", "reference", "usual", "held")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        return cls(values["soft"], **arrays)

    def _placed(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Whitened rows, a few at a time, rounded as the reference is: equal rows have distance 0, alone or in company."""
        for start in range(0, len(rows), _ROWS):
            sized = (_part(rows[start : start + _ROWS].astype(np.float64), self.soft) - self.center) / self.size
            inside = sized @ self.directions
            outside = np.sqrt(np.maximum((sized**2).sum(1) - (inside**2).sum(1), 0))
            placed = np.column_stack([inside, outside]) * self.stretch
            yield np.clip(placed, -_LARGEST, _LARGEST).astype(np.float16)


def _part(rows: np.ndarray, soft: float) -> np.ndarray:
    """Direction and, as one more feature, the logarithm of the length (N, F + 1)."""
    length = np.sqrt((rows**2).sum(1, keepdims=True) + soft**2)
    return np.concatenate([rows / length, np.log(length)], axis=1)


def _whiten(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Center, size, directions and stretch."""
    from sklearn.decomposition import PCA

    center, size = rows.mean(0), rows.std(0)
    size[size <= 1e-9 * np.maximum(1, np.abs(center))] = 1  # constant but for rounding
    features = rows.shape[1]
    components = max(1, min(COMPONENTS, _ENTRIES // features, *rows.shape))
    sized = (rows - center) / size
    with np.errstate(invalid="ignore"):  # nothing varies: its share of nothing is not used
        found = PCA(components, random_state=0).fit(sized)
    total = float(sized.var(0).sum())
    left = max(total - float(found.explained_variance_.sum()), 0) / max(features - components, 1)
    ridge = _RIDGE * total / features or 1.0
    stretch = 1 / np.sqrt(np.append(np.maximum(found.explained_variance_, 0), left) + ridge)
    if components == features:
        stretch[-1] = 0
    return center, size, found.components_.T.astype(np.float32), stretch


def _usual(reference: np.ndarray) -> np.ndarray:
    """What distances are usual around each row of the reference, with half of what is usual anywhere, and never 0."""
    from scipy.spatial.distance import cdist

    place = min(_AROUND, len(reference) - 1)
    points = reference.astype(np.float64)
    each = np.concatenate(
        [np.partition(cdist(points[i : i + _ROWS], points), place, axis=1)[:, place] for i in range(0, len(points), _ROWS)]
    )
    typical = float(np.median(each)) or float(each.mean()) or 1.0
    return each + typical / 2


def _features(name: str, rows: np.ndarray) -> np.ndarray:
    rows = np.asarray(rows)
    if rows.ndim != 2 or not rows.shape[1] or rows.dtype.kind not in "fiu" or not np.isfinite(rows).all():
        given = f"{name} has the shape {rows.shape} and the type {rows.dtype}"
        raise DataError(f"{given}, expected finite numbers (rows, features); fill in what is missing")
    return rows
