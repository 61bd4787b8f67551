"""``lamina evaluate``: scores of a model on rows with a target."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from lamina.cli.options import Debug, Json
from lamina.cli.predict import ModelFile, SkipBad, Threshold, print_notes, read
from lamina.cli.shared import print_json, waiting
from lamina.fitting.settings import EvaluateOptions
from lamina.options import find

if TYPE_CHECKING:
    from lamina.train.events import Monitor

BAR_DELAY_SECONDS = 2


def evaluate(
    model: ModelFile,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Rows with the target column.")],
    threshold: Threshold = None,
    errors: Annotated[int, typer.Option(metavar="N", help=find(EvaluateOptions, "errors").metadata["help"])] = 0,
    importance: Annotated[
        bool, typer.Option("--importance", help="Also feature importance: decrease of the score when a column is shuffled.")
    ] = False,
    skip_bad: SkipBad = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a model on rows whose target is known: scores, confusion matrix, precision and recall of each class.

    [bold]lamina evaluate income.lamina test.csv[/bold]

    [bold]lamina evaluate income.lamina test.csv --threshold recall=0.9 --errors 10[/bold]

    [bold]lamina evaluate income.lamina test.csv --importance[/bold]
    """
    EvaluateOptions(threshold, errors, skip_bad).check()
    with waiting(f"predicting {data}"):
        estimator, table, notes, faults = read("evaluate", model, [data], skip_bad=skip_bad)
        from lamina.cli.scores import show_errors, show_importance, show_scores
        from lamina.data.skipping import good_rows
        from lamina.fitting.card import trained_on

        good = good_rows(faults, len(table))
        table = table[good] if faults else table
        scores = estimator.evaluate(table, threshold=threshold, errors=errors)
        if errors and faults:
            scores["errors"] = [error | {"row": int(good[error["row"] - 1]) + 1} for error in scores["errors"]]
    importances = None
    if importance:
        with _shuffling() as bar:
            importances = estimator.importance(table, monitor=bar)
    if trained_on(estimator.model_, table):
        notes.insert(0, "these are the training rows; score the model on new ones")
    if as_json:
        if importances is not None:
            scores["importance"] = {"score": estimator.model_.task.main_metric.name, "columns": importances.to_dicts()}
        print_json({**scores, "notes": notes})
        return
    show_scores(estimator.model_.task, scores, "rows")
    if errors:
        show_errors(scores["errors"])
    if importances is not None:
        show_importance(estimator.model_, importances, rows=scores["rows"])
    print_notes(notes)


@contextmanager
def _shuffling() -> Iterator[Monitor]:
    """A monitor that shows a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda event: None
        return
    from lamina.train.events import Event, Shuffle

    start = time.monotonic()
    columns = (TextColumn("shuffling"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1, visible=False)

        def monitor(event: Event) -> None:
            if isinstance(event, Shuffle):
                bar.update(task, completed=event.done, visible=time.monotonic() - start > BAR_DELAY_SECONDS)

        yield monitor
