"""Text as it is, true and false, and words for missing values among texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import Clues, Reading, counted

AMONG_TEXTS = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "(null)", "none", "?", "\\n")
"""Those of a missing value among other texts of a file."""


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


def words_for_missing(words: pl.DataFrame, values: pl.DataFrame, clues: Clues) -> dict[str, int]:
    """The words for a missing value among other texts, with their numbers of rows.

    In a frame none is: a frame has missing values of its own. In a file marks such as ``?`` are, and words such as ``NA`` if
    columns of numbers use them so, or if they are neither in a tenth of the rows nor written like the other values: NA among DE
    and CH is Namibia.
    """
    if clues.separator is None:
        return {}
    total = int(values["rows"].sum()) + int(words["rows"].sum())
    missing = {}
    for word, rows in counted(words.filter(words["cell"].str.to_lowercase().is_in(AMONG_TEXTS))).items():
        code = re.fullmatch(r"[A-Z]{2,3}", word) and values["cell"].str.contains(rf"^[A-Z]{{{len(word)}}}$").mean() == 1
        if not word.isalpha() or word.lower() in clues.words or not (code or rows >= 0.1 * total):
            missing[word] = rows
    return missing
