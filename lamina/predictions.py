"""Answers as a table: predictions, probabilities and, where that is asked for, how far each can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from lamina.data.frames import free_name
from lamina.errors import OptionError
from lamina.model import Model
from lamina.trust.conformal import rows_needed
from lamina.trust.reasons import find_reasons
from lamina.trust.trust import Trust

NOVEL = 0.05
"""A row with a p-value up to this is told of as unlike training: so is one in twenty that is not."""
UNSURE, NONE = "unsure", "none"
MOST_LABELS = 10
ASKED, ASKED_RICH = 240, 24
"""Changed rows that are asked about for the reasons of one row, if it has no more columns; fewer beside images and texts."""
MOST_DRAWS = 16
_ROWS = 8192
_WIDEST = 30


def predictions(
    model: Model, table: pl.DataFrame, *, trust: bool = False, coverage: float = 0.9, reasons: bool = True
) -> pl.DataFrame:
    """The target's columns and, for classes, the probability of each; with ``trust`` also what to think of each row's answer.

    ====================  ==========================================================================================
    column                is
    ====================  ==========================================================================================
    ``probability LABEL`` calibrated
    ``set``               the labels that may be true, the most probable first; "unsure" where none is probable enough
    ``low``, ``high``     for values: the interval that holds the truth; for several targets ``low TARGET``, ...
    ``novelty_p``         p-value of novelty: how often a row like those of training is as unlike them as this one
    ``is_novel``          is that at most 0.05?
    ``reasons``           up to three columns that matter most, and what each one adds; for several targets one for each
    ====================  ==========================================================================================

    A target's column always has the name of the target. Another column whose name is taken by one before it gets an underscore
    behind its name, or as many as it needs: for a target called ``set`` the sets are in ``set_``. What each column is says
    :func:`result_columns`.

    Args:
        model: What answers.
        table: Rows with the feature columns; others are left aside.
        trust: Say how far each answer can be trusted.
        coverage: Share of rows whose truth shall be in their set or interval.
        reasons: Look for reasons: up to some hundred changed rows are asked about for each row.

    Raises:
        OptionError: The coverage is no share, or the model keeps nothing to judge its answers by.
        SchemaError: A column is missing or of another kind.
    """
    if not trust:
        said = model.outputs(table)
        return _frame(result_columns(model), _plain(model, said, said))
    rows_needed(coverage)  # raises where it is no share
    if model.trust is None:
        raise OptionError(
            "this model keeps nothing to judge its answers by: it was fitted with trust=False, or by lamina 0.1; "
            "fit it again, or predict without trust"
        )
    if table.is_empty():  # the same columns
        return predictions(model, table.clear(1), trust=True, coverage=coverage, reasons=reasons).clear()
    checked, _ = model.schema.check(table, notes=False)
    starts = range(0, len(checked), _ROWS)
    pieces = ((table[start : start + _ROWS], checked[start : start + _ROWS]) for start in starts)
    return pl.concat([_judged(model, model.trust, *piece, coverage=coverage, reasons=reasons) for piece in pieces])


def result_columns(model: Model, *, trust: bool = False, reasons: bool = True) -> dict[str, str]:
    """What each column of :func:`answers` is, by its name, in order.

    Returns:
        For each name "prediction", "probability", or what the table there calls it: "set", "low", "high", "novelty_p",
        "is_novel", "reasons".

    Example:
        >>> import lamina
        >>> table = {"x": [0.0, 1.0] * 20, "set": ["a", "b"] * 20}
        >>> model = lamina.fit(table, "set", family="constant", monitor=None).model_
        >>> list(result_columns(model, trust=True).items())[:4]
        [('set', 'prediction'), ('probability a', 'probability'), ('probability b', 'probability'), ('set_', 'set')]
    """
    task, kept = model.task, model.trust if trust else None
    found, columns = {}, []
    for what, name in task.column_names:
        if what == "prediction":
            found[name] = what
        else:
            columns.append((what, name))
    if kept is not None:
        columns += [("set", "set")] * (kept.sets is not None or kept.labels is not None)
        columns += [pair for end in ("low", "high") for pair in _by_target(end, task.targets)] * (kept.intervals is not None)
        columns += [("novelty_p", "novelty_p"), ("is_novel", "is_novel")] * (kept.novelty is not None)
        columns += [("reasons", f"reasons{suffix}") for suffix, _ in task.explained()] * (
            reasons and kept.background is not None
        )
    for what, name in columns:
        found[free_name(name, found)] = what
    return found


def _by_target(what: str, targets: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(what, what)] if len(targets) == 1 else [(what, f"{what} {target}") for target in targets]


def _frame(names: dict[str, str], columns: list[Any]) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(names, columns, strict=True)))


def _plain(model: Model, said: np.ndarray, chances: np.ndarray) -> list[Any]:
    return model.task.columns(model.task.predict(said), chances)


def _judged(
    model: Model, trust: Trust, given: pl.DataFrame, table: pl.DataFrame, *, coverage: float, reasons: bool
) -> pl.DataFrame:
    """For rows as they were given, and as ``schema.check`` returns them."""
    task, said = model.task, model.outputs(table, checked=True)
    chances = trust.probabilities(said)
    found = _plain(model, said, chances)
    if trust.sets is not None:
        inside = trust.sets.sets(said, coverage, ties=trust.ties(table))
        found.append(pl.Series(_sets(inside, chances, list(task.output_names)), dtype=pl.String))
    if trust.labels is not None:
        inside = trust.labels.sets(said, coverage)
        found.append(pl.Series(_sets(inside, chances, list(task.output_names), join=", ", empty=NONE), dtype=pl.String))
    if trust.intervals is not None:
        spread = model.spread(table) if trust.intervals.with_spread else None
        for end in trust.intervals.intervals(said, coverage, spread=spread):
            found += list(task.numbers(end).T)
    if trust.novelty is not None:
        seen = model.seen(table, trust.view)
        assert seen is not None  # what it was fitted to
        p_value = trust.novelty.p_value(seen)
        found += [p_value, p_value <= NOVEL]
    if reasons and trust.background is not None:
        found += _sentences(model, trust, trust.background, given, table)
    return _frame(result_columns(model, trust=True, reasons=reasons), found)


def _sets(inside: np.ndarray, chances: np.ndarray, labels: list[str], *, join: str = " or ", empty: str = UNSURE) -> list[str]:
    order, count = np.argsort(-chances, axis=1, kind="stable"), inside.sum(axis=1)
    words = []
    for row, some in enumerate(count):
        most = order[row][inside[row, order[row]]][:MOST_LABELS].tolist()
        more = [f"{some - MOST_LABELS:,} more"] if some > MOST_LABELS else []
        words.append(join.join([labels[place] for place in most] + more) or empty)
    return words


def _sentences(
    model: Model, trust: Trust, background: pl.DataFrame, given: pl.DataFrame, table: pl.DataFrame
) -> list[pl.Series]:
    """The reasons for each row in words, a column for each thing that the task explains."""
    names = background.columns
    asked = ASKED if table.width == len(names) else ASKED_RICH

    def say(row: np.ndarray, column: np.ndarray, donor: np.ndarray) -> np.ndarray:
        mixed, other = table[row], background[donor]
        swapped = [
            pl.select(pl.when(pl.Series(column == j)).then(other[name]).otherwise(mixed[name]).alias(name)).to_series()
            for j, name in enumerate(names)
        ]
        said = model.outputs(mixed.with_columns(swapped), checked=True)
        return model.task.numbers(trust.probabilities(said))

    found = []
    for _, output in model.task.explained():
        draws = min(MOST_DRAWS, max(1, asked // len(names)))
        told = find_reasons(say, names, rows=len(table), background=len(background), output=output, draws=draws)
        words = [
            ", ".join(f"{one.column} {_value(row[one.column])} ({_effect(one.effect)})" for one in some)
            for row, some in zip(given[names].iter_rows(named=True), told, strict=True)
        ]
        found.append(pl.Series(words, dtype=pl.String))
    return found


def _value(value: Any) -> str:
    if value is None:
        return "missing"
    text = f"{value:.4g}" if isinstance(value, float) and not 1e4 <= abs(value) < 1e15 else str(value).removesuffix(".0")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _effect(effect: float) -> str:
    return f"{effect:+,.0f}" if 100 <= abs(effect) < 1e15 else f"{effect:+.2g}"
