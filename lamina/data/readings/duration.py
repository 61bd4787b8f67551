"""Hours, minutes and seconds as seconds."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import SIGN, Cells, Learnt, Reading

_DURATION = rf"^(?<sign>{SIGN})?(?<hours>\d{{1,4}}):(?<minutes>[0-5]\d)(?::(?<seconds>[0-5]\d(?:[.,]\d+)?))?$"


@dataclass(frozen=True)
class DurationReading(Reading):
    """Hours, minutes and seconds, 01:23:45 or 12:30: Float64 seconds."""

    name = "duration"

    def read(self, cells: pl.Series) -> pl.Series:
        parts = cells.str.extract_groups(_DURATION).struct
        hours, minutes = (parts.field(name).cast(pl.Float64) for name in ("hours", "minutes"))
        seconds = parts.field("seconds").str.replace(",", ".", literal=True).cast(pl.Float64).fill_null(0.0)
        total = hours * 3600 + minutes * 60 + seconds
        return total.zip_with(parts.field("sign").fill_null("+") == "+", -total)

    def written(self) -> str:
        return "written 01:23:45, in seconds"


def learn_duration(column: Cells) -> Learnt | None:
    share = column.share(column.values["cell"].str.contains(_DURATION))
    return Learnt(DurationReading()) if share >= column.least and share else None
