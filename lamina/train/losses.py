"""What training minimises, for plain networks and for ensembles inside one network.

Every loss is ``loss(outputs, target, weight) -> scalar``. With outputs of shape ``(N, k, K)`` each of the ``k`` members
is trained on its own: the loss is the mean over members of each member's loss, not the loss of their mean
(TabM, https://arxiv.org/abs/2410.24210, section 3.2). With weights it is ``sum(w * l) / sum(w)`` over the rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lamina.errors import OptionError

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]

NO_CLASS = -3.0
"""The logit of no class at all in :func:`maximum_a_posteriori`, ``-j`` of the paper, which gives no number."""


def cross_entropy(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of the softmax: ``-log p(class)``, the loss of several classes.

    Args:
        outputs: Logits.
        target: int64 codes of the classes.
        weight: Weight of each row.

    Shape:
        outputs (N, K) or (N, k, K); target (N,); weight (N,); result ().

    Example:
        >>> cross_entropy(torch.zeros(1, 4), torch.tensor([2])).item()  # log(4)
        1.3862943649291992
    """
    if outputs.ndim == 2:
        if weight is None:
            return F.cross_entropy(outputs, target)
        return _weighted(F.cross_entropy(outputs, target, reduction="none"), weight)
    rows, members, classes = outputs.shape
    outputs, target = outputs.reshape(rows * members, classes), target.unsqueeze(1).expand(rows, members).reshape(-1)
    if weight is None:
        return F.cross_entropy(outputs, target)
    return _weighted(F.cross_entropy(outputs, target, reduction="none").view(rows, members).mean(1), weight)


def maximum_a_posteriori(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy in which "no class at all" is an answer, too, and always a wrong one (LeCun et al. 1998, eq. 9).

    For outputs that are minus a distance, as those of a ``RadialBasis``: a row stays pulled towards its class until it is
    nearer than ``j``, where cross-entropy is content once all other classes are further away.

    Args:
        outputs: Logits.
        target: int64 codes of the classes.
        weight: Weight of each row.

    Shape:
        outputs (N, K) or (N, k, K); target (N,); weight (N,); result ().

    Example:
        >>> round(maximum_a_posteriori(torch.full((1, 4), -3.0), torch.tensor([2])).item(), 4)  # log(5)
        1.6094
    """
    nothing = torch.full_like(outputs[..., :1], NO_CLASS)
    return cross_entropy(torch.cat([outputs, nothing], -1), target, weight)


def binary_cross_entropy(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of one logit per row: the loss of two classes, equal to that of two logits ``(0, z)``.

    Args:
        outputs: The logit of class 1.
        target: int64 codes, 0 or 1.
        weight: Weight of each row.

    Shape:
        outputs (N, 1) or (N, k, 1); target (N,); weight (N,); result ().

    Example:
        >>> binary_cross_entropy(torch.zeros(1, 1), torch.tensor([1])).item()  # log(2)
        0.6931471824645996
    """
    logits = outputs.squeeze(-1)
    goal = target.to(logits.dtype)
    if logits.ndim == 2:
        goal = goal.unsqueeze(1).expand_as(logits)
    if weight is None:
        return F.binary_cross_entropy_with_logits(logits, goal)
    return _weighted(F.binary_cross_entropy_with_logits(logits, goal, reduction="none"), weight)


def mse(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error: the squared Euclidean distance to the target, per target column.

    Args:
        outputs: Predictions.
        target: float32 values, standardised by the task.
        weight: Weight of each row.

    Shape:
        outputs (N, K) or (N, k, K); target (N, K); weight (N,); result ().

    Example:
        >>> mse(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])).item()
        5.0
    """
    target = _for_members(outputs, target)
    if weight is None:
        return F.mse_loss(outputs, target)
    return _weighted(F.mse_loss(outputs, target, reduction="none"), weight)


def huber(delta: float) -> Loss:
    """Huber's loss: square near the target, a line beyond ``delta``, so that outliers pull with bounded force.

    ``l = d^2 / 2`` where ``|d| <= delta``, else ``delta * (|d| - delta / 2)`` (Huber 1964, Ann. Math. Statist. 35, 73).

    Args:
        delta: Where the square turns into a line, in units of the (standardised) target.

    Shape:
        of the loss returned: outputs (N, K) or (N, k, K); target (N, K); weight (N,); result ().

    Example:
        >>> huber(1.0)(torch.tensor([[3.0]]), torch.tensor([[0.0]]), None).item()
        2.5
    """

    def loss(outputs: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        target = _for_members(outputs, target)
        if weight is None:
            return F.huber_loss(outputs, target, delta=delta)
        return _weighted(F.huber_loss(outputs, target, delta=delta, reduction="none"), weight)

    return loss


def make_loss(name: str, *, huber_delta: float = 1.0) -> Loss:
    """The loss of that name, as :class:`~lamina.train.recipe.Recipe` spells it.

    Raises:
        OptionError: The name is unknown.

    Example:
        >>> make_loss("mse") is mse
        True
    """
    if name == "huber":
        return huber(huber_delta)
    losses: dict[str, Loss] = {loss.__name__: loss for loss in (cross_entropy, maximum_a_posteriori, binary_cross_entropy, mse)}
    if name not in losses:
        raise OptionError(f"loss is {name!r}, expected one of {', '.join([*losses, 'huber'])}")
    return losses[name]


def _for_members(outputs: Tensor, target: Tensor) -> Tensor:
    return target if outputs.ndim == target.ndim else target.unsqueeze(1).expand_as(outputs)


def _weighted(losses: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over rows of the mean over everything else; 0 when all weights of the batch are 0."""
    if losses.ndim > 1:
        losses = losses.flatten(1).mean(1)
    return torch.dot(losses, weight) / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
