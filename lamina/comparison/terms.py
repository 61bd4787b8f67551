"""The options of a comparison: the keywords of ``lamina.compare`` that ``lamina.fit`` does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lamina.options import CallOptions, option

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

    from lamina.families import Auto, Family

    FamilyOrEstimator = Family | Auto | BaseEstimator | str


@dataclass
class Terms(CallOptions):
    """The options of a comparison.

    Example:
        >>> Terms(folds=10, repeats=2).check().folds
        10
    """

    families: FamilyOrEstimator | Sequence[FamilyOrEstimator] | Mapping[str, FamilyOrEstimator] = option(
        "auto",
        "The candidates: auto for all installed classical families and the network for these columns; or a list of names, "
        "families and scikit-learn estimators, or a dict of them by candidate name.",
        kind=object,
        expected="'auto', a list of names, families and scikit-learn estimators, or a dict of them by name",
    )
    folds: int = option(5, "Number of cross-validation folds.", low=2, high=100)
    repeats: int | str = option(
        "auto",
        "Repeats of the cross-validation; auto: 3, from 5,000 rows on 2, from 20,000 rows on 1.",
        low=1,
        high=100,
        choices=("auto",),
        kind=int,
    )
    metric: str = option(
        "auto", "Metric: auto, accuracy, balanced_accuracy, f1, f1_macro, auc, average_precision, log_loss; r2, rmse, mae."
    )
    rope: float | None = option(None, "The smallest difference that matters, in the metric's units.", low=0, kind=float)
    time_limit: float | None = option(None, "Limit of one fit in seconds.", low=1, kind=float)
    memory_limit: float | None = option(None, "Memory limit of one process in GB.", low=0.1, kind=float)
    workers: int | None = option(None, "Number of processes; by default one for each core.", low=1, high=1024, kind=int)

    def repeat_count(self, rows: int) -> int:
        """The number of repeats for this many rows."""
        if self.repeats != "auto":
            return int(self.repeats)
        # Of 100 pairs of forests with accuracies 0.02 apart, 1, 2 and 3 repeats detect 36, 58 and 69 at 5,000 rows, and 90,
        # 100 and 100 at 20,000 (python -m benchmarks verdicts).
        return 1 if rows >= 20_000 else 2 if rows >= 5_000 else 3

    def to_json(self) -> dict[str, Any]:
        """The options without the families, which a run keeps as JSON by the name of the candidate."""
        return {name: value for name, value in super().to_json().items() if name != "families"}

    @property
    def processes(self) -> int:
        """Number of worker processes."""
        return self.workers or _cores()

    @property
    def threads(self) -> int:
        """Number of threads of each process."""
        return max(1, _cores() // self.processes)


def _cores() -> int:
    from joblib import cpu_count  # knows affinity and the quota of a container

    return cpu_count()
