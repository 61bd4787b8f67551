"""The verdict of a comparison: the best candidate, the probability of that, the costs, and the recommended candidate."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from lamina.comparison.results import BASELINE, Candidate, Pair, Verdict
from lamina.comparison.statistics import MIN_FOLDS, correlated_t_test, rows_needed
from lamina.comparison.words import paragraph
from lamina.errors import OptionError
from lamina.tasks.metrics import Metric


def decide(
    candidates: Sequence[Candidate],
    *,
    metric: Metric,
    rows: int,
    test_share: float,
    rope: float | None = None,
    sure: float = 0.95,
    baseline: str = BASELINE,
) -> Verdict:
    """The verdict over candidates: the best, the probability of that, and the recommendation.

    The best candidate has the best mean score. Recommended is the simplest of those that are not shown to be worse, that is,
    against which the best has not reached the probability ``sure`` of being better by more than the rope. So a tie goes to the
    simpler model, and so does an unclear comparison: the gain in score is uncertain, the complexity is not.

    Simpler is the candidate whose family comes first in :data:`lamina.families.SIMPLEST_FIRST`; within a family, the one with
    fewer parameters, nodes or rows. Of candidates that are about equally complex (one family, sizes within ``SAME_SIZE``) the
    one with the best score is recommended, then the smaller one, then the first. Measured times do not count, because they
    vary with the load of the machine: the same rows, seed and scores always give the same verdict.

    The baseline is recommended only where no candidate is shown to beat it. Candidates are compared on the folds that both
    finished, and one with fewer folds than the best is not recommended in its place.

    Args:
        candidates: Each with its scores on the same folds.
        metric: The metric of the scores, from :meth:`lamina.tasks.Task.metric`.
        rows: Number of rows in all.
        test_share: Share of the rows that a fold tests.
        rope: The smallest difference that matters, in the metric's units; ``None`` for the metric's own.
        sure: The probability that a decision needs.
        baseline: Name of the candidate that ignores all columns; it may be absent.

    Raises:
        OptionError: Two candidates have the same name, or an option is out of bounds.

    Example:
        >>> import polars as pl
        >>> from lamina.tasks import Task
        >>> forest = Candidate("forest", (0.871, 0.868, 0.874, 0.866, 0.872), 0.8, 21.0, 9_000_000, rank=6)
        >>> ridge = Candidate("ridge", (0.841, 0.835, 0.846, 0.838, 0.840), 0.1, 0.4, 2_000, rank=1)
        >>> metric = Task.infer(pl.DataFrame({"y": ["no", "yes"] * 2}), "y").metric("accuracy")
        >>> verdict = decide([forest, ridge], metric=metric, rows=20_000, test_share=0.2)
        >>> verdict.call, verdict.take
        ('wins', 'forest')
        >>> print(verdict.words)
        forest is best: accuracy 0.870 against 0.840 for ridge. The probability that it is better by more than 0.01 (the
        smallest difference that matters) is more than 99 %. forest fits in 0.8 s and predicts a row in 21 µs, ridge in 0.1 s
        and 0.4 µs; to fit and predict 20,000 rows, forest takes 11 times as long. Use forest, unless a simpler model matters
        more than 0.030 of accuracy.
    """
    names = [candidate.name for candidate in candidates]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{names.count(name)} candidates are called {name!r}; give each a different name")
    if not 0.5 < sure < 1:
        raise OptionError(f"sure is {sure!r}, expected a probability above 0.5 and below 1, such as 0.95")
    scores = _scores(candidates, metric)
    finished = {candidate.name: int(candidate.finished.sum()) for candidate in candidates}
    differences = {
        (a, b): common for a in names for b in names if a != b and len(common := _finite(scores[a] - scores[b])) >= MIN_FOLDS
    }
    best = _best([name for name in names if name != baseline], scores, differences) or _best(names, scores, differences)
    if rope is None:
        rope = metric.rope * (abs(float(_finite(scores[best]).mean())) if metric.relative and best else 1.0)
    compared = {pair: correlated_t_test(values, test_share=test_share, rope=rope) for pair, values in differences.items()}

    others = [name for name in names if (best, name) in compared and name != baseline]
    learners = [name for name in names if (name, baseline) in compared]
    rival, needed = "", None
    if not others and not learners:
        call, take = ("failed", "alone", "too few folds")[min(sum(map(bool, finished.values())), 2)], best
    elif learners and not any(compared[name, baseline].better >= sure for name in learners):
        best = max(learners, key=lambda name: compared[name, baseline].mean)
        call, take, rival = "nothing learnt", baseline, baseline
    else:
        unbeaten = [name for name in others if compared[best, name].better < sure]
        ahead = {name: compared[best, name].mean for name in unbeaten if finished[name] >= finished[best]}
        take = _simplest(ahead | {best: 0.0}, candidates)
        rival = take if take != best else min(unbeaten or others or [baseline], key=lambda name: compared[best, name].mean)
        lead = compared[best, rival]
        call = "wins" if lead.better >= sure else "tie" if lead.equal >= sure else "unclear"
    if call == "unclear" or (call == "nothing learnt" and compared[best, rival].better > 1 - sure):
        needed = rows_needed(differences[best, rival], rows=rows, test_share=test_share, rope=rope, sure=sure)
    pairs = tuple(
        Pair(a, b, len(differences[a, b]), difference)
        for (a, b), difference in compared.items()
        if difference.mean > 0 or (difference.mean == 0 and names.index(a) < names.index(b))
    )
    verdict = Verdict(metric.name, rope, sure, best, take, rival, call, needed, pairs, "")
    return dataclasses.replace(verdict, words=paragraph(verdict, candidates, metric=metric, rows=rows, baseline=baseline))


def _scores(candidates: Sequence[Candidate], metric: Metric) -> dict[str, np.ndarray]:
    """The scores of each candidate on all folds, negated where lower is better; nan where there is none."""
    folds = max((len(candidate.scores) for candidate in candidates), default=0)
    scores = {}
    for candidate in candidates:
        values = np.full(folds, np.nan)
        values[np.flatnonzero(candidate.finished)] = np.array(candidate.scores)[candidate.finished]
        scores[candidate.name] = values if metric.greater else -values
    return scores


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _best(names: Sequence[str], scores: Mapping[str, np.ndarray], differences: Mapping[tuple[str, str], np.ndarray]) -> str:
    """The candidate with the highest mean; where folds are missing, the one with the smallest deficit in any pair."""
    margins = {name: [values.mean() for (a, _), values in differences.items() if a == name] for name in names}

    def place(name: str) -> tuple[int, float, int, float]:
        finite = _finite(scores[name])
        return len(margins[name]), min(margins[name], default=0.0), len(finite), float(finite.mean())

    return max((name for name in names if len(_finite(scores[name]))), key=place, default="")


def _simplest(behind: Mapping[str, float], candidates: Sequence[Candidate]) -> str:
    """Of the candidates that are about as simple as the simplest, the one with the best score."""
    eligible = [candidate for candidate in candidates if candidate.name in behind]
    simplest = min(eligible, key=lambda candidate: candidate.complexity)
    near = [candidate for candidate in eligible if not simplest.simpler_than(candidate)]
    return min(near, key=lambda candidate: (behind[candidate.name], candidate.parameters)).name
