"""Forests: the mean of many deep trees, made different by random samples of rows and columns, or by random thresholds."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Input
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import all_classes, columns, ordered
from lamina.families.classical.trees import Trees, TreesPredictor
from lamina.options import option
from lamina.stored import check_array

#: Minimum number of trees, and target of seconds, between two progress reports: threads wait for each other at each report.
_FIRST, _SECONDS = 10, 2.0
#: Leaf values sorted in one batch.
_VALUES_BATCH = 2**21
_QUANTILES = (0.1, 0.9)
#: Number of trees from which every row is out of bag for one: a tree has a row with probability 1 - 1/e, 64 trees with 1e-13.
_ALL_OUT_OF_BAG = 64
#: scikit-learn-intelex splits between quantile bins; the zeros of a column that is mostly 0 take nearly all of them. With its
#: default of 256 bins the out-of-bag accuracy on Adult (capital gain) is 0.0015 lower; for regression 256 is better (CASP).
_BINS = 1_024
#: From so many rows on extremely randomised trees for regression split no node of fewer than 5 rows: the file of diamonds has
#: 58 MiB, not 131, and the error is 543, not 548; on 1,030 rows (concrete) it is 7 % higher.
_MANY_ROWS = 10_000


@dataclass
class ForestFamily(ClassicalFamily):
    """Base of the families of independent deep trees: their common options."""

    scaling: ClassVar[str] = "none"

    n_estimators: int = option(100, "number of trees in the forest", low=1, high=100_000)
    max_features: str | float | None = option(
        "auto",
        "columns considered at each split: square root or binary logarithm of their number, a fraction, or all (None); auto is "
        "sqrt for classification and all for regression",
        low=1e-6,
        high=1,
        choices=("auto", "sqrt", "log2", None),
        kind=float,
        tune=["auto", "log2", 0.3, 0.5, 0.8],
    )
    min_samples_leaf: int = option(1, "minimum number of rows in a leaf", low=1, high=1_000_000, tune=(1, 50, "log"))
    max_depth: int | None = option(None, "maximum depth of a tree", low=1, high=10_000, choices=(None,), kind=int)
    vote: str = option(
        "mean", "mean of the class probabilities of the trees, or majority vote (mode)", choices=("mean", "mode")
    )
    vocabulary_size: int = option(
        1_000,
        "maximum number of terms (words and pairs of words, or up to 4 characters) of a text column",
        low=10,
        high=1_000_000,
        blocks=("terms",),
    )

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> ForestPredictor:
        X = ordered(rows.blocks)
        estimator = self._estimator(X, rows, fitting)
        y = rows.target.reshape(-1) if rows.target.size == len(X) else rows.target
        trees, began = 0, time.monotonic()
        while trees < self.n_estimators:
            now = time.monotonic()
            more = max(_FIRST, fitting.threads, int(_SECONDS * trees / max(now - began, 1e-3)))
            if trees and self.stops_in_time and math.isfinite(fitting.deadline):
                more = min(more, int((fitting.deadline - now) * trees / max(now - began, 1e-3)))
                if more < 1:
                    break
            # scikit-learn-intelex has no warm start: it fits all trees in one call.
            trees = min(trees + more, self.n_estimators) if estimator.warm_start else self.n_estimators
            estimator.set_params(n_estimators=trees, oob_score=self.out_of_bag and trees == self.n_estimators)
            # Each fit in a context of its own: scikit-learn's threads can leave no filter behind, and then warn of each tree.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")  # they become NaN
                estimator.fit(X, y, sample_weight=rows.weight)
            fitting.progress(trees / self.n_estimators)
        return ForestPredictor.from_sklearn(estimator, X, rows, fitting, mode=self.vote == "mode")

    @abstractmethod
    def _estimator(self, X: np.ndarray, rows: Rows, fitting: Fitting) -> Any:
        """scikit-learn's estimator, or one with its interface, not fitted."""

    def _options(self, rows: Rows, fitting: Fitting) -> dict[str, Any]:
        """The arguments of every estimator."""
        return {
            "max_features": ("sqrt" if rows.classes else 1.0) if self.max_features == "auto" else self.max_features,
            "min_samples_leaf": self.min_samples_leaf,
            "max_depth": self.max_depth,
            "n_jobs": fitting.threads,
            "random_state": fitting.seed % 2**32,
        }


