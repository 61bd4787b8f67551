"""Calls in a forked process (``multiprocessing`` with fork, ``gunicorn --preload``).

The threads of polars and torch do not exist in a forked child, and a lock may be held there by a thread that does not exist: a
call that waits for one would wait for ever. So public functions and methods are computed for the child by a *worker*: a new
process, which starts with the child's first call, has one thread, and ends with the child. Arguments, results, errors and
warnings are pickled; a model is sent once, as the content of its file, and kept by the worker while the child uses it.
"""

from __future__ import annotations

import importlib
import io
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from typing import Any, ClassVar

from lamina.errors import ForkError

_START = (
    "import pickle, sys; from multiprocessing.connection import Connection; pipe = Connection(int(sys.argv[1])); "
    "sys.path[:] = pickle.loads(pipe.recv_bytes()); from lamina.forked import serve; serve(pipe)"
)
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
_REMEDY = "start processes with multiprocessing.get_context('spawn'), or load the model after the fork"
forked = False
_worker: _Worker | None = None
_lock = threading.Lock()


class Stored:
    """A model that is not loaded: the content of its file, and its own metric, which is in no file."""

    def __init__(self, content: bytes, metric: Any = None) -> None:
        self.content = content
        self.metric = metric


class Shared:
    """Base class of objects with a model, which is in the attribute ``model_``, or ``_stored`` until it is loaded."""

    #: To and from the model of ``model_``.
    store: ClassVar[Callable[[Any], Stored]]
    load: ClassVar[Callable[[Stored], Any]]


def answer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a call in a forked process.

    Raises:
        ForkError: An argument cannot be sent to the worker, or the worker cannot run.
    """
    global _worker
    with _lock:
        try:
            _worker = _worker or _Worker()
            result, error, warned = _worker.call(function, args, kwargs)
        except BaseException:  # an answer may be on its way
            if _worker is not None:
                _worker.end()
            _worker = None
            raise
    for message, category in warned:
        warnings.warn(message, category, stacklevel=3)
    if error is not None:
        raise error
    return result


def refuse(name: str) -> None:
    """Raise ForkError in a forked process, for what keeps its state in this process."""
    if forked:
        raise ForkError(f"{name} does not work in a forked process, where the threads of polars do not exist; {_REMEDY}")


def _after_fork() -> None:
    global forked, _worker, _lock
    forked, _lock = True, threading.Lock()
    if _worker is not None:  # of the parent, which is a forked process itself
        _worker.pipe.close()
        _worker.process.returncode = 0  # not waited for here
        _worker = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Worker:
    """The worker of this process."""

    def __init__(self) -> None:
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)  # for the tensors of models that are sent
        self.sent: dict[int, weakref.ref] = {}
        self.numbers = itertools.count()
        self.pipe, other = Pipe()
        command = [spawn.get_executable(), "-c", _START, str(other.fileno())]
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
        try:
            self.process = subprocess.Popen(command, env=environment, pass_fds=[other.fileno()])
        except OSError as error:
            raise ForkError(f"a forked process computes in a new one, which cannot start: {error}; {_REMEDY}") from error
        finally:
            other.close()
        self.pipe.send_bytes(pickle.dumps(sys.path))

    def call(self, function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """The result, the error or None, and the warnings of a call."""
        owner = args[0] if args and isinstance(args[0], Shared) and "." in function.__qualname__ else None
        whole, metric = owner is None or function.__name__ == "fit", function.__name__ in ("fit", "evaluate")
        self.sent = {number: reference for number, reference in self.sent.items() if reference() is not None}
        head = (function.__module__, function.__qualname__, os.getcwd(), set(self.sent))
        try:
            content = _dumps((args, kwargs), self._number, whole=whole, metric=metric)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise _unsendable(function.__qualname__, error) from error
        try:
            self.pipe.send_bytes(pickle.dumps(head))
            self.pipe.send_bytes(content)
            reply = self.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise ForkError(f"the process that computes for this forked one has ended; {_REMEDY}") from error
        (changed, result), error, warned = _loads(reply, self._model)
        if owner is not None and changed is not None:
            for name in ("model_", "_stored"):
                vars(owner).pop(name, None)
            vars(owner).update(vars(changed))
            result = owner if result is changed else result
        return result, error, warned

    def end(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.wait()

    def _number(self, model: Any) -> tuple[int, bool]:
        for number, reference in self.sent.items():
            if reference() is model:
                return number, False
        self.sent[number := next(self.numbers)] = weakref.ref(model)
        return number, True

    def _model(self, number: int, content: bytes | None) -> Any:
        if content is None:
            return self.sent[number]()
        self.sent[number] = weakref.ref(model := Stored(content))
        return model


def serve(pipe: Connection) -> None:
    """Answer the calls of a forked process until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    models: dict[int, Any] = {}
    new = itertools.count(-1, -1)

    def number(model: Any) -> tuple[int, bool]:
        for number, known in models.items():
            if known is model:
                return number, False
        models[number := next(new)] = model
        return number, True

    def model(number: int, content: bytes | None) -> Any:
        if content is not None:
            models[number] = Shared.load(Stored(content))
        return models[number]

    while True:
        try:
            module, name, folder, live = pickle.loads(pipe.recv_bytes())
            content = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        for number_ in models.keys() - live:
            del models[number_]
        changed = result = failure = None
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                os.chdir(folder)
                function: Any = importlib.import_module(module)
                for part in name.split("."):
                    function = getattr(function, part)
                try:
                    args, kwargs = _loads(content, model)
                except (AttributeError, ImportError, pickle.UnpicklingError) as error:
                    raise _unsendable(name, error) from error
                result = function(*args, **kwargs)
                changed = args[0] if args and isinstance(args[0], Shared) else None
            except Exception as error:  # of the call: the forked process raises it
                failure = error
        sentences = [(str(warning.message), warning.category) for warning in warned]
        try:
            reply = _dumps(((changed, result), failure, sentences), number, whole=True, metric=True)
            pickle.loads(pickle.dumps(failure))
        except Exception as error:  # a result or an error that cannot be pickled, which any class may raise
            failure = ForkError(f"{name} in the process of a forked one: {failure or error}")
            reply = _dumps(((None, None), failure, []), number, whole=True, metric=True)
        try:
            pipe.send_bytes(reply)
        except OSError:  # the forked process has ended
            return


