"""The recipe: how a network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from lamina.options import Options, option

WAYS = ("shift", "crop", "flip", "rotate", "erase")
"""Ways in which images are changed; see :mod:`lamina.train.augment`."""


@dataclass
class Recipe(Options):
    """How to train: optimizer, learning rate, schedule, epochs, batches, when to stop.

    ``"auto"`` is decided from the data and the family, and what was decided is written into the run and the model card.

    Example:
        >>> Recipe(optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True).check().optimizer
        'sgd'
    """

    optimizer: str = option("adamw", "how gradients become steps", choices=("sgd", "adagrad", "rmsprop", "adam", "adamw"))
    learning_rate: float | str = option(
        "auto", "size of a step; 'find' sweeps for it", low=1e-8, high=100, choices=("auto", "find"), kind=float
    )
    schedule: str = option(
        "auto", "how the learning rate moves", choices=("auto", "constant", "cosine", "one_cycle", "plateau")
    )
    epochs: int | str = option("auto", "most passes over the training rows", low=1, high=1_000_000, choices=("auto",), kind=int)
    batch_size: int | str = option(
        "auto", "rows in a step; 'full' for all of them", low=1, high=10_000_000, choices=("auto", "full"), kind=int
    )
    patience: int | str | None = option(
        "auto",
        "epochs without a better validation loss before stopping; none to never stop",
        low=1,
        high=1_000_000,
        choices=("auto", None),
        kind=int,
    )
    time_limit: float | None = option(
        None, "seconds after which training stops with the best so far", low=0.01, high=1e8, kind=float
    )
    loss: str = option(
        "auto",
        "what is minimised",
        choices=(
            "auto",
            "cross_entropy",
            "binary_cross_entropy",
            "maximum_a_posteriori",
            "label_cross_entropy",
            "mse",
            "huber",
        ),
    )
    momentum: float | None = option(
        None, "momentum of sgd (none is 0.9) and rmsprop (none is 0)", low=0, high=0.9999, kind=float
    )
    nesterov: bool = option(False, "look ahead along the momentum (sgd)")
    weight_decay: float | str = option(
        "auto",
        "decay of weights (never of biases); auto is 0.03 for adamw, where it is decoupled, and else 0",
        low=0,
        high=10,
        choices=("auto",),
        kind=float,
    )
    ema_decay: float | None = option(
        0.998,
        "memory of the moving average of weights that is validated and kept; none to keep single steps",
        low=0,
        high=0.99999,
        choices=(None,),
        kind=float,
    )
    clip_value: float | str | None = option(
        "auto",
        "clamp each gradient to this absolute value; auto is 1 for recurrent networks and else none",
        low=1e-12,
        high=1e12,
        choices=("auto", None),
        kind=float,
    )
    clip_norm: float | None = option(None, "scale gradients down to this norm", low=1e-12, high=1e12, kind=float)
    augment: tuple[str, ...] | str | None = option(
        "auto",
        "what is done to training images at random; never at prediction",
        choices=("auto", None),
        items=str,
        words=WAYS,
    )
    huber_delta: float = option(
        1.0, "where the huber loss turns from square to line, in standard deviations", low=1e-6, high=1e6
    )
    precision: str = option(
        "auto",
        "numbers of products and convolutions in training; auto is bfloat16 for images where the processor has units for it",
        choices=("auto", "float32", "bfloat16"),
    )
    step_mode: str = option("auto", "how a step is executed", choices=("auto", "eager", "traced", "cuda_graph"))
    threads: int | None = option(None, "CPU threads; none to suit the net", low=1, high=1024, kind=int)
