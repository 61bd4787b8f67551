"""How the learning rate moves: one rate for each step, known before the epoch begins.

Every schedule but ``plateau`` is a function of the step alone, so a resumed run goes on with the same rates; ``plateau``
answers to the validation losses, and its memory goes into the checkpoint.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lamina.errors import OptionError, TrainingError
from lamina.train.randomness import randomness
from lamina.train.recipe import Recipe
from lamina.train.step import make_step

if TYPE_CHECKING:
    from lamina.data.feed import Feed

WARMUP = 0.05  # share of the steps in which cosine rises to its peak, so that Adam's means have settled
PLATEAU_FACTOR = 0.3
PLATEAU_PATIENCE = 5  # epochs; early stopping waits longer by default


def cosine(step: int, steps: int) -> float:
    """Share of the peak: up in a straight line, then down half a cosine to 0 (https://arxiv.org/abs/1608.03983, eq. 5).

    Args:
        step: From 0.
        steps: All steps of the training.

    Example:
        >>> [round(cosine(step, 100), 3) for step in (0, 4, 5, 52, 99)]
        [0.2, 1.0, 1.0, 0.508, 0.0]
    """
    warmup = math.ceil(WARMUP * steps)
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


def one_cycle(step: int, steps: int) -> float:
    """Share of the peak: from 1/25 up within 30% of the steps, then down to 1/250,000, along half cosines.

    "Super-convergence" (https://arxiv.org/abs/1708.07120) with fastai's shape, as PyTorch's ``OneCycleLR`` has it; the
    momentum stays as it is.

    Example:
        >>> [round(one_cycle(step, 101), 3) for step in (0, 29, 100)]
        [0.04, 1.0, 0.0]
    """
    top, last = 0.3 * steps - 1, steps - 1
    if step <= top:
        return _between(1 / 25, 1.0, step / top if top > 0 else 1.0)
    return _between(1.0, 1 / 250_000, (step - top) / (last - top))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class Schedule:
    """The rates of one training: constant, unless a subclass says otherwise.

    Args:
        learning_rate: The highest.
        steps_per_epoch: Steps in an epoch.
        epochs: Most epochs.
    """

    def __init__(self, learning_rate: float, *, steps_per_epoch: int, epochs: int) -> None:
        self.learning_rate, self.steps_per_epoch, self.epochs = learning_rate, steps_per_epoch, epochs
        self.last_rate = learning_rate

    def rates(self, epoch: int) -> list[float]:
        """The learning rate of each step of an epoch."""
        first = epoch * self.steps_per_epoch
        rates = [self.learning_rate * self._share(first + step) for step in range(self.steps_per_epoch)]
        self.last_rate = rates[-1]
        return rates

    def _share(self, step: int) -> float:
        """What share of the highest rate a step gets."""
        return 1.0

    def observe(self, loss: float) -> None:
        """Hear the validation loss of an epoch."""

    def state_dict(self) -> dict[str, Any]:
        """What is not known from the step alone, for JSON."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class Cosine(Schedule):
    """See :func:`cosine`."""

    def _share(self, step: int) -> float:
        return cosine(min(step, self.steps_per_epoch * self.epochs - 1), self.steps_per_epoch * self.epochs)


class OneCycle(Schedule):
    """See :func:`one_cycle`."""

    def _share(self, step: int) -> float:
        return one_cycle(min(step, self.steps_per_epoch * self.epochs - 1), self.steps_per_epoch * self.epochs)


class Plateau(Schedule):
    """Constant, times 0.3 whenever the validation loss has not got better for 5 epochs.

    Better means by more than a ten-thousandth of the best, as in PyTorch's ``ReduceLROnPlateau``.
    """

    def __init__(self, learning_rate: float, *, steps_per_epoch: int, epochs: int) -> None:
        super().__init__(learning_rate, steps_per_epoch=steps_per_epoch, epochs=epochs)
        self._scale, self._best, self._waited = 1.0, math.inf, 0

    def _share(self, step: int) -> float:
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
    """The schedule that a recipe asks for.

    Raises:
        OptionError: The name is unknown.

    Example:
        >>> make_schedule(Recipe(schedule="constant", learning_rate=0.1, epochs=2), 3).rates(0)
        [0.1, 0.1, 0.1]
    """
    schedules = {"constant": Schedule, "cosine": Cosine, "one_cycle": OneCycle, "plateau": Plateau}
    if recipe.schedule not in schedules:
        raise OptionError(f"schedule is {recipe.schedule!r}, expected one of {', '.join(schedules)}")
    return schedules[recipe.schedule](float(recipe.learning_rate), steps_per_epoch=steps_per_epoch, epochs=int(recipe.epochs))


@dataclass(frozen=True)
class Sweep:
    """What the learning-rate finder saw.

    Attributes:
        learning_rate: The rate to take.
        rates: The rates tried, rising.
        losses: The smoothed loss at each.
    """

    learning_rate: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]


def find_learning_rate(net: nn.Module, feed: Feed, recipe: Recipe, *, seed: int = 0, steps: int = 100) -> Sweep:
    """Try learning rates from small to large on a copy of the network and take one that learns fast and safely.

    The range test of Smith (https://arxiv.org/abs/1506.01186, section 3.3): train with a rate that grows at each step, watch
    the smoothed loss; it falls, then explodes. A quarter of the rate with the lowest loss is taken. The network and torch's
    random numbers are as before afterwards.

    Args:
        net: The network as it begins.
        feed: Training rows.
        recipe: For optimizer, loss and batch size; "find" as its learning rate is fine.
        seed: Of the order of rows.
        steps: How many rates.

    Raises:
        TrainingError: The loss is not a number from the start.
    """
    low, high = (1e-5, 30.0) if recipe.optimizer == "sgd" else (1e-6, 3.0)
    rates, losses, mean = [], [], 0.0
    with randomness(net) as start_random:
        start_random(seed)
        trainer = make_step(copy.deepcopy(net), feed, recipe)
        order = feed.permutation(torch.Generator().manual_seed(seed))
        batches = [rows for rows in order.split(trainer.batch_size) if len(rows) == trainer.batch_size]
        for step in range(steps):
            rate = low * (high / low) ** (step / (steps - 1))
            loss = trainer.run_epoch(batches[step % len(batches)], [rate])
            if loss is None or not math.isfinite(loss):
                break
            rates.append(rate)
            losses.append(loss)
            mean = 0.8 * mean + 0.2 * loss
            if step > 20 and mean > 3 * losses[0]:
                break
    if not rates:
        raise TrainingError(
            "the loss is not finite at the smallest learning rate; look for infinite or huge values in the data"
        )
    # Smoothed to both sides: a mean over the past would name a rate too high.
    smooth = [sum(part) / len(part) for part in (losses[max(i - 4, 0) : i + 5] for i in range(len(losses)))]
    return Sweep(rates[smooth.index(min(smooth))] / 4, tuple(rates), tuple(smooth))
