"""Events: what happens in a fit or a comparison, as frozen dataclasses, and why training stopped.

A monitor and callbacks receive them, a run keeps those of :data:`KEPT` in ``events.jsonl``, one line of JSON each.

=============  ======================================================  ==============================
event          when                                                    who receives it
=============  ======================================================  ==============================
``Start``      the data are prepared, nothing is trained yet           run, monitor, ``on_start``
``Step``       after a training step                                   monitor, ``on_step``
``Epoch``      after an epoch and its validation                       run, monitor, ``on_epoch``
``Fit``        now and then while a classical family is fitted         monitor
``End``        there is a model, or an error                           run, monitor, ``on_end``
``Compare``    once, before the candidates of a comparison are fitted  run, monitor
``Result``     a candidate has been fitted and scored on a fold        run
``Job``        the same, with how much is left to do                   monitor
``Refit``      the candidate to take is fitted to all rows             monitor
``Shuffle``    a column was shuffled for its importance                monitor
=============  ======================================================  ==============================
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from lamina.errors import RunError
from lamina.train.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from lamina.data.schema import Schema
    from lamina.graph.net import Net
    from lamina.tasks.task import Task


class StopReason(StrEnum):
    """Why training stopped: an id; the sentences are where they are printed.

    The sentences that runs and model files of earlier versions hold are read as the ids that they stand for.

    Example:
        >>> StopReason("no better for a while") is StopReason.PATIENCE
        True
    """

    EPOCHS = "epochs"
    PATIENCE = "patience"
    TIME_LIMIT = "time_limit"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    CALLBACK = "callback"
    FITTED = "fitted"
    FAILED = "failed"

    @classmethod
    def _missing_(cls, value: object) -> StopReason | None:
        earlier = {"all epochs done": cls.EPOCHS, "no better for a while": cls.PATIENCE, "time limit": cls.TIME_LIMIT}
        return earlier.get(value) if isinstance(value, str) else None


def _live() -> Any:
    """A field for who listens in the same process: it is not written to JSON."""
    return field(default=None, repr=False, compare=False, metadata={"live": True})


def _spread(prefix: str) -> Any:
    """A field whose items stand beside the other fields in JSON, with a prefix."""
    return field(default_factory=dict, metadata={"prefix": prefix})


def _read(read: Callable[[Any], Any], **default: Any) -> Any:
    """A field that JSON holds in another form."""
    return field(metadata={"read": read}, **default)


@dataclass(frozen=True)
class Event:
    """Base of the events.

    Attributes:
        kind: The name of the event in JSON.
    """

    kind: ClassVar[str]

    def values(self) -> dict[str, Any]:
        """The fields as JSON, without the name of the event."""
        values: dict[str, Any] = {}
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if "prefix" in one.metadata:
                values |= {one.metadata["prefix"] + name: item for name, item in value.items()}
            elif "live" not in one.metadata:
                values[one.name] = value.to_json() if isinstance(value, Recipe) else value
        return values

    def to_json(self) -> dict[str, Any]:
        """The event as JSON; :func:`from_json` reads it."""
        return {"event": self.kind, **self.values()}


@dataclass(frozen=True)
class Start(Event):
    """The data are prepared, nothing is trained yet.

    Attributes:
        rows: Training rows.
        validation_rows: Validation rows.
        family: Name of the family.
        recipe: How a network will be trained.
        notes: What a person should know about the data.
        edited: Whether ``edit=`` may change the network between epochs.
        schema: The columns.
        task: What is predicted.
        split: Which rows train and which validate.
        net: The network; None for a classical family.
    """

    kind: ClassVar[str] = "start"
    rows: int
    validation_rows: int
    family: str
    recipe: Recipe = _read(Recipe.from_json)
    notes: tuple[str, ...] = _read(tuple, default=())
    edited: bool = False
    schema: Schema | None = _live()
    task: Task | None = _live()
    split: Any = _live()
    net: Net | None = _live()


@dataclass(frozen=True)
class Step(Event):
    """After a training step: after each one where a callback has ``on_step``, else every 0.05 seconds.

    Attributes:
        epoch: Number of the epoch, from 0 on.
        step: Number of the step in its epoch, from 1 on.
        steps: Steps in an epoch.
        learning_rate: Of this step.
    """

    kind: ClassVar[str] = "step"
    epoch: int
    step: int
    steps: int
    learning_rate: float = 0.0
    mean: Tensor | None = _live()

    @property
    def loss(self) -> float:
        """Mean loss since the step event before this one. Reading it waits for the device; not reading it costs nothing."""
        return float("nan") if self.mean is None else self.mean.item()  # sync


@dataclass(frozen=True)
class Epoch(Event):
    """After an epoch and its validation.

    Attributes:
        epoch: Number of the epoch, from 0 on.
        train_loss: Mean loss over the training rows; None when the epoch was stopped between two steps.
        learning_rate: Of the last step.
        steps: Steps in the epoch.
        train_seconds: Time of its steps.
        seconds: Time of training so far, before a resumed run was interrupted included.
        best: Whether its validation loss is the lowest so far.
        scores: On the validation rows: ``loss`` and, for classes, ``accuracy``; in JSON each with ``validation_`` before it.
        net: The network with the weights that were validated; to be read, not changed.
    """

    kind: ClassVar[str] = "epoch"
    epoch: int
    train_loss: float | None
    learning_rate: float
    steps: int
    train_seconds: float
    seconds: float
    best: bool
    scores: Mapping[str, float] = _spread("validation_")
    net: Net | None = _live()


@dataclass(frozen=True)
class Fit(Event):
    """How much of the fit of a classical family is done, from 0 to 1."""

    kind: ClassVar[str] = "fit"
    done: float


@dataclass(frozen=True)
class End(Event):
    """There is a model, or an error ended the fit.

    Attributes:
        reason: Why training stopped.
        stopped_by: The class of the callback that stopped it, where one did.
        epochs: Epochs that were trained.
        best_epoch: The epoch whose weights were kept; -1 for a classical family.
        seconds: Time of training.
        model: Where the model was saved; None where no run keeps it. It is not written to JSON: a run can be moved.
        scores: On the validation rows, of the model that is kept; in JSON each with ``validation_`` before it.
        error: The message of the error that ended the fit.
    """

    kind: ClassVar[str] = "end"
    reason: StopReason = _read(StopReason)
    stopped_by: str = ""
    epochs: int = 0
    best_epoch: int = -1
    seconds: float = 0.0
    model: str | None = _live()
    scores: Mapping[str, float] = _spread("validation_")
    error: str = ""


@dataclass(frozen=True)
class Compare(Event):
    """Once, before the candidates of a comparison are fitted.

    Attributes:
        candidates: The families as JSON, by their names on the board.
        folds: How many folds there are.
        split: How rows were divided into folds.
        rows: Rows whose target is known.
        leaks: Leaks that were found, a sentence each.
        notes: What a person should know about the data.
    """

    kind: ClassVar[str] = "compare"
    candidates: Mapping[str, Any]
    folds: int
    split: str
    rows: int
    leaks: tuple[str, ...] = _read(tuple, default=())
    notes: tuple[str, ...] = _read(tuple, default=())


@dataclass(frozen=True)
class Result(Event):
    """What came of a candidate on a fold.

    Attributes:
        name: The candidate's name on the board.
        fold: Number of the fold, from 0 on.
        failed: Why there are no scores; None where there are.
        limits: Where it failed, the limits of time and memory that it had.
        measured: Scores and costs; in JSON they stand beside the rest.
    """

    kind: ClassVar[str] = "result"
    name: str
    fold: int
    failed: str | None = None
    limits: Mapping[str, Any] | None = None
    measured: Mapping[str, Any] = _spread("")


@dataclass(frozen=True)
class Job(Event):
    """A candidate has been fitted and scored on a fold, or was passed over.

    Attributes:
        done: Jobs that are done.
        jobs: Jobs in all.
        name: The candidate's name on the board.
        fold: Number of the fold, from 0 on.
        failed: Why there are no scores; None where there are.
    """

    kind: ClassVar[str] = "job"
    done: int
    jobs: int
    name: str
    fold: int
    failed: str | None = None


@dataclass(frozen=True)
class Refit(Event):
    """The candidate to take, by its name on the board, is fitted to all rows."""

    kind: ClassVar[str] = "refit"
    name: str


@dataclass(frozen=True)
class Shuffle(Event):
    """A column was shuffled for its importance; ``done`` is the share of the work, from 0 to 1."""

    kind: ClassVar[str] = "importance"
    column: str
    done: float


Monitor = Callable[[Event], None]
KEPT = (Start, Epoch, End, Compare, Result)
"""The events that a run keeps."""
_KINDS: dict[str, type[Event]] = {
    **{one.kind: one for one in (*KEPT, Step, Fit, Job, Refit, Shuffle)},
    **{"done": End, "stopped": End},  # as runs of earlier versions name it
}


def from_json(content: Mapping[str, Any]) -> Event:
    """Read an event.

    Raises:
        RunError: It is unknown or incomplete.

    Example:
        >>> event = Refit("forest")
        >>> from_json(event.to_json()) == event
        True
    """
    content = dict(content)
    name = content.pop("event", None)
    if not isinstance(name, str):
        raise TypeError("it has no name")
    kind = _KINDS.get(name)
    if kind is None:
        raise RunError(f"a run holds the event {name!r}, which this lamina does not know; upgrade: pip install -U lamina")
    fields = {one.name: one for one in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    for name, value in content.items():
        one = fields.get(name)
        if one is not None:
            values[name] = one.metadata["read"](value) if "read" in one.metadata else value
            continue
        for spread in fields.values():
            if "prefix" in spread.metadata and name.startswith(spread.metadata["prefix"]):
                values.setdefault(spread.name, {})[name.removeprefix(spread.metadata["prefix"])] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise RunError(f"a run holds an event {kind.kind!r} that cannot be read: {error}") from error
