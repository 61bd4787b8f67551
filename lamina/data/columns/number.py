"""Numbers: any that are not a flag, a code or an identifier, a duration or a time of day, and text that holds them."""

from __future__ import annotations

from typing import Any

import polars as pl

from lamina.data.columns.column import Column, ColumnKind, Guess, Values, brought, coerced, outside, show
from lamina.data.columns.scaled import Scaled
from lamina.data.parse import numbers, unit_of
from lamina.errors import SchemaError


class Number(ColumnKind):
    """Float64, NaN and infinite as null; ``low``, ``high`` (finite), ``whole`` (only whole numbers), ``unit``."""

    name = "number"
    expects = "numbers"
    shared = "numbers"
    numeric = True
    floats = True

    def guess(self, values: Values) -> Guess | None:
        if values.numbers is None:
            return None
        low, high = values.span
        whole, details = values.whole is not None, values.measured
        reason = f"{values.how}{'whole numbers' if whole else 'numbers'} from {show(low)} to {show(high)}"
        if values.column.dtype in (pl.Duration, pl.Time):
            reason += ", in seconds"
        if infinite := details.get("infinite"):
            reason += f"; {infinite:,} infinite taken as missing"
        return Guess(self.name, reason, details | {"low": low, "high": high, "whole": whole})

    def coerce(self, column: pl.Series) -> Guess | None:
        if (found := coerced(column, numbers(column))) is None:
            return None
        values, details, taken = found
        low, high = float(values.min()), float(values.max())  # pyright: ignore[reportArgumentType]
        whole = max(abs(low), abs(high)) < 2**53 and bool((values.floor() == values).all())
        low, high = (int(low), int(high)) if whole else (low, high)
        unit = {"unit": unit} if (unit := unit_of(column)) else {}
        reason = f"given; from {show(low)} to {show(high)}{taken}"
        return Guess(self.name, reason, details | {"low": low, "high": high, "whole": whole} | unit)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        unit, learnt = unit_of(values), column.details.get("unit", "")
        if unit and unit != learnt:
            what = f"numbers in {learnt}" if learnt else "numbers without a unit"
            raise SchemaError(f"column {column.name!r} holds numbers in {unit}, but {what} were learnt; convert them")
        return brought(column, values, numbers(values), remarks)

    def outside(self, column: Column, values: pl.Series) -> list[str]:
        low, high = column.details["low"], column.details["high"]
        return outside(column, values, low, high, f"{low:.6g}..{high:.6g}")

    def enter(self, values: pl.Series, measure: Any) -> tuple[Scaled, str]:
        return Scaled.fit(values, measure), ""
