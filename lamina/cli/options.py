"""The options that several verbs have: about the data, and about the training. Their help is that of the declaration."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lamina.fitting.settings import Settings
from lamina.options import find

DATA, TRAINING, OUTPUT = "About the data", "About the training", "About the output"


def declared(owner: type, name: str, panel: str, *flags: str, more: str = "", **shown: Any) -> Any:
    """The typer option for a declared one: its help comes from the declaration.

    Args:
        owner: The class that declares it, such as Settings.
        name: Its name there.
        panel: The heading that it stands under.
        flags: How it is written, where that is not ``--name``.
        more: What the command line adds to its help.
        shown: Passed on to ``typer.Option``.
    """
    return typer.Option(*flags, help=f"{find(owner, name).metadata['help']} {more}".strip(), rich_help_panel=panel, **shown)


_AGAIN = "Can be given again."
Data = Annotated[
    str, typer.Argument(help="CSV, TSV, Parquet, Arrow or JSON Lines, also .gz; .npz; or a folder with one for each class.")
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
        help="An option of recipe or family, such as recipe.epochs=20 or family.hidden_sizes=64,64. Can be given again.",
        rich_help_panel=TRAINING,
    ),
]
SetRecipe = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the recipe that networks train by, such as recipe.epochs=20. Can be given again.",
        rich_help_panel=TRAINING,
    ),
]
Trust = Annotated[bool, declared(Settings, "trust", OUTPUT, "--trust/--no-trust")]
Seed = Annotated[int, declared(Settings, "seed", TRAINING)]
Device = Annotated[str, declared(Settings, "device", TRAINING)]
