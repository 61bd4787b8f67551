"""lamina on a GPU, in one run of under 8 minutes: its tests, LeNet-5, CIFAR-10, and the rate of training steps.

Each part is a process of its own with a time limit, and its row is written at once, so an interrupted run leaves its table.

- *tests*: those that need a GPU (``pytest -m gpu``).
- *MNIST*: LeNet-5 to 99 % of the test images, from a cold start, as in ``benchmarks/lenet.py``.
- *CIFAR-10*: ``lamina.fit`` with its defaults on the 50,000 training images (15 % of them are validation rows); the accuracy is
  that on the 10,000 test images. Expected: 94 %.
- *steps/s*: training steps in a second, each the gather of a batch, forward, backward and update; the median over epochs after
  the first. Once with every kernel launched by itself (eager), once with the whole step as one CUDA graph.

For a machine without network: ``python -m benchmarks gpu --pack DIR``, on a machine with one, downloads wheels and data to
numbered folders (``DIR/1``, ``DIR/2``, ...) of at most 56 MiB each. Copy their content into one folder on the other machine and
run ``python -m benchmarks gpu --packed FOLDER``. ``--device cpu --quick`` runs every part with tiny sizes, to test the script.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure, pack

TITLE = f"# GPU\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
#: Part: seconds that it may take. The whole is to stay under 8 minutes.
PARTS = {"probe": 60, "tests": 150, "mnist": 60, "cifar10": 200, "mlp small": 40, "mlp large": 40, "lstm": 60, "attention": 60}
WHOLE = 470
#: What a machine with PyTorch, scikit-learn and the like may lack; wheels are those of one package each, without what it needs.
PACKAGES = ("polars", "polars-runtime-32")
TESTS = ("tests/train/test_cuda.py", "tests/test_contract.py")
MODES = {"cuda": {"eager": "eager", "graph": "cuda_graph"}, "cpu": {"eager": "eager", "graph": "traced"}}
CASES = {"mlp small": "20-64-64-3, batch 32", "mlp large": "54-256-256-7, batch 256"}
HEADER = ("part", "result", "expected", "met", "seconds")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="all of them, in this order")
    parser.add_argument("--device", choices=list(MODES), default="cuda", help="cpu only tests the script (cuda)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and artificial data, to test the script")
    parser.add_argument("--seed", type=int, default=0, help="of the fits (0)")
    parser.add_argument("--folder", type=Path, help="where gpu.md, gpu.json and gpu.log go ($OUT, or benchmarks/results)")
    parser.add_argument("--packed", type=Path, help="the content of the folders of --pack, for a machine without network")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="only download wheels and data for such a machine")
    parser.add_argument("--packages", nargs="*", default=list(PACKAGES), help=f"wheels to pack ({' '.join(PACKAGES)})")
    parser.add_argument("--python", default="3.12", help="the Python of that machine, for --pack (3.12)")


def main(arguments: argparse.Namespace) -> None:
    if arguments.pack:
        for path in pack.write(arguments.pack, arguments.packages, arguments.python):
            print(f"{path}: {sum(file.stat().st_size for file in path.iterdir()) / 2**20:.1f} MiB")
        return
    begun = time.monotonic()
    folder = arguments.folder or Path(os.environ.get("OUT") or measure.RESULTS)
    with tempfile.TemporaryDirectory() as site, _environment(arguments, Path(site)):
        found = measure.run("benchmarks.gpu:probe", timeout=PARTS["probe"], device=arguments.device)
        if "error" in found:
            print(f"no GPU to measure on ({found['error']}); take a machine with one, or try this out: --device cpu --quick")
            sys.exit(2)
        report = measure.Report("gpu", TITLE, render, folder=folder)
        report.machine["gpu"] = found["gpu"]
        report.machine["versions"]["torch"] = found["torch"]
        kwargs = {"device": arguments.device, "quick": arguments.quick, "seed": arguments.seed}
        kwargs |= {"packed": str(arguments.packed.resolve()) if arguments.packed else None}
        for part in arguments.parts:
            left = WHOLE - (time.monotonic() - begun)
            if part == "probe":
                result = found
            elif left < 10:
                result = {"error": "not run: no time was left"}
            else:
                limit = min(PARTS[part], left) if not arguments.quick else PARTS[part]
                log, more = folder / "gpu.log", {"part": part} if part in (*CASES, "lstm", "attention") else {}
                job = "steps" if more else part
                result = measure.run(f"benchmarks.gpu:{job}", timeout=limit, log=log, started=time.time(), **kwargs, **more)
            report.add(**{"part": part, **result})
    print("\n" + report.page())


@contextlib.contextmanager
def _environment(arguments: argparse.Namespace, site: Path) -> Any:
    """Hide the GPU from a run on the CPU, and add the packed folder to the path of the processes."""
    before = dict(os.environ)
    if arguments.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if arguments.packed:
        pack.install(arguments.packed, site)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [before.get("PYTHONPATH")])])
    os.environ["PYTHONUNBUFFERED"] = "1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


# ---------------------------------------------------------------- the parts, each in a process of its own
def probe(device: str) -> dict[str, Any]:
    """The GPU and its capabilities in PyTorch.

    Raises:
        RuntimeError: PyTorch finds none.
    """
    import torch

    if device == "cpu":
        return {"gpu": "none: on the CPU", "torch": torch.__version__, "result": "cpu"}
    if not torch.cuda.is_available():
        raise RuntimeError(f"PyTorch {torch.__version__} sees no CUDA device")
    torch.ones(8, 8, device="cuda").mm(torch.ones(8, 8, device="cuda")).sum().item()  # sync: it works
    properties = torch.cuda.get_device_properties(0)
    gpu = f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    return {"gpu": gpu, "torch": torch.__version__, "cudnn": torch.backends.cudnn.version(), "result": gpu}


def tests(device: str, quick: bool, seed: int, packed: str | None, started: float) -> dict[str, Any]:
    """The tests that need a GPU; their output goes to the log."""
    import pytest

    class Count:
        passed = failed = skipped = 0
        names: list[str] = []

        def pytest_runtest_logreport(self, report: Any) -> None:
            self.passed += report.when == "call" and report.passed
            self.skipped += report.skipped
            self.failed += report.failed
            if report.failed:  # at once: what comes at the end is lost when the time is up
                self.names.append(report.nodeid)
                print(f"{report.nodeid}\n{report.longreprtext}", file=sys.stderr)

    count, files = Count(), TESTS[:1] if quick else TESTS
    # Warnings are no errors here, and conftest.py is left out: a machine may have other versions, and no hypothesis.
    kwargs = [*files, "-m", "gpu", "-W", "default", "--noconftest", "-p", "no:cacheprovider", "--tb=short", "--maxfail=20"]
    with contextlib.redirect_stdout(sys.stderr):
        code = int(pytest.main(kwargs, plugins=[count]))
    if code not in (0, 1):
        raise RuntimeError(f"pytest ended with code {code}; see the log")
    result = f"{count.passed} passed, {count.failed} failed, {count.skipped} skipped"
    return {"result": result, "met": not count.failed, "failed": count.names, **_since(started)}


def mnist(device: str, quick: bool, seed: int, packed: str | None, started: float) -> dict[str, Any]:
    """LeNet-5 until 99 % of the test images are right."""
    import numpy as np

    from benchmarks import lenet

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "mnist.npz")
        train, test = _rows("mnist", quick, packed, (28, 28))
        np.savez(path, X=train.values, y=train.labels, test_X=test.values, test_y=test.labels)
        begun = time.time()  # reading the data is not lamina's
        found = lenet.until("lamina", path, seed, begun, epochs=2 if quick else lenet.EPOCHS)
    met = found["accuracy"] >= lenet.TARGET
    result = f"{found['accuracy']:.2%} after {found['epochs']} epochs, {measure.number(found['train_seconds'])} s of steps"
    return {**found, "result": result, "expected": "99 %", "met": met, **_since(started)}


def cifar10(device: str, quick: bool, seed: int, packed: str | None, started: float) -> dict[str, Any]:
    """The default on CIFAR-10."""
    import numpy as np

    import lamina

    train, test = _rows("cifar10", quick, packed, (32, 32, 3))
    recipe = lamina.Recipe(epochs=2) if quick else lamina.Recipe()
    begun = time.perf_counter()
    data = {"image": train.values, "label": train.labels}
    model = lamina.fit(data, "label", task="classification", recipe=recipe, device=device, seed=seed, monitor=_to_log)
    seconds = time.perf_counter() - begun
    accuracy = float(np.mean(np.asarray(model.predict({"image": test.values})) == test.labels))
    card, history = model.model_.card, model.history_
    steps = history[-1]["steps"] / statistics.median(epoch["train_seconds"] for epoch in history)
    result = f"{accuracy:.2%} after {len(history)} epochs; fit {measure.number(seconds)} s; {measure.number(steps)} steps/s"
    more = {name: card["recipe"][name] for name in ("epochs", "batch_size", "learning_rate", "augment", "precision")}
    more |= {"parameters": card["parameters"], "notes": card["notes"], "history": history}
    return {"accuracy": accuracy, "fit_seconds": seconds, "result": result, "expected": "94 %", "met": accuracy >= 0.94} | {
        **more,
        **_since(started),
    }


def steps(part: str, device: str, quick: bool, seed: int, packed: str | None, started: float) -> dict[str, Any]:
    """Training steps in a second, launched one kernel at a time and as a graph; both must learn the task."""
    import lamina

    data, family, recipe, least = _task(part, quick)
    found: dict[str, float] = {}
    right: dict[str, float] = {}
    for name, mode in MODES[device].items():
        given = dataclasses.replace(recipe, step_mode=mode)
        kwargs = {"family": family, "recipe": given, "device": device, "seed": seed}
        model = lamina.fit(data, "y", task="classification", monitor=_to_log, **kwargs)
        history = model.history_
        found[name] = history[0]["steps"] / statistics.median(epoch["train_seconds"] for epoch in history[1:])
        right[name] = history[-1]["validation_accuracy"]
    result = f"eager {found['eager']:,.0f}, graph {found['graph']:,.0f} steps/s: {found['graph'] / found['eager']:.1f} times"
    met = min(right.values()) >= least and found["graph"] > found["eager"]
    expected = f"graph faster, both at least {least:.0%} right"
    return {"result": result, "expected": expected, "met": met, "steps_per_second": found, "accuracy": right, **_since(started)}


def _task(part: str, quick: bool) -> tuple[dict[str, Any], Any, Any, float]:
    """Artificial data, a family, a recipe, and the accuracy that shows learning."""
    import numpy as np

    import lamina
    from benchmarks.peers import plain
    from benchmarks.speed import CASES as NETS

    random = np.random.default_rng(0)
    if part in CASES:
        inputs, hidden, outputs, batch_size, rows = NETS[CASES[part]]
        rows = 800 if quick else rows
        X = random.standard_normal((rows, inputs), dtype=np.float32)
        y = (X @ random.standard_normal((inputs, outputs), dtype=np.float32)).argmax(1)
        family, recipe = plain(lamina, hidden, batch_size, 3 if quick else 8, None)
        return {**{f"x{i}": X[:, i] for i in range(inputs)}, "y": y}, family, recipe, 0.0 if quick else 0.8
    rows = 200 if quick else 8_000
    y = random.integers(0, 2, rows)
    recipe = lamina.Recipe(epochs=3 if quick else 5, batch_size=64, patience=None)
    least = 0.0 if quick else 0.9
    if part == "lstm":  # whether the signal rises or falls
        steps = 10 if quick else 100
        slope = np.where(y, 1.0, -1.0)[:, None] * np.linspace(-1, 1, steps)
        series = slope[:, :, None] + random.normal(0, 1, (rows, steps, 4))
        return {"series": list(series.astype(np.float32)), "y": y}, lamina.Recurrent(cell="lstm"), recipe, least
    words = np.array([f"w{i}" for i in range(500)])
    drawn = random.integers(2, 500, (rows, 12 if quick else 60))
    drawn[np.arange(rows), random.integers(0, drawn.shape[1], rows)] = y  # one word predicts the class
    return {"text": [" ".join(words[row]) for row in drawn], "y": y}, lamina.Attention(), recipe, least


def _rows(name: str, quick: bool, packed: str | None, shape: tuple[int, ...]) -> Any:
    """The published training and test rows, or a few artificial ones."""
    import numpy as np

    from benchmarks import datasets

    if quick:
        random = np.random.default_rng(0)
        labels = np.arange(240) % 10
        images = random.integers(0, 100, (240, *shape)).astype(np.uint8)
        images[np.arange(240), labels * 2] += 150  # a bright line, whose height is the class
        every = datasets.Rows(images, labels)
        return every[:200], every[200:]
    return pack.load(Path(packed), name) if packed else datasets.load_rows(name)


def _to_log(event: Any) -> None:
    """Events go to standard error, whose end is in the log even after a timeout."""
    if event.kind in ("start", "epoch"):
        kept = {name: value for name, value in event.to_json().items() if isinstance(value, int | float | str)}
        print(json.dumps(kept | ({"recipe": event.recipe.to_json()} if event.kind == "start" else {})), file=sys.stderr)


def _since(started: float) -> dict[str, float]:
    return {"seconds": time.time() - started}


# ---------------------------------------------------------------- the page
def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for result in results:
        met = {True: "yes", False: "no"}.get(result.get("met"), "")
        seconds = measure.number(result["seconds"]) if "seconds" in result else ""
        text = f"failed: {result['error']}" if "error" in result else result["result"]
        rows.append([result["part"], text, result.get("expected", ""), "no" if "error" in result else met, seconds])
    return measure.table(HEADER, rows)
