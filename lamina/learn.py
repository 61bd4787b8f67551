"""From a table and settings to a model: the whole way of the data, in order."""

from __future__ import annotations

import dataclasses
import datetime
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import lamina
from lamina.data.encode import Encoder
from lamina.data.encoding import Input
from lamina.data.feed import Feed, as_tensor
from lamina.data.rowhash import fingerprint, first_of_duplicates, in_order
from lamina.data.schema import Schema, rows_numbered_as
from lamina.data.weights import row_weights
from lamina.errors import DataError, OptionError, RunError
from lamina.families import ClassicalFamily, Family, NetworkFamily, choose_family
from lamina.families.classical.family import Fitting, Rows
from lamina.families.classical.several import fit_classical
from lamina.families.predictor import Predictor
from lamina.fitting.settings import Settings
from lamina.fitting.split import ROLES as SPLIT_ROLES
from lamina.fitting.split import Split, out_of_bag, split, times
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.model import Model, Network
from lamina.options import Options
from lamina.tasks.losses import LOSSES
from lamina.tasks.task import Task
from lamina.train.callbacks import Callback, Hooks
from lamina.train.events import End, Fit, Monitor, Start, StopReason
from lamina.train.forward import Validation
from lamina.train.frozen import compute_frozen
from lamina.train.loop import Edit, History, train
from lamina.train.recipe import Recipe
from lamina.train.run import Run
from lamina.train.sharing import sharing_cores
from lamina.train.threads import available_threads
from lamina.trust.novelty import Novelty
from lamina.trust.trust import Trust, background
from lamina.trust.view import View

NOVELTY_LEARNT, NOVELTY_HELD = 4000, 1000
"""So many rows that were learnt from, and that were not, novelty is measured on; with more it would be slower, not better."""
_TIMES = 10  # parts of the time that are told from the others


@sharing_cores()
def learn(
    table: pl.DataFrame,
    settings: Settings,
    *,
    run: Run | None = None,
    monitor: Monitor | None = None,
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    save: Callable[[Model], Path] | None = None,
) -> Model:
    """Fit a family to a table, validated on rows that it never learns from.

    The same rows in another order, with the same seed, give the same model.

    Args:
        table: Features, target, and what the roles name.
        settings: What is asked for.
        run: The folder to write events and checkpoints to; a checkpoint found there is gone on from.
        monitor: Called with each event.
        callbacks: Called with some of the events; may stop training.
        edit: Called before each epoch with its number and the net; may return another graph (see ``train.loop``).
        save: Called with the finished model before the end is reported; returns where it was saved.

    Raises:
        DataError: The data cannot be learnt from; the message names the column and the remedy.
        OptionError: An option is out of bounds.
        TrainingError: Training never got anywhere.
        RunError: The run was begun with ``edit`` and is resumed without.
    """
    with Hooks(callbacks, monitor) as hooks:
        model = _learn(table, settings, run=run, hooks=hooks, edit=edit)
        path, card = None if save is None else str(save(model)), model.card
        end = End(
            card["stopped"],
            stopped_by=card["stopped_by"],
            epochs=len(card["history"]),
            best_epoch=card["best_epoch"],
            seconds=card["seconds"],
            model=path,
            scores=card["validation"],
        )
        if run:
            run.write(end)
        hooks.emit(end)
    return model


