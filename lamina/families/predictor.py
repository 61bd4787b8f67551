"""The protocol of predictors: encoded rows in, outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    import numpy as np
    import torch

    from lamina.graph.plan import Plan


PREDICTORS: dict[str, type[Predictor]] = {}
"""The predictor classes by kind."""


class Predictor(ABC):
    """What training returns: a network, trees, weights or training rows, with outputs and a way to save it.

    Attributes:
        kind: Id in files.
        counted: Unit of :meth:`size`.
        out_of_bag: Outputs for the training rows by those parts that were not trained on the row, NaN where all were; None
            without out-of-bag predictions.
        out_of_bag_spread: Out-of-bag :meth:`spread`.
    """

    kind: ClassVar[str]
    counted: ClassVar[str]
    out_of_bag: np.ndarray | None = None
    out_of_bag_spread: np.ndarray | None = None

    @property
    def plan(self) -> Plan | None:
        """The plan of a network; None for what is no network."""
        return None

    def to(self, device: str | torch.device) -> Self:
        """The same, moved to a device; what only runs on the CPU stays there."""
        return self

    def __init_subclass__(cls) -> None:
        if "kind" in cls.__dict__:
            PREDICTORS[cls.kind] = cls

    @abstractmethod
    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        """Class or label probabilities (N, size), or standardised values (N, K), float64, from the encoder's blocks."""

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Uncertainty of each standardised value (N, K); None if the predictor estimates none."""
        return None

    def feature_importance(self) -> Mapping[str, float]:
        """Importance of each column of the table during the fit, summing to 1; empty if the predictor has none."""
        return {}

    def layer(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Outputs of the last hidden layer, float32 (N, features); None without hidden layers."""
        return None

    @abstractmethod
    def size(self) -> int:
        """Number of parameters, nodes or rows."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The small parts, for the header of a file."""

    @abstractmethod
    def tensors(self) -> dict[str, torch.Tensor]:
        """The arrays, by name."""

    @classmethod
    @abstractmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        """The predictor from :meth:`to_json` and :meth:`tensors`, with bitwise equal outputs."""
