"""Numeric features of rows for novelty, independent of the model's own encoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.columns import KINDS
from lamina.data.columns.category import Levels
from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding
from lamina.data.schema import Schema

MOST_NUMBERS = 200
"""Target number of features: beyond it, rare levels of a category are merged."""
FEWEST_LEVELS = 3
IMAGE_SIZE = 16
_ENCODING = Encoding(scaling="robust", image_size=IMAGE_SIZE, plain=True)


@dataclass(frozen=True)
class View:
    """Encoder of a table into numeric features with a meaningful distance between rows.

    Separate from the model's encoder, since trees read raw numbers and codes: numbers scaled by median and quartiles, one-hot
    frequent levels of a category, pixels of resized images, statistics of series. A text has three features: its length, its
    share of unknown words, and the mean rarity of the others. These detect another language or kind of text, and seldom another
    subject; one feature for each frequent word, as in TF-IDF, detected both less often.

    Example:
        >>> table = pl.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "town": ["Bern", "Bern", "Rome", None]})
        >>> view = View.fit(table, Schema.infer(table, kinds={"town": "category"}))
        >>> view.transform(table).astype(float).round(2).tolist()
        [[-0.95, 0.0, 1.0, 0.0], [-0.33, 0.0, 1.0, 0.0], [0.33, 0.0, 0.0, 1.0], [0.95, 1.0, 0.0, 0.0]]
    """

    encoder: Encoder

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema) -> Self:
        """Fit the encoder to training rows, as ``schema.check`` returns them."""
        views = {
            c.name: KINDS[c.kind].novelty_block(table[c.name], KINDS[c.kind].encoding(c, _ENCODING), f"{c.kind} {i}")
            for i, c in enumerate(schema.features)
        }
        plain = Schema(tuple(column for column in schema.features if views[column.name] is None))
        encoder = Encoder.fit(table, plain, _ENCODING) if plain.columns else Encoder()
        own = tuple(block for block in views.values() if block is not None)
        numbers = sum(len(block.names) for name, block in encoder.inputs.items() if name in ("numbers", "flags"))
        levels = max(FEWEST_LEVELS, (MOST_NUMBERS - numbers) // max(len(encoder.categories), 1) - 1)
        categories = tuple(Levels(category.name, category.levels[:levels]) for category in encoder.categories)
        return cls(dataclasses.replace(encoder, categories=categories, blocks=encoder.blocks + own, notes=()))

    def transform(self, table: pl.DataFrame) -> np.ndarray:
        """Features of rows as ``schema.check`` returns them, float32 (N, features), without missing values."""
        parts: list[np.ndarray] = []
        for name, block in self.encoder.transform(table).items():
            if name == "categories":
                levels = (len(category.levels) + 1 for category in self.encoder.categories)
                parts += [np.eye(size, dtype=np.float32)[block[:, j]] for j, size in enumerate(levels)]
            else:
                kind = KINDS.get(self.encoder.inputs[name].kind, KINDS["number"])  # shared blocks are of plain kinds
                parts.append(kind.novelty_features(block))
        return np.concatenate(parts, axis=1)

    def to_json(self) -> dict[str, Any]:
        return self.encoder.to_json()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(Encoder.from_json(values))


def row_hash(rows: np.ndarray) -> np.ndarray:
    """A hash of each row as a number from 0 to 1 (N,): pseudorandom, equal for equal rows.

    Example:
        >>> row_hash(np.array([[1.0, 2.0], [1.0, 2.5], [1.0, 2.0]])).round(3).tolist()
        [0.431, 0.066, 0.431]
    """
    bits = np.ascontiguousarray(rows + np.float32(0), dtype=np.float32).view(np.uint32).astype(np.uint64)
    factors = np.cumprod(np.full(rows.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64))
    mixed = (bits * factors).sum(axis=1, dtype=np.uint64)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the end of splitmix64 (Steele, Lea and Flood 2014)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(factor)
    return (mixed >> np.uint64(11)) / 2.0**53
