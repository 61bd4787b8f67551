"""Settings: the keywords of ``lamina.fit``, the estimators and the command line: default, bounds, error, help and JSON."""

from __future__ import annotations

import dataclasses
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lamina.data.frames import literal
from lamina.errors import OptionError
from lamina.options import CallOptions, option, plain, shortened
from lamina.tasks.threshold import EXPECTED
from lamina.train.recipe import Recipe

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from lamina.families import Auto, Family
    from lamina.model import Fitted, Model
    from lamina.train.callbacks import Callback
    from lamina.train.events import Monitor
    from lamina.train.loop import Edit

COLUMN = "the name of a column"
COLUMNS = "a list of column names, such as ['age', 'town']"
SEEDS = 2**32
"""Seeds are smaller than this, as scikit-learn and NumPy ask."""
SPLITTERS = ("group", "time", "split")
"""The roles of a column that decides which rows validate; at most one of them can be given."""
ROLES = (*SPLITTERS, "weight")
QUALITIES = ("fast", "good", "best")
FUNCTION: Any = Callable


def _skip_bad() -> Any:
    return option(False, "Skip rows with a damaged or foreign file, or a cell that cannot be read; a note names them.")


@dataclass(frozen=True)
class Settings(CallOptions):
    """What a fit is asked for besides the data; for a None the default recipe and a random seed are taken.

    Example:
        >>> Settings("income", group="patient", drop=("id",)).check().roles
        {'patient': 'group', 'id': 'ignored'}
        >>> Settings("income", group="patient", drop=("patient",)).check()
        Traceback (most recent call last):
        ...
        lamina.errors.OptionError: column 'patient' is given both as group and in drop; give it one of the two
    """

    target: str | list[str] | tuple[str, ...] = option(
        "", "The column to predict. Several columns of numbers: name each. Of a folder: the label.", items=str, expected=COLUMNS
    )
    task: str | None = option(
        None, "classification, regression or multilabel; inferred from the target if not given.", kind=str
    )
    kinds: Mapping[str, str] | None = option(
        None,
        "Kinds of columns, instead of those inferred: number, flag, category, date, image, text, series, id.",
        kind=Mapping,
        expected="a dict of kinds by column, such as {'zip': 'category'}",
    )
    group: str | None = option(None, "The column of groups; a group stays on one side of the split.", kind=str, expected=COLUMN)
    time: str | None = option(
        None,
        "The column of times; the latest rows are the validation rows. Month, weekday and hour stay features.",
        kind=str,
        expected=COLUMN,
    )
    split: str | None = option(None, "The column that marks training and validation rows.", kind=str, expected=COLUMN)
    weight: str | None = option(None, "The column of sample weights.", kind=str, expected=COLUMN)
    drop: list[str] | tuple[str, ...] | None = option(None, "Columns to ignore.", items=str, expected=COLUMNS)
    unique: bool = option(False, "Drop duplicate rows.")
    validation: float = option(
        0.15, "Share of the rows used as validation rows.", low=1e-6, high=0.9, expected="a share above 0 and up to 0.9"
    )
    class_weight: Mapping[Any, float] | str | None = option(
        None,
        "Weights of the classes in the loss; 'balanced' gives rare classes the weight of frequent ones.",
        choices=("balanced", None),
        kind=Mapping,
        expected="a dict of weights by class",
    )
    skip_bad: bool = _skip_bad()
    merge_rare: bool = option(False, "Merge the classes of fewer than 10 rows into one, 'other'.")
    family: Family | Auto | str = option(
        "auto",
        "Which model: auto, the name of a family, or a family with its options.",
        kind=object,
        expected="'auto', the name of a family, or a family such as FeedForward()",
    )
    quality: str = option(
        "good",
        "How much family='auto' tries: fast is one classical model, good the best of some candidates or their mean, best an "
        "ensemble of all that help, on five folds.",
        choices=QUALITIES,
    )
    time_limit: float | None = option(
        None, "Seconds that the fit may take, reading aside; a network stops in time.", low=0.1, high=1e8, kind=float
    )
    recipe: Recipe = option(None, "How to train a network.", kind=Recipe, expected="a recipe, such as lamina.Recipe(epochs=20)")
    device: str = option("auto", "auto, cpu, cuda, ...")
    seed: int = option(0, "Seed of all random numbers; None draws one.", low=0, high=SEEDS - 1, choices=(None,), kind=int)
    trust: bool = option(True, "Keep what `predict(trust=True)` needs in the model, some rows of the data among it.")
    skipped: tuple[str, ...] = dataclasses.field(default=())  # files of a folder that skip_bad left out
    fewest: int = dataclasses.field(default=2)  # rows that the rarest class must have; the estimators take 1
    separator: str | None = dataclasses.field(default=None)  # of the text file that the rows are from
    typed: bool = dataclasses.field(default=False)  # whether texts are read already, as those of a comparison's folds

    def __post_init__(self) -> None:
        values = {name: _settled(value) for name, value in self.get_params().items()}
        values |= {name: _named(values[name]) for name in ("target", *ROLES, "drop")}
        if isinstance(values["kinds"], Mapping):
            values["kinds"] = {_named(name): kind for name, kind in values["kinds"].items()}
        values["recipe"] = Recipe() if self.recipe is None else self.recipe
        values["seed"] = secrets.randbelow(2**31) if self.seed is None else values["seed"]
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.target,) if isinstance(self.target, str) else tuple(self.target)

    @property
    def roles(self) -> dict[str, str]:
        """The role of each column that is given one, as the schema calls it."""
        return {name: role for role, name in self._named_roles.items()} | dict.fromkeys(self.drop or (), "ignored")

    @property
    def decides(self) -> bool:
        """See :func:`decides`."""
        return decides(self.family, self.recipe)

    @property
    def _named_roles(self) -> dict[str, str]:
        return {role: getattr(self, role) for role in ROLES if getattr(self, role) is not None}

    def check(self) -> Self:
        """The same settings; OptionError if one is of the wrong type, out of bounds, or contradicts another."""
        self._check_target()
        super().check()
        self.recipe.check()
        self._check_columns()
        self._check_class_weight()
        from lamina.families import check_family  # takes longer to import than all else here

        check_family(self.family)
        if self.quality != type(self).quality and not self.decides:
            what = (
                "options of the recipe or of a network"
                if self.family == "auto" or self.recipe != Recipe()
                else f"family={self.family!r}"
            )
            raise OptionError(
                f"quality={self.quality!r} is for family='auto', which chooses the model; leave out quality, or {what}"
            )
        return self

    def within(self, seconds: float) -> Settings:
        """The settings with a recipe that ends after so many seconds, or earlier if it does already."""
        limit = max(0.05, min(seconds, self.recipe.time_limit or math.inf))
        return dataclasses.replace(self, recipe=dataclasses.replace(self.recipe, time_limit=limit))

    def without_effect(self, *, out_of_bag: bool, classical: str | None) -> list[str]:
        """Sentences about options that were given but have no effect.

        Args:
            out_of_bag: Each row validates by what did not learn from it.
            classical: Name of the family where it is no network.
        """
        notes = []
        if self.validation != type(self).validation and (self.split or self.time is None and out_of_bag):
            why = f"column {self.split!r} chooses the validation rows" if self.split else "all rows validate, out of bag"
            notes.append(f"validation={self.validation:g} has no effect: {why}")
        if classical and self.time_limit is not None:
            notes.append(f"time_limit={self.time_limit:g} has no effect: {classical} is fitted at once")
        if classical and self.device not in ("auto", "cpu"):
            notes.append(f"device={self.device!r} has no effect: {classical} runs on the CPU")
        return notes

    def to_json(self) -> dict[str, Any]:
        from lamina.families import family_to_json

        content = {**super().to_json(), "recipe": self.recipe.to_json(), "family": family_to_json(self.family)}
        if isinstance(self.class_weight, Mapping):
            content["class_weight"] = [[_label_to_json(label), weight] for label, weight in self.class_weight.items()]
        return content

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        from lamina.families import family_from_json

        content = {**values, "recipe": Recipe.from_json(values["recipe"]), "family": family_from_json(values["family"])}
        if isinstance(content["class_weight"], list):
            content["class_weight"] = {_label_from_json(label): weight for label, weight in content["class_weight"]}
        return cls(**content)

    def _check_target(self) -> None:
        given, how = self.target, "expected the name of a column, or a list of names"
        if isinstance(given, list | tuple) and not all(isinstance(name, str) for name in given):
            given = next(name for name in given if not isinstance(name, str))
        several = self.target if isinstance(self.target, tuple) else ()
        values = 2 * len(set(map(repr, several))) < len(several) or (several and all(isinstance(one, float) for one in several))
        if not values and isinstance(given, str | list | tuple):
            if len(set(self.targets)) < len(self.targets):
                raise OptionError(f"target names a column twice: {list(self.targets)}; name each once")
        elif values or (hasattr(given, "__len__") and not isinstance(given, bytes | Mapping)):
            kind = "list" if values else type(given).__name__
            raise OptionError(
                f"target holds values ({kind}), {how}; for arrays X and y write Classifier().fit(X, y) or Regressor().fit(X, y)"
                ", or give one frame and the name of its target"
            )
        else:
            text = isinstance(given, int) and not isinstance(given, bool)
            hint = f"; a column that is called by a number has its digits as name: target='{given}'" if text else ""
            raise OptionError(f"target is {shortened(given)}, {how}{hint}")

    def _check_columns(self) -> None:
        roles = [(name, "target") for name in self.targets]
        roles += [(name, role) for role, name in self._named_roles.items()]
        roles += [(name, "drop") for name in self.drop or ()]
        first: dict[str, str] = {}
        for name, role in roles:
            if (other := first.setdefault(name, role)) != role:
                both = f"as {other} and {'in drop' if role == 'drop' else f'as {role}'}"
                raise OptionError(f"column {name!r} is given both {both}; give it one of the two")
        if len(by := [f"{role}={name!r}" for role, name in self._named_roles.items() if role in SPLITTERS]) > 1:
            raise OptionError(f"{' and '.join(by)} each decide which rows validate; give one of them")
        for name, kind in (self.kinds or {}).items():
            if not isinstance(name, str) or not isinstance(kind, str):
                raise OptionError(
                    f"kinds is {shortened(self.kinds)}, expected names of columns and kinds, such as {{'zip': 'category'}}"
                )
            if first.get(name) == "drop":
                raise OptionError(f"column {name!r} is given both in kinds and in drop; a column that is ignored has no kind")
            if first.get(name) == "target" and kind.partition(" ")[0] not in ("number", "date", "text"):
                raise OptionError(
                    f"kinds names the target {name!r} as {kind!r}, expected how its values are read: number, date or text; "
                    "say task='classification' or task='regression' for what is predicted"
                )

    def _check_class_weight(self) -> None:
        if not isinstance(self.class_weight, Mapping):
            return
        for label, weight in self.class_weight.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not number or not math.isfinite(weight) or weight < 0:
                raise OptionError(f"class_weight of {label!r} is {shortened(weight)}, expected a number of at least 0")
        if self.class_weight and not any(self.class_weight.values()):
            raise OptionError("class_weight is 0 for every class in it; at least one must count")


