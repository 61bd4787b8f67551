"""Time of a training step, of importing, and of predicting, compared with the peers.

A step is forward, backward and the Adam update of one mini-batch. Each measurement is a fresh process that fits once:

- *µs per step*: median time of an epoch's training steps after the first epoch (which compiles, traces or warms up), divided by
  its steps, without validation. scikit-learn has no hook for epochs, so for it: (long fit - short fit) / steps between them.
- *start-up*: the time of a whole fit minus its steps at that rate: compiling, tracing, checking; for lamina also reading the
  columns, the schema, the encoder and a validation after each epoch, which the peers do not do here. Imports are in neither.
- *whole fit*: wall time of the call to ``fit``.

Peers run with one thread and with one per core; the faster of the two medians counts. lamina chooses its own number of threads.
The order alternates between repeats; the figure is the median over repeats, with the range. A measurement counts only
if the peer trained exactly as many weights as the network has, and predicts 90 % of its training rows right at the end.

``--only lenet`` measures the time to 99 % on MNIST, see ``benchmarks/lenet.py``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from benchmarks import lenet, measure, predict

CASES = {  # name: inputs, hidden, outputs, batch size, training rows
    "20-64-64-3, batch 32": (20, (64, 64), 3, 32, 16_000),
    "54-256-256-7, batch 256": (54, (256, 256), 7, 256, 51_200),
}
EPOCHS, SHORT = 12, 2
PEERS = (
    "lamina",
    "PyTorch loop",
    "PyTorch loop, fused Adam",
    "Keras on JAX",
    "Keras on JAX, steps_per_execution=32",
    "scikit-learn",
    "skorch",
)
TITLE = f"# Speed\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each (5)")
    parser.add_argument("--only", choices=("steps", "predict", "lenet"), help="one part (steps and predict)")
    parser.add_argument("--rows", type=int, help="at most so many images of each part for lenet, to try it out (all)")
    names = list(dict.fromkeys([*PEERS, *predict.MODELS, *lenet.PEERS]))
    parser.add_argument("--peers", nargs="+", choices=names, metavar="PEER", help="only these, by their names in the tables")
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, measure.cores()}), help="of the peers (1 and all)")
    parser.add_argument("--out", default="speed", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    parts = {"steps": PEERS, "predict": predict.MODELS, "lenet": lenet.PEERS}
    parts = {part: parts[part] for part in ([arguments.only] if arguments.only else ["steps", "predict"])}
    if unknown := [peer for peer in arguments.peers or [] if not any(peer in names for names in parts.values())]:
        raise SystemExit(f"{' and '.join(parts)} {'have' if len(parts) > 1 else 'has'} no {', '.join(map(repr, unknown))}")
    peers = {part: [peer for peer in names if peer in (arguments.peers or names)] for part, names in parts.items()}
    if arguments.only == "lenet":
        report = measure.Report(arguments.out, f"# Speed\n\n{(lenet.__doc__ or '').strip()}", lenet.render)
        lenet.main(report, peers["lenet"], arguments.repeats, arguments.threads, arguments.rows)
        return
    report = measure.Report(arguments.out, TITLE, render)
    if arguments.only != "predict":
        runs = [(peer, threads) for peer in peers["steps"] for threads in ([None] if peer == "lamina" else arguments.threads)]
        for case in CASES:
            for repeat, (peer, threads) in measure.alternate(runs, arguments.repeats):
                result = measure.run(
                    "benchmarks.speed:step", threads=threads, pin="Keras" in peer, peer=peer, case=case, seed=repeat
                )
                report.add(kind="step", case=case, peer=peer, threads=threads, repeat=repeat, **result)
    if arguments.only != "steps":
        predict.main(report, peers["predict"], arguments.repeats, arguments.threads)


def step(peer: str, case: str, seed: int) -> dict[str, Any]:
    """One measurement: the time of a step, of a whole fit, and of the rest."""
    import numpy as np

    from benchmarks.peers import PEERS, VALIDATION

    inputs, hidden, outputs, batch_size, rows = CASES[case]
    if peer == "lamina":
        rows = round(rows / (1 - VALIDATION))  # it keeps these for validation, and trains on as many as the others
    random = np.random.default_rng(seed)
    X = random.standard_normal((rows, inputs), dtype=np.float32)
    y = (X @ random.standard_normal((inputs, outputs), dtype=np.float32)).argmax(1)

    def fit(epochs: int) -> tuple[Any, float]:
        model = PEERS[peer](hidden, outputs, batch_size, epochs, seed=seed)
        started = time.perf_counter()
        model.fit(X, y)
        return model, time.perf_counter() - started

    model, fit_seconds = fit(EPOCHS)
    sizes = (inputs, *hidden, outputs)
    expected = sum((before + 1) * after for before, after in zip(sizes[:-1], sizes[1:], strict=True))
    if model.parameters != expected:
        raise ValueError(f"{peer} trained {model.parameters} parameters, the network has {expected}")
    correct = float((model.predict(X).argmax(1) == y).mean())
    if correct < 0.9:
        raise ValueError(f"{peer} predicts {correct:.0%} of its training rows right, expected 90 % or more")
    steps = model.epoch_steps or -(-rows // batch_size)
    if model.epoch_seconds:
        step_seconds = statistics.median(model.epoch_seconds[1:]) / steps
    else:
        step_seconds = (fit_seconds - fit(SHORT)[1]) / ((EPOCHS - SHORT) * steps)
    return {
        "step_us": step_seconds * 1e6,
        "startup_seconds": fit_seconds - step_seconds * steps * EPOCHS,
        "fit_seconds": fit_seconds,
        "steps": steps * EPOCHS,
    }


# ---------------------------------------------------------------- the page
def render(results: list[dict[str, Any]]) -> str:
    pages = [_steps(case, [r for r in results if r["kind"] == "step" and r["case"] == case]) for case in CASES]
    pages.append(predict.render([r for r in results if r["kind"] == "predict"]))
    return "\n\n".join(page for page in pages if page)


def _steps(case: str, results: list[dict[str, Any]]) -> str:
    lines = []
    for peer in dict.fromkeys(result["peer"] for result in results):
        own = [result for result in results if result["peer"] == peer]
        tried = {}
        for threads in dict.fromkeys(result["threads"] for result in own):
            tried[threads] = [result for result in own if result["threads"] == threads and "error" not in result]
        lines.append((peer, *best_of(tried), own))
    ours = next((measure.median(r["step_us"] for r in good) for peer, _, good, _ in lines if peer == "lamina" and good), None)
    rows = []
    for peer, threads, good, own in lines:
        if not good:
            rows.append([peer, "", f"failed: {own[0]['error']}", "", "", "", ""])
            continue
        steps = [result["step_us"] for result in good]
        other = [result["step_us"] for result in own if "error" not in result and result["threads"] != threads]
        rows.append(
            [
                peer,
                "its choice" if threads is None else threads,
                measure.spread(steps),
                f"{measure.median(steps) / ours:.2f}x" if ours else "",
                measure.number(measure.median(other)) if other else "",
                measure.number(measure.median(result["startup_seconds"] for result in good)),
                f"{measure.number(measure.median(result['fit_seconds'] for result in good))} ({good[0]['steps']} steps)",
            ]
        )
    header = [case, "threads", "µs per step", "to lamina", "with the other thread count", "start-up, s", "whole fit, s"]
    return measure.table(header, rows) if rows else ""


def best_of(tried: dict[Any, list[dict[str, Any]]], key: str = "step_us") -> tuple[Any, list[dict[str, Any]]]:
    """The thread count with the smaller median, and its results; None if all failed.

    Example:
        >>> best_of({1: [{"step_us": 3.0}], 2: [{"step_us": 2.0}], 4: []})
        (2, [{'step_us': 2.0}])
    """
    good = {threads: results for threads, results in tried.items() if results}
    if not good:
        return None, []
    threads = min(good, key=lambda count: measure.median(result[key] for result in good[count]))
    return threads, good[threads]
