"""The schema: what each column is taken for, and why.

Every column gets a kind, a role and a reason in words. :meth:`Schema.infer` guesses them from the values (the rules are in
:mod:`lamina.data.kinds`), a person overrides any of them, and :meth:`Schema.check` brings a table to predict into the form
that was learnt. What ``check`` returns, column by column, is all that an encoder has to know:

=========  =================================  =====================================================================
kind       dtype that ``check`` returns       details besides ``dtype`` (as learnt) and ``missing`` (share of rows)
=========  =================================  =====================================================================
number     Float64, NaN and infinite as null  ``low``, ``high`` (finite), ``whole`` (only whole numbers)
flag       Boolean, unseen values as null     ``levels``: [text of false, text of true]
category   String                             ``levels``: the (at most 20) most frequent texts; ``distinct``: how many in all
date       Datetime("us"), UTC without zone   ``low``, ``high`` (ISO text), ``time``: whether the time of day varies
image      see :mod:`lamina.data.image`       ``source``, ``channels``, ``sizes``
text       String                             ``words``: how many there are on average
series     see :mod:`lamina.data.series`      ``channels``, ``shortest``, ``longest``
=========  =================================  =====================================================================

``check`` may be given what it returned: it changes nothing then.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lamina.data import image, series, text
from lamina.data.frames import FEW_ROWS, matrix
from lamina.data.kinds import Guess, dates, guess, numbers, regard, texts, unit_of, unparsed
from lamina.data.read import nearest, read_table
from lamina.errors import SchemaError

KINDS = ("number", "flag", "category", "date", "text", "image", "series", "id", "constant", "other")
ROLES = ("feature", "target", "group", "time", "weight", "split", "ignored")
RICH = {"image": image, "text": text, "series": series}
"""The kinds whose every value is more than a word or a number; each has a file of its own."""
LEARNT = ("number", "flag", "category", "date", *RICH)
"""The kinds of columns that can be learnt from."""


@dataclass(frozen=True)
class Column:
    """One column: what it is taken for (kind), what it is used for (role), and the reason in words."""

    name: str
    kind: str
    role: str
    reason: str
    details: dict[str, Any]

    @cached_property
    def span(self) -> tuple[Any, Any]:
        """The lowest and highest value learnt, as numbers or moments."""
        low, high = self.details["low"], self.details["high"]
        return (dt.datetime.fromisoformat(low), dt.datetime.fromisoformat(high)) if self.kind == "date" else (low, high)


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
    ) -> Schema:
        """Guess the kind and role of every column, with the reason.

        Args:
            table: All rows that are known, training and validation: anything :func:`~lamina.data.read.read_table` takes.
            target: The column or columns that are asked for.
            kinds: What columns are, where the guess is wrong: ``{"zip": "category"}``.
            roles: What columns are for: ``{"day": "time"}``, ``{"name": "ignored"}``, ``{"id": "feature"}``.

        Raises:
            SchemaError: An unknown column, kind or role; values that cannot be of the kind given; nothing left to learn from.
        """
        table = read_table(table)
        if table.height < 2:
            rows = "1 row" if table.height else "no rows"
            raise SchemaError(f"the table has {rows} (n_samples={table.height}); learning needs at least 2, better hundreds")
        kinds, roles = dict(kinds or {}), _roles(table, target, dict(roles or {}))
        _known("kinds", kinds, table.columns, (*LEARNT, "id", "constant"))
        columns = [_column(values, kinds.get(values.name), roles.get(values.name)) for values in table]
        features = any(column.role == "feature" for column in columns)
        if not features:  # a lone x = 1, 2, 3, ... is more likely a measurement than a row number, a lone text no name
            columns = [_reprieved(column, table[column.name]) for column in columns]
        if not any(column.role == "feature" for column in columns):
            raise SchemaError(_nothing_left(columns))
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
        """The columns that are learnt from, in the table's order."""
        return self.by_role("feature")

    @cached_property
    def targets(self) -> tuple[Column, ...]:
        """The columns that are asked for."""
        return self.by_role("target")

    @cached_property
    def ignored(self) -> tuple[Column, ...]:
        """The columns that are left out, each with its reason."""
        return self.by_role("ignored")

    def by_role(self, role: str) -> tuple[Column, ...]:
        """The columns of a role, in the table's order."""
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

    def check(self, table: Any, notes: bool = True) -> tuple[pl.DataFrame, list[str]]:
        """Bring a table into the form that was learnt: exactly the features, in the learnt order and dtype.

        Args:
            table: Rows to predict (or to learn from): anything :func:`~lamina.data.read.read_table` takes.
            notes: Look for what was handled and is worth saying: columns left out, values outside the range learnt, flags never
                seen. (Categories never seen are the encoder's to report: it has the whole list.)

        Raises:
            SchemaError: A feature is missing, or holds a value that cannot be of its kind; names column, value and row.
        """
        if not isinstance(table, pl.DataFrame):
            table = read_table(table)
        present = table.columns
        known = set(present)
        if missing := [column.name for column in self.features if column.name not in known]:
            raise SchemaError(self._missing(missing, present))
        if not notes and (few := self._few_numbers(table)) is not None:
            return few, []
        remarks: list[str] = []
        if notes and (extra := [name for name in present if name not in self._by_name]):
            remarks.append(f"{_names(extra)} {'was' if len(extra) == 1 else 'were'} not there in training and left out")
        checked = []
        for column in self.features:
            values = _CHECKS[column.kind](column, table.get_column(column.name), remarks)
            checked.append(values)
            if notes and column.kind in ("number", "date"):
                _note_span(column, values, remarks)
        return pl.DataFrame(checked), remarks if notes else []

    def _few_numbers(self, table: pl.DataFrame) -> pl.DataFrame | None:
        """A few rows of nothing but finite numbers, as a check leaves them; one column after another takes much longer.

        Only integers stay integers: whatever reads the table reads them alike.
        """
        if len(table) > FEW_ROWS or tuple(table.columns) != self._numbers:
            return None
        dtypes = set(table.dtypes)
        if not all(dtype.is_float() or dtype.is_integer() for dtype in dtypes):
            return None
        values = np.array(table.rows(), dtype=np.float64)  # missing is NaN
        if not np.isfinite(values).all():
            return None
        return table if dtypes in ({pl.Float64()}, {pl.Int64()}) else matrix(self._numbers, values)

    @cached_property
    def _numbers(self) -> tuple[str, ...]:
        """The names of the features where all are numbers, else none."""
        names = tuple(column.name for column in self.features)
        return names if all(column.kind == "number" for column in self.features) else ()

    def _missing(self, missing: list[str], present: list[str]) -> str:
        learnt = {column.name for column in self.columns}
        hints = []
        for name in missing:
            lowered = {other.lower(): other for other in present if other not in learnt}
            close = difflib.get_close_matches(name.lower(), lowered, n=1)
            hints += [f"rename {lowered[close[0]]!r} to {name!r}?"] if close else []
        remedy = " ".join(hints[:3]) or "add " + ("it" if len(missing) == 1 else "them") + ", with empty values where unknown"
        return f"the table lacks {_names(missing)} that the model learnt from; {remedy}"

    def to_json(self) -> dict[str, Any]:
        """The schema as plain JSON values."""
        return {"columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Schema:
        """The schema that :meth:`to_json` wrote."""
        return cls(tuple(Column(**column) for column in values["columns"]))


# Inferring


def _roles(table: pl.DataFrame, target: str | Sequence[str] | None, roles: dict[str, str]) -> dict[str, str]:
    _known("roles", roles, table.columns, ROLES)
    for name in [target] if isinstance(target, str) else target or ():
        if name not in table.columns:
            raise SchemaError(f"no column {name!r} to be the target; {nearest(str(name), table.columns)}")
        if roles.setdefault(name, "target") != "target":
            raise SchemaError(f"column {name!r} is the target and also has the role {roles[name]!r}; give it one of the two")
    return roles


def _known(option: str, given: Mapping[str, str], names: Sequence[str], words: Sequence[str]) -> None:
    for name, word in given.items():
        if name not in names:
            raise SchemaError(f"{option} names a column {name!r} that is not there; {nearest(name, names)}")
        if word not in words:
            raise SchemaError(f"{option}: {name!r} is given as {word!r}; expected one of {', '.join(words)}")


def _column(values: pl.Series, kind: str | None, role: str | None) -> Column:
    wanted = role in ("feature", "target", "group", "time", "weight", "split") or kind in LEARNT
    found = _guessed(values, plain=wanted and role != "target") if kind is None else _forced(values, kind)
    if role == "target" and found.kind in ("id", "text"):
        found = guess(values, plain=True)
    if role is None:
        role = "feature" if found.kind in LEARNT else "ignored"
    elif role == "feature" and found.kind not in LEARNT:
        raise SchemaError(f"column {values.name!r} cannot be a feature: {found.reason}; leave it out of roles")
    elif role == "ignored":
        found = replace(found, reason=f"told to ignore it ({found.reason})")
    elif role == "weight" and not values.dtype.is_numeric() and found.kind not in ("number", "flag"):
        raise SchemaError(f"column {values.name!r} cannot hold weights, which are numbers: {found.reason}")
    missing = found.details["missing"]
    reason = found.reason + (f"; {_percent(missing)} missing" if 0 < missing < 1 and found.kind != "constant" else "")
    return Column(values.name, found.kind, role, reason, found.details)


def _guessed(values: pl.Series, plain: bool) -> Guess:
    """Images and series are told by their dtype or their files, text only once it is nothing simpler."""
    rich = image.guess(values) or series.guess(values)
    if rich is not None:
        return rich
    found = guess(values, plain=plain)
    return text.guess(values) or found if not plain and found.kind in ("id", "category") else found


def _forced(values: pl.Series, kind: str) -> Guess:
    """The kind that a person gave, if the values can be of it."""
    found = RICH[kind].regard(values) if kind in RICH else regard(values, kind)
    if found is not None:
        return found
    first = values.drop_nulls().head(1)
    shown = f", such as {first.to_list()[0]!r:.40}" if len(first) else ""
    what = {"flag": "exactly two different values", "date": "dates (2024-05-31)", "number": "numbers"}
    what |= {"image": "paths or bytes of image files, or arrays", "series": "lists or arrays of numbers"}
    what = what.get(kind, "plain values")
    raise SchemaError(
        f"column {values.name!r} cannot be a {kind}: that needs {what}, it holds {values.dtype}{shown}; "
        f"leave it out of kinds, or correct its values"
    )


def _reprieved(column: Column, values: pl.Series) -> Column:
    if column.role == "ignored" and column.kind == "id" and column.details.get("running"):
        found = guess(values, plain=True)
        return Column(column.name, found.kind, "feature", found.reason + "; kept, as there is no other column", found.details)
    wordy = column.role == "ignored" and column.kind == "id" and values.dtype == pl.String
    if wordy and (found := text.regard(values)) and found.details["words"] >= 2:
        return Column(column.name, "text", "feature", "texts, mostly different; there is no other column", found.details)
    return column


def _nothing_left(columns: Sequence[Column]) -> str:
    reasons = [f"{column.name!r} ({column.reason})" for column in columns if column.role == "ignored"]
    shown = ", ".join(reasons[:5]) + (f" and {len(reasons) - 5:,} more" if len(reasons) > 5 else "")
    if not reasons:
        return "no column is left to learn from besides the target; add columns that say something about it"
    return f"no column is left to learn from: {shown}; keep one with roles={{name: 'feature'}} or add columns"


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10]) + (f" and {len(names) - 10:,} more" if len(names) > 10 else "")
    return ("column " if len(names) == 1 else "columns ") + shown


