"""Images and sequences through windows: pixels, convolution, pooling; and the layers of LeNet-5 that nobody else has.

An image is ``(channels, height, width)``, a sequence ``(steps, width)``. The layers for both tell them apart by that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from lamina.errors import GraphError
from lamina.graph.layer import ACTIVATIONS, Layer, Shape, check_share, check_whole, check_word


def _check_rank(layer: Layer, shape: Shape, *, sequences: bool = True) -> None:
    if len(shape) != 3 and not (sequences and len(shape) == 2):
        known = "(channels, height, width)" + " or (steps, width)" * sequences
        raise GraphError(f"{type(layer).__name__} reads {known}, but was given {shape}; put it before Flatten, or a Reshape")


def _outside(kernel: int, stride: int, padding: int, size: int, *, whole: bool) -> int:
    """How many windows fit along an axis; ``whole`` counts a last one that is only partly inside."""
    left = size + 2 * padding - kernel
    return (-(-max(left, 0) // stride) if whole else left // stride) + 1


@dataclass(frozen=True)
class Pixels(Layer):
    """An image as it is stored, brought to mean 0 and variance 1 in each channel over the training images.

    Args:
        size: Height and width that smaller images are brought to by a border of zeros, as LeNet-5 lays digits of 28 x 28
            into 32 x 32; ``None`` leaves them as they are.

    Shape:
        ``(height, width, channels)`` of uint8 to ``(channels, height, width)``.

    Example:
        >>> Pixels().shape([(28, 28, 1)])
        (1, 28, 28)
    """

    size: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size is not None:
            check_whole(self, "size")

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise GraphError(f"Pixels reads (height, width, channels), but was given {shape}; give an image")
        if self.size is not None and max(shape[:2]) > self.size:
            raise GraphError(
                f"Pixels({self.size}) was given images of {shape[0]} x {shape[1]}; set the family's image_size={self.size}"
            )
        return (shape[2], *((self.size,) * 2 if self.size else shape[:2]))


@dataclass(frozen=True)
class Convolution(Layer):
    """The same neurons at every place, each reading a window around it, ``activation(W * x + b)`` (LeCun et al. 1989).

    Steps of a sequence that a mask says are not there are read as zero.

    Args:
        channels: Neurons at every place.
        kernel: Side of the window.
        activation: By name, see ``ACTIVATIONS``.
        stride: Distance between windows.
        padding: Zeros on either side; ``"same"`` for as many as make ``ceil(size / stride)`` places.
        dilation: Distance between what a window reads.
        groups: Parts of equal size into which inputs and neurons are cut, where each neuron reads the inputs of its part.
        bias: Learn ``b``.
        dropout: Share of the neurons silenced at random while training.
        table: For each neuron the input channels that it reads, ``((0, 1, 2), (1, 2, 3), ...)``; empty for all of them
            (LeCun et al. 1998, table I).

    Shape:
        ``(c, height, width)`` to ``(channels, height', width')``; ``(steps, d)`` to ``(steps', channels)``.

    Example:
        >>> Convolution(32).shape([(3, 28, 28)]), Convolution(64, 5, stride=2).shape([(100, 12)])
        ((32, 28, 28), (50, 64))
    """

    channels: int
    kernel: int = 3
    activation: str = "identity"
    stride: int = field(default=1, kw_only=True)
    padding: int | str = field(default="same", kw_only=True)
    dilation: int = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    dropout: float = field(default=0.0, kw_only=True)
    table: tuple[tuple[int, ...], ...] = field(default=(), kw_only=True)

    masked: ClassVar[bool] = True
    images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("channels", "kernel", "stride", "dilation", "groups"):
            check_whole(self, name)
        if self.padding != "same":
            if isinstance(self.padding, str):
                raise GraphError(f"Convolution.padding is {self.padding!r}, expected 'same' or a number of zeros")
            check_whole(self, "padding", 0)
        check_word(self, "activation", ACTIVATIONS)
        check_share(self, "dropout")
        if self.channels % self.groups:
            raise GraphError(f"Convolution has {self.channels} channels in {self.groups} groups; give a multiple of the groups")
        self._check_table()

    def _check_table(self) -> None:
        rows = [list(row) if isinstance(row, Iterable) else [] for row in self.table]
        if not all(row and len(set(row)) == len(row) and all(hasattr(i, "__index__") and i >= 0 for i in row) for row in rows):
            raise GraphError(
                f"Convolution.table is {self.table!r}, expected the input channels of each neuron, as in ((0, 1),)"
            )
        object.__setattr__(self, "table", tuple(tuple(int(i) for i in row) for row in rows))
        if self.table and (len(self.table) != self.channels or self.groups > 1):
            raise GraphError(
                f"Convolution has a table of {len(self.table)} rows for {self.channels} channels in {self.groups} groups; "
                "give one row for each channel, and no groups"
            )

    @property
    def reach(self) -> int:
        """From the first to the last place that a window reads."""
        return self.dilation * (self.kernel - 1) + 1

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape)
        width = shape[0] if len(shape) == 3 else shape[1]
        if width % self.groups:
            raise GraphError(
                f"Convolution has {self.groups} groups, but was given {width} channels; give a multiple of the groups"
            )
        if self.table and max(map(max, self.table)) >= width:
            raise GraphError(
                f"Convolution.table names channel {max(map(max, self.table))}, but was given {width} of them from 0"
            )
        places = shape[1:] if len(shape) == 3 else shape[:1]
        if self.padding == "same":
            sizes = tuple(-(-size // self.stride) for size in places)
        else:
            sizes = tuple(_outside(self.reach, self.stride, int(self.padding), size, whole=False) for size in places)
        if min(sizes) < 1:
            raise GraphError(
                f"Convolution reads windows of {self.reach}, but was given {shape}; take a smaller kernel, or padding"
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
    """Each window as one: its greatest value or its mean, channel by channel.

    Steps of a sequence that a mask says are not there do not count, and its last window may be partly outside, so that no
    step is lost; which windows are there then says :class:`PoolMask`. Windows of an image are whole.

    Args:
        kind: ``"max"`` or ``"average"``.
        size: Side of the window.
        stride: Distance between windows; ``None`` for the size.
        padding: Places on either side that are not there, at most half of the size.

    Shape:
        ``(c, height, width)`` to ``(c, height', width')``; ``(steps, d)`` to ``(steps', d)``.

    Example:
        >>> Pool("max").shape([(32, 28, 28)]), Pool("average", 4).shape([(10, 64)])
        ((32, 14, 14), (3, 64))
    """

    kind: str = "max"
    size: int = 2
    stride: int | None = field(default=None, kw_only=True)
    padding: int = field(default=0, kw_only=True)

    masked: ClassVar[bool] = True
    images: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("max", "average"))
        _check_windows(self)

    @property
    def step(self) -> int:
        return self.stride or self.size

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape)
        whole = len(shape) == 2
        sizes = tuple(_outside(self.size, self.step, self.padding, n, whole=whole) for n in (shape[:1] if whole else shape[1:]))
        if min(sizes) < 1:
            raise GraphError(f"Pool reads windows of {self.size}, but was given {shape}; take a smaller size")
        return (*sizes, shape[1]) if whole else (shape[0], *sizes)


@dataclass(frozen=True)
class PoolMask(Layer):
    """The mask behind a ``Pool`` of the same windows: one is there when any of its steps is.

    Behind a ``Convolution`` with a stride it is that of windows of the stride.

    Args:
        size: Steps of a window.
        stride: Distance between windows; ``None`` for the size.
        padding: Steps on either side that are not there.

    Shape:
        ``(steps,)`` to ``(steps',)``.

    Example:
        >>> PoolMask(4).shape([(10,)])
        (3,)
    """

    size: int = 2
    stride: int | None = field(default=None, kw_only=True)
    padding: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_windows(self)

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise GraphError(f"PoolMask reads (steps,), but was given {shape}; give the mask of a sequence")
        return (_outside(self.size, self.stride or self.size, self.padding, shape[0], whole=True),)


def _check_windows(layer: Pool | PoolMask) -> None:
    check_whole(layer, "size")
    check_whole(layer, "padding", 0)
    if layer.stride is not None:
        check_whole(layer, "stride")
    if 2 * layer.padding > layer.size:
        raise GraphError(f"{type(layer).__name__}.padding is {layer.padding}, expected at most half of the size {layer.size}")


@dataclass(frozen=True)
class GlobalPool(Layer):
    """Each channel of an image as one number: its mean or its greatest value.

    Args:
        kind: ``"average"`` or ``"max"``.

    Shape:
        ``(c, height, width)`` to ``(c,)``.

    Example:
        >>> GlobalPool().shape([(128, 7, 7)])
        (128,)
    """

    kind: str = "average"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "kind", ("average", "max"))

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape, sequences=False)
        return shape[:1]


@dataclass(frozen=True)
class Subsample(Layer):
    """The pooling of LeNet-5: ``activation(w sum(x) + b)`` of each window, with one ``w`` and one ``b`` for each channel.

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

    size: int = 2
    activation: str = "lecun_tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")
        check_word(self, "activation", ACTIVATIONS)

    def result(self, shape: Shape) -> Shape:
        _check_rank(self, shape, sequences=False)
        if min(shape[1:]) < self.size:
            raise GraphError(f"Subsample reads windows of {self.size}, but was given {shape}; take a smaller size")
        return (shape[0], shape[1] // self.size, shape[2] // self.size)

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": shape[:1], "bias": shape[:1]}


@dataclass(frozen=True)
class RadialBasis(Layer):
    """The output units of LeNet-5: minus the squared distance to a fixed code of -1 and 1 for each class.

    LeCun et al. 1998, eq. 7. Up to ten classes that read 84 neurons have the digits as bitmaps of 7 x 12 for codes, drawn after
    their fig. 3; all others have random codes. We divide by the root of ``d``, so that the outputs of fresh networks differ by
    about 1 and learning does not begin saturated. Their loss, eq. 9, is ``loss="maximum_a_posteriori"``.

    Args:
        size: Number of classes.

    Shape:
        ``(d,)`` to ``(size,)``.

    Example:
        >>> RadialBasis(10).shape([(84,)])
        (10,)
    """

    size: int

    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {"codes": ("out", "in")}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "size")

    def reads(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def result(self, shape: Shape) -> Shape:
        return (self.size,)
