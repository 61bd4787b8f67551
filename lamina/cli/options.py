"""Options that several commands share; their help is that of their declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from lamina.fitting.settings import Settings, Starting
from lamina.options import find

DATA, TRAINING, OUTPUT = "Data options", "Training options", "Output options"
_AGAIN = "Can be repeated."


def declared(owner: type, name: str, panel: str, *flags: str, more: str = "", **arguments: Any) -> Any:
    """A typer option with the help of an option that a class such as Settings declares, under the heading ``panel``.

    ``flags`` are its names on the command line, by default ``--name``; ``more`` is text after the help.
    """
    return typer.Option(*flags, help=f"{find(owner, name).metadata['help']} {more}".strip(), rich_help_panel=panel, **arguments)


def output(help: str) -> Any:
    """A typer option for something that is written."""
    return typer.Option(help=help, rich_help_panel=OUTPUT)


def _set(help: str) -> Any:
    return typer.Option("--set", metavar="NAME=VALUE", help=f"{help} {_AGAIN}", rich_help_panel=TRAINING)


def _set_debug(context: typer.Context, value: bool) -> bool:
    context.meta["debug"] = value
    return value


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="CSV, TSV, Parquet, Arrow or JSON Lines file, also .gz; Excel (book.xlsx#Sheet2); - for stdin; .npz file; or a "
        "folder with a folder for each class.",
    ),
]
Target = Annotated[list[str] | None, declared(Settings, "target", DATA)]
Task = Annotated[str | None, declared(Settings, "task", DATA)]
Kind = Annotated[list[str] | None, declared(Settings, "kinds", DATA, metavar="COLUMN=KIND", more=_AGAIN)]
Drop = Annotated[list[str] | None, declared(Settings, "drop", DATA, metavar="COLUMN", more=_AGAIN)]
Unique = Annotated[bool, declared(Settings, "unique", DATA, "--unique")]
Group = Annotated[str | None, declared(Settings, "group", DATA, metavar="COLUMN")]
Time = Annotated[str | None, declared(Settings, "time", DATA, metavar="COLUMN")]
SplitColumn = Annotated[str | None, declared(Settings, "split", DATA, metavar="COLUMN")]
Weight = Annotated[str | None, declared(Settings, "weight", DATA, metavar="COLUMN")]
Validation = Annotated[float, declared(Settings, "validation", DATA)]
ClassWeight = Annotated[str | None, declared(Settings, "class_weight", DATA)]
MergeRare = Annotated[bool, declared(Settings, "merge_rare", DATA, "--merge-rare")]
SkipBad = Annotated[bool, declared(Settings, "skip_bad", DATA, "--skip-bad")]
Set = Annotated[list[str] | None, _set("Option of recipe or family, such as recipe.epochs=20 or family.hidden_sizes=64,64.")]
SetRecipe = Annotated[list[str] | None, _set("Option of the training recipe of networks, such as recipe.epochs=20.")]
Trust = Annotated[bool, declared(Settings, "trust", OUTPUT, "--trust/--no-trust")]
Start = Annotated[Path | None, declared(Starting, "start", TRAINING, metavar="MODEL")]
Teacher = Annotated[Path | None, declared(Starting, "teacher", TRAINING, metavar="MODEL")]
Seed = Annotated[int, declared(Settings, "seed", TRAINING)]
Device = Annotated[str, declared(Settings, "device", TRAINING)]
Quality = Annotated[str, declared(Settings, "quality", TRAINING)]
TimeLimit = Annotated[float | None, declared(Settings, "time_limit", TRAINING)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_set_debug, expose_value=False, is_eager=True, help="Show the traceback of an error."),
]
