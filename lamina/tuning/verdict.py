"""The verdict of a tuning: was it worth it, by how much, with what probability, and at what cost."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.comparison.statistics import Comparison
from lamina.comparison.words import amount, probability
from lamina.tasks.metrics import Metric
from lamina.tasks.prediction import Prediction
from lamina.tuning.space import shown
from lamina.tuning.study import TrialResult
from lamina.wording import count, duration, two_digits

SURE = 0.95
"""The probability that a decision needs."""
CALLS = ("worth it", "unclear", "no difference", "not worth it", "defaults failed", "alone")
_DRAWS, _ROW_DRAWS = (100, 500), 2_000_000
"""Draws of the weights of the test rows, fewer for so many rows that metrics take seconds."""
_SPLITS = 0.1
"""Random halves of the test rows, as a share of the draws."""


@dataclass(frozen=True)
class Scored:
    """The scores of tuned settings and of the defaults on the test rows, and how far they are certain.

    Args:
        tuned, defaults: The scores, in the metric's units; nan where there is none.
        difference: The improvement by tuning with its probabilities; positive where tuned settings are better, also for errors.
        score: The score to expect of the settings that are taken, corrected for that choice.
        low, high: Its 95 % credible interval.
        standard_error: The standard deviation of its posterior.
        rope: The smallest difference that matters, in the metric's units.
    """

    tuned: float
    defaults: float
    difference: Comparison | None
    score: float
    low: float
    high: float
    standard_error: float
    rope: float


def score_both(
    metric: Metric,
    truth: np.ndarray,
    tuned: Prediction | None,
    defaults: Prediction | None,
    *,
    weight: np.ndarray | None = None,
    group: np.ndarray | None = None,
    rope: float | None = None,
    seed: int = 0,
) -> Scored:
    """Score both settings on the test rows.

    The probabilities are those of the Bayesian bootstrap (Rubin 1981): the weights of the rows are drawn from a Dirichlet
    distribution, of the rows of a group together, and both settings are scored with the same weights. Who takes the better of
    two scores expects too much, so the score is corrected, see :func:`_excess`.

    Args:
        metric: The metric.
        truth: The target of the test rows, as :meth:`lamina.tasks.Task.truth` gives it.
        tuned, defaults: The predictions, of which one may be None.
        weight: The weight of each row (N,).
        group: The group of each row (N,), or None.
        rope: The smallest difference that matters; None for the metric's own.
        seed: Seed of the draws.
    """
    sign = 1.0 if metric.greater else -1.0
    predictions = [one for one in (tuned, defaults) if one is not None]
    scores = np.array([metric(truth, one, weight) for one in predictions])
    if rope is None:
        rope = metric.rope * (abs(float(scores[0])) if metric.relative else 1.0)
    generator = np.random.default_rng(seed)
    draws = _draw_count(len(truth))
    members = np.arange(len(truth)) if group is None else np.unique(group, return_inverse=True)[1]
    drawn = np.empty((draws, len(predictions)))
    for place in range(draws):
        share = generator.standard_exponential(int(members.max()) + 1)[members]
        drawn[place] = [metric(truth, one, share if weight is None else share * weight) for one in predictions]
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    first = float(scores[0])
    difference = None
    taken, excess = 0, 0.0
    if len(predictions) == 2:
        gains = sign * (drawn[:, 0] - drawn[:, 1])
        difference = _comparison(sign * float(scores[0] - scores[1]), gains, rope)
        taken = 0 if takes(difference) else 1
        if difference.equal < SURE:
            excess = _excess(metric, truth, predictions, weight, members, taken, generator, int(_SPLITS * draws))
    low, high = np.quantile(drawn[:, taken], (0.025, 0.975)) - excess if len(drawn) else (-math.inf, math.inf)
    return Scored(
        tuned=math.nan if tuned is None else first,
        defaults=math.nan if defaults is None else float(scores[-1]),
        difference=difference,
        score=float(np.clip(scores[taken] - excess, metric.lowest, metric.highest)),
        low=float(np.clip(low, metric.lowest, metric.highest)),
        high=float(np.clip(high, metric.lowest, metric.highest)),
        standard_error=float(drawn[:, taken].std()) if len(drawn) else math.nan,
        rope=rope,
    )


def _draw_count(rows: int) -> int:
    return int(np.clip(_ROW_DRAWS // rows, *_DRAWS))


def calls_of_metric(rows: int) -> int:
    """How often :func:`score_both` computes the metric for so many test rows."""
    return int(_draw_count(rows) * (2 + 4 * _SPLITS))


def _excess(
    metric: Metric,
    truth: np.ndarray,
    predictions: Sequence[Prediction],
    weight: np.ndarray | None,
    members: np.ndarray,
    taken: int,
    generator: np.random.Generator,
    splits: int,
) -> float:
    """How much better, in the mean, the better one of two seems on the rows that choose it than it is on others.

    One random half of the rows (or groups) chooses, and the other is not biased by it. The excess is divided by the square root
    of 2, because it falls with the root of the number of rows, and all of them chose.
    """
    sign = 1.0 if metric.greater else -1.0
    weights = np.ones(len(truth)) if weight is None else weight
    number, excess = int(members.max()) + 1, []
    for _ in range(splits):
        half = np.isin(members, generator.permutation(number)[: number // 2])
        scores = np.array([[metric(truth, one, weights * side) for one in predictions] for side in (half, ~half)])
        for chooses, other in (scores, scores[::-1]):
            chosen = int(np.argmax(sign * chooses))
            above = chooses - other
            excess.append(above[chosen] - above[taken])  # the second one is 0 in the mean, and makes the noise smaller
    finite = [value for value in excess if math.isfinite(value)]
    return float(np.mean(finite)) / math.sqrt(2) if finite else 0.0


def takes(difference: Comparison) -> bool:
    """Whether the tuned settings are taken: they are better on the test rows, and not practically equal to the defaults."""
    return difference.mean > 0 and not difference.equal >= SURE


def _comparison(mean: float, gains: np.ndarray, rope: float) -> Comparison:
    if not len(gains):
        return Comparison(mean, -math.inf, math.inf, math.nan, math.nan, math.nan)
    low, high = np.quantile(gains, (0.025, 0.975))
    worse, better = float(np.mean(gains < -rope)), float(np.mean(gains > rope))
    return Comparison(mean, float(low), float(high), worse, max(1.0 - worse - better, 0.0), better)


@dataclass(frozen=True)
class TuningVerdict:
    """The result of a tuning in words.

    Args:
        call: One of :data:`CALLS`.
        take: "tuned" or "defaults": the settings of the model.
        difference: The improvement by tuning on the test rows; None where it was not measured.
        rope: The smallest difference that matters, in the metric's units.
        words: The verdict as a paragraph.
    """

    call: str
    take: str
    difference: Comparison | None
    rope: float
    words: str

    def __repr__(self) -> str:
        return textwrap.fill(self.words, 80, break_long_words=False)

    def to_json(self) -> dict[str, Any]:
        difference = None if self.difference is None else vars(self.difference)
        return {"call": self.call, "take": self.take, "difference": difference, "rope": self.rope, "words": self.words}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        values = content["difference"]
        numbers = None if values is None else {name: math.nan if one is None else one for name, one in values.items()}
        return cls(**{**content, "difference": None if numbers is None else Comparison(**numbers)})


def decide(
    scored: Scored,
    *,
    metric: Metric,
    trials: Sequence[TrialResult],
    planned: int,
    params: Mapping[str, Any],
    rows: int,
    seconds: float,
    stopped: str = "trials",
    defaults_failed: str = "",
) -> TuningVerdict:
    """The verdict.

    Args:
        scored: The scores on the test rows.
        metric: The metric.
        trials: The trials that ended.
        planned: The number of trials of the call.
        params: The parameters of the best one.
        rows: Number of the test rows.
        seconds: Time of the tuning.
        stopped: What ended it: "trials", "time_limit" or "interrupted".
        defaults_failed: Why the defaults have no score, or "".
    """
    difference, rope = scored.difference, scored.rope
    title = f"{metric.title}{'' if metric.greater else ' (lower is better)'}"
    on = f"on {count(rows, 'test row')} that no trial has seen"
    states = Counter(one.state for one in trials)
    parts = [f"{states[state]} {state}" for state in ("pruned", "failed") if states[state]]
    number = count(len(trials), "trial") if stopped == "trials" else f"{len(trials):,} of {count(planned, 'trial')}"
    ended = {"time_limit": ", which the time limit ended", "interrupted": ", which Ctrl-C ended"}.get(stopped, "")
    details = f" ({', '.join(parts)})" if parts else ""
    cost = f"It took {duration(seconds)}: {number}{details}{ended}."
    settings = f"The model has the tuned settings: {shown(params)}."
    plain = "The model has the defaults."
    if defaults_failed:
        call, take = "defaults failed", "tuned"
        sentences = [
            f"The defaults could not be fitted ({defaults_failed}), so nothing shows what tuning is worth.",
            f"The best trial has {title} {amount(scored.score, rope)} {on}.",
        ]
    elif difference is None:
        call, take = ("alone" if len(trials) < 2 else "not worth it"), "defaults"
        has = f"{title} {amount(scored.score, rope)} {on}"
        sentences = [
            f"No verdict: no other settings than the defaults were tried; they have {has}."
            if call == "alone"
            else f"Tuning was not worth it: no trial was better than the defaults, which have {has}."
        ]
    else:
        tuned, defaults = (amount(value, rope) for value in (scored.tuned, scored.defaults))
        scores = f"{title} {tuned} against {defaults} with the defaults, {on}"
        least = f"{two_digits(rope)} (the smallest difference that matters)"
        better, equal, worse = (probability(one, SURE) for one in (difference.better, difference.equal, difference.worse))
        take = "tuned" if takes(difference) else "defaults"
        if difference.better >= SURE:
            call = "worth it"
            sentences = [
                f"Tuning was worth it: {scores}.",
                f"The probability that the tuned settings are better by more than {least} is {better}.",
            ]
        elif difference.equal >= SURE:
            call = "no difference"
            sentences = [
                f"Tuning was not worth it: {scores}, which is practically equal.",
                f"The probability that they differ by no more than {least} is {equal}.",
            ]
        elif difference.mean <= 0:
            call = "not worth it"
            sentences = [
                f"Tuning was not worth it: {scores}.",
                f"The probability that the tuned settings are better by more than {least} is {better}.",
            ]
        else:
            call = "unclear"
            sentences = [
                f"It is not clear whether tuning was worth it: {scores}.",
                f"The tuned settings are better by more than {least} with a probability of {better}, the defaults with "
                f"{worse}, and they differ by less with {equal}.",
            ]
    return TuningVerdict(call, take, difference, rope, " ".join([*sentences, cost, settings if take == "tuned" else plain]))
