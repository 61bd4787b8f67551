"""Trust: calibration, prediction sets or intervals, novelty and background rows of a model."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.columns import KINDS
from lamina.data.schema import Schema
from lamina.errors import ModelFileError
from lamina.stored import check_array, reading
from lamina.trust.arrow import sizes
from lamina.trust.calibration import Calibration
from lamina.trust.conformal import Intervals, Sets
from lamina.trust.labels import LabelSets
from lamina.trust.novelty import Novelty
from lamina.trust.part import Part
from lamina.trust.view import View, row_hash

MOST_ROWS = 10_000
MOST_PROBABILITIES = 1_000_000
"""Calibration is fitted to at most this many rows and probabilities."""
BACKGROUND = 64
"""Training rows that are stored as the background of reasons."""
MOST_BACKGROUND, BACKGROUND_BYTES = 100_000, 2**27
"""Most rows, levels of categories included, and unpacked bytes of the background in a file."""
MOST_COLUMNS = 1_000
"""With more plain columns there are no reasons: they would take too long."""

_CALIBRATIONS = {"temperature": "temperature", "isotonic": "temperature and an isotonic curve"}
_WITH_ARRAYS: dict[str, type[Part]] = {"sets": Sets, "intervals": Intervals, "labels": LabelSets, "novelty": Novelty}
_PARTS: dict[str, Any] = {"calibration": Calibration, **_WITH_ARRAYS, "view": View}


@dataclass(frozen=True, eq=False)
class Background:
    """Training rows of the plain columns, as a compressed Arrow file.

    Attributes:
        packed: The file, uint8.
        schema: The columns.
    """

    packed: np.ndarray
    schema: Schema

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The rows, unpacked when they are first used.

        Raises:
            ModelFileError: They are no rows of the schema.
        """
        plain = {column.name: column for column in self.schema.plain}
        with reading("", "its background"):
            rows = pl.read_ipc(io.BytesIO(self.packed.tobytes()))
            if not len(rows) or not set(rows.columns) <= plain.keys():
                raise ModelFileError(f"it has the columns {rows.columns[:10]}, expected plain features")
            return pl.DataFrame([KINDS[plain[values.name].kind].check(plain[values.name], values, []) for values in rows])

    def check(self) -> None:
        """Bound the sizes before they are unpacked.

        Raises:
            ModelFileError: They are too large, or it is no Arrow file.
        """
        check_array("its background", self.packed, "u", (None,))
        rows, size = sizes(self.packed.tobytes())
        if rows > MOST_BACKGROUND or size > BACKGROUND_BYTES:
            raise ModelFileError(
                f"its background has {rows:,} rows of {size:,} bytes, expected at most {MOST_BACKGROUND:,} and "
                f"{BACKGROUND_BYTES:,}"
            )


