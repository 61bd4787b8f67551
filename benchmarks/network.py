"""The default network of tables beside the one before it: error on test rows, and seconds of a fit.

*Before* is ``FeedForward(hidden_sizes=(128, 128), members=16)`` with ``Recipe(optimizer="adamw")``, *now* is ``FeedForward()``,
which from 10,000 training rows on has three layers of 128 and eight members, trained by Muon. Both are fitted alone, without
other candidates, to the same rows, alternating; test rows are a fifth.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure
from benchmarks.datasets import SETS

TITLE = f"# The default network\n\n{(__doc__ or '').strip()}"
SHOWN = ["diamonds", "casp", "otto", "letter"]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=SHOWN, choices=SETS, help=f"which ({' '.join(SHOWN)})")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each (3)")
    parser.add_argument("--out", default="network", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        for seed, network in measure.alternate(["before", "now"], arguments.seeds):
            report.add(
                name=name,
                network=network,
                seed=seed,
                **measure.run("benchmarks.network:fit", name=name, network=network, seed=seed),
            )


def fit(name: str, network: str, seed: int) -> dict[str, Any]:
    """One fit: its score on the test rows, epochs and seconds."""
    from sklearn.model_selection import train_test_split

    import lamina
    from benchmarks import datasets

    frame, source = datasets.load(name), SETS[name]
    classes = frame[source.target] if source.task == "classification" else None
    train, test = train_test_split(frame, random_state=seed, test_size=0.2, stratify=classes)
    family, recipe = lamina.FeedForward(), lamina.Recipe()
    if network == "before":
        family, recipe = lamina.FeedForward(hidden_sizes=(128, 128), members=16), lamina.Recipe(optimizer="adamw")
    started = time.perf_counter()
    model = lamina.fit(train, source.target, family=family, recipe=recipe, seed=seed, monitor=None)
    seconds = time.perf_counter() - started
    score = "log_loss" if source.task == "classification" else "rmse"
    return {"seconds": seconds, "epochs": len(model.history_), "score": score, score: model.evaluate(test)["scores"][score]}


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for name in dict.fromkeys(r["name"] for r in results):
        cells: dict[str, list[str]] = {}
        seconds: dict[str, float] = {}
        for network in ("before", "now"):
            good = [r for r in results if (r["name"], r["network"]) == (name, network) and "error" not in r]
            if not good:
                cells[network] = ["failed", "", ""]
                continue
            score = good[0]["score"]
            seconds[network] = measure.median(r["seconds"] for r in good)
            epochs = measure.median(r["epochs"] for r in good)
            cells[network] = [measure.mean_sd([r[score] for r in good]), f"{seconds[network]:.0f}", f"{epochs:.0f}"]
        share = f"{seconds['now'] / seconds['before']:.2f}" if len(seconds) == 2 else ""
        rows.append(
            [
                f"{name}, {next(r.get('score', '') for r in results if r['name'] == name)}",
                *cells["before"],
                *cells["now"],
                share,
            ]
        )
    header = ["set", "before", "seconds", "epochs", "now", "seconds", "epochs", "share of the time"]
    return measure.table(header, rows)
