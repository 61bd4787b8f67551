"""The comparison of the README, repeated with new seeds: whether the verdict is the same.

``lamina.compare("examples/data/adult.parquet", target="income")`` with defaults and another seed, so that folds, initial
weights and trees differ. *Score*: the mean over folds of its metric, for the best candidate.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

from benchmarks import measure

TITLE = f"# The same verdict\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=10, help="comparisons (10)")
    parser.add_argument("--first", type=int, default=100, help="the first seed; later ones count on (100)")
    parser.add_argument("--out", default="again", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        report.add(seed=seed, **measure.run("benchmarks.again:verdict", timeout=3600, seed=seed))


def verdict(seed: int) -> dict[str, Any]:
    """The verdict of one comparison."""
    import lamina

    started = time.perf_counter()
    board = lamina.compare("examples/data/adult.parquet", target="income", seed=seed, monitor=None)
    found = board.verdict
    score = next(float(row[found.metric]) for row in board.to_frame().to_dicts() if row["candidate"] == found.best)
    summary = {"best": found.best, "call": found.call, "rival": found.rival, "take": found.take, "metric": found.metric}
    return summary | {"score": score, "seconds": time.perf_counter() - started}


def render(results: list[dict[str, Any]]) -> str:
    good = [one for one in results if "error" not in one]
    taken = Counter(one["take"] for one in good).most_common()
    calls = Counter(f"{one['call']}, use {one['take']}" for one in good).most_common()
    lines = [
        "Recommended: " + ", ".join(f"{name} in {count} of {len(results)}" for name, count in taken) + ".",
        "Verdicts: " + ", ".join(f"{name} in {count} of {len(results)}" for name, count in calls) + ".",
    ]
    names = ("seed", "best", "call", "rival", "take", "metric")
    rows = [[*(one.get(name, "") for name in names), _number(one, "score", 4), _number(one, "seconds", 0)] for one in results]
    return "\n".join(lines) + "\n\n" + measure.table([*names, "score", "seconds"], rows)


def _number(one: dict[str, Any], name: str, digits: int) -> str:
    return f"{one[name]:.{digits}f}" if name in one else one.get("error", "")
