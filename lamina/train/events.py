"""Events of a fit, comparison or tuning as frozen dataclasses, and the reasons why training stopped.

A monitor receives every event but ``Result``; callbacks receive ``Start``, ``Step``, ``Epoch`` and ``End``. A run writes
``Start``, ``Epoch``, ``End``, ``Compare``, ``Result``, ``Tune`` and ``Trial`` to ``events.jsonl``, one JSON line each.
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
    """Why training stopped. The sentences of earlier versions' files are read as the corresponding ids.

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


_EVENTS: dict[str, type[Event]] = {}  # by their names in JSON


def _transient() -> Any:
    """A field that is not written to JSON."""
    return field(default=None, repr=False, compare=False, metadata={"transient": True})


def _spread(prefix: str) -> Any:
    """A mapping whose items are top-level keys in JSON, with a prefix."""
    return field(default_factory=dict, metadata={"prefix": prefix})


def _read(read: Callable[[Any], Any], **default: Any) -> Any:
    """A field with a function that reads it from JSON."""
    return field(metadata={"read": read}, **default)


@dataclass(frozen=True)
class Event:
    """Base of the events.

    Attributes:
        kind: The name of the event in JSON: that of the class, unless it is given.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str = "") -> None:
        cls.kind = kind or cls.__name__.lower()
        _EVENTS[cls.kind] = cls

    def values(self) -> dict[str, Any]:
        """The fields as JSON, without the name of the event."""
        values: dict[str, Any] = {}
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if "prefix" in item.metadata:
                values |= {item.metadata["prefix"] + name: score for name, score in value.items()}
            elif "transient" not in item.metadata:
                values[item.name] = value.to_json() if isinstance(value, Recipe) else value
        return values

    def to_json(self) -> dict[str, Any]:
        """The event as JSON; :func:`from_json` reads it."""
        return {"event": self.kind, **self.values()}


@dataclass(frozen=True)
class Start(Event):
    """Before training, when the data are prepared."""

    rows: int  # training rows
    validation_rows: int
    family: str
    recipe: Recipe = _read(Recipe.from_json)  # how a network will be trained
    notes: tuple[str, ...] = _read(tuple, default=())  # about the data
    edited: bool = False  # whether edit= may change the network between epochs
    schema: Schema | None = _transient()
    task: Task | None = _transient()
    split: Any = _transient()  # training and validation rows
    net: Net | None = _transient()  # None for a classical family


@dataclass(frozen=True)
class Step(Event):
    """After a training step: after each one where a callback has ``on_step``, else every 0.05 seconds."""

    epoch: int  # from 0
    step: int  # in its epoch, from 1
    steps: int  # in an epoch
    learning_rate: float = 0.0  # of this step
    mean: Tensor | None = _transient()

    @property
    def loss(self) -> float:
        """Mean loss since the previous step event. Reading it synchronises with the device."""
        return float("nan") if self.mean is None else self.mean.item()  # sync


@dataclass(frozen=True)
class Epoch(Event):
    """After an epoch and its validation."""

    epoch: int  # from 0
    train_loss: float | None  # mean over the training rows; None if the epoch ended early
    learning_rate: float  # of the last step
    steps: int  # in the epoch
    train_seconds: float  # of its steps
    seconds: float  # training time so far, including the time before a resume
    best: bool  # whether its validation loss (or metric) is the best so far
    scores: Mapping[str, float] = _spread("validation_")  # on the validation rows: loss and, for classes, accuracy
    net: Net | None = _transient()  # with the validated weights; do not change it


@dataclass(frozen=True)
class Fit(Event):
    """Progress of a fit without validation rows, as of a classical family, from 0 to 1."""

    done: float


@dataclass(frozen=True)
class End(Event):
    """The model is finished, or an error ended the fit."""

    reason: StopReason = _read(StopReason)  # why training stopped
    stopped_by: str = ""  # class name of the callback that stopped it
    epochs: int = 0
    best_epoch: int = -1  # whose weights are kept; -1 for a classical family
    seconds: float = 0.0  # training time
    model: str | None = _transient()  # path of the saved model; None without a run; not in JSON, as a run can be moved
    scores: Mapping[str, float] = _spread("validation_")  # on the validation rows
    error: str = ""  # message of the error that ended the fit


@dataclass(frozen=True)
class Compare(Event):
    """Before the candidates of a comparison are fitted."""

    candidates: Mapping[str, Any]  # the families as JSON, by their names on the board
    folds: int
    split: str  # how rows are split into folds
    rows: int  # with a target
    leaks: tuple[str, ...] = _read(tuple, default=())  # a sentence each
    notes: tuple[str, ...] = _read(tuple, default=())


@dataclass(frozen=True)
class Result(Event):
    """The result of a candidate on a fold."""

    name: str  # on the board
    fold: int  # from 0
    failed: str | None = None  # the error, or None if there are scores
    limits: Mapping[str, Any] | None = None  # of time and memory, of a failed candidate
    measured: Mapping[str, Any] = _spread("")  # scores and costs; top-level keys in JSON


@dataclass(frozen=True)
class Job(Event):
    """A candidate has been fitted and scored on a fold, or was skipped: the progress of a comparison."""

    done: int  # finished jobs
    jobs: int  # all jobs
    name: str  # of the candidate on the board
    fold: int  # from 0
    failed: str | None = None  # the error, or None if there are scores


@dataclass(frozen=True)
class Candidate(Event):
    """A candidate of ``family="auto"``, or a family of an ensemble on a fold, is about to be fitted."""

    name: str  # of the family
    rows: int  # training rows
    done: int  # fits of this round that are finished
    fits: int  # fits of this round
    leader: str = ""  # the candidate with the lowest validation loss so far
    fold: int | None = None  # from 0
    recipe: Recipe | None = _transient()  # how a network will be trained


@dataclass(frozen=True)
class Refit(Event):
    """The recommended candidate, by its name on the board, is fitted to all rows."""

    name: str


@dataclass(frozen=True)
class Tune(Event):
    """Before the first trial of a tuning, or of its continuation."""

    trials: int  # in all
    space: Mapping[str, Any]  # the tuned options and their ranges, as a person gives them
    rows: int  # with a target
    split: str  # how the rows of the trials are split
    test_rows: int  # that no trial sees
    metric: str  # of the scores
    time_limit: float | None = None  # of the call, in seconds
    notes: tuple[str, ...] = _read(tuple, default=())


@dataclass(frozen=True)
class Trial(Event):
    """A trial of a tuning runs, before each fold, or ended: "complete", "pruned" or "failed"."""

    number: int  # of those that ended, from 0
    trials: int  # in all
    state: str
    params: Mapping[str, Any] = field(default_factory=dict)  # the values of the tuned options
    score: float | None = None  # mean over its folds, in the metric's units
    best: float | None = None  # the best score so far
    seconds: float = 0.0
    failed: str = ""  # the error
    done: float = 0.0  # the share of its folds while it runs


@dataclass(frozen=True)
class Shuffle(Event, kind="importance"):
    """A column was shuffled for its importance; ``done`` is the progress from 0 to 1."""

    column: str
    done: float


Monitor = Callable[[Event], None]
_EVENTS |= {"done": End, "stopped": End}  # names of earlier versions


def from_json(content: Mapping[str, Any]) -> Event:
    """Read an event.

    Raises:
        RunError: The event is unknown or incomplete.

    Example:
        >>> event = Refit("forest")
        >>> from_json(event.to_json()) == event
        True
    """
    content = dict(content)
    name = content.pop("event", None)
    if not isinstance(name, str):
        raise TypeError("it has no name")
    kind = _EVENTS.get(name)
    if kind is None:
        raise RunError(f"a run holds the event {name!r}, which this lamina does not know; upgrade: pip install -U lamina")
    items = dataclasses.fields(kind)
    own = {item.name for item in items}
    values: dict[str, Any] = {}
    for item in items:
        if "prefix" in item.metadata:
            prefix = item.metadata["prefix"]
            spread = {key: value for key, value in content.items() if key not in own and key.startswith(prefix)}
            values[item.name] = {key.removeprefix(prefix): value for key, value in spread.items()}
        elif item.name in content:
            value = content[item.name]
            values[item.name] = item.metadata["read"](value) if "read" in item.metadata else value
    try:
        return kind(**values)
    except TypeError as error:
        raise RunError(f"a run holds an event {kind.kind!r} that cannot be read: {error}") from error
