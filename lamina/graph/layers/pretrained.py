"""Any ``nn.Module`` as a layer, by the name under which it was registered: for networks that were taught elsewhere.

A graph names the part and never holds code or a path to code, so a model file runs nothing by itself: whoever loads it
registers the part again, in words of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape, check_wholes, nearest

if TYPE_CHECKING:
    from torch import nn

#: Mean and standard deviation of ImageNet's pixels between 0 and 1: what most networks for images were taught on.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class PartMaker:
    """How a part is made, and how the images that it reads are brought to what it was taught on."""

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
    """Make a module known under a name, so that graphs and families can name it.

    Needed once in every process that builds or loads a network with it; registering a name again replaces what it stood for.

    Args:
        name: What :class:`Pretrained` and ``backbone`` call it.
        make: ``make(**options) -> nn.Module`` that takes a float batch and gives a float batch. It may load weights; a model
            that is loaded from a file replaces them with those of the file.
        size: Height and width of the images that it was taught on. With ``mean`` and ``std`` only for parts that read images.
        mean: Of each channel, pixels between 0 and 1.
        std: Of each channel.

    Raises:
        GraphError: The name is no text, ``make`` cannot be called, or size, mean and std are not what they should be.

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
    """The names of the parts that can be used here."""
    return tuple(_MAKERS)


def part_maker(name: str) -> PartMaker:
    """What was registered under this name.

    Raises:
        GraphError: Nothing was; the message holds the lines that do it.
    """
    if name not in _MAKERS:
        raise GraphError(
            f"the network has a part {name!r} that is not registered here ({nearest(name, _MAKERS)}); first run: "
            f"from lamina.graph.layers.pretrained import register; register({name!r}, make), "
            "where make is the function that makes its nn.Module"
        )
    return _MAKERS[name]


def _moments(what: str, mean: Sequence[float], std: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    for word, values, above in (("mean", mean, -math.inf), ("std", std, 0)):
        numbers = not isinstance(values, str) and isinstance(values, Sequence)
        if not numbers or not all(isinstance(v, int | float) and above < v < math.inf for v in values):
            raise GraphError(f"{word} of {what} is {values!r}, expected a number for each channel, as in {IMAGENET[0]}")
    if len(mean) != len(std) or len(mean) not in (1, 3):
        raise GraphError(f"{what} has {len(mean)} means and {len(std)} deviations, expected 1 (gray) or 3 (colour) of each")
    return tuple(map(float, mean)), tuple(map(float, std))


@dataclass(frozen=True)
class Pretrained(Layer):
    """A registered module at this place of the network, with the weights that it came with.

    What it holds is unknown without making it, so a plan counts no parameters for it.

    Args:
        part: The name it was registered under, see :func:`register`.
        out: The shape that comes out. A net makes the module, shows it one row of zeros and refuses another shape.
        options: Given to the function that makes it, by name; what JSON can hold.
        frozen: Nothing in it moves while the network learns: no weight, no statistics of a batch norm, no dropout.

    Raises:
        GraphError: The options cannot be written as JSON.

    Shape:
        Whatever the module reads, to ``out``.
    """

    part: str
    out: tuple[int, ...] = field(kw_only=True)
    options: dict[str, Any] | None = field(default=None, kw_only=True)
    frozen: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_wholes(self, "out", 1)
        if not isinstance(self.part, str) or not self.part:
            raise GraphError(f"Pretrained.part is {self.part!r}, expected the name of a registered part")
        if not isinstance(self.frozen, bool):
            raise GraphError(f"Pretrained.frozen is {self.frozen!r}, expected True or False")
        if self.options is None:
            return
        try:
            kept = json.loads(json.dumps(self.options, allow_nan=False))  # a copy, the same before and after a file
        except (TypeError, ValueError):
            kept = None
        if not isinstance(kept, dict):
            raise GraphError(f"Pretrained.options is {self.options!r}, expected names with text, numbers or lists of them")
        object.__setattr__(self, "options", kept or None)

    def fixed(self) -> Shape:
        return self.out

    def result(self, shape: Shape) -> Shape:
        return self.out


@dataclass(frozen=True)
class Normalise(Layer):
    """An image as a pretrained part was taught to read it: ``(x / 255 - mean) / std`` with given, not learnt, numbers.

    Gray becomes colour, with three channels alike, where there are three means; where there is one, colour becomes gray (ITU-R
    BT.601). A fourth channel, transparency, is left out.

    Args:
        mean: Of each channel, pixels between 0 and 1.
        std: Of each channel.

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
