"""Calls in a forked process (``multiprocessing`` with fork, ``gunicorn --preload``).

The threads of torch and polars do not exist in a forked child, and a call that waits for them would wait for ever. So there a
method of an estimator uses one thread of torch, and runs on a thread of polars' streaming engine, where polars computes without
its pool. Where the parent has used that engine already, its threads are missing too: then the method runs on a plain thread,
which is enough for numbers and categories, and ends with an error where it waits for the pool.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from lamina.errors import ForkError

ENTRY_SECONDS = 3.0  # for the engine's threads to start
IDLE_SECONDS = 10.0  # without any computation: the call waits for threads that do not exist
forked = False
_engine = True  # whether the streaming engine can be used in this child
_thread = threading.local()


def _after_fork() -> None:
    global forked, _engine
    forked, _engine = True, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def answer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a call in a forked process.

    Raises:
        ForkError: It needs threads that a forked process does not have.
    """
    global _engine
    if getattr(_thread, "inside", False):
        return function(*args, **kwargs)
    import torch

    torch.set_num_threads(1)
    entered, done, result, failure = threading.Event(), threading.Event(), [], []
    lock, taken = threading.Lock(), []

    def work(frame: Any = None) -> Any:
        with lock:
            if taken:  # the engine came too late
                return frame
            taken.append(True)
        entered.set()
        _thread.inside = True
        torch.set_num_threads(1)
        try:
            result.append(function(*args, **kwargs))
        except BaseException as error:
            failure.append(error)
        finally:
            _thread.inside = False
            done.set()
        return frame

    def on_engine() -> None:
        import polars as pl

        list(pl.LazyFrame({"": [0]}).map_batches(work, streamable=True).collect_batches())

    if _engine:
        threading.Thread(target=on_engine, daemon=True).start()
        _engine = entered.wait(ENTRY_SECONDS)
    if not _engine:
        threading.Thread(target=work, daemon=True).start()
    computed, since = time.process_time(), time.monotonic()
    while not done.wait(0.5):
        if time.process_time() - computed > 0.05:
            computed, since = time.process_time(), time.monotonic()
        elif time.monotonic() - since > IDLE_SECONDS:
            raise ForkError(
                f"{function.__name__} waits for threads of polars, which a forked process does not have; start processes with "
                "multiprocessing.get_context('spawn') or joblib's default, or load the model after the fork (gunicorn without "
                "--preload)"
            )
    if failure:
        raise failure[0]
    return result[0]
