"""Tables from data in memory, and results in the library of their source.

pandas and NumPy are converted column by column: that takes microseconds for one row, needs no pyarrow, and reads object columns
of mixed types. Other libraries are read through Arrow or narwhals; series and images by :mod:`lamina.data.arrays`.
"""

from __future__ import annotations

import datetime as dt
import decimal
import numbers
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from narwhals import dependencies

from lamina.data.arrays import as_array, from_array, from_rows, has_axes, image_file, is_missing, is_nested, is_numeric
from lamina.errors import ReadError

FEW_ROWS = 16
"""Up to so many rows, reading row by row is faster than column by column."""


def from_memory(source: Any) -> pl.DataFrame:
    """A table from data in memory; see :func:`lamina.data.read.read_table`."""
    if isinstance(source, pl.DataFrame):
        return without_patterns(source)
    if isinstance(source, pl.LazyFrame):
        return without_patterns(source.collect())
    if isinstance(source, pl.Series):
        return source.to_frame(literal(source.name or "x0"))
    if isinstance(source, nw.DataFrame | nw.LazyFrame | nw.Series):
        return from_memory(source.to_native())
    if dependencies.is_pandas_dataframe(source):
        names = column_names(source.columns.tolist(), "the pandas DataFrame")
        dtypes = source.dtypes.tolist()
        if dtypes and isinstance(dtypes[0], np.dtype) and dtypes[0].kind in "biuf" and dtypes.count(dtypes[0]) == len(dtypes):
            return matrix(names, source.to_numpy())
        return pl.DataFrame([_pandas(name, values) for name, (_, values) in zip(names, source.items(), strict=True)])
    if dependencies.is_pandas_series(source):
        return _pandas("x0" if source.name is None else literal(str(source.name)), source).to_frame()
    if isinstance(source, np.ndarray):
        return _array(unmasked(source))
    if isinstance(source, Mapping):
        return _columns(dict(source))
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return _rows(source)
    return _foreign(source)


def like(result: pl.DataFrame | pl.Series, source: Any) -> Any:
    """A result in the library of its source.

    Args:
        result: The rows of the source, in its order.
        source: The data that was read. A polars or pyarrow source gives the same; pandas gives pandas with the source's index;
            a path or an open file gives polars; a dict, a list or an array gives NumPy, as scikit-learn does.

    Example:
        >>> like(pl.Series("income", ["low", "high"]), {"age": [17, 40]})
        array(['low', 'high'], dtype='<U4')
    """
    if isinstance(source, pl.DataFrame | pl.LazyFrame | pl.Series | str | os.PathLike) or hasattr(source, "read"):
        return result
    if dependencies.is_pandas_dataframe(source) or dependencies.is_pandas_series(source):
        import pandas

        index = source.index
        if isinstance(result, pl.Series):
            return pandas.Series(_values(result), index=index, name=result.name)
        columns = {column.name: _values(column) for column in result}
        return pandas.DataFrame(columns, index=index, columns=result.columns)
    if type(source).__module__.partition(".")[0] == "pyarrow":
        return result.to_arrow()
    if isinstance(result, pl.Series):
        return _values(result)
    kinds = {column.dtype.is_numeric() for column in result}
    return result.to_numpy() if kinds == {True} else np.stack([_values(column).astype(object) for column in result], axis=1)


def _values(column: pl.Series) -> np.ndarray:
    if column.dtype in (pl.String, pl.Categorical, pl.Enum) and not column.null_count():
        return np.array(column.to_list(), dtype=str)
    if column.dtype == pl.List(pl.String):  # labels: lists, as they were given
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
        return values
    return column.to_numpy()


def column_names(names: Sequence[Any], owner: str, remedy: str = "rename one of them") -> list[str]:
    """Names as text: a missing one gets its position, a pattern is made literal, duplicate names are an error."""
    texts = ["" if name is None or name != name else literal(str(name)) for name in names]
    taken = set(texts)
    for place, text in enumerate(texts, 1):
        if not text.strip():
            name = free_name(f"column_{place}", taken)
            taken.add(name)
            texts[place - 1] = name
    if len(set(texts)) < len(texts):
        twice = next(text for place, text in enumerate(texts) if text in texts[:place])
        places = " and ".join(str(place) for place, text in enumerate(texts, 1) if text == twice)
        raise ReadError(f"{owner} has more than one column named {twice!r} (columns {places}); {remedy}")
    return texts


def literal(name: str) -> str:
    """The name of a column in lamina: a name from ^ to $ gets an underscore, as polars reads it as a pattern.

    Example:
        >>> literal("price"), literal("^price$")
        ('price', '^price$_')
    """
    return f"{name}_" if name.startswith("^") and name.endswith("$") else name


