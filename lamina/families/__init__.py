"""Families: recipes for graphs, by name."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.families.attention import Attention
from lamina.families.branches import BRANCHES, BranchFamily
from lamina.families.classical.boosting import Boosting, BoostingFamily
from lamina.families.classical.constant import Constant
from lamina.families.classical.family import ClassicalFamily
from lamina.families.classical.forest import ExtraTrees, Forest
from lamina.families.classical.libraries import CatBoost, LightGBM, XGBoost
from lamina.families.classical.linear import Linear
from lamina.families.classical.neighbours import Neighbours
from lamina.families.classical.rocket import Rocket
from lamina.families.convolutional import Convolutional
from lamina.families.custom import Custom
from lamina.families.ensemble import Ensemble
from lamina.families.family import TABLE, Family, NetworkFamily, TableFamily
from lamina.families.feedforward import FeedForward
from lamina.families.hierarchical import Hierarchical
from lamina.families.realmlp import RealMLP
from lamina.families.recurrent import Recurrent
from lamina.families.shortcut import Shortcut
from lamina.options import nearest_option, parse, plain
from lamina.wording import nearest

NETWORKS: dict[str, type[NetworkFamily]] = {
    family.name: family for family in (FeedForward, RealMLP, Shortcut, Convolutional, Recurrent, Attention, Hierarchical)
}
CLASSICAL: dict[str, type[ClassicalFamily]] = {
    family.name: family
    for family in (Forest, ExtraTrees, Boosting, Linear, Neighbours, Rocket, Constant, LightGBM, XGBoost, CatBoost)
}
FAMILIES: dict[str, type[Family]] = {**NETWORKS, **CLASSICAL, Ensemble.name: Ensemble}

#: What other libraries call families, for errors.
_OTHER_NAMES = {
    "feedforward": ("mlp", "dnn", "dense", "nn", "neuralnetwork", "fnn"),
    "shortcut": ("resnet", "residual"),
    "convolutional": ("cnn", "convnet", "lenet", "conv"),
    "recurrent": ("rnn", "lstm", "gru"),
    "attention": ("transformer", "bert", "vit"),
    "hierarchical": ("han",),
    "forest": ("randomforest", "rf"),
    "extratrees": ("extratree", "et", "xt", "extremelyrandomizedtrees", "extremelyrandomisedtrees"),
    "boosting": ("gbm", "gbdt", "gradientboosting", "histgradientboosting"),
    "linear": ("logistic", "logisticregression", "linearregression", "ridge"),
    "neighbours": ("knn", "kneighbors", "neighbors"),
    "rocket": ("minirocket", "multirocket", "hydra"),
    "constant": ("dummy", "baseline"),
    "lightgbm": ("lgbm", "lgb"),
    "xgboost": ("xgb",),
    "ensemble": ("bagging", "stacking", "voting", "blend", "autogluon"),
}

#: Families from the simplest to the most complex, by what a model of theirs keeps and computes for a prediction: a number, a
#: weight for each column, some hundred small trees, full-grown trees, all training rows, layers. Nothing in it is measured, so
#: where a comparison prefers the simpler of two models it does so every time.
SIMPLEST_FIRST = (
    *("constant", "linear", "rocket", "boosting", "lightgbm", "xgboost", "catboost", "forest", "extratrees", "neighbours"),
    *("feedforward", "realmlp", "shortcut", "convolutional", "recurrent", "attention", "hierarchical", "ensemble"),
)

#: The family for a table with such a column, the richest kind first, and why.
AUTO: dict[str, tuple[type[BranchFamily], str]] = {
    "image": (Convolutional, "whose filters find a pattern wherever it is"),
    "text": (Attention, "which relates words to each other"),
    "series": (Convolutional, "whose filters find a pattern whenever it occurs"),
}
#: Classical candidates for a table with such a column; for each the network of :data:`AUTO` is one, too.
_CANDIDATES: dict[str, tuple[type[ClassicalFamily], ...]] = {
    "image": (Linear, Forest),
    "text": (Linear,),
    "series": (Linear, Rocket, Boosting),
    "table": (Linear, Boosting, ExtraTrees),
}
#: More of them where quality is "best"; those of libraries where they are installed.
_MORE: dict[str, tuple[type[ClassicalFamily], ...]] = {"table": (LightGBM, XGBoost, CatBoost, Forest)}
#: Options of boosted trees as candidates: half the default learning rate takes twice as long, the error is 0.2 to 2 % lower.
_BOOSTING = {"learning_rate": 0.05, "patience": 40, "max_iter": 3_000}
PLURALS = {"image": "images", "text": "texts", "series": "series", "table": "plain columns"}
BRANCHES.update({kind: family for kind, (family, _) in AUTO.items()})

__all__ = [
    "CLASSICAL",
    "FAMILIES",
    "NETWORKS",
    "SIMPLEST_FIRST",
    "Attention",
    "Auto",
    "Boosting",
    "BranchFamily",
    "CatBoost",
    "ClassicalFamily",
    "Constant",
    "Convolutional",
    "Custom",
    "Ensemble",
    "ExtraTrees",
    "Family",
    "FeedForward",
    "Forest",
    "Hierarchical",
    "LightGBM",
    "Linear",
    "Neighbours",
    "NetworkFamily",
    "RealMLP",
    "Recurrent",
    "Rocket",
    "Shortcut",
    "TableFamily",
    "XGBoost",
    "check_family",
    "choose_family",
    "family_from_json",
    "family_to_json",
    "make_family",
    "shortlist",
    "works_with",
]


class Auto:
    """The family that suits the columns, with options: ``"auto"`` is the same without any.

    The data choose the family; an option that it does not have is then an error, which names the families that have it.
    Options given as text are read as the command line reads them.

    Raises:
        OptionError: No family has an option of that name.

    Example:
        >>> from lamina import Recipe, fit
        >>> rows = {"x": [i / 50 for i in range(100)], "y": ["low"] * 50 + ["high"] * 50}
        >>> model = fit(rows, "y", family=Auto(hidden_sizes=(8,)), recipe=Recipe(epochs=1), monitor=None)
        >>> model.family.name, model.family.hidden_sizes
        ('feedforward', (8,))
    """

    name: ClassVar[str] = "auto"

    def __init__(self, **options: Any):
        self.options: dict[str, Any] = {}
        self.set_params(**options)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options by name, as scikit-learn wants them."""
        return dict(self.options)

    def set_params(self, **params: Any) -> Self:
        """Set options by name."""
        for name in params:
            if not _families_with(name):
                names = dict.fromkeys(f.name for family in NETWORKS.values() for f in dataclasses.fields(family))
                raise OptionError(f"no family has an option {name!r}; {nearest_option(name, names)}")
        self.options |= params
        return self

    def choose(self, schema: Schema) -> tuple[Family, str]:
        """The family for such columns with these options, and why it was chosen.

        Raises:
            OptionError: It has no such option, or one is out of bounds.
        """
        kinds = {column.kind: column.name for column in reversed(schema.features)}
        rich = _richest(schema)
        chosen, reason = AUTO[rich] if rich else (FeedForward, "")
        fields = {field.name for field in dataclasses.fields(chosen)}
        values = {}
        for name, value in self.options.items():
            if name not in fields:
                having = ", ".join(repr(other) for other in _families_with(name))
                raise OptionError(
                    f"family 'auto' is {chosen.name!r} for these columns, which has no option {name!r}; "
                    f"name a family that has it: {having}"
                )
            values[name] = parse(chosen, name, value) if isinstance(value, str) else value
        why = "plain columns: an ensemble of feedforward networks with shared weights"
        return chosen(**values), f"column {kinds[rich]!r} holds {PLURALS[rich]}: {chosen.name}, {reason}" if rich else why

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Auto) and self.options == other.options

    __hash__ = None  # pyright: ignore[reportAssignmentType]  (its options can be set)

    def __repr__(self) -> str:
        return f"Auto({', '.join(f'{name}={value!r}' for name, value in self.options.items())})"


