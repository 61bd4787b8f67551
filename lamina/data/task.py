"""The task: what is asked of the target, and the way to numbers a network learns and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.read import nearest
from lamina.errors import OptionError, TargetError

KINDS = ("classification", "regression")
FEW = 20
"""Most distinct whole numbers that are still taken for classes."""
FAR = 1e6
"""Standard deviations beyond which a value is cut: no training row is as far, and float32 holds its square."""

_LABEL_TYPES = {"Boolean": "bool", "Date": "datetime64[D]", "Datetime": "datetime64[us]"}
_TEXT_WORDS = 5


def usable_rows(table: pl.DataFrame, targets: str | Sequence[str]) -> tuple[np.ndarray, str]:
    """Find the rows whose target is known; only they can be learnt from or scored.

    Returns:
        A mask (N,), true where every target has a value, and a sentence about the rows left out (empty when there are none).

    Raises:
        TargetError: A target is no column of the table, or no row has one.

    Example:
        >>> mask, note = usable_rows(pl.DataFrame({"y": ["a", None, "b"]}), "y")
        >>> mask.tolist(), note
        ([True, False, True], "1 of 3 rows has no value in the target 'y' and is left out")
    """
    names = _names(table, targets)
    mask = np.ones(len(table), dtype=bool)
    for name in names:
        mask &= ~_missing(table[name])
    lost = len(table) - int(mask.sum())
    if lost == len(table):
        raise TargetError(
            f"{_called(names)} has no value in any of the {len(table):,} rows; name the column that holds the answers"
        )
    if not lost:
        return mask, ""
    verb, leave = ("has", "is") if lost == 1 else ("have", "are")
    return mask, f"{lost:,} of {len(table):,} rows {verb} no value in the {_called(names)} and {leave} left out"


COMMON = 0.8
"""Share of the rows in one class from which on accuracy says little: always naming that class would win it."""


@dataclass(frozen=True)
class Task:
    """What is asked: which class, or how much. Loss, output size and decoding follow from it.

    A target of words, yes/no, or few distinct whole numbers asks for a class; other numbers ask for a value. Values are learnt
    standardised (value - mean) / standard deviation, so that a network's first guesses are of the right size in any unit.

    Args:
        kind: "classification" or "regression".
        targets: Names of the target columns; several only for regression.
        classes: The classes in sorted order, as Python values; a code is a place in it.
        center: Mean of each target (regression).
        scale: Standard deviation of each target, 1 for a constant one (regression).
        dtype: The polars type of the target, so that labels come back as they were given.
        frequencies: Share of rows of each class (classification).
        reason: Why the task was taken for this, in words.

    Example:
        >>> task = Task.infer(pl.DataFrame({"income": ["low", "high", "low", "high"]}), "income")
        >>> task.kind, task.classes, task.encode(pl.Series(["low", "high"])).tolist()
        ('classification', ('high', 'low'), [1, 0])
        >>> task.decode(np.array([[0.2, 0.8]])).tolist()
        ['low']
    """

    kind: str
    targets: tuple[str, ...]
    classes: tuple[Any, ...] | None = None
    center: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    dtype: str = ""
    frequencies: tuple[float, ...] = ()
    reason: str = ""

    @classmethod
    def infer(
        cls, table: pl.DataFrame, targets: str | Sequence[str], *, kind: str | None = None, min_class_rows: int = 2
    ) -> Self:
        """Find out what is asked from the values of the target; rows without one are passed over.

        Args:
            table: Rows with the target columns among theirs.
            targets: A column, or several numeric ones for a regression with several outputs.
            kind: Says it instead of guessing.
            min_class_rows: Fewest rows that a class needs. Two, so that one may validate; 1 to accept anything.

        Raises:
            TargetError: Nothing can be learnt from such a target. As scikit-learn asks, the words "Unknown label type" open the
                message for fractions given as classes, and it is a ValueError.
            OptionError: The kind is unknown.
        """
        if kind not in (None, *KINDS):
            raise OptionError(f"the kind of task is {kind!r}, expected 'classification', 'regression' or None to find out")
        names = _names(table, targets)
        mask, _ = usable_rows(table, names)
        columns = [_plain(table[name].filter(pl.Series(mask))) for name in names]
        guess, reason = _guess(columns, names)
        if kind is not None:
            guess, reason = kind, f"{kind} was asked for"
        rows = len(columns[0])
        if rows < 2:
            raise TargetError(
                f"one row (n_samples=1) with a value in the {_called(names)}; learning needs at least 2, and many more"
            )
        task = cls(guess, tuple(names), dtype=str(table.schema[names[0]]), reason=reason)
        if guess == "regression":
            for name, column in zip(names, columns, strict=True):
                _check_values(name, column)
            return task.fit(table)
        if len(names) > 1:
            raise TargetError(f"{len(names)} targets ({', '.join(names)}) to classify; name one, or fit one model for each")
        counts = _check_classes(names[0], columns[0], min_class_rows=min_class_rows, asked=kind is not None)
        return dataclasses.replace(task, classes=tuple(counts)).fit(table)

    def fit(self, table: pl.DataFrame) -> Self:
        """The same task with center, scale and frequencies measured on these rows: call it with the training rows."""
        known = table[list(self.targets)].filter(pl.Series(usable_rows(table, self.targets)[0]))
        if self.classes is not None:
            counts = np.bincount(self.encode(known), minlength=len(self.classes))
            return dataclasses.replace(self, frequencies=tuple((counts / counts.sum()).tolist()))
        measured = [moments(values) for values in self._values(known)]
        return dataclasses.replace(self, center=tuple(m[0] for m in measured), scale=tuple(m[1] for m in measured))

    @property
    def doubt(self) -> str:
        """A sentence about classes that may be one and the same, empty where there are none.

        Example:
            >>> Task.infer(pl.DataFrame({"left": ["No", "no", "No", "no"]}), "left").doubt
            "the classes 'No' and 'no' differ in nothing but case or spaces; if they are one, write them alike"
        """
        seen: dict[str, list[Any]] = {}
        for label in self.classes or ():
            if isinstance(label, str):
                seen.setdefault(" ".join(label.casefold().split()), []).append(label)
        alike = [" and ".join(map(repr, labels)) for labels in seen.values() if len(labels) > 1]
        what = "differ in nothing but case or spaces; if they are one, write them alike"
        return f"the classes {', '.join(alike[:5])} {what}" if alike else ""

    def truth(self, table: pl.DataFrame | pl.Series) -> np.ndarray:
        """The target as scores compare it: class codes (N,), or values in their own units, (N,) or (N, K), float64."""
        if self.classes is not None:
            return self.encode(table)
        values = self._values(table)
        return values[0] if len(values) == 1 else np.stack(values, axis=1)

    def encode(self, table: pl.DataFrame | pl.Series) -> np.ndarray:
        """The target as a network learns it.

        Shape:
            Classification: int64 codes (N,). Regression: standardised float32 (N, K).

        Raises:
            TargetError: A value is missing, is a class that training did not have, or is no number.
        """
        if self.classes is None:
            values = self._values(table)
            out = np.empty((len(values[0]), len(values)), dtype=np.float32)
            for j, (column, center, scale) in enumerate(zip(values, self.center, self.scale, strict=True)):
                out[:, j] = np.clip((column - center) / scale, -FAR, FAR)
            return out
        name = self.targets[0]
        given = _plain(table if isinstance(table, pl.Series) else _column(table, name))
        known = pl.Series(self.classes)
        try:
            column = given.cast(known.dtype, strict=False)
            column = column.set(column.cast(given.dtype, strict=False).ne_missing(given), None)  # 1.5 is not the class 1
        except pl.exceptions.PolarsError as error:
            raise TargetError(f"target {name!r} is of type {given.dtype}, expected {self.dtype} as in training") from error
        codes = column.replace_strict(known, range(len(known)), default=None, return_dtype=pl.Int64)
        if codes.null_count():
            _check_known(name, given)
            new = given.filter(codes.is_null())
            raise TargetError(
                f"target {name!r} holds {new[0]!r} ({count_rows(len(new))}), a class that training did not have; "
                f"expected {_some(self.classes)}"
            )
        return codes.to_numpy(writable=True)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Labels from probabilities (N, classes), or values in their own units, float64, from standardised ones (N, K).

        One target comes back as (N,), several as (N, K).
        """
        if self.classes is not None:
            return self.labels[np.asarray(outputs).argmax(axis=1)]
        values = np.asarray(outputs, dtype=np.float64).reshape(len(outputs), len(self.targets)) * np.array(
            self.scale
        ) + np.array(self.center)
        return values[:, 0] if len(self.targets) == 1 else values

    @cached_property
    def labels(self) -> np.ndarray:
        """The classes as an array of the type they were given in; words are Python strings in an object array."""
        base = self.dtype.partition("(")[0]
        if self.classes is None or isinstance(self.classes[0], str):
            return np.array(self.classes, dtype=object)
        return np.array(self.classes, dtype=_LABEL_TYPES.get(base, "float64" if base == "Decimal" else base.lower()))

    @property
    def losses(self) -> tuple[str, ...]:
        """The losses that fit, the default first."""
        if self.classes is None:
            return ("mse", "huber")
        several = ("cross_entropy", "maximum_a_posteriori")
        return ("binary_cross_entropy", *several) if len(self.classes) == 2 else several

    @property
    def default_loss(self) -> str:
        return self.losses[0]

    def output_size(self, loss: str) -> int:
        """How many numbers a network gives for a row: one logit, a logit for each class, or a value for each target.

        Raises:
            OptionError: The loss does not fit the task.
        """
        if loss not in self.losses:
            asked = self.kind if self.classes is None else f"classification with {len(self.classes)} classes"
            raise OptionError(f"the loss {loss!r} does not fit {asked}, expected {' or '.join(map(repr, self.losses))}")
        if self.classes is None:
            return len(self.targets)
        return 1 if loss == "binary_cross_entropy" else len(self.classes)

    def baseline(self, rows: int) -> np.ndarray:
        """The always-the-same answer, in the form that :meth:`decode` takes, so that it is scored like any other.

        Every row gets the class frequencies (whose largest is the most frequent class), or the mean.
        """
        if self.classes is not None:
            return np.tile(self.frequencies, (rows, 1))
        return np.zeros((rows, len(self.targets)))

    def to_json(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.classes is not None:
            values["classes"] = [label.isoformat() if isinstance(label, date) else label for label in self.classes]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        read: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        parse = {"Date": date.fromisoformat, "Datetime": datetime.fromisoformat}.get(str(values["dtype"]).partition("(")[0])
        if parse and read["classes"] is not None:
            read["classes"] = tuple(parse(label) for label in read["classes"])
        return cls(**read)

    def _values(self, table: pl.DataFrame | pl.Series) -> list[np.ndarray]:
        columns = [table] if isinstance(table, pl.Series) else [_column(table, name) for name in self.targets]
        for name, column in zip(self.targets, columns, strict=True):
            _check_values(name, _plain(column), constant=True)
        return [_plain(column).cast(pl.Float64).to_numpy() for column in columns]


def moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (1 for a constant), without overflow for values up to 1e308."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    unit = max(abs(low), abs(high))
    unit = unit if unit > 1e100 else 1.0
    scaled = values / unit if unit != 1.0 else values
    return float(scaled.mean()) * unit, float(scaled.std()) * unit or 1.0


def _names(table: pl.DataFrame, targets: str | Sequence[str]) -> list[str]:
    names = [targets] if isinstance(targets, str) else list(targets)
    if not names:
        raise TargetError("no target is named; name the column to learn")
    for name in names:
        _column(table, name)
    return names


def _column(table: pl.DataFrame, name: str) -> pl.Series:
    if name not in table.columns:
        raise TargetError(f"the table has no column {name!r} to be the target; {nearest(name, table.columns)}")
    return table[name]


def _missing(column: pl.Series) -> np.ndarray:
    missing = column.is_null()
    if column.dtype.is_float():
        missing = missing | column.is_nan().fill_null(False)
    return missing.to_numpy()


def _plain(column: pl.Series) -> pl.Series:
    """Words for categories and enums, floats for decimals: the types that the rest knows."""
    if column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column.cast(pl.Float64) if column.dtype.is_decimal() else column


def _guess(columns: list[pl.Series], names: list[str]) -> tuple[str, str]:
    if len(columns) > 1:
        return "regression", f"{len(columns)} targets, so one number for each"
    column, name, rows = columns[0], names[0], f"{len(columns[0]):,} rows"
    if not column.dtype.is_numeric():
        word = {pl.String: "words", pl.Boolean: "true and false"}.get(column.dtype.base_type(), "dates")
        return "classification", f"{name} holds {word}, so each is a class"
    if column.dtype.is_float() and not (column.is_finite() & (column == column.floor())).all():
        return "regression", f"{name} holds fractions, so it is a quantity"
    distinct = column.n_unique()
    what = f"{name} has {distinct:,} distinct whole numbers in {rows}"
    if distinct <= max(2, min(FEW, len(column) // 5)):
        return "classification", f"{what}, so each is a class (say regression if they are quantities)"
    return "regression", f"{what}, so they are quantities (say classification if each is a class)"


def _check_values(name: str, column: pl.Series, *, constant: bool = False) -> None:
    if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
        example = column.drop_nulls().head(1).to_list()
        holds = f" (such as {example[0]!r})" if example else ""
        raise TargetError(
            f"target {name!r} is of type {column.dtype}{holds}, but regression needs numbers; convert it or classify"
        )
    _check_known(name, column)
    if column.dtype.is_float() and (infinite := int(column.is_infinite().sum())):
        raise TargetError(f"target {name!r} is infinite in {count_rows(infinite)}; drop them or mend them")
    if not constant and column.n_unique() < 2:
        raise TargetError(
            f"target {name!r} is {column[0]!r} in all {len(column):,} rows; there is nothing to learn: give rows that differ"
        )


def _check_known(name: str, column: pl.Series) -> None:
    if missing := int(_missing(column).sum()):
        raise TargetError(f"target {name!r} has no value in {count_rows(missing)}; leave out rows without one")


def _check_classes(name: str, column: pl.Series, *, min_class_rows: int, asked: bool) -> dict[Any, int]:
    """The classes in sorted order and how many rows each has."""
    kind = column.dtype
    plain = kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Date)
    if not plain and not (isinstance(kind, pl.Datetime) and kind.time_zone is None):
        raise TargetError(f"target {name!r} is of type {kind}, which cannot be a class; convert it to words or numbers")
    if kind.is_float():
        if column.is_infinite().any():
            raise TargetError(f"target {name!r} holds infinity, which cannot be a class; drop such rows or mend them")
        fractions = column.filter(column != column.floor())
        if len(fractions):
            raise TargetError(
                f"Unknown label type: continuous. Target {name!r} holds fractions such as {fractions[0]!r}, "
                "but classes are words or whole numbers; ask for regression"
            )
    counted = column.alias("label").value_counts(name="rows").sort("label")
    counts = dict(zip(counted["label"].to_list(), counted["rows"].to_list(), strict=True))
    if len(counts) < 2:
        raise TargetError(
            f"target {name!r} has one class ({next(iter(counts))!r}) in all {len(column):,} rows, but telling classes apart "
            "needs two; give rows of another class"
        )
    if min_class_rows > 1 and not asked and len(counts) > max(len(column) / 2, 5):
        raise TargetError(_too_many(name, column, len(counts)))
    rare = [label for label, rows in counts.items() if rows < min_class_rows]
    if rare:
        one = f"class {rare[0]!r} of target {name!r} has {counts[rare[0]]} row"
        more = f" (and {len(rare) - 1:,} more classes have as few)" if len(rare) > 1 else ""
        raise TargetError(
            f"{one}{more}, but at least {min_class_rows} are needed; merge it with another class, drop it, or get more rows"
        )
    return counts


def _too_many(name: str, column: pl.Series, classes: int) -> str:
    start = f"target {name!r} has {classes:,} distinct values in {len(column):,} rows, too many for classes"
    if column.dtype == pl.String:
        words = column.str.count_matches(r"\S+").mean()
        if isinstance(words, float) and words >= _TEXT_WORDS:
            return f"{start}: it looks like free text, which cannot be learnt as a target; name a column of classes or numbers"
        if column.cast(pl.Float64, strict=False).null_count() <= len(column) / 2:
            return f"{start}: it looks like numbers written as words (such as {column[0]!r}); convert it to numbers"
    return f"{start}: it looks like an identifier; name a column whose values repeat"


def _called(names: Sequence[str]) -> str:
    return ("target " if len(names) == 1 else "targets ") + ", ".join(map(repr, names))


def count_rows(count: int) -> str:
    """Rows in words: "1 row", "1,204 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"


def _some(values: Sequence[Any]) -> str:
    return ", ".join(map(repr, values[:6])) + (f" and {len(values) - 6:,} more" if len(values) > 6 else "")


def main_score(frequencies: Sequence[float]) -> str:
    """The score that a model is judged by where nobody says which; greater is better.

    R² for values, accuracy for classes; where one class holds more than :data:`COMMON` of the rows, the AUC of two classes or
    the balanced accuracy of more.

    Args:
        frequencies: The share of rows of each class, as a task knows them; none for values.

    Example:
        >>> main_score(()), main_score((0.5, 0.5)), main_score((0.9, 0.1)), main_score((0.9, 0.06, 0.04))
        ('r2', 'accuracy', 'auc', 'balanced_accuracy')
    """
    if not len(frequencies):
        return "r2"
    if max(frequencies) <= COMMON:
        return "accuracy"
    return "auc" if len(frequencies) == 2 else "balanced_accuracy"
