"""The verdict of a comparison: which candidate is best, how sure that is, what it costs and which to take, in plain words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lamina.comparison.statistics import MIN_FOLDS, SAME_SIZE, Comparison, correlated_t_test, rows_needed
from lamina.comparison.words import paragraph
from lamina.errors import OptionError
from lamina.tasks.metrics import Metric

BASELINE = "baseline"
"""The candidate that looks at no column: it names the most frequent class, or the mean."""
CALLS = ("wins", "tie", "unclear", "nothing learnt", "too few folds", "alone", "failed")


@dataclass(frozen=True)
class Candidate:
    """What is known of a candidate after its folds.

    Args:
        name: Unlike any other.
        scores: The metric on each fold, in the order of folds; nan where a fold has none, shorter where the last have none.
        fit_seconds: The median over folds of the time to learn.
        predict_micros: The median over folds of the time to answer a row, in microseconds.
        bytes: Size of the model.
        failed: Why scores are missing.
        rank: Place of its family among all, from the simplest on.
        parameters: The median over folds of the number of parameters, nodes or rows that the model keeps.
    """

    name: str
    scores: tuple[float, ...]
    fit_seconds: float
    predict_micros: float
    bytes: int
    failed: str = ""
    rank: int = 0
    parameters: int = 0

    @property
    def complexity(self) -> tuple[int, int]:
        """The family counts first, then the size of the model within it."""
        return self.rank, self.parameters

    def simpler_than(self, other: Candidate) -> bool:
        """Whether its family is simpler, or it is a clearly smaller model of the same family."""
        return self.rank < other.rank or (self.rank == other.rank and self.parameters * SAME_SIZE < other.parameters)

    @property
    def finished(self) -> np.ndarray:
        """Whether each fold has a score."""
        return np.isfinite(np.array(self.scores, dtype=np.float64))

    def cost(self, rows: int) -> float:
        """Seconds to learn, and to answer so many rows once."""
        return self.fit_seconds + rows * self.predict_micros / 1e6


@dataclass(frozen=True)
class Pair:
    """Two candidates on the folds that both finished.

    Differences are improvements, whichever way the metric runs (a lower error is a positive difference), and the first is the
    one that is ahead, so ``found.mean`` is not negative.
    """

    first: str
    second: str
    folds: int
    found: Comparison


@dataclass(frozen=True)
class Verdict:
    """The answer of a comparison.

    Args:
        metric: What was compared.
        rope: The least difference that matters, in the metric's units.
        sure: The probability from which on something counts as known.
        best: The candidate with the best mean score, the baseline apart; "" where there is none.
        take: The one to take; "" where there is none.
        rival: The one that ``call`` sets ``best`` against; "" where there is none.
        call: One of :data:`CALLS`: ``best`` wins against ``rival`` (and every other), they tie, or it is unclear; nothing beats
            the baseline ("nothing learnt"); no two candidates share enough folds ("too few folds"); a single one has scores
            ("alone"), or none ("failed").
        rows_needed: About how many rows in all might settle what is unclear.
        pairs: Every two candidates that share enough folds.
        words: All of it in one paragraph.
    """

    metric: str
    rope: float
    sure: float
    best: str
    take: str
    rival: str
    call: str
    rows_needed: int | None
    pairs: tuple[Pair, ...]
    words: str

    def between(self, first: str, second: str) -> Comparison:
        """The comparison of two candidates, seen from the first; :class:`KeyError` where they share too few folds."""
        for pair in self.pairs:
            if {pair.first, pair.second} == {first, second}:
                return pair.found if pair.first == first else pair.found.turned()
        raise KeyError((first, second))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        pairs = tuple(Pair(**{**pair, "found": Comparison(**pair["found"])}) for pair in values["pairs"])
        return cls(**{**values, "pairs": pairs})


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
    """Say which candidate is best, how sure that is, and which to take.

    One rule: the more complex candidate has to prove itself. The best is the one with the best mean score. Taken is the
    simplest of those that are not known to be worse, that is, against which the best has not reached the probability ``sure``
    of being better by more than the rope. So a tie goes to the simpler model, and so does a doubt: a gain in score is a hope as
    long as it is not proven, while the complexity is certain. The words name the risk, and what to take for who would rather
    not bear it.

    Simpler is the candidate whose family comes first in :data:`lamina.families.SIMPLEST_FIRST`; within a family, the one with
    fewer parameters, nodes or rows. Of those that are about equally complex (one family, sizes within ``SAME_SIZE``) the one
    with the best score is taken, then the smaller one, then the one that was named first. Measured times are shown and have no
    part in this: they vary with the load of the machine, and the same rows, seed and scores give the same answer every time.

    The baseline takes no part in this: where a candidate beats it for sure, it is out; where none does, nothing was learnt, and
    the baseline is what to take. Candidates are compared on the folds that both finished, and one with fewer folds than the
    best is not taken in its place.

    Args:
        candidates: Each with its scores on the same folds.
        metric: What the scores are, from :meth:`lamina.tasks.Task.metric`.
        rows: How many rows there are in all.
        test_share: Rows of a fold's test part by all rows.
        rope: The least difference that matters, in the metric's units; ``None`` for the metric's own.
        sure: The probability from which on something counts as known.
        baseline: Name of the candidate that looks at no column; there may be none.

    Raises:
        OptionError: Two candidates have one name, or an option is out of bounds.

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
        forest wins: accuracy 0.870 against 0.840 for ridge. The chance that it is truly better, by more than the 0.01 that
        matters, is more than 99 in 100. forest learns in 0.8 s and answers a row in 21 µs; ridge takes 0.1 s and 0.4 µs;
        learning and answering 20,000 rows takes forest 11 times as long. Take forest, unless the simpler model is worth more to
        you than 0.030 of accuracy.
    """
    names = [candidate.name for candidate in candidates]
    for name in names:
        if names.count(name) > 1:
            raise OptionError(f"{names.count(name)} candidates are called {name!r}; give each a name of its own")
    if not 0.5 < sure < 1:
        raise OptionError(f"sure is {sure!r}, expected a probability above 0.5 and below 1, such as 0.95")
    scores = _scores(candidates, metric)
    finished = {candidate.name: int(candidate.finished.sum()) for candidate in candidates}
    differences = {
        (a, b): both for a in names for b in names if a != b and len(both := _finite(scores[a] - scores[b])) >= MIN_FOLDS
    }
    best = _best([name for name in names if name != baseline], scores, differences) or _best(names, scores, differences)
    if rope is None:
        rope = metric.rope * (abs(float(_finite(scores[best]).mean())) if metric.relative and best else 1.0)
    found = {pair: correlated_t_test(each, test_share=test_share, rope=rope) for pair, each in differences.items()}

    others = [name for name in names if (best, name) in found and name != baseline]
    learners = [name for name in names if (name, baseline) in found]
    rival, needed = "", None
    if not others and not learners:
        call, take = ("failed", "alone", "too few folds")[min(sum(map(bool, finished.values())), 2)], best
    elif learners and not any(found[name, baseline].better >= sure for name in learners):
        best = max(learners, key=lambda name: found[name, baseline].mean)
        call, take, rival = "nothing learnt", baseline, baseline
    else:
        unbeaten = [name for name in others if found[best, name].better < sure]
        ahead = {name: found[best, name].mean for name in unbeaten if finished[name] >= finished[best]}
        take = _simplest(ahead | {best: 0.0}, candidates)
        rival = take if take != best else min(unbeaten or others or [baseline], key=lambda name: found[best, name].mean)
        one = found[best, rival]
        call = "wins" if one.better >= sure else "tie" if one.equal >= sure else "unclear"
    if call == "unclear" or (call == "nothing learnt" and found[best, rival].better > 1 - sure):
        needed = rows_needed(differences[best, rival], rows=rows, test_share=test_share, rope=rope, sure=sure)
    pairs = tuple(
        Pair(a, b, len(differences[a, b]), one)
        for (a, b), one in found.items()
        if one.mean > 0 or (one.mean == 0 and names.index(a) < names.index(b))
    )
    verdict = Verdict(metric.name, rope, sure, best, take, rival, call, needed, pairs, "")
    return dataclasses.replace(verdict, words=paragraph(verdict, candidates, metric=metric, rows=rows, baseline=baseline))


def _scores(candidates: Sequence[Candidate], metric: Metric) -> dict[str, np.ndarray]:
    """The scores of each candidate on all folds, the greater the better, nan where there is none."""
    folds = max((len(candidate.scores) for candidate in candidates), default=0)
    scores = {}
    for candidate in candidates:
        own = np.full(folds, np.nan)
        own[np.flatnonzero(candidate.finished)] = np.array(candidate.scores)[candidate.finished]
        scores[candidate.name] = own if metric.greater else -own
    return scores


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _best(names: Sequence[str], scores: Mapping[str, np.ndarray], differences: Mapping[tuple[str, str], np.ndarray]) -> str:
    """The highest mean; where folds are missing, the one that is least behind in any pair, so that folds weigh the same."""
    margins = {name: [each.mean() for (a, _), each in differences.items() if a == name] for name in names}

    def place(name: str) -> tuple[int, float, int, float]:
        own = _finite(scores[name])
        return len(margins[name]), min(margins[name], default=0.0), len(own), float(own.mean())

    return max((name for name in names if len(_finite(scores[name]))), key=place, default="")


def _simplest(behind: Mapping[str, float], candidates: Sequence[Candidate]) -> str:
    """Of those that are about as simple as the simplest, the one that is least behind the best."""
    known = [candidate for candidate in candidates if candidate.name in behind]
    simplest = min(known, key=lambda candidate: candidate.complexity)
    near = [candidate for candidate in known if not simplest.simpler_than(candidate)]
    return min(near, key=lambda candidate: (behind[candidate.name], candidate.parameters)).name
