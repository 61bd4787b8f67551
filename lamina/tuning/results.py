"""The result of a tuning."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from lamina.errors import RunError
from lamina.train.run import TUNING, Run
from lamina.tuning.study import TrialResult
from lamina.tuning.verdict import TuningVerdict


@dataclass(frozen=True)
class Tuning:
    """The result of a tuning.

    Attributes:
        verdict: Whether tuning was worth it; ``verdict.words`` is the paragraph.
        best_params: The options of the best trial by name, ``{"family.max_leaf_nodes": 63}``; of the defaults where no trial
            was better, as far as they are in the space.
        score: The score to expect on new rows of the settings that the model has: measured on test rows that no trial has seen.
        low, high: Its 95 % credible interval.
        standard_error: The standard deviation of the score.
        scores: The scores on the test rows: "tuned" and "defaults"; nan where there is none.
        metric: Name of the metric.
        metric_title: How it is called in a sentence.
        greater: Whether a greater score is better.
        trials: The trials in order; the first has the defaults.
        space: The options that were searched, with their ranges.
        how: How the rows of the trials and the test rows were drawn.
        test_rows: Number of the test rows.
        seconds: Time of all calls on the run.
        stopped: What ended it: "trials", "time_limit" or "interrupted" (Ctrl-C).
        notes: Notes on the data and the options.
        model: The estimator with the settings that ``verdict.take`` names, fitted to all rows.

    Example:
        >>> import lamina
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [(i % 100) ** 2 / 100 for i in range(300)]}
        >>> result = lamina.tune(rows, "y", family="neighbours", trials=2, folds=2, monitor=None)
        >>> len(result.trials), result.to_frame().columns
        (2, ['trial', 'family.n_neighbors', 'r2', 'state', 'seconds', 'failed'])
    """

    verdict: TuningVerdict
    best_params: Mapping[str, Any]
    score: float
    low: float
    high: float
    standard_error: float
    scores: Mapping[str, float]
    metric: str
    metric_title: str
    greater: bool
    trials: tuple[TrialResult, ...]
    space: Mapping[str, Any]
    how: str
    test_rows: int
    seconds: float
    stopped: str = "trials"
    notes: tuple[str, ...] = ()
    model: Any = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"{self.verdict}\n{self.to_frame()}"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(self.verdict.words)}</p>{self.to_frame()._repr_html_()}"

    def to_frame(self) -> pl.DataFrame:
        """A row for each trial: number, the options, the mean score of its folds, state, seconds, the reason of a failure.

        A pruned trial has the mean of the folds that it finished, or none.
        The scores of the trials choose the best one, so the best is better than on new rows; :attr:`score` is not.
        """
        names = dict.fromkeys(name for one in self.trials for name in one.params)
        columns: dict[str, list[Any]] = {"trial": [one.number for one in self.trials]}
        for name in names:
            values = [one.params.get(name) for one in self.trials]
            kinds = {type(value) for value in values if value is not None}
            columns[name] = values if kinds <= {int, float} or len(kinds) == 1 and tuple not in kinds else _as_text(values)
        columns |= {
            self.metric: [None if math.isnan(one.score) else one.score for one in self.trials],
            "state": [one.state for one in self.trials],
            "seconds": [one.seconds for one in self.trials],
            "failed": [one.failed or None for one in self.trials],
        }
        return pl.DataFrame(columns, strict=False)

    def ranked(self) -> list[TrialResult]:
        """The complete trials, the best first."""
        sign = -1 if self.greater else 1
        return sorted((one for one in self.trials if one.state == "complete"), key=lambda one: (sign * one.score, one.number))

    def to_json(self) -> dict[str, Any]:
        """The result without its model, as JSON; nan and infinite numbers are None."""
        content = {name: value for name, value in vars(self).items() if name != "model"}
        content |= {"verdict": self.verdict.to_json(), "trials": [one.to_json() for one in self.trials]}
        return json.loads(json.dumps(content, default=list), parse_constant=lambda constant: None)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Tuning:
        """The result that :meth:`to_json` wrote, without its model."""
        numbers = {
            name: math.nan if content[name] is None else content[name] for name in ("score", "low", "high", "standard_error")
        }
        changed = {
            **numbers,
            "verdict": TuningVerdict.from_json(content["verdict"]),
            "trials": tuple(TrialResult.from_json(one) for one in content["trials"]),
            "scores": {name: math.nan if one is None else one for name, one in content["scores"].items()},
            "best_params": {n: tuple(v) if isinstance(v, list) else v for n, v in content["best_params"].items()},
            "notes": tuple(content["notes"]),
        }
        return cls(**{**content, **changed})


def _as_text(values: list[Any]) -> list[str | None]:
    """Values of different types as text."""
    return [None if value is None else str(value) for value in values]


def save_tuning(result: Tuning, run: Run) -> None:
    """Write a result into the folder of its run."""
    with run.replacing(TUNING) as path:
        path.write_text(json.dumps(result.to_json(), allow_nan=False))


def load_tuning(run: Run) -> Tuning:
    """The result in the folder of a run."""
    path = run.folder / TUNING
    try:
        return Tuning.from_json(json.loads(path.read_text()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged ({error}); delete it; lamina resume {run.folder} writes it again") from error
