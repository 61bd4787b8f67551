"""``lamina predict``: predictions of a model for new rows."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lamina.cli.options import Debug, Json
from lamina.cli.shared import check_output, plain, print_json, waiting
from lamina.errors import OptionError, ReadError
from lamina.fitting.settings import PredictOptions
from lamina.options import find

if TYPE_CHECKING:
    import polars as pl

    from lamina.data.schema import Schema
    from lamina.estimators import Classifier, Regressor

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .lamina file.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help=find(PredictOptions, "skip_bad").metadata["help"])]
Threshold = Annotated[str | None, typer.Option(metavar="RULE", help=find(PredictOptions, "threshold").metadata["help"])]
_BINARY = (".parquet", ".arrow", ".feather")
_FORMATS = (".csv", ".tsv", *_BINARY, ".jsonl", ".ndjson")


def predict(
    model: ModelFile,
    data: Annotated[
        list[str],
        typer.Argument(
            metavar="DATA...",
            help="Rows to predict: CSV, TSV, Parquet, Arrow, JSON Lines, also .gz, or Excel; - for stdin; a row as JSON. "
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
    threshold: Threshold = None,
    skip_bad: SkipBad = False,
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
    PredictOptions(trust, coverage, reasons, threshold, skip_bad).check()
    with waiting(f"predicting {', '.join(data[:3])}"):
        import polars as pl

        estimator, table, notes, faults = read("predict", model, data, skip_bad=skip_bad)
        schema = estimator.model_.schema
        keep = keep or (not schema.plain and table.dtypes == [pl.String])  # a path or a text is its only name
        from lamina.data.skipping import good_rows, with_empty_rows
        from lamina.predictions import predictions as predicted
        from lamina.tasks.threshold import words
        from lamina.train.sharing import sharing_cores

        with sharing_cores():
            model_ = estimator.model_.with_threshold(threshold)
            good = table[good_rows(faults, len(table))] if faults else table
            predictions = predicted(model_, good, trust=trust, coverage=coverage, reasons=reasons)
            predictions = with_empty_rows(predictions, faults, len(table)) if faults else predictions
        if chosen := model_.task.chosen:
            notes.append(words(chosen))
    if sys.stdout.isatty() and out is None and not as_json:
        from lamina.cli.render import show_predictions
        from lamina.predictions import result_columns

        columns = result_columns(estimator.model_, trust=trust, reasons=reasons)
        show_predictions(predictions, columns, table if keep else None)
        print_notes(notes)
        return
    if keep:
        from lamina.data.frames import free_name

        ending = ".json" if as_json else ".csv" if out is None else out.suffix.lower()
        if ending not in _BINARY and (raw := [name for name, dtype in table.schema.items() if dtype == pl.Binary]):
            raise OptionError(
                f"--keep: column {raw[0]!r} holds bytes, which only {', '.join(_BINARY)} can; choose such an --out"
            )
        table = table if ending in (".csv", ".tsv") else _typed(table, schema)
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
        sys.stdout.write(_flat(predictions).write_csv())
    if not as_json:
        print_notes(notes)


def read(
    verb: str, model: Path, data: list[str], *, skip_bad: bool = False
) -> tuple[Classifier | Regressor, pl.DataFrame, list[str], dict[int, str]]:
    """The estimator, the table, notes on how its rows differ from training rows, and by row what cannot be read."""
    if data[0].endswith(".lamina") and model.suffix != ".lamina":
        raise OptionError(f"the model comes first: lamina {verb} {data[0]} {model}")
    import polars as pl

    from lamina.api import load
    from lamina.data.read import read_source
    from lamina.data.rows import as_rows
    from lamina.data.skipping import bad_rows, good_rows, skipped

    estimator = load(model)
    schema = estimator.model_.schema
    sources = [read_source(as_rows(_row(one), schema) if verb == "predict" else one, skip_bad=skip_bad) for one in data]
    tables = [source.table for source in sources]
    try:
        table = tables[0] if len(tables) == 1 else pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise ReadError(f"{', '.join(data)} do not fit together: {error}; predict each by itself") from None
    faults = bad_rows(table, schema) if skip_bad else {}
    checked, notes = schema.check(table[good_rows(faults, len(table))] if faults else table)
    left_out = [skipped([file for source in sources for file in source.skipped], "file"), skipped(list(faults.values()))]
    notes = [*filter(None, left_out), *notes, *estimator.model_.encoder.unseen(checked)]
    return estimator, table, notes, faults


def _row(text: str) -> Any:
    """A row of JSON, as {"age": 17}, or the text."""
    if not text.startswith("{") or os.path.exists(text):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flat(table: pl.DataFrame) -> pl.DataFrame:
    """The table with lists as JSON, because CSV has no lists."""
    import polars as pl

    def text(value: Any) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, default=str)

    nested = [column for column in table if column.dtype.is_nested()]
    texts = [pl.Series(column.name, map(text, column.to_list()), dtype=pl.String) for column in nested]
    return table.with_columns(texts)


def _typed(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """The table with its texts as numbers, dates and truth values, as the model reads them, for formats that have such."""
    from lamina.data.columns import KINDS
    from lamina.data.readings import typed

    usual = {column.name: KINDS[column.kind].reading for column in schema.columns}
    readings = {column.name: column.reading for column in schema.columns if column.reading is not None}
    return typed(table, {name: reading() for name, reading in usual.items() if reading is not None} | readings)


def print_notes(notes: list[str]) -> None:
    """Print notes on stderr."""
    for note in notes:
        print(f"note: {plain(note)}", file=sys.stderr)


def _write(table: pl.DataFrame, out: Path) -> None:
    import polars as pl

    from lamina.train.run import replacing

    write: dict[str, Callable[[io.BytesIO], object]] = {
        ".csv": lambda file: _flat(table).write_csv(file),
        ".tsv": lambda file: _flat(table).write_csv(file, separator="\t"),
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
