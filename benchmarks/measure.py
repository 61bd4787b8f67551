"""Measurements: one fresh process each, alternating order, medians, and a table with the machine and the versions.

The parent process stays small (no torch, pandas or jax), so that a child's peak memory and thread pools are its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import re
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
PACKAGES = ("lamina", "torch", "scikit-learn", "skorch", "keras", "jax", "numpy", "pandas", "polars")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "RAYON_NUM_THREADS")


# ---------------------------------------------------------------- one measurement
def run(
    job: str,
    *,
    threads: int | None = None,
    pin: bool = False,
    timeout: float = 900.0,
    log: Path | None = None,
    python: str | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Call ``job`` ("module:function") with ``arguments`` in a fresh process and return its dict.

    Args:
        job: The function; what it returns must be JSON.
        threads: For OpenMP and BLAS through their variables; ``None`` is the default of every library.
        pin: Bind the process to ``threads`` cores as well: the only way to limit XLA, which counts the cores it may use.
        timeout: Seconds; beyond it the result is ``{"error": ...}``, as for any failure, so that a failure is a row.
        log: A file to which the end of the standard error of the process is added.
        python: Another interpreter than this one.
    """
    environment = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    environment |= {"KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}
    if threads is not None:
        environment |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    command = [python or sys.executable, "-m", "benchmarks", "job", job, json.dumps(arguments)]
    if pin and threads is not None and hasattr(os, "sched_getaffinity"):
        command = ["taskset", "-c", ",".join(map(str, sorted(os.sched_getaffinity(0))[:threads])), *command]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as late:
        _add_to(log, job, late.stderr)
        return {"error": f"more than {timeout:g} s"}
    _add_to(log, job, done.stderr)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return {"error": lines[-1][:200] if lines else f"exit code {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _add_to(log: Path | None, job: str, output: str | bytes | None) -> None:
    if log is not None and output:
        text = output if isinstance(output, str) else output.decode(errors="replace")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"== {job}\n{text[-20_000:]}\n")


def prepare(job: str, **arguments: Any) -> None:
    """A job that the measurements need: its failure ends the benchmark.

    Raises:
        RuntimeError: The job failed.
    """
    result = run(job, **arguments)
    if "error" in result:
        raise RuntimeError(f"{job} failed: {result['error']}")


def alternate(runs: Sequence[Any], repeats: int) -> Iterable[tuple[int, Any]]:
    """Every run ``repeats`` times, forwards then backwards, so that a drift of the machine favours none.

    Example:
        >>> list(alternate("ab", 3))
        [(0, 'a'), (0, 'b'), (1, 'b'), (1, 'a'), (2, 'a'), (2, 'b')]
    """
    for repeat in range(repeats):
        for item in runs if repeat % 2 == 0 else reversed(runs):
            yield repeat, item


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB."""
    import resource

    status = Path("/proc/self/status")
    if status.exists():  # Linux hands a child its parent's peak in rusage, but not here
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


# ---------------------------------------------------------------- numbers
def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """Median and range: ``"12.0 (11.0-15.0)"``.

    Example:
        >>> spread([15.0, 11.0, 12.0])
        '12.0 (11.0-15.0)'
    """
    return f"{number(median(values))} ({number(min(values))}-{number(max(values))})"


def mean_sd(values: Sequence[float], digits: int = 4) -> str:
    """Mean and standard deviation over seeds: ``"0.8700 ± 0.0010"``.

    Example:
        >>> mean_sd([0.869, 0.871])
        '0.8700 ± 0.0014'
    """
    mean = statistics.fmean(values)
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else f"{mean:.{digits}f}"


def number(value: float) -> str:
    """Three significant digits without an exponent.

    Example:
        >>> number(1234.4), number(12), number(0.01234)
        ('1234', '12.0', '0.0123')
    """
    digits = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{min(max(digits, 0), 6)}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A markdown table.

    Example:
        >>> print(table(["peer", "µs"], [["a", 1]]))
        | peer | µs |
        |---|---|
        | a | 1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "|" + "|".join(line) + "|" if line[0] == "---" else "| " + " | ".join(map(str, line)) + " |" for line in lines
    )


# ---------------------------------------------------------------- where and when
def machine() -> dict[str, Any]:
    """The machine, the versions, the date and the command."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
        "command": "python -m benchmarks " + shlex.join(sys.argv[1:]),
        "versions": versions,
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    fields = dict(line.split(":", 1) for line in info.read_text().split("\n\n")[0].splitlines() if ":" in line)
    fields = {name.strip(): value.strip() for name, value in fields.items()}
    return f"{fields.get('model name', platform.machine())} (model {fields.get('model', '?')})"


class Report:
    """A page of results, written after every measurement.

    Args:
        name: File stem under ``benchmarks/results``.
        title: Heading, and a description of the measurements.
        render: ``results -> markdown``, called at each save.
        folder: Another folder.
    """

    def __init__(
        self, name: str, title: str, render: Callable[[list[dict[str, Any]]], str], *, folder: Path | None = None
    ) -> None:
        self.path, self.title, self.render = (folder or RESULTS) / name, title, render
        self.machine, self.results = machine(), []

    def resume(self) -> None:
        """Begin with the results of an earlier run, if there are any."""
        file = self.path.with_suffix(".json")
        if file.exists():
            self.results = json.loads(file.read_text())["results"]

    def add(self, **result: Any) -> None:
        self.results.append(result)
        shown = {key: value for key, value in result.items() if not isinstance(value, list | dict)}
        print(
            "  ".join(f"{key}={value:.5g}" if isinstance(value, float) else f"{key}={value}" for key, value in shown.items()),
            flush=True,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.with_suffix(".json").write_text(
            json.dumps({"machine": self.machine, "results": self.results}, indent=1) + "\n"
        )
        self.path.with_suffix(".md").write_text(self.page())

    def page(self) -> str:
        where = self.machine
        versions = ", ".join(f"{package} {version}" for package, version in where["versions"].items())
        return (
            f"{self.title}\n\n{self.render(self.results)}\n\n"
            + (f"GPU: {where['gpu']}.  \n" if "gpu" in where else "")
            + f"Machine: {where['cpu']}, {where['cores']} cores, {where['system']}; "
            f"load before the run {where['load_before']}.  \n"
            f"Versions: {versions}.  \nDate: {where['date']}. Command: `{where['command']}`. "
            f"Every single measurement: [{self.path.stem}.json]({self.path.stem}.json).\n"
        )
