"""Trust: coverage, calibration and novelty on test rows.

A random fifth of the rows are test rows, predicted with coverage 0.9; small sets are split repeatedly, until 5,000 rows
were predicted, and figures are means over these splits. *Coverage*: the share of test rows whose true value is in the set
or interval, and the standard error of the mean of several splits. *Size*: labels in a set, or the width of an interval in
standard deviations of the target. *Error*: expected calibration error in 15 bins, before and after calibration. *AUROC*: area
under the ROC curve of the novelty p-value, test rows against the same rows with each column shuffled by itself; for images
against letters drawn by Pillow, and noise. *Alarms*: the share of test rows with ``is_novel``; the stated rate is 0.05.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np

from benchmarks import measure

TITLE = f"# Trust\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
TABLES = ("letter", "magic", "adult", "otto", "digits", "casp", "california", "diabetes")
FAMILIES = ("feedforward", "shortcut", "forest", "boosting", "linear", "neighbours", "constant")
COVERAGE = 0.9
ENOUGH = 5_000
MOST_SPLITS = 50


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=[*TABLES, "mnist"], help=f"which ({' '.join(TABLES)} mnist)")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), help="of tables; mnist is for convolutional alone")
    parser.add_argument("--seeds", type=int, help="number of splits (until 5,000 rows were predicted)")
    parser.add_argument("--rows", type=int, help="maximum number of training rows")
    parser.add_argument("--asked", type=int, default=10_000, help="maximum number of test rows (10000)")
    parser.add_argument("--threads", type=int, help="cores to use")
    parser.add_argument("--out", default="trust", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        for family in ["convolutional"] if name == "mnist" else arguments.families:
            seed, asked_about = 0, 0
            while seed < (arguments.seeds or MOST_SPLITS) and (arguments.seeds or asked_about < ENOUGH):
                asked = {"name": name, "family": family, "seed": seed, "rows": arguments.rows, "asked": arguments.asked}
                found = measure.run("benchmarks.trust:trust", threads=arguments.threads, timeout=7200, **asked)
                report.add(set=name, family=family, seed=seed, **found)
                seed, asked_about = seed + 1, asked_about + found.get("asked", ENOUGH)


def trust(name: str, family: str, seed: int, rows: int | None, asked: int) -> dict[str, Any]:
    """One set, one family, one split."""
    return _images(family, seed, rows, asked) if name == "mnist" else _table(name, family, seed, rows, asked)


def _table(name: str, family: str, seed: int, rows: int | None, asked: int) -> dict[str, Any]:
    import lamina

    table, target, task = _load(name)
    order = np.random.default_rng(seed).permutation(len(table))
    test, train = order[: min(len(order) // 5, asked)], order[len(order) // 5 :][:rows]
    model = lamina.fit(table[train], target, task=task, family=family, seed=seed, monitor=None)
    new = table[test]
    strange = new.with_columns(
        new[column].sample(fraction=1, shuffle=True, seed=seed + place)
        for place, column in enumerate(new.columns)
        if column != target
    )
    predictions, odd = (model.predict(some, trust=True, coverage=COVERAGE, reasons=False) for some in (new, strange))
    novelty = {"auroc_shuffled": _auroc(predictions, odd), "alarms": float(predictions["is_novel"].mean())}
    return _judged(model, new, predictions, new[target]) | novelty


def _images(family: str, seed: int, rows: int | None, asked: int) -> dict[str, Any]:
    import polars as pl

    import lamina
    from benchmarks.datasets import load_rows

    learnt, new = load_rows("mnist")
    learnt, new = learnt.some(rows, seed), new.some(asked, seed)
    images = np.asarray(new.values)
    model = lamina.Classifier(family, random_state=seed).fit(np.asarray(learnt.values), learnt.labels)
    predictions = model.predict(images, trust=True, coverage=COVERAGE)
    found = _judged(model, model._table(images), predictions, pl.Series(new.labels))
    noise = np.random.default_rng(seed).integers(0, 256, (1000, *images.shape[1:]), dtype=np.uint8)
    for word, some in (("letters", _letters(images.shape[1])), ("noise", noise)):
        found[f"auroc_{word}"] = _auroc(predictions, model.predict(some, trust=True))
    return found | {"alarms": float(predictions["is_novel"].mean())}


def _judged(model: Any, asked: Any, predictions: Any, truth: Any) -> dict[str, Any]:
    from lamina.trust.calibration import expected_calibration_error

    trust, outputs = model.model_.trust, model.model_.outputs(asked)
    result = {"asked": len(truth)}
    if trust.sets is None:
        values = truth.to_numpy().astype(np.float64)
        low, high = predictions["low"].to_numpy(), predictions["high"].to_numpy()
        return result | {
            "validation": len(trust.intervals.scores),
            "held": float(((low <= values) & (values <= high)).mean()),
            "size": float((high - low).mean() / values.std()),
        }
    codes = model.model_.task.truth(truth.to_frame(model.model_.task.targets[0]))
    ties = None if trust.view is None else trust.ties(model.model_.schema.check(asked, notes=False)[0])
    inside = trust.sets.sets(outputs, COVERAGE, ties=ties)
    return result | {
        "validation": len(trust.sets.scores),
        "held": float(inside[np.arange(len(codes)), codes].mean()),
        "size": float(inside.sum(axis=1).mean()),
        "error_before": expected_calibration_error(outputs, codes),
        "error_after": expected_calibration_error(trust.calibrate(outputs), codes),
        "method": trust.calibration.method,
    }


def _auroc(usual: Any, strange: Any) -> float | None:
    from sklearn.metrics import roc_auc_score

    if "novelty_p" not in usual.columns:
        return None
    scores = -np.concatenate([usual["novelty_p"].to_numpy(), strange["novelty_p"].to_numpy()])
    return float(roc_auc_score(np.repeat([0, 1], [len(usual), len(strange)]), scores))


def _load(name: str) -> tuple[Any, str, str]:
    import polars as pl
    from sklearn import datasets as sklearn_sets

    from benchmarks import datasets

    if name in ("digits", "diabetes"):
        frame = getattr(sklearn_sets, f"load_{name}")(as_frame=True).frame
        return pl.from_pandas(frame), "target", "classification" if name == "digits" else "regression"
    source = datasets.SETS[name]
    return pl.from_pandas(datasets.load(name)), source.target, source.task


def _letters(size: int) -> np.ndarray:
    """Letters in white on black, as digits of MNIST are, in a few sizes and places."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = []
    for letter in "ABCDEFGHJKMNPQRTUVWXYabdefhkmnrt":
        for height in (18, 20, 22):
            for shift in (-2, 0, 2):
                image = Image.new("L", (size, size))
                place, font = (size / 2 + shift, size / 2), ImageFont.load_default(height)
                ImageDraw.Draw(image).text(place, letter, fill=255, font=font, anchor="mm", stroke_width=1)
                drawn.append(np.asarray(image))
    return np.stack(drawn)


def render(results: list[dict[str, Any]]) -> str:
    names = ("validation", "held", "size", "error_before", "error_after")
    names += ("auroc_shuffled", "auroc_letters", "auroc_noise", "alarms")
    rows = []
    for name, family in dict.fromkeys((one["set"], one["family"]) for one in results):
        own = [one for one in results if (one["set"], one["family"]) == (name, family)]
        good = [one for one in own if "error" not in one]
        methods = ", ".join(sorted({one["method"] for one in good if "method" in one}))
        failed = next((one["error"] for one in own if "error" in one), "")
        rows.append([name, family, len(good), *(_figure(good, figure) for figure in names), methods, failed])
    titles = ("coverage" if name == "held" else name.replace("_", " ") for name in names)
    return measure.table(["set", "family", "splits", *titles, "by", "failed"], rows)


def _figure(results: list[dict[str, Any]], name: str) -> str:
    values = [one[name] for one in results if one.get(name) is not None]
    if not values:
        return ""
    mean = statistics.fmean(values)
    if name == "held" and len(values) > 1:
        return f"{mean:.3f} ± {statistics.stdev(values) / len(values) ** 0.5:.3f}"
    return f"{mean:.3f}" if isinstance(values[0], float) else f"{mean:.0f}"
