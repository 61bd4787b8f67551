"""Parsing: the values of a column as numbers, dates or texts."""

from __future__ import annotations

import math
import re

import polars as pl

TEXTS = (pl.String, pl.Categorical, pl.Enum)
"""The dtypes of text."""
NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""Texts of a missing value (``?`` in the UCI repository)."""
ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)?([ ]?(Z|[+-]\d{2}:?\d{2}))?)?$"

_FULL = "%Y-%m-%dT%H:%M:%S%.f%#z"
_POINTED = r"^(\d{1,2})[.](\d{1,2})[.](\d{4})"
_UNIT = r"[$€£¥₹%]"
_WITH_UNIT = r"^([+-]?)[$€£¥₹]?\s*([\d.,]*\d)\s*[$€£¥₹%]?$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+([.]\d*)?$"


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
            column = parsed_numbers(column.cast(pl.String))
        else:
            return None
    if not math.isfinite(column.sum()):  # faster than is_finite where all are
        column = column.set(~column.is_finite(), None)
    return column


def _seconds(micro: pl.Series) -> pl.Series:
    return (micro // 1_000_000).cast(pl.Float64) + (micro % 1_000_000).cast(pl.Float64) / 1e6  # whole seconds stay whole


def parsed_numbers(column: pl.Series) -> pl.Series:
    column = column.str.strip_chars()
    result = column.cast(pl.Float64, strict=False)
    if result.null_count() > column.null_count() and unit_of(column):
        column = column.str.replace(_WITH_UNIT, "$1$2")
        result = column.cast(pl.Float64, strict=False)
    if result.null_count() > column.null_count() and (grouped := column.str.contains(_THOUSANDS)).any():
        column = column.zip_with(~grouped, column.str.replace_all(",", "", literal=True))
        result = column.cast(pl.Float64, strict=False)
    return result


def unit_of(column: pl.Series) -> str:
    """The currency or percent sign of numbers in text; "" if there is none, or several.

    Example:
        >>> unit_of(pl.Series(["$5", "1,200", "for € 9"])), unit_of(pl.Series(["$5", "7 €"]))
        ('$', '')
    """
    if column.dtype not in TEXTS:
        return ""
    text = column.cast(pl.String).str.strip_chars()
    units = text.filter(text.str.contains(_WITH_UNIT)).str.extract(f"({_UNIT})").drop_nulls().unique()
    return units[0] if len(units) == 1 else ""


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
        column = parsed_dates(column.cast(pl.String))
    elif dtype == pl.Null:
        return column.cast(pl.Datetime("us"))
    elif not isinstance(dtype, pl.Date | pl.Datetime):
        return None
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def iso_dates(column: pl.Series) -> pl.Series | None:
    """Text as Date, or as Datetime if it has a time of day; None unless the first value is an ISO date."""
    first = column.first(ignore_nulls=True)
    if not isinstance(first, str) or not re.fullmatch(ISO[1:-1], first.strip()):
        return None
    result = parsed_dates(column)
    return result.cast(pl.Date) if len(first.strip()) == 10 and (result.dt.truncate("1d") == result).all() else result


def as_iso(column: pl.Series) -> pl.Series:
    """Dates with points, day first, in the order of ISO."""
    text = column.str.strip_chars()
    if not text.str.contains(_POINTED).any():
        return text
    return text.str.replace(r"^(\d)[.]", "0$1.").str.replace(r"^(\d\d)[.](\d)[.]", "$1.0$2.").str.replace(_POINTED, "$3-$2-$1")


def parsed_dates(column: pl.Series) -> pl.Series:
    text = as_iso(column)
    lengths = text.str.len_bytes()
    if lengths.min() == lengths.max() == 10:
        return text.str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    result = text.str.to_datetime(_FULL, strict=False, time_unit="us")
    if result.null_count() == column.null_count():
        return result.dt.replace_time_zone(None)
    text = text.str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00").str.replace(" ", "T", literal=True)
    text = text.str.replace(r"(T\d{2}:\d{2})[ ]?(Z|[+-].*)?$", "${1}:00$2").str.replace(" ", "", literal=True)
    text = text.str.replace(r"(T\d{2}:\d{2}:\d{2}([.]\d+)?)$", "${1}Z")
    return text.str.to_datetime(_FULL, strict=False, time_unit="us").dt.replace_time_zone(None)


def unparsed(before: pl.Series, after: pl.Series) -> pl.Series | None:
    """Which texts could not be parsed; None if all could. Infinite numbers are missing, not unparsed."""
    if after.null_count() == before.null_count() or before.dtype not in TEXTS:
        return None
    text = before.cast(pl.String).str.strip_chars()
    failed = before.is_not_null() & after.is_null() & ~text.is_in(NULLS) & ~text.str.contains(r"(?i)^[+-]?inf(inity)?$")
    return failed if failed.any() else None


def is_unplain(dtype: pl.DataType) -> bool:
    """Whether values of a dtype are lists, structs, bytes or objects instead of a word or a number."""
    return dtype.is_nested() or dtype in (pl.Object, pl.Binary)
