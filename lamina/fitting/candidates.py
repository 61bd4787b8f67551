"""The choice of ``family="auto"``: candidates are fitted, dropped where they are clearly behind, then chosen or combined."""

from __future__ import annotations

import dataclasses
import importlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lamina.data.encode import Encoder
from lamina.data.encoders import Encoders
from lamina.errors import LaminaError, RunError, TrainingError
from lamina.families import shortlist
from lamina.families.ensemble import Ensemble
from lamina.families.family import Family, NetworkFamily
from lamina.fitting.members import (
    Choice,
    FittedFamily,
    MembersTraining,
    Rows,
    candidate_json,
    combined,
    combined_blocks,
    reason,
    subset,
)
from lamina.fitting.selection import best_single, best_single_or_mean, cross_fitted, near_best
from lamina.fitting.settings import Settings
from lamina.fitting.split import splitting_column
from lamina.fitting.training import Trained
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate, StopReason
from lamina.train.run import Run
from lamina.wording import count, listed

FEW, FEW_RICH, FEWEST = 4_000, 2_000, 200
"""Training rows of the first round, of plain columns and beside images, texts or series, of these half of fewer rows; there is
none where it would have less than the last number, or more than half of the rows."""
FIRST = 1_000
"""Training rows of a round before it where the time is limited: it shows what a fit costs."""
EPOCHS = 15
"""Most epochs of a network in a round on some of the rows."""
FACTOR, SURVIVORS = 1.5, 3
"""A candidate stays with at most this factor of the lowest loss; at most so many stay."""
FACTOR_OF_BEST = 2.0
"""The factor for the ensemble of ``quality="best"``, where a candidate that is behind may help the others; any number stay."""
NOTHING_LEFT = 0.005
"""With a lower loss than this share of that of the baseline, the best classical candidate leaves nothing for a network."""
CAUTION, GROWTH = 1.2, 0.75
"""A fit to more rows is expected to take this factor longer than extrapolated; after one fit with this power of the rows."""
RESERVE, SHORT, SHORTER, HALF = 0.1, 0.15, 0.04, 0.5
"""Shares of a time limit: kept for scores and trust; and of what is left, for a network, and for another family that stops in
time, in a round on some of the rows; and for the latter in the round on all rows."""


@dataclass(eq=False)
class _Entry:
    """A candidate: its family, its last fit, and what became of it."""

    family: Family
    fitted: FittedFamily | None = None
    costs: list[tuple[int, float]] = dataclasses.field(default_factory=list)  # rows and seconds of each fit
    loss: float = math.inf
    verdict: str = ""

    @property
    def name(self) -> str:
        return self.family.name

    @property
    def network(self) -> bool:
        return isinstance(self.family, NetworkFamily)

    @property
    def rows(self) -> int:
        """The training rows of its last fit; 0 before the first."""
        return self.costs[-1][0] if self.costs else 0

    @property
    def seconds(self) -> float:
        """The time of its last fit."""
        return self.costs[-1][1] if self.costs else 0.0

    def expected(self, rows: int) -> float:
        """Seconds of a fit to so many rows: on the line through its last two fits; 0 before the first."""
        if len(self.costs) < 2:
            return CAUTION * self.seconds * (rows / max(self.rows, 1)) ** GROWTH
        (few, first), (many, second) = self.costs[-2:]
        return CAUTION * (second + max(0.0, second - first) * (rows - many) / (many - few))


