"""Fused kernels of SGD and Adam, where the installed torch has them.

These are the kernels of ``torch.optim`` with ``fused=True``. They are not public, so each is checked once against the same
formula in plain operations and used only if both agree; else the plain operations are used, which are slower.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

LearningRate = float | Tensor
Kernel = Callable[..., None]


@cache
def sgd_kernel(device: str) -> Kernel:
    """``kernel([value], [gradient], [velocity] or [], lr=, momentum=, nesterov=)`` for a type of device."""
    fused = partial(_private("_fused_sgd_"), weight_decay=0.0, dampening=0.0, maximize=False, is_first_step=False)
    cases = [(0, {"momentum": 0.0, "nesterov": False})]
    cases += [(1, {"momentum": 0.9, "nesterov": nesterov}) for nesterov in (False, True)]
    return fused if all(_agree(fused, plain_sgd, device, states, False, options) for states, options in cases) else plain_sgd


@cache
def adam_kernel(device: str) -> Kernel:
    """``kernel([value], [gradient], [mean], [squares], [], [steps], lr=)`` for a type of device; steps counts this one."""
    options = dict(beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False)
    fused = partial(_private("_fused_adam_"), **options)
    return fused if _agree(fused, plain_adam, device, 2, True, {}) else plain_adam


def plain_sgd(
    values: list[Tensor],
    gradients: list[Tensor],
    velocities: list[Tensor],
    *,
    lr: LearningRate,
    momentum: float,
    nesterov: bool,
) -> None:
    """SGD in public operations; arguments as :func:`sgd_kernel`'s."""
    step = gradients[0]
    if velocities:
        velocity = velocities[0].mul_(momentum).add_(step)
        step = step.add(velocity, alpha=momentum) if nesterov else velocity
    values[0].sub_(step * lr)


def plain_adam(
    values: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    _largest: list[Tensor],
    steps: list[Tensor],
    *,
    lr: LearningRate,
) -> None:
    """Adam in public operations; arguments as :func:`adam_kernel`'s."""
    gradient, (count,) = gradients[0], steps
    mean = means[0].lerp_(gradient, 0.1) / (1 - torch.pow(0.9, count))
    root = (squares[0].mul_(0.999).addcmul_(gradient, gradient, value=0.001) / (1 - torch.pow(0.999, count))).sqrt_()
    values[0].sub_(mean.div_(root.add_(1e-8)).mul_(lr))


def _private(name: str) -> Kernel:
    """A private function of torch, or one that raises NotImplementedError."""

    def missing(*args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f"torch {torch.__version__} has no {name}")

    return getattr(torch, name, missing)


def _agree(fused: Kernel, plain: Kernel, device: str, states: int, counts: bool, options: dict[str, Any]) -> bool:
    """Whether three steps of both give the same value and state, for a float and a tensor as learning rate."""

    def end(kernel: Kernel, rate: LearningRate) -> Tensor:
        value = torch.linspace(-2.0, 2.0, 9, device=device)
        state = [[torch.zeros_like(value)] for _ in range(states)]
        steps = torch.zeros((), device=device)
        for number in range(1, 4):
            gradient = torch.linspace(1.0, -2.0, 9, device=device) * number + 0.3
            steps += 1.0
            kernel([value], [gradient], *(state or [[]]), *([[], [steps]] if counts else []), lr=rate, **options)
        return torch.stack([value, *(tensor for (tensor,) in state)])

    try:
        with torch.no_grad():
            rates = 0.1, torch.tensor(0.1, device=device)
            return all(torch.allclose(end(fused, rate), end(plain, rate), rtol=1e-5, atol=1e-7) for rate in rates)
    except Exception:  # another version of torch may raise anything
        return False
