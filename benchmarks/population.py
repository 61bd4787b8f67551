"""Populations: fits of one network on folds and seeds, as one program and otherwise.

5 folds of made-up rows with 3 seeds each: 15 fits of the same graph for the same number of epochs, encoded before. *one* is
each fit after the other, with the threads that its size gets; *processes* is two processes with half of the fits each, both
ready before the time is taken; *threads* is two fits at once in threads of one process; *population* is
`lamina.train.population`. Seconds are medians; *apart* is the largest difference of a validation loss after the first epoch to
that of the lone fit.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measure

TITLE = f"# Populations\n\n{(__doc__ or '').strip()}"
FOLDS, SEEDS = 5, 3
#: Rows, columns, hidden layers, ensemble members inside of the network, classes, epochs.
SHAPES: dict[str, tuple[int, int, tuple[int, ...], int, int, int]] = {
    "20-32-32-3": (2_000, 20, (32, 32), 1, 3, 20),
    "20-64-64-3": (2_000, 20, (64, 64), 1, 3, 20),
    "20-128-128-3": (2_000, 20, (128, 128), 1, 3, 20),
    "54-256-256-7": (10_000, 54, (256, 256), 1, 7, 10),
    "20-128-128-3, 16 members": (2_000, 20, (128, 128), 16, 3, 5),
}
WAYS = ("one", "processes", "threads", "population")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (5)")
    parser.add_argument("--out", default="population", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for shape in arguments.shapes:
        for repeat in range(arguments.repeats):
            report.add(shape=shape, repeat=repeat, **measure.run("benchmarks.population:fits", shape=shape))


def fits(shape: str) -> dict[str, Any]:
    """The seconds of each way for all fits, and how far losses are apart."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from lamina.train import population
    from lamina.train.at_once import at_once

    result, losses = {}, []
    for way in ("one", "threads", "population"):
        population.MOST_MULTIPLICATIONS = 10**12 if way == "population" else 0
        at_a_time = {"one": 1, "threads": 2}.get(way, FOLDS * SEEDS)
        calls, trained = _trainings(shape), []
        began = time.perf_counter()
        for first in range(0, len(calls), at_a_time):
            some = calls[first : first + at_a_time]
            trained += at_once(some, threads=1) if len(some) > 1 else [call() for call in some]
        result[way] = time.perf_counter() - began
        losses.append([one.history.epochs[0]["validation_loss"] for one in trained])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_half, [shape] * 2, [0, 1], [1, 2]))  # starts them
        middle = (FOLDS * SEEDS + 1) // 2
        result["processes"] = max(pool.map(_half, [shape] * 2, [0, middle], [middle, FOLDS * SEEDS]))
    result["apart"] = max(abs(one - other) for one, other in zip(losses[0], losses[2], strict=True))
    return result


def _half(shape: str, first: int, last: int) -> float:
    """The seconds of some of the fits in a process with one thread."""
    import torch

    torch.set_num_threads(1)
    calls = _trainings(shape)[first:last]
    began = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - began


def _trainings(shape: str) -> list[Callable[[], Any]]:
    """Calls that train each network."""
    import numpy as np
    import polars as pl
    import torch

    from lamina.families import FeedForward
    from lamina.fitting.folds import draw
    from lamina.fitting.members import Rows
    from lamina.fitting.prepare import prepare
    from lamina.fitting.settings import Settings
    from lamina.fitting.split import Split
    from lamina.fitting.training import NetworkTraining
    from lamina.train.callbacks import Hooks
    from lamina.train.recipe import Recipe

    count, columns, sizes, inside, classes, epochs = SHAPES[shape]
    rng = np.random.default_rng(0)
    values = rng.standard_normal((count, columns))
    labels = (values @ rng.standard_normal((columns, classes)) + rng.standard_normal((count, classes))).argmax(1)
    table = pl.DataFrame(values).with_columns(y=pl.Series([f"class {label}" for label in labels]))
    family = FeedForward(hidden_sizes=sizes, members=inside, number_embedding=None)
    settings = Settings("y", family=family, recipe=Recipe(epochs=epochs, patience=None, optimizer="adamw"))
    prepared = prepare(table, settings)
    drawn = draw(prepared.table, prepared.schema, prepared.task, folds=FOLDS)
    calls = []
    for sides in zip(drawn.train, drawn.test, strict=True):
        parts = Split(*sides, drawn.how)
        task = prepared.task.fit(prepared.table[parts.train])
        data = Rows(prepared, parts, task).encoded(family.encoding())
        for seed in range(SEEDS):
            own = dataclasses.replace(settings, seed=seed)
            training = NetworkTraining(family, data, task, own, torch.device("cpu"))
            calls.append(functools.partial(training.run, run=None, hooks=Hooks(), edit=None))
    return calls


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for shape in dict.fromkeys(r["shape"] for r in results):
        own = [r for r in results if r["shape"] == shape and "error" not in r]
        if not own:
            rows.append([shape, "failed", *[""] * 5])
            continue
        medians = {way: measure.median(r[way] for r in own) for way in WAYS}
        factors = [f"{medians[way] / medians['population']:.2f}" for way in ("one", "processes")]
        rows.append(
            [shape, *(f"{seconds:.2f}" for seconds in medians.values()), *factors, f"{max(r['apart'] for r in own):.0e}"]
        )
    header = ["network", *(f"{way}, s" for way in WAYS), "one / population", "processes / population", "apart"]
    return measure.table(header, rows)
