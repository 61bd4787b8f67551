"""Learning rate schedules, and the learning rate finder.

Every schedule but ``plateau`` is a function of the step; ``plateau`` depends on the validation losses and has a state in the
checkpoint.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lamina.errors import OptionError, TrainingError
from lamina.train.randomness import randomness
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer

if TYPE_CHECKING:
    from lamina.data.feed import Feed

WARMUP = 0.05  # fraction of the steps in which cosine rises to its maximum
SWEEP_STEPS = 100  # of the learning rate finder
PLATEAU_FACTOR = 0.3
PLATEAU_PATIENCE = 5  # epochs; less than the default of early stopping


class Schedule:
    """Base class of schedules; a constant learning rate.

    Args:
        learning_rate: The maximum learning rate.
        steps_per_epoch: Steps in an epoch.
        epochs: Maximum number of epochs.
    """

    def __init__(self, learning_rate: float, steps_per_epoch: int, epochs: int) -> None:
        self.learning_rate, self.steps_per_epoch, self.steps = learning_rate, steps_per_epoch, steps_per_epoch * epochs

    def rates(self, epoch: int) -> list[float]:
        """The learning rate of each step of an epoch."""
        first, last = epoch * self.steps_per_epoch, self.steps - 1
        return [self.learning_rate * self._factor(min(first + step, last)) for step in range(self.steps_per_epoch)]

    def _factor(self, step: int) -> float:
        """The factor of the maximum learning rate at a step, from 0."""
        return 1.0

    def observe(self, loss: float) -> None:
        """Update the state by the validation loss of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """The state for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state."""


class Cosine(Schedule):
    """Linear warm-up, then cosine to 0 (https://arxiv.org/abs/1608.03983, eq. 5).

    Example:
        >>> rates = Cosine(1.0, 100, epochs=1).rates(0)
        >>> [round(rates[step], 3) for step in (0, 4, 5, 52, 99)]
        [0.2, 1.0, 1.0, 0.508, 0.0]
    """

    def _factor(self, step: int) -> float:
        warmup = math.ceil(WARMUP * self.steps)
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * (step - warmup) / max(self.steps - warmup, 1))) / 2


class OneCycle(Schedule):
    """From 1/25 of the maximum to it in 30% of the steps, then to 1/250,000, along half cosines.

    "Super-convergence" (https://arxiv.org/abs/1708.07120) as PyTorch's ``OneCycleLR``, without a cycle of the momentum.

    Example:
        >>> rates = OneCycle(1.0, 101, epochs=1).rates(0)
        >>> [round(rates[step], 3) for step in (0, 29, 100)]
        [0.04, 1.0, 0.0]
    """

    def _factor(self, step: int) -> float:
        top, last = 0.3 * self.steps - 1, self.steps - 1
        if step <= top:
            return self._between(1 / 25, 1.0, step / top if top > 0 else 1.0)
        return self._between(1.0, 1 / 250_000, (step - top) / (last - top))

    @staticmethod
    def _between(start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class CosLog4(Schedule):
    """Four half cosines from 0 to the maximum and back, each as long as all before it: ``(1 - cos(2 pi log2(1 + 15 t))) / 2``.

    Holzmüller et al. 2024 (https://arxiv.org/abs/2407.04491, section 3.2), with ``t`` from 0 to 1.

    Example:
        >>> rates = CosLog4(1.0, 61, epochs=1).rates(0)
        >>> [round(rates[step], 3) for step in (0, 4, 12, 28, 60)]
        [0.0, 0.0, 0.0, 0.0, 0.0]
        >>> round(max(rates), 2)
        1.0
    """

    def _factor(self, step: int) -> float:
        share = step / max(self.steps - 1, 1)
        return (1 - math.cos(2 * math.pi * math.log2(1 + 15 * share))) / 2


class Plateau(Schedule):
    """Constant, times 0.3 after more than 5 epochs without improvement of the validation loss by 1e-4 (relative).

    As PyTorch's ``ReduceLROnPlateau``.
    """

    def __init__(self, learning_rate: float, steps_per_epoch: int, epochs: int) -> None:
        super().__init__(learning_rate, steps_per_epoch, epochs)
        self._scale, self._best, self._waited = 1.0, math.inf, 0

    def _factor(self, step: int) -> float:
        return self._scale

    def observe(self, loss: float) -> None:
        if loss < self._best * (1 - 1e-4):
            self._best, self._waited = loss, 0
            return
        self._waited += 1
        if self._waited > PLATEAU_PATIENCE:
            self._scale, self._waited = self._scale * PLATEAU_FACTOR, 0

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self._scale, "best": self._best if math.isfinite(self._best) else None, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scale, self._waited = state["scale"], state["waited"]
        self._best = math.inf if state["best"] is None else state["best"]


def make_schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    """The schedule of a recipe.

    Raises:
        OptionError: The name is unknown.

    Example:
        >>> make_schedule(Recipe(schedule="constant", learning_rate=0.1, epochs=2), 3).rates(0)
        [0.1, 0.1, 0.1]
    """
    schedules = {"constant": Schedule, "cosine": Cosine, "one_cycle": OneCycle, "coslog4": CosLog4, "plateau": Plateau}
    if recipe.schedule not in schedules:
        raise OptionError(f"schedule is {recipe.schedule!r}, expected one of {', '.join(schedules)}")
    return schedules[recipe.schedule](float(recipe.learning_rate), steps_per_epoch, int(recipe.epochs))


def find_learning_rate(net: nn.Module, feed: Feed, recipe: Recipe, *, seed: int = 0) -> float:
    """A learning rate from the range test of Smith (https://arxiv.org/abs/1506.01186, section 3.3).

    A copy of the network is trained with a learning rate that increases at each step; the result is a quarter of the rate with
    the lowest smoothed loss. The network and torch's random state do not change.

    Args:
        net: The initial network.
        feed: Training rows.
        recipe: The recipe, for optimizer, loss and batch size.
        seed: Seed of the order of rows.

    Raises:
        TrainingError: The loss is not finite at the first step.
    """
    low, high = (1e-5, 30.0) if recipe.optimizer == "sgd" else (1e-6, 3.0)
    rates = [low * (high / low) ** (step / (SWEEP_STEPS - 1)) for step in range(SWEEP_STEPS)]
    losses, mean = [], 0.0
    with randomness(net) as start_random:
        start_random(seed)
        trainer = Trainer(copy.deepcopy(net), feed, recipe)
        order = feed.permutation(torch.Generator().manual_seed(seed))
        batches = [rows for rows in order.split(trainer.batch_size) if len(rows) == trainer.batch_size]
        for step, rate in enumerate(rates):
            loss = trainer.run_epoch(batches[step % len(batches)], [rate])
            if loss is None or not math.isfinite(loss):
                break
            losses.append(loss)
            mean = 0.8 * mean + 0.2 * loss
            if step > 20 and mean > 3 * losses[0]:
                break
    if not losses:
        raise TrainingError(
            "the loss is not finite at the smallest learning rate; look for infinite or huge values in the data"
        )
    # A centred mean: a mean over the past would be at too high a rate.
    smooth = [sum(part) / len(part) for part in (losses[max(i - 4, 0) : i + 5] for i in range(len(losses)))]
    return rates[smooth.index(min(smooth))] / 4
