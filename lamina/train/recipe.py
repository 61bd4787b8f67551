"""The recipe: how a network is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from lamina.options import Options, option
from lamina.tasks.losses import LOSSES, Loss
from lamina.tasks.metrics import TITLES, Metric

WAYS = ("shift", "crop", "flip", "rotate", "erase")
"""Image augmentations, see :mod:`lamina.train.augment`."""


@dataclass
class Recipe(Options):
    """Hyperparameters of training: optimizer, learning rate, schedule, epochs, batch size, early stopping.

    ``"auto"`` is chosen from the data and the family; the chosen value is in the run and the model card.

    Example:
        >>> Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True).check().optimizer
        'sgd'
    """

    keyword: ClassVar[str] = "recipe"

    optimizer: str = option(
        "auto",
        "optimizer; auto is muon for feedforward on at least 10,000 training rows of plain columns, else adamw",
        choices=("auto", "sgd", "adagrad", "rmsprop", "adam", "adamw", "muon"),
    )
    learning_rate: float | str = option(
        "auto",
        "learning rate; 'find' runs a learning rate range test",
        low=1e-8,
        high=100,
        choices=("auto", "find"),
        kind=float,
        tune=(3e-4, 3e-2, "log"),
    )
    schedule: str = option(
        "auto", "learning rate schedule", choices=("auto", "constant", "cosine", "one_cycle", "coslog4", "plateau")
    )
    epochs: int | str = option("auto", "maximum number of epochs", low=1, high=1_000_000, choices=("auto",), kind=int)
    batch_size: int | str = option(
        "auto",
        "rows per gradient step; 'full' for all training rows",
        low=1,
        high=10_000_000,
        choices=("auto", "full"),
        kind=int,
        tune=(32, 1024, "log"),
    )
    patience: int | str | None = option(
        "auto",
        "early stopping: epochs without a lower validation loss before training stops; none for no early stopping",
        low=1,
        high=1_000_000,
        choices=("auto", None),
        kind=int,
    )
    time_limit: float | None = option(
        None, "maximum training time in seconds; the best weights so far are kept", low=0.01, high=1e8, kind=float
    )
    loss: str | Loss | Callable[..., Any] = option(
        "auto",
        "loss function: a name, or a function of outputs and targets that returns a loss for each row",
        choices=("auto", *LOSSES),
        kind=Callable,  # pyright: ignore[reportArgumentType]
        expected="a function of outputs and targets that returns a loss for each row",
    )
    metric: str | Metric | Callable[..., Any] = option(
        "auto",
        "metric on the validation rows that decides the best epoch and early stopping: a name, or a function of y_true and "
        "y_pred; auto is the loss of the task",
        choices=("auto", "loss", *TITLES),
        kind=Callable,  # pyright: ignore[reportArgumentType]
        expected="a function of y_true and y_pred that returns a number",
    )
    momentum: float | None = option(
        None, "momentum of sgd (default 0.9) and rmsprop (default 0)", low=0, high=0.9999, kind=float
    )
    nesterov: bool = option(False, "Nesterov momentum (sgd)")
    weight_decay: float | str = option(
        "auto",
        "weight decay (not of biases), decoupled for adamw and muon, else L2; auto is 0.03 for these two, else 0",
        low=0,
        high=10,
        choices=("auto",),
        kind=float,
        tune=(1e-3, 0.3, "log"),
    )
    ema_decay: float | None = option(
        0.998,
        "decay of the exponential moving average of the weights, which is validated and kept; none for no averaging",
        low=0,
        high=0.99999,
        choices=(None,),
        kind=float,
    )
    clip_value: float | str | None = option(
        "auto",
        "clip each gradient component to this absolute value; auto is 1 for recurrent networks, else none",
        low=1e-12,
        high=1e12,
        choices=("auto", None),
        kind=float,
    )
    clip_norm: float | None = option(None, "clip the gradient to this norm", low=1e-12, high=1e12, kind=float)
    augment: tuple[str, ...] | str | None = option(
        "auto", "random augmentations of training images", choices=("auto", None), items=str, words=WAYS
    )
    huber_delta: float = option(1.0, "delta of the huber loss, in standard deviations of the target", low=1e-6, high=1e6)
    precision: str = option(
        "auto",
        "precision of matrix products and convolutions in training; auto is bfloat16 for images if the hardware supports it",
        choices=("auto", "float32", "bfloat16"),
    )
    step_mode: str = option("auto", "execution of a training step", choices=("auto", "eager", "traced", "cuda_graph"))
    threads: int | None = option(
        None, "number of CPU threads; none to choose by the size of the network", low=1, high=1024, kind=int
    )
