"""The fit of an ensemble: each family on each fold, and the weights of their mean."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Sequence

import numpy as np
import torch

from lamina.errors import LaminaError, RunError, TrainingError
from lamina.families import check_family, choose_family, shortlist
from lamina.families.classical.family import ClassicalFamily
from lamina.families.ensemble import Ensemble, total_spread
from lamina.families.family import Family, NetworkFamily
from lamina.fitting.candidates import CandidatesTraining
from lamina.fitting.folds import draw
from lamina.fitting.members import Choice, FittedFamily, MembersTraining, Rows, candidate_json, combined, combined_blocks
from lamina.fitting.selection import best_mean, cross_fitted
from lamina.fitting.settings import SEEDS, Settings
from lamina.fitting.split import Split, split
from lamina.fitting.training import Trained
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate
from lamina.train.run import Run
from lamina.wording import count, listed

ENOUGH = 0.7
"""Another fold is begun where at least this share of the time of those before it is left; families that stop in time do so."""


class EnsembleTraining(MembersTraining):
    """The families of an ensemble with the rows of each fold."""

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
        prepared, parts = rows.prepared, rows.parts
        if family.families == "auto":
            self._families = shortlist(prepared.schema, "best")
        else:
            self._families = [choose_family(check_family(one), prepared.schema)[0] for one in family.families]
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
        families = sorted(self._families, key=lambda family: isinstance(family, NetworkFamily))
        folds: list[dict[int, FittedFamily]] = []
        failures: dict[int, str] = {}
        screened = time.monotonic()
        for number, parts in enumerate(self._sides):
            now = time.monotonic()
            if folds and self._deadline - now < ENOUGH * (now - screened) / len(folds):
                break
            fitted = self._fit_fold(number, self._rows.of(parts), families, folds, failures, run)
            if len(fitted) < len(families) - len(failures):  # interrupted, or the time is over
                break
            folds.append(fitted)
            if not fitted or self._interrupted:
                break
        finished = [
            (family, [fitted[place] for fitted in folds])
            for place, family in enumerate(families)
            if folds and place not in failures and all(place in fitted for fitted in folds)
        ]
        reasons = [(families[place].name, reason) for place, reason in failures.items()]
        if not finished:
            raise TrainingError(
                f"no family of the ensemble could be fitted ({'; '.join(f'{name}: {reason}' for name, reason in reasons)})"
            )
        notes = []
        if len(folds) < len(self._sides):
            some = f"{len(folds)} of {count(len(self._sides), 'fold')}"
            if self._interrupted:
                notes = [f"{some} were fitted before the interrupt"]
            else:
                notes = [f"time_limit={self._settings.time_limit:g} was enough for {some}"]
            self._sides = self._sides[: len(folds)]
        choice = self._combined(finished, reasons, time.monotonic() - began)
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

    def _reason(self, finished: list[tuple[Family, list[FittedFamily]]], weights: list[float]) -> str:
        names = [f"{family.name} ({share:.0%})" for (family, _), share in zip(finished, weights, strict=True) if share]
        return f"the weighted mean of {listed(names, len(names))} on {count(len(self._sides), 'fold')} has the lowest loss"

    def _fit_fold(
        self,
        number: int,
        rows: Rows,
        families: list[Family],
        before: Sequence[dict[int, FittedFamily]],
        failures: dict[int, str],
        run: Run | None,
    ) -> dict[int, FittedFamily]:
        """The families by their place, fitted to one fold; of the first fold those without a fit have a reason in failures."""
        fitted: dict[int, FittedFamily] = {}
        for place, family in enumerate(families):
            if place in failures:
                continue
            left = self._deadline - time.monotonic()
            if left <= 0 and fitted:
                if before:
                    return fitted
                failures[place] = "no time was left"
                continue
            event = Candidate(
                family.name,
                len(rows.parts.train),
                number * len(families) + place,
                len(self._sides) * len(families),
                fold=number,
            )
            settings = dataclasses.replace(self._settings, seed=(self._settings.seed + number) % SEEDS)
            if family.stops_in_time and math.isfinite(left):
                settings = settings.within(left / sum(other not in failures for other in range(place, len(families))))
            if before and isinstance(family, ClassicalFamily):
                family = family.chosen(before[0][place].trained.predictor)
            try:
                one = self._fit(rows, family, settings, event=event, run=run, part=f"{place}-{family.name}-{number}")
            except RunError:  # the run cannot be written
                raise
            except (LaminaError, MemoryError) as error:
                failures[place] = str(error) or "ran out of memory"
                continue
            except KeyboardInterrupt:
                if not fitted and not before:
                    raise
                self._interrupted = True
            else:
                if self._rows.parts.out_of_bag:  # the rows of the folds are needed no more
                    one = dataclasses.replace(one, trained=dataclasses.replace(one.trained, train={}, validation={}))
                fitted[place] = one
            if self._interrupted:
                if not before:
                    failures |= {other: "interrupted" for other in range(len(families)) if other not in (*fitted, *failures)}
                return fitted
        return fitted

    def _combined(
        self, finished: list[tuple[Family, list[FittedFamily]]], failures: list[tuple[str, str]], seconds: float
    ) -> Choice:
        given, table = self._rows.parts, self._rows.prepared.table
        places, mean = given.validation, np.concatenate
        if given.out_of_bag:
            places, row = np.unique(np.concatenate([parts.validation for parts in self._sides]), return_inverse=True)
            mean = functools.partial(_mean_by_row, row=row)
        outputs = [mean([one.outputs for one in fitted]) for _, fitted in finished]
        rows = self._rows.of(dataclasses.replace(given, validation=places))
        weights = best_mean(rows.loss, outputs)
        honest = cross_fitted(best_mean, rows.loss, outputs, seed=self._settings.seed)
        folds = len(self._sides)
        members = [
            (one, number, share / folds)
            for number, ((_, fitted), share) in enumerate(zip(finished, weights, strict=True))
            for one in fitted
            if share
        ]
        encoder, predictor = combined(members)
        size = len(table) if given.out_of_bag else len(given.train)
        candidates = [
            candidate_json(rows, family.name, size, values, sum(one.seconds for one in fitted), share)
            for (family, fitted), share, values in zip(finished, weights, outputs, strict=True)
        ]
        candidates += self._dropped
        candidates += [candidate_json(rows, name, 0, None, 0.0, 0.0, reason) for name, reason in failures]
        notes = tuple(dict.fromkeys(note for one, *_ in members for note in one.notes))
        why = self._reason(finished, weights) if self._screen else ""
        history = self._history(seconds)
        if given.out_of_bag:
            known_spreads = [[one.spread for one in fitted if one.spread is not None] for _, fitted in finished]
            within = [mean(parts) if len(parts) == folds else None for parts in known_spreads]
            known = np.full((len(table), outputs[0].shape[1]), np.nan)
            spread, spreads = total_spread(outputs, within, weights), known.copy()
            known[places] = honest
            if spread is not None:
                spreads[places] = spread
            predictor = dataclasses.replace(predictor, out_of_bag=known, out_of_bag_spread=None if spread is None else spreads)
            trained = Trained(predictor, history, {}, {})
        else:
            train, validation = (combined_blocks(members, encoder, side) for side in ("train", "validation"))
            trained = Trained(predictor, history, train, validation, honest)
        family = dataclasses.replace(self._given, families=tuple(self._families))
        return Choice(family, encoder, trained, given, why, candidates, notes)


def _mean_by_row(parts: Sequence[np.ndarray], row: np.ndarray) -> np.ndarray:
    """The mean for each row (rows, size) of the values of all folds, whose rows these are (N,)."""
    values = np.concatenate(parts)
    total = np.zeros((int(row.max()) + 1, values.shape[1]))
    np.add.at(total, row, values)
    return total / np.bincount(row)[:, None]
