"""Series: columns of sequences of steps with one or more channels, as (steps, channels).

Rows may differ in their number of steps, not in their channels. Lists of numbers are series of one channel.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from lamina.data.arrays import as_array, has_axes, is_nested, is_numeric
from lamina.data.columns.column import Block, Column, ColumnKind, Guess, Values, describe, inner_dtype
from lamina.data.columns.kernels import KernelsBlock
from lamina.data.columns.steps import SeriesBlock
from lamina.data.columns.summary import SummaryBlock
from lamina.data.encoding import Encoding
from lamina.data.readings import ListReading
from lamina.errors import SchemaError
from lamina.wording import count


class Series(ColumnKind):
    """List of Array(Float64, channels); ``channels``, ``shortest``, ``longest``.

    Example:
        >>> Series().guess(Values(pl.Series("wave", [[0.5, 1.0], [0.25], None]))).reason
        '2 series of 1 to 2 steps, 1 channel'
    """

    name = "series"
    reading = ListReading
    saved_details = {"channels": int}
    expects = "lists or arrays of numbers, floats where uint8 or uint16 are read as images"
    forms = "a list or an array of numbers, (steps,) or (steps, channels)"
    blocks = (SeriesBlock, KernelsBlock, SummaryBlock)
    streams = True

    def block(self, encoding: Encoding) -> type[Block] | None:
        return KernelsBlock if encoding.plain and encoding.kernels else super().block(encoding)

    def guess(self, values: Values) -> Guess | None:
        dtype = values.column.dtype
        is_image = isinstance(dtype, pl.Array) and len(dtype.shape) == 2 and inner_dtype(dtype) == pl.UInt8
        return None if is_image else _guess(values.column)

    def coerce(self, column: pl.Series) -> Guess | None:
        result = _guess(column)
        if result is not None and result.kind == "other":
            raise SchemaError(f"column {column.name!r} cannot be a series: {result.reason}; fill missing values with NaN")
        return result if result is not None and result.kind == "series" else None

    def is_alone(self, column: Column, value: Any) -> bool:
        axes = 1 if column.details["channels"] == 1 else 2
        if not has_axes(value) or not len(value) or has_axes(value[0]) != (axes == 2) or is_nested(value[0]):
            return False
        array = as_array(value)
        return array.ndim == axes and is_numeric(array)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        channels: int = column.details["channels"]
        form = pl.List(pl.Array(pl.Float64, channels))
        if values.dtype in (form, pl.Null):
            return values.cast(form)
        lists = _lists(values)
        if lists is None:
            raise SchemaError(
                f"column {column.name!r} holds {values.dtype}, expected series of {count(channels, 'channel')} as in training; "
                "give each row an array of (steps, channels)"
            )
        low, high = _channels(lists)
        wrong = ((low != channels) | (high != channels)).fill_null(False)
        if wrong.any():
            row = int(wrong.arg_true()[0])
            actual = count(int(high[row] if low[row] == channels else low[row]), "channel")
            transposed = low[row] == high[row] and lists.list.len()[row] == channels
            remedy = "give (steps, channels): transpose it with .T" if transposed else "give every step as many"
            raise SchemaError(
                f"column {column.name!r} has {actual} in row {row + 1:,}, expected {channels:,} as in training; {remedy}"
            )
        if not lists.list.len().sum():  # without a step the dtype may have other channels
            return pl.Series(lists.name, [None if empty else [] for empty in lists.is_null()], dtype=form)
        if isinstance(lists.dtype.inner, pl.List | pl.Array):  # pyright: ignore[reportAttributeAccessIssue]
            return lists.cast(form)
        return lists.list.eval(pl.concat_arr(pl.element().cast(pl.Float64)))


def _guess(column: pl.Series) -> Guess | None:
    lists = _lists(column)
    if lists is None:
        return None
    details = describe(column)
    if column.null_count() == len(column):
        return Guess("constant", "missing in every row", details)
    low, high = _channels(lists)
    channels: Any = high.max()
    if channels is None:
        return Guess("constant", "series without any steps", details)
    if low.min() != channels:
        fewest, most = (low.arg_min() or 0) + 1, (high.arg_max() or 0) + 1
        reason = (
            f"lists whose steps have {low.min()} (row {fewest:,}) to {channels} (row {most:,}) values; "
            "every step of a series needs the same number"
        )
        return Guess("other", reason, details)
    lengths = lists.list.len()
    shortest, longest = int(lengths.min()), int(lengths.max())  # pyright: ignore[reportArgumentType]
    span = count(longest, "step") if shortest == longest else f"{shortest:,} to {longest:,} steps"
    reason = f"{len(lists) - lists.null_count():,} series of {span}, {count(channels, 'channel')}"
    return Guess("series", reason, details | {"channels": channels, "shortest": shortest, "longest": longest})


def _lists(column: pl.Series) -> pl.Series | None:
    """Lists of steps, which are numbers, lists or arrays; None for values that are no series."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    step = column.dtype.inner if isinstance(column.dtype, pl.List) else None
    value = step.inner if isinstance(step, pl.List | pl.Array) else step
    return column if value is not None and (value.is_numeric() or value == pl.Null) else None  # pyright: ignore


def _channels(lists: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The fewest and the most channels of the steps of each row; null for a row without steps."""
    step = lists.dtype.inner  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(step, pl.List):
        counts = lists.list.eval(pl.element().list.len())
        return counts.list.min(), counts.list.max()
    width = step.size if isinstance(step, pl.Array) else 1
    counts = lists.list.len().clip(0, 1).replace(0, None) * width
    return counts, counts
