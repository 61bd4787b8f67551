"""Encoded training and validation rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import rows_numbered_as
from lamina.errors import DataError
from lamina.families.classical.family import Rows
from lamina.fitting.prepare import Prepared
from lamina.fitting.split import Split
from lamina.tasks.task import Task
from lamina.wording import listed


@dataclass(frozen=True, eq=False)
class Encoded:
    """Input blocks, target blocks, weights (N,) and groups (N,) of some rows."""

    blocks: dict[str, Any]
    inputs: dict[str, Input]
    targets: dict[str, np.ndarray]
    weight: np.ndarray | None = None
    group: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    def plain(self) -> Rows:
        """The same for a classical family; its target is filled in later."""
        return Rows(self.blocks, self.inputs, np.empty(0), 0, self.weight, self.group)


@dataclass(frozen=True, eq=False)
class EncodedSplit:
    """An encoder, the rows that it encoded, and notes on the training rows; out of bag both rows are the same object."""

    encoder: Encoder
    train: Encoded
    validation: Encoded
    notes: tuple[str, ...] = ()


def encode(prepared: Prepared, parts: Split, task: Task, encoding: Encoding, *, encoder: Encoder | None = None) -> EncodedSplit:
    """Fit an encoder to the training rows, unless one is given, and encode both sides of the split.

    Raises:
        DataError: A value cannot be read, or all rows of one side have the weight 0.
    """
    table, schema = prepared.table, prepared.schema
    with rows_numbered_as(prepared.source, schema):
        features, _ = schema.check(table, notes=False)
        train = features[parts.train]
        notes = () if encoder is None else tuple(encoder.unseen(train))
        if encoder is None:
            encoder = Encoder.fit(train, schema, encoding)
            notes = encoder.notes
        if not encoder.inputs:
            names = listed([repr(column.name) for column in schema.features], 3)
            raise DataError(
                f"no cycle of {names} is complete in the training rows, so nothing is left to learn from; add columns"
            )
        _check_weights(prepared, parts)
        group = prepared.group
        if group is not None and not np.ptp(group[parts.train]):
            group = None

        def side(rows: np.ndarray, columns: Any) -> Encoded:
            weight, together = (None if part is None else part[rows] for part in (prepared.weight, group))
            return Encoded(encoder.transform(columns), encoder.inputs, task.encode(table[rows]), weight, together)

        training = side(parts.train, train)
        validation = training if parts.out_of_bag else side(parts.validation, features[parts.validation])
    return EncodedSplit(encoder, training, validation, notes)


def _check_weights(prepared: Prepared, parts: Split) -> None:
    if prepared.weight is None:
        return
    column = next((repr(column.name) for column in prepared.schema.columns if column.role == "weight"), "")
    given = f"the weight column {column} is" if column else "class_weight is"
    for side, rows in (("training", parts.train), ("validation", parts.validation)):
        if not prepared.weight[rows].any():
            raise DataError(
                f"{given} 0 in all {len(rows):,} {side} rows, so nothing can be measured there; give some of them a weight "
                "above 0, leave out rows of weight 0, or split another way"
            )
