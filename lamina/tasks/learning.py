"""Whether a model learnt something, nothing, or its training rows by heart (overfitting)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lamina.tasks.metrics import Metric
from lamina.wording import number, percent

ENOUGH = 3.0
"""A likelihood ratio above e**3 = 20 is rarely chance: a model that is no better has it at most once in 20."""
KEPT = 0.6
"""A model that keeps less than this share of its gain over the baseline outside of its training rows memorises them."""
REMEDY = "more rows, fewer columns, a simpler family or more regularization may help"


def judged(metric: Metric, evidence: float, result: Mapping[str, Any], rows: str) -> tuple[str, ...]:
    """Sentences about an evaluation: the main metric, :meth:`Task.evidence`, and the arguments of :meth:`Task.summary`.

    A difference of scores up to one over the square root of the rows is noise: two standard errors of an accuracy of 0.5.
    """
    scores, baseline = result["scores"], result["baseline"]
    gain = _gain(metric, scores, baseline)
    noise = 1 / math.sqrt(max(result["rows"], 1))
    sentences = []
    if evidence <= 0 and gain > noise:
        sentences.append("Its probabilities are worse than those of the baseline, only its classes are better.")
    elif evidence <= 0:
        sentences.append("It learnt nothing: it is no better than the baseline, do not rely on it.")
    elif evidence < ENOUGH and gain <= noise:
        sentences.append("It may have learnt nothing: on these rows it is not clearly better than the baseline.")
    elif "accuracy" in scores and not result.get("threshold") and scores["accuracy"] <= baseline["accuracy"]:
        sentences.append("Its accuracy is no better than that, but its probabilities are.")
    train = (result.get("train") or {}).get("scores") or {}
    memorised = _gain(metric, train, baseline)
    if metric.name in train and memorised - gain > noise and gain < KEPT * memorised:
        better, worse = number(train[metric.name]), number(scores[metric.name])
        sentences.append(f"It memorises (overfitting): {metric.title} {better} on training rows, {worse} on {rows}; {REMEDY}.")
    return tuple(sentences)


def fidelity_sentence(teacher: Mapping[str, Any] | None, rows: str) -> tuple[str, ...]:
    """A sentence on how much a student is like its teacher, which is in its card; none without one.

    Example:
        >>> fidelity_sentence({"model": "a.lamina", "family": "ensemble", "fidelity": {"agreement": 0.973}}, "validation rows")
        ('Its predictions are those of its teacher (ensemble) for 97.3 % of the validation rows.',)
    """
    if not teacher:
        return ()
    who, fidelity = teacher["family"] or teacher["model"], teacher["fidelity"]
    if (share := fidelity.get("agreement")) is not None:
        return (f"Its predictions are those of its teacher ({who}) for {percent(share)} of the {rows}.",)
    if (r2 := fidelity.get("r2")) is not None:
        return (f"R² to the predictions of its teacher ({who}) is {number(r2)} on the {rows}.",)
    return ()


def _gain(metric: Metric, scores: Mapping[str, float], baseline: Mapping[str, float]) -> float:
    """By how much a score is better than that of the baseline; 0 where there is none."""
    return scores[metric.name] - baseline[metric.name] if metric.name in scores else 0.0
