"""Readings: how the cells of a text column become values, learnt from all of its values and stored with the column.

A file is read as text. :func:`learn` finds the reading of each column of text, here and in frames; every later source of the
column is read in the same way, and a cell that does not fit is an error or a note, never read in another way.

========  =================================================================================================================
reading   a text column
========  =================================================================================================================
truth     of true and false, in any case
number    of which at least 95 % are numbers written in one way: decimal point or comma; thousands marked by a comma, a point,
          an apostrophe or a space; a currency or unit before or after; percent; K, M, B for thousands, millions, billions;
          parentheses for negative amounts. Codes with leading zeros and more than 18 digits are text
duration  of which at least 95 % are hours, minutes and seconds (01:23:45): numbers of seconds
date      of which at least 95 % are dates in one order of day, month and year, with or without the time of day and its zone
text      of any other cells
========  =================================================================================================================

Where two readings fit all values (1,234 or 01/02/2024), the other columns of the table decide;
where these do not, numbers have decimal points and thousands commas, and dates are an error that shows both readings.

A missing value is an empty cell; in columns of numbers and dates also each of :data:`MISSING`. Among other texts of a file a
word such as ``NA`` is a missing value unless it is like the others: see :func:`_words_for_missing`.
"""

from __future__ import annotations

import dataclasses
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from lamina.errors import ModelFileError, SchemaError
from lamina.stored import stored

TEXTS = (pl.String, pl.Categorical, pl.Enum)
"""The dtypes of text."""
SHARE = 0.95
"""Least share of the values of a column that a reading other than text has to fit."""
MISSING = (
    "",
    *"na n/a n.a. #n/a #na <na> nan -nan nat null (null) none nil missing unknown undefined (blank) \\n".split(),
    *"? - -- – — . .. ... * #div/0! #value! #ref! #num! #name? #null!".split(),
    *("not available", "not applicable", "no data"),
)
"""Texts of a missing number or date, in lower case."""
_AMONG_TEXTS = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "(null)", "none", "?", "\\n")
"""Those of a missing value among other texts of a file."""
_CODE = r"^\s*[+-]?0\d"
_LONG = r"^\s*[+-]?\d{19}"
_INFINITE = r"(?i)^[+-]?inf(inity)?$"
_SAMPLE = 1000  # distinct values that are looked at first

_SIGN = "[+\N{MINUS SIGN}-]"
_SPACES = " \u00a0\u2009\u202f"
_CODES = "USD EUR GBP CHF JPY CNY INR RUB KRW TRY BRL AUD CAD NZD SEK NOK DKK PLN CZK HUF MXN ZAR"
_CURRENCY = rf"(?:US|A|C|NZ|HK|S)?[$€£¥₹₽₩₺₫₴₪฿]|Rs[.]?|{_CODES.replace(' ', '|')}"
_UNIT = r"%|‰|[a-zA-Z°µμΩ€$£¥₹₽₩₺₫₴₪฿²³/\"″'′.]{1,9}(?: [a-zA-Z²³/.]{1,9})?"
_BODY = rf"\d(?:[\d.,'’{_SPACES}]*\d)?[.,]?|[.,]\d+"
_NUMBER = (
    rf"^(?<open>\()?\s*(?<sign>{_SIGN})?\s*(?<before>{_CURRENCY})?\s*(?<inner>{_SIGN})?\s*(?<body>{_BODY})(?<power>[eE][+-]?\d+)?"
    rf"[{_SPACES}]*(?<after>{_UNIT})?\s*(?<behind>-)?\s*(?<close>\))?$"
)
_SCALES = {"K": "e3", "k": "e3", "M": "e6", "B": "e9"}
_MARKS = ((".", ""), (".", ","), (",", "."), (",", ""), (".", " "), (",", " "), (".", "'"), (",", "'"))
"""Decimal mark and mark of thousands, the more usual first."""
_DURATION = rf"^(?<sign>{_SIGN})?(?<hours>\d{{1,4}}):(?<minutes>[0-5]\d)(?::(?<seconds>[0-5]\d(?:[.,]\d+)?))?$"
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_NUMBERS = [f"{number:02}" for number in range(1, 13)]
_MONTH = rf"(?:{'|'.join(_MONTHS)})[a-z]*"
_DATE = (
    rf"(?i)^(?:[a-z]{{3,9}},?\s+)?(?:(?<first>\d{{1,4}}|{_MONTH}))(?:[-/.,\s]\s*)(?<second>\d{{1,2}}|{_MONTH})[.]?(?:[-/.,\s]\s*)"
    r"(?<third>\d{4}|\d{1,2})(?:(?:T|,?\s+|:)(?<hour>\d{1,2}):(?<minute>\d{2})(?::(?<second_>\d{2})(?<fraction>[.,]\d+)?)?"
    r"\s*(?<half>[ap][.]?m[.]?)?\s*(?<zone>z|utc|gmt|[+-]\d{2}(?::?\d{2})?)?)?$"
)


