"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def identity(x: Tensor) -> Tensor:
    return x


def step(x: Tensor) -> Tensor:
    """Heaviside step function, 1 for x >= 0 (perceptron, Rosenblatt 1958). Its gradient is zero, so the layers before it
    are not trained."""
    return x.clamp(-1, 0).floor() + 1


def lecun_tanh(x: Tensor) -> Tensor:
    """Scaled tanh of LeNet-5 (LeCun et al. 1998, appendix A): f(1) = 1, f(-1) = -1, largest second derivative there."""
    return (x * (2 / 3)).tanh() * 1.7159


def softmax(x: Tensor) -> Tensor:
    return x.softmax(-1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": identity,
    "step": step,
    "logistic": Tensor.sigmoid,
    "tanh": Tensor.tanh,
    "lecun_tanh": lecun_tanh,
    "relu": Tensor.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "silu": F.silu,
    "mish": F.mish,
    "softmax": softmax,
}
