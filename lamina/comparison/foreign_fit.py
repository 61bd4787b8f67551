"""A scikit-learn estimator on one fold: what it gets, what it predicts, and what its errors mean."""

from __future__ import annotations

import pickle
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
from sklearn import get_config
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.validation import has_fit_parameter

from lamina.data.schema import Schema
from lamina.errors import DataError, LaminaError, OptionError
from lamina.tasks.foreign import CALIBRATE, prediction_of_sklearn, target_for_sklearn
from lamina.tasks.metrics import Metric
from lamina.tasks.prediction import Prediction
from lamina.tasks.task import Task
from lamina.wording import count, listed

_MOST_TEXT = 160


@dataclass(frozen=True, eq=False)
class Fitted:
    """The prediction of test rows, and what it took.

    Attributes:
        prediction: Of the test rows.
        metrics: Those that the prediction has: without probabilities only those of labels.
        fit_seconds, predict_seconds: Measured times.
        bytes: Size of the pickle of the fitted estimator; 0 where it has none.
        size: The same as a measure of complexity: of an estimator without a pickle it is the largest number.
        notes: Sentences on rows and weights that it was fitted without.
    """

    prediction: Prediction
    metrics: tuple[Metric, ...]
    fit_seconds: float
    predict_seconds: float
    bytes: int
    size: int
    notes: tuple[str, ...]


def fit_and_predict(
    estimator: Any,
    train: pl.DataFrame,
    test: pl.DataFrame,
    *,
    schema: Schema,
    task: Task,
    metric: Metric,
    weight: np.ndarray | None,
    seed: int,
) -> Fitted:
    """Fit an estimator to the training rows and predict the test rows. Each call of it gets rows of its own.

    Raises:
        OptionError: The metric needs probabilities and the estimator has none.
        DataError: It raises an error, or returns what is no prediction.
    """
    name = type(estimator).__name__
    y, notes = target_for_sklearn(task, train), []
    known = labelled(y)
    if not known.all():
        notes.append("it is fitted without the rows that lack a label")
        train, y, weight = train.filter(pl.Series(known)), y[known], None if weight is None else weight[known]
    keyword = weight_keyword(estimator) if weight is not None else None
    if weight is not None and not keyword:
        notes.append("its fit takes no sample_weight: it is fitted without weights, and scored with them")
    texts = reads_texts(estimator)
    with calls_of(name, schema, train, seed):
        X = rows_for_sklearn(train, schema, texts=texts)
        start = time.perf_counter()
        estimator.fit(X, y.copy(), **({keyword: np.array(weight)} if keyword else {}))
        fit_seconds = time.perf_counter() - start
        has_probabilities = hasattr(estimator, "predict_proba")  # some have it only when they are fitted
        if metric.needs == "probabilities" and not has_probabilities:
            other = next(each.name for each in task.metrics if each.needs == "labels")
            raise OptionError(f"{name} has no predict_proba, which {metric.title} needs; {CALIBRATE}, or take metric={other!r}")
        X = rows_for_sklearn(test, schema, texts=texts)
        start = time.perf_counter()
        probabilities = estimator.predict_proba(X) if has_probabilities else None
        decision: Any = None if has_probabilities else estimator.predict(X)
        predict_seconds = time.perf_counter() - start
        if has_probabilities:  # its own decisions, which need not be the most probable classes
            decision = estimator.predict(rows_for_sklearn(test, schema, texts=texts))
        if (rows := getattr(decision, "shape", np.shape(decision))[:1]) != (len(test),):  # sparse labels have a shape, too
            raise DataError(f"its predict returns {rows[0] if rows else 1:,} values for {len(test):,} rows")
        classes = getattr(estimator, "classes_", None)
        prediction = prediction_of_sklearn(task, decision, probabilities, np.unique(y) if classes is None else classes)
    metrics = tuple(each for each in task.metrics if has_probabilities or each.needs == "labels")
    size = _pickle_size(estimator)
    return Fitted(prediction, metrics, fit_seconds, predict_seconds, size or 0, size or sys.maxsize, tuple(notes))


def labelled(y: np.ndarray) -> np.ndarray:
    """Which rows (N,) have a value of every target, of the result of :func:`~lamina.tasks.foreign.target_for_sklearn`."""
    if y.dtype.kind != "f":
        return np.ones(len(y), dtype=bool)
    return np.asarray(np.isfinite(y.reshape(len(y), -1)).all(axis=1))


@contextmanager
def calls_of(name: str, schema: Schema, table: pl.DataFrame, seed: int) -> Iterator[None]:
    """A context for calls of an estimator: numpy's global random state is seeded and later restored, errors are explained.

    Raises:
        DataError: The estimator raised an error; those of lamina and of memory are raised as they are.
    """
    state = np.random.get_state()  # estimators with random_state=None draw from it
    np.random.seed(seed)
    try:
        yield
    except (MemoryError, LaminaError):
        raise
    except Exception as error:  # whatever its code raises
        raise DataError(f"{name} raised {explained(error, schema, table)}") from error
    finally:
        np.random.set_state(state)


