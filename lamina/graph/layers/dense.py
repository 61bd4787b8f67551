"""Dense layers, activation, dropout, normalisation and joins."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated

from lamina.errors import GraphError
from lamina.graph.layer import PROPAGATIONS, ActivationName, JoinName, Layer, Shape, Share, Whole, Wholes, one_of


@dataclass(frozen=True)
class Dense(Layer):
    """Fully connected layer, ``output(activation(W x + b))``.

    Args:
        size: Number of neurons.
        activation: By name, see ``ACTIVATIONS``. ``step`` makes perceptrons; its gradient is zero.
        bias: Train ``b``.
        propagation: How the inputs are combined; ``"weighted_sum"``.
        output: A second activation after the first, by name.
        members: An ensemble inside one layer: ``(members, d)``, or ``(d,)`` for the same input to all, becomes
            ``(members, size)``; ``W`` is shared by the members.
        adapter: Each member scales input (``r``) and output (``s``) and has its own bias, ``s * (W (r * x)) + b``: TabM
            (Gorishniy et al. 2024, arXiv 2410.24210) after BatchEnsemble (Wen et al. 2020, eq. 5). ``r`` is initialised with
            random signs where the input has no members yet, so that members differ, else with one.
        chunks: Widths of neighbouring inputs whose ``r`` is initialised with the same sign, as the embedding of one column;
            they sum to the input's width. Empty: a sign for each input.
        dropout: Dropout rate of the output.

    Shape:
        Any shape, flattened, to ``(size,)``; with members to ``(members, size)``.

    Example:
        >>> Dense(64, activation="relu").shape([(1, 32, 32)])
        (64,)
    """

    size: Whole
    activation: ActivationName = "identity"
    _: KW_ONLY
    bias: bool = True
    propagation: Annotated[str, one_of(*PROPAGATIONS)] = "weighted_sum"
    output: ActivationName = "identity"
    members: Whole | None = None
    adapter: bool = False
    chunks: Wholes = ()
    dropout: Share = 0.0

    axes = {"weight": ("out", "in"), "bias": ("out",), "r": ("member", "in"), "s": ("member", "out"), "b": ("member", "out")}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.members is None and self.adapter:
            raise GraphError("Dense.adapter is True without members; set members, as in Dense(64, members=8, adapter=True)")

    def fixed(self) -> Shape:
        return (self.size,) if self.members is None else (self.members, self.size)

    def reads(self, shape: Shape) -> Shape:
        return shape if len(shape) == 2 and shape[0] == self.members else (math.prod(shape),)

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
    """Fully connected layer with separate weights for each member: the heads of an ensemble inside one network.

    Args:
        size: Number of neurons of each member.
        activation: By name, see ``ACTIVATIONS``.
        members: Number of members.
        bias: Train a bias for each member.

    Shape:
        ``(members, d)``, or any other shape, flattened and given to all, to ``(members, size)``.

    Example:
        >>> MemberDense(3, members=8).shape([(8, 64)])
        (8, 3)
    """

    size: Whole
    activation: ActivationName = "identity"
    _: KW_ONLY
    members: Whole
    bias: bool = True

    axes = {"weight": ("member", "in", "out"), "bias": ("member", "out")}

    def fixed(self) -> Shape:
        return (self.members, self.size)

    def reads(self, shape: Shape) -> Shape:
        return shape if len(shape) == 2 and shape[0] == self.members else (math.prod(shape),)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        weight = {"weight": (self.members, shape[-1], self.size)}
        return weight | ({"bias": (self.members, self.size)} if self.bias else {})


@dataclass(frozen=True)
class NTKDense(Layer):
    """Fully connected layer in the neural tangent parametrisation, ``f(W x / sqrt(d) + b)`` (Jacot et al. 2018, eq. 1).

    As in RealMLP (Holzmüller et al. 2024, arXiv 2407.04491, section 3.2): the weights are initialised with variance 1, so an
    optimizer with steps of one size, as Adam, moves the outputs of a layer of any width by as much; the biases are learnt at a
    tenth of the learning rate. With ``parametric`` the activation is ``f(z) = z + a (act(z) - z)`` with an ``a`` for each
    neuron, initially 1, learnt at a tenth of the rate, too. Unlike there, biases are initialised as the weights are, without
    the data.

    Args:
        size: Number of neurons.
        activation: By name, see ``ACTIVATIONS``.
        parametric: Learn how much of the activation each neuron has.
        dropout: Dropout rate of the output.

    Shape:
        Any shape, flattened, to ``(size,)``.

    Example:
        >>> NTKDense(256, "selu", parametric=True).tensors((4,))
        {'weight': (256, 4), 'bias': (256,), 'slope': (256,)}
    """

    size: Whole
    activation: ActivationName = "identity"
    _: KW_ONLY
    parametric: bool = False
    dropout: Share = 0.0

    axes = {"weight": ("out", "in"), "bias": ("out",), "slope": ("out",)}

    def fixed(self) -> Shape:
        return (self.size,)

    def reads(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        tensors: dict[str, Shape] = {"weight": (self.size, shape[-1]), "bias": (self.size,)}
        return tensors | ({"slope": (self.size,)} if self.parametric else {})


@dataclass(frozen=True)
class Scale(Layer):
    """Each neuron times a number that is learnt, ``rate s x`` (Holzmüller et al. 2024, arXiv 2407.04491, section 3.2).

    After the embeddings of a table it selects columns.

    Args:
        initial: The initial factor.
        rate: Factor of the learning rate for optimizers with steps of one size, as Adam.

    Shape:
        Any shape, kept; a factor for each index of the last axis.

    Example:
        >>> Scale().tensors((4,))
        {'weight': (4,)}
    """

    initial: float = 1.0
    _: KW_ONLY
    rate: float = 1.0

    axes = {"weight": ("in",)}
    unitwise = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("initial", "rate"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise GraphError(f"Scale.{name} is {value!r}, expected a number above 0")

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[-1:]}


@dataclass(frozen=True)
class Activation(Layer):
    """An activation function, as after a norm or a join. ``softmax`` is over the last axis."""

    name: ActivationName

    unitwise = True


@dataclass(frozen=True)
class Dropout(Layer):
    """Dropout (Srivastava et al. 2014): zero random inputs while training and scale the others by ``1 / (1 - share)``."""

    share: Share

    unitwise = True


@dataclass(frozen=True)
class Norm(Layer):
    """Layer or batch normalisation: mean 0 and variance 1, then a trained scale and shift.

    Args:
        kind: ``"layer"`` over the last axis of each row (Ba et al. 2016); ``"batch"`` over the rows of a batch, with running
            statistics for prediction (Ioffe and Szegedy 2015, algorithms 1 and 2), each neuron of each member on its own; each
            channel of an image over rows and pixels (section 3.2).

    Shape:
        ``(d,)`` or ``(members, d)``, and for ``"batch"`` ``(channels, height, width)``; kept. ``"layer"`` reads
        ``(..., steps, d)``, too.
    """

    kind: Annotated[str, one_of("layer", "batch")] = "layer"

    axes = {name: ("in",) for name in ("weight", "bias", "running_mean", "running_variance")}
    unitwise = True

    def result(self, shape: Shape) -> Shape:
        if self.kind == "batch" and len(shape) > 3:
            raise GraphError(f"Norm('batch') reads up to (channels, height, width), but was given {shape}; take Norm('layer')")
        return shape

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        learnt = shape[-1:] if self.kind == "layer" else shape[:1] if len(shape) == 3 else shape
        return {"weight": learnt, "bias": learnt}


@dataclass(frozen=True)
class Flatten(Layer):
    """Flatten all axes into one.

    Example:
        >>> Flatten().shape([(3, 8, 8)])
        (192,)
    """

    flattens = True


@dataclass(frozen=True)
class Join(Layer):
    """The sum of several inputs, as in a residual block, or their concatenation.

    Example:
        >>> Join("concat").shape([(3,), (4,)])
        (7,)
    """

    join: JoinName = "add"

    unitwise = True
