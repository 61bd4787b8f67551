"""The base class of :mod:`lamina.estimators`: scikit-learn's contract on top of :mod:`lamina.fitting`."""

from __future__ import annotations

import dataclasses
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, is_classifier
from sklearn.utils import check_random_state, estimator_html_repr
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from lamina import forked
from lamina.data.columns.column import Values
from lamina.data.columns.image import Image
from lamina.data.encode import Encoder
from lamina.data.frames import free_name, like, with_labels
from lamina.data.read import read_source, read_table
from lamina.data.rows import as_rows
from lamina.data.schema import rows_numbered_as
from lamina.data.skipping import bad_rows, good_rows, skipped, with_empty_rows
from lamina.data.weights import row_weights
from lamina.data.xy import MOST_CELLS_NETWORK, check_cells, is_rich, read_rows, weigh
from lamina.distillation import Distillation
from lamina.embeddings import Embeddings
from lamina.errors import DataError, LaminaWarning, OptionError
from lamina.families import FAMILIES, Auto, Custom, Family, check_family, family_from_json, family_to_json
from lamina.families.classical.importance import coefficients, feature_importance
from lamina.families.family import NetworkFamily
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import SEEDS, EvaluateOptions, ImportanceOptions, PredictOptions, Settings
from lamina.model import Model
from lamina.options import known_options, shortened
from lamina.predictions import predictions
from lamina.store import from_bytes, save, to_stored
from lamina.tasks.report import Evaluation
from lamina.train.callbacks import Callback
from lamina.train.events import Monitor
from lamina.train.recipe import Recipe
from lamina.trust.importance import importances, most_rows