@dataclass(frozen=True)
class _Clues:
    """What a table shows about the readings of its columns.

    Attributes:
        in_file: Whether the table is a text file, in which a missing value may have to be written as a word.
        decimal: The decimal mark of other columns; None where none shows one.
        order: The order of other dates; None where none shows it.
        words: Words that stand for missing values in columns of numbers and dates, in lower case.
    """

    in_file: bool = False
    decimal: str | None = None
    order: str | None = None
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reading(ABC):
    """How the cells of a column are read.

    Attributes:
        missing: Words that mean a missing value, with their numbers of training rows.
        invalid: The number of training rows with a cell that does not fit, which is a missing value.
        example: One of these cells.
    """

    missing: Mapping[str, int] = field(default_factory=dict, kw_only=True)
    invalid: int = field(default=0, kw_only=True)
    example: str = field(default="", kw_only=True)

    name: ClassVar[str]

    @abstractmethod
    def read(self, cells: pl.Series) -> pl.Series:
        """The values of stripped cells; null for a missing value and for a cell that does not fit."""

    def blank(self, cells: pl.Series) -> pl.Series:
        """Which stripped cells are missing values."""
        return cells.is_null() | cells.str.to_lowercase().is_in(MISSING)

    @property
    def verbatim(self) -> bool:
        """Whether all cells stay as they are."""
        return False

    def written(self) -> str:
        """How the values are written, where this is not the usual way."""
        return ""

    def remark(self) -> str:
        """What a person has to know about the reading, to follow the reason of a column; "" if nothing."""
        words = ", ".join(f"{word!r} ({rows:,})" for word, rows in list(self.missing.items())[:3])
        parts = [self.written(), words and f"missing where {words}"]
        parts += [f"{self.invalid:,} invalid, such as {self.example!r:.40}, treated as missing"] if self.invalid else []
        return "; ".join(filter(None, parts))

    def __call__(self, column: pl.Series) -> tuple[pl.Series, pl.Series | None]:
        """The values of a text column, and which cells do not fit; None where all do."""
        cells = column.cast(pl.String)
        values = self.read(cells)
        if values.null_count() == cells.null_count():
            return values, None
        cells = cells.str.strip_chars()
        values = self.read(cells)
        failed = values.is_null() & ~self.blank(cells)
        return values, failed if failed.any() else None

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class TextReading(Reading):
    """Cells as they are."""

    name = "text"

    @property
    def verbatim(self) -> bool:
        return not self.missing

    def read(self, cells: pl.Series) -> pl.Series:
        if not self.missing:
            return cells
        return cells.set(cells.is_in(list(self.missing)), None)

    def blank(self, cells: pl.Series) -> pl.Series:
        return pl.Series([True]).new_from_index(0, len(cells))


@dataclass(frozen=True)
class TruthReading(Reading):
    """True and false, in any case: Boolean."""

    name = "truth"

    def read(self, cells: pl.Series) -> pl.Series:
        return cells.str.to_lowercase().replace_strict(["true", "false"], [True, False], default=None, return_dtype=pl.Boolean)


