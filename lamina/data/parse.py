"""Parsing: the values of a column as numbers, dates or texts."""

from __future__ import annotations

import math

import polars as pl

from lamina.data.readings import TEXTS, DateReading, NumberReading


def numbers(column: pl.Series) -> pl.Series | None:
    """The values as finite Float64, else null; None for a dtype without numbers."""
    dtype = column.dtype
    if dtype != pl.Float64:
        if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            column = column.cast(pl.Float64)
        elif dtype == pl.Duration:
            column = _seconds(column.dt.total_microseconds())
        elif dtype == pl.Time:
            column = _seconds(column.cast(pl.Int64) // 1000)
        elif dtype in TEXTS:
            column = NumberReading()(column)[0].cast(pl.Float64)
        else:
            return None
    if not math.isfinite(column.sum()):  # faster than is_finite where all are
        column = column.set(~column.is_finite(), None)
    return column


def _seconds(micro: pl.Series) -> pl.Series:
    return (micro // 1_000_000).cast(pl.Float64) + (micro % 1_000_000).cast(pl.Float64) / 1e6  # whole seconds stay whole


def texts(column: pl.Series) -> pl.Series | None:
    """The values as String, the same for 3 and 3.0; None for a dtype without plain text."""
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        same = whole.cast(pl.Float64).eq_missing(column.cast(pl.Float64))
        text = whole.cast(pl.String)
        column = column.fill_nan(None) if not math.isfinite(column.sum()) else column
        return text if same.all() else text.zip_with(same, column.cast(pl.String))
    if dtype == pl.Duration:
        return texts(_seconds(column.dt.total_microseconds()))
    return None if is_unplain(dtype) else column.cast(pl.String)


def dates(column: pl.Series) -> pl.Series | None:
    """The values as Datetime in microseconds, UTC without a zone; None for a dtype without dates."""
    dtype = column.dtype
    if dtype in TEXTS:
        column = DateReading()(column)[0]
    elif dtype == pl.Null:
        return column.cast(pl.Datetime("us"))
    elif not isinstance(dtype, pl.Date | pl.Datetime):
        return None
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def is_unplain(dtype: pl.DataType) -> bool:
    """Whether values of a dtype are lists, structs, bytes or objects instead of a word or a number."""
    return dtype.is_nested() or dtype in (pl.Object, pl.Binary)
