"""A scikit-learn estimator as the teacher of a network: a candidate that is no family of lamina becomes a ``.lamina`` file."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from lamina.comparison.foreign_fit import calls_of, labelled, reads_texts, rows_for_sklearn, weight_keyword
from lamina.errors import DataError, OptionError
from lamina.estimator import Estimator
from lamina.fitting.distill import Teacher
from lamina.fitting.folds import at_random
from lamina.fitting.prepare import Prepared
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.model import Model
from lamina.options import shortened
from lamina.starting import model_teacher
from lamina.tasks.foreign import outputs_of_sklearn, prediction_of_sklearn, target_for_sklearn
from lamina.tasks.target import first_values
from lamina.tasks.task import Task

FOLDS = 5
"""Folds of the outputs for the training rows of an estimator that is fitted here."""


def teacher_of(given: Any) -> Teacher | None:
    """The teacher of the option ``teacher``; None for None.

    Raises:
        ModelFileError: The file cannot be read.
        OptionError: It is no model, no file and no estimator.
    """
    if given is None:
        return None
    if isinstance(given, str | os.PathLike | Model | Estimator):
        return model_teacher(given)
    if isinstance(given, type) or not all(hasattr(given, name) for name in ("fit", "predict", "get_params")):
        raise OptionError(
            f"teacher is {shortened(given)}, expected a fitted model, the path of a .lamina file, or a scikit-learn classifier "
            "or regressor: an object with fit, predict and get_params"
        )
    return EstimatorTeacher(given)


class EstimatorTeacher(Teacher):
    """An estimator of scikit-learn. One that is not fitted is fitted to the training rows, and to their folds for these.

    Args:
        estimator: A classifier or regressor, or a pipeline that ends with one.
    """

    def __init__(self, estimator: Any) -> None:
        self.name, self._given = type(estimator).__name__, estimator

    def to_json(self) -> dict[str, Any]:
        return {"model": self.name, "family": "", "checksum": ""}

    def training_outputs(self, features: pl.DataFrame, prepared: Prepared, parts: Split, task: Task, seed: int) -> np.ndarray:
        self._task, self._schema, self._seed, self._estimator = task, prepared.schema, seed, self._given
        train = features[parts.train]
        try:
            check_is_fitted(self._given)
        except NotFittedError:
            pass
        else:
            classes = getattr(self._given, "classes_", None)
            if isinstance(classes, np.ndarray) and len(classes) < task.size:
                theirs, mine = (first_values(list(values)) for values in (classes.tolist(), task.output_names))
                raise OptionError(
                    f"teacher is {self.name}, which knows only the classes {theirs}, but the data have {mine}; fit it to all "
                    "of them, or give it unfitted"
                )
            return self.outputs(train)
        table = prepared.table[parts.train]
        y = target_for_sklearn(task, table)
        weight = None if prepared.weight is None else prepared.weight[parts.train]
        group = None if prepared.group is None else prepared.group[parts.train]
        if group is not None and len(np.unique(group)) < FOLDS:
            group = None
        outputs = np.empty((len(y), task.size))
        for fitted, others in at_random(task.strata(table), len(y), group, FOLDS, seed):
            self._fit(train[fitted], y[fitted], None if weight is None else weight[fitted])
            outputs[others] = self.outputs(train[others])
        self._fit(train, y, weight)
        return outputs

    def fitted_to_validation(self, prepared: Prepared, parts: Split, settings: Settings) -> bool | None:
        return None if self._estimator is self._given else False

    def _fit(self, rows: pl.DataFrame, y: np.ndarray, weight: np.ndarray | None) -> None:
        self._estimator, known = clone(self._given), labelled(y)
        rows, y = rows.filter(pl.Series(known)), y[known]
        keyword = None if weight is None else weight_keyword(self._estimator)
        weights = {keyword: weight[known]} if keyword and weight is not None else {}
        with self._calls(rows):
            self._estimator.fit(rows_for_sklearn(rows, self._schema, texts=reads_texts(self._given)), y, **weights)

    def outputs(self, features: pl.DataFrame) -> np.ndarray:
        X, estimator = rows_for_sklearn(features, self._schema, texts=reads_texts(self._estimator)), self._estimator
        with self._calls(features):
            probabilities = estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else None
            decision = estimator.predict(X)
        try:
            prediction = prediction_of_sklearn(self._task, decision, probabilities, getattr(estimator, "classes_", None))
        except DataError as error:
            raise DataError(f"teacher is {self.name}, but {error}") from error
        return outputs_of_sklearn(self._task, prediction)

    def _calls(self, rows: pl.DataFrame) -> AbstractContextManager[None]:
        return calls_of(f"teacher {self.name}", self._schema, rows, self._seed)
