"""From a table and settings to a model: the whole way of the data, in order."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

import lamina
from lamina.data.encode import Encoder
from lamina.data.feed import Feed
from lamina.data.image import told_of
from lamina.data.schema import Schema
from lamina.data.split import Split, split
from lamina.data.task import Task, usable_rows
from lamina.errors import DataError, OptionError
from lamina.families import Family, choose_family, make_family
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.model import Model
from lamina.options import Options
from lamina.train.frozen import compute_frozen
from lamina.train.loop import Edit, Monitor, train
from lamina.train.recipe import Recipe
from lamina.train.run import Run


@dataclass(frozen=True)
class Settings:
    """Everything that is asked for besides the data; JSON both ways, so that a run can be gone on from.

    Attributes:
        targets: Columns to be told.
        task: "classification", "regression", or None to decide from the target.
        kinds: Kinds of columns that a person knows better.
        roles: Columns that are a "group", the "time", a "weight", the "split", or "ignored".
        validation: Share of the rows that are never learnt from.
        class_weight: "balanced", weights by class, or None.
        family: A family, or "auto".
        recipe: How to train.
        device: "auto", "cpu", "cuda", ...
        seed: Everything random follows from it.
        fewest: Rows that the rarest class must have.
    """

    targets: tuple[str, ...]
    task: str | None = None
    kinds: dict[str, str] = dataclasses.field(default_factory=dict)
    roles: dict[str, str] = dataclasses.field(default_factory=dict)
    validation: float = 0.15
    class_weight: Any = None
    family: Family | str = "auto"
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    device: str = "auto"
    seed: int = 0
    fewest: int = 2

    def to_json(self) -> dict[str, Any]:
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        content["targets"] = list(self.targets)
        if isinstance(self.class_weight, dict):
            content["class_weight"] = [[label, weight] for label, weight in self.class_weight.items()]
        content["recipe"] = self.recipe.to_json()
        if isinstance(self.family, Family):
            content["family"] = {"name": self.family.name, **self.family.to_json()}
        return content

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Settings:
        content = dict(content, targets=tuple(content["targets"]), recipe=Recipe.from_json(content["recipe"]))
        if isinstance(content["class_weight"], list):
            content["class_weight"] = dict(content["class_weight"])
        if isinstance(content["family"], dict):
            options = dict(content["family"])
            content["family"] = make_family(options.pop("name")).from_json(options)
        return cls(**content)


def learn(
    table: pl.DataFrame, settings: Settings, *, run: Run | None = None, monitor: Monitor | None = None, edit: Edit | None = None
) -> Model:
    """Fit a network to a table, validated on rows that it never learns from.

    The same rows in another order, with the same seed, give the same model.

    Args:
        table: Features, target, and what the roles name.
        settings: What is asked for.
        run: The folder to write events and checkpoints to; a checkpoint found there is gone on from.
        monitor: Called with each event.
        edit: Called before each epoch with its number and the net; may return another graph (see ``train.loop``).

    Raises:
        DataError: The data cannot be learnt from; the message names the column and the remedy.
        OptionError: An option is out of bounds.
        TrainingError: Training never got anywhere.
    """
    settings.recipe.check()
    schema = Schema.infer(table, target=list(settings.targets), kinds=settings.kinds, roles=settings.roles)
    known, missing_note = usable_rows(table, settings.targets)
    given, table = table, _in_order(table if known.all() else table.filter(pl.Series(known)))
    task = Task.infer(table, settings.targets, kind=settings.task, min_class_rows=settings.fewest)
    parts = split(table, schema, task, validation=settings.validation, seed=settings.seed)
    family, why = choose_family(settings.family, schema)
    device = choose_device(settings.device)

    task = task.fit(table[parts.train])
    with told_of(given, schema):
        features, _ = schema.check(table, notes=False)
        train_features = features[parts.train]
        encoder = Encoder.fit(train_features, schema, family.encoding())
        recipe = family.complete(settings.recipe, rows=len(parts.train), inputs=encoder.inputs, task=task)
        weights = row_weights(table, schema, task, settings.class_weight)
        feed, validation = (
            Feed(encoder.transform(part), task.encode(table[rows]), None if weights is None else weights[rows], device=device)
            for part, rows in ((train_features, parts.train), (features[parts.validation], parts.validation))
        )
    del features, train_features
    net = Net(Plan(family.graph(encoder.inputs, task.output_size(recipe.loss))), seed=settings.seed)
    net.prepare(feed.inputs)
    laid = family.lay_in(net, encoder)
    net.to(device)
    notes = [note for note in (missing_note, *parts.notes, *encoder.notes, *laid) if note]
    if monitor:
        monitor(
            {
                "event": "start",
                "schema": schema,
                "task": task,
                "split": parts,
                "notes": notes,
                "net": net,
                "recipe": recipe,
                "family": family,
            }
        )
    if run:
        run.event("start", rows=len(feed), validation_rows=len(validation), recipe=recipe.to_json(), family=family.name)
    if not recipe.augment and edit is None:  # else the images, or what is frozen, may change from epoch to epoch
        feed, validation = compute_frozen(net, feed), compute_frozen(net, validation)
    net, history = train(net, feed, validation, recipe=recipe, seed=settings.seed, run=run, monitor=monitor, edit=edit)
    model = Model(schema, task, encoder, net, recipe.loss, family.name)
    model.card = _card(model, table, parts, family=family, history=history, notes=notes) | {"why": why}
    return model


def choose_device(device: str) -> torch.device:
    """ "auto" is a GPU where there is one.

    Raises:
        OptionError: There is no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"device {device!r} cannot be used here; take 'cpu' or 'auto'") from error
    return chosen


