"""The space of a tuning: the options to search, each with a range or a list of values, from the options' declarations."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.data.columns import KINDS
from lamina.data.columns.column import PlainKind
from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.families.family import Family, NetworkFamily
from lamina.options import Options, check_option, find, plain, shortened
from lamina.train.recipe import Recipe
from lamina.wording import nearest, number

FAMILY = "family"
"""The name of the choice between several families."""


@dataclass(frozen=True)
class Dimension:
    """An option to search.

    Args:
        name: Its name among the parameters of a trial: ``family.max_depth``, ``recipe.learning_rate``; of several families
            ``boosting.max_leaf_nodes``.
        option: Its name in the family or the recipe.
        family: The candidate whose option it is; "" for the recipe.
        low, high: The range of a number; None for a list of values.
        log: Whether the logarithm is uniform.
        whole: Whether the number is whole.
        choices: The values, for a list.
    """

    name: str
    option: str
    family: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    choices: tuple[Any, ...] = ()

    def contains(self, value: Any) -> bool:
        """Whether a value is in the range or the list."""
        if self.low is None or self.high is None:
            return value in self.choices
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def encode(self, value: Any) -> Any:
        """A value as the sampler has it: values of a list as JSON text."""
        return value if self.low is not None else json.dumps(plain(value))

    def suggest(self, trial: Any) -> Any:
        """The value that an Optuna trial has for it."""
        if self.low is None or self.high is None:
            chosen = trial.suggest_categorical(self.name, [self.encode(value) for value in self.choices])
            return next(value for value in self.choices if self.encode(value) == chosen)
        suggest = trial.suggest_int if self.whole else trial.suggest_float
        return suggest(self.name, self.low, self.high, log=self.log)

    def to_json(self) -> dict[str, Any]:
        """The range, or the list of values."""
        if self.low is None:
            return {"values": [plain(value) for value in self.choices]}
        return {"range": [self.low, self.high, *(["log"] if self.log else [])]}

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return ", ".join("none" if value is None else str(value) for value in self.choices)
        return f"{number(self.low)} to {number(self.high)}{' (log)' if self.log else ''}"


@dataclass(frozen=True)
class Space:
    """The families and the options that a tuning searches.

    Attributes:
        families: The families with their fixed options, by name; the first gives the defaults.
        recipe: The recipe with its fixed options.
        dimensions: The options to search.
    """

    families: Mapping[str, Family]
    recipe: Recipe
    dimensions: tuple[Dimension, ...]

    @property
    def first(self) -> str:
        """The family whose options as given are the defaults."""
        return next(iter(self.families))

    def of(self, family: str) -> list[Dimension]:
        """The options to search where this family is chosen."""
        network = isinstance(self.families[family], NetworkFamily)
        return [one for one in self.dimensions if one.family == family or (not one.family and network)]

    def suggest(self, trial: Any, *, fixed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The parameters of an Optuna trial, by name; of a trial with ``fixed`` ones, only these."""
        family = self.first
        params: dict[str, Any] = {}
        if len(self.families) > 1:
            family = params[FAMILY] = trial.suggest_categorical(FAMILY, list(self.families))
        dimensions = [one for one in self.of(family) if fixed is None or one.name in fixed]
        return params | {one.name: one.suggest(trial) for one in dimensions}

    def encode(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters as the sampler has them."""
        by_name = {one.name: one for one in self.dimensions}
        return {name: by_name[name].encode(value) if name in by_name else value for name, value in params.items()}

    def defaults(self, family: str, decided: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """The values that a family has without tuning, as far as the ranges contain them.

        Args:
            family: Its name.
            decided: The options of ``family`` and ``recipe`` with every "auto" decided, as a model card has them.
        """
        params: dict[str, Any] = {FAMILY: family} if len(self.families) > 1 else {}
        for one in self.of(family):
            given = getattr(self.families[family] if one.family else self.recipe, one.option)
            value = decided.get(FAMILY if one.family else "recipe", {}).get(one.option, given)
            value = tuple(value) if isinstance(value, list) else value
            if one.contains(given) or one.contains(value):
                params[one.name] = given if one.contains(given) else value
        return params

    def apply(self, params: Mapping[str, Any]) -> tuple[Family, Recipe]:
        """The family and the recipe with these parameters."""
        name = params.get(FAMILY, self.first)
        options = {one.option: params[one.name] for one in self.of(name) if one.family and one.name in params}
        recipe = {one.option: params[one.name] for one in self.of(name) if not one.family and one.name in params}
        return dataclasses.replace(self.families[name], **options), dataclasses.replace(self.recipe, **recipe)  # pyright: ignore[reportArgumentType]

    def to_json(self) -> dict[str, Any]:
        """The ranges and lists by name; :func:`ranges` reads them."""
        return {one.name: one.to_json() for one in self.dimensions}


def declared_space(families: Mapping[str, Family], recipe: Recipe, schema: Schema) -> Space:
    """The space that families and recipe declare: options with an effect on these columns, as long as none is given.

    Raises:
        OptionError: There is nothing to search.
    """
    dimensions = []
    for title, family in families.items():
        for field in dataclasses.fields(family):
            if not field.metadata.get("tune") or getattr(family, field.name) != field.default:
                continue
            if not field.metadata["blocks"] or _blocks(schema, family) & {*field.metadata["blocks"]}:
                dimensions.append(_dimension(_named(families, title, field.name), field, field.metadata["tune"], title))
    if any(isinstance(family, NetworkFamily) for family in families.values()):
        fields = [field for field in dataclasses.fields(recipe) if field.metadata.get("tune")]
        given = [field for field in fields if getattr(recipe, field.name) == field.default]
        dimensions += [_dimension(f"recipe.{field.name}", field, field.metadata["tune"]) for field in given]
    space = Space(families, recipe, tuple(dimensions))
    _check_empty(space)
    return space


def given_space(families: Mapping[str, Family], recipe: Recipe, schema: Schema, ranges: Mapping[str, Any]) -> Space:
    """The space that a person gives: ``{"family.max_depth": (2, 10)}``; several families may have options of their own.

    Raises:
        OptionError: A name is unknown, has no effect on these columns or is fixed; or a bound is none that the option allows.
    """
    dimensions: dict[str, Dimension] = {}
    networks = [title for title, family in families.items() if isinstance(family, NetworkFamily)]
    for name, values in ranges.items():
        owner, dot, option = str(name).partition(".")
        if not dot or owner not in (FAMILY, "recipe", *families):
            raise OptionError(
                f"space names {shortened(name)}, expected an option such as 'family.dropout' or 'recipe.learning_rate'"
                + (f"; {nearest(owner, [FAMILY, 'recipe', *families])}" if dot else "")
            )
        if owner == "recipe":
            if not networks:
                raise OptionError(f"space names {name!r}, but {' and '.join(families)} has no recipe: it is no network")
            owners: list[tuple[str, Options]] = [("", recipe)]
        elif owner == FAMILY:
            having = [title for title, one in families.items() if option in {field.name for field in dataclasses.fields(one)}]
            owners = [(title, families[title]) for title in having or [next(iter(families))]]  # find raises for none
        else:
            owners = [(owner, families[owner])]
        for title, options in owners:
            field = find(type(options), option)
            if getattr(options, option) != field.default:
                raise OptionError(
                    f"space names {name!r}, which is also given as {option}={getattr(options, option)!r}; give one of the two"
                )
            blocks = field.metadata["blocks"]
            if isinstance(options, Family) and blocks and not _blocks(schema, options) & {*blocks}:
                raise OptionError(f"space names {name!r}, which has no effect: no column is read as {' or '.join(blocks)}")
            one = _dimension(_named(families, title, option) if title else f"recipe.{option}", field, values, title)
            for value in one.choices or (one.low, one.high):
                check_option(type(options), option, value)
            dimensions[one.name] = one
    space = Space(families, recipe, tuple(dimensions.values()))
    _check_empty(space)
    return space


def ranges(content: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The ranges that :meth:`Space.to_json` wrote, as a person gives them."""
    return {name: tuple(one["range"]) if "range" in one else list(one["values"]) for name, one in content.items()}


def _named(families: Mapping[str, Family], title: str, option: str) -> str:
    return f"{FAMILY if len(families) == 1 else title}.{option}"


def _dimension(name: str, field: dataclasses.Field, values: Any, family: str = "") -> Dimension:
    """The dimension of a range, a tuple of two numbers and perhaps "log", or of a list of values."""
    expected = "expected (low, high), (low, high, 'log') or a list of values, such as (2, 10) or ['sqrt', 0.5]"
    if isinstance(values, list):
        items = tuple(tuple(value) if isinstance(value, list | tuple) else plain(value) for value in values)
        if not items or any(items.index(value) != place for place, value in enumerate(items)):
            raise OptionError(f"space of {name} is {shortened(values)}, expected a list of different values")
        return Dimension(name, field.name, family, choices=items)
    if not isinstance(values, tuple) or len(values) not in (2, 3) or (len(values) == 3 and values[2] != "log"):
        raise OptionError(f"space of {name} is {shortened(values)}, {expected}")
    low, high = map(plain, values[:2])
    if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high)):
        raise OptionError(f"space of {name} is {shortened(values)}, {expected}")
    log, kinds = len(values) == 3, field.metadata["kinds"]
    if field.metadata["items"] is not None or not kinds & {int, float}:
        raise OptionError(f"space of {name} is {shortened(values)}, but its values have no order; give them in a list")
    if not low < high or (log and low <= 0):
        raise OptionError(
            f"space of {name} is {shortened(values)}, expected a lower bound{' above 0' if log else ''} that is below the upper"
        )
    return Dimension(name, field.name, family, low, high, log, whole=float not in kinds)


def _blocks(schema: Schema, family: Family) -> set[str]:
    """The kinds of blocks that the columns are encoded as for a family."""
    encoding, blocks = family.encoding(), set()
    for kind in {KINDS[column.kind] for column in schema.features}:
        block = None if isinstance(kind, PlainKind) else kind.block(encoding)
        blocks |= {kind.shared} if isinstance(kind, PlainKind) else {block.kind} if block else set()
    return blocks


def _check_empty(space: Space) -> None:
    if space.dimensions or len(space.families) > 1:
        return
    family = space.families[space.first]
    raise OptionError(
        f"there is nothing to tune: no option of the family {family.name!r} is left to search; name some in space=, or take "
        "another family"
    )


def shown(params: Mapping[str, Any]) -> str:
    """Parameters on one line, numbers with four digits.

    Example:
        >>> shown({"family.max_leaf_nodes": 63, "family.learning_rate": 0.034567})
        'family.max_leaf_nodes=63, family.learning_rate=0.03457'
    """
    return ", ".join(_pairs(params.items()))


def _pairs(items: Iterable[tuple[str, Any]]) -> list[str]:
    return [f"{name}={_value(value)}" for name, value in items]


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "x".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
