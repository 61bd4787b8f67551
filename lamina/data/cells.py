"""Cells of a table as values: the readings of its text columns are learnt from training rows and applied to later ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from lamina.data.columns import KINDS
from lamina.data.columns.column import Column
from lamina.data.parse import numbers
from lamina.data.readings import TEXTS, DateReading, DurationReading, NumberReading, Reading, TextReading, digits, learn
from lamina.errors import SchemaError
from lamina.wording import count

FEW_CLASSES = 20
"""Most distinct whole numbers of a target that are classes, and texts in a frame, whatever they could be read as."""


def read_texts(
    table: pl.DataFrame,
    kinds: Mapping[str, str] | None = None,
    *,
    ignored: Sequence[str] = (),
    targets: Sequence[str] = (),
    separator: str | None = None,
    known: Mapping[str, Column] | None = None,
) -> tuple[dict[str, Reading], pl.DataFrame]:
    """The readings of the text columns of training rows, besides the ignored ones, and the table read with them.

    ``separator`` is that of the text file that the table is; None for a frame. Columns that are known are read as they were.
    Labels keep the type in which a frame has them: there the classes "0" and "1", or "True" and "False", stay text.
    """
    declared = dict.fromkeys(ignored, "text")
    if separator is None:
        declared |= {name: "text" for name in targets if name in table.columns and _has_few_levels(table[name])}
    for name, value in (kinds or {}).items():
        kind = KINDS.get(value.partition(" ")[0])
        if kind is not None and kind.reading is not None:
            declared[name] = kind.reading.name + value[len(kind.name) :]
    lists = [as_floats(column) for column in table if column.name not in targets and _are_lists(column.dtype)]
    durations = [name for name in targets if name in table.columns and table[name].dtype in (pl.Duration, pl.Time)]
    table = table.with_columns(*lists, *(_in_seconds(table[name]) for name in durations))
    known = known or {}
    new = pl.DataFrame([column for column in table if column.name not in known]) if known else table
    readings, learnt = learn(new, declared=declared, separator=separator, labels=targets)
    readings |= {name: DurationReading() for name in durations}
    read = [read_cells(column, table[name], []) for name, column in known.items() if column.is_feature]
    return readings, table.with_columns(*learnt, *read) if known else learnt


def _are_lists(dtype: pl.DataType) -> bool:
    """Whether values are lists of numbers."""
    inner = getattr(dtype, "inner", None)
    return inner is not None and inner.is_numeric() and not inner.is_decimal() and len(getattr(dtype, "shape", [0])) == 1


def _in_seconds(target: pl.Series) -> pl.Series:
    """Durations and times of day to predict as seconds, other values as they are."""
    seconds = numbers(target) if target.dtype in (pl.Duration, pl.Time) else None
    return target if seconds is None else seconds


def as_floats(column: pl.Series) -> pl.Series:
    """Lists of numbers as floats, with NaN where one is missing: a row is the same, however it was given.

    Example:
        >>> as_floats(pl.Series([[1, 2], [3, None]])).to_list()
        [[1.0, 2.0], [3.0, nan]]
    """
    inner = column.dtype.inner  # pyright: ignore[reportAttributeAccessIssue]
    lists = column if isinstance(column.dtype, pl.List) else column.arr.to_list()
    steps = lists.list.len()
    if lists.explode().null_count() > steps.null_count() + int((steps == 0).sum()):
        return lists.list.eval(pl.element().cast(pl.Float64).fill_null(float("nan")))
    return column if inner.is_float() else lists.cast(pl.List(pl.Float64))


def _has_few_levels(values: pl.Series) -> bool:
    """Whether texts have as few different values as classes; most others are told by their first rows."""
    return values.dtype in TEXTS and all(part.n_unique() <= FEW_CLASSES for part in (values.head(10_000), values))


def unreadable(column: Column, values: pl.Series) -> list[int]:
    """The rows with a cell of text that does not fit the reading of its column and is refused."""
    reading = column.reading or (usual() if (usual := KINDS[column.kind].reading) is not None else None)
    if values.dtype not in TEXTS or reading is None or reading.verbatim or reading.invalid:
        return []
    failed = reading(values)[1]
    return [] if failed is None else failed.arg_true().to_list()


def read_cells(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    """The values of a column of text, read as in training.

    Raises:
        SchemaError: A cell does not fit; names column, value and row.
    """
    reading = column.reading
    if column.role == "target":
        values = _in_seconds(values)
    if isinstance(reading, DateReading) and values.dtype.is_numeric() and reading.numeric:
        values = digits(values)
    if isinstance(reading, TextReading) and reading.zeros and values.dtype.is_numeric():
        raise SchemaError(
            f"column {column.name!r} holds numbers ({values.dtype}), expected texts of digits as in training, with leading "
            f"zeros, which numbers lose; read the file with the column as text (pandas: dtype={{{column.name!r}: str}})"
        )
    if values.dtype not in TEXTS:
        return values
    if reading is None:
        usual = KINDS[column.kind].reading
        if usual is NumberReading and str(column.details.get("dtype")).startswith(("Duration", "Time")):
            usual = DurationReading
        if usual is None:
            return values
        reading = usual()
    if reading.verbatim:
        return values
    result, failed = reading(values)
    result = result.alias(column.name)
    if failed is None:
        return result
    row = int(failed.arg_true()[0])
    written = f", {reading.written()}" if reading.written() else ""
    if not reading.invalid:  # where training rows had invalid values, they were missing there, too
        raise SchemaError(
            f"column {column.name!r} holds {values[row]!r:.60} in row {row + 1:,}, expected a {column.kind}{written} as in "
            "training; correct it, leave it empty where unknown, or skip such rows (skip_bad=True, --skip-bad)"
        )
    failures = count(int(failed.sum()), "value")
    remarks.append(f"{column.name}: {failures} treated as missing, such as {values[row]!r:.60}: no {column.kind}{written}")
    return result


def merged(values: pl.Series, labels: Sequence[str], other: str = "") -> pl.Series:
    """Labels as text, some of them replaced by another.

    Example:
        >>> merged(pl.Series([1.0, 2.0, None, 3.0]), ["2", "3"], "other").to_list()
        ['1', 'other', None, 'other']
    """
    if values.dtype.is_float() and bool((values == values.floor()).all()):
        values = values.cast(pl.Int64)
    texts = values.cast(pl.String)
    return texts.set(texts.is_in(list(labels)), other) if labels else texts
