"""From a table and settings to a model."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from lamina.data.encoders import Encoders
from lamina.data.weights import row_weights
from lamina.errors import DataError, OptionError, RunError
from lamina.families import choose_family
from lamina.families.classical.family import ClassicalFamily
from lamina.families.ensemble import Ensemble
from lamina.families.family import Family, NetworkFamily
from lamina.fitting.bagging import EnsembleTraining
from lamina.fitting.candidates import RESERVE, CandidatesTraining
from lamina.fitting.card import make_card
from lamina.fitting.distill import Teacher, distillation_data, student_family
from lamina.fitting.encoded import EncodedSplit, encode
from lamina.fitting.members import MembersTraining, Rows
from lamina.fitting.prepare import Prepared, prepare
from lamina.fitting.settings import Settings
from lamina.fitting.split import OUT_OF_BAG, OUT_OF_FOLD, Split, out_of_bag, split, splitting_column
from lamina.fitting.train_scores import train_scores
from lamina.fitting.training import ClassicalTraining, NetworkTraining, Trained, choose_device
from lamina.fitting.warm import WarmStart
from lamina.leaks import find_leaks
from lamina.model import Model
from lamina.train.callbacks import Callback, Hooks
from lamina.train.events import End, Monitor, Start, StopReason
from lamina.train.loop import Edit
from lamina.train.run import Run
from lamina.train.sharing import sharing_cores
from lamina.trust.novelty import Novelty
from lamina.trust.trust import Trust, background
from lamina.trust.view import View

BEST_FOLDS, BEST_REPEATS, BEST_ROWS = 5, 5, 10_000
"""Folds of the ensemble of ``quality="best"``; those of plain columns are repeated so often at most, and as long as all repeats
have at most so many rows."""
FOLDS, FEW_ROWS = 5, 5_000
"""Folds by which candidates for plain columns are chosen where there are at most so many rows."""
NOVELTY_TRAIN, NOVELTY_VALIDATION = 4000, 1000
"""Novelty compares with at most so many training rows, and ranks among at most so many validation rows."""


@sharing_cores()
def fit_model(
    table: pl.DataFrame,
    settings: Settings,
    *,
    run: Run | None = None,
    monitor: Monitor | None = None,
    callbacks: Sequence[Callback] | None = None,
    edit: Edit | None = None,
    start: WarmStart | None = None,
    teacher: Teacher | None = None,
    search_leaks: bool = False,
    save: Callable[[Model], Path] | None = None,
) -> Model:
    """A model of a family, fitted to training rows and scored on validation rows that it is never trained on.

    The same rows in another order, with the same seed, give the same model.

    Args:
        table: Features, target, and the columns that the roles name.
        settings: The settings of the fit.
        run: The folder for events and checkpoints; a checkpoint that is there is resumed.
        monitor: Called with each event.
        callbacks: Called with some of the events; may stop training.
        edit: Called before each epoch with its number and the net; may return another graph.
        start: The model whose columns, encoder and weights training starts from.
        teacher: The model whose outputs a network learns.
        search_leaks: Note leaks that a quick search of the rows finds.
        save: Called with the finished model before the end is reported; returns where it was saved.

    Raises:
        DataError: The data cannot be learnt from.
        OptionError: An option is out of bounds.
        TrainingError: No epoch gave a finite validation loss.
        RunError: The run was begun with ``edit`` and is resumed without.
    """
    with _without_autologging(), Hooks(callbacks, monitor) as hooks:
        model = _fit(table, settings, run=run, hooks=hooks, edit=edit, warm=start, teacher=teacher, search_leaks=search_leaks)
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
            if end.reason is not StopReason.INTERRUPTED:
                run.discard_parts()
        hooks.emit(end)
    return model


def _without_autologging() -> contextlib.AbstractContextManager[Any]:
    """A context in which MLflow's autologging, where it is used, logs none of the scikit-learn models inside a fit."""
    if "mlflow.sklearn" not in sys.modules:
        return contextlib.nullcontext()
    from mlflow.utils.autologging_utils import disable_autologging  # pyright: ignore[reportMissingImports]

    return disable_autologging()


