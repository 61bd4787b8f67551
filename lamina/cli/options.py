"""The options that several verbs have: about the data, and about the training."""

from __future__ import annotations

from typing import Annotated

import typer

DATA, TRAINING, OUTPUT = "About the data", "About the training", "About the output"

Data = Annotated[
    str, typer.Argument(help="CSV, TSV, Parquet, Arrow or JSON Lines, also .gz; .npz; or a folder with one for each class.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        help="The column to tell. Several columns of numbers: name each. Of a folder: the label.", rich_help_panel=DATA
    ),
]
Task = Annotated[
    str | None, typer.Option(help="classification or regression; else decided from the target.", rich_help_panel=DATA)
]
Kind = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=KIND",
        help="A kind that you know better: number, flag, category, date, image, text, series, id. Can be given again.",
        rich_help_panel=DATA,
    ),
]
Drop = Annotated[
    list[str] | None, typer.Option(metavar="COLUMN", help="Leave a column aside. Can be given again.", rich_help_panel=DATA)
]
Unique = Annotated[bool, typer.Option("--unique", help="Leave out rows that are there already.", rich_help_panel=DATA)]
Group = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Rows of one group stay on one side of the split.", rich_help_panel=DATA)
]
Time = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The latest rows are the validation rows.", rich_help_panel=DATA)
]
SplitColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column that says which rows are validation rows.", rich_help_panel=DATA),
]
Weight = Annotated[str | None, typer.Option(metavar="COLUMN", help="How much each row counts.", rich_help_panel=DATA)]
Validation = Annotated[float, typer.Option(help="Share of rows that are never learnt from.", rich_help_panel=DATA)]
ClassWeight = Annotated[
    str | None, typer.Option(help="'balanced': rare classes count as much as frequent ones.", rich_help_panel=DATA)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="An option of the recipe or the family, such as recipe.epochs=20 or family.hidden=64,64. Can be given again.",
        rich_help_panel=TRAINING,
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust/--no-trust",
        help="Keep what `lamina predict --trust` needs in the model, some rows of the data among it.",
        rich_help_panel=OUTPUT,
    ),
]
Seed = Annotated[int, typer.Option(help="Everything random follows from it.", rich_help_panel=TRAINING)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...", rich_help_panel=TRAINING)]