def without_patterns(table: pl.DataFrame) -> pl.DataFrame:
    """The table with literal names; a blank one gets its position."""
    if all(name.strip() and name[:1] != "^" for name in table.columns):
        return table
    names = [
        literal(name) if name.strip() else free_name(f"column_{place}", table.columns)
        for place, name in enumerate(table.columns, 1)
    ]
    for name, original in zip(names, table.columns, strict=True):
        if name != original and name in table.columns:
            raise ReadError(
                f"the table has the columns {original!r} and {name!r}, and the former is renamed to the latter; "
                "rename one of them"
            )
    table = table.clone()
    table.columns = names
    return table


def free_name(name: str, taken: Collection[str]) -> str:
    """The name, with underscores appended while it is taken.

    Example:
        >>> free_name("set", {"set", "set_"})
        'set__'
    """
    while name in taken:
        name += "_"
    return name


def _pandas(name: str, values: Any) -> pl.Series:
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _vector(name, values.to_numpy())
    kind = str(dtype)
    if kind == "category":
        return (
            _categories(values, pl.Series([plain_text(level) for level in values.cat.categories], dtype=pl.String))
            .cast(pl.Categorical)
            .alias(name)
        )
    if getattr(dtype, "tz", None) is not None:
        plain = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return _vector(name, plain).dt.replace_time_zone("UTC")
    if hasattr(dtype, "numpy_dtype") and kind[0].lower() in "iufb" and "[" not in kind:
        missing = values.isna().to_numpy()
        filled = pl.Series(name, values.to_numpy(dtype=dtype.numpy_dtype, na_value=0))
        return filled.set(pl.Series(missing), None) if missing.any() else filled
    if (kind.startswith("str") or "[pyarrow]" in kind) and dependencies.get_pyarrow() is not None:
        return pl.Series(name, values.array.__arrow_array__())
    if kind.startswith("period"):
        return _vector(name, values.dt.to_timestamp().to_numpy())
    if kind.startswith("interval"):
        return objects(name, [str(value) if present else None for value, present in zip(values, values.notna(), strict=True)])
    return objects(name, values.astype(object).tolist())


def _categories(values: Any, levels: pl.Series) -> pl.Series:
    """A categorical of pandas, from its levels."""
    codes = pl.Series(values.cat.codes.to_numpy()).cast(pl.Int64)
    return levels.gather(codes.set(codes < 0, None))


def labels(name: str, values: Any) -> pl.Series | None:
    """Labels of any container as a column of the type that they were given in; None for a plain array of NumPy.

    Example:
        >>> labels("y", ["a", None]).dtype, labels("y", np.array([1, 2]))
        (String, None)
    """
    if dependencies.is_pandas_series(values) or type(values).__name__ in ("Categorical", "CategoricalIndex"):
        import pandas

        series = pandas.Series(values)
        if str(series.dtype) == "category":
            levels = _pandas(name, series.cat.categories.to_series())
            fractions = levels.dtype.is_float() and bool((levels != levels.floor()).any())  # no task has them as classes
            return _pandas(name, series).cast(pl.String) if fractions else _categories(series, levels).alias(name)
        return None if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biufU" else _pandas(name, series)
    if isinstance(values, pl.Series) or (hasattr(values, "to_pylist") and not hasattr(values, "columns")):
        column = from_memory(values).to_series()
        return column.cast(pl.String) if column.dtype in (pl.Categorical, pl.Enum) else column
    if isinstance(values, list | tuple):
        return None if any(map(has_axes, values)) else objects(name, list(values))
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "OM":
        return _vector(name, values)
    return None


def with_labels(table: pl.DataFrame, source: Any, names: Collection[str]) -> pl.DataFrame:
    """The table that was read from a source, with columns to predict in the type that they were given in.

    A categorical of pandas is read as text, which is right for a feature; the labels of one of numbers are numbers.
    """
    if not dependencies.is_pandas_dataframe(source):
        return table
    columns = [
        column.alias(name)
        for place, name in enumerate(table.columns)
        if name in names and str(source.dtypes.iloc[place]) == "category"
        if (column := labels(name, source.iloc[:, place])) is not None
    ]
    return table.with_columns(columns) if columns else table


def unmasked(values: Any) -> Any:
    """A masked array of NumPy as an array with missing values, anything else as it is.

    Example:
        >>> unmasked(np.ma.masked_array([1, 2], mask=[False, True])).tolist()
        [1, None]
    """
    if not isinstance(values, np.ma.MaskedArray):
        return values
    if values.dtype.kind == "f":
        return values.filled(np.nan)
    present = values.data.astype(object)
    present[np.ma.getmaskarray(values)] = None
    return present


