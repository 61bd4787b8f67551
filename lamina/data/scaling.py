"""Scaling of numbers."""

from __future__ import annotations

import numpy as np

FAR = 1e6
"""Standard deviations at which a value is clipped, far beyond any training row; its square fits float32."""


def moments(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (1 for a constant), without overflow for values up to 1e308."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return low, 1.0
    unit = max(abs(low), abs(high))
    unit = unit if unit > 1e100 else 1.0
    scaled = values / unit if unit != 1.0 else values
    return float(scaled.mean()) * unit, float(scaled.std()) * unit or 1.0


def robust(values: np.ndarray) -> tuple[float, float]:
    """Median and scale, as in :class:`~lamina.data.encode.Encoder`, without overflow.

    Example:
        >>> robust(np.array([0.0, 10, 20, 30, 1e9]))
        (20.0, 20.0)
    """
    unit = float(np.abs(values).max())
    unit = unit if unit > 1e100 else 1.0
    scaled = values / unit if unit != 1.0 else values
    low, center, high = (float(q) for q in np.quantile(scaled, [0.25, 0.5, 0.75]))
    width = high - low
    if width == 0:
        distances = np.abs(scaled[scaled != center] - center)
        width = 2 * float(np.median(distances)) if len(distances) else 0.0
    return center * unit, min(width * unit, float(np.finfo(np.float64).max)) or 1.0


def scale(values: np.ndarray, missing: np.ndarray, center: np.ndarray, width: np.ndarray, *, clip: bool) -> np.ndarray:
    """Scale in place, in float64, clipped at ``FAR``; ``clip`` maps all values smoothly to within 3 of the center.

    Example:
        >>> scale(np.array([20.0, 40, 1e9, 5]), np.array([False, False, False, True]), 20, 20, clip=True).round(2).tolist()
        [0.0, 0.95, 3.0, 0.0]
    """
    with np.errstate(over="ignore"):
        values -= center
        values /= width
    np.clip(values, -FAR, FAR, out=values)
    if clip:
        values /= np.sqrt(1 + (values / 3) ** 2)
    values[missing] = 0
    return values
