"""Embeddings: the activations before the last layer of a network, as the transformer of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import numpy as np
from sklearn.utils import TransformerTags
from sklearn.utils.validation import check_is_fitted

from lamina.families import Auto, check_family
from lamina.families.family import NetworkFamily
from lamina.fitting.settings import decides
from lamina.options import known_options


class _OfNetworks:
    """A method that only estimators of networks have; for others the AttributeError names what to use.

    As ``sklearn.utils.metaestimators.available_if``, whose message has no remedy.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, estimator: Any, owner: type | None = None) -> Callable[..., Any]:
        if estimator is None:
            return self.function
        if not is_network(estimator):
            other = "predict_proba(X)" if hasattr(estimator, "predict_proba") else "predict(X)"
            name = getattr(estimator.model_, "family", "") if hasattr(estimator, "model_") else estimator.family
            raise AttributeError(
                f"the family {getattr(name, 'name', name)!r} has no {self.function.__name__}: only networks have embeddings; "
                f"use {other}, or fit a network such as family='feedforward'"
            )
        return MethodType(self.function, estimator)


def is_network(estimator: Any) -> bool:
    """Whether an estimator has a network; before the fit, whether it is certain to have one."""
    if hasattr(estimator, "model_"):
        return estimator.model_.predictor.plan is not None
    family = check_family(estimator.family)
    return isinstance(family, NetworkFamily) or (isinstance(family, Auto) and not decides(family, estimator.recipe))


class Embeddings:
    """The embeddings of an estimator: ``transform``, where its family is a network."""

    @_OfNetworks
    @known_options
    def transform(self, X: Any) -> np.ndarray:
        """Embeddings of rows: the activations before the last layer of the network, float32 (N, D).

        For search by similarity, clustering, plots, or as features of another model; texts, images and series have them as rows
        of a table do. In an ensemble in one network, as the default for tables, they are the mean over its members.

        Args:
            X: Rows, as in ``predict``.

        Raises:
            AttributeError: The family is no network.
            SchemaError: A column is missing or of another kind.

        Example:
            >>> import lamina
            >>> from sklearn.datasets import load_iris
            >>> X, y = load_iris(return_X_y=True)
            >>> model = lamina.Classifier(recipe=lamina.Recipe(epochs=5), random_state=0).fit(X, y)
            >>> model.transform(X).shape
            (150, 128)
        """
        check_is_fitted(self)
        estimator: Any = self
        _, checked = estimator._checked(estimator._as_rows(X))
        return estimator.model_.embeddings(checked)

    @_OfNetworks
    @known_options
    def fit_transform(self, X: Any, y: Any, sample_weight: Any = None) -> np.ndarray:
        """Fit the model, and return the embeddings of its training rows, float32 (N, D)."""
        estimator: Any = self
        return estimator.fit(X, y, sample_weight).transform(X)

    @_OfNetworks
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the columns of :meth:`transform`: ``embedding0``, ``embedding1``, ..."""
        check_is_fitted(self)
        estimator: Any = self
        return np.array([f"embedding{place}" for place in range(estimator.model_.network.embedding_size)], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # pyright: ignore[reportAttributeAccessIssue]
        tags.transformer_tags = TransformerTags(preserves_dtype=[])
        return tags
