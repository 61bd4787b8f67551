"""Folds: the training and test rows on which every candidate is fitted and scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.fitting.split import fixed, group_numbers, ranks, splitting_column, times
from lamina.tasks.task import Outcome, Task
from lamina.wording import count


@dataclass(frozen=True)
class Folds:
    """Positions of training and test rows of each fold (ascending), how they were drawn, and notes for a person."""

    train: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]
    how: str
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.train)

    @property
    def test_share(self) -> float:
        """The share of test rows in a fold, the mean over folds; the overlap of training sets follows from it."""
        return float(np.mean([len(test) / (len(test) + len(train)) for train, test in zip(self.train, self.test, strict=True)]))


def draw(table: pl.DataFrame, schema: Schema, task: Task, *, folds: int = 5, repeats: int = 1, seed: int = 0) -> Folds:
    """Folds by the roles of the columns, drawn by scikit-learn's splitters.

    At random and stratified; with a group column each group on one side; with a time column from the past to the future (the
    first part is training rows only, and repeats would be the same, so there is one); with a split column its one fold.

    Raises:
        DataError: There are fewer groups, times or rows than folds, or the training rows of a fold have a single class.

    Example:
        >>> table = pl.DataFrame({"x": range(10), "y": ["a", "b"] * 5})
        >>> schema = Schema.infer(table, target="y")
        >>> drawn = draw(table, schema, Task.infer(table, "y"), folds=5, repeats=2)
        >>> len(drawn), drawn.how, len(drawn.test[0])
        (10, '5 folds at random, stratified, 2 times', 2)
    """
    by = splitting_column(schema)
    codes, outcomes = task.strata(table), task.outcomes(task.truth(table))
    notes: list[str] = []
    if by is not None and by.role == "split":
        test, unused = fixed(table[by.name], [])
        pairs, how = [(np.flatnonzero(~test & ~unused), np.flatnonzero(test))], f"one fold, by the column {by.name}"
    elif by is not None and by.role == "time":
        pairs, how = _by_time(table[by.name], folds, notes), f"{folds} folds from the past to the future by {by.name}"
    else:
        member = None if by is None else _groups(table[by.name], folds, notes)
        pairs = [pair for number in range(repeats) for pair in at_random(codes, len(table), member, folds, seed + number)]
        # a fit makes one of its groups validation rows, so the training rows need two of them
        if by is not None and member is not None and any(len(np.unique(member[train])) < 2 for train, _ in pairs):
            raise DataError(
                f"{len(np.unique(member))} groups of {by.name!r} leave one of {len(pairs)} folds with a single one to "
                "train on, but training and validation need one each; take more folds, or another column"
            )
        how = f"{folds} folds at random" + (f", each {by.name} on one side" if by else ", stratified" * (codes is not None))
        how += f", {repeats} times" if repeats > 1 else ""
    _check_targets(table, outcomes, pairs)
    for outcome in outcomes:
        notes += _rare(outcome, pairs)
    train, test = zip(*((np.sort(train), np.sort(test)) for train, test in pairs), strict=True)
    return Folds(train, test, how, tuple(notes))


def at_random(
    codes: np.ndarray | None, rows: int, member: np.ndarray | None, folds: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, stratified by codes (N,), with equal numbers of members (N,) on one side.

    Raises:
        DataError: There are fewer rows than folds.
    """
    from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold

    if rows < folds:
        raise DataError(f"{count(rows, 'row')} cannot make {folds} folds; give more rows, or fewer folds")
    if codes is None or member is not None:
        splitter = KFold if member is None else GroupKFold if codes is None else StratifiedGroupKFold
        return list(splitter(folds, shuffle=True, random_state=seed).split(np.zeros((rows, 1)), codes, member))
    # scikit-learn's StratifiedKFold refuses classes with fewer rows than folds; dealt out like cards, each fold gets its share.
    generator = np.random.default_rng(seed)
    order = generator.permutation(rows)
    order = order[np.argsort(codes[order], kind="stable")]
    fold = np.empty(rows, dtype=np.int64)
    fold[order] = np.arange(rows) % folds
    return [(np.flatnonzero(fold != number), np.flatnonzero(fold == number)) for number in range(folds)]


