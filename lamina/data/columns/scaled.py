"""The encoding of numbers and dates in the blocks that they share: a scaled number, a missing indicator, cycles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lamina.data.columns.column import Column, Measure, PlainKind
from lamina.wording import count

_DAY = 86_400e6  # microseconds
DAYS = {"month": 365, "weekday": 7, "hour": 1}
"""The length of each cycle in days."""
CYCLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "month": lambda day: _whole(day).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 / 12,
    "weekday": lambda day: (_whole(day) + 3) % 7 / 7,  # 1970-01-01 was a Thursday, and Monday is 0
    "hour": lambda day: np.nan_to_num(day - np.floor(day)),
}
"""The phase of a time in each cycle, from 0 to 1, by days since 1970."""
HARMONICS = {"month": 2, "weekday": 3, "hour": 6}
"""Waves per cycle of a date without a trend: with these a linear model has nearly any profile of the day and of the week."""


@dataclass(frozen=True)
class Scaled:
    """The center and scale of a number, or of a date in days.

    Without ``trend`` a date is its cycles only, in several harmonics each: the days since 1970 of rows to predict are beyond
    those of all training rows.
    """

    name: str
    center: float
    scale: float
    has_missing: bool = False
    is_date: bool = False
    cycles: tuple[str, ...] = ()
    trend: bool = True

    @classmethod
    def fit(cls, values: pl.Series, measure: Measure, trend: bool = True) -> Scaled:
        """Fit to training rows of a number or a date."""
        is_date = values.dtype.is_temporal()
        numbers = floats(values)
        finite = numbers[np.isfinite(numbers)]
        center, scale = measure(finite) if len(finite) else (0.0, 1.0)
        cycles = tuple(cycle for cycle, phase in CYCLES.items() if is_date and len(finite) and np.ptp(phase(finite)) > 0)
        if not trend:  # later rows repeat a cycle only if training rows have all of it
            cycles = tuple(cycle for cycle in cycles if np.ptp(finite) >= DAYS[cycle])
        return cls(values.name, center, scale, len(finite) < len(values), is_date, cycles, trend)

    @property
    def wave_names(self) -> list[str]:
        """The names of the :meth:`waves`."""
        numbers = [(cycle, "" if n == 1 else f" {n}") for cycle, n in self._harmonics]
        return [f"{self.name} {cycle} ({wave}{n})" for cycle, n in numbers for wave in ("sine", "cosine")]

    def waves(self, days: np.ndarray) -> list[np.ndarray]:
        """Sine and cosine of the phase in each cycle, and of its multiples; (0, 0) for a missing date."""
        waves = []
        for cycle, harmonic in self._harmonics:
            angle = 2 * np.pi * harmonic * np.where(np.isfinite(days), CYCLES[cycle](days), np.nan)
            waves += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        return waves

    @property
    def _harmonics(self) -> list[tuple[str, int]]:
        return [(cycle, n) for cycle in self.cycles for n in range(1, (1 if self.trend else HARMONICS[cycle]) + 1)]


class ScaledKind(PlainKind):
    """Base of numbers and dates."""

    shared = "numbers"

    @abstractmethod
    def trained_range(self, details: dict[str, Any]) -> tuple[Any, Any, str]:
        """The lowest and the highest training value, and both in words."""

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        if column.role == "time":  # rows to predict are expected to be later
            return []
        low, high, words = self.trained_range(column.details)
        lowest = values.min()
        if lowest is None or not (lowest < low or values.max() > high):  # pyright: ignore[reportOperatorIssue]
            return []
        beyond = count(int(((values < low) | (values > high)).sum()), "value")
        return [f"{column.name}: {beyond} outside the training range {words}"]

    def fit_entry(self, column: Column, values: pl.Series, measure: Measure, notes: list[str]) -> Scaled:
        entry = Scaled.fit(values, measure, trend=column.role != "time")
        if unused := [cycle for cycle in column.details.get("cycles", ()) if cycle not in entry.cycles]:
            notes.append(
                f"{column.name}: {' and '.join(unused)} not among the features, training rows have no whole cycle of it"
            )
        return entry


def floats(column: pl.Series) -> np.ndarray:
    """Numbers as they are, dates as days since 1970; missing is NaN."""
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64).to_numpy() / _DAY
    return column.cast(pl.Float64).to_numpy()


def _whole(day: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.floor(day)).astype(np.int64)