def row_weights(table: pl.DataFrame, schema: Schema, task: Task, class_weight: Any) -> np.ndarray | None:
    """Weights of rows: the weight column times those of the classes; None where all are alike.

    "balanced" is N / (classes x rows of the class), as in scikit-learn.
    """
    weights = None
    for column in schema.columns:
        if column.role == "weight":
            weights = table[column.name].cast(pl.Float64, strict=False).to_numpy()
            if not np.isfinite(weights).all() or (weights < 0).any():
                raise DataError(
                    f"the weight column {column.name!r} holds missing, infinite or negative weights; mend or drop these rows"
                )
            if weights.sum() == 0:
                raise DataError(f"the weights in column {column.name!r} are all zero; at least one row must count")
    if class_weight is None:
        return weights
    if task.kind != "classification":
        raise OptionError("class_weight is for classification; for regression give a weight for each row")
    codes = task.encode(table)
    counts = np.bincount(codes, minlength=len(task.classes or ()))
    if class_weight == "balanced":
        by_class = len(codes) / (len(counts) * np.maximum(counts, 1))
    elif isinstance(class_weight, dict):
        unknown = [label for label in class_weight if label not in (task.classes or ())]
        if unknown:
            raise OptionError(
                f"class_weight names {unknown[0]!r}, which is no class of {task.targets[0]!r}: {list(task.classes or ())}"
            )
        by_class = np.array([class_weight.get(label, 1.0) for label in task.classes or ()], dtype=np.float64)
    else:
        raise OptionError(f"class_weight is {class_weight!r}, expected 'balanced', a dict of weights by class, or None")
    return by_class[codes] if weights is None else weights * by_class[codes]


def _card(
    model: Model, table: pl.DataFrame, parts: Split, *, family: Options, history: Any, notes: list[str]
) -> dict[str, Any]:
    held_out = model.scores(table[parts.validation])
    return {
        "lamina": lamina.__version__,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "data": {"rows": len(table), "columns": table.width, "fingerprint": fingerprint(table)},
        "split": {"how": parts.how, "train": len(parts.train), "validation": len(parts.validation)},
        "notes": notes,
        "family": family.to_json(),
        "recipe": history.recipe.to_json(),
        "parameters": sum(parameter.numel() for parameter in model.net.parameters()),
        "history": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "seconds": history.seconds,
        "validation": held_out["scores"],
        "baseline": held_out["baseline"],
        "confusion": held_out.get("confusion"),
    }


def _in_order(table: pl.DataFrame) -> pl.DataFrame:
    """The rows in an order of their own, so that the model does not depend on the order they were given in."""
    return table[_hashes(table).arg_sort()]


def _hashes(table: pl.DataFrame) -> pl.Series:
    """A number for each row; columns of Python objects have none and are passed over."""
    plain = table.select(column for column in table.get_columns() if column.dtype != pl.Object)
    return plain.hash_rows(seed=0)


def fingerprint(table: pl.DataFrame) -> str:
    """A number for the content of a table, whatever the order of its rows."""
    names = ",".join(f"{name}:{dtype}" for name, dtype in table.schema.items())
    hashes = _hashes(table).sort().to_numpy().tobytes()
    return hashlib.sha256(names.encode() + hashes).hexdigest()[:16]
