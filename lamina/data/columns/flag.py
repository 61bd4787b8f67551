"""Flags: booleans, whole numbers that are 0/1 or -1/1, two different texts (yes/no)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import polars as pl

from lamina.data.columns.column import Column, Guess, Indicator, Measure, PlainKind, Values, level_counts, mask
from lamina.data.parse import texts
from lamina.data.readings import TRUTH, truth
from lamina.errors import SchemaError
from lamina.wording import count


class Flag(PlainKind):
    """Boolean, unseen values as null; ``levels``: [text of false, text of true]."""

    name = "flag"
    saved_details = {"levels": tuple[str, str]}
    expects = "exactly two different values"
    shared = "flags"
    numeric = True
    parse = staticmethod(texts)

    def guess(self, values: Values) -> Guess | None:
        if values.column.dtype == pl.Boolean:
            return self._of(["false", "true"], values.details) if values.constant is None else None
        if (whole := values.whole) is not None:
            ends = values.span
            two = ends == (0, 1) or (ends == (-1, 1) and not (whole == 0).any())
            return self._of([str(end) for end in ends], values.measured) if two else None
        if not values.is_text or values.text_counts.height != 2:
            return None
        return self._of(values.text_counts.to_series(0).to_list(), values.details)

    def given(self, column: pl.Series, parsed: pl.Series, details: dict[str, Any]) -> Guess | None:
        counts = level_counts(parsed)
        return replace(self._of(counts.to_series(0).to_list(), details), reason="given") if counts.height == 2 else None

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        if values.dtype == pl.Boolean:
            return values
        low, high = column.details["levels"]
        words = TRUTH.get(low.lower()), TRUTH.get(high.lower())  # yes for a flag of true and false
        if values.dtype.is_numeric():
            if values.dtype.is_float():
                values = values if math.isfinite(values.sum()) else values.fill_nan(None)
            try:
                low, high = float(low), float(high)
            except ValueError:
                low, high = (None, None) if None in words else (float(words[0] is True), float(words[1] is True))
        else:
            values = super().check(column, values, remarks)
            if words in ((False, True), (True, False)) and not values.is_in([low, high]).all():
                meaning = truth(values)
                for level, word in zip((low, high), words, strict=True):
                    values = values.set((meaning == word).fill_null(False), level)
        if low is None or high is None:
            result, other = pl.Series(column.name, [False] * len(values)), pl.Series([False] * len(values))
        else:
            result, other = values == high, values == low
        if int(result.sum()) + int(other.sum()) + values.null_count() < len(values):
            unseen = ~(result | other) & values.is_not_null()
            result = result.set(unseen, None)
            few, example = count(int(unseen.sum()), "value"), values.filter(unseen)[0]
            remarks.append(
                f"{column.name}: {few} not in the training rows, such as {example!r:.40}, treated as missing "
                f"(training: {column.details['levels'][0]!r} and {column.details['levels'][1]!r})"
            )
        return result

    def refuse(self, column: Column, values: pl.Series) -> None:
        low, high = column.details["levels"]
        if values.dtype == pl.Boolean and column.details["dtype"] != "Boolean" and not are_truth(low, high):
            raise SchemaError(
                f"column {column.name!r} holds true and false, expected {low!r} or {high!r} as in training, and nothing tells "
                "which of them is true; give these values"
            )

    def fit_entry(self, column: Column, values: pl.Series, measure: Measure, notes: list[str]) -> str:
        return values.name

    def indicators(self, column: Column, values: pl.Series) -> Iterator[Indicator]:
        for rows, level in zip((mask(~values), mask(values)), column.details["levels"], strict=True):
            yield Indicator(rows, f"is {level!r}", 0.5)
        yield from super().indicators(column, values)

    def _of(self, levels: list[str], details: dict[str, Any]) -> Guess:
        words = [TRUTH.get(level.strip().lower()) for level in levels]
        order = dict(zip(levels, words, strict=True)) if set(words) == {False, True} else {}
        low, high = sorted(levels, key=lambda level: (order.get(level, False), level.strip().lower(), level))  # no < yes, 0 < 1
        return Guess(self.name, f"two values: {low!r:.40} and {high!r:.40}", details | {"levels": [low, high]})


def are_truth(low: str, high: str) -> bool:
    """Whether two levels are words or numbers for false and true.

    Example:
        >>> are_truth("no", "yes"), are_truth("-1", "1"), are_truth("alive", "dead")
        (True, True, False)
    """
    return (TRUTH.get(low.strip().lower()), TRUTH.get(high.strip().lower())) == (False, True) or (low, high) == ("-1", "1")
