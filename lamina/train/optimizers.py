"""Optimizers on one flat tensor of parameters.

The learning rate is a float, or on a GPU a tensor, which a CUDA graph reads at each replay. Weight decay is for the decaying
part of :class:`~lamina.train.parameters.FlatParameters`: decoupled for ``adamw``, else L2, as in PyTorch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from lamina.errors import OptionError, TrainingError
from lamina.train.kernels import LearningRate, adam_kernel, sgd_kernel
from lamina.train.parameters import FlatParameters
from lamina.train.recipe import Recipe


class Optimizer(ABC):
    """Base class of the optimizers: clipping, weight decay, moving average and state; the formula is :meth:`_step`.

    Args:
        parameters: The trained parameters.
        recipe: The values are clipped before the norm; for ``ema_decay`` see :meth:`averaged`.
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        self.parameters = parameters
        self.value, self.gradient = parameters.value, parameters.gradient
        self.weight_decay = 0.0 if isinstance(recipe.weight_decay, str) else recipe.weight_decay
        self.clip_value = None if isinstance(recipe.clip_value, str) else recipe.clip_value
        self.clip_norm, self.ema_decay = recipe.clip_norm, recipe.ema_decay
        self._decaying_value = parameters.decaying(self.value)
        self._decaying_gradient = parameters.decaying(self.gradient)
        self._state: dict[str, Tensor] = {}
        if self.ema_decay is not None:
            self._average = self._state["average"] = self.value.clone()
            self._averaged = self._new_count("average_steps")
            self._count = 0  # the same on the host

    def update(self, learning_rate: LearningRate) -> None:
        """Update the parameters from their gradient; does not synchronise with the device."""
        if self.clip_value is not None:
            self.gradient.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:  # no comparison on the host: a smaller norm is scaled by exactly 1
            norm = torch.linalg.vector_norm(self.gradient)
            self.gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_max(1.0))
        if self.weight_decay:
            self._decay(learning_rate)
        self._step(learning_rate)
        if self.ema_decay is not None:
            self._averaged.add_(1)
            if isinstance(learning_rate, Tensor):  # a CUDA graph counts on the device
                weight: LearningRate = (9 / (self._averaged + 9)).clamp_min_(1 - self.ema_decay)
            else:
                self._count += 1
                weight = max(9 / (self._count + 9), 1 - self.ema_decay)
            self._average.lerp_(self.value, weight)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within, the weights are their moving average: ``mean += max(1 - ema_decay, 9 / (9 + t)) * (w - mean)`` at step t.

        Averaging replaces a decaying learning rate (Polyak and Juditsky 1992), without a fixed number of epochs.
        """
        if self.ema_decay is None:
            yield
            return
        weights = self.value.clone()
        self.value.copy_(self._average)
        try:
            yield
        finally:
            self.value.copy_(weights)

    def _decay(self, learning_rate: LearningRate) -> None:
        self._decaying_gradient.add_(self._decaying_value, alpha=self.weight_decay)

    @abstractmethod
    def _step(self, learning_rate: LearningRate) -> None:
        """The formula."""

    def _new_state(self, name: str) -> Tensor:
        """A state tensor of zeros like the parameters, saved in checkpoints by this name."""
        self._state[name] = torch.zeros_like(self.value)
        return self._state[name]

    def _new_count(self, name: str) -> Tensor:
        self._state[name] = torch.zeros((), dtype=torch.float32, device=self.value.device)
        return self._state[name]

    def state_dict(self) -> dict[str, Tensor]:
        """The state tensors by name, not copied."""
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Copy a state into this optimizer, in place.

        Raises:
            TrainingError: The state is of another optimizer or another network.
        """
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        expected = {name: tuple(tensor.shape) for name, tensor in self._state.items()}
        if shapes != expected:
            raise TrainingError(
                f"the optimizer state has {shapes}, expected {expected}; it is of another optimizer or network, start a new run"
            )
        for name, tensor in state.items():
            self._state[name].copy_(tensor)
        if self.ema_decay is not None:
            self._count = int(self._averaged.item())  # sync


class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak 1964) and Nesterov momentum (Sutskever et al. 2013).

    ``b = momentum * b + g;  w -= lr * b``, with Nesterov ``w -= lr * (g + momentum * b)``, as in PyTorch.
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        momentum = 0.9 if recipe.momentum is None else recipe.momentum
        if recipe.nesterov and not momentum:
            raise OptionError("nesterov is True with momentum 0, expected momentum above 0; set recipe.momentum=0.9")
        self._lists = [self.value], [self.gradient], [self._new_state("velocity")] if momentum else []
        self._kernel = partial(sgd_kernel(self.value.device.type), momentum=momentum, nesterov=recipe.nesterov)

    def _step(self, learning_rate: LearningRate) -> None:
        self._kernel(*self._lists, lr=learning_rate)


