"""``lamina compare``: deep and classical families on the same folds, a board and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamina.cli.fit import check_paths, discarding_empty_run, parse_kinds, parse_recipe
from lamina.cli.options import (
    OUTPUT,
    ClassWeight,
    Data,
    Device,
    Drop,
    Group,
    Kind,
    Seed,
    SetRecipe,
    SplitColumn,
    Target,
    Task,
    Time,
    Trust,
    Unique,
    Validation,
    Weight,
    declared,
)
from lamina.cli.shared import (
    INTERRUPTED,
    REFUSED,
    Debug,
    Json,
    check_output,
    copy_model,
    print_error,
    print_json,
    resume_command,
    waiting,
)
from lamina.comparison.terms import Terms
from lamina.errors import OptionError
from lamina.fitting.settings import Settings
from lamina.options import parse

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.train.run import Run

_FOLDS = "Comparison options"


def compare(  # typer reads the options from the arguments
    data: Data,
    target: Target = None,
    family: Annotated[
        list[str] | None,
        declared(Terms, "families", _FOLDS, "--family", more="Here a name; can be repeated."),
    ] = None,
    folds: Annotated[int, declared(Terms, "folds", _FOLDS)] = Terms.folds,
    repeats: Annotated[str, declared(Terms, "repeats", _FOLDS, metavar="INTEGER|auto")] = "auto",
    metric: Annotated[str, declared(Terms, "metric", _FOLDS)] = Terms.metric,
    rope: Annotated[float | None, declared(Terms, "rope", _FOLDS)] = None,
    time_limit: Annotated[float | None, declared(Terms, "time_limit", _FOLDS)] = None,
    memory_limit: Annotated[float | None, declared(Terms, "memory_limit", _FOLDS)] = None,
    workers: Annotated[int | None, declared(Terms, "workers", _FOLDS)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Path of the recommended model; default TARGET.lamina.", rich_help_panel=OUTPUT)
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Plot scores against fit times into this .svg file.", rich_help_panel=OUTPUT)
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; an unfinished run in it is resumed.", rich_help_panel=OUTPUT),
    ] = None,
    task: Task = None,
    kind: Kind = None,
    drop: Drop = None,
    unique: Unique = False,
    group: Group = None,
    time: Time = None,
    split: SplitColumn = None,
    weight: Weight = None,
    validation: Validation = Settings.validation,
    class_weight: ClassWeight = None,
    set_: SetRecipe = None,
    trust: Trust = Settings.trust,
    seed: Seed = Settings.seed,
    device: Device = Settings.device,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Compare networks and classical models on the same folds: scores, a verdict and the recommended model.

    [bold]lamina compare adult.parquet --target income[/bold]
    """
    target, path, folder = check_paths(data, target, out, run, suffix="-compare")
    if picture is not None:
        if picture.suffix.lower() != ".svg":
            raise OptionError(f"--picture {picture}: the picture is an SVG file, choose a name that ends in .svg")
        check_output(picture, data)
    with waiting(f"reading {data}"):
        from lamina import api
        from lamina.progress import progress

        recipe = parse_recipe(set_ or [])
    with discarding_empty_run(folder), progress(transient=True) as bar:
        board = api.compare(
            data,
            target if len(target) > 1 else target[0],
            families=family or "auto",
            folds=folds,
            repeats=parse(Terms, "repeats", repeats),
            metric=metric,
            rope=rope,
            time_limit=time_limit,
            memory_limit=memory_limit,
            workers=workers,
            task=task,
            kinds=parse_kinds(kind or []),
            group=group,
            time=time,
            split=split,
            weight=weight,
            drop=drop,
            unique=unique,
            validation=validation,
            class_weight=class_weight,
            recipe=recipe,
            device=device,
            seed=seed,
            trust=trust,
            run=folder,
            monitor=bar,
        )
    from lamina.train.run import Run

    save_and_show(board, Run.open(folder), path, as_json, picture=picture)


def save_and_show(board: Board, run: Run, path: Path, as_json: bool, *, picture: Path | None = None) -> None:
    """Copy the recommended model to its path, and print the board."""
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
        print_error(f"stopped before all fits were done; resume with: {resume_command(run, path)}")
        raise typer.Exit(INTERRUPTED)
    if model is None:
        print_error(f"no candidate has a score, so there is no model; the verdict gives the reasons, {run.folder} the results")
        raise typer.Exit(REFUSED)
