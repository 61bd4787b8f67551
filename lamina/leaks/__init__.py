"""Leaks: what makes folds look better than new rows will be, found before any fold is drawn.

==================  ======================================================================  ==========================
kind                what it is                                                              what deals with it
==================  ======================================================================  ==========================
``duplicates``      rows that are there twice, far more than chance lets one expect         ``unique=True``
``group``           a customer, a patient, a device with many rows that are alike           ``group="customer"``
``time``            a date along which the answer drifts, or neighbours are alike           ``time="date"``
``target copy``     a column that alone tells the answer exactly                            ``drop="column"``
``after the fact``  a column that is filled in only once the answer is known                ``drop="column"``
==================  ======================================================================  ==========================

What a column means is not in its values, so no finding is a proof: each comes with the numbers, and a person decides. The kinds
are those of Kaufman et al. 2012 (Leakage in data mining, ACM TKDD 6:15) and Kapoor & Narayanan 2023 (Leakage and the
reproducibility crisis, Patterns 4:9) that can be told from a table alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.leaks import duplicates, folds, targets
from lamina.leaks.rows import Rows
from lamina.tasks.task import Task

KINDS = ("duplicates", "group", "time", "target copy", "after the fact")


@dataclass(frozen=True)
class Leak:
    """One finding: its kind (see the table above), the columns, the numbers in a sentence, and the option to type."""

    kind: str
    columns: tuple[str, ...]
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.evidence}; {self.remedy} deals with it"

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "columns": list(self.columns)}


def find_leaks(table: pl.DataFrame, schema: Schema, task: Task, *, seed: int = 0) -> tuple[Leak, ...]:
    """Look for what lets one fold know the answers of another, before any fold is drawn.

    What a role deals with already is passed over: a table with a group column is not searched for groups. Images, texts and
    series are compared for duplicates only. Learners see some thousand rows, chosen by the seed.

    Args:
        table: Rows whose target is known, with the columns of all roles, in the order they were given in.
        schema: Says which columns are learnt from, and what else has a role.
        task: Says what is asked.
        seed: Everything random follows from it.

    Raises:
        DataError: The table lacks a column of the schema, or (TargetError) a row has no answer.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> sick = draw.random(400) < 0.4
        >>> nights = [int(n) if n else None for n in sick * draw.integers(0, 9, 400)]
        >>> table = pl.DataFrame({"age": draw.integers(20, 90, 400), "nights_in_hospital": nights, "sick": sick})
        >>> found = find_leaks(table, Schema.infer(table, target="sick"), Task.infer(table, "sick"))
        >>> [(leak.kind, leak.remedy) for leak in found]
        [('after the fact', 'drop="nights_in_hospital"')]
    """
    if missing := [column.name for column in schema.columns if column.name not in table.columns]:
        raise DataError(f"the table lacks the column {missing[0]!r} of its schema; give the table that the schema is of")
    rows = Rows.of(table, schema, task, seed)
    found = []
    if copied := duplicates.find(rows):
        but, evidence = copied
        found.append(Leak("duplicates", but, evidence, "unique=True"))
        if not but:  # so that they count for nothing below
            rows = Rows.of(duplicates.without(rows), schema, task, seed)
    told = targets.copies(rows)
    found += [Leak("target copy", (name,), evidence, _option("drop", name)) for name, evidence in told.items()]
    marks = targets.marks(rows, set(told))
    found += [Leak("after the fact", (mark.column,), mark.evidence, _option("drop", mark.column)) for mark in marks]
    passed = set(told) | {mark.column for mark in marks}
    for kind, search in (("group", folds.group), ("time", folds.time)):
        dealt_with = any(column.role in (kind, "split") for column in schema.columns)
        if not dealt_with and (seen := search(rows, passed)):
            found.append(Leak(kind, (seen[0],), seen[1], _option(kind, seen[0])))
    return tuple(sorted(found, key=lambda leak: KINDS.index(leak.kind)))


def _option(name: str, column: str) -> str:
    quoted = column.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{quoted}"'
