"""The command line: ``lamina fit | compare | predict | evaluate | info | resume``.

Nothing heavy is imported before a verb needs it, so that ``lamina --help`` answers at once.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated

import typer

import lamina
from lamina.cli import compare, fit, info, predict, resume
from lamina.cli.shared import Verbs

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Ends with 0 when all went well, 1 when lamina refuses (the data, an option, a file: one line on stderr says why), "
    "2 when the command is not understood, 70 on a mistake in lamina, 130 after Ctrl-C.",
)
for verb in (fit.fit, compare.compare, predict.predict, predict.evaluate, info.info, resume.resume):
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        print(f"lamina {lamina.__version__}")
        raise typer.Exit


@app.callback()
def _lamina(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Learn from a table: name a file and a column, and get a network that was honestly validated."""


def main() -> None:
    """Where the command ``lamina`` begins."""
    warnings.simplefilter("ignore")  # those of libraries are for developers
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot write is no reason to stop
    app(prog_name="lamina")