def _learn(table: pl.DataFrame, settings: Settings, *, run: Run | None, hooks: Hooks, edit: Edit | None) -> Model:
    settings.check()
    if settings.unique:
        table = table.filter(first_of_duplicates(table))
    schema = Schema.infer(table, target=list(settings.targets), kinds=settings.kinds, roles=settings.roles)
    task = Task.infer(table, settings.targets, kind=settings.task, min_class_rows=settings.fewest)
    known, missing_note = task.usable_rows(table)
    given, table = table, in_order(table if known.all() else table.filter(pl.Series(known)))
    family, why = choose_family(settings.family, schema)
    _check_edit(edit, family, run)
    device = choose_device(settings.device)
    if isinstance(family, ClassicalFamily) and family.out_of_bag and not any(c.role in SPLIT_ROLES for c in schema.columns):
        parts = out_of_bag(table, schema)
    else:
        parts = split(table, schema, task, validation=settings.validation, seed=settings.seed)

    task = task.fit(table[parts.train])
    with rows_numbered_as(given, schema):
        features, _ = schema.check(table, notes=False)
        train_features = features[parts.train]
        encoder = Encoder.fit(train_features, schema, family.encoding())
        weights = training_weights(table, schema, task, settings.class_weight)
        if weights is not None:
            _check_weights(weights, parts, schema)
        group = row_groups(table, schema, parts.train)

        def encoded(part: pl.DataFrame, side: np.ndarray) -> Encoded:
            weight = None if weights is None else weights[side]
            together = None if group is None else group[side]
            return Encoded(encoder.transform(part), encoder.inputs, task.encode(table[side]), weight, together)

        rows = encoded(train_features, parts.train)
        held = rows if parts.out_of_bag else encoded(features[parts.validation], parts.validation)
    del features, train_features
    recipe, net, laid, feeds, device_note = settings.recipe, None, (), None, ""
    if isinstance(family, NetworkFamily):
        family, device_note = family.suited(encoder.inputs, device.type)
        recipe = family.complete(recipe, rows=len(rows), inputs=encoder.inputs, task=task, device=device.type)
        net = Net(Plan(family.graph(encoder.inputs, task.head(recipe.loss))), seed=settings.seed)
        net.prepare({name: as_tensor(block) for name, block in rows.blocks.items()})
        laid = family.initialise(net, encoder)
        net.to(device)
    else:
        laid = (*_meaningless(recipe, family), *hooks.never_called(family.name))
    classical = None if isinstance(family, NetworkFamily) else family.name
    unused = settings.without_effect(out_of_bag=parts.out_of_bag, classical=classical)
    notes = [note for note in (missing_note, task.doubt, *parts.notes, *encoder.notes, device_note, *laid, *unused) if note]
    start = Start(
        rows=len(rows),
        validation_rows=len(held),
        family=family.name,
        recipe=recipe,
        notes=tuple(notes),
        edited=edit is not None,
        schema=schema,
        task=task,
        split=parts,
        net=net,
    )
    if run:
        run.write(start)
    hooks.emit(start)
    if isinstance(family, ClassicalFamily):
        predictor, history = _fit(family, rows, held, recipe, task=task, seed=settings.seed, hooks=hooks)
    else:
        assert net is not None
        feed, validation = (Feed(part.blocks, part.targets, part.weight, device=device) for part in (rows, held))
        del rows, held
        if not recipe.augment and edit is None:  # else the images, or what is frozen, may change from epoch to epoch
            feed, validation = compute_frozen(net, feed), compute_frozen(net, validation)
        watch = Validation(validation, task, LOSSES[recipe.loss])
        net, history = train(net, feed, watch, recipe=recipe, seed=settings.seed, run=run, hooks=hooks, edit=edit)
        predictor, feeds = Network(net, recipe.loss), (feed, validation)
    model = Model(schema, task, encoder, predictor, family.name)
    told = table[parts.validation]
    if feeds:  # asked what it was given already: nothing is encoded again, and what is frozen is not computed again
        said = predictor.outputs(feeds[1].inputs, len(feeds[1]))
    else:
        said = predictor.out_of_bag if predictor.out_of_bag is not None and parts.out_of_bag else model.outputs(told)
    known = ~np.isnan(said).any(axis=1)  # with few trees, some rows are in the bag of all of them
    weights, truth = row_weights(told, schema), task.truth(told)[known]
    weights = None if weights is None else weights[known]
    model.task = task.decide(said[known], truth, weights)
    found = model.figures(truth, said[known], weights)
    if settings.trust:
        model.trust = _trust(model, table, parts, said, feeds)
    model.card = _card(model, table, parts, family=family, history=history, notes=notes, found=found)
    model.card |= {"why": why, "settings": dataclasses.replace(settings, family=family).to_json()}
    return model


