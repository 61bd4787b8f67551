"""Every candidate on the same folds: what to ask, asking it, and the board."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lamina.comparison.board import Board, make_board
from lamina.comparison.runner import Job, may_try_again, results, work
from lamina.comparison.terms import Terms
from lamina.comparison.verdict import BASELINE
from lamina.data.rowhash import check_comparable, first_of_duplicates
from lamina.data.schema import Schema
from lamina.errors import OptionError, RunError
from lamina.families import CLASSICAL, NETWORKS, Auto, Family, choose_family, make_family
from lamina.fitting.folds import draw
from lamina.fitting.settings import Settings
from lamina.leaks import find_leaks
from lamina.learn import learn
from lamina.model import Model
from lamina.tasks.task import Task
from lamina.train.events import Compare, Monitor, Refit
from lamina.train.recipe import Recipe
from lamina.train.run import BOARD, Run

#: Libraries that a person may have, by the family that needs them.
FOREIGN = {"lightgbm": "lightgbm", "xgboost": "xgboost", "catboost": "catboost"}


def compare(
    table: pl.DataFrame,
    settings: Settings,
    *,
    terms: Terms,
    run: Run,
    monitor: Monitor | None = None,
) -> tuple[Board, Model | None]:
    """Ask every candidate about the same folds, write down what comes of it, and judge.

    A run that was begun on the same rows and terms is gone on with: what is written down is not asked again.

    Args:
        table: Features, target, and what the roles name.
        settings: What is asked for, as for a fit; its family means nothing.
        terms: The candidates, and on what terms they are compared.
        run: A folder with the data, see :func:`lamina.api.start_run`.
        monitor: Called with :class:`~lamina.train.events.Compare` (once), ``Job``, ``Refit`` and the events of that fit.

    Returns:
        The board, and the model of the candidate to take, learnt from all rows; None where there is none, or after Ctrl-C.
    """
    terms.check()
    schema = Schema.infer(table, target=list(settings.targets), kinds=settings.kinds, roles=settings.roles)
    task = Task.infer(table, settings.targets, kind=settings.task, min_class_rows=settings.fewest)
    known, missing_note = task.usable_rows(table)
    if settings.unique:
        known &= first_of_duplicates(table).to_numpy()
    rows = table if known.all() else table.filter(pl.Series(known))
    task = Task.infer(rows, settings.targets, kind=settings.task, min_class_rows=settings.fewest)
    metric = task.metric(terms.metric)
    candidates = choose_candidates(terms.families, schema)
    folds = draw(rows, schema, task, folds=terms.folds, repeats=terms.dealt(len(rows)), seed=settings.seed)
    leaks = find_leaks(rows, schema, task, seed=settings.seed)
    notes = tuple(note for note in (missing_note, task.doubt, left_aside(schema, settings.roles), *folds.notes) if note)
    notes += without_effect(settings, terms, networks=any(family["name"] in NETWORKS for family in candidates.values()))

    parts = {f"train{i}": part for i, part in enumerate(folds.train)} | {f"test{i}": part for i, part in enumerate(folds.test)}
    with run.replacing("folds.npz") as path, path.open("wb") as file:
        np.savez(file, known=np.flatnonzero(known), **parts)  # pyright: ignore[reportArgumentType]
    run.rewind(lambda event: True)  # drops a last line that was cut off
    begun = Compare(candidates, len(folds), folds.how, len(rows), tuple(map(str, leaks)), notes)
    run.write(begun)
    (run.folder / BOARD).unlink(missing_ok=True)  # of an earlier call
    run.change(
        **terms.to_json(), threads=terms.threads, candidates=candidates, dropped=_without(earlier_candidates(run), candidates)
    )
    if monitor:
        monitor(begun)
    limits = {"time_limit": terms.time_limit, "memory_limit": terms.memory_limit}
    done = {(result["name"], result["fold"]) for result in results(run) if not may_try_again(result, limits)}
    jobs = [
        Job(name, family, fold) for fold in range(len(folds)) for name, family in candidates.items() if (name, fold) not in done
    ]
    complete = work(run, jobs, workers=terms.processes, limits=limits, monitor=monitor) if jobs else True
    board = make_board(
        candidates,
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
    if not complete or not board.verdict.take:
        return board, None
    chosen = dict(candidates[board.verdict.take])
    if monitor:
        monitor(Refit(board.verdict.take))
    family = make_family(chosen.pop("name")).from_json(chosen)
    return board, learn(table, dataclasses.replace(settings, family=family), monitor=monitor)


def choose_candidates(families: Any, schema: Schema) -> dict[str, dict[str, Any]]:
    """The families as JSON, by the names they have on the board.

    "auto" is all classical families whose libraries are there, the baseline among them, and the network that
    :func:`lamina.families.choose_family` takes for such columns.

    Raises:
        OptionError: A family is unknown or reads none of the columns, or there are not enough, or two of one name.
    """
    if isinstance(families, str) and families == "auto":
        there = [name for name in CLASSICAL if name not in FOREIGN or importlib.util.find_spec(FOREIGN[name])]
        families = [*there, "auto"]
    if isinstance(families, str | Family | Auto):
        families = [families]
    if isinstance(families, Mapping):
        named = list(families.items())
    elif isinstance(families, Sequence):
        named = [(None, family) for family in families]
    else:
        raise OptionError(f"families is {families!r}, expected 'auto', a list of names and families, or a dict of them by name")
    chosen: dict[str, dict[str, Any]] = {}
    for name, given in named:
        family, _ = choose_family(given, schema)
        called = str(name or (BASELINE if family.name == "constant" else family.name))
        number = 2
        while name is None and called in chosen:
            called, number = f"{family.name} {number}", number + 1
        if called in chosen:
            raise OptionError(f"two candidates are called {called!r}; give them different names")
        chosen[called] = {"name": family.name, **family.to_json()}
    if not chosen:
        raise OptionError("there is no candidate; name at least one family")
    return chosen


def left_aside(schema: Schema, roles: Mapping[str, str]) -> str:
    """Which columns nobody learns from, though nobody said so."""
    aside = [f"{c.name} ({c.reason})" for c in schema.columns if c.role == "ignored" and c.name not in roles]
    which = f"{len(aside)} column{'s are' if len(aside) > 1 else ' is'} left aside"
    return f"{which}: {', '.join(aside[:3])}{', ...' * (len(aside) > 3)}" if aside else ""


def without_effect(settings: Settings, terms: Terms, *, networks: bool) -> tuple[str, ...]:
    """Sentences about options that were given but have no effect on this comparison."""
    plain = Recipe()
    given = [name for name, value in settings.recipe.get_params().items() if value != getattr(plain, name)]
    notes = [] if networks or not given else [f"recipe has no effect ({', '.join(given)}): no candidate is a network"]
    if settings.split and terms.folds != Terms.folds:
        notes.append(f"folds={terms.folds} has no effect: column {settings.split!r} says the one fold that there is")
    if (settings.split or settings.time) and terms.repeats not in ("auto", 1):
        notes.append(
            f"repeats={terms.repeats} has no effect: column {settings.split or settings.time!r} says what the folds are"
        )
    return tuple(notes)


def question(table: pl.DataFrame, settings: Settings, terms: Terms) -> dict[str, Any]:
    """What a run has to be about to be gone on with: candidates and folds. Limits and the metric may change."""
    schema = Schema.infer(table, target=list(settings.targets), kinds=settings.kinds, roles=settings.roles)
    return {"candidates": choose_candidates(terms.families, schema), "folds": terms.folds, "repeats": terms.repeats}


def candidates_of(run: Run) -> dict[str, Family]:
    """The candidates of a comparison that was begun, by the names that they have on the board.

    Raises:
        RunError: ``run.json`` does not name them.
        OptionError: One of them is no family of this lamina.
    """
    try:
        given = {str(name): dict(family) for name, family in run.settings["candidates"].items()}
        return {name: make_family(family.pop("name")).from_json(family) for name, family in given.items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise run.damaged(f"its candidates: {error}") from error


def terms_of(run: Run) -> Terms:
    """The terms of a comparison that was begun; the default for what an earlier lamina did not write down.

    Raises:
        OptionError: One of them is out of bounds.
    """
    fields = [field.name for field in dataclasses.fields(Terms)]
    return Terms(**{name: run.settings[name] for name in fields if name in run.settings}).check()


def earlier_candidates(run: Run) -> dict[str, Any]:
    """Every candidate that the run was ever asked about, as JSON by name: the events may hold results of each."""
    return {**(run.settings.get("dropped") or {}), **(run.settings.get("candidates") or {})}


def _without(some: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in some.items() if name not in others}


def check_same(run: Run, question: Mapping[str, Any], fingerprint: str) -> None:
    """Going on is for the same question about the same rows only; candidates may be added.

    Raises:
        RunError: It is another one.
    """
    before = earlier_candidates(run)
    asked: Mapping[str, Any] = question["candidates"]
    remedy = "give the same, or take another folder with run="
    if run.verb != "compare":
        raise RunError(f"{run.folder} holds a run that is no comparison; take another folder with run=")
    check_comparable(run.settings["data"]["fingerprint"], run.folder)
    if run.settings["data"]["fingerprint"] != fingerprint:
        raise RunError(f"the comparison in {run.folder} was begun on other rows; {remedy}")
    changed = [name for name, family in before.items() if asked.get(name, family) != family]
    others = [name for name in ("folds", "repeats", "asked") if run.settings.get(name) != question[name]]
    if changed or others:
        what = f"another {changed[0]!r}" if changed else "other settings" if others[0] == "asked" else f"other {others[0]}"
        raise RunError(f"the comparison in {run.folder} was begun with {what}; {remedy}")
