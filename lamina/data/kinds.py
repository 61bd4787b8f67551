"""Guessing what a column is from its values and, where values cannot tell, its name.

The rules, in order; the first that fits decides:

=========  ===============================================================================================================
kind       a column that
=========  ===============================================================================================================
image      holds arrays, bytes or paths of pictures; see :mod:`lamina.data.image`
series     holds lists or arrays of numbers; see :mod:`lamina.data.series`
other      holds other lists, structs, bytes or Python objects (ignored)
constant   has one value everywhere, or none at all (ignored)
category   has one value, and is missing elsewhere: whether it is there is what can be learnt
flag       is boolean, or whole numbers that are 0/1 or -1/1, or has two different texts (yes/no)
date       is a date or date-time, or text of which more than 99 % parse as dates, ISO or as 31.5.2024
id         is whole numbers, 95 % of them different, named like an identifier (``id key uuid index rownames ...``);
           or whole numbers that all differ and run through at least 20 rows without large gaps (unless named like a
           time); or text, different in 95 % of at least 20 rows (ignored).
           Numbers with decimals are never an id
category   is whole numbers named like a code (``zip postcode code id type sku ...``), is of a categorical dtype, or is
           text of digits with leading zeros
number     is any other number, a duration or a time of day (in seconds), or text of which more than 99 % parse as
           numbers ("12.5", "1,234", "3 %", "$5" with one currency). Few distinct whole numbers (a month, a grade, a
           count) stay numbers: their order is worth keeping, and an embedding of numbers can take each of them apart
text       is text that mostly differs from row to row and has at least 6 words on average; see :mod:`lamina.data.text`
category   is any other text, however many distinct values there are
=========  ===============================================================================================================
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

NULLS = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?")
"""What stands for a missing value in text. (``?`` is the UCI repository's.)"""

SHOWN_LEVELS = 20
"""How many levels of a category are kept for showing; the encoder keeps its own table."""

_ID_WORDS = frozenset("id uuid guid uid key index idx rownames rowname rownum rownumber rowid pk hash serial unnamed".split())
_CODE_WORDS = frozenset("zip zipcode postcode postal code codes id ids uid type subtype category sku subclass cluster".split())
_TIME_WORDS = frozenset("t time date day week month quarter year hour minute second timestamp step epoch".split())

_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.]\d+)?)?([ ]?(Z|[+-]\d{2}:?\d{2}))?)?$"
_FULL = "%Y-%m-%dT%H:%M:%S%.f%#z"
_POINTED = r"^(\d{1,2})[.](\d{1,2})[.](\d{4})"
_ZERO_LED = r"^0\d"
_UNIT = r"[$€£¥₹%]"
_WITH_UNIT = r"^([+-]?)[$€£¥₹]?\s*([\d.,]*\d)\s*[$€£¥₹%]?$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+([.]\d*)?$"


@dataclass(frozen=True)
class Guess:
    """What a column is taken for, why, and what was learnt about its values."""

    kind: str
    reason: str
    details: dict[str, Any] = field(default_factory=dict)


# Bringing values into the form of a kind