@dataclass(frozen=True)
class NumberReading(Reading):
    """Numbers: Int64 where all are written without a decimal mark, else Float64.

    Attributes:
        decimal: The decimal mark.
        thousands: The mark of thousands; "" for none. " " is any space.
        unit: Currency or unit; cells without it fit too.
        scaled: Whether K, M and B behind a number stand for thousands, millions and billions.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    scaled: bool = False

    name = "number"

    def read(self, cells: pl.Series) -> pl.Series:
        if self.decimal == "." and (parsed := _parsed(cells)) is not None:
            return parsed.fill_nan(None) if parsed.dtype == pl.Float64 else parsed
        parts = cells.str.extract_groups(self._pattern).struct
        body = parts.field("body")
        digits = body.str.replace_all(_group(self.thousands), "") if self.thousands else body
        fraction = parts.field("fraction").fill_null("")
        power = parts.field("power").fill_null("")
        if self.scaled:
            power = parts.field("scale").replace(_SCALES).fill_null("") + power
        minus = pl.select(
            pl.any_horizontal(
                parts.field("open").is_not_null() & parts.field("close").is_not_null(),
                *(parts.field(name).is_in(["-", "\N{MINUS SIGN}"]).fill_null(False) for name in ("sign", "inner", "behind")),
            )
        ).to_series()
        whole = not self.scaled and (fraction == "").all() and (power == "").all()
        text = digits.fill_null("") if whole else digits.fill_null("0") + "." + fraction + power
        values = text.set(body.is_null() & (fraction == ""), None).cast(pl.Int64 if whole else pl.Float64, strict=False)
        values = values.zip_with(~minus, -values)
        infinite = cells.str.contains(_INFINITE).fill_null(False)
        return values.zip_with(~infinite, cells.cast(pl.Float64, strict=False)) if infinite.any() else values

    @property
    def _pattern(self) -> str:
        unit = f"(?:{re.escape(self.unit)})?" if self.unit else ""
        group = _group(self.thousands)
        body = rf"\d{{1,3}}(?:{group}\d{{3}})+|\d{{1,2}}(?:{group}\d{{2}})*{group}\d{{3}}|\d+" if self.thousands else r"\d+"
        scale = r"[ ]?(?<scale>[KkMB])?" if self.scaled else ""
        return (
            rf"^(?<open>\()?\s*(?<sign>{_SIGN})?\s*{unit}\s*(?<inner>{_SIGN})?\s*(?<body>{body})?"
            rf"(?:{re.escape(self.decimal)}(?<fraction>\d*))?(?<power>[eE][+-]?\d+)?{scale}\s*{unit}\s*(?<behind>-)?\s*(?<close>\))?$"
        )

    def written(self) -> str:
        example = f"1{self.thousands}234{self.decimal}5" if self.thousands or self.decimal != "." else ""
        return " ".join(filter(None, [example and f"written {example}", self.unit and f"in {self.unit}"]))


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


@dataclass(frozen=True)
class DateReading(Reading):
    """Dates in UTC: Date where no cell has a time of day, else Datetime in microseconds.

    Attributes:
        order: "ymd", "dmy", "mdy", or "excel" for days since 1899-12-30. Dates that begin with a year of four digits, or name
            the month, are read in any order.
    """

    order: str = "ymd"

    name = "date"

    def read(self, cells: pl.Series) -> pl.Series:
        if self.order == "excel":
            days = cells.cast(pl.Float64, strict=False)
            micro = (days - 25569) * 86_400_000_000
            return micro.round().cast(pl.Int64).cast(pl.Datetime("us"))
        if not cells.is_empty() and cells.str.len_bytes().max() == 10:
            values = cells.str.to_date("%Y-%m-%d", strict=False)
            if values.null_count() == cells.null_count():
                return values
        return _moments(cells, self.order)

    def written(self) -> str:
        return {"dmy": "day first", "mdy": "month first", "excel": "days of Excel"}.get(self.order, "")


READINGS: dict[str, type[Reading]] = {
    reading.name: reading for reading in (TextReading, TruthReading, NumberReading, DurationReading, DateReading)
}
"""The readings by name."""


def reading_from_json(values: Any) -> Reading:
    """The reading that :meth:`Reading.to_json` wrote.

    Raises:
        ModelFileError: There is no such reading, or its fields are of other types.
    """
    if not isinstance(values, Mapping) or not isinstance(name := values.get("name"), str) or name not in READINGS:
        raise ModelFileError(f"a reading is {values!r:.60}, expected one of {', '.join(READINGS)}")
    return stored(READINGS[name], {key: value for key, value in values.items() if key != "name"})


def _group(thousands: str) -> str:
    return f"[{_SPACES}]" if thousands == " " else "['’]" if thousands == "'" else re.escape(thousands)


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


# Learning


@dataclass(frozen=True)
class _Learnt:
    """A reading, and what its column shows about others.

    Attributes:
        sure: Whether no clue can change it.
        values: The values of the column, where they were parsed to learn it.
    """

    reading: Reading
    decimal: str | None = None
    order: str | None = None
    sure: bool = True
    values: pl.Series | None = None


def learn(
    table: pl.DataFrame, *, declared: Mapping[str, str] | None = None, in_file: bool = False
) -> tuple[dict[str, Reading], pl.DataFrame]:
    """The reading of each text column, and the table read with them; cells that do not fit are null.

    Args:
        table: The training rows.
        declared: By name of a column "number" or "date", of which any share of the values may fit; "date %d/%m/%Y",
            "date excel", "number 1.234,56"; or "text".
        in_file: Whether the table is a text file, in which a missing value may have to be written as a word.

    Raises:
        SchemaError: Dates that can be read in two orders; a date or a number that is declared in a way that is none.

    Example:
        >>> readings, rows = learn(pl.DataFrame({"price": ["1.234,50 €", "17 €"], "day": ["31/12/2024", "n/a"]}))
        >>> readings["price"].written(), readings["day"].written(), rows["price"].to_list()
        ('written 1.234,5 in €', 'day first', [1234.5, 17.0])
    """
    declared, clues = declared or {}, _Clues(in_file)
    columns = {column.name: column for column in table if column.dtype == pl.String}
    learnt = {name: _learn(column, clues, declared.get(name), ask=False) for name, column in columns.items()}
    decimals, orders = ({getattr(one, which) for one in learnt.values()} - {None} for which in ("decimal", "order"))
    words = {
        word.lower() for one in learnt.values() if not isinstance(one.reading, TextReading) for word in one.reading.missing
    }
    clues = _Clues(
        in_file,
        decimal=decimals.pop() if len(decimals) == 1 else None,
        order=orders.pop() if len(orders) == 1 else None,
        words=frozenset(words),
    )
    for name, one in learnt.items():
        if not one.sure:
            learnt[name] = _learn(columns[name], clues, declared.get(name), ask=True)
    read = [_read(learnt[name], column) for name, column in columns.items()]
    return {column.name: reading for reading, column in read}, table.with_columns(column for _, column in read)


def typed(table: pl.DataFrame, readings: Mapping[str, Reading]) -> pl.DataFrame:
    """The table with the values of text columns; cells that do not fit are null."""
    return table.with_columns(
        readings[column.name](column)[0].alias(column.name)
        for column in table
        if column.dtype in TEXTS and column.name in readings and not readings[column.name].verbatim
    )


def _read(learnt: _Learnt, column: pl.Series) -> tuple[Reading, pl.Series]:
    """The reading, with the cells of the training rows that do not fit, and the values."""
    reading, values = learnt.reading, learnt.values
    if values is None and not reading.verbatim:
        values, failed = reading(column)
        if failed is not None:
            examples = column.filter(failed).sort()
            reading = dataclasses.replace(reading, invalid=len(examples), example=examples[0])
    return reading, column if values is None else values.alias(column.name)


def _learn(column: pl.Series, clues: _Clues, declared: str | None, *, ask: bool) -> _Learnt:
    kind, _, how = (declared or "").partition(" ")
    cells = column.cast(pl.String)
    if kind == "text" or cells.null_count() == len(cells):
        return _Learnt(TextReading())
    if how:
        return _Learnt(_declared(column.name, kind, how))
    if kind != "date" and (plain := _plain_numbers(cells, clues)) is not None:
        return plain
    counts = cells.drop_nulls().str.strip_chars().alias("cell").value_counts(name="rows")
    blank = counts["cell"].str.to_lowercase().is_in(MISSING)
    words, values = counts.filter(blank), counts.filter(~blank)
    if not len(values):
        return _Learnt(TextReading(missing=_counted(words)))
    least = 0.0 if kind else SHARE
    if not kind and values["cell"].str.to_lowercase().is_in(["true", "false"]).all():
        if words["cell"].str.to_lowercase().is_in(_AMONG_TEXTS).all():
            return _Learnt(TruthReading(missing=_counted(words)))
    attempts = {"number": (_number, _duration), "date": (_date,)}.get(kind, (_date, _number, _duration))
    sample = values.gather_every(max(1, len(values) // _SAMPLE))
    for attempt in attempts:
        if (learnt := attempt(column.name, values, sample, clues, least, ask)) is not None:
            return dataclasses.replace(learnt, reading=dataclasses.replace(learnt.reading, missing=_counted(words)))
    return _Learnt(TextReading(missing=_words_for_missing(words, values, clues)), sure=not len(words))


def _declared(name: str, kind: str, how: str) -> Reading:
    """The reading that a kind with an example or a format declares."""
    marks = re.fullmatch(rf"\d{{1,3}}(?:([.,'{_SPACES}])\d{{3}})?(?:([.,])\d*)?", how) if kind == "number" else None
    if marks and marks[1] != marks[2]:
        thousands, decimal = marks[1] or "", marks[2] or ("," if marks[1] == "." else ".")
        return NumberReading(decimal=decimal, thousands=" " if thousands in _SPACES and thousands else thousands)
    order = "excel" if how == "excel" else "".join(re.findall("%([ymd])", how.lower().replace("%b", "%m")))
    if kind == "date" and order in ("ymd", "dmy", "mdy", "excel"):
        return DateReading(order=order)
    raise SchemaError(
        f"kinds: column {name!r} is {kind + ' ' + how!r}; expected a kind, 'date' with a format such as 'date %d/%m/%Y', "
        "'date excel', or 'number' with an example such as 'number 1.234,56'"
    )


def _plain_numbers(cells: pl.Series, clues: _Clues) -> _Learnt | None:
    """The reading of numbers that polars parses, and of codes with leading zeros; else None."""
    values = _parsed(cells)
    if values is None:
        return None
    zeros = cells.filter(cells.str.starts_with("0"))
    if zeros.str.contains(_CODE).any() or (values.dtype == pl.Float64 and cells.str.contains(_LONG).any()):
        return _Learnt(TextReading())
    pointed = r"^[+-]?([1-9]\d{0,2}([.]\d{3})+|\d+)$"  # perhaps points of thousands
    sure = values.dtype == pl.Int64 or not (
        cells.head(_SAMPLE).str.contains(pointed).all() and cells.str.contains(pointed).all()
    )
    if clues.decimal == "," and not sure:
        return None
    decimal = "." if sure and values.dtype == pl.Float64 else None
    return _Learnt(NumberReading(), decimal, sure=sure, values=values.fill_nan(None) if values.dtype == pl.Float64 else values)


def _parsed(cells: pl.Series) -> pl.Series | None:
    """The values as polars parses them, Int64 or else Float64; None where it cannot. The first cells are tried first."""
    for dtype in (pl.Int64, pl.Float64):
        for part in (cells.head(_SAMPLE), cells):
            values = part.cast(dtype, strict=False)
            if values.null_count() > part.null_count():
                break
        else:
            return values
    return None


def _counted(words: pl.DataFrame) -> dict[str, int]:
    return dict(words.filter(pl.col("cell") != "").sort("rows", "cell", descending=[True, False]).iter_rows())


def _share(values: pl.DataFrame, fits: pl.Series) -> float:
    return int(values["rows"].filter(fits).sum()) / int(values["rows"].sum())


def _duration(name: str, values: pl.DataFrame, sample: pl.DataFrame, clues: _Clues, least: float, ask: bool) -> _Learnt | None:
    share = _share(values, values["cell"].str.contains(_DURATION))
    return _Learnt(DurationReading()) if share >= least and share else None


def _date(name: str, values: pl.DataFrame, sample: pl.DataFrame, clues: _Clues, least: float, ask: bool) -> _Learnt | None:
    if _share(sample, sample["cell"].str.contains(_DATE)) < min(least, 0.5):
        return None
    cells = values["cell"]
    fits = {order: DateReading(order=order).read(cells) for order in ("ymd", "dmy", "mdy")}
    shares = {order: _share(values, moments.is_not_null()) for order, moments in fits.items()}
    best = max(shares.values())
    if best < least or not best:
        return None
    orders = [order for order, share in shares.items() if share == best]
    if len(orders) == 1 or orders[0] == "ymd":  # with the year first or a name, all orders fit
        return _Learnt(DateReading(order=orders[0]), order=None if orders[0] == "ymd" else orders[0])
    differ = fits["dmy"].ne_missing(fits["mdy"])
    if not differ.any() or cells.str.contains(r"^\d{1,2}[.]\d{1,2}[.]").all():
        return _Learnt(DateReading(order="dmy"))
    if clues.order in orders:
        return _Learnt(DateReading(order=clues.order), sure=False)
    if ask:
        cell = cells.filter(differ).sort()[0]
        day, month = (DateReading(order=order).read(pl.Series([cell])).dt.strftime("%-d %B %Y")[0] for order in ("dmy", "mdy"))
        raise SchemaError(
            f"column {name!r} has dates such as {cell!r}, which may be {day} or {month}; say which: "
            f"kinds={{{name!r}: 'date %d/%m/%Y'}} or kinds={{{name!r}: 'date %m/%d/%Y'}}"
        )
    return _Learnt(DateReading(order="dmy"), sure=False)


def _number(name: str, values: pl.DataFrame, sample: pl.DataFrame, clues: _Clues, least: float, ask: bool) -> _Learnt | None:
    if _share(sample, sample["cell"].str.contains(_NUMBER) | sample["cell"].str.contains(_INFINITE)) < min(least, 0.5):
        return None
    cells = values["cell"]
    parts = cells.str.extract_groups(_NUMBER).struct.unnest().with_columns(rows=values["rows"], cell=cells)
    parts = parts.filter(pl.col("body").is_not_null())
    if not len(parts) or (least and (cells.str.contains(_CODE) | cells.str.contains(_LONG)).any()):
        return None
    units = parts.select("rows", unit=pl.coalesce("before", "after").fill_null("")).group_by("unit").agg(pl.col("rows").sum())
    names = units.sort("rows", "unit", descending=[True, False])["unit"].to_list()
    scaled = len(names) > 1 and all(unit in _SCALES or not unit for unit in names)
    unit = "" if scaled else next(filter(None, names), "")
    bodies = parts["body"].str.strip_chars(_SPACES)
    fits = {marks: bodies.str.contains(NumberReading(decimal=marks[0], thousands=marks[1])._pattern) for marks in _MARKS}
    rows = {marks: int(parts["rows"].filter(fit).sum()) for marks, fit in fits.items()}
    decimal, thousands, sure = _marks(bodies, [marks for marks in _MARKS if rows[marks] == max(rows.values())], clues)
    reading = NumberReading(decimal=decimal, thousands=thousands, unit=unit, scaled=scaled)
    share = _share(values, reading.read(cells).is_not_null())
    if share < least or not share:
        return None
    shown = sure and bodies.str.contains(re.escape(decimal) + r"\d").any()
    return _Learnt(reading, decimal if shown else None, sure=sure)


def _marks(bodies: pl.Series, fitting: list[tuple[str, str]], clues: _Clues) -> tuple[str, str, bool]:
    """The decimal mark and the mark of thousands, and whether they are sure."""
    usual = fitting[0]
    if usual == (".", ",") and (",", "") in fitting:  # 1,234 everywhere
        return (",", "", False) if clues.decimal == "," else (*usual, False)
    pointed = bodies.filter(bodies.str.contains(".", literal=True))
    if usual == (".", "") and (",", ".") in fitting and len(pointed) and not pointed.str.contains("^0").any():  # 1.234
        return (",", ".", False) if clues.decimal == "," else (*usual, False)
    return (*usual, True)


def _words_for_missing(words: pl.DataFrame, values: pl.DataFrame, clues: _Clues) -> dict[str, int]:
    """The words for a missing value among other texts, with their numbers of rows.

    In a frame none is: a frame has missing values of its own. In a file marks such as ``?`` are, and words such as ``NA`` if
    columns of numbers use them so, or if they are neither in a tenth of the rows nor written like the other values: NA among DE
    and CH is Namibia.
    """
    if not clues.in_file:
        return {}
    total = int(values["rows"].sum()) + int(words["rows"].sum())
    missing = {}
    for word, rows in _counted(words.filter(words["cell"].str.to_lowercase().is_in(_AMONG_TEXTS))).items():
        code = re.fullmatch(r"[A-Z]{2,3}", word) and values["cell"].str.contains(rf"^[A-Z]{{{len(word)}}}$").mean() == 1
        if not word.isalpha() or word.lower() in clues.words or not (code or rows >= 0.1 * total):
            missing[word] = rows
    return missing
