"""Texts as TF-IDF vectors of terms and, beside them, of n-grams of characters within words, for linear models of short texts.

A short text shares few words with the training texts; n-grams relate a word to others of its stem and to misspelt ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block
from lamina.data.columns.terms import FEW_TEXTS, TermsBlock, texts_of, weights
from lamina.data.columns.tokens import by_characters
from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError
from lamina.wording import count

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


@dataclass(frozen=True)
class NgramsBlock(Block):
    """The encoding of a column of texts as two TF-IDF vectors, of terms and of n-grams of characters, fitted on training rows.

    The n-grams are those of 3 to 5 characters of each word between two spaces, " good ", as scikit-learn's ``char_wb``. Both
    vectors have weights as in :class:`~lamina.data.columns.terms.TermsBlock` and a length of 1. N-grams are sorted
    alphabetically; with 200 training texts or more, one has to be in two.

    Args:
        terms: The encoding of the terms.
        ngrams: The n-gram of each column of the second vector.
        idf: The inverse document frequency ``1 + ln((1 + n) / (1 + df))`` of each n-gram.

    Example:
        >>> reviews = pl.Series("review", ["Good!", "goods"])
        >>> block = NgramsBlock.fit(reviews, Encoding(ngrams=1_000), "text")
        >>> block.ngrams[:6]
        (' go', ' goo', ' good', 'd! ', 'ds ', 'goo')
        >>> {name: rows.shape for name, rows in block.transform(reviews).items()}
        {'text': (2, 4), 'text_ngrams': (2, 18)}
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
        terms, texts = TermsBlock.fit(values, encoding, block), texts_of(values)
        vectorizer = _vectorizer(min_df=1 if sum(map(bool, texts)) < FEW_TEXTS else 2, max_features=encoding.vocabulary)
        if not by_characters(terms.tokenizer) and sum(map(len, texts)) <= encoding.ngrams:
            try:
                vectorizer.fit(filter(None, texts))
            except ValueError:  # no n-gram is in enough texts
                pass
            else:
                ngrams = tuple(vectorizer.get_feature_names_out().tolist())
                return cls(values.name, block, terms, ngrams, tuple(vectorizer.idf_.tolist()), terms.notes)
        return cls(values.name, block, terms, (), (), terms.notes)

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
        ngrams = {f"{self.block}_ngrams": weights(self._fitted, values)} if self.ngrams else {}
        return self.terms.transform(values) | ngrams

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
    def _fitted(self) -> TfidfVectorizer:
        vectorizer = _vectorizer(vocabulary={ngram: code for code, ngram in enumerate(self.ngrams)})
        vectorizer.idf_ = np.array(self.idf)
        return vectorizer


def _vectorizer(**options: Any) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32, **options)
