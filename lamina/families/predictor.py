"""What training leaves behind: encoded rows in, what is said of them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    import torch


class Predictor(Protocol):
    """A net, trees, weights or remembered rows: whatever it is, a model asks it the same way and a file keeps it the same way.

    ``kind`` is its word in files, ``counted`` what :meth:`size` counts.
    """

    kind: ClassVar[str]
    counted: ClassVar[str]

    def said(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        """Class probabilities (N, classes) or standardised values (N, K), float64, from the encoder's blocks."""
        ...

    def size(self) -> int:
        """How large it is: the number of its parameters, nodes, rows."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What is small."""
        ...

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is large, by name."""
        ...

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """What :meth:`to_json` and :meth:`tensors` gave; it answers bit by bit the same."""
        ...
