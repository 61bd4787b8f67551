"""The training loop: epochs, validation, checkpoints, early stopping.

All random numbers of an epoch (order of rows, dropout) depend on the seed and the number of the epoch, so a resumed run
reproduces the same bits.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from lamina.data.feed import Feed
from lamina.errors import OptionError, TrainingError
from lamina.graph.graph import Graph
from lamina.graph.net import Net
from lamina.train.at_once import interruptible
from lamina.train.callbacks import Hooks
from lamina.train.events import Epoch, Fit, Step, StopReason
from lamina.train.forward import Validation
from lamina.train.history import History
from lamina.train.randomness import randomness
from lamina.train.recipe import Recipe
from lamina.train.run import Run
from lamina.train.schedules import Schedule, find_learning_rate, make_schedule
from lamina.train.step import TICK_SECONDS, Trainer
from lamina.train.threads import thread_count, threads

CHECKPOINT_SECONDS = 1.0
Edit = Callable[[int, Net], Graph | None]


def train(
    net: Net,
    feed: Feed,
    validation: Validation,
    *,
    recipe: Recipe,
    seed: int,
    run: Run | None = None,
    hooks: Hooks | None = None,
    edit: Edit | None = None,
) -> tuple[Net, History]:
    """Train a network; returns it with the weights that were best on the validation rows, and the history.

    Args:
        net: A prepared network, on the device.
        feed: Training rows, on the device.
        validation: Validation rows, for the best epoch and early stopping.
        recipe: A recipe without "auto".
        seed: Seed of all random numbers.
        run: Receives events and checkpoints; training resumes from its last checkpoint.
        hooks: Receive each event; callbacks may stop training.
        edit: Called before each epoch with its number and the net; may return a new graph, for which weights that still fit are
            kept.

    Raises:
        TrainingError: The loss was never finite.
        OptionError: ``edit`` returned something else than a graph or None.
        RunError: The run folder cannot be written, as on a full disk; its last checkpoint stays complete.
    """
    history, start, hooks = History(), 0, hooks or Hooks()
    checkpoint = run.load_checkpoint() if run else None
    if checkpoint is None:
        recipe = _resolved(recipe, net, feed, seed)
    else:
        recipe = dataclasses.replace(recipe, **checkpoint[1]["decided"])
    history.recipe = recipe
    with (
        threads(int(recipe.threads or 1)),
        randomness(net, foreign=edit is not None) as start_random,
        interruptible() as interrupted,
    ):
        trainer = Trainer(net, feed, recipe)
        schedule = make_schedule(recipe, trainer.steps_per_epoch)
        best = copy_of(net)
        if run and checkpoint:
            net, trainer, best, start = _restore(checkpoint, net, feed, history, schedule)
            run.rewind(lambda event: not isinstance(event, Epoch) or event.epoch < start)
        saved = time.monotonic()
        since = saved - history.seconds

        def tick(step: int) -> bool:
            if hooks:
                with torch.inference_mode(False):
                    hooks.emit(step_event(step))
            late = recipe.time_limit is not None and time.monotonic() - since > recipe.time_limit
            return late or interrupted.is_set() or bool(hooks.stopped_by)

        while not history.stopped:
            epoch = start
            if edit and (graph := edit(epoch, net)) is not None:
                if not isinstance(graph, Graph):
                    raise OptionError(f"edit returned {graph!r}, expected a lamina.graph.Graph, or None for no change")
                net = net.edit(graph)
                trainer, best, history.best_loss = Trainer(net, feed, recipe), copy_of(net), math.inf
            start_random(epoch_seed(seed, epoch))
            clock = time.perf_counter()
            rates = schedule.rates(epoch)
            step_event = _step_events(trainer, epoch, rates)
            every = 0.0 if hooks.every_step else TICK_SECONDS
            loss = trainer.run_epoch(epoch_order(feed, seed, epoch), rates, tick, every)
            train_seconds = time.perf_counter() - clock
            with trainer.optimizer.averaged():
                record = history.observe(
                    epoch, net, validation, loss=loss, rates=rates, train_seconds=train_seconds, since=since
                )
                if record.best:
                    best = copy_of(net)
            schedule.observe(validation.objective(record.scores))
            start = epoch + 1
            history.stopped = history.why_stop(interrupted=interrupted.is_set(), stopped_by=hooks.stopped_by)
            if loss is None:  # ended early: its scores count, but it is no checkpoint
                break
            if run:
                run.write(record)
                if history.stopped or time.monotonic() - saved > CHECKPOINT_SECONDS:
                    save(run, net, trainer, best=best, history=history, schedule=schedule)
                    saved = time.monotonic()
            if hooks:
                net.eval()
                with trainer.optimizer.averaged():
                    hooks.emit(record)
                if hooks.stopped_by and not history.stopped:
                    history.stopped = StopReason.CALLBACK
    if history.stopped is StopReason.CALLBACK:
        history.stopped_by = hooks.stopped_by
    history.check_finite()
    net.load_state_dict(best)
    trainer.optimizer.parameters.release()
    net.eval()
    return net, history


def train_for(net: Net, feed: Feed, epochs: int, *, recipe: Recipe, seed: int, hooks: Hooks) -> Net:
    """Train a network for so many epochs without validation rows; returns it with the weights of the last one.

    Args:
        net: A prepared network, on the device.
        feed: Training rows, on the device.
        epochs: How many; the schedule of the learning rate is that of the recipe's epochs.
        recipe: A recipe without "auto" and "find", and with a schedule that does not look at validation rows.
        seed: Seed of all random numbers.
        hooks: Receive the progress.

    Raises:
        TrainingError: The loss was not finite, or the time limit ended training.
        KeyboardInterrupt: Ctrl-C ended it.
    """
    with threads(int(recipe.threads or 1)), randomness(net) as start_random, interruptible() as interrupted:
        trainer = Trainer(net, feed, recipe)
        schedule = make_schedule(recipe, trainer.steps_per_epoch)
        deadline = math.inf if recipe.time_limit is None else time.monotonic() + recipe.time_limit

        def tick(step: int) -> bool:
            return interrupted.is_set() or time.monotonic() > deadline

        for epoch in range(epochs):
            start_random(epoch_seed(seed, epoch))
            loss = trainer.run_epoch(epoch_order(feed, seed, epoch), schedule.rates(epoch), tick)
            if interrupted.is_set():
                raise KeyboardInterrupt
            if time.monotonic() > deadline:
                raise TrainingError("the time limit ended training")
            if loss is None or not math.isfinite(loss):
                raise TrainingError("the loss was not finite")
            hooks.emit(Fit((epoch + 1) / epochs))
        with trainer.optimizer.averaged():
            weights = copy_of(net)
    net.load_state_dict(weights)
    trainer.optimizer.parameters.release()
    net.eval()
    return net


def _resolved(recipe: Recipe, net: Net, feed: Feed, seed: int) -> Recipe:
    """The recipe with the number of threads, and the learning rate for "find"."""
    recipe = dataclasses.replace(recipe, threads=recipe.threads or thread_count(net, feed, int(recipe.batch_size)))
    if recipe.learning_rate == "find":
        with threads(int(recipe.threads or 1)):
            recipe = dataclasses.replace(recipe, learning_rate=find_learning_rate(net, feed, recipe, seed=seed))
    return recipe


def _step_events(trainer: Trainer, epoch: int, rates: Sequence[float]) -> Callable[[int], Step]:
    """Returns a function from a step to its event; the mean loss is a tensor, so nothing synchronises with the device."""
    rows, total = 0, torch.zeros_like(trainer.total)

    def event(step: int) -> Step:
        nonlocal rows, total
        rows_before, total_before = rows, total
        rows, total = min(step * trainer.batch_size, len(trainer.feed)), trainer.total.clone()
        mean = (total - total_before) / (rows - rows_before)
        return Step(epoch, step, trainer.steps_per_epoch, rates[step - 1], mean)

    return event


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of the random numbers of an epoch; that of the order of rows is the next one."""
    return (seed * 1_000_003 + epoch * 2) % (2**62)


