"""The command line: ``lamina fit | compare | tune | distill | predict | evaluate | info | resume``.

Heavy modules are imported by the verbs that need them, so that ``lamina --help`` is fast.
"""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from lamina.cli import compare, distill, evaluate, fit, info, predict, resume, tune
from lamina.cli.shared import Commands, open_streams
from lamina.version import __version__

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 success, 1 error in the data, an option or a file (one line on stderr), 2 wrong usage, "
    "70 internal error, 130 Ctrl-C.",
)
VERBS = (fit.fit, compare.compare, tune.tune, distill.distill, predict.predict, evaluate.evaluate, info.info, resume.resume)
for verb in VERBS:
    app.command()(verb)


def _version(value: bool) -> None:
    if value:
        print(f"lamina {__version__}")
        raise typer.Exit


@app.callback()
def _lamina(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Deep learning beside classical learning on your own tables, images, texts and series."""


def main() -> None:
    """Entry point of the command ``lamina``."""
    warnings.simplefilter("ignore")  # of libraries
    open_streams()
    app(prog_name="lamina")