def positions(width: int) -> list[str]:
    """The names of the columns of an array.

    Example:
        >>> positions(3)
        ['x0', 'x1', 'x2']
    """
    return [f"x{place}" for place in range(width)]


def _vector(name: str, values: np.ndarray) -> pl.Series:
    kind = values.dtype.kind
    if kind == "c":
        raise ReadError(f"Complex data not supported: column {name!r} is {values.dtype}; give its real and imaginary parts")
    if kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float64 if values.dtype.itemsize > 8 else np.float32)
    if kind in "Mm" and np.datetime_data(values.dtype)[0] not in ("ns", "us", "ms"):
        values = values.astype(f"{'datetime64' if kind == 'M' else 'timedelta64'}[us]")
    if kind in "biufMm":
        return pl.Series(name, np.ascontiguousarray(values))
    return objects(name, values.tolist())


def _array(array: np.ndarray) -> pl.DataFrame:
    if array.dtype.names:
        return pl.DataFrame([_vector(literal(name), array[name]) for name in array.dtype.names])
    if array.ndim == 2:
        return matrix(positions(array.shape[1]), array)
    return _one_column("x0", array).to_frame()


def matrix(names: Sequence[str], values: np.ndarray) -> pl.DataFrame:
    """A table from a row of numbers for each of its rows, (N, columns)."""
    if 0 < len(values) <= FEW_ROWS and values.dtype in (np.int64, np.float64) and names:
        return pl.DataFrame(values.tolist(), schema=list(names), orient="row")  # five times faster
    return pl.DataFrame([_vector(name, values[:, place]) for place, name in enumerate(names)])


def _one_column(name: str, array: np.ndarray) -> pl.Series:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return _vector(name, array) if array.ndim == 1 else from_array(name, array)


def _columns(columns: dict[Any, Any]) -> pl.DataFrame:
    names = column_names(list(columns), "the dict")
    series = [_any_column(name, values) for name, values in zip(names, columns.values(), strict=True)]
    lengths = {len(column) for column in series}
    if len(lengths) > 1:
        shortest, longest = min(series, key=len), max(series, key=len)
        raise ReadError(
            f"the columns differ in length: {shortest.name!r} has {len(shortest):,} values, {longest.name!r} {len(longest):,}; "
            "give each column one value per row"
        )
    return pl.DataFrame(series)


def _any_column(name: str, values: Any) -> pl.Series:
    values = unmasked(values)
    if isinstance(values, pl.Series):
        return values.alias(name)
    if dependencies.is_pandas_series(values):
        return _pandas(name, values)
    if isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1:
        return objects(name, values.tolist())
    if hasattr(values, "__array__") and getattr(values, "ndim", 0) > 0:
        return _one_column(name, as_array(values))
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise ReadError(f"column {name!r} of the dict is {values!r:.40}; expected a list or array with one value per row")
    return objects(name, list(values))


def _rows(rows: Sequence[Any]) -> pl.DataFrame:
    tables = [dependencies.is_into_dataframe(row) for row in rows[:2]]
    axes = [
        2 if is_table else np.ndim(row) if hasattr(row, "__array__") else 0
        for row, is_table in zip(rows[:2], tables, strict=True)
    ]
    if isinstance(rows, tuple) and axes in ([2, 1], [2, 2]):
        raise ReadError(
            "a tuple of X and y is not a table; call lamina.Classifier().fit(X, y) or Regressor, or add y to X as a column"
        )
    if any(tables):
        raise ReadError(f"a list of {len(rows):,} tables is not a table; join them first, such as by pandas.concat(tables)")
    if rows and all(isinstance(row, Mapping) for row in rows):
        names = list(dict.fromkeys(name for row in rows for name in row))
        return _columns({name: [row.get(name) for row in rows] for name in names})
    if not any(has_axes(row) for row in rows) or any(is_nested(row) for row in rows):
        return objects("x0", list(rows)).to_frame()
    widths = [len(row) if has_axes(row) else None for row in rows]
    for place, width in enumerate(widths):
        if width != widths[0]:
            if all(row is None or (has_axes(row) and is_numeric(as_array(row))) for row in rows):
                return objects("x0", list(rows)).to_frame()
            first, second = (f"has {count} values" if count is not None else "is no list" for count in (widths[0], width))
            raise ReadError(
                f"row {place + 1} of the list {second}, row 1 {first}; give each row one value per column, "
                "or nothing but numbers where rows are series"
            )
    return _columns({f"x{place}": [row[place] for row in rows] for place in range(widths[0] or 0)})


