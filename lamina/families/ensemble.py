"""The ensemble family: a weighted mean of models of several families."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lamina.data.encoding import Encoding, Input
from lamina.errors import ModelFileError, OptionError
from lamina.families.family import EVERY, Family
from lamina.families.predictor import PREDICTORS, Predictor
from lamina.options import option

if TYPE_CHECKING:
    import torch

ROUNDS = 50
"""Rounds of the greedy selection, each of which adds a member to the mean."""
MOST_MEMBERS = 10_000


@dataclass
class Ensemble(Family):
    """A weighted mean of models of several families, each fitted to k folds (bagging).

    Each family is fitted once for each fold, to the rows of the other folds, so that every row is predicted by models that were
    not fitted to it. On these out-of-fold predictions the weights of the families are chosen greedily, with replacement
    (Caruana et al. 2004, https://doi.org/10.1145/1015330.1015432). A group is in one fold; with a column of times or of the
    split each family is fitted once.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from lamina import Classifier, Ensemble
        >>> X, y = load_iris(return_X_y=True)
        >>> model = Classifier(Ensemble(("linear", "forest"), folds=3), random_state=0).fit(X, y)
        >>> model.score(X, y) > 0.9
        True
    """

    name: ClassVar[str] = "ensemble"
    reads: ClassVar[tuple[str, ...]] = EVERY

    families: tuple[Any, ...] | str = option(
        "auto",
        "the families, by name or with options; auto is the network and the classical families for these columns",
        kind=(tuple, list),
        choices=("auto",),
        expected="a list of families, such as ('boosting', 'feedforward')",
    )
    folds: int = option(
        5, "number of folds, and of models of each family; 0 fits each family once and chooses the weights on validation rows",
        low=0, high=50,
    )  # fmt: skip
    repeats: int = option(
        1, "how often rows are divided into folds; a row is predicted by the mean over the repeats", low=1, high=100
    )

    @property
    def out_of_bag(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.folds > 0

    def check(self) -> Self:
        super().check()
        if self.folds == 1:
            raise OptionError(
                "Ensemble.folds is 1, but a fold is predicted by models of the other folds; take at least 2, or 0 to fit each "
                "family once"
            )
        if self.repeats > 1 and not self.folds:
            raise OptionError(f"Ensemble.repeats is {self.repeats}, but folds=0 has no folds to repeat; take folds=5")
        if isinstance(self.families, list | tuple) and not self.families:
            raise OptionError("Ensemble.families is empty; name at least one family")
        return self

    def to_json(self) -> dict[str, Any]:
        families = self.families if isinstance(self.families, str) else list(map(_to_json, self.families))
        return {**super().to_json(), "families": families}

    def encoding(self) -> Encoding:
        raise TypeError("each family of an ensemble asks for an encoding of its own")


@dataclass(frozen=True)
class Member:
    """A fitted model of an ensemble.

    Attributes:
        family: The name of its family.
        part: The number of its family; the models of its folds have the same.
        encoder: The number of its encoder.
        weight: Its share of the mean, above 0.
        predictor: The fitted predictor.
    """

    family: str
    part: int
    encoder: int
    weight: float
    predictor: Predictor


@dataclass(frozen=True)
class EnsemblePredictor(Predictor):
    """The weighted mean of the outputs of its members.

    Attributes:
        members: The members; their weights sum to 1.
        out_of_bag: Out-of-fold outputs of the training rows (N, size), NaN for a row that no fold predicts; not saved.
        out_of_bag_spread: The same of :meth:`spread`.
    """

    members: tuple[Member, ...]
    out_of_bag: np.ndarray | None = None
    out_of_bag_spread: np.ndarray | None = None
    kind: ClassVar[str] = "ensemble"
    counted: ClassVar[str] = "parameters"

    @property
    def stores_rows(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether a member does."""
        return any(member.predictor.stores_rows for member in self.members)

    def to(self, device: str | torch.device) -> Self:
        for member in self.members:
            member.predictor.to(device)
        return self

    def outputs(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray:
        return weighted_mean([m.predictor.outputs(own(blocks, m.encoder), rows) for m in self.members], self._weights)

    def spread(self, blocks: Mapping[str, Any], rows: int) -> np.ndarray | None:
        """Standard deviation of the families around their mean, and within the members that have a spread."""
        outputs, within, weights = [], [], []
        for part in dict.fromkeys(member.part for member in self.members):
            members = [member for member in self.members if member.part == part]
            weight = sum(member.weight for member in members)
            shares = [member.weight / weight for member in members]
            both = [member.predictor.outputs_and_spread(own(blocks, member.encoder), rows) for member in members]
            outputs.append(weighted_mean([values for values, _ in both], shares))
            known = [spread for _, spread in both if spread is not None]
            within.append(weighted_mean(known, shares) if len(known) == len(members) else None)
            weights.append(weight)
        return total_spread(outputs, within, weights)

    def feature_importance(self) -> Mapping[str, float]:
        parts = [member.predictor.feature_importance() for member in self.members]
        if not all(parts):
            return {}
        names = dict.fromkeys(name for part in parts for name in part)
        return {
            name: sum(weight * part.get(name, 0.0) for weight, part in zip(self._weights, parts, strict=True)) for name in names
        }

    def size(self) -> int:
        return sum(member.predictor.size() for member in self.members)

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        if not np.isclose(sum(self._weights), 1, atol=1e-6) or not all(weight > 0 for weight in self._weights):
            raise ModelFileError("the weights of the members of the ensemble do not sum to 1")
        for member in self.members:
            if not (mine := own(inputs, member.encoder)):
                raise ModelFileError(f"the ensemble has no encoder {member.encoder}")
            member.predictor.check(mine, outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "members": [
                {
                    "family": member.family,
                    "part": member.part,
                    "encoder": member.encoder,
                    "weight": member.weight,
                    "predictor": {"kind": member.predictor.kind, **member.predictor.to_json()},
                }
                for member in self.members
            ]
        }

    def tensors(self) -> dict[str, torch.Tensor]:
        return {
            f"{number}/{name}": tensor
            for number, member in enumerate(self.members)
            for name, tensor in member.predictor.tensors().items()
        }

    @classmethod
    def from_file(cls, content: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Self:
        members = []
        if not 0 < len(content["members"]) <= MOST_MEMBERS:
            raise ModelFileError(f"the ensemble has {len(content['members'])} members, expected 1 to {MOST_MEMBERS:,}")
        for number, values in enumerate(content["members"]):
            stored = values["predictor"]
            if stored["kind"] == cls.kind:
                raise ModelFileError("a member of the ensemble is an ensemble")
            predictor = PREDICTORS[stored["kind"]].from_file(stored, own(tensors, number))
            members.append(
                Member(str(values["family"]), int(values["part"]), int(values["encoder"]), float(values["weight"]), predictor)
            )
        return cls(tuple(members))

    @property
    def _weights(self) -> list[float]:
        return [member.weight for member in self.members]


def _to_json(family: Family | str) -> dict[str, Any] | str:
    return family if isinstance(family, str) else {"name": family.name, **family.to_json()}


def own(parts: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The parts whose name begins with this number, by the rest of their name.

    Example:
        >>> own({"0/numbers": 1, "1/numbers": 2, "10/numbers": 3}, 1)
        {'numbers': 2}
    """
    prefix = f"{number}/"
    return {name.removeprefix(prefix): part for name, part in parts.items() if name.startswith(prefix)}


def weighted_mean(outputs: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """The mean of outputs (N, size), float64; NaN where an output of a weight above 0 is NaN."""
    total = np.zeros(outputs[0].shape)
    for values, weight in zip(outputs, weights, strict=True):
        if weight:
            total += weight * values
    return total


def total_spread(
    outputs: Sequence[np.ndarray], within: Sequence[np.ndarray | None], weights: Sequence[float]
) -> np.ndarray | None:
    """Standard deviation of a mixture: the variance between outputs, and the mean variance within those that have one."""
    if len(outputs) == 1 and within[0] is None:
        return None
    mean = weighted_mean(outputs, weights)
    variance = np.zeros_like(mean)
    for values, spread, weight in zip(outputs, within, weights, strict=True):
        if weight:
            variance += weight * ((values - mean) ** 2 + (0.0 if spread is None else spread**2))
    return np.sqrt(variance)


def greedy_weights(outputs: Sequence[np.ndarray], loss: Callable[[np.ndarray], float], *, rounds: int = ROUNDS) -> list[float]:
    """The weights of a mean of outputs with a low loss, chosen greedily with replacement (Caruana et al. 2004, section 2).

    Each round adds the output that lowers the loss of the mean most, also one that is in it already; of all rounds the mean
    with the lowest loss is kept. Among equal losses the first output is taken.

    Args:
        outputs: The outputs of each candidate (N, size).
        loss: Of a mean of outputs.
        rounds: Number of rounds.

    Returns:
        A weight for each candidate; they sum to 1.

    Example:
        >>> truth = np.array([0.0, 1.0, 2.0])
        >>> high, low = truth[:, None] + 1, truth[:, None] - 1
        >>> greedy_weights([high, low, high * 9], lambda mean: float(((mean[:, 0] - truth) ** 2).mean()))
        [0.5, 0.5, 0.0]
    """
    counts = np.zeros(len(outputs), dtype=np.int64)
    total, best, chosen = np.zeros(outputs[0].shape), np.inf, counts
    for number in range(1, rounds + 1):
        losses = np.nan_to_num([loss((total + values) / number) for values in outputs], nan=np.inf)
        place = int(losses.argmin())
        counts[place] += 1
        total = total + outputs[place]
        if losses[place] < best:
            best, chosen = losses[place], counts.copy()
    if not chosen.any():  # no loss was finite
        chosen = np.eye(len(outputs), dtype=np.int64)[0]
    return (chosen / chosen.sum()).tolist()
