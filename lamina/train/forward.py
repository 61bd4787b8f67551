"""Outputs of a network for many rows, and how good they are after an epoch."""

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
"""Rows that go through a network at once: at most so many, and so many bytes in its largest layer."""


def chunk_rows(net: torch.nn.Module) -> int:
    """How many rows may go through at once; pictures and long texts are large inside."""
    plan = getattr(net, "plan", None)
    widest = max((math.prod(shape) for shape in plan.shapes.values()), default=1) if plan is not None else 1
    return max(1, min(CHUNK, CHUNK_BYTES // (4 * widest)))


def forward(net: torch.nn.Module, inputs: dict[str, torch.Tensor], rows: int) -> torch.Tensor:
    """Outputs of the network for all rows, in evaluation mode, a chunk at a time so that memory stays bounded."""
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
    """The validation rows of a fit, and what metrics say of a network on them. One read from the device each time.

    Args:
        feed: The rows, on the device of the network.
        task: What is predicted; it chooses the metrics.
        loss: What is minimised; it turns outputs into predictions.
    """

    def __init__(self, feed: Feed, task: Task, loss: Loss) -> None:
        self.feed, self.task, self.loss = feed, task, loss
        self.truth = task.decode_truth({name: block.cpu().numpy() for name, block in feed.targets.items()})
        self.weight = None if feed.weight is None else feed.weight.double().cpu().numpy()

    def scores(self, net: torch.nn.Module) -> dict[str, float]:
        """``loss``, which chooses the best epoch, then what else the task watches by name."""
        outputs = self.loss.predictions(forward(net, self.feed.inputs, len(self.feed))).cpu().numpy()  # sync
        prediction = self.task.predict(outputs)
        first, *others = (metric(self.truth, prediction, self.weight) for metric in self.task.watched)
        return {"loss": first} | {m.name: value for m, value in zip(self.task.watched[1:], others, strict=True)}
