"""Texts as TF-IDF vectors, for models of rows of numbers such as logistic regression and trees.

A term is a token (a word, a number or a punctuation mark, as in :mod:`lamina.data.columns.tokens`) or a pair of neighbours; of
characters, up to four neighbours.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.tokens import (
    UNKNOWN,
    TextBlock,
    by_characters,
    check_tokenizer,
    empty_texts,
    has_word,
    unknown_texts,
)
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError
from lamina.wording import count

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

FEW_TEXTS = 200  # below, a term of a single text counts
_CHARACTERS = 4  # most of a term


@dataclass(frozen=True)
class TermsBlock(Block):
    """The encoding of a column of texts as TF-IDF vectors, fitted on training rows.

    The weight of a term that occurs ``tf`` times in a text, and in ``df`` of ``n`` training texts, is
    ``(1 + ln tf) (1 + ln((1 + n) / (1 + df)))``; then each row is scaled to length 1 (Salton & Buckley 1988, "Term-weighting
    approaches in automatic text retrieval"; scikit-learn's TfidfVectorizer). It differs from the paper by the added
    ones, so that a term of every text still counts. Terms that training texts did not have are ignored.

    Terms are sorted by document frequency, then alphabetically. With 200 training texts or more, a term has to be in two.

    Args:
        terms: The term of each column of the block.
        idf: The inverse document frequency ``1 + ln((1 + n) / (1 + df))`` of each term.
        tokenizer: The tokenizer, as JSON of Hugging Face's ``tokenizers``.

    Example:
        >>> block = TermsBlock.fit(pl.Series("review", ["Good!", "Not good."]), Encoding(), "text")
        >>> block.terms
        ('good', '!', '.', 'good !', 'good .', 'not', 'not good')
        >>> block.transform(pl.Series("review", ["Not bad", "good", None]))["text"].toarray()[:, [0, 5]].tolist()
        [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]
    """

    kind: ClassVar[str] = "terms"

    name: str
    block: str
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    tokenizer: str
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit at most ``encoding.vocabulary`` terms and their inverse document frequencies to training rows."""
        untrained = Encoding(tokens=encoding.tokens)  # which is enough: the vocabulary is that of the terms
        stored = TextBlock.fit(values.head(0), untrained, block).tokenizer
        terms_of = _Splitter(stored)
        counts, present = Counter[str](), 0
        for text in values.to_list():
            terms = set(terms_of(text or ""))
            counts.update(terms)
            present += bool(terms)
        least = 1 if present < FEW_TEXTS else 2
        kept = sorted((term for term in counts if counts[term] >= least), key=lambda term: (-counts[term], term))
        kept = kept[: encoding.vocabulary]
        notes = empty_texts(values, len(values) - present)
        if not kept:
            notes.append(f"{values.name}: no text has a word")
            kept = [UNKNOWN]  # no text has it: a column of zeros
        idf = tuple(1 + math.log((1 + present) / (1 + counts[term])) for term in kept)
        return cls(values.name, block, tuple(kept), idf, stored, tuple(notes))

    @property
    def extent(self) -> str:
        return f"TF-IDF weights of {count(len(self.terms), 'term')}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        return {self.block: Input((len(self.terms),), (self.name, *self.terms), kind="terms")}

    def transform(self, values: pl.Series) -> dict[str, Any]:
        """The weights, a float32 ``scipy.sparse.csr_matrix`` (N, terms); a missing text is all zeros."""
        return {self.block: weights(self._vectorizer, values)}

    def remarks(self, values: pl.Series) -> list[str]:
        texts = texts_of(values)
        if self._split.by_characters:
            known = {*self.terms}
            return unknown_texts(
                self.name, sum(not known.issuperset(self._split.tokens(text)) for text in texts), characters=True
            )
        is_word = np.array([has_word(term) for term in self.terms], dtype=np.float32)
        weights = self.transform(values)[self.block] @ is_word
        unseen = sum(not weight and has_word(text) for weight, text in zip(weights, texts, strict=True))
        return unknown_texts(self.name, unseen)

    def verify(self) -> None:
        if not self.terms or len(set(self.terms)) != len(self.terms) or len(self.idf) != len(self.terms):
            raise ModelFileError(
                f"the terms of column {self.name!r} cannot be read ({len(self.terms)} terms, {len(self.idf)} weights), "
                "expected what TermsBlock.fit made; fit again"
            )
        check_tokenizer(self.name, self.tokenizer)

    @cached_property
    def _split(self) -> _Splitter:
        return _Splitter(self.tokenizer)

    @cached_property
    def _vectorizer(self) -> TfidfVectorizer:
        from sklearn.feature_extraction.text import TfidfVectorizer

        codes = {term: code for code, term in enumerate(self.terms)}
        vectorizer = TfidfVectorizer(analyzer=self._split, vocabulary=codes, sublinear_tf=True, dtype=np.float32)
        vectorizer.idf_ = np.array(self.idf)
        return vectorizer


def texts_of(values: pl.Series) -> list[str]:
    """The texts; a missing one is empty."""
    return [text or "" for text in values.to_list()]


def weights(vectorizer: TfidfVectorizer, values: pl.Series) -> csr_matrix:
    """The TF-IDF weights of texts (N, terms), also of no texts, which scikit-learn refuses."""
    from scipy.sparse import csr_matrix

    if not len(values):
        return csr_matrix((0, len(vectorizer.vocabulary)), dtype=np.float32)
    return csr_matrix(vectorizer.transform(texts_of(values)))


class _Splitter:
    """A function from a text to its terms: its tokens, then neighbouring tokens."""

    def __init__(self, tokenizer: str):
        from tokenizers import Tokenizer

        self.by_characters = by_characters(tokenizer)
        self._tokenizer = Tokenizer.from_str(tokenizer)

    def __call__(self, text: str) -> list[str]:
        if self.by_characters:
            text = self._normalized(text)
            return [text[i : i + size] for size in range(1, _CHARACTERS + 1) for i in range(len(text) - size + 1)]
        tokens = self.tokens(text)
        return [*tokens, *map(" ".join, pairwise(tokens))]

    def tokens(self, text: str) -> list[str]:
        text = self._normalized(text)
        return (
            list(text) if self.by_characters else [token for token, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]
        )

    def _normalized(self, text: str) -> str:
        return self._tokenizer.normalizer.normalize_str(text)
