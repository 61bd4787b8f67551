"""What a model keeps so that its answers can be judged one by one."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.trust.calibration import Calibration
from lamina.trust.conformal import Intervals, Sets
from lamina.trust.labels import LabelSets
from lamina.trust.novelty import Novelty
from lamina.trust.view import View, scatter

MOST_ROWS = 10_000
MOST_SAID = 1_000_000
"""Calibration is fitted to so many rows at most, and so many probabilities."""
BACKGROUND = 64
"""Training rows that are kept, for the values that reasons try instead of a row's own."""
MOST_REASONED = 1_000
"""With more plain columns no reasons are given: each would be asked about for every row."""

_METHODS = {"temperature": "temperature", "isotonic": "temperature and an isotonic curve"}
_PARTS: dict[str, Any] = {
    "calibration": Calibration,
    "sets": Sets,
    "intervals": Intervals,
    "labels": LabelSets,
    "novelty": Novelty,
    "view": View,
}


@dataclass(frozen=True, eq=False)
class Trust:
    """Calibration, conformal sets or intervals, novelty, and rows to compare with; each None where there was nothing to fit.

    Attributes:
        calibration: Corrects class probabilities.
        sets: The classes that may be true.
        intervals: The values that may be true, in standard deviations of the target, as the model is trained.
        labels: The labels that a row may have, of a multilabel task, and their calibration.
        novelty: How unlike a row is to training rows.
        view: What novelty looks at; None where it looks at a layer of the network.
        background: Training rows, their plain columns only.
    """

    calibration: Calibration | None = None
    sets: Sets | None = None
    intervals: Intervals | None = None
    labels: LabelSets | None = None
    novelty: Novelty | None = None
    view: View | None = None
    background: pl.DataFrame | None = None

    def judging(
        self,
        judge: str,
        outputs: np.ndarray,
        targets: Mapping[str, np.ndarray],
        *,
        features: pl.DataFrame,
        spread: np.ndarray | None = None,
        weight: np.ndarray | None = None,
    ) -> Self:
        """The same with what judges single predictions, fitted to rows that the model has not learnt from.

        Args:
            judge: The method, as the task names it.
            outputs: Probabilities or standardised values; rows with one that is not finite are passed over.
            targets: The target blocks of these rows.
            features: Their plain columns.
            spread: How uncertain the model is of each value.
            weight: How much each row counts; rows are drawn in proportion to it.
        """
        known = np.isfinite(outputs).all(axis=1)
        if spread is not None:
            known &= np.isfinite(spread).all(axis=1)
        rows = np.flatnonzero(known)
        if weight is not None:
            rows = rows[resampled(weight[rows])]
        if not len(rows):
            return self
        blocks = {name: block[rows] for name, block in targets.items()}
        return _JUDGES[judge](self, outputs[rows], blocks, features, rows, spread)

    def with_classes(self, probabilities: np.ndarray, truth: np.ndarray, *, ties: np.ndarray | None = None) -> Self:
        """The same with calibration and sets fitted to classes.

        Args:
            probabilities: Of each class, for rows that were not learnt from.
            truth: Class codes.
            ties: What decides between rows of equal probability.

        Shape:
            probabilities (N, classes), truth (N,), ties (N,).
        """
        most = min(MOST_ROWS, max(MOST_SAID // probabilities.shape[1], 1))
        some = np.random.default_rng(0).permutation(len(probabilities))[:most]
        sets = Sets.fit(probabilities, truth, ties=ties)
        return dataclasses.replace(self, calibration=Calibration.fit(probabilities[some], truth[some]), sets=sets)

    def with_values(self, values: np.ndarray, truth: np.ndarray, *, spread: np.ndarray | None = None) -> Self:
        """The same with intervals fitted to standardised values.

        Args:
            values: Predicted for rows that were not learnt from.
            truth: What was true.
            spread: How uncertain the model is of each value.

        Shape:
            (N, targets) each.
        """
        return dataclasses.replace(self, intervals=Intervals.fit(values, truth, spread=spread))

    def probabilities(self, said: np.ndarray) -> np.ndarray:
        """What is said, with class probabilities corrected."""
        if self.labels is not None:
            return self.labels.probabilities(said)
        return said if self.calibration is None else self.calibration.apply(said)

    def ties(self, table: pl.DataFrame) -> np.ndarray | None:
        """What decides between rows of equal probability: chance, drawn from the row itself, so that it stays the same."""
        return None if self.view is None else scatter(self.view.rows(table))

    def words(self) -> str:
        """What is kept, as a person says it."""
        found = []
        if self.calibration is not None:
            one = self.calibration
            errors = (
                f"error {one.error_before:.3f} -> {one.error_after:.3f}, log-loss {one.loss_before:.3f} -> {one.loss_after:.3f}"
            )
            plain = f"probabilities as they are (calibration error {one.error_before:.3f})"
            found.append(plain if one.method == "none" else f"probabilities calibrated by {_METHODS[one.method]} ({errors})")
        if self.sets is not None:
            found.append(f"sets from {len(self.sets.scores):,} rows")
        if self.labels is not None:
            found.append(f"sets of labels from {self.labels.rows:,} rows")
        if self.intervals is not None:
            found.append(f"intervals from {len(self.intervals.scores):,} rows")
        if self.novelty is not None:
            found.append("novelty by the columns" if self.view is not None else "novelty by the last layer")
        if self.background is not None:
            found.append(f"reasons by {len(self.background):,} training rows")
        return ", ".join(found) or "nothing, as no rows were left to validate"

    def to_json(self) -> dict[str, Any]:
        return {name: part.to_json() for name in _PARTS if (part := getattr(self, name)) is not None}

    def arrays(self) -> dict[str, np.ndarray]:
        """What is large, by name."""
        parts = ((name, getattr(self, name)) for name in ("sets", "intervals", "labels", "novelty"))
        found = {f"{name}/{inner}": array for name, part in parts if part is not None for inner, array in part.arrays().items()}
        if self.background is not None:
            found["background"] = np.frombuffer(_packed(self.background), dtype=np.uint8)
        return found

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        found: dict[str, Any] = {}
        for name, content in values.items():
            if name in ("sets", "intervals", "labels", "novelty"):
                start = f"{name}/"
                own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
                found[name] = _PARTS[name].from_json(content, own)
            else:
                found[name] = _PARTS[name].from_json(content)
        if "background" in arrays:
            found["background"] = pl.read_ipc(io.BytesIO(arrays["background"].tobytes()))
        return cls(**found)


def background(table: pl.DataFrame, schema: Schema) -> pl.DataFrame | None:
    """The plain columns of a few training rows; None where there are none, or too many of them."""
    names = [column.name for column in schema.plain]
    if not names or len(names) > MOST_REASONED:
        return None
    some = np.sort(np.random.default_rng(0).permutation(len(table))[:BACKGROUND])
    return table[names][some]


def resampled(weight: np.ndarray) -> np.ndarray:
    """Rows drawn in proportion to their weight, systematically, as many as they are worth (Kish's effective sample size).

    Example:
        >>> resampled(np.array([1.0, 0.0, 1.0, 2.0])).tolist(), resampled(np.ones(3)).tolist()
        ([0, 2, 3], [0, 1, 2])
    """
    if not len(weight) or not weight.any():
        return np.empty(0, dtype=np.int64)
    shares = weight / weight.sum()
    count = max(1, round(1 / float((shares**2).sum())))
    return np.searchsorted(np.cumsum(shares), (np.arange(count) + 0.5) / count).clip(max=len(weight) - 1)


def _classes(
    trust: Trust, outputs: np.ndarray, targets: Mapping[str, np.ndarray], features: pl.DataFrame, rows: np.ndarray, spread: Any
) -> Trust:
    ties = trust.ties(features)
    return trust.with_classes(outputs, targets["target"], ties=None if ties is None else ties[rows])


def _values(
    trust: Trust, outputs: np.ndarray, targets: Mapping[str, np.ndarray], features: pl.DataFrame, rows: np.ndarray, spread: Any
) -> Trust:
    return trust.with_values(outputs, targets["target"], spread=None if spread is None else spread[rows])


def _labels(
    trust: Trust, outputs: np.ndarray, targets: Mapping[str, np.ndarray], features: pl.DataFrame, rows: np.ndarray, spread: Any
) -> Trust:
    return dataclasses.replace(trust, labels=LabelSets.fit(outputs, targets["target"], targets["known"]))


_JUDGES: dict[str, Any] = {"classes": _classes, "values": _values, "labels": _labels}


def _packed(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_ipc(buffer, compression="zstd")
    return buffer.getvalue()
