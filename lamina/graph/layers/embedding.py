"""Embeddings: learnt vectors for what a table holds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from lamina.errors import GraphError
from lamina.graph.layer import ACTIVATIONS, Layer, Shape, check_whole, check_wholes, check_word


@dataclass(frozen=True)
class CategoryEmbedding(Layer):
    """A learnt vector for each level of each category, laid end to end; or the level itself, one-hot.

    The codes are whole numbers from 0 (missing or unseen) up to, not including, the cardinality.

    Args:
        cardinalities: Number of codes of each column, code 0 included.
        sizes: Width of each column's vectors; 0 for one-hot, which learns nothing and is as wide as the cardinality.

    Shape:
        ``(columns,)`` of int64 to ``(sum of widths,)``.

    Example:
        >>> CategoryEmbedding(cardinalities=(3, 100), sizes=(0, 8)).shape([(2,)])
        (11,)
    """

    cardinalities: tuple[int, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_wholes(self, "cardinalities", 1)
        check_wholes(self, "sizes", 0)
        if len(self.cardinalities) != len(self.sizes) or not self.sizes:
            raise GraphError(
                f"CategoryEmbedding has {len(self.cardinalities)} cardinalities and {len(self.sizes)} sizes; "
                "give one of each for every column"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        """What each column becomes, in neurons; also what ``Dense.chunks`` wants."""
        return tuple(size or cardinality for cardinality, size in zip(self.cardinalities, self.sizes, strict=True))

    def result(self, shape: Shape) -> Shape:
        if shape != (len(self.sizes),):
            raise GraphError(
                f"CategoryEmbedding has {len(self.sizes)} columns, but was given {shape}; give one size per column"
            )
        return (sum(self.widths),)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        learnt = sum(cardinality * size for cardinality, size in zip(self.cardinalities, self.sizes, strict=True))
        return {"weight": (learnt,)} if learnt else {}


@dataclass(frozen=True)
class NumberEmbedding(Layer):
    """A learnt vector for each number, so that a layer behind it can bend at each number's own places.

    After Gorishniy et al. 2022 (arXiv 2203.05556). ``"piecewise_linear"`` cuts the range of each number into bins that are
    about equally full of training values; the encoding (eq. 1) is how full each bin is, and a linear layer of the number's
    own follows. As in their later code ("version B") there is a plain linear term beside it and, without an activation, the
    weights of the bins begin at zero, so that training starts from a straight line. ``"periodic"`` is cos and sin of
    ``2 pi c x`` with learnt ``c`` (eq. 2), then a linear layer and relu ("PLR"). We differ: bins are not plain quantiles, a
    value that would fill one by itself gets an edge of its own; beyond the training range the encoding of the bins stays full
    or empty; and an activation comes after the sum.

    Args:
        kind: ``"piecewise_linear"`` or ``"periodic"``.
        size: Neurons for each number.
        bins: Most bins for each number; one with few distinct values uses fewer.
        frequencies: Number of ``c`` for each number.
        sigma: Standard deviation with which ``c`` begins.
        activation: By name; ``None`` is relu for periodic and identity for piecewise linear.

    Shape:
        ``(numbers,)`` to ``(numbers * size,)``.

    Example:
        >>> NumberEmbedding("periodic", 8).shape([(5,)])
        (40,)
    """

    kind: str = "piecewise_linear"
    size: int = 12
    bins: int = field(default=48, kw_only=True)
    frequencies: int = field(default=16, kw_only=True)
    sigma: float = field(default=0.1, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("piecewise_linear", "periodic"))
        for name in ("size", "bins", "frequencies"):
            check_whole(self, name)
        if isinstance(self.sigma, bool) or not isinstance(self.sigma, int | float) or not 0 < self.sigma < math.inf:
            raise GraphError(f"NumberEmbedding.sigma is {self.sigma!r}, expected a number above 0")
        if self.activation is not None:
            check_word(self, "activation", ACTIVATIONS)

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise GraphError(f"NumberEmbedding reads one row of numbers, but was given {shape}; put Flatten() before it")
        return (shape[0] * self.size,)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        numbers = shape[0]
        if self.kind == "periodic":
            learnt: dict[str, Shape] = {"frequency": (numbers, self.frequencies)}
            learnt["weight"] = (numbers, self.size, 2 * self.frequencies)
        else:
            learnt = {"linear": (numbers, self.size), "weight": (numbers, self.size, self.bins)}
        return learnt | {"bias": (numbers, self.size)}


@dataclass(frozen=True)
class TokenEmbedding(Layer):
    """A learnt vector for each token; code 0, where nothing is, is the zero vector and stays it.

    Args:
        vocabulary: Number of codes, code 0 included.
        size: Length of the vectors.
        frozen: Keep the vectors as they are; for vectors that were learnt elsewhere, see ``Family.initialise``.

    Shape:
        ``(..., steps)`` of whole numbers to ``(..., steps, size)``.

    Example:
        >>> TokenEmbedding(10_000, 64).shape([(128,)])
        (128, 64)
    """

    vocabulary: int
    size: int
    frozen: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "vocabulary")
        check_whole(self, "size")

    def result(self, shape: Shape) -> Shape:
        return (*shape, self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.vocabulary, self.size)}
