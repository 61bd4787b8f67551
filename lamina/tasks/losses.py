"""What training minimises, for plain networks and for ensembles inside one network.

A loss is ``loss(outputs, target, weight) -> scalar``. With outputs of shape ``(N, k, K)`` each of the ``k`` members is trained
on its own: the loss is the mean over members of each member's loss, not the loss of their mean (TabM,
https://arxiv.org/abs/2410.24210, section 3.2). With weights (N,) it is ``sum(w * l) / sum(w)`` over the rows of the batch.
A target of classes is their codes, or a probability for each class (distillation, label smoothing).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lamina.errors import OptionError
from lamina.options import shortened

if TYPE_CHECKING:  # torch takes a second to load, and the name of a loss needs none of it
    from torch import Tensor

TARGET = "target"
"""The block of a task's targets that every task has."""
KNOWN = "known"
"""The block that says which labels of a row are known, where some may be missing."""
NO_CLASS = -3.0
"""The logit of no class at all in :func:`maximum_a_posteriori`, ``-j`` of the paper, which gives no number."""


@dataclass(frozen=True)
class Loss:
    """A loss, with the outputs that it needs and what they mean.

    Attributes:
        name: As a recipe and a model file spell it.
        compute: ``compute(outputs, target, weight) -> scalar``; ``known`` is its fourth argument where labels may be missing.
        activation: Outputs to probabilities or values, in float64; the last axis may become longer.
        single: Whether one output is the logit of the second of two classes.
        function: The function of one's own that it calls; None for a loss of lamina.
        like: The loss of lamina whose outputs have the same meaning; empty for that loss itself.
    """

    name: str
    compute: Callable[..., Tensor]
    activation: Callable[[Tensor], Tensor]
    single: bool = False
    function: Callable[..., Any] | None = None
    like: str = ""

    @property
    def outputs_of(self) -> str:
        """The name that a model file has: that of the loss of lamina whose outputs have the same meaning."""
        return self.like or self.name

    def __call__(self, outputs: Tensor, targets: Mapping[str, Tensor], weight: Tensor | None = None) -> Tensor:
        """The loss for the target blocks of the task, by name."""
        if KNOWN in targets:
            return self.compute(outputs, targets[TARGET], weight, targets[KNOWN])
        return self.compute(outputs, targets[TARGET], weight)

    def predictions(self, outputs: Tensor) -> Tensor:
        """Probabilities (N, classes), label probabilities (N, labels) or standardised values (N, K), float64.

        Members of an ensemble inside the network, outputs (N, members, K), are averaged: their probabilities or values.
        """
        predictions = self.activation(outputs.double())
        return predictions.mean(1) if predictions.ndim == 3 else predictions


