"""Texts as TF-IDF vectors of terms and, beside them, of n-grams of characters within words, for linear models of short texts.

A short text shares few words with the training texts; n-grams relate a word to others of its stem and to misspelt ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.terms import TermsBlock
from lamina.data.columns.tokens import has_word
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError
from lamina.wording import count

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

SIZES = range(3, 6)
_LONGEST = 64  # characters of a word that are read
_FEW_TEXTS = 200  # below, an n-gram of a single text counts


@dataclass(frozen=True)
class NgramsBlock(Block):
    """The encoding of a column of texts as two TF-IDF vectors, of terms and of n-grams of characters, fitted on training rows.

    The n-grams are those of 3 to 5 characters of each word between two spaces, " good ", as scikit-learn's ``char_wb``. Both
    vectors have weights as in :class:`~lamina.data.columns.terms.TermsBlock` and a length of 1. N-grams are sorted by document
    frequency, then alphabetically; with 200 training texts or more, one has to be in two.

    Args:
        terms: The encoding of the terms.
        ngrams: The n-gram of each column of the second vector.
        idf: The inverse document frequency ``1 + ln((1 + n) / (1 + df))`` of each n-gram.

    Example:
        >>> reviews = pl.Series("review", ["Good!", "goods"])
        >>> block = NgramsBlock.fit(reviews, Encoding(ngrams=1_000), "text")
        >>> block.ngrams[:6]
        (' go', ' goo', ' good', 'goo', 'good', 'ood')
        >>> {name: rows.shape for name, rows in block.transform(reviews).items()}
        {'text': (2, 4), 'text_ngrams': (2, 15)}
    """

    kind: ClassVar[str] = "ngrams"

    name: str
    block: str
    terms: TermsBlock
    ngrams: tuple[str, ...]
    idf: tuple[float, ...]
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit at most ``encoding.vocabulary`` terms and as many n-grams to training rows.

        There are no n-grams where the texts have more characters than ``encoding.ngrams``, or characters as tokens.
        """
        terms = TermsBlock.fit(values, encoding, block)
        if terms.by_characters or sum(len(text or "") for text in values.to_list()) > encoding.ngrams:
            return cls(values.name, block, terms, (), (), terms.notes)
        words, counts = _words(terms, values)
        codes: dict[str, int] = {}
        pieces = counts @ _pieces(words, codes, grow=True)
        present = int((np.diff(counts.indptr) > 0).sum())
        frequency = np.bincount(pieces.indices, minlength=len(codes))
        least = 1 if present < _FEW_TEXTS else 2
        kept = sorted((-int(frequency[code]), ngram) for ngram, code in codes.items() if frequency[code] >= least)
        kept = kept[: encoding.vocabulary]
        idf = 1 + np.log((1 + present) / (1 - np.array([df for df, _ in kept], dtype=np.float64)))
        return cls(values.name, block, terms, tuple(ngram for _, ngram in kept), tuple(idf.tolist()), terms.notes)

    @property
    def extent(self) -> str:
        return self.terms.extent + (f" and {count(len(self.ngrams), 'n-gram')} of characters" if self.ngrams else "")

    @cached_property
    def inputs(self) -> dict[str, Input]:
        names = (self.name, *map(repr, self.ngrams))
        own = {f"{self.block}_ngrams": Input((len(self.ngrams),), names, kind="terms")} if self.ngrams else {}
        return self.terms.inputs | own

    def transform(self, values: pl.Series) -> dict[str, Any]:
        """The weights of terms and of n-grams, float32 ``scipy.sparse.csr_matrix``; a missing text is all zeros."""
        if not self.ngrams:
            return self.terms.transform(values)
        words, counts = _words(self.terms, values)
        rows = counts @ _pieces(words, self._codes)
        rows.sort_indices()
        data = (1 + np.log(rows.data)) * self._weights[rows.indices]
        row = np.repeat(np.arange(len(values)), np.diff(rows.indptr))
        lengths = np.sqrt(np.bincount(row, data**2, len(values)))
        rows.data = (data / lengths[row]).astype(np.float32)
        return self.terms.transform(values) | {f"{self.block}_ngrams": rows}

    def remarks(self, values: pl.Series) -> list[str]:
        return self.terms.remarks(values)

    def verify(self) -> None:
        self.terms.verify()
        if len(set(self.ngrams)) != len(self.ngrams) or len(self.idf) != len(self.ngrams):
            raise ModelFileError(
                f"the n-grams of column {self.name!r} cannot be read ({len(self.ngrams)} n-grams, {len(self.idf)} weights), "
                "expected what NgramsBlock.fit made; fit again"
            )

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {ngram: code for code, ngram in enumerate(self.ngrams)}

    @cached_property
    def _weights(self) -> np.ndarray:
        return np.array(self.idf, dtype=np.float64)


def _words(terms: TermsBlock, values: pl.Series) -> tuple[Sequence[str], csr_matrix]:
    """The distinct words of texts, and how often each is in each text (N, words)."""
    codes: dict[str, int] = {}
    counts = []
    for text in values.to_list():
        words = Counter(word[:_LONGEST] for word in terms.tokens(text or "") if has_word(word))
        counts.append({codes.setdefault(word, len(codes)): times for word, times in words.items()})
    return tuple(codes), _sparse(counts, len(codes))


def _pieces(words: Iterable[str], codes: dict[str, int], *, grow: bool = False) -> csr_matrix:
    """How often each n-gram is in each word (words, n-grams); with ``grow`` new n-grams get the next codes."""
    counts = []
    for word in words:
        padded = f" {word} "
        pieces = Counter(padded[i : i + size] for size in SIZES for i in range(len(padded) - size + 1))
        if grow:
            counts.append({codes.setdefault(piece, len(codes)): times for piece, times in pieces.items()})
        else:
            counts.append({codes[piece]: times for piece, times in pieces.items() if piece in codes})
    return _sparse(counts, len(codes))


def _sparse(counts: Sequence[dict[int, int]], width: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *map(len, counts)])
    indices = np.fromiter((code for row in counts for code in row), np.int64, ends[-1])
    data = np.fromiter((times for row in counts for times in row.values()), np.float64, ends[-1])
    return csr_matrix((data, indices, ends), shape=(len(counts), width))
