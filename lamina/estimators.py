"""``Classifier`` and ``Regressor``: lamina under scikit-learn's contract. Thin; the work is in :mod:`lamina.learn`."""

from __future__ import annotations

import dataclasses
import os
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
from lamina.families import FAMILIES, Auto, Family, check_family, family_from_json
from lamina.fitting.settings import SEEDS, ImportanceOptions, PredictOptions, Settings
from lamina.learn import learn
from lamina.model import Model
from lamina.options import known_options, shortened
from lamina.predictions import predictions
from lamina.store import save
from lamina.train.callbacks import Callback
from lamina.train.events import Monitor
from lamina.train.recipe import Recipe
from lamina.trust.importance import importances, most_rows

WEIGHT = "sample_weight"
#: The options of a fit that an estimator has under the same name.
CARRIED = tuple(field.name for field in dataclasses.fields(Settings) if field.name not in ("target", "task", "seed", "fewest"))
# Whole-number weights are lived through as repeated rows, exactly, up to this many times the rows that were given.
MOST_REPEATS = 10


class _Estimator(BaseEstimator):
    """What classification and regression have in common."""

    _kind: str
    family: Family | Auto | str
    recipe: Recipe | None
    kinds: Mapping[str, str] | None
    weight: str | None
    unique: bool
    random_state: int | np.random.RandomState | None
    callbacks: Sequence[Callback] | None

    def set_params(self, **params: Any) -> Self:
        """Set parameters, nested ones too: ``recipe__learning_rate``, ``family__hidden_sizes``.

        A recipe that is None becomes the default one, and a family that is ``"auto"`` or a name an object, so that their
        options can be set.
        """
        nested = {name.partition("__")[0] for name in params if "__" in name}
        if "recipe" in nested and self.recipe is None and "recipe" not in params:
            self.recipe = Recipe()
        if "family" in nested:
            given = params.pop("family", self.family)
            if isinstance(given, str):
                given = check_family(given)
            self.family = given
        return super().set_params(**params)

    @known_options
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from rows and their answers.

        Args:
            X: Rows: a frame of any library, an array (N, features), or a dict of columns; or images, texts or series
                themselves: an array (N, height, width[, channels]) or (N, steps, channels), a list of texts or paths, a list of
                arrays (channels, steps) of any lengths. Missing values are normal.
            y: Answers: labels (N,), values (N,) or, for a Regressor, (N, targets).
            sample_weight: Weights of rows (N,). Whole numbers mean the same as repeating the row.

        Raises:
            DataError: The rows or answers cannot be learnt from (it is a ValueError).
            OptionError: An option is out of bounds (it is a ValueError).
        """
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        table = self._table(X, reset=True)
        answers = self._answers(y)
        check_consistent_length(table, y)
        names = _free_names(list(answers), table.columns)
        if not isinstance(self.kinds, Mapping | None):
            Settings(kinds=self.kinds).check()
        kinds = dict(Settings(kinds=self.kinds).kinds or {})
        if is_rich(X) and table.dtypes == [pl.String] and guess_image(table.to_series()) is None:
            kinds.setdefault(table.columns[0], "text")  # a list of texts is no table, however short they are
        table = table.with_columns(pl.Series(names[name], values) for name, values in answers.items())
        weight = self.weight
        if sample_weight is not None:
            if self.weight is not None:
                raise OptionError(f"both sample_weight and weight={self.weight!r} say how much rows count; give one of them")
            weights = _check_sample_weight(sample_weight, np.empty((len(table), 1)), ensure_non_negative=True)
            name = _free_names([WEIGHT], table.columns)[WEIGHT]
            table = _weigh(table, weights, name, repeat=not self.unique)
            weight = name if name in table.columns else None
        asked = {name: getattr(self, name) for name in CARRIED if hasattr(self, name)}
        settings = Settings(
            tuple(names.values()),
            task=self._task(len(names)),
            **{**asked, "kinds": kinds, "weight": weight},
            seed=_seed(self.random_state),
            fewest=1,
        ).check()
        model = learn(table, settings, callbacks=self.callbacks)
        model.card["settings"]["weight"] = self.weight  # sample_weight is no column of X
        return self._adopt(model)

    @known_options
    def predict(self, X: Any, *, trust: bool = False, coverage: float = 0.9, reasons: bool = True) -> Any:
        """The answer for each row: labels, or values; with ``trust`` a frame that says how far to trust each.

        Args:
            X: Rows, as in ``fit``.
            trust: Also calibrated probabilities, sets or intervals, novelty and reasons: see
                :func:`lamina.predictions.predictions`.
            coverage: With trust, the share of rows whose truth shall be in their set or interval.
            reasons: With trust, look for reasons too; that takes longest.

        Returns:
            For a frame a series of the same library, named as the target (a frame where there are several targets); for an
            array an array, (N,) or (N, targets). With trust a frame, of polars where X is an array.

        Raises:
            SchemaError: A column is missing or of another kind than was learnt.
            OptionError: With trust: the coverage is no share, or the model keeps nothing to judge its answers by.
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
        """Predictions as a frame of the same library: the target's columns and, for classes, the probability of each.

        The options are those of :meth:`predict`; where X is no frame, this one is of polars.
        """
        PredictOptions(trust, coverage, reasons).check()
        table = predictions(self.model_, self._table(X), trust=trust, coverage=coverage, reasons=reasons)
        alike = like(table, X)
        return table if isinstance(alike, np.ndarray) else alike

    @known_options
    def evaluate(self, data: Any) -> dict[str, Any]:
        """Scores on rows whose target is known: ``rows``, ``scores`` and, beside it, ``baseline``: the always-the-same answer.

        Args:
            data: A path or frame that holds the target too.
        """
        check_is_fitted(self)
        return self.model_.scores(read_table(data))

    @known_options
    def importance(self, data: Any, *, repeats: int = 5, seed: int = 0, monitor: Monitor | None = None) -> pl.DataFrame:
        """How much the model relies on each column: how far its score falls when the column's values are shuffled.

        The score is R² for values and accuracy for classes, or where one class is very common the AUC or the balanced accuracy.
        What the numbers say, and what they do not, of columns that are copies for instance, is told in
        :func:`lamina.trust.importance.importances`. Give rows that the model has not learnt from: on others it also relies on
        what it merely remembers, and the numbers flatter.

        Args:
            data: A path or frame that holds the target too. At most 5,000 of its rows are used, drawn at random, and 1,000
                where the model reads images, texts or series.
            repeats: Shuffles of each column.
            seed: What the shuffles follow from.
            monitor: Called with a :class:`lamina.callbacks.Shuffle` after each shuffle.

        Returns:
            A row for each column, the strongest first: ``column``, ``importance`` (the mean over the shuffles) and its standard
            ``error``; for a forest also ``impurity``, the column's share in what its trees gained while they learnt.

        Raises:
            SchemaError: A column, or the target, is missing.
            DataError: Fewer than 2 rows have a target, or all are of one class where the score is the AUC.
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
        model, given = self.model_, read_table(data)
        task, metric = model.task, model.task.main_metric
        known = np.flatnonzero(task.usable_rows(given)[0])
        drawn = np.random.default_rng(seed).choice(known, min(len(known), most_rows(model.schema)), replace=False)
        table = given[np.sort(drawn)]
        truth, weight = task.truth(table), row_weights(table, model.schema)

        def score(rows: pl.DataFrame) -> float:
            value = metric(truth, task.predict(model.outputs(rows, checked=True)), weight)
            if np.isnan(value):
                raise DataError(
                    f"{metric.silent} in the {len(truth):,} rows used, of which the {metric.title} says nothing; give more rows"
                )
            return value

        with rows_numbered_as(given, model.schema):
            checked, _ = model.schema.check(table, notes=False)
            found = importances(score, checked, repeats=repeats, seed=seed, monitor=monitor)
        rows = [(one.column, one.mean, one.error) for one in found]
        frame = pl.DataFrame(rows, {"column": pl.String, "importance": pl.Float64, "error": pl.Float64}, orient="row")
        impurity = model.predictor.feature_importance()
        if not impurity:
            return frame
        return frame.with_columns(impurity=pl.Series([impurity.get(name, 0.0) for name in frame["column"]]))

    def save(self, path: str | Path) -> Path:
        """Write schema, encoding, network and card to one ``.lamina`` file."""
        check_is_fitted(self)
        return save(self.model_, path)

    @property
    def history_(self) -> list[dict[str, Any]]:
        """A dict for each epoch of training: losses, scores, learning rate, seconds."""
        check_is_fitted(self)
        return self.model_.card["history"]

    @property
    def n_iter_(self) -> int:
        """Epochs that were trained."""
        return len(self.history_)

    def _adopt(self, model: Model) -> Self:
        self.model_ = model
        return self

    def _table(self, X: Any, reset: bool = False) -> pl.DataFrame:
        if not reset:
            check_is_fitted(self)
        # A model from a file, or fitted to a table by name, takes columns by name; one fitted by fit(X, y) holds to
        # scikit-learn's contract, where columns and their order are as they were.
        strict = reset or hasattr(self, "n_features_in_")
        first = X[0] if isinstance(X, list | tuple) and X else X
        # scipy has a sparse array that is a dict
        if isinstance(X, str | Path) or (isinstance(first, Mapping) and not issparse(X)):
            return read_table(X)
        if is_rich(X):
            if reset:
                self.n_features_in_ = 1
            return read_table(X)
        framed = hasattr(X, "columns") or hasattr(X, "column_names")
        if framed:
            if strict and hasattr(X, "shape") and (reset or not self._has_names_of(X)):
                validate_data(self, X, reset=reset, skip_check_array=True)
            table = read_table(X)
            return _rows(table) if strict else table
        if isinstance(X, list) or getattr(getattr(X, "dtype", None), "kind", "") == "O":
            X = _numbers(X)
        X = check_array(X, dtype=None, ensure_all_finite=False, estimator=self, input_name="X")
        if strict:
            validate_data(self, X, reset=reset, skip_check_array=True)
        return read_table(X)

    def _has_names_of(self, X: Any) -> bool:
        """Whether a frame has the very columns that were learnt: else scikit-learn says in which way they differ."""
        names = X.columns.tolist() if hasattr(X.columns, "tolist") else list(X.columns)  # pandas goes through them slowly
        return names == getattr(self, "feature_names_in_", np.empty(0)).tolist()

    def _task(self, targets: int) -> str:
        """The task of so many target columns."""
        return self._kind

    def _answers(self, y: Any) -> dict[str, Any]:
        raise TypeError("an estimator says how it reads its answers")

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


class Classifier(ClassifierMixin, _Estimator):
    """Learns to tell classes.

    Args:
        family: Which networks: ``"auto"``, a name, or a family with its options, ``FeedForward(hidden_sizes=(64, 64))``.
        recipe: How to train; ``None`` is ``Recipe()``.
        kinds: Kinds of columns that you know better, ``{"zip": "category"}``.
        group: A column of X whose rows of one value stay on one side of the split.
        time: A column of X: the latest rows are the validation rows.
        split: A column of X that says which rows are validation rows.
        weight: A column of X that says how much each row counts; instead of ``sample_weight``.
        drop: Columns of X to ignore.
        unique: Leave out duplicates of rows.
        validation: Share of the rows that are never learnt from; they choose the best epoch and the end of training.
        class_weight: ``"balanced"``, weights by class, or ``None``.
        device: ``"auto"`` takes a GPU where there is one.
        random_state: Everything random follows from it.
        trust: Keep what ``predict(X, trust=True)`` needs, some training rows among it.
        callbacks: Called during training, see :mod:`lamina.callbacks`; a clone has copies of them.

    Attributes:
        classes_: The labels, sorted.
        model_: Schema, encoder, network and card.
        history_: A dict for each epoch.

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
        """Probability of each class (N, classes), in the order of ``classes_``: an array, as scikit-learn's scorers need it."""
        table = self._table(X)
        return self.model_.outputs(table)

    @property
    def classes_(self) -> np.ndarray:
        """The labels, sorted."""
        check_is_fitted(self)
        return np.array(self.model_.task.classes)

    def _task(self, targets: int) -> str:
        return self._kind if targets == 1 else "multilabel"

    def _answers(self, y: Any) -> dict[str, Any]:
        if len(getattr(y, "shape", ())) == 2 and y.shape[1] > 1:
            return _labels(y)
        name = _name_of(y)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return {name: y}


