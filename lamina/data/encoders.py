"""The encoders of an ensemble, one for each way in which its members read the table, as one encoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import polars as pl

from lamina.data.columns.column import Block
from lamina.data.encode import Encoder
from lamina.data.encoding import Input
from lamina.data.schema import Schema
from lamina.errors import ModelFileError

MOST_PARTS = 10_000


@dataclass(frozen=True)
class Encoders:
    """Several encoders whose blocks are called ``0/numbers``, ``1/numbers``, ... after their number.

    Example:
        >>> table = pl.DataFrame({"age": [20.0, 30.0, 40.0], "y": [1.0, 2.0, 3.0]})
        >>> schema = Schema.infer(table, target="y")
        >>> encoders = Encoders((Encoder.fit(table, schema), Encoder.fit(table[:2], schema)))
        >>> sorted(encoders.transform(table))
        ['0/numbers', '1/numbers']
    """

    parts: tuple[Encoder, ...]

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The blocks of :meth:`transform`."""
        return {f"{number}/{name}": block for number, part in enumerate(self.parts) for name, block in part.inputs.items()}

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of images, texts and series of the first encoder that has any."""
        return next((part.blocks for part in self.parts if part.blocks), ())

    def by_kind(self, kind: str) -> tuple[Block, ...]:
        """The blocks of single columns of a kind, see :meth:`Encoder.by_kind`."""
        return tuple(part for block in self.blocks for part in block.parts if part.kind == kind)

    def transform(self, table: pl.DataFrame) -> dict[str, Any]:
        """Encode rows with each encoder."""
        return {
            f"{number}/{name}": block for number, part in enumerate(self.parts) for name, block in part.transform(table).items()
        }

    def unseen(self, table: pl.DataFrame) -> list[str]:
        """Sentences on values that the training rows of every encoder lacked."""
        first, *others = (part.unseen(table) for part in self.parts)
        return [sentence for sentence in first if all(sentence in other for other in others)]

    def to_json(self) -> dict[str, Any]:
        return {"parts": [part.to_json() for part in self.parts]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        parts = values["parts"]
        if not 0 < len(parts) <= MOST_PARTS:
            raise ModelFileError(f"it has {len(parts)} encoders, expected 1 to {MOST_PARTS:,}")
        return cls(tuple(Encoder.from_json(part) for part in parts))

    def verify(self, schema: Schema) -> None:
        """See :meth:`Encoder.verify`."""
        for part in self.parts:
            part.verify(schema)


def encoder_from_json(values: Mapping[str, Any]) -> Encoder | Encoders:
    """The encoder, or the encoders of an ensemble, from JSON."""
    return Encoders.from_json(values) if "parts" in values else Encoder.from_json(values)
