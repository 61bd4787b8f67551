"""Text as it is, true and false, and words for missing values among texts."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from lamina.data.readings.reading import Clues, Reading, counted

AMONG_TEXTS = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "(null)", "none", "?", "\\n")
"""Those of a missing value among other texts of a file."""
TRUTH: dict[str, bool] = dict.fromkeys("true t yes y on 1 wahr ja j vrai oui vero sì si sí verdadero sim да".split(), True)
TRUTH |= dict.fromkeys("false f no n off 0 falsch nein faux non falso não nao nee nej нет".split(), False)
"""Words for true and false, in lower case."""


def truth(cells: pl.Series) -> pl.Series:
    """What words say, Boolean; null for others."""
    return cells.str.to_lowercase().replace_strict(list(TRUTH), list(TRUTH.values()), default=None, return_dtype=pl.Boolean)


@dataclass(frozen=True)
class TextReading(Reading):
    """Cells as they are.

    Attributes:
        zeros: Whether cells are codes of digits with leading zeros, which numbers do not have.
        doubt: Why a column that looks like numbers or dates is text; "" for others.
    """

    zeros: bool = False
    doubt: str = ""

    name = "text"

    def remark(self) -> str:
        return "; ".join(filter(None, [super().remark(), self.doubt]))

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
    """True and false, in any case, and in later cells any of :data:`TRUTH`: Boolean."""

    name = "truth"

    def read(self, cells: pl.Series) -> pl.Series:
        return truth(cells)


def words_for_missing(words: pl.DataFrame, values: pl.DataFrame, clues: Clues) -> dict[str, int]:
    """The words for a missing value among other texts, with their numbers of rows.

    In a frame none is: a frame has missing values of its own. In a file all that columns of numbers use so are, marks such as
    ``?``, and words such as ``NA`` that are neither in a tenth of the rows nor written like the other values: NA among DE and
    CH is Namibia.
    """
    if clues.separator is None:
        return {}
    total = int(values["rows"].sum()) + int(words["rows"].sum())
    missing = {}
    for word, rows in counted(words.filter(words["cell"].str.to_lowercase().is_in([*AMONG_TEXTS, *clues.words]))).items():
        code = re.fullmatch(r"[A-Z]{2,3}", word) and values["cell"].str.contains(rf"^[A-Z]{{{len(word)}}}$").mean() == 1
        if not word.isalpha() or word.lower() in clues.words or not (code or rows >= 0.1 * total):
            missing[word] = rows
    return missing
