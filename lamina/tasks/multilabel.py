"""Multilabel classification: several yes/no labels for each row, which may be missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import compress
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from lamina.errors import OptionError, TargetError
from lamina.tasks import metrics as m
from lamina.tasks.losses import KNOWN, LABEL_CROSS_ENTROPY, TARGET, Loss
from lamina.tasks.metrics import TITLES, Metric
from lamina.tasks.prediction import Prediction
from lamina.tasks.report import Table, amount, label_figures
from lamina.tasks.target import check_rows, first_values, plain, target_column, titled
from lamina.tasks.task import DOUBT, Learnable, Outcome, Task
from lamina.tasks.threshold import MOST_POINTS, Curve, Rule, fit_curve
from lamina.wording import percent

YES, NO = ("true", "yes", "y", "t", "1", "1.0"), ("false", "no", "n", "f", "0", "0.0")
"""Values of a yes/no column, case-insensitive."""
MOST_LABELS = 1_000
FEWEST = 20
"""Minimum number of rows with and without a label to choose its threshold."""
CURVE_POINTS = 8_192
"""Maximum number of thresholds of the curves of all labels."""
MOST_PRINTED = 20
"""Maximum number of labels in a printed table."""


@dataclass(frozen=True)
class Multilabel(Task):
    """Multilabel classification of several yes/no columns, or of one column with lists of labels.

    A missing label has no gradient and no part in a score. A row with a missing list is ignored; an empty list means no label.
    A label is predicted if its probability reaches its threshold, which has the highest F1 on the validation rows (Lipton,
    Elkan and Narayanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure").

    Args:
        labels: The labels: names of the columns, or the sorted values of the lists.
        listed: Whether the target is one column of lists.
        values: The values for no and yes in each column.
        frequencies: Frequency of each label in the training rows where it is not missing.
        thresholds: Probability threshold of each label.
        curves: Thresholds of each label on the validation rows, see :mod:`lamina.tasks.threshold`; empty for too few rows.
        rule: How they were chosen on the validation rows; empty if they were given.

    Example:
        >>> task = Task.infer(pl.DataFrame({"genres": [["drama"], ["drama", "war"], [], ["war"]]}), "genres")
        >>> task.name, task.labels, task.truth(pl.DataFrame({"genres": [["war"]]})).tolist()
        ('multilabel', ('drama', 'war'), [[0.0, 1.0]])
        >>> task.predict(np.array([[0.9, 0.8], [0.2, 0.1]])).labels.tolist()
        [['drama', 'war'], []]
    """

    labels: tuple[str, ...] = ()
    listed: bool = False
    values: tuple[tuple[Any, Any], ...] = ()
    frequencies: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    curves: tuple[Curve, ...] = ()
    rule: str = ""

    name: ClassVar[str] = "multilabel"
    judge: ClassVar[str] = "labels"

    @classmethod
    def guess(cls, table: pl.DataFrame, names: list[str], *, requested: bool, min_class_rows: int) -> Self | None:
        columns = [plain(table[name]) for name in names]
        pairs = [_pair(column) for column in columns]
        listed = len(names) == 1 and columns[0].dtype == pl.List and (requested or columns[0].dtype == pl.List(pl.String))
        if listed:
            labels = tuple(columns[0].drop_nulls().explode().drop_nulls().cast(pl.String).unique().sort().to_list())
            reason = f"{names[0]} has lists, so a row may have several labels"
        elif len(names) > 1 and all(pairs):
            labels, reason = tuple(names), f"{len(names)} columns of yes and no, so a row may have several labels"
        elif requested:
            wrong = next((name for name, pair in zip(names, pairs, strict=True) if pair is None), names[0])
            raise TargetError(
                f"target {wrong!r} is not a label: multilabel needs several columns of yes and no (true/false, 1/0), "
                "or one column of lists"
            )
        else:
            return None
        if not 0 < len(labels) <= MOST_LABELS:
            raise TargetError(f"the {titled(names)} has {len(labels):,} labels, expected 1 to {MOST_LABELS:,}")
        values = tuple(pair for pair in pairs if pair)
        task = cls(tuple(names), reason, labels=labels, listed=listed, values=values)
        truth = task.truth(table)
        known = ~np.isnan(truth)
        check_rows(int(known.any(axis=1).sum()), names)
        if empty := [label for label, count in zip(labels, known.sum(axis=0).tolist(), strict=True) if not count]:
            raise TargetError(f"label {empty[0]!r} has no value in any row; drop it, or give rows with a value")
        if not any(len(np.unique(column[~np.isnan(column)])) > 1 for column in truth.T):
            raise TargetError(f"every label of the {titled(names)} is the same in all rows; give rows that differ")
        return task.fit(table)

    def _known(self, table: pl.DataFrame) -> np.ndarray:
        return np.asarray(~np.isnan(self.truth(table)).all(axis=1))

    def fit(self, table: pl.DataFrame) -> Self:
        truth = self.truth(table)
        frequencies = np.nansum(truth, axis=0) / np.maximum((~np.isnan(truth)).sum(axis=0), 1)
        return dataclasses.replace(self, frequencies=tuple(frequencies.tolist()))

    def decide(self, outputs: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """The task with the threshold of each label that has the highest F1 on these rows; 0.5 for few rows.

        Shape:
            outputs and truth (NaN for missing) (N, labels); weight (N,).
        """
        curves = tuple(
            _curve(*of, weight, most=CURVE_POINTS // len(self.labels)) for of in zip(outputs.T, truth.T, strict=True)
        )
        return dataclasses.replace(self, curves=curves).with_threshold("f1")

    def with_threshold(self, threshold: float | str) -> Self:
        """The task with the thresholds that a rule chooses for each label, or with one probability for all.

        Labels of too few validation rows keep 0.5 with a rule.
        """
        rule = Rule.parse(threshold)
        if not rule.name:
            return dataclasses.replace(self, thresholds=rule.values * len(self.labels), rule="")
        chosen = self.thresholds or (0.5,) * len(self.labels)
        if any(self.curves):
            pairs = zip(self.curves, self.labels, strict=True)
            chosen = tuple(rule.choose(curve, label) if curve else 0.5 for curve, label in pairs)
        elif rule.name != "f1":
            rule.choose(())  # an error
        return dataclasses.replace(self, thresholds=chosen, rule=str(rule))

    @property
    def warning(self) -> str:
        same = [label for label, share in zip(self.labels, self.frequencies, strict=False) if share in (0.0, 1.0)]
        subject = f"the label {same[0]!r} is" if len(same) == 1 else f"the labels {first_values(same)} are"
        return f"{subject} the same in all rows and cannot be predicted" if same else ""

    # -- the target --------------------------------------------------------------------------------------------------------

    def encode(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        """``target``: 1 for rows with the label, float32 (N, labels); ``known``: 1 if it is not missing, likewise."""
        truth = self.truth(table)
        return {TARGET: np.nan_to_num(truth).astype(np.float32), KNOWN: (~np.isnan(truth)).astype(np.float32)}

    def truth(self, table: pl.DataFrame) -> np.ndarray:
        """0, 1, or NaN for missing; float64 (N, labels)."""
        if not self.listed:
            pairs = zip(self.targets, self.values, strict=True)
            return np.stack([_codes(plain(target_column(table, name)), name, pair) for name, pair in pairs], axis=1)
        column = target_column(table, self.targets[0])
        if column.dtype != pl.List and column.null_count() < len(column):
            raise TargetError(f"target {column.name!r} is of type {column.dtype}, expected lists as in training")
        truth = np.zeros((len(column), len(self.labels)))
        truth[column.is_null().to_numpy()] = np.nan
        place = {label: number for number, label in enumerate(self.labels)}
        for row, labels in enumerate(column.to_list()):
            for label in labels or ():
                if label is None:
                    continue
                if str(label) not in place:
                    raise TargetError(
                        f"target {column.name!r} has the label {label!r} in row {row + 1:,}, which was not in training; "
                        f"expected {first_values(self.labels)}"
                    )
                truth[row, place[str(label)]] = 1.0
        return truth

    def decode_truth(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.where(blocks[KNOWN] > 0, blocks[TARGET], np.nan).astype(np.float64)

    def soften(self, blocks: Mapping[str, np.ndarray], outputs: np.ndarray, share: float) -> dict[str, np.ndarray]:
        """A label that is not known has the probability of the outputs alone."""
        soft = np.where(blocks[KNOWN] > 0, super().soften(blocks, outputs, share)[TARGET], outputs).astype(np.float32)
        return {TARGET: soft, KNOWN: np.ones_like(soft)}

    def outcomes(self, truth: np.ndarray) -> tuple[Outcome, ...]:
        codes = np.where(np.isnan(truth), -1, truth).astype(np.int64)
        return tuple(Outcome(label, codes[:, place], ("no", "yes")) for place, label in enumerate(self.labels))

    def learnables(self, blocks: Mapping[str, np.ndarray]) -> tuple[Learnable, ...]:
        codes, known = blocks[TARGET].astype(np.int64), blocks[KNOWN] > 0
        return tuple(Learnable(codes[:, place], 2, known[:, place]) for place in range(len(self.labels)))

    def strata(self, table: pl.DataFrame) -> np.ndarray:
        """The rarest label of each row, from 1; 0 for rows without a label."""
        truth = np.nan_to_num(self.truth(table))
        order = np.argsort(truth.sum(axis=0), kind="stable")
        return np.where(truth.any(axis=1), 1 + truth[:, order].argmax(axis=1), 0)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels, as scikit-learn calls them."""
        return self.labels

    # -- outputs -----------------------------------------------------------------------------------------------------------

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def losses(self) -> tuple[Loss, ...]:
        return (LABEL_CROSS_ENTROPY,)

    def predict(self, outputs: np.ndarray) -> Prediction:
        has = np.asarray(outputs) >= np.array(self.thresholds or (0.5,) * len(self.labels))
        if self.listed:
            labels = np.empty(len(has), dtype=object)
            labels[:] = [list(compress(self.labels, row)) for row in has.tolist()]
        else:
            columns = [np.array(pair)[has[:, place].astype(int)] for place, pair in enumerate(self._pairs)]
            same_type = len({column.dtype.kind for column in columns}) == 1
            labels = np.stack(columns if same_type else [column.astype(object) for column in columns], axis=1)
        return Prediction(outputs, has.astype(np.float64), labels)

    @property
    def _pairs(self) -> tuple[tuple[Any, Any], ...]:
        return self.values or ((0, 1),) * len(self.labels)

    def baseline(self, rows: int) -> np.ndarray:
        return np.tile(self.frequencies, (rows, 1))

    @property
    def untuned(self) -> Self:
        return dataclasses.replace(self, thresholds=(), rule="")

    def adopting(self, other: Task) -> Self:
        chosen = dict(zip(other.labels, other.thresholds, strict=False)) if isinstance(other, Multilabel) else {}
        return dataclasses.replace(self, thresholds=tuple(chosen.get(label, 0.5) for label in self.labels))

    def columns(self, prediction: Prediction, probabilities: np.ndarray) -> list[Any]:
        if self.listed:
            return [pl.Series(prediction.labels.tolist(), dtype=pl.List(pl.String)), *probabilities.T]
        pairs = zip(self._pairs, prediction.labels.T, strict=True)
        return [*(np.array(column.tolist(), dtype=np.array(pair).dtype) for pair, column in pairs), *probabilities.T]

    def align(self, outputs: np.ndarray, other: Task) -> np.ndarray:
        if not isinstance(other, Multilabel) or other.labels == self.labels:
            return outputs
        aligned = np.tile(self.frequencies, (len(outputs), 1))
        aligned[:, [self.labels.index(label) for label in other.labels]] = outputs
        return aligned

    # -- how good it is ----------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[Metric, ...]:
        def macro(name: str, *, shown: bool = True, needs: str = "probabilities") -> Metric:
            title, compute = TITLES[f"{name}_macro"], m.macro(m.of_two(name))
            return Metric(f"{name}_macro", title, compute, shown=shown, silent="no label has both yes and no", needs=needs)

        return (
            macro("auc"),
            Metric("log_loss", TITLES["log_loss"], m.label_log_loss, greater=False, needs="probabilities"),
            macro("f1", needs="labels"),
            Metric("f1_micro", TITLES["f1_micro"], m.f1_micro),
            Metric("hamming_loss", TITLES["hamming_loss"], m.hamming_loss, greater=False),
            macro("average_precision", shown=False),
        )

    @property
    def main_metric(self) -> Metric:
        return self.metric("auc_macro")

    @property
    def monitored(self) -> tuple[Metric, ...]:
        return (self.metric("log_loss"),)

    def row_losses(self, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        known = ~np.isnan(truth)
        of_truth = (1 - DOUBT) * np.where(truth == 1, outputs, 1 - outputs) + DOUBT / 2
        losses = np.where(known, -np.log(np.clip(of_truth, m.TINY, 1.0)), 0.0)
        return losses.sum(axis=1) / np.maximum(known.sum(axis=1), 1)

    def details(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        prediction = self.predict(outputs)
        aucs = m.by_label(m.of_two("auc"), truth, prediction, weight)
        thresholds = self.thresholds or (0.5,) * len(self.labels)
        known = (~np.isnan(truth)).sum(axis=0).tolist()
        report = [
            {"label": label, **figures, "auc": None if np.isnan(auc) else auc, "known": rows, "threshold": threshold}
            for label, figures, auc, rows, threshold in zip(
                self.labels, label_figures(truth, prediction.decision, weight), aucs, known, thresholds, strict=True
            )
        ]
        chosen = {"threshold": {"rule": self.rule, "rows": "validation rows of the fit"}} if self.rule else {}
        return {"report": report, "labels": list(self.labels), **chosen}

    def tables(self, details: Mapping[str, Any]) -> tuple[Table, ...]:
        report = details.get("report")
        if not report:
            return ()
        rows = tuple(
            (
                label,
                *(f"{row[name]:.4f}" for name in ("precision", "recall", "f1")),
                "" if row["auc"] is None else f"{row['auc']:.4f}",
                amount(row["support"]),
                f"{row['threshold']:.2f}",
            )
            for label, row in list(zip(self.labels, report, strict=True))[:MOST_PRINTED]
        )
        title = "Labels" if len(report) <= MOST_PRINTED else f"The first {MOST_PRINTED} of {len(report):,} labels"
        if chosen := details.get("threshold"):
            title += f"; thresholds chosen on the {chosen['rows']} for {chosen['rule']}"
            title += "" if all(self.curves) else f" (0.5 for labels of fewer than {FEWEST})"
        return (Table(title, ("label", "precision", "recall", "F1", "AUC", "support", "threshold"), rows),)

    def errors(self, truth: np.ndarray, outputs: np.ndarray, most: int) -> list[dict[str, Any]]:
        decision = self.predict(outputs).decision
        rows, places = np.nonzero(~np.isnan(truth) & (truth != decision))
        predicted = decision[rows, places].astype(np.int64)
        confidence = np.where(predicted, outputs[rows, places], 1 - outputs[rows, places])
        order = np.argsort(-confidence, kind="stable")[:most]
        lists = (values[order].tolist() for values in (rows, places, predicted, confidence))
        return [
            {
                "row": row,
                "label": self.labels[place],
                "actual": ("no", "yes")[1 - yes],
                "predicted": ("no", "yes")[yes],
                "probability": probability,
            }
            for row, place, yes, probability in zip(*lists, strict=True)
        ]

    # -- words and files ---------------------------------------------------------------------------------------------------

    def headline(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: str) -> str:
        wrong, trivial = percent(scores["hamming_loss"]), percent(baseline["hamming_loss"])
        f1 = percent(scores["f1_macro"]) if "f1_macro" in scores else "not defined"
        return (
            f"{wrong} of the labels are wrong on {rows}; always predicting the more frequent value has {trivial}. "
            f"Mean F1 of the labels: {f1}."
        )

    def evidence(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: int) -> float:
        return rows * (baseline["log_loss"] - scores["log_loss"])

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        return values | {"values": tuple(tuple(pair) for pair in values["values"])}

    def class_weights(self, table: pl.DataFrame, class_weight: Literal["balanced"] | Mapping[Any, float]) -> np.ndarray:
        raise OptionError("class_weight is for classification, but the task is multilabel; give a weight for each row")


def _pair(column: pl.Series) -> tuple[Any, Any] | None:
    """The values for no and yes; None if it is not a yes/no column."""
    if column.dtype == pl.Boolean:
        return False, True
    if column.dtype == pl.Null:
        return 0, 1
    if column.dtype.is_numeric():
        values = column.fill_nan(None) if column.dtype.is_float() else column
        return (0, 1) if ((values == 0) | (values == 1)).all() else None
    if column.dtype != pl.String:
        return None
    spellings: dict[bool, str] = {}
    for value in column.drop_nulls().unique(maintain_order=True).to_list():
        word = value.strip().casefold()
        if word not in (*YES, *NO) or spellings.setdefault(word in YES, value) != value:
            return None
    return spellings.get(False, "no"), spellings.get(True, "yes")


def _codes(column: pl.Series, name: str, pair: tuple[Any, Any]) -> np.ndarray:
    codes = np.full(len(column), np.nan)
    column = column.fill_nan(None) if column.dtype.is_float() else column
    for row, value in enumerate(column.to_list()):
        if value is None:
            continue
        word = str(value).strip().casefold()
        if word not in (*YES, *NO):
            raise TargetError(
                f"label {name!r} is {value!r} in row {row + 1:,}, expected {pair[1]!r} or {pair[0]!r} as in training"
            )
        codes[row] = float(word in YES)
    return codes


def _curve(outputs: np.ndarray, truth: np.ndarray, weight: np.ndarray | None, *, most: int) -> Curve:
    """The curve of a label on the rows where it is known (N,); empty for few rows."""
    known = ~np.isnan(truth) & np.isfinite(outputs) & (True if weight is None else weight > 0)
    has = truth[known] == 1
    if min(has.sum(), (~has).sum()) < FEWEST:
        return ()
    return fit_curve(outputs[known], has, None if weight is None else weight[known], most=min(most, MOST_POINTS))
