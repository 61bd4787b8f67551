"""The encoder's blocks as feature matrices of classical learners; outputs as class probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax

from lamina.data.encoding import Input
from lamina.errors import ModelFileError
from lamina.stored import check_codes

#: Number of levels of all categories from which one-hot columns are sparse.
_MANY_LEVELS = 1_000


def ordered(blocks: Mapping[str, Any]) -> np.ndarray:
    """Features of forests: categories as ordinal codes, missing values as NaN; float32 (N, columns).

    Codes are in the order of frequency. The order by mean target, which Breiman's trees use, would leak the targets of
    out-of-bag rows: most of all for a level with one row.
    """
    return np.concatenate([_plain(name, block) for name, block in blocks.items()], axis=1)


def coded(blocks: Mapping[str, Any]) -> np.ndarray:
    """Features of boosted trees: codes of the categories first, 0 for a missing one, then as :func:`ordered`."""
    codes = [np.asarray(block, dtype=np.float32) for name, block in blocks.items() if name == "categories"]
    return np.concatenate([*codes, *(_plain(name, block) for name, block in blocks.items() if name != "categories")], axis=1)


def one_hot(
    blocks: Mapping[str, Any], cardinalities: Sequence[int], *, flag: float = 1.0, level: float = 1.0
) -> np.ndarray | sparse.csr_matrix:
    """Features of linear models and distances: one-hot categories with a column for missing, pixels scaled to [0, 1].

    float32 (N, columns); sparse with terms of texts or more than 1,000 levels. Flags are multiplied by ``flag``, one-hot
    columns have ``level`` instead of 1.
    """
    is_sparse = sum(cardinalities) > _MANY_LEVELS or any(sparse.issparse(block) for block in blocks.values())
    parts: list[Any] = []
    for name, block in blocks.items():
        if name == "categories":
            part = _levels(block, cardinalities, level)
            parts.append(part if is_sparse else part.toarray())
        elif sparse.issparse(block):
            parts.append(block)
        else:
            part = _plain(name, block)
            factor = flag if name == "flags" else 1 / 255 if block.dtype == np.uint8 else 1
            parts.append(part if factor == 1 else part * np.float32(factor))
    return sparse.hstack(parts, format="csr", dtype=np.float32) if is_sparse else np.concatenate(parts, axis=1)


def columns(inputs: Mapping[str, Input]) -> list[str]:
    """The table's column of each column of :func:`ordered`."""
    names: list[str] = []
    for block in inputs.values():
        names += block.columns or [block.names[0]] * math.prod(block.shape)
    return names


def cardinalities(inputs: Mapping[str, Input]) -> tuple[int, ...]:
    """Number of codes of each category."""
    return inputs["categories"].cardinalities if "categories" in inputs else ()


def count_columns(inputs: Mapping[str, Input], *, levels: bool = False) -> int:
    """Number of columns of :func:`ordered` and :func:`coded`, or with ``levels`` of :func:`one_hot`."""
    plain = sum(math.prod(block.shape) for name, block in inputs.items() if not (levels and name == "categories"))
    return plain + sum(cardinalities(inputs)) * levels


def are_of(kind: str, inputs: Mapping[str, Input], blocks: Iterable[str]) -> np.ndarray:
    """Which columns of :func:`one_hot` are of a kind of block, bool (columns,)."""
    widths = {name: math.prod(inputs[name].shape) for name in blocks}
    if "categories" in widths:
        widths["categories"] = sum(cardinalities(inputs))
    return np.concatenate([np.full(width, inputs[name].kind == kind) for name, width in widths.items()])


def check_outputs(scores: int, present: Sequence[int] | None, classes: int, outputs: int) -> None:
    """Raise ModelFileError unless a loaded model has the outputs of its task, as :func:`probabilities` makes them of scores.

    Args:
        scores: Number of scores of a row.
        present: Codes of the classes that have a score; None for all.
        classes: Number of classes of the model, 0 for values.
        outputs: Number of outputs of the task.
    """
    if present is not None and classes:
        check_codes("the codes of the classes", present, classes)
        expected = 1 if len(present) == 2 else len(set(present))
        if scores != expected or len(present) < 2 or len(set(present)) < len(present):
            raise ModelFileError(f"the predictor has {scores} scores for the classes {list(present)[:10]}")
    elif scores != outputs:
        raise ModelFileError(f"the predictor has {scores} outputs, expected {outputs} as the task")
    if classes not in (0, outputs):
        raise ModelFileError(f"the predictor has {classes} classes, expected {outputs} as the task")


def check_cardinalities(given: Sequence[int], inputs: Mapping[str, Input]) -> None:
    """Raise ModelFileError unless a loaded model has the numbers of codes of the encoder."""
    if tuple(given) != (expected := cardinalities(inputs)):
        raise ModelFileError(f"the predictor has {list(given)[:10]} codes of categories, the encoder {list(expected)[:10]}")


def all_classes(probabilities: np.ndarray, present: Any, classes: int) -> np.ndarray:
    """Probabilities of all classes from those of the classes among the training rows; 0 for the others."""
    if probabilities.shape[1] == classes:
        return probabilities
    out = np.zeros((len(probabilities), classes))
    out[:, np.asarray(present, dtype=np.int64)] = probabilities
    return out


def probabilities(scores: np.ndarray, present: Sequence[int], classes: int) -> np.ndarray:
    """Class probabilities from scores: the sigmoid of one column for two classes, else softmax; see :func:`all_classes`."""
    shares = expit(np.concatenate([-scores, scores], axis=1)) if len(present) == 2 else softmax(scores, axis=1)
    return all_classes(shares, present, classes)


def _levels(codes: np.ndarray, cardinalities: Sequence[int], level: float) -> sparse.csr_matrix:
    rows, width = codes.shape
    places = codes + np.cumsum([0, *cardinalities[:-1]])
    values = np.full(codes.size, level, dtype=np.float32)
    shape = (rows, sum(cardinalities))
    return sparse.csr_matrix((values, places.reshape(-1), np.arange(0, codes.size + 1, width)), shape=shape)


def _plain(name: str, block: Any) -> np.ndarray:
    if name == "categories":
        return np.where(block == 0, np.nan, block).astype(np.float32)
    if hasattr(block, "toarray"):
        block = block.toarray()
    return np.asarray(block, dtype=np.float32).reshape(len(block), math.prod(block.shape[1:]))