def decides(family: Family | Auto | str, recipe: Recipe | None) -> bool:
    """Whether evidence chooses the family: it is "auto", and nothing was asked that only networks have."""
    from lamina.families import Auto

    automatic = not family.options if isinstance(family, Auto) else isinstance(family, str) and family == "auto"
    return automatic and recipe in (None, Recipe())


@dataclass(frozen=True)
class Recording(CallOptions):
    """How a fit or a comparison is recorded and watched."""

    run: str | Path | None = option(
        None,
        "Folder for events and checkpoints, so that the run can be resumed.",
        kind=(str, os.PathLike),
        expected="a folder, such as 'runs/adult-1'",
    )
    monitor: Monitor | str | None = option(
        "auto",
        "Called with each event; auto shows a progress bar where a person is looking.",
        choices=("auto", None),
        kind=FUNCTION,
        expected="a function of an event",
    )


@dataclass(frozen=True)
class Interventions(CallOptions):
    """What may stop or change a fit while it runs."""

    callbacks: Sequence[Callback] | None = option(
        None,
        "Called when training starts, after steps and epochs, and at the end.",
        kind=(list, tuple),
        expected="a list of callbacks, such as callbacks=[MyCallback()]",
    )
    edit: Edit | None = option(
        None,
        "Called before each epoch with its number and the net; may return another graph.",
        kind=FUNCTION,
        expected="a function of the number of the epoch and the net",
    )


