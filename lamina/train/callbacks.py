"""Callbacks: user code at four points of a fit. Public as :mod:`lamina.callbacks`."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np

from lamina.errors import OptionError
from lamina.train.events import End, Epoch, Event, Monitor, Start, Step, StopReason


class Callback:
    """Base class of callbacks: override methods and pass instances as ``callbacks=[...]``.

    Training stops when ``on_step`` or ``on_epoch`` returns True: the best weights so far are kept and the model card names the
    callback. An exception from a callback ends the fit; the run folder keeps its files.

    Classical families (forest, boosting, ...) have no epochs and call ``on_start`` and ``on_end`` only.

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
        """Before training, when the data are prepared."""

    def on_step(self, event: Step) -> bool | None:
        """After each training step; true stops training.

        Called every 50 µs or so for small networks; without an override it costs nothing. Reading ``event.loss`` synchronises
        with the device.
        """

    def on_epoch(self, event: Epoch) -> bool | None:
        """After each epoch, its validation and its checkpoint; true stops training.

        Not called for an epoch that ended early (time limit, Ctrl-C, ``on_step``).
        """

    def on_end(self, event: End) -> None:
        """After training, when the model is saved (with ``run=``); after an error the reason is ``FAILED``.

        Called once for each callback whose ``on_start`` was called.
        """


_METHODS: dict[type[Event], str] = {Start: "on_start", Step: "on_step", Epoch: "on_epoch", End: "on_end"}
_STOPPING = ("on_step", "on_epoch")


class Hooks:
    """The monitor and the callbacks of one fit, called in this order.

    A context manager: on an error it calls ``on_end`` of callbacks that have started.

    Raises:
        OptionError: ``callbacks`` is not a list of callbacks.
    """

    def __init__(self, callbacks: Sequence[Callback] | None = (), monitor: Monitor | None = None) -> None:
        self.callbacks, self.monitor = _checked(callbacks), monitor
        self.every_step = any(_overrides(callback, "on_step") for callback in self.callbacks)
        self.stopped_by = ""  # class name of the callback that stopped training
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
            except Exception as second:  # the first error is raised, with a note
                error.add_note(f"then {type(callback).__name__}.on_end failed as well: {second}")

    def emit(self, event: Event) -> None:
        """Pass an event to the monitor and the callbacks.

        Raises:
            OptionError: A callback returned an invalid value.
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
        """Notes about overridden methods that a family without epochs does not call."""
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


def _stops(callback: Callback, method: str, returned: Any) -> bool:
    """Whether a method's return value stops training."""
    if returned is None:
        return False
    if method in _STOPPING and isinstance(returned, bool | np.bool_):
        return bool(returned)
    only = "None; only on_step and on_epoch can stop training"
    expected = "True to stop training, else False or None" if method in _STOPPING else only
    raise OptionError(f"{type(callback).__name__}.{method} returned {returned!r}, expected {expected}")
