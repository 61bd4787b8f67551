"""Options that several commands share; their help is that of their declarations."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lamina.fitting.settings import Settings
from lamina.options import find

DATA, TRAINING, OUTPUT = "Data options", "Training options", "Output options"


def declared(owner: type, name: str, panel: str, *flags: str, more: str = "", **arguments: Any) -> Any:
    """A typer option with the help of a declared option.

    Args:
        owner: The class that declares it, such as Settings.
        name: Its name in the class.
        panel: Heading in the help.
        flags: Names on the command line, by default ``--name``.
        more: Text after the help.
        arguments: Arguments of ``typer.Option``.
    """
    return typer.Option(*flags, help=f"{find(owner, name).metadata['help']} {more}".strip(), rich_help_panel=panel, **arguments)


_AGAIN = "Can be repeated."
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="CSV, TSV, Parquet, Arrow or JSON Lines file, also .gz; .npz file; or a folder with a folder for each class.",
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
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Option of recipe or family, such as recipe.epochs=20 or family.hidden_sizes=64,64. Can be repeated.",
        rich_help_panel=TRAINING,
    ),
]
SetRecipe = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Option of the training recipe of networks, such as recipe.epochs=20. Can be repeated.",
        rich_help_panel=TRAINING,
    ),
]
Trust = Annotated[bool, declared(Settings, "trust", OUTPUT, "--trust/--no-trust")]
Seed = Annotated[int, declared(Settings, "seed", TRAINING)]
Device = Annotated[str, declared(Settings, "device", TRAINING)]