def _fit(
    table: pl.DataFrame,
    settings: Settings,
    *,
    run: Run | None,
    hooks: Hooks,
    edit: Edit | None,
    warm: WarmStart | None,
    teacher: Teacher | None,
    search_leaks: bool,
) -> Model:
    began = time.monotonic()
    settings.check()
    if warm is not None and teacher is not None:
        raise OptionError("both start and teacher are given, and each decides the columns; give one of them")
    given = warm or teacher
    prepared = prepare(table, settings) if given is None else given.prepare(table, settings)
    decides = given is None and edit is None and not hooks.callbacks and settings.decides
    if not decides and settings.quality != Settings.quality:
        raise OptionError(
            f"quality={settings.quality!r} chooses among networks and others, so start, teacher, edit and callbacks cannot be "
            "given"
        )
    if decides:
        family, why = _ensemble(prepared, settings), ""
    else:
        family, why = _choose(settings, prepared, warm, teacher)
    _check_edit(edit, family, run)
    device = choose_device(settings.device)
    parts = _split(prepared, family, settings)
    task = prepared.task.fit(prepared.table[parts.train])
    deadline = math.inf if settings.time_limit is None else began + (1 - RESERVE) * settings.time_limit
    rows, distilled = Rows(prepared, parts, task), None
    if teacher is not None:
        distilled = distillation_data(teacher, family, rows, settings, run=run, deadline=deadline)
    data = distilled.data if distilled else None
    training = _training(family, rows, settings, device, hooks, warm, decides, deadline, data)
    classical = family.name if isinstance(family, ClassicalFamily) and not family.stops_in_time else None
    unused = settings.without_effect(out_of_bag=parts.out_of_bag, classical=classical)
    suspected = _suspected(prepared, settings) if search_leaks else []
    notes = [*prepared.notes, *parts.notes, *suspected, *training.notes, *(distilled.notes if distilled else ()), *unused]
    notes = [note for note in notes if note]
    start = Start(
        rows=len(parts.train),
        validation_rows=len(parts.validation),
        family="auto" if decides else family.name,
        recipe=training.recipe,
        notes=tuple(notes),
        edited=edit is not None,
        schema=prepared.schema,
        task=task,
        split=parts,
        net=training.net,
    )
    if run:
        run.write(start)
    hooks.emit(start)
    trained = training.run(run=run, hooks=hooks, edit=edit)
    notes += [note for note in training.later_notes if note not in notes]
    parts, why = training.parts or parts, training.why or why
    encoder, predictor = training.refitted or (training.encoder, trained.predictor)
    model = Model(prepared.schema, task, encoder, predictor, training.family.name)
    model.metric = None if isinstance(settings.recipe.metric, str) else task.metric(settings.recipe.metric)
    outputs = trained.predictor.out_of_bag if parts.out_of_bag else trained.outputs  # NaN for rows in the bag of every tree
    if outputs is None:
        outputs = trained.predictor.outputs(trained.validation, len(parts.validation))
    scores = _decide_and_score(model, prepared, parts, outputs)
    scores["train"] = train_scores(model, prepared, parts, trained)
    test = _test(model, prepared, parts, notes)
    if settings.trust:
        model.trust = _trust(model, prepared, parts, trained, outputs)
    model.card = make_card(
        model,
        prepared.table,
        parts,
        settings=settings,
        family=training.family,
        why=why,
        history=trained.history,
        notes=notes,
        scores=scores,
    )
    if training.candidates:
        model.card["candidates"] = training.candidates
    if test:
        model.card["test"] = test
    if warm is not None:
        model.card["start"] = warm.to_json()
    if distilled is not None:
        model.card["teacher"] = distilled.to_json(model.task, outputs)
    return model


