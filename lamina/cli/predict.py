"""``lamina predict`` and ``lamina evaluate``: predictions and scores of a model on new rows."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lamina.cli.options import Debug, Json
from lamina.cli.shared import check_output, plain, print_json, waiting
from lamina.errors import OptionError, ReadError

if TYPE_CHECKING:
    import polars as pl

    from lamina.estimators import Classifier, Regressor
    from lamina.train.events import Monitor

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .lamina file.")]
BAR_DELAY_SECONDS = 2
_FORMATS = (".csv", ".tsv", ".parquet", ".arrow", ".feather", ".jsonl", ".ndjson")


def predict(
    model: ModelFile,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Rows to predict: CSV, TSV, Parquet, Arrow or JSON Lines, also .gz; - for stdin. "
            "Of a model of images or texts also image files, .txt files, folders of them, or a text.",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Output file: .csv, .tsv, .parquet, .arrow or .jsonl.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Include the columns of the data.")] = False,
    trust: Annotated[
        bool, typer.Option("--trust", help="Add calibrated probabilities, sets or intervals, novelty and reasons.")
    ] = False,
    coverage: Annotated[
        float, typer.Option(help="With --trust: probability that a set or interval contains the true value.")
    ] = 0.9,
    reasons: Annotated[
        bool, typer.Option("--reasons/--no-reasons", help="With --trust: feature attributions, the slowest part.")
    ] = True,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Predict rows: prints a table on a terminal, CSV in a pipe.

    [bold]lamina predict income.lamina new.csv --out predictions.csv[/bold]

    [bold]lamina predict income.lamina new.csv --trust --coverage 0.95[/bold]

    [bold]lamina predict pets.lamina 1.jpg 2.jpg[/bold]
    """
    if out is not None:
        if out.suffix.lower() not in _FORMATS:
            raise OptionError(f"--out {out}: the extension defines the format, expected one of {', '.join(_FORMATS)}")
        check_output(out, *data, model)
    from lamina.fitting.settings import PredictOptions

    PredictOptions(trust, coverage, reasons).check()
    with waiting(f"predicting {', '.join(data[:3])}"):
        estimator, table, notes = _read("predict", model, data)
        schema = estimator.model_.schema
        keep = keep or (not schema.plain and table.width == 1)  # an image or a text is its only name
        from lamina.predictions import predictions as predicted
        from lamina.train.sharing import sharing_cores

        with sharing_cores():
            predictions = predicted(estimator.model_, table, trust=trust, coverage=coverage, reasons=reasons)
    if sys.stdout.isatty() and out is None and not as_json:
        from lamina.cli.render import show_predictions
        from lamina.predictions import result_columns

        columns = result_columns(estimator.model_, trust=trust, reasons=reasons)
        show_predictions(predictions, columns, table if keep else None)
        _print_notes(notes)
        return
    if keep:
        from lamina.data.frames import free_name

        names = {*table.columns, *predictions.columns}
        for name in predictions.columns:
            if name in table.columns:
                free = free_name(f"predicted {name}", names)
                predictions, names = predictions.rename({name: free}), {*names, free}
        predictions = table.hstack(predictions)
    if out is not None:
        _write(predictions, out)
        summary = {"rows": len(predictions), "columns": predictions.columns, "notes": notes, "out": str(out)}
        print_json(summary) if as_json else print(f"{len(predictions):,} rows in {plain(out)}")
    elif as_json:
        print_json({"rows": len(predictions), "notes": notes, "predictions": predictions.to_dicts()})
    else:
        sys.stdout.write(predictions.write_csv())
    if not as_json:
        _print_notes(notes)


def evaluate(
    model: ModelFile,
    data: Annotated[str, typer.Argument(metavar="DATA", help="Rows with the target column.")],
    importance: Annotated[
        bool, typer.Option("--importance", help="Also feature importance: decrease of the score when a column is shuffled.")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Score a model on rows whose target is known.

    [bold]lamina evaluate income.lamina held_out.csv[/bold]

    [bold]lamina evaluate income.lamina held_out.csv --importance[/bold]
    """
    with waiting(f"predicting {data}"):
        estimator, table, notes = _read("evaluate", model, [data])
        from lamina.cli.render import show_importance, show_scores
        from lamina.fitting.card import trained_on

        scores = estimator.evaluate(table)
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
    else:
        show_scores(estimator.model_.task, scores, "rows")
        if importances is not None:
            show_importance(estimator.model_, importances, rows=scores["rows"])
        _print_notes(notes)


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


def _read(verb: str, model: Path, data: list[str]) -> tuple[Classifier | Regressor, pl.DataFrame, list[str]]:
    """The estimator, the table, and notes on what is changed in its rows to bring them into the form of the training rows."""
    if data[0].endswith(".lamina") and model.suffix != ".lamina":
        raise OptionError(f"the model comes first: lamina {verb} {data[0]} {model}")
    import polars as pl

    from lamina.api import load
    from lamina.data.read import read_table
    from lamina.data.rows import as_rows

    estimator = load(model)
    schema = estimator.model_.schema
    tables = [read_table(as_rows(source, schema) if verb == "predict" else source) for source in data]
    try:
        table = tables[0] if len(tables) == 1 else pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise ReadError(f"{', '.join(data)} do not fit together: {error}; predict each by itself") from None
    checked, notes = estimator.model_.schema.check(table)
    return estimator, table, notes + estimator.model_.encoder.unseen(checked)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        print(f"note: {plain(note)}", file=sys.stderr)


def _write(table: pl.DataFrame, out: Path) -> None:
    import polars as pl

    from lamina.train.run import replacing

    write: dict[str, Callable[[io.BytesIO], object]] = {
        ".csv": table.write_csv,
        ".tsv": lambda file: table.write_csv(file, separator="\t"),
        ".parquet": table.write_parquet,
        ".jsonl": table.write_ndjson,
        ".ndjson": table.write_ndjson,
    }
    try:
        with replacing(out) as path:
            content = io.BytesIO()  # written to a full disk, polars 1 loses the end of a file without an error
            write.get(out.suffix.lower(), table.write_ipc)(content)
            path.write_bytes(content.getbuffer())
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot write {out}: {reason}; free some space, or choose another path") from error
