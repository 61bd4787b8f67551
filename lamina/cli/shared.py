"""Parts of all commands: error messages and exit codes, checks of output paths, JSON output."""

from __future__ import annotations

import io
import itertools
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
_OTHER_VERBS = {
    "fit": ("train", "learn", "build"),
    "predict": ("infer", "inference", "apply", "classify", "forecast"),
    "evaluate": ("test", "score", "eval", "validate"),
    "compare": ("benchmark", "leaderboard", "cv", "cross-validate", "automl"),
    "info": ("show", "describe", "inspect", "summary"),
    "resume": ("continue", "restart"),
    "distill": ("distil", "teach", "student", "compress"),
    "tune": ("optimize", "optimise", "search", "hpo", "hyperopt"),
}
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


class Commands(TyperGroup):
    """The commands; an error of any of them becomes one line on stderr and an exit code."""

    def main(self, *args: Any, **options: Any) -> Any:
        code: Any = 0
        try:
            try:
                super().main(*args, **options)
            except SystemExit as end:
                if isinstance(end.__context__, BrokenPipeError):
                    raise end.__context__ from None
                code = end.code
            sys.stdout.flush()
        except OSError as error:  # of stdout
            if error.filename:
                raise
            if not isinstance(error, BrokenPipeError):  # the reader of a pipe, such as `head`, may stop
                code = _print_message(error)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(code)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except KeyboardInterrupt:
            print_error("stopped")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:  # any other error becomes a message
            if hasattr(error, "option_name"):
                _add_hint(error, ctx.meta["words"])
            if ctx.meta.get("debug") or isinstance(error, typer.Exit) or hasattr(error, "exit_code"):
                raise
            raise typer.Exit(_print_message(error)) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        ctx.meta["words"] = args
        try:
            return super().resolve_command(ctx, args)
        except typer.Exit:
            raise
        except Exception as error:  # of a private class of typer; raised again
            verb = next((verb for verb, names in _OTHER_VERBS.items() if args[0].lower() in names), None)
            if verb and hasattr(error, "message"):
                error.message = f"No such command {args[0]!r}. Did you mean {verb!r}?"  # pyright: ignore[reportAttributeAccessIssue]
            raise


def _add_hint(error: Any, words: list[str]) -> None:
    """Name --set where an unknown option is one of the recipe or of a family; ``words`` are the command."""
    import lamina.families  # noqa: F401  so that their options are known
    from lamina.options import find_option

    flag = str(error.option_name)
    keywords = {"compare": ("recipe",), **dict.fromkeys(("fit", "tune", "distill"), ("recipe", "family"))}.get(words[0], ())
    if not (option := find_option(flag.lstrip("-").replace("-", "_"), keywords)):
        return
    given = [*itertools.dropwhile(lambda word: word.partition("=")[0] != flag, words), ""]
    value = given[0].partition("=")[2] or ("" if given[1].startswith("-") else given[1]) or "VALUE"
    hint = f"Did you mean --set {option[0].keyword}.{option[1]}={value}?"
    error.message, error.possibilities = f"No such option: {flag}. {hint}", None


def _print_message(error: Exception) -> int:
    """Print an error as one line; return the exit code."""
    text = str(error)
    if isinstance(error, LaminaError):
        print_error(text)
    elif isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
        print_error("not enough memory; use fewer rows, drop columns (--drop), or lower recipe.batch_size with --set")
    elif isinstance(error, OSError) and error.strerror:
        print_error(f"{error.filename or 'stdout'}: {error.strerror}")
    else:
        print_error(
            f"{type(error).__name__}: {text}; this is a bug in lamina: run it again with --debug and report the traceback"
        )
        return INTERNAL
    return REFUSED


def open_streams() -> None:
    """Make results UTF-8, but on a terminal its encoding; what stdout cannot encode is escaped, never replaced by "?"."""
    if sys.stdout is None:  # closed by >&-; writing is then an error
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding = sys.stdout.encoding if sys.stdout.isatty() else "utf-8"
        sys.stdout.reconfigure(encoding=encoding, errors="backslashreplace")


def print_error(text: str) -> None:
    """Print one line on stderr."""
    print(f"lamina: {plain(' '.join(text.split()))}", file=sys.stderr)


def plain(value: Any) -> str:
    """Text for a terminal, with line breaks and escape codes escaped."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in str(value))


def print_json(content: Any) -> None:
    """Print a JSON document on stdout, NaN and infinite numbers as null."""
    finite = json.loads(json.dumps(content, default=str), parse_constant=lambda constant: None)
    print(json.dumps(finite, ensure_ascii=sys.stdout.encoding.lower() != "utf-8"))


def check_output(path: Path, *inputs: str | Path) -> Path:
    """The path of a file, checked to be writable and no input file."""
    folder = Path(os.path.realpath(path)).parent if path.is_symlink() else path.parent
    if path.is_dir():
        raise OptionError(
            f"--out {path} is a folder; give the path of a file, such as {path / 'name'}{path.suffix or '.lamina'}"
        )
    if path.exists() and not path.is_file():
        raise OptionError(f"--out {path} is a device or a pipe; give the path of a file")
    if os.path.islink(os.path.realpath(path)):
        raise OptionError(f"--out {path} is a link that leads to itself; give the path of a file")
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
