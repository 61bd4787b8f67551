"""The kinds of layers, as data: what each is called, what it accepts, what comes out, what it learns.

A layer here is a frozen dataclass and knows nothing of torch, so a graph can be checked, printed and stored anywhere;
:mod:`lamina.graph.modules` holds the ``nn.Module`` of each kind. A neuron layer is *propagation* (how its inputs are
combined), then *activation*, then *output*.

Shapes leave out the batch axis: ``(64,)`` is 64 neurons, ``(32, 64)`` is 64 neurons for each of 32 members.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lamina.errors import GraphError
from lamina.graph.layer import (
    ACTIVATIONS,
    PROPAGATIONS,
    Layer,
    Shape,
    check_share,
    check_whole,
    check_wholes,
    check_word,
)


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected: every neuron reads every neuron of every input, ``output(activation(W x + b))``.

    Args:
        size: Number of neurons.
        activation: By name, see ``ACTIVATIONS``. ``step`` makes perceptrons; its gradient is zero.
        bias: Learn ``b``.
        propagation: How the inputs are combined; ``"weighted_sum"``.
        output: What is done after the activation, by the same names.
        members: An ensemble inside one layer: ``(members, d)``, or ``(d,)`` for the same input to all, becomes
            ``(members, size)``; ``W`` is shared by the members.
        adapter: Each member scales what goes in (``r``) and what comes out (``s``) and has its own bias: TabM (Gorishniy et
            al. 2024, arXiv 2410.24210) after BatchEnsemble (Wen et al. 2020, eq. 5), ``s * (W (r * x)) + b``. ``r`` begins as
            random signs where the input has no members yet, which is what makes members differ, and else at one.
        chunks: Neighbouring inputs whose ``r`` begins with one sign, as widths that sum to the input's: the neurons that one
            column was embedded into belong together. Empty: each input has its own.
        dropout: Share of the neurons silenced at random while training.

    Shape:
        Any shape, read flat, to ``(size,)``; with members to ``(members, size)``.

    Example:
        >>> Dense(64, activation="relu").shape([(1, 32, 32)])
        (64,)
    """

    size: int
    activation: str = "identity"
    bias: bool = field(default=True, kw_only=True)
    propagation: str = field(default="weighted_sum", kw_only=True)
    output: str = field(default="identity", kw_only=True)
    members: int | None = field(default=None, kw_only=True)
    adapter: bool = field(default=False, kw_only=True)
    chunks: tuple[int, ...] = field(default=(), kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "weight": ("out", "in"),
        "bias": ("out",),
        "r": ("member", "in"),
        "s": ("member", "out"),
        "b": ("member", "out"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")
        check_word(self, "activation", ACTIVATIONS)
        check_word(self, "output", ACTIVATIONS)
        check_word(self, "propagation", PROPAGATIONS)
        check_share(self, "dropout")
        check_wholes(self, "chunks", 1)
        if self.members is not None:
            check_whole(self, "members")
        elif self.adapter:
            raise GraphError("Dense.adapter is True without members; say how many, as in Dense(64, members=8, adapter=True)")

    def fixed(self) -> Shape:
        return (self.size,) if self.members is None else (self.members, self.size)

    def reads(self, shape: Shape) -> Shape:
        return shape if self.members is not None and len(shape) == 2 and shape[0] == self.members else (math.prod(shape),)

    def result(self, shape: Shape) -> Shape:
        if self.chunks and sum(self.chunks) != shape[-1]:
            raise GraphError(
                f"Dense.chunks sum to {sum(self.chunks)}, but the input has {shape[-1]}; give widths that sum to it"
            )
        return self.fixed()

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        tensors: dict[str, Shape] = {"weight": (self.size, shape[-1])}
        if self.adapter and self.members is not None:
            tensors |= {"r": (self.members, shape[-1]), "s": (self.members, self.size)}
            return tensors | ({"b": (self.members, self.size)} if self.bias else {})
        return tensors | ({"bias": (self.size,)} if self.bias else {})


@dataclass(frozen=True)
class MemberDense(Layer):
    """Fully connected, each member with weights of its own: the heads of an ensemble inside one network.

    Args:
        size: Number of neurons of each member.
        activation: By name, see ``ACTIVATIONS``.
        members: How many.
        bias: Learn a bias for each member.

    Shape:
        ``(members, d)``, or anything else read flat and given to all, to ``(members, size)``.

    Example:
        >>> MemberDense(3, members=8).shape([(8, 64)])
        (8, 3)
    """

    size: int
    activation: str = "identity"
    members: int = field(kw_only=True)
    bias: bool = field(default=True, kw_only=True)

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"weight": ("member", "in", "out"), "bias": ("member", "out")}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")
        check_whole(self, "members")
        check_word(self, "activation", ACTIVATIONS)

    def fixed(self) -> Shape:
        return (self.members, self.size)

    def reads(self, shape: Shape) -> Shape:
        return shape if len(shape) == 2 and shape[0] == self.members else (math.prod(shape),)

    def result(self, shape: Shape) -> Shape:
        return self.fixed()

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.members, shape[-1], self.size)}
        return weight | ({"bias": (self.members, self.size)} if self.bias else {})


@dataclass(frozen=True)
class Activation(Layer):
    """An activation on its own, after a norm or a join. ``softmax`` runs over the last axis."""

    name: str

    unitwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "name", ACTIVATIONS)


@dataclass(frozen=True)
class Dropout(Layer):
    """Silence a random share of the inputs while training, and scale the rest up (Srivastava et al. 2014)."""

    share: float

    unitwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_share(self, "share")


@dataclass(frozen=True)
class Norm(Layer):
    """Bring the inputs to mean 0 and variance 1, then scale and shift each by what is learnt.

    Args:
        kind: ``"layer"`` over the last axis of each row (Ba et al. 2016); ``"batch"`` over the rows of a batch, with running
            statistics for prediction (Ioffe and Szegedy 2015, algorithms 1 and 2), each neuron of each member on its own.

    Shape:
        ``(d,)`` or ``(members, d)``, kept.
    """

    kind: str = "layer"

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {
        name: ("in",) for name in ("weight", "bias", "running_mean", "running_variance")
    }
    unitwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("layer", "batch"))

    def result(self, shape: Shape) -> Shape:
        if len(shape) not in (1, 2):
            raise GraphError(f"Norm reads (neurons,) or (members, neurons), but was given {shape}; put Flatten() before it")
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        learnt = shape[-1:] if self.kind == "layer" else shape
        return {"weight": learnt, "bias": learnt}


@dataclass(frozen=True)
class Flatten(Layer):
    """Lay all axes out as one.

    Example:
        >>> Flatten().shape([(3, 8, 8)])
        (192,)
    """

    def reads(self, shape: Shape) -> Shape:
        return (math.prod(shape),)


@dataclass(frozen=True)
class Join(Layer):
    """A point where edges meet and nothing else happens: the sum of a residual block, or a concatenation.

    Example:
        >>> Join("concat").shape([(3,), (4,)])
        (7,)
    """

    join: str = "add"

    unitwise: ClassVar[bool] = True


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