@dataclass(frozen=True)
class Encoded:
    """Encoded rows: input blocks, target blocks, weights, and which rows belong together."""

    blocks: dict[str, Any]
    inputs: dict[str, Input]
    targets: dict[str, np.ndarray]
    weight: np.ndarray | None = None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def plain(self) -> Rows:
        """The same for a classical family; what it learns is filled in later."""
        return Rows(self.blocks, self.inputs, np.empty(0), 0, self.weight, self.group)


def _fit(
    family: ClassicalFamily, rows: Encoded, held: Encoded, recipe: Recipe, *, task: Task, seed: int, hooks: Hooks
) -> tuple[Predictor, History]:
    """Fit what is no network; its history has no epochs."""
    began = time.monotonic()

    threads = int(recipe.threads or available_threads())
    train = rows.plain()
    learn = zip(task.learnables(rows.targets), task.learnables(held.targets), strict=True)
    predictor = fit_classical(
        family,
        train,
        train if held is rows else held.plain(),
        list(learn),
        Fitting(seed, threads, lambda done: hooks.emit(Fit(done))),
    )
    return predictor, History(stopped=StopReason.FITTED, seconds=time.monotonic() - began, recipe=recipe)


def _check_edit(edit: Edit | None, family: Family, run: Run | None) -> None:
    if edit is None:
        if run and any(isinstance(event, Start) and event.edited for event in run.events()):
            raise RunError(
                f"the run {run.folder} was begun with edit=, a function that no file keeps; "
                f"give it again: lamina.resume({str(run.folder)!r}, edit=...)"
            )
        return
    if not callable(edit):
        raise OptionError(f"edit is {edit!r}, expected a function of the number of the epoch and the net")
    if not isinstance(family, NetworkFamily):
        raise OptionError(
            f"edit changes a network between epochs, and the family {family.name!r} is no network; leave edit out, "
            "or take a network such as family='feedforward'"
        )


def _meaningless(recipe: Recipe, family: Family) -> tuple[str, ...]:
    """What a recipe asks for that a family which is no network has no use for."""
    plain = Recipe()
    said = [name for name, value in recipe.get_params().items() if value != getattr(plain, name) and name != "threads"]
    return (f"{family.name} is no network: {', '.join(said)} of the recipe has no meaning for it",) if said else ()


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


def training_weights(table: pl.DataFrame, schema: Schema, task: Task, class_weight: Any) -> np.ndarray | None:
    """What rows weigh in the loss: the weight column times the weights of the classes; None where all are alike."""
    weights = row_weights(table, schema)
    if class_weight is None:
        return weights
    by_class = task.class_weights(table, class_weight)
    return by_class if weights is None else weights * by_class


def _check_weights(weights: np.ndarray, parts: Split, schema: Schema) -> None:
    """Rows that train, and rows that validate, must count: with no weight at all there is nothing to measure.

    Raises:
        DataError: All weights of one side are zero; the message names what gives them.
    """
    column = next((repr(column.name) for column in schema.columns if column.role == "weight"), "")
    given = f"the weight column {column} is" if column else "class_weight is"
    for which, rows in (("train", parts.train), ("validate", parts.validation)):
        if not weights[rows].any():
            raise DataError(
                f"{given} 0 in all {len(rows):,} rows that {which}, so nothing can be measured there; give some of them a "
                "weight above 0, leave out rows of weight 0, or split another way"
            )


