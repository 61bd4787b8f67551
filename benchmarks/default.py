"""What `lamina.fit` takes when nothing is said: the model, its test scores, and the seconds, by quality and time limit.

Rows are split as in `accuracy`: 80/20 at random, or as published. *Limit* is `time_limit=`; *seconds* are those of the call,
from the frame to the fitted model, and *of the limit* their share of it. *Chosen* is the family, of an ensemble the weights of
its members. Nothing is tuned for a set; test rows are used for nothing else.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure
from benchmarks.datasets import MEDIA, SETS

TITLE = f"# The default\n\n{(__doc__ or '').strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=[*SETS, *MEDIA], help="all tables")
    parser.add_argument("--qualities", nargs="+", default=["good"], choices=["fast", "good", "best"])
    parser.add_argument("--limits", nargs="+", type=float, default=[0.0], help="seconds; 0 is no limit (0)")
    parser.add_argument("--seeds", type=int, default=1, help="fits of each (1)")
    parser.add_argument("--time-limit", type=float, default=3600, help="seconds after which a fit is killed (3600)")
    parser.add_argument("--out", default="default", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        ways = [(quality, limit) for quality in arguments.qualities for limit in arguments.limits]
        for seed, (quality, limit) in measure.alternate(ways, arguments.seeds):
            way = {"name": name, "quality": quality, "limit": limit, "seed": seed}
            report.add(**way, **measure.run("benchmarks.default:fit", timeout=arguments.time_limit, **way))


def fit(name: str, quality: str, limit: float, seed: int) -> dict[str, Any]:
    """One fit: its scores on the test rows, its seconds, and what was chosen."""
    import lamina

    train, test, target, kinds = _rows(name)
    fit = lamina.fit  # loads torch
    started = time.perf_counter()
    model = fit(train, target, kinds=kinds, quality=quality, time_limit=limit or None, seed=seed, monitor=None)
    seconds = time.perf_counter() - started
    scores = model.evaluate(test)["scores"]
    weights = {one["name"]: one["weight"] for one in model.model_.card["candidates"] if one["weight"]}
    shown = {name: scores[name] for name in ("accuracy", "log_loss", "rmse", "r2") if name in scores}
    return {"seconds": seconds, "chosen": weights, "family": model.model_.family, **shown}


def _rows(name: str) -> tuple[Any, Any, str, dict[str, str] | None]:
    """Training rows, test rows, the target, and the kinds that are given."""
    from sklearn.model_selection import train_test_split

    from benchmarks import datasets

    if name in MEDIA:
        kind = MEDIA[name].kind
        train, test = ({kind: part.values, "label": part.labels} for part in datasets.load_rows(name))
        return train, test, "label", {kind: kind}
    frame, source = datasets.load(name), SETS[name]
    classes = frame[source.target] if source.task == "classification" else None
    train, test = train_test_split(frame, random_state=0, test_size=0.2, stratify=classes)
    return train, test, source.target, None


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for key in dict.fromkeys((r["name"], r["quality"], r["limit"]) for r in results):
        own = [r for r in results if (r["name"], r["quality"], r["limit"]) == key]
        good = [r for r in own if "error" not in r]
        name, quality, limit = key
        first = [name, quality, f"{limit:g} s" if limit else ""]
        if not good:
            rows.append([*first, "failed", own[0]["error"], "", ""])
            continue
        scores = ", ".join(
            f"{score} {measure.mean_sd([r[score] for r in good])}"
            for score in ("accuracy", "log_loss", "rmse", "r2")
            if score in good[0]
        )
        seconds = measure.median(r["seconds"] for r in good)
        chosen = ", ".join(f"{family} {share:.0%}" for family, share in good[0]["chosen"].items())
        rows.append([*first, chosen, scores, f"{seconds:.1f}", f"{seconds / limit:.0%}" if limit else ""])
    return measure.table(["set", "quality", "limit", "chosen (first seed)", "test rows", "seconds", "of the limit"], rows)
