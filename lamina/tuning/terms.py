"""The options of a tuning: the keywords of ``lamina.tune`` that ``lamina.fit`` does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamina.options import CallOptions, option

if TYPE_CHECKING:
    from lamina.families import Auto, Family

SMALL, MEDIUM = 2_000, 20_000
"""Fewer training rows score a trial on 5 folds; fewer than the second on 3; else one validation part is enough."""


@dataclass
class TuningTerms(CallOptions):
    """The options of a tuning.

    Example:
        >>> TuningTerms(trials=50, sampler="random").check().fold_count(1_500)
        5
        >>> TuningTerms(trials=0).check()
        Traceback (most recent call last):
        ...
        lamina.errors.OptionError: trials is 0, expected a whole number between 1 and 100000
    """

    family: Family | Auto | str | Sequence[Family | Auto | str] = option(
        "auto",
        "Which model: auto, the name of a family, or a family with options, which stay fixed; or a list of them, of which the "
        "search chooses.",
        kind=object,
        expected="'auto', the name of a family, a family such as Boosting(), or a list of them",
    )
    space: Mapping[str, Sequence[object]] | None = option(
        None,
        "The options to search, by name: (low, high), (low, high, 'log') or a list of values; by default those that family and "
        "recipe declare.",
        kind=Mapping,
        expected="a dict of ranges by option, such as {'family.max_depth': (2, 10)}",
    )
    trials: int = option(30, "Number of trials; the first has the defaults.", low=1, high=100_000)
    time_limit: float | None = option(
        None, "Seconds for the whole call, reading aside; what is best by then is kept.", low=1, high=1e8, kind=float
    )
    metric: str = option(
        "auto", "Metric: auto, accuracy, balanced_accuracy, f1, f1_macro, auc, average_precision, log_loss; r2, rmse, mae."
    )
    rope: float | None = option(None, "The smallest difference that matters, in the metric's units.", low=0, kind=float)
    sampler: str = option(
        "tpe", "How trials are chosen: tpe (tree-structured Parzen estimator) or random.", choices=("tpe", "random")
    )
    folds: int | str = option(
        "auto",
        "Number of folds that score a trial, 1 for a single part; auto: 5, from 2,000 training rows on 3, from 20,000 on 1.",
        low=1,
        high=100,
        choices=("auto",),
        kind=int,
    )
    test: float = option(
        0.2,
        "Share of the rows that no trial sees; they give the score.",
        low=0.01,
        high=0.9,
        expected="a share between 0.01 and 0.9",
    )

    def fold_count(self, rows: int) -> int:
        """The number of folds for this many training rows."""
        if self.folds != "auto":
            return int(self.folds)
        return 5 if rows < SMALL else 3 if rows < MEDIUM else 1

    def to_json(self) -> dict[str, Any]:
        """The options without families and space, which a run keeps in another form."""
        return {name: value for name, value in super().to_json().items() if name not in ("family", "space")}
