"""A scikit-learn estimator as the teacher of a network: a candidate that is no family of lamina becomes a ``.lamina`` file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import polars as pl
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils.validation import check_is_fitted

from lamina.comparison.foreign_fit import explained, reads_texts, rows_for_sklearn, weight_keyword
from lamina.errors import DataError, LaminaError, OptionError
from lamina.fitting.distill import Teacher
from lamina.fitting.prepare import Prepared
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
    if isinstance(given, str | os.PathLike | Model) or hasattr(type(given), "distill") or hasattr(given, "model_"):
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

    def begin(self, features: pl.DataFrame, prepared: Prepared, parts: Split, task: Task, seed: int) -> np.ndarray:
        self._task, self._schema, self._estimator = task, prepared.schema, self._given
        sort = is_classifier(self._given), is_regressor(self._given)
        if any(sort) and sort[task.estimator == "Regressor"] is False:
            raise OptionError(f"teacher is {self.name}, which is no {task.estimator.lower()}, but the task is {task.title}")
        train = features[parts.train]
        try:
            check_is_fitted(self._given)
        except NotFittedError:
            pass
        else:
            classes = getattr(self._given, "classes_", None)
            if isinstance(classes, np.ndarray) and is_classifier(self._given) and len(classes) < task.size:
                theirs, mine = (first_values(list(values)) for values in (classes.tolist(), task.output_names))
                raise OptionError(
                    f"teacher is {self.name}, which knows only the classes {theirs}, but the data have {mine}; fit it to all "
                    "of them, or give it unfitted"
                )
            return self.outputs(train)
        table = prepared.table[parts.train]
        y = target_for_sklearn(task, table)
        known = np.ones(len(y), dtype=bool)
        if y.dtype.kind == "f":
            known &= ~np.isnan(y.reshape(len(y), -1)).any(axis=1)
        weight = None if prepared.weight is None else prepared.weight[parts.train]
        outputs, group = np.empty((len(y), task.size)), None if prepared.group is None else prepared.group[parts.train]
        folds: Any = KFold(FOLDS, shuffle=True, random_state=seed)
        if group is not None and len(np.unique(group)) >= FOLDS:
            folds = GroupKFold(FOLDS)
        for fitted, others in folds.split(outputs, groups=group):
            self._fit(train[fitted], y[fitted], known[fitted], None if weight is None else weight[fitted], seed)
            outputs[others] = self.outputs(train[others])
        self._fit(train, y, known, weight, seed)
        return outputs

    def _fit(self, rows: pl.DataFrame, y: np.ndarray, known: np.ndarray, weight: np.ndarray | None, seed: int) -> None:
        self._estimator = clone(self._given)
        keyword = None if weight is None else weight_keyword(self._estimator)
        weights = {keyword: weight[known]} if keyword and weight is not None else {}
        np.random.seed(seed)  # of estimators with random_state=None
        try:
            rows = rows.filter(pl.Series(known))
            self._estimator.fit(rows_for_sklearn(rows, self._schema, texts=reads_texts(self._given)), y[known], **weights)
        except MemoryError:
            raise
        except Exception as error:  # whatever it raises
            raise DataError(f"teacher {self.name} raised {explained(error, self._schema, rows)}") from error

    def outputs(self, features: pl.DataFrame) -> np.ndarray:
        X = rows_for_sklearn(features, self._schema, texts=reads_texts(self._estimator))
        try:
            probabilities = self._estimator.predict_proba(X) if hasattr(self._estimator, "predict_proba") else None
            decision = self._estimator.predict(X)
            prediction = prediction_of_sklearn(self._task, decision, probabilities, getattr(self._estimator, "classes_", None))
        except (LaminaError, MemoryError) as error:
            if isinstance(error, DataError):
                raise DataError(f"teacher is {self.name}, but {error}") from error
            raise
        except Exception as error:  # whatever it raises
            raise DataError(f"teacher {self.name} raised {explained(error, self._schema, features)}") from error
        return outputs_of_sklearn(self._task, prediction)
