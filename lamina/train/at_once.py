"""Fits at once, in threads of one process, where they meet to be trained together, and Ctrl-C, which stops all of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from lamina.train.threads import keep_threads

T = TypeVar("T")
A = TypeVar("A")


class _Own(threading.local):
    stop: threading.Event | None = None  # of the main thread, in a thread of `at_once`
    meeting: _Meeting | None = None
    place = 0  # of the call


_own = _Own()


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """The first Ctrl-C sets the event, so that training stops after the step; a second one raises KeyboardInterrupt."""
    if _own.stop is not None:
        yield _own.stop
        return
    stop = threading.Event()

    def on_signal(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield stop
        return
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)


def at_once(calls: Sequence[Callable[[], T]], threads: int) -> list[T]:
    """The results of calls, each in a thread of its own, which computes with so many of torch's threads.

    The steps of a small network leave a second core idle: two fits at once take 0.6 to 0.8 of the time of one after another.
    One Ctrl-C stops the training in all of them; an error in one, too.

    Example:
        >>> at_once([lambda: 1 + 1, lambda: torch.get_num_threads()], threads=1)
        [2, 1]
    """
    before, meeting = torch.get_num_threads(), _Meeting(len(calls))

    def run(place: int, call: Callable[[], T]) -> T:
        _own.stop, _own.meeting, _own.place = stop, meeting, place
        keep_threads(threads)
        try:
            return call()
        except BaseException:
            stop.set()
            raise
        finally:
            meeting.leave()

    try:
        with interruptible() as stop, ThreadPoolExecutor(len(calls)) as pool:
            futures = [pool.submit(run, place, call) for place, call in enumerate(calls)]
            outer, _own.stop = _own.stop, stop
            try:
                meeting.lead()
                return [future.result() for future in futures]
            except BaseException:
                stop.set()
                raise
            finally:
                _own.stop = outer
                meeting.close()
    finally:
        torch.set_num_threads(before)  # a part of it is the same in all threads


def together(function: Callable[[list[A]], Sequence[T | Exception | None]], item: A) -> T | None:
    """The result for an item of one call of the function with the items of all threads of :func:`at_once`.

    The function is called in the thread of :func:`at_once`, when every call has come here or has ended.

    Returns:
        What the function returns for the item; None outside of :func:`at_once`, or if no other call has an item.

    Raises:
        Exception: What the function returns for the item is an error.

    Example:
        >>> def shares(items):
        ...     return [item / sum(items) for item in items]
        >>> at_once([lambda: together(shares, 1), lambda: together(shares, 3)], threads=1)
        [0.25, 0.75]
    """
    return None if _own.meeting is None else _own.meeting.bring(_own.place, function, item)


@dataclass(eq=False)
class _Item:
    place: int
    function: Callable[[list[Any]], Sequence[Any]]
    value: Any
    result: Any = None
    done: bool = False


class _Meeting:
    """Where the threads of :func:`at_once` wait for each other."""

    def __init__(self, members: int) -> None:
        self._members, self._waiting, self._closed = members, [], False
        self._changed = threading.Condition()

    def bring(self, place: int, function: Callable[[list[Any]], Sequence[Any]], value: Any) -> Any:
        item = _Item(place, function, value)
        with self._changed:
            if not self._closed:
                self._waiting.append(item)
                self._changed.notify_all()
                self._changed.wait_for(lambda: item.done or self._closed)
        if isinstance(item.result, Exception):
            raise item.result
        return item.result

    def leave(self) -> None:
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def lead(self) -> None:
        """Call the functions until all threads have ended."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) == self._members)
                if not self._members:
                    return
                items, self._waiting = sorted(self._waiting, key=lambda item: item.place), []
            for function in {item.function: None for item in items}:
                group = [item for item in items if item.function is function]
                if len(group) > 1:
                    for item, result in zip(group, function([item.value for item in group]), strict=True):
                        item.result = result
            with self._changed:
                for item in items:
                    item.done = True
                self._changed.notify_all()

    def close(self) -> None:
        """Let all threads go on, each alone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
