"""Gradient boosting by scikit-learn: small trees, each grown on what those before it got wrong."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy.special import expit, softmax

from lamina.errors import TrainingError
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import all_classes, cardinalities, coded
from lamina.families.classical.trees import Trees, as_float32
from lamina.families.predictor import Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch

#: Most codes of a category whose trees ask "is it one of these?"; where there are more they ask "is its code at most ...?".
_MOST_CODES = 255
#: Most rounds where no rows can tell when to stop.
UNWATCHED = 100
_PROBED = 500


@dataclass
class BoostingFamily(ClassicalFamily):
    """Base of the families of boosted trees: what may be asked of each."""

    scaling: ClassVar[str] = "none"

    max_iter: int = option(1_000, "most trees for each class or target", low=1, high=100_000)
    learning_rate: float = option(0.1, "how much of a tree's answer counts", low=1e-6, high=1)
    patience: int = option(
        20, "rounds without a better answer on the rows that validate after which it ends", low=1, high=100_000
    )
    vocabulary_size: int = option(1_000, "most different words and pairs of words of a text that count", low=10, high=1_000_000)

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        if rows.classes and len(np.unique(rows.target)) < 2:
            return Constant().fit(rows, held, how)
        return self.boost(rows, held, how)

    def boost(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        """Fit to rows of at least two classes, or of values."""
        raise TypeError(f"{type(self).__name__} boosts nothing; take a family such as Boosting")


@dataclass
class Boosting(BoostingFamily):
    """Gradient boosting (Friedman 2001, https://doi.org/10.1214/aos/1013203451) on histograms (LightGBM: Ke et al. 2017).

    scikit-learn's HistGradientBoosting grows the trees, with missing values and categories as they are. It ends when the rows
    that validate are answered no better, and what was grown since the best answer is dropped. What is kept are plain arrays.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier("boosting", random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.9
        True
    """

    name: ClassVar[str] = "boosting"

    max_leaf_nodes: int = option(31, "most leaves of a tree", low=2, high=100_000)
    min_samples_leaf: int = option(20, "fewest rows in a leaf", low=1, high=1_000_000)
    l2_regularization: float = option(0.0, "how strongly the answers of leaves are held small", low=0, high=1e10)

    def boost(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        from threadpoolctl import threadpool_limits

        X, X_held = coded(rows.blocks), coded(held.blocks)
        sizes = cardinalities(rows.inputs)
        tasks, grown = problems(rows, held), []
        with threadpool_limits(how.threads, user_api="openmp"):
            for target, target_held, usable in tasks:
                grower = self._grower(sizes, rows, how)
                known: dict[str, Any] = {}
                if not usable.any():
                    grower.set_params(early_stopping=False, max_iter=min(self.max_iter, UNWATCHED))
                elif "X_val" in inspect.signature(grower.fit).parameters:  # before 1.7 it holds back rows of its own
                    weight = None if held.weight is None else held.weight[usable]
                    known = {"X_val": X_held[usable], "y_val": target_held[usable], "sample_weight_val": weight}
                grower.fit(X, target, sample_weight=rows.weight, **known)
                grown.append(grower)
                how.progress(len(grown) / len(tasks))
            return Grove.gather(grown, X, sizes, rows.classes)

    def _grower(self, sizes: tuple[int, ...], rows: Rows, how: Fitting) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        maker = HistGradientBoostingClassifier if rows.classes else HistGradientBoostingRegressor
        return maker(
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            n_iter_no_change=self.patience,
            early_stopping=True,
            categorical_features=[place for place, size in enumerate(sizes) if size <= _MOST_CODES] or None,
            random_state=how.seed % 2**32,
        )


def problems(rows: Rows, held: Rows) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What each model that is needed learns, one for classes or one for each target: the answers of the rows, those of the rows
    that are held back, and which of these can tell when to stop: they weigh something and are of a class that is learnt."""
    usable = np.full(len(held), True) if held.weight is None else held.weight > 0
    if rows.target.ndim == 1:
        return [(rows.target, held.target, usable & np.isin(held.target, rows.target))]
    sides = zip(rows.target.T, held.target.T, strict=True)
    return [(np.ascontiguousarray(learnt), np.ascontiguousarray(other), usable) for learnt, other in sides]


@dataclass(frozen=True)
class Grove(Predictor):
    """The predictor of boosted trees: each adds the answer of a leaf to one output.

    Attributes:
        trees: Where each row comes to.
        value: What each leaf adds; float64 (leaves, 1).
        output: The output that each tree adds to; int64 (trees,).
        base: What outputs begin with; float64 (outputs,).
        cardinalities: How many codes each category has.
        classes: How many classes there are, 0 for values.
        known: The classes that training rows had.
    """

    trees: Trees
    value: np.ndarray
    output: np.ndarray
    base: np.ndarray
    cardinalities: tuple[int, ...]
    classes: int
    known: tuple[int, ...]
    kind: ClassVar[str] = "boosting"
    counted: ClassVar[str] = "nodes"

    @classmethod
    def gather(cls, growers: Sequence[Any], X: np.ndarray, sizes: tuple[int, ...], classes: int) -> Self:
        """From what scikit-learn grew on X, each up to the round that was best.

        Raises:
            TrainingError: This scikit-learn keeps its trees in another way than those that are known.
        """
        present = [np.unique(X[:, place]).astype(np.int64) for place in range(len(sizes))]
        by_codes = np.arange(X.shape[1]) < len(sizes)
        by_codes[: len(sizes)] = np.array(sizes, dtype=np.int64) <= _MOST_CODES
        order = np.argsort(~by_codes, kind="stable")  # scikit-learn puts these columns first
        bases = [np.asarray(grower._baseline_prediction, dtype=np.float64).reshape(-1) for grower in growers]
        grown: list[dict[str, list]] = []
        output: list[int] = []
        for first, grower in enumerate(growers):
            scores = np.asarray(grower.validation_score_)  # without a tree, after a round, ...; empty if nothing was held back
            if len(scores):
                del grower._predictors[max(int(scores.argmax()), 1) :]
            for grown_at_once in grower._predictors:
                grown += [_read(tree, order, present, sizes) for tree in grown_at_once]
                output += range(first, first + len(grown_at_once))
        arrays = {name: np.concatenate([tree[name] for tree in grown]) for name in grown[0]}
        value = arrays["value"].astype(np.float64)[arrays["feature"] < 0, None]
        roots = np.cumsum([0, *(len(tree["feature"]) for tree in grown)])
        known = tuple(growers[0].classes_.tolist()) if classes else ()
        trees = Trees(
            roots=roots,
            feature=arrays["feature"].astype(np.int32),
            threshold=as_float32(arrays["threshold"]),
            left=arrays["left"].astype(np.int32),
            right=arrays["right"].astype(np.int32),
            missing_left=arrays["missing_left"].astype(bool),
            columns=X.shape[1],
        )
        found = cls(trees, value, np.array(output), np.concatenate(bases), sizes, classes, known)
        some = X[:_PROBED]
        theirs = [grower.predict_proba(some) if classes else grower.predict(some)[:, None] for grower in growers]
        said = found._answer(some)
        if not np.allclose(said[:, list(known)] if classes else said, np.hstack(theirs), atol=1e-6):
            raise TrainingError(
                "the boosted trees of this scikit-learn cannot be read, expected one from 1.6 to 1.9; "
                "install one of these, or take family='forest'"
            )
        return found

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return self._answer(coded(blocks))

    def size(self) -> int:
        return len(self.trees.feature)

    def to_json(self) -> dict[str, Any]:
        sizes, known = list(self.cardinalities), list(self.known)
        return {"columns": self.trees.columns, "cardinalities": sizes, "classes": self.classes, "known": known}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        arrays = {**self.trees.to_arrays(), "value": self.value, "output": self.output, "base": self.base}
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        trees = Trees.from_arrays(arrays, content["columns"])
        sizes, known = tuple(content["cardinalities"]), tuple(content["known"])
        return cls(trees, arrays["value"], arrays["output"], arrays["base"], sizes, content["classes"], known)

    def _answer(self, X: np.ndarray) -> np.ndarray:
        import torch

        said = self.base + self.trees.sums(X, self.value, output=self.output, threads=torch.get_num_threads())
        if not self.classes:
            return said
        shares = expit(np.hstack([-said, said])) if len(self.known) == 2 else softmax(said, axis=1)
        return all_classes(shares, self.known, self.classes)


def _read(tree: Any, order: np.ndarray, present: Sequence[np.ndarray], sizes: Sequence[int]) -> dict[str, list]:
    """A tree of scikit-learn's, in which questions after the order of codes stand for each question after a set of codes.

    The codes of a set are a few runs of neighbours; a search among the ends of the runs finds the side that a code is on. What
    is below a side is there once, whichever run leads to it.
    """
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    found: dict[str, list] = {
        "feature": np.where(inner, order[np.where(inner, nodes["feature_idx"], 0)], -1).tolist(),
        "threshold": nodes["num_threshold"].tolist(),
        "left": np.where(inner, nodes["left"].astype(np.int64), -1).tolist(),
        "right": np.where(inner, nodes["right"].astype(np.int64), -1).tolist(),
        "missing_left": nodes["missing_go_to_left"].tolist(),
        "value": nodes["value"].tolist(),
    }
    for node in np.flatnonzero(inner & (nodes["is_categorical"] != 0)).tolist():
        column = found["feature"][node]
        bits = tree.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        places = np.arange(len(present[column]))
        goes_left = np.full(sizes[column], bool(nodes["missing_go_to_left"][node]))  # so do codes that training rows had not
        goes_left[present[column]] = bits[places >> 5] >> (places & 31) & 1
        ends = np.flatnonzero(np.diff(goes_left))
        sides = np.where(goes_left[[*ends, -1]], found["left"][node], found["right"][node]).tolist()
        _search(found, node, (ends + 0.5).tolist(), sides)
    return found


def _search(found: dict[str, list], node: int, ends: list[float], sides: list[int]) -> None:
    """Make a node the root of a binary search: a side up to each of the ends, and one behind the last."""
    middle = len(ends) // 2
    found["threshold"][node] = ends[middle] if ends else np.inf
    halves = ((ends[:middle], sides[: middle + 1]), (ends[middle + 1 :], sides[middle + 1 :]))
    for child, (low, some) in zip(("left", "right"), halves, strict=True):
        if len(some) < 2:
            found[child][node] = some[0] if some else sides[0]
            continue
        new = found[child][node] = len(found["feature"])
        for name, values in found.items():
            values.append(values[node] if name == "feature" else 0)
        _search(found, new, low, some)
