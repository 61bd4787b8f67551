"""The model that a fit starts from: an estimator, a model, a file, or the copy in a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lamina import store
from lamina.errors import OptionError
from lamina.fitting.warm import WarmStart
from lamina.model import Model, Network
from lamina.options import shortened
from lamina.train.run import Run

FILE = "start.lamina"
"""The copy of the model in a run folder."""


def warm_start(given: Any) -> WarmStart | None:
    """The warm start of the option ``start``; None for None.

    Raises:
        ModelFileError: The file cannot be read.
        OptionError: It is something else, an estimator that is not fitted, or a family that has no epochs.
    """
    if given is None:
        return None
    if isinstance(given, str | os.PathLike):
        source = Path(os.path.expanduser(given))
        model, name = store.load(source), str(source)
    else:
        model = source = getattr(given, "model_", given)
        name = "the given model"
    if not isinstance(model, Model):
        state = "an estimator that is not fitted" if hasattr(given, "fit") else shortened(given)
        raise OptionError(f"start is {state}, expected a fitted model or the path of a .lamina file")
    if not isinstance(model.predictor, Network):
        raise OptionError(
            f"start is {name}, of the family {model.family!r}, which is not trained in epochs and cannot be trained further; "
            "fit again to all rows, or start from a network such as 'feedforward'"
        )
    return WarmStart(model, name, store.checksum(source))


def keep_start(warm: WarmStart, run: Run) -> None:
    """Save a copy of the model in the folder of a run, so that it can be resumed."""
    store.save(warm.model, run.folder / FILE)


def kept_start(run: Run) -> WarmStart | None:
    """The model that a run started from, or None."""
    if (start := run.settings.get("start")) is None:
        return None
    return WarmStart(store.load(run.folder / FILE), str(start["model"]), str(start["checksum"]))
