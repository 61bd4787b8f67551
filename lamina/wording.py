"""Numbers, counts, durations and file sizes as text, for screens, errors and notes."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence


def percent(share: float) -> str:
    """A fraction as a percentage; two decimals where it is within 0.5 % of 0 or 1.

    Example:
        >>> percent(0.871), percent(0.99964)
        ('87.1 %', '99.96 %')
    """
    text = f"{share:.2%}" if 0 < min(share, 1 - share) < 0.005 else f"{share:.1%}"
    return text.replace("%", " %")


def number(value: float) -> str:
    """A number with four significant digits, or with thousands separators.

    Example:
        >>> number(1234567.8), number(0.27963)
        ('1,234,568', '0.2796')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"


def two_digits(value: float) -> str:
    """A number with two significant digits, without an exponent.

    Example:
        >>> two_digits(0.0101), two_digits(7.04), two_digits(3835), two_digits(0.0)
        ('0.01', '7', '3,800', '0')
    """
    if not value:
        return "0"
    places = 1 - math.floor(math.log10(abs(value)))
    text = f"{round(value, places):,.{max(places, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count(amount: int, noun: str) -> str:
    """A number of things, the noun in the plural unless there is one.

    Example:
        >>> count(1, "row"), count(1200, "row")
        ('1 row', '1,200 rows')
    """
    return f"{amount:,} {noun}{'s' * (amount != 1)}"


def listed(items: Sequence[str], most: int) -> str:
    """Items with commas, and how many more there are.

    Example:
        >>> listed(["'a'", "'b'", "'c'"], 2)
        "'a', 'b' and 1 more"
    """
    return ", ".join(items[:most]) + (f" and {len(items) - most:,} more" if len(items) > most else "")


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint for an unknown name: the most similar names, else all of them.

    Example:
        >>> nearest("Aeg", ["age", "town"]), nearest("zzz", ["age", "town"])
        ("did you mean 'age'?", "it has 'age', 'town'")
    """
    lowered = {candidate.lower(): candidate for candidate in names}
    if close := difflib.get_close_matches(name.lower(), lowered, n=3):
        return "did you mean " + " or ".join(repr(lowered[match]) for match in close) + "?"
    return f"it has {listed(list(map(repr, names)), 20)}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it, from microseconds to hours.

    Example:
        >>> duration(12.3e-6), duration(0.0018), duration(7.4), duration(75), duration(7300), duration(math.inf)
        ('12 µs', '1.8 ms', '7.4 s', '1 min 15 s', '2 h 1 min', 'an unknown time')
    """
    if not math.isfinite(seconds):  # of a changed file
        return "an unknown time"
    for limit, unit, factor in ((1e-3, "µs", 1e6), (0.1, "ms", 1e3), (9.95, "s", 1)):
        if seconds < limit:
            return f"{two_digits(seconds * factor)} {unit}"
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {second} s" if minutes else f"{second} s"


def file_size(size_bytes: float) -> str:
    """A number of bytes with three significant digits.

    Example:
        >>> file_size(12), file_size(1234), file_size(7e9)
        ('12 bytes', '1.23 kB', '7 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.3g} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.3g} GB"
