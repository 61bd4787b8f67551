"""``Classifier`` and ``Regressor``: scikit-learn estimators on top of :mod:`lamina.fitting`."""

from __future__ import annotations

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage]
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from lamina.data.arrays import has_axes, is_missing, is_nested
from lamina.data.columns.image import guess as guess_image
from lamina.data.frames import column_names, free_name, literal
from lamina.data.read import like, read_table
from lamina.data.schema import rows_numbered_as
from lamina.data.weights import row_weights
from lamina.errors import DataError, OptionError
from lamina.families import FAMILIES, Auto, Custom, Family, check_family, family_from_json
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import SEEDS, ImportanceOptions, PredictOptions, Settings
from lamina.model import Model
from lamina.options import known_options, shortened
from lamina.predictions import predictions
from lamina.store import save
from lamina.train.callbacks import Callback
from lamina.train.events import Monitor
from lamina.train.recipe import Recipe
from lamina.trust.importance import importances, most_rows

WEIGHT = "sample_weight"
#: Settings of a fit that an estimator may have as a parameter of the same name.
_SETTINGS = tuple(
    field.name for field in dataclasses.fields(Settings) if field.name not in ("target", "task", "seed", "fewest")
)
MOST_REPEATS = 10
"""Integer sample weights repeat rows, exactly, if the result has at most this many times the rows."""


