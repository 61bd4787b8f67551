"""Columns along which rows are alike: folds drawn at random then look better than folds that keep such rows together.

That is tried out, with trees that remember every row. Random folds and folds by the column have the same rows; how much less
the ones lose is summed for each group (or stretch of time) before its error is reckoned, for rows of a group are not
independent of each other, groups are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import t as student

from lamina.data.schema import Column
from lamina.leaks.rows import FOLDS, SAMPLE, Rows, foretell, losses, random_folds, stands_for, words

GAP = 0.05
"""Least that random folds look better by, as a share of what there is to explain."""
CHANCE = {"person": 1e-2, "identifier": 1e-2, "time": 1e-3, "": 1e-4}
"""Most probability of such a difference by chance (one-sided t-test over groups); more where the name says it too."""
LEAST_ROWS = 60
"""Fewer rows tell nothing about folds."""
_TIMES = frozenset("t time date datetime day week month quarter year timestamp epoch step tick".split())
_BORN = frozenset("birth born birthday birthdate dob built founded".split())
_UNIX = (3e8, 4e9)  # seconds since 1970: 1979 to 2096
_FEWEST = 5  # groups, or moments
_MANY = 30  # groups from which on new ones are to be expected; the name of a person says so by itself
_LARGE = {"number": 30, "category": 100, "text": 100, "id": 100}  # rows of a usual group, beyond which it is a plain category
_REPEATS = 1.3  # rows for each group
_MEMBERS = 8  # rows of a group that are looked at: few, so that there are many groups
_PINNED = 0.9  # pairs of a group that agree in a column that is the same for all of it
_TRIED = 4  # columns of a table that are tried
_LEARNT = 3_000  # rows more that are learnt from
_STRETCHES = 40  # parts of the time that are looked at


@dataclass(frozen=True)
class Trial:
    """How much of what there is to explain is explained with folds by a column and with random ones, and the chance of that."""

    apart: float
    random: float
    chance: float

    def leaks(self, named: str) -> bool:
        return self.random - max(self.apart, 0) >= GAP and self.chance <= CHANCE[named]

    def __str__(self) -> str:
        return f"random folds look {self.random:.0%} good, folds by it {max(self.apart, 0):.0%}"


def group(rows: Rows, passed: set[str]) -> tuple[str, str] | None:
    """The column whose values keep together rows that are alike, and the evidence; of several the clearest."""
    tried = [(*group_trial(rows, name, level, passed), name) for name, level in _group_columns(rows)]
    leaking = [(trial.apart, name, evidence) for trial, evidence, name in tried if trial.leaks(stands_for(name))]
    return min(leaking)[1:] if leaking else None


def group_trial(rows: Rows, name: str, level: np.ndarray, passed: set[str]) -> tuple[Trial, str]:
    """Compare folds, with the column itself left out unless its order may say something."""
    generator = np.random.default_rng(rows.seed)
    some = _members(level, generator)
    count, member = len(some), np.unique(level[some], return_inverse=True)[1]
    some = _and_others(some, np.flatnonzero(level >= 0), generator)
    ordered = any(column.name == name and column.kind == "number" for column in rows.columns)
    inputs, answers = rows.without(*passed, *(() if ordered else (name,)))[some], rows.answers[some]
    fold = generator.permutation(np.arange(level.max() + 1) % FOLDS)[level[some]]
    apart = foretell(inputs, answers, fold, rows.seed)[:count]
    mixed = foretell(inputs, answers, random_folds(len(some), generator), rows.seed)[:count]
    answers = answers[:count]
    if losses(apart, answers).mean() > 1:  # worse than the mean answer: nothing is known of a new group
        apart = np.tile(answers.mean(axis=0), (count, 1))
    mixed = losses(mixed, answers)
    known = losses(apart + _same_group(answers - apart, member), answers)  # a model that learns each group by heart
    trial = _trial(losses(apart, answers), min(mixed, known, key=np.mean), member)
    alike = _alike(rows, name, answers, member)
    return trial, f"{name} has {level.max() + 1:,} values in {len(level):,} rows; {alike}; {trial}"


def time(rows: Rows, passed: set[str]) -> tuple[str, str] | None:
    """The column of times along which the answer drifts, or neighbours are alike, and the evidence."""
    tried = [(name, time_trial(rows, moment, passed)) for name, moment in _time_columns(rows)]
    leaking = [(trial.apart, name, str(trial)) for name, trial in tried if trial.leaks("time")]
    if not leaking:
        return None
    _, name, evidence = min(leaking)
    return name, f"rows near each other in {name} are alike: {evidence}"


def time_trial(rows: Rows, moment: np.ndarray, passed: set[str]) -> Trial:
    """Compare random folds with the first, second and last third of the time."""
    generator = np.random.default_rng(rows.seed)
    order = np.argsort(moment, kind="stable")
    order = order[np.isfinite(moment[order])]
    some, stretch = _stretches(order, generator)
    some = _and_others(some, order, generator)
    third = np.empty(len(moment), dtype=np.int64)
    third[order] = np.arange(len(order)) * FOLDS // len(order)
    inputs, answers = rows.without(*passed)[some], rows.answers[some]
    apart = losses(foretell(inputs, answers, third[some], rows.seed), answers)[: len(stretch)]
    mixed = losses(foretell(inputs, answers, random_folds(len(some), generator), rows.seed), answers)[: len(stretch)]
    return _trial(apart, mixed, stretch)


def _trial(apart: np.ndarray, random: np.ndarray, member: np.ndarray) -> Trial:
    worse = apart - random
    sizes = np.bincount(member)
    sums = np.bincount(member, weights=worse) - sizes * worse.mean()
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(worse)
    chance = float(student.sf(worse.mean() / max(error, 1e-12), len(sums) - 1))
    return Trial(1 - float(apart.mean()), 1 - float(random.mean()), chance)


def _same_group(residuals: np.ndarray, member: np.ndarray) -> np.ndarray:
    """What the other rows of its group say about a row: their mean residual, as if one more row there had none."""
    sums = np.stack([np.bincount(member, weights=column) for column in residuals.T], axis=1)
    return (sums[member] - residuals) / np.bincount(member)[member, None]


def _alike(rows: Rows, name: str, answers: np.ndarray, member: np.ndarray) -> str:
    """How alike the answers of two rows of a group are, and of two rows at random."""
    order = np.argsort(member, kind="stable")
    same = np.diff(member[order]) == 0
    one, two = answers[order[:-1][same]], answers[order[1:][same]]
    if not rows.classes:
        correlation = ((one - answers.mean(axis=0)) * (two - answers.mean(axis=0))).mean() / answers.var(axis=0).mean()
        return f"the answers of two rows of one {name} correlate with {correlation:.2f}"
    share, chance = (one * two).sum(axis=1).mean(), (answers.mean(axis=0) ** 2).sum()
    return f"rows of one {name} share the answer in {share:.0%}, two rows at random in {chance:.0%}"


def _group_columns(rows: Rows) -> list[tuple[str, np.ndarray]]:
    """Columns that may name groups, those named like a person first, and the group of each row (-1: missing)."""
    found = []
    for column in rows.schema.columns:
        aside = column.kind == "id" and column.role == "ignored" and not column.reason.startswith("told")
        if not aside and not (column.role == "feature" and column.kind in ("category", "number", "text")):
            continue
        if column.kind == "number" and not column.details.get("whole"):
            continue
        level = rows.table[column.name].rank("dense").cast(pl.Int64).fill_null(0).to_numpy() - 1
        sizes = np.bincount(level[level >= 0])
        if len(sizes) < _FEWEST or sizes.max() > 0.5 * len(level) or sizes.sum() < _REPEATS * len(sizes):
            continue
        named = stands_for(column.name)
        many = len(sizes) >= _MANY and sizes.max() <= 0.2 * len(level) and sizes.mean() <= _LARGE[column.kind]
        if named == "person" or (many and (named or _are_codes(rows, column) or _pins(rows, column.name, level))):
            found.append((("person", "identifier", "").index(named), column.name, level))
    return [(name, level) for _, name, level in sorted(found, key=lambda candidate: candidate[0])][:_TRIED]


def _are_codes(rows: Rows, column: Column) -> bool:
    """Whether texts are numbered, like C0123 and N14228: there will be a next one."""
    if column.kind == "number" or not {"zip", "zipcode", "post", "postal", "postcode"}.isdisjoint(words(column.name)):
        return False
    return bool(rows.table[column.name].cast(pl.String).str.contains(r"\d\d").fill_null(True).all())


def _pins(rows: Rows, name: str, level: np.ndarray) -> bool:
    """Whether a group has the same values in at least two other columns, in which rows at random differ."""
    order = np.argsort(level, kind="stable")
    first = np.flatnonzero((np.diff(level[order]) == 0) & (level[order][1:] >= 0))
    one, two = order[first], order[first + 1]
    other = np.random.default_rng(rows.seed).permutation(two)
    pinned = 0
    for column in rows.columns:
        if column.name != name:
            place = rows.inputs[:, rows.owners == rows.columns.index(column)][:, 0]
            within, chance = (float(np.mean(place[one] == place[some])) for some in (two, other))
            pinned += within >= _PINNED and chance <= 0.5
    return pinned >= 2


def _members(level: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Whole groups at random, of large ones some rows."""
    sizes = np.bincount(level[level >= 0])
    shuffled = generator.permutation(np.flatnonzero(level >= 0))
    shuffled = shuffled[np.argsort(generator.permutation(len(sizes))[level[shuffled]], kind="stable")]
    starts = np.r_[0, np.flatnonzero(np.diff(level[shuffled])) + 1]
    place = np.arange(len(shuffled)) - np.repeat(starts, np.diff(np.r_[starts, len(shuffled)]))
    return np.sort(shuffled[place < max(_MEMBERS, SAMPLE // len(sizes))][:SAMPLE])


def _time_columns(rows: Rows) -> Iterator[tuple[str, np.ndarray]]:
    """Dates, and numbers that rise from row to row and are named like a time, or count the seconds since 1970."""
    for place, column in enumerate(rows.columns):
        moment = rows.inputs[:, rows.owners == place][:, 0]
        known = moment[np.isfinite(moment)]
        if not _BORN.isdisjoint(words(column.name)) or len(known) < LEAST_ROWS or len(np.unique(known)) < _FEWEST:
            continue
        unix = _UNIX[0] <= known[0] and known[-1] <= _UNIX[1]
        rises = column.kind == "number" and bool((np.diff(known) >= 0).all())
        if column.kind == "date" or (rises and (unix or not _TIMES.isdisjoint(words(column.name)))):
            yield column.name, moment


def _stretches(order: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order of time, of many rows those of stretches that are spread over it; and the stretch of each."""
    parts = np.array_split(order, _STRETCHES)
    most = SAMPLE // _STRETCHES
    starts = [int(generator.integers(0, max(len(part) - most, 0) + 1)) for part in parts]
    chosen = [part[start : start + most] for part, start in zip(parts, starts, strict=True)]
    return np.concatenate(chosen), np.repeat(np.arange(_STRETCHES), [len(part) for part in chosen])


def _and_others(some: np.ndarray, known: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The rows that are asked about, and others to learn from: without them a few groups would be all that there is to know."""
    others = generator.permutation(np.setdiff1d(known, some))
    return np.concatenate([some, others[:_LEARNT]])
