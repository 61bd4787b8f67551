"""``lamina compare``: deep and classical families on the same folds, a board and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamina.cli.fit import chosen_options, kinds_of, nothing_left, places
from lamina.cli.options import (
    OUTPUT,
    ClassWeight,
    Data,
    Device,
    Drop,
    Group,
    Kind,
    Seed,
    Set,
    SplitColumn,
    Target,
    Task,
    Time,
    Trust,
    Unique,
    Validation,
    Weight,
)
from lamina.cli.shared import (
    INTERRUPTED,
    REFUSED,
    Debug,
    Json,
    check_output,
    complain,
    copy_model,
    print_json,
    resume_command,
    waiting,
)
from lamina.errors import OptionError

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.train.run import Run

_FOLDS = "About the comparison"


def compare(  # typer reads the options of the command from these arguments, so there are as many
    data: Data,
    target: Target = None,
    family: Annotated[
        list[str] | None,
        typer.Option(
            help="A candidate, a family by name; can be given again. Else all classical ones that are there, and the network "
            "that suits the columns.",
            rich_help_panel=_FOLDS,
        ),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts that the rows are dealt into.", rich_help_panel=_FOLDS)] = 5,
    repeats: Annotated[
        int | None, typer.Option(help="Times that they are dealt anew; else the more, the fewer rows.", rich_help_panel=_FOLDS)
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="auto, accuracy, balanced_accuracy, f1, f1_macro, auc, average_precision, log_loss; r2, rmse, mae.",
            rich_help_panel=_FOLDS,
        ),
    ] = "auto",
    rope: Annotated[
        float | None, typer.Option(help="The smallest difference that matters, in the metric's units.", rich_help_panel=_FOLDS)
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds that one fit may take.", rich_help_panel=_FOLDS)] = None,
    memory_limit: Annotated[
        float | None, typer.Option(help="Gigabytes that one process may take.", rich_help_panel=_FOLDS)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes side by side; else one for each core.", rich_help_panel=_FOLDS)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the model to take goes; else TARGET.lamina.", rich_help_panel=OUTPUT)
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw scores against seconds into this .svg file.", rich_help_panel=OUTPUT)
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder for what is done; one that was begun is gone on with.", rich_help_panel=OUTPUT),
    ] = None,
    task: Task = None,
    kind: Kind = None,
    drop: Drop = None,
    unique: Unique = False,
    group: Group = None,
    time: Time = None,
    split: SplitColumn = None,
    weight: Weight = None,
    validation: Validation = 0.15,
    class_weight: ClassWeight = None,
    set_: Set = None,
    trust: Trust = True,
    seed: Seed = 0,
    device: Device = "auto",
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Say whether deep learning is worth it on a table: every candidate on the same folds, and a verdict in words.

    [bold]lamina compare adult.parquet --target income[/bold]
    """
    target, path, folder = places(data, target, out, run, what="-compare")
    if picture is not None:
        if picture.suffix.lower() != ".svg":
            raise OptionError(f"--picture {picture}: the picture is an SVG file, give a name that ends in .svg")
        check_output(picture, data)
    with waiting(f"reading {data}"):
        from lamina import api
        from lamina.progress import progress

        _, recipe = chosen_options("auto", set_ or [])
    asked: dict[str, Any] = {
        "folds": folds,
        "repeats": "auto" if repeats is None else repeats,
        "metric": metric,
        "rope": rope,
        "time_limit": time_limit,
        "memory_limit": memory_limit,
        "workers": workers,
        "task": task,
        "kinds": kinds_of(kind or []),
        "drop": drop,
        "unique": unique,
        "group": group,
        "time": time,
        "split": split,
        "weight": weight,
        "validation": validation,
        "class_weight": class_weight,
        "seed": seed,
        "device": device,
        "trust": trust,
    }
    with nothing_left(folder), progress(transient=True) as bar:
        board = api.compare(
            data,
            target if len(target) > 1 else target[0],
            families=family or "auto",
            recipe=recipe,
            run=folder,
            monitor=bar,
            **asked,
        )
    from lamina.train.run import Run

    conclude(board, Run.open(folder), path, as_json, picture=picture)


def conclude(board: Board, run: Run, path: Path, as_json: bool, *, picture: Path | None = None) -> None:
    """Put the recommended model where it was asked for, and show the board."""
    model = path if board.model is not None else None
    if model is not None:
        copy_model(run, model)
    if picture is not None:
        board.picture(picture)
    if as_json:
        print_json({**board.to_json(), "run": str(run.folder), "model": None if model is None else str(model)})
    else:
        from lamina.cli.board import show_board

        show_board(board, model=model, run=run.folder, picture=picture)
    if not board.complete or (model is None and board.verdict.take):
        complain(f"stopped before all was done; go on with: {resume_command(run, path)}")
        raise typer.Exit(INTERRUPTED)
    if model is None:
        complain(f"no candidate has a score, so there is no model; the verdict says why, and {run.folder} keeps what was tried")
        raise typer.Exit(REFUSED)
