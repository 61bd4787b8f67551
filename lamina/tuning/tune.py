"""The tuning: trials on the folds, the best settings beside the defaults on the test rows, and the model of all rows."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from lamina import store
from lamina.data.rowhash import check_comparable
from lamina.data.schema import Schema
from lamina.data.weights import row_weights
from lamina.errors import OptionError, RunError, TrainingError
from lamina.estimators import estimator
from lamina.families import Auto, Family, choose_family, family_from_json
from lamina.fitting.fit import fit_model
from lamina.fitting.prepare import Prepared, prepare
from lamina.fitting.settings import Settings
from lamina.functions import recall
from lamina.options import find, shortened
from lamina.tasks.metrics import Metric
from lamina.train.events import End, Monitor, Refit, StopReason, Trial, Tune
from lamina.train.run import JOURNAL, TESTED, Run
from lamina.tuning.fits import Fits, OutOfTime, Pruned, limited, reason_of
from lamina.tuning.results import Tuning, load_tuning, save_tuning
from lamina.tuning.rows import Parts, draw_parts
from lamina.tuning.space import Space, declared_space, given_space, ranges
from lamina.tuning.study import Study, TrialResult
from lamina.tuning.study import Trial as RunningTrial
from lamina.tuning.terms import TuningTerms
from lamina.tuning.verdict import calls_of_metric, decide, score_both
from lamina.wording import duration

DEFAULTS, TUNED = TESTED
_FIRST_SHARE = 0.45
"""The share of the time limit that the first fit may take; the model of all rows needs as long."""
_MARGIN, _LAST_SECONDS = 1.2, 0.5
"""Factor of estimated times, and the seconds to save and to predict the test rows."""
_FIXED = ("families", "space", "metric", "sampler", "folds", "test", "asked")
"""What a resumed tuning must repeat."""


def fixed_options(table: pl.DataFrame, settings: Settings, terms: TuningTerms) -> dict[str, Any]:
    """The options that a resumed tuning must repeat, as JSON: all but the number of trials, the time limit and the rope.

    Raises:
        OptionError: A family or the space cannot be used.
    """
    prepared = prepare(table, settings)
    prepared.task.metric(terms.metric)
    members = _named(terms.family, prepared.schema)
    if terms.space is None:
        space = declared_space(members, settings.recipe, prepared.schema)
    else:
        space = given_space(members, settings.recipe, prepared.schema, terms.space)
    families = {name: {"name": family.name, **family.to_json()} for name, family in members.items()}
    return {"families": families, "space": space.to_json()}


def _named(requested: Any, schema: Schema) -> dict[str, Family]:
    """The families by name, "boosting 2" for a second one of a name.

    Raises:
        OptionError: One is unknown, reads none of the columns, or there is none.
    """
    if isinstance(requested, str | Family | Auto):
        requested = [requested]
    if not isinstance(requested, Sequence) or not requested:
        raise OptionError(f"family is {shortened(requested)}, expected {find(TuningTerms, 'family').metadata['expected']}")
    families: dict[str, Family] = {}
    for one in requested:
        family, _ = choose_family(one, schema)
        title, number = family.name, 2
        while title in families:
            title, number = f"{family.name} {number}", number + 1
        families[title] = family
    return families


def _families(content: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): recall(family_from_json(family)) for name, family in content.items()}


def check_same(run: Run, options: Mapping[str, Any], fingerprint: str) -> None:
    """Check that a run is a tuning that was begun with these options on these rows."""
    if run.verb != "tune":
        raise RunError(f"{run.folder} holds a run that is not a tuning; choose another folder with run=")
    check_comparable(run.settings["data"]["fingerprint"], run.folder)
    remedy = "give the same, or choose another folder with run="
    if run.settings["data"]["fingerprint"] != fingerprint:
        raise RunError(f"the tuning in {run.folder} was begun on other rows; {remedy}")
    if others := [name for name in _FIXED if run.settings.get(name) != options[name]]:
        what = {"asked": "settings", "test": "share of test rows"}.get(others[0], others[0])
        raise RunError(f"the tuning in {run.folder} was begun with other {what}; {remedy}")


def terms_of(run: Run) -> TuningTerms:
    """The options of a run."""
    names = [field.name for field in dataclasses.fields(TuningTerms) if field.name in run.settings]
    try:
        return TuningTerms(**{name: run.settings[name] for name in names if name != "space"}).check()
    except TypeError as error:
        raise run.damaged(f"its options: {error}") from error


def tune(
    table: pl.DataFrame,
    settings: Settings,
    *,
    terms: TuningTerms,
    run: Run,
    monitor: Monitor | None = None,
    began: float | None = None,
) -> Tuning:
    """The result of all trials, with the model of all rows.

    Trials that ended in an earlier call are not repeated.

    Args:
        table: Features, target, and the columns with roles.
        settings: The settings of a fit; the family is ignored.
        terms: The options of the tuning.
        run: A folder with the data and :func:`fixed_options`, see :func:`lamina.runs.start_run`.
        monitor: Called with :class:`~lamina.train.events.Tune` (once), ``Trial``, ``Refit`` and the events of that fit.
        began: When the time limit began, by ``time.monotonic()``; None for now.

    Raises:
        DataError: There are too few rows.
        OptionError: The time limit is too short.
        TrainingError: No trial could be fitted.
    """
    return _Tuning(table, settings, terms, run, monitor, time.monotonic() if began is None else began).result()


def finish(
    table: pl.DataFrame,
    settings: Settings,
    *,
    terms: TuningTerms,
    run: Run,
    monitor: Monitor | None = None,
    began: float | None = None,
) -> Tuning:
    """Tune, and save the result and the model in the run folder; a finished tuning with as many trials is loaded."""
    with run.claimed():
        if run.finished and all(run.settings.get(name) == value for name, value in terms.to_json().items()):
            result = load_tuning(run)
            if result.stopped == "trials":
                return dataclasses.replace(result, model=estimator(store.load(run.model_path)))
        result = tune(table, settings, terms=terms, run=run, monitor=monitor, began=began)
        store.save(result.model.model_, run.model_path)
        save_tuning(result, run)
        run.write(End(StopReason.INTERRUPTED if result.stopped == "interrupted" else StopReason.FITTED))
    return result


class _Tuning:
    """One call: the rows, the space, and the time that is left."""

    def __init__(
        self,
        table: pl.DataFrame,
        settings: Settings,
        terms: TuningTerms,
        run: Run,
        monitor: Monitor | None,
        began: float,
    ) -> None:
        self.began = began
        self.deadline = math.inf if terms.time_limit is None else self.began + terms.time_limit
        self.source, self.settings, self.terms, self.run = table, settings, terms, run
        self.monitor = monitor or (lambda event: None)
        self.prepared: Prepared = prepare(table, settings)
        self.metric: Metric = self.prepared.task.metric(terms.metric)
        families = _families(run.settings["families"])
        stored = ranges(run.settings["space"])
        if len(families) > 1:  # their options are stored by the names of the candidates
            stored = {name: values for name, values in stored.items() if name != "family"}
        self.space: Space = (
            given_space(families, settings.recipe, self.prepared.schema, stored)
            if stored
            else Space(families, settings.recipe, ())
        )
        self.parts: Parts = draw_parts(self.prepared, terms, validation=settings.validation, seed=settings.seed)
        self.fits = Fits(self.prepared, settings, self.parts, self.metric)
        self.outer = len(self.parts.folds)
        self.notes = (*self.prepared.notes, *self.parts.notes, *_without_effect(settings, terms, self.outer))
        self.default_seconds, self.last_seconds = 0.0, _LAST_SECONDS
        self.interrupted = False

    def result(self) -> Tuning:
        self._prepare_run()
        greater = self.metric.greater
        study = Study(
            self.run.folder / JOURNAL, self.space, sampler=self.terms.sampler, seed=self.settings.seed, greater=greater
        )
        earlier = sum(one.seconds for one in study.results)
        failed = self._fit_defaults()
        decided = {} if failed else self._decided()
        try:
            self._run_trials(study, decided)
        except KeyboardInterrupt:
            self.interrupted = True
        trials = study.results
        if failed and not any(one.state == "complete" for one in trials):
            raise TrainingError(f"no settings could be fitted, nor the defaults: {failed}")
        best = self._fit_tuned(study, trials)
        if best is None and failed:
            raise TrainingError(f"the defaults could not be fitted ({failed}), nor the best trial once more; give more time")
        tuned, defaults = (
            self.fits.predictions(store.load(self.run.folder / name), self.parts.test) if there else None
            for name, there in ((TUNED, best is not None), (DEFAULTS, not failed))
        )
        rows = self.prepared.table[self.parts.test]
        group = None
        if self.settings.group and self.prepared.group is not None:
            group = self.prepared.group[self.parts.test]
        scored = score_both(
            self.metric,
            self.prepared.task.truth(rows),
            tuned,
            defaults,
            weight=row_weights(rows, self.prepared.schema),
            group=group,
            rope=self.terms.rope,
            seed=self.settings.seed,
        )
        params = best.params if best is not None else self.space.defaults(self.space.first, decided)
        stopped = "interrupted" if self.interrupted else "trials" if len(trials) >= self.terms.trials else "time_limit"
        seconds = earlier + time.monotonic() - self.began
        verdict = decide(
            scored,
            metric=self.metric,
            trials=trials,
            planned=self.terms.trials,
            params=params,
            rows=len(rows),
            seconds=seconds,
            stopped=stopped,
            defaults_failed=failed,
        )
        family, recipe = self.space.apply(params if verdict.take == "tuned" else {})
        self.monitor(Refit("tuned settings" if verdict.take == "tuned" else "defaults"))
        settings = dataclasses.replace(self.settings, family=family, recipe=limited(recipe, self._left()))
        model = estimator(fit_model(self.source, settings, monitor=self.monitor, search_leaks=True), settings)
        return Tuning(
            verdict=verdict,
            best_params=params,
            score=scored.score,
            low=scored.low,
            high=scored.high,
            standard_error=scored.standard_error,
            scores={"tuned": scored.tuned, "defaults": scored.defaults},
            metric=self.metric.name,
            metric_title=self.metric.title,
            greater=self.metric.greater,
            trials=tuple(trials),
            space=self.space.to_json(),
            how=self.parts.how,
            test_rows=len(rows),
            seconds=seconds,
            stopped=stopped,
            notes=self.notes,
            model=model,
        )

    def _left(self) -> float:
        return self.deadline - time.monotonic()

    def _prepare_run(self) -> None:
        """Write the options, and the event of the beginning."""
        self.run.rewind(lambda event: True)  # drops an incomplete last line
        self.run.change(**self.terms.to_json())
        event = Tune(
            trials=self.terms.trials,
            space=self.space.to_json(),
            rows=len(self.prepared.table),
            split=self.parts.how,
            test_rows=len(self.parts.test),
            metric=self.metric.name,
            time_limit=self.terms.time_limit,
            notes=self.notes,
        )
        self.run.write(event)
        self.monitor(event)

    # -- fits --------------------------------------------------------------------------------------------------------------

    def _fit_defaults(self) -> str:
        """Fit the defaults to all rows for the trials, for the test rows; returns why they cannot be fitted, or ""."""
        if (self.run.folder / DEFAULTS).exists() and "default_seconds" in self.run.settings:
            self.default_seconds = float(self.run.settings["default_seconds"])
            return ""
        limit, allowed = self.terms.time_limit, math.inf
        if limit is not None:
            allowed = self.began + _FIRST_SHARE * limit - time.monotonic()
        family, recipe = self.space.apply({})
        try:
            model, seconds = self.fits.fit(family, limited(recipe, allowed), self.outer, time.monotonic() + allowed)
        except OutOfTime:
            raise OptionError(
                f"time_limit is {limit:g}, but the defaults of {family.name} are not fitted in {duration(max(allowed, 0.0))}, "
                "and they have to be fitted twice: for the score and for the model; give more time, or another family"
            ) from None
        except Exception as error:  # as that of a trial
            return reason_of(error)
        store.save(model, self.run.folder / DEFAULTS)
        self.default_seconds = seconds
        self.run.change(default_seconds=seconds)
        return ""

    def _decided(self) -> dict[str, Any]:
        """The options of the defaults with every "auto" decided; also measures how long the test rows take to score."""
        model, rows = store.load(self.run.folder / DEFAULTS), self.prepared.table[self.parts.test]
        prediction, truth = self.fits.predictions(model, self.parts.test), self.prepared.task.truth(rows)
        began = time.monotonic()
        self.metric(truth, prediction, np.linspace(0.5, 1.5, len(truth)))
        self.last_seconds += (time.monotonic() - began) * calls_of_metric(len(truth))
        return {"family": model.card["family"], "recipe": model.card["recipe"]}

    # -- trials ------------------------------------------------------------------------------------------------------------

    def _run_trials(self, study: Study, decided: Mapping[str, Any]) -> None:
        """Run trials until all have ended or the time is over; the first ones have the defaults of each family."""
        names = list(self.space.families)
        while (number := len(results := study.results)) < self.terms.trials:
            best = study.best(results)
            deadline = self.deadline - self._reserve(best)
            if time.monotonic() >= deadline:
                return
            defaults = names[number] if number < len(names) else ""
            trial = study.ask(self.space.defaults(defaults, decided if number == 0 else {}) if defaults else None)
            ended = self._run_trial(trial, deadline, defaults, best)
            if ended is None:
                return
            best = study.best(study.results)
            event = Trial(
                number=number,
                trials=self.terms.trials,
                state=ended.state,
                params=ended.params,
                score=None if math.isnan(ended.score) else ended.score,
                best=None if best is None else best.score,
                seconds=ended.seconds,
                failed=ended.failed,
            )
            self.run.write(event)
            self.monitor(event)

    def _run_trial(self, trial: RunningTrial, deadline: float, defaults: str, best: TrialResult | None) -> TrialResult | None:
        """Fit one trial to each fold; None where the time is over, which is not the trial's fault."""
        began, seconds = time.monotonic(), []

        def end(state: str, failed: str = "") -> TrialResult:
            middle = statistics.median(seconds) if seconds else 0.0
            return trial.end(state, seconds=time.monotonic() - began, fit_seconds=middle, failed=failed, defaults=defaults)

        fold = 0

        def halving(epoch: int, loss: float, epochs: int) -> bool:
            return trial.behind_in_epoch(epoch, loss, epochs) and not defaults

        try:
            family, recipe = self.space.apply({"family": defaults} if defaults else trial.params)
            family.check()
            recipe.check()
            for fold in range(self.outer):
                score, done = None if best is None else best.score, fold / self.outer
                self.monitor(Trial(trial.number, self.terms.trials, "running", trial.params, best=score, done=done))
                if seconds and time.monotonic() + statistics.median(seconds) > deadline:
                    return None
                model, one = self.fits.fit(family, recipe, fold, deadline, halving if fold == 0 else None)
                seconds.append(one)
                score = self.fits.score(model, self.parts.folds[fold][1])
                if math.isfinite(score) and trial.behind_in_fold(score) and not defaults and fold + 1 < self.outer:
                    return end("pruned")
        except OutOfTime:
            return None
        except Pruned:
            return end("pruned")
        except Exception as error:  # of a trial is its result
            return end("failed", f"in fold {fold + 1}, {reason_of(error)}")
        if not trial.scores:
            return end("failed", f"{self.metric.title} is not a finite number")
        return end("complete")

    def _reserve(self, one: TrialResult | None) -> float:
        """The seconds to fit settings to the rows for the trials and to all rows, and to score them."""
        train = len(self.parts.train)
        larger = len(self.prepared.table) / train
        if one is None or one.defaults == self.space.first:
            return _MARGIN * self.default_seconds * larger + self.last_seconds
        inner = statistics.fmean(len(part) for part, _ in self.parts.folds)
        fit_seconds = one.fit_seconds * train / inner
        return _MARGIN * fit_seconds * (1 + larger) + self.last_seconds

    def _fit_tuned(self, study: Study, trials: Sequence[TrialResult]) -> TrialResult | None:
        """The best trial that the time is enough for, fitted to all rows for the trials; None where it has the defaults."""
        affordable = [one for one in trials if self._reserve(one) <= self._left() + self.last_seconds / 2]
        while (best := study.best(affordable)) is not None and best.defaults != self.space.first:
            tested = {"params": best.to_json()["params"]}
            if self.run.settings.get("tested") == tested and (self.run.folder / TUNED).exists():
                return best
            family, recipe = self.space.apply(best.params)
            last = self._reserve(best) * len(self.prepared.table) / (len(self.prepared.table) + len(self.parts.train))
            try:
                model, _ = self.fits.fit(family, recipe, self.outer, self.deadline - last)
            except Exception:  # it fails or takes too long on all rows: the next best is tried
                affordable.remove(best)
                continue
            store.save(model, self.run.folder / TUNED)
            self.run.change(tested=tested)
            return best
        return None


def _without_effect(settings: Settings, terms: TuningTerms, folds: int) -> list[str]:
    """Notes on options that have no effect."""
    notes = []
    if settings.split and terms.test != TuningTerms.test:
        notes.append(f"test={terms.test:g} has no effect: column {settings.split!r} names the test rows")
    if isinstance(terms.folds, int) and folds != terms.folds:
        notes.append(f"folds={terms.folds}: the rows are enough for {folds} only")
    return notes
