"""Rows as novelty sees them: each as a few numbers of one size, whatever the model itself reads."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from lamina.data.encode import Encoder, Levels
from lamina.data.encoding import Encoding
from lamina.data.schema import Schema
from lamina.data.text import MOST_TOKENS, TextBlock

MOST_NUMBERS = 200
"""So many numbers of a row are aimed at: beyond, rare levels of a category are taken together."""
FEWEST_LEVELS = 3
IMAGE_SIZE = 16
_ENCODING = Encoding(scaling="robust", image_size=IMAGE_SIZE, plain=True)


@dataclass(frozen=True)
class View:
    """The way from a table to rows of numbers in which unlike rows are far apart.

    It has an encoder of its own, since trees read raw numbers and codes, of which no distance can be taken: numbers by median
    and quartiles, a number for each frequent level of a category, pixels of images made small, statistics of series. Of a text
    there are three: how long it is, how many of its words are unknown, and how rare the others are. That tells another language
    or kind of text, and seldom another subject; with a number for each frequent word, as in TF-IDF, both were found less often.

    Example:
        >>> table = pl.DataFrame({"age": [20.0, 30.0, 40.0, 50.0], "town": ["Bern", "Bern", "Rome", None]})
        >>> view = View.fit(table, Schema.infer(table, kinds={"town": "category"}))
        >>> view.rows(table).astype(float).round(2).tolist()
        [[-0.95, 0.0, 1.0, 0.0], [-0.33, 0.0, 1.0, 0.0], [0.33, 0.0, 0.0, 1.0], [0.95, 1.0, 0.0, 0.0]]
    """

    encoder: Encoder

    @classmethod
    def fit(cls, table: pl.DataFrame, schema: Schema) -> Self:
        """Learn from training rows, as ``schema.check`` returns them."""
        seen = Schema(tuple(column for column in schema.features if column.kind != "text"))
        encoder = Encoder.fit(table, seen, _ENCODING) if seen.columns else Encoder()
        names = [column.name for column in schema.features if column.kind == "text"]
        fitted = (TextBlock.fit(table[name], _ENCODING, f"text{place}") for place, name in enumerate(names))
        texts = tuple(dataclasses.replace(text, length=MOST_TOKENS) for text in fitted)  # so that longer ones are found longer
        others = sum(len(block.names) for name, block in encoder.inputs.items() if name in ("numbers", "flags"))
        most = max(FEWEST_LEVELS, (MOST_NUMBERS - others) // max(len(encoder.categories), 1) - 1)
        categories = tuple(Levels(category.name, category.levels[:most]) for category in encoder.categories)
        return cls(dataclasses.replace(encoder, categories=categories, blocks=encoder.blocks + texts, notes=()))

    def rows(self, table: pl.DataFrame) -> np.ndarray:
        """Numbers for rows as ``schema.check`` returns them, float32 (N, numbers); none is missing."""
        parts: list[np.ndarray] = []
        for name, block in self.encoder.transform(table).items():
            if name == "categories":
                levels = (len(category.levels) + 1 for category in self.encoder.categories)
                parts += [np.eye(size, dtype=np.float32)[block[:, j]] for j, size in enumerate(levels)]
            elif self.encoder.inputs[name].kind == "text":
                parts.append(_words(block))
            else:
                size = np.float32(1 / 255 if block.dtype == np.uint8 else 1)
                parts.append(block.reshape(len(block), math.prod(block.shape[1:])).astype(np.float32) * size)
        return np.concatenate(parts, axis=1)

    def to_json(self) -> dict[str, Any]:
        return self.encoder.to_json()

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(Encoder.from_json(values))


def _words(codes: np.ndarray) -> np.ndarray:
    """How long each text is, the share of unknown words, how rare the others are; codes (N, tokens) to float32 (N, 3)."""
    length, known = (codes > 0).sum(axis=1), codes > 1
    unknown = (codes == 1).sum(axis=1) / np.maximum(length, 1)
    # Codes go from the most frequent word down, and frequency falls about as the inverse of a word's place (Zipf 1949).
    rarity = np.log(np.maximum(codes, 1), dtype=np.float32).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.stack([np.log1p(length), unknown, rarity], axis=1).astype(np.float32)


def scatter(rows: np.ndarray) -> np.ndarray:
    """A number from 0 to 1 for each row, as if drawn at random, but always the same for the same row (N,).

    Example:
        >>> scatter(np.array([[1.0, 2.0], [1.0, 2.5], [1.0, 2.0]])).round(3).tolist()
        [0.431, 0.066, 0.431]
    """
    bits = np.ascontiguousarray(rows + np.float32(0), dtype=np.float32).view(np.uint32).astype(np.uint64)
    factors = np.cumprod(np.full(rows.shape[1], 0x9E3779B97F4A7C15, dtype=np.uint64))
    mixed = (bits * factors).sum(axis=1, dtype=np.uint64)
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the end of splitmix64 (Steele, Lea and Flood 2014)
        mixed = (mixed ^ (mixed >> np.uint64(31))) * np.uint64(factor)
    return (mixed >> np.uint64(11)) / 2.0**53
