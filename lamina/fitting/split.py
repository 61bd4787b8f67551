"""The split into training rows and validation rows."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from lamina.data.rowhash import hash_rows
from lamina.data.schema import Column, Schema
from lamina.errors import DataError
from lamina.fitting.settings import SPLITTERS
from lamina.tasks.task import Outcome, Task
from lamina.wording import count, listed

TRAIN_WORDS = ("train", "training", "fit", "false", "0", "0.0")
VALIDATION_WORDS = ("valid", "validation", "val", "dev", "true", "1", "1.0")
TEST_WORDS = ("test", "testing", "holdout", "eval", "evaluation")
"""Words of a split column, in any case; true and 1 are validation rows, and test rows are where no other rows are."""

OUT_OF_BAG = "out of bag: by the trees that were not fitted to it"
OUT_OF_FOLD = "out of fold: by the models that were not fitted to it"
"""How rows are validated where there are no validation rows, for a person to read."""


@dataclass(frozen=True)
class Split:
    """Positions of training and validation rows (ascending), how they were chosen, and notes for a person.

    With ``out_of_bag`` all rows are training rows, and each is validated by the trees that were not fitted to it. ``test`` rows
    are those that a split column sets aside beside validation rows: the finished model is scored on them, once.
    """

    train: np.ndarray
    validation: np.ndarray
    how: str
    notes: tuple[str, ...] = ()
    out_of_bag: bool = False
    test: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def split(table: pl.DataFrame, schema: Schema, task: Task, *, validation: float = 0.2, seed: int = 0) -> Split:
    """Training and validation rows by the roles of the columns; the same seed chooses the same rows.

    A ``split`` column names the side of each row, a ``group`` stays on one side, with ``time`` the latest rows are validation
    rows. Without such a column rows are drawn at random, stratified by class. Validation rows with an exact duplicate among the
    training rows make the scores too good: the notes count them.

    Args:
        table: At least two rows, whose target is known.
        schema: The columns, at most one of them with the role split, group or time.
        task: A classification is stratified, with at least one training row of each class.
        validation: Share of the rows; a split column overrules it.
        seed: Everything random follows from it.

    Raises:
        DataError: The rows cannot be split this way.

    Example:
        >>> from lamina.data.schema import Column
        >>> table = pl.DataFrame({"x": range(10), "y": ["a", "b"] * 5})
        >>> schema = Schema((Column("x", "number", "feature", "", {}), Column("y", "flag", "target", "", {})))
        >>> parts = split(table, schema, Task.infer(table, "y"))
        >>> parts.how, len(parts.train), table["y"].gather(parts.validation).sort().to_list()
        ('at random, stratified', 8, ['a', 'b'])
    """
    by = splitting_column(schema)
    generator = np.random.default_rng(seed)
    notes: list[str] = []
    test = np.zeros(len(table), dtype=bool)
    if by is None:
        strata = task.strata(table)
        validation_rows = _random(np.zeros(len(table), dtype=np.int64) if strata is None else strata, validation, generator)
        how = "at random" if strata is None else "at random, stratified"
    else:
        column = table[by.name]
        if column.dtype.is_float():
            column = column.fill_nan(None)
        if column.null_count() == len(column):
            raise DataError(f"the {by.role} column {column.name!r} has no value in any row; name another column or none")
        if by.role == "split":
            validation_rows, test = fixed(column, notes)
            how = f"by the column {column.name}"
        elif by.role == "group":
            validation_rows = _groups(column, validation, generator, notes)
            how = f"at random, each {column.name} on one side"
        else:
            validation_rows = _latest(column, validation, notes)
            how = f"by time: the latest rows by {column.name}"
    train = ~validation_rows & ~test
    outcomes = task.outcomes(task.truth(table))
    _check_outcomes(outcomes, train, validation_rows, notes)
    rows = np.flatnonzero(train), np.flatnonzero(validation_rows)
    features, hashes = hashed_features(table, schema)
    notes += _contradictions(table, schema, hashes, outcomes)
    if duplicates := count_duplicates(features, hashes, *rows):
        which = f"{duplicates:,} of {len(rows[1]):,} validation rows {'have' if duplicates > 1 else 'has'}"
        notes.append(f"{which} {_duplicate(schema)} among the training rows: scores may be better than on new rows")
    return Split(*rows, how, tuple(notes), test=np.flatnonzero(test))


def _duplicate(schema: Schema) -> str:
    """What a row with equal features is called: of an image, a copy in another encoding is one, too."""
    return "a duplicate" if schema.by_kind("image") else "an exact duplicate"


def _contradictions(table: pl.DataFrame, schema: Schema, hashes: np.ndarray, outcomes: tuple[Outcome, ...]) -> list[str]:
    """A sentence on rows of images, texts or series that are equal in every feature but not in their class."""
    labels = outcomes[0].labels if len(outcomes) == 1 else None
    kinds = {column.kind for column in schema.features}
    rich = [table.get_column(column.name) for column in schema.features if column not in schema.plain]
    if labels is None or not rich:
        return []
    rows = pl.DataFrame({"hash": hashes, "label": outcomes[0].values}).with_row_index()
    rows = rows.filter(functools.reduce(operator.and_, [column.is_not_null() for column in rich]))
    rows = rows.filter(pl.col("label").n_unique().over("hash") > 1)
    if rows.is_empty():
        return []
    shown = []
    for row, _, label in rows.filter(pl.col("hash") == rows["hash"][0]).unique("label", maintain_order=True).head(2).rows():
        value = rich[0][row]
        shown.append(f"{value!r:.200} in {labels[label]!r}" if isinstance(value, str) else f"one in {labels[label]!r}")
    same = f"the same {kinds.pop()}" if len(schema.features) == 1 else "the same features"
    return [
        f"{count(len(rows), 'row')} have {same} as a row of another class, such as {' and '.join(shown)}; correct the labels"
    ]


def splitting_column(schema: Schema) -> Column | None:
    """The column that says how to split; DataError for several."""
    by = [column for column in schema.columns if column.role in SPLITTERS]
    if len(by) > 1:
        given = ", ".join(f"{column.name} ({column.role})" for column in by)
        raise DataError(f"{len(by)} columns say how to split: {given}; keep one of them and give the others the role 'ignored'")
    return by[0] if by else None


def out_of_bag(table: pl.DataFrame, schema: Schema, task: Task, *, how: str = OUT_OF_BAG) -> Split:
    """All rows are training rows and validation rows: each is validated by trees or models that were not fitted to it.

    Of two duplicates one may be in the bag and the other out of it, so the notes count them.
    """
    rows = np.arange(len(table))
    features, hashes = hashed_features(table, schema)
    duplicates = len(table) - len(np.unique(hashes)) if features.width else 0
    have = "has" if duplicates == 1 else "have"
    note = f"{count(duplicates, 'row')} {have} {_duplicate(schema)}: scores may be better than on new rows"
    notes = _contradictions(table, schema, hashes, task.outcomes(task.truth(table)))
    return Split(rows, rows, how, (*notes, *([note] if duplicates else [])), out_of_bag=True)


def hashed_features(table: pl.DataFrame, schema: Schema) -> tuple[pl.DataFrame, np.ndarray]:
    """The features, with image files as numbers of their content, and the hash of each row (N,)."""
    table = schema.contents(table)
    features = table.select([table.get_column(column.name) for column in schema.features])
    return features, hash_rows(features)


def count_duplicates(features: pl.DataFrame, hashes: np.ndarray, train: np.ndarray, validation: np.ndarray) -> int:
    """How many validation rows equal a training row in every feature.

    Rows are compared by hash, then the few that agree value by value (images and series in memory by the hash alone).
    """
    if not features.width:
        return 0
    known = pl.DataFrame({"hash": hashes[train], "train": train}).unique("hash", keep="any")
    pairs = pl.DataFrame({"hash": hashes[validation], "row": validation}).join(known, on="hash")
    same = np.ones(len(pairs), dtype=bool)
    for column in features:
        if not column.dtype.is_nested():
            same &= column.gather(pairs["row"]).eq_missing(column.gather(pairs["train"])).to_numpy()
    return int(same.sum())


def _random(codes: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Validation rows in proportion to the classes: the share of each rounded down, then one more by the largest remainders."""
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
    validation_rows = np.zeros(len(codes), dtype=bool)
    validation_rows[shuffled[place < np.repeat(take, counts)]] = True
    return validation_rows


