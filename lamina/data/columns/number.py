"""Numbers: any that are not a flag, a code or an identifier, a duration or a time of day, and text that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from lamina.data.columns.column import (
    FREQUENT,
    Column,
    ColumnKind,
    Guess,
    Indicator,
    Values,
    coerced,
    converted,
    format_number,
    mask,
    outside,
)
from lamina.data.columns.scaled import Scaled
from lamina.data.parse import numbers, unit_of
from lamina.errors import SchemaError

_NEIGHBOURS = 20  # fewest rows with the values nearest to the most frequent one


class Number(ColumnKind):
    """Float64, NaN and infinite as null; ``low``, ``high`` (finite), ``whole`` (only whole numbers), ``unit``."""

    name = "number"
    expects = "numbers"
    shared = "numbers"
    numeric = True
    floats = True
    max_group_size = 30

    def guess(self, values: Values) -> Guess | None:
        if values.numbers is None:
            return None
        low, high = values.span
        whole, details = values.whole is not None, values.measured
        reason = f"{values.prefix}{'whole numbers' if whole else 'numbers'} from {format_number(low)} to {format_number(high)}"
        if values.column.dtype in (pl.Duration, pl.Time):
            reason += ", in seconds"
        if infinite := details.get("infinite"):
            reason += f"; {infinite:,} infinite, treated as missing"
        return Guess(self.name, reason, details | {"low": low, "high": high, "whole": whole})

    def coerce(self, column: pl.Series) -> Guess | None:
        if (parsed := coerced(column, numbers(column))) is None:
            return None
        values, details, remark = parsed
        low, high = float(values.min()), float(values.max())  # pyright: ignore[reportArgumentType]
        whole = max(abs(low), abs(high)) < 2**53 and bool((values.floor() == values).all())
        low, high = (int(low), int(high)) if whole else (low, high)
        unit = {"unit": unit} if (unit := unit_of(column)) else {}
        reason = f"given; from {format_number(low)} to {format_number(high)}{remark}"
        return Guess(self.name, reason, details | {"low": low, "high": high, "whole": whole} | unit)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        unit, trained = unit_of(values), column.details.get("unit", "")
        if unit and unit != trained:
            expected = f"numbers in {trained}" if trained else "numbers without a unit"
            raise SchemaError(f"column {column.name!r} holds numbers in {unit}, expected {expected} as in training; convert it")
        return converted(column, values, numbers(values), remarks)

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        low, high = column.details["low"], column.details["high"]
        return outside(column, values, low, high, f"{low:.6g}..{high:.6g}")

    def fit_entry(self, values: pl.Series, measure: Any) -> tuple[Scaled, str]:
        return Scaled.fit(values, measure), ""

    def indicators(self, column: Column, values: pl.Series) -> Iterator[Indicator]:
        common = values.alias("level").drop_nulls().value_counts(sort=True, name="rows").head(1)
        if len(common) and common["rows"][0] >= FREQUENT * len(values):
            value = common["level"][0]
            rows, distance = mask(values == value), (values - value).abs().to_numpy()
            positive = distance[distance > 0]
            nearest = np.partition(positive, index := min(_NEIGHBOURS, len(positive)) - 1)[index] if len(positive) else 0.0
            yield Indicator(rows, f"is {value:g}", 0.25, (distance > 0) & (distance <= nearest))
            yield Indicator(~rows, f"is not {value:g}", 0.25)
        yield from super().indicators(column, values)
