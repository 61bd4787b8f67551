"""Logistic regression on terms that are weighted by naive Bayes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse

from lamina.families.classical.matrix import probabilities


class NaiveBayesLogistic:
    """Logistic regression on terms times their log-count ratios (NBSVM; Wang and Manning 2012, "Baselines and bigrams").

    The ratio of term i is ``ln((p_i / |p|) / (q_i / |q|))``, where ``p_i`` is one plus the number of texts of the class that
    have the term, ``q_i`` the same of the other classes, and ``|p|`` the sum over terms. Several classes are one against the
    rest. It has the methods of scikit-learn's estimators that linear models use; weights include the ratios.

    Args:
        terms: Which columns are terms of texts, bool (columns,); the others are not weighted.
    """

    def __init__(self, terms: np.ndarray, C: float = 1.0):
        self.terms, self.C = terms, C
        self.classes_ = np.zeros(0, dtype=np.int64)
        self.coef_ = np.zeros((0, len(terms)))
        self.intercept_ = np.zeros(0)
        self._learners: list[Any] = []

    def set_params(self, C: float) -> Self:
        self.C = C
        return self

    def fit(self, X: sparse.csr_matrix, target: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        from sklearn.linear_model import LogisticRegression

        self.classes_ = np.unique(target)
        ones = self.classes_[1:] if len(self.classes_) == 2 else self.classes_
        if len(self._learners) != len(ones):
            self._learners = [LogisticRegression(solver="lbfgs", max_iter=300, warm_start=True) for _ in ones]
        weight = np.ones(len(target)) if sample_weight is None else sample_weight
        is_class = target[:, None] == ones
        has = sparse.csr_matrix((np.ones(len(X.data)), X.indices, X.indptr), shape=X.shape)[:, self.terms]
        inside, outside = (1 + has.T @ (weight[:, None] * part) for part in (is_class, ~is_class))
        ratios = np.ones((X.shape[1], len(ones)))
        ratios[self.terms] = np.log(inside / inside.sum(axis=0)) - np.log(outside / outside.sum(axis=0))
        for ratio, part, learner in zip(ratios.T, is_class.T, self._learners, strict=True):
            learner.set_params(C=self.C).fit(X @ sparse.diags(ratio), part, sample_weight=sample_weight)
        self.coef_ = np.concatenate([learner.coef_ for learner in self._learners]) * ratios.T
        self.intercept_ = np.concatenate([learner.intercept_ for learner in self._learners])
        return self

    def predict_proba(self, X: sparse.csr_matrix) -> np.ndarray:
        return probabilities(X @ self.coef_.T + self.intercept_, self.classes_.tolist(), len(self.classes_))
