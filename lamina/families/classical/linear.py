"""Weights and nothing else: logistic regression for classes, ridge regression for values."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax

from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import all_classes, cardinalities, one_hot
from lamina.families.predictor import Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch

PENALTIES = (100.0, 10.0, 1.0, 0.1, 0.01)
_FOLDS = 3
#: Rows that the penalty is chosen on: it is a belief about the weights, which more rows do not change.
_TRIED_ON = 10_000
#: The same where rows are sparse, which is slower by far; where there are more, one part of them tests instead of each in turn.
_TRIED_ON_THIN = 3_000
#: Newton's method solves for so many weights at once; more are found by L-BFGS, which knows their slopes only.
_NEWTON = 1_000


@dataclass
class Linear(ClassicalFamily):
    """Logistic regression, with several classes multinomial (Cox 1958), or ridge regression (Hoerl & Kennard 1970).

    A weight for each number and flag and each level of each category, pixel, term of a text (TF-IDF) and statistic of a series.
    The loss, summed over rows, plus the penalty times the squared weights (half of them for classes) is least, as in
    scikit-learn, which finds the weights: its C is 1 / penalty.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier("linear", random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.95
        True
    """

    name: ClassVar[str] = "linear"

    alpha: str | float = option(
        "auto",
        "how strongly weights are held small; auto tries a few values by cross-validation on training rows, groups kept whole",
        low=1e-10,
        high=1e10,
        choices=("auto",),
        kind=float,
    )

    def fit(self, rows: Rows, held: Rows, how: Fitting) -> Predictor:
        if rows.classes and len(np.unique(rows.target)) < 2:
            return Constant().fit(rows, held, how)
        levels = cardinalities(rows.inputs)
        X = one_hot(rows.blocks, levels)
        penalty = _choose(X, rows, how) if self.alpha == "auto" else float(self.alpha)
        learner = _learner(X, rows.target, penalty)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a fit that ends before the last digit answers as well
            learner.fit(X, rows.target, sample_weight=rows.weight)
        how.progress(1.0)
        known = tuple(learner.classes_.tolist()) if rows.classes else ()
        weights = np.ascontiguousarray(learner.coef_.reshape(-1, X.shape[1]).T)
        return Weights(weights, np.atleast_1d(learner.intercept_), levels, rows.classes, known, penalty)


def _learner(X: Any, target: np.ndarray, penalty: float) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    if target.ndim == 2:
        return Ridge(alpha=penalty)
    classes = len(np.unique(target))
    newton = not sparse.issparse(X) and X.shape[1] * (1 if classes == 2 else classes) <= _NEWTON
    solver = "newton-cholesky" if newton else "lbfgs"
    return LogisticRegression(C=1 / penalty, solver=solver, max_iter=300, warm_start=True)


def _choose(X: Any, rows: Rows, how: Fitting) -> float:
    """The penalty with the least loss on rows that were not learnt from."""
    target, weight = rows.target, np.ones(len(rows)) if rows.weight is None else rows.weight
    losses = np.zeros(len(PENALTIES))
    thin = sparse.issparse(X)
    folds = list(_folds(rows, _TRIED_ON_THIN if thin else _TRIED_ON, how.seed))
    folds = folds[:1] if thin and len(rows) > _TRIED_ON_THIN else folds
    for number, (learn, test) in enumerate(folds):
        learner = _learner(X, target[learn], 1.0)
        for place, penalty in enumerate(PENALTIES):  # each begins where the one before ended
            learner.set_params(**({"alpha": penalty} if target.ndim == 2 else {"C": 1 / penalty}))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                learner.fit(X[learn], target[learn], sample_weight=weight[learn])
            losses[place] += _loss(learner, X[test], target[test], weight[test])
            how.progress((number * len(PENALTIES) + place + 1) / (len(PENALTIES) * len(folds) + 1))
    return PENALTIES[int(losses.argmin())] if folds else 1.0


def _folds(rows: Rows, most: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from and to test on: each class shared out evenly, or each group wholly on one side."""
    target, random = rows.target, np.random.default_rng(seed)
    chance = random.random(len(target))
    order = np.lexsort((chance, target) if target.ndim == 1 else (chance,))
    order = order[np.linspace(0, len(order) - 1, min(len(order), most)).astype(np.int64)]
    fold = np.arange(len(order))
    if rows.group is not None:
        _, member = np.unique(rows.group[order], return_inverse=True)
        fold = random.permutation(member.max() + 1)[member]
    fold %= _FOLDS
    for number in range(_FOLDS):
        learn, test = order[fold != number], order[fold == number]
        if len(test) and len(learn) and (target.ndim == 2 or len(np.unique(target[learn])) > 1):
            yield learn, test


def _loss(learner: Any, X: Any, target: np.ndarray, weight: np.ndarray) -> float:
    if target.ndim == 2:
        return float((weight[:, None] * (learner.predict(X).reshape(target.shape) - target) ** 2).sum())
    shares = all_classes(learner.predict_proba(X), learner.classes_, max(learner.classes_.max(), target.max()) + 1)
    return float(-(weight * np.log(np.maximum(shares[np.arange(len(target)), target], 1e-9))).sum())


@dataclass(frozen=True)
class Weights(Predictor):
    """The predictor of the linear family.

    Attributes:
        weights: (columns, outputs); one output for two classes.
        offset: (outputs,).
        cardinalities: How many codes each category has.
        classes: How many classes there are, 0 for values.
        known: The classes that training rows had.
        penalty: What held the weights small.
    """

    weights: np.ndarray
    offset: np.ndarray
    cardinalities: tuple[int, ...]
    classes: int
    known: tuple[int, ...]
    penalty: float
    kind: ClassVar[str] = "linear"
    counted: ClassVar[str] = "weights"

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        # A sparse product adds up each row by itself, so that a row gets the same bits alone as in company.
        X = sparse.csr_matrix(one_hot(blocks, self.cardinalities), dtype=np.float64)
        said = X @ self.weights.astype(np.float64) + self.offset
        if not self.classes:
            return said
        if len(self.known) == 2:
            said = expit(np.concatenate([-said, said], axis=1))
        else:
            said = softmax(said, axis=1)
        return all_classes(said, self.known, self.classes)

    def size(self) -> int:
        return self.weights.size + self.offset.size

    def to_json(self) -> dict[str, Any]:
        known = list(self.known)
        return {"cardinalities": list(self.cardinalities), "classes": self.classes, "known": known, "penalty": self.penalty}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        return {"weights": torch.from_numpy(self.weights), "offset": torch.from_numpy(self.offset)}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        sizes, known = tuple(content["cardinalities"]), tuple(content["known"])
        weights, offset = tensors["weights"].numpy(), tensors["offset"].numpy()
        return cls(weights, offset, sizes, content["classes"], known, content["penalty"])
