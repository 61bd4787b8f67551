"""Random forest compared with scikit-learn's and scikit-learn-intelex's: scores and times.

A random fifth of the rows are test rows. All fit 100 trees from a pandas frame, on all cores; the peers are pipelines with an
OrdinalEncoder for texts. *Log-loss*: of probabilities to which 1/10,000 is added, for all models, because deep trees predict 0
for classes that a leaf does not have. *Fit*: wall time of the call to ``fit``, after one with 300 rows; lamina's includes the
schema, out-of-bag predictions (so do the peers *out of bag*), calibration and novelty; *without trust* is without the latter
two. *100,000 rows*: ``predict_proba``, or ``predict`` of values, for rows of the whole set with noise of a hundredth of the
standard deviation in numbers, so that no two are equal; the median of three calls after one. *One row*: p50 of 200 calls with a
frame of one row. lamina grows trees by scikit-learn-intelex where that is installed and no value is missing; *on scikit-learn*
hides it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

from benchmarks import measure

TITLE = f"# Forest\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
SETS = ("letter", "magic", "adult", "otto", "casp")
PEERS = (
    "lamina",
    "lamina, without trust",
    "lamina, on scikit-learn",
    "scikit-learn",
    "scikit-learn, out of bag",
    "scikit-learn-intelex",
    "scikit-learn-intelex, out of bag",
)
TREES, MANY, CALLS, SINGLE = 100, 100_000, 3, 200


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS, help=f"which ({' '.join(SETS)})")
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS, help="all of them")
    parser.add_argument(
        "--repeats", type=int, default=3, help="measurements of each, each with a split and a seed of its own (3)"
    )
    parser.add_argument("--out", default="forest", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        for seed, peer in measure.alternate(arguments.peers, arguments.repeats):
            report.add(set=name, peer=peer, seed=seed, **measure.run("benchmarks.forest:grow", name=name, peer=peer, seed=seed))


def grow(name: str, peer: str, seed: int) -> dict[str, Any]:
    """One measurement: scores and times of one forest."""
    import numpy as np

    from benchmarks import datasets

    frame, source = datasets.load(name), datasets.SETS[name]
    truth = frame.pop(source.target)
    order = np.random.default_rng(seed).permutation(len(frame))
    test, train = order[: len(order) // 5], order[len(order) // 5 :]
    classes = source.task == "classification"
    model = _forest(peer, classes, frame, seed)
    model.fit(frame.iloc[train[:300]], truth.iloc[train[:300]])  # imports what is imported late
    started = time.perf_counter()
    model.fit(frame.iloc[train], truth.iloc[train])
    found = {"fit_seconds": time.perf_counter() - started}
    ask = model.predict_proba if classes else model.predict
    found |= _scores(ask(frame.iloc[test]), truth.iloc[test].to_numpy(), model.classes_ if classes else None)
    if peer.endswith(("out of bag", "without trust")):  # their predictions are those of the others
        return found
    many, seconds = _moved(frame, seed), []
    for _ in range(CALLS + 1):
        started = time.perf_counter()
        ask(many)
        seconds.append(time.perf_counter() - started)
    found["many_seconds"] = statistics.median(seconds[1:])
    single, seconds = [frame.iloc[[row]] for row in test[: SINGLE + 20]], []
    for row in single:
        started = time.perf_counter()
        ask(row)
        seconds.append(time.perf_counter() - started)
    return found | {"row_ms": statistics.median(seconds[20:]) * 1e3}


def _forest(peer: str, classes: bool, frame: Any, seed: int) -> Any:
    if peer.startswith("lamina"):
        import lamina

        if peer == "lamina, on scikit-learn":
            sys.modules["sklearnex"] = None  # importing it fails from now on
        maker = lamina.Classifier if classes else lamina.Regressor
        return maker(lamina.Forest(n_estimators=TREES), random_state=seed, trust=peer != "lamina, without trust")
    from sklearn.compose import ColumnTransformer, make_column_selector
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    if peer.startswith("scikit-learn-intelex"):
        from sklearnex import ensemble
    else:
        from sklearn import ensemble
    maker = ensemble.RandomForestClassifier if classes else ensemble.RandomForestRegressor
    forest = maker(TREES, n_jobs=-1, random_state=seed, oob_score=peer.endswith("out of bag"))
    texts = make_column_selector(dtype_exclude="number")
    if not texts(frame):
        return forest
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=float("nan"))
    return make_pipeline(ColumnTransformer([("codes", codes, texts)], remainder="passthrough"), forest)


def _scores(predictions: Any, truth: Any, classes: Any) -> dict[str, float]:
    import numpy as np
    from sklearn.metrics import accuracy_score, log_loss, r2_score

    if classes is None:
        return {"score": float(r2_score(truth, predictions))}
    predictions = np.asarray(predictions, dtype=np.float64)
    smooth = (predictions + 1e-4) / (1 + 1e-4 * predictions.shape[1])
    named = np.asarray(classes)[predictions.argmax(1)]
    return {"score": float(accuracy_score(truth, named)), "log_loss": float(log_loss(truth, smooth, labels=classes))}


def _moved(frame: Any, seed: int) -> Any:
    import numpy as np

    generator = np.random.default_rng(seed)
    many = frame.iloc[generator.integers(0, len(frame), MANY)].reset_index(drop=True)
    for column in many.select_dtypes("number"):
        values = many[column].to_numpy(dtype=np.float64)
        many[column] = values + 0.01 * np.nanstd(values) * generator.standard_normal(MANY)
    return many


def render(results: list[dict[str, Any]]) -> str:
    return "\n\n".join(
        _page(name, [one for one in results if one["set"] == name]) for name in dict.fromkeys(r["set"] for r in results)
    )


def _page(name: str, results: list[dict[str, Any]]) -> str:
    rows = []
    for peer in dict.fromkeys(one["peer"] for one in results):
        own = [one for one in results if one["peer"] == peer]
        good = [one for one in own if "error" not in one]
        if not good:
            rows.append([peer, f"failed: {own[0]['error']}", "", "", "", "", ""])
            continue
        loss = [one["log_loss"] for one in good if "log_loss" in one]
        figures = [[one[key] for one in good if key in one] for key in ("fit_seconds", "many_seconds", "row_ms")]
        times = [measure.spread(values) if values else "" for values in figures]
        peak = measure.number(measure.median(one["peak_mib"] for one in good))
        score = measure.mean_sd([one["score"] for one in good])
        rows.append([peer, score, measure.mean_sd(loss) if loss else "", *times, peak])
    score = "accuracy" if any("log_loss" in one for one in results) else "R²"
    return measure.table([name, score, "log-loss", "fit, s", "100,000 rows, s", "one row p50, ms", "peak, MiB"], rows)
