"""A run: the folder of one fit, comparison or tuning, from which it can be resumed.

::

    runs/adult-1/
      run.json                 the verb (fit, compare or tune) and its settings: data, target, options, seed
      events.jsonl             one line per event: start, epoch, compare, result, tune, trial, end
      data.arrow               a copy of in-memory data
      checkpoint.safetensors   the state of training after an epoch
      folds.npz, board.json    of a comparison: the rows of each fold, and the board
      journal.log, tuning.json                of tuning: the trials, and the result
      defaults.lamina, tuned.lamina           of tuning: the two models that the test rows score
      start.lamina                            of a warm start: the model that it starts from
      teacher.lamina, teacher.npz             of distillation: the teacher where it is a model, and its outputs
      parts/                   of several networks: events and checkpoint of each, until the model is finished
      model.lamina             the finished model, or the best so far after Ctrl-C

All files of a run are in its folder under these names, so a folder can be moved, and a run from others cannot write elsewhere.
Only the data may be outside, and they are only read.

Every file but ``events.jsonl`` is replaced atomically, see :func:`replacing`. Events are appended. A run begins when its
process creates ``run.json``, which only one process can. While a process writes, it holds a lock of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from lamina.errors import RunError
from lamina.train.events import Compare, End, Event, Start, StopReason, Tune, from_json

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
VERBS = ("fit", "compare", "tune")
DATA, BOARD, PARTS = "data.arrow", "board.json", "parts"
FILES = ("run.json", "events.jsonl", DATA, "checkpoint.safetensors", "folds.npz", BOARD, "model.lamina")
TUNING, JOURNAL, TESTED = "tuning.json", "journal.log", ("defaults.lamina", "tuned.lamina")
"""Of a tuning: the result, the trials, and the models that are scored on the test rows."""
START, TEACHER, TEACHER_OUTPUTS = "start.lamina", "teacher.lamina", "teacher.npz"
"""Of a fit: copies of the model that it starts from and of the teacher, and the outputs of the teacher."""
FILES = (*FILES, TUNING, JOURNAL, *TESTED, START, TEACHER, TEACHER_OUTPUTS)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yields a temporary path, which is flushed to disk and renamed, or removed on an error.

    A symbolic link stays, and its target is replaced. Devices and pipes raise OSError.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.umask(mask := os.umask(0))
        temporary.chmod(stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


_own: set[Path] = set()  # the folders and files ``run.json`` that this process created


def _make(folder: Path, *, exist_ok: bool = False) -> None:
    """Create a folder, and remember it and the parents that were created with it."""
    missing = [path for path in (folder.absolute(), *folder.absolute().parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=exist_ok)
    _own.update(missing)


def _unwritable(folder: Path, error: OSError) -> RunError:
    return RunError(f"cannot write the run folder {folder}: {error.strerror or error}; choose another with --run")


def _is_temporary(path: Path) -> bool:
    """Whether it is a file that :func:`replacing` left behind when its process was killed."""
    return any(path.name.startswith(f".{name}.") for name in FILES)


class Run:
    """The folder of one fit, comparison or tuning.

    Example:
        >>> from lamina.train.events import Result
        >>> folder = getfixture("tmp_path") / "adult-1"
        >>> run = Run.create(folder, {"target": "income"})
        >>> run.write(Result("forest", fold=0, measured={"fit_seconds": 1.5}))
        >>> [(event.name, event.fold) for event in Run.open(folder).events()]
        [('forest', 0)]
    """

    def __init__(self, folder: Path, settings: dict[str, Any]):
        self.folder = folder
        self.settings = settings
        self._appended = False

    @classmethod
    def create(cls, folder: str | Path, settings: Mapping[str, Any]) -> Run:
        """Create a run in a new or empty folder.

        Raises:
            RunError: The folder is not empty or cannot be written.
        """
        folder = Path(folder)
        run = cls(folder, {"format": FORMAT, **settings})
        try:
            if not folder.is_dir():
                _make(folder, exist_ok=True)
            if not all(_is_temporary(path) for path in folder.iterdir()):
                raise FileExistsError
            with (folder / "run.json").open("x") as file:  # of several processes, one creates it
                _own.add(Path(file.name).absolute())
                file.write(json.dumps(run.settings, indent=1))
        except FileExistsError as error:
            how = f"resume it: lamina resume {folder}" if (folder / "run.json").exists() else "empty it"
            raise RunError(f"the run folder {folder} is not empty; choose another, or {how}") from error
        except OSError as error:
            raise _unwritable(folder, error) from error
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open the folder of an earlier run.

        Raises:
            RunError: The folder has no run, the run is of another version of lamina, or a file is a symbolic link.
        """
        folder = Path(folder)
        for name in FILES:
            if (folder / name).is_symlink():
                raise RunError(f"{folder / name} is a symbolic link; replace it by the file itself")
        try:
            settings = json.loads((folder / "run.json").read_text())
        except FileNotFoundError as error:
            raise RunError(f"{folder} has no run: there is no run.json in it; give the folder of a run") from error
        except (OSError, ValueError) as error:
            raise RunError(f"cannot read {folder / 'run.json'}: {error}") from error
        if not isinstance(settings, dict) or settings.get("format", 0) > FORMAT:
            raise RunError(f"{folder} was created by a newer lamina; upgrade lamina to resume it")
        if settings.get("format", 0) < FORMAT:
            raise RunError(f"{folder} was created by an earlier lamina, whose options had other names; start a new run")
        run = cls(folder, settings)
        if run.verb not in VERBS:
            raise RunError(
                f"{folder} was created with {run.verb!r}, and this lamina resumes {', '.join(VERBS)} only; upgrade it"
            )
        return run

    @staticmethod
    def fresh_folder(stem: str, parent: str | Path = "runs") -> Path:
        """The next free ``runs/<stem>-<n>``, created empty, so that each of several processes gets its own.

        Raises:
            RunError: It cannot be created.
        """
        stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"
        number = 1
        while True:
            folder = Path(parent) / f"{stem}-{number}"
            try:
                _make(folder)
                return folder
            except FileExistsError:
                number += 1
            except OSError as error:
                raise _unwritable(folder, error) from error

    @classmethod
    def discard_empty(cls, folder: Path) -> None:
        """Remove what this process created in the folder of a run without events: nothing of another process, no other file."""
        path = folder.absolute()
        if path / "run.json" in _own and (folder / "run.json").exists():
            if cls(folder, {}).events():
                return
            for name in FILES:
                (folder / name).unlink(missing_ok=True)
        _own.discard(path / "run.json")
        for made in (path, *path.parents):
            if made in _own:
                with contextlib.suppress(OSError):  # not empty, or removed already
                    made.rmdir()
                _own.discard(made)

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """A context in which no other process writes to the run; the claim of a process that was killed is none.

        Raises:
            RunError: Another process writes to it.
        """
        if fcntl is None:
            yield
            return
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(folder)
            raise RunError(
                f"another process writes to the run {self.folder}; wait until it has ended, or choose another folder"
            ) from error
        except OSError:  # a file system without locks
            pass
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.close(folder)

    @property
    def model_path(self) -> Path:
        return self.folder / "model.lamina"

    @property
    def verb(self) -> str:
        """One of :data:`VERBS`."""
        return str(self.settings.get("verb", "compare" if "candidates" in self.settings else "fit"))

    @property
    def data_path(self) -> Path:
        """The path of the data: the copy in the folder, or the original file.

        Raises:
            RunError: ``run.json`` has no data.
        """
        match self.settings.get("data"):
            case {"copy": _}:
                return self.folder / DATA
            case {"path": str(path)}:
                return Path(path)
        raise self.damaged("it names no data")

    @property
    def targets(self) -> list[str]:
        """The columns to predict."""
        match self.settings.get("asked"):
            case {"target": str(name)}:
                return [name]
            case {"target": list(names)}:
                return [str(name) for name in names]
        raise self.damaged("it names no target")

    @property
    def finished(self) -> bool:
        """Whether the last call ended without interruption, and its results exist."""
        result = {"compare": (BOARD,), "tune": (TUNING,)}.get(self.verb, ())
        model = () if self.settings.get("outside") else ("model.lamina",)  # the recommended candidate may be no family
        return self.state == "finished" and all((self.folder / name).exists() for name in (*model, *result))

    @property
    def state(self) -> str:
        """ "begun", "interrupted", "failed" or "finished", by the last start or end event; "" without one."""
        for event in reversed(self.events()):
            if isinstance(event, End):
                return event.reason if event.reason in (StopReason.INTERRUPTED, StopReason.FAILED) else "finished"
            if isinstance(event, Start | Compare | Tune):
                return "begun"
        return ""

    def damaged(self, why: object) -> RunError:
        """The error for settings that cannot be read."""
        return RunError(f"{self.folder / 'run.json'} is damaged ({why}); start again in another folder")

    def part(self, name: str) -> Run:
        """A run in a folder of this one, with events and a checkpoint of its own: a network that is one of several.

        Raises:
            RunError: It cannot be written.
        """
        folder = self.folder / PARTS / name
        with self._writing():
            _make(folder, exist_ok=True)
        return Run(folder, {})

    def discard_parts(self) -> None:
        """Delete the folders of :meth:`part`."""
        shutil.rmtree(self.folder / PARTS, ignore_errors=True)

    def change(self, **settings: Any) -> None:
        """Replace some of the settings."""
        self.settings = {**self.settings, **settings}
        with self.replacing("run.json") as path:
            path.write_text(json.dumps(self.settings, indent=1))

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Write a file of the run, see :func:`replacing`.

        Raises:
            RunError: It cannot be written.
        """
        with self._writing(), replacing(self.folder / name) as path:
            yield path

    def save_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write arrays to a file of the run.

        Raises:
            RunError: It cannot be written.
        """
        with self.replacing(name) as path, path.open("wb") as file:
            np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]

    def load_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a file of the run; None where there is none.

        Raises:
            RunError: It is damaged.
        """
        try:
            with np.load(self.folder / name, allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise RunError(f"{self.folder / name} is damaged ({error}); start again in another folder") from error

    def write(self, event: Event) -> None:
        """Append an event; :meth:`events` ignores an incomplete line."""
        line = json.dumps(event.to_json()) + "\n"
        with self._writing(), (self.folder / "events.jsonl").open("ab+") as file:
            if not self._appended:
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)  # a crash may have left an incomplete line
                self._appended = True
            file.write(line.encode())

    def events(self) -> list[Event]:
        """The events so far, without an incomplete last line.

        Raises:
            RunError: A line is damaged or of a newer lamina.
        """
        try:
            text = (self.folder / "events.jsonl").read_text()
        except FileNotFoundError:
            return []
        try:
            return [from_json(json.loads(line)) for line in text.split("\n")[:-1]]
        except (ValueError, AttributeError, TypeError) as error:
            raise RunError(
                f"{self.folder / 'events.jsonl'} is damaged: a line in it is no event; start again in another folder"
            ) from error

    def rewind(self, keep: Callable[[Event], bool]) -> None:
        """Drop the events that resuming will repeat."""
        events = [event for event in self.events() if keep(event)]
        with self.replacing("events.jsonl") as path:
            path.write_text("".join(json.dumps(event.to_json()) + "\n" for event in events))

    def save_checkpoint(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Write a checkpoint: tensors, and other state as JSON."""
        from safetensors.torch import save_file

        with self.replacing("checkpoint.safetensors") as path:
            save_file(dict(tensors), path, metadata={"state": json.dumps(state)})

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The last checkpoint, or None."""
        path = self.folder / "checkpoint.safetensors"
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
                return tensors, json.loads((file.metadata() or {})["state"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise RunError(
                f"the checkpoint {path} is damaged ({error}); delete it to start again with the same settings"
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, SafetensorError) as error:
            reason = getattr(error, "strerror", None) or error
            remedy = f"free disk space or repair the folder, then: lamina resume {self.folder}"
            raise RunError(f"cannot write to the run folder {self.folder}: {reason}; {remedy}") from error
