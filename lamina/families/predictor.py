"""The protocol of predictors: encoded rows in, outputs out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.stored import stored

if TYPE_CHECKING:
    import torch

    from lamina.data.encoding import Input
    from lamina.graph.plan import Plan

PREDICTORS: dict[str, type[Predictor]] = {}
"""The predictor classes by kind."""


class Predictor(ABC):
    """What training returns: a network, trees, weights or training rows, with outputs and a way to save it.

    Attributes:
        kind: Id in files.
        counted: Unit of :meth:`size`.
        stores_rows: Whether it predicts from stored training rows, so that each of them is predicted from itself too.
        out_of_bag: Outputs for the training rows by those parts that were not trained on the row, NaN where all were; None
            without out-of-bag predictions.
        out_of_bag_spread: Out-of-bag :meth:`spread`.
    """

    kind: ClassVar[str]
    counted: ClassVar[str]
    stores_rows: ClassVar[bool] = False
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

    def outputs_and_spread(self, blocks: Mapping[str, Any], rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The results of :meth:`outputs` and of :meth:`spread`."""
        return self.outputs(blocks, rows), self.spread(blocks, rows)

    def feature_importance(self) -> Mapping[str, float]:
        """Importance of each column of the table during the fit, summing to 1; empty if the predictor has none."""
        return {}

    @property
    def layer_width(self) -> int | None:
        """Number of features of :meth:`layer`; None without hidden layers."""
        return None

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

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:  # noqa: B027  there may be nothing to check
        """Raise ModelFileError if a loaded predictor cannot read these blocks, or has another number of outputs.

        What it accepts can be predicted with: no index leads outside of an array, and no tree leads around in a circle.
        """


@dataclass(frozen=True)
class ArrayPredictor(Predictor):
    """Base of the predictors whose fields are arrays and small values; those with a default are not saved.

    Attributes:
        saved_as: The names in files of fields that have another name there.
    """

    saved_as: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def _saved_fields(cls) -> dict[str, str]:
        return {field.name: cls.saved_as.get(field.name, field.name) for field in fields(cls) if field.default is MISSING}

    def saved(self) -> dict[str, Any]:
        """Arrays and small values by their names in files."""
        return {saved: getattr(self, name) for name, saved in self._saved_fields().items()}

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        """The predictor from :meth:`saved`."""
        return stored(cls, {name: values[saved] for name, saved in cls._saved_fields().items() if saved in values})

    def to_json(self) -> dict[str, Any]:
        values = {name: value for name, value in self.saved().items() if not isinstance(value, np.ndarray)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        import torch

        return {name: torch.from_numpy(value) for name, value in self.saved().items() if isinstance(value, np.ndarray)}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        return cls.restored({**content, **{name: tensor.numpy() for name, tensor in tensors.items()}})
