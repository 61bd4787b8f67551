"""Text output of scores, confusion matrices, the worst predictions and feature importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.bar import Bar
from rich.text import Text

from lamina.cli.screen import cell, console, short_name, small_table, title
from lamina.cli.shared import plain
from lamina.tasks.metrics import TITLES
from lamina.trust.importance import most_rows
from lamina.wording import percent

if TYPE_CHECKING:
    from lamina.model import Model
    from lamina.tasks.task import Task

MOST_IMPORTANT = 15


def show_scores(task: Task, result: Mapping[str, Any], rows: str) -> None:
    """Print scores as sentences, as a table beside the baseline, and the tables of the task such as a confusion matrix.

    ``result`` is that of ``Estimator.evaluate``, or a card with the scores of training rows in ``train``; ``rows`` says what
    the rows are, such as "validation rows".
    """
    out = console()
    for sentence in task.summary(result, rows):
        out.print(title(plain(sentence)))
    out.print()
    titles = {**TITLES, **{metric.name: metric.title for metric in task.metrics}}
    train = (result.get("train") or {}).get("scores") or {}
    heads = ("this model", "baseline", *(["on training rows"] if train else []))
    table = small_table("", *heads, right=(1, 2, 3))
    for name, value in result["scores"].items():
        values = (value, result["baseline"][name], *([train.get(name)] if train else []))
        table.add_row(plain(titles.get(name, name)), *(cell(value) for value in values))
    out.print(table)
    for name, reason in (result.get("undefined") or {}).items():
        out.print(Text(plain(f"{titles.get(name, name)} is not defined: {reason}.")))
    for details in task.tables(result):
        out.print()
        out.print(title(details.title))
        table = small_table(*map(plain, details.header), right=range(1, len(details.header)), gap=details.gap)
        for row in details.rows:
            table.add_row(*map(short_name, row))
        out.print(table)


def show_errors(errors: Sequence[Mapping[str, Any]]) -> None:
    """Print the worst predictions, as ``Estimator.evaluate`` returns them."""
    out = console()
    out.print()
    out.print(title("Worst predictions" if errors else "No prediction is wrong."))
    if not errors:
        return
    words = [name for name, value in errors[0].items() if isinstance(value, str)]
    heads = list(errors[0])
    table = small_table(*heads, right=[place for place, name in enumerate(heads) if name not in words])
    for error in errors:
        table.add_row(*(short_name(cell(value)) for value in error.values()))
    out.print(table)


def show_importance(model: Model, importances: pl.DataFrame, *, rows: int) -> None:
    """Print the most important features, with a bar for each, as ``Estimator.importance`` returns them."""
    out, score, most = console(), model.task.main_metric, most_rows(model.schema)
    sample = f"{most:,} of {rows:,} rows, drawn at random" if rows > most else f"{rows:,} rows"
    out.print()
    out.print(title("Feature importance"))
    out.print(Text(f"Decrease of the {score.title} when a column is shuffled, on {sample}."))
    out.print()
    impurity = "impurity" in importances.columns
    table = small_table("column", "", "decrease", "std. error", *(["impurity"] if impurity else []), right=(2, 3, 4))
    longest = max(importances["importance"].max(), 0.0)  # pyright: ignore[reportArgumentType]
    for name, decrease, error, *share in importances.head(MOST_IMPORTANT).iter_rows():
        bar = Bar(longest, 0, max(decrease, 0.0), width=20)
        table.add_row(short_name(name), bar, f"{decrease:.4f}", f"{error:.4f}", *map(percent, share))
    out.print(table)
    if len(importances) > MOST_IMPORTANT:
        out.print(f"and {len(importances) - MOST_IMPORTANT:,} more")
    if impurity:
        out.print("impurity: the column's share of the impurity decrease in the trees")
