"""Figures of single classes and labels, the confusion matrix, and the worst predictions; the values are scikit-learn's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from lamina.errors import OptionError
from lamina.tasks.metrics import class_counts
from lamina.wording import percent

MOST_CONFUSED, MOST_MATRIX, MOST_PAIRS = 100, 12, 10
"""Maximum number of classes in a confusion matrix, of those in a printed one, and of printed pairs of confused classes."""
WIDTH = 80
"""Columns of a screen."""
_LABEL, _SHORTEST = 28, 8
_KEYS = ("precision", "recall", "f1")
_ERROR = ("row", "actual", "predicted", "probability")


@dataclass(frozen=True)
class Table:
    """A small table for a screen or a report."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    gap: int = 2


class Evaluation(dict[str, Any]):
    """Scores of a model on rows with a target; a dict that is JSON.

    =============  ==================================================================================================
    key            content
    =============  ==================================================================================================
    ``rows``       number of rows
    ``scores``     value of each metric
    ``baseline``   the same of the baseline
    ``undefined``  why a metric has no value on these rows; missing if all have one
    ``report``     for each class or label: precision, recall, F1 and support (rows, or the sum of their weights);
                   for each target of a regression its errors
    ``labels``     the classes or labels, in the order of the next
    ``confusion``  confusion matrix, actual × predicted, of up to 100 classes: weights of rows
    ``confused``   the most frequent confusions: actual and predicted class, count, share of the actual class
    ``threshold``  the decision threshold that was asked for, the rule and the rows that it was chosen on, and how many of
                   these rows were of the class
    ``errors``     the worst predictions, if asked for
    =============  ==================================================================================================

    Example:
        >>> Evaluation(labels=["no", "yes"], confusion=[[5, 1], [2, 2]]).confusion.rows()
        [('no', 5, 1), ('yes', 2, 2)]
    """

    def to_frame(self) -> pl.DataFrame:
        """Precision, recall, F1 and support of each class or label, or the errors of each target, a row each."""
        return pl.DataFrame(self["report"], infer_schema_length=None)

    @property
    def confusion(self) -> pl.DataFrame:
        """The confusion matrix: a row for each actual class, whose name is in the first column, a column for each predicted.

        Raises:
            OptionError: There are no classes, or more than 100.
        """
        if "confusion" not in self:
            raise OptionError(f"there is no confusion matrix; it is for classes, up to {MOST_CONFUSED}; take to_frame()")
        names = list(map(str, self["labels"]))
        first = "actual" if "actual" not in names else "actual class"
        columns = dict(zip(names, np.array(self["confusion"]).T, strict=True))
        return pl.DataFrame({first: self["labels"], **columns})

    @property
    def errors(self) -> pl.DataFrame:
        """The worst predictions, see ``Estimator.errors``; OptionError if they were not asked for."""
        if "errors" not in self:
            raise OptionError("this evaluation has no errors; ask for them: model.evaluate(rows, errors=10)")
        worst = self["errors"]
        return pl.DataFrame(worst, infer_schema_length=None) if worst else pl.DataFrame(schema=list(_ERROR))

    def __repr__(self) -> str:
        scores = [(name, value, self["baseline"].get(name)) for name, value in self["scores"].items()]
        tables = [pl.DataFrame(scores, {"metric": pl.String, "score": pl.Float64, "baseline": pl.Float64}, orient="row")]
        if self.get("report"):
            tables.append(self.to_frame())
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_rows=20):
            return "\n".join([f"Evaluation on {self['rows']:,} rows", *map(str, tables)])


def json_label(label: Any) -> Any:
    """A class as JSON."""
    return label.isoformat() if isinstance(label, date) else label


