"""A model: everything that turns a table into an answer, and the card that says where it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
import torch

from lamina.data.encode import Encoder
from lamina.data.feed import as_tensor
from lamina.data.image import told_of
from lamina.data.schema import Schema
from lamina.data.task import Task, usable_rows
from lamina.graph.net import Net
from lamina.train.metrics import combine, forward, scores

ROWS_AT_ONCE = 65_536
BYTES_AT_ONCE = 2**28
"""Rows that are encoded at once: at most so many, and so many bytes."""
FEWEST_ROWS = 32
LARGE_ROW = 4096
"""Values in a row from which on it is not worth padding a handful of rows."""
MOST_CONFUSED = 100


@dataclass
class Model:
    """Schema, task, encoder, net and card of one fit.

    Attributes:
        schema: The columns as they were learnt.
        task: What is asked, and the labels or units of the answer.
        encoder: Fitted on the training rows.
        net: In evaluation mode.
        loss: The loss it was trained with; it says how logits become probabilities.
        family: Name of the family that drew the graph.
        card: Fingerprint of the data, scores, versions, date, recipe, history: JSON.
    """

    schema: Schema
    task: Task
    encoder: Encoder
    net: Net
    loss: str
    family: str
    card: dict[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        return next(iter(self.net.state_dict().values())).device

    def said(self, table: pl.DataFrame, *, checked: bool = False) -> np.ndarray:
        """Class probabilities (N, classes), or standardised values (N, K); float64.

        Args:
            table: Rows with the feature columns; others are left aside.
            checked: The table went through ``schema.check`` already.

        Raises:
            SchemaError: A column is missing or of another kind.
        """
        if not checked:
            table, _ = self.schema.check(table, notes=False)
        most = max(1, min(ROWS_AT_ONCE, BYTES_AT_ONCE // (4 * self._row_size)))
        with told_of(table, self.schema):
            parts = [
                self._said(table[start : start + most] if len(table) > most else table)
                for start in range(0, max(len(table), 1), most)
            ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def answer(self, said: np.ndarray) -> np.ndarray:
        """Labels (N,), or values in the target's own units, (N,) for one target and (N, K) for several."""
        return self.task.decode(said)

    def scores(self, table: pl.DataFrame) -> dict[str, Any]:
        """The figures of this model on rows whose target is known, beside the always-the-same answer.

        Returns:
            ``rows``, ``scores`` and ``baseline``, the latter two by name of the metric; and for up to 100 classes
            ``confusion``: a list for each true class of how many rows were said to be of each class.

        Raises:
            SchemaError: A column, or the target, is missing.
            TargetError: No row has a target.
        """
        known, _ = usable_rows(table, self.task.targets)
        given, table = table, table if known.all() else table.filter(pl.Series(known))
        truth = self.task.truth(table)
        with told_of(given, self.schema):
            said = self.said(table)
        found = {
            "rows": len(table),
            "scores": self._scores(truth, said),
            "baseline": self._scores(truth, self.task.baseline(len(table))),
        }
        if self.task.classes is not None and (classes := len(self.task.classes)) <= MOST_CONFUSED:
            pairs = np.bincount(truth * classes + said.argmax(1), minlength=classes**2)
            found["confusion"] = pairs.reshape(classes, classes).tolist()
        return found

    @cached_property
    def _row_size(self) -> int:
        """Values in an encoded row."""
        return sum(math.prod(block.shape) for block in self.encoder.inputs.values())

    def _scores(self, truth: np.ndarray, said: np.ndarray) -> dict[str, Any]:
        return scores(self.task, truth, said if self.task.kind == "classification" else self.task.decode(said))

    def _said(self, table: pl.DataFrame) -> np.ndarray:
        device, rows = self.device, len(table)
        inputs = {name: as_tensor(block) for name, block in self.encoder.transform(table).items()}
        padded = rows < FEWEST_ROWS and self._row_size < LARGE_ROW
        if padded:
            # A matrix product takes other kernels, and rounds otherwise, for a handful of rows: with these rows of zeros
            # beside it a row gets the same answer alone as in company.
            inputs = {
                name: torch.cat([block, block.new_zeros(FEWEST_ROWS - rows, *block.shape[1:])])
                for name, block in inputs.items()
            }
        if device.type != "cpu":
            inputs = {name: block.to(device) for name, block in inputs.items()}
        outputs = forward(self.net, inputs, FEWEST_ROWS if padded else rows)[:rows]
        return combine(outputs, self.loss).cpu().numpy()  # sync
