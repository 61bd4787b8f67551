"""Rows to predict in the forms that need the schema of a model: one row by its names, and a single image or text.

==============================================  =====================================================================
given                                           rows
==============================================  =====================================================================
a dict of values, a pandas Series by column,    one row
a named tuple
==============================================  =====================================================================

where the model has one feature, and that is of images or texts:

==============================================  =====================================================================
the path of an image file, bytes, a PIL image,  one row
an array (height, width[, channels]); "-" and
a pipe of an image file
a text; the path of a .txt file                 one row
the path of a folder                            a row for each image or .txt file in it and its folders, by name
==============================================  =====================================================================

Anything else is read by :func:`lamina.data.read.read_table`; lists of paths, images, bytes, arrays or texts are a column.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from narwhals import dependencies
from scipy.sparse import issparse

from lamina.data.columns import KINDS
from lamina.data.columns.column import Column
from lamina.data.folder import files_below
from lamina.data.frames import literal
from lamina.data.memory import read_bounded
from lamina.data.read import STDIN, is_table_name
from lamina.data.schema import Schema
from lamina.errors import ReadError
from lamina.wording import listed

_BARE = (bytes, bytearray, memoryview, int, float, complex)


def as_rows(source: Any, schema: Schema) -> Any:
    """The source in a form that :func:`~lamina.data.read.read_table` reads as rows of the schema.

    Raises:
        ReadError: It is a single value, and the model has not exactly one feature of images or texts.

    Example:
        >>> schema = Schema((Column("age", "number", "feature", "", {}), Column("town", "category", "feature", "", {})))
        >>> as_rows({"age": 17, "town": "Bern"}, schema), as_rows({"age": [17], "town": ["Bern"]}, schema)
        ({'age': [17], 'town': ['Bern']}, {'age': [17], 'town': ['Bern']})
    """
    if isinstance(source, pl.LazyFrame) or issparse(source):  # one of scipy's sparse arrays is a dict
        return source
    if hasattr(source, "columns") or hasattr(source, "column_names"):
        return source
    if isinstance(source, Mapping):
        return _of_dict(source, schema)
    if dependencies.is_pandas_series(source):
        return source.to_frame().T if _is_row(source, schema) else source
    if hasattr(source, "_asdict"):
        return _of_dict(source._asdict(), schema)
    only = schema.features[0] if len(schema.features) == 1 and not KINDS[schema.features[0].kind].plain else None
    if isinstance(source, str | os.PathLike):
        if only is None:
            return source
        of_bytes = KINDS[only.kind].is_alone(only, b"")
        return _of_stream(source, only) if of_bytes and (str(source) in STDIN or _is_pipe(source)) else _of_path(source, only)
    if only is not None and KINDS[only.kind].is_alone(only, source):
        return {only.name: [bytes(source) if isinstance(source, bytearray | memoryview) else source]}
    if isinstance(source, _BARE) or hasattr(source, "getbands"):
        raise ReadError(f"{type(source).__name__} is no row to predict; {_accepted(schema, only)}")
    return source


def _is_pipe(path: str | os.PathLike[str]) -> bool:
    try:
        return Path(path).is_fifo()
    except (OSError, ValueError):  # a long text
        return False


def _of_stream(source: str | os.PathLike[str], only: Column) -> Any:
    """The image of standard input or a pipe; else its bytes, which can be read only once, as an open file."""
    with open(0 if str(source) in STDIN else source, "rb", closefd=str(source) not in STDIN) as file:
        data = read_bounded(Path(source), file)
    value = KINDS[only.kind].of_bytes(only, data)
    return io.BytesIO(data) if value is None else {only.name: [value]}


def _of_dict(row: Mapping[Any, Any], schema: Schema) -> Mapping[Any, Any]:
    """A dict of values as one of columns; a dict of columns as it is."""
    by_name = {literal(str(name)): value for name, value in row.items()}
    features = {column.name for column in schema.features if column.name in by_name}
    if not all(KINDS[schema[name].kind].is_value(schema[name], by_name[name]) for name in features):
        return row
    others = {name for name, value in by_name.items() if isinstance(value, str | bytes) or not hasattr(value, "__len__")}
    if not features and len(others) < len(by_name):
        return row
    return {name: [value] for name, value in by_name.items() if name in features | others}


def _is_row(series: Any, schema: Schema) -> bool:
    """Whether a series of pandas is one row, whose index has the names of columns."""
    features = {column.name for column in schema.features}
    if len(series) > 2 * len(schema.columns) + 8:
        return False
    names = {literal(str(name)) for name in series.index}
    return features <= names if series.index.dtype.kind in "biuf" else not features.isdisjoint(names)


def _of_path(source: str | os.PathLike[str], only: Column) -> Any:
    kind, path = KINDS[only.kind], Path(os.path.expanduser(source))
    try:
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    except (OSError, ValueError):  # a long text
        is_folder = is_file = exists = False
    if is_folder:
        values = [value for file in files_below(path) if (value := kind.of_file(only, file)) is not None]
        if not values and kind.forms:
            raise ReadError(f"{path} holds no {only.kind}; give {kind.forms}")
        return pl.Series(only.name, values)
    if is_file:
        value = kind.of_file(only, path)
        return source if value is None else pl.Series(only.name, [value])
    is_text = not exists and isinstance(source, str) and kind.is_alone(only, source) and not is_table_name(source)
    return {only.name: [source]} if is_text else source


def _accepted(schema: Schema, only: Column | None) -> str:
    names = listed([repr(column.name) for column in schema.features], 5)
    table = f"a file, a frame, a dict of columns or a list of dicts with {names}, or one row as a dict or a pandas Series"
    if only is None or not (forms := KINDS[only.kind].forms):
        return f"give {table}"
    return f"give {forms}, a list of these, or a table with the column {only.name!r}"