@dataclass(frozen=True)
class Starting(CallOptions):
    """The models that training starts or learns from."""

    start: Model | Fitted | str | Path | None = option(
        None,
        "Model whose columns, encoder and weights training starts from (fine-tuning): a .lamina file, or a fitted network.",
        kind=object,
        expected="a fitted model or the path of a .lamina file",
    )
    teacher: Model | Fitted | BaseEstimator | str | Path | None = option(
        None,
        "Model whose predictions a network learns (distillation): a .lamina file, a fitted model, or a scikit-learn estimator.",
        kind=object,
        expected="a fitted model, the path of a .lamina file, or a scikit-learn estimator",
    )


@dataclass(frozen=True)
class Resumption(CallOptions):
    """What a resumed run is given again."""

    custom_objects: Mapping[str, Callable[..., object]] | None = option(
        None,
        "Functions of the family or recipe by name; no file has them.",
        kind=Mapping,
        expected="a dict of functions by name, such as {'my_loss': my_loss}",
    )


def _threshold() -> Any:
    return option(
        None,
        "Decision threshold of two classes, or of each label: f1, recall=0.9, precision=0.9, cost=1:5 (false positive : false "
        "negative), chosen on the validation rows of the fit; or a probability.",
        low=0,
        high=1,
        kind=(str, float),
        expected=EXPECTED,
    )