@dataclass
class Forest(ForestFamily):
    """Bagged trees on random subsets of the columns (Breiman 2001, https://doi.org/10.1023/A:1010933404324).

    scikit-learn fits the trees, or scikit-learn-intelex where it is installed. The predictor keeps plain arrays and needs
    neither. The validation score is *out of bag*: each row is predicted by the trees that were not trained on it. So there are
    no validation rows, unless a column (group, time, split) defines them.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier(Forest(n_estimators=50), random_state=0).fit(X, y)
        >>> model.model_.card["validation"]["accuracy"] > 0.9
        True
    """

    name: ClassVar[str] = "forest"
    out_of_bag: ClassVar[bool] = True

    def _estimator(self, X: np.ndarray, rows: Rows, fitting: Fitting) -> Any:
        ensemble, intelex = _ensemble(X, values=not rows.classes, trees=self.n_estimators)
        return (ensemble.RandomForestClassifier if rows.classes else ensemble.RandomForestRegressor)(
            **({"max_bins": _BINS} if intelex and rows.classes else {}),
            warm_start=not intelex,
            **self._options(rows, fitting),
        )


@dataclass
class ExtraTrees(ForestFamily):
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006, https://doi.org/10.1007/s10994-006-6226-1).

    Each tree is fitted to all rows, and the threshold of each column that is considered at a split is drawn at random; the best
    of these splits is taken. That is faster than a search for thresholds, and the mean of the trees is smoother. scikit-learn
    fits the trees.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier(ExtraTrees(n_estimators=50), random_state=0).fit(X, y)
        >>> model.model_.card["validation"]["accuracy"] > 0.9
        True
    """

    name: ClassVar[str] = "extratrees"
    stops_in_time: ClassVar[bool] = True

    min_samples_split: int | str = option(
        "auto",
        "minimum number of rows in a node that is split; auto is 2, or 5 for regression on at least 10,000 rows",
        low=2,
        high=1_000_000,
        choices=("auto",),
        kind=int,
    )

    def _estimator(self, X: np.ndarray, rows: Rows, fitting: Fitting) -> Any:
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        estimator = ExtraTreesClassifier if rows.classes else ExtraTreesRegressor
        least = self.min_samples_split
        if least == "auto":
            least = 5 if len(X) >= _MANY_ROWS and not rows.classes else 2
        return estimator(warm_start=True, min_samples_split=least, **self._options(rows, fitting))


def _ensemble(X: np.ndarray, *, values: bool, trees: int) -> tuple[Any, bool]:
    """The module ``sklearn.ensemble`` or that of scikit-learn-intelex where it is installed, and whether it is the latter.

    scikit-learn-intelex supports no missing values. It does not expose the bootstrap samples, and its out-of-bag prediction of
    a row that is in all of them is 0; so it is used for regression only with so many trees that there is no such row.
    """
    with contextlib.suppress(ImportError):
        if np.isfinite(X).all() and (trees >= _ALL_OUT_OF_BAG or not values):
            from sklearnex import ensemble  # pyright: ignore[reportMissingImports]

            return ensemble, True
    from sklearn import ensemble

    return ensemble, False


@dataclass(frozen=True)
class ForestPredictor(TreesPredictor):
    """Predictor of a forest.

    Attributes:
        value: Class probabilities or values of each leaf, in the order of the nodes; float32 (leaves, K).
        drawn: Value of one random training row of each leaf; float32 (leaves, K), empty for classes.
        mode: Whether trees vote for one class each.
        importance: Impurity-based feature importance of each column of the table, summing to 1.
        out_of_bag: Out-of-bag predictions, NaN for rows in all bootstrap samples; not saved.
        out_of_bag_spread: Out-of-bag :meth:`spread`; not saved.
    """

    value: np.ndarray
    drawn: np.ndarray
    mode: bool
    importance: Mapping[str, float]
    out_of_bag: np.ndarray | None = field(default=None, compare=False)
    out_of_bag_spread: np.ndarray | None = field(default=None, compare=False)
    kind: ClassVar[str] = "forest"

    @classmethod
    def from_sklearn(cls, estimator: Any, X: np.ndarray, rows: Rows, fitting: Fitting, *, mode: bool) -> Self:
        """From scikit-learn's estimator, fitted to X."""
        sklearn_trees = [tree.tree_ for tree in estimator.estimators_]
        trees = Trees.from_sklearn(sklearn_trees, X.shape[1])
        value = np.concatenate([tree.value.reshape(tree.node_count, -1)[tree.children_left < 0] for tree in sklearn_trees])
        out_of_bag = None
        if rows.classes:
            value = all_classes(value, estimator.classes_, rows.classes)
            value /= value.sum(1, keepdims=True)
        if estimator.oob_score and rows.classes:
            out_of_bag = all_classes(estimator.oob_decision_function_, estimator.classes_, rows.classes)
            with np.errstate(invalid="ignore"):
                out_of_bag /= out_of_bag.sum(1, keepdims=True)  # NaN for rows in all bootstrap samples
        elif estimator.oob_score:
            out_of_bag = estimator.oob_prediction_.reshape(len(X), -1)
        importance: dict[str, float] = {}
        for name, share in zip(columns(rows.inputs), estimator.feature_importances_, strict=True):
            importance[name] = importance.get(name, 0.0) + float(share)
        predictor = cls(trees, value.astype(np.float32), np.empty((0, 0), np.float32), mode, importance, out_of_bag)
        return predictor if rows.classes else predictor._with_drawn(estimator, X, rows, fitting)

    @property
    def stores_rows(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Without bootstrap samples each training row has a leaf in every tree."""
        return self.out_of_bag is None

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        super().check(inputs, outputs)
        leaves = int(self.trees.is_leaf.sum())
        check_array("the leaves' values", self.value, "f", (leaves, outputs))
        if len(self.drawn):
            check_array("the leaves' drawn values", self.drawn, "f", (leaves, outputs))

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        sums = self.trees.sums(ordered(blocks), self._values).astype(np.float64)
        return sums / (len(self.trees) if len(self.drawn) else sums.sum(1, keepdims=True))

    def feature_importance(self) -> Mapping[str, float]:
        return self.importance

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Half the distance between the 10 % and the 90 % quantile, (N, K); None for classes.

        A quantile regression forest (Meinshausen 2006) that keeps one row of each leaf, as the R package quantregForest does.
        """
        if not len(self.drawn):
            return None
        low, high = self.quantiles(blocks, rows, _QUANTILES)
        return (high - low) / 2

    def quantiles(self, blocks: Mapping[str, Any], rows: int, levels: tuple[float, ...]) -> np.ndarray:
        """Quantiles of the training values in the leaves of each row; (levels, N, K)."""
        X, size = ordered(blocks), max(_VALUES_BATCH // len(self.trees), 1)
        batches = (self.trees.leaves(X[start : start + size]) for start in range(0, max(len(X), 1), size))
        return np.concatenate([np.quantile(self.drawn[leaves], levels, axis=1) for leaves in batches], axis=1)

    @cached_property
    def _values(self) -> np.ndarray:
        """Value of each leaf; one-hot for a majority vote."""
        if not self.mode:
            return self.value
        return np.eye(self.value.shape[1], dtype=np.float32)[self.value.argmax(1)]

    def _with_drawn(self, estimator: Any, X: np.ndarray, rows: Rows, fitting: Fitting) -> Self:
        """The predictor with a row drawn for each leaf, the out-of-bag spread, and NaN for rows in all bootstrap samples."""
        target = rows.target.reshape(len(X), -1)
        leaves = self.trees.leaves(X)
        drawn = np.zeros((len(self.value), target.shape[1]), dtype=np.float32)
        in_bag = np.ones(leaves.shape, dtype=bool)
        # scikit-learn-intelex does not expose its bootstrap samples.
        samples = estimator.estimators_samples_ if estimator.oob_score and estimator.warm_start else None
        if samples:
            in_bag[:] = False
            for number, sample in enumerate(samples):
                in_bag[sample, number] = True
        # The rows of a leaf are written in random order, and the last one stays. Each tree has an order of its own, or the same
        # few rows would stay in all of them.
        random = np.random.default_rng(fitting.seed)
        for number in range(leaves.shape[1]):
            sample = random.permutation(np.flatnonzero(in_bag[:, number]))
            drawn[leaves[sample, number]] = target[sample]
        if not samples:
            return dataclasses.replace(self, drawn=drawn)
        assert self.out_of_bag is not None
        out_of_bag = np.where(in_bag.all(axis=1, keepdims=True), np.nan, self.out_of_bag)
        values = np.sort(np.where(in_bag[:, :, None], np.nan, drawn[leaves]), axis=1)
        low, high = (_quantile(values, level) for level in _QUANTILES)
        return dataclasses.replace(self, drawn=drawn, out_of_bag=out_of_bag, out_of_bag_spread=(high - low) / 2)


def _quantile(values: np.ndarray, level: float) -> np.ndarray:
    """``np.nanquantile(values, level, axis=1)``, vectorised over rows; values (N, trees, K) are sorted, NaN last."""
    last = np.maximum(np.isfinite(values).sum(axis=1, keepdims=True) - 1, 0)
    place = level * last
    low = np.floor(place).astype(np.int64)
    below, above = (np.take_along_axis(values, at, axis=1) for at in (low, np.minimum(low + 1, last)))
    return (below + (place - low) * (above - below))[:, 0]
