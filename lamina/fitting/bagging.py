"""The fit of an ensemble: each family on each fold, and the weights of their mean."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence

import numpy as np
import torch

from lamina.errors import LaminaError, RunError, TrainingError
from lamina.families import check_family, choose_family, shortlist
from lamina.families.ensemble import Ensemble, total_spread
from lamina.families.family import Family, NetworkFamily
from lamina.fitting.candidates import CandidatesTraining
from lamina.fitting.folds import draw
from lamina.fitting.members import FittedFamily, Rows, candidate_json, combined, combined_blocks, fit_family
from lamina.fitting.prepare import Prepared
from lamina.fitting.selection import best_mean, cross_fitted
from lamina.fitting.settings import SEEDS, Settings
from lamina.fitting.split import Split, split
from lamina.fitting.training import Trained, Training
from lamina.tasks.task import Task
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate, StopReason
from lamina.train.loop import Edit, History
from lamina.train.run import Run
from lamina.wording import count, listed


class EnsembleTraining(Training):
    """The families of an ensemble with the rows of each fold; attributes as :class:`~.candidates.CandidatesTraining`."""

    net = None

    def __init__(
        self,
        family: Ensemble,
        prepared: Prepared,
        parts: Split,
        task: Task,
        settings: Settings,
        device: torch.device,
        hooks: Hooks,
        deadline: float = math.inf,
        *,
        screen: bool = False,
    ) -> None:
        self._screen, self._dropped = screen, []
        self.recipe = settings.recipe
        self._prepared, self._parts, self._task = prepared, parts, task
        self._settings, self._device, self._hooks, self._deadline = settings, device, hooks, deadline
        if family.families == "auto":
            self._families = shortlist(prepared.schema, "best")
        else:
            self._families = [choose_family(check_family(one), prepared.schema)[0] for one in family.families]
        self.family = dataclasses.replace(family, families=tuple(self._families))
        self.notes: tuple[str, ...] = tuple(hooks.never_called(family.name))
        self._sides = [parts]
        if parts.out_of_bag:
            drawn = draw(prepared.table, prepared.schema, task, folds=family.folds, seed=settings.seed)
            self._sides = [Split(*sides, drawn.how) for sides in zip(drawn.train, drawn.test, strict=True)]
            self.notes += drawn.notes
        self._interrupted = False

    def run(self, *, run: Run | None, hooks: Hooks, edit: Edit | None) -> Trained:
        """Fit every family to every fold, and choose the weights on the out-of-fold outputs."""
        began, task = time.monotonic(), self._task
        if self._screen:
            candidates = self._screening()
            self._families = candidates.affordable(len(self._sides), self._deadline)
            if not self._families:  # not even one family in the time that is left
                trained = candidates.run(run=run, hooks=hooks, edit=edit)
                self.encoder, self.family, self.parts = (
                    candidates.encoder,
                    candidates.family,
                    candidates.parts or candidates.given,
                )
                self.why, self.later_notes, self.candidates = candidates.why, candidates.later_notes, candidates.candidates
                return trained
            self.family = dataclasses.replace(self.family, families=tuple(self._families))
            self._dropped = candidates.left_out(self._families)
        sides = [Rows(self._prepared, parts, task) for parts in self._sides]
        finished: list[tuple[Family, list[FittedFamily]]] = []
        failures: dict[str, str] = {}
        families = sorted(self._families, key=lambda family: isinstance(family, NetworkFamily))
        for place, family in enumerate(families):
            try:
                fitted = self._fit_folds(family, sides, run, place, len(families), bool(finished))
            except RunError:  # the run cannot be written
                raise
            except (LaminaError, MemoryError) as error:
                failures[family.name] = str(error) or "ran out of memory"
                continue
            except KeyboardInterrupt:
                if not finished:
                    raise
                self._interrupted = True
                break
            if fitted is None:
                failures[family.name] = "no time was left"
            else:
                finished.append((family, fitted))
            if self._interrupted:
                break
        if not finished:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
            raise TrainingError(f"no family of the ensemble could be fitted ({reasons})")
        return self._combined(finished, failures, time.monotonic() - began)

    def _screening(self) -> CandidatesTraining:
        """The candidates after they were fitted to some of the rows."""
        prepared, settings, parts = self._prepared, self._settings, self._parts
        if parts.out_of_bag:
            parts = split(prepared.table, prepared.schema, prepared.task, validation=settings.validation, seed=settings.seed)
        candidates = CandidatesTraining(prepared, parts, self._task, settings, self._device, self._hooks, self._deadline)
        candidates.screened()
        return candidates

    def _reason(self, finished: list[tuple[Family, list[FittedFamily]]], weights: list[float]) -> str:
        names = [f"{family.name} ({share:.0%})" for (family, _), share in zip(finished, weights, strict=True) if share]
        return f"the weighted mean of {listed(names, len(names))} on {count(len(self._sides), 'fold')} has the lowest loss"

    def _fit_folds(
        self, family: Family, sides: list[Rows], run: Run | None, place: int, families: int, optional: bool
    ) -> list[FittedFamily] | None:
        """One family on each fold; None where the time is over and there are others."""
        fitted: list[FittedFamily] = []
        for number, rows in enumerate(sides):
            left = self._deadline - time.monotonic()
            if optional and left <= 0:
                return None
            if fitted and optional and not isinstance(family, NetworkFamily):
                each = sum(one.seconds for one in fitted) / len(fitted)
                if each * (len(sides) - number) > left:
                    return None
            done = place * len(sides) + number
            event = Candidate(family.name, len(rows.parts.train), done, families * len(sides), fold=number)
            settings = dataclasses.replace(self._settings, seed=(self._settings.seed + number) % SEEDS)
            if isinstance(family, NetworkFamily) and math.isfinite(left):
                limit = max(0.05, left / (len(sides) - number) / (families - place))
                settings = dataclasses.replace(settings, recipe=dataclasses.replace(settings.recipe, time_limit=limit))
            part = None if run is None or not isinstance(family, NetworkFamily) else run.part(f"{place}-{family.name}-{number}")
            one = fit_family(rows, family, settings, self._device, Hooks(None, self._hooks.monitor), event=event, run=part)
            if self._parts.out_of_bag:  # the rows of the folds are needed no more
                one = dataclasses.replace(one, trained=dataclasses.replace(one.trained, train={}, validation={}))
            fitted.append(one)
            if one.trained.history.stopped is StopReason.INTERRUPTED:
                self._interrupted = True
                if number + 1 < len(sides):
                    if optional:
                        return None
                    raise KeyboardInterrupt
        return fitted

    def _combined(self, finished: list[tuple[Family, list[FittedFamily]]], failures: dict[str, str], seconds: float) -> Trained:
        table = self._prepared.table
        places = np.concatenate([parts.validation for parts in self._sides])
        outputs = [np.concatenate([one.outputs for one in fitted]) for _, fitted in finished]
        rows = Rows(self._prepared, dataclasses.replace(self._parts, validation=places), self._task)
        weights = best_mean(rows.loss, outputs)
        honest = cross_fitted(best_mean, rows.loss, outputs, seed=self._settings.seed)
        folds = len(self._sides)
        members = [
            (one, number, share / folds)
            for number, ((_, fitted), share) in enumerate(zip(finished, weights, strict=True))
            for one in fitted
            if share
        ]
        self.encoder, predictor = combined(members)
        size = len(table) if self._parts.out_of_bag else len(self._parts.train)
        self.candidates = [
            candidate_json(rows, family.name, size, values, sum(one.seconds for one in fitted), share)
            for (family, fitted), share, values in zip(finished, weights, outputs, strict=True)
        ]
        self.candidates += self._dropped
        self.candidates += [candidate_json(rows, name, 0, None, 0.0, 0.0, reason) for name, reason in failures.items()]
        self.later_notes = tuple(dict.fromkeys(note for one, *_ in members for note in one.notes))
        self.why = self._reason(finished, weights) if self._screen else ""
        history = History(
            stopped=StopReason.INTERRUPTED if self._interrupted else StopReason.FITTED, seconds=seconds, recipe=self.recipe
        )
        if not self._parts.out_of_bag:
            return Trained(
                predictor,
                history,
                combined_blocks(members, self.encoder, "train"),
                combined_blocks(members, self.encoder, "validation"),
                honest,
            )
        within = [_joined([one.spread for one in fitted]) for _, fitted in finished]
        known = np.full((len(table), outputs[0].shape[1]), np.nan)
        spread, spreads = total_spread(outputs, within, weights), known.copy()
        known[places] = honest
        if spread is not None:
            spreads[places] = spread
        predictor = dataclasses.replace(predictor, out_of_bag=known, out_of_bag_spread=None if spread is None else spreads)
        return Trained(predictor, history, {}, {})


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """The arrays of all folds as one; None where one is missing."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if len(known) == len(parts) else None
