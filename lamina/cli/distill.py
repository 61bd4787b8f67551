"""``lamina distill``: a small and quick network that learns the predictions of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamina.cli import options
from lamina.cli.fit import check_paths, discarding_empty_run, fit_with_progress, parse_options, save_and_show
from lamina.cli.shared import waiting
from lamina.fitting.settings import Settings

if TYPE_CHECKING:
    from lamina.cli.fit import Estimator
    from lamina.train.events import Monitor

_NETWORK = "Here a network; auto is the one for these columns, for plain ones without members."


def distill(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The teacher: a .lamina file of any family.")],
    data: options.Data,
    out: Annotated[Path | None, options.output("Path of the student; default TARGET-student.lamina.")] = None,
    run: Annotated[Path | None, options.output("Folder of events and checkpoints; default runs/NAME-student-1, ...")] = None,
    family: Annotated[str, options.declared(Settings, "family", options.TRAINING, more=_NETWORK)] = "auto",
    time_limit: options.TimeLimit = None,
    set_: options.Set = None,
    as_json: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Fit a small and quick network to the predictions of a model (distillation), on its training rows or more.

    [bold]lamina distill ensemble.lamina adult.parquet --out student.lamina[/bold]
    """
    with waiting(f"reading {data}"):
        from lamina import runs
        from lamina.estimators import estimator
        from lamina.fitting.distill import settings_of
        from lamina.starting import model_teacher

        teacher = model_teacher(model)
        chosen, recipe = parse_options(family, set_ or [])
        asked = settings_of(teacher.model, family=chosen, recipe=recipe, time_limit=time_limit).check()
        _, path, folder = check_paths(data, list(asked.targets), out, run, suffix="-student")
    with discarding_empty_run(folder):
        with waiting(f"reading {data}"):
            table, settings = runs.read(data, asked)
            created = runs.start_run(folder, data, table, settings, teacher=teacher)

        def finish(monitor: Monitor) -> Estimator:
            return estimator(runs.finish(table, settings, run=created, monitor=monitor, teacher=teacher), settings)

        fitted: Any = fit_with_progress(finish, created, path, as_json)
    save_and_show(fitted, created, path, as_json)
