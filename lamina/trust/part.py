"""How a fitted part of trust is stored: its arrays as tensors of the model file, its other fields as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from lamina.stored import stored


class Part:
    """Base of dataclasses with arrays."""

    stored_as: ClassVar[Mapping[str, str]] = {}
    """Names in files of the arrays that have another one there."""

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not isinstance(value, np.ndarray)}

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        return {self.stored_as.get(name, name): array for name, array in arrays.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Self:
        fields = {stored: name for name, stored in cls.stored_as.items()}
        return stored(cls, {**values, **{fields.get(name, name): array for name, array in arrays.items()}})
