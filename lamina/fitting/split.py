"""The split: which rows train, and which are held back to validate.

How follows from the roles of the schema: a column with the role ``split`` says it itself, ``group`` keeps a group on one side,
``time`` holds back the latest rows; without such a column rows are drawn at random, class by class for a classification.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.rowhash import hash_rows
from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError
from lamina.tasks.target import count_rows
from lamina.tasks.task import Outcome, Task

TRAIN_WORDS = ("train", "training", "fit", "false", "0", "0.0")
VALIDATION_WORDS = ("valid", "validation", "val", "dev", "true", "1", "1.0")
TEST_WORDS = ("test", "testing", "holdout", "eval", "evaluation")
"""Words of a split column, in any case: true and 1 mean "this row validates". Test rows validate when no other rows do."""

ROLES = ("split", "group", "time")
"""The roles of a column that says how to split."""
OUT_OF_BAG = "out of bag: by the trees that did not learn from it"
"""How rows validate where nothing is held back, for a person to read."""


@dataclass(frozen=True)
class Split:
    """Rows (their positions, rising) that train and that validate, how they were chosen, and what a person should know.

    ``out_of_bag`` says that all rows train, and each is validated by the trees that did not learn from it.
    """

    train: np.ndarray
    validation: np.ndarray
    how: str
    notes: tuple[str, ...] = ()
    out_of_bag: bool = False


def split(table: pl.DataFrame, schema: Schema, task: Task, *, validation: float = 0.2, seed: int = 0) -> Split:
    """Choose the rows that validate; the same seed chooses the same rows.

    Rows to validate that have an exact double among the training rows make the result look better than it is: they are counted
    in the notes.

    Args:
        table: Rows whose target is known (see :meth:`lamina.tasks.Task.usable_rows`), with the columns of all roles.
        schema: Says by its roles how to split. At most one column may have the role split, group or time.
        task: A classification is split class by class, in proportion, with at least one training row in each.
        validation: Share of rows that validate. A split column overrules it.
        seed: Everything random follows from it.

    Raises:
        OptionError: The share is out of bounds.
        DataError: The rows cannot be split so.

    Example:
        >>> from lamina.data.schema import Column
        >>> table = pl.DataFrame({"x": range(10), "y": ["a", "b"] * 5})
        >>> schema = Schema((Column("x", "number", "feature", "", {}), Column("y", "flag", "target", "", {})))
        >>> found = split(table, schema, Task.infer(table, "y"))
        >>> found.how, len(found.train), table["y"].gather(found.validation).sort().to_list()
        ('at random, class by class', 8, ['a', 'b'])
    """
    if isinstance(validation, bool) or not isinstance(validation, int | float) or not 0 < validation <= 0.9:
        raise OptionError(f"validation is {validation!r}, expected a share of the rows above 0 and up to 0.9, such as 0.2")
    if len(table) < 2:
        raise DataError(
            f"{count_rows(len(table))} cannot be split into training and validation; give at least 2, and many more to learn"
        )
    by = [column for column in schema.columns if column.role in ROLES]
    if len(by) > 1:
        given = ", ".join(f"{column.name} ({column.role})" for column in by)
        raise DataError(f"{len(by)} columns say how to split: {given}; keep one of them and give the others the role 'ignored'")
    generator = np.random.default_rng(seed)
    notes: list[str] = []
    unused = np.zeros(len(table), dtype=bool)
    if not by:
        strata = task.strata(table)
        held = _random(np.zeros(len(table), dtype=np.int64) if strata is None else strata, validation, generator)
        how = "at random" if strata is None else "at random, class by class"
    else:
        column = table[by[0].name]
        if column.dtype.is_float():
            column = column.fill_nan(None)
        if column.null_count() == len(column):
            raise DataError(f"the {by[0].role} column {column.name!r} has no value in any row; name another column or none")
        if by[0].role == "split":
            held, unused = fixed(column, notes)
            how = f"as the column {column.name} says"
        elif by[0].role == "group":
            held = _groups(column, validation, generator, notes)
            how = f"at random, each {column.name} wholly on one side"
        else:
            held = _latest(column, validation, notes)
            how = f"by time, the latest {column.name} validates"
    train = ~held & ~unused
    check_outcomes(task.outcomes(task.truth(table)), train, notes)
    rows = np.flatnonzero(train), np.flatnonzero(held)
    doubles = count_duplicates(table, schema, *rows)
    if doubles:
        them = f"{doubles:,} row{'s' * (doubles > 1)} of {len(rows[1]):,} in validation {'have' if doubles > 1 else 'has'}"
        notes.append(f"{them} an exact double in training: the result may look better than it is on new rows")
    return Split(*rows, how, tuple(notes))


def out_of_bag(table: pl.DataFrame, schema: Schema) -> Split:
    """All rows train, and all validate: each by what did not learn from it.

    Of rows with an exact double one may be in the bag and the other out of it, so these are counted in the notes.
    """
    rows = np.arange(len(table))
    features = table.select([table.get_column(column.name) for column in schema.features])
    doubles = len(table) - len(np.unique(hash_rows(features))) if features.width else 0
    have = "has" if doubles == 1 else "have"
    note = f"{count_rows(doubles)} {have} an exact double: the result may look better than it is on new rows"
    return Split(rows, rows, OUT_OF_BAG, (note,) if doubles else (), out_of_bag=True)


def count_duplicates(table: pl.DataFrame, schema: Schema, train: np.ndarray, validation: np.ndarray) -> int:
    """How many validation rows equal a training row in every feature (the target is not looked at).

    Rows are compared by a hash of 64 bits, then the few that agree value by value (images and series in memory by the hash
    alone).
    """
    features = table.select([table.get_column(column.name) for column in schema.features])
    if not features.width:
        return 0
    hashes = hash_rows(features)
    learnt = pl.DataFrame({"hash": hashes[train], "train": train}).unique("hash", keep="any")
    pairs = pl.DataFrame({"hash": hashes[validation], "row": validation}).join(learnt, on="hash")
    same = np.ones(len(pairs), dtype=bool)
    for column in features:
        if not column.dtype.is_nested():
            same &= column.gather(pairs["row"]).eq_missing(column.gather(pairs["train"])).to_numpy()
    return int(same.sum())


def _random(codes: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Hold back rows in proportion to the classes: the share of each rounded down, and one more of the largest remainders."""
    counts = np.bincount(codes)
    room = np.maximum(counts - 1, 0)
    if not room.any():
        raise DataError(
            f"{len(codes)} rows in {len(counts)} classes cannot be split: the only row of a class must train; get more rows"
        )
    exact = counts * share
    take = np.minimum(exact.astype(np.int64), room)
    order = np.lexsort((-counts, -np.where(take < room, exact - take, -1.0)))
    missing = max(round(len(codes) * share), 1) - int(take.sum())
    extra = order[: max(missing, 0)]
    take[extra] = np.minimum(take[extra] + 1, room[extra])
    shuffled = generator.permutation(len(codes))
    shuffled = shuffled[np.argsort(codes[shuffled], kind="stable")]
    place = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)  # of each row within its class
    held = np.zeros(len(codes), dtype=bool)
    held[shuffled[place < np.repeat(take, counts)]] = True
    return held


