"""Outputs of a network for many rows, and its validation scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from lamina.errors import OptionError

if TYPE_CHECKING:
    from lamina.data.feed import Feed
    from lamina.tasks.losses import Loss
    from lamina.tasks.metrics import Metric
    from lamina.tasks.prediction import Prediction
    from lamina.tasks.task import Task

MOST_KEPT = 2**24
"""Most numbers that are kept of the validation outputs of all epochs."""
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
        metric: The metric that decides the best epoch; None for the loss.
        keep: Keep the outputs of each epoch, float32 (N, size), in ``kept``, as long as they are not too many.

    Attributes:
        kept: The outputs of each epoch; empty where they are not kept.
    """

    def __init__(self, feed: Feed, task: Task, loss: Loss, metric: Metric | None = None, *, keep: bool = False) -> None:
        self.kept: list[np.ndarray] = []
        self._keep = keep
        self.feed, self.task, self.loss, self.metric = feed, task, loss, metric
        self.truth = task.decode_truth({name: block.cpu().numpy() for name, block in feed.targets.items()})
        self.weight = None if feed.weight is None else feed.weight.double().cpu().numpy()

    def scores(self, net: torch.nn.Module) -> dict[str, float]:
        """``loss``, which decides the best epoch, and the other monitored metrics of the task by name."""
        outputs = self.loss.predictions(forward(net, self.feed.inputs, len(self.feed))).cpu().numpy()  # sync
        if self._keep:
            self.kept.append(outputs)
            if len(self.kept) * outputs.size > MOST_KEPT:
                self._keep, self.kept = False, []
        prediction = self.task.predict(outputs)
        names = ["loss", *(metric.name for metric in self.task.monitored[1:])]
        values = (metric(self.truth, prediction, self.weight) for metric in self.task.monitored)
        scores = dict(zip(names, values, strict=True))
        if self.metric is not None and self.metric.name not in scores:
            scores[self.metric.name] = self._metric(self.metric, prediction)
        return scores

    def objective(self, scores: Mapping[str, float]) -> float:
        """What the best epoch has least of: the loss, or the metric with the sign that makes less better."""
        if self.metric is None:
            return scores["loss"]
        return -scores[self.metric.name] if self.metric.greater else scores[self.metric.name]

    def _metric(self, metric: Metric, prediction: Prediction) -> float:
        if not np.isfinite(prediction.outputs).all():
            return math.nan  # training diverged
        value = metric(self.truth, prediction, self.weight)
        if math.isnan(value):
            raise OptionError(
                f"the metric {metric.name} is NaN for the {len(self.truth):,} validation rows, so it cannot decide the best "
                "epoch; return a number for any rows, or leave recipe.metric at 'auto'"
            )
        return value
