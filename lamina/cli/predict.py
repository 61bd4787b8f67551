"""``lamina predict`` and ``lamina evaluate``: a model on other rows."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamina.cli.shared import Debug, Json, check_output, plain, print_json, waiting
from lamina.errors import OptionError

if TYPE_CHECKING:
    import polars as pl

    from lamina.model import Model
    from lamina.train.events import Monitor

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .lamina file.")]
PATIENCE_SECONDS = 2  # what takes no longer needs no bar
_FORMATS = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".jsonl", ".ndjson")


def predict(
    model: ModelFile,
    data: Annotated[str, typer.Argument(help="Rows to answer: CSV, TSV, Parquet, Arrow or JSON Lines, also .gz.")],
    out: Annotated[Path | None, typer.Option(help="Where the answers go: .csv, .tsv, .parquet, .arrow or .jsonl.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Put the columns of the data before the answers.")] = False,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Say how far to trust each: calibrated, what else may be true, is the row new, reasons."),
    ] = False,
    coverage: Annotated[float, typer.Option(help="With --trust: share of the rows whose truth shall be held.")] = 0.9,
    reasons: Annotated[bool, typer.Option("--reasons/--no-reasons", help="With --trust: reasons, which take longest.")] = True,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Answer for rows: a table on a terminal, CSV in a pipe.

    [bold]lamina predict income.lamina new.csv --out predictions.csv[/bold]

    [bold]lamina predict income.lamina new.csv --trust --coverage 0.95[/bold]
    """
    _check_order("predict", model, data)
    if out is not None:
        if out.suffix.lower() not in _FORMATS:
            raise OptionError(f"--out {out}: the ending says the format, expected one of {', '.join(_FORMATS)}")
        check_output(out, data, model)
    with waiting(f"answering {data}"):
        from lamina.data.read import read_table

        table = read_table(data)

        from lamina.api import load
        from lamina.train.sharing import sharing_cores

        estimator = load(model)
        _, notes = _checked(estimator.model_, table)
        with sharing_cores():
            answers = estimator.predict_table(table, trust=trust, coverage=coverage, reasons=reasons)
    if sys.stdout.isatty() and out is None and not as_json:
        from lamina.cli.render import show_predictions
        from lamina.predictions import result_columns

        columns = result_columns(estimator.model_, trust=trust, reasons=reasons)
        show_predictions(answers, columns, table if keep else None)
        _say(notes)
        return
    if keep:
        from lamina.data.frames import free_name

        taken = {*table.columns, *answers.columns}
        for name in answers.columns:
            if name in table.columns:
                free = free_name(f"predicted {name}", taken)
                answers, taken = answers.rename({name: free}), {*taken, free}
        answers = table.hstack(answers)
    if out is not None:
        _write(answers, out)
        said = {"rows": len(answers), "columns": answers.columns, "notes": notes, "out": str(out)}
        print_json(said) if as_json else print(f"{len(answers):,} rows in {plain(out)}")
    elif as_json:
        print_json({"rows": len(answers), "notes": notes, "predictions": answers.to_dicts()})
    else:
        sys.stdout.write(answers.write_csv())
    if not as_json:
        _say(notes)


def evaluate(
    model: ModelFile,
    data: Annotated[str, typer.Argument(help="Rows whose answer is known: they hold the target too.")],
    importance: Annotated[
        bool, typer.Option("--importance", help="Also which columns matter: how far the score falls without each.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Hold a model against rows whose answer is known.

    [bold]lamina evaluate income.lamina held_out.csv[/bold]

    [bold]lamina evaluate income.lamina held_out.csv --importance[/bold]
    """
    _check_order("evaluate", model, data)
    with waiting(f"answering {data}"):
        from lamina.data.read import read_table

        table = read_table(data)

        from lamina.api import load
        from lamina.cli.render import show_importance, show_scores
        from lamina.learn import learnt_from

        estimator = load(model)
        _, handled = _checked(estimator.model_, table)
        found = estimator.evaluate(table)
    matter = None
    if importance:
        with _shuffling() as bar:
            matter = estimator.importance(table, monitor=bar)
    learnt = learnt_from(estimator.model_, table)
    notes = ["these are the rows that it learnt from; how it does on new ones, only new ones can tell"] if learnt else []
    notes += handled
    if as_json:
        if matter is not None:
            found["importance"] = {"score": estimator.model_.task.main_metric.name, "columns": matter.to_dicts()}
        print_json({**found, "notes": notes})
    else:
        show_scores(estimator.model_.task, found, "rows")
        if matter is not None:
            show_importance(estimator.model_, matter, rows=found["rows"])
        _say(notes)


@contextmanager
def _shuffling() -> Iterator[Monitor]:
    """A monitor that shows a bar on stderr, where a person is looking and it takes a while."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda event: None
        return
    from lamina.train.events import Event, Shuffle

    began = time.monotonic()
    columns = (TextColumn("shuffling"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1, visible=False)

        def monitor(event: Event) -> None:
            if isinstance(event, Shuffle):
                bar.update(task, completed=event.done, visible=time.monotonic() - began > PATIENCE_SECONDS)

        yield monitor


def _checked(model: Model, table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows as they were learnt, and what had to be done for that."""
    checked, notes = model.schema.check(table)
    return checked, notes + model.encoder.unseen(checked)


def _check_order(verb: str, model: Path, data: str) -> None:
    if data.endswith(".lamina") and model.suffix != ".lamina":
        raise OptionError(f"the model comes first: lamina {verb} {data} {model}")


def _say(notes: list[str]) -> None:
    for note in notes:
        print(f"note: {plain(note)}", file=sys.stderr)


def _write(table: pl.DataFrame, out: Path) -> None:
    import polars as pl

    from lamina.train.run import replacing

    write: dict[str, Callable[[Path], object]] = {
        ".csv": table.write_csv,
        ".tsv": lambda path: table.write_csv(path, separator="\t"),
        ".parquet": table.write_parquet,
        ".jsonl": table.write_ndjson,
        ".ndjson": table.write_ndjson,
    }
    try:
        with replacing(out) as path:
            write.get(out.suffix.lower(), table.write_ipc)(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot write {out}: {reason}; make room, or choose another place") from error
