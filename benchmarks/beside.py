"""Fitting while other processes keep the cores busy.

6,000 rows of diamonds (`price` from the other columns): the default network for 2 epochs, and boosting. *Alone* nothing else
runs; *beside* one busy process for each core runs too. *Library* is `lamina.fit` in a fresh process, its seconds those of the
call; *CLI* is the whole command `lamina fit`, with imports. *Spinning* is the library with OpenMP's default, in which waiting
threads spin. CPU seconds are those of the whole process.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure

WAYS = ("library", "CLI", "spinning")
FITS = ("network", "boosting")
ROWS = 6000
TITLE = f"# Beside other work\n\n{(__doc__ or '').strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, default=measure.cores(), help="number of busy processes beside the fit")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--out", default="beside", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "diamonds.csv")
        measure.prepare("benchmarks.beside:write", path=path)
        runs = [(fit, way, busy) for busy in (0, arguments.busy) for fit in FITS for way in arguments.ways]
        for repeat, (fit, way, busy) in measure.alternate(runs, arguments.repeats):
            with others(busy):
                job = "benchmarks.beside:command" if way == "CLI" else "benchmarks.beside:call"
                more = {} if way == "CLI" else {"spinning": way == "spinning"}
                result = measure.run(job, timeout=300, path=path, fit=fit, **more)
            report.add(fit=fit, way=way, busy=busy, repeat=repeat, **result)


@contextlib.contextmanager
def others(count: int) -> Iterator[None]:
    """Processes that each keep a core busy."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def write(path: str) -> dict[str, Any]:
    """Some rows of diamonds as CSV."""
    from benchmarks import datasets

    frame = datasets.load("diamonds")
    frame.sample(ROWS, random_state=0).to_csv(path, index=False)
    return {}


def call(path: str, fit: str, spinning: bool) -> dict[str, Any]:
    """Fit once in this process."""
    import lamina
    from lamina.train import sharing

    if spinning:
        sharing._can_share = lambda: False
    kwargs = {"family": "boosting"} if fit == "boosting" else {"recipe": lamina.Recipe(epochs=2)}
    started = time.perf_counter()
    lamina.fit(path, target="price", seed=0, **kwargs)
    return {"seconds": time.perf_counter() - started, "cpu_seconds": _cpu(resource.RUSAGE_SELF)}


def command(path: str, fit: str) -> dict[str, Any]:
    """Fit once with the command line."""
    kwargs = ["--family", "boosting"] if fit == "boosting" else ["--set", "recipe.epochs=2"]
    with tempfile.TemporaryDirectory() as folder:
        line = [
            sys.executable,
            "-c",
            "from lamina.cli import main; main()",
            "fit",
            path,
            "--target",
            "price",
            *kwargs,
            "--seed",
            "0",
        ]
        started = time.perf_counter()
        subprocess.run(
            [*line, "--out", str(Path(folder) / "m.lamina")], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ)
        )
        return {"seconds": time.perf_counter() - started, "cpu_seconds": _cpu(resource.RUSAGE_CHILDREN)}


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for fit, way in dict.fromkeys((r["fit"], r["way"]) for r in results):
        own = [r for r in results if (r["fit"], r["way"]) == (fit, way)]
        failed = next((r["error"] for r in own if "error" in r), None)
        alone = [r for r in own if "error" not in r and not r["busy"]]
        beside = [r for r in own if "error" not in r and r["busy"]]
        cells = [measure.spread([r[name] for r in part]) if part else failed or "" for part in (alone, beside) for name in KEYS]
        times = ""
        if alone and beside:
            times = measure.number(measure.median(r["seconds"] for r in beside) / measure.median(r["seconds"] for r in alone))
        rows.append([fit, way, *cells, times])
    busy = max((r["busy"] for r in results), default=0)
    header = ["fit", "way", "alone, s", "CPU, s", f"beside {busy} busy processes, s", "CPU, s", "times as long"]
    return measure.table(header, rows)


KEYS = ("seconds", "cpu_seconds")
