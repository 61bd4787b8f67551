"""Embeddings of categories, numbers and tokens."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from lamina.errors import GraphError
from lamina.graph.layer import ActivationName, Layer, Shape, Whole, Wholes, one_of, wholes

MOST_WIDTH = 2**22
"""Largest width of all categories."""


@dataclass(frozen=True)
class CategoryEmbedding(Layer):
    """Embedding, or one-hot encoding, of each category; the columns are concatenated.

    Codes are whole numbers from 0 (missing or unseen level) to the cardinality - 1.

    Args:
        cardinalities: Number of codes of each column, code 0 included.
        sizes: Embedding dimension of each column; 0 for one-hot.

    Shape:
        ``(columns,)`` of int64 to ``(sum of widths,)``.

    Example:
        >>> CategoryEmbedding(cardinalities=(3, 100), sizes=(0, 8)).shape([(2,)])
        (11,)
    """

    cardinalities: Wholes
    sizes: Annotated[tuple[int, ...], wholes(0)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.cardinalities) != len(self.sizes) or not self.sizes:
            raise GraphError(
                f"CategoryEmbedding has {len(self.cardinalities)} cardinalities and {len(self.sizes)} sizes; "
                "give one of each for every column"
            )

        if sum(self.widths) > MOST_WIDTH:
            raise GraphError(f"CategoryEmbedding has a width of {sum(self.widths):,}, expected at most {MOST_WIDTH:,}")

    @property
    def widths(self) -> tuple[int, ...]:
        """The output width of each column, as for ``Dense.chunks``."""
        return tuple(size or cardinality for cardinality, size in zip(self.cardinalities, self.sizes, strict=True))

    @property
    def codes(self) -> tuple[int, ...]:
        return self.cardinalities

    def result(self, shape: Shape) -> Shape:
        if shape != (len(self.sizes),):
            raise GraphError(
                f"CategoryEmbedding has {len(self.sizes)} columns, but was given {shape}; give one size per column"
            )
        return (sum(self.widths),)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        count = sum(cardinality * size for cardinality, size in zip(self.cardinalities, self.sizes, strict=True))
        return {"weight": (count,)} if count else {}


@dataclass(frozen=True)
class NumberEmbedding(Layer):
    """Embedding of each number (Gorishniy et al. 2022, arXiv 2203.05556).

    ``"piecewise_linear"`` splits the range of each number into bins with about equally many training values, encodes a value by
    how full each bin is (eq. 1), and applies a linear layer per number. As in their later code ("version B") a linear term is
    added and, without an activation, the weights of the bins are initialised with zero. ``"periodic"`` is cos and sin of
    ``2 pi c x`` with trained ``c`` (eq. 2), then a linear layer and relu ("PLR"). Unlike there, a value that would fill a bin
    by itself gets an edge of its own; beyond the training range the encoding stays full or empty; and an activation follows
    the sum.

    ``"pbld"`` is ``[x, V cos(2 pi c x + p) + b]`` with trained phases ``p`` ("periodic bias linear DenseNet", Holzmüller et al.
    2024, arXiv 2407.04491, section 3.2), without an activation; ``c`` and ``p`` are learnt at a tenth of the learning rate of
    optimizers with steps of one size, as Adam.

    Args:
        kind: ``"piecewise_linear"``, ``"periodic"`` or ``"pbld"``.
        size: Embedding dimension of each number.
        bins: Maximum number of bins; numbers with few distinct values use fewer.
        frequencies: Number of ``c`` for each number.
        sigma: Standard deviation of the initial ``c``.
        activation: By name; ``None`` is relu for periodic and identity for piecewise linear.

    Shape:
        ``(numbers,)`` to ``(numbers * size,)``.

    Example:
        >>> NumberEmbedding("periodic", 8).shape([(5,)])
        (40,)
    """

    kind: Annotated[str, one_of("piecewise_linear", "periodic", "pbld")] = "piecewise_linear"
    size: Whole = 12
    _: KW_ONLY
    bins: Whole = 48
    frequencies: Whole = 16
    sigma: float = 0.1
    activation: ActivationName | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.sigma, bool) or not isinstance(self.sigma, int | float) or not 0 < self.sigma < math.inf:
            raise GraphError(f"NumberEmbedding.sigma is {self.sigma!r}, expected a number above 0")
        if self.kind == "pbld" and self.size < 2:
            raise GraphError("NumberEmbedding('pbld') has the number itself as one of its outputs; give a size of at least 2")

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise GraphError(f"NumberEmbedding reads one row of numbers, but was given {shape}; put Flatten() before it")
        return (shape[0] * self.size,)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        numbers = shape[0]
        if self.kind == "pbld":
            tensors = {"frequency": (numbers, self.frequencies), "phase": (numbers, self.frequencies)}
            return tensors | {"weight": (numbers, self.size - 1, self.frequencies), "bias": (numbers, self.size - 1)}
        if self.kind == "periodic":
            tensors: dict[str, Shape] = {"frequency": (numbers, self.frequencies)}
            tensors["weight"] = (numbers, self.size, 2 * self.frequencies)
        else:
            tensors = {"linear": (numbers, self.size), "weight": (numbers, self.size, self.bins)}
        return tensors | {"bias": (numbers, self.size)}


@dataclass(frozen=True)
class TokenEmbedding(Layer):
    """Embedding of each token; code 0 (padding) is the zero vector and is not trained.

    Args:
        vocabulary: Number of codes, code 0 included.
        size: Embedding dimension.
        frozen: Do not train the vectors, as for pretrained ones, see ``Family.initialise``.

    Shape:
        ``(..., steps)`` of whole numbers to ``(..., steps, size)``.

    Example:
        >>> TokenEmbedding(10_000, 64).shape([(128,)])
        (128, 64)
    """

    vocabulary: Whole
    size: Whole
    _: KW_ONLY
    frozen: bool = False

    @property
    def codes(self) -> tuple[int, ...]:
        return (self.vocabulary,)

    def result(self, shape: Shape) -> Shape:
        return (*shape, self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.vocabulary, self.size)}


@dataclass(frozen=True)
class SparseDense(Layer):
    """Linear layer of sparse rows, ``scale * sum_i w_i W[c_i]`` of the codes ``c`` and values ``w`` of entries that are not 0.

    Only the rows of ``W`` that a batch names are read. Code 0 is padding; its row stays 0. All weights are initialised with 0.

    Args:
        size: Number of neurons.
        columns: Number of codes, code 0 included.
        scale: A constant factor, so that the steps of optimizers that normalise gradients suit small values.

    Shape:
        ``(2, entries)``, codes and values, to ``(size,)``.

    Example:
        >>> SparseDense(3, columns=10_001).shape([(2, 200)])
        (3,)
    """

    size: Whole
    _: KW_ONLY
    columns: Whole
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.scale, bool) or not isinstance(self.scale, int | float) or not 0 < self.scale < math.inf:
            raise GraphError(f"SparseDense.scale is {self.scale!r}, expected a number above 0")

    @property
    def codes(self) -> tuple[int, ...]:
        return (self.columns,)

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 2 or shape[0] != 2:
            raise GraphError(f"SparseDense reads (2, entries), codes and values, but was given {shape}; stack them")
        return (self.size,)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.columns, self.size)}
