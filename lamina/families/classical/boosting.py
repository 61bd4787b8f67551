"""Gradient boosting with scikit-learn: small trees, each fitted to the gradient of the loss of those before it."""

from __future__ import annotations

import dataclasses
import inspect
import math
import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Input
from lamina.errors import ModelFileError, TrainingError
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows, share_of_time
from lamina.families.classical.matrix import cardinalities, check_outputs, coded, probabilities
from lamina.families.classical.trees import Trees, TreesPredictor
from lamina.families.predictor import Predictor
from lamina.options import option
from lamina.stored import check_array

#: Most levels of a category that is split by subsets of levels; one with more is split by thresholds on the code.
_MOST_CODES = 255
#: Most iterations without validation rows, hence without early stopping.
MAX_ITER_WITHOUT_VALIDATION = 100
#: Training rows on which the trees are compared with scikit-learn's.
_CHECKED_ROWS = 500


@dataclass(frozen=True)
class Problem:
    """Training and validation rows of one model: one for classes, one for each value.

    Attributes:
        train: Features, target and sample weights (None: equal).
        validation: The same for early stopping; None without validation rows.
        cardinalities: Number of codes of each category; their columns are the first.
        classes: Number of classes, 0 for regression.
        present: Codes of the classes among the training rows, in whose order the target counts them.
        max_iter: Maximum number of iterations.
        threads: Number of threads.
        seed: Random seed, below 2^32.
        deadline: As in :class:`~lamina.families.classical.family.Fitting`.
    """

    train: tuple[np.ndarray, np.ndarray, np.ndarray | None]
    validation: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None
    cardinalities: tuple[int, ...]
    classes: int
    present: tuple[int, ...]
    max_iter: int
    threads: int
    seed: int
    deadline: float = math.inf


@dataclass
class BoostingFamily(ClassicalFamily):
    """Base of the families of boosted trees: their common options."""

    stops_early: ClassVar[bool] = True
    stops_in_time: ClassVar[bool] = True
    scaling: ClassVar[str] = "none"

    max_iter: int = option(
        1_000, "maximum number of boosting iterations, with a tree for each class or target", low=1, high=100_000
    )
    learning_rate: float = option(
        0.1, "learning rate (shrinkage): factor of each tree's values", low=1e-6, high=1, tune=(0.01, 0.3, "log")
    )
    patience: int | None = option(
        20,
        "early stopping: iterations without improvement on the validation rows; none for no early stopping",
        low=1,
        high=100_000,
        choices=(None,),
        kind=int,
    )
    vocabulary_size: int = option(
        1_000,
        "maximum number of terms (words and pairs of words, or up to 4 characters) of a text column",
        low=10,
        high=1_000_000,
        blocks=("terms",),
    )

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> Predictor:
        if rows.classes and len(np.unique(rows.target)) < 2:
            return Constant().fit(rows, validation, fitting)
        sizes, present = cardinalities(rows.inputs), np.empty(0, dtype=np.int64)
        # A validation row is usable for early stopping if it has weight and its class is among the training rows.
        usable = np.full(len(validation), True) if validation.weight is None else validation.weight > 0
        if rows.classes:
            present = np.unique(rows.target)
            usable &= np.isin(validation.target, present)
            targets = [(np.searchsorted(present, rows.target), np.searchsorted(present, validation.target[usable]))]
        else:
            targets = list(zip(rows.target.T, validation.target[usable].T, strict=True))
        validated, max_iter = usable.any() and self.patience is not None, self.max_iter
        if not usable.any() and self.patience is not None:
            max_iter = min(max_iter, MAX_ITER_WITHOUT_VALIDATION)
        X, X_validation = coded(rows.blocks), coded(validation.blocks)[usable]
        weight = None if validation.weight is None else validation.weight[usable]
        models = []
        for number, (target, validation_target) in enumerate(targets):
            problem = Problem(
                train=(X, np.ascontiguousarray(target), rows.weight),
                validation=(X_validation, np.ascontiguousarray(validation_target), weight) if validated else None,
                cardinalities=sizes,
                classes=rows.classes,
                present=tuple(present.tolist()),
                max_iter=max_iter,
                threads=fitting.threads,
                seed=fitting.seed % 2**32,
                deadline=share_of_time(fitting.deadline, len(targets) - number),
            )
            models.append(self.boost(problem))
            fitting.progress(len(models) / len(targets))
        return self.predictor(models, problem)

    def boost(self, problem: Problem) -> Any:
        """Fit one model."""
        raise TypeError(f"{type(self).__name__} has no boost(); use a family such as Boosting")

    @abstractmethod
    def predictor(self, models: Sequence[Any], problem: Problem) -> Predictor:
        """The predictor of the models, of which the last was fitted to this problem."""