@dataclass(frozen=True, eq=False)
class Trust:
    """Calibration, conformal sets or intervals, novelty and background rows; each is None where it was not fitted.

    Attributes:
        calibration: Of class probabilities.
        intervals: Of the standardised target.
        labels: Of a multilabel task, with their calibration.
        view: Features for novelty; None where it uses a layer of the network.
        background: Training rows, plain columns only.
    """

    calibration: Calibration | None = None
    sets: Sets | None = None
    intervals: Intervals | None = None
    labels: LabelSets | None = None
    novelty: Novelty | None = None
    view: View | None = None
    background: Background | None = None

    def calibrated(
        self,
        method: str,
        outputs: np.ndarray,
        targets: Mapping[str, np.ndarray],
        *,
        features: pl.DataFrame,
        spread: np.ndarray | None = None,
        weight: np.ndarray | None = None,
    ) -> Self:
        """This trust with calibration and sets or intervals fitted to validation rows.

        Args:
            method: ``"classes"``, ``"values"`` or ``"labels"``.
            outputs: Probabilities or standardised values; rows that are not finite are ignored.
            targets: Target blocks.
            features: Feature columns.
            spread: Uncertainty of each value.
            weight: Rows are sampled in proportion to it.
        """
        finite = np.isfinite(outputs).all(axis=1)
        if spread is not None:
            finite &= np.isfinite(spread).all(axis=1)
        rows = np.flatnonzero(finite)
        if weight is not None:
            rows = rows[resampled(weight[rows])]
        if not len(rows):
            return self
        outputs, truth = outputs[rows], targets["target"][rows]
        if method == "values":
            intervals = Intervals.fit(outputs, truth, spread=None if spread is None else spread[rows])
            return dataclasses.replace(self, intervals=intervals)
        if method == "labels":
            return dataclasses.replace(self, labels=LabelSets.fit(outputs, truth, targets["known"][rows]))
        ties = self.ties(features)
        sets = Sets.fit(outputs, truth, ties=None if ties is None else ties[rows])
        count = min(MOST_ROWS, max(MOST_PROBABILITIES // outputs.shape[1], 1))
        sample = np.random.default_rng(0).permutation(len(rows))[:count]
        return dataclasses.replace(self, calibration=Calibration.fit(outputs[sample], truth[sample]), sets=sets)

    def calibrate(self, outputs: np.ndarray) -> np.ndarray:
        """Calibrated probabilities; other outputs are returned unchanged."""
        if self.labels is not None:
            return self.labels.calibrate(outputs)
        return outputs if self.calibration is None else self.calibration.apply(outputs)

    def ties(self, table: pl.DataFrame) -> np.ndarray | None:
        """Tie-breaker of rows with equal probabilities: a hash of each row."""
        return None if self.view is None else row_hash(self.view.transform(table))

    def summary(self) -> str:
        """One line on the parts and the rows that they were fitted to."""
        parts = []
        if (fitted := self.calibration) is not None:
            error, loss = f"error {fitted.error_before:.3f}", f"log-loss {fitted.loss_before:.3f}"
            if fitted.method == "none":
                parts.append(f"uncalibrated probabilities (calibration {error})")
            else:
                change = f"{error} -> {fitted.error_after:.3f}, {loss} -> {fitted.loss_after:.3f}"
                parts.append(f"probabilities calibrated by {_CALIBRATIONS[fitted.method]} ({change})")
        if self.sets is not None:
            parts.append(f"sets from {len(self.sets.scores):,} rows")
        if self.labels is not None:
            parts.append(f"sets of labels from {self.labels.rows:,} rows")
        if self.intervals is not None:
            parts.append(f"intervals from {len(self.intervals.scores):,} rows")
        if self.novelty is not None:
            parts.append("novelty from the columns" if self.view is not None else "novelty from the last layer")
        if self.background is not None:
            parts.append(f"reasons with {len(self.background.rows):,} background rows")
        return ", ".join(parts) or "nothing, as there are no validation rows"

    def to_json(self) -> dict[str, Any]:
        return {name: part.to_json() for name in _PARTS if (part := getattr(self, name)) is not None}

    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of all parts by name; the background is a compressed Arrow file."""
        parts = ((name, getattr(self, name)) for name in _WITH_ARRAYS)
        arrays = {f"{name}/{key}": array for name, part in parts if part is not None for key, array in part.arrays().items()}
        if self.background is not None:
            arrays["background"] = self.background.packed
        return arrays

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray], schema: Schema) -> Self:
        parts: dict[str, Any] = {}
        for name, content in values.items():
            if name not in _PARTS:
                raise ModelFileError(f"it has a part {name!r}, which this lamina does not know")
            own = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
            parts[name] = _PARTS[name].from_json(content, own) if own else _PARTS[name].from_json(content)
        if "background" in arrays:
            parts["background"] = Background(arrays["background"], schema)
        return cls(**parts)

    def check(self, schema: Schema, judge: str, outputs: int, layer: int | None) -> Self:
        """The trust of a file.

        Args:
            schema: The columns.
            judge: The task's method of uncertainty.
            outputs: Number of classes, labels or targets.
            layer: Width of the layer that novelty reads without a view; None if there is none.

        Raises:
            ModelFileError: It does not fit the model.
        """
        for name, method in (("calibration", "classes"), ("sets", "classes"), ("intervals", "values"), ("labels", "labels")):
            part = getattr(self, name)
            if part is not None and method != judge:
                raise ModelFileError(f"it has {name}, which are of {method}, not of {judge}")
            if isinstance(part, Sets | Intervals | LabelSets):
                part.check(outputs)
        if self.view is not None:
            self.view.encoder.verify(schema)
            empty, _ = schema.check(pl.DataFrame({column.name: [None] for column in schema.features}), notes=False)
            layer = self.view.transform(empty).shape[1]
        if self.novelty is not None:
            if layer is None:
                raise ModelFileError("it has novelty, but neither a view nor a layer for it")
            self.novelty.check(layer)
        if self.background is not None:
            self.background.check()
        return self


def background(table: pl.DataFrame, schema: Schema) -> Background | None:
    """The plain columns of a sample of training rows; None without plain columns, or with too many."""
    names = [column.name for column in schema.plain]
    if not names or len(names) > MOST_COLUMNS:
        return None
    sample = np.sort(np.random.default_rng(0).permutation(len(table))[:BACKGROUND])
    buffer = io.BytesIO()
    table[names][sample].write_ipc(buffer, compression="zstd")
    return Background(np.frombuffer(buffer.getvalue(), dtype=np.uint8), schema)


def resampled(weight: np.ndarray) -> np.ndarray:
    """Row numbers sampled systematically in proportion to the weights; as many as Kish's effective sample size.

    Example:
        >>> resampled(np.array([1.0, 0.0, 1.0, 2.0])).tolist(), resampled(np.ones(3)).tolist()
        ([0, 2, 3], [0, 1, 2])
    """
    if not len(weight) or not weight.any():
        return np.empty(0, dtype=np.int64)
    shares = weight / weight.sum()
    count = max(1, round(1 / float((shares**2).sum())))
    return np.searchsorted(np.cumsum(shares), (np.arange(count) + 0.5) / count).clip(max=len(weight) - 1)
