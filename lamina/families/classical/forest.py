"""Random forest: many deep trees, each grown on rows and columns drawn at random, answering together."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import all_classes, columns, ordered
from lamina.families.classical.trees import Trees
from lamina.families.predictor import Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch

#: Fewest trees between two words about how far it is, and seconds that are aimed at: threads wait for each other at each word.
_FIRST, _SECONDS = 10, 2.0
#: Leaves of rows and trees that are found at once, and values of such that are sorted at once.
_LEAVES_AT_ONCE, _VALUES_AT_ONCE = 2**26, 2**21
_MIDDLE = (0.1, 0.9)
#: Of so many trees no row is in the bag of all: each has a row with probability 1 - 1/e, so that of a million rows 1e-7 are.
_ALL_OUT_OF_BAG = 64
#: scikit-learn-intelex splits between bins of equally many rows, of which a column that is nearly always 0 fills most with its
#: zeros: with its own 256 it loses 0.0015 of accuracy out of bag on Adult (capital gain). For values 256 are better (CASP).
_BINS = 1_024


@dataclass
class Forest(ClassicalFamily):
    """Bagged trees on random subsets of the columns (Breiman 2001, https://doi.org/10.1023/A:1010933404324).

    scikit-learn grows the trees, or scikit-learn-intelex where it is installed. What is kept are plain arrays, so an answer
    depends on neither. Each row is answered by the trees that did not learn from it: *out of bag*. So no rows are held
    back, unless a column says which (group, time, split).

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
    scaling: ClassVar[str] = "none"

    n_estimators: int = option(100, "how many trees", low=1, high=100_000)
    max_features: str | float | None = option(
        "auto",
        "columns that each split may choose from: their square root, their binary logarithm, a share, or all (None); auto is "
        "the square root for classes and all for values",
        low=1e-6,
        high=1,
        choices=("auto", "sqrt", "log2", None),
        kind=float,
    )
    min_samples_leaf: int = option(1, "fewest rows in a leaf", low=1, high=1_000_000)
    max_depth: int | None = option(
        None, "most questions from the root to a leaf", low=1, high=10_000, choices=(None,), kind=int
    )
    vote: str = option(
        "mean", "trees answer with the mean of their shares, or with the class most of them name", choices=("mean", "mode")
    )
    vocabulary_size: int = option(1_000, "most different words and pairs of words of a text that count", low=10, high=1_000_000)

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Grown:
        X = ordered(rows.blocks)
        grower = self._grower(X, rows, how)
        y = rows.target.reshape(-1) if rows.target.size == len(X) else rows.target
        grown, began = 0, time.monotonic()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some inputs do not have OOB scores")  # such rows are left out below
            while grown < self.n_estimators:
                # scikit-learn-intelex grows all at once.
                more = self.n_estimators if not grower.warm_start else _more_trees(grown, time.monotonic() - began, how.threads)
                grown = min(grown + more, self.n_estimators)
                grower.set_params(n_estimators=grown, oob_score=grown == self.n_estimators)
                grower.fit(X, y, sample_weight=rows.weight)
                how.progress(grown / self.n_estimators)
        return Grown.gather(grower, X, rows, how, mode=self.vote == "mode")

    def _grower(self, X: np.ndarray, rows: Rows, how: Fitting) -> Any:
        classes = rows.classes > 0
        ensemble, fast = _ensemble(X, values=not classes, trees=self.n_estimators)
        maker = ensemble.RandomForestClassifier if classes else ensemble.RandomForestRegressor
        return maker(
            **({"max_bins": _BINS} if fast and classes else {}),
            max_features=("sqrt" if classes else 1.0) if self.max_features == "auto" else self.max_features,
            min_samples_leaf=self.min_samples_leaf,
            max_depth=self.max_depth,
            warm_start=not fast,
            n_jobs=how.threads,
            random_state=how.seed % 2**32,
        )


def _more_trees(grown: int, seconds: float, threads: int) -> int:
    """How many trees to grow until the next word about how far it is.

    Example:
        >>> _more_trees(0, 0.0, 16), _more_trees(10, 0.1, 2), _more_trees(10, 60.0, 2)
        (16, 200, 10)
    """
    least = max(_FIRST, threads)
    return max(least, int(_SECONDS * grown / max(seconds, 1e-3))) if grown else least


def _ensemble(X: np.ndarray, *, values: bool, trees: int) -> tuple[Any, bool]:
    """scikit-learn-intelex where it is installed and no value is missing, which it does not know; else scikit-learn.

    It does not say which trees learnt from a row, and predicts 0 out of bag for a row that all of them learnt from. So it grows
    values only in forests so large that there is no such row.
    """
    with contextlib.suppress(ImportError):
        if np.isfinite(X).all() and (trees >= _ALL_OUT_OF_BAG or not values):
            from sklearnex import ensemble  # pyright: ignore[reportMissingImports]

            return ensemble, True
    from sklearn import ensemble

    return ensemble, False


@dataclass(frozen=True)
class Grown(Predictor):
    """The predictor of a forest.

    Attributes:
        trees: Where each row comes to.
        value: What each leaf says, leaves in the order of the nodes: shares of the classes or values; float32 (leaves, K).
        drawn: The value of one training row of each leaf, drawn at random; float32 (leaves, K), empty for classes.
        mode: Does each tree name one class?
        importance: How much each column of the table lowers the impurity, summing to 1.
        out_of_bag: What trees said of each training row that had not learnt from it, NaN where all had; not kept in files.
        out_of_bag_spread: The same of :meth:`spread`.
    """

    trees: Trees
    value: np.ndarray
    drawn: np.ndarray
    mode: bool
    importance: Mapping[str, float]
    out_of_bag: np.ndarray | None = field(default=None, compare=False)
    out_of_bag_spread: np.ndarray | None = field(default=None, compare=False)
    kind: ClassVar[str] = "forest"
    counted: ClassVar[str] = "nodes"

    @classmethod
    def gather(cls, grower: Any, X: np.ndarray, rows: Rows, how: Fitting, *, mode: bool) -> Self:
        """From what scikit-learn grew."""
        grown = [estimator.tree_ for estimator in grower.estimators_]
        trees = Trees.gather(grown, X.shape[1])
        value = np.concatenate([tree.value.reshape(tree.node_count, -1)[tree.children_left < 0] for tree in grown])
        if not rows.classes:
            said = grower.oob_prediction_.reshape(len(X), -1)
        else:
            value = all_classes(value, grower.classes_, rows.classes)
            value /= value.sum(1, keepdims=True)
            said = all_classes(grower.oob_decision_function_, grower.classes_, rows.classes)
            with np.errstate(invalid="ignore"):
                said /= said.sum(1, keepdims=True)  # NaN for rows that all trees had
        importance: dict[str, float] = {}
        for name, share in zip(columns(rows.inputs), grower.feature_importances_, strict=True):
            importance[name] = importance.get(name, 0.0) + float(share)
        found = cls(trees, value.astype(np.float32), np.empty((0, 0), np.float32), mode, importance, said)
        return found if rows.classes else found._with_drawn(grower, X, rows, how)

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        import torch

        said = self.trees.sums(ordered(blocks), self._values, threads=torch.get_num_threads()).astype(np.float64)
        return said / (len(self.trees) if len(self.drawn) else said.sum(1, keepdims=True))

    def feature_importance(self) -> Mapping[str, float]:
        return self.importance

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """How far apart the values are that training rows had where this row comes to: half of the middle 80 %; (N, K).

        A quantile regression forest (Meinshausen 2006) that remembers one row of each leaf, as the R package quantregForest
        does. None for classes.
        """
        if not len(self.drawn):
            return None
        low, high = self.quantiles(blocks, rows, _MIDDLE)
        return (high - low) / 2

    def quantiles(self, blocks: Mapping[str, Any], rows: int, levels: tuple[float, ...]) -> np.ndarray:
        """Quantiles of the values that training rows had where each row comes to; (levels, N, K)."""
        X = ordered(blocks)
        parts = [np.quantile(self.drawn[leaves], levels, axis=1) for leaves in self._leaves(X, _VALUES_AT_ONCE)]
        return np.concatenate(parts, axis=1)

    def size(self) -> int:
        return len(self.trees.feature)

    def to_json(self) -> dict[str, Any]:
        return {"columns": self.trees.columns, "mode": self.mode, "importance": dict(self.importance)}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        arrays = {**self.trees.to_arrays(), "value": self.value, "drawn": self.drawn}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        trees = Trees.from_arrays(arrays, content["columns"])
        return cls(trees, arrays["value"], arrays["drawn"], content["mode"], content["importance"])

    def _leaves(self, X: np.ndarray, at_once: int) -> Iterator[np.ndarray]:
        """The leaf that each row comes to in each tree (rows, trees), so many at once."""
        import torch

        size = max(at_once // len(self.trees), 1)
        for start in range(0, max(len(X), 1), size):
            yield self.trees.leaves(X[start : start + size], torch.get_num_threads())

    @cached_property
    def _values(self) -> np.ndarray:
        """What each leaf says of each answer."""
        if not self.mode:
            return self.value
        return np.eye(self.value.shape[1], dtype=np.float32)[self.value.argmax(1)]

    def _with_drawn(self, grower: Any, X: np.ndarray, rows: Rows, how: Fitting) -> Self:
        """The same with a row drawn for each leaf, the spread out of bag, and NaN out of bag for rows that all trees had."""
        target = rows.target.reshape(len(X), -1)
        leaves = np.concatenate(list(self._leaves(X, _LEAVES_AT_ONCE)))
        drawn = np.zeros((len(self.value), target.shape[1]), dtype=np.float32)
        learnt = np.ones(leaves.shape, dtype=bool)
        # scikit-learn-intelex draws rows of its own, and does not say which
        if samples := grower.estimators_samples_ if grower.warm_start else None:
            learnt[:] = False
            for number, sample in enumerate(samples):
                learnt[sample, number] = True
        # All rows of a leaf are written, in random order, and the last one stays; the order is another for each tree, else the
        # same few rows would stay in all of them.
        random = np.random.default_rng(how.seed)
        for number in range(leaves.shape[1]):
            some = random.permutation(np.flatnonzero(learnt[:, number]))
            drawn[leaves[some, number]] = target[some]
        spread, out_of_bag = None, self.out_of_bag
        if samples and out_of_bag is not None:
            out_of_bag = np.where(learnt.all(axis=1, keepdims=True), np.nan, out_of_bag)
            values = np.sort(np.where(learnt[:, :, None], np.nan, drawn[leaves]), axis=1)
            low, high = (_quantile(values, level) for level in _MIDDLE)
            spread = (high - low) / 2
        return dataclasses.replace(self, drawn=drawn, out_of_bag=out_of_bag, out_of_bag_spread=spread)


def _quantile(values: np.ndarray, level: float) -> np.ndarray:
    """``np.nanquantile(values, level, axis=1)``, which goes through rows one by one; values sorted, NaN last, (N, trees, K)."""
    last = np.maximum(np.isfinite(values).sum(axis=1, keepdims=True) - 1, 0)
    place = level * last
    low = np.floor(place).astype(np.int64)
    below, above = (np.take_along_axis(values, at, axis=1) for at in (low, np.minimum(low + 1, last)))
    return (below + (place - low) * (above - below))[:, 0]
