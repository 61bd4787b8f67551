"""``kill -9`` at random moments, resume, and compare the final weights bit by bit.

A fit of 10,000 rows of Adult from the command line runs once without interruption; then it is started again with the same seed,
killed (SIGKILL) at a uniformly random moment, resumed with ``lamina resume``, and every tensor of its model file is
compared as bytes with that of the uninterrupted run.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure

ROWS = 10_000
LAMINA = [sys.executable, "-c", "from lamina.cli import main; main()"]
TITLE = f"# Resume\n\n{(__doc__ or '').strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=20, help="number of kills (20)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs of the fit (8)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--out", default="resume", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        measure.prepare("benchmarks.resume:write", path=str(folder / "adult.parquet"))
        fit = Fit(folder, "undisturbed", arguments.epochs)
        started = time.perf_counter()
        fit.wait()
        begun, whole = fit.begun_seconds, time.perf_counter() - started
        reference = weights(fit.model)
        while len(report.results) < arguments.kills:
            fit = Fit(folder, f"killed-{len(report.results)}", arguments.epochs)
            moment = draw.uniform(0, whole - begun)  # counted from when the run folder is there: before it nothing can be lost
            if not fit.kill_after(moment):
                continue  # it was done before: no kill
            epochs = fit.epochs_done()
            resumed = subprocess.run([*LAMINA, "resume", str(fit.run), "--out", str(fit.model)], capture_output=True, text=True)
            if resumed.returncode == 0:
                same = weights(fit.model) == reference
                report.add(kill=len(report.results) + 1, seconds=moment, epochs_done=epochs, identical=same)
            else:
                error = resumed.stderr.strip() or f"exit code {resumed.returncode}"
                report.add(kill=len(report.results) + 1, seconds=moment, epochs_done=epochs, identical=False, error=error)
    print(verdict(report.results))


class Fit:
    """A running ``lamina fit``."""

    def __init__(self, folder: Path, name: str, epochs: int):
        self.run, self.model = folder / name, folder / f"{name}.lamina"
        files = [str(folder / "adult.parquet"), "--target", "income", "--out", str(self.model), "--run", str(self.run)]
        command = [*LAMINA, "fit", *files, "--seed", "0", "--set", f"recipe.epochs={epochs}"]
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while not (self.run / "run.json").exists() and self.process.poll() is None:
            time.sleep(0.001)
        self.begun_seconds = time.perf_counter() - started

    def wait(self) -> None:
        _, errors = self.process.communicate()
        if self.process.returncode != 0:
            raise RuntimeError(f"lamina fit failed: {errors.strip()}")

    def kill_after(self, seconds: float) -> bool:
        """Kill -9 after that time; False if the fit ended before."""
        try:
            self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return True
        return False

    def epochs_done(self) -> int:
        events = self.run / "events.jsonl"
        return events.read_text().count('"event": "epoch"') if events.exists() else 0


def write(path: str) -> dict[str, Any]:
    """Adult's first rows as a Parquet file."""
    from benchmarks import datasets

    datasets.load("adult").head(ROWS).to_parquet(path)
    return {}


def weights(path: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Every tensor of a .lamina file: type, shape and bytes."""
    from safetensors.numpy import load_file

    return {name: (str(part.dtype), part.shape, part.tobytes()) for name, part in load_file(path).items()}


def verdict(results: list[dict[str, Any]]) -> str:
    """One line.

    Example:
        >>> verdict([{"identical": True}, {"identical": False}])
        '1 of 2 bit-identical'
    """
    return f"{sum(result['identical'] for result in results)} of {len(results)} bit-identical"


def render(results: list[dict[str, Any]]) -> str:
    rows = [
        [r["kill"], f"{r['seconds']:.2f}", r["epochs_done"], "yes" if r["identical"] else r.get("error", "no")] for r in results
    ]
    header = ["kill", "seconds into the run", "epochs done by then", "bit-identical after resuming"]
    return f"**{verdict(results)}**\n\n{measure.table(header, rows)}"
