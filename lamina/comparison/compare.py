"""The comparison: candidates, folds, fits in worker processes, and the board."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lamina import store
from lamina.comparison.board import Board, make_board, save_board
from lamina.comparison.foreign import Sealed, described, family_of, is_foreign, own_family
from lamina.comparison.results import BASELINE
from lamina.comparison.runner import Job, may_try_again, results, work
from lamina.comparison.terms import Terms
from lamina.data.rowhash import check_comparable
from lamina.data.schema import Schema
from lamina.errors import OptionError, RunError
from lamina.estimators import estimator
from lamina.families import CLASSICAL, NETWORKS, Auto, Custom, Family, choose_family, family_from_json
from lamina.fitting.fit import fit_model
from lamina.fitting.folds import draw
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings
from lamina.functions import check_importable, recall
from lamina.graph.graph import Graph
from lamina.graph.layers.pretrained import Pretrained
from lamina.leaks import find_leaks
from lamina.model import Model
from lamina.tasks.task import Task
from lamina.train.events import Compare, End, Monitor, Refit, StopReason
from lamina.train.recipe import Recipe
from lamina.train.run import BOARD, Run
from lamina.wording import count

#: Families that need the optional library of the same name.
FOREIGN = ("lightgbm", "xgboost", "catboost")


def compare(
    table: pl.DataFrame, settings: Settings, *, terms: Terms, run: Run, monitor: Monitor | None = None
) -> tuple[Board, Model | None]:
    """The board of all candidates, fitted and scored on the same folds, and the recommended model.

    The model is fitted to all rows; it is None where no candidate is recommended, or one that is no family of lamina, and after
    Ctrl-C. Fits with a result in the run are not repeated.

    Args:
        table: Features, target, and the columns with roles.
        settings: The settings of a fit; the family is ignored.
        terms: The candidates and the options of the comparison.
        run: A folder with the data, see :func:`lamina.runs.start_run`.
        monitor: Called with :class:`~lamina.train.events.Compare` (once), ``Job``, ``Refit`` and the events of that fit.
    """
    prepared = prepare(table, settings)
    rows, schema, task = prepared.table, prepared.schema, prepared.task
    metric = task.metric(terms.metric)
    candidates = choose_candidates(terms.families, schema, task)
    shown = described(candidates)
    folds = draw(rows, schema, task, folds=terms.folds, repeats=terms.repeat_count(len(rows)), seed=settings.seed)
    leaks = find_leaks(prepared.as_given, schema, task, seed=settings.seed)
    networks = any(family["name"] in {*NETWORKS, Custom.name} for family in candidates.values())
    notes = (*prepared.notes, *_ignored(schema, settings.roles), *folds.notes)
    notes += without_effect(settings, terms, networks=networks)

    parts = {f"train{i}": part for i, part in enumerate(folds.train)} | {f"test{i}": part for i, part in enumerate(folds.test)}
    with run.replacing("folds.npz") as path, path.open("wb") as file:
        np.savez(file, **parts)  # pyright: ignore[reportArgumentType]
    run.rewind(lambda event: True)  # drops an incomplete last line
    event = Compare(shown, len(folds), folds.how, len(rows), tuple(map(str, leaks)), notes)
    run.write(event)
    (run.folder / BOARD).unlink(missing_ok=True)  # of an earlier call
    dropped = {name: family for name, family in earlier_candidates(run).items() if name not in candidates}
    run.change(**terms.to_json(), threads=terms.threads, candidates=candidates, dropped=dropped)
    if monitor:
        monitor(event)
    limits = {"time_limit": terms.time_limit, "memory_limit": terms.memory_limit}
    done = {(result["name"], result["fold"]) for result in results(run) if not may_try_again(result, limits)}
    jobs = [
        Job(name, family, fold) for fold in range(len(folds)) for name, family in candidates.items() if (name, fold) not in done
    ]
    complete = work(run, jobs, workers=terms.processes, limits=limits, monitor=monitor) if jobs else True
    board = make_board(
        shown,
        [result for result in results(run) if result["name"] in candidates],
        task=task,
        metric=metric,
        folds=folds,
        rows=len(rows),
        rope=terms.rope,
        leaks=leaks,
        notes=notes,
        complete=complete,
    )
    if not complete or not board.verdict.take or board.outside:
        return board, None
    if monitor:
        monitor(Refit(board.verdict.take))
    family = recall(family_from_json(candidates[board.verdict.take]))
    return board, fit_model(table, dataclasses.replace(settings, family=family), monitor=monitor)


def choose_candidates(families: Any, schema: Schema, task: Task) -> dict[str, dict[str, Any]]:
    """The families and estimators as JSON, by the name of the candidate.

    "auto" is all classical families that read a column and whose libraries are installed, with the baseline, and the network
    that :func:`lamina.families.choose_family` chooses for the columns.

    Raises:
        OptionError: A family is unknown, reads none of the columns, or cannot be fitted in another process; an object is
            neither a family nor an estimator for the task; there is none, or two have the same name.
    """
    if isinstance(families, str) and families == "auto":
        kinds = {column.kind for column in schema.features}
        reading = [name for name, family in CLASSICAL.items() if kinds & {*family.reads}]
        families = [*(name for name in reading if name not in FOREIGN or importlib.util.find_spec(name)), "auto"]
    if isinstance(families, str | Family | Auto) or hasattr(families, "get_params"):
        families = [families]
    if isinstance(families, Mapping):
        named = list(families.items())
    elif isinstance(families, Sequence):
        named = [(None, family) for family in families]
    else:
        raise OptionError(
            f"families is {families!r}, expected 'auto', a list of names, families and scikit-learn "
            "estimators, or a dict of them by name"
        )
    chosen: dict[str, dict[str, Any]] = {}
    for name, requested in named:
        requested = own_family(requested, task)
        foreign = not isinstance(requested, str | Family | Auto)
        family = requested if foreign else choose_family(requested, schema)[0]
        kind = type(family).__name__ if foreign else family.name
        title = str(name or (BASELINE if kind == "constant" else kind))
        number = 2
        while name is None and title in chosen:
            title, number = f"{kind} {number}", number + 1
        if title in chosen:
            raise OptionError(f"two candidates are called {title!r}; give them different names")
        if foreign:
            chosen[title] = family_of(requested, title, task)
            continue
        check_importable(family)
        _check_unregistered(title, family)
        chosen[title] = {"name": family.name, **family.to_json()}
    if not chosen:
        raise OptionError("there is no candidate; give at least one family")
    return chosen


def _check_unregistered(title: str, family: Family) -> None:
    """Refuse a family with a part that the worker processes cannot know: :func:`lamina.register` was called in this one."""
    network = getattr(family, "network", None)
    if isinstance(network, Graph):
        parts = [layer.part for layer in network.layers.values() if isinstance(layer, Pretrained)]
    else:
        parts = [part for part in (network, getattr(family, "backbone", None)) if part and isinstance(part, str)]
    if parts:
        raise OptionError(
            f"candidate {title!r} has the registered part {parts[0]!r}, which is not registered in the worker processes of a "
            "comparison; give the function Custom(make) of a module that calls lamina.register at its top level, or fit it "
            "with lamina.fit"
        )


def _ignored(schema: Schema, roles: Mapping[str, str]) -> list[str]:
    """A note on columns that are ignored without being given in ``drop``."""
    names = [f"{c.name} ({c.reason})" for c in schema.columns if c.role == "ignored" and c.name not in roles]
    return [f"{count(len(names), 'ignored column')}: {', '.join(names[:3])}{', ...' * (len(names) > 3)}"] if names else []


def without_effect(settings: Settings, terms: Terms, *, networks: bool) -> tuple[str, ...]:
    """Notes on options that have no effect on this comparison."""
    default = Recipe()
    changed = [name for name, value in settings.recipe.get_params().items() if value != getattr(default, name)]
    notes = [] if networks or not changed else [f"recipe has no effect ({', '.join(changed)}): no candidate is a network"]
    if settings.split and terms.folds != Terms.folds:
        notes.append(f"folds={terms.folds} has no effect: column {settings.split!r} defines the only fold")
    if (settings.split or settings.time) and terms.repeats not in ("auto", 1):
        notes.append(f"repeats={terms.repeats} has no effect: column {settings.split or settings.time!r} defines the folds")
    return tuple(notes)


def finish(table: pl.DataFrame, settings: Settings, *, terms: Terms, run: Run, monitor: Monitor | None = None) -> Board:
    """Compare, and save the board and the recommended model in the run folder."""
    with run.claimed():
        board, model = compare(table, settings, terms=terms, run=run, monitor=monitor)
        save_board(board, run)
        interrupted = not board.complete or (model is not None and model.card["stopped"] == StopReason.INTERRUPTED)
        run.change(outside=board.outside)
        if board.outside:
            run.model_path.unlink(missing_ok=True)  # of an earlier call
        if model is None or interrupted:
            if interrupted or board.outside:
                run.write(End(StopReason.INTERRUPTED if interrupted else StopReason.FITTED))
            return board
        store.save(model, run.model_path)
        run.write(End(StopReason.FITTED))
    return dataclasses.replace(board, model=estimator(model, settings))


def fixed_options(table: pl.DataFrame, settings: Settings, terms: Terms) -> dict[str, Any]:
    """The options that a resumed comparison must repeat: candidates and folds. Limits and the metric may change."""
    check_importable(settings.recipe)
    prepared = prepare(table, settings)
    candidates = choose_candidates(terms.families, prepared.schema, prepared.task)
    return {"candidates": candidates, "folds": terms.folds, "repeats": terms.repeats}


def candidates_of(run: Run) -> dict[str, Any]:
    """The families of a run by candidate; a RunError where ``run.json`` does not name them."""
    try:
        return {
            str(name): Sealed(family, run.folder) if is_foreign(family) else recall(family_from_json(family))
            for name, family in run.settings["candidates"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise run.damaged(f"its candidates: {error}") from error


def terms_of(run: Run) -> Terms:
    """The options of a run; defaults for those that an earlier lamina did not save."""
    fields = [field.name for field in dataclasses.fields(Terms)]
    return Terms(**{name: run.settings[name] for name in fields if name in run.settings}).check()


def earlier_candidates(run: Run) -> dict[str, Any]:
    """All candidates that may have results in the run, as JSON by name."""
    return {**(run.settings.get("dropped") or {}), **(run.settings.get("candidates") or {})}


def check_same(run: Run, options: Mapping[str, Any], fingerprint: str) -> None:
    """Check that a run was begun with these options on these rows; candidates may be added."""
    before, candidates = described(earlier_candidates(run)), described(options["candidates"])
    remedy = "give the same, or choose another folder with run="
    if run.verb != "compare":
        raise RunError(f"{run.folder} holds a run that is not a comparison; choose another folder with run=")
    check_comparable(run.settings["data"]["fingerprint"], run.folder)
    if run.settings["data"]["fingerprint"] != fingerprint:
        raise RunError(f"the comparison in {run.folder} was begun on other rows; {remedy}")
    changed = [name for name, family in before.items() if candidates.get(name, family) != family]
    others = [name for name in ("folds", "repeats", "asked") if run.settings.get(name) != options[name]]
    if changed or others:
        what = f"another {changed[0]!r}" if changed else "other settings" if others[0] == "asked" else f"other {others[0]}"
        raise RunError(f"the comparison in {run.folder} was begun with {what}; {remedy}")