def epoch_order(feed: Feed, seed: int, epoch: int) -> torch.Tensor:
    """The rows in the order in which an epoch trains on them."""
    return feed.permutation(torch.Generator().manual_seed(epoch_seed(seed, epoch) + 1))


def copy_of(net: Net) -> dict[str, torch.Tensor]:
    """The weights of a network, copied."""
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def save(run: Run, net: Net, trainer: Trainer, *, best: dict[str, torch.Tensor], history: History, schedule: Schedule) -> None:
    """Write a checkpoint."""
    tensors = {
        **{f"net/{name}": tensor for name, tensor in copy_of(net).items()},
        **{f"best/{name}": tensor for name, tensor in best.items()},
        **{f"optimizer/{name}": tensor.clone() for name, tensor in trainer.optimizer.state_dict().items()},
    }
    state = {
        "decided": {"learning_rate": history.recipe.learning_rate, "threads": history.recipe.threads},
        "graph": net.plan.graph.to_json(),
        "schedule": schedule.state_dict(),
        "history": {name: value for name, value in vars(history).items() if name not in ("stopped", "stopped_by", "recipe")},
    }
    run.save_checkpoint({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, state)


def _restore(
    checkpoint: tuple[dict[str, torch.Tensor], dict[str, Any]],
    net: Net,
    feed: Feed,
    history: History,
    schedule: Schedule,
) -> tuple[Net, Trainer, dict[str, torch.Tensor], int]:
    tensors, state = checkpoint
    graph = Graph.from_json(state["graph"])
    if graph != net.plan.graph:
        net = net.edit(graph)

    def part(name: str) -> dict[str, torch.Tensor]:
        return {key.partition("/")[2]: value for key, value in tensors.items() if key.startswith(name + "/")}

    net.load_state_dict(part("net"))
    trainer = Trainer(net, feed, history.recipe)
    trainer.optimizer.load_state_dict(part("optimizer"))
    schedule.load_state_dict(state["schedule"])
    vars(history).update(state["history"])
    history.stopped = history.why_stop()
    best = {name: tensor.to(feed.device) for name, tensor in part("best").items()}
    return net, trainer, best, history.epochs[-1]["epoch"] + 1
