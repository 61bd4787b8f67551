"""The verdict: how often equal learners are called equal, and how often a true difference is detected.

Every comparison draws rows from an artificial population (ten columns, two classes), cross-validates two scikit-learn learners
on the same folds, so that training sets overlap as usual, and computes the verdict by accuracy, with equal costs
and the default region of practical equivalence, 0.01. *Equal* are two forests of twenty extremely random trees that differ only
in their seeds; every call but a winner is right. *Forests, 0.02 apart* are two of them, and *forest and logistic* two
learners of different kinds, whose predictions differ more often; a random share of the predictions of one of them is inverted,
so that its true accuracy is lower by 0.02, twice the region. Detected means that the right one wins. Fewer repeats are the
first of the same folds.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks import measure

TITLE = f"# The verdict\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
PAIRS = {
    "equal": ("forest", "other forest"),
    "forests, 0.02 apart": ("forest", "worse forest"),
    "forest and logistic, 0.02 apart": ("forest beside", "logistic beside"),
}
DIFFERENCE = 0.02
ROPE = 0.01
PIECE = 20


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="+", type=int, default=[1000, 5000, 20_000], help="rows of a table (1000 5000 20000)")
    parser.add_argument("--comparisons", type=int, default=100, help="comparisons of each kind (100)")
    parser.add_argument("--repeats", type=int, default=3, help="most repeats of five folds (3)")
    parser.add_argument("--out", default="verdicts", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for rows in arguments.rows:
        for start in range(0, arguments.comparisons, PIECE):
            given = {"rows": rows, "start": start, "count": min(PIECE, arguments.comparisons - start)}
            result = measure.run("benchmarks.verdicts:simulate", threads=1, timeout=3600, repeats=arguments.repeats, **given)
            report.add(**given, **result)


def draw(rows: int, seed: list[int]) -> tuple[Any, Any]:
    """Rows of the population: a mostly linear rule, one product, one nonlinearity, and noise.

    Example:
        >>> x, y = draw(1000, [0])
        >>> x.shape, bool(0.4 < y.mean() < 0.6)
        ((1000, 10), True)
    """
    import numpy as np

    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 10))
    logit = 1.5 * x[:, 0] + x[:, 1] - x[:, 2] + 0.5 * x[:, 3] + 0.8 * x[:, 4] * x[:, 5] + 0.8 * abs(x[:, 6]) - 0.64
    return x, (random.random(rows) < 1 / (1 + np.exp(-1.5 * logit))).astype(int)


def learners(seed: int) -> dict[str, Any]:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression

    kind = {"max_depth": 8, "max_features": None}
    forests = [ExtraTreesClassifier(20, random_state=2 * seed + place, **kind) for place in (0, 1)]
    return {"forest": forests[0], "other forest": forests[1], "logistic": LogisticRegression()}


def say(fitted: dict[str, Any], x: Any, shares: dict[str, float], random: Any) -> dict[str, Any]:
    """Predictions of each learner, and of each of ``shares`` with that share of predictions inverted."""
    predictions = {name: learner.predict(x) for name, learner in fitted.items()}
    base = {"worse forest": "other forest", "forest beside": "forest", "logistic beside": "logistic"}
    return predictions | {name: predictions[base[name]] ^ (random.random(len(x)) < share) for name, share in shares.items()}


def shares_to_turn(rows: int) -> dict[str, float]:
    """The shares to invert for true differences of :data:`DIFFERENCE`, from 100,000 new rows.

    Inverting a share q changes an accuracy a to a - q (2a - 1). Learners have as many rows as in a fold.
    """
    import numpy as np

    x, y = draw(100_000, [1, rows])
    right: dict[str, list[float]] = {"forest": [], "other forest": [], "logistic": []}
    for pilot in range(10):
        fold = draw(rows * 4 // 5, [2, rows, pilot])
        for name, learner in learners(10**6 + pilot).items():
            right[name].append(float((learner.fit(*fold).predict(x) == y).mean()))
    forest, logistic = float(np.mean(right["forest"] + right["other forest"])), float(np.mean(right["logistic"]))
    lower = min(forest - DIFFERENCE, logistic)
    goals = {
        "worse forest": (forest, forest - DIFFERENCE),
        "forest beside": (forest, lower + DIFFERENCE),
        "logistic beside": (logistic, lower),
    }
    return {name: (now - goal) / (2 * now - 1) for name, (now, goal) in goals.items()}


def simulate(rows: int, start: int, count: int, repeats: int) -> dict[str, Any]:
    """The calls of the comparisons, each with 1, 2, ... repeats of five folds."""
    import numpy as np
    from sklearn.model_selection import RepeatedStratifiedKFold

    shares = shares_to_turn(rows)
    fresh, truth = draw(20_000, [4, rows])
    calls, disagree, difference = [], [], []
    for number in range(start, start + count):
        x, y = draw(rows, [3, rows, number])
        random = np.random.default_rng([5, rows, number])
        accuracy: dict[str, list[float]] = {}
        folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=number)
        for fold, (train, test) in enumerate(folds.split(x, y)):
            fitted = {name: learner.fit(x[train], y[train]) for name, learner in learners(1000 * number + fold).items()}
            for name, predicted in say(fitted, x[test], shares, random).items():
                accuracy.setdefault(name, []).append(float((predicted == y[test]).mean()))
            if fold == 0:
                new = say(fitted, fresh, shares, random)
                disagree.append([(new[a] != new[b]).mean() for a, b in PAIRS.values()])
                difference.append([(new[a] == truth).mean() - (new[b] == truth).mean() for a, b in PAIRS.values()])
        for kind, pair in PAIRS.items():
            for repeat in range(1, repeats + 1):
                both = {name: accuracy[name][: 5 * repeat] for name in pair}
                calls.append({"kind": kind, "repeats": repeat, **call(both, rows)})
    return {
        "disagree": dict(zip(PAIRS, np.mean(disagree, axis=0).tolist(), strict=True)),
        "difference": dict(zip(PAIRS, np.mean(difference, axis=0).tolist(), strict=True)),
        "calls": calls,
    }


def call(accuracy: dict[str, list[float]], rows: int) -> dict[str, Any]:
    """The verdict's call on two learners, the first of which is the better one where they differ.

    Example:
        >>> call({"a": [0.80, 0.81, 0.82], "b": [0.77, 0.78, 0.80]}, 1000)
        {'call': 'wins', 'right': True, 'ahead': True}
    """
    from lamina.comparison.results import Candidate
    from lamina.comparison.verdict import decide
    from lamina.tasks import Classification

    candidates = [Candidate(name, tuple(scores), 1.0, 1.0, 1) for name, scores in accuracy.items()]
    verdict = decide(
        candidates,
        metric=Classification(("y",), classes=(0, 1), frequencies=(0.5, 0.5)).metric("accuracy"),
        rows=rows,
        test_share=0.2,
        rope=ROPE,
    )
    right = verdict.best == candidates[0].name
    return {"call": verdict.call, "right": right, "ahead": verdict.between(verdict.best, verdict.rival).low > 0}


def render(results: list[dict[str, Any]]) -> str:
    lines = []
    for kind in PAIRS:
        for rows in dict.fromkeys(result["rows"] for result in results):
            own = [result for result in results if result["rows"] == rows and "error" not in result]
            calls = [one for result in own for one in result["calls"] if one["kind"] == kind]
            mean = {
                key: sum(result[key][kind] * result["count"] for result in own) / max(sum(result["count"] for result in own), 1)
                for key in ("disagree", "difference")
            }
            for repeat in sorted({one["repeats"] for one in calls}):
                some = [one for one in calls if one["repeats"] == repeat]
                wins = [one["right"] for one in some if one["call"] == "wins"]
                counts = [sum(one["call"] == word for one in some) for word in ("tie", "unclear")]
                ahead = sum(one["ahead"] and (one["right"] or kind == "equal") for one in some)
                named = [len(wins), ""] if kind == "equal" else [sum(wins), len(wins) - sum(wins)]
                figures = [f"{mean['disagree']:.3f}", f"{mean['difference']:+.4f}", len(some)]
                lines.append([kind, f"{rows:,}", f"5 x {repeat}", *figures, *counts, *named, ahead])
    header = [
        "pair",
        "rows",
        "folds",
        "different predictions",
        "true difference",
        "comparisons",
        "practically equal",
        "unclear",
    ]
    return measure.table([*header, "winner named", "wrong winner", "(interval of the difference above 0)"], lines)
