"""The rows of a tuning: test rows that no trial sees, and folds of the others that score the trials."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.fitting.folds import draw
from lamina.fitting.prepare import Prepared
from lamina.fitting.split import fixed, split, splitting_column
from lamina.tuning.terms import TuningTerms
from lamina.wording import count


@dataclass(frozen=True)
class Parts:
    """Positions of the rows (ascending), how they were drawn, and notes for a person.

    Attributes:
        folds: Training and scored rows of each fold; both are among the rows for the trials.
        train: All rows for the trials.
        test: The test rows.
    """

    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    train: np.ndarray
    test: np.ndarray
    how: str
    notes: tuple[str, ...] = ()


def draw_parts(prepared: Prepared, terms: TuningTerms, *, validation: float, seed: int) -> Parts:
    """The test rows and the folds, by the roles of the columns.

    At random and stratified; of a group column each group on one side; of a time column the latest rows are the test rows, and
    each fold scores later rows than it is trained on; a split column names the test rows, and the validation rows where it has
    both.

    Args:
        prepared: The rows.
        terms: The options of the tuning.
        validation: Share of the rows that score a trial where there is one fold.
        seed: Seed of the draws.

    Raises:
        DataError: There are too few rows, groups, times or rows of a class.
    """
    table, schema, task = prepared.table, prepared.schema, prepared.task
    by = splitting_column(schema)
    if by is not None and by.role == "split":
        notes: list[str] = []
        scored, last = fixed(table[by.name], notes)
        if not last.any():  # of two parts the second is the test rows
            scored, last = np.zeros(len(table), dtype=bool), scored
        train, test = np.flatnonzero(~last), np.flatnonzero(last)
        how = f"by the column {by.name}"
        if scored.any():
            folds = ((np.flatnonzero(~last & ~scored), np.flatnonzero(scored)),)
            return Parts(folds, train, test, f"{how}, which has validation and test rows")
        inner = Schema(tuple(column for column in schema.columns if column.name != by.name))
    else:
        outer = split(table, schema, task, validation=terms.test, seed=seed)
        train, test, how, inner = outer.train, outer.validation, outer.how, schema
        notes = [_of_test(note) for note in outer.notes]
    _check_few(prepared, test)
    rows = table[train]
    folds, inner_how = _folds(rows, inner, prepared, terms.fold_count(len(train)), validation=validation, seed=seed)
    folds = tuple((train[first], train[second]) for first, second in folds)
    return Parts(folds, train, test, f"test rows {how}; trials on {inner_how}", tuple(notes))


def _folds(
    rows: pl.DataFrame, schema: Schema, prepared: Prepared, folds: int, *, validation: float, seed: int
) -> tuple[tuple[tuple[np.ndarray, np.ndarray], ...], str]:
    """The folds of the rows for the trials: fewer where groups or times are too few for so many."""
    while folds > 1:
        try:
            drawn = draw(rows, schema, prepared.task, folds=folds, seed=seed)
            return tuple(zip(drawn.train, drawn.test, strict=True)), drawn.how
        except DataError:
            folds -= 1
    try:
        one = split(rows, schema, prepared.task, validation=max(validation, 0.2), seed=seed)
    except DataError as error:
        raise DataError(f"without the test rows, {error}") from error
    return ((one.train, one.validation),), f"one part {one.how}"


def _of_test(note: str) -> str:
    """A note on validation rows that are test rows here."""
    for word, other in (
        ("validation row", "test row"),
        ("never validated", "never tested"),
        ("raise validation", "raise test"),
    ):
        note = note.replace(word, other)
    return note


def _check_few(prepared: Prepared, test: np.ndarray) -> None:
    if len(test) < 2:
        raise DataError(
            f"{count(len(prepared.table), 'row')} leave {count(len(test), 'test row')} for the score; give more rows, or a "
            "larger share with test=0.5"
        )
