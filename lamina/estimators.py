"""``Classifier`` and ``Regressor``, scikit-learn estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from lamina.data.xy import read_labels, read_values
from lamina.estimator import Estimator
from lamina.families import Auto, Family
from lamina.fitting.settings import Settings
from lamina.model import Model
from lamina.options import known_options
from lamina.train.callbacks import Callback
from lamina.train.recipe import Recipe


class Classifier(ClassifierMixin, Estimator):
    """Classifier for binary, multiclass and multilabel targets.

    Options that are not listed here are those of :func:`lamina.fit`; their columns are columns of X.

    Args:
        family: Model family: ``"auto"``, a name, or a family with its options, ``FeedForward(hidden_sizes=(64, 64))``.
        recipe: Training options of networks; ``None`` is ``Recipe()``.
        random_state: Seed, random state or ``None``.
        callbacks: Called during training, see :mod:`lamina.callbacks`; a clone has copies of them.

    Attributes:
        classes_: Sorted labels.
        model_: The fitted :class:`~lamina.model.Model`.
        history_: Training history, a dict for each epoch.
        notes_: How the rows of the last prediction differed from the training rows, a sentence each.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier, Recipe
        >>> X, y = load_iris(return_X_y=True)
        >>> Classifier(recipe=Recipe(epochs=60), random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    @known_options
    def __init__(
        self,
        family: Family | Auto | str = "auto",
        recipe: Recipe | None = None,
        *,
        quality: str = "good",
        time_limit: float | None = None,
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        split: str | None = None,
        weight: str | None = None,
        drop: list[str] | tuple[str, ...] | None = None,
        unique: bool = False,
        skip_bad: bool = False,
        validation: float = 0.15,
        class_weight: Mapping[Any, float] | str | None = None,
        merge_rare: bool = False,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        trust: bool = True,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.family = family
        self.recipe = recipe
        self.quality = quality
        self.time_limit = time_limit
        self.kinds = kinds
        self.group = group
        self.time = time
        self.split = split
        self.weight = weight
        self.drop = drop
        self.unique = unique
        self.skip_bad = skip_bad
        self.validation = validation
        self.callbacks = callbacks
        self.class_weight = class_weight
        self.merge_rare = merge_rare
        self.device = device
        self.random_state = random_state
        self.trust = trust

    @known_options
    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, an array (N, classes) in the order of ``classes_``."""
        return self._outputs(self._as_rows(X))

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels."""
        check_is_fitted(self)
        task: Any = self.model_.task
        return np.array(task.classes) if isinstance(task.classes[0], str) else task.labels

    def _targets(self, y: Any) -> tuple[str, dict[str, Any]]:
        labels = read_labels(y)
        listed = any(getattr(column, "dtype", None) == pl.List for column in labels.values())
        return "multilabel" if listed or len(labels) > 1 else "classification", labels


class Regressor(RegressorMixin, Estimator):
    """Regressor for one target or several. Args and attributes are those of :class:`Classifier`, but no ``class_weight``.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> from lamina import Recipe, Regressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> Regressor(recipe=Recipe(epochs=60), random_state=0).fit(X, y).score(X, y) > 0.4
        True
    """

    @known_options
    def __init__(
        self,
        family: Family | Auto | str = "auto",
        recipe: Recipe | None = None,
        *,
        quality: str = "good",
        time_limit: float | None = None,
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        split: str | None = None,
        weight: str | None = None,
        drop: list[str] | tuple[str, ...] | None = None,
        unique: bool = False,
        skip_bad: bool = False,
        validation: float = 0.15,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        trust: bool = True,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.family = family
        self.recipe = recipe
        self.quality = quality
        self.time_limit = time_limit
        self.kinds = kinds
        self.group = group
        self.time = time
        self.split = split
        self.weight = weight
        self.drop = drop
        self.unique = unique
        self.skip_bad = skip_bad
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.trust = trust
        self.callbacks = callbacks

    def _targets(self, y: Any) -> tuple[str, dict[str, Any]]:
        return "regression", read_values(self, y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def estimator(model: Model, requested: Settings | None = None) -> Any:
    """The fitted estimator of a model, with the options of its fit, so that it can be cloned.

    Args:
        model: The model; its card has the options, but only names of functions.
        requested: The settings that it was just fitted with, functions among them.
    """
    kind = {cls.__name__: cls for cls in (Classifier, Regressor)}[model.task.estimator]
    return kind.from_model(model, requested)