def rows_for_sklearn(table: pl.DataFrame, schema: Schema, *, texts: bool = False) -> Any:
    """The feature columns as a new pandas DataFrame, or polars where pandas is not installed.

    Numbers are float64 and missing ones NaN; booleans bool, or float64 where one is missing; dates datetime64; labels and texts
    str and missing ones None; images, series and anything else are objects. A single column of texts is an array (N,) for an
    estimator that begins with a vectorizer.

    Example:
        >>> rows = pl.DataFrame({"age": [17, 40, None], "town": ["Ulm", None, "Bonn"], "y": [0, 1, 1]})
        >>> print(rows_for_sklearn(rows, Schema.infer(rows, target="y")))
            age  town
        0  17.0   Ulm
        1  40.0   NaN
        2   NaN  Bonn
    """
    columns = {c.name: _values(table[c.name], missing=c.details.get("missing", 0) > 0) for c in schema.features}
    if texts and len(columns) == 1:
        return next(iter(columns.values()))
    if find_spec("pandas"):
        import pandas as pd

        return pd.DataFrame(columns)
    return pl.DataFrame({name: table[name] if values.dtype == object else values for name, values in columns.items()})


def _values(column: pl.Series, *, missing: bool) -> np.ndarray:
    """The values of a column, of which some row of the table may lack one, as a new array."""
    dtype = column.dtype
    if dtype.is_numeric() or (dtype == pl.Boolean and missing):
        return np.array(column.cast(pl.Float64).to_numpy())
    if dtype == pl.Boolean:
        return np.array(column.to_numpy())
    if dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if dtype.is_temporal() and dtype != pl.Time:
        return np.array(column.to_numpy())
    values = np.empty(len(column), dtype=object)
    values[:] = column.cast(pl.String).to_list() if dtype in (pl.Categorical, pl.Enum) else column.to_list()
    return values


def weight_keyword(estimator: Any) -> str | None:
    """The keyword of ``fit`` for sample weights; of a pipeline that of its last step; None without one.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from sklearn.pipeline import make_pipeline
        >>> weight_keyword(make_pipeline(LogisticRegression())), weight_keyword(KNeighborsClassifier())
        ('logisticregression__sample_weight', None)
    """
    if get_config()["enable_metadata_routing"] and hasattr(estimator, "get_metadata_routing"):
        routed = get_routing_for_object(estimator).consumes("fit", {"sample_weight"})
        return "sample_weight" if routed else None
    if steps := getattr(estimator, "steps", None):
        name, last = steps[-1]
        inner = weight_keyword(last)
        return inner and f"{name}__{inner}"
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    for inner, keywords in (("estimator", "params"), ("regressor", "fit_params")):  # searches, TransformedTargetRegressor
        if hasattr(estimator, inner) and has_fit_parameter(estimator, keywords):
            return weight_keyword(getattr(estimator, inner))
    return None


def reads_texts(estimator: Any) -> bool:
    """Whether an estimator begins with a vectorizer, which reads texts (N,) and no columns.

    Example:
        >>> from sklearn.feature_extraction.text import TfidfVectorizer
        >>> from sklearn.naive_bayes import MultinomialNB
        >>> from sklearn.pipeline import make_pipeline
        >>> reads_texts(make_pipeline(TfidfVectorizer(), MultinomialNB())), reads_texts(MultinomialNB())
        (True, False)
    """
    for inner in ("steps", "transformer_list"):
        if parts := getattr(estimator, inner, None):
            return reads_texts(parts[0][1])
    if hasattr(getattr(estimator, "estimator", None), "fit"):  # of a search or a calibration
        return reads_texts(estimator.estimator)
    try:
        tags = get_tags(estimator).input_tags
    except Exception:  # a class without tags
        return False
    return tags.string and not tags.two_d_array


def explained(error: Exception, schema: Schema, table: pl.DataFrame) -> str:
    """An error of an estimator on one line, with a remedy where the rows are of a form that it does not take."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    line = lines[-1] if "fits failed" in lines[0] else lines[0]  # of a search: the last line is the error of its fits
    line = line.rstrip(": .") if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]}..."
    text = line if re.match(r"\w+(Error|Exception): ", line) else f"{type(error).__name__}: {line}".rstrip(": ")
    names = [column.name for column in schema.features]
    others = [name for name in names if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean)]

    def speaks_of(pattern: str) -> bool:
        return bool(re.search(pattern, text, re.IGNORECASE))

    remedy = ""
    if others and speaks_of("could not convert|dtype|datetime|timestamp"):
        dates = [name for name in others if table[name].dtype.is_temporal()] if speaks_of("datetime|timestamp") else []
        encoder = "TfidfVectorizer" if not any(column.name in others for column in schema.plain) else "OneHotEncoder"
        others, encoder = (dates, "FunctionTransformer") if dates else (others, encoder)
        what = "are no numbers" if len(others) > 1 else "is no number"
        remedy = f"{listed(others, 3)} {what}: it needs a pipeline with an encoder such as {encoder}"
    elif speaks_of(r"\bnan\b|missing value"):
        remedy = "values are missing: it needs a pipeline with an imputer such as SimpleImputer"
    elif speaks_of("1d array|multi-?label|multi-?output"):
        remedy = "for several targets, wrap it in MultiOutputClassifier or MultiOutputRegressor"
    elif len(others) and len(names) > 1 and speaks_of("inconsistent numbers of samples"):
        remedy = f"name the column of texts: ColumnTransformer([('text', TfidfVectorizer(), {others[0]!r})])"
    elif isinstance(error, KeyError) or speaks_of("not an? column|not columns"):
        remedy = f"it gets {count(len(names), 'column')}: {listed(names, 6)}"
    return f"{text}; {remedy}" if remedy else text


class _Count:
    """A file that only counts its bytes."""

    bytes = 0

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.bytes += size
        return size


def _pickle_size(estimator: Any) -> int | None:
    file = _Count()
    try:
        pickle.dump(estimator, file, protocol=5)
    except Exception:  # whatever its __reduce__ raises
        return None
    return file.bytes
