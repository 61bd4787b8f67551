"""The decision threshold of two classes or a label: the rule that chooses it, and their curve on the validation rows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lamina.errors import OptionError
from lamina.options import shortened

MOST_POINTS = 256
"""Maximum number of thresholds of a curve."""
EXPECTED = "f1, recall=0.9, precision=0.9, cost=1:5 (false positive : false negative) or a probability between 0 and 1"
_SHARES = ("recall", "precision")

Curve = tuple[tuple[float, float, float], ...]
"""Threshold, and weight of the rows of the positive class and of the other class that reach it; from none to all rows."""


@dataclass(frozen=True)
class Rule:
    """How a threshold is chosen.

    Attributes:
        name: "f1", "recall", "precision", "cost", or "" for a threshold that is given.
        values: The wanted recall or precision; costs of a false positive and a false negative; or the threshold.

    Example:
        >>> Rule.parse("cost=1:5"), Rule.parse(0.3), str(Rule.parse("recall=0.9"))
        (Rule(name='cost', values=(1.0, 5.0)), Rule(name='', values=(0.3,)), 'a recall of at least 0.9')
    """

    name: str
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: float | str) -> Rule:
        """The rule from the value of the option ``threshold``; OptionError if it is none."""
        name, equals, value = str(text).strip().partition("=")
        name = name.strip().lower()
        numbers = [_number(part) for part in re.split(":", value if equals else name)]
        shares = len(numbers) == 1 and 0 <= numbers[0] <= 1
        if not equals and name == "f1":
            return cls("f1")
        if (not equals and shares and not isinstance(text, bool)) or (name in _SHARES and shares and numbers[0] > 0):
            return cls(name if equals else "", tuple(numbers))
        if name == "cost" and len(numbers) == 2 and all(0 < number < math.inf for number in numbers):
            return cls(name, tuple(numbers))
        raise OptionError(f"threshold is {shortened(text)}, expected {EXPECTED}")

    def __str__(self) -> str:
        if self.name in _SHARES:
            return f"a {self.name} of at least {self.values[0]:g}"
        if self.name == "cost":
            return f"the lowest cost ({self.values[0]:g} for a false positive, {self.values[1]:g} for a false negative)"
        return "the highest F1"

    def choose(self, curve: Curve, label: str | None = None) -> float:
        """The threshold; OptionError if none has the wanted precision, or the curve is empty and the rule needs one."""
        if not self.name:
            return self.values[0]
        if not curve:
            raise OptionError(
                f"threshold={self.name!r} is chosen on the validation rows of the fit, but the model has no curve of them: "
                "it was fitted by an earlier lamina, or they were few or of one class; fit it again, or give a probability, "
                "such as threshold=0.3"
            )
        thresholds, right, false = np.array(curve).T
        everything = right[-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(right + false > 0, right / (right + false), 0.0)
        if self.name == "f1":
            best = int((2 * right / (right + false + everything)).argmax())
        elif self.name == "cost":
            best = int((self.values[0] * false + self.values[1] * (everything - right)).argmin())
        elif self.name == "recall":
            best = int((right >= self.values[0] * everything * (1 - 1e-12)).argmax())
        else:
            reached = precision >= self.values[0] * (1 - 1e-12)
            if not reached.any():
                of = "" if label is None else f" of label {label!r}"
                raise OptionError(
                    f"no threshold{of} has a precision of {self.values[0]:g} on the validation rows of the fit; "
                    f"the highest is {precision.max():.3g}"
                )
            best = int(np.where(reached, right, -1.0).argmax())
        return float(thresholds[best])


def words(chosen: Mapping[str, Any]) -> str:
    """A threshold in use as a sentence; ``chosen`` is ``threshold`` of an evaluation."""
    text = f"Predicts {chosen['class']} from a probability of {chosen['value']:.3g}"
    if "rule" not in chosen:
        return f"{text}."
    return f"{text}, chosen for {chosen['rule']} on the {chosen['rows']} ({chosen['support']:,} of them {chosen['class']})."


def fit_curve(
    probabilities: np.ndarray, positive: np.ndarray, weight: np.ndarray | None = None, *, most: int = MOST_POINTS
) -> Curve:
    """The curve of the probabilities of the positive class (N,); empty if all rows are of one class.

    Only thresholds that are the best for some rule are kept, at the last of a run of positive rows, and about ``most`` of them.

    Example:
        >>> fit_curve(np.array([0.875, 0.5, 0.25, 0.125]), np.array([True, False, True, False]))
        ((0.9375, 0.0, 0.0), (0.6875, 1.0, 0.0), (0.1875, 2.0, 1.0), (0.0, 2.0, 2.0))
    """
    weights = np.ones(len(positive)) if weight is None else np.asarray(weight, dtype=np.float64)
    known = np.isfinite(probabilities) & (weights > 0)
    weights = weights / weights[known].mean() if known.any() else weights  # so that sums are about numbers of rows
    values, group = np.unique(-probabilities[known], return_inverse=True)
    values = -values  # from high to low
    right = np.bincount(group, weights[known] * positive[known], minlength=len(values))
    false = np.bincount(group, weights[known] * ~positive[known], minlength=len(values))
    if not right.any() or not false.any():
        return ()
    below = np.append(values[1:], 0.0)
    kept = np.flatnonzero((right > 0) & (np.append(false[1:], 1.0) > 0))
    right, false = right.cumsum(), false.cumsum()
    if len(kept) > most:
        best = (2 * right[kept] / (right[kept] + false[kept] + right[-1])).argmax()
        places = np.linspace(0, len(kept) - 1, most).round().astype(np.int64)
        kept = kept[np.union1d(places, best)]
    middles = (values + below) / 2
    middles = np.where(middles > below, middles, values)  # of two floats that are next to each other
    none = (values[0] + 1) / 2 if values[0] < 1 else np.nextafter(1.0, 2.0)
    points = zip(middles[kept], right[kept], false[kept], strict=True)
    curve = [(none, 0.0, 0.0), *points, (0.0, right[-1], false[-1])]
    return tuple((float(threshold), float(hits), float(misses)) for threshold, hits, misses in curve)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
