"""Dates and date-times in one order of day, month and year; months, quarters and weeks."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lamina.data.readings.months import MONTHS, ZONES
from lamina.data.readings.reading import Cells, Learnt, Reading
from lamina.errors import SchemaError

_NAME = r"\p{L}{3,12}"
_BETWEEN = r"(?:st|nd|rd|th|er|º|ª|°)?(?:[-/.,\s年月년월]\s*)(?:(?:de|del|of)\s+)?"
_DATE = (
    rf"(?i)^(?:[\p{{L}}-]{{2,14}}[.,]*\s+)?(?<first>\d{{1,4}}|{_NAME}){_BETWEEN}(?<second>\d{{1,2}}|{_NAME})[.]?{_BETWEEN}"
    r"(?<third>\d{4}|\d{1,2})(?:[日일]|\s?г[.]?)?(?:(?:T|,?\s+|:)(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second_>\d{2})(?<fraction>[.,]\d+)?)?"
    r"\s*(?<half>[ap][.]?m[.]?)?\s*(?:(?<zone>[a-z]{1,5})?(?<offset>[+-]\d{1,2}(?::?\d{2})?(?:\s[a-z]{1,5})?)?)(?:\s?(?:\[[^\]]*\]|\([^)]*\)))?)?$"
)
_OTHERS = {
    r"(?i)^(\d{1,2})(\p{L}{3})(\d{4})\b": "$1-$2-$3",  # 03JAN2022
    r"^(\d{4}):(\d{2}):(\d{2})(\s|$)": "$1-$2-$3$4",  # of photographs
    r"^(\d{4})(\d{2})(\d{2})T(\d{2}):?(\d{2}):?(\d{2})?": "${1}-${2}-${3}T${4}:${5}:${6}",
    r"^(?:\p{L}+,?\s+)?(\p{L}+)\s+(\d{1,2})\s+(\d{1,2}:\d{2}(?::\d{2})?)\s+"
    r"([A-Z]{3,5}|[+-]\d{4})?\s*(\d{4})$": "$1 $2 $5 $3 $4",  # Fri Jan 5 12:00:00 UTC 2024
}
"""Forms of dates that are brought to the usual one."""
_YEAR = r"(?<year>(?:1[89]|2[01])\d{2})"
_BEFORE = rf"(?<month>0?[1-9]|1[0-2]|{_NAME})"
_PERIODS = {
    "months": (
        rf"(?i)^{_YEAR}{_BETWEEN}{_BEFORE}[.月월]?$",
        rf"(?i)^{_BEFORE}[.]?{_BETWEEN}{_YEAR}$",
        rf"(?i)^(?<month>{_NAME})[.]?(?:\s?-|\s?['’]|\s)(?<year>\d{{2}})$",
    ),
    "quarters": (
        rf"(?i)^{_YEAR}[-/\s]?[QT](?<quarter>[1-4])$",
        rf"(?i)^[QT](?<quarter>[1-4])[-/\s]?{_YEAR}$",
        rf"(?i)^(?<quarter>[1-4])[QT][-/\s]?{_YEAR}$",
    ),
    "weeks": (rf"(?i)^{_YEAR}-?W(?<week>\d{{2}})$",),
}
MONTH_OF_YEAR = r"^(?:0[1-9]|1[0-2])[.](?:1[89]|2[01])\d{2}$"
"""Months of a year that could be parsed as numbers."""
_EXCEL = -693593, 2958465
"""Days of Excel of the years 1 to 9999."""
_DIGITS = 18000101, 21991231
_FORM = r"(\d{1,4})([-/.])\d{1,2}\2\d{1,4}(?:([T ])\d{1,2}:\d\d(:\d\d)?)?$"
_PARTS = {"ymd": ("%Y", "%m", "%d"), "dmy": ("%d", "%m", "%Y"), "mdy": ("%m", "%d", "%Y")}
_FORMATS = {"dmy": "%d/%m/%Y", "mdy": "%m/%d/%Y", "yymd": "%y-%m-%d"}
_WORDS = {"dmy": "day first", "mdy": "month first", "yymd": "year first, of two digits"}


@dataclass(frozen=True)
class DateReading(Reading):
    """Dates in UTC: Date where no cell has a time of day, else Datetime in microseconds.

    Attributes:
        order: "ymd", "dmy", "mdy"; "yymd" where years of two digits come first; "excel" for days since 1899-12-30; "digits" for
            20240531; "months", "quarters" or "weeks" for 2024-05, 2024-Q2 or 2024-W22, which are read as their first day. Dates
            that begin with a year of four digits, or name the month, are read in any order.
    """

    order: str = "ymd"

    name = "date"

    @property
    def numeric(self) -> bool:
        """Whether the dates are written as numbers."""
        return self.order in ("excel", "digits")

    @property
    def is_period(self) -> bool:
        """Whether a cell is a month, a quarter or a week."""
        return self.order in _PERIODS

    def read(self, cells: pl.Series) -> pl.Series:
        if self.numeric or self.order in _PERIODS:
            values = _numbers(cells, self.order) if self.numeric else _periods(cells, self.order)
            if values.null_count() == cells.null_count():
                return values
            moments = _moments(cells, "ymd")  # those that begin with the year
            dtype = pl.Date if values.dtype == moments.dtype == pl.Date else pl.Datetime("us")
            return values.cast(dtype).fill_null(moments.cast(dtype))
        values = _alike(cells, self.order)
        return _moments(cells, self.order) if values is None else values

    def written(self) -> str:
        words = {**_WORDS, "excel": "days of Excel", "digits": "written 20240531"}
        return f"{self.order} as their first day" if self.order in _PERIODS else words.get(self.order, "")


def digits(column: pl.Series) -> pl.Series:
    """Numbers as the cells of a file of them."""
    return column.cast(pl.String).str.strip_suffix(".0")


def are_digits(values: pl.Series) -> bool:
    """Whether whole numbers are all dates such as 20240531, and too many for a chance."""
    low, high = values.min(), values.max()
    if low is None or not (_DIGITS[0] <= low and high <= _DIGITS[1]):  # pyright: ignore[reportOperatorIssue]
        return False
    distinct = values.drop_nulls().unique().cast(pl.String)
    return len(distinct) >= 5 and not distinct.str.to_date("%Y%m%d", strict=False).null_count()


def _numbers(cells: pl.Series, order: str) -> pl.Series:
    """Dates that are written as numbers; null for a cell that does not fit."""
    if order == "digits":
        return cells.str.to_date("%Y%m%d", strict=False)
    days = cells.cast(pl.Float64, strict=False)
    days = days.set(~days.is_between(*_EXCEL), None)
    milliseconds = ((days - 25569) * 86_400_000).round()  # finer parts are errors of the division by days
    return (milliseconds.cast(pl.Int64) * 1000).cast(pl.Datetime("us"))


def _periods(cells: pl.Series, order: str) -> pl.Series:
    """The first days of months, quarters or weeks; null for a cell that does not fit."""
    result = pl.Series(cells.name, [None], dtype=pl.Date).new_from_index(0, len(cells))
    for pattern in _PERIODS[order]:
        parts = cells.str.extract_groups(pattern).struct.unnest()
        year = pl.when(pl.col("year").str.len_bytes() == 2).then(_of_century(pl.col("year"))).otherwise(pl.col("year"))
        if order == "weeks":
            dates = (year + "-W" + pl.col("week") + "-1").str.to_date("%G-W%V-%u", strict=False)
        elif order == "quarters":
            month = (pl.col("quarter").cast(pl.Int64) * 3 - 2).cast(pl.String)
            dates = (year + "-" + month + "-1").str.to_date("%Y-%m-%d", strict=False)
        else:
            dates = (year + "-" + _month(pl.col("month")) + "-01").str.to_date("%Y-%m-%d", strict=False)
        result = result.fill_null(parts.select(dates).to_series())
    return result


def _month(part: pl.Expr) -> pl.Expr:
    """The number of a month of two digits, from its number or its name; other names stay."""
    return part.str.to_lowercase().replace(list(MONTHS), list(MONTHS.values())).str.zfill(2)


def _of_century(year: pl.Expr) -> pl.Expr:
    """Years of two digits with four, as in POSIX."""
    return pl.when(year < "69").then("20" + year).otherwise("19" + year)


def _alike(cells: pl.Series, order: str) -> pl.Series | None:
    """The values where all cells are written as the first, in digits and with four of the year, which is fast; else None."""
    form = re.match(_FORM, next(iter(cells.drop_nulls().head(1)), ""))
    if form is None or (len(form[1]) < 4 and order not in _PARTS):
        return None
    date = form[2].join(_PARTS["ymd" if len(form[1]) == 4 else order])
    if form[3]:
        clock = f"{date}{form[3]}%H:%M" + (":%S" if form[4] else "")
        values = cells.str.to_datetime(clock, strict=False, time_unit="us")
    else:
        values = cells.str.to_date(date, strict=False)
    whole = values.null_count() == cells.null_count() and not (values.dt.year() < 1000).any()
    return values if whole else None


def _moments(cells: pl.Series, order: str) -> pl.Series:
    """Dates in an order, or date-times where a cell has a time of day; null for a cell that does not fit."""
    if cells.str.contains("|".join(_OTHERS)).any():
        for pattern, usual in _OTHERS.items():
            cells = cells.str.replace(pattern, usual)
    parts = cells.str.extract_groups(_DATE).struct.unnest()
    names = parts.select(first=pl.col("first").str.contains(r"^\p{L}"), second=pl.col("second").str.contains(r"^\p{L}"))
    parts = parts.with_columns(_month(pl.col("first")).alias("first_month"), _month(pl.col("second")).alias("second_month"))
    long = parts["first"].str.len_bytes() == 4
    first_is_name, named = names["first"], names["first"] | names["second"]
    long &= ~first_is_name

    def is_order(which: str) -> pl.Series:
        return ~named & ~long & (order == which)

    month_first, day_first = first_is_name | is_order("mdy"), (named & ~first_is_name & ~long) | is_order("dmy")
    year_first = long | is_order("yymd")
    last, first, second = pl.col("third"), pl.col("first"), pl.col("second")
    year = pl.when(year_first).then(first).when(month_first | day_first).then(last)
    month = pl.when(month_first).then(pl.col("first_month")).otherwise(pl.col("second_month"))
    day = pl.when(year_first).then(last).when(month_first).then(second).when(day_first).then(first)
    full = pl.when(year.str.len_bytes() == 4).then(year)
    short = pl.when(year.str.len_bytes() == 2).then(_of_century(year))
    parts = parts.with_columns(
        date=(full.fill_null(short) + "-" + month + "-" + day.str.zfill(2)).str.to_date("%Y-%m-%d", strict=False)
    )
    if parts["hour"].null_count() == len(parts):
        return parts["date"].alias(cells.name)
    hour = pl.col("hour").cast(pl.Int64)
    half = pl.col("half").str.slice(0, 1).str.to_lowercase()
    hour = pl.when(half == "p").then(hour % 12 + 12).when(half == "a").then(hour % 12).otherwise(hour)
    minute, second = pl.col("minute").cast(pl.Int64), pl.col("second_").cast(pl.Int64).fill_null(0)
    fraction = (pl.lit("0.") + pl.col("fraction").str.slice(1)).cast(pl.Float64).fill_null(0.0)
    zone = pl.col("zone").str.to_lowercase().replace_strict(ZONES, default=None, return_dtype=pl.Int64)
    offset = pl.col("offset").str.extract_groups(r"^(?<sign>[+-])(?<hours>\d{1,2}):?(?<minutes>\d{2})?").struct
    shift = offset.field("hours").cast(pl.Int64) * 60 + offset.field("minutes").cast(pl.Int64).fill_null(0)
    shift = pl.when(offset.field("sign") == "-").then(-shift).otherwise(shift).fill_null(zone.fill_null(0))
    known = pl.col("zone").is_null() | zone.is_not_null()
    micro = (
        ((hour * 60 + minute - shift) * 60 + second) * 1_000_000 + (fraction * 1_000_000).round().cast(pl.Int64)
    ).fill_null(0)
    midnight = (hour == 24) & (minute == 0) & (second == 0)
    fits = known & ((hour.fill_null(0) < 24) | midnight) & (minute.fill_null(0) < 60) & (second < 61)
    moment = pl.when(fits).then(pl.col("date").cast(pl.Datetime("us")) + pl.duration(microseconds=micro))
    return parts.select(moment.alias(cells.name)).to_series()


# Learning


def learn_date(column: Cells) -> Learnt | None:
    """The reading of dates, where the cells are such; else None.

    Raises:
        SchemaError: Two orders fit, and nothing decides between them.
    """
    return _learn_moments(column) or _learn_periods(column)


def _learn_moments(column: Cells) -> Learnt | None:
    if not look_like_dates(column):
        return None
    sample = column.sample()
    if _fits(sample, "ymd").all() and _fits(column, "ymd").all():
        return Learnt(DateReading(order="ymd"))
    orders = [order for order in ("ymd", "dmy", "mdy", "yymd") if sample.share(_fits(sample, order)) >= min(column.least, 0.5)]
    cells, clues = column.values["cell"], column.clues
    fits = {order: DateReading(order=order).read(cells) for order in orders}
    shares = {order: column.share(moments.is_not_null()) for order, moments in fits.items()}
    best = max(shares.values(), default=0.0)
    if best < column.least or not best:
        return None
    orders = [order for order, share in shares.items() if share == best]
    if orders[0] == "ymd":  # with the year first or a name, all orders fit
        return Learnt(DateReading(order="ymd"))
    if "yymd" in orders and len(orders) > 1:
        short = cells.str.extract_groups(r"^(?<first>\d\d)[-/](?<second>\d\d)[-/](?<third>\d\d)\b").struct.unnest()
        years_first, years_last = (short[part].drop_nulls().n_unique() for part in ("first", "third"))
        if 0 < 2 * years_first <= years_last:
            return Learnt(DateReading(order="yymd"), order="yymd")
        if years_first < 2 * years_last and clues.order is None and short["first"].count() and cells[0][2:3] == "-":
            others = [order for order in orders if order != "yymd"]
            return _undecided(column, cells, "yymd", others[0])
        orders.remove("yymd")
    if len(orders) == 1:
        return Learnt(DateReading(order=orders[0]), order=orders[0])
    if not fits["dmy"].ne_missing(fits["mdy"]).any() or cells.str.contains(r"^\d{1,2}[.]\d{1,2}[.]").all():
        return Learnt(DateReading(order="dmy"))
    if clues.order in orders:
        return Learnt(DateReading(order=clues.order), sure=False)
    return _undecided(column, cells, "dmy", "mdy")


def _undecided(column: Cells, cells: pl.Series, one: str, other: str) -> Learnt:
    """The first of two orders that both fit; an error where no other column can still decide."""
    if not column.ask:
        return Learnt(DateReading(order=one), sure=False)
    first, second = DateReading(order=one), DateReading(order=other)
    cell = cells.filter(first.read(cells).ne_missing(second.read(cells))).sort()[0]
    day, month = (reading.read(pl.Series([cell])).dt.strftime("%-d %B %Y")[0] for reading in (first, second))
    raise SchemaError(
        f"column {column.name!r} has dates such as {cell!r}, which may be {day} or {month}; say which: "
        f"kinds={{{column.name!r}: 'date {_FORMATS[one]}'}} or kinds={{{column.name!r}: 'date {_FORMATS[other]}'}}"
    )


def _learn_periods(column: Cells) -> Learnt | None:
    cells = column.values["cell"]
    for order, patterns in _PERIODS.items():
        if not column.look_like(*patterns):
            continue
        share = column.share(_periods(cells, order).is_not_null())
        if share >= column.least and share and not (order == "months" and _are_seasons(cells)):
            return Learnt(DateReading(order=order))
    return None


def _are_seasons(cells: pl.Series) -> bool:
    """Whether cells are years and the year after, such as 2009-10, 2010-11."""
    parts = cells.str.extract_groups(r"^\d\d(?<year>\d\d)[-/](?<next>\d\d)$").struct.unnest()
    follows = parts["next"].cast(pl.Int64) == (parts["year"].cast(pl.Int64) + 1) % 100
    return len(cells) > 1 and bool(follows.fill_null(False).all())


def _fits(column: Cells, order: str) -> pl.Series:
    return DateReading(order=order).read(column.values["cell"]).is_not_null()


def look_like_dates(column: Cells) -> bool:
    """Whether at least half of a sample of the rows are dates, in any order or of no known one."""
    return column.look_like(_DATE, *_OTHERS)


def orders(column: Cells) -> dict[str, pl.Series]:
    """Which cells are dates in each order, by the order in words."""
    return {_WORDS[order]: _fits(column, order) for order in ("dmy", "mdy")}


def unknown_zones(cells: pl.Series) -> pl.Series:
    """The names of time zones that are not known; null where there is none."""
    zones = cells.str.extract_groups(_DATE).struct.field("zone")
    return zones.set(zones.str.to_lowercase().is_in(list(ZONES)).fill_null(True), None)