class _Estimator(BaseEstimator, ABC):
    """Base class of the estimators."""

    _kind: str
    family: Family | Auto | str
    recipe: Recipe | None
    kinds: Mapping[str, str] | None
    weight: str | None
    unique: bool
    random_state: int | np.random.RandomState | None
    callbacks: Sequence[Callback] | None

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also nested ones: ``recipe__learning_rate``, ``family__hidden_sizes``.

        To set its options, a recipe of None is replaced by ``Recipe()``, and the name of a family by the family.
        """
        nested = {name.partition("__")[0] for name in params if "__" in name}
        if "recipe" in nested and self.recipe is None and "recipe" not in params:
            self.recipe = Recipe()
        if "family" in nested:
            family = params.pop("family", self.family)
            self.family = check_family(family) if isinstance(family, str) else family
        return super().set_params(**params)

    @known_options
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to rows and targets.

        Args:
            X: Rows: a frame of any library, an array (N, features), or a dict of columns; or images, texts or series: an array
                (N, height, width[, channels]) or (N, steps, channels), a list of texts or paths, a list of arrays (channels,
                steps) of any lengths. Missing values are allowed.
            y: Target: labels (N,) or (N, labels) of 0 and 1; values (N,) or (N, targets).
            sample_weight: Sample weights (N,). Integer weights are equivalent to repeated rows.

        Raises:
            DataError: The data are not suitable (a ValueError).
            OptionError: An option is out of bounds (a ValueError).
        """
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        table = self._table(X, reset=True)
        targets = self._targets(y)
        check_consistent_length(table, y)
        names = _free_names(list(targets), table.columns)
        if not isinstance(self.kinds, Mapping | None):
            Settings(kinds=self.kinds).check()
        kinds = dict(Settings(kinds=self.kinds).kinds or {})
        if is_rich(X) and table.dtypes == [pl.String] and guess_image(table.to_series()) is None:
            kinds.setdefault(table.columns[0], "text")  # short texts would be a category
        table = table.with_columns(pl.Series(names[name], values) for name, values in targets.items())
        weight = self.weight
        if sample_weight is not None:
            if self.weight is not None:
                raise OptionError(f"both sample_weight and weight={self.weight!r} are given; give one of them")
            weights = _check_sample_weight(sample_weight, np.empty((len(table), 1)), ensure_non_negative=True)
            name = _free_names([WEIGHT], table.columns)[WEIGHT]
            table = _weigh(table, weights, name, repeat=not self.unique)
            weight = name if name in table.columns else None
        options = {name: getattr(self, name) for name in _SETTINGS if hasattr(self, name)}
        settings = Settings(
            tuple(names.values()),
            task=self._task(len(names)),
            **{**options, "kinds": kinds, "weight": weight},
            seed=_seed(self.random_state),
            fewest=1,
        ).check()
        model = fit_model(table, settings, callbacks=self.callbacks)
        model.card["settings"]["weight"] = self.weight  # sample_weight is no column of X
        return self._adopt(model)

    @known_options
    def predict(self, X: Any, *, trust: bool = False, coverage: float = 0.9, reasons: bool = True) -> Any:
        """Predicted labels or values; with ``trust`` a frame with sets or intervals, novelty and reasons.

        Args:
            X: Rows, as in ``fit``.
            trust: Add calibrated probabilities, sets or intervals, novelty and reasons: see
                :func:`lamina.predictions.predictions`.
            coverage: With trust, share of rows whose true value is in their set or interval.
            reasons: With trust, add reasons; they take most of the time.

        Returns:
            For a frame a series of the same library, named as the target, or a frame for several targets; for an array an
            array, (N,) or (N, targets). With trust a frame, of polars where X is an array.

        Raises:
            SchemaError: A column is missing or of another kind.
            OptionError: With trust: the coverage is not between 0 and 1, or the model was fitted without trust.
        """
        PredictOptions(trust, coverage, reasons).check()
        if trust:
            return self.predict_table(X, trust=True, coverage=coverage, reasons=reasons)
        table = self._table(X)
        task = self.model_.task
        prediction = task.predict(self.model_.outputs(table))
        if isinstance(X, np.ndarray | list | tuple):
            return prediction.labels
        columns = [
            pl.Series(name, values)
            for name, values in zip(task.targets, task.columns(prediction, prediction.outputs), strict=False)
        ]
        return like(columns[0] if len(columns) == 1 else pl.DataFrame(columns), X)

    @known_options
    def predict_table(self, X: Any, *, trust: bool = False, coverage: float = 0.9, reasons: bool = True) -> Any:
        """Predictions as a frame of the same library (polars for arrays): targets and the probability of each class.

        The options are those of :meth:`predict`.
        """
        PredictOptions(trust, coverage, reasons).check()
        table = predictions(self.model_, self._table(X), trust=trust, coverage=coverage, reasons=reasons)
        converted = like(table, X)
        return table if isinstance(converted, np.ndarray) else converted

    @known_options
    def evaluate(self, data: Any) -> dict[str, Any]:
        """Scores on rows with a target: a dict of ``rows``, ``scores`` and ``baseline``, the scores of the baseline.

        Args:
            data: A path or frame with the target.
        """
        check_is_fitted(self)
        return self.model_.evaluate(read_table(data))

    @known_options
    def importance(self, data: Any, *, repeats: int = 5, seed: int = 0, monitor: Monitor | None = None) -> pl.DataFrame:
        """Permutation feature importance: the decrease of the score when a column's values are shuffled.

        The score is the task's main metric, as R² or accuracy. Limits of the method, with correlated columns for instance, are
        in :func:`lamina.trust.importance.importances`. Use test rows: on training rows it also measures overfitting.

        Args:
            data: A path or frame with the target. At most 5,000 rows are used, sampled at random; 1,000 with images, texts or
                series.
            repeats: Shuffles of each column.
            seed: Seed of the sample and the shuffles.
            monitor: Called with a :class:`lamina.callbacks.Shuffle` after each shuffle.

        Returns:
            A row for each column, the most important first: ``column``, ``importance`` (mean over the shuffles) and its
            standard ``error``; for a forest also ``impurity``, the mean decrease in impurity as a share.

        Raises:
            SchemaError: A column, or the target, is missing.
            DataError: Fewer than 2 rows have a target, or the score is not defined, as the AUC for a single class.
            OptionError: repeats is below 1.

        Example:
            >>> from sklearn.datasets import load_diabetes
            >>> from lamina import Regressor
            >>> rows = load_diabetes(as_frame=True).frame
            >>> model = Regressor("linear", random_state=0).fit(rows[:300].drop(columns="target"), rows["target"][:300])
            >>> model.importance(rows[300:])["column"][:3].to_list()
            ['s5', 'bmi', 'bp']
        """
        check_is_fitted(self)
        ImportanceOptions(repeats, seed, monitor).check()
        model, whole = self.model_, read_table(data)
        task, metric = model.task, model.task.main_metric
        usable = np.flatnonzero(task.usable_rows(whole)[0])
        sample = np.random.default_rng(seed).choice(usable, min(len(usable), most_rows(model.schema)), replace=False)
        table = whole[np.sort(sample)]
        truth, weight = task.truth(table), row_weights(table, model.schema)

        def score(rows: pl.DataFrame) -> float:
            value = metric(truth, task.predict(model.outputs(rows, checked=True)), weight)
            if np.isnan(value):
                raise DataError(
                    f"{metric.silent} in the {len(truth):,} rows used, so the {metric.title} is not defined; give more rows"
                )
            return value

        with rows_numbered_as(whole, model.schema):
            checked, _ = model.schema.check(table, notes=False)
            result = importances(score, checked, repeats=repeats, seed=seed, monitor=monitor)
        rows = [(importance.column, importance.mean, importance.error) for importance in result]
        frame = pl.DataFrame(rows, {"column": pl.String, "importance": pl.Float64, "error": pl.Float64}, orient="row")
        impurity = model.predictor.feature_importance()
        if not impurity:
            return frame
        return frame.with_columns(impurity=pl.Series([impurity.get(name, 0.0) for name in frame["column"]]))

    def save(self, path: str | Path) -> Path:
        """Save the model to one ``.lamina`` file; returns its path."""
        check_is_fitted(self)
        return save(self.model_, path)

    @property
    def history_(self) -> list[dict[str, Any]]:
        """Training history: for each epoch a dict of losses, scores, learning rate, seconds."""
        check_is_fitted(self)
        return self.model_.card["history"]

    @property
    def n_iter_(self) -> int:
        """Number of epochs trained."""
        return len(self.history_)

    def _adopt(self, model: Model) -> Self:
        self.model_ = model
        return self

    def _table(self, X: Any, reset: bool = False) -> pl.DataFrame:
        if not reset:
            check_is_fitted(self)
        # After fit(X, y) scikit-learn requires the same columns in the same order; models of lamina.fit or from a file select
        # columns by name.
        strict = reset or hasattr(self, "n_features_in_")
        first = X[0] if isinstance(X, list | tuple) and X else X
        # one of scipy's sparse arrays is a dict
        if isinstance(X, str | Path) or (isinstance(first, Mapping) and not issparse(X)):
            return read_table(X)
        if is_rich(X):
            if reset:
                self.n_features_in_ = 1
            return read_table(X)
        if hasattr(X, "columns") or hasattr(X, "column_names"):
            if strict and hasattr(X, "shape") and (reset or not self._has_names_of(X)):
                validate_data(self, X, reset=reset, skip_check_array=True)
            table = read_table(X)
            return _check_not_empty(table) if strict else table
        if isinstance(X, list) or getattr(getattr(X, "dtype", None), "kind", "") == "O":
            X = _numbers(X)
        X = check_array(X, dtype=None, ensure_all_finite=False, estimator=self, input_name="X")
        if strict:
            validate_data(self, X, reset=reset, skip_check_array=True)
        return read_table(X)

    def _has_names_of(self, X: Any) -> bool:
        """Whether a frame has exactly the columns of the training frame; else scikit-learn's check raises."""
        names = X.columns.tolist() if hasattr(X.columns, "tolist") else list(X.columns)  # tolist is faster with pandas
        return names == getattr(self, "feature_names_in_", np.empty(0)).tolist()

    def _task(self, targets: int) -> str:
        """The task for this number of target columns."""
        return self._kind

    @abstractmethod
    def _targets(self, y: Any) -> dict[str, Any]:
        """The target columns by name."""

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class Classifier(ClassifierMixin, _Estimator):
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

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier, Recipe
        >>> X, y = load_iris(return_X_y=True)
        >>> Classifier(recipe=Recipe(epochs=60), random_state=0).fit(X, y).score(X, y) > 0.9
        True
    """

    _kind = "classification"

    @known_options
    def __init__(
        self,
        family: Family | Auto | str = "auto",
        recipe: Recipe | None = None,
        *,
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        split: str | None = None,
        weight: str | None = None,
        drop: list[str] | tuple[str, ...] | None = None,
        unique: bool = False,
        validation: float = 0.15,
        class_weight: Mapping[Any, float] | str | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        trust: bool = True,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.family = family
        self.recipe = recipe
        self.kinds = kinds
        self.group = group
        self.time = time
        self.split = split
        self.weight = weight
        self.drop = drop
        self.unique = unique
        self.validation = validation
        self.callbacks = callbacks
        self.class_weight = class_weight
        self.device = device
        self.random_state = random_state
        self.trust = trust

    def predict_proba(self, X: Any) -> np.ndarray:
        """Class probabilities, an array (N, classes) in the order of ``classes_``."""
        table = self._table(X)  # checks first that the estimator is fitted
        return self.model_.outputs(table)

    @property
    def classes_(self) -> np.ndarray:
        """Sorted labels."""
        check_is_fitted(self)
        return np.array(self.model_.task.classes)

    def _task(self, targets: int) -> str:
        return self._kind if targets == 1 else "multilabel"

    def _targets(self, y: Any) -> dict[str, Any]:
        if len(getattr(y, "shape", ())) == 2 and y.shape[1] > 1:  # an indicator matrix; labels may be missing
            if hasattr(y, "columns"):
                table = read_table(y)
                return dict(zip(table.columns, table, strict=True))
            return {f"label{i}": column for i, column in enumerate(np.asarray(y).T)}
        name = _name_of(y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return {name: y}


class Regressor(RegressorMixin, _Estimator):
    """Regressor for one target or several. Args and attributes are those of :class:`Classifier`, but no ``class_weight``.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> from lamina import Recipe, Regressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> Regressor(recipe=Recipe(epochs=60), random_state=0).fit(X, y).score(X, y) > 0.4
        True
    """

    _kind = "regression"

    @known_options
    def __init__(
        self,
        family: Family | Auto | str = "auto",
        recipe: Recipe | None = None,
        *,
        kinds: Mapping[str, str] | None = None,
        group: str | None = None,
        time: str | None = None,
        split: str | None = None,
        weight: str | None = None,
        drop: list[str] | tuple[str, ...] | None = None,
        unique: bool = False,
        validation: float = 0.15,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        trust: bool = True,
        callbacks: Sequence[Callback] | None = None,
    ):
        self.family = family
        self.recipe = recipe
        self.kinds = kinds
        self.group = group
        self.time = time
        self.split = split
        self.weight = weight
        self.drop = drop
        self.unique = unique
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.trust = trust
        self.callbacks = callbacks

    def _targets(self, y: Any) -> dict[str, Any]:
        names = column_names(list(y.columns), "y") if hasattr(y, "columns") else [_name_of(y)]
        values = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", estimator=self)
        values = np.asarray(values, dtype=np.float64)
        if values.ndim == 1:
            return {names[0]: values}
        if len(names) != values.shape[1]:
            names = [f"target{i}" for i in range(values.shape[1])] if values.shape[1] > 1 else ["target"]
        return {name: values[:, i] for i, name in enumerate(names)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


ESTIMATORS: dict[str, type[_Estimator]] = {
    "classification": Classifier,
    "multilabel": Classifier,
    "regression": Regressor,
}
"""Estimator class of each task."""


def is_rich(X: Any) -> bool:
    """Whether X has one image, text or series per row, and is no table."""
    if isinstance(X, pl.Series) or (hasattr(X, "to_pylist") and not hasattr(X, "columns")):  # pyarrow array
        dtype = read_table(X).dtypes[0]
        return dtype.is_nested() or dtype in (pl.String, pl.Binary, pl.Null)
    axes = 1 if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
    if axes != 1 or getattr(getattr(X, "dtype", None), "kind", "O") not in "OUS":
        return axes > 2
    rows = [row for row in X if not is_missing(row)]
    if all(isinstance(row, str | bytes | os.PathLike) or hasattr(row, "getbands") for row in rows):  # Pillow image
        return len(X) > 0  # also if all rows are missing
    if not all(map(has_axes, rows)):
        return False
    ragged = len({len(row) for row in rows}) > 1 and not any(isinstance(cell, str) for row in rows for cell in row)
    return ragged or any(map(is_nested, rows))


def _name_of(y: Any) -> str:
    """Name of y, by default "target"; pandas also has the name 0."""
    name = getattr(y, "name", None)
    return "target" if name is None or name == "" else literal(str(name))


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and 0 <= random_state < SEEDS:
        return int(random_state)
    if not isinstance(random_state, np.random.RandomState | None):
        raise OptionError(
            f"random_state is {shortened(random_state)}, expected a whole number between 0 and {SEEDS - 1}, "
            "a numpy.random.RandomState or None"
        )
    return int(check_random_state(random_state).randint(2**31 - 1))


def estimator(model: Model, requested: Settings | None = None) -> Any:
    """The fitted estimator of a model, with the options of its fit, so that it can be cloned.

    Args:
        model: The model; its card has the options, but only names of functions.
        requested: The settings that it was just fitted with, functions among them.
    """
    kind = ESTIMATORS[model.task.name]
    if "settings" not in model.card:  # a file of lamina 0.1.0
        family = family_from_json({"name": model.family, **model.card["family"]})
        return kind(family, Recipe.from_json(model.card["recipe"]))._adopt(model)
    content, custom = model.card["settings"], model.family not in {*FAMILIES, Custom.name}  # may not be importable
    settings = Settings.from_json({**content, "family": {"name": "auto"}} if custom else content)
    options = {name: getattr(settings, name) for name in kind._get_param_names() if hasattr(settings, name)}
    options |= {"family": model.family} if custom else {}
    if requested is not None:
        options |= {"recipe": requested.recipe}
        options |= {"family": requested.family} if isinstance(requested.family, Custom) else {}
    return kind(**options, random_state=settings.seed)._adopt(model)


def _check_not_empty(table: pl.DataFrame) -> pl.DataFrame:
    if table.width == 0:
        raise ValueError(f"0 feature(s) (shape={table.shape}) while a minimum of 1 is required.")
    if table.height == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
    return table


def _numbers(X: Any) -> Any:
    """Objects as float64 if all are numbers; else X unchanged."""
    values = np.asarray(X, dtype=object) if not isinstance(X, np.ndarray) else X
    try:
        return np.asarray(values, dtype=np.float64)
    except ValueError:
        return X


def _free_names(names: list[str], taken: list[str]) -> dict[str, str]:
    free: dict[str, str] = {}
    for name in names:
        free[name] = free_name(name, {*taken, *free.values()})
    return free


def _weigh(table: pl.DataFrame, weights: np.ndarray, name: str, *, repeat: bool) -> pl.DataFrame:
    """The table with repeated rows for integer weights, else with a column of weights; rows of weight 0 are removed."""
    if not weights.any():
        raise OptionError("sample_weight is zero for all rows; at least one weight must be above 0")
    if repeat and np.array_equal(weights, np.round(weights)) and weights.sum() <= MOST_REPEATS * len(weights):
        return table[np.repeat(np.arange(len(table)), weights.astype(np.int64))]
    return table.with_columns(pl.Series(name, weights)).filter(pl.Series(weights > 0))
