"""Encoded rows, made by hand, for families that are no networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.data.encoding import Input
from lamina.families.classical.family import Fitting, Rows

LEVELS = (4, 6)


def blocks(rows: int, seed: int = 0, *, missing: bool = False, levels: tuple[int, ...] = LEVELS) -> dict[str, Any]:
    """Three numbers, two flags, and a column of codes for each of the levels."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 3)).astype(np.float32)
    if missing:
        numbers[random.random(numbers.shape) < 0.2] = np.nan
    flags = random.choice(np.array([-1, 0, 1], np.float32), (rows, 2))
    found: dict[str, Any] = {"numbers": numbers, "flags": flags}
    if levels:
        found["categories"] = np.stack([random.integers(0, size, rows) for size in levels], axis=1)
    return found


def inputs(levels: tuple[int, ...] = LEVELS) -> dict[str, Input]:
    found = {
        "numbers": Input((3,), ("a", "b", "c"), columns=("a", "b", "c")),
        "flags": Input((2,), ("d", "a is missing"), kind="flags", columns=("d", "a")),
    }
    if levels:
        names = tuple(f"level{place}" for place in range(len(levels)))
        found["categories"] = Input((len(levels),), names, levels, "categories", names)
    return found


def score(found: dict[str, Any], seed: int = 0) -> np.ndarray:
    """What follows from the blocks, with some noise."""
    numbers = np.nan_to_num(found["numbers"], nan=1.0)
    said = numbers[:, 0] + 0.5 * numbers[:, 1] ** 2 + 0.3 * found["flags"][:, 0]
    if "categories" in found:
        said = said + np.array([0.0, 1.0, -1.0, 2.0, 0.5, 1.5])[found["categories"][:, -1] % 6]
    return said + np.random.default_rng(seed + 1).normal(0, 0.3, len(said))


def make(kind: str, rows: int = 300, seed: int = 0, *, weight: np.ndarray | None = None, **more: Any) -> Rows:
    """Rows for "binary", "classes" (three of five classes are there), "value" or "values"."""
    found = blocks(rows, seed, **more)
    values = score(found, seed)
    target = {
        "binary": lambda: (values > 0.5).astype(np.int64),
        "classes": lambda: np.array([0, 2, 3])[np.digitize(values, [0, 1.2])],
        "value": lambda: values[:, None].astype(np.float32),
        "values": lambda: np.stack([values, 1 - 2 * values + found["numbers"][:, 2] ** 2], axis=1).astype(np.float32),
    }[kind]()
    if kind == "values":
        target = np.nan_to_num(target)
    return Rows(found, inputs(more.get("levels", LEVELS)), target, {"binary": 2, "classes": 5}.get(kind, 0), weight)


def how(seed: int = 0) -> Fitting:
    return Fitting(seed, 1)


KINDS = ("binary", "classes", "value", "values")
