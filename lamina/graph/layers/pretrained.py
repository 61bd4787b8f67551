"""Any ``nn.Module``, as a pretrained backbone, as a layer, by the name under which it was registered.

A graph has the name only, no code and no path to code, so loading a model file executes nothing: register the part again
before you load it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, Wholes, nearest

if TYPE_CHECKING:
    from torch import nn

#: Mean and standard deviation of ImageNet's channels, pixels between 0 and 1.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class PartMaker:
    """A registered part: its constructor, and size, mean and std of its training images."""

    make: Callable[..., nn.Module]
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


_MAKERS: dict[str, PartMaker] = {}


def register(
    name: str,
    make: Callable[..., nn.Module],
    *,
    size: int = 224,
    mean: Sequence[float] = IMAGENET[0],
    std: Sequence[float] = IMAGENET[1],
) -> None:
    """Register a module under a name for graphs and families.

    Needed in every process that builds or loads a network with it; registering a name again replaces the earlier one.

    Args:
        name: Name for :class:`Pretrained` and ``backbone``.
        make: ``make(**options) -> nn.Module`` from a float batch to a float batch. It may load weights; loading a model file
            replaces them.
        size: Height and width of its training images. Like ``mean`` and ``std`` only for parts that read images.
        mean: Mean of each channel, pixels between 0 and 1.
        std: Standard deviation of each channel.

    Raises:
        GraphError: The name is not a string, ``make`` is not callable, or size, mean or std is invalid.

    Example:
        >>> from torch import nn
        >>> register("edges", lambda: nn.Conv2d(3, 8, 3, stride=2), size=32)
        >>> Pretrained("edges", out=(8, 15, 15)).shape([(3, 32, 32)])
        (8, 15, 15)
    """
    if not isinstance(name, str) or not name:
        raise GraphError(f"a part is registered as {name!r}, expected a name, as in register('backbone', make)")
    if not callable(make):
        raise GraphError(f"part {name!r} is registered with {make!r}, expected a function that makes the module")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise GraphError(f"the size of part {name!r} is {size!r}, expected the height and width of its images in pixels")
    _MAKERS[name] = PartMaker(make, size, *_moments(f"part {name!r}", mean, std))


def registered() -> tuple[str, ...]:
    """The names of the registered parts."""
    return tuple(_MAKERS)


def factory_name(make: object) -> str | None:
    """The name under which this very function is registered; None where it is not."""
    return next((name for name, maker in _MAKERS.items() if maker.make is make), None)


def part_maker(name: str) -> PartMaker:
    """The registered part of this name.

    Raises:
        GraphError: No part is registered under this name; the message says how to.
    """
    if name not in _MAKERS:
        raise GraphError(
            f"the network has a part {name!r} that is not registered here ({nearest(name, _MAKERS)}); first run: "
            f"from lamina.graph.layers.pretrained import register; register({name!r}, make), "
            "where make is the function that makes its nn.Module"
        )
    return _MAKERS[name]


def _moments(owner: str, mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for label, values, above in (("mean", mean, -math.inf), ("std", std, 0)):
        numbers = not isinstance(values, str) and isinstance(values, Sequence)
        if not numbers or not all(isinstance(v, int | float) and above < v < math.inf for v in values):
            raise GraphError(f"{label} of {owner} is {values!r}, expected a number for each channel, as in {IMAGENET[0]}")
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise GraphError(f"{owner} has {len(mean)} means and {len(std)} deviations, expected 1 (gray) or 3 (colour) of each")
    return tuple(map(float, mean)), tuple(map(float, std))


@dataclass(frozen=True)
class Pretrained(Layer):
    """A registered module as a layer, with its pretrained weights. A plan counts no parameters for it.

    Args:
        part: The name of :func:`register`.
        out: The output shape; a net checks it with a row of zeros.
        options: Keyword arguments of the function that makes it; JSON values.
        frozen: Do not train it: weights and batch-norm statistics stay, dropout is off.

    Raises:
        GraphError: The options cannot be written as JSON.

    Shape:
        The module's input shape to ``out``.
    """

    part: str
    _: KW_ONLY
    out: Wholes
    options: dict[str, Any] | None = None
    frozen: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.part, str) or not self.part:
            raise GraphError(f"Pretrained.part is {self.part!r}, expected the name of a registered part")
        if not isinstance(self.frozen, bool):
            raise GraphError(f"Pretrained.frozen is {self.frozen!r}, expected True or False")
        if self.options is None:
            return
        try:
            copied = json.loads(json.dumps(self.options, allow_nan=False))  # equal before and after saving
        except (TypeError, ValueError):
            copied = None
        if not isinstance(copied, dict):
            raise GraphError(f"Pretrained.options is {self.options!r}, expected names with text, numbers or lists of them")
        object.__setattr__(self, "options", copied or None)

    def fixed(self) -> Shape:
        return self.out


@dataclass(frozen=True)
class Module(Pretrained):
    """A registered module that reads several inputs as a dict of tensors, as any ``nn.Module`` may.

    It is made by ``make(inputs)``: the inputs by name, each with ``shape``, ``kind``, ``names`` and ``cardinalities`` as in
    :class:`lamina.data.encoding.Input`. Its ``forward`` reads a dict of tensors (N, *shape) by the same names: int64 for
    categories and tokens, else float32.

    Args:
        part: The name of :func:`register`.
        out: The output shape.
        options: ``{"inputs": {name: {"shape": ..., "kind": ..., ...}}}``, in the order of the edges.
        frozen: No weight is trained.

    Shape:
        The inputs, flattened and concatenated, to ``out``.
    """

    _: KW_ONLY
    frozen: bool = False

    flattens = True


@dataclass(frozen=True)
class Normalise(Layer):
    """Normalise images for a pretrained part: ``(x / 255 - mean) / std`` with constants.

    With three means gray images become colour; with one mean colour becomes gray (ITU-R BT.601). A fourth channel
    (transparency) is ignored.

    Args:
        mean: Mean of each channel, pixels between 0 and 1.
        std: Standard deviation of each channel.

    Shape:
        ``(height, width, channels)`` of uint8 to ``(3, height, width)``, or ``(1, height, width)`` for one mean.

    Example:
        >>> Normalise().shape([(28, 28, 1)])
        (3, 28, 28)
    """

    mean: tuple[float, ...] = IMAGENET[0]
    std: tuple[float, ...] = IMAGENET[1]

    def __post_init__(self) -> None:
        super().__post_init__()
        mean, std = _moments("Normalise", self.mean, self.std)
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3 or shape[2] not in (1, 3, 4):
            raise GraphError(f"Normalise reads (height, width, 1, 3 or 4 channels), but was given {shape}; give an image")
        return (len(self.mean), *shape[:2])
