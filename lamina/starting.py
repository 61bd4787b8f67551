"""The model that a fit starts from or learns from: an estimator, a model, a file, or the copy in a run folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lamina import store
from lamina.errors import OptionError
from lamina.fitting.distill import ModelTeacher, StoredTeacher, Teacher
from lamina.fitting.warm import WarmStart
from lamina.model import Model, Network
from lamina.options import shortened
from lamina.train.run import START, TEACHER, Run


def warm_start(given: Any) -> WarmStart | None:
    """The warm start of the option ``start``; None for None.

    Raises:
        ModelFileError: The file cannot be read.
        OptionError: It is something else, an estimator that is not fitted, or a family that has no epochs.
    """
    if given is None:
        return None
    model, name, checksum = _model_of(given, "start")
    if not isinstance(model.predictor, Network):
        raise OptionError(
            f"start is {name}, of the family {model.family!r}, which is not trained in epochs and cannot be trained further; "
            "fit again to all rows, or start from a network such as 'feedforward'"
        )
    return WarmStart(model, name, checksum)


def model_teacher(given: Any) -> ModelTeacher:
    """The teacher of the option ``teacher``, a model of lamina.

    Raises:
        ModelFileError: The file cannot be read.
        OptionError: It is something else, or an estimator that is not fitted.
    """
    return ModelTeacher(*_model_of(given, "teacher"))


def _model_of(given: Any, option: str) -> tuple[Model, str, str]:
    """A model with its name in errors and its checksum."""
    if isinstance(given, str | os.PathLike):
        source = Path(os.path.expanduser(given))
        return store.load(source), str(source), store.checksum(source)
    model = getattr(given, "model_", given)
    if not isinstance(model, Model):
        state = "an estimator that is not fitted" if hasattr(given, "fit") else shortened(given)
        raise OptionError(f"{option} is {state}, expected a fitted model or the path of a .lamina file")
    return model, "the given model", store.checksum(model)


def keep_start(warm: WarmStart, run: Run) -> None:
    """Save a copy of the model in the folder of a run, so that it can be resumed."""
    store.save(warm.model, run.folder / START)


def kept_start(run: Run) -> WarmStart | None:
    """The model that a run started from, or None."""
    if (start := run.settings.get("start")) is None:
        return None
    return WarmStart(store.load(run.folder / START), str(start["model"]), str(start["checksum"]))


def keep_teacher(teacher: Teacher, run: Run) -> None:
    """Save a copy of a teacher that is a model in the folder of a run, so that it can be resumed."""
    if isinstance(teacher, ModelTeacher):
        store.save(teacher.model, run.folder / TEACHER)


def kept_teacher(run: Run) -> Teacher | None:
    """The teacher of a run, or None."""
    if (content := run.settings.get("teacher")) is None:
        return None
    if (run.folder / TEACHER).exists():
        return ModelTeacher(store.load(run.folder / TEACHER), str(content["model"]), str(content["checksum"]))
    return StoredTeacher(content)
