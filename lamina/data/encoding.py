"""What the encoder promises to a family, and what a family asks of the encoder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """A block, as a family sees it: the shape of one row, a name for each column, and how many codes each category has.

    ``cardinalities`` counts code 0, so it is the number of rows of an embedding's table. ``columns`` has the table's column
    that each number of a row comes from; it is empty where all come from ``names[0]``. ``names`` are for people only.
    ``kind`` is one of

    ============  ================================  ====================================================================
    kind          one row                           ``names``
    ============  ================================  ====================================================================
    numbers       float32 (columns,)                each column
    flags         float32 (columns,)                each column
    categories    int64 (columns,)                  each column
    image         uint8 (height, width, channels)   the column
    text          int32 (tokens,); 0 is nothing     the column; ``cardinalities`` is (size of the vocabulary,)
    series        float32 (steps, channels)         the column, then what its channels are
    steps         uint8 (steps,); 1 is a step       the column: which steps of the series beside it are there
    terms         float32 (terms,), sparse rows     the column, then each term of its texts
    summary       float32 (numbers,)                the column, then each statistic of its series
    ============  ================================  ====================================================================
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    cardinalities: tuple[int, ...] = ()
    kind: str = "numbers"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoding:
    """What a family asks of the encoder.

    Args:
        scaling: How numbers are brought to size: "robust", "standard" or "none".
        image_size: Height and width that every image is brought to; 0 to follow the images.
        tokens: What a text is cut into: "words", or "pieces" of words.
        vocabulary: Most different tokens that get a code of their own, or most terms of a TF-IDF vector.
        length: Most tokens of a text or steps of a series that are read, 0 to follow the training rows; what is beyond is cut.
        sentence: Tokens of a sentence: every sentence begins at a multiple of it, a longer one goes on in the next place.
            0 for running text. The number of tokens or steps is a multiple of it.
        chunk: The number of tokens or steps is a multiple of this, so that levels above the lowest come out even.
        plain: Texts as TF-IDF vectors and series as summary statistics, for learners that read rows of numbers.
    """

    scaling: str = "robust"
    image_size: int = 0
    tokens: str = "words"
    vocabulary: int = 20_000
    length: int = 0
    sentence: int = 0
    chunk: int = 1
    plain: bool = False
