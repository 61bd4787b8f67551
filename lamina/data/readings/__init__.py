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
duration  of which at least 95 % are hours, minutes and seconds (01:23:45, 9:15 PM, 1h 30min, PT1H23M45S): numbers of seconds
date      of which at least 95 % are dates in one order of day, month and year, with or without the time of day and its zone;
          or months, quarters or weeks (2024-05, 2024-Q2, 2024-W22): their first day
list      of which at least 95 % are lists of numbers, [0.1, 0.2] or [0.1 0.2] as ``to_csv`` writes them: series
text      of any other cells
========  =================================================================================================================

Where two readings fit all values (1,234 or 01/02/2024), the other columns of the table decide. Where these do not, 1,234 has a
decimal comma in a file whose separator is ``;``, elsewhere a comma of thousands; 1.234 has a decimal point; and dates are an
error that shows both readings.

A missing value is an empty cell; in columns of numbers and dates also each of :data:`MISSING`, and a word that is the only one
among them. Among other texts of a file a word such as ``NA`` is a missing value unless it is like the others: see
:func:`~lamina.data.readings.text.words_for_missing`.
"""

from __future__ import annotations

from lamina.data.readings.date import DateReading, digits
from lamina.data.readings.duration import DurationReading
from lamina.data.readings.learning import READINGS, learn, reading_from_json, typed
from lamina.data.readings.lists import ListReading
from lamina.data.readings.number import NumberReading
from lamina.data.readings.reading import MISSING, TEXTS, Reading
from lamina.data.readings.text import TRUTH, TextReading, TruthReading, truth

__all__ = [
    "MISSING",
    "READINGS",
    "TEXTS",
    "TRUTH",
    "DateReading",
    "DurationReading",
    "ListReading",
    "NumberReading",
    "Reading",
    "TextReading",
    "TruthReading",
    "digits",
    "learn",
    "reading_from_json",
    "truth",
    "typed",
]