@dataclass
class Boosting(BoostingFamily):
    """Gradient boosting (Friedman 2001, https://doi.org/10.1214/aos/1013203451) on histograms (LightGBM: Ke et al. 2017).

    scikit-learn's HistGradientBoosting fits the trees, with native missing values and categories. Training stops when the loss
    of the validation rows no longer improves; the trees after the best iteration are dropped. The predictor keeps plain arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier("boosting", random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.9
        True
    """

    name: ClassVar[str] = "boosting"

    max_leaf_nodes: int = option(31, "maximum number of leaves of a tree", low=2, high=100_000, tune=(4, 256, "log"))
    min_samples_leaf: int = option(20, "minimum number of rows in a leaf", low=1, high=1_000_000, tune=(2, 200, "log"))
    l2_regularization: float = option(0.0, "L2 regularization strength", low=0, high=1e10, tune=[0.0, 0.1, 1.0, 10.0, 100.0])

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> Predictor:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(fitting.threads, user_api="openmp"):
            return super().fit(rows, validation, fitting)

    def boost(self, problem: Problem) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        cls: Any = HistGradientBoostingClassifier if problem.classes else HistGradientBoostingRegressor

        class InTime(cls):  # not public; without it a fit does not end at its deadline
            def _check_early_stopping_loss(self, *args: Any, **kwargs: Any) -> bool:
                return super()._check_early_stopping_loss(*args, **kwargs) or time.monotonic() > problem.deadline

        estimator = (InTime if math.isfinite(problem.deadline) else cls)(
            max_iter=problem.max_iter,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            n_iter_no_change=self.patience or 1,
            early_stopping=problem.validation is not None,
            categorical_features=[place for place, size in enumerate(problem.cardinalities) if size <= _MOST_CODES] or None,
            random_state=problem.seed,
        )
        X, y, weight = problem.train
        validate: dict[str, Any] = {}
        if problem.validation and "X_val" in inspect.signature(estimator.fit).parameters:  # before 1.7 it draws its own
            validate = dict(zip(("X_val", "y_val", "sample_weight_val"), problem.validation, strict=True))
        return estimator.fit(X, y, sample_weight=weight, **validate)

    def predictor(self, models: Sequence[Any], problem: Problem) -> Predictor:
        return BoostedTrees.from_sklearn(models, problem)

    def refit(self, predictor: Predictor) -> Self | None:
        """With the number of iterations that early stopping chose."""
        if not isinstance(predictor, BoostedTrees):
            return None
        iterations = len(predictor.output) / len(predictor.base)  # their mean over several targets
        return dataclasses.replace(self, max_iter=max(1, round(iterations)), patience=None)


