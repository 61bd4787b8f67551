"""How good a network is on rows it has not learnt from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from lamina.data.feed import Feed
    from lamina.data.task import Task

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


def combine(outputs: torch.Tensor, loss: str) -> torch.Tensor:
    """What the network says: class probabilities (N, classes) or standardised values (N, K).

    An ensemble inside the network, outputs (N, members, K), speaks with one voice: the mean of its members' probabilities or
    values, in float64.
    """
    outputs = outputs.double()
    if loss in ("cross_entropy", "maximum_a_posteriori"):
        said = outputs.softmax(-1)
    elif loss == "binary_cross_entropy":
        yes = outputs.sigmoid()
        said = torch.cat([1 - yes, yes], dim=-1)
    else:
        said = outputs
    return said.mean(1) if said.ndim == 3 else said


def validation_scores(net: torch.nn.Module, feed: Feed, loss: str) -> dict[str, float]:
    """The loss on validation rows, as the ensemble speaks it, and accuracy for classes. One read from the device.

    For classes the loss is the log-loss, whichever way the logits come; for values the squared error in standard deviations.
    """
    said = combine(forward(net, feed.inputs, len(feed)), loss)
    target = feed.target
    weight = torch.ones(len(feed), dtype=torch.float64, device=said.device) if feed.weight is None else feed.weight.double()
    weight = weight / weight.sum()
    if loss not in ("mse", "huber"):
        target = target.reshape(-1).long()
        chosen = said.gather(1, target[:, None])[:, 0].clamp_min(1e-15)
        right = (said.argmax(1) == target).double()
        value, accuracy = torch.stack([(-chosen.log() * weight).sum(), (right * weight).sum()]).tolist()  # sync
        return {"loss": value, "accuracy": accuracy}
    error = ((said - target.reshape(said.shape)) ** 2).mean(1)
    return {"loss": (error * weight).sum().item()}  # sync


def scores(task: Task, truth: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """The figures a person wants: accuracy, log-loss and AUC, or RMSE, MAE and R², in the target's own units.

    Args:
        task: What is asked.
        truth: Class codes (N,), or values, (N,) or (N, K).
        said: Class probabilities (N, classes), or values as in ``truth``, in the target's own units.
    """
    from sklearn import metrics

    if task.kind == "classification":
        codes = np.arange(said.shape[1])
        found = {
            "accuracy": metrics.accuracy_score(truth, said.argmax(1)),
            "log_loss": metrics.log_loss(truth, np.clip(said, 1e-15, 1), labels=codes),
        }
        if said.shape[1] == 2 and len(np.unique(truth)) == 2:
            found["auc"] = metrics.roc_auc_score(truth, said[:, 1])
        elif said.shape[1] > 2:
            found["balanced_accuracy"] = _balanced_accuracy(truth, said.argmax(1))
    else:
        largest = float(np.abs(truth).max(initial=0.0))
        unit = largest if largest > 1e100 else 1.0  # the squares of such values are beyond float64
        truth, said = truth / unit, said / unit
        found = {
            "rmse": metrics.root_mean_squared_error(truth, said) * unit,
            "mae": metrics.mean_absolute_error(truth, said) * unit,
        }
        if len(truth) > 1:
            found["r2"] = metrics.r2_score(truth, said)
    return {name: float(value) for name, value in found.items()}


def every_score(task: Task, truth: np.ndarray, said: np.ndarray) -> dict[str, Any]:
    """All that candidates can be compared by: :func:`scores`, and what people with unbalanced classes ask for.

    As scikit-learn computes them. F1 and average precision are about one class, see :func:`positive`; like the AUC they say
    nothing of rows that are all of one class, and are left out there.

    Args:
        task: What is asked.
        truth: As for :func:`scores`.
        said: As for :func:`scores`.
    """
    from sklearn import metrics

    found = scores(task, truth, said)
    if task.classes is None:
        return found
    chosen = said.argmax(1)
    found["balanced_accuracy"] = _balanced_accuracy(truth, chosen)
    found["f1_macro"] = metrics.f1_score(truth, chosen, average="macro", zero_division=0)
    if "auc" in found:
        one = positive(task)
        found["f1"] = metrics.f1_score(truth == one, chosen == one, zero_division=0)
        found["average_precision"] = metrics.average_precision_score(truth == one, said[:, one])
    return {name: float(value) for name, value in found.items()}


def positive(task: Task) -> int:
    """The code of the class, of two, that F1 and average precision are about.

    1 and True, as in scikit-learn. Of two words scikit-learn wants to be told; here it is the rarer, as whoever asks for these
    figures asks about what is rare.

    Example:
        >>> import polars as pl
        >>> from lamina.data.task import Task
        >>> task = Task.infer(pl.DataFrame({"y": ["fraud", "legal", "legal", "fraud", "legal"]}), "y")
        >>> task.classes[positive(task)]
        'fraud'
    """
    words = isinstance((task.classes or ("",))[0], str)
    return int(not words or task.frequencies[1] <= task.frequencies[0])


def _balanced_accuracy(truth: np.ndarray, chosen: np.ndarray) -> float:
    """The mean recall of the classes that are there; scikit-learn's own warns of others that were chosen."""
    from sklearn.metrics import recall_score

    return float(recall_score(truth, chosen, average="macro", labels=np.unique(truth), zero_division=0))
