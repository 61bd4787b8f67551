"""The card of a model: where it came from, what it was fitted to, and how it scored on validation rows; JSON."""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import torch

from lamina.data.readings import typed
from lamina.data.rowhash import fingerprint, first_of_duplicates
from lamina.families.family import Family
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.model import Model
from lamina.train.history import History
from lamina.version import __version__


def make_card(
    model: Model,
    table: pl.DataFrame,
    parts: Split,
    *,
    settings: Settings,
    family: Family,
    why: str,
    history: History,
    notes: Sequence[str],
    scores: dict[str, Any],
) -> dict[str, Any]:
    """The card of a model that was just trained on the rows of a table.

    The settings are those that were given, the family has every "auto" option decided, and the scores are the result of
    :meth:`lamina.model.Model.evaluate_outputs` for the validation rows.
    """
    split = {"how": parts.how, "out_of_bag": parts.out_of_bag, "train": len(parts.train), "validation": len(parts.validation)}
    details = {name: value for name, value in scores.items() if name not in ("rows", "scores", "baseline")}
    return {
        "lamina": __version__,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "data": {"rows": len(table), "columns": table.width, "fingerprint": fingerprint(table)},
        "split": split,
        "notes": list(notes),
        "family": family.to_json(),
        "recipe": history.recipe.to_json(),
        "parameters": model.predictor.size(),
        "history": history.epochs,
        "best_epoch": history.best_epoch,
        "stopped": history.stopped,
        "stopped_by": history.stopped_by,
        "seconds": history.seconds,
        "validation": scores["scores"],
        "baseline": scores["baseline"],
        **details,
        "why": why,
        "settings": dataclasses.replace(settings, family=family).to_json(),
    }


def trained_on(model: Model, table: pl.DataFrame) -> bool:
    """Whether these are the rows that a model was fitted to: those whose target is known, or the first of each duplicate."""
    table = typed(table, {column.name: column.reading for column in model.schema.columns if column.reading is not None})
    table = model.schema.typed(table)
    known = table.filter(pl.Series(model.task.usable_rows(table)[0]))
    of_card = model.card["data"]["fingerprint"]
    return of_card in (fingerprint(known), fingerprint(known.filter(first_of_duplicates(model.schema.contents(known)))))
