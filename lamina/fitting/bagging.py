"""The fit of an ensemble: each family on each fold, and the weights of their mean."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from lamina.errors import LaminaError, RunError, TrainingError
from lamina.families import check_family, choose_family, shortlist
from lamina.families.classical.family import ClassicalFamily
from lamina.families.ensemble import Ensemble, total_spread
from lamina.families.family import Family, NetworkFamily
from lamina.fitting.candidates import FACTOR, NOTHING_LEFT, CandidatesTraining
from lamina.fitting.folds import draw
from lamina.fitting.members import (
    Choice,
    FittedFamily,
    MembersTraining,
    Rows,
    candidate_json,
    combined,
    combined_blocks,
    reason,
)
from lamina.fitting.selection import BEYOND_DOUBT, best_mean, best_single_or_mean, cross_fitted, near_best
from lamina.fitting.settings import SEEDS, Settings
from lamina.fitting.split import Split, split
from lamina.fitting.training import Trained
from lamina.train.at_once import at_once
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate
from lamina.train.run import Run
from lamina.train.threads import available_threads
from lamina.wording import count, listed

CAUTION = 1.5
"""A fit to all rows is expected to take this factor of the longest fit to a fold."""
FOR_NETWORKS = 2 / 3
"""The share of the time that is left for the first networks and the families after them."""
MOST_TOGETHER = 16
"""Most folds of a network that are trained as a population."""
ENOUGH = 0.7
"""The last fold is begun where at least this share of the time of those before it is left; families that stop in time do so."""


class EnsembleTraining(MembersTraining):
    """The families of an ensemble with the rows of each fold.

    With ``screen`` its families are the candidates for the columns. Unless ``quality="best"``, those that are clearly behind
    after the first fold are dropped, and one family is chosen where no mean is clearly better.
    """

    def __init__(
        self,
        family: Ensemble,
        rows: Rows,
        settings: Settings,
        device: torch.device,
        hooks: Hooks,
        deadline: float = math.inf,
        *,
        screen: bool = False,
    ) -> None:
        super().__init__(rows, settings, device, hooks, deadline)
        self._given, self._screen, self._dropped = family, screen, []
        self._single = screen and settings.quality != "best"
        self._choose = best_single_or_mean if self._single else best_mean
        prepared, parts = rows.prepared, rows.parts
        if family.families == "auto":
            self._families = shortlist(prepared.schema, settings.quality if screen else "best")
        else:
            self._families = [choose_family(check_family(one), prepared.schema)[0] for one in family.families]
        self._order = [one.name for one in self._families]
        self.notes = tuple(hooks.never_called(family.name))
        self._sides = [parts]
        if parts.out_of_bag:
            drawn = draw(
                prepared.table, prepared.schema, rows.task, folds=family.folds, repeats=family.repeats, seed=settings.seed
            )
            self._sides = [Split(*sides, drawn.how) for sides in zip(drawn.train, drawn.test, strict=True)]
            self.notes += drawn.notes

    def choose(self, run: Run | None) -> Choice:
        """Fit every family to each fold, fold by fold as far as the time allows; choose the weights on what they predict."""
        began = time.monotonic()
        if self._screen:
            candidates = self._screening()
            self._families = candidates.affordable()
            if all(isinstance(family, NetworkFamily) for family in self._families):  # no time for a fold of any other
                return candidates.choose(run)
            self._dropped = candidates.left_out(self._families)
        classical = [family for family in self._families if not isinstance(family, NetworkFamily)]
        networks = [family for family in self._families if isinstance(family, NetworkFamily)]
        # In a limited time the best of the classical ones and the networks come first: no time may be left for the others.
        early = 1 if self._screen and math.isfinite(self._deadline) else len(classical)
        families = [*classical[:early], *networks, *classical[early:]]
        folds: list[dict[int, FittedFamily]] = []
        failures: dict[int, dict[str, Any]] = {}
        screened = time.monotonic()
        while len(folds) < len(self._sides):
            first, room = len(folds), 1.0  # the first fold is alone: what is behind on it is dropped
            if folds:
                now = time.monotonic()
                room = (self._deadline - now) * first / (now - screened) + 1 - ENOUGH
                if room < 1:
                    break
            most = MOST_TOGETHER if folds and any(one.together for one in folds[0].values()) else self._cores
            numbers = range(first, min(first + int(min(most, room)), len(self._sides)))
            fitted = self._fit_folds(numbers, families, folds, failures, run)
            complete = [fold for fold in fitted if len(fold) == len(families) - len(failures)]
            folds += complete
            if len(complete) < len(fitted) or not fitted[0] or self._interrupted:  # interrupted, or the time is over
                break
            if self._single and not first:
                self._drop_behind(self._rows.of(self._sides[0]), fitted[0], failures)
        finished = [
            (family, [fitted[place] for fitted in folds])
            for place, family in enumerate(families)
            if folds and place not in failures and all(place in fitted for fitted in folds)
        ]
        if self._screen:  # the simplest first
            finished.sort(key=lambda one: self._order.index(one[0].name))
        if not finished:
            reasons = "; ".join(f"{one['name']}: {one['verdict']}" for one in failures.values())
            raise TrainingError(f"no family of the ensemble could be fitted ({reasons})")
        notes = []
        if len(folds) < len(self._sides):
            some = f"{len(folds)} of {count(len(self._sides), 'fold')}"
            if self._interrupted:
                notes = [f"{some} were fitted before the interrupt"]
            else:
                notes = [f"time_limit={self._settings.time_limit:g} was enough for {some}"]
            self._sides = self._sides[: len(folds)]
        choice = self._combined(finished, list(failures.values()), time.monotonic() - began)
        return dataclasses.replace(choice, notes=(*notes, *choice.notes))

    def _screening(self) -> CandidatesTraining:
        """The candidates after they were fitted to some of the rows."""
        rows, settings = self._rows, self._settings
        if rows.parts.out_of_bag:
            prepared = rows.prepared
            parts = split(prepared.table, prepared.schema, prepared.task, validation=settings.validation, seed=settings.seed)
            rows = rows.of(parts)
        candidates = CandidatesTraining(rows, settings, self._device, self._hooks, self._deadline)
        candidates.screened()
        return candidates

    def _reason(self, names: Sequence[str], losses: Sequence[float], weights: list[float], others: int) -> str:
        folds = count(len(self._sides), "fold")
        if self._single:
            tried = f"of {count(len(names) + others, 'candidate')} on {folds}"
            return reason(list(zip(names, losses, strict=True)), weights, tried)
        shares = [f"{name} ({share:.0%})" for name, share in zip(names, weights, strict=True) if share]
        return f"the weighted mean of {listed(shares, len(shares))} on {folds} has the lowest loss"

    def _drop_behind(self, rows: Rows, fitted: dict[int, FittedFamily], failures: dict[int, dict[str, Any]]) -> None:
        """Note the families that are behind on the first fold, beyond doubt, as failures."""
        losses = [rows.loss.of_rows(one.outputs) for one in fitted.values()]
        near = near_best([rows.loss.mean(one.outputs) for one in fitted.values()], rows.baseline, factor=FACTOR)
        for number, (place, one) in enumerate(fitted.items()):
            if number not in near and rows.loss.larger(losses[number], losses[near[0]], BEYOND_DOUBT):
                failures[place] = candidate_json(
                    rows, one.family.name, one.rows, one.outputs, one.seconds, 0.0, "behind on the first fold"
                )

    @functools.cached_property
    def _cores(self) -> int:
        """How many folds of a network are trained at once, each by itself."""
        return 1 if self._device.type != "cpu" or self._settings.recipe.threads else available_threads()

    def _fit_folds(
        self,
        numbers: range,
        families: list[Family],
        before: Sequence[dict[int, FittedFamily]],
        failures: dict[int, dict[str, Any]],
        run: Run | None,
    ) -> list[dict[int, FittedFamily]]:
        """The families by their place, fitted to each of these folds; failures get those that have no fit to the first fold."""
        rows = [self._rows.of(self._sides[number]) for number in numbers]
        fitted: list[dict[int, FittedFamily]] = [{} for _ in numbers]

        def fail(place: int, reason: str) -> None:
            failures[place] = candidate_json(rows[0], families[place].name, 0, None, 0.0, 0.0, reason)

        for place, family in enumerate(families):
            if place in failures:
                continue
            left = self._deadline - time.monotonic()
            if left <= 0 and fitted[0]:
                if before:
                    return fitted
                fail(place, "no time was left")
                continue
            if not before and (leader := self._leaves_nothing(family, rows[0], fitted[0])):
                fail(place, f"not fitted: {leader} leaves nothing to gain")
                continue
            rest = [other for number, other in enumerate(families[place:], place) if number not in failures]
            if before and isinstance(family, ClassicalFamily):
                family = family.chosen(before[0][place].trained.predictor)
            try:
                most = len(numbers) if before and before[0][place].together else self._cores
                for one, fold in zip(self._fit_each(family, place, numbers, rows, rest, run, most), fitted, strict=False):
                    fold[place] = one
            except RunError:  # the run cannot be written
                raise
            except (LaminaError, MemoryError) as error:
                self._interrupted = False  # the error stopped the other folds
                fail(place, str(error) or "ran out of memory")
                continue
            except KeyboardInterrupt:
                if not fitted[0] and not before:
                    raise
                self._interrupted = True
            if self._interrupted:
                if not before:
                    for other in range(len(families)):
                        if other not in fitted[0] and other not in failures:
                            fail(other, "interrupted")
                return fitted
        return fitted

    def _fit_each(
        self,
        family: Family,
        place: int,
        numbers: range,
        rows: Sequence[Rows],
        rest: Sequence[Family],
        run: Run | None,
        most: int,
    ) -> list[FittedFamily]:
        """A family, fitted to each of these folds, a network to so many of them at once; fewer where it was interrupted.

        ``rest`` is this family and those that are fitted after it; they share the time that is left.
        """
        network = isinstance(family, NetworkFamily)
        size = most if network else 1

        def fit(at: int, hooks: Hooks) -> FittedFamily:
            settings = dataclasses.replace(self._settings, seed=(self._settings.seed + numbers[at]) % SEEDS)
            left = self._deadline - time.monotonic()
            if family.stops_in_time and math.isfinite(left):
                networks = sum(isinstance(other, NetworkFamily) for other in rest)
                others = len(rest) - networks
                of_networks = FOR_NETWORKS if networks and others else float(networks > 0)
                share = of_networks / networks if network else (1 - of_networks) / others
                rounds = math.ceil(len(rows) / size) - at // size  # this one and those after it
                settings = settings.within(share * left / rounds)
            part = f"{place}-{family.name}-{numbers[at]}"
            one = self._fit(rows[at], family, settings, event=event(at), run=run, part=part, hooks=hooks)
            if self._rows.parts.out_of_bag:  # the rows of the folds are needed no more
                one = dataclasses.replace(one, trained=dataclasses.replace(one.trained, train={}, validation={}))
            return one

        def event(at: int) -> Candidate:
            done, fits = numbers[at] * len(self._families) + place, len(self._sides) * len(self._families)
            return Candidate(family.name, len(rows[at].parts.train), done, fits, fold=numbers[at])

        fitted: list[FittedFamily] = []
        while len(fitted) < len(rows) and not (fitted and self._interrupted):
            *quiet, last = range(len(fitted), min(len(fitted) + size, len(rows)))
            for at in quiet:  # progress is that of the last one
                self._hooks.emit(event(at))
            calls = [*(functools.partial(fit, at, Hooks()) for at in quiet), functools.partial(fit, last, self._hooks)]
            fitted += at_once(calls, max(1, available_threads() // len(calls))) if quiet else [calls[0]()]
        return fitted

    def _leaves_nothing(self, family: Family, rows: Rows, fitted: Mapping[int, FittedFamily]) -> str:
        """The family whose loss is so low that a network would be in vain; an empty string if there is none."""
        if not self._single or not isinstance(family, NetworkFamily) or not fitted:
            return ""
        loss, leader = min((rows.loss.mean(one.outputs), one.family.name) for one in fitted.values())
        return leader if loss < NOTHING_LEFT * rows.baseline else ""

    def _combined(
        self, finished: list[tuple[Family, list[FittedFamily]]], failures: list[dict[str, Any]], seconds: float
    ) -> Choice:
        given, table = self._rows.parts, self._rows.prepared.table
        places, mean = given.validation, np.concatenate
        if given.out_of_bag:
            places, row = np.unique(np.concatenate([parts.validation for parts in self._sides]), return_inverse=True)
            mean = functools.partial(_mean_by_row, row=row)
        outputs = [mean([one.outputs for one in fitted]) for _, fitted in finished]
        rows = self._rows.of(dataclasses.replace(given, validation=places))
        weights = self._choose(rows.loss, outputs)
        honest = cross_fitted(self._choose, rows.loss, outputs, seed=self._settings.seed)
        chosen = [(place, finished[place][1], share) for place, share in enumerate(weights) if share]
        members = _members(chosen)
        encoder, predictor = combined(members)
        size = len(table) if given.out_of_bag else len(given.train)
        losses = [rows.loss.mean(values) for values in outputs]
        names = [family.name for family, _ in finished]
        why = self._reason(names, losses, weights, len(failures) + len(self._dropped)) if self._screen else ""
        candidates = [
            candidate_json(rows, family.name, size, values, sum(one.seconds for one in fitted), share)
            for (family, fitted), share, values in zip(finished, weights, outputs, strict=True)
        ]
        candidates += [*self._dropped, *failures]
        if self._screen:
            candidates.sort(key=lambda one: self._order.index(one["name"]))
        notes = tuple(dict.fromkeys(note for one, *_ in members for note in one.notes))
        history = self._history(seconds)
        if given.out_of_bag:
            known_spreads = [[one.spread for one in fitted if one.spread is not None] for _, fitted, _ in chosen]
            within = [mean(parts) if len(parts) == len(self._sides) else None for parts in known_spreads]
            known = np.full((len(table), outputs[0].shape[1]), np.nan)
            spread = total_spread([outputs[place] for place, *_ in chosen], within, [share for *_, share in chosen])
            spreads = known.copy()
            known[places] = honest
            if spread is not None:
                spreads[places] = spread
            predictor = dataclasses.replace(predictor, out_of_bag=known, out_of_bag_spread=None if spread is None else spreads)
            trained = Trained(predictor, history, {}, {})
        else:
            train, validation = (combined_blocks(members, encoder, side) for side in ("train", "validation"))
            trained = Trained(predictor, history, train, validation, honest)
        family, refitted = dataclasses.replace(self._given, families=tuple(self._families)), None
        if self._single or (self._screen and given.out_of_bag and len(self._sides) == 1):
            again = [(place, self._fitted_to_all(fitted), share) for place, fitted, share in chosen]
            names = [new[0].family.name for _, new, _ in again if len(new) == 1]
            family = dataclasses.replace(family, families=tuple(new[0].family for _, new, _ in again))
            if names:
                why += f"; {listed(names, len(names))} {'was' if len(names) == 1 else 'were'} then fitted to all rows"
                refitted = combined(_members(again))
            if len(again) == len(names) == 1:
                only = again[0][1][0]
                family, refitted = only.family, (only.encoder, only.trained.predictor)
        return Choice(family, encoder, trained, given, why, candidates, notes, refitted)

    def _fitted_to_all(self, fitted: list[FittedFamily]) -> list[FittedFamily]:
        """One fit of the family to all rows in place of those to the folds, unless that is worse: the mean is more stable."""
        family = fitted[0].family
        if len(fitted) > 1 and (not isinstance(family, ClassicalFamily) or family.stops_early):
            return fitted
        expected = CAUTION * max(one.seconds for one in fitted)
        one = self._fit_to_all(fitted[0], self._rows, expected)
        return fitted if one is fitted[0] else [one]


def _members(chosen: Sequence[tuple[int, Sequence[FittedFamily], float]]) -> list[tuple[FittedFamily, int, float]]:
    """The members of an ensemble, from the place, the fits and the weight of each family."""
    return [(one, place, share / len(fitted)) for place, fitted, share in chosen for one in fitted]


def _mean_by_row(parts: Sequence[np.ndarray], row: np.ndarray) -> np.ndarray:
    """The mean for each row (rows, size) of the values of all folds, whose rows these are (N,)."""
    values = np.concatenate(parts)
    total = np.zeros((int(row.max()) + 1, values.shape[1]))
    np.add.at(total, row, values)
    return total / np.bincount(row)[:, None]
