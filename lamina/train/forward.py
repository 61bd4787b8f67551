"""Outputs of a network for many rows, and its validation scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lamina.data.feed import Feed
    from lamina.tasks.losses import Loss
    from lamina.tasks.task import Task

CHUNK = 2048
CHUNK_BYTES = 2**28
"""Maximum rows, and bytes of the largest layer, in one forward pass."""


def chunk_rows(net: torch.nn.Module) -> int:
    """The number of rows in one forward pass, by the size of the largest layer."""
    plan = getattr(net, "plan", None)
    widest = max((math.prod(shape) for shape in plan.shapes.values()), default=1) if plan is not None else 1
    return max(1, min(CHUNK, CHUNK_BYTES // (4 * widest)))


def forward(net: torch.nn.Module, inputs: dict[str, torch.Tensor], rows: int) -> torch.Tensor:
    """The outputs of the network for all rows in evaluation mode, computed in chunks to limit memory."""
    was_training, chunk = net.training, chunk_rows(net)
    net.eval()
    try:
        with torch.inference_mode():
            parts = [
                net({name: block[start : start + chunk] for name, block in inputs.items()}) for start in range(0, rows, chunk)
            ]
        return torch.cat(parts)
    finally:
        net.train(was_training)


class Validation:
    """The validation rows of a fit, and the scores of a network on them.

    Args:
        feed: The validation rows, on the device of the network.
        task: What is predicted; it has the metrics.
        loss: The training loss; it turns outputs into predictions.
    """

    def __init__(self, feed: Feed, task: Task, loss: Loss) -> None:
        self.feed, self.task, self.loss = feed, task, loss
        self.truth = task.decode_truth({name: block.cpu().numpy() for name, block in feed.targets.items()})
        self.weight = None if feed.weight is None else feed.weight.double().cpu().numpy()

    def scores(self, net: torch.nn.Module) -> dict[str, float]:
        """``loss``, which decides the best epoch, and the other monitored metrics of the task by name."""
        outputs = self.loss.predictions(forward(net, self.feed.inputs, len(self.feed))).cpu().numpy()  # sync
        prediction = self.task.predict(outputs)
        first, *rest = (metric(self.truth, prediction, self.weight) for metric in self.task.monitored)
        return {"loss": first} | {m.name: value for m, value in zip(self.task.monitored[1:], rest, strict=True)}
