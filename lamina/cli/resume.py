"""``lamina resume``: the fit or comparison of a folder, from where it stood to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from lamina.cli import compare, fit
from lamina.cli.options import OUTPUT
from lamina.cli.shared import Debug, Json, check_output, waiting


def resume(
    run: Annotated[Path, typer.Argument(help="The folder of the run, such as runs/adult-1.")],
    out: Annotated[
        Path | None, typer.Option(help="Where the model goes, too; else it is in the folder only.", rich_help_panel=OUTPUT)
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Resume a fit or a comparison that was ended by Ctrl-C, a crash, a full disk or a lost machine.

    [bold]lamina resume runs/adult-1[/bold]
    """
    from lamina.train.run import Run

    begun = Run.open(run)
    path = check_output(out or begun.model_path, begun.data_path)
    with waiting(f"opening {run}"):
        from lamina import api
    if begun.verb == "fit":
        fitted = fit.watched(lambda monitor: cast("fit.Estimator", api.resume(run, monitor=monitor)), begun, path, as_json)
        fit.conclude(fitted, begun, path, as_json)
        return
    from lamina.comparison.board import Board
    from lamina.progress import progress

    with progress(transient=True) as bar:
        board = cast(Board, api.resume(run, monitor=bar))
    compare.conclude(board, begun, path, as_json)