def _groups(column: pl.Series, share: float, generator: np.random.Generator, notes: list[str]) -> np.ndarray:
    """Hold back whole groups in random order, each that still fits, until the share is reached."""
    member = group_numbers(column, notes)
    sizes = np.bincount(member)
    groups = np.flatnonzero(sizes)
    if len(groups) < 2:
        raise DataError(
            f"the group column {column.name!r} holds a single group, expected at least 2; name another column or none"
        )
    wanted, held, chosen = max(round(len(column) * share), 1), 0, []
    order = generator.permutation(groups)
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if held + size <= wanted:
            chosen.append(group)
            held += size
        if held == wanted:
            break
    if not chosen:  # every group is larger than the share
        chosen = [groups[sizes[groups].argmin()]]
    return np.isin(member, chosen)


def _latest(column: pl.Series, share: float, notes: list[str]) -> np.ndarray:
    """Hold back the latest rows; rows of the same time stay together, on the side that comes nearer to the share."""
    rank = times(column).rank("dense").fill_null(0).to_numpy().astype(np.int64)  # 0: no time
    missing = int((rank == 0).sum())
    if missing:
        notes.append(f"{count_rows(missing)} without a value in {column.name}: used for training")
    later = np.cumsum(np.bincount(rank)[::-1])[::-1]  # rows at this time or after
    if len(later) < 3:
        raise DataError(
            f"the time column {column.name!r} has the same time in all rows, expected at least 2 times; "
            "name another column or none"
        )
    first = 2 + int(np.abs(later[2:] - len(column) * share).argmin())
    return rank >= first


