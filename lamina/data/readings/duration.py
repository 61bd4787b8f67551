"""Durations as seconds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import SIGN, Cells, Learnt, Reading

_SECONDS = r"\d+(?:[.,]\d+)?"
_CLOCK = (
    rf"^(?:(?<days>{SIGN}?\d+) days?,? )?(?<sign>{SIGN})?(?<hours>\d{{1,4}}):(?<minutes>[0-5]\d)"
    r"(?::(?<seconds>[0-5]\d(?:[.,]\d+)?))?$"
)
_ISO = (
    rf"^(?<sign>{SIGN})?P(?:(?<days>{SIGN}?\d+)D)?(?:T(?:(?<hours>\d+)H)?(?:(?<minutes>\d+)M)?(?:(?<seconds>{_SECONDS})S)?)?$"
)
_UNITS = {"days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


@dataclass(frozen=True)
class DurationReading(Reading):
    """Hours, minutes and seconds, 01:23:45 or 12:30, with days as pandas writes them, or of ISO 8601: Float64 seconds.

    A number is one of seconds, as it is in columns that are no text.
    """

    name = "duration"

    def read(self, cells: pl.Series) -> pl.Series:
        values = _elapsed(cells)
        if values.null_count() == cells.null_count():
            return values
        return values.fill_null(cells.cast(pl.Float64, strict=False).fill_nan(None))

    def written(self) -> str:
        return "written 01:23:45, in seconds"


def _elapsed(cells: pl.Series) -> pl.Series:
    """The seconds of cells that are durations, not numbers; null for others."""
    values = _total(cells, _CLOCK)
    return values if values.null_count() == cells.null_count() else values.fill_null(_total(cells, _ISO))


def _total(cells: pl.Series, pattern: str) -> pl.Series:
    """The seconds of cells of a pattern; null for others."""
    parts = cells.str.extract_groups(pattern).struct.unnest()
    parts = parts.with_columns(pl.col(list(_UNITS)).str.replace(",", ".", literal=True).str.replace("\N{MINUS SIGN}", "-"))
    total = pl.sum_horizontal(pl.col(unit).cast(pl.Float64) * seconds for unit, seconds in _UNITS.items())
    sign = pl.when(pl.col("sign").is_in(["-", "\N{MINUS SIGN}"])).then(-1.0).otherwise(1.0)
    return parts.select(pl.when(pl.any_horizontal(pl.col(list(_UNITS)).is_not_null())).then(total * sign)).to_series()


def learn_duration(column: Cells) -> Learnt | None:
    """The reading of durations, where the cells are such; else None."""
    share = column.share(_elapsed(column.values["cell"]).is_not_null())
    return Learnt(DurationReading()) if share >= column.least and share else None
