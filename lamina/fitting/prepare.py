"""Preparation: from a table and settings to the schema, the task and the rows that can be used.

A fit, a comparison, each of its workers and a resumed run all call :func:`prepare`, so they agree on every row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.cells import read_texts
from lamina.data.columns.column import Column
from lamina.data.rowhash import first_of_duplicates, order
from lamina.data.schema import Schema
from lamina.data.skipping import skipped, without_bad_rows
from lamina.data.weights import row_weights
from lamina.errors import TargetError
from lamina.fitting.merging import merge_rare, with_merged
from lamina.fitting.settings import Settings
from lamina.fitting.split import times
from lamina.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Prepared:
    """A table that is ready to be split.

    Attributes:
        source: The table as it was given; errors number its rows.
        table: The rows whose target is known, without duplicates where ``unique`` was set, in the order of a hash of their
            content: the same rows in another order are the same table.
        schema: The columns.
        task: The task; :meth:`~lamina.tasks.Task.fit` it to training rows before it encodes targets.
        weight: The weight of each row in the loss (N,), that of the row times that of its class; None where all are equal.
        group: The group of each row (N,), int64; None where no column says which rows belong together.
        notes: Sentences about rows that are left out and about the target.
        place: The place of each row among the usable ones as they were given (N,).
    """

    source: pl.DataFrame
    table: pl.DataFrame
    schema: Schema
    task: Task
    weight: np.ndarray | None
    group: np.ndarray | None
    notes: tuple[str, ...]
    place: np.ndarray

    @property
    def as_given(self) -> pl.DataFrame:
        """The rows in the order in which they were given, by which the search for leaks finds series."""
        return self.table[np.argsort(self.place)]


def prepare(table: pl.DataFrame, settings: Settings, *, known: Mapping[str, Column] | None = None) -> Prepared:
    """The schema, the task, and the usable rows with their weights and groups.

    Raises:
        SchemaError: A column that is named is missing, or its kind does not fit.
        TargetError: The target cannot be predicted, or is known in no row.
        DataError: A weight is missing, infinite or negative.
        OptionError: ``class_weight`` names no class of the target.

    Example:
        >>> rows = pl.DataFrame({"x": [1, 2, 3, 4, 4], "y": ["a", "b", "a", None, "b"]})
        >>> prepared = prepare(rows, Settings("y"))
        >>> len(prepared.table), prepared.task.name, prepared.notes
        (4, 'classification', ("1 of 5 rows has no value in the target 'y' and is ignored",))
    """
    reading = {"targets": settings.targets, "separator": settings.separator, "known": known}
    readings, rows = {}, table
    if not settings.typed:
        readings, rows = read_texts(table, settings.kinds, ignored=settings.drop or (), **reading)
    rows, rare, merged = merge_rare(rows, settings)
    inferring = {
        "target": list(settings.targets),
        "kinds": settings.kinds,
        "roles": settings.roles,
        "readings": readings,
        "known": known,
    }
    schema = Schema.infer(rows, **inferring)
    if settings.unique and (first := first_of_duplicates(schema.contents(rows))).sum() < len(rows):
        rows = rows.filter(first)
        schema = Schema.infer(rows, **inferring)
    rows, bad = without_bad_rows(rows, schema) if settings.skip_bad else (rows, "")
    schema = with_merged(schema, settings.targets[0], rare)
    try:
        task = Task.infer(rows, settings.targets, kind=settings.task, min_class_rows=settings.fewest)
    except TargetError as error:
        if doubts := [doubt for doubt in schema.doubts if doubt.partition(" is read as text")[0] in settings.targets]:
            raise TargetError(f"{error}; {'; '.join(doubts)}") from None
        raise
    usable, missing = task.usable_rows(rows)
    rows = rows if usable.all() else rows.filter(pl.Series(usable))
    place = order(rows)
    rows = rows[place]
    weight = row_weights(rows, schema)
    if settings.class_weight is not None:
        by_class = task.class_weights(rows, settings.class_weight)  # pyright: ignore[reportArgumentType]
        weight = by_class if weight is None else weight * by_class
    notes = tuple(filter(None, (skipped(list(settings.skipped), "file"), bad, missing, merged, *schema.doubts, task.warning)))
    return Prepared(table, rows, schema, task, weight, row_groups(rows, schema), notes, place)


def row_groups(table: pl.DataFrame, schema: Schema) -> np.ndarray | None:
    """The group of each row (N,): that of the group column, or one of ten stretches of time; None without such a column."""
    column = next((column for column in schema.columns if column.role in ("group", "time")), None)
    if column is None:
        return None
    values = times(table[column.name]) if column.role == "time" else table[column.name]
    group = values.rank("min").fill_null(0).to_numpy().astype(np.int64)
    return group * 10 // (len(table) + 1) if column.role == "time" else group
