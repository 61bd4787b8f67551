"""The trials of a tuning: Optuna's study and sampler, and the journal that keeps them in the run folder."""

from __future__ import annotations

import dataclasses
import importlib
import json
import logging
import math
import statistics
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lamina.errors import MissingExtraError, RunError
from lamina.tuning.space import Space

STARTUP = 8
"""Trials at random before the sampler models the scores."""
REDUCTION = 2
"""Successive halving: of this many trials one goes on after a rung, with this many times the epochs."""
RUNGS = 3
"""Rungs below the full number of epochs."""
RESULT = "result"
"""The attribute of a trial in the journal that says how it ended."""
KILLED = "killed"
"""The attribute of one whose process was killed."""
_AFTER_EPOCHS = 10_000_000
"""Folds are reported as later steps than any epoch."""


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: From 0, in the order of their ends.
        params: The values of the searched options by name; of defaults those in the ranges.
        score: Mean over the folds, in the metric's units; nan without one.
        state: "complete", "pruned" or "failed".
        seconds: Time of its fits.
        fit_seconds: Median time of one of its fits.
        failed: Why it has no score.
        defaults: The family whose defaults these are, or "".
        scores: Of each fold that it finished.
    """

    number: int
    params: Mapping[str, Any]
    score: float
    state: str
    seconds: float
    fit_seconds: float = 0.0
    failed: str = ""
    defaults: str = ""
    scores: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "score": None if math.isnan(self.score) else self.score}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        params = {name: tuple(value) if isinstance(value, list) else value for name, value in content["params"].items()}
        score = math.nan if content["score"] is None else content["score"]
        return cls(**{**content, "params": params, "score": score, "scores": tuple(content["scores"])})


def optuna() -> Any:
    """The library, imported where it is used.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise MissingExtraError("tuning needs optuna, which is not installed: pip install 'lamina[tune]'") from error


class Study:
    """The trials of a run.

    Args:
        folder: The run folder.
        space: The options that are searched.
        sampler: "tpe" or "random".
        seed: The trial after so many others is the same in a resumed run, and a trial whose process was killed is repeated.
        greater: Whether a greater score is better.
    """

    def __init__(self, path: Path, space: Space, *, sampler: str, seed: int, greater: bool) -> None:
        self._optuna, self._space, self._sampler, self._seed = optuna(), space, sampler, seed
        self._states = self._optuna.trial.TrialState
        self.sign = -1.0 if greater else 1.0
        _repair(path)
        with self._quiet():
            journal = self._optuna.storages.journal
            try:
                storage = self._optuna.storages.JournalStorage(journal.JournalFileBackend(str(path)))
                self._study = self._optuna.create_study(storage=storage, study_name="tuning", load_if_exists=True)
            except (ValueError, KeyError) as error:
                raise RunError(f"{path} is damaged ({error}); start again in another folder") from error
            for trial in self._study.get_trials(deepcopy=False):
                if trial.state.name == "RUNNING":  # its process was killed
                    self._end_killed(trial)

    @property
    def results(self) -> list[TrialResult]:
        """The trials that ended, in order; one whose process was killed did not."""
        ended = [trial.user_attrs[RESULT] for trial in self._study.get_trials(deepcopy=False) if RESULT in trial.user_attrs]
        return [TrialResult.from_json({**result, "number": number}) for number, result in enumerate(ended)]

    def best(self, results: Sequence[TrialResult]) -> TrialResult | None:
        """The complete trial with the best score, the earlier of equal ones."""
        complete = [one for one in results if one.state == "complete"]
        return min(complete, key=lambda one: (self.sign * one.score, one.number), default=None)

    def ask(self, defaults: Mapping[str, Any] | None = None) -> Trial:
        """The next trial; with ``defaults`` that of a family without tuning."""
        done = len(self.results)
        seed = (self._seed * 1_000_003 + done) % 2**32
        with self._quiet():
            samplers = self._optuna.samplers
            self._study.sampler = (
                samplers.RandomSampler(seed=seed)
                if self._sampler == "random"
                else samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, multivariate=True, group=True)
            )
            if defaults is not None and not self._study.get_trials(deepcopy=False, states=[self._states.WAITING]):
                self._study.enqueue_trial(self._space.encode(defaults))
            trial = self._study.ask()
            params = self._space.suggest(trial, fixed=defaults)
        return Trial(self, trial, params, done)

    def _end_killed(self, trial: Any) -> None:
        """End a trial whose process was killed: with its result if it had one, else it is drawn again, but once only."""
        result = trial.user_attrs.get(RESULT)
        previous = self._study.get_trials(deepcopy=False)[trial.number - 1] if trial.number else None
        if result is None and previous is not None and KILLED in previous.user_attrs:
            params = self._space.suggest(trial, fixed=trial.params)
            result = TrialResult(0, params, math.nan, "failed", 0.0, failed="its process was killed twice").to_json()
            self._study._storage.set_trial_user_attr(trial._trial_id, RESULT, result)
        elif result is None:
            self._study._storage.set_trial_user_attr(trial._trial_id, KILLED, True)
        self._tell(trial.number, result or {"state": "failed"})

    def _tell(self, trial: Any, result: Mapping[str, Any]) -> None:
        """Tell the study how a trial ended."""
        if result["state"] == "complete":
            self._study.tell(trial, self.sign * result["score"])
        else:
            self._study.tell(trial, state=self._states.PRUNED if result["state"] == "pruned" else self._states.FAIL)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Without Optuna's log, and its warnings that an option is experimental."""
        log = logging.getLogger("optuna")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            log.setLevel(level)


