"""Time of importing and of predicting: part of ``python -m benchmarks speed``.

Models are fitted for two epochs on Adult (accuracy does not matter here) and predict pandas frames: one row at a time, 500 of
them after a warm-up, and Adult's rows repeated to a million. The peer is scikit-learn's usual pipeline, StandardScaler and
OneHotEncoder before MLPClassifier((64, 64)), with sparse (its default) and with dense one-hot columns.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import measure

ONE_ROW, MILLION = 500, 1_000_000
PIPELINES = ("scikit-learn pipeline", "scikit-learn pipeline, dense")
MODELS = ("lamina, plain net 64-64", "lamina, default", *PIPELINES)
IMPORT = "import time; start = time.perf_counter(); import lamina; print(time.perf_counter() - start)"


def main(report: measure.Report, models: list[str], repeats: int, counts: list[int]) -> None:
    for repeat in range(repeats):
        done = subprocess.run([sys.executable, "-c", IMPORT], cwd=measure.ROOT, capture_output=True, text=True, check=True)
        report.add(kind="predict", peer="import lamina", threads=None, repeat=repeat, import_ms=float(done.stdout) * 1e3)
    runs = [(model, threads) for model in models for threads in (counts if model in PIPELINES else [None])]
    for repeat, (model, threads) in measure.alternate(runs, repeats):
        result = measure.run("benchmarks.predict:times", threads=threads, model=model)
        report.add(kind="predict", peer=model, threads=threads, repeat=repeat, **result)


def times(model: str) -> dict[str, Any]:
    """One measurement: p50 and p95 of one row, and the seconds for a million."""
    import numpy as np

    from benchmarks import datasets

    frame = datasets.load("adult")
    target = frame.pop("income")
    fitted = _fitted(model, frame, target)
    single = [frame.iloc[[row]] for row in range(ONE_ROW + 50)]
    seconds = []
    for row in single:
        started = time.perf_counter()
        fitted.predict(row)
        seconds.append(time.perf_counter() - started)
    seconds = sorted(seconds[50:])
    million = frame.iloc[np.arange(MILLION) % len(frame)].reset_index(drop=True)
    started = time.perf_counter()
    predictions = fitted.predict(million)
    million_seconds = time.perf_counter() - started
    if len(predictions) != MILLION or set(np.unique(predictions)) > set(target):
        raise ValueError(f"{model} made {len(predictions)} predictions")
    return {
        "row_ms": statistics.median(seconds) * 1e3,
        "row_p95_ms": seconds[int(0.95 * len(seconds))] * 1e3,
        "million_seconds": million_seconds,
    }


def _fitted(model: str, frame: Any, target: Any) -> Any:
    if model in PIPELINES:
        from sklearn.compose import ColumnTransformer, make_column_selector
        from sklearn.neural_network import MLPClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        columns = ColumnTransformer(
            [
                ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
                (
                    "categories",
                    OneHotEncoder(handle_unknown="ignore", sparse_output=model == PIPELINES[0]),
                    make_column_selector(dtype_exclude="number"),
                ),
            ]
        )
        return make_pipeline(columns, MLPClassifier((64, 64), max_iter=2, random_state=0)).fit(frame, target)
    import lamina
    from benchmarks.peers import plain

    if model == "lamina, default":
        return lamina.Classifier(recipe=lamina.Recipe(epochs=2), random_state=0).fit(frame, target)
    family, recipe = plain(lamina, (64, 64), 256, 2, None)
    return lamina.Classifier(family=family, recipe=recipe, random_state=0).fit(frame, target)


def render(results: list[dict[str, Any]]) -> str:
    parts = []
    imports = [result["import_ms"] for result in results if "import_ms" in result]
    if imports:
        parts.append(f"`import lamina` in a fresh process: {measure.spread(imports)} ms.")
    rows = []
    for peer, threads in dict.fromkeys((r["peer"], r["threads"]) for r in results if "import_ms" not in r):
        own = [result for result in results if (result["peer"], result["threads"]) == (peer, threads)]
        good = [result for result in own if "error" not in result]
        cells = [f"failed: {own[0].get('error')}", "", "", ""]
        if good:
            cells = [
                measure.spread([result["row_ms"] for result in good]),
                measure.number(measure.median(result["row_p95_ms"] for result in good)),
                measure.spread([result["million_seconds"] for result in good]),
                measure.number(measure.median(result["peak_mib"] for result in good)),
            ]
        rows.append([peer, "its choice" if threads is None else threads, *cells])
    if rows:
        header = [
            "Adult, from a pandas frame",
            "threads",
            "one row p50, ms",
            "p95, ms",
            "a million rows, s",
            "peak memory, MiB",
        ]
        parts.append(measure.table(header, rows))
    return "\n\n".join(parts)