def _ensemble(prepared: Prepared, settings: Settings) -> Ensemble:
    """The ensemble of the candidates; without folds, one fit of each candidate to the same rows."""
    rows, plain = len(prepared.table), prepared.schema.all_plain
    if settings.quality == "best":
        return Ensemble(folds=BEST_FOLDS, repeats=max(1, min(BEST_REPEATS, BEST_ROWS // rows)) if plain else 1)
    few = plain and rows <= FEW_ROWS and settings.validation == Settings.validation
    return Ensemble(folds=FOLDS if few and settings.quality == "good" else 0)


def _choose(settings: Settings, prepared: Prepared, warm: WarmStart | None, teacher: Teacher | None) -> tuple[Family, str]:
    """The family and why."""
    if warm is not None:
        return warm.family, warm.why
    return choose_family(settings.family, prepared.schema) if teacher is None else student_family(settings, prepared, teacher)


def _training(
    family: Family,
    rows: Rows,
    settings: Settings,
    device: torch.device,
    hooks: Hooks,
    warm: WarmStart | None,
    decides: bool,
    deadline: float,
    data: EncodedSplit | None,
) -> NetworkTraining | ClassicalTraining | MembersTraining:
    """What fits the family, or chooses one, ready to run."""
    if decides and settings.quality != "best" and not rows.parts.out_of_bag:
        return CandidatesTraining(rows, settings, device, hooks, deadline)
    if isinstance(family, Ensemble):
        return EnsembleTraining(family, rows, settings, device, hooks, deadline, screen=decides)
    encoder = None if warm is None else warm.model.encoder
    assert not isinstance(encoder, Encoders)  # training starts from a network
    if data is None:
        data = encode(rows.prepared, rows.parts, rows.task, family.encoding(), encoder=encoder)
    if family.stops_in_time and math.isfinite(deadline):
        settings = settings.within(deadline - time.monotonic())
    if isinstance(family, NetworkFamily):
        return NetworkTraining(family, data, rows.task, settings, device, warm)
    assert isinstance(family, ClassicalFamily)
    return ClassicalTraining(family, data, rows.task, settings, hooks)


def _suspected(prepared: Prepared, settings: Settings) -> list[str]:
    """A sentence on each leak that a quick search finds."""
    leaks = find_leaks(prepared.as_given, prepared.schema, prepared.task, seed=settings.seed, quick=True)
    return [f"scores may be better than on new rows: {leak.evidence}; use {leak.remedy}" for leak in leaks]


def _check_edit(edit: Edit | None, family: Family, run: Run | None) -> None:
    if edit is None and run and any(isinstance(event, Start) and event.edited for event in run.events()):
        raise RunError(
            f"the run {run.folder} was begun with edit=, a function that no file keeps; "
            f"give it again: lamina.resume({str(run.folder)!r}, edit=...)"
        )
    if edit is not None and not family.in_epochs:
        raise OptionError(
            f"edit changes a network between epochs, and the family {family.name!r} is no network; leave edit out, "
            "or take a network such as family='feedforward'"
        )


def _split(prepared: Prepared, family: Family, settings: Settings) -> Split:
    """Validation rows; or all rows, out of bag, where the family can and no column says which rows validate."""
    table, schema, by = prepared.table, prepared.schema, splitting_column(prepared.schema)
    if family.out_of_bag and (by is None or (by.role == "group" and isinstance(family, Ensemble))):
        how = OUT_OF_FOLD if isinstance(family, Ensemble) else OUT_OF_BAG
        return out_of_bag(table, schema, prepared.task, how=how)
    return split(table, schema, prepared.task, validation=settings.validation, seed=settings.seed)


def _decide_and_score(model: Model, prepared: Prepared, parts: Split, outputs: np.ndarray) -> dict[str, Any]:
    """Scores on the validation rows, after the task has chosen its thresholds on them."""
    rows = prepared.table[parts.validation]
    known = ~np.isnan(outputs).any(axis=1)
    weights, truth = row_weights(rows, prepared.schema), model.task.truth(rows)[known]
    weights = None if weights is None else weights[known]
    model.task = model.task.decide(outputs[known], truth, weights)
    return model.evaluate_outputs(truth, outputs[known], weights)


def _test(model: Model, prepared: Prepared, parts: Split, notes: list[str]) -> dict[str, Any] | None:
    """Scores on the test rows; without them, or with a note on why there are none, None."""
    if not len(parts.test):
        return None
    try:
        return model.evaluate(prepared.table[parts.test])
    except DataError as error:  # the model is worth more than the score
        notes.append(f"the test rows are not scored: {error}")
        return None


def _trust(model: Model, prepared: Prepared, parts: Split, trained: Trained, outputs: np.ndarray) -> Trust:
    """Calibration, conformal sets or intervals and novelty, from validation rows."""
    table, schema, predictor = prepared.table, prepared.schema, trained.predictor
    generator = np.random.default_rng(0)
    train, validation = (generator.permutation(len(rows)) for rows in (parts.train, parts.validation))
    if parts.out_of_bag:  # novelty needs no model, so rows that it does not compare with are enough for it
        train, validation = np.split(train, [len(train) - len(train) // 3])
    train, validation = np.sort(train[:NOVELTY_TRAIN]), np.sort(validation[:NOVELTY_VALIDATION])

    def checked(rows: np.ndarray) -> pl.DataFrame:
        return schema.check(table[rows], notes=False)[0]

    reference = checked(parts.train[train])
    trust = Trust(background=background(reference, schema))
    near = new = None
    if len(schema.plain) < len(schema.features):
        sides = ((trained.train, train), (trained.validation, validation))
        near, new = (predictor.layer({name: block[rows] for name, block in side.items()}, len(rows)) for side, rows in sides)
    if near is None:
        trust = dataclasses.replace(trust, view=View.fit(reference, schema))
        compared = (reference, checked(parts.validation[validation]))
        near, new = (model.novelty_features(rows, trust.view) for rows in compared)
    if near is not None and new is not None and len(near) > 1 and len(new):
        trust = dataclasses.replace(trust, novelty=Novelty.fit(near, new, layer=trust.view is None))

    rows = table[parts.validation]
    spread = predictor.out_of_bag_spread if parts.out_of_bag else predictor.spread(trained.validation, len(rows))
    return trust.calibrated(
        model.task.judge,
        outputs,
        model.task.encode(rows),
        features=checked(parts.validation),
        spread=spread,
        weight=row_weights(rows, schema),
    )
