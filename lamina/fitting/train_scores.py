"""Scores on training rows, beside which those on validation rows show whether a model memorises."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.data.weights import row_weights
from lamina.fitting.prepare import Prepared
from lamina.fitting.split import Split
from lamina.fitting.training import Trained
from lamina.model import Model

MOST_ROWS, FEWEST = 10_000, 1_000
"""Training rows that are scored: at most, and of a model that is fitted in a short time."""
SHARE = 0.02
"""Share of the cost of training that this may take; a row of an epoch costs as much as three predictions."""


def train_scores(model: Model, prepared: Prepared, parts: Split, trained: Trained) -> dict[str, Any] | None:
    """``rows`` and ``scores`` of training rows; None where they are validation rows, or are predicted from themselves, or where
    the members of an ensemble have different ones.

    Of a forest they are scored out of bag, since its trees learn their rows by heart.
    """
    if parts.out_of_bag or not trained.train or trained.predictor.stores_rows:
        return None
    rows, epochs, outputs = len(parts.train), len(trained.history.epochs), trained.predictor.out_of_bag
    most = min(MOST_ROWS, max(FEWEST, int(SHARE * 3 * rows * epochs)))
    places = np.arange(rows)
    if rows > most:
        places = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    if outputs is not None:
        outputs = outputs[places]
    else:
        blocks = trained.train if rows <= most else {name: block[places] for name, block in trained.train.items()}
        outputs = trained.predictor.outputs(blocks, len(places))
    known = ~np.isnan(outputs).any(axis=1)
    table = prepared.table[parts.train[places[known]]]
    scores = model.task.scores(model.task.truth(table), outputs[known], row_weights(table, prepared.schema))
    return {"rows": len(table), "scores": scores}