def _richest(schema: Schema) -> str | None:
    """The kind of images, texts or series among the columns that decides which network reads them; None for plain columns."""
    kinds = {column.kind for column in schema.features}
    return next((kind for kind in AUTO if kind in kinds), None)


def shortlist(schema: Schema, quality: str = "good") -> list[Family]:
    """The candidates of ``family="auto"`` for such columns, the simplest first.

    Args:
        schema: The columns.
        quality: "fast" for classical families, "good" for these and the network, "best" for more classical ones.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"x": [1.5, 2.5, 3.5], "y": [1.0, 2.0, 3.0]})
        >>> [family.name for family in shortlist(Schema.infer(table, target="y"))]
        ['linear', 'boosting', 'extratrees', 'feedforward']
    """
    kind = _richest(schema) or "table"
    classes = _CANDIDATES[kind]
    if schema.plain and Boosting not in classes:
        classes += (Boosting,)
    if quality == "best":
        classes += tuple(one for one in _MORE.get(kind, ()) if not one.needs or importlib.util.find_spec(one.needs))
    if LightGBM in classes:  # the same method
        classes = tuple(one for one in classes if one is not Boosting)
    classical: list[Family] = [
        one(**_BOOSTING) if issubclass(one, BoostingFamily) else one()
        for one in sorted(classes, key=lambda one: SIMPLEST_FIRST.index(one.name))
    ]
    network = Auto().choose(schema)[0]
    if isinstance(network, BranchFamily) and Linear in classes:  # a mean with the linear model gains nothing by a wide part
        network = dataclasses.replace(network, wide=False)
    return [*classical, *([] if quality == "fast" else [network])]


