"""Texts: free text, as opposed to names and categories; :mod:`lamina.data.columns.tokens` tokenises it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lamina.data.columns.column import Block, Column, ColumnKind, Guess, Values, describe
from lamina.data.columns.ngrams import NgramsBlock
from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import MOST_TOKENS, UNSPACED, TextBlock
from lamina.data.columns.wide import WideTextBlock
from lamina.data.encoding import Encoding
from lamina.data.folder import read_text
from lamina.data.parse import texts
from lamina.data.readings import TextReading
from lamina.errors import SchemaError

FEWEST_WORDS = 6
"""Fewest words on average of a column of text; names and titles have fewer."""
_FEW = 5  # with fewer texts, nothing is guessed
_CODES = {
    "molecules (SMILES)": (  # atoms, bonds, rings and branches; most have a branch or a double bond
        r"^(?:\[[^\[\]\s]+\]|Br|Cl|[BCNOPSFIbcnops*]|%\d\d|\d|[-=#$:/\\~.()])+$",
        r"[(=#]",
    ),
    "sequences of letters (such as DNA or proteins)": (r"^(?:[A-Z*-]+|[a-z*-]+)$", r"^.{20}"),
}
"""Codes that are read by characters: what all cells match, and what at least half of them match, too."""


class Text(ColumnKind):
    """String; ``words``: their average number.

    Example:
        >>> plots = pl.Series([f"Plot {i}: a stranger comes to town" for i in range(9)])
        >>> Text().guess(Values(plots)).reason
        'free text of 7 words on average'
    """

    name = "text"
    reading = TextReading
    blocks = (TextBlock, WideTextBlock, NgramsBlock, TermsBlock)
    all_different = True
    max_group_size = 100
    forms = "a text, the path of a .txt file or of a folder of these"

    def is_alone(self, column: Column, value: Any) -> bool:
        return isinstance(value, str)

    def of_file(self, column: Column, path: Path) -> str | None:
        if path.suffix.lower() != ".txt":
            return None
        text = read_text(path)
        names = re.split(r"[,;|\t]", text.partition("\n")[0])
        return None if column.name in [name.strip(' "') for name in names] else text  # else a table

    def guess(self, values: Values) -> Guess | None:
        column = values.column
        present = len(column) - column.null_count()
        if values.plain or column.dtype != pl.String or present < _FEW:
            return None
        distinct = column.drop_nulls().unique()
        if len(distinct) <= 0.5 * present:
            return None
        details, reason = _described(distinct)
        if details["words"] >= FEWEST_WORDS:
            return Guess(self.name, f"free text of {reason}", values.details | details)
        if code := _code(distinct):
            return Guess(self.name, f"{code}, read by characters", values.details | details)
        return None

    def coerce(self, column: pl.Series) -> Guess | None:
        values = texts(column)
        if values is None or values.null_count() == len(values):
            return None
        details, reason = _described(values.drop_nulls())
        return Guess(self.name, f"given; {reason}", describe(column) | details)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        result = texts(values)
        if result is None:
            raise SchemaError(f"column {column.name!r} holds {values.dtype}, expected text as in training; convert it")
        return result

    def encoding(self, column: Column, encoding: Encoding) -> Encoding:
        if encoding.tokens != "auto":
            return encoding
        return dataclasses.replace(encoding, tokens=column.details.get("tokens", "words"))

    def block(self, encoding: Encoding) -> type[Block] | None:
        if encoding.plain:
            return NgramsBlock if encoding.ngrams else TermsBlock
        return WideTextBlock if encoding.wide else TextBlock

    def novelty_block(self, values: pl.Series, encoding: Encoding, block: str) -> TextBlock:
        fitted = TextBlock.fit(values, encoding, block)
        return dataclasses.replace(fitted, length=MOST_TOKENS)  # so that longer texts are not truncated to the training length

    def novelty_features(self, array: np.ndarray) -> np.ndarray:
        """Log length, share of unknown words, mean rarity of the others; codes (N, tokens) to float32 (N, 3)."""
        length, in_vocabulary = (array > 0).sum(axis=1), array > 1
        unknown = (array == 1).sum(axis=1) / np.maximum(length, 1)
        # Codes are ranks by frequency, and frequency is about the inverse of the rank (Zipf 1949).
        rarity = np.log(np.maximum(array, 1), dtype=np.float32).sum(axis=1) / np.maximum(in_vocabulary.sum(axis=1), 1)
        return np.stack([np.log1p(length), unknown, rarity], axis=1).astype(np.float32)


def _described(values: pl.Series) -> tuple[dict[str, Any], str]:
    """The average number of words as a detail, with "characters" as tokens where texts are codes; both in words.

    Codes have no spaces, as nine of ten distinct texts here, and differ from row to row.
    """
    distinct = values.unique()
    sample = _sample(distinct)
    spaced = sample.str.count_matches(r"\S+")
    unspaced = sample.str.count_matches(rf"[{UNSPACED}]")  # two of these characters count as one word
    words = float((spaced + unspaced / 2).mean() or 0)  # pyright: ignore[reportArgumentType]
    details, reason = {"words": round(words, 1)}, f"{words:.0f} word{'s' if round(words) != 1 else ''} on average"
    alone = int(((spaced == 1) & (unspaced == 0)).sum())
    if len(distinct) < max(_FEW, 0.5 * len(values)) or alone < 0.9 * len(sample):
        return details, reason
    return details | {"tokens": "characters"}, f"{reason}, read by characters, as there are no spaces"


def _code(distinct: pl.Series) -> str:
    """Which code all distinct texts are in, "" for none."""
    sample = _sample(distinct)
    for name, (every, many) in _CODES.items():
        fits, shows = ([*sample.str.contains(pattern)] for pattern in (every, many))
        if sum(fits) >= 0.99 * len(fits) and sum(shows) >= 0.5 * len(shows):
            return name
    return ""


def _sample(distinct: pl.Series) -> pl.Series:
    """At most some 2,000 texts, whatever the order of rows."""
    return distinct.sort().gather_every(max(1, len(distinct) // 2000)).str.head(100_000)
