"""One classical model for each label of a multilabel task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Input
from lamina.errors import ModelFileError
from lamina.families.classical.family import ClassicalFamily, Fitting, Rows, share_of_time
from lamina.families.predictor import PREDICTORS, Predictor
from lamina.tasks.task import Learnable

if TYPE_CHECKING:
    import torch


def fit_classical(
    family: ClassicalFamily, rows: Rows, validation: Rows, targets: Sequence[tuple[Learnable, Learnable]], fitting: Fitting
) -> Predictor:
    """Fit one model for each target; with several targets they are combined in a :class:`MultiOutputPredictor`.

    Args:
        family: The family to fit.
        rows: Training rows, without target.
        validation: Validation rows without target, or the training rows again.
        targets: For each model the target of the training rows and of the validation rows.
        fitting: Seed, threads and progress.
    """
    predictors: list[Predictor] = []
    for number, (train, validate) in enumerate(targets):
        reporting = replace(
            fitting,
            progress=lambda done, number=number: fitting.progress((number + done) / len(targets)),
            deadline=share_of_time(fitting.deadline, len(targets) - number),
        )
        train_rows = rows.with_target(train)
        validation_rows = train_rows if validation is rows else validation.with_target(validate)
        predictors.append(family.fit(train_rows, validation_rows, reporting))
    if len(predictors) == 1:
        return predictors[0]
    return MultiOutputPredictor(tuple(predictors), _out_of_bag(predictors, [train for train, _ in targets]))


@dataclass(frozen=True)
class MultiOutputPredictor(Predictor):
    """The predictors of all labels.

    Attributes:
        parts: One for each label, with the probabilities of no and yes.
        out_of_bag: Out-of-bag label probabilities (N, labels); not saved.
    """

    parts: tuple[Predictor, ...]
    out_of_bag: np.ndarray | None = None
    kind: ClassVar[str] = "several"

    @property
    def counted(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parts[0].counted

    def feature_importance(self) -> Mapping[str, float]:
        """The mean over the labels."""
        importances = [part.feature_importance() for part in self.parts]
        names = dict.fromkeys(name for importance in importances for name in importance)
        return {name: float(np.mean([importance.get(name, 0.0) for importance in importances])) for name in names}

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        if len(self.parts) != outputs:
            raise ModelFileError(f"the predictor has {len(self.parts)} parts, expected {outputs} as the task")
        for part in self.parts:
            part.check(inputs, 2)

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return np.stack([part.outputs(blocks, rows)[:, 1] for part in self.parts], axis=1)

    def size(self) -> int:
        return sum(part.size() for part in self.parts)

    def to_json(self) -> dict[str, Any]:
        return {"parts": [{"kind": part.kind, **part.to_json()} for part in self.parts]}

    def tensors(self) -> dict[str, torch.Tensor]:
        return {f"{number}/{name}": t for number, part in enumerate(self.parts) for name, t in part.tensors().items()}

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        parts = []
        for number, values in enumerate(content["parts"]):
            prefix = f"{number}/"
            if values["kind"] == cls.kind:
                raise ModelFileError("the predictor of a label has labels itself")
            own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            parts.append(PREDICTORS[values["kind"]].from_file(values, own))
        return cls(tuple(parts))


def _out_of_bag(parts: Sequence[Predictor], targets: Sequence[Learnable]) -> np.ndarray | None:
    """Out-of-bag label probabilities; 0.5, which no metric counts, where the label is missing."""
    if any(part.out_of_bag is None for part in parts):
        return None
    rows = len(targets[0].values)
    out = np.full((rows, len(parts)), 0.5)
    for label, (part, target) in enumerate(zip(parts, targets, strict=True)):
        present = np.ones(rows, dtype=bool) if target.known is None else target.known
        out[present, label] = part.out_of_bag[:, 1]  # pyright: ignore[reportOptionalSubscript]
    return out
