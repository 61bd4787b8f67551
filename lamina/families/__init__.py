"""Families: recipes for graphs, by name."""

from __future__ import annotations

from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.families.family import Family, TableFamily
from lamina.families.feedforward import FeedForward
from lamina.families.shortcut import Shortcut

FAMILIES: dict[str, type[Family]] = {family.name: family for family in (FeedForward, Shortcut)}

__all__ = ["FAMILIES", "Family", "FeedForward", "Shortcut", "TableFamily", "choose_family", "make_family"]


def make_family(name: str) -> type[Family]:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    if name not in FAMILIES:
        raise OptionError(f"there is no family {name!r}; take 'auto' or one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def choose_family(name: object, schema: Schema) -> Family:
    """The family for "auto", from the schema; else the one that was named, with its default options.

    Raises:
        OptionError: There is none of that name.
    """
    if not isinstance(name, str):
        raise OptionError(
            f"family is {name!r}, expected 'auto', a name ({', '.join(FAMILIES)}), or a family such as FeedForward()"
        )
    return FeedForward() if name == "auto" else make_family(name)()
