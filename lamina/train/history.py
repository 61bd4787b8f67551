"""What training has reached: the scores of each epoch, the best one, and why it ended."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lamina.errors import TrainingError
from lamina.tasks.losses import Loss
from lamina.train.events import Epoch, StopReason
from lamina.train.recipe import Recipe

if TYPE_CHECKING:
    from lamina.graph.net import Net
    from lamina.train.forward import Validation


@dataclass
class History:
    """The history of a fit."""

    epochs: list[dict[str, Any]] = field(default_factory=list)  # the values of each epoch's event
    best_epoch: int = -1
    best_loss: float = math.inf  # or the negative metric
    stopped: StopReason | None = None
    stopped_by: str = ""  # class name of the callback that stopped training
    seconds: float = 0.0
    recipe: Recipe = field(default_factory=Recipe)  # the resolved one

    def observe(
        self,
        epoch: int,
        net: Net,
        validation: Validation,
        *,
        loss: float | None,
        rates: Sequence[float],
        train_seconds: float,
        since: float,
    ) -> Epoch:
        """Score the network after an epoch, and add the epoch.

        Args:
            epoch: From 0.
            net: With the weights that are scored.
            validation: The validation rows.
            loss: The mean training loss; None if the epoch was ended early.
            rates: The learning rate of each step.
            train_seconds: What the steps took.
            since: When training began, by ``time.monotonic()``.
        """
        scores = validation.scores(net)
        objective = validation.objective(scores)
        improved = objective < self.best_loss
        if improved:
            self.best_epoch, self.best_loss = epoch, objective
        self.seconds = time.monotonic() - since
        record = Epoch(
            epoch=epoch,
            train_loss=loss,
            learning_rate=rates[-1],
            steps=len(rates),
            train_seconds=train_seconds,
            seconds=self.seconds,
            best=improved,
            scores=scores,
            net=net,
        )
        self.epochs.append(record.values())
        return record

    def why_stop(self, *, interrupted: bool = False, stopped_by: str = "") -> StopReason | None:
        """Why training ends after the last epoch; None if it goes on."""
        recipe, last = self.recipe, self.epochs[-1]
        if interrupted:
            return StopReason.INTERRUPTED
        if stopped_by:
            return StopReason.CALLBACK
        if last["train_loss"] is None:
            return StopReason.TIME_LIMIT
        if not math.isfinite(last["train_loss"]) or not math.isfinite(last["validation_loss"]):
            return StopReason.DIVERGED
        if isinstance(recipe.patience, int) and last["epoch"] - self.best_epoch >= recipe.patience:
            return StopReason.PATIENCE
        if recipe.time_limit is not None and self.seconds > recipe.time_limit:
            return StopReason.TIME_LIMIT
        return StopReason.EPOCHS if last["epoch"] + 1 >= int(recipe.epochs) else None

    def check_finite(self) -> None:
        """Raise TrainingError if the validation loss was never finite."""
        if self.best_epoch >= 0:
            return
        rate, which, remedy = self.epochs[0]["learning_rate"], "", ""
        if isinstance(self.recipe.loss, Loss):
            which, remedy = f" {self.recipe.loss.name}", "guard its logarithms and divisions, or "
        raise TrainingError(
            f"the loss{which} was never finite (learning rate {rate:g}); {remedy}lower recipe.learning_rate or set "
            "recipe.clip_norm=1"
        )