def class_report(
    labels: Sequence[Any], truth: np.ndarray, decision: np.ndarray, weight: np.ndarray | None = None
) -> dict[str, Any]:
    """``report``, ``labels``, ``confusion`` and ``confused`` of class codes (N,), as in :class:`Evaluation`."""
    classes = len(labels)
    names = [json_label(label) for label in labels]
    right, actual, predicted = class_counts(truth, decision, weight, classes)
    figures = zip(names, *(values.tolist() for values in _figures(right, predicted, actual)), whole(actual), strict=True)
    keys = ("class", *_KEYS, "support")
    content: dict[str, Any] = {"report": [dict(zip(keys, row, strict=True)) for row in figures], "labels": names}
    pairs, place = np.unique(truth.astype(np.int64) * classes + decision, return_inverse=True)
    counts = np.bincount(place, weight, minlength=len(pairs)).astype(np.float64)
    if classes <= MOST_CONFUSED:
        matrix = np.zeros(classes**2)
        matrix[pairs] = counts
        content["confusion"] = [whole(row) for row in matrix.reshape(classes, classes)]
    wrong = np.flatnonzero((pairs // classes != pairs % classes) & (counts > 0))
    wrong = wrong[np.argsort(-counts[wrong], kind="stable")][:MOST_PAIRS]
    content["confused"] = [
        {"actual": names[true], "predicted": names[wrongly], "count": count, "share": share}
        for true, wrongly, count, share in zip(
            pairs[wrong] // classes,
            pairs[wrong] % classes,
            whole(counts[wrong]),
            (counts[wrong] / actual[pairs[wrong] // classes]).tolist(),
            strict=True,
        )
    ]
    return content


def label_figures(truth: np.ndarray, decision: np.ndarray, weight: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each label; truth and decision are 0 or 1, NaN where unknown (N, labels)."""
    weights = (~np.isnan(truth)).astype(np.float64) * (1.0 if weight is None else weight[:, None])
    right, predicted, actual = (
        (weights * rows).sum(axis=0) for rows in ((truth == 1) & (decision == 1), decision == 1, truth == 1)
    )
    figures = zip(*(values.tolist() for values in _figures(right, predicted, actual)), whole(actual), strict=True)
    return [dict(zip((*_KEYS, "support"), row, strict=True)) for row in figures]


def _figures(right: np.ndarray, predicted: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1; 0 where they are not defined, as in scikit-learn."""

    def ratio(part: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.divide(part, of, out=np.zeros(len(of)), where=of > 0)

    return ratio(right, predicted), ratio(right, actual), ratio(2 * right, predicted + actual)


def whole(values: np.ndarray) -> list[Any]:
    """Sums of weights as numbers, whole ones as integers."""
    return [int(value) if value == int(value) else value for value in values.tolist()]


def class_tables(content: Mapping[str, Any], names: Sequence[str]) -> tuple[Table, ...]:
    """The confusion matrix, or the most frequent confusions where it does not fit 80 columns; figures of each class."""
    matrix = content.get("confusion")
    confusions = _matrix(matrix, names) if matrix and len(names) <= MOST_MATRIX else None
    if confusions is None and content.get("confused"):
        pairs = tuple(
            (f"{pair['actual']} -> {pair['predicted']}", amount(pair["count"]), percent(pair["share"]))
            for pair in content["confused"]
        )
        confusions = Table("Most frequent confusions", ("actual -> predicted", "count", "share of actual"), pairs)
    return tuple(table for table in (confusions, _figure_table(content, names)) if table is not None)


def _figure_table(content: Mapping[str, Any], names: Sequence[str]) -> Table | None:
    report = content.get("report")
    if not report:
        return None
    title, chosen = "Classes", list(zip(names, report, strict=True))
    if len(chosen) > MOST_MATRIX:
        title = f"The {MOST_PAIRS} of {len(names):,} classes with the lowest F1"
        chosen = sorted((row for row in chosen if row[1]["support"]), key=lambda row: row[1]["f1"])[:MOST_PAIRS]
    rows = tuple((name, *(f"{row[key]:.4f}" for key in _KEYS), amount(row["support"])) for name, row in chosen)
    return Table(title, ("class", "precision", "recall", "F1", "support"), rows)


def _matrix(matrix: Sequence[Sequence[float]], names: Sequence[str]) -> Table | None:
    """The matrix; its columns are numbered where the names of the classes are too wide. None if it is too wide for a screen."""
    numbers = [str(place) for place in range(1, len(names) + 1)]
    numbered = [f"{number} {name}" for number, name in zip(numbers, names, strict=True)]
    for header, first, gap, separator in ((names, names, 2, ","), (numbers, numbered, 2, ","), (numbers, numbered, 1, "")):
        cells = [[amount(cell).replace(",", separator) for cell in row] for row in matrix]
        widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
        room = min(WIDTH - gap * len(names) - sum(widths), _LABEL)
        if room >= (min(max(map(len, names)), _LABEL) if header is names else _SHORTEST):
            first = [name if len(name) <= room else name[: room - 1] + "…" for name in first]
            rows = tuple((name, *row) for name, row in zip(first, cells, strict=True))
            return Table("Confusion matrix", ("actual \\ predicted", *header), rows, gap)
    return None


def amount(value: float) -> str:
    """A number of rows, or the sum of their weights."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