class Trial:
    """A trial that runs: it takes the losses of epochs and the scores of folds, and says when to stop."""

    def __init__(self, study: Study, trial: Any, params: dict[str, Any], number: int) -> None:
        self._study, self._trial = study, trial
        self.params, self.number = params, number
        self.scores: list[float] = []

    def behind_in_epoch(self, epoch: int, loss: float, epochs: int) -> bool:
        """Whether successive halving (Jamieson & Talwalkar 2016; Li et al. 2020) stops it after an epoch.

        Args:
            epoch: From 0.
            loss: The lowest validation loss so far.
            epochs: The most epochs of its recipe.
        """
        least = max(1, epochs // REDUCTION**RUNGS)
        if (epoch + 1) not in [least * REDUCTION**rung for rung in range(RUNGS)]:
            return False
        with self._study._quiet():
            self._trial.report(loss, epoch + 1)
            pruners = self._study._optuna.pruners
            self._study._study.pruner = pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=REDUCTION)
            return self._trial.should_prune()

    def behind_in_fold(self, score: float) -> bool:
        """Add the score of a fold; whether its mean is worse than the median of the other trials on the same folds."""
        self.scores.append(score)
        mean, count = statistics.fmean(self.scores), len(self.scores)
        with self._study._quiet():
            self._trial.report(self._study.sign * mean, _AFTER_EPOCHS + count)
        others = [statistics.fmean(one.scores[:count]) for one in self._study.results if len(one.scores) >= count]
        return len(others) >= STARTUP // 2 and self._study.sign * (mean - statistics.median(others)) > 0

    def end(self, state: str, *, seconds: float, fit_seconds: float = 0.0, failed: str = "", defaults: str = "") -> TrialResult:
        """Write how it ended: "complete", "pruned" or "failed"."""
        score = statistics.fmean(self.scores) if self.scores else math.nan
        result = TrialResult(self.number, self.params, score, state, seconds, fit_seconds, failed, defaults, tuple(self.scores))
        with self._study._quiet():
            self._trial.set_user_attr(RESULT, result.to_json())
            self._study._tell(self._trial, result.to_json())
        return result


def _repair(path: Path) -> None:
    """Drop the incomplete last line and the lock of a process that was killed; the run is claimed by this one."""
    Path(f"{path}.lock").unlink(missing_ok=True)
    if path.exists():
        with path.open("rb+") as file:
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            try:
                for line in content.splitlines()[: content.count(b"\n")]:
                    json.loads(line)
            except ValueError as error:
                raise RunError(f"{path} is damaged: a line in it is no entry; start again in another folder") from error