def _foreign(source: Any) -> pl.DataFrame:
    if hasattr(source, "toarray"):
        raise ReadError(f"sparse data ({type(source).__name__}) is not a table yet; give it dense: X.toarray()")
    library = type(source).__module__.partition(".")[0]
    if library == "datasets":  # of Hugging Face; with the order and rows of shuffle() and select()
        source = source.with_format("arrow")[:]
        library = "pyarrow"
    if library == "pyarrow":
        source = source.to_table() if hasattr(source, "to_table") else source
        if hasattr(source, "schema"):
            column_names(source.schema.names, "the Arrow table")
        return from_memory(pl.from_arrow(source))
    frame = nw.from_native(source, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, nw.DataFrame):
        return without_patterns(frame.to_polars())
    if hasattr(source, "__arrow_c_stream__"):
        return without_patterns(pl.DataFrame(source))
    if hasattr(source, "__array__"):
        return _array(as_array(source))
    raise ReadError(
        f"cannot read a table from {type(source).__name__}; give a file, a pandas, polars or pyarrow frame, a NumPy array, "
        "a dict of columns or a list of dicts"
    )


def objects(name: str, values: list[Any]) -> pl.Series:
    """A column from Python values of any types: text if numbers and text are mixed, series and images from arrays."""
    values = [None if is_missing(value) else value for value in values]
    types = {type(value) for value in values}
    types.discard(type(None))
    if not types:
        return pl.Series(name, values, dtype=pl.Null)
    if all(issubclass(kind, str) for kind in types):
        return _text(name, values if types == {str} else _map(str, values))
    if all(issubclass(kind, bool | np.bool_) for kind in types):
        return pl.Series(name, _map(bool, values), dtype=pl.Boolean)
    if all(issubclass(kind, complex | np.complexfloating) for kind in types):
        raise ReadError(f"Complex data not supported: column {name!r}; give its real and imaginary parts")
    if all(issubclass(kind, numbers.Number | np.bool_) for kind in types):
        whole = all(issubclass(kind, numbers.Integral | np.bool_) for kind in types)
        if whole and all(value is None or -(2**63) <= value < 2**63 for value in values):
            return pl.Series(name, _map(int, values), dtype=pl.Int64)
        try:
            return pl.Series(name, _map(float, values), dtype=pl.Float64)
        except OverflowError:
            row = 1 + next(place for place, value in enumerate(values) if value is not None and abs(value) > 10**308)
            raise ReadError(
                f"column {name!r}, row {row:,}: a number of more than 308 digits; give it as text, or leave it empty"
            ) from None
    if all(issubclass(kind, dt.date | dt.time | dt.timedelta | np.datetime64) for kind in types):
        try:
            return pl.Series(name, values, strict=True)
        except (TypeError, ValueError, pl.exceptions.PolarsError):
            return _text(name, _map(plain_text, values))
    if all(hasattr(kind, "to_timestamp") for kind in types):  # a period of pandas
        return objects(name, _map(lambda period: period.to_timestamp(), values))
    if all(issubclass(kind, bytes | bytearray | memoryview) for kind in types):
        return pl.Series(name, _map(bytes, values), dtype=pl.Binary)
    if any(kind.__module__.startswith("PIL.") for kind in types):
        return pl.Series(name, _map(lambda value: image_file(name, value), values), dtype=pl.Binary)
    if all(value is None or has_axes(value) for value in values) and (column := from_rows(name, values)) is not None:
        return column
    if all(issubclass(kind, list | tuple | set | frozenset) for kind in types):  # labels of a row
        rows = [
            value if value is None else sorted(value) if isinstance(value, set | frozenset) else list(value) for value in values
        ]
        if all(isinstance(one, str) for row in rows for one in row or ()):
            return pl.Series(name, rows, dtype=pl.List(pl.String))
    scalars = str | bool | np.bool_ | numbers.Number | dt.date | dt.time | dt.timedelta | decimal.Decimal
    if all(issubclass(kind, scalars) for kind in types):
        return _text(name, _map(plain_text, values))
    return pl.Series(name, values, dtype=pl.Object)


def _text(name: str, values: list[str | None]) -> pl.Series:
    try:
        return pl.Series(name, values, dtype=pl.String)
    except UnicodeEncodeError as error:
        row = 1 + next(place for place, value in enumerate(values) if value == error.object)
        raise ReadError(
            f"column {name!r}, row {row:,}: {error.object[error.start]!r} is half of a surrogate pair and no character "
            f"(in {error.object[max(0, error.start - 12) : error.end + 12]!r}); read the text again as UTF-8, or clean it: "
            "text.encode('utf-8', 'replace').decode()"
        ) from None


def plain_text(value: Any) -> str:
    """The text of a value, the same for 3 and 3.0."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def _map(function: Callable[[Any], Any], values: list[Any]) -> list[Any]:
    return [None if value is None else function(value) for value in values]
