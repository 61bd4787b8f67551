"""Linear models: logistic regression for classes, ridge regression for values."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy import sparse

from lamina.data.encoding import Encoding, Input
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.classical.matrix import (
    all_classes,
    are_of,
    cardinalities,
    check_cardinalities,
    check_outputs,
    count_columns,
    one_hot,
    probabilities,
)
from lamina.families.classical.naive_bayes import NaiveBayesLogistic
from lamina.families.predictor import ArrayPredictor, Predictor
from lamina.families.readers import auto_option
from lamina.options import option
from lamina.stored import check_array

#: Most characters of all training texts for n-grams by default: with these a fit takes about three times as long.
MOST_CHARACTERS = 20_000_000
_FOLDS = 3
#: Most rows that alpha is chosen on: alpha is a prior of the weights, which does not depend on the number of rows.
_SEARCH_ROWS = 10_000
#: The same for sparse rows, which are far slower; with more rows a single validation split replaces the folds.
_SEARCH_ROWS_SPARSE = 3_000
#: A candidate whose loss is more than this factor of the lowest one is not fitted to further folds.
_NEAR = 1.1
#: Most weights for Newton's method; more are fitted by L-BFGS, which needs gradients only.
_NEWTON = 1_000


@dataclass
class PenalizedFamily(ClassicalFamily):
    """Base of the families of linear models with an L2 penalty."""

    #: Candidates of alpha="auto".
    alphas: ClassVar[tuple[float, ...]] = (100.0, 10.0, 1.0, 0.1, 0.01)

    alpha: str | float = option(
        "auto",
        "L2 regularization strength; auto selects it by cross-validation on the training rows, keeping groups together",
        low=1e-10,
        high=1e10,
        choices=("auto",),
        kind=float,
        tune=(1e-4, 1e4, "log"),
    )

    def fit(self, rows: Rows, validation: Rows, fitting: Fitting) -> Predictor:
        if rows.classes and len(np.unique(rows.target)) < 2:
            return Constant().fit(rows, validation, fitting)
        return self.solve(one_hot(rows.blocks, cardinalities(rows.inputs)), rows, fitting)

    def chosen(self, predictor: Predictor) -> Self:
        return dataclasses.replace(self, alpha=predictor.alpha) if isinstance(predictor, LinearPredictor) else self

    def solve(self, X: Any, rows: Rows, fitting: Fitting) -> LinearPredictor:
        """Fit to the features of rows, (N, columns)."""
        alphas = self.alphas if self.alpha == "auto" else (float(self.alpha),)
        candidates = [(alpha, weighted) for weighted in self.weighing(rows) for alpha in alphas]
        alpha, weighted = _choose(X, rows, fitting, candidates) if len(candidates) > 1 else candidates[0]
        estimator = _estimator(X, rows, rows.target, alpha, weighted)
        _fit(estimator, X, rows.target, rows.weight)
        fitting.progress(1.0)
        present = tuple(estimator.classes_.tolist()) if rows.classes else ()
        weights = np.ascontiguousarray(estimator.coef_.reshape(-1, X.shape[1]).T)
        intercept, levels = np.atleast_1d(estimator.intercept_), cardinalities(rows.inputs)
        return LinearPredictor(weights, intercept, levels, rows.classes, present, alpha)

    def weighing(self, rows: Rows) -> tuple[bool, ...]:
        """Whether to weigh terms of texts by naive Bayes: one answer, or both to choose from."""
        return (False,)


@dataclass
class Linear(PenalizedFamily):
    """Logistic regression, multinomial for several classes (Cox 1958), or ridge regression (Hoerl & Kennard 1970).

    The features are numbers, flags, one-hot levels of categories, pixels, TF-IDF terms of texts and statistics of series.
    scikit-learn minimises the summed loss plus alpha ||w||^2 for ridge regression, or alpha / 2 ||w||^2 for logistic
    regression, where alpha is 1 / C of scikit-learn. Terms of texts may be weighed by naive Bayes for classes, see
    :class:`~lamina.families.classical.naive_bayes.NaiveBayesLogistic`.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier("linear", random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.95
        True
    """

    name: ClassVar[str] = "linear"

    naive_bayes: bool | str = auto_option(
        "weigh terms of texts by naive Bayes; auto where that has the lower loss in the same cross-validation",
        kind=bool,
        blocks=("terms",),
        tune=["auto", False, True],
    )

    character_ngrams: bool | str = auto_option(
        f"n-grams of 3 to 5 characters of words as terms, too; auto for training texts of up to {MOST_CHARACTERS:,} characters",
        kind=bool,
        blocks=("terms",),
        tune=["auto", False],
    )

    def encoding(self) -> Encoding:
        ngrams = {"auto": MOST_CHARACTERS, True: math.inf, False: 0}[self.character_ngrams]
        return dataclasses.replace(super().encoding(), ngrams=ngrams)

    def weighing(self, rows: Rows) -> tuple[bool, ...]:
        if not rows.classes or all(block.kind != "terms" for block in rows.inputs.values()):
            return (False,)
        return (False, True) if self.naive_bayes == "auto" else (bool(self.naive_bayes),)


def _estimator(X: Any, rows: Rows, target: np.ndarray, alpha: float, weighted: bool) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    if weighted:
        return NaiveBayesLogistic(are_of("terms", rows.inputs, rows.blocks), 1 / alpha)
    if target.ndim == 2:
        return Ridge(alpha=alpha)
    classes = len(np.unique(target))
    newton = not sparse.issparse(X) and X.shape[1] * (1 if classes == 2 else classes) <= _NEWTON
    solver = "newton-cholesky" if newton else "lbfgs"
    return LogisticRegression(C=1 / alpha, solver=solver, max_iter=300, warm_start=True)


def _fit(estimator: Any, X: Any, target: np.ndarray, weight: np.ndarray | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ConvergenceWarning: the last digits do not matter
        estimator.fit(X, target, sample_weight=weight)


def _choose(X: Any, rows: Rows, fitting: Fitting, candidates: list[tuple[float, bool]]) -> tuple[float, bool]:
    """The alpha, and whether terms are weighted by naive Bayes, with the least cross-validation loss."""
    target, weight = rows.target, np.ones(len(rows)) if rows.weight is None else rows.weight
    losses = np.zeros(len(candidates))
    is_sparse = sparse.issparse(X)
    folds = list(_folds(rows, _SEARCH_ROWS_SPARSE if is_sparse else _SEARCH_ROWS, fitting.seed))
    folds = folds[:1] if is_sparse and len(rows) > _SEARCH_ROWS_SPARSE else folds
    staying = list(range(len(candidates)))
    for number, (train, test) in enumerate(folds):
        estimators = {weighted: _estimator(X, rows, target[train], 1.0, weighted) for _, weighted in candidates}
        X_train, X_test = X[train], X[test]
        for place in staying:  # warm start
            alpha, weighted = candidates[place]
            estimator = estimators[weighted]
            estimator.set_params(**({"alpha": alpha} if target.ndim == 2 else {"C": 1 / alpha}))
            _fit(estimator, X_train, target[train], weight[train])
            losses[place] += _loss(estimator, X_test, target[test], weight[test])
            fitting.progress((number * len(candidates) + place + 1) / (len(candidates) * len(folds) + 1))
        staying = [place for place in staying if losses[place] <= _NEAR * losses[staying].min()] or staying
    if not folds:
        return 1.0, False
    alpha, weighted = candidates[min(staying, key=lambda place: losses[place])]
    tried = {candidates[place][0]: losses[place] for place in staying if candidates[place][1] == weighted}
    return _between(alpha, tried), weighted


def _between(alpha: float, losses: Mapping[float, float]) -> float:
    """The alpha at the minimum of the parabola through the lowest loss and its neighbours, over the logarithm of alpha.

    Example:
        >>> [round(_between(1.0, {10.0: above, 1.0: 1.0, 0.1: 3.0}), 2) for above in (3.0, 1.2)]
        [1.0, 2.57]
    """
    tried = sorted(losses)
    near = tried[max(tried.index(alpha) - 1, 0) :][:3]
    if len(near) < 3 or alpha != near[1]:
        return alpha
    curvature, slope, _ = np.polyfit(np.log(np.divide(near, alpha)), [losses[one] for one in near], 2)
    return alpha if curvature <= 0 else alpha * math.exp(-slope / (2 * curvature))


def _folds(rows: Rows, most: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, stratified by class; groups are kept together."""
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
        train, test = order[fold != number], order[fold == number]
        if len(test) and len(train) and (target.ndim == 2 or len(np.unique(target[train])) > 1):
            yield train, test


def _loss(estimator: Any, X: Any, target: np.ndarray, weight: np.ndarray) -> float:
    if target.ndim == 2:
        return float((weight[:, None] * (estimator.predict(X).reshape(target.shape) - target) ** 2).sum())
    classes = max(estimator.classes_.max(), target.max()) + 1
    predicted = all_classes(estimator.predict_proba(X), estimator.classes_, classes)
    return float(-(weight * np.log(np.maximum(predicted[np.arange(len(target)), target], 1e-9))).sum())


@dataclass(frozen=True)
class LinearPredictor(ArrayPredictor):
    """Predictor of a linear model.

    Attributes:
        weights: (columns, outputs); one output for two classes.
        intercept: (outputs,).
        cardinalities: Number of codes of each category.
        classes: Number of classes, 0 for regression.
        present: Codes of the classes among the training rows.
        alpha: The L2 regularization strength of the fit.
    """

    weights: np.ndarray
    intercept: np.ndarray
    cardinalities: tuple[int, ...]
    classes: int
    present: tuple[int, ...]
    alpha: float
    kind: ClassVar[str] = "linear"
    counted: ClassVar[str] = "weights"
    saved_as: ClassVar[Mapping[str, str]] = {"intercept": "offset", "present": "known", "alpha": "penalty"}

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        check_array("the intercept", self.intercept, "f", (None,))
        check_array("the weights", self.weights, "f", (count_columns(inputs, levels=True), len(self.intercept)))
        check_cardinalities(self.cardinalities, inputs)
        check_outputs(len(self.intercept), self.present, self.classes, outputs)

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        # A sparse product sums each row by itself: the same bits in a batch of any size.
        X = sparse.csr_matrix(one_hot(blocks, self.cardinalities), dtype=np.float64)
        scores = X @ self.weights.astype(np.float64) + self.intercept
        return probabilities(scores, self.present, self.classes) if self.classes else scores

    def size(self) -> int:
        return self.weights.size + self.intercept.size
