"""Dates and date-times in one order of day, month and year."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import Cells, Learnt, Reading
from lamina.errors import SchemaError

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_NUMBERS = [f"{number:02}" for number in range(1, 13)]
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*"
_DATE = (
    rf"(?i)^(?:[a-z]{{3,9}},?\s+)?(?:(?<first>\d{{1,4}}|{_MONTH}))(?:[-/.,\s]\s*)(?<second>\d{{1,2}}|{_MONTH})[.]?(?:[-/.,\s]\s*)"
    r"(?<third>\d{4}|\d{1,2})(?:(?:T|,?\s+|:)(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second_>\d{2})(?<fraction>[.,]\d+)?)?"
    r"\s*(?<half>[ap][.]?m[.]?)?\s*(?<zone>z|utc|gmt|[+-]\d{2}(?::?\d{2})?)?)?$"
)
_EXCEL = -693593, 2958465
"""Days of Excel of the years 1 to 9999."""


@dataclass(frozen=True)
class DateReading(Reading):
    """Dates in UTC: Date where no cell has a time of day, else Datetime in microseconds.

    Attributes:
        order: "ymd", "dmy", "mdy", "excel" for days since 1899-12-30, or "digits" for 20240531. Dates that begin with a year of
            four digits, or name the month, are read in any order.
    """

    order: str = "ymd"

    name = "date"

    @property
    def numeric(self) -> bool:
        """Whether the dates are written as numbers."""
        return self.order in ("excel", "digits")

    def read(self, cells: pl.Series) -> pl.Series:
        if self.order == "excel":
            days = cells.cast(pl.Float64, strict=False)
            days = days.set(~days.is_between(*_EXCEL), None)
            milliseconds = ((days - 25569) * 86_400_000).round()  # finer parts are errors of the division by days
            return (milliseconds.cast(pl.Int64) * 1000).cast(pl.Datetime("us"))
        if self.order == "digits":
            return cells.str.to_date("%Y%m%d", strict=False)
        if not cells.is_empty() and cells.str.len_bytes().max() == 10:
            values = cells.str.to_date("%Y-%m-%d", strict=False)
            if values.null_count() == cells.null_count():
                return values
        return _moments(cells, self.order)

    def written(self) -> str:
        return {"dmy": "day first", "mdy": "month first", "excel": "days of Excel", "digits": "written 20240531"}.get(
            self.order, ""
        )


def digits(column: pl.Series) -> pl.Series:
    """Numbers as the cells of a file of them."""
    return column.cast(pl.String).str.strip_suffix(".0")


def _moments(cells: pl.Series, order: str) -> pl.Series:
    """Dates in an order, or date-times where a cell has a time of day; null for a cell that does not fit."""
    parts = cells.str.extract_groups(_DATE).struct.unnest()
    parts = parts.with_columns(
        pl.col("first", "second").str.replace(r"(?i)^([a-z]{3}).*$", "$1").str.to_lowercase().replace(_MONTHS, _NUMBERS)
    )
    named = cells.str.contains(rf"(?i)\b{_MONTH}\b")
    first_is_name = cells.str.contains(rf"(?i)^(?:[a-z]{{3,9}},?\s+)?{_MONTH}\b") & named
    long = parts["first"].str.len_bytes() == 4
    month_first = first_is_name | (~named & ~long & pl.Series([order == "mdy"]).new_from_index(0, len(cells)))
    day_first = named & ~first_is_name & ~long | (~named & ~long & (pl.Series([order == "dmy"]).new_from_index(0, len(cells))))
    year = pl.when(long).then(pl.col("first")).when(month_first | day_first).then(pl.col("third"))
    month = pl.when(long).then(pl.col("second")).when(month_first).then(pl.col("first")).when(day_first).then(pl.col("second"))
    day = pl.when(long).then(pl.col("third")).when(month_first).then(pl.col("second")).when(day_first).then(pl.col("first"))
    full = pl.when(year.str.len_bytes() == 4).then(year)
    short = pl.when(year.str.len_bytes() == 2).then(
        pl.when(year < "69").then("20" + year).otherwise("19" + year)
    )  # as in POSIX
    parts = parts.with_columns(
        date=(full.fill_null(short) + "-" + month.str.zfill(2) + "-" + day.str.zfill(2)).str.to_date("%Y-%m-%d", strict=False)
    )
    if parts["hour"].null_count() == len(parts):
        return parts["date"].alias(cells.name)
    hour = pl.col("hour").cast(pl.Int64)
    half = pl.col("half").str.slice(0, 1).str.to_lowercase()
    hour = pl.when(half == "p").then(hour % 12 + 12).when(half == "a").then(hour % 12).otherwise(hour)
    minute, second = pl.col("minute").cast(pl.Int64), pl.col("second_").cast(pl.Int64).fill_null(0)
    fraction = (pl.lit("0.") + pl.col("fraction").str.slice(1)).cast(pl.Float64).fill_null(0.0)
    offset = pl.col("zone").str.extract_groups(r"^(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?$").struct
    shift = offset.field("hours").cast(pl.Int64) * 60 + offset.field("minutes").cast(pl.Int64).fill_null(0)
    shift = pl.when(offset.field("sign") == "-").then(-shift).otherwise(shift).fill_null(0)
    micro = (
        ((hour * 60 + minute - shift) * 60 + second) * 1_000_000 + (fraction * 1_000_000).round().cast(pl.Int64)
    ).fill_null(0)
    fits = (hour.fill_null(0) < 24) & (minute.fill_null(0) < 60) & (second < 61)
    moment = pl.when(fits).then(pl.col("date").cast(pl.Datetime("us")) + pl.duration(microseconds=micro))
    return parts.select(moment.alias(cells.name)).to_series()


def learn_date(column: Cells) -> Learnt | None:
    if not column.look_like(_DATE):
        return None
    cells, clues = column.values["cell"], column.clues
    fits = {order: DateReading(order=order).read(cells) for order in ("ymd", "dmy", "mdy")}
    shares = {order: column.share(moments.is_not_null()) for order, moments in fits.items()}
    best = max(shares.values())
    if best < column.least or not best:
        return None
    orders = [order for order, share in shares.items() if share == best]
    if len(orders) == 1 or orders[0] == "ymd":  # with the year first or a name, all orders fit
        return Learnt(DateReading(order=orders[0]), order=None if orders[0] == "ymd" else orders[0])
    differ = fits["dmy"].ne_missing(fits["mdy"])
    if not differ.any() or cells.str.contains(r"^\d{1,2}[.]\d{1,2}[.]").all():
        return Learnt(DateReading(order="dmy"))
    if clues.order in orders:
        return Learnt(DateReading(order=clues.order), sure=False)
    if column.ask:
        cell = cells.filter(differ).sort()[0]
        day, month = (DateReading(order=order).read(pl.Series([cell])).dt.strftime("%-d %B %Y")[0] for order in ("dmy", "mdy"))
        raise SchemaError(
            f"column {column.name!r} has dates such as {cell!r}, which may be {day} or {month}; say which: "
            f"kinds={{{column.name!r}: 'date %d/%m/%Y'}} or kinds={{{column.name!r}: 'date %m/%d/%Y'}}"
        )
    return Learnt(DateReading(order="dmy"), sure=False)
