"""Estimators that the worker processes import, some of which do what they should not."""

import os

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression


class Own(ClassifierMixin, BaseEstimator):
    """A logistic regression that does something wrong, as ``how`` says; it fails on rows with an "a" of ``value``."""

    def __init__(self, how="", value=None):
        self.how = how
        self.value = value

    def fit(self, X, y):
        if self.value in set(X["a"]):
            raise RuntimeError("these rows are not liked\nat all")
        if self.how == "print":
            os.write(1, b"no line of JSON")  # as libraries in C do
        self.inner_ = LogisticRegression().fit(X, y)
        self.classes_ = self.inner_.classes_
        self._spoil(X)
        y[:] = y[0]
        return self

    def _spoil(self, X):
        if self.how == "spoil":
            X.drop(columns=list(X.columns)[1:], inplace=True)
            X.iloc[:] = 0.0

    def predict(self, X):
        labels = self.inner_.predict(X)
        self._spoil(X)
        if self.how == "other labels":
            return np.full(len(X), "sideways", dtype=object)
        return labels[1:] if self.how == "too few" else labels

    def predict_proba(self, X):
        values = self.inner_.predict_proba(X)
        self._spoil(X)
        if self.how == "nan":
            values[2, 0] = np.nan
        return {"a column": values[:, :1], "a low sum": values * 0.9}.get(self.how, values)


class Spy(BaseEstimator):
    """Keeps what it gets; neither a classifier nor a regressor by its tags."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X, y, sample_weight))
        self.most_ = y[0]
        return self

    def predict(self, X):
        return np.full(len(X), self.most_)


class Plain:
    """Not derived from a class of scikit-learn."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return [0] * len(X)

    def get_params(self, deep=True):
        return {}


class Infinite(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.full(len(X), np.inf)


class Command:
    """An object whose pickle runs a command when it is read."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)
