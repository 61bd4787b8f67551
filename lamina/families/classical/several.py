"""A classical model of its own for each label of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.families.classical.family import ClassicalFamily, Fitting, Rows
from lamina.families.predictor import PREDICTORS, Predictor
from lamina.tasks.task import Learnable

if TYPE_CHECKING:
    import torch


def fit_classical(
    family: ClassicalFamily, rows: Rows, held: Rows, learn: Sequence[tuple[Learnable, Learnable]], how: Fitting
) -> Predictor:
    """Fit a family to what a task asks it to learn: one model, or one for each label on the rows where it is known.

    Args:
        family: What is fitted.
        rows: Training rows; their target is filled in here.
        held: Validation rows, or the training rows again.
        learn: For each model the target of the training and of the validation rows.
        how: Seed, threads and progress.
    """
    found: list[Predictor] = []
    for number, (train, validate) in enumerate(learn):

        def progress(done: float, number: int = number) -> None:
            how.progress((number + done) / len(learn))

        own = rows.learning(train)
        others = own if held is rows else held.learning(validate)
        found.append(family.fit(own, others, replace(how, progress=progress)))
    if len(found) == 1:
        return found[0]
    return Several(tuple(found), _out_of_bag(found, [train for train, _ in learn]))


@dataclass(frozen=True)
class Several(Predictor):
    """The predictors of the labels.

    Attributes:
        parts: One for each label; each gives the probabilities of no and yes.
        out_of_bag: Label probabilities out of bag (N, labels); not kept in files.
    """

    parts: tuple[Predictor, ...]
    out_of_bag: np.ndarray | None = None
    kind: ClassVar[str] = "several"

    @property
    def counted(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.parts[0].counted

    def feature_importance(self) -> Mapping[str, float]:
        """The mean over the labels."""
        found = [part.feature_importance() for part in self.parts]
        names = dict.fromkeys(name for part in found for name in part)
        return {name: float(np.mean([part.get(name, 0.0) for part in found])) for name in names}

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
            start = f"{number}/"
            own = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
            parts.append(PREDICTORS[values["kind"]].from_file(values, own))
        return cls(tuple(parts))


def _out_of_bag(parts: Sequence[Predictor], learn: Sequence[Learnable]) -> np.ndarray | None:
    """Label probabilities out of bag; where a label is not known, 0.5, which counts nowhere."""
    if any(part.out_of_bag is None for part in parts):
        return None
    rows = len(learn[0].values)
    out = np.full((rows, len(parts)), 0.5)
    for label, (part, target) in enumerate(zip(parts, learn, strict=True)):
        known = np.ones(rows, dtype=bool) if target.known is None else target.known
        out[known, label] = part.out_of_bag[:, 1]  # pyright: ignore[reportOptionalSubscript]
    return out
