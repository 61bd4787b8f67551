"""Encoded rows for tests of the classical families."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.data.encoding import Input
from lamina.families.classical.family import Fitting, Rows

LEVELS = (4, 6)


def blocks(rows: int, seed: int = 0, *, missing: bool = False, levels: tuple[int, ...] = LEVELS) -> dict[str, Any]:
    """Three numbers, two flags and a category for each of the levels."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 3)).astype(np.float32)
    if missing:
        numbers[random.random(numbers.shape) < 0.2] = np.nan
    flags = random.choice(np.array([-1, 0, 1], np.float32), (rows, 2))
    data: dict[str, Any] = {"numbers": numbers, "flags": flags}
    if levels:
        data["categories"] = np.stack([random.integers(0, size, rows) for size in levels], axis=1)
    return data


def inputs(levels: tuple[int, ...] = LEVELS) -> dict[str, Input]:
    data = {
        "numbers": Input((3,), ("a", "b", "c"), columns=("a", "b", "c")),
        "flags": Input((2,), ("d", "a is missing"), kind="flags", columns=("d", "a")),
    }
    if levels:
        names = tuple(f"level{place}" for place in range(len(levels)))
        data["categories"] = Input((len(levels),), names, levels, "categories", names)
    return data


def score(data: dict[str, Any], seed: int = 0) -> np.ndarray:
    """A function of the blocks, with noise."""
    numbers = np.nan_to_num(data["numbers"], nan=1.0)
    values = numbers[:, 0] + 0.5 * numbers[:, 1] ** 2 + 0.3 * data["flags"][:, 0]
    if "categories" in data:
        values = values + np.array([0.0, 1.0, -1.0, 2.0, 0.5, 1.5])[data["categories"][:, -1] % 6]
    return values + np.random.default_rng(seed + 1).normal(0, 0.3, len(values))


def make(kind: str, rows: int = 300, seed: int = 0, *, weight: np.ndarray | None = None, **more: Any) -> Rows:
    """Rows of kind "binary", "classes" (three of five classes are present), "value" or "values"."""
    data = blocks(rows, seed, **more)
    values = score(data, seed)
    target = {
        "binary": lambda: (values > 0.5).astype(np.int64),
        "classes": lambda: np.array([0, 2, 3])[np.digitize(values, [0, 1.2])],
        "value": lambda: values[:, None].astype(np.float32),
        "values": lambda: np.stack([values, 1 - 2 * values + data["numbers"][:, 2] ** 2], axis=1).astype(np.float32),
    }[kind]()
    if kind == "values":
        target = np.nan_to_num(target)
    return Rows(data, inputs(more.get("levels", LEVELS)), target, {"binary": 2, "classes": 5}.get(kind, 0), weight)


def fitting(seed: int = 0) -> Fitting:
    return Fitting(seed, 1)


KINDS = ("binary", "classes", "value", "values")
