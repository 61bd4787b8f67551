"""Values of a model file as the types that the code expects: a file may hold anything, and is read by what it is for."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from lamina.errors import ModelFileError, OptionError

T = TypeVar("T")

_PLAIN = (bool, int, float, str, NoneType)
_LARGEST = 2**63  # what NumPy and polars can hold


def stored(kind: type[T], values: Any, name: str = "") -> T:
    """A dataclass from the JSON that its fields were saved as, with the types of its annotations; defaults may be missing.

    Args:
        kind: The dataclass.
        values: Names and values; lists become tuples where the annotation is one.
        name: What errors call it; the name of the class where it is empty.

    Raises:
        ModelFileError: A field is unknown, missing or of another type; names it.

    Example:
        >>> @dataclasses.dataclass
        ... class Point:
        ...     place: tuple[float, ...]
        ...     label: str = ""
        >>> stored(Point, {"place": [1, 2.5]})
        Point(place=(1, 2.5), label='')
        >>> stored(Point, {"place": "12"})
        Traceback (most recent call last):
        ...
        lamina.errors.ModelFileError: Point.place is '12', expected tuple[float, ...]
    """
    name = name or kind.__name__
    if not isinstance(values, Mapping):
        raise _wrong(name, values, "its fields")
    fields = {field.name: field for field in dataclasses.fields(cast(Any, kind)) if field.init}
    if unknown := sorted(values.keys() - fields.keys(), key=str):
        raise ModelFileError(f"{name} has {unknown[0]!r}, which this lamina does not know")
    hints, content = _hints(kind), {}
    for key, field in fields.items():
        if key in values:
            content[key] = stored_as(hints[key], values[key], f"{name}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ModelFileError(f"{name} lacks {key!r}")
    return kind(**content)


def check_array(name: str, array: Any, kinds: str, shape: tuple[int | None, ...]) -> None:
    """Raise ModelFileError for an array of another type or shape.

    Args:
        name: What the error calls it.
        array: The array.
        kinds: The letters of the accepted kinds of dtypes, as ``dtype.kind`` has them.
        shape: The size of each axis; None for any.
    """
    if not isinstance(array, np.ndarray):
        raise _wrong(name, array, "an array")
    fits = len(shape) == array.ndim and all(size in (None, axis) for size, axis in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kinds:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ModelFileError(f"{name} is an array {array.shape} of {array.dtype}, expected ({sizes}) of kind {kinds}")


def check_codes(name: str, codes: Any, count: int) -> None:
    """Raise ModelFileError for codes that are not below a number of them."""
    codes = np.asarray(codes)
    if codes.size and not (0 <= codes.min() and codes.max() < count):
        raise ModelFileError(f"{name} has values from {codes.min()} to {codes.max()}, expected 0 to {count - 1}")


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def stored_as(hint: Any, value: Any, name: str) -> Any:
    """A value as an annotated type; ``name`` is what errors call it."""
    if hint is Any or hint is object:
        return value
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return stored_as(args[0], value, name)
    if origin in (Union, UnionType):
        return _as_one_of(args, value, name)
    if hint in _PLAIN:
        if not _is_plain(hint, value):
            raise _wrong(name, value, _title(hint))
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(name, value, _title(hint))
        if args[-1] is not Ellipsis:
            if len(args) != len(value):
                raise _wrong(name, value, _title(hint))
            return tuple(stored_as(part, item, f"{name}[{i}]") for i, (part, item) in enumerate(zip(args, value, strict=True)))
        if args[0] is str and set(map(type, value)) <= {str}:  # a vocabulary may have a million words
            return tuple(value)
        return tuple(stored_as(args[0], item, f"{name}[{i}]") for i, item in enumerate(value))
    if origin is not None:  # a mapping
        if not isinstance(value, Mapping):
            raise _wrong(name, value, "names and values")
        return {stored_as(args[0], key, name): stored_as(args[1], item, f"{name}[{key!r}]") for key, item in value.items()}
    if hint is datetime and isinstance(value, str):
        return datetime.fromisoformat(value)
    if isinstance(value, hint):
        return value
    if dataclasses.is_dataclass(hint):
        return stored(cast(type, hint), value, name)
    raise _wrong(name, value, _title(hint))


def _as_one_of(hints: tuple[Any, ...], value: Any, name: str) -> Any:
    for hint in hints[:-1]:
        with contextlib.suppress(ModelFileError):
            return stored_as(hint, value, name)
    return stored_as(hints[-1], value, name)


def _is_plain(hint: Any, value: Any) -> bool:
    if hint is NoneType:
        return value is None
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if isinstance(value, int):
        return hint in (int, float) and abs(value) < _LARGEST
    return isinstance(value, hint)


def _title(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _wrong(name: str, value: Any, expected: str) -> ModelFileError:
    return ModelFileError(f"{name} is {repr(value)[:60]}, expected {expected}")


@contextlib.contextmanager
def reading(path: str | Path, part: str = "") -> Iterator[None]:
    """A context in which every error is a ModelFileError that names the file, and the part of it that is read.

    A file may hold anything, so any error is one of the file, a panic of a Rust library among them.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, OptionError) or (not isinstance(error, Exception) and type(error).__name__ != "PanicException"):
            raise  # the device
        if isinstance(error, ModelFileError) and not part and str(error).startswith(str(path)):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = f"it lacks {reason}" if isinstance(error, KeyError) else reason
        where = f"{path} cannot be read by this lamina: " if path else ""
        raise ModelFileError(f"{where}{part and part + ': '}{reason}") from error
