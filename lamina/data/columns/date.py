"""Dates and date-times."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import polars as pl

from lamina.data.columns.column import Guess, Values
from lamina.data.columns.scaled import DAYS, ScaledKind
from lamina.data.parse import dates
from lamina.data.readings import DateReading


class Date(ScaledKind):
    """Datetime("us"), UTC without zone; ``low``, ``high`` (ISO text), ``time``: whether the time of day varies.

    Where the column splits the rows by time also ``cycles``, those that are features.
    """

    name = "date"
    saved_details = {"low": dt.datetime, "high": dt.datetime}
    expects = "dates (2024-05-31)"
    reading = DateReading
    parse = staticmethod(dates)

    def guess(self, values: Values) -> Guess | None:
        return None if values.dates is None else self._described(values.dates, values.details)

    def given(self, column: pl.Series, parsed: pl.Series, details: dict[str, Any]) -> Guess:
        return self._described(parsed, details, "given; ")

    def as_time(self, guess: Guess) -> Guess:
        low, high, _ = self.trained_range(guess.details)
        days = (high - low) / dt.timedelta(days=1)
        cycles = [cycle for cycle in DAYS if days >= DAYS[cycle] and (cycle != "hour" or guess.details["time"])]
        if not cycles:
            return super().as_time(guess)
        names = " and ".join(filter(None, (", ".join(cycles[:-1]), cycles[-1])))
        are = "are features" if len(cycles) > 1 else "is a feature"
        reason = f"{guess.reason}; its {names} {are}, the time itself is not: validation rows are later than all training rows"
        return replace(guess, reason=reason, details=guess.details | {"cycles": cycles})

    def trained_range(self, details: dict[str, Any]) -> tuple[dt.datetime, dt.datetime, str]:
        low, high = (dt.datetime.fromisoformat(details[end]) for end in ("low", "high"))
        return low, high, f"{str(low)[:10]}..{str(high)[:10]}"

    def _described(self, moments: pl.Series, details: dict[str, Any], prefix: str = "") -> Guess:
        low: Any = moments.min()
        high: Any = moments.max()
        timed = not (moments.dt.truncate("1d") == moments).all()
        with_time = ", with the time of day" if timed else ""
        reason = f"{prefix}dates from {str(low)[:10]} to {str(high)[:10]}{with_time}"
        return Guess(self.name, reason, details | {"low": low.isoformat(), "high": high.isoformat(), "time": timed})
