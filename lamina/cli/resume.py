"""``lamina resume``: continue an interrupted fit, comparison or tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from lamina.cli import compare, fit, tune
from lamina.cli.options import Debug, Json, output
from lamina.cli.shared import check_output, waiting


def resume(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run, such as runs/adult-1.")],
    out: Annotated[Path | None, output("Path for a copy of the model; default: only in the folder of the run.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Resume a fit, a comparison or a tuning that was interrupted by Ctrl-C, a crash or a full disk.

    [bold]lamina resume runs/adult-1[/bold]
    """
    from lamina.train.run import Run

    opened = Run.open(run)
    path = check_output(out or opened.model_path, opened.data_path)
    with waiting(f"opening {run}"):
        from lamina import api
    if opened.verb == "fit":
        fitted = fit.fit_with_progress(
            lambda monitor: cast("fit.Estimator", api.resume(run, monitor=monitor)), opened, path, as_json
        )
        fit.save_and_show(fitted, opened, path, as_json)
        return
    from lamina.comparison.board import Board
    from lamina.progress import progress

    with progress(transient=True) as bar:
        result = api.resume(run, monitor=bar)
    if opened.verb == "tune":
        tune.save_and_show(cast("tune.Tuning", result), opened, path, as_json)
        return
    compare.save_and_show(cast(Board, result), opened, path, as_json)
