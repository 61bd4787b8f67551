"""Fits of a tuning: to the training rows of a fold, ended at a deadline or where a trial is not among the best."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lamina.comparison.worker import OUT_OF_MEMORY, fold_settings
from lamina.data.weights import row_weights
from lamina.errors import TrainingError
from lamina.families import Family
from lamina.fitting.fit import fit_model
from lamina.fitting.prepare import Prepared
from lamina.fitting.settings import Settings
from lamina.model import Model
from lamina.tasks.metrics import Metric
from lamina.tasks.prediction import Prediction
from lamina.train.events import End, Epoch, Event, Start, StopReason
from lamina.train.recipe import Recipe
from lamina.tuning.rows import Parts


class OutOfTime(Exception):
    """A fit takes longer than is left."""


class Pruned(Exception):
    """A trial is not among the best ones."""


@dataclass(frozen=True, eq=False)
class Fits:
    """Fits and scores on the rows of a tuning."""

    prepared: Prepared
    settings: Settings
    parts: Parts
    metric: Metric

    def fit(
        self,
        family: Family,
        recipe: Recipe,
        fold: int,
        deadline: float,
        on_epoch: Callable[[int, float, int], bool] | None = None,
    ) -> tuple[Model, float]:
        """A model of the training rows of a fold, and the seconds that it took.

        Args:
            family: With its options.
            recipe: How a network is trained.
            fold: From 0; the number of folds for all rows for the trials.
            deadline: When the next event ends it, by ``time.monotonic()``.
            on_epoch: Called with the epoch, the lowest validation loss so far and the most epochs; true ends it.

        Raises:
            OutOfTime: The deadline is over.
            Pruned: ``on_epoch`` was true.
            KeyboardInterrupt: Ctrl-C ended it.
        """
        began, lowest, epochs = time.monotonic(), math.inf, 0
        train = self.parts.folds[fold][0] if fold < len(self.parts.folds) else self.parts.train

        def monitor(event: Event) -> None:
            nonlocal lowest, epochs
            if time.monotonic() > deadline and not isinstance(event, End):
                raise OutOfTime
            if isinstance(event, Start) and event.net is not None:
                epochs = int(event.recipe.epochs)
            if isinstance(event, Epoch) and on_epoch is not None:
                lowest = min(lowest, event.scores["loss"])
                if math.isfinite(lowest) and on_epoch(event.epoch, lowest, epochs):
                    raise Pruned

        options = {"name": family.name, **family.to_json()}
        settings = fold_settings(self.settings, self.prepared.task, options, fold, recipe=recipe)
        model = fit_model(self.prepared.table[train], settings, monitor=monitor)
        if model.card["stopped"] == StopReason.INTERRUPTED:
            raise KeyboardInterrupt
        return model, time.monotonic() - began

    def score(self, model: Model, rows: np.ndarray) -> float:
        """The metric on some rows; NaN where they say nothing of it."""
        table = self.prepared.table[rows]
        truth, weight = self.prepared.task.truth(table), row_weights(table, self.prepared.schema)
        return self.metric(truth, self.predictions(model, rows), weight)

    def predictions(self, model: Model, rows: np.ndarray) -> Prediction:
        """The predictions for some rows of a model of others.

        Raises:
            TrainingError: They are not finite.
        """
        task = self.prepared.task
        outputs = model.outputs(self.prepared.table[rows])
        if not np.isfinite(outputs).all():
            raise TrainingError("its predictions are not finite")
        return task.adopting(model.task).predict(task.align(outputs, model.task))


def limited(recipe: Recipe, left: float) -> Recipe:
    """The recipe with most of the time that is left as its limit, if that is less than its own."""
    if left == math.inf or (recipe.time_limit is not None and recipe.time_limit < left):
        return recipe
    return dataclasses.replace(recipe, time_limit=max(0.9 * left, 0.1))


def reason_of(error: Exception) -> str:
    """Why a fit failed, on one line."""
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    return " ".join(str(error).split()) or type(error).__name__
