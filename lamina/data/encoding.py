"""The inputs that the encoder gives a family, and the options that a family gives the encoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """A block: the shape of one row, the names of its columns, and the cardinality of each category.

    ``cardinalities`` include code 0, as ``num_embeddings`` does. ``columns`` has the table's column of each number of a row;
    it is empty where all come from ``names[0]``. ``names`` are for display only. ``kind`` is one of

    ============  ================================  ====================================================================
    kind          one row                           ``names``
    ============  ================================  ====================================================================
    numbers       float32 (columns,)                each column
    flags         float32 (columns,)                each column
    categories    int64 (columns,)                  each column
    image         uint8 (height, width, channels)   the column
    text          int32 (tokens,); 0 is padding     the column; ``cardinalities`` is (size of the vocabulary,)
    series        float32 (steps, channels)         the column, then each channel
    steps         uint8 (steps,); 0 is padding      the column: the mask of the steps of its series
    terms         float32 (terms,), sparse rows     the column, then each term of its texts
    weighted      float32 (2, terms)                the column: codes of terms of its texts, 0 for padding; their weights
    summary       float32 (numbers,)                the column, then each statistic of its series
    kernels       float32 (features,)               the column, then each feature of random convolutions of its series
    ============  ================================  ====================================================================
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    cardinalities: tuple[int, ...] = ()
    kind: str = "numbers"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoding:
    """Options of a family for the encoder.

    Args:
        scaling: Scaling of numbers: "robust", "standard" or "none".
        image_size: Height and width of resized images; 0 to follow the training images.
        tokens: Tokens of texts: "words", "pieces" of words, "characters", or "auto" for what suits the column.
        vocabulary: Most tokens with a code of their own, or most terms of a TF-IDF vector.
        length: Most tokens of a text or steps of a series, 0 to follow the training rows; longer ones are truncated.
        sentence: Tokens of a sentence: every sentence begins at a multiple of it, a longer one continues at the next.
            0 for running text. The number of tokens or steps is a multiple of it.
        chunk: The number of tokens or steps is a multiple of this, so that it can be divided without a remainder.
        plain: Texts as TF-IDF vectors and series as summary statistics, for models of rows of numbers.
        kernels: With ``plain``, most features of random convolutions that replace the summary statistics; 0 for none.
        ngrams: With ``plain``, the most characters of all training texts for n-grams of characters beside terms; 0 for none.
        wide: Texts as terms with their TF-IDF weights, too, beside tokens.
    """

    scaling: str = "robust"
    image_size: int = 0
    tokens: str = "auto"
    vocabulary: int = 20_000
    length: int = 0
    sentence: int = 0
    chunk: int = 1
    plain: bool = False
    kernels: int = 0
    ngrams: float = 0
    wide: bool = False