class Estimator(Distillation, Embeddings, BaseEstimator, forked.Shared, ABC):
    """Base class of the estimators."""

    family: Family | Auto | str
    recipe: Recipe | None
    quality: str
    time_limit: float | None
    kinds: Mapping[str, str] | None
    weight: str | None
    unique: bool
    random_state: int | np.random.RandomState | None
    callbacks: Sequence[Callback] | None
    notes_: tuple[str, ...] = ()

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

    @classmethod
    def from_model(cls, model: Model, requested: Settings | None = None) -> Self:
        """The fitted estimator of a model, with the options of its fit, so that it can be cloned.

        Args:
            model: The model; its card has the options, but only names of functions.
            requested: The settings that it was just fitted with, functions among them.
        """
        make: Any = cls
        if "settings" in model.card:
            content, custom = model.card["settings"], model.family not in {*FAMILIES, Custom.name}  # may not be importable
            settings = Settings.from_json({**content, "family": {"name": "auto"}} if custom else content)
            options = {name: getattr(settings, name) for name in cls._get_param_names() if hasattr(settings, name)}
            options |= {"family": model.family} if custom else {}
            if requested is not None:
                options |= {"recipe": requested.recipe}
                options |= {"family": requested.family} if isinstance(requested.family, Custom) else {}
            fitted = make(**options, random_state=settings.seed)
        else:  # a file of lamina 0.1.0
            family = family_from_json({"name": model.family, **model.card["family"]})
            fitted = make(family, Recipe.from_json(model.card["recipe"]))
        fitted.model_ = model
        return fitted

    @known_options
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model to rows and targets.

        Leaks are not searched for, as :func:`lamina.fit` does: ``GridSearchCV`` and the like call this hundreds of times.

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
        if issparse(X) and isinstance(check_family(self.family), NetworkFamily):
            check_cells(X, MOST_CELLS_NETWORK, f"sparse X for the network {check_family(self.family).name!r}")
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        if isinstance(y, str):
            raise OptionError(f"y is {y!r}, expected its values; where y is a column of X, write lamina.fit(X, {y!r})")
        table = read_rows(self, X, reset=True)
        task, targets = self._targets(y)
        check_consistent_length(table, y)
        kinds = dict(Settings(kinds=self.kinds).check().kinds or {})
        if is_rich(X) and table.dtypes == [pl.String] and Image().guess(Values(table.to_series())) is None:
            kinds.setdefault(table.columns[0], "text")  # short texts would be a category
        features = table.width
        for name, values in targets.items():
            table = table.with_columns(pl.Series(free_name(name, table.columns), values))
        names, weight = tuple(table.columns[features:]), self.weight
        if sample_weight is not None:
            if self.weight is not None:
                raise OptionError(f"both sample_weight and weight={self.weight!r} are given; give one of them")
            table, weight = weigh(table, sample_weight, repeat=not self.unique)
        settings = [field.name for field in dataclasses.fields(Settings) if hasattr(self, field.name)]
        options: dict[str, Any] = {name: getattr(self, name) for name in settings}
        options |= {"target": names, "task": task, "kinds": kinds, "weight": weight}
        options |= {"seed": _seed(self.random_state), "fewest": 1}
        self.model_ = fit_model(table, Settings(**options).check(), callbacks=self.callbacks)
        self.model_.card["settings"]["weight"] = self.weight  # sample_weight is no column of X
        return self

    @known_options
    def predict(
        self,
        X: Any,
        *,
        trust: bool = False,
        coverage: float = 0.9,
        reasons: bool = True,
        threshold: float | str | None = None,
        skip_bad: bool = False,
    ) -> Any:
        """Predicted labels or values; with ``trust`` a frame with sets or intervals, novelty and reasons.

        Args:
            X: Rows, as in ``fit``; one row as a dict, a pandas Series or a named tuple. Where the only feature is of images or
                texts also one of these: the path of an image, a folder of images, bytes, a PIL image, an array, a text.
            trust: Add calibrated probabilities, sets or intervals, novelty and reasons: see
                :func:`lamina.predictions.predictions`.
            coverage: With trust, share of rows whose true value is in their set or interval.
            reasons: With trust, add reasons; they take most of the time.
            threshold: Decision threshold of two classes or of each label: "f1", "recall=0.9", "precision=0.9" or "cost=1:5" (of
                a false positive and of a false negative), chosen on the validation rows of the fit; or a probability from which
                the positive class is predicted (1, True, or of two texts the rarer). None predicts the most probable class, and
                labels by the threshold with the highest F1.
            skip_bad: Predict nothing, a missing value, for rows with a damaged file or a cell that cannot be read.

        Returns:
            After ``fit(X, y)`` an array (N,) or (N, targets), as in scikit-learn. A model of :func:`lamina.fit` or from a file
            returns a series of the library of X, named as the target, or a frame for several targets; for an array an array.
            With trust a frame, of polars where X is an array.

        Warns:
            LaminaWarning: Rows differ from the training rows: values outside their range, unseen categories, columns that are
                ignored. One warning for each call; its sentences stay in ``notes_``.

        Raises:
            SchemaError: A column is missing or of another kind.
            OptionError: With trust: the coverage is not between 0 and 1, or the model was fitted without trust.
        """
        PredictOptions(trust, coverage, reasons, threshold, skip_bad).check()
        X = self._as_rows(X)
        if skip_bad:
            table = self._skipping(X, trust=trust, coverage=coverage, reasons=reasons, threshold=threshold)
            if not trust:
                table = pl.DataFrame([table[name] for name in self.model_.task.targets])
            result = table if trust or table.width > 1 else table.to_series()
            return like(result, () if self._gives_arrays(X) and not trust else X)
        if trust:
            return self.predict_table(X, trust=True, coverage=coverage, reasons=reasons, threshold=threshold)
        outputs = self._outputs(X)
        task = self.model_.task if threshold is None else self.model_.task.with_threshold(threshold)
        prediction = task.predict(outputs)
        if self._gives_arrays(X):
            return prediction.labels
        columns = [
            pl.Series(name, values)
            for name, values in zip(task.targets, task.columns(prediction, prediction.outputs), strict=False)
        ]
        return like(columns[0] if len(columns) == 1 else pl.DataFrame(columns), X)

    @known_options
    def predict_table(
        self,
        X: Any,
        *,
        trust: bool = False,
        coverage: float = 0.9,
        reasons: bool = True,
        threshold: float | str | None = None,
        skip_bad: bool = False,
    ) -> Any:
        """Predictions as a frame of the same library (polars for arrays): targets and the probability of each class.

        The options are those of :meth:`predict`.
        """
        PredictOptions(trust, coverage, reasons, threshold, skip_bad).check()
        X = self._as_rows(X)
        if skip_bad:
            table = self._skipping(X, trust=trust, coverage=coverage, reasons=reasons, threshold=threshold)
            converted = like(table, X)
            return table if isinstance(converted, np.ndarray) else converted
        rows, _ = self._checked(X)
        table = predictions(self.model_.with_threshold(threshold), rows, trust=trust, coverage=coverage, reasons=reasons)
        converted = like(table, X)
        return table if isinstance(converted, np.ndarray) else converted

    def _gives_arrays(self, X: Any) -> bool:
        return hasattr(self, "n_features_in_") or isinstance(X, np.ndarray | list | tuple) or issparse(X)

    def _skipping(self, X: Any, **options: Any) -> pl.DataFrame:
        """The predictions of a table, missing in rows that cannot be read, which are a warning."""
        source = read_source(X, skip_bad=True) if isinstance(X, str | Path) else None
        table, schema = read_rows(self, source.table if source else X), self.model_.schema
        faults = bad_rows(table, schema)
        result = self.predict_table(table[good_rows(faults, len(table))], **options)
        if note := skipped([*(source.skipped if source else ()), *faults.values()]):
            self.notes_ = (note, *self.notes_)
            warnings.warn(note, LaminaWarning, stacklevel=4)
        return with_empty_rows(result, faults, len(table))

    def _as_rows(self, X: Any) -> Any:
        """X in a form that has rows; an estimator without a model refuses it later."""
        return as_rows(X, self.model_.schema) if hasattr(self, "model_") else X

    @known_options
    def evaluate(
        self, data: Any, *, threshold: float | str | None = None, errors: int = 0, skip_bad: bool = False
    ) -> Evaluation:
        """Scores on rows with a target, beside those of the baseline, and figures of each class, label or target.

        Args:
            data: A path or frame with the target.
            threshold: Decision threshold of two classes, as in :meth:`predict`; chosen on the validation rows of the fit, not
                on these.
            errors: Number of the worst predictions to include, see :meth:`errors`.
            skip_bad: Skip rows with a damaged or foreign file, or a cell that cannot be read; a warning names them.

        Returns:
            A dict with ``rows``, ``scores``, ``baseline``, ``confusion`` and more, see
            :class:`~lamina.tasks.report.Evaluation`; ``to_frame()`` has precision, recall, F1 and support of each class.

        Raises:
            SchemaError: A column, or the target, is missing.
            TargetError: No row has a target.
            OptionError: The threshold is none, or the task has more than two classes, or none.

        Example:
            >>> from sklearn.datasets import load_breast_cancer
            >>> from lamina import fit
            >>> rows = load_breast_cancer(as_frame=True).frame
            >>> model = fit(rows[:400], "target", family="linear", monitor=None)
            >>> model.evaluate(rows[400:], threshold="recall=0.99").to_frame().columns
            ['class', 'precision', 'recall', 'f1', 'support']
        """
        check_is_fitted(self)
        EvaluateOptions(threshold, errors, skip_bad).check()
        model = self.model_.with_threshold(threshold)
        source = read_source(data, skip_bad=skip_bad)
        table = with_labels(source.table, data, model.task.targets)
        faults = bad_rows(table, model.schema) if skip_bad else {}
        if not (faults or source.skipped):
            return model.evaluate(table, errors=errors)
        warnings.warn(skipped([*source.skipped, *faults.values()]), LaminaWarning, stacklevel=3)
        good = good_rows(faults, len(table))
        evaluation = model.evaluate(table[good], errors=errors)
        for error in evaluation.get("errors", ()):
            error["row"] = int(good[error["row"] - 1]) + 1
        return evaluation

    @known_options
    def errors(self, data: Any, n: int = 10, *, threshold: float | str | None = None) -> pl.DataFrame:
        """The worst predictions on rows with a target: the most confident wrong ones, or those with the largest residuals.

        Args:
            data: A path or frame with the target.
            n: Maximum number of predictions.
            threshold: Decision threshold, as in :meth:`predict`.

        Returns:
            The columns ``row`` (from 1 on), ``actual``, ``predicted`` and ``probability`` (of the predicted class), or
            ``residual`` (actual - predicted); with several labels or targets also ``label`` or ``target``.
        """
        return self.evaluate(data, threshold=threshold, errors=n).errors

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
        model, whole = self.model_, with_labels(read_table(data), data, self.model_.task.targets)
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

    @abstractmethod
    def _targets(self, y: Any) -> tuple[str, dict[str, Any]]:
        """The task, and the target columns by name."""

    @property
    def feature_importances_(self) -> np.ndarray:
        """Importance of each column of X, float64 (columns,), summing to 1; not of every family.

        For forests, boosting and linear models, see :func:`lamina.families.classical.importance.feature_importance`. The
        importance on test rows is more reliable: :meth:`importance`.

        Raises:
            AttributeError: The family has no importance of its own, or the model is not fitted.
        """
        check_is_fitted(self)
        shares = feature_importance(self.model_.predictor, self.model_.encoder.inputs)
        if not shares:
            raise AttributeError(f"the family {self.model_.family!r} has no feature_importances_; use importance(data)")
        columns = [column.name for column in self.model_.schema.columns if column.role != "target"]
        return np.array([shares.get(name, 0.0) for name in columns[: getattr(self, "n_features_in_", None)]])

    @property
    def coef_(self) -> np.ndarray:
        """Coefficients of a linear model of numbers, as in scikit-learn: (outputs, columns), (columns,) for one value.

        Of the scaled columns ``Z = model_.encoder.transform(X)["numbers"]``: the values, or the log-odds of the classes, are
        ``Z @ coef_.T + intercept_``.

        Raises:
            AttributeError: The family is not linear, or columns are no numbers or have missing values.
        """
        return self._linear()[0]

    @property
    def intercept_(self) -> np.ndarray:
        """Intercepts of a linear model of numbers (outputs,), a number for one value; see :attr:`coef_`."""
        return self._linear()[1]

    def _linear(self) -> tuple[Any, Any]:
        check_is_fitted(self)
        model, task = self.model_, self.model_.task
        fitted = coefficients(model.predictor, model.encoder) if isinstance(model.encoder, Encoder) else None
        if fitted is None:
            raise AttributeError(
                "coef_ and intercept_ exist for family='linear' on columns of numbers without missing values; "
                "use feature_importances_ or importance(data)"
            )
        by_name, intercept = fitted
        names = [column.name for column in model.schema.columns if column.role != "target"]
        names = names[: getattr(self, "n_features_in_", None)]
        coef = np.stack([by_name.get(name, np.zeros(len(intercept))) for name in names], axis=1)
        if is_classifier(self):
            return coef, intercept
        unit = task.numbers(np.ones((1, len(intercept)))) - task.numbers(np.zeros((1, len(intercept))))
        coef, intercept = coef * unit.T, task.numbers(intercept[None])[0]
        return (coef[0], intercept[0]) if len(intercept) == 1 else (coef, intercept)

    def _outputs(self, X: Any) -> np.ndarray:
        """The outputs of the model for rows to predict."""
        _, checked = self._checked(X, depth=1)
        return self.model_.outputs(checked, checked=True)

    def _checked(self, X: Any, depth: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
        """X as a table, and as the checked rows of the schema; how these differ from the training rows is one warning."""
        table, model = read_rows(self, X), self.model_  # checks first that the estimator is fitted
        checked, notes = model.schema.check(table)
        with rows_numbered_as(table, model.schema):
            notes += model.encoder.unseen(checked)
        if (sentences := tuple(notes)) != self.notes_:
            self.notes_ = sentences
        if notes:
            warnings.warn("; ".join(notes), LaminaWarning, stacklevel=4 + depth)
        return table, checked

    def __getattr__(self, name: str) -> Any:
        """The model of an estimator that was unpickled in a forked process."""
        if name != "model_" or "_stored" not in vars(self):
            return object.__getattribute__(self, name)  # raises the error once more
        self.model_ = model = from_bytes(self._stored)
        del self._stored
        return model

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickle, copy and joblib, with the model as the bytes of its ``.lamina`` file."""
        state = dict(super().__getstate__())
        if "model_" in state:
            state["_stored"] = to_stored(state.pop("model_"))
        stored = state.pop("_stored", None)
        if stored is None:
            return state
        # Options as JSON: of all types of lamina a skops file then has only that of the estimator.
        if type(family := self.family) in (Auto, *FAMILIES.values()):
            content = family_to_json(family)
            state |= {"family": content} if family_from_json(content) == family else {}
        if type(recipe := self.recipe) is Recipe and Recipe.from_json(recipe.to_json()) == recipe:
            state["recipe"] = recipe.to_json()
        return state | {"_file": stored.content, "_metric": stored.metric}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        content, metric = state.pop("_file", None), state.pop("_metric", None)
        if isinstance(family := state.get("family"), Mapping):
            state["family"] = family_from_json(family)
        if isinstance(recipe := state.get("recipe"), Mapping):
            state["recipe"] = Recipe.from_json(recipe)
        super().__setstate__(state)
        if content is not None:
            stored = forked.Stored(content, metric)
            if forked.forked:
                self._stored = stored
            else:
                self.model_ = from_bytes(stored)

    def _html_repr(self) -> str:
        """What notebooks show, in a fitted state its model."""
        return self.model_._repr_html_() if self.__sklearn_is_fitted__() else estimator_html_repr(self)

    def __sklearn_is_fitted__(self) -> bool:
        return not {"model_", "_stored"}.isdisjoint(vars(self))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        return tags


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer) and not isinstance(random_state, bool) and 0 <= random_state < SEEDS:
        return int(random_state)
    if not isinstance(random_state, np.random.RandomState | None):
        raise OptionError(
            f"random_state is {shortened(random_state)}, expected a whole number between 0 and {SEEDS - 1}, "
            "a numpy.random.RandomState or None"
        )
    return int(check_random_state(random_state).randint(2**31 - 1))
