"""Pixel scaling, convolution and pooling of images and sequences, and the layers of LeNet-5.

An image is ``(channels, height, width)``, a sequence ``(steps, width)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

from lamina.errors import GraphError
from lamina.graph.layer import ActivationName, Layer, Shape, Share, Whole, one_of, whole


def _check_rank(layer: Layer, shape: Shape, *, sequences: bool = True) -> None:
    if len(shape) != 3 and not (sequences and len(shape) == 2):
        expected = "(channels, height, width)" + " or (steps, width)" * sequences
        raise GraphError(f"{type(layer).__name__} reads {expected}, but was given {shape}; put it before Flatten, or a Reshape")


def _window_count(kernel: int, stride: int, padding: int, size: int, *, partial: bool) -> int:
    """The number of windows along an axis; ``partial`` counts a last one that is only partly inside."""
    left = size + 2 * padding - kernel
    return (-(-max(left, 0) // stride) if partial else left // stride) + 1


@dataclass(frozen=True)
class Pixels(Layer):
    """Standardise the pixels of each channel to mean 0 and variance 1 over the training images.

    Args:
        size: Height and width to which smaller images are padded with zeros, as 28 x 28 to 32 x 32 in LeNet-5; ``None``
            for no padding.

    Shape:
        ``(height, width, channels)`` of uint8 to ``(channels, height, width)``.

    Example:
        >>> Pixels().shape([(28, 28, 1)])
        (1, 28, 28)
    """

    size: Whole | None = None

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise GraphError(f"Pixels reads (height, width, channels), but was given {shape}; give an image")
        if self.size is not None and max(shape[:2]) > self.size:
            raise GraphError(
                f"Pixels({self.size}) was given images of {shape[0]} x {shape[1]}; set the family's image_size={self.size}"
            )
        return (shape[2], *((self.size,) * 2 if self.size else shape[:2]))


def _padding(name: str, value: Any) -> int | str:
    if isinstance(value, str) and value != "same":
        raise GraphError(f"{name} is {value!r}, expected 'same' or a number of zeros")
    return value if isinstance(value, str) else whole(0)(name, value)


def _table(name: str, value: Any) -> tuple[tuple[int, ...], ...]:
    rows = [list(row) if isinstance(row, Iterable) else [] for row in value]
    if not all(row and len(set(row)) == len(row) and all(hasattr(i, "__index__") and i >= 0 for i in row) for row in rows):
        raise GraphError(f"{name} is {value!r}, expected the input channels of each neuron, as in ((0, 1),)")
    return tuple(tuple(map(int, row)) for row in rows)


@dataclass(frozen=True)
class Convolution(Layer):
    """Convolution, ``activation(W * x + b)`` (LeCun et al. 1989). Masked steps of a sequence are read as zero.

    Args:
        channels: Output channels.
        kernel: Side of the kernel.
        activation: By name, see ``ACTIVATIONS``.
        stride: Distance between windows.
        padding: Zeros on either side; ``"same"`` for an output of ``ceil(size / stride)``.
        dilation: Distance between the elements of the kernel.
        groups: Groups of input and output channels; each output reads the inputs of its group.
        bias: Train ``b``.
        dropout: Dropout rate of the output.
        table: For each output channel the input channels that it reads, ``((0, 1, 2), (1, 2, 3), ...)``; empty for all of them
            (LeCun et al. 1998, table I).

    Shape:
        ``(c, height, width)`` to ``(channels, height', width')``; ``(steps, d)`` to ``(steps', channels)``.

    Example:
        >>> Convolution(32).shape([(3, 28, 28)]), Convolution(64, 5, stride=2).shape([(100, 12)])
        ((32, 28, 28), (50, 64))
    """

    channels: Whole
    kernel: Whole = 3
    activation: ActivationName = "identity"
    _: KW_ONLY
    stride: Whole = 1
    padding: Annotated[int | str, _padding] = "same"
    dilation: Whole = 1
    groups: Whole = 1
    bias: bool = True
    dropout: Share = 0.0
    table: Annotated[tuple[tuple[int, ...], ...], _table] = ()

    masked = True
    images = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels % self.groups:
            raise GraphError(f"Convolution has {self.channels} channels in {self.groups} groups; give a multiple of the groups")
        if self.table and (len(self.table) != self.channels or self.groups > 1):
            raise GraphError(
                f"Convolution has a table of {len(self.table)} rows for {self.channels} channels in {self.groups} groups; "
                "give one row for each channel, and no groups"
            )

    @property
    def reach(self) -> int:
        """The size of the dilated kernel."""
        return self.dilation * (self.kernel - 1) + 1

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape)
        width, lengths = (shape[0], shape[1:]) if len(shape) == 3 else (shape[1], shape[:1])
        if width % self.groups:
            raise GraphError(
                f"Convolution has {self.groups} groups, but was given {width} channels; give a multiple of the groups"
            )
        if self.table and max(map(max, self.table)) >= width:
            raise GraphError(
                f"Convolution.table names channel {max(map(max, self.table))}, but was given {width} of them from 0"
            )
        if self.padding == "same":
            sizes = tuple(-(-size // self.stride) for size in lengths)
        else:
            sizes = tuple(_window_count(self.reach, self.stride, int(self.padding), size, partial=False) for size in lengths)
        if min(sizes) < 1:
            raise GraphError(
                f"Convolution reads windows of {self.reach}, but was given {shape}; use a smaller kernel or padding"
            )
        return (self.channels, *sizes) if len(shape) == 3 else (*sizes, self.channels)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        window = (self.kernel,) * (len(shape) - 1)
        if self.table:
            weight: Shape = (sum(map(len, self.table)), *window)
        else:
            weight = (self.channels, (shape[0] if len(shape) == 3 else shape[1]) // self.groups, *window)
        return {"weight": weight} | ({"bias": (self.channels,)} if self.bias else {})


@dataclass(frozen=True)
class Pool(Layer):
    """Max or average pooling of each channel.

    Masked steps of a sequence do not count, and its last window may be partly outside, so that no step is lost; its mask is
    :class:`PoolMask`. Windows of an image are complete.

    Args:
        kind: ``"max"`` or ``"average"``.
        size: Side of the window.
        stride: Distance between windows; ``None`` for the size.
        padding: Masked positions on either side, at most half of the size.

    Shape:
        ``(c, height, width)`` to ``(c, height', width')``; ``(steps, d)`` to ``(steps', d)``.

    Example:
        >>> Pool("max").shape([(32, 28, 28)]), Pool("average", 4).shape([(10, 64)])
        ((32, 14, 14), (3, 64))
    """

    kind: Annotated[str, one_of("max", "average")] = "max"
    size: Whole = 2
    _: KW_ONLY
    stride: Whole | None = None
    padding: Annotated[int, whole(0)] = 0

    masked = True
    images = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_windows(self)

    @property
    def step(self) -> int:
        return self.stride or self.size

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape)
        sequence = len(shape) == 2
        lengths = shape[:1] if sequence else shape[1:]
        sizes = tuple(_window_count(self.size, self.step, self.padding, n, partial=sequence) for n in lengths)
        if min(sizes) < 1:
            raise GraphError(f"Pool reads windows of {self.size}, but was given {shape}; use a smaller size")
        return (*sizes, shape[1]) if sequence else (shape[0], *sizes)


@dataclass(frozen=True)
class PoolMask(Layer):
    """The mask after a ``Pool`` with the same options: true if any step of the window is present.

    After a ``Convolution`` with a stride, use the stride as the size.

    Args:
        size: Steps in a window.
        stride: Distance between windows; ``None`` for the size.
        padding: Masked steps on either side.

    Shape:
        ``(steps,)`` to ``(steps',)``.

    Example:
        >>> PoolMask(4).shape([(10,)])
        (3,)
    """

    size: Whole = 2
    _: KW_ONLY
    stride: Whole | None = None
    padding: Annotated[int, whole(0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_windows(self)

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise GraphError(f"PoolMask reads (steps,), but was given {shape}; give the mask of a sequence")
        return (_window_count(self.size, self.stride or self.size, self.padding, shape[0], partial=True),)


def _check_windows(layer: Pool | PoolMask) -> None:
    if 2 * layer.padding > layer.size:
        raise GraphError(f"{type(layer).__name__}.padding is {layer.padding}, expected at most half of the size {layer.size}")


@dataclass(frozen=True)
class GlobalPool(Layer):
    """Global max or average pooling: one number for each channel of an image.

    Args:
        kind: ``"average"`` or ``"max"``.

    Shape:
        ``(c, height, width)`` to ``(c,)``.

    Example:
        >>> GlobalPool().shape([(128, 7, 7)])
        (128,)
    """

    kind: Annotated[str, one_of("average", "max")] = "average"

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape, sequences=False)
        return shape[:1]


@dataclass(frozen=True)
class Subsample(Layer):
    """Subsampling of LeNet-5: ``activation(w sum(x) + b)`` of each window, with ``w`` and ``b`` per channel.

    LeCun et al. 1998, section II.B, layers S2 and S4.

    Args:
        size: Side of the window, and the distance between windows.
        activation: By name, see ``ACTIVATIONS``.

    Shape:
        ``(c, height, width)`` to ``(c, height / size, width / size)``.

    Example:
        >>> Subsample().shape([(6, 28, 28)])
        (6, 14, 14)
    """

    size: Whole = 2
    activation: ActivationName = "lecun_tanh"

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape, sequences=False)
        if min(shape[1:]) < self.size:
            raise GraphError(f"Subsample reads windows of {self.size}, but was given {shape}; use a smaller size")
        return (shape[0], shape[1] // self.size, shape[2] // self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[:1], "bias": shape[:1]}


@dataclass(frozen=True)
class RadialBasis(Layer):
    """RBF outputs of LeNet-5: ``-|x - c|^2 / sqrt(d)`` with a fixed code ``c`` of -1 and 1 for each class.

    LeCun et al. 1998, eq. 7. For up to ten classes and 84 inputs the codes are 7 x 12 bitmaps of the digits (their fig. 3),
    else random. Unlike there, the distance is divided by ``sqrt(d)``, so that the initial outputs differ by about 1 and are
    not saturated. Their loss, eq. 9, is ``loss="maximum_a_posteriori"``.

    Args:
        size: Number of classes.

    Shape:
        ``(d,)`` to ``(size,)``.

    Example:
        >>> RadialBasis(10).shape([(84,)])
        (10,)
    """

    size: Whole

    axes = {"codes": ("out", "in")}
    flattens = True

    def result(self, shape: Shape) -> Shape:
        return (self.size,)

    def saved(self, shape: Shape) -> dict[str, Shape]:
        return {"codes": (self.size, shape[0])}
