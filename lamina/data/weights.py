"""Sample weights."""

from __future__ import annotations

import numpy as np
import polars as pl

from lamina.data.schema import Schema
from lamina.errors import DataError


def row_weights(table: pl.DataFrame, schema: Schema) -> np.ndarray | None:
    """The sample weights (N,), float64; None if no column has the role "weight", or the table lacks it.

    Raises:
        DataError: A weight is missing, infinite or negative, or all are 0.
    """
    column = next((column for column in schema.columns if column.role == "weight"), None)
    if column is None or column.name not in table.columns:
        return None
    weights = table[column.name].cast(pl.Float64, strict=False).to_numpy()
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError(
            f"the weight column {column.name!r} holds missing, infinite or negative weights; mend or drop these rows"
        )
    if len(weights) and weights.sum() == 0:
        raise DataError(f"the weights in column {column.name!r} are all zero; at least one row must count")
    return weights
