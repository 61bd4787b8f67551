"""Functions among the options: a file has their names only, and they are found again by import or given again.

A model file never leads to code: the module beside a name in it is information, and nothing imports it. Only a run that is
resumed and the worker processes of a comparison import functions, by the names in the run's own folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from lamina.errors import OptionError

T = TypeVar("T")


@dataclass(frozen=True)
class StoredFunction:
    """The name of a function that a file has in place of the function."""

    name: str
    module: str | None = None  # to import it from; None for a notebook, a script, a lambda or a function in a function

    def missing(self, option: str, remedy: str = "") -> OptionError:
        """The error where the function is needed."""
        remedy = remedy or f"give it again: {option}={self.name}"
        return OptionError(f"{option} is the function {self.name}, of which a file has only the name; {remedy}")


def store_function(function: Any) -> StoredFunction:
    """The name of a function, and the module that it can be imported from.

    Example:
        >>> import statistics
        >>> store_function(statistics.mean), store_function(lambda x: x).module
        (StoredFunction(name='mean', module='statistics'), None)
    """
    if isinstance(function, StoredFunction):
        return function
    function = getattr(function, "function", function)  # of a loss that was made from it
    name = getattr(function, "name", None) or getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None)
    importable = module not in (None, "__main__") and getattr(sys.modules.get(module), name, None) is function
    return StoredFunction(name.rpartition(".")[2], module) if importable and "." not in name else StoredFunction(name)


def function_to_json(value: Any) -> Any:
    """A function as JSON, by its name; anything else as it is."""
    return dataclasses.asdict(store_function(value)) if callable(value) or isinstance(value, StoredFunction) else value


def function_from_json(value: Any) -> Any:
    """The :class:`StoredFunction` that :func:`function_to_json` wrote; anything else as it is."""
    return StoredFunction(**value) if isinstance(value, dict) and set(value) == {"name", "module"} else value


IMPORTABLE = "define it at the top level of a module that can be imported here"


def recall(options: T, custom_objects: Mapping[str, Any] | None = None, *, remedy: str = IMPORTABLE) -> T:
    """Options with every stored function replaced by the function: the given one of that name, or the imported one.

    Raises:
        OptionError: A function is neither given nor importable; the message ends with the remedy, in which ``{name}`` is its
            name.
    """
    changed: dict[str, Any] = {}
    for field in dataclasses.fields(options):  # pyright: ignore[reportArgumentType]
        value = getattr(options, field.name)
        if isinstance(value, StoredFunction):
            title = f"{type(options).__name__}.{field.name}"
            changed[field.name] = _find(value, custom_objects or {}, title, remedy.replace("{name}", value.name))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            recalled = recall(value, custom_objects, remedy=remedy)
            changed |= {field.name: recalled} if recalled is not value else {}
    return dataclasses.replace(options, **changed) if changed else options  # pyright: ignore[reportArgumentType, reportReturnType]


def check_importable(options: Any) -> None:
    """Check that another process can import every function among the options.

    Raises:
        OptionError: It cannot; the message says how it could.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if (callable(value) or isinstance(value, StoredFunction)) and (stored := store_function(value)).module is None:
            raise OptionError(
                f"{type(options).__name__}.{field.name} is the function {stored.name}, which the worker processes of a "
                "comparison cannot import; define it at the top level of a module and import it from there"
            )


def _find(stored: StoredFunction, custom_objects: Mapping[str, Any], title: str, remedy: str) -> Any:
    if stored.name in custom_objects:
        return custom_objects[stored.name]
    module = None
    with contextlib.suppress(ImportError):
        module = importlib.import_module(stored.module) if stored.module else None
    function = getattr(module, stored.name, None)
    if function is None:
        raise stored.missing(title, remedy)
    return function