class Adagrad(Optimizer):
    """Steps scaled by the root of all squared gradients so far (Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html).

    ``s += g^2;  w -= lr * g / (sqrt(s) + 1e-10)``
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self._squares = self._new_state("squares")
        self._scratch = torch.empty_like(self.value)

    def _step(self, learning_rate: LearningRate) -> None:
        self._squares.addcmul_(self.gradient, self.gradient)
        torch.sqrt(self._squares, out=self._scratch).add_(1e-10)
        _subtract_quotient(self.value, self.gradient, self._scratch, learning_rate)


class RMSprop(Optimizer):
    """Steps scaled by the root of a moving mean of squared gradients (Hinton, Coursera lecture 6e), as in PyTorch.

    ``s = 0.99 * s + 0.01 * g^2;  u = g / (sqrt(s) + 1e-8);  w -= lr * u``, with momentum ``b = momentum * b + u; w -= lr * b``
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self.momentum = recipe.momentum or 0.0
        self._squares = self._new_state("squares")
        self._velocity = self._new_state("velocity") if self.momentum else None
        self._scratch = torch.empty_like(self.value)

    def _step(self, learning_rate: LearningRate) -> None:
        self._squares.mul_(0.99).addcmul_(self.gradient, self.gradient, value=0.01)
        torch.sqrt(self._squares, out=self._scratch).add_(1e-8)
        if self._velocity is None:
            _subtract_quotient(self.value, self.gradient, self._scratch, learning_rate)
            return
        self._velocity.mul_(self.momentum).addcdiv_(self.gradient, self._scratch)
        if isinstance(learning_rate, Tensor):
            self.value.sub_(self._velocity * learning_rate)
        else:
            self.value.sub_(self._velocity, alpha=learning_rate)


class Adam(Optimizer):
    """Moving means of the gradient and its square, corrected for their start at zero (https://arxiv.org/abs/1412.6980, alg. 1).

    ``m = 0.9 m + 0.1 g;  v = 0.999 v + 0.001 g^2;  w -= lr * (m / (1 - 0.9^t)) / (sqrt(v / (1 - 0.999^t)) + 1e-8)``
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        mean, squares = self._new_state("mean"), self._new_state("squares")
        self._steps = self._new_count("steps")
        self._lists = [self.value], [self.gradient], [mean], [squares], [], [self._steps]
        self._kernel = adam_kernel(self.value.device.type)

    def _step(self, learning_rate: LearningRate) -> None:
        self._steps.add_(1.0)
        self._kernel(*self._lists, lr=learning_rate)


class AdamW(Adam):
    """Adam with decoupled weight decay (https://arxiv.org/abs/1711.05101, alg. 2): ``w -= lr * weight_decay * w`` first."""

    def _decay(self, learning_rate: LearningRate) -> None:
        self._decaying_value.mul_(1.0 - learning_rate * self.weight_decay)


class Muon(AdamW):
    """Momentum, orthogonalised, for the weights of hidden layers (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon);
    AdamW for all other parameters.

    ``m = 0.95 m + 0.05 g;  u = 0.05 g + 0.95 m;  W -= lr * 0.2 sqrt(max(rows, columns)) * UV'`` with ``u = U S V'``: steps as
    large as those of AdamW (Liu et al. 2025, arXiv 2502.16982, eq. 4). Five Newton-Schulz iterations compute ``UV'`` roughly.
    Of 15 optimizers it is the best for networks on tables (arXiv 2604.15297).
    """

    def __init__(self, parameters: FlatParameters, recipe: Recipe) -> None:
        super().__init__(parameters, recipe)
        self._weights = parameters.hidden_weights(parameters.views)
        self._gradients = parameters.hidden_weights(parameters.gradients)
        momentum = self._state["momentum"] = self.value.new_zeros(sum(weight.numel() for weight in self._weights))
        parts = momentum.split([weight.numel() for weight in self._weights])
        self._momenta = [part.view(weight.shape) for part, weight in zip(parts, self._weights, strict=True)]

    def _step(self, learning_rate: LearningRate) -> None:
        updates = []
        for gradient, momentum in zip(self._gradients, self._momenta, strict=True):
            momentum.lerp_(gradient, 0.05)
            updates.append(orthogonalised(torch.lerp(gradient, momentum, 0.95)))
            gradient.zero_()  # so that AdamW does not change these weights
        super()._step(learning_rate)
        for weight, update in zip(self._weights, updates, strict=True):
            weight.sub_(update.mul_(0.2 * max(weight.shape) ** 0.5).mul_(learning_rate))


def orthogonalised(matrix: Tensor) -> Tensor:
    """A matrix ``U S V'`` (rows, columns) with singular values near 1, by five Newton-Schulz iterations of Muon.

    Those above 0.01 of its norm become 0.7 to 1.2. torch has the same as a private function that rounds to bfloat16.

    Example:
        >>> torch.linalg.svdvals(orthogonalised(torch.tensor([[3.0, 0.0], [0.0, 1.0]]))).round()
        tensor([1., 1.])
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (torch.linalg.vector_norm(x) + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return x if wide else x.T


def make_optimizer(parameters: FlatParameters, recipe: Recipe) -> Optimizer:
    """The optimizer of a recipe.

    Raises:
        OptionError: The name is unknown.

    Example:
        >>> net = torch.nn.Linear(2, 1)
        >>> optimizer = make_optimizer(FlatParameters(net), Recipe(optimizer="adam", ema_decay=None))
        >>> sorted(optimizer.state_dict())
        ['mean', 'squares', 'steps']
    """
    optimizers = {"sgd": SGD, "rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam, "adamw": AdamW, "muon": Muon, "auto": AdamW}
    if recipe.optimizer not in optimizers:
        raise OptionError(f"optimizer is {recipe.optimizer!r}, expected one of {', '.join(optimizers)}")
    return optimizers[recipe.optimizer](parameters, recipe)


def _subtract_quotient(value: Tensor, top: Tensor, bottom: Tensor, scale: LearningRate) -> None:
    if isinstance(scale, Tensor):
        value.sub_(top / bottom * scale)
    else:
        value.addcdiv_(top, bottom, value=-scale)
