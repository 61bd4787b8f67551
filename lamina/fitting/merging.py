"""Rare classes of a target, merged into one."""

from __future__ import annotations

import dataclasses

import polars as pl

from lamina.data.cells import merged
from lamina.data.columns.column import Column
from lamina.data.frames import free_name
from lamina.data.schema import Schema
from lamina.errors import OptionError, TargetError
from lamina.fitting.settings import Settings
from lamina.tasks import TASKS
from lamina.tasks.target import looks_like_classes, missing, plain, target_column
from lamina.wording import count, listed

RARE_ROWS = 10
"""A class of fewer rows is rare."""
OTHER = "other"


def rare_classes(table: pl.DataFrame, settings: Settings) -> dict[str, int]:
    """The rare classes of the target as text, with their rows; the next one too, if these are fewer rows than a class needs.

    Raises:
        OptionError: The target has no classes.
        TargetError: Fewer than two classes would be left.

    Example:
        >>> table = pl.DataFrame({"y": ["a"] * 20 + ["b"] * 15 + ["c", "d", "d"]})
        >>> rare_classes(table, Settings("y", merge_rare=True))
        {'c': 1, 'd': 2}
    """
    name = settings.targets[0]
    column = plain(target_column(table, name))
    column = column.filter(pl.Series(~missing(column)))
    classes = looks_like_classes(name, column)[0] if settings.task is None else TASKS[settings.task].has_classes
    if len(settings.targets) > 1 or not classes:
        names = ", ".join(map(repr, settings.targets))
        raise OptionError(f"merge_rare is for one target of classes, and {names} is none; leave merge_rare out")
    counts = merged(column, []).alias("class").value_counts(name="rows").sort("rows", "class")
    rows = dict(counts.iter_rows())
    rare = {label: rows[label] for label in rows if rows[label] < RARE_ROWS}
    if rare and sum(rare.values()) < settings.fewest:
        rare = {label: rows[label] for label in list(rows)[: len(rare) + 1]}
    if rare and len(rows) - len(rare) < 1:
        raise TargetError(
            f"all {len(rows)} classes of target {name!r} have fewer than {RARE_ROWS} rows, so merge_rare would leave one; "
            "give more rows, or a target of fewer classes"
        )
    return rare


def merge_rare(table: pl.DataFrame, settings: Settings) -> tuple[pl.DataFrame, dict[str, object], str]:
    """The table with rare classes merged, details of it for the column of the target, and a note."""
    rare = rare_classes(table, settings) if settings.merge_rare else {}
    if not rare:
        return table, {}, ""
    name = settings.targets[0]
    column = table[name]
    other = free_name(OTHER, {str(label).lower() for label in set(merged(column, [])) - rare.keys()})
    shown = listed([f"{label!r} ({count(rows, 'row')})" for label, rows in rare.items()], 10)
    many = "classes" if len(rare) > 1 else "class"
    note = f"{len(rare)} rare {many} of {name} merged into {other!r}: {shown}"
    return table.with_columns(merged(column, list(rare), other)), {"merged": list(rare), "other": other}, note


def with_merged(schema: Schema, target: str, details: dict[str, object]) -> Schema:
    """The schema, whose target keeps what was merged, for later rows."""
    if not details:
        return schema

    def changed(column: Column) -> Column:
        return dataclasses.replace(column, details={**column.details, **details}) if column.name == target else column

    return Schema(tuple(map(changed, schema.columns)))