def numbers(column: pl.Series) -> pl.Series | None:
    """The values as finite Float64, null where they are none; None for a dtype that holds no numbers."""
    dtype = column.dtype
    if dtype != pl.Float64:
        if dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
            column = column.cast(pl.Float64)
        elif dtype == pl.Duration:
            column = _seconds(column.dt.total_microseconds())
        elif dtype == pl.Time:
            column = _seconds(column.cast(pl.Int64) // 1000)
        elif dtype in (pl.String, pl.Categorical, pl.Enum):
            column = _parsed_numbers(column.cast(pl.String))
        else:
            return None
    if not math.isfinite(column.sum()):  # one pass says that all are finite; only otherwise look for those that are not
        column = column.set(~column.is_finite(), None)
    return column


def _seconds(micro: pl.Series) -> pl.Series:
    return (micro // 1_000_000).cast(pl.Float64) + (micro % 1_000_000).cast(pl.Float64) / 1e6  # whole seconds stay whole


def _parsed_numbers(column: pl.Series) -> pl.Series:
    column = column.str.strip_chars()
    result = column.cast(pl.Float64, strict=False)
    if result.null_count() > column.null_count() and unit_of(column):
        column = column.str.replace(_WITH_UNIT, "$1$2")
        result = column.cast(pl.Float64, strict=False)
    if result.null_count() > column.null_count() and (grouped := column.str.contains(_THOUSANDS)).any():
        column = column.zip_with(~grouped, column.str.replace_all(",", "", literal=True))
        result = column.cast(pl.Float64, strict=False)
    return result


def unit_of(column: pl.Series) -> str:
    """The currency, or the percent sign, that stands beside numbers in text; "" where there is none, or several.

    Example:
        >>> unit_of(pl.Series(["$5", "1,200", "for € 9"])), unit_of(pl.Series(["$5", "7 €"]))
        ('$', '')
    """
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return ""
    text = column.cast(pl.String).str.strip_chars()
    found = text.filter(text.str.contains(_WITH_UNIT)).str.extract(f"({_UNIT})").drop_nulls().unique()
    return found[0] if len(found) == 1 else ""


def texts(column: pl.Series) -> pl.Series | None:
    """The values as String, the same for 3 and 3.0; None for a dtype that has no plain text."""
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        same = whole.cast(pl.Float64).eq_missing(column.cast(pl.Float64))
        text = whole.cast(pl.String)
        column = column.fill_nan(None) if not math.isfinite(column.sum()) else column
        return text if same.all() else text.zip_with(same, column.cast(pl.String))
    if dtype == pl.Duration:
        return texts(_seconds(column.dt.total_microseconds()))
    return None if _unplain(dtype) else column.cast(pl.String)


def dates(column: pl.Series) -> pl.Series | None:
    """The values as Datetime in microseconds, UTC without a zone; None for a dtype that holds no dates."""
    dtype = column.dtype
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        column = _parsed_dates(column.cast(pl.String))
    elif dtype == pl.Null:
        return column.cast(pl.Datetime("us"))
    elif not isinstance(dtype, pl.Date | pl.Datetime):
        return None
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def iso_dates(column: pl.Series) -> pl.Series | None:
    """Text as Date, or Datetime where there is a time of day; None unless the first value is an ISO date."""
    first = column.first(ignore_nulls=True)
    if not isinstance(first, str) or not re.fullmatch(_ISO[1:-1], first.strip()):
        return None
    result = _parsed_dates(column)
    return result.cast(pl.Date) if len(first.strip()) == 10 and (result.dt.truncate("1d") == result).all() else result


def _as_iso(column: pl.Series) -> pl.Series:
    """Dates with points are put into ISO's order: the day always comes first in them."""
    text = column.str.strip_chars()
    if not text.str.contains(_POINTED).any():
        return text
    return text.str.replace(r"^(\d)[.]", "0$1.").str.replace(r"^(\d\d)[.](\d)[.]", "$1.0$2.").str.replace(_POINTED, "$3-$2-$1")


def _parsed_dates(column: pl.Series) -> pl.Series:
    text = _as_iso(column)
    lengths = text.str.len_bytes()
    if lengths.min() == lengths.max() == 10:
        return text.str.to_datetime("%Y-%m-%d", strict=False, time_unit="us")
    result = text.str.to_datetime(_FULL, strict=False, time_unit="us")
    if result.null_count() == column.null_count():
        return result.dt.replace_time_zone(None)
    text = text.str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00").str.replace(" ", "T", literal=True)
    text = text.str.replace(r"(T\d{2}:\d{2})[ ]?(Z|[+-].*)?$", "${1}:00$2").str.replace(" ", "", literal=True)
    text = text.str.replace(r"(T\d{2}:\d{2}:\d{2}([.]\d+)?)$", "${1}Z")
    return text.str.to_datetime(_FULL, strict=False, time_unit="us").dt.replace_time_zone(None)


def unparsed(before: pl.Series, after: pl.Series) -> pl.Series | None:
    """Where text was there that could not be brought into the form of a kind; None when there is nothing of the sort.

    Infinite numbers are not such a case, in text or not: they are taken as missing.
    """
    if after.null_count() == before.null_count() or before.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return None
    text = before.cast(pl.String).str.strip_chars()
    lost = before.is_not_null() & after.is_null() & ~text.is_in(NULLS) & ~text.str.contains(r"(?i)^[+-]?inf(inity)?$")
    return lost if lost.any() else None


def _unplain(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype in (pl.Object, pl.Binary)


# Guessing


def guess(column: pl.Series, *, plain: bool = False) -> Guess:
    """Guess the kind of a column.

    Args:
        column: All of its values.
        plain: Of what kind are the values, never mind whether they are worth learning from (no id, text or constant)?

    Example:
        >>> guess(pl.Series("smoker", ["no", "yes", "no"])).reason
        "two values: 'no' and 'yes'"
    """
    dtype, rows = column.dtype, len(column)
    details = {"dtype": str(dtype), "missing": round(column.null_count() / max(rows, 1), 6)}
    if _unplain(dtype):
        return Guess(
            "other", f"holds {str(dtype).partition('(')[0].lower()} values, which are not learnt from in tables", details
        )
    if dtype == pl.Null or column.null_count() == rows:
        return Guess("constant", "missing in every row", details)
    if dtype == pl.Boolean:
        distinct = column.n_unique() - (column.null_count() > 0)
        return _single(column, details, plain) if distinct == 1 else _flag(["false", "true"], details)
    if isinstance(dtype, pl.Date | pl.Datetime) and (moments := dates(column)) is not None:
        return _date(moments, details, plain)
    if dtype.is_numeric() or dtype in (pl.Duration, pl.Time):
        return _number(column, details, plain)
    return _text(column, details, plain)


def regard(column: pl.Series, kind: str) -> Guess | None:
    """Take a column for the kind that a person gave; None if its values cannot be of it."""
    details = {"dtype": str(column.dtype), "missing": round(column.null_count() / max(len(column), 1), 6)}
    if kind in ("id", "constant"):
        return Guess(kind, f"given as {kind}, which is not learnt from", details)
    values = {"number": numbers, "date": dates}.get(kind, texts)(column)
    if values is None or values.null_count() == len(values):
        return None
    lost = unparsed(column, values)
    count = 0 if lost is None else int(lost.sum())
    details = _lost(details, values, count)
    taken = f"; {count:,} that are none taken as missing" if count else ""
    if kind in ("category", "flag"):
        counted = _counted(values)
        if kind == "flag":
            return replace(_flag(counted.to_series(0).to_list(), details), reason="given") if counted.height == 2 else None
        return Guess("category", f"given; {counted.height:,} distinct values", details | _levels(counted, counted.height))
    low, high = values.min(), values.max()
    if kind == "date":
        found = _date(values, details, True)
        return replace(found, reason=f"given; {found.reason}{taken}")
    low, high = float(low), float(high)  # pyright: ignore[reportArgumentType]
    whole = max(abs(low), abs(high)) < 2**53 and bool((values.floor() == values).all())
    low, high = (int(low), int(high)) if whole else (low, high)
    reason = f"given; from {_show(low)} to {_show(high)}{taken}"
    return Guess("number", reason, details | {"low": low, "high": high, "whole": whole} | _in_unit(column))


def _single(column: pl.Series, details: dict[str, Any], plain: bool) -> Guess:
    value = texts(column.drop_nulls().head(1))
    level = value[0] if value is not None else ""
    shown = repr(level) if len(level) <= 30 else repr(level[:30]) + "..."
    details |= {"levels": [level], "distinct": 1}
    if column.null_count() and details["missing"] > 0:
        return Guess("category", f"{shown} or missing", details)
    return Guess("category" if plain else "constant", f"the same value in every row: {shown}", details)


def _flag(levels: list[str], details: dict[str, Any]) -> Guess:
    low, high = sorted(levels, key=lambda level: (level.strip().lower(), level))  # no < yes, false < true, off < on, 0 < 1
    return Guess("flag", f"two values: {low!r:.40} and {high!r:.40}", details | {"levels": [low, high]})


def _date(moments: pl.Series, details: dict[str, Any], plain: bool, how: str = "dates") -> Guess:
    low, high = moments.min(), moments.max()
    if low == high and not moments.null_count() and not plain:
        return Guess("constant", f"the same date in every row: {low}", details)
    timed = not (moments.dt.truncate("1d") == moments).all()
    details |= {"low": _iso(low), "high": _iso(high), "time": timed}
    return Guess(
        "date", f"{how} from {str(low)[:10]} to {str(high)[:10]}" + (", with the time of day" if timed else ""), details
    )


def _iso(moment: Any) -> str:
    return moment.isoformat()


def _number(column: pl.Series, details: dict[str, Any], plain: bool, how: str = "") -> Guess:
    values = numbers(column)
    if values is None or values.null_count() == len(values):
        return Guess("constant", "no finite number in any row", details)
    low, high = float(values.min()), float(values.max())  # pyright: ignore[reportArgumentType]
    infinite = values.null_count() - column.null_count()
    if infinite:
        details["infinite"] = infinite
        details["missing"] = round(values.null_count() / len(values), 6)
    if low == high:
        return _single(column if column.dtype.is_integer() else values, details, plain)
    integer = column.dtype.is_integer()
    whole = integer or (max(abs(low), abs(high)) < 2**53 and bool((values.floor() == values).all()))
    if whole:
        low, high = int(low), int(high)
        found = _whole(column if integer else values, (low, high), details, plain, integer=integer)
        if found is not None:
            return found
    details |= {"low": low, "high": high, "whole": whole}
    reason = f"{how}{'whole numbers' if whole else 'numbers'} from {_show(low)} to {_show(high)}"
    if column.dtype in (pl.Duration, pl.Time):
        reason += ", in seconds"
    if details.get("infinite"):
        reason += f"; {details['infinite']:,} infinite taken as missing"
    return Guess("number", reason, details)


def _whole(values: pl.Series, span: tuple[int, int], details: dict[str, Any], plain: bool, *, integer: bool) -> Guess | None:
    """What whole numbers may be besides a number."""
    low, high = span
    rows = len(values) - values.null_count()
    if span in ((0, 1), (-1, 1)) and not (span == (-1, 1) and (values == 0).any()):
        return _flag([str(low), str(high)], details)
    words = _words(values.name)
    coded, named = words & _CODE_WORDS, words & _ID_WORDS
    running = integer and rows >= 20 and high - low < 2 * rows and not words & _TIME_WORDS
    if not (running or coded or named):
        return None
    distinct = values.n_unique() - (values.null_count() > 0)
    if named and not plain and distinct >= (rows if rows < 20 else 0.95 * rows):
        return Guess("id", f"{distinct:,} different whole numbers in {rows:,} rows, named like an identifier", details)
    if distinct == rows and not plain and running:
        return Guess("id", f"counts through the rows, from {low:,} to {high:,}", details | {"running": True})
    if coded:
        why = f"{distinct:,} distinct whole numbers in {len(values):,} rows, named like a code"
        return Guess("category", why, details | _levels(_counted(values), distinct))
    return None


def _text(column: pl.Series, details: dict[str, Any], plain: bool) -> Guess:
    declared = column.dtype in (pl.Categorical, pl.Enum)
    column = column.cast(pl.String)
    counted = _counted(column)
    values, counts = counted.to_series(0), counted.to_series(1)
    distinct, present, rows = len(values), int(counts.sum()), len(column)
    if not declared:
        found = _text_of_something(column, values, counts, details, plain=plain)
        if found is not None:
            return found
    if distinct == 1:
        return _single(column, details, plain)
    if distinct == 2:
        return _flag(values.to_list(), details)
    share = distinct / present
    if not (declared or plain):
        if share >= 0.95 and (present >= 20 or (present >= 5 and _words(column.name) & _ID_WORDS)):
            return Guess("id", f"{distinct:,} different texts in {present:,} rows", details | {"distinct": distinct})
    reason = f"{distinct:,} distinct {'levels' if declared else 'texts'} in {rows:,} rows"
    return Guess("category", reason, details | _levels(counted, distinct))


def _text_of_something(
    column: pl.Series, values: pl.Series, counts: pl.Series, details: dict[str, Any], *, plain: bool
) -> Guess | None:
    """Text that is really numbers or dates: all but 1 % of it."""
    known = ~values.str.strip_chars().is_in(NULLS)
    present = int(counts.filter(known).sum())
    if not present:
        return Guess("constant", "missing in every row", details)
    if not values.filter(known).head(50).str.contains(r"\d").any():
        return None
    parsed = _parsed_numbers(values)
    good = parsed.is_not_null() & known
    count = int(counts.filter(good).sum())
    if count >= 0.99 * present and not values.filter(good).str.contains(_ZERO_LED).any():
        number = _parsed_numbers(column).fill_nan(None)  # the word NaN is a number to polars
        if (number.floor() == number).all() and number.abs().max() < 2**53:  # pyright: ignore[reportOperatorIssue, reportOptionalOperand]
            number = number.cast(pl.Int64)
        found = _number(number, _lost(details, number, present - count) | _in_unit(values), plain, "text that holds ")
        # levels are compared as text, so "1.0" or "1 %" cannot become the flag or the code 1
        return found if found.kind == "number" or (texts(number) == column).all() else None
    iso = _as_iso(values)
    good = _parsed_dates(iso).is_not_null() & iso.str.contains(_ISO)
    count = int(counts.filter(good).sum())
    if count >= 0.99 * present:
        moments = dates(column)
        if moments is not None:
            return _date(moments, _lost(details, moments, present - count), plain, "text that holds dates")
    return None


def _in_unit(column: pl.Series) -> dict[str, str]:
    return {"unit": unit} if (unit := unit_of(column)) else {}


def _lost(details: dict[str, Any], values: pl.Series, count: int) -> dict[str, Any]:
    missing = round(values.null_count() / len(values), 6)
    return details | {"missing": missing} | ({"unparsed": int(count)} if count else {})


def _counted(column: pl.Series) -> pl.DataFrame:
    """Levels and their counts, the most frequent first."""
    column = column.drop_nulls().alias("level")
    if column.dtype.is_float():
        column = column.cast(pl.Int64)
    return column.value_counts().sort("count", "level", descending=[True, False])


def _levels(counted: pl.DataFrame, distinct: int) -> dict[str, Any]:
    return {"levels": counted.to_series(0).head(SHOWN_LEVELS).cast(pl.String).to_list(), "distinct": distinct}


def _words(name: str) -> set[str]:
    """``customerID``, ``customer_id`` and ``Customer Id`` are all {customer, id}."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    return {part.lower() for part in parts} | {name.lower()}


def _show(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e15 else f"{value:.6g}"
