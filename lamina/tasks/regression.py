"""Regression: one or several targets of numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.scaling import FAR, moments
from lamina.tasks import metrics as m
from lamina.tasks.losses import HUBER, MSE, TARGET, Loss
from lamina.tasks.metrics import TITLES, Metric
from lamina.tasks.prediction import Prediction
from lamina.tasks.report import Table
from lamina.tasks.target import check_rows, check_values, looks_like_classes, plain, target_column
from lamina.tasks.task import Learnable, Outcome, Task
from lamina.wording import number

_ZERO, _ERRORS = "an actual value is 0", ("actual", "predicted", "residual")
MOST_PRINTED = 20
"""Maximum number of targets in a printed table."""


@dataclass(frozen=True)
class Regression(Task):
    """Regression of one or several numeric targets, standardised for training: (value - mean) / standard deviation.

    Args:
        center: Mean of each target.
        scale: Standard deviation of each target, 1 for a constant one.
    """

    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    name: ClassVar[str] = "regression"
    estimator: ClassVar[str] = "Regressor"
    judge: ClassVar[str] = "values"

    @classmethod
    def guess(cls, table: pl.DataFrame, names: list[str], *, requested: bool, min_class_rows: int) -> Self | None:
        known = cls(tuple(names))._known(table)
        columns = [plain(table[name].filter(pl.Series(known))) for name in names]
        if requested:
            reason = "regression was requested"
        elif len(names) > 1:
            reason = f"{len(names)} targets, so one number for each"
        else:
            _, reason = looks_like_classes(names[0], columns[0])
        check_rows(len(columns[0]), names)
        for name, column in zip(names, columns, strict=True):
            check_values(name, column)
        return cls(tuple(names), reason).fit(table)

    def fit(self, table: pl.DataFrame) -> Self:
        known = table.filter(pl.Series(self._known(table)))
        center, scale = zip(*map(moments, self._values(known).T), strict=True)
        return dataclasses.replace(self, center=center, scale=scale)

    # -- the target --------------------------------------------------------------------------------------------------------

    def encode(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """``target``: standardised float32 (N, K)."""
        values = (self._values(table) - np.array(self.center)) / np.array(self.scale)
        return {TARGET: np.clip(values, -FAR, FAR).astype(np.float32)}

    def truth(self, table: pl.DataFrame) -> np.ndarray:
        """Values in their own units, float64 (N,) or (N, K)."""
        values = self._values(table)
        return values[:, 0] if len(self.targets) == 1 else values

    def decode_truth(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        return self.predict(blocks[TARGET]).decision

    def outcomes(self, truth: np.ndarray) -> tuple[Outcome, ...]:
        columns = truth.reshape(len(truth), len(self.targets)).T
        return tuple(Outcome(name, values) for name, values in zip(self.targets, columns, strict=True))

    def learnables(self, blocks: Mapping[str, np.ndarray]) -> tuple[Learnable, ...]:
        return (Learnable(blocks[TARGET], 0),)

    def _values(self, table: pl.DataFrame) -> np.ndarray:
        columns = [plain(target_column(table, name)) for name in self.targets]
        for name, column in zip(self.targets, columns, strict=True):
            check_values(name, column, constant=True)
        return np.stack([column.cast(pl.Float64).to_numpy() for column in columns], axis=1)

    # -- outputs -----------------------------------------------------------------------------------------------------------

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.targets

    @property
    def losses(self) -> tuple[Loss, ...]:
        return MSE, HUBER

    def predict(self, outputs: np.ndarray) -> Prediction:
        outputs = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), len(self.targets))
        values = outputs * np.array(self.scale) + np.array(self.center)
        values = values[:, 0] if len(self.targets) == 1 else values
        return Prediction(outputs, values, values)

    def baseline(self, rows: int) -> np.ndarray:
        return np.zeros((rows, len(self.targets)))

    @property
    def column_names(self) -> tuple[tuple[str, str], ...]:
        return tuple(("prediction", target) for target in self.targets)

    def columns(self, prediction: Prediction, probabilities: np.ndarray) -> list[np.ndarray]:
        return list(prediction.labels.reshape(len(prediction), len(self.targets)).T)

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        return self.predict(outputs).decision.reshape(len(outputs), len(self.targets))

    def align(self, outputs: np.ndarray, other: Task) -> np.ndarray:
        return (other.numbers(outputs) - np.array(self.center)) / np.array(self.scale)

    def fidelity(self, outputs: np.ndarray, others: np.ndarray) -> dict[str, float]:
        """R² of the outputs to those of the other model."""
        return {"r2": float(self.metric("r2")(self.predict(others).decision, self.predict(outputs), None))}

    def explained(self) -> tuple[tuple[str, int | None], ...]:
        if len(self.targets) == 1:
            return (("", 0),)
        return tuple((f" {target}", place) for place, target in enumerate(self.targets))

    # -- how good it is ----------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return (
            Metric("rmse", TITLES["rmse"], m.of_values("rmse"), greater=False, rope=0.02, relative=True),
            Metric("mae", TITLES["mae"], m.of_values("mae"), greater=False, rope=0.02, relative=True),
            Metric("medae", TITLES["medae"], m.of_values("medae"), greater=False, rope=0.02, relative=True),
            Metric("mape", TITLES["mape"], m.of_values("mape"), greater=False, rope=0.02, relative=True, silent=_ZERO),
            Metric("r2", TITLES["r2"], m.of_values("r2"), lowest=-np.inf),
        )

    @property
    def main_metric(self) -> Metric:
        return self.metric("r2")

    @property
    def monitored(self) -> tuple[Metric, ...]:
        return (Metric("squared_error", "squared error", m.squared_error(self.scale), greater=False),)

    def row_losses(self, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        values = (truth.reshape(len(truth), -1) - np.array(self.center)) / np.array(self.scale)
        return ((values - outputs.reshape(values.shape)) ** 2).mean(axis=1)

    def details(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        predicted, report = self.predict(outputs).decision.reshape(len(truth), -1), []
        for name, actual, values in zip(self.targets, truth.reshape(len(truth), -1).T, predicted.T, strict=True):
            prediction = Prediction(values, values, values)
            scores = {metric.name: metric(actual, prediction, weight) for metric in self.metrics}
            report.append({"target": name} | {name: None if np.isnan(score) else score for name, score in scores.items()})
        return {"report": report}

    def tables(self, details: Mapping[str, Any]) -> tuple[Table, ...]:
        report = details.get("report")
        if not report or len(self.targets) == 1:
            return ()
        metrics = self.metrics
        rows = tuple(
            (name, *("" if (value := row[metric.name]) is None else number(value) for metric in metrics))
            for name, row in list(zip(self.targets, report, strict=True))[:MOST_PRINTED]
        )
        title = "Targets" if len(report) <= MOST_PRINTED else f"The first {MOST_PRINTED} of {len(report):,} targets"
        return (Table(title, ("target", *(metric.title for metric in metrics)), rows),)

    def errors(self, truth: np.ndarray, outputs: np.ndarray, most: int) -> list[dict[str, Any]]:
        actual, predicted = truth.reshape(len(truth), -1), self.predict(outputs).decision.reshape(len(truth), -1)
        residuals = actual - predicted
        rows, places = np.unravel_index(
            np.argsort(-np.abs(residuals / np.array(self.scale)), axis=None, kind="stable")[:most], residuals.shape
        )
        several = len(self.targets) > 1
        return [
            {"row": int(row)}
            | ({"target": self.targets[place]} if several else {})
            | {name: float(values[row, place]) for name, values in zip(_ERRORS, (actual, predicted, residuals), strict=True)}
            for row, place in zip(rows, places, strict=True)
        ]

    # -- words -------------------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        return "regression: a number" if len(self.targets) == 1 else f"regression: {len(self.targets)} numbers"

    def headline(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: str) -> str:
        several = f", on average over {len(self.targets)} targets" if len(self.targets) > 1 else ""
        error, trivial = (number(values["mae"]) for values in (scores, baseline))
        return f"Mean absolute error {error} on {rows}{several}; always predicting the mean has {trivial}."

    def evidence(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: int) -> float:
        error, trivial = scores["rmse"], baseline["rmse"]
        if error > 0 and trivial > 0:
            return rows * math.log(trivial / error)
        return math.inf if error < trivial else 0.0
