"""Numbers: any that are not a flag, a code or an identifier, a duration or a time of day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from lamina.data.columns.column import FREQUENT, Column, Guess, Indicator, Values, mask, span
from lamina.data.columns.scaled import ScaledKind
from lamina.data.parse import numbers
from lamina.data.readings import NumberReading

_NEIGHBOURS = 20  # fewest rows with the values nearest to the most frequent one


class Number(ScaledKind):
    """Float64, NaN and infinite as null; ``low``, ``high`` (finite), ``whole`` (only whole numbers)."""

    name = "number"
    saved_details = {"low": float, "high": float}
    expects = "numbers"
    numeric = True
    floats = True
    max_group_size = 30
    reading = NumberReading
    parse = staticmethod(numbers)

    def guess(self, values: Values) -> Guess | None:
        if values.numbers is None:
            return None
        low, high = values.span
        whole, details = values.whole is not None, values.measured
        reason = f"{'whole numbers' if whole else 'numbers'} from {_shown(low)} to {_shown(high)}"
        if values.column.dtype in (pl.Duration, pl.Time):
            reason += ", in seconds"
        if infinite := details.get("infinite"):
            reason += f"; {infinite:,} infinite, treated as missing"
        return Guess(self.name, reason, details | {"low": low, "high": high, "whole": whole})

    def given(self, column: pl.Series, parsed: pl.Series, details: dict[str, Any]) -> Guess:
        low, high = span(parsed)
        details = details | {"low": low, "high": high, "whole": isinstance(low, int)}
        return Guess(self.name, f"given; from {_shown(low)} to {_shown(high)}", details)

    def trained_range(self, details: dict[str, Any]) -> tuple[float, float, str]:
        low, high = details["low"], details["high"]
        return low, high, f"{low:.6g}..{high:.6g}"

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


def _shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) and abs(value) < 1e15 else f"{value:.6g}"
