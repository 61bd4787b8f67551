"""The feed: all encoded rows as tensors on one device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch

from lamina.errors import DataError


class Feed:
    """Input blocks, target blocks and weights of all rows as plain tensors on one device.

    There is no DataLoader: an epoch is a permutation, and a batch is gathered by index. On a CPU arrays are shared.

    Args:
        inputs: The encoder's blocks, each (N, columns), as arrays or tensors.
        targets: The target blocks of the task by name; a single array is the block named "target".
        weight: Sample weights (N,), or None.
        device: Device of the tensors.

    Raises:
        DataError: The numbers of rows differ.

    Example:
        >>> feed = Feed({"numbers": np.eye(3, dtype=np.float32)}, np.array([0, 1, 0]))
        >>> len(feed), feed.rows(torch.tensor([2, 0])).inputs["numbers"].tolist()
        (3, [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    inputs: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]
    weight: torch.Tensor | None

    def __init__(
        self, inputs: Mapping[str, Any], targets: Any, weight: Any = None, *, device: str | torch.device | None = None
    ) -> None:
        self.inputs = {name: as_tensor(block, device) for name, block in inputs.items()}
        targets = targets if isinstance(targets, Mapping) else {"target": targets}
        self.targets = {name: as_tensor(block, device) for name, block in targets.items()}
        self.weight = None if weight is None else as_tensor(weight, device).float()
        sizes = {name: len(block) for name, block in [*self.inputs.items(), *self.targets.items()]}
        sizes |= {} if self.weight is None else {"weight": len(self.weight)}
        if len(set(sizes.values())) > 1:
            counts = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
            raise DataError(f"the numbers of rows differ ({counts}); give each row its target and weight")

    def __len__(self) -> int:
        return len(next(iter(self.targets.values())))

    @property
    def device(self) -> torch.device:
        """The device of the rows."""
        return next(iter(self.targets.values())).device

    def rows(self, index: torch.Tensor) -> Self:
        """The feed of the rows with these indices."""
        inputs, targets = (
            {name: block.index_select(0, index) for name, block in blocks.items()} for blocks in (self.inputs, self.targets)
        )
        return type(self)(inputs, targets, None if self.weight is None else self.weight[index])

    def permutation(self, generator: torch.Generator) -> torch.Tensor:
        """All rows in random order, on the device; drawn on the CPU, so that a seed gives the same order on any device."""
        return torch.randperm(len(self), generator=generator).to(self.device)


def as_tensor(values: Any, device: str | torch.device | None = None) -> torch.Tensor:
    """An array as a writable tensor, shared if possible."""
    if not isinstance(values, torch.Tensor):
        values = torch.from_numpy(np.require(values, requirements=["C", "W"]))
    return values.to(device)
