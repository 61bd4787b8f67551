"""Tuning: the sampler of `lamina.tune` beside a random search, and the score that it reports beside that on fresh rows.

2,500 rows of each table for `lamina.tune`, which keeps a fifth of them as test rows; up to 10,000 others are *fresh*: neither
the search nor its score has seen them. 30 trials of `boosting`, judged by log-loss or root mean squared error; `random` is the
same call with `sampler="random"`. *Fresh* is the score of the model on the fresh rows. *Apart* is the reported score minus the
fresh one, in standard errors of the reported one: of an honest score two of three are within 1, and 19 of 20 within 2.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import measure
from benchmarks.automl import TABLES
from benchmarks.datasets import SETS

TITLE = f"# Tuning\n\n{(__doc__ or '').strip()}"
ROWS, FRESH, TRIALS = 2_500, 10_000, 30
SAMPLERS = ("tpe", "random")
SOURCES = {
    **{name: SETS[name] for name in ("adult", "california", "otto", "magic", "letter", "diamonds", "casp", "flights")},
    **{name: TABLES[name] for name in ("spambase", "satimage")},
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=list(SOURCES), choices=SOURCES)
    parser.add_argument("--seeds", type=int, default=1, help="searches of each (1)")
    parser.add_argument("--out", default="tuning", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        for seed, sampler in measure.alternate(list(SAMPLERS), arguments.seeds):
            key = {"name": name, "sampler": sampler, "seed": seed}
            report.add(**key, **measure.run("benchmarks.tuning:search", **key))


def search(name: str, sampler: str, seed: int) -> dict[str, Any]:
    """The reported and the fresh score of a search, and those of the defaults."""
    import numpy as np
    import polars as pl

    import lamina
    from benchmarks import datasets

    source = SOURCES[name]
    table = pl.from_pandas(datasets.table(source))
    order = np.random.default_rng(seed).permutation(len(table))
    rows, fresh = table[order[:ROWS]], table[order[ROWS : ROWS + FRESH]]
    metric = "log_loss" if source.task == "classification" else "rmse"
    options: dict[str, Any] = {"target": source.target, "task": source.task, "seed": seed, "monitor": None}
    result = lamina.tune(rows, family="boosting", trials=TRIALS, metric=metric, sampler=sampler, **options)
    defaults = lamina.fit(rows, family="boosting", **options)
    return {
        "metric": metric,
        "seconds": result.seconds,
        "reported": result.score,
        "standard_error": result.standard_error,
        "fresh": result.model.evaluate(fresh)["scores"][metric],
        "defaults": defaults.evaluate(fresh)["scores"][metric],
        "best_trial": min((one.score for one in result.ranked()), default=float("nan")),
    }


def render(results: list[dict[str, Any]]) -> str:
    rows, better, near = [], [0, 0], [0, 0, 0]
    for name in dict.fromkeys(r["name"] for r in results):
        own = {way: [r for r in results if r["name"] == name and r["sampler"] == way and "error" not in r] for way in SAMPLERS}
        if not all(own.values()):
            rows.append([name, "failed", *[""] * 6])
            continue
        fresh = {way: sum(r["fresh"] for r in part) / len(part) for way, part in own.items()}
        apart = [(r["reported"] - r["fresh"]) / r["standard_error"] for r in own["tpe"]]
        better[0] += fresh["tpe"] < fresh["random"]
        better[1] += fresh["tpe"] > fresh["random"]
        near = [near[0] + len(apart), *(near[width] + sum(abs(one) <= width for one in apart) for width in (1, 2))]
        seconds = [measure.median(r["seconds"] for r in part) for part in own.values()]
        scores = [sum(r["defaults"] for r in own["tpe"]) / len(own["tpe"]), fresh["random"], fresh["tpe"]]
        rows.append(
            [
                f"{name}, {own['tpe'][0]['metric']}",
                *(f"{score:.4g}" for score in scores),
                f"{sum(r['reported'] for r in own['tpe']) / len(own['tpe']):.4g}",
                ", ".join(f"{one:+.1f}" for one in apart),
                *(f"{one:.0f}" for one in seconds),
            ]
        )
    header = ["set", "defaults, fresh", "random, fresh", "tpe, fresh", "tpe, reported", "apart", "tpe, s", "random, s"]
    words = (
        f"The sampler has the lower error on {better[0]} sets, the random search on {better[1]}. Of {near[0]} reported scores "
        f"{near[1]} are within 1 standard error of the fresh one, {near[2]} within 2."
    )
    return measure.table(header, rows) + "\n\n" + words
