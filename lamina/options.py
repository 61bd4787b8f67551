"""Options: dataclasses whose fields carry their own bounds.

A bound is declared once, beside the default; the error, the CLI's ``--set`` and the tests read it from there. Options follow
scikit-learn's parameter contract (``get_params``, ``set_params``), so that ``GridSearchCV`` reaches ``recipe__learning_rate``.
As scikit-learn asks, nothing is checked when an object is made: :meth:`Options.check` does it when it is used.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, Self

from lamina.errors import OptionError


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] | None = None,
    kind: type | tuple[type, ...] | None = None,
    items: type | None = None,
    words: tuple[str, ...] = (),
) -> Any:
    """Declare a field with its bounds.

    Args:
        default: The value when nothing is said. Its type is accepted; ``None`` when it is the default or in choices.
        help: One line for ``lamina fit --help`` and the docs.
        low: Smallest allowed number, included. A bound on numbers says nothing about a word from ``choices``.
        high: Largest allowed number, included.
        choices: Allowed words (and ``None`` where it is one of them). With ``kind`` numbers are allowed beside them.
        kind: Types allowed besides that of the default.
        items: The value is a tuple (or list) of these, each within ``low`` and ``high``.
        words: What each may be where they are ``str``.
    """
    meta = {"help": help, "low": low, "high": high, "choices": choices, "kind": kind, "items": items, "words": words}
    return dataclasses.field(default=default, metadata=meta)


def bounds(field: dataclasses.Field) -> str:
    """Say in words what a field accepts: ``"a number between 0 and 1"``."""
    meta = field.metadata
    words = []
    if meta.get("choices") is not None:
        words.append("one of " + ", ".join(repr(choice) for choice in meta["choices"]))
    kinds = _kinds(field)
    if meta.get("items") is not None:
        if meta["items"] is str:  # the words are those of choices
            return (
                "a list of " + ", ".join(repr(c) for c in meta["words"]) + "".join(f" or {c!r}" for c in meta["choices"] or ())
            )
        words.append("a list of " + ("whole numbers" if meta["items"] is int else "numbers") + _range(meta))
    elif isinstance(field.default, str) and meta.get("choices") is None:
        words.append("a text")
    elif bool in kinds:
        words.append("true or false")
    elif int in kinds or float in kinds:
        words.append(("a number" if float in kinds else "a whole number") + _range(meta))
    if field.default is None and None not in (meta.get("choices") or ()):
        words.append("None")
    return " or ".join(words)


def _range(meta: Mapping[str, Any]) -> str:
    low, high = meta.get("low"), meta.get("high")
    if low is not None and high is not None:
        return f" between {low:g} and {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return f" of at most {high:g}" if high is not None else ""


def _kinds(field: dataclasses.Field) -> set[type]:
    kind = field.metadata.get("kind")
    kinds = set(kind) if isinstance(kind, tuple) else {kind} if kind else set()
    if field.default is not None and not isinstance(field.default, str):
        kinds.add(type(field.default))
    return kinds


class Options:
    """Base of every dataclass of options: a recipe, a family.

    Example:
        >>> from lamina import Recipe
        >>> Recipe(learning_rate=-1).check()
        Traceback (most recent call last):
        ...
        lamina.errors.OptionError: Recipe.learning_rate is -1, expected one of 'auto' or a number between 1e-08 and 100
    """

    def check(self) -> Self:
        """Raise OptionError for the first field that is out of bounds; return self."""
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            _check(type(self).__name__, field, getattr(self, field.name))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, as scikit-learn wants them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]

    def set_params(self, **params: Any) -> Self:
        """Set fields by name; an unknown name is an error that gives the nearest."""
        for name, value in params.items():
            setattr(self, find(type(self), name).name, value)
        return self

    def to_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.get_params().items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def find(cls: type, name: str) -> dataclasses.Field:
    """The field of an options class by name."""
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if name not in fields:
        near = difflib.get_close_matches(name, fields, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "it has " + ", ".join(fields)
        raise OptionError(f"{cls.__name__} has no option {name!r}; {hint}")
    return fields[name]


def parse(cls: type, name: str, text: str) -> Any:
    """Read the words of ``--set name=text`` as a value for that field.

    Example:
        >>> from lamina import Recipe
        >>> parse(Recipe, "learning_rate", "3e-3")
        0.003
    """
    field = find(cls, name)
    if text.lower() in ("none", "null"):
        value: Any = None
    elif field.metadata.get("items") is not None and text not in (field.metadata["choices"] or ()):
        value = tuple(_number(part) for part in text.strip("()[]").split(",") if part.strip())
    elif text.lower() in ("true", "false"):
        value = text.lower() == "true"
    else:
        value = _number(text)
    _check(cls.__name__, field, value)
    return value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()


def _check(owner: str, field: dataclasses.Field, value: Any) -> None:
    meta = field.metadata
    if not meta:
        return
    choices, low, high = meta["choices"], meta["low"], meta["high"]
    if value is None:
        good = field.default is None or (choices is not None and None in choices)
    elif isinstance(value, str):
        good = value in choices if choices is not None else isinstance(field.default, str)
    elif meta["items"] is not None:
        good = isinstance(value, tuple | list) and all(
            item in meta["words"] if meta["items"] is str else _within(item, {meta["items"]}, low, high) for item in value
        )
    else:
        good = (choices is not None and value in choices) or _within(value, _kinds(field), low, high)
    if not good:
        raise OptionError(f"{owner}.{field.name} is {value!r}, expected {bounds(field)}")


def _within(value: Any, kinds: set[type], low: float | None, high: float | None) -> bool:
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return bool in kinds
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a NumPy scalar out of a parameter grid
        value = value.item()
    if isinstance(value, int):
        fits = int in kinds or float in kinds
    elif isinstance(value, float):
        fits = float in kinds and math.isfinite(value)
    else:
        return any(isinstance(value, kind) for kind in kinds)
    return fits and (low is None or value >= low) and (high is None or value <= high)