def group_numbers(column: pl.Series, notes: list[str]) -> np.ndarray:
    """The number of each row's group, from 1 on. Rows without one are kept together, as group 0."""
    if missing := column.null_count():
        notes.append(f"{count_rows(missing)} without a value in {column.name}: kept together as one group")
    return column.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def times(column: pl.Series) -> pl.Series:
    """The values of a time column as dates or numbers.

    Raises:
        DataError: It holds neither.
    """
    try:
        found = column.str.to_datetime(time_zone="UTC", strict=False) if column.dtype == pl.String else column
    except pl.exceptions.ComputeError:  # polars before 2.0: no format fits
        found = column
    if not (found.dtype.is_numeric() or found.dtype.is_temporal()) or found.null_count() == len(found):
        raise DataError(f"the time column {column.name!r} holds neither dates nor numbers; name another column or none")
    return found


def fixed(column: pl.Series, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Read a split column: rows that validate, and rows that are for neither."""
    words = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    known = pl.Series([*TRAIN_WORDS, *VALIDATION_WORDS, *TEST_WORDS])
    strange = column.filter(~words.is_in(known.implode()).fill_null(False))
    if len(strange):
        raise DataError(
            f"the split column {column.name!r} holds {strange[0]!r} in {count_rows(len(strange))}, expected train, validation, "
            "test, or true and false, or 1 and 0 (1 validates)"
        )
    held, test = (words.is_in(pl.Series(some).implode()).to_numpy() for some in (VALIDATION_WORDS, TEST_WORDS))
    if not held.any():
        held, test = test, np.zeros_like(test)
    for side, rows in (("validate", held), ("train", ~held & ~test)):
        if not rows.any():
            raise DataError(f"the split column {column.name!r} leaves no row to {side}; mark some, or name no split column")
    if test.any():
        notes.append(f"{count_rows(int(test.sum()))} marked as test in {column.name}: for neither training nor validation")
    return held, test


def check_outcomes(outcomes: tuple[Outcome, ...], train: np.ndarray, notes: list[str]) -> None:
    """Rows chosen by group, time or column may leave a class without training rows.

    Raises:
        DataError: There is nothing to learn: all training rows are of one class.
    """
    classes = [outcome for outcome in outcomes if outcome.labels is not None]
    alone = []
    for outcome in classes:
        labels, known = outcome.labels or (), outcome.values[train]
        present = np.bincount(known[known >= 0], minlength=len(labels)) > 0
        if present.sum() < 2:
            alone.append(outcome.named(int(present.argmax())))
        absent = [repr(label) for label, there in zip(labels, present, strict=True) if not there]
        if absent:
            which, it = (
                (f"class {absent[0]} has", "it") if len(absent) == 1 else (f"classes {', '.join(absent[:5])} have", "they")
            )
            notes.append(f"{which} no training row in this split, so {it} cannot be learnt")
    if alone and len(alone) == len(outcomes):
        raise DataError(
            f"all training rows of this split are of one class ({alone[0]}); split another way or with another seed"
        )