def _groups(column: pl.Series, share: float, generator: np.random.Generator, notes: list[str]) -> np.ndarray:
    """Validation groups: whole groups in random order, each that still fits, until the share is reached."""
    member = group_numbers(column, notes)
    sizes = np.bincount(member)
    groups = np.flatnonzero(sizes)
    if len(groups) < 2:
        raise DataError(
            f"the group column {column.name!r} holds a single group, expected at least 2; name another column or none"
        )
    target, taken, chosen = max(round(len(column) * share), 1), 0, []
    order = generator.permutation(groups)
    for group, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if taken + size <= target:
            chosen.append(group)
            taken += size
        if taken == target:
            break
    if not chosen:  # every group is larger than the share
        chosen = [groups[sizes[groups].argmin()]]
    return np.isin(member, chosen)


def _latest(column: pl.Series, share: float, notes: list[str]) -> np.ndarray:
    """The latest rows as validation rows; rows of the same time stay together, on the side that is nearer to the share."""
    rank = ranks(times(column))  # 0: no time
    if missing := int((rank == 0).sum()):
        notes.append(f"{count(missing, 'row')} without a value in {column.name}: training rows")
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
        notes.append(f"{count(missing, 'row')} without a value in {column.name}: kept together as one group")
    return ranks(column)


