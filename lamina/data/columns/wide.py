"""Texts as tokens and, beside them, as sparse TF-IDF weights, for networks with a wide part."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import TextBlock
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError

MOST_TERMS = 512
"""Most terms of a text; of more, those with the largest weights are kept."""


@dataclass(frozen=True)
class WideTextBlock(Block):
    """The encoding of a column of texts as two arrays, token codes and the largest TF-IDF weights, fitted on training rows.

    A row of the second array has the codes of the terms of the whole text, also where its tokens are truncated, and their
    weights: ``(2, most)``, padded with zeros. Code 0 is padding; the code of a term is its place in ``terms.terms`` plus one.
    Codes are float32, which is exact for the numbers of terms that an encoder may have.

    Args:
        text: The encoding of the tokens.
        terms: The encoding of the terms, of which there are at most as many as tokens.
        most: Terms of a row: the 99 % quantile of the training texts, at most 512.

    Example:
        >>> reviews = pl.Series("review", ["good", "Not good", None])
        >>> block = WideTextBlock.fit(reviews, Encoding(wide=True), "text")
        >>> block.terms.terms
        ('good', 'not', 'not good')
        >>> block.transform(reviews)["text_terms"][:, 0].tolist()
        [[1.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "wide_text"

    name: str
    block: str
    text: TextBlock
    terms: TermsBlock
    most: int
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit tokens and terms, at most ``encoding.vocabulary`` of each, to training rows."""
        text, terms = TextBlock.fit(values, encoding, block), TermsBlock.fit(values, encoding, f"{block}_terms")
        counts = np.diff(terms.transform(values)[terms.block].indptr)
        most = int(np.quantile(counts, 0.99, method="higher")) if len(counts) else 1
        return cls(values.name, block, text, terms, min(max(most, 1), MOST_TERMS), text.notes)

    def verify(self) -> None:
        self.text.verify()
        self.terms.verify()
        if not 1 <= self.most <= MOST_TERMS:
            raise ModelFileError(f"texts of column {self.name!r} have {self.most} terms, expected 1 to {MOST_TERMS}")

    @property
    def parts(self) -> tuple[Block, ...]:
        return self.text, self.terms

    @property
    def extent(self) -> str:
        return f"{self.text.extent}, beside {self.terms.extent}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        wide = Input((2, self.most), (self.name,), (len(self.terms.terms) + 1,), "weighted")
        return self.text.inputs | {self.terms.block: wide}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """The codes of the tokens; codes and weights of the terms, float32 (N, 2, ``most``)."""
        rows = self.terms.transform(values)[self.terms.block]
        counts = np.diff(rows.indptr)
        row = np.repeat(np.arange(len(counts)), counts)
        order = np.lexsort((rows.indices, -rows.data, row))  # the largest weights of each row first
        place = np.arange(len(row)) - np.repeat(rows.indptr[:-1], counts)
        kept = np.sort(order[place < self.most])
        row, start = row[kept], np.cumsum([0, *np.minimum(counts, self.most)])
        place = np.arange(len(kept)) - start[row]
        out = np.zeros((len(counts), 2, self.most), dtype=np.float32)
        out[row, 0, place], out[row, 1, place] = rows.indices[kept] + 1, rows.data[kept]
        return self.text.transform(values) | {self.terms.block: out}

    def remarks(self, values: pl.Series) -> list[str]:
        return self.text.remarks(values)
