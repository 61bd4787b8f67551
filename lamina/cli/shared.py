"""Parts of all commands: error messages and exit codes, checks of output paths, JSON output."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from lamina.errors import LaminaError, ModelFileError, OptionError

if TYPE_CHECKING:
    from lamina.train.run import Run

REFUSED, INTERNAL, INTERRUPTED = 1, 70, 130
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


class Commands(TyperGroup):
    """The commands; an error of any of them becomes one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:  # the reader of the pipe, such as `head`, has stopped
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except KeyboardInterrupt:
            print_error("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # any other error becomes a message
            if ctx.meta.get("debug") or isinstance(error, typer.Exit) or hasattr(error, "exit_code"):
                raise
            raise typer.Exit(_print_message(error)) from None


def _print_message(error: Exception) -> int:
    """Print an error as one line; return the exit code."""
    text = str(error)
    if isinstance(error, LaminaError):
        print_error(text)
    elif isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        print_error("not enough memory; use fewer rows, drop columns (--drop), or lower recipe.batch_size with --set")
    elif isinstance(error, OSError) and error.strerror:
        print_error(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    else:
        print_error(
            f"{type(error).__name__}: {text}; this is a bug in lamina: run it again with --debug and report the traceback"
        )
        return INTERNAL
    return REFUSED


def print_error(text: str) -> None:
    """Print one line on stderr."""
    print(f"lamina: {plain(' '.join(text.split()))}", file=sys.stderr)


def plain(value: Any) -> str:
    """Text for a terminal, with line breaks and escape codes escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))


def print_json(content: Any) -> None:
    """Print a JSON document on stdout, NaN and infinite numbers as null."""
    finite = json.loads(json.dumps(content, default=str), parse_constant=lambda constant: None)
    print(json.dumps(finite, ensure_ascii=False))


def check_output(path: Path, *inputs: str | Path) -> Path:
    """The path of a file, checked to be writable and no input file."""
    folder = path.parent
    if path.is_dir():
        raise OptionError(
            f"--out {path} is a folder; give the path of a file, such as {path / 'name'}{path.suffix or '.lamina'}"
        )
    if not folder.is_dir():
        raise OptionError(f"--out {path}: there is no folder {folder}; make it (mkdir -p {folder}) or choose another")
    for source in inputs:
        if path.exists() and os.path.exists(source) and path.samefile(source):
            raise OptionError(f"--out {path} is an input file; choose another name")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OptionError(f"cannot write in the folder {folder}: {error.strerror}; choose another folder with --out") from error
    return path


def copy_model(run: Run, path: Path) -> None:
    """Copy the model of a run to a path atomically."""
    from lamina.train.run import replacing

    if path == run.model_path:
        return
    try:
        with replacing(path) as temporary:
            shutil.copyfile(run.model_path, temporary)
    except OSError as error:
        raise ModelFileError(f"cannot write {path}: {error.strerror}; the model is safe in {run.model_path}") from error


def resume_command(run: Run, path: Path) -> str:
    """The command that resumes a run and writes its model to ``path``, which the run does not save."""
    words = ["lamina", "resume", plain(run.folder)]
    return shlex.join(words if path == run.model_path else [*words, "--out", plain(path)])


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show a text with a spinner on a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(Text(plain(text))):
        yield
