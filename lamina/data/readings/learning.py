"""Learning the readings of a table from the training rows."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from lamina.data.readings.date import DateReading, are_digits, digits, learn_date
from lamina.data.readings.doubts import doubt
from lamina.data.readings.duration import DurationReading, learn_duration
from lamina.data.readings.lists import ListReading, learn_list
from lamina.data.readings.number import NumberReading, learn_number, learn_plain_numbers
from lamina.data.readings.reading import MISSING, SHARE, SPACES, TEXTS, Cells, Clues, Learnt, Reading, counted
from lamina.data.readings.text import AMONG_TEXTS, TextReading, TruthReading, words_for_missing
from lamina.errors import ModelFileError, SchemaError
from lamina.stored import stored

READINGS: dict[str, type[Reading]] = {
    reading.name: reading for reading in (TextReading, TruthReading, NumberReading, DurationReading, DateReading, ListReading)
}
"""The readings by name."""
MOST_LABELS = 20
"""Most distinct numbers in a target that are classes beside words."""


def reading_from_json(values: Any) -> Reading:
    """The reading that :meth:`Reading.to_json` wrote.

    Raises:
        ModelFileError: There is no such reading, or its fields are of other types.
    """
    if not isinstance(values, Mapping) or not isinstance(name := values.get("name"), str) or name not in READINGS:
        raise ModelFileError(f"a reading is {values!r:.60}, expected one of {', '.join(READINGS)}")
    return stored(READINGS[name], {key: value for key, value in values.items() if key != "name"})


def learn(
    table: pl.DataFrame,
    *,
    declared: Mapping[str, str] | None = None,
    separator: str | None = None,
    labels: Collection[str] = (),
) -> tuple[dict[str, Reading], pl.DataFrame]:
    """The reading of each text column, and the table read with them; cells that do not fit are null.

    Args:
        table: The training rows.
        declared: By name of a column "number" or "date", of which any share of the values may fit; "date %d/%m/%Y",
            "date excel", "number 1.234,56"; or "text".
        separator: That of the text file that the table is, in which a missing value may have to be written as a word, and 1,234
            is 1.234 where it is ``;``; None for a frame.
        labels: Names of the columns, such as the target, in which a word among numbers is a label, not a missing value.

    Raises:
        SchemaError: Dates that can be read in two orders; a date or a number that is declared in a way that is none.

    Example:
        >>> readings, rows = learn(pl.DataFrame({"price": ["1.234,50 €", "17 €"], "day": ["31/12/2024", "n/a"]}))
        >>> readings["price"].written(), readings["day"].written(), rows["price"].to_list()
        ('written 1.234,5 in €', 'day first', [1234.5, 17.0])
    """
    declared, clues = declared or {}, Clues(separator)
    columns = {
        column.name: column if column.dtype == pl.String else digits(column)
        for column in table
        if column.dtype == pl.String or _may_be_dates(column, declared.get(column.name), labels)
    }
    learnt = {name: _learn(column, clues, declared.get(name), labels, ask=False) for name, column in columns.items()}
    decimals, orders = ({getattr(one, which) for one in learnt.values()} - {None} for which in ("decimal", "order"))
    words = {
        word.lower() for one in learnt.values() if not isinstance(one.reading, TextReading) for word in one.reading.missing
    }
    clues = Clues(
        separator,
        decimal=decimals.pop() if len(decimals) == 1 else None,
        order=orders.pop() if len(orders) == 1 else None,
        words=frozenset(words),
    )
    for name, one in learnt.items():
        if not one.sure:
            learnt[name] = _learn(columns[name], clues, declared.get(name), labels, ask=True)
    read = [_read(learnt[name], column) for name, column in columns.items()]
    return {column.name: reading for reading, column in read}, table.with_columns(column for _, column in read)


def typed(table: pl.DataFrame, readings: Mapping[str, Reading]) -> pl.DataFrame:
    """The table with the values of text columns; cells that do not fit are null."""
    return table.with_columns(
        readings[column.name](column)[0].alias(column.name)
        for column in table
        if column.dtype in TEXTS and column.name in readings and not readings[column.name].verbatim
    )


def _read(learnt: Learnt, column: pl.Series) -> tuple[Reading, pl.Series]:
    """The reading, with the cells of the training rows that do not fit, and the values."""
    reading, values = learnt.reading, learnt.values
    if values is None and not reading.verbatim:
        values, failed = reading(column)
        if failed is not None:
            examples = column.filter(failed).sort()
            reading = dataclasses.replace(reading, invalid=len(examples), example=examples[0])
    return reading, column if values is None else values.alias(column.name)


def _may_be_dates(column: pl.Series, declared: str | None, labels: Collection[str]) -> bool:
    """Whether a column of numbers is declared to be of dates, or is one of 20240531."""
    if not column.dtype.is_numeric():
        return False
    if declared is not None:
        return declared.startswith("date ")
    return column.dtype.is_integer() and column.name not in labels and are_digits(column)


def _learn(column: pl.Series, clues: Clues, declared: str | None, labels: Collection[str], *, ask: bool) -> Learnt:
    kind, _, how = (declared or "").partition(" ")
    cells = column.cast(pl.String)
    if kind == "text" or cells.null_count() == len(cells):
        return Learnt(TextReading())
    if how:
        reading = _declared(column.name, kind, how)
        if reading.read(cells.str.strip_chars()).null_count() == len(cells):
            example = cells.drop_nulls()[0]
            raise SchemaError(
                f"kinds: column {column.name!r} is {declared!r}, but no cell is written so, such as {example!r:.40}"
            )
        return Learnt(reading)
    if kind not in ("date", "list") and (plain := learn_plain_numbers(cells, clues)) is not None:
        whole = plain.values if plain.values is not None and plain.values.dtype == pl.Int64 else None
        if whole is not None and declared is None and column.name not in labels and are_digits(whole):
            return Learnt(DateReading(order="digits"))
        return plain
    counts = _distinct(cells)
    blank = counts["cell"].str.to_lowercase().is_in(MISSING)
    words, values = counts.filter(blank), counts.filter(~blank)
    if not len(values):
        return Learnt(TextReading(missing=counted(words)))
    if not kind and values["cell"].str.to_lowercase().is_in(["true", "false"]).all():
        if words["cell"].str.to_lowercase().is_in([*AMONG_TEXTS, *clues.words]).all():
            return Learnt(TruthReading(missing=counted(words)))
    attempts = {"number": (learn_number, learn_duration), "date": (learn_date,), "list": (learn_list,)}.get(
        kind, (learn_list, learn_date, learn_number, learn_duration)
    )
    distinct = Cells(column.name, values, clues, 0.0 if kind else SHARE, ask)
    for rest in (distinct, *([] if kind or column.name in labels else _without_word(distinct))):
        for attempt in attempts:
            if (learnt := attempt(rest)) is not None and not (column.name in labels and _are_labels(learnt.reading, rest)):
                absent = counts.filter(~pl.col("cell").is_in(rest.values["cell"].implode()))
                return dataclasses.replace(learnt, reading=dataclasses.replace(learnt.reading, missing=counted(absent)))
    zeros = bool(values["cell"].str.contains(r"^0\d+$").any()) and bool(values["cell"].str.contains(r"^\d+$").all())
    missing = words_for_missing(words, values, clues)
    why = "" if kind else doubt(distinct, cells)
    return Learnt(TextReading(missing=missing, zeros=zeros, doubt=why), sure=not len(words))


def _are_labels(reading: Reading, column: Cells) -> bool:
    """Whether cells are classes: periods, a few durations, or words among a few numbers."""
    if isinstance(reading, DateReading) and reading.is_period:
        return True
    if isinstance(reading, DurationReading) and len(column.values) <= MOST_LABELS:
        return True
    fits = reading.read(column.values["cell"]).is_not_null()
    return not fits.all() and int(fits.sum()) <= MOST_LABELS


def _without_word(column: Cells) -> Iterator[Cells]:
    """The cells besides a word that is the only one among them without a digit, if there is one."""
    for some in (column.sample(), column):
        words = some.values.filter(~pl.col("cell").str.contains(r"\d"))["cell"].str.to_lowercase().unique()
        if len(words) != 1 or len(some.values) < 3:
            return
    yield dataclasses.replace(column, values=column.values.filter(pl.col("cell").str.to_lowercase() != words[0]))


def _distinct(cells: pl.Series) -> pl.DataFrame:
    """Each stripped cell, and its number of rows."""
    counts = cells.drop_nulls().alias("cell").value_counts(name="rows")
    stripped = counts.with_columns(pl.col("cell").str.strip_chars())
    return counts if counts.equals(stripped) else stripped.group_by("cell").agg(pl.col("rows").sum())


def _declared(name: str, kind: str, how: str) -> Reading:
    """The reading that a kind with an example or a format declares."""
    marks = re.fullmatch(rf"\d{{1,3}}(?:([.,'{SPACES}])\d{{3}})?(?:([.,])\d*)?", how) if kind == "number" else None
    if marks and marks[1] != marks[2]:
        thousands, decimal = marks[1] or "", marks[2] or ("," if marks[1] == "." else ".")
        return NumberReading(decimal=decimal, thousands=" " if thousands in SPACES and thousands else thousands)
    order = {"excel": "excel", "%Y%m%d": "digits"}.get(how) or "".join(re.findall("%([ymd])", how.lower().replace("%b", "%m")))
    order = {"ym": "months", "my": "months", "ymd": "yymd" if "%y" in how else "ymd"}.get(order, order)
    if kind == "date" and order in ("ymd", "yymd", "dmy", "mdy", "months", "excel", "digits"):
        return DateReading(order=order)
    raise SchemaError(
        f"kinds: column {name!r} is {kind + ' ' + how!r}; expected a kind, 'date' with a format such as 'date %d/%m/%Y', "
        "'date excel', or 'number' with an example such as 'number 1.234,56'"
    )
