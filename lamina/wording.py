"""Figures and counts in words, the same on every screen, in every error and every note."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share as a person reads it; near 0 and 1 with the digits that tell it apart.

    Example:
        >>> percent(0.871), percent(0.99964)
        ('87.1 %', '99.96 %')
    """
    return f"{share:.2%}".replace("%", " %") if 0 < min(share, 1 - share) < 0.005 else f"{share:.1%}".replace("%", " %")


def number(value: float) -> str:
    """Four digits, with separators.

    Example:
        >>> number(1234567.8), number(0.27963)
        ('1,234,568', '0.2796')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
