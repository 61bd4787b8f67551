"""How much of an ensemble's gain a student keeps, and how long each takes for one row.

4,000 training and up to 6,000 test rows, drawn at random. The teacher is the ensemble of ``quality="best"``; the *best single*
family has the lowest loss of its candidates and is fitted alone. *Kept* is the share of the ensemble's gain over it that the
student has on the test rows. Times are those of ``predict`` for one row of polars and of pandas, medians of 200.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure
from benchmarks.datasets import SETS

TITLE = f"# Distillation\n\n{(__doc__ or '').strip()}"
TRAIN, TEST, REPEATS = 4_000, 6_000, 200


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=["california", "diamonds", "adult"], choices=SETS)
    parser.add_argument("--seeds", type=int, default=3, help="fits of each (3)")
    parser.add_argument("--out", default="distillation", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for seed, name in measure.alternate(arguments.sets, arguments.seeds):
        report.add(name=name, seed=seed, **measure.run("benchmarks.distillation:fit", name=name, seed=seed))


def fit(name: str, seed: int) -> dict[str, Any]:
    """The test scores of ensemble, best single family and student, and the milliseconds of a row."""
    import numpy as np
    import polars as pl

    import lamina
    from benchmarks import datasets

    table, target = pl.from_pandas(datasets.load(name)), SETS[name].target
    order = np.random.default_rng(seed).permutation(len(table))
    train, test = table[order[:TRAIN]], table[order[TRAIN : TRAIN + TEST]]
    ensemble = lamina.fit(train, target, quality="best", seed=seed, monitor=None)
    candidates = [one for one in ensemble.model_.card["candidates"] if one["loss"] is not None]
    best = min(candidates, key=lambda one: one["loss"])["name"]
    models = {
        "ensemble": ensemble,
        "single": lamina.fit(train, target, family=best, seed=seed, monitor=None),
        "student": ensemble.distill(train, monitor=None),
    }
    score = "log_loss" if SETS[name].task == "classification" else "rmse"
    result: dict[str, Any] = {"best": best, "score": score}
    row = test[:1]
    for which, model in models.items():
        result[which] = model.evaluate(test)["scores"][score]
        result[f"{which}_ms"] = [_milliseconds(model, given) for given in (row, row.to_pandas())]
    return result


def _milliseconds(model: Any, row: Any) -> float:
    model.predict(row)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        model.predict(row)
        seconds.append(time.perf_counter() - started)
    return 1e3 * measure.median(seconds)


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for name in dict.fromkeys(r["name"] for r in results):
        own = [r for r in results if r["name"] == name and "error" not in r]
        if not own:
            rows.append([name, "failed", *[""] * 6])
            continue
        means = {which: sum(r[which] for r in own) / len(own) for which in ("ensemble", "single", "student")}
        kept = (means["single"] - means["student"]) / (means["single"] - means["ensemble"])
        times = [
            " / ".join(f"{measure.median(r[f'{which}_ms'][place] for r in own):.1f}" for place in (0, 1))
            for which in ("ensemble", "student")
        ]
        singles = ", ".join(dict.fromkeys(r["best"] for r in own))
        scores = [f"{means[which]:.4f}" for which in ("ensemble", "single", "student")]
        rows.append([f"{name}, {own[0]['score']}", *scores, singles, f"{kept:.0%}", *times])
    header = ["set", "ensemble", "best single", "student", "family of the best single", "kept"]
    return measure.table([*header, "ensemble, ms a row (polars / pandas)", "student, ms"], rows)
