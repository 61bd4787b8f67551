"""Classification: a target of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from lamina.errors import OptionError, TargetError
from lamina.tasks import metrics as m
from lamina.tasks.losses import BINARY_CROSS_ENTROPY, CROSS_ENTROPY, MAXIMUM_A_POSTERIORI, TARGET, Loss
from lamina.tasks.metrics import TITLES, Metric
from lamina.tasks.prediction import Prediction
from lamina.tasks.report import Table, class_report, class_tables, json_label
from lamina.tasks.target import (
    check_classes,
    check_known,
    check_rows,
    first_values,
    looks_like_classes,
    missing,
    plain,
    target_column,
)
from lamina.tasks.task import DOUBT, Learnable, Outcome, Task
from lamina.tasks.threshold import Curve, Rule, fit_curve, words
from lamina.wording import count, percent

COMMON = 0.8
"""Frequency of a class above which accuracy is not the main metric, as the baseline would have a high accuracy."""
UNBALANCED = 2
"""Classes are unbalanced if one is more than so many times as frequent as another: accuracy is then never shown alone."""

_LABEL_TYPES = {"Boolean": "bool", "Date": "datetime64[D]", "Datetime": "datetime64[us]"}


@dataclass(frozen=True)
class Classification(Task):
    """Classification of a target of strings, yes/no, dates, or few distinct whole numbers.

    Args:
        classes: The classes in sorted order, as Python values; a code is an index into it.
        dtype: The polars type of the target, for the type of predicted labels.
        frequencies: Frequency of each class in the training rows.
        curve: Of two classes, thresholds on the validation rows, see :mod:`lamina.tasks.threshold`.
        threshold: Probability from which the positive class is predicted; None predicts the most probable class.
        rule: How the threshold was chosen; empty if it was given.
    """

    classes: tuple[Any, ...] = ()
    dtype: str = ""
    frequencies: tuple[float, ...] = ()
    curve: Curve = ()
    threshold: float | None = None
    rule: str = ""

    name: ClassVar[str] = "classification"
    judge: ClassVar[str] = "classes"
    has_classes: ClassVar[bool] = True

    @classmethod
    def guess(cls, table: pl.DataFrame, names: list[str], *, requested: bool, min_class_rows: int) -> Self | None:
        if len(names) > 1:
            if not requested:
                return None
            raise TargetError(f"{len(names)} targets ({', '.join(names)}) to classify; name one, or fit a model for each")
        name, reason = names[0], "classification was requested"
        column = plain(table[name])
        if column.dtype.is_nested() and not requested:
            return None
        column = column.filter(pl.Series(~missing(column)))
        if not requested:
            like_classes, reason = looks_like_classes(name, column)
            if not like_classes:
                return None
        check_rows(len(column), names)
        counts = check_classes(name, column, min_class_rows=min_class_rows, requested=requested)
        return cls(tuple(names), reason, classes=tuple(counts), dtype=str(table.schema[name])).fit(table)

    def fit(self, table: pl.DataFrame) -> Self:
        codes = self.truth(table.filter(pl.Series(self._known(table))))
        counts = np.bincount(codes, minlength=len(self.classes))
        return dataclasses.replace(self, frequencies=tuple((counts / counts.sum()).tolist()))

    @property
    def warning(self) -> str:
        """A sentence about classes that may be the same, or empty.

        Example:
            >>> Task.infer(pl.DataFrame({"left": ["No", "no", "No", "no"]}), "left").warning
            "the classes 'No' and 'no' differ only in case or spaces; if they are the same class, write them alike"
        """
        spellings: dict[str, list[Any]] = {}
        for label in self.classes:
            if isinstance(label, str):
                spellings.setdefault(" ".join(label.casefold().split()), []).append(label)
        same = [" and ".join(map(repr, labels)) for labels in spellings.values() if len(labels) > 1]
        hint = "differ only in case or spaces; if they are the same class, write them alike"
        return f"the classes {', '.join(same[:5])} {hint}" if same else ""

    # -- the target --------------------------------------------------------------------------------------------------------

    def encode(self, table: pl.DataFrame) -> dict[str, np.ndarray]:
        return {TARGET: self.truth(table)}

    def truth(self, table: pl.DataFrame) -> np.ndarray:
        """Class codes int64 (N,)."""
        name = self.targets[0]
        target = plain(target_column(table, name))
        classes = pl.Series(self.classes)
        try:
            column = target.cast(classes.dtype, strict=False)
            column = column.set(column.cast(target.dtype, strict=False).ne_missing(target), None)  # 1.5 is not the class 1
        except pl.exceptions.PolarsError as error:
            raise TargetError(f"target {name!r} is of type {target.dtype}, expected {self.dtype} as in training") from error
        codes = column.replace_strict(classes, range(len(classes)), default=None, return_dtype=pl.Int64)
        if codes.null_count():
            check_known(name, target)
            new = target.filter(codes.is_null())
            raise TargetError(
                f"target {name!r} has the class {new[0]!r} ({count(len(new), 'row')}), which was not in training; "
                f"expected {first_values(self.classes)}"
            )
        return codes.to_numpy(writable=True)

    def decode_truth(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        return blocks[TARGET]

    def _as_outputs(self, blocks: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.eye(len(self.classes))[blocks[TARGET]]

    @property
    def _outputs_by(self) -> tuple[Any, ...]:
        return self.classes

    def outcomes(self, truth: np.ndarray) -> tuple[Outcome, ...]:
        return (Outcome(self.targets[0], truth, self.classes),)

    def learnables(self, blocks: Mapping[str, np.ndarray]) -> tuple[Learnable, ...]:
        return (Learnable(blocks[TARGET], len(self.classes)),)

    def strata(self, table: pl.DataFrame) -> np.ndarray:
        return self.truth(table)

    def class_weights(self, table: pl.DataFrame, class_weight: Literal["balanced"] | Mapping[Any, float]) -> np.ndarray:
        """The weight of each row by its class; "balanced" is N / (classes x rows of the class), as in scikit-learn."""
        codes = self.truth(table)
        if class_weight == "balanced":
            counts = np.bincount(codes, minlength=len(self.classes))
            return (len(codes) / (len(counts) * np.maximum(counts, 1)))[codes]
        if unknown := [label for label in class_weight if label not in self.classes]:
            raise OptionError(
                f"class_weight names {unknown[0]!r}, which is no class of {self.targets[0]!r}: {list(self.classes)}"
            )
        return np.array([class_weight.get(label, 1.0) for label in self.classes], dtype=np.float64)[codes]

    # -- outputs -----------------------------------------------------------------------------------------------------------

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(map(str, self.classes))

    @property
    def losses(self) -> tuple[Loss, ...]:
        several = (CROSS_ENTROPY, MAXIMUM_A_POSTERIORI)
        return (BINARY_CROSS_ENTROPY, *several) if len(self.classes) == 2 else several

    def predict(self, outputs: np.ndarray) -> Prediction:
        outputs = np.asarray(outputs)
        if self.threshold is None:
            codes = outputs.argmax(axis=1)
        else:
            codes = np.where(outputs[:, self.positive] >= self.threshold, self.positive, 1 - self.positive)
        return Prediction(outputs, codes, self.labels[codes])

    def decide(self, outputs: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> Self:
        """The task with the curve of thresholds of two classes on these rows, from which a rule chooses later."""
        if len(self.classes) != 2:
            return self
        return dataclasses.replace(self, curve=fit_curve(outputs[:, self.positive], truth == self.positive, weight))

    def with_threshold(self, threshold: float | str) -> Self:
        rule = Rule.parse(threshold)
        if len(self.classes) != 2:
            raise OptionError(f"threshold is for two classes, but {self.targets[0]!r} has {len(self.classes):,}; leave it out")
        return dataclasses.replace(self, threshold=rule.choose(self.curve), rule=str(rule) if rule.name else "")

    @property
    def chosen(self) -> dict[str, Any]:
        if self.threshold is None:
            return {}
        chosen = {"class": json_label(self.classes[self.positive]), "value": self.threshold}
        if not self.rule:
            return chosen
        return chosen | {"rule": self.rule, "rows": "validation rows of the fit", "support": round(self.curve[-1][1])}

    @property
    def untuned(self) -> Self:
        return dataclasses.replace(self, threshold=None)

    @cached_property
    def labels(self) -> np.ndarray:
        """The classes as an array of the target's type; strings are in an object array."""
        base = self.dtype.partition("(")[0]
        if isinstance(self.classes[0], str):
            return np.array(self.classes, dtype=object)
        return np.array(self.classes, dtype=_LABEL_TYPES.get(base, "float64" if base == "Decimal" else base.lower()))

    def baseline(self, rows: int) -> np.ndarray:
        return np.tile(self.frequencies, (rows, 1))

    def columns(self, prediction: Prediction, probabilities: np.ndarray) -> list[np.ndarray]:
        return [prediction.labels, *probabilities.T]

    def align(self, outputs: np.ndarray, other: Task) -> np.ndarray:
        if not isinstance(other, Classification) or other.classes == self.classes:
            return outputs
        aligned = np.zeros((len(outputs), len(self.classes)))
        aligned[:, [self.classes.index(label) for label in other.classes]] = outputs
        return aligned

    # -- how good it is ----------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[Metric, ...]:
        two, uneven = len(self.classes) == 2, self.unbalanced
        metric = partial(Metric, silent="all rows predicted are of one class")
        metrics = [
            metric("accuracy", TITLES["accuracy"], m.accuracy),
            metric("log_loss", TITLES["log_loss"], m.log_loss, greater=False, needs="probabilities"),
            metric("balanced_accuracy", TITLES["balanced_accuracy"], m.balanced_accuracy, shown=uneven or not two),
            metric("f1_macro", TITLES["f1_macro"], m.f1_macro, shown=False),
        ]
        if two:
            metrics.append(metric("auc", TITLES["auc"], m.of_two("auc"), needs="probabilities"))
            for name in ("f1", "average_precision"):
                title = f"{TITLES[name]} of {self.classes[self.positive]!r}"
                shown, needs = uneven and name == "f1", "labels" if name == "f1" else "probabilities"
                metrics.append(metric(name, title, m.of_two(name, self.positive), shown=shown, needs=needs))
        return tuple(metrics)

    @property
    def main_metric(self) -> Metric:
        """Accuracy; if a class is more frequent than :data:`COMMON`, the AUC for two classes, else the balanced accuracy.

        Example:
            >>> [Classification(("y",), classes=tuple("abc"[:len(f)]), frequencies=f).main_metric.name
            ...  for f in ((0.5, 0.5), (0.9, 0.1), (0.9, 0.06, 0.04))]
            ['accuracy', 'auc', 'balanced_accuracy']
        """
        if max(self.frequencies) <= COMMON:
            return self.metric("accuracy")
        return self.metric("auc" if len(self.classes) == 2 else "balanced_accuracy")

    @property
    def monitored(self) -> tuple[Metric, ...]:
        return self.metric("log_loss"), self.metric("accuracy")

    @property
    def unbalanced(self) -> bool:
        """Whether one class is much more frequent than another."""
        return max(self.frequencies, default=0.0) > UNBALANCED * min(self.frequencies, default=0.0)

    @property
    def positive(self) -> int:
        """The code of the positive class of F1 and average precision: 1 or True, as in scikit-learn; of two strings the rarer.

        Example:
            >>> task = Task.infer(pl.DataFrame({"y": ["fraud", "legal", "legal", "fraud", "legal"]}), "y")
            >>> task.classes[task.positive]
            'fraud'
        """
        strings = isinstance(self.classes[0], str)
        return int(not strings or self.frequencies[1] <= self.frequencies[0])

    def row_losses(self, truth: np.ndarray, outputs: np.ndarray) -> np.ndarray:
        of_truth = outputs[np.arange(len(truth)), truth]
        return -np.log(np.clip((1 - DOUBT) * of_truth + DOUBT / len(self.classes), m.TINY, 1.0))

    def details(self, truth: np.ndarray, outputs: np.ndarray, weight: np.ndarray | None = None) -> dict[str, Any]:
        content = class_report(self.classes, truth, self.predict(outputs).decision, weight)
        if chosen := self.chosen:
            content["threshold"] = chosen
        return content

    def tables(self, details: Mapping[str, Any]) -> tuple[Table, ...]:
        return class_tables(details, self.output_names)

    def errors(self, truth: np.ndarray, outputs: np.ndarray, most: int) -> list[dict[str, Any]]:
        decision = self.predict(outputs).decision
        wrong = np.flatnonzero(decision != truth)
        confidence = outputs[wrong, decision[wrong]]
        order = np.argsort(-confidence, kind="stable")[:most]
        labels = [json_label(label) for label in self.classes]
        return [
            {"row": row, "actual": labels[truth[row]], "predicted": labels[decision[row]], "probability": probability}
            for row, probability in zip(wrong[order].tolist(), confidence[order].tolist(), strict=True)
        ]

    # -- words and files ---------------------------------------------------------------------------------------------------

    def headline(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: str) -> str:
        frequent = self.classes[int(np.argmax(self.frequencies))]
        accuracy, trivial = scores["accuracy"], baseline["accuracy"]
        own, always = f"Accuracy {percent(accuracy)}", percent(trivial)
        if self.unbalanced and "balanced_accuracy" in scores:
            own += f", balanced accuracy {percent(scores['balanced_accuracy'])}"
            always += f" and {percent(baseline['balanced_accuracy'])}"
        return f"{own} on {rows}; always predicting {frequent} has {always}."

    def evidence(self, scores: Mapping[str, float], baseline: Mapping[str, float], rows: int) -> float:
        return rows * (baseline["log_loss"] - scores["log_loss"])

    def summary(self, result: Mapping[str, Any], rows: str) -> tuple[str, ...]:
        sentences, chosen = super().summary(result, rows), result.get("threshold")
        return (*sentences, words(chosen)) if chosen else sentences

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"classes": [json_label(label) for label in self.classes]}

    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        parse = {"Date": date.fromisoformat, "Datetime": datetime.fromisoformat}.get(values["dtype"].partition("(")[0])
        return values | {"classes": tuple(map(parse, values["classes"]))} if parse else values