class _Reference:
    def __init__(self, model: Any) -> None:
        self.model = model


class _Pickler(pickle.Pickler):
    """Writes models by number, with the content of their file for the first time."""

    def __init__(self, file: io.BytesIO, number: Callable[[Any], tuple[int, bool]], whole: bool, metric: bool) -> None:
        super().__init__(file)
        self.number, self.whole, self.metric = number, whole, metric

    def persistent_id(self, obj: Any) -> tuple[int, bytes | None] | None:
        if not isinstance(obj, _Reference):
            return None
        number, new = self.number(obj.model)
        stored = None if not new else obj.model if isinstance(obj.model, Stored) else Shared.store(obj.model)
        return number, stored and stored.content

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, Shared):
            return NotImplemented
        state = {name: value for name, value in vars(obj).items() if self.whole or name.endswith("_")}
        model = state.pop("model_", None) or vars(obj).get("_stored")
        state.pop("_stored", None)
        reference = None if model is None else _Reference(model)
        return _rebuilt, (type(obj), state, reference, model.metric if model is not None and self.metric else None)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, model: Callable[[int, bytes | None], Any]) -> None:
        super().__init__(file)
        self.model = model

    def persistent_load(self, pid: Any) -> Any:
        return self.model(*pid)


def _unsendable(name: str, error: Exception) -> ForkError:
    return ForkError(f"{name} cannot be computed in another process after a fork: {error}; {_REMEDY}")


def _dumps(value: Any, number: Callable[[Any], tuple[int, bool]], *, whole: bool, metric: bool) -> bytes:
    file = io.BytesIO()
    _Pickler(file, number, whole, metric).dump(value)
    return file.getvalue()


def _loads(data: bytes, model: Callable[[int, bytes | None], Any]) -> Any:
    return _Unpickler(io.BytesIO(data), model).load()


def _rebuilt(kind: type, state: dict[str, Any], model: Any, metric: Any) -> Any:
    rebuilt: Any = object.__new__(kind)
    vars(rebuilt).update(state)
    if model is not None:
        model.metric = metric or model.metric
        vars(rebuilt)["_stored" if isinstance(model, Stored) else "model_"] = model
    return rebuilt
