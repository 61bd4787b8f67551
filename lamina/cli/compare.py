"""``lamina compare``: deep and classical families on the same folds, a board and a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamina.cli import options
from lamina.cli.fit import check_paths, discarding_empty_run, parse_kinds, parse_recipe
from lamina.cli.shared import (
    INTERRUPTED,
    REFUSED,
    check_output,
    copy_model,
    plain,
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
    data: options.Data,
    target: options.Target = None,
    family: Annotated[
        list[str] | None, options.declared(Terms, "families", _FOLDS, "--family", more="Here a name; can be repeated.")
    ] = None,
    folds: Annotated[int, options.declared(Terms, "folds", _FOLDS)] = Terms.folds,
    repeats: Annotated[str, options.declared(Terms, "repeats", _FOLDS, metavar="INTEGER|auto")] = "auto",
    metric: Annotated[str, options.declared(Terms, "metric", _FOLDS)] = Terms.metric,
    rope: Annotated[float | None, options.declared(Terms, "rope", _FOLDS)] = None,
    time_limit: Annotated[float | None, options.declared(Terms, "time_limit", _FOLDS)] = None,
    memory_limit: Annotated[float | None, options.declared(Terms, "memory_limit", _FOLDS)] = None,
    workers: Annotated[int | None, options.declared(Terms, "workers", _FOLDS)] = None,
    out: Annotated[Path | None, options.output("Path of the recommended model; default TARGET-compare.lamina.")] = None,
    picture: Annotated[Path | None, options.output("Plot scores against fit times into this .svg file.")] = None,
    run: Annotated[Path | None, options.output("Folder of the run; an unfinished run in it is resumed.")] = None,
    task: options.Task = None,
    kind: options.Kind = None,
    drop: options.Drop = None,
    unique: options.Unique = False,
    group: options.Group = None,
    time: options.Time = None,
    split: options.SplitColumn = None,
    weight: options.Weight = None,
    validation: options.Validation = Settings.validation,
    class_weight: options.ClassWeight = None,
    merge_rare: options.MergeRare = False,
    skip_bad: options.SkipBad = False,
    set_: options.SetRecipe = None,
    trust: options.Trust = Settings.trust,
    seed: options.Seed = Settings.seed,
    device: options.Device = Settings.device,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Compare networks and classical models on the same folds: scores, a verdict and the recommended model.

    [bold]lamina compare adult.parquet --target income[/bold]
    """
    if picture is not None:
        if picture.suffix.lower() != ".svg":
            raise OptionError(f"--picture {picture}: the picture is an SVG file, choose a name that ends in .svg")
        check_output(picture, data)
    target, path, folder = check_paths(data, target, out, run, suffix="-compare")
    with discarding_empty_run(folder), waiting(f"reading {data}"):
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
            merge_rare=merge_rare,
            skip_bad=skip_bad,
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
        from lamina.cli.board import show_findings
        from lamina.cli.render import show_paths

        show_findings(board)
        show_paths(model, run.folder, about=f", {plain(board.verdict.take)} fitted to all rows", picture=picture)
    if not board.complete or (model is None and board.verdict.take and not board.outside):
        print_error(f"stopped before all fits were done; resume with: {resume_command(run, path)}")
        raise typer.Exit(INTERRUPTED)
    if model is None and not board.outside:
        print_error(f"no candidate has a score, so there is no model; the verdict gives the reasons, {run.folder} the results")
        raise typer.Exit(REFUSED)
