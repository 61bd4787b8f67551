"""``X``, ``y`` and ``sample_weight`` of an estimator as columns of a table, with the checks that scikit-learn requires."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from narwhals.dependencies import is_pandas_dataframe
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,  # pyright: ignore[reportPrivateUsage]
    check_array,
    check_is_fitted,
    validate_data,
)

from lamina.data.arrays import has_axes, is_missing, is_nested
from lamina.data.frames import column_names, free_name, labels, literal, objects, positions, unmasked
from lamina.data.read import read_table
from lamina.errors import DataError, LaminaWarning, OptionError, SchemaError, TargetError
from lamina.wording import count, listed

WEIGHT = "sample_weight"
MOST_CELLS, MOST_CELLS_NETWORK = 10**8, 10**7
"""Most cells of sparse rows, which are read as dense ones, and the same for a network."""
MOST_REPEATS = 10
"""Integer sample weights repeat rows, exactly, if the result has at most this many times the rows."""


def read_rows(estimator: Any, X: Any, *, reset: bool = False) -> pl.DataFrame:
    """X as a table; with ``reset`` its columns are those of the training rows, else they are compared with these."""
    if not reset:
        check_is_fitted(estimator)
    # After fit(X, y) scikit-learn requires the same columns in the same order; models of lamina.fit or from a file select
    # columns by name.
    strict = reset or hasattr(estimator, "n_features_in_")
    if isinstance(X, list | tuple) and not X and not reset:
        return pl.DataFrame({column.name: [] for column in estimator.model_.schema.columns})
    first = X[0] if isinstance(X, list | tuple) and X else X
    is_sparse = issparse(X)
    # one of scipy's sparse arrays is a dict
    if isinstance(X, str | Path) or hasattr(X, "read") or (isinstance(first, Mapping) and not is_sparse):
        table = read_table(X)
        if reset:
            estimator.n_features_in_, estimator.feature_names_in_ = table.width, np.array(table.columns, dtype=object)
        return table
    X = unmasked(X)
    if is_rich(X):
        if reset:
            estimator.n_features_in_ = 1
            _ask_about_axes(X)
        return _by_position(estimator, read_table(X), reset=reset)
    if not isinstance(X, np.ndarray | list | tuple | pl.DataFrame) and not is_sparse and not is_pandas_dataframe(X):
        named = isinstance(X, pl.LazyFrame) or any(hasattr(X, name) for name in ("columns", "column_names", "schema"))
        X = read_table(X) if named else X
    if hasattr(X, "columns") or hasattr(X, "column_names"):
        if strict and hasattr(X, "shape") and (reset or not _has_names_of(estimator, X)):
            validate_data(estimator, X, reset=reset, skip_check_array=True)
        table = read_table(X)
        if reset and 0 in table.shape:
            what = "0 feature(s)" if table.width == 0 else "Found array with 0 sample(s)"
            raise ValueError(f"{what} (shape={table.shape}) while a minimum of 1 is required.")
        return _by_position(estimator, table, reset=reset) if strict else table
    if isinstance(X, list) or getattr(getattr(X, "dtype", None), "kind", "") == "O":
        X = _numbers(X)
    X = check_array(
        X,
        dtype=None,
        accept_sparse=True,
        ensure_all_finite=False,
        ensure_min_samples=int(reset),
        estimator=estimator,
        input_name="X",
    )
    if strict:
        validate_data(estimator, X, reset=reset, skip_check_array=True)
    return _by_position(estimator, read_table(_dense(X) if is_sparse else X), reset=reset)


def read_labels(y: Any) -> dict[str, Any]:
    """Labels (N,), or (N, labels) of 0 and 1, as columns by name."""
    y = unmasked(y)
    if len(getattr(y, "shape", ())) == 2 and y.shape[1] > 1:  # labels may be missing
        if hasattr(y, "columns"):
            table = read_table(y)
            return dict(zip(table.columns, table, strict=True))
        return {f"label{i}": column for i, column in enumerate(np.asarray(y).T)}
    name = _name_of(y)
    if isinstance(y, list | tuple) and y and all(isinstance(row, list | tuple | set) for row in y):
        if (column := objects(name, list(y))).dtype == pl.List(pl.String):  # lists of labels
            return {name: column}
    check_label_types("y", y)
    column = labels(name, y)
    if column is None or column.dtype == pl.Object:
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        return {name: _verbatim(name, y if column is None else labels(name, y))}
    if lost := column.null_count():
        raise TargetError(f"y has no value in {lost:,} of {len(column):,} rows; leave these rows out of X and y")
    if column.dtype.is_float():
        check_classification_targets(column.to_numpy())
    return {name: _verbatim(name, column)}


def check_label_types(name: str, values: Any) -> None:
    """Raise TargetError for texts among labels of other types, which would come back as texts.

    Example:
        >>> check_label_types("y", ["a", 1, None])
        Traceback (most recent call last):
        ...
        lamina.errors.TargetError: y holds labels of the types int and str, expected one; convert them: as text, 1 is '1'
    """
    if not isinstance(values, list | tuple) and str(getattr(values, "dtype", "")) != "object":
        return
    present = (value for value in values if not isinstance(value, list | np.ndarray) and not is_missing(value))
    types = {"str" if isinstance(value, str) else type(value).__name__: value for value in present}
    if "str" in types and len(types) > 1:
        other = next(name for name in types if name != "str")
        raise TargetError(
            f"{name} holds labels of the types {' and '.join(sorted(types))}, expected one; convert them: as text, "
            f"{types[other]!r} is {str(types[other])!r}"
        )


def _verbatim(name: str, values: Any) -> Any:
    """Labels of text as a categorical column, which is not read as numbers: the classes "0" and "1" stay text."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "U":
        values = pl.Series(name, values)
    return values.cast(pl.Categorical) if isinstance(values, pl.Series) and values.dtype == pl.String else values


