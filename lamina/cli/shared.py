"""What all verbs share: how errors end, where output may go, JSON for machines."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lamina.errors import LaminaError, ModelFileError, OptionError

if TYPE_CHECKING:
    from lamina.train.run import Run

REFUSED, MISTAKE, INTERRUPTED = 1, 70, 130
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


def _set_debug(context: typer.Context, value: bool) -> bool:
    context.meta["debug"] = value
    return value


Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, for machines.")]
Debug = Annotated[
    bool, typer.Option("--debug", callback=_set_debug, expose_value=False, is_eager=True, help="Errors with their traceback.")
]


class Verbs(TyperGroup):
    """The verbs of the command line, and the one place where their errors end: one line on stderr, and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:  # whoever read the output (`head`, a pager) has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            complain("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # the outermost border: what is left is for a person to read
            if ctx.meta.get("debug") or isinstance(error, typer.Exit) or hasattr(error, "exit_code"):
                raise
            raise typer.Exit(_explain(error)) from None


def _explain(error: Exception) -> int:
    """Print the one line for an error; return the exit code."""
    text = str(error)
    if isinstance(error, LaminaError):
        complain(text)
    elif isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        complain("not enough memory; use fewer rows, leave columns aside (--drop), or lower recipe.batch_size with --set")
    elif isinstance(error, OSError) and error.strerror:
        complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        complain(
            f"{type(error).__name__}: {text}; this is a mistake in lamina: run it again with --debug and report what it says"
        )
        return MISTAKE
    return REFUSED


def complain(text: str) -> None:
    """One line on stderr."""
    print(f"lamina: {plain(' '.join(text.split()))}", file=sys.stderr)


def plain(value: Any) -> str:
    """Text that is safe on a terminal: a name with a line break or an escape code in it shows them as such."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))


def print_json(content: Any) -> None:
    """One document on stdout. Strict: NaN and infinities are null, as JSON has no word for them."""
    print(json.dumps(_strict(content), ensure_ascii=False, allow_nan=False, default=str))


def _strict(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(name): _strict(value) for name, value in content.items()}
    if isinstance(content, Sequence) and not isinstance(content, str):
        return [_strict(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content


def check_output(path: Path, *inputs: str | Path) -> Path:
    """Find out whether a file can be written before any work is done.

    Raises:
        OptionError: Its folder is missing or closed, it is a folder itself, or it is one of the files that are read.
    """
    folder = path.parent
    if path.is_dir():
        raise OptionError(
            f"--out {path} is a folder; give the name of a file, such as {path / 'name'}{path.suffix or '.lamina'}"
        )
    if not folder.is_dir():
        raise OptionError(f"--out {path}: there is no folder {folder}; make it (mkdir -p {folder}) or choose another")
    for other in inputs:
        if path.exists() and os.path.exists(other) and path.samefile(other):
            raise OptionError(f"--out {path} is the file that is read; choose another name")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(f"cannot write in the folder {folder}: {error.strerror}; choose another place with --out") from error
    return path


def copy_model(run: Run, path: Path) -> None:
    """Put the model of a run where it was asked for, whole or not at all.

    Raises:
        ModelFileError: It cannot be written there.
    """
    from lamina.train.run import replacing

    if path == run.model_path:
        return
    try:
        with replacing(path) as temporary:
            shutil.copyfile(run.model_path, temporary)
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror}; the model is safe in {run.model_path}") from error


def resume_command(run: Run, path: Path) -> str:
    """What to type to resume a run whose model was asked for at ``path``: the run itself does not know that place."""
    words = ["lamina", "resume", plain(run.folder)]
    return shlex.join(words if path == run.model_path else [*words, "--out", plain(path)])


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Say on stderr what takes a while, where a person is looking."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(plain(text))):
        yield