@dataclass(frozen=True)
class BoostedTrees(TreesPredictor):
    """Predictor of boosted trees: the sum of a leaf value of each tree.

    Attributes:
        value: Value of each leaf; float64 (leaves, 1).
        output: The output that each tree is added to; int64 (trees,).
        base: Initial value of each output; float64 (outputs,).
        cardinalities: Number of codes of each category.
        classes: Number of classes, 0 for regression.
        present: Codes of the classes among the training rows.
    """

    value: np.ndarray
    output: np.ndarray
    base: np.ndarray
    cardinalities: tuple[int, ...]
    classes: int
    present: tuple[int, ...]
    kind: ClassVar[str] = "boosting"
    saved_as: ClassVar[Mapping[str, str]] = {"present": "known"}

    @classmethod
    def from_sklearn(cls, estimators: Sequence[Any], problem: Problem) -> Self:
        """From scikit-learn's estimators, each up to its best iteration.

        Raises:
            TrainingError: The trees of this version of scikit-learn have another format.
        """
        X, sizes, classes, present = problem.train[0], problem.cardinalities, problem.classes, problem.present
        codes = [np.unique(X[:, place]).astype(np.int64) for place in range(len(sizes))]
        by_subsets = np.zeros(X.shape[1], dtype=bool)
        by_subsets[: len(sizes)] = np.array(sizes) <= _MOST_CODES
        order = np.argsort(~by_subsets, kind="stable")  # scikit-learn moves these columns to the front
        bases = [np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1) for estimator in estimators]
        nodes: list[dict[str, list]] = []
        output: list[int] = []
        for first, estimator in enumerate(estimators):
            scores = np.asarray(estimator.validation_score_)  # before and after each iteration; empty without validation rows
            if len(scores):
                del estimator._predictors[max(int(scores.argmax()), 1) :]
            for iteration in estimator._predictors:
                nodes += [_read(tree, order, codes, sizes) for tree in iteration]
                output += range(first, first + len(iteration))
        trees = Trees.concatenated(nodes, X.shape[1])
        value = np.concatenate([tree["value"] for tree in nodes]).astype(np.float64)[trees.is_leaf, None]
        predictor = cls(trees, value, np.array(output), np.concatenate(bases), sizes, classes, present)
        sample = X[:_CHECKED_ROWS]
        expected = [
            estimator.predict_proba(sample) if classes else estimator.predict(sample)[:, None] for estimator in estimators
        ]
        outputs = predictor._outputs(sample)
        if not np.allclose(outputs[:, list(present)] if classes else outputs, np.hstack(expected), atol=1e-6):
            raise TrainingError(
                "the boosted trees of this version of scikit-learn cannot be read, expected 1.6 to 1.9; "
                "install one of these, or use family='forest'"
            )
        return predictor

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        super().check(inputs, outputs)
        check_array("the leaves' values", self.value, "f", (int(self.trees.is_leaf.sum()), 1))
        check_array("the trees' outputs", self.output, "i", (len(self.trees),))
        check_array("the initial values", self.base, "f", (None,))
        if set(np.unique(self.output).tolist()) != set(range(len(self.base))):
            raise ModelFileError(f"the trees do not have the {len(self.base)} outputs of their initial values")
        check_outputs(len(self.base), self.present, self.classes, outputs)

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return self._outputs(coded(blocks))

    def _outputs(self, X: np.ndarray) -> np.ndarray:
        scores = self.base + self.trees.sums(X, self.value, self.output)
        return probabilities(scores, self.present, self.classes) if self.classes else scores


def _read(tree: Any, order: np.ndarray, codes: Sequence[np.ndarray], sizes: Sequence[int]) -> dict[str, list]:
    """A tree of scikit-learn's as lists, with each split by a subset of codes replaced by splits by thresholds.

    A subset of codes is a few runs of consecutive codes; a binary search among the ends of the runs leads to the child of a
    code. The children exist once, whichever run leads to them.
    """
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    lists: dict[str, list] = {
        "feature": np.where(inner, order[np.where(inner, nodes["feature_idx"], 0)], -1).tolist(),
        "threshold": nodes["num_threshold"].tolist(),
        "left": np.where(inner, nodes["left"].astype(np.int64), -1).tolist(),
        "right": np.where(inner, nodes["right"].astype(np.int64), -1).tolist(),
        "missing_left": nodes["missing_go_to_left"].tolist(),
        "value": nodes["value"].tolist(),
    }
    for node in np.flatnonzero(inner & (nodes["is_categorical"] != 0)).tolist():
        column = lists["feature"][node]
        bits = tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        places = np.arange(len(codes[column]))
        goes_left = np.full(sizes[column], lists["missing_left"][node] != 0)  # codes without training rows count as missing
        goes_left[codes[column]] = bits[places >> 5] >> (places & 31) & 1
        ends = np.flatnonzero(np.diff(goes_left))
        children = np.where(goes_left[[*ends, -1]], lists["left"][node], lists["right"][node]).tolist()
        _search(lists, node, (ends + 0.5).tolist(), children)
    return lists


def _search(lists: dict[str, list], node: int, ends: list[float], children: list[int]) -> None:
    """Make a node the root of a binary search tree: one child up to each of the ends, and one after the last."""
    middle = len(ends) // 2
    lists["threshold"][node] = ends[middle] if ends else np.inf
    halves = ((ends[:middle], children[: middle + 1]), (ends[middle + 1 :], children[middle + 1 :]))
    for side, (half_ends, half) in zip(("left", "right"), halves, strict=True):
        if len(half) < 2:
            lists[side][node] = half[0] if half else children[0]
            continue
        new = lists[side][node] = len(lists["feature"])
        for name, values in lists.items():
            values.append(values[node] if name == "feature" else 0)
        _search(lists, new, half_ends, half)