def ranks(column: pl.Series) -> np.ndarray:
    """The rank of each value among the distinct ones, from 1 on; 0 for a missing one."""
    return column.rank("dense").fill_null(0).to_numpy().astype(np.int64)


def times(column: pl.Series) -> pl.Series:
    """The values of a time column as dates or numbers; DataError if it holds neither."""
    try:
        values = column.str.to_datetime(time_zone="UTC", strict=False) if column.dtype == pl.String else column
    except pl.exceptions.ComputeError:  # polars before 2.0: no format fits
        values = column
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()) or values.null_count() == len(values):
        raise DataError(f"the time column {column.name!r} holds neither dates nor numbers; name another column or none")
    return values


def fixed(column: pl.Series, notes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Masks of validation rows and of test rows, from a split column."""
    words = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    known = pl.Series([*TRAIN_WORDS, *VALIDATION_WORDS, *TEST_WORDS])
    if len(strange := column.filter(~words.is_in(known.implode()).fill_null(False))):
        raise DataError(
            f"the split column {column.name!r} holds {strange[0]!r} in {count(len(strange), 'row')}, expected train, "
            "validation, test, or true and false, or 1 and 0 (1 validates)"
        )
    validation_rows, test = (words.is_in(pl.Series(some).implode()).to_numpy() for some in (VALIDATION_WORDS, TEST_WORDS))
    if not validation_rows.any():
        validation_rows, test = test, np.zeros_like(test)
    for side, rows in (("validation", validation_rows), ("training", ~validation_rows & ~test)):
        if not rows.any():
            raise DataError(f"the split column {column.name!r} leaves no {side} row; mark some, or name no split column")
    if test.any():
        notes.append(f"{count(int(test.sum()), 'row')} marked as test in {column.name}: neither training nor validation rows")
    return validation_rows, test


def _check_outcomes(outcomes: tuple[Outcome, ...], train: np.ndarray, validation: np.ndarray, notes: list[str]) -> None:
    """Note classes without training rows or validation rows; DataError if all training rows are of one class."""
    alone = []
    for outcome in outcomes:
        if outcome.labels is None:
            continue
        labels = outcome.labels
        sides = (outcome.values[train], outcome.values[validation])
        trained, validated = (np.bincount(known[known >= 0], minlength=len(labels)) for known in sides)
        present = trained > 0
        if never := np.flatnonzero(present & (validated == 0)).tolist():
            names = listed([outcome.named(code) for code in never], 5)
            which = "this class was" if len(never) == 1 else "these classes were"
            notes.append(
                f"no validation row has {names} ({count(int(trained[never].sum()), 'training row')}): {which} never validated; "
                "get more rows, raise validation, or merge rare classes (merge_rare=True, --merge-rare)"
            )
        if present.sum() < 2:
            alone.append(outcome.named(int(present.argmax())))
        if absent := [repr(label) for label, there in zip(labels, present, strict=True) if not there]:
            one = len(absent) == 1
            which = f"class {absent[0]} has" if one else f"classes {', '.join(absent[:5])} have"
            notes.append(f"{which} no training row in this split, so {'it' if one else 'they'} cannot be predicted")
    if alone and len(alone) == len(outcomes):
        raise DataError(
            f"all training rows of this split are of one class ({alone[0]}); split another way or with another seed"
        )