def cross_entropy(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of the softmax: ``-log p(class)``, the loss of several classes.

    Shape:
        outputs: logits (N, K) or (N, k, K); target: int64 codes (N,) or probabilities (N, K); weight (N,); result ().

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item()  # log(4)
        1.3862943649291992
    """
    from torch.nn import functional as F

    if outputs.ndim == 2:
        return _mean(F.cross_entropy, outputs, target, weight)
    rows, members, classes = outputs.shape
    target = target.unsqueeze(1).expand(rows, members, *target.shape[1:]).flatten(0, 1)
    outputs = outputs.reshape(rows * members, classes)
    if weight is None:
        return F.cross_entropy(outputs, target)
    return _weighted(F.cross_entropy(outputs, target, reduction="none").view(rows, members), weight)


def maximum_a_posteriori(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy with one more class, "no class at all", which is never the target (LeCun et al. 1998, eq. 9).

    For outputs that are minus a distance, as those of a ``RadialBasis``: a row stays pulled towards its class until it is
    nearer than ``j``, where cross-entropy is content once all other classes are further away.

    Shape:
        outputs: logits (N, K) or (N, k, K); target: int64 codes (N,) or probabilities (N, K); weight (N,); result ().

    Example:
        >>> import torch
        >>> round(maximum_a_posteriori(torch.full((1, 4), -3.0), torch.tensor([2])).item(), 4)  # log(5)
        1.6094
    """
    import torch

    nothing = torch.full_like(outputs[..., :1], NO_CLASS)
    if target.ndim == 2:
        target = torch.cat([target, torch.zeros_like(target[:, :1])], -1)
    return cross_entropy(torch.cat([outputs, nothing], -1), target, weight)


def binary_cross_entropy(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of one logit per row: the loss of two classes, equal to that of two logits ``(0, z)``.

    Shape:
        outputs: logits of class 1, (N, 1) or (N, k, 1); target: int64 codes 0 or 1, (N,), or the probabilities of both classes
        (N, 2); weight (N,); result ().

    Example:
        >>> import torch
        >>> binary_cross_entropy(torch.zeros(1, 1), torch.tensor([1])).item()  # log(2)
        0.6931471824645996
    """
    from torch.nn import functional as F

    logits, target = outputs.squeeze(-1), target if target.ndim == 1 else target[:, 1]
    return _mean(F.binary_cross_entropy_with_logits, logits, _for_members(logits, target.to(logits.dtype)), weight)


def mse(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error: the squared Euclidean distance to the target, per target column.

    Shape:
        outputs (N, K) or (N, k, K); target: float32 values, standardised by the task, (N, K); weight (N,); result ().

    Example:
        >>> import torch
        >>> mse(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])).item()
        5.0
    """
    from torch.nn import functional as F

    return _mean(F.mse_loss, outputs, _for_members(outputs, target), weight)


def huber(delta: float) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """Huber's loss: square near the target, a line beyond ``delta``, so that outliers pull with bounded force.

    ``l = d^2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)`` (Huber 1964, Ann. Math. Statist. 35, 73).

    Args:
        delta: Where the square turns into a line, in units of the (standardised) target.

    Shape:
        of the loss returned: as :func:`mse`.

    Example:
        >>> import torch
        >>> huber(1.0)(torch.tensor([[3.0]]), torch.tensor([[0.0]]), None).item()
        2.5
    """

    def loss(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        from torch.nn import functional as F

        return _mean(F.huber_loss, outputs, _for_members(outputs, target), weight, delta=delta)

    return loss


def label_cross_entropy(outputs: Tensor, target: Tensor, weight: Tensor | None = None, known: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of each label, the mean over the labels that are known: the loss of several yes/no labels a row.

    ``sum(w m l) / sum(w m)`` with the mask ``m``: a label that is not known has exactly no gradient.

    Shape:
        outputs: logits (N, L) or (N, k, L); target: float32, 1 where a row has the label, else 0, (N, L); weight (N,); known:
        float32, 1 where it is known, else 0, (N, L), None where all are; result ().

    Example:
        >>> import torch
        >>> target, known = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
        >>> label_cross_entropy(torch.tensor([[0.0, 9.0]]), target, None, known).item()  # log(2)
        0.6931471824645996
    """
    import torch
    from torch.nn import functional as F

    losses = F.binary_cross_entropy_with_logits(outputs, _for_members(outputs, target), reduction="none")
    losses = losses.mean(1) if losses.ndim == 3 else losses
    return _masked(losses, torch.ones_like(target) if known is None else known, weight)


def _two_classes(logit: Tensor) -> Tensor:
    import torch

    yes = logit.sigmoid()
    return torch.cat([1 - yes, yes], dim=-1)


CROSS_ENTROPY = Loss("cross_entropy", cross_entropy, lambda outputs: outputs.softmax(-1))
MAXIMUM_A_POSTERIORI = Loss("maximum_a_posteriori", maximum_a_posteriori, lambda outputs: outputs.softmax(-1))
BINARY_CROSS_ENTROPY = Loss("binary_cross_entropy", binary_cross_entropy, _two_classes, single=True)
LABEL_CROSS_ENTROPY = Loss("label_cross_entropy", label_cross_entropy, lambda outputs: outputs.sigmoid())
MSE = Loss("mse", mse, lambda outputs: outputs)
HUBER = Loss("huber", huber(1.0), lambda outputs: outputs)
LOSSES = {
    loss.name: loss for loss in (CROSS_ENTROPY, BINARY_CROSS_ENTROPY, MAXIMUM_A_POSTERIORI, LABEL_CROSS_ENTROPY, MSE, HUBER)
}


def custom_loss(function: Callable[..., Any], like: Loss) -> Loss:
    """A loss of one's own: ``function(outputs, targets)`` gives a loss for each row, of which training minimises the mean.

    The function sees neither weights nor which labels are missing. With members it sees a row for each member of each row.

    Args:
        function: A function of torch tensors.
        like: The default loss of the task; outputs and targets have the same meaning for both.

    Raises:
        OptionError: When it is called: the function returns something else than a loss for each row.

    Shape:
        outputs (N, K); targets (N,) int64 codes of classes, or (N, K) float32 values or labels; the result (N,) or, where there
        are values or labels, (N, K); with labels that may be missing (N, K).

    Example:
        >>> import torch
        >>> absolute = custom_loss(lambda outputs, targets: (outputs - targets).abs(), MSE)
        >>> absolute(torch.tensor([[3.0], [1.0]]), {"target": torch.tensor([[1.0], [1.0]])}).item()
        1.0
    """
    name = getattr(function, "__name__", type(function).__name__)

    def compute(outputs: Tensor, target: Tensor, weight: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        rows, members = len(outputs), outputs.shape[1] if outputs.ndim == 3 else 1
        flat = outputs.flatten(0, 1) if outputs.ndim == 3 else outputs
        goal = target.repeat_interleave(members, 0) if members > 1 else target
        losses = _checked(name, function(flat, goal), flat, goal, by_label=known is not None)
        if members > 1:
            losses = losses.unflatten(0, (rows, members)).mean(1)
        if known is not None:
            return _masked(losses, known, weight)
        return losses.mean() if weight is None else _weighted(losses, weight)

    return replace(like, name=name, compute=compute, function=function, like=like.outputs_of)


def _checked(name: str, losses: Any, outputs: Tensor, target: Tensor, *, by_label: bool) -> Tensor:
    import torch

    rows, labels = (len(target),), tuple(target.shape)
    shapes = [labels] if by_label else list(dict.fromkeys([rows, labels]))
    expected = f"expected a tensor of {' or '.join(map(str, shapes))}: a loss for each {'label' if by_label else 'row'}"
    if not isinstance(losses, torch.Tensor):
        raise OptionError(f"the loss {name} returned {shortened(losses)}, {expected}; compute it with torch")
    if tuple(losses.shape) not in shapes:
        hint = f"outputs have the shape {tuple(outputs.shape)}" if losses.ndim else "do not average, as with reduction='none'"
        raise OptionError(f"the loss {name} returned a tensor of {tuple(losses.shape)}, {expected}; {hint}")
    if outputs.requires_grad and not losses.requires_grad:
        raise OptionError(f"the loss {name} has no gradient; compute it from the outputs with torch, without detach or NumPy")
    return losses.float()


def find_loss(name: str | Loss | Callable[..., Any], *, huber_delta: float = 1.0) -> Loss:
    """The loss of that name, as :class:`~lamina.train.recipe.Recipe` spells it; a loss is returned as it is.

    Raises:
        OptionError: The name is unknown.

    Example:
        >>> find_loss("mse") is MSE
        True
    """
    if isinstance(name, Loss):
        return name
    if not isinstance(name, str) or name not in LOSSES:
        raise OptionError(f"loss is {name!r}, expected one of {', '.join(LOSSES)}")
    if name == HUBER.name and huber_delta != 1.0:
        return replace(HUBER, compute=huber(huber_delta))
    return LOSSES[name]


def _for_members(outputs: Tensor, target: Tensor) -> Tensor:
    return target if outputs.ndim == target.ndim else target.unsqueeze(1).expand_as(outputs)


def _mean(loss: Callable[..., Tensor], outputs: Tensor, target: Tensor, weight: Tensor | None, **options: float) -> Tensor:
    """Mean of a loss of :mod:`torch.nn.functional`, weighted if rows have weights."""
    if weight is None:
        return loss(outputs, target, **options)
    return _weighted(loss(outputs, target, reduction="none", **options), weight)


def _masked(losses: Tensor, known: Tensor, weight: Tensor | None) -> Tensor:
    """Weighted mean over the known labels; exactly no gradient for the others."""
    import torch

    counts = known if weight is None else known * weight.unsqueeze(1)
    return (losses * counts).sum() / counts.sum().clamp_min(torch.finfo(losses.dtype).tiny)


def _weighted(losses: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over rows of the mean over everything else; 0 when all weights of the batch are 0."""
    import torch

    if losses.ndim > 1:
        losses = losses.flatten(1).mean(1)
    return torch.dot(losses, weight) / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
