"""Predictions as a table: target, probabilities and, with ``trust``, sets or intervals, novelty and reasons."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import polars as pl

from lamina.data.frames import free_name
from lamina.errors import OptionError
from lamina.model import Model
from lamina.trust.reasons import find_reasons
from lamina.trust.trust import Trust

NOVEL = 0.05
"""A row is novel with a p-value up to this: the share of false alarms."""
UNSURE, NONE = "unsure", "none"
MOST_LABELS = 10
CHANGED_ROWS, CHANGED_ROWS_RICH = 240, 24
"""Changed rows that are predicted for the reasons of one row; at least one per column. Fewer beside images, texts, series."""
MOST_DRAWS = 16
_BATCH = 8192
_MAX_WIDTH = 30


def predictions(
    model: Model, table: pl.DataFrame, *, trust: bool = False, coverage: float = 0.9, reasons: bool = True
) -> pl.DataFrame:
    """A table with the target's columns and the probability of each class; with ``trust`` also:

    ====================  ==============================================================================================
    column                content
    ====================  ==============================================================================================
    ``probability LABEL`` calibrated probability
    ``set``               prediction set, the most probable label first; "unsure" where no label is probable enough
    ``low``, ``high``     bounds of the prediction interval; for several targets ``low TARGET``, ...
    ``novelty_p``         p-value of novelty: share of validation rows that are at least as far from the training rows
    ``is_novel``          whether it is at most 0.05
    ``reasons``           up to three columns with the largest effects; for several targets ``reasons TARGET``, ...
    ====================  ==============================================================================================

    A target's column always has the name of the target. Other names that are already used get an underscore: for a target
    called ``set`` the sets are in ``set_``. :func:`result_columns` returns the content of each column.

    Args:
        model: A fitted model.
        table: Rows with the feature columns; other columns are ignored.
        trust: Add calibrated probabilities, sets or intervals, novelty and reasons.
        coverage: Share of rows whose true value is in their set or interval.
        reasons: With trust, add reasons; a few hundred changed rows are predicted for each row.

    Raises:
        OptionError: The model was fitted without trust.
        SchemaError: A column is missing or of another kind.
    """
    if not trust:
        outputs = model.outputs(table)
        return _frame(result_columns(model), model.task.columns(model.task.predict(outputs), outputs))
    if model.trust is None:
        raise OptionError(
            "this model has no calibration, sets or novelty: it was fitted with trust=False, or by lamina 0.1; "
            "fit it again, or predict without trust"
        )
    if table.is_empty():  # the same columns
        return predictions(model, table.clear(1), trust=True, coverage=coverage, reasons=reasons).clear()
    checked, _ = model.schema.check(table, notes=False)
    batches = ((table[start : start + _BATCH], checked[start : start + _BATCH]) for start in range(0, len(checked), _BATCH))
    return pl.concat([_with_trust(model, model.trust, *batch, coverage=coverage, reasons=reasons) for batch in batches])


def result_columns(model: Model, *, trust: bool = False, reasons: bool = True) -> dict[str, str]:
    """The content of each column of :func:`predictions`, by name and in order.

    Returns:
        For each name "prediction", "probability", "set", "low", "high", "novelty_p", "is_novel" or "reasons".

    Example:
        >>> import lamina
        >>> table = {"x": [0.0, 1.0] * 20, "set": ["a", "b"] * 20}
        >>> model = lamina.fit(table, "set", family="constant", monitor=None).model_
        >>> list(result_columns(model, trust=True).items())[:4]
        [('set', 'prediction'), ('probability a', 'probability'), ('probability b', 'probability'), ('set_', 'set')]
    """
    task, parts = model.task, model.trust if trust else None
    contents = {name: content for content, name in task.column_names if content == "prediction"}
    columns = [(content, name) for content, name in task.column_names if content != "prediction"]
    if parts is not None:
        if parts.sets is not None or parts.labels is not None:
            columns.append(("set", "set"))
        if parts.intervals is not None:
            suffixes = [""] if len(task.targets) == 1 else [f" {target}" for target in task.targets]
            columns += [(bound, bound + suffix) for bound in ("low", "high") for suffix in suffixes]
        if parts.novelty is not None:
            columns += [("novelty_p", "novelty_p"), ("is_novel", "is_novel")]
        if reasons and parts.background is not None:
            columns += [("reasons", f"reasons{suffix}") for suffix, _ in task.explained()]
    for content, name in columns:
        contents[free_name(name, contents)] = content
    return contents


def _frame(names: dict[str, str], columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


def _with_trust(
    model: Model, trust: Trust, raw: pl.DataFrame, table: pl.DataFrame, *, coverage: float, reasons: bool
) -> pl.DataFrame:
    """Predictions with trust for raw rows, and the same rows as ``schema.check`` returns them."""
    task, outputs = model.task, model.outputs(table, checked=True)
    calibrated = trust.calibrate(outputs)
    columns: list[Any] = list(task.columns(task.predict(outputs), calibrated))
    if trust.sets is not None:
        inside = trust.sets.sets(outputs, coverage, ties=trust.ties(table))
        columns.append(pl.Series(_sets(inside, calibrated, list(task.output_names)), dtype=pl.String))
    if trust.labels is not None:
        inside = trust.labels.sets(outputs, coverage)
        columns.append(pl.Series(_sets(inside, calibrated, list(task.output_names), join=", ", empty=NONE), dtype=pl.String))
    if trust.intervals is not None:
        spread = model.spread(table) if trust.intervals.with_spread else None
        for bound in trust.intervals.intervals(outputs, coverage, spread=spread):
            columns += list(task.numbers(bound).T)
    if trust.novelty is not None:
        features = model.novelty_features(table, trust.view)
        assert features is not None  # novelty was fitted to them
        p_value = trust.novelty.p_value(features)
        columns += [p_value, p_value <= NOVEL]
    if reasons and trust.background is not None:
        columns += _reasons(model, trust, trust.background.rows, raw, table)
    return _frame(result_columns(model, trust=True, reasons=reasons), columns)


def _sets(
    inside: np.ndarray, probabilities: np.ndarray, labels: list[str], *, join: str = " or ", empty: str = UNSURE
) -> list[str]:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    texts = []
    for row, count in enumerate(inside.sum(axis=1)):
        top = order[row][inside[row, order[row]]][:MOST_LABELS].tolist()
        more = [f"{count - MOST_LABELS:,} more"] if count > MOST_LABELS else []
        texts.append(join.join([labels[position] for position in top] + more) or empty)
    return texts


def _reasons(model: Model, trust: Trust, background: pl.DataFrame, raw: pl.DataFrame, table: pl.DataFrame) -> list[pl.Series]:
    """The reasons for each row as texts, one column for each output that the task explains."""
    changed_rows = CHANGED_ROWS if table.width == background.width else CHANGED_ROWS_RICH
    draws = min(MOST_DRAWS, max(1, changed_rows // background.width))

    def predict(rows: pl.DataFrame) -> np.ndarray:
        return model.task.numbers(trust.calibrate(model.outputs(rows, checked=True)))

    columns = []
    for _, output in model.task.explained():
        reasons = find_reasons(predict, table, background, output=output, draws=draws)
        texts = [
            ", ".join(f"{reason.column} {_value(row[reason.column])} ({_effect(reason.effect)})" for reason in top)
            for row, top in zip(raw[background.columns].iter_rows(named=True), reasons, strict=True)
        ]
        columns.append(pl.Series(texts, dtype=pl.String))
    return columns


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str) and re.fullmatch(r"-?\d+\.\d{5,}", value):  # a number of a text file
        value = float(value)
    text = f"{value:.4g}" if isinstance(value, float) and not 1e4 <= abs(value) < 1e15 else str(value).removesuffix(".0")
    return text if len(text) <= _MAX_WIDTH else text[: _MAX_WIDTH - 1] + "…"


def _effect(effect: float) -> str:
    return f"{effect:+,.0f}" if 100 <= abs(effect) < 1e15 else f"{effect:+.2g}"
