"""Durations and times of day as seconds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import MINUS, SIGN, Cells, Learnt, Reading

_SECONDS = r"\d+(?:[.,]\d+)?"
_CLOCK = (
    rf"(?i)^(?:(?<days>{SIGN}?\d+) days?,? )?(?<sign>{SIGN})?(?<hours>\d{{1,4}}):(?<minutes>[0-5]\d)"
    r"(?::(?<seconds>[0-5]\d(?:[.,]\d+)?))?(?:\s?(?<half>[ap])[.]?m[.]?)?$"
)
_TIMER = rf"^(?<sign>{SIGN})?(?:(?<hours>\d{{1,4}}):)?(?<minutes>\d{{1,4}}):(?<seconds>[0-5]\d(?:[.,]\d+)?)$"
_PRECISE = rf"^{SIGN}?\d{{1,4}}:[0-5]\d[.,]\d+$"
_ISO = (
    rf"^(?<sign>{SIGN})?P(?:(?<days>{SIGN}?\d+)D)?(?:T(?:(?<hours>\d+)H)?(?:(?<minutes>\d+)M)?(?:(?<seconds>{_SECONDS})S)?)?$"
)
_WORDS = (
    rf"(?i)^(?<sign>{SIGN})?(?:(?<days>\d+)\s?(?:d|days?|tage?)[,\s]*)?(?:(?<hours>\d+)\s?(?:h|hrs?|hours?|std)[.,\s]*)?"
    rf"(?:(?<minutes>\d+)\s?(?:m|mins?|minutes?|minuten?)[.,\s]*)?(?:(?<seconds>{_SECONDS})\s?(?:s|secs?|seconds?|sek)[.]?)?$"
)
_HOURS = r"(?i)^(?:(?<hours>\d{1,2})\s?(?<half>[ap])[.]?m[.]?)$"
_FRENCH = rf"^(?<sign>{SIGN})?(?<hours>\d{{1,4}})\s?h\s?(?<minutes>[0-5]\d)$"
_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


@dataclass(frozen=True)
class DurationReading(Reading):
    """Hours, minutes and seconds, 01:23:45, 12:30 or 9:15 PM, with days as pandas writes them, or of ISO 8601: Float64 seconds.

    A number is one of seconds, as it is in columns that are no text.

    Attributes:
        timer: Whether 12:30 is minutes and seconds, as in columns with fractions of seconds (12:30.5).
    """

    timer: bool = False

    name = "duration"

    def read(self, cells: pl.Series) -> pl.Series:
        values = _elapsed(cells, self.timer)
        if values.null_count() == cells.null_count():
            return values
        return values.fill_null(cells.cast(pl.Float64, strict=False).fill_nan(None))

    def written(self) -> str:
        return f"written {'23:45.5' if self.timer else '01:23:45'}, in seconds"


def _elapsed(cells: pl.Series, timer: bool) -> pl.Series:
    """The seconds of cells that are durations, not numbers; null for others."""
    values = _total(cells, _TIMER if timer else _CLOCK)
    for pattern in (_ISO, _WORDS, _HOURS, _FRENCH):
        if values.null_count() > cells.null_count():
            values = values.fill_null(_total(cells, pattern))
    return values


def _total(cells: pl.Series, pattern: str) -> pl.Series:
    """The seconds of cells of a pattern; null for others."""
    parts = cells.str.extract_groups(pattern).struct.unnest()
    units = [name for name in _UNITS if name in parts.columns]
    parts = parts.with_columns(pl.col(units).str.replace(",", ".", literal=True).str.replace(f"[{MINUS}]", "-"))
    parts = parts.with_columns(pl.col(units).cast(pl.Float64))
    total = pl.sum_horizontal(pl.col(unit) * _UNITS[unit] for unit in units)
    fits = pl.any_horizontal(pl.col(units).is_not_null())
    if "half" in parts.columns and parts["half"].count():  # 12 AM is midnight
        half = pl.col("half").str.to_lowercase()
        hour = pl.when(half.is_not_null()).then(pl.col("hours") % 12 - pl.col("hours")).otherwise(0.0)
        total += (hour + pl.when(half == "p").then(12.0).otherwise(0.0)) * 3600.0
        fits &= half.is_null() | pl.col("hours").is_between(1, 12)
    sign = pl.when(pl.col("sign").is_in([*MINUS])).then(-1.0).otherwise(1.0) if "sign" in parts.columns else pl.lit(1.0)
    return parts.select(pl.when(fits).then(total * sign)).to_series()


def learn_duration(column: Cells) -> Learnt | None:
    """The reading of durations, where the cells are such; else None."""
    if not column.look_like(_CLOCK, _TIMER, _ISO, _WORDS, _HOURS, _FRENCH):
        return None
    cells = column.values["cell"]
    timer = bool(cells.str.contains(_PRECISE).any())
    share = column.share(_elapsed(cells, timer).is_not_null())
    return Learnt(DurationReading(timer=timer)) if share >= column.least and share else None
