"""The board: scores and costs of all candidates, and the verdict."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lamina.comparison.foreign import is_foreign
from lamina.comparison.picture import draw
from lamina.comparison.results import Candidate, Line, Verdict
from lamina.comparison.statistics import interval
from lamina.comparison.verdict import decide
from lamina.comparison.words import outside
from lamina.errors import RunError
from lamina.families import SIMPLEST_FIRST
from lamina.fitting.folds import Folds
from lamina.leaks import Leak
from lamina.tasks.metrics import Metric
from lamina.tasks.task import Task
from lamina.train.run import BOARD, Run


@dataclass(frozen=True)
class Board:
    """The result of a comparison.

    Attributes:
        verdict: The best candidate, the probability of that, and the recommendation; ``verdict.words`` is the paragraph.
        lines: The candidates, the best first, then those without a score.
        task: What is predicted.
        metric: The metric of the scores.
        rows: Rows with a known target.
        folds: Number of folds that count.
        how: How the folds were drawn.
        leaks: Leaks that may inflate all scores.
        notes: Notes on the data and the options.
        complete: Whether all candidates were fitted on all folds, except those that failed.
        model: The recommended candidate, fitted to all rows: an estimator; None where there is none, or it is ``outside``.

    Example:
        >>> import lamina
        >>> table = {"x": [i / 100 for i in range(200)], "y": ["low"] * 100 + ["high"] * 100}
        >>> board = lamina.compare(table, "y", families=["constant", "linear"], folds=3, monitor=None)
        >>> board.verdict.take, [line.name for line in board.lines]
        ('linear', ['linear', 'baseline'])
    """

    verdict: Verdict
    lines: tuple[Line, ...]
    task: Task
    metric: Metric
    rows: int
    folds: int
    how: str
    leaks: tuple[Leak, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    model: Any = field(default=None, compare=False)

    @property
    def outside(self) -> bool:
        """Whether the recommended candidate is no family of lamina, but a scikit-learn estimator."""
        return any(line.name == self.verdict.take and is_foreign(line.family) for line in self.lines)

    def __repr__(self) -> str:
        with _screen():
            return f"{self.verdict}\n{self._brief()}"

    def _repr_html_(self) -> str:
        with _screen():
            return f"<p>{html.escape(self.verdict.words)}</p>{self._brief()._repr_html_()}"

    def _brief(self) -> pl.DataFrame:
        return self.to_frame().select("candidate", self.metric.name, "low", "high", "fit_seconds", "predict_micros", "bytes")

    def to_frame(self) -> pl.DataFrame:
        """A row for each candidate: mean score and interval, the other metrics, costs, folds, the reason of a failure."""
        rows = [
            {
                "candidate": line.name,
                self.metric.name: line.score,
                "low": line.low,
                "high": line.high,
                **line.others,
                "fit_seconds": line.candidate.fit_seconds,
                "predict_micros": line.candidate.predict_micros,
                "bytes": line.candidate.bytes,
                "folds": line.folds,
                "taken": line.name == self.verdict.take,
                "failed": line.candidate.failed,
            }
            for line in self.lines
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def to_json(self) -> dict[str, Any]:
        """The board without its model, as JSON; nan and infinite numbers are None."""
        content = {
            "verdict": self.verdict.to_json(),
            "candidates": [dataclasses.asdict(line) for line in self.lines],
            "metric": self.metric.name,
            "task": self.task.to_json(),
            "rows": self.rows,
            "folds": self.folds,
            "how": self.how,
            "leaks": [leak.to_json() for leak in self.leaks],
            "notes": list(self.notes),
            "complete": self.complete,
        }
        return json.loads(json.dumps(content), parse_constant=lambda constant: None)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Board:
        """The board that :meth:`to_json` wrote, without its model."""
        lines, task = [], Task.from_json(content["task"])
        for line in content["candidates"]:
            scores = tuple(math.nan if score is None else score for score in line["candidate"]["scores"])
            candidate = Candidate(**{**_with_nan(line["candidate"]), "scores": scores})
            lines.append(Line(**{**_with_nan(line), "candidate": candidate, "others": _with_nan(line["others"])}))
        return cls(
            verdict=Verdict.from_json(content["verdict"]),
            lines=tuple(lines),
            task=task,
            metric=task.metric(content["metric"]),
            rows=content["rows"],
            folds=content["folds"],
            how=content["how"],
            leaks=tuple(Leak(**{**leak, "columns": tuple(leak["columns"])}) for leak in content["leaks"]),
            notes=tuple(content["notes"]),
            complete=content["complete"],
        )

    def picture(self, path: str | Path) -> Path:
        """Plot scores against fit times with the Pareto front, as an SVG file."""
        return draw(self.lines, metric=self.metric, how=self.how, taken=self.verdict.take, path=Path(path))


def _screen() -> pl.Config:
    return pl.Config(
        tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=-1, tbl_cols=-1, tbl_width_chars=100
    )


def save_board(board: Board, run: Run) -> None:
    """Write a board into the folder of its run."""
    with run.replacing(BOARD) as path:
        path.write_text(json.dumps(board.to_json(), allow_nan=False))


def load_board(run: Run) -> Board:
    """The board in the folder of a run."""
    path = run.folder / BOARD
    try:
        return Board.from_json(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); delete it; lamina resume {run.folder} writes it again") from error


def make_board(
    candidates: Mapping[str, Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]],
    *,
    task: Task,
    metric: Metric,
    folds: Folds,
    rows: int,
    rope: float | None = None,
    **rest: Any,
) -> Board:
    """The board of the results on each fold.

    Args:
        candidates: Families and estimators as JSON, by the name of the candidate.
        results: Events with ``name``, ``fold`` and either ``scores`` and costs or ``failed``.
        rope: The smallest difference that matters; None for the metric's own.
        rest: Other fields of :class:`Board`.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {name: [] for name in candidates}
    for result in results:
        by_name[result["name"]].append(result)
    undefined = _undefined(results, metric)
    valid = [fold for fold in range(len(folds)) if fold not in undefined]
    lines = [_line(name, candidates[name], events, metric, valid, folds.test_share) for name, events in by_name.items()]
    sign = -1 if metric.greater else 1
    lines.sort(key=lambda line: (not line.folds, sign * line.score if line.folds else 0.0))
    scored = [line.candidate for line in lines]
    deciding = {"metric": metric, "rows": rows, "test_share": folds.test_share, "rope": rope}
    verdict = decide(scored, **deciding)
    if verdict.take and is_foreign(candidates[verdict.take]):
        own = [candidate for candidate in scored if not is_foreign(candidates[candidate.name])]
        best = next((one for one in own if one.name == decide(own, **deciding).take), None) if own else None
        verdict = dataclasses.replace(verdict, words=f"{verdict.words} {outside(verdict, best, metric)}")
    notes = [*rest.pop("notes", ()), *_of_fits(by_name), *_identical(by_name), *_constant(by_name, candidates)]
    if undefined:
        notes.append(
            f"in {len(undefined)} of {len(folds)} folds {metric.silent}, so {metric.title} is not defined: not counted"
        )
    return Board(verdict, tuple(lines), task, metric, rows, len(valid), folds.how, notes=tuple(notes), **rest)


