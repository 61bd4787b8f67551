"""The base class of layers: shapes, joins, JSON, and checks of arguments."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cache
from types import NoneType
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from lamina.errors import GraphError

Shape = tuple[int, ...]

ACTIVATIONS = tuple("identity step logistic tanh lecun_tanh relu leaky_relu elu selu gelu silu mish softmax".split())
PROPAGATIONS = ("weighted_sum",)
JOINS = ("concat", "add")
KINDS: dict[str, type[Layer]] = {}


def nearest(name: Any, names: Iterable[str]) -> str:
    """The hint at the end of an error: the nearest known name, or all names."""
    known = list(names)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"


def size_text(shape: Shape) -> str:
    """``(1, 32, 32)`` as text: ``1 x 32 x 32``."""
    return " x ".join(str(size) for size in shape)


def projection_name(source: str, target: str) -> str:
    """The module name of a projected edge's linear map."""
    return f"{source}_to_{target}"


def joined(join: str, shapes: Sequence[Shape], names: Sequence[str] = ()) -> Shape:
    """The shape of several inputs concatenated along the last axis (``concat``) or summed (``add``).

    Raises:
        GraphError: The shapes do not fit; the message names the first two that disagree.
    """
    first = shapes[0]
    for i, shape in enumerate(shapes[1:], 1):
        fits = shape == first if join == "add" else bool(first) and bool(shape) and shape[:-1] == first[:-1]
        if not fits:
            left, right = (names[0], names[i]) if names else ("input 0", f"input {i}")
            remedy = "connect one with projection=True or join='concat'" if join == "add" else "flatten one of them"
            raise GraphError(f"{left} {first} and {right} {shape} cannot join by {join!r}; {remedy}")
    if len(shapes) == 1 or join == "add":
        return first
    return (*first[:-1], sum(shape[-1] for shape in shapes))


def is_whole(value: Any, low: int) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__") and value >= low


#: From an option's name, for the message, and its value to the value that is kept.
Check = Callable[[str, Any], Any]


def one_of(*known: str) -> Check:
    def check(name: str, value: Any) -> Any:
        if value not in known:
            raise GraphError(f"{name} is {value!r}, expected one of its names; {nearest(value, known)}")
        return value

    return check


def whole(low: int) -> Check:
    def check(name: str, value: Any) -> int:
        if not is_whole(value, low):
            raise GraphError(f"{name} is {value!r}, expected a whole number of at least {low}")
        return int(value)  # JSON has no NumPy integers

    return check


def wholes(low: int) -> Check:
    def check(name: str, value: Any) -> tuple[int, ...]:
        values = tuple(value) if isinstance(value, Iterable) else None
        if values is None or not all(is_whole(v, low) for v in values):
            raise GraphError(f"{name} is {value!r}, expected whole numbers of at least {low}, as in (8,)")
        return tuple(map(int, values))

    return check


def share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise GraphError(f"{name} is {value!r}, expected a number from 0 up to, not including, 1")
    return value


# Types of options that a layer checks when it is made.
Whole = Annotated[int, whole(1)]
Wholes = Annotated[tuple[int, ...], wholes(1)]
Share = Annotated[float, share]
ActivationName = Annotated[str, one_of(*ACTIVATIONS)]
JoinName = Annotated[str, one_of(*JOINS)]


@cache
def _checks(kind: type[Layer]) -> list[tuple[str, Check, bool]]:
    """The checks in the annotations of a layer's options: option, check, and whether it may be None."""
    return [
        (name, check, NoneType in get_args(hint))
        for name, hint in get_type_hints(kind, include_extras=True).items()
        for part in (hint, *get_args(hint))
        for check in getattr(part, "__metadata__", ())
    ]


@dataclass(frozen=True)
class Layer:
    """Base class of layers: declares how several inputs are joined, and checks the options by their annotations.

    Args:
        join: ``"concat"`` concatenates the inputs along the last axis; ``"add"`` sums inputs of one shape.
    """

    _: KW_ONLY
    join: JoinName = "concat"

    #: The role of the last axes of each tensor; editing a graph maps "in" and "out" unit by unit.
    axes: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    #: Whether unit i of the output is unit i of the joined input.
    unitwise: ClassVar[bool] = False
    #: Whether each input is flattened to one axis before joining.
    flattens: ClassVar[bool] = False
    #: Whether it accepts a mask of present steps.
    masked: ClassVar[bool] = False
    #: Whether it reads three axes as an image (channels first) rather than as several sequences.
    images: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        KINDS[cls.__name__] = cls

    def __post_init__(self) -> None:
        for name, check, optional in _checks(type(self)):
            value = getattr(self, name)
            if value is not None or not optional:
                object.__setattr__(self, name, check(f"{type(self).__name__}.{name}", value))

    @property
    def codes(self) -> tuple[int, ...]:
        """The number of codes, code 0 included, of each column of an input of codes; a higher one is outside of its tensors."""
        return ()

    def fixed(self) -> Shape | None:
        """The output shape if it does not depend on the input, else None; needed to infer shapes in a cycle."""
        return None

    def reads(self, shape: Shape) -> Shape:
        """The shape in which an input is read, before joining."""
        return (math.prod(shape),) if self.flattens else shape

    def result(self, shape: Shape) -> Shape:
        """The output shape for a joined input of this shape."""
        fixed = self.fixed()
        return shape if fixed is None else fixed

    def tensors(self, shape: Shape) -> dict[str, Shape]:
        """Name and shape of each parameter for a joined input of this shape."""
        return {}

    def saved(self, shape: Shape) -> dict[str, Shape]:
        """Name and shape of each tensor that a file must have, for a joined input of this shape."""
        return self.tensors(shape)

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """The output shape for inputs of these shapes.

        Example:
            >>> from lamina.graph import Dense
            >>> Dense(8).shape([(1, 4, 4), (3,)])
            (8,)
        """
        return self.result(joined(self.join, [self.reads(shape) for shape in inputs]))

    def to_json(self) -> dict[str, Any]:
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {"type": type(self).__name__} | {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> Layer:
        """The layer from :meth:`to_json`; raises GraphError for an unknown kind or option."""
        kind = values.get("type")
        if kind not in KINDS:
            raise GraphError(f"layer kind {kind!r} is unknown to this lamina; update lamina, or {nearest(kind, KINDS)}")
        cls = KINDS[kind]
        known = {item.name: item for item in dataclasses.fields(cls)}
        for name in values:
            if name != "type" and name not in known:
                raise GraphError(f"{kind} has no option {name!r} in this lamina; update lamina, or {nearest(name, known)}")
        for name, item in known.items():
            if name not in values and item.default is dataclasses.MISSING:
                raise GraphError(f"{kind} lacks {name!r}; the stored graph is damaged, store it again")
        options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k != "type"}
        return cls(**options)


def notes(layer: Layer) -> list[str]:
    """The options of a layer that differ from the defaults, as text, without its size."""
    texts = []
    for item in dataclasses.fields(layer):
        value = getattr(layer, item.name)
        if item.name in ("size", "out") or value == item.default or value is None:
            continue
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, bool):
            texts.append(item.name if value else f"no {item.name}")
        elif isinstance(value, tuple):
            texts.append(f"{len(value)} {item.name}")
        else:
            texts.append(f"{item.name} {value}")
    return texts
