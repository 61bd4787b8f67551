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
CYCLES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "month": lambda day: _whole(day).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 / 12,
    "weekday": lambda day: (_whole(day) + 3) % 7 / 7,  # 1970-01-01 was a Thursday, and Monday is 0
    "hour": lambda day: np.nan_to_num(day - np.floor(day)),
}
"""The phase of a time in each cycle, from 0 to 1, by days since 1970."""


@dataclass(frozen=True)
class Scaled:
    """The center and scale of a number, or of a date in days."""

    name: str
    center: float
    scale: float
    has_missing: bool = False
    is_date: bool = False
    cycles: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, measure: Measure) -> Scaled:
        """Fit to training rows of a number or a date."""
        is_date = values.dtype.is_temporal()
        numbers = floats(values)
        finite = numbers[np.isfinite(numbers)]
        center, scale = measure(finite) if len(finite) else (0.0, 1.0)
        cycles = tuple(cycle for cycle, phase in CYCLES.items() if is_date and len(finite) and np.ptp(phase(finite)) > 0)
        return cls(values.name, center, scale, len(finite) < len(values), is_date, cycles)

    def waves(self, days: np.ndarray) -> list[np.ndarray]:
        """Sine and cosine of the phase in each cycle; (0, 0) for a missing date."""
        waves = []
        for cycle in self.cycles:
            angle = 2 * np.pi * np.where(np.isfinite(days), CYCLES[cycle](days), np.nan)
            waves += [np.nan_to_num(np.sin(angle)), np.nan_to_num(np.cos(angle))]
        return waves


class ScaledKind(PlainKind):
    """Base of numbers and dates."""

    shared = "numbers"

    @abstractmethod
    def trained_range(self, details: dict[str, Any]) -> tuple[Any, Any, str]:
        """The lowest and the highest training value, and both in words."""

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        low, high, words = self.trained_range(column.details)
        lowest = values.min()
        if lowest is None or not (lowest < low or values.max() > high):  # pyright: ignore[reportOperatorIssue]
            return []
        beyond = count(int(((values < low) | (values > high)).sum()), "value")
        return [f"{column.name}: {beyond} outside the training range {words}"]

    def fit_entry(self, values: pl.Series, measure: Measure, notes: list[str]) -> Scaled:
        return Scaled.fit(values, measure)


def floats(column: pl.Series) -> np.ndarray:
    """Numbers as they are, dates as days since 1970; missing is NaN."""
    if column.dtype.is_temporal():
        return column.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64).to_numpy() / _DAY
    return column.cast(pl.Float64).to_numpy()


def _whole(day: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.floor(day)).astype(np.int64)
