"""A predictor: what training leaves behind. Encoded rows in, outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import numpy as np
    import torch


PREDICTORS: dict[str, type[Predictor]] = {}
"""The predictors by their word in files."""


class Predictor(ABC):
    """A net, trees, weights or remembered rows: a model uses each in the same way, and a file keeps it in the same way.

    Attributes:
        kind: Its word in files.
        counted: What :meth:`size` counts.
        out_of_bag: Outputs for each training row of what did not learn from it, NaN where all did; None where there are none.
        out_of_bag_spread: The same of :meth:`spread`.
    """

    kind: ClassVar[str]
    counted: ClassVar[str]
    out_of_bag: np.ndarray | None = None
    out_of_bag_spread: np.ndarray | None = None

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            PREDICTORS[cls.kind] = cls

    @abstractmethod
    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        """Class or label probabilities (N, size), or standardised values (N, K), float64, from the encoder's blocks."""

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """How uncertain each standardised value is (N, K); None where the predictor does not know."""
        return None

    def feature_importance(self) -> Mapping[str, float]:
        """How much each column of the table contributed while it was fitted, summing to 1; empty where that is not known."""
        return {}

    def layer(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Features that the output is made of, float32 (N, features); None where there are none."""
        return None

    @abstractmethod
    def size(self) -> int:
        """How large it is: the number of its parameters, nodes, rows."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What is small."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """What is large, by name."""

    @classmethod
    @abstractmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """The predictor of :meth:`to_json` and :meth:`tensors`; its outputs are the same bit by bit."""
