"""Families: recipes for graphs, by name."""

from __future__ import annotations

from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.families.attention import Attention
from lamina.families.branches import BRANCHES, BranchFamily
from lamina.families.classical.boosting import Boosting
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily
from lamina.families.classical.foreign import CatBoost, LightGBM, XGBoost
from lamina.families.classical.forest import Forest
from lamina.families.classical.linear import Linear
from lamina.families.classical.neighbours import Neighbours
from lamina.families.convolutional import Convolutional
from lamina.families.family import TABLE, Family, NetworkFamily, TableFamily
from lamina.families.feedforward import FeedForward
from lamina.families.hierarchical import Hierarchical
from lamina.families.recurrent import Recurrent
from lamina.families.shortcut import Shortcut

NETWORKS: dict[str, type[NetworkFamily]] = {
    family.name: family for family in (FeedForward, Shortcut, Convolutional, Recurrent, Attention, Hierarchical)
}
CLASSICAL: dict[str, type[ClassicalFamily]] = {
    family.name: family for family in (Forest, Boosting, Linear, Neighbours, Constant, LightGBM, XGBoost, CatBoost)
}
FAMILIES: dict[str, type[Family]] = {**NETWORKS, **CLASSICAL}

#: Families from the simplest to the most complex, by what a model of theirs keeps and computes for a prediction: a number, a
#: weight for each column, some hundred small trees, full-grown trees, all training rows, layers. Nothing in it is measured, so
#: where a comparison prefers the simpler of two models it does so every time.
SIMPLEST_FIRST = (
    *("constant", "linear", "boosting", "lightgbm", "xgboost", "catboost", "forest", "neighbours"),
    *("feedforward", "shortcut", "convolutional", "recurrent", "attention", "hierarchical"),
)

#: The family for a table with such a column, the richest kind first, and why.
AUTO: dict[str, tuple[type[BranchFamily], str]] = {
    "image": (Convolutional, "whose windows see the same thing wherever it is"),
    "text": (Attention, "which weighs each word by the others"),
    "series": (Convolutional, "whose windows see the same thing whenever it happens"),
}
PLURALS = {"image": "images", "text": "texts", "series": "series", "table": "plain columns"}
BRANCHES.update({kind: family for kind, (family, _) in AUTO.items()})

__all__ = [
    "CLASSICAL",
    "FAMILIES",
    "NETWORKS",
    "SIMPLEST_FIRST",
    "Attention",
    "Boosting",
    "BranchFamily",
    "CatBoost",
    "ClassicalFamily",
    "Constant",
    "Convolutional",
    "Family",
    "FeedForward",
    "Forest",
    "Hierarchical",
    "LightGBM",
    "Linear",
    "Neighbours",
    "NetworkFamily",
    "Recurrent",
    "Shortcut",
    "TableFamily",
    "XGBoost",
    "choose_family",
    "make_family",
    "works_with",
]


def make_family(name: str) -> type[Family]:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    if name not in FAMILIES:
        raise OptionError(f"there is no family {name!r}; take 'auto' or one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


def choose_family(family: object, schema: Schema) -> tuple[Family, str]:
    """The family for "auto", from the schema; else the one that was given, by name or whole; and why.

    Raises:
        OptionError: There is none of that name, or it has no way to read any of the columns.
    """
    kinds = {column.kind: column.name for column in reversed(schema.features)}
    if isinstance(family, str) and family == "auto":
        rich = next((kind for kind in AUTO if kind in kinds), None)
        if rich is None:
            return FeedForward(), "plain columns: feedforward networks that share weights and answer together"
        chosen, why = AUTO[rich]
        return chosen(), f"column {kinds[rich]!r} holds {PLURALS[rich]}: {chosen.name}, {why}"
    if isinstance(family, str):
        family = make_family(family)()
    if not isinstance(family, Family):
        raise OptionError(
            f"family is {family!r}, expected 'auto', a name ({', '.join(FAMILIES)}), or a family such as FeedForward()"
        )
    if not any(kind in family.reads for kind in kinds):
        able = [name for name, other in FAMILIES.items() if any(kind in other.reads for kind in kinds)]
        reads = " and ".join(PLURALS.get(kind, kind) for kind in dict.fromkeys(map(_sort, family.reads)))
        raise OptionError(
            f"the family {family.name!r} reads {reads}, but the columns are of the kinds {', '.join(sorted(kinds))}; "
            f"take 'auto' or one of {', '.join(able)}"
        )
    return family.check(), "as asked"


def works_with() -> str:
    """Which family reads which kinds of columns in a way of its own, as the table in docs/families.md.

    Example:
        >>> print(works_with().splitlines()[2])
        | `feedforward` | yes | yes | yes | yes |
    """
    kinds = ("table", "image", "text", "series")
    lines = ["| family | " + " | ".join(PLURALS[kind] for kind in kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for name, family in FAMILIES.items():
        read = {_sort(kind) for kind in family.reads}
        cells = ["yes" if kind in read else "beside" for kind in kinds]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _sort(kind: str) -> str:
    return "table" if kind in TABLE else kind