def read_values(estimator: Any, y: Any) -> dict[str, Any]:
    """Values (N,) or (N, targets) as columns by name, float64."""
    y = unmasked(y)
    names = column_names(list(y.columns), "y") if hasattr(y, "columns") else [_name_of(y)]
    values = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", estimator=estimator)
    values = np.asarray(values, dtype=np.float64)
    if values.ndim == 1:
        return {names[0]: values}
    if len(names) != values.shape[1]:
        names = [f"target{i}" for i in range(values.shape[1])] if values.shape[1] > 1 else ["target"]
    return {name: values[:, i] for i, name in enumerate(names)}


def weigh(table: pl.DataFrame, sample_weight: Any, *, repeat: bool) -> tuple[pl.DataFrame, str | None]:
    """The table without rows of weight 0, and the name of its new column of weights.

    With ``repeat`` integer weights repeat rows instead, and the name is None.
    """
    weights = _check_sample_weight(sample_weight, np.empty((len(table), 1)), ensure_non_negative=True)
    if not weights.any():
        raise OptionError("sample_weight is zero for all rows; at least one weight must be above 0")
    if repeat and np.array_equal(weights, np.round(weights)) and weights.sum() <= MOST_REPEATS * len(weights):
        return table[np.repeat(np.arange(len(table)), weights.astype(np.int64))], None
    name = free_name(WEIGHT, table.columns)
    return table.with_columns(pl.Series(name, weights)).filter(pl.Series(weights > 0)), name


def check_cells(X: Any, most: int, owner: str) -> None:
    """Raise DataError if sparse X has more cells than that."""
    if math.prod(X.shape) > most:
        raise DataError(
            f"{owner} of {X.shape[0]:,} rows x {X.shape[1]:,} columns is read as dense rows, of at most {most:,} cells; "
            "reduce the columns (max_features of a vectorizer, TruncatedSVD), or give the texts and categories themselves"
        )


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


def _by_position(estimator: Any, table: pl.DataFrame, *, reset: bool) -> pl.DataFrame:
    """The rows of an array with the names of the training columns, where the model was fitted on named columns.

    So it is for a frame whose model was fitted on an array, as in scikit-learn.

    Raises:
        SchemaError: The number of columns is another one.
    """
    if reset:
        return table
    schema, present = estimator.model_.schema, table.columns
    if {column.name for column in schema.features}.issubset(present):
        return table
    if present != positions(len(present)) and (
        hasattr(estimator, "feature_names_in_") or not hasattr(estimator, "n_features_in_")
    ):
        return table
    known = getattr(estimator, "n_features_in_", None)
    columns = [column.name for column in schema.columns if column.role != "target"][:known]
    features = [column.name for column in schema.features]
    names = next((names for names in (columns, features) if len(names) == len(present)), None)
    if names is None:
        raise SchemaError(
            f"X has {len(present)} columns without names, the model was fitted on {len(columns)}: {listed(columns, 10)}; "
            "give these in this order, or a frame with their names"
        )
    return table.rename(dict(zip(present, names, strict=True)))


def _dense(X: Any) -> np.ndarray:
    """Sparse rows as a dense array.

    Raises:
        DataError: It would have more than :data:`MOST_CELLS`.
    """
    check_cells(X, MOST_CELLS, "sparse X")
    return X.toarray()


def _ask_about_axes(X: Any) -> None:
    """Warn about series that look like (rows, channels, steps), or raise DataError if there is one step only."""
    if getattr(X, "ndim", 0) != 3 or str(X.dtype).endswith("uint8") or not X.shape[1] < X.shape[2]:
        return
    rows, steps, channels = X.shape
    read = f"X of shape ({rows}, {steps}, {channels}) is read as (rows, steps, channels): "
    read += f"{count(steps, 'step')} of {channels} channels"
    remedy = "if it is (rows, channels, steps), give X.transpose(0, 2, 1)"
    if steps == 1:
        raise DataError(f"{read}, and one step is no series; {remedy}")
    warnings.warn(f"{read}; {remedy}", LaminaWarning, stacklevel=5)


def _has_names_of(estimator: Any, X: Any) -> bool:
    """Whether a frame has exactly the columns of the training frame; else scikit-learn's check raises."""
    names = X.columns.tolist() if hasattr(X.columns, "tolist") else list(X.columns)  # tolist is faster with pandas
    return names == getattr(estimator, "feature_names_in_", np.empty(0)).tolist()


def _name_of(y: Any) -> str:
    """Name of y, by default "target"; pandas also has the name 0."""
    name = getattr(y, "name", None)
    return "target" if name is None or name == "" else literal(str(name))


def _numbers(X: Any) -> Any:
    """Objects as float64 if all are numbers; else X unchanged."""
    values = np.asarray(X, dtype=object) if not isinstance(X, np.ndarray) else X
    try:
        return np.asarray(values, dtype=np.float64)
    except ValueError:
        return X