@dataclass(frozen=True)
class PredictOptions(CallOptions):
    """What predictions come with."""

    trust: bool = option(False, "Calibrated probabilities, sets or intervals, novelty and reasons beside each prediction.")
    coverage: float = option(
        0.9,
        "Share of rows whose truth is in their set or interval.",
        low=1e-9,
        high=1 - 1e-9,
        expected="a share of the rows between 0 and 1, such as 0.9",
    )
    reasons: bool = option(True, "Look for reasons; that takes longest.")
    threshold: float | str | None = _threshold()
    skip_bad: bool = _skip_bad()


@dataclass(frozen=True)
class EvaluateOptions(CallOptions):
    """What an evaluation shows beside the scores."""

    threshold: float | str | None = _threshold()
    errors: int = option(0, "Number of the worst predictions to show, with their rows.", low=0, high=1_000_000)
    skip_bad: bool = _skip_bad()


@dataclass(frozen=True)
class ImportanceOptions(CallOptions):
    """How feature importance is measured."""

    repeats: int = option(5, "Number of shuffles of each column.", low=1, high=10_000)
    seed: int = option(0, "Seed of the shuffles.", low=0, high=SEEDS - 1)
    monitor: Monitor | None = option(
        None, "Called with an event after each shuffle.", kind=FUNCTION, expected="a function of an event"
    )


def _named(name: Any) -> Any:
    """A column's name as :func:`~lamina.data.read.read_table` gives it: pandas may call columns 0, 1, 2."""
    if isinstance(name, tuple):
        return tuple(map(_named, name))
    name = str(name) if isinstance(name, int) and not isinstance(name, bool) else name
    return literal(name) if isinstance(name, str) and name else name


def _settled(value: Any) -> Any:
    """A value that does not change any more: NumPy scalars as Python's, a list as a tuple, a dict as a copy with such keys."""
    if isinstance(value, Mapping):
        return {_label(key): plain(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list | tuple) else plain(value)


def _label(key: Any) -> Any:
    """The label of a class as the task has it: a Python value, and moments as ``datetime``."""
    if hasattr(key, "to_pydatetime"):  # pandas
        return key.to_pydatetime()
    if getattr(getattr(key, "dtype", None), "kind", "") == "M":
        return key.item() if isinstance(key.item(), date) else key.astype("datetime64[us]").item()
    return plain(key)


def _label_to_json(label: Any) -> Any:
    if isinstance(label, date):
        return {"datetime" if isinstance(label, datetime) else "date": label.isoformat()}
    return label


def _label_from_json(label: Any) -> Any:
    if isinstance(label, dict):
        return datetime.fromisoformat(label["datetime"]) if "datetime" in label else date.fromisoformat(label["date"])
    return label
