"""Leakage: what makes validation scores better than scores on new rows, found before any fold is drawn.

==================  ======================================================================  ==========================
kind                what it is                                                              option that removes it
==================  ======================================================================  ==========================
``duplicates``      duplicate rows, far more than expected by chance                        ``unique=True``
``windows``         rows that are overlapping windows of a longer series                    ``time=``, ``group=``
``group``           group leakage: a customer, a patient, a device with many similar rows   ``group="customer"``
``time``            temporal leakage: a date along which the target drifts, or neighbours   ``time="date"``
                    are similar
``target copy``     target leakage: a column that alone predicts the target exactly         ``drop="column"``
``after the fact``  target leakage: a column filled in only once the target is known        ``drop="column"``
==================  ======================================================================  ==========================

What a column means is not in its values, so no finding is a proof: each comes with the numbers, and a person decides. The kinds
are those of Kaufman et al. 2012 (Leakage in data mining, ACM TKDD 6:15) and Kapoor & Narayanan 2023 (Leakage and the
reproducibility crisis, Patterns 4:9) that can be found in a table alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.leaks import duplicates, folds, targets, windows
from lamina.leaks.rows import Rows
from lamina.tasks.task import Task

KINDS = ("duplicates", "windows", "group", "time", "target copy", "after the fact")
QUICK_ROWS = 20_000
"""Rows of a quick search, which takes under a second."""


@dataclass(frozen=True)
class Leak:
    """One finding: its kind (see the table above), the columns, the evidence in a sentence, and the option to set."""

    kind: str
    columns: tuple[str, ...]
    evidence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.evidence}; use {self.remedy}"

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "columns": list(self.columns)}


def find_leaks(table: pl.DataFrame, schema: Schema, task: Task, *, seed: int = 0, quick: bool = False) -> tuple[Leak, ...]:
    """The leaks between folds of a table, found before any fold is drawn.

    A table with a group column is not searched for groups, one with a time column not for times. Images, texts and series are
    compared for duplicates only. Trees are trained on some thousand rows, chosen by the seed.

    Args:
        table: Rows with a known target, with the columns of all roles, in their original order.
        schema: Kinds and roles of the columns.
        task: The task of the target.
        seed: Of everything random.
        quick: Search a sample of the rows, and no duplicates, which a split counts itself.

    Raises:
        DataError: The table lacks a column of the schema, or (TargetError) a row has no target.

    Example:
        >>> import numpy as np
        >>> draw = np.random.default_rng(0)
        >>> sick = draw.random(400) < 0.4
        >>> nights = [int(n) if n else None for n in sick * draw.integers(0, 9, 400)]
        >>> table = pl.DataFrame({"age": draw.integers(20, 90, 400), "nights_in_hospital": nights, "sick": sick})
        >>> leaks = find_leaks(table, Schema.infer(table, target="sick"), Task.infer(table, "sick"))
        >>> [(leak.kind, leak.remedy) for leak in leaks]
        [('after the fact', 'drop="nights_in_hospital"')]
    """
    present = set(table.columns)
    if missing := [column.name for column in schema.columns if column.name not in present]:
        raise DataError(f"the table lacks the column {missing[0]!r} of its schema; give the table that the schema is of")
    leaks = []
    names = [*(column.name for column in schema.features), *task.targets]
    if quick:
        sample = np.sort(np.random.default_rng(seed).permutation(len(table))[:QUICK_ROWS])
        rows = Rows.from_table(duplicates.unique(table[sample], names), schema, task, seed, quick=True)
    else:
        rows = Rows.from_table(schema.contents(table), schema, task, seed)
        if result := duplicates.find(rows):
            columns, evidence = result
            leaks.append(Leak("duplicates", columns, evidence, "unique=True"))
            if not columns:  # so that exact duplicates do not count in the searches below
                rows = Rows.from_table(duplicates.unique(table, names), schema, task, seed)
    at_random = not any(column.role in ("group", "time", "split") for column in schema.columns)
    # a sample has gaps between its rows
    successive = Rows.from_table(table.head(QUICK_ROWS), schema, task, seed) if quick and len(table) > QUICK_ROWS else rows
    if at_random and (result := windows.find(successive)):
        columns, evidence = result
        leaks.append(Leak("windows", columns, evidence, "time= or group=, a column with the time or the series of each window"))
    copies = targets.find_copies(rows)
    leaks += [Leak("target copy", (name,), evidence, _option("drop", name)) for name, evidence in copies.items()]
    indicators = targets.find_indicators(rows, set(copies))
    leaks += [Leak("after the fact", (one.column,), one.evidence, _option("drop", one.column)) for one in indicators]
    excluded = set(copies) | {indicator.column for indicator in indicators}
    for kind, search in (("group", folds.find_group), ("time", folds.find_time)):
        has_role = any(column.role in (kind, "split") for column in schema.columns)
        if not has_role and (result := search(rows, excluded)):
            name, evidence = result
            leaks.append(Leak(kind, (name,), evidence, _option(kind, name)))
    return tuple(sorted(leaks, key=lambda leak: KINDS.index(leak.kind)))


def _option(name: str, column: str) -> str:
    quoted = column.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{quoted}"'