class CandidatesTraining(MembersTraining):
    """The candidates for the columns, fitted to the same training rows and judged by the same validation rows."""

    def __init__(self, rows: Rows, settings: Settings, device: torch.device, hooks: Hooks, deadline: float = math.inf) -> None:
        super().__init__(rows, settings, device, hooks, deadline)
        for module in ("ensemble", "linear_model", "feature_extraction.text"):
            importlib.import_module(f"sklearn.{module}")  # before the time of a fit is measured
        self._choose = best_single if settings.quality == "fast" else best_single_or_mean
        self._entries = [_Entry(family) for family in shortlist(rows.prepared.schema, settings.quality)]
        self._staying = []

    def choose(self, run: Run | None) -> Choice:
        """Fit the candidates round by round, then choose."""
        rows = self._rows
        entries = self._staying or self.screened()
        if self._settings.quality == "fast" and entries[0].fitted is not None:
            entries = entries[:1]
        self._round(entries, rows, run)
        fitted = [entry for entry in self._entries if entry.fitted is not None and not entry.verdict]
        if not fitted:
            reasons = "; ".join(f"{entry.name}: {entry.verdict}" for entry in self._entries)
            raise TrainingError(f"no candidate could be fitted ({reasons})")
        outputs = [entry.fitted.outputs for entry in fitted if entry.fitted]
        weights = self._choose(rows.loss, outputs)
        shares = {entry.name: share for entry, share in zip(fitted, weights, strict=True)}
        candidates = [self._json(entry, shares.get(entry.name, 0.0)) for entry in self._entries]
        chosen = [(entry.fitted, share) for entry, share in zip(fitted, weights, strict=True) if share and entry.fitted]
        why = f"{self._entries[0].name} is the only candidate"
        if len(self._entries) > 1:
            tried = f"of {count(len(self._entries), 'candidate')} on the same validation rows"
            why = reason([(entry.name, entry.loss) for entry in fitted], weights, tried)
        notes = tuple(dict.fromkeys(note for one, _ in chosen for note in one.notes))
        fewest, most = (extreme(one.rows for one, _ in chosen) for extreme in (min, max))
        if fewest < (total := len(rows.parts.train)):
            some = listed([f"{one.family.name} {one.rows:,}" for one, _ in chosen if one.rows < total], len(chosen))
            notes += (f"time_limit={self._settings.time_limit:g} was too short for all {total:,} training rows: {some}",)
        scored = cross_fitted(self._choose, rows.loss, outputs, seed=self._settings.seed)
        members = [(one, number, share) for number, (one, share) in enumerate(chosen)]
        again, refitted = self._refitted(members), None
        family, encoder, trained = self._taken(members, scored)
        if names := [new.family.name for (old, *_), (new, *_) in zip(members, again, strict=True) if new is not old]:
            refitted = (again[0][0].encoder, again[0][0].trained.predictor) if len(again) == 1 else combined(again)
            why += f"; {listed(names, len(names))} {'was' if len(names) == 1 else 'were'} then fitted to all rows"
        return Choice(family, encoder, trained, subset(rows.parts, most), why, candidates, notes, refitted)

    def _taken(
        self, members: Sequence[tuple[FittedFamily, int, float]], outputs: np.ndarray
    ) -> tuple[Family, Encoder | Encoders, Trained]:
        """The model of the candidates that were chosen, whose validation rows are scored by these outputs."""
        chosen = [one for one, *_ in members]
        if len(chosen) == 1:
            only = chosen[0]
            if self._interrupted:
                only.trained.history.stopped = StopReason.INTERRUPTED
            return only.family, only.encoder, dataclasses.replace(only.trained, outputs=outputs)
        encoder, predictor = combined(members)
        train = combined_blocks(members, encoder, "train") if len({one.rows for one in chosen}) == 1 else {}
        history = self._history(sum(one.trained.history.seconds for one in chosen))
        trained = Trained(predictor, history, train, combined_blocks(members, encoder, "validation"), outputs)
        return Ensemble(tuple(one.family for one in chosen), folds=0), encoder, trained

    def _refitted(self, members: Sequence[tuple[FittedFamily, int, float]]) -> list[tuple[FittedFamily, int, float]]:
        """The members, of which those that are not stopped by validation rows are fitted to training and validation rows.

        Not where a column says which rows are for validation only, and not what the time is too short for.
        """
        by, parts = splitting_column(self._rows.prepared.schema), self._rows.parts
        if by is not None and by.role == "split":
            return list(members)
        both = dataclasses.replace(parts, train=np.sort(np.concatenate([parts.train, parts.validation])))
        rows, result = self._rows.of(both), []
        for one, number, share in members:
            entry = next(entry for entry in self._entries if entry.fitted is one)
            if one.rows == len(parts.train):
                one = self._fit_to_all(one, rows, entry.expected(len(both.train)))
            result.append((one, number, share))
        return result

    def screened(self) -> list[_Entry]:
        """Fit the candidates to some of the rows; those that are not clearly behind."""
        entries, total = self._entries, len(self._rows.parts.train)
        plain, endless = self._rows.prepared.schema.all_plain, math.isinf(self._deadline)
        few = FEW if plain else max(FEWEST, min(FEW_RICH, total // 2))
        sizes = [size for size in ((few,) if endless else sorted({FIRST if plain else FEWEST, few})) if 2 * size <= total]
        for size in sizes:
            # A network of plain columns may be far behind on 4,000 rows and far ahead on 80,000 (flights).
            tried = [entry for entry in entries if not entry.network or (size == few and not plain)]
            self._round(tried, self._rows.of(subset(self._rows.parts, size)), None)
            if size == sizes[-1]:
                entries = [*self._survivors(tried), *(entry for entry in entries if entry not in tried)]
        self._staying = entries
        return entries

    def affordable(self) -> list[Family]:
        """The families that stay and can be fitted to a fold in time, those that stop in time as far as they come.

        The best so far come first, what was not tried on some of the rows last.
        """
        rows, left, affordable = len(self._rows.parts.train), self._deadline - time.monotonic(), []
        for entry in sorted(self._staying, key=lambda entry: entry.loss):
            expected = entry.expected(rows) * (SHORT if entry.family.stops_in_time else 1.0)
            if expected < left:
                affordable.append(entry)
                left -= expected
        return [entry.family for entry in affordable]

    def left_out(self, families: Sequence[Family]) -> list[dict[str, Any]]:
        """The candidates that are none of the families, as JSON."""
        names = {family.name for family in families}
        out = [entry for entry in self._entries if entry.name not in names]
        for entry in out:
            entry.verdict = entry.verdict or "no time was left"
        return [self._json(entry, 0.0) for entry in out]

    def _json(self, entry: _Entry, share: float) -> dict[str, Any]:
        outputs = entry.fitted and entry.fitted.outputs
        return candidate_json(self._rows, entry.name, entry.rows, outputs, entry.seconds, share, entry.verdict)

    # -- rounds ------------------------------------------------------------------------------------------------------------

    def _round(self, entries: Sequence[_Entry], rows: Rows, run: Run | None) -> None:
        """Fit each candidate to the rows, networks last, as far as the time allows."""
        size, last = len(rows.parts.train), rows is self._rows
        order = [entry for entry in self._entries if entry in entries]  # the simplest first
        for place, entry in enumerate(order):
            if self._interrupted and any(other.fitted for other in self._entries):
                return
            left = self._deadline - time.monotonic()
            expected = entry.expected(size)
            started = any(other.fitted for other in self._entries)
            if last and entry.network and (leader := self._leader()) and leader.loss < NOTHING_LEFT * self._rows.baseline:
                entry.verdict = f"not fitted: {leader.name} leaves nothing to gain"
                continue
            if started and (left <= 0 or (expected > left and not entry.family.stops_in_time)):
                continue
            settings = self._settings if last and math.isinf(left) else self._limited(entry, left, last)
            try:
                leader = self._leader()
                event = Candidate(entry.name, size, place, len(order), leader.name if leader else "")
                fitted = self._fit(rows, entry.family, settings, event=event, run=run, part=entry.name)
            except RunError:  # the run cannot be written
                raise
            except (LaminaError, MemoryError) as error:
                entry.verdict = str(error) or "ran out of memory"
                continue
            except KeyboardInterrupt:
                if not started:
                    raise
                self._interrupted = True
                return
            loss = rows.loss.mean(fitted.outputs)
            entry.fitted = fitted
            entry.costs.append((size, fitted.seconds))
            entry.loss = loss if math.isfinite(loss) else math.inf

    def _limited(self, entry: _Entry, left: float, last: bool) -> Settings:
        """The settings of a fit that must end: a network stops after some epochs, and what can stop in time does."""
        settings = self._settings
        if entry.family.stops_in_time and math.isfinite(left):
            share = (1.0 if last else SHORT) if entry.network else (HALF if last else SHORTER)
            settings = settings.within(share * left)
        if entry.network and not last:
            settings = dataclasses.replace(settings, recipe=dataclasses.replace(settings.recipe, epochs=EPOCHS))
        return settings

    def _survivors(self, entries: Sequence[_Entry]) -> list[_Entry]:
        """The candidates that go on to more rows: those near the best."""
        factor, most = (FACTOR_OF_BEST, None) if self._settings.quality == "best" else (FACTOR, SURVIVORS)
        fitted = [entry for entry in entries if entry.fitted]
        if not fitted:
            return list(entries)
        near = near_best([entry.loss for entry in fitted], self._rows.baseline, factor=factor, most=most)
        staying = [fitted[place] for place in near]
        for entry in fitted:
            if entry not in staying:
                entry.verdict = f"behind on {entry.rows:,} rows"
        return staying

    # -- words -------------------------------------------------------------------------------------------------------------

    def _leader(self) -> _Entry | None:
        """The candidate with the lowest loss so far."""
        fitted = [entry for entry in self._entries if entry.fitted and not entry.verdict]
        return min(fitted, key=lambda entry: entry.loss, default=None)