def _undefined(results: Sequence[Mapping[str, Any]], metric: Metric) -> set[int]:
    """Folds on whose rows the metric is not defined for any candidate."""
    done = [result for result in results if not result.get("failed")]
    return {result["fold"] for result in done} - {result["fold"] for result in done if metric.name in result["scores"]}


def _line(
    name: str,
    family: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    metric: Metric,
    folds: Sequence[int],
    test_share: float,
) -> Line:
    by_fold = sorted(results, key=lambda result: result["fold"])  # means are the same, in whatever order the fits ended
    done = {result["fold"]: result for result in by_fold if not result.get("failed")}
    failed = next((str(result["failed"]) for result in results if result.get("failed")), "")
    if without := [fold for fold in folds if fold in done and metric.name not in done[fold]["scores"]]:
        failed = failed or f"in fold {without[0] + 1}, its predictions have no {metric.title}: it has no predict_proba"
        done = {fold: result for fold, result in done.items() if fold not in without}
    scores = tuple(float(done[fold]["scores"][metric.name]) if fold in done else np.nan for fold in folds)

    def median(cost: str) -> float:
        return float(np.median([result.get(cost, 0) for result in done.values()])) if done else math.nan

    candidate = Candidate(
        name,
        scores,
        median("fit_seconds"),
        median("predict_micros"),
        int(median("bytes")) if done else 0,
        failed,
        rank=(*SIMPLEST_FIRST, family["name"]).index(family["name"]),
        parameters=int(median("parameters")) if done else 0,
        foreign=is_foreign(family),
    )
    finite = np.array(scores)[candidate.finished]
    low = high = math.nan
    if len(finite) > 1:
        low, high = np.clip(interval(finite, test_share=test_share), metric.lowest, metric.highest).tolist()
    others = {
        other: float(np.mean([result["scores"][other] for result in done.values()]))
        for other in next(iter(done.values()), {"scores": ()})["scores"]
        if other != metric.name and all(other in result["scores"] for result in done.values())
    }
    return Line(candidate, family, float(finite.mean()) if len(finite) else math.nan, low, high, others)


def _of_fits(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """The notes of the fits of each candidate, once."""
    notes = {f"{name}: {note}": None for name, events in results.items() for event in events for note in event.get("notes", ())}
    return list(notes)


def _identical(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Notes on candidates with the same predictions in all folds that both finished."""
    hashes = {name: {event["fold"]: event["same"] for event in events if "same" in event} for name, events in results.items()}
    notes = []
    for first, second in itertools.combinations(hashes, 2):
        common = hashes[first].keys() & hashes[second].keys()
        if common and all(hashes[first][fold] == hashes[second][fold] for fold in common):
            notes.append(f"{first} and {second} make the same predictions: they count as one")
    return notes


def _constant(results: Mapping[str, Sequence[Mapping[str, Any]]], candidates: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A note on candidates other than the baseline that predict the same for all rows of each fold."""
    constant = {name: [event["alike"] for event in events if "alike" in event] for name, events in results.items()}
    names = [name for name, flags in constant.items() if flags and all(flags) and candidates[name]["name"] != "constant"]
    return [f"{' and '.join(names)} predict{'s' * (len(names) == 1)} the same for every row"] if names else []


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: math.nan if value is None else value for name, value in values.items()}
