"""Options: dataclasses whose fields declare their allowed values.

Errors, the CLI's ``--set`` and the tests read them from the field. Options implement scikit-learn's ``get_params`` and
``set_params``, so ``GridSearchCV`` can set ``recipe__learning_rate``. As in scikit-learn, values are checked when they are used
(:meth:`Options.check`), not in the constructor.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar, ParamSpec, Self, TypeVar

from lamina import forked
from lamina.errors import OptionError
from lamina.functions import StoredFunction, function_from_json, function_to_json

P = ParamSpec("P")
R = TypeVar("R")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[Any, ...] = (),
    kind: type | tuple[type, ...] = (),
    items: type | None = None,
    words: tuple[str, ...] = (),
    expected: str = "",
    blocks: tuple[str, ...] = (),
    tune: tuple[Any, ...] | list[Any] = (),
) -> Any:
    """A dataclass field with its allowed values.

    Args:
        default: The default. Its type is accepted; ``None`` only if it is the default or in choices.
        help: One line for ``lamina fit --help`` and the docs.
        low: Smallest allowed number; does not apply to strings from ``choices``.
        high: Largest allowed number.
        choices: Allowed strings (and ``None`` if included); with ``kind``, numbers as well.
        kind: Allowed types besides that of the default.
        items: The value is a tuple (or list) of these, each within ``low`` and ``high``.
        words: Allowed items if they are ``str``; empty for any text.
        expected: Text for the error message, in place of what ``kind`` implies.
        blocks: The kinds of blocks that it has an effect on; empty for all.
        tune: What ``lamina.tune`` searches, within the bounds: ``(low, high)``, ``(low, high, "log")`` or a list of values;
            empty for nothing.
    """
    kinds = set(kind) if isinstance(kind, tuple) else {kind}
    if default is not None and not (choices and isinstance(default, str)):
        kinds.add(type(default))
    meta = {"help": help, "low": low, "high": high, "choices": choices, "kinds": kinds, "items": items}
    meta |= {"words": words, "expected": expected, "blocks": blocks, "tune": tune}
    return dataclasses.field(default=default, metadata=meta)


def bounds(field: dataclasses.Field) -> str:
    """The allowed values of a field as text: ``"a number between 0 and 1"``."""
    meta, kinds, choices = field.metadata, field.metadata["kinds"], field.metadata["choices"]
    if meta["words"]:
        return "a list of " + ", ".join(repr(c) for c in meta["words"]) + "".join(f" or {c!r}" for c in choices)
    parts = []
    if listed := [repr(choice) for choice in choices if choice is not None]:
        parts.append(("one of " if len(listed) > 1 else "") + ", ".join(listed))
    if meta["expected"]:
        parts.append(meta["expected"])
    elif meta["items"] is not None:
        parts.append("a list of " + ("whole numbers" if meta["items"] is int else "numbers") + _range(meta))
    elif str in kinds:
        parts.append("a text")
    elif bool in kinds:
        parts.append("true or false")
    elif int in kinds or float in kinds:
        parts.append(("a number" if float in kinds else "a whole number") + _range(meta))
    if field.default is None or None in choices:
        parts.append("None")
    return " or ".join(parts)


def _range(meta: Mapping[str, Any]) -> str:
    low, high = (
        f"{end}" if isinstance(end, int) else f"{end:g}" if end is not None else "" for end in (meta["low"], meta["high"])
    )
    if low and high:
        return f" between {low} and {high}"
    return f" of at least {low}" if low else f" of at most {high}" if high else ""


class Options:
    """Base class of options: recipes and families.

    ``keyword`` is the keyword of ``lamina.fit`` that such options are given as, for hints.

    Example:
        >>> from lamina import Recipe
        >>> Recipe(learning_rate=-1).check()
        Traceback (most recent call last):
        ...
        lamina.errors.OptionError: Recipe.learning_rate is -1, expected one of 'auto', 'find' or a number between 1e-08 and 100
        >>> Recipe(epochs=5)
        Recipe(epochs=5)
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field]]
    keyword: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__repr__ = Options.__repr__  # that of a dataclass shows the defaults

    def __repr__(self) -> str:
        """The options that are not the defaults."""
        default = {field.name: field.default for field in dataclasses.fields(self)}
        set_ = [f"{name}={value!r}" for name, value in self.get_params().items() if default[name] is not value != default[name]]
        return f"{type(self).__name__}({', '.join(set_)})"

    def __new__(cls, *values: Any, **named: Any) -> Self:
        """Raise OptionError for an unknown name; values are checked by :meth:`check`."""
        for name in named:
            find(cls, name)
        return super().__new__(cls)

    @classmethod
    def title(cls, name: str) -> str:
        """The name of a field in errors."""
        return f"{cls.__name__}.{name}"

    def check(self) -> Self:
        """Raise OptionError for the first field that is out of bounds; return self."""
        for field in dataclasses.fields(self):
            _check(type(self), field, getattr(self, field.name))
        return self

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The fields by name, as in scikit-learn."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Set fields by name; raises OptionError for an unknown name."""
        for name, value in params.items():
            setattr(self, find(type(self), name).name, value)
        return self

    def to_json(self) -> dict[str, Any]:
        return {name: plain(function_to_json(value)) for name, value in self.get_params().items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(**{n: tuple(v) if isinstance(v, list) else function_from_json(v) for n, v in values.items()})


class CallOptions(Options):
    """Options that are keywords of a public function: errors name the keyword alone."""

    @classmethod
    def title(cls, name: str) -> str:
        return name


def find(cls: type[Options], name: str) -> dataclasses.Field:
    """The field of an options class by name.

    Raises:
        OptionError: The name is unknown; the message has the nearest one.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if name not in fields:
        raise OptionError(f"{cls.__name__} has no option {name!r}; {nearest_option(name, fields)}")
    return fields[name]


def nearest_option(name: str, names: Collection[str]) -> str:
    """A hint for an unknown option: the nearest name, or all names.

    Example:
        >>> nearest_option("epoch", ["epochs", "learning_rate"]), nearest_option("lr", ["epochs", "learning_rate"])
        ("did you mean 'epochs'?", "did you mean 'learning_rate'?")
        >>> nearest_option("edit", ["weight", "group"])
        'it has weight, group'
    """
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    near += [candidate for candidate in names if difflib.get_close_matches(name, candidate.split("_"), n=1, cutoff=0.8)]
    near += [candidate for candidate in names if name == "".join(word[:1] for word in candidate.split("_"))]
    near += [word for word in names if len(word) > 3 and word in name or len(name) > 3 and name in word]
    return f"did you mean {near[0]!r}?" if near else "it has " + ", ".join(names)


def find_option(name: str, keywords: Collection[str], cls: type[Options] = Options) -> tuple[type[Options], str] | None:
    """The options that are given as one of these keywords and have an option of that name or initials, with its full name.

    Example:
        >>> from lamina import Recipe
        >>> find_option("lr", ["recipe"]) == (Recipe, "learning_rate"), find_option("lr", ["start"])
        (True, None)
    """
    if cls.keyword in keywords and dataclasses.is_dataclass(cls) and not cls.__subclasses__():  # a base is nothing to name
        for field in (field.name for field in dataclasses.fields(cls)):
            if name in (field, "".join(word[0] for word in field.split("_"))):
                return cls, field
    return next(filter(None, (find_option(name, keywords, other) for other in cls.__subclasses__())), None)


def _hint(name: str, value: Any, names: Collection[str]) -> str:
    """A hint for an unknown keyword, from others' libraries, of the recipe or of a family, or misspelt."""
    if name.lower() in _ARRAYS:
        return _ARRAYS_HINT
    if name.lower() in _OTHER_ROWS:
        return "give all rows in one table, and a column that marks them: split='part' (train, validation, test)"
    if option_of := find_option(name, names):
        cls, field = option_of
        return f"did you mean {cls.keyword}={cls.__name__}({field}={shortened(value)})?"
    return nearest_option(name, names)


_ARRAYS = ("x", "y", "x_train", "y_train")
_ARRAYS_HINT = "the target is a column of the table; for arrays X and y there are Classifier().fit(X, y) and .score(X, y)"
_OTHER_ROWS = ("validation_data", "x_val", "y_val", "x_valid", "y_valid", "eval_set", "x_test", "y_test", "test", "test_data")


def known_options(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator: an unknown keyword raises OptionError with the nearest known one, as do too many values without keyword.

    Example:
        >>> @known_options
        ... def bake(minutes: int = 20) -> int:
        ...     return minutes
        >>> bake(minuts=3)
        Traceback (most recent call last):
        ...
        lamina.errors.OptionError: bake has no option 'minuts'; did you mean 'minutes'?
    """
    parameters = inspect.signature(function).parameters
    names = [name for name in parameters if name != "self"]
    by_position = [name for name, parameter in parameters.items() if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    title = function.__qualname__.removesuffix(".__init__").split(".")[-1]
    computes = function.__name__ != "__init__"

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        for name, value in kwargs.items():
            if name not in names:
                raise OptionError(f"{title} has no option {name!r}; {_hint(name, value, names)}")
        if len(args) > len(by_position):
            known = [name for name in by_position if name != "self"]
            given = len(args) - len(by_position) + len(known)
            raise OptionError(
                f"{title} takes {' and '.join(known) or 'nothing'} by position, {given} values were given; options have names; "
                f"{_ARRAYS_HINT}"
            )
        return forked.answer(function, *args, **kwargs) if forked.forked and computes else function(*args, **kwargs)

    return checked


def plain(value: Any) -> Any:
    """A value for JSON: NumPy scalars become Python numbers, tuples become lists."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def parse(cls: type[Options], name: str, text: str) -> Any:
    """The value of a field from the text of ``--set name=text``.

    Example:
        >>> from lamina import Recipe
        >>> parse(Recipe, "learning_rate", "3e-3")
        0.003
    """
    field = find(cls, name)
    if text.lower() in ("none", "null"):
        value: Any = None
    elif field.metadata["items"] is not None and text not in field.metadata["choices"]:
        value = tuple(_number(part) for part in text.strip("()[]").split(",") if part.strip())
    elif text.lower() in ("true", "false"):
        value = text.lower() == "true"
    else:
        value = _number(text)
    _check(cls, field, value)
    return value


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()


def check_option(cls: type[Options], name: str, value: Any) -> None:
    """Raise OptionError for an unknown name, or a value that the option does not allow."""
    _check(cls, find(cls, name), value)


def _check(owner: type[Options], field: dataclasses.Field, value: Any) -> None:
    meta = field.metadata
    if not meta:
        return
    title, choices, items, words = owner.title(field.name), meta["choices"], meta["items"], meta["words"]
    if isinstance(value, StoredFunction):
        raise value.missing(title)
    if value is None:
        valid = field.default is None or None in choices
    elif isinstance(value, str):
        valid = value in choices or str in meta["kinds"]
    elif items is None:
        valid = _within(value, meta["kinds"], meta["low"], meta["high"])
    elif items is str:
        valid = isinstance(value, tuple | list) and all(isinstance(i, str) and (not words or i in words) for i in value)
    else:
        valid = isinstance(value, tuple | list) and all(_within(i, {items}, meta["low"], meta["high"]) for i in value)
    if not valid:
        raise OptionError(f"{title} is {shortened(value)}, expected {bounds(field)}")


def shortened(value: Any) -> str:
    """The repr of a value on one line, at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _within(value: Any, kinds: set[type], low: float | None, high: float | None) -> bool:
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        return bool in kinds
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a NumPy scalar from a parameter grid
        value = value.item()
    if isinstance(value, int):
        fits = int in kinds or float in kinds
    elif isinstance(value, float):
        fits = float in kinds and math.isfinite(value)
    else:
        return any(isinstance(value, kind) for kind in kinds)
    return fits and (low is None or value >= low) and (high is None or value <= high)
