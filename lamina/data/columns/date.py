"""Dates and date-times, and text of which at least 99 % parse as them, ISO or as 31.5.2024."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl

from lamina.data.columns.column import Column, ColumnKind, Guess, Values, coerced, converted, outside
from lamina.data.columns.scaled import Scaled
from lamina.data.parse import dates


class Date(ColumnKind):
    """Datetime("us"), UTC without zone; ``low``, ``high`` (ISO text), ``time``: whether the time of day varies."""

    name = "date"
    expects = "dates (2024-05-31)"
    shared = "numbers"

    def guess(self, values: Values) -> Guess | None:
        return None if values.dates is None else self._described(*values.dates, "text that holds " * values.is_text)

    def coerce(self, column: pl.Series) -> Guess | None:
        if (parsed := coerced(column, dates(column))) is None:
            return None
        moments, details, remark = parsed
        return self._described(moments, details, "given; ", remark)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return converted(column, values, dates(values), remarks)

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        low, high = (dt.datetime.fromisoformat(column.details[end]) for end in ("low", "high"))
        return outside(column, values, low, high, f"{str(low)[:10]}..{str(high)[:10]}")

    def fit_entry(self, values: pl.Series, measure: Any) -> tuple[Scaled, str]:
        return Scaled.fit(values, measure), ""

    def _described(self, moments: pl.Series, details: dict[str, Any], prefix: str, remark: str = "") -> Guess:
        low: Any = moments.min()
        high: Any = moments.max()
        timed = not (moments.dt.truncate("1d") == moments).all()
        with_time = ", with the time of day" if timed else ""
        reason = f"{prefix}dates from {str(low)[:10]} to {str(high)[:10]}{with_time}{remark}"
        return Guess(self.name, reason, details | {"low": low.isoformat(), "high": high.isoformat(), "time": timed})
