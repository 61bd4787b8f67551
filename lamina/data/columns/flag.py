"""Flags: booleans, whole numbers that are 0/1 or -1/1, two different texts (yes/no)."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import polars as pl

from lamina.data.columns.column import Column, ColumnKind, Guess, Values, brought, coerced, counted, values_of
from lamina.data.parse import texts


class Flag(ColumnKind):
    """Boolean, unseen values as null; ``levels``: [text of false, text of true]."""

    name = "flag"
    expects = "exactly two different values"
    shared = "flags"
    numeric = True

    def guess(self, values: Values) -> Guess | None:
        if values.column.dtype == pl.Boolean:
            return self._of(["false", "true"], values.details) if values.single is None else None
        if (whole := values.whole) is not None:
            ends = values.span
            two = ends == (0, 1) or (ends == (-1, 1) and not (whole == 0).any())
            return self._of([str(end) for end in ends], values.measured) if two else None
        if not values.is_text or values.counted.height != 2:
            return None
        return self._of(values.counted.to_series(0).to_list(), values.details)

    def coerce(self, column: pl.Series) -> Guess | None:
        found = coerced(column, texts(column))
        if found is None or (levels := counted(found[0])).height != 2:
            return None
        return replace(self._of(levels.to_series(0).to_list(), found[1]), reason="given")

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
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
            values = brought(column, values, texts(values), remarks)
        if low is None or high is None:
            result, other = pl.Series(column.name, [False] * len(values)), pl.Series([False] * len(values))
        else:
            result, other = values == high, values == low
        seen = int(result.sum()) + int(other.sum())
        if seen + values.null_count() < len(values):
            unseen = ~(result | other) & values.is_not_null()
            result = result.set(unseen, None)
            example = values.filter(unseen)[0]
            remarks.append(
                f"{column.name}: {values_of(int(unseen.sum()))} never seen in training, such as {example!r:.40}, taken as "
                f"missing (learnt: {column.details['levels'][0]!r} and {column.details['levels'][1]!r})"
            )
        return result

    def enter(self, values: pl.Series, measure: Any) -> tuple[str, str]:
        return values.name, ""

    def _of(self, levels: list[str], details: dict[str, Any]) -> Guess:
        low, high = sorted(levels, key=lambda level: (level.strip().lower(), level))  # no < yes, false < true, 0 < 1
        return Guess(self.name, f"two values: {low!r:.40} and {high!r:.40}", details | {"levels": [low, high]})
