"""Members: models of single families on the same rows, of which one is chosen or several are combined."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lamina.data.encode import Encoder
from lamina.data.encoders import Encoders
from lamina.data.encoding import Encoding
from lamina.errors import LaminaError
from lamina.families.classical.family import ClassicalFamily
from lamina.families.ensemble import EnsemblePredictor, Member
from lamina.families.family import Family, NetworkFamily
from lamina.families.predictor import Predictor
from lamina.fitting.encoded import EncodedSplit, encode
from lamina.fitting.prepare import Prepared
from lamina.fitting.selection import ValidationLoss, cross_fitted, lowest
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.fitting.training import ClassicalTraining, NetworkTraining, Trained, Training
from lamina.tasks.task import Task
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate, StopReason
from lamina.train.history import History
from lamina.train.loop import Edit
from lamina.train.run import Run
from lamina.wording import listed

FEW_FOR_NETWORKS = 25_000
"""A chosen network of plain columns is fitted once more, to training and validation rows, if these are at most so many."""


@dataclass(eq=False)
class Rows:
    """Training and validation rows on which families are fitted; those that were encoded last are kept for the next family."""

    prepared: Prepared
    parts: Split
    task: Task
    _encoded: dict[Encoding, EncodedSplit] = field(default_factory=dict)

    def of(self, parts: Split) -> Rows:
        """Other training and validation rows of the same data."""
        return Rows(self.prepared, parts, self.task)

    def encoded(self, encoding: Encoding) -> EncodedSplit:
        if encoding not in self._encoded:
            self._encoded = {}  # frees memory before more is taken
            self._encoded[encoding] = encode(self.prepared, self.parts, self.task, encoding)
        return self._encoded[encoding]

    @functools.cached_property
    def loss(self) -> ValidationLoss:
        """The loss by which models are compared on the validation rows."""
        prepared, places = self.prepared, self.parts.validation
        weight, group = (None if part is None else part[places] for part in (prepared.weight, prepared.group))
        return ValidationLoss(self.task, self.task.truth(prepared.table[places]), weight, group)

    @functools.cached_property
    def baseline(self) -> float:
        """The loss of the baseline on the validation rows."""
        return self.loss.mean(self.task.baseline(len(self.parts.validation)))


@dataclass(frozen=True, eq=False)
class FittedFamily:
    """One family, fitted to training rows.

    Attributes:
        family: With every "auto" option decided.
        encoder: Fitted to the same rows.
        trained: The predictor with its history.
        outputs: Outputs for the validation rows (N, size); of a network those of an epoch that other validation rows chose,
            where they are few.
        spread: The spread of these outputs; None without one.
        rows: Number of training rows.
        seconds: What the fit took, without the encoding.
        notes: Sentences for a person.
        together: Whether its fits to several folds are trained as a population.
    """

    family: Family
    encoder: Encoder
    trained: Trained
    outputs: np.ndarray
    spread: np.ndarray | None
    rows: int
    seconds: float
    notes: tuple[str, ...]
    together: bool = False


def fit_family(
    rows: Rows,
    family: Family,
    settings: Settings,
    device: torch.device,
    hooks: Hooks,
    *,
    event: Candidate,
    run: Run | None = None,
    epochs: int | None = None,
) -> FittedFamily:
    """Fit a family to the training rows, and predict the validation rows; the event is emitted when training begins.

    With ``epochs`` a network is trained for so many, whatever the validation rows say.

    Raises:
        LaminaError: The family cannot be fitted to these rows.
    """
    data = rows.encoded(family.encoding())
    began = time.monotonic()
    if isinstance(family, NetworkFamily):
        training = NetworkTraining(family, data, rows.task, settings, device, keep=True)
    else:
        assert isinstance(family, ClassicalFamily)
        training = ClassicalTraining(family, data, rows.task, settings, hooks)
    hooks.emit(dataclasses.replace(event, recipe=training.recipe if training.net else None))
    if epochs is not None and isinstance(training, NetworkTraining):
        trained = training.run_for(epochs, hooks)
    else:
        trained = training.run(run=run, hooks=hooks, edit=None)
    outputs, spread = trained.predictor.outputs_and_spread(trained.validation, len(rows.parts.validation))
    if isinstance(training, NetworkTraining) and training.kept:  # else the best epoch on these rows flatters the network
        outputs = cross_fitted(lowest, rows.loss, training.kept, seed=settings.seed)
    notes = tuple(filter(None, training.notes))
    seconds, packed = time.monotonic() - began, isinstance(training, NetworkTraining) and training.together
    return FittedFamily(training.family, data.encoder, trained, outputs, spread, len(data.train), seconds, notes, packed)


@dataclass(frozen=True, eq=False)
class Choice:
    """A model of one or of several fitted families.

    Attributes:
        family: What was chosen; an ensemble of several.
        encoder: Its encoder, or those of its members.
        trained: The predictor with its history.
        parts: Its training and validation rows.
        why: The reason, as a sentence.
        candidates: A JSON object for each candidate: name, rows, loss, score, seconds, weight, verdict.
        notes: Sentences of the fits that were taken.
        refitted: As in :class:`~lamina.fitting.training.Training`.
    """

    family: Family
    encoder: Encoder | Encoders
    trained: Trained
    parts: Split
    why: str
    candidates: Sequence[Mapping[str, Any]]
    notes: tuple[str, ...]
    refitted: tuple[Encoder | Encoders, Predictor] | None = None


class MembersTraining(Training, ABC):
    """Base of what fits several families, and chooses one or combines several.

    Args:
        rows: Training and validation rows.
        settings: Those of the fit.
        device: For networks.
        hooks: Their monitor is called with the events of the fits.
        deadline: Time, as :func:`time.monotonic` gives it, at which fits end.

    Attributes:
        family: What was chosen; after :meth:`run`.
        encoder: As in :class:`Choice`, also ``parts``, ``why``, ``candidates``, ``refitted`` and ``later_notes``, its notes.
    """

    net = None
    family: Family
    encoder: Encoder | Encoders

    def __init__(self, rows: Rows, settings: Settings, device: torch.device, hooks: Hooks, deadline: float = math.inf) -> None:
        self.recipe = settings.recipe
        self.notes: tuple[str, ...] = ()
        self._rows, self._settings, self._device, self._hooks = rows, settings, device, hooks
        self._deadline, self._interrupted = deadline, False

    def run(self, *, run: Run | None, hooks: Hooks, edit: Edit | None) -> Trained:
        """Fit the families, then choose."""
        choice = self.choose(run)
        self.family, self.encoder, self.parts = choice.family, choice.encoder, choice.parts
        self.why, self.candidates, self.later_notes = choice.why, choice.candidates, choice.notes
        self.refitted = choice.refitted
        return choice.trained

    @abstractmethod
    def choose(self, run: Run | None) -> Choice:
        """Fit the families, networks with checkpoints in parts of the run, then choose.

        Raises:
            TrainingError: No family could be fitted.
            RunError: The run cannot be written.
        """

    def _fit(
        self,
        rows: Rows,
        family: Family,
        settings: Settings,
        *,
        event: Candidate,
        run: Run | None,
        part: str,
        hooks: Hooks | None = None,
        epochs: int | None = None,
    ) -> FittedFamily:
        """One family, fitted to these rows; a network with checkpoints in this part of the run."""
        hooks = self._hooks if hooks is None else hooks
        run = None if run is None or not isinstance(family, NetworkFamily) else run.part(part)
        hooks = Hooks(None, hooks.monitor)
        fitted = fit_family(rows, family, settings, self._device, hooks, event=event, run=run, epochs=epochs)
        self._interrupted |= fitted.trained.history.stopped is StopReason.INTERRUPTED
        return fitted

    def _fit_to_all(self, one: FittedFamily, rows: Rows, expected: float) -> FittedFamily:
        """The family fitted to all rows, if it can be and the time allows; else what was fitted."""
        settings, left, family, epochs = self._settings, self._deadline - time.monotonic(), None, None
        if isinstance(one.family, ClassicalFamily):
            family = one.family.refit(one.trained.predictor)
        elif self._may_train_again(rows, one.trained.history):
            family, epochs = one.family, one.trained.history.best_epoch + 1
            settings = dataclasses.replace(settings, recipe=one.trained.history.recipe)
        if family is None or expected >= left or self._interrupted:
            return one
        if family.stops_in_time and math.isfinite(left):
            settings = settings.within(left)
        event = Candidate(family.name, len(rows.parts.train), 0, 1)
        try:
            again = self._fit(rows, family, settings, event=event, run=None, part="", epochs=epochs)
            return again if time.monotonic() < self._deadline else one  # the deadline may have ended it
        except (LaminaError, MemoryError):
            pass  # what was fitted is good enough
        except KeyboardInterrupt:
            self._interrupted = True
        return one

    def _may_train_again(self, rows: Rows, history: History) -> bool:
        """Whether a network is trained once more, on these rows, which costs as much as the first time."""
        few = rows.prepared.schema.all_plain and len(rows.parts.train) <= FEW_FOR_NETWORKS
        return few and history.recipe.schedule != "plateau"  # it looks at validation rows

    def _history(self, seconds: float) -> History:
        """The history of several members."""
        stopped = StopReason.INTERRUPTED if self._interrupted else StopReason.FITTED
        return History(stopped=stopped, seconds=seconds, recipe=self.recipe)


def combined(members: Sequence[tuple[FittedFamily, int, float]]) -> tuple[Encoders, EnsemblePredictor]:
    """The encoders and the predictor of an ensemble of fitted families, each with the number of its family and its weight."""
    encoders: list[Encoder] = []
    parts = []
    for fitted, number, weight in members:
        place = next((number for number, encoder in enumerate(encoders) if encoder is fitted.encoder), len(encoders))
        if place == len(encoders):
            encoders.append(fitted.encoder)
        parts.append(Member(fitted.family.name, number, place, weight, fitted.trained.predictor))
    return Encoders(tuple(encoders)), EnsemblePredictor(tuple(parts))


def combined_blocks(members: Sequence[tuple[FittedFamily, int, float]], encoders: Encoders, side: str) -> dict[str, Any]:
    """The encoded "train" or "validation" rows as the blocks of the encoders; the members are fitted to the same rows."""
    blocks = {}
    for place, encoder in enumerate(encoders.parts):
        trained = next(fitted.trained for fitted, *_ in members if fitted.encoder is encoder)
        blocks |= {f"{place}/{name}": block for name, block in getattr(trained, side).items()}
    return blocks


def candidate_json(
    rows: Rows, name: str, size: int, outputs: np.ndarray | None, seconds: float, weight: float, verdict: str = ""
) -> dict[str, Any]:
    """A candidate in the card: loss and score on the validation rows, its time, and its weight in the model."""
    metric, loss, score = rows.task.main_metric, None, None
    if outputs is not None:
        value = metric(rows.loss.truth, rows.task.predict(outputs), rows.loss.weight)
        loss, score = (number if math.isfinite(number) else None for number in (rows.loss.mean(outputs), value))
    figures = {"loss": loss, "score": score, "metric": metric.name, "seconds": round(seconds, 3), "weight": weight}
    return {"name": name, "rows": size, **figures, "verdict": verdict}


def reason(candidates: Sequence[tuple[str, float]], weights: Sequence[float], tried: str) -> str:
    """Why a candidate or a mean was chosen, as a sentence.

    Args:
        candidates: The name and the loss of each that was fitted.
        weights: The weight of each in the choice.
        tried: Of how many on what rows.

    Example:
        >>> reason([("linear", 0.31), ("boosting", 0.3)], [1.0, 0.0], "of 2 candidates on 5 folds")
        'linear, of 2 candidates on 5 folds, is the simplest that is not clearly worse than the best (boosting)'
    """
    chosen = [(name, loss, share) for (name, loss), share in zip(candidates, weights, strict=True) if share]
    if len(chosen) > 1:
        names = listed([f"{name} ({share:.0%})" for name, _, share in chosen], len(chosen))
        return f"the weighted mean of {names} has a lower loss than each of them alone, {tried}"
    name, loss, _ = chosen[0]
    best, lowest = min(candidates, key=lambda candidate: candidate[1])
    if lowest < loss:
        return f"{name}, {tried}, is the simplest that is not clearly worse than the best ({best})"
    return f"{name} has the lowest loss {tried}"


def subset(parts: Split, rows: int) -> Split:
    """The split with so many of its training rows, drawn at random; fewer rows are some of more rows."""
    if rows >= len(parts.train):
        return parts
    chosen = np.random.default_rng(0).permutation(len(parts.train))[:rows]
    return dataclasses.replace(parts, train=parts.train[np.sort(chosen)])
