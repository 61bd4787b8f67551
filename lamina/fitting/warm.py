"""Warm start: a fit that begins with the columns, the encoder and the weights of a fitted network (fine-tuning)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import torch

from lamina.data.columns.column import Column
from lamina.errors import GraphError, OptionError, SchemaError, TargetError
from lamina.families import family_from_json
from lamina.families.family import NetworkFamily
from lamina.fitting.prepare import Prepared, prepare
from lamina.fitting.settings import Settings
from lamina.graph.edit import carry
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.model import Model
from lamina.options import shortened
from lamina.tasks.losses import LOSSES, find_loss
from lamina.tasks.task import Task
from lamina.train.recipe import Recipe
from lamina.wording import listed


@dataclass(frozen=True, eq=False)
class WarmStart:
    """The model that a fit starts from.

    Its features are read and encoded as in its training rows, because its weights fit their scaling. The last layer is kept for
    the same target; of other classes, those that the model knows by name keep their weights.

    Args:
        model: A network.
        name: The path of its file, or a text that names it in errors.
        checksum: The SHA-256 in the header of its file.
    """

    model: Model
    name: str
    checksum: str

    def to_json(self) -> dict[str, str]:
        """Where training started, for the card."""
        return {"model": self.name, "checksum": self.checksum}

    @cached_property
    def family(self) -> NetworkFamily:
        """The family of the model, with every "auto" option decided."""
        family = family_from_json({**self.model.card["family"], "name": self.model.family})
        assert isinstance(family, NetworkFamily)
        return family

    @property
    def why(self) -> str:
        return f"training starts from {self.name} ({self.model.predictor.size():,} parameters, SHA-256 {self.checksum[:12]}...)"

    # -- columns and target ------------------------------------------------------------------------------------------------

    def prepare(self, table: pl.DataFrame, settings: Settings) -> Prepared:
        """The table prepared with the columns and the task of the model.

        Raises:
            OptionError: An option is one that the model decides.
            SchemaError: The columns are not those of the model.
            TargetError: The target cannot be predicted by the task of the model.
        """
        self._check_options(settings)
        return prepare_as(self.model, self.name, "start", table, settings)

    def _check_options(self, settings: Settings) -> None:
        task = self.model.task.name
        given = {
            "kinds": settings.kinds and "the kinds of columns",
            "family": settings.family != "auto" and "the family",
            "task": settings.task not in (None, task) and f"the task ({task})",
        }
        for option, decided in given.items():
            if decided:
                value = shortened(getattr(settings, option))
                raise OptionError(
                    f"{option} is {value}, but {decided} of {self.name} stays with start; leave {option} out, "
                    "or fit without start"
                )

    # -- training ----------------------------------------------------------------------------------------------------------

    def recipe(self, recipe: Recipe, task: Task) -> Recipe:
        """The recipe with "auto" decided for trained weights: their loss where it fits, and steps that do not begin small."""
        loss = self.model.network.loss
        decided = {"schedule": "constant"} | ({"loss": loss} if loss in [one.name for one in task.losses] else {})
        return dataclasses.replace(recipe, **{name: one for name, one in decided.items() if getattr(recipe, name) == "auto"})

    def net(self, task: Task, loss: Any, seed: int) -> tuple[Net, str]:
        """A network with the weights of the model and an output for each class or value of the task, and a note on these.

        Raises:
            OptionError: The last layer cannot have another number of outputs.
        """
        old, before = self.model.net, self.model.task
        head = next(iter(old.plan.outputs.values()))
        same_units = LOSSES[self.model.network.loss].single == find_loss(loss).single
        names, known = list(task.output_names), list(before.output_names)
        if names == known and same_units:
            net = copy.deepcopy(old)
            _scale(net, head, task, before)
            return net, ""
        try:
            graph = old.plan.graph.widen(head, task.head(loss).units)
        except GraphError as error:
            raise OptionError(f"start is {self.name}, whose last layer cannot have other outputs: {error}") from error
        kept = [name for name in names if name in known] if same_units and not find_loss(loss).single else []
        net = Net(Plan(graph), seed=seed)
        carry(old, net, (old.plan, net.plan), outputs={head: [(known.index(name), names.index(name)) for name in kept]})
        some = f"the weights of {listed(list(map(repr, kept)), 5)} are kept, others are new" if kept else "its weights are new"
        return net, f"the last layer has the outputs {listed(list(map(repr, names)), 5)}: {some}"


def columns_of(model: Model, name: str, option: str, table: pl.DataFrame, settings: Settings) -> dict[str, Column]:
    """The columns of a model by name: its features, and columns that are ignored, as they were in its training.

    Args:
        model: The model that decides the columns.
        name: Its name in errors.
        option: The option by which it was given: "start" or "teacher".
        table: The training rows.
        settings: The settings of the fit.

    Raises:
        SchemaError: The table lacks a feature of the model, has others, or a feature has another role.
    """
    schema = model.schema
    features = [column.name for column in schema.features]
    roles = dict.fromkeys(settings.targets, "target") | settings.roles
    known = {column.name: _with_role(column, roles.get(column.name, "feature")) for column in schema.features}
    if changed := [one for one in features if not known[one].is_feature]:
        raise SchemaError(
            f"column {changed[0]!r} is a feature of {name} and cannot be {_article(roles[changed[0]])} with {option}; "
            f"leave it as it is, or fit without {option}"
        )
    if missing := [one for one in features if one not in table.columns]:
        raise SchemaError(
            f"the table lacks {_names(missing)} of {name}; add {'it' if len(missing) == 1 else 'them'}, with empty "
            f"values where unknown, or fit without {option}"
        )
    old = {column.name for column in schema.columns}
    if new := [one for one in table.columns if one not in old and one not in roles]:
        are = "is no column" if len(new) == 1 else "are no columns"
        raise SchemaError(
            f"{_names(new)} {are} of {name}, whose features stay with {option}; drop={new[:10]} leaves out what is new, "
            f"or fit without {option}"
        )
    ignored = {
        column.name: dataclasses.replace(column, role="ignored", reason=f"no feature of {name}")
        for column in schema.columns
        if column.role != "feature" and column.name not in roles and column.name in table.columns
    }
    return known | ignored


def prepare_as(model: Model, name: str, option: str, table: pl.DataFrame, settings: Settings) -> Prepared:
    """The table prepared with the columns and the task of a model; arguments as of :func:`columns_of`.

    Raises:
        SchemaError: The columns are not those of the model.
        TargetError: The target cannot be predicted by the task of the model.
    """
    known, task = columns_of(model, name, option, table, settings), model.task
    # The order of columns as in the training of the model, because the order of rows and so their split depends on it.
    names = [column.name for column in model.schema.columns if column.name in table.columns]
    table = table.select(*names, pl.exclude(names))
    try:
        return prepare(table, dataclasses.replace(settings, task=task.name), known=known)
    except TargetError as error:
        raise TargetError(f"{option} is {name}, a model of {task.name}: {error}; or fit without {option}") from error


def _with_role(column: Column, role: str) -> Column:
    """A feature; the times of one may also split the rows."""
    return column if column.role == role else dataclasses.replace(column, role=role)


def _scale(net: Net, head: str, task: Task, before: Task) -> None:
    """Change the last layer so that outputs in the scale of one task are those of another of the same outputs."""
    zero, one = (task.align(torch.full((1, task.size), value).double().numpy(), before)[0] for value in (0.0, 1.0))
    layer, module = net.plan.layers[head], net.get_submodule(head)
    if (zero == 0).all() and (one == 1).all():
        return
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            axes = layer.axes[name]
            shape = [1] * tensor.dim()
            shape[tensor.dim() - len(axes) + axes.index("out")] = -1
            tensor.mul_(torch.from_numpy(one - zero).to(tensor).view(shape))
            if "in" not in axes:
                tensor.add_(torch.from_numpy(zero).to(tensor).view(shape))


def _names(names: Sequence[str]) -> str:
    return ("column " if len(names) == 1 else "columns ") + listed(list(map(repr, names)), 10)


def _article(role: str) -> str:
    return "ignored" if role == "ignored" else f"the {role}"