def _groups(column: pl.Series, folds: int, notes: list[str]) -> np.ndarray:
    """The number of each row's group. Rows without one are kept together, as a split keeps them."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    name = column.name
    if column.null_count() == len(column):
        raise DataError(f"the group column {name!r} has no value in any row; name another column or none")
    member = group_numbers(column, notes)
    sizes = np.bincount(member)
    known = int((sizes > 0).sum())
    if known < 3:  # in each fold one for test, one for training, one for validation
        few = "a single group" if known == 1 else "2 groups"
        raise DataError(f"the group column {name!r} holds {few}, expected at least 3; name another column or none")
    if known < folds:
        raise DataError(
            f"the group column {name!r} has {known} groups, which cannot make {folds} folds; take at most {known} folds"
        )
    if 2 * sizes.max() > len(column):
        largest, most = int(sizes.argmax()), int(sizes.max())
        which = f"{name} {column[int((member == largest).argmax())]!r} has" if largest else f"rows without {name} are"
        notes.append(
            f"{which} {most:,} of {len(column):,} rows: the fold with them as test rows trains on "
            f"{count(len(column) - most, 'row')} only, so scores differ much from fold to fold"
        )
    return member


def _by_time(column: pl.Series, folds: int, notes: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The times in folds + 1 parts of about as many rows; each part but the first is predicted from all before it."""
    rank = ranks(times(column))  # rows without a time only train
    counts = np.bincount(rank)
    part = (np.cumsum(counts) - counts) * (folds + 1) // len(rank)  # of each time
    present = np.unique(part[1:])
    early = np.flatnonzero(part[1:] == present[0]) + 1
    if len(present) < folds + 1 or len(early) < 2:  # a fit makes the later times of the first part validation rows
        raise DataError(
            f"the time column {column.name!r} has too few different times for {folds} folds from the past to the future; "
            "take fewer folds, or another column"
        )
    of_row = part[rank]
    of_row[rank == 0] = -1
    if counts[0]:
        notes.append(f"{count(int(counts[0]), 'row')} without a value in {column.name}: only training rows")
    return [(np.flatnonzero(of_row < number), np.flatnonzero(of_row == number)) for number in present[1:]]


def _rare(outcome: Outcome, pairs: list[tuple[np.ndarray, np.ndarray]]) -> list[str]:
    """Notes about classes without training or test rows in some folds."""
    if outcome.labels is None:
        return []
    notes, classes, codes = [], outcome.labels, outcome.values
    for name, parts in (("training", [train for train, _ in pairs]), ("test", [test for _, test in pairs])):
        absent = np.sum([np.bincount(codes[part][codes[part] >= 0], minlength=len(classes)) == 0 for part in parts], axis=0)
        if len(short := np.flatnonzero(absent)):
            shown = ", ".join(repr(classes[code]) for code in short[:3]) + (", ..." if len(short) > 3 else "")
            which = f"class {shown} has" if len(short) == 1 else f"{len(short)} classes ({shown}) have"
            few = "too few rows for so many folds; merge_rare=True merges rare classes"
            notes.append(f"{which} no {name} row in up to {absent.max()} of {len(pairs)} folds: {few}")
    return notes


def _check_targets(table: pl.DataFrame, outcomes: tuple[Outcome, ...], pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    """In the training rows of each fold some outcome must vary, and every quantity."""
    for number, (train, _) in enumerate(pairs, 1):
        alike = [outcome for outcome in outcomes if (outcome.values[train] == outcome.values[train[0]]).all()]
        if not alike or (len(alike) < len(outcomes) and all(outcome.labels is not None for outcome in alike)):
            continue
        name, values = alike[0].target, alike[0].values
        others = int((values != values[train[0]]).sum())
        shown = table[name][int(train[0])] if name in table.columns else alike[0].named(int(values[train[0]]))
        raise DataError(
            f"fold {number} of {len(pairs)} would train only on rows where {name!r} is {shown!r}: "
            f"{count(others, 'row')} of {len(table):,} {'has' if others == 1 else 'have'} another value; give more of these, "
            "or split another way"
        )