class Regressor(RegressorMixin, _Estimator):
    """Learns to tell values, of one target or of several.

    Args:
        family: Which networks: ``"auto"``, a name, or a family with its options, ``FeedForward(hidden_sizes=(64, 64))``.
        recipe: How to train; ``None`` is ``Recipe()``.
        kinds: Kinds of columns that you know better, ``{"zip": "category"}``.
        group: A column of X whose rows of one value stay on one side of the split.
        time: A column of X: the latest rows are the validation rows.
        split: A column of X that says which rows are validation rows.
        weight: A column of X that says how much each row counts; instead of ``sample_weight``.
        drop: Columns of X to ignore.
        unique: Leave out duplicates of rows.
        validation: Share of the rows that are never learnt from; they choose the best epoch and the end of training.
        device: ``"auto"`` takes a GPU where there is one.
        random_state: Everything random follows from it.
        trust: Keep what ``predict(X, trust=True)`` needs, some training rows among it.
        callbacks: Called during training, see :mod:`lamina.callbacks`; a clone has copies of them.

    Attributes:
        model_: Schema, encoder, network and card.
        history_: A dict for each epoch.

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

    def _answers(self, y: Any) -> dict[str, Any]:
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


def _labels(y: Any) -> dict[str, Any]:
    """The columns of an indicator matrix by name: each row has a label, or has not, or that is not known (missing)."""
    if hasattr(y, "columns"):
        table = read_table(y)
        return dict(zip(table.columns, table, strict=True))
    return {f"label{place}": column for place, column in enumerate(np.asarray(y).T)}


ESTIMATORS: dict[str, type[_Estimator]] = {
    "classification": Classifier,
    "multilabel": Classifier,
    "regression": Regressor,
}
"""The estimator of each task."""


def is_rich(X: Any) -> bool:
    """Is it images, texts or series themselves, one for each row, instead of a table?"""
    if isinstance(X, pl.Series) or (hasattr(X, "to_pylist") and not hasattr(X, "columns")):  # the latter is of pyarrow
        dtype = read_table(X).dtypes[0]
        return dtype.is_nested() or dtype in (pl.String, pl.Binary, pl.Null)
    axes = 1 if isinstance(X, list | tuple) else getattr(X, "ndim", 2)
    if axes != 1 or getattr(getattr(X, "dtype", None), "kind", "O") not in "OUS":
        return axes > 2
    rows = [row for row in X if not is_missing(row)]
    if all(isinstance(row, str | bytes | os.PathLike) or hasattr(row, "getbands") for row in rows):  # the last is of Pillow
        return len(X) > 0  # rows that are all missing are no table either
    if not all(map(has_axes, rows)):
        return False
    ragged = len({len(row) for row in rows}) > 1 and not any(isinstance(cell, str) for row in rows for cell in row)
    return ragged or any(map(is_nested, rows))


def _name_of(y: Any) -> str:
    """The name of a column of answers; one without a name is "target". Pandas has the name 0, too."""
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


def estimator(model: Model) -> Any:
    """A fitted estimator with the options that its model was fitted with, so that a clone of it is the same model unfitted."""
    kind = ESTIMATORS[model.task.name]
    if "settings" not in model.card:  # a file of lamina 0.1.0
        family = family_from_json({"name": model.family, **model.card["family"]})
        return kind(family, Recipe.from_json(model.card["recipe"]))._adopt(model)
    content, own = model.card["settings"], model.family not in FAMILIES  # a family of one's own is known by its name only
    settings = Settings.from_json({**content, "family": {"name": "auto"}} if own else content)
    options = {name: getattr(settings, name) for name in kind._get_param_names() if hasattr(settings, name)}
    options |= {"family": model.family} if own else {}
    return kind(**options, random_state=settings.seed)._adopt(model)


def _rows(table: pl.DataFrame) -> pl.DataFrame:
    if table.width == 0:
        raise ValueError(f"0 feature(s) (shape={table.shape}) while a minimum of 1 is required.")
    if table.height == 0:
        raise ValueError(f"Found array with 0 sample(s) (shape={table.shape}) while a minimum of 1 is required.")
    return table


def _numbers(X: Any) -> Any:
    """An array of objects that are all numbers, as numbers; one that holds text as it is."""
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
    """Rows of weight zero go; whole numbers repeat rows, where they may; other weights become a column."""
    if not weights.any():
        raise OptionError("sample_weight is zero for all rows; at least one row must count")
    whole = repeat and np.array_equal(weights, np.round(weights)) and weights.sum() <= MOST_REPEATS * len(weights)
    if whole:
        return table[np.repeat(np.arange(len(table)), weights.astype(np.int64))]
    return table.with_columns(pl.Series(name, weights)).filter(pl.Series(weights > 0))
