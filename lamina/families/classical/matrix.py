"""Blocks side by side: the rows of plain numbers that classical learners read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from lamina.data.encoding import Input

#: From so many levels of all categories on, nearly everything in a row is zero, and zeros are left out.
_MANY_LEVELS = 1_000


def ordered(blocks: Mapping[str, Any]) -> np.ndarray:
    """For trees: every column as one number, categories by their codes, and NaN for what is missing; float32 (N, columns).

    Codes are in the order of frequency. Ordering them by the answers, as Breiman's trees do, would need answers of the very
    rows that are out of bag, and a level with one row would give its answer away.
    """
    return np.concatenate([_plain(name, block) for name, block in blocks.items()], axis=1)


def coded(blocks: Mapping[str, Any]) -> np.ndarray:
    """For boosted trees: the codes of the categories first, 0 where one is missing, then as in :func:`ordered`."""
    codes = [np.asarray(block, dtype=np.float32) for name, block in blocks.items() if name == "categories"]
    return np.concatenate([*codes, *(_plain(name, block) for name, block in blocks.items() if name != "categories")], axis=1)


def one_hot(
    blocks: Mapping[str, Any], cardinalities: Sequence[int], *, flag: float = 1.0, level: float = 1.0
) -> np.ndarray | sparse.csr_matrix:
    """For sums and distances: a column of zeros and ones for each level of a category, and for its being missing.

    Pixels are brought to 0 to 1. The rest is as the encoder scaled it.

    Args:
        blocks: As the encoder gives them.
        cardinalities: How many codes each category has.
        flag: What flags are multiplied with.
        level: What stands for a level instead of 1.

    Shape:
        float32 (N, columns): an array, or sparse where texts or very many levels make nearly all of it zero.
    """
    thin = sum(cardinalities) > _MANY_LEVELS or any(sparse.issparse(block) for block in blocks.values())
    parts: list[Any] = []
    for name, block in blocks.items():
        if name == "categories":
            part = _levels(block, cardinalities, level)
            parts.append(part if thin else part.toarray())
        elif sparse.issparse(block):
            parts.append(block)
        else:
            part = _plain(name, block)
            factor = flag if name == "flags" else 1 / 255 if block.dtype == np.uint8 else 1
            parts.append(part if factor == 1 else part * np.float32(factor))
    return sparse.hstack(parts, format="csr", dtype=np.float32) if thin else np.concatenate(parts, axis=1)


def columns(inputs: Mapping[str, Input]) -> list[str]:
    """The column of the table that each column of :func:`ordered` comes from."""
    names: list[str] = []
    for block in inputs.values():
        names += block.columns or [block.names[0]] * math.prod(block.shape)
    return names


def cardinalities(inputs: Mapping[str, Input]) -> tuple[int, ...]:
    """How many codes each category has."""
    return inputs["categories"].cardinalities if "categories" in inputs else ()


def all_classes(shares: np.ndarray, known: Any, classes: int) -> np.ndarray:
    """A column for each class, also for those that no training row had."""
    if shares.shape[1] == classes:
        return shares
    out = np.zeros((len(shares), classes))
    out[:, np.asarray(known, dtype=np.int64)] = shares
    return out


def _levels(codes: np.ndarray, cardinalities: Sequence[int], level: float) -> sparse.csr_matrix:
    rows, width = codes.shape
    places = codes + np.cumsum([0, *cardinalities[:-1]])
    values = np.full(codes.size, level, dtype=np.float32)
    shape = (rows, sum(cardinalities))
    return sparse.csr_matrix((values, places.reshape(-1), np.arange(0, codes.size + 1, width)), shape=shape)


def _plain(name: str, block: Any) -> np.ndarray:
    if name == "categories":
        return np.where(block == 0, np.nan, block).astype(np.float32)
    if hasattr(block, "toarray"):
        block = block.toarray()
    return np.asarray(block, dtype=np.float32).reshape(len(block), math.prod(block.shape[1:]))
