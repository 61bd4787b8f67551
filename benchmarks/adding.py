"""The adding problem: whether a recurrent network remembers two numbers over 200 steps.

Of 200 numbers between 0 and 1 two are marked, one in each half; the target is their sum (Hochreiter and Schmidhuber 1997,
experiment 4, in the form of Le et al. 2015, arXiv 1504.00941). The mean as a baseline has a mean squared error of 1/6. New
numbers are drawn for each seed; ``lamina.fit`` on a series of two channels, one unidirectional layer of 64 cells and its last
state. The error is that on new rows.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure

CELLS = ("lstm", "gru", "rnn")
MEAN_ERROR = 1 / 6
TITLE = f"# The adding problem\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=CELLS, help="all of them")
    parser.add_argument("--steps", type=int, default=200, help="length of a series (200)")
    parser.add_argument("--rows", type=int, default=20_000, help="training and validation rows (20,000)")
    parser.add_argument("--epochs", type=int, default=50, help="most epochs (50)")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each (3)")
    parser.add_argument("--out", default="adding", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    given = {"steps": arguments.steps, "rows": arguments.rows, "epochs": arguments.epochs}
    for seed, cell in measure.alternate(arguments.cells, arguments.seeds):
        result = measure.run("benchmarks.adding:learn", timeout=7200, cell=cell, seed=seed, **given)
        report.add(cell=cell, seed=seed, **given, **result)


def problem(rows: int, steps: int, seed: int) -> tuple[Any, Any]:
    """Series (rows, steps, 2) of numbers and marks, and the sums.

    Example:
        >>> series, sums = problem(100, 10, 0)
        >>> series.shape, bool((series[:, :, 1].sum(1) == 2).all())
        ((100, 10, 2), True)
        >>> bool(abs((series[:, :, 0] * series[:, :, 1]).sum(1) - sums).max() < 1e-6)
        True
    """
    import numpy as np

    random = np.random.default_rng(seed)
    series = np.zeros((rows, steps, 2), dtype=np.float32)
    series[:, :, 0] = random.random((rows, steps))
    every = np.arange(rows)
    series[every, random.integers(0, steps // 2, rows), 1] = 1
    series[every, random.integers(steps // 2, steps, rows), 1] = 1
    return series, series.prod(2).sum(1)


def learn(cell: str, steps: int, rows: int, epochs: int, seed: int) -> dict[str, Any]:
    """One fit, and its mean squared error on fresh rows."""
    import lamina
    from lamina.families import Recurrent

    series, sums = problem(rows, steps, 2 * seed)
    fresh, truth = problem(2000, steps, 2 * seed + 1)
    started = time.perf_counter()
    model = lamina.fit(
        {"series": series, "sum": sums},
        "sum",
        kinds={"series": "series"},
        family=Recurrent(cell=cell, bidirectional=False, pool="last"),
        recipe=lamina.Recipe(epochs=epochs),
        seed=seed,
        monitor=None,
    )
    seconds = time.perf_counter() - started
    predictions = model.predict({"series": fresh})
    return {
        "seconds": seconds,
        "mse": float(((predictions - truth) ** 2).mean()),
        "epochs_done": len(model.model_.card["history"]),
    }


def render(results: list[dict[str, Any]]) -> str:
    rows = [["always the mean", f"{MEAN_ERROR:.4f}", "", "", ""]]
    for cell in dict.fromkeys(result["cell"] for result in results):
        own = [result for result in results if result["cell"] == cell]
        good = [result for result in own if "error" not in result]
        cells = [measure.spread([result[key] for result in good]) if good else "" for key in ("mse", "epochs_done", "seconds")]
        failed = [result["error"] for result in own if "error" in result]
        rows.append([cell, *cells, f"{len(good)} of {len(own)}" + (f"; failed: {failed[0]}" if failed else "")])
    steps = results[0]["steps"] if results else ""
    return measure.table([f"{steps} steps", "mean squared error", "epochs", "seconds", "seeds"], rows)