def make_family(name: str) -> type[Family]:
    """The family of that name.

    Raises:
        OptionError: There is none.
    """
    if name == Custom.name:
        return Custom
    if name not in FAMILIES:
        plain = name.lower().removesuffix("classifier").removesuffix("regressor").replace("_", "").replace(" ", "")
        known = next((known for known, others in _OTHER_NAMES.items() if plain in others), None)
        hint = f"did you mean {known!r}?" if known else nearest(name, ["auto", *FAMILIES])
        raise OptionError(f"lamina has no family {name!r}; {hint}")
    return FAMILIES[name]


def check_family(family: object) -> Family | Auto:
    """The family that was given, by name or whole, its options checked.

    Raises:
        OptionError: There is none of that name, it is no family, or an option is out of bounds.
    """
    if isinstance(family, str):
        return Auto() if family == "auto" else make_family(family)()
    if isinstance(family, Auto):
        return family
    if not isinstance(family, Family):
        raise OptionError(
            f"family is {family!r}, expected 'auto', a name ({', '.join(FAMILIES)}), or a family such as FeedForward()"
        )
    if isinstance(family, Ensemble) and not isinstance(family.families, str):
        family.check()
        for one in family.families:
            if isinstance(check_family(one), Ensemble):
                raise OptionError("Ensemble.families has an ensemble, expected single families; name its families instead")
    return family.check()


def choose_family(family: object, schema: Schema) -> tuple[Family, str]:
    """The family for "auto", from the schema; else the one that was given, by name or whole; and why.

    Raises:
        OptionError: There is none of that name, or it has no way to read any of the columns.
    """
    family = check_family(family)
    if isinstance(family, Auto):
        chosen, why = family.choose(schema)
        return chosen.check(), why
    kinds = sorted({column.kind for column in schema.features})
    if not any(kind in family.reads for kind in kinds):
        able = [name for name, other in FAMILIES.items() if any(kind in other.reads for kind in kinds)]
        reads = " and ".join(PLURALS.get(kind, kind) for kind in dict.fromkeys(map(_sort, family.reads)))
        raise OptionError(
            f"the family {family.name!r} reads {reads}, but the columns are of the kinds {', '.join(kinds)}; "
            f"take 'auto' or one of {', '.join(able)}"
        )
    return family, "as requested"


def family_to_json(family: Family | Auto | str) -> dict[str, Any] | str:
    """A family, given by name or whole, as JSON."""
    if isinstance(family, str):
        return family
    options = family.to_json() if isinstance(family, Family) else {n: plain(v) for n, v in family.get_params().items()}
    return {"name": family.name, **options}


def family_from_json(content: Mapping[str, Any] | str) -> Family | Auto | str:
    """The family that :func:`family_to_json` wrote."""
    if isinstance(content, str):
        return content
    options = {name: value for name, value in content.items() if name != "name"}
    if isinstance(options.get("families"), list):
        options["families"] = tuple(map(family_from_json, options["families"]))
    if content["name"] == Auto.name:
        return Auto(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})
    return make_family(content["name"]).from_json(options)


def _families_with(option: str) -> list[str]:
    return [name for name, family in FAMILIES.items() if option in {field.name for field in dataclasses.fields(family)}]


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
