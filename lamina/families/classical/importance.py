"""Feature importance and coefficients from the parameters of a fitted linear model or of boosted trees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lamina.data.encode import Encoder
from lamina.data.encoding import Input
from lamina.families.classical.boosting import BoostedTrees
from lamina.families.classical.linear import LinearPredictor
from lamina.families.classical.matrix import columns
from lamina.families.classical.multi_output import MultiOutputPredictor
from lamina.families.predictor import Predictor


def feature_importance(predictor: Predictor, inputs: Mapping[str, Input]) -> dict[str, float]:
    """Importance of each column of the table, summing to 1; empty for other predictors.

    Linear models: the absolute weights of a column's scaled values, summed. Boosted trees: the variance that a column's splits
    cause in the sum of the trees, with half of a node's rows in each child. Others: what the predictor stored at the fit.

    Args:
        predictor: A fitted predictor.
        inputs: The blocks of its encoder.
    """
    if isinstance(predictor, MultiOutputPredictor) and not predictor.feature_importance():
        parts = [feature_importance(part, inputs) for part in predictor.parts]
        return {name: sum(part.get(name, 0.0) for part in parts) / len(parts) for part in parts for name in part}
    if isinstance(predictor, LinearPredictor):
        names, shares = _linear_columns(predictor, inputs), np.abs(predictor.weights).sum(axis=1)
    elif isinstance(predictor, BoostedTrees):
        coded = {name: inputs[name] for name in sorted(inputs, key="categories".__ne__)}  # categories first
        names, shares = columns(coded), _variances(predictor)
    else:
        return dict(predictor.feature_importance())
    total: dict[str, float] = dict.fromkeys(names, 0.0)
    for name, share in zip(names, shares.tolist(), strict=True):
        total[name] += share
    whole = sum(total.values()) or 1.0
    return {name: share / whole for name, share in total.items()}


def coefficients(predictor: Predictor, encoder: Encoder) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    """Weights (outputs,) of each scaled column, and the intercepts (outputs,), float64.

    None for other predictors than linear ones, and where other columns than numbers without missing values are read.
    """
    numbers = encoder.inputs.get("numbers")
    if not isinstance(predictor, LinearPredictor) or numbers is None or len(encoder.inputs) > 1:
        return None
    return dict(zip(numbers.columns, predictor.weights.astype(np.float64), strict=True)), predictor.intercept


def _linear_columns(predictor: LinearPredictor, inputs: Mapping[str, Input]) -> list[str]:
    """The table's column of each weight: one for each level of a category."""
    names: list[str] = []
    for block, entry in inputs.items():
        of_block = columns({block: entry})
        sizes = predictor.cardinalities if block == "categories" else [1] * len(of_block)
        names += [name for name, size in zip(of_block, sizes, strict=True) for _ in range(size)]
    return names


def _variances(predictor: BoostedTrees) -> np.ndarray:
    """The variance caused by the splits of each column of the trees' rows, float64 (columns,)."""
    trees = predictor.trees
    values = np.zeros(len(trees.feature))
    values[trees.is_leaf] = predictor.value[:, 0]
    shares = np.zeros(trees.columns)
    for first, end in zip(trees.roots[:-1], trees.roots[1:], strict=True):
        feature, value = trees.feature[first:end], values[first:end]
        left, right = trees.left[first:end], trees.right[first:end]
        levels, weights = [np.array([0])], [np.ones(1)]
        while len(inner := np.flatnonzero(feature[levels[-1]] >= 0)):
            nodes, weight = levels[-1][inner], weights[-1][inner] / 2
            levels.append(np.concatenate([left[nodes], right[nodes]]))
            weights.append(np.concatenate([weight, weight]))
        for nodes, weight in zip(levels[::-1], weights[::-1], strict=True):
            inner = feature[nodes] >= 0
            parents = nodes[inner]
            low, high = value[left[parents]], value[right[parents]]
            value[parents] = (low + high) / 2
            np.add.at(shares, feature[parents], weight[inner] * (high - low) ** 2)
    return shares
