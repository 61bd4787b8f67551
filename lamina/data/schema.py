"""The schema: kind, role and reason of each column.

:meth:`Schema.infer` guesses them from the values (the rules are in :mod:`lamina.data.columns`), the options ``kinds`` and
``roles`` override the guess, and :meth:`Schema.check` converts later tables to the form of the training table. The docs of
each :class:`~lamina.data.columns.column.ColumnKind` name this form, and the details of its columns besides ``dtype`` (in
training) and ``missing`` (share of rows).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lamina.data.cells import merged, read_cells, read_texts
from lamina.data.columns import KINDS, OPTION_KINDS, guess
from lamina.data.columns.column import Column, Guess
from lamina.data.frames import FEW_ROWS, matrix
from lamina.data.read import read_source, read_table
from lamina.data.readings import (
    Reading,
    TextReading,
    reading_from_json,
)
from lamina.errors import DataError, ModelFileError, SchemaError
from lamina.stored import stored, stored_as
from lamina.wording import listed, nearest

ROLES = ("feature", "target", "group", "time", "weight", "split", "ignored")
IGNORED_BY_ROLE = "ignored as requested"
"""The beginning of the reason of a column with the requested role "ignored"."""


@dataclass(frozen=True)
class Schema:
    """The columns of a table, in its order.

    Example:
        >>> table = {"age": [17, 40, 90], "smoker": ["no", "yes", "no"], "income": [1.5, 3.0, 2.5]}
        >>> print(Schema.infer(table, target="income"))
        age     number  feature  whole numbers from 17 to 90
        smoker  flag    feature  two values: 'no' and 'yes'
        income  number  target   numbers from 1.5 to 3
    """

    columns: tuple[Column, ...]

    @classmethod
    def infer(
        cls,
        table: Any,
        *,
        target: str | Sequence[str] | None = None,
        kinds: Mapping[str, str] | None = None,
        roles: Mapping[str, str] | None = None,
        readings: Mapping[str, Reading] | None = None,
        known: Mapping[str, Column] | None = None,
    ) -> Schema:
        """Guess the kind and role of every column, with the reason.

        Args:
            table: Training and validation rows: anything that :func:`~lamina.data.read.read_table` reads.
            target: The column or columns to predict.
            kinds: Kinds where the guess is wrong: ``{"zip": "category"}``.
            roles: Roles of columns: ``{"day": "time"}``, ``{"name": "ignored"}``, ``{"id": "feature"}``.
            readings: Those of :func:`~lamina.data.cells.read_texts`, where the table was read with them.
            known: Columns of an earlier schema, which stay as they are.

        Raises:
            SchemaError: An unknown column, kind or role; values that cannot be of the requested kind; no feature.
        """
        source = read_source(table)
        table = source.table
        if table.height < 2:
            rows = "1 row" if table.height else "no rows"
            raise SchemaError(f"the table has {rows} (n_samples={table.height}); learning needs at least 2, better hundreds")
        kinds, roles = dict(kinds or {}), _roles(table, target, dict(roles or {}))
        _check_option("kinds", kinds, table.columns, OPTION_KINDS)
        if readings is None:
            by_role = {role: [name for name, its in roles.items() if its == role] for role in ("ignored", "target")}
            ignored, targets = by_role["ignored"], by_role["target"]
            readings, table = read_texts(table, kinds, ignored=ignored, targets=targets, separator=source.separator)
        known = known or {}
        columns = [
            known.get(name) or _column(table[name], kinds.get(name), roles.get(name), readings.get(name), nameless)
            for name, nameless in zip(table.columns, _nameless(table.columns), strict=True)
        ]
        if not any(column.is_feature for column in columns):  # a lone x = 1, 2, 3, ... is likely a measurement
            columns = [_as_only_feature(column, table[column.name], roles) for column in columns]
        if not any(column.is_feature for column in columns):
            raise SchemaError(_no_feature(columns))
        return cls(tuple(columns))

    def __getitem__(self, name: str) -> Column:
        if name not in self._by_name:
            raise SchemaError(f"no column {name!r} in the schema; {nearest(name, list(self._by_name))}")
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def features(self) -> tuple[Column, ...]:
        """The columns that models are trained on, in the table's order."""
        return tuple(column for column in self.columns if column.is_feature)

    @cached_property
    def targets(self) -> tuple[Column, ...]:
        """The columns to predict."""
        return self.by_role("target")

    @cached_property
    def plain(self) -> tuple[Column, ...]:
        """The features whose values are words and numbers, not images, texts or series."""
        return tuple(column for column in self.features if KINDS[column.kind].plain)

    @property
    def all_plain(self) -> bool:
        """Whether all features are plain."""
        return len(self.plain) == len(self.features)

    @cached_property
    def ignored(self) -> tuple[Column, ...]:
        """The columns that are not used, each with its reason."""
        return self.by_role("ignored")

    @cached_property
    def doubts(self) -> tuple[str, ...]:
        """Why columns that look like numbers or dates are read as text."""
        read = [(column.name, column.reading) for column in self.columns if column.role != "ignored"]
        return tuple(f"{name} is {its.doubt}" for name, its in read if isinstance(its, TextReading) and its.doubt)

    def by_role(self, role: str) -> tuple[Column, ...]:
        """The columns with a role, in the table's order."""
        return tuple(column for column in self.columns if column.role == role)

    def by_kind(self, kind: str) -> tuple[Column, ...]:
        """The features of a kind, in the table's order."""
        return tuple(column for column in self.features if column.kind == kind)

    def __str__(self) -> str:
        widths = [max((len(getattr(column, part)) for column in self.columns), default=0) for part in ("name", "kind", "role")]
        lines = []
        for column in self.columns:
            cells = (column.name.ljust(widths[0]), column.kind.ljust(widths[1]), column.role.ljust(widths[2]), column.reason)
            lines.append("  ".join(cells))
        return "\n".join(lines)

    __repr__ = __str__

    def check(self, table: Any, notes: bool = True) -> tuple[pl.DataFrame, list[str]]:
        """The features of a table, in the order and dtype of the training table, and remarks.

        Args:
            table: Rows to predict, or training rows: anything that :func:`~lamina.data.read.read_table` reads.
            notes: Collect remarks: ignored columns, values outside the training range, unseen flags. (Unseen categories are
                reported by the encoder, which has all levels.)

        Raises:
            SchemaError: A feature is missing, or holds a value that cannot be of its kind; names column, value and row.
        """
        if not isinstance(table, pl.DataFrame):
            table = read_table(table)
        present = table.columns
        names = set(present)
        if missing := [column.name for column in self.features if column.name not in names]:
            raise SchemaError(self._missing(missing, present))
        if (few := self._few_numbers(table, notes)) is not None:
            return few, []
        remarks: list[str] = []
        if notes and (extra := [name for name in present if name not in self._by_name]):
            were, are = ("was", "is") if len(extra) == 1 else ("were", "are")
            remarks.append(f"{_names(extra)} {were} not in the training data and {are} ignored")
        checked = []
        for column in self.features:
            values = read_cells(column, table.get_column(column.name), remarks)
            KINDS[column.kind].refuse(column, values)
            values = KINDS[column.kind].check(column, values, remarks)
            checked.append(values)
            if notes:
                remarks += KINDS[column.kind].outside(column, values)
        return pl.DataFrame(checked), remarks if notes else []

    def typed(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table with the target, the weights and all other columns besides the features as values, read as in training.

        Raises:
            SchemaError: A cell does not fit the reading of its column; names column, value and row.
        """
        names = set(table.columns)
        read = [
            read_cells(column, table.get_column(column.name), [])
            for column in self.columns
            if column.role not in ("feature", "ignored") and column.name in names
        ]
        details = {column.name: column.details for column in self.targets if "merged" in column.details}
        read = [
            merged(values, details[values.name]["merged"], details[values.name]["other"]) if values.name in details else values
            for values in read
        ]
        return table.with_columns(read)

    def contents(self, table: pl.DataFrame) -> pl.DataFrame:
        """The table with files among its features as numbers that are equal where the files have the same content."""
        given = [table.get_column(column.name) for column in self.features]
        read = [KINDS[column.kind].contents(values) for column, values in zip(self.features, given, strict=True)]
        changed = [new for new, values in zip(read, given, strict=True) if new.dtype != values.dtype]
        return table.with_columns(changed) if changed else table

    def _few_numbers(self, table: pl.DataFrame, notes: bool) -> pl.DataFrame | None:
        """The checked table if it is a few rows of finite numbers only; column by column would be much slower.

        With ``notes`` only if there is none: all are within the training range.

        A table of integers stays so: the encoder reads both dtypes.
        """
        if not 0 < len(table) <= FEW_ROWS or tuple(table.columns) != self._numbers:
            return None
        dtypes = set(table.dtypes)
        if not all(dtype.is_float() or dtype.is_integer() for dtype in dtypes):
            return None
        values = np.array(table.rows(), dtype=np.float64)  # missing is NaN
        if not np.isfinite(values).all() or (notes and ((values < self._ranges[0]) | (values > self._ranges[1])).any()):
            return None
        return table if dtypes in ({pl.Float64()}, {pl.Int64()}) else matrix(self._numbers, values)

    @cached_property
    def _ranges(self) -> np.ndarray:
        """The training range of each feature that is a number, float64 (2, features)."""
        ranges = [(column.details.get("low"), column.details.get("high")) for column in self.features]
        return np.array(ranges, dtype=np.float64).T  # NaN where there is none

    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        """The names of the features if all are numbers, else none."""
        names = tuple(column.name for column in self.features)
        return names if all(KINDS[column.kind].floats for column in self.features) else ()

    def _missing(self, missing: list[str], present: list[str]) -> str:
        trained = {column.name for column in self.columns}
        hints = []
        for name in missing:
            lowered = {other.lower(): other for other in present if other not in trained}
            close = difflib.get_close_matches(name.lower(), lowered, n=1)
            hints += [f"rename {lowered[close[0]]!r} to {name!r}?"] if close else []
        remedy = " ".join(hints[:3]) or "add " + ("it" if len(missing) == 1 else "them") + ", with empty values where unknown"
        return f"the table lacks {_names(missing)} that the model was trained on; {remedy}"

    def to_json(self) -> dict[str, Any]:
        """The schema as plain JSON values."""
        return {
            "columns": [
                asdict(column) | {"reading": None if column.reading is None else column.reading.to_json()}
                for column in self.columns
            ]
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Schema:
        """The schema that :meth:`to_json` wrote."""
        columns = values.get("columns") if isinstance(values, Mapping) else None
        if isinstance(columns, list):
            columns = [
                {**column, "reading": reading_from_json(reading)}
                if isinstance(column, Mapping) and (reading := column.get("reading")) is not None
                else column
                for column in columns
            ]
            values = {**values, "columns": columns}
        schema = stored(cls, values)
        for column in schema.columns:
            if column.kind not in KINDS or column.role not in ROLES:
                raise ModelFileError(f"column {column.name!r} is a {column.role!r} of kind {column.kind!r}, which is unknown")
            for name, hint in KINDS[column.kind].saved_details.items() if column.is_feature else ():
                stored_as(hint, column.details.get(name), f"{name} of column {column.name!r}")
        if len(schema._by_name) < len(schema.columns):
            raise ModelFileError("the schema has two columns of one name")
        return schema


# Inferring


def _roles(table: pl.DataFrame, target: str | Sequence[str] | None, roles: dict[str, str]) -> dict[str, str]:
    _check_option("roles", roles, table.columns, ROLES)
    for name in [target] if isinstance(target, str) else target or ():
        if name not in table.columns:
            raise SchemaError(f"no column {name!r} to be the target; {nearest(str(name), table.columns)}")
        if roles.setdefault(name, "target") != "target":
            raise SchemaError(f"column {name!r} is the target and also has the role {roles[name]!r}; give it one of the two")
    return roles


def _check_option(option: str, requested: Mapping[str, str], names: Sequence[str], accepted: Sequence[str]) -> None:
    for name, value in requested.items():
        if name not in names:
            raise SchemaError(f"{option} names a column {name!r} that does not exist; {nearest(name, names)}")
        if value.partition(" ")[0] not in accepted:
            raise SchemaError(f"{option}: {name!r} is {value!r}; expected one of {', '.join(accepted)}")


def _nameless(names: Sequence[str]) -> list[bool]:
    """Whether a column is the first and got its name from :func:`~lamina.data.frames.column_names`, unlike the others."""
    return [place == 0 and name == "column_1" and "column_2" not in names for place, name in enumerate(names)]


def _column(values: pl.Series, kind: str | None, role: str | None, reading: Reading | None, nameless: bool) -> Column:
    kind = kind and kind.partition(" ")[0]
    if kind is None:
        result = guess(values, plain=role in ("feature", "group", "time", "weight", "split"), nameless=nameless)
    else:
        result = _coerced(values, kind)
    if role == "target" and KINDS[result.kind].all_different:
        result = guess(values, plain=True)
    if role is None:
        role = "feature" if KINDS[result.kind].can_be_feature else "ignored"
    elif role == "feature" and not KINDS[result.kind].can_be_feature:
        raise SchemaError(f"column {values.name!r} cannot be a feature: {result.reason}; leave it out of roles")
    elif role == "time":
        result = KINDS[result.kind].as_time(result)
    elif role == "ignored":
        result = replace(result, reason=f"{IGNORED_BY_ROLE} ({result.reason})")
    if role in ("time", "weight") and isinstance(reading, TextReading) and reading.doubt:
        raise SchemaError(f"column {values.name!r} cannot be the {role}: it is {reading.doubt}")
    if role in ("target", "group", "time", "split", "weight") and values.dtype == pl.Object:
        raise SchemaError(f"column {values.name!r} cannot be the {role}: it holds Python objects; convert it to text")
    elif role == "weight" and not values.dtype.is_numeric() and not KINDS[result.kind].numeric:
        raise SchemaError(f"column {values.name!r} cannot hold weights, which are numbers: {result.reason}")
    reason = KINDS[result.kind].reason(result)
    if reading is not None and (remark := reading.remark()):
        reason += f"; {remark}"
    return Column(values.name, result.kind, role, reason, result.details, reading)


def _coerced(values: pl.Series, kind: str) -> Guess:
    result = KINDS[kind].coerce(values)
    if result is not None:
        return result
    first, article = values.drop_nulls().head(1), "an" if kind[0] in "aeiou" else "a"
    example = f", such as {first.to_list()[0]!r:.40}" if len(first) else ""
    raise SchemaError(
        f"column {values.name!r} cannot be {article} {kind}: that needs {KINDS[kind].expects}, it holds "
        f"{values.dtype}{example}; leave it out of kinds, or correct its values"
    )


def _as_only_feature(column: Column, values: pl.Series, roles: Mapping[str, str]) -> Column:
    if column.role != "ignored" or column.name in roles:
        return column
    result = KINDS[column.kind].as_only_feature(column, values, guess(values, plain=True))
    return (
        column
        if result is None
        else replace(column, kind=result.kind, role="feature", reason=result.reason, details=result.details)
    )


def _no_feature(columns: Sequence[Column]) -> str:
    reasons = [f"{column.name!r} ({column.reason})" for column in columns if column.role == "ignored"]
    if not reasons:
        return "no column is left to learn from besides the target; add features"
    return f"no column is left to learn from: {listed(reasons, 5)}; keep one with kinds={{name: 'category'}} or add columns"


def _names(names: Sequence[str]) -> str:
    return ("column " if len(names) == 1 else "columns ") + listed(list(map(repr, names)), 10)


# Errors of reading


@contextmanager
def rows_numbered_as(table: pl.DataFrame, schema: Schema) -> Iterator[None]:
    """A context in which errors name all faulty rows by their numbers in the table, whatever part of it is read.

    After an error, all values that are read late, such as images, are read once more.

    Raises:
        DataError: As raised inside.
    """
    try:
        yield
    except DataError as error:
        try:
            checked, _ = schema.check(table, notes=False)
            for column in schema.features:
                KINDS[column.kind].verify(checked[column.name])
        except DataError as numbered:
            raise numbered from None
        raise error from None
