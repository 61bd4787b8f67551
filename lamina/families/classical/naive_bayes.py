"""Logistic regression on terms that are weighted by naive Bayes."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax


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
        has = sparse.csr_matrix((np.ones(len(X.data)), X.indices, X.indptr), shape=X.shape)
        weight = np.ones(len(target)) if sample_weight is None else sample_weight
        coefficients, intercepts = [], []
        for one, learner in zip(ones, self._learners, strict=True):
            ratio = np.ones(X.shape[1])
            inside, outside = (1 + has[rows].T @ weight[rows] for rows in (target == one, target != one))
            inside, outside = inside[self.terms], outside[self.terms]
            ratio[self.terms] = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
            learner.set_params(C=self.C).fit(X @ sparse.diags(ratio), target == one, sample_weight=sample_weight)
            coefficients.append(learner.coef_[0] * ratio)
            intercepts.append(learner.intercept_[0])
        self.coef_, self.intercept_ = np.stack(coefficients), np.array(intercepts)
        return self

    def predict_proba(self, X: sparse.csr_matrix) -> np.ndarray:
        scores = X @ self.coef_.T + self.intercept_
        return softmax(scores, axis=1) if len(self.classes_) > 2 else np.hstack([expit(-scores), expit(scores)])
