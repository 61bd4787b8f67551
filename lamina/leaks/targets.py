"""Columns that hold the answer: copies of the target, and columns that are filled in once it is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from lamina.data.schema import Column
from lamina.leaks.rows import FOLDS, SAMPLE, Rows, foretell, losses, random_folds, stands_for

COPY_OF_CLASS, COPY_OF_QUANTITY = 0.02, 0.01
"""Most that a copy leaves unexplained, as a share of what the mean answer leaves."""
UNTOLD = 0.1
"""Least that all other columns together leave unexplained: where they can tell it too, the task is easy and this no leak."""
TIMES = 10
"""And so many times more than the copy leaves."""
IMPURE = 0.05
"""Most rows of another answer among those that a value marks, as a share of those among all rows."""
LEAST = 20
_TRIAL = 1_000  # rows of the first look
_PROMISING = 0.2
_FINE = 10  # folds of the second look: few values are taken away at once, so the next one is near
_FEW = 20  # values of a column that may stand for answers one by one, and ten for each class
_COVER = {"level": 0.8, "flag": 0.5, "blank": 0.25}  # least share of the rows of an answer that is marked
_LOOKED_AT = 50_000
_SHOWN = 30  # levels of a category that are looked at one by one
_BLANKS = ("", "-", "na", "n/a", "nan", "none", "null", "unknown", "missing", "not applicable")
_COMMON = 0.05  # share of rows from which on a number may be a blank or an answer by itself
_SAME = 0.7  # overlap of what two columns mark from which on they tell the same event


@dataclass(frozen=True)
class Mark:
    """A value of a column, or its absence, that marks rows of one answer."""

    column: str
    rows: np.ndarray
    answer: np.ndarray
    evidence: str

    @property
    def wrong(self) -> float:
        """Share of the marked rows that have another answer."""
        return 1 - float(self.answer[self.rows].mean())

    @property
    def cover(self) -> float:
        """Share of the rows of the answer that are marked."""
        return float(self.rows[self.answer].mean())


def copies(rows: Rows) -> dict[str, str]:
    """Columns that alone tell the answer (almost) exactly while the others together are far from it, each with the evidence."""
    few, some = rows.some(_TRIAL), rows.some(SAMPLE * 2)
    most = COPY_OF_CLASS if rows.classes else COPY_OF_QUANTITY
    suspects: dict[str, float] = {}
    if len(few) < LEAST:
        return {}
    for column in rows.columns:
        if stands_for(column.name):
            continue
        left = _left_by(rows, column, few, FOLDS)
        if left <= _PROMISING and (left := _left_by(rows, column, some, _FINE)) <= most:
            suspects[column.name] = left
    if not suspects or len(suspects) == len(rows.columns):
        return {}
    some = some[:: -(-len(some) // SAMPLE)]
    fold = random_folds(len(some), np.random.default_rng(rows.seed))
    rest = foretell(rows.without(*suspects)[some], rows.answers[some], fold, rows.seed)
    left = float(losses(rest, rows.answers[some]).mean())
    return {
        name: f"{name} alone tells {1 - own:.1%} of what there is to know about {' and '.join(rows.task.targets)}, "
        f"all other columns together {max(1 - left, 0):.0%}"
        for name, own in suspects.items()
        if left >= max(UNTOLD, TIMES * own)
    }


def marks(rows: Rows, passed: set[str]) -> list[Mark]:
    """Columns that are filled in, or hold one value, for one answer only, while the others cannot tell these rows."""
    some = rows.some(_LOOKED_AT)
    found = [mark for column in rows.columns if column.name not in passed and (mark := _best_mark(rows, column, some))]
    few = np.arange(min(len(some), 2 * SAMPLE)) * max(len(some) // (2 * SAMPLE), 1)
    kept = []
    for mark in found:
        same = [other.column for other in found if _overlap(mark, other) >= _SAME]
        marked, answer = mark.rows[few], mark.answer[few].astype(float)
        if marked.sum() < LEAST / 2:
            continue
        fold = random_folds(len(few), np.random.default_rng(rows.seed))
        said = foretell(rows.without(*passed, *same)[some[few]], answer[:, None], fold, rows.seed)[:, 0]
        missed = float((said[marked] < 0.5).mean())
        if missed >= max(UNTOLD * (1 - answer.mean()), TIMES * mark.wrong):
            kept.append(mark)
    return kept


def _left_by(rows: Rows, column: Column, some: np.ndarray, folds: int) -> float:
    """What a tree that sees one column leaves unexplained.

    A number is asked for values that the tree has not seen: so a number that stands for a customer does not count as a copy
    because a customer's answer is always the same.
    """
    from sklearn.tree import DecisionTreeRegressor

    inputs, answers = rows.inputs[np.ix_(some, rows.owners == rows.columns.index(column))], rows.answers[some]
    generator = np.random.default_rng(rows.seed)
    values, place = np.unique(inputs[:, 0], return_inverse=True)
    many = len(values) > max(_FEW, 10 * rows.classes)
    if many and column.kind == "category":
        return 1.0
    fold = random_folds(len(values), generator, folds)[place] if many else random_folds(len(some), generator, folds)
    tree = DecisionTreeRegressor(min_samples_leaf=5 if len(some) >= 500 else 2)
    left = np.empty(len(some))
    for held in range(folds):
        train = fold != held
        if train.all() or not train.any():
            return 1.0
        said = tree.fit(inputs[train], answers[train]).predict(inputs[~train]).reshape(-1, answers.shape[1])
        left[~train] = ((said - answers[~train]) ** 2).sum(axis=1)
    return float(left.mean() / (answers.var(axis=0).sum() or 1.0))


def _best_mark(rows: Rows, column: Column, some: np.ndarray) -> Mark | None:
    found = [
        mark
        for marked, words, cover, beside in _signs(rows, column, some)
        if marked.sum() >= LEAST
        for answer, named in _answers(rows, some, marked)
        if (mark := _mark(column.name, marked, answer, f"{column.name} {words}", named)) and mark.cover >= cover
        # the highest grade of a scale has neighbours with nearly the same answers; what stands for "none" has not
        if not beside.any() or answer[beside].mean() <= answer.mean()
    ]
    return max(found, key=lambda mark: mark.cover - mark.wrong, default=None)


def _signs(rows: Rows, column: Column, some: np.ndarray) -> Iterator[tuple[np.ndarray, str, float, np.ndarray]]:
    """Rows that a value or its absence marks, that in words, how many rows of an answer it must cover, and rows beside it."""
    values, kind = rows.values[column.name].gather(some), column.kind
    missing, nothing = values.is_null(), np.zeros(len(some), dtype=bool)
    if kind == "category":
        for level in _counted(values)["level"].head(_SHOWN):
            marked = _mask(values == level)
            yield marked, f"is {level!r}", _COVER["level"], nothing
            yield ~marked, f"is not {level!r}", _COVER["level"], nothing
        missing = missing | values.str.strip_chars().str.to_lowercase().is_in(_BLANKS).fill_null(True)
    if kind == "flag":
        for marked, level in zip((_mask(~values), _mask(values)), column.details["levels"], strict=True):
            yield marked, f"is {level!r}", _COVER["flag"], nothing
    if kind == "number":
        common = _counted(values).head(1)
        if len(common) and common["rows"][0] >= _COMMON * len(values):
            value = common["level"][0]
            marked, distance = _mask(values == value), (values - value).abs().to_numpy()
            away = distance[distance > 0]
            near = np.partition(away, min(LEAST, len(away)) - 1)[min(LEAST, len(away)) - 1] if len(away) else 0.0
            yield marked, f"is {value:g}", _COVER["blank"], (distance > 0) & (distance <= near)
            yield ~marked, f"is not {value:g}", _COVER["blank"], nothing
    if missing.any() and not missing.all():
        yield _mask(missing), "is missing", _COVER["blank"], nothing
        yield _mask(~missing), "has a value", _COVER["blank"], nothing


def _counted(values: pl.Series) -> pl.DataFrame:
    return values.alias("level").drop_nulls().value_counts(sort=True, name="rows")


def _answers(rows: Rows, some: np.ndarray, side: np.ndarray) -> Iterator[tuple[np.ndarray, str]]:
    """Answers that the marked rows may have in common: a class, or the one frequent value of a number (a cost of 0)."""
    for outcome in rows.outcomes:
        values = outcome.values[some]
        if outcome.labels is not None:
            known = values[side]
            if (known >= 0).any():
                code = int(np.bincount(known[known >= 0]).argmax())
                yield values == code, outcome.named(code)
            continue
        distinct, counts = np.unique(values, return_counts=True)
        if counts.max() >= _COMMON * len(values):
            common = distinct[counts.argmax()]
            yield values == common, f"{outcome.target} = {common:g}"
            yield values != common, f"{outcome.target} other than {common:g}"


def _mark(column: str, side: np.ndarray, answer: np.ndarray, what: str, named: str) -> Mark | None:
    count, base = int(side.sum()), float(answer.mean())
    right = int(answer[side].sum())
    if count - right > IMPURE * (1 - base) * count or base**count > 1e-6:
        return None
    have = "all of them have" if right == count else f"{right / count:.1%} of them have"
    return Mark(column, side, answer, f"{what} in {count:,} rows: {have} {named}, as {base:.0%} of all rows do")


def _mask(values: pl.Series) -> np.ndarray:
    return values.fill_null(False).to_numpy().astype(bool)


def _overlap(one: Mark, other: Mark) -> float:
    """How alike two sets of rows are, whichever side is called marked."""
    either = [(one.rows & rows).sum() / max((one.rows | rows).sum(), 1) for rows in (other.rows, ~other.rows)]
    return float(max(either))
