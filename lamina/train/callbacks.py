"""Callbacks: a person's own code at four points of a fit, able to stop training. Public as :mod:`lamina.callbacks`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from lamina.errors import OptionError
from lamina.train.events import End, Epoch, Event, Monitor, Start, Step, StopReason


class Callback:
    """Base class of callbacks: override what is needed and give instances to ``callbacks=[...]``.

    Training stops when ``on_step`` or ``on_epoch`` returns True: the best weights so far are kept and the model card says which
    callback stopped it. An exception from a callback ends the fit with that exception; what the run folder holds stays.

    A classical family (forest, boosting, ...) is not trained in epochs: it calls ``on_start`` and ``on_end`` only.

    Example:
        >>> import lamina
        >>> class GoodEnough(lamina.callbacks.Callback):
        ...     def on_epoch(self, event):
        ...         return event.scores["loss"] < 0.5
        >>> rows = {"x": [i / 100 for i in range(300)], "y": [i / 50 + 1 for i in range(300)]}
        >>> model = lamina.fit(rows, "y", seed=0, callbacks=[GoodEnough()])
        >>> print(model.model_.card["stopped"], model.model_.card["stopped_by"])
        callback GoodEnough
    """

    def on_start(self, event: Start) -> None:
        """The data are prepared, nothing is trained yet."""

    def on_step(self, event: Step) -> bool | None:
        """After each training step; true stops training.

        Steps of small networks take some 50 µs, so this is called often; where no callback overrides it, a step costs nothing
        more. ``event.loss`` waits for the device when it is read, and only then.
        """

    def on_epoch(self, event: Epoch) -> bool | None:
        """After each epoch, its validation and its checkpoint; true stops training.

        An epoch that was ended between two steps (a time limit, Ctrl-C, ``on_step``) is not reported.
        """

    def on_end(self, event: End) -> None:
        """The model is finished and, with ``run=``, saved; or an error ended the fit, then the reason is ``FAILED``.

        It is called once for each callback whose ``on_start`` was called.
        """


_METHODS: dict[type[Event], str] = {Start: "on_start", Step: "on_step", Epoch: "on_epoch", End: "on_end"}
_STOPPING = ("on_step", "on_epoch")


class Hooks:
    """The callbacks and the monitor of one fit.

    A context: when an error leaves it, callbacks that have begun hear of the end.

    Args:
        callbacks: Called in their order, after the monitor.
        monitor: Called with every event.

    Attributes:
        every_step: Whether a callback overrides ``on_step``.
        stopped_by: The class of the callback that stopped training; empty while none did.

    Raises:
        OptionError: The callbacks are no list of callbacks.
    """

    def __init__(self, callbacks: Sequence[Callback] | None = (), monitor: Monitor | None = None) -> None:
        self.callbacks, self.monitor = _checked(callbacks), monitor
        self.every_step = any(_overrides(callback, "on_step") for callback in self.callbacks)
        self.stopped_by = ""
        self._open: list[Callback] = []

    def __bool__(self) -> bool:
        return self.monitor is not None or bool(self.callbacks)

    def __enter__(self) -> Hooks:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            return
        event = End(StopReason.FAILED, error=str(error) or type(error).__name__)
        while self._open:
            callback = self._open.pop(0)
            try:
                callback.on_end(event)
            except Exception as second:
                error.add_note(f"then {type(callback).__name__}.on_end failed as well: {second}")

    def emit(self, event: Event) -> None:
        """Hand an event to the monitor and to the callbacks.

        Raises:
            OptionError: A callback returned what means nothing.
        """
        if self.monitor is not None:
            self.monitor(event)
        method = _METHODS.get(type(event))
        if method is None:
            return
        for callback in self.callbacks:
            if method == "on_start":
                self._open.append(callback)
            elif method == "on_end":
                self._open.remove(callback)
            if _stops(callback, method, getattr(callback, method)(event)):
                self.stopped_by = self.stopped_by or type(callback).__name__

    def never_called(self, family: str) -> list[str]:
        """Notes about methods that a family which is not trained in epochs does not call."""
        return [
            f"{family} is not trained in epochs: {type(callback).__name__}.{method} is never called"
            for callback in self.callbacks
            for method in _STOPPING
            if _overrides(callback, method)
        ]


def _checked(callbacks: Sequence[Callback] | None) -> list[Callback]:
    if callbacks is None:
        return []
    if not isinstance(callbacks, list | tuple):
        raise OptionError(f"callbacks is {callbacks!r}, expected a list of callbacks, such as callbacks=[MyCallback()]")
    for place, callback in enumerate(callbacks):
        if isinstance(callback, type) and issubclass(callback, Callback):
            raise OptionError(f"callbacks[{place}] is the class {callback.__name__}; give an instance: {callback.__name__}()")
        if not isinstance(callback, Callback):
            raise OptionError(f"callbacks[{place}] is {callback!r}, expected an instance of lamina.callbacks.Callback")
    return list(callbacks)


def _overrides(callback: Callback, method: str) -> bool:
    return getattr(type(callback), method) is not getattr(Callback, method) or method in vars(callback)


def _stops(callback: Callback, method: str, answer: Any) -> bool:
    """Whether a method's return value stops training."""
    if answer is None:
        return False
    if method in _STOPPING and isinstance(answer, bool | np.bool_):
        return bool(answer)
    only = "None; only on_step and on_epoch can stop training"
    expected = "True to stop training, else False or None" if method in _STOPPING else only
    raise OptionError(f"{type(callback).__name__}.{method} returned {answer!r}, expected {expected}")