# Checking


def _check_number(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    unit, learnt = unit_of(values), column.details.get("unit", "")
    if unit and unit != learnt:
        what = f"numbers in {learnt}" if learnt else "numbers without a unit"
        raise SchemaError(f"column {column.name!r} holds numbers in {unit}, but {what} were learnt; convert them")
    return _brought(column, values, numbers(values), remarks)


def _check_date(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    return _brought(column, values, dates(values), remarks)


def _check_category(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    return _brought(column, values, texts(values), remarks)


def _brought(column: Column, before: pl.Series, after: pl.Series | None, remarks: list[str]) -> pl.Series:
    """The values in the form of their kind, or why they cannot be."""
    if after is None:
        raise SchemaError(f"column {column.name!r} holds {before.dtype}, a {column.kind} was learnt; convert it first")
    if after.null_count() == before.null_count() or column.kind == "category":
        return after
    lost = unparsed(before, after)
    if lost is None:
        return after
    row, count = int(lost.arg_true()[0]), int(lost.sum())
    if "unparsed" not in column.details:  # where training held some too, they are missing here as they were there
        raise SchemaError(
            f"column {column.name!r} holds {before[row]!r:.60} in row {row + 1:,}, a {column.kind} was learnt; "
            "correct it, or leave it empty where unknown"
        )
    remarks.append(f"{column.name}: {count:,} {_plural(count)} taken as missing, such as {before[row]!r:.60}: no {column.kind}")
    return after


def _check_flag(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    if values.dtype == pl.Boolean:
        return values
    low, high = column.details["levels"]
    if values.dtype.is_numeric():
        if values.dtype.is_float():
            values = values if math.isfinite(values.sum()) else values.fill_nan(None)
        try:
            low, high = float(low), float(high)
        except ValueError:
            low, high = {"false": 0.0}.get(low), {"true": 1.0}.get(high)
    else:
        values = _brought(column, values, texts(values), remarks)
    if low is None or high is None:
        result, other = pl.Series(column.name, [False] * len(values)), pl.Series([False] * len(values))
    else:
        result, other = values == high, values == low
    seen = int(result.sum()) + int(other.sum())
    if seen + values.null_count() < len(values):
        unseen = ~(result | other) & values.is_not_null()
        result = result.set(unseen, None)
        count = int(unseen.sum())
        example = values.filter(unseen)[0]
        remarks.append(
            f"{column.name}: {count:,} {_plural(count)} never seen in training, such as {example!r:.40}, taken as missing "
            f"(learnt: {column.details['levels'][0]!r} and {column.details['levels'][1]!r})"
        )
    return result


def _note_span(column: Column, values: pl.Series, remarks: list[str]) -> None:
    lowest = values.min()
    if lowest is None:
        return
    low, high = column.span
    if lowest < low or values.max() > high:  # pyright: ignore[reportOperatorIssue]
        count = int(((values < low) | (values > high)).sum())
        shown = f"{str(low)[:10]}..{str(high)[:10]}" if column.kind == "date" else f"{low:.6g}..{high:.6g}"
        remarks.append(f"{column.name}: {count:,} {_plural(count)} outside {shown} learnt")


def _plural(count: int) -> str:
    return "value" if count == 1 else "values"


def _check_rich(column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
    return RICH[column.kind].check(column, values)


_CHECKS = {
    "number": _check_number,
    "flag": _check_flag,
    "category": _check_category,
    "date": _check_date,
    **dict.fromkeys(RICH, _check_rich),
}