def row_groups(table: pl.DataFrame, schema: Schema, train: np.ndarray) -> np.ndarray | None:
    """Which rows belong together (N,): those of a group, or of a tenth of the time; None where no two parts train."""
    for column in schema.columns:
        if column.role in ("group", "time"):
            values = times(table[column.name]) if column.role == "time" else table[column.name]
            group = values.rank("min").fill_null(0).to_numpy().astype(np.int64)
            group = group * _TIMES // (len(table) + 1) if column.role == "time" else group
            return group if np.ptp(group[train]) else None
    return None


def _trust(model: Model, table: pl.DataFrame, parts: Split, said: np.ndarray, feeds: tuple[Feed, Feed] | None) -> Trust:
    """What answers are judged by, from rows that the model has not learnt from."""
    generator = np.random.default_rng(0)
    from_bag = parts.out_of_bag
    rows, held = (generator.permutation(len(part)) for part in (parts.train, parts.validation))
    if from_bag:  # novelty asks no model, so some rows that it does not compare with are enough for it
        rows, held = np.split(rows, [len(rows) - len(rows) // 3])
    rows, held = np.sort(rows[:NOVELTY_LEARNT]), np.sort(held[:NOVELTY_HELD])

    def checked(some: np.ndarray) -> pl.DataFrame:
        return model.schema.check(table[some], notes=False)[0]

    learnt = checked(parts.train[rows])
    trust = Trust(background=background(learnt, model.schema))
    if feeds and len(model.schema.plain) < len(model.schema.features):
        seen, seen_held = (_layer(model, feed, some) for feed, some in zip(feeds, (rows, held), strict=True))
    else:
        trust = dataclasses.replace(trust, view=View.fit(learnt, model.schema))
        seen, seen_held = (model.seen(some, trust.view) for some in (learnt, checked(parts.validation[held])))
    if seen is not None and seen_held is not None and len(seen) > 1 and len(seen_held):
        trust = dataclasses.replace(trust, novelty=Novelty.fit(seen, seen_held, layer=trust.view is None))

    features, targets = checked(parts.validation), model.task.encode(table[parts.validation])
    if from_bag:
        spread = model.predictor.out_of_bag_spread
    elif feeds:
        spread = model.predictor.spread(feeds[1].inputs, len(feeds[1]))
    else:
        spread = model.spread(features)
    weights = row_weights(table[parts.validation], model.schema)
    return trust.judging(model.task.judge, said, targets, features=features, spread=spread, weight=weights)


def _layer(model: Model, feed: Feed, rows: np.ndarray) -> np.ndarray | None:
    """What novelty looks at in a network, for some rows of a feed."""
    some = feed.rows(torch.from_numpy(rows).to(feed.device))
    return model.predictor.layer(some.inputs, len(some))


def _card(
    model: Model,
    table: pl.DataFrame,
    parts: Split,
    *,
    family: Options,
    history: History,
    notes: list[str],
    found: dict[str, Any],
) -> dict[str, Any]:
    return {
        "lamina": lamina.__version__,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "data": {"rows": len(table), "columns": table.width, "fingerprint": fingerprint(table)},
        "split": {
            "how": parts.how,
            "out_of_bag": parts.out_of_bag,
            "train": len(parts.train),
            "validation": len(parts.validation),
        },
        "notes": notes,
        "family": family.to_json(),
        "recipe": history.recipe.to_json(),
        "parameters": model.predictor.size(),
        "history": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "stopped_by": history.stopped_by,
        "seconds": history.seconds,
        "validation": found["scores"],
        "baseline": found["baseline"],
        **{name: value for name, value in found.items() if name not in ("rows", "scores", "baseline")},
    }


def learnt_from(model: Model, table: pl.DataFrame) -> bool:
    """Whether these are the rows that a model was fitted to: those whose target is known, or one of each duplicate."""
    known = table.filter(pl.Series(model.task.usable_rows(table)[0]))
    return model.card["data"]["fingerprint"] in (fingerprint(known), fingerprint(known.filter(first_of_duplicates(known))))
