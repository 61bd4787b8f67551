"""The statistics of a comparison: the probability of a difference when the folds share most of their training rows.

Scores of a cross-validation are not independent: any two training sets overlap, so their variance underestimates that of the
mean. The correction of Nadeau and Bengio (2003, "Inference for the generalization error", Machine Learning 52) widens it; the
Bayesian correlated t-test (Benavoli, Corani, Demšar and Zaffalon 2017, "Time for a change", JMLR 18(77)) gives the
probability that one candidate is better, worse or practically equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from lamina.errors import DataError, OptionError

MIN_FOLDS = 3
"""Folds that two candidates must share, so that the variance of their difference can be estimated."""
SAME_COST = 1.5
"""A smaller ratio of times is noise: they vary with the load of the machine."""
SAME_SIZE = 1.5
"""Models of one family whose numbers of parameters differ by a smaller ratio count as equally complex."""
TOO_MANY = 100
"""Advice to get more rows than this many times the present number is not given."""


@dataclass(frozen=True)
class Comparison:
    """The posterior of the mean difference between two candidates: positive where the first scores higher.

    Args:
        mean: The mean difference over the folds.
        low, high: The 95 % credible interval of the true mean difference.
        worse, equal, better: Probabilities, summing to 1, that the true difference is below ``-rope``, within the rope, or
            above it. All are nan, and the interval is everything, for a single fold.
    """

    mean: float
    low: float
    high: float
    worse: float
    equal: float
    better: float

    def __neg__(self) -> Comparison:
        """The difference with the candidates exchanged."""
        return Comparison(-self.mean, -self.high, -self.low, self.better, self.equal, self.worse)


def correlated_t_test(differences: Sequence[float] | np.ndarray, *, test_share: float, rope: float) -> Comparison:
    """Compare two candidates by the differences of their scores on the same folds.

    The posterior of the mean difference is a Student t with n - 1 degrees of freedom around the mean of the differences, with
    the squared scale ``(1/n + rho/(1 - rho)) s²``, where ``s²`` is their variance and ``rho`` the share of rows that are
    tested: the correlated t-test of Benavoli et al. 2017, with the correlation that Nadeau and Bengio 2003 propose. Of
    equal differences the posterior is a point; a difference of exactly the rope counts as equal.

    Args:
        differences: Score of the first minus score of the second, one for each fold.
        test_share: Share of the rows that a fold tests: 0.2 for five folds, repeated or not.
        rope: Half the width of the region of practical equivalence, in the units of the score.

    Shape:
        ``differences`` (folds * repeats,).

    Raises:
        DataError: No differences, or some that are not finite.
        OptionError: The share or the rope is out of bounds.

    Example:
        >>> result = correlated_t_test([0.02, 0.01, 0.03, 0.01, 0.03], test_share=0.2, rope=0.01)
        >>> f"{result.mean:.2f} {result.worse:.3f} {result.equal:.3f} {result.better:.3f}"
        '0.02 0.006 0.100 0.895'
    """
    if isinstance(rope, bool) or not isinstance(rope, int | float) or not 0 <= rope < math.inf:
        raise OptionError(f"rope is {rope!r}, expected the smallest difference that matters: a finite number of at least 0")
    mean, scale, freedom = _posterior(differences, test_share)
    if not freedom:
        return Comparison(mean, -math.inf, math.inf, math.nan, math.nan, math.nan)
    if not scale:
        worse, better = float(mean < -rope), float(mean > rope)
        return Comparison(mean, mean, mean, worse, 1.0 - worse - better, better)
    margin = scale * float(stats.t.ppf(0.975, freedom))
    worse, better = (float(stats.t.sf((rope + side * mean) / scale, freedom)) for side in (1, -1))
    return Comparison(mean, mean - margin, mean + margin, worse, max(1.0 - worse - better, 0.0), better)


def interval(scores: Sequence[float] | np.ndarray, *, test_share: float, level: float = 0.95) -> tuple[float, float]:
    """The credible interval of a candidate's mean score, with the correction of :func:`correlated_t_test`.

    Args:
        scores: One for each fold; of a single one the interval is infinite.
        test_share: Share of the rows that a fold tests.
        level: Probability that the interval contains the true mean.

    Raises:
        DataError: No scores, or some that are not finite.
        OptionError: The share or the level is out of bounds.

    Example:
        >>> low, high = interval([0.84, 0.86, 0.85, 0.83, 0.87], test_share=0.2)
        >>> f"{low:.3f} {high:.3f}"
        '0.821 0.879'
    """
    if not 0 < level < 1:
        raise OptionError(f"level is {level!r}, expected a probability between 0 and 1, such as 0.95")
    mean, scale, freedom = _posterior(scores, test_share)
    if not freedom:
        return -math.inf, math.inf
    margin = scale * float(stats.t.ppf((1 + level) / 2, freedom)) if scale else 0.0
    return mean - margin, mean + margin


def rows_needed(
    differences: Sequence[float] | np.ndarray, *, rows: int, test_share: float, rope: float, sure: float = 0.95
) -> int | None:
    """The approximate number of rows at which the test reaches a decision.

    Where the mean difference is beyond the rope, "better" (or "worse") has to reach the probability ``sure``, otherwise
    "equal". The estimate is rough: it assumes that the measured mean is the true one, which more training rows may change, and
    that the standard deviation of the differences falls with the square root of the rows, as sampling noise in the test rows
    does. A mean near the edge of the rope makes it large.

    Args:
        differences: Score of the first minus score of the second, one for each fold.
        rows: The present number of rows.
        test_share: Share of the rows that a fold tests.
        rope: Half the width of the region of practical equivalence.
        sure: The probability to reach.

    Returns:
        The number of rows, ``rows`` where they are enough; ``None`` for a single fold or more than :data:`TOO_MANY` times the
        rows.

    Example:
        >>> rows_needed([0.03, 0.01, 0.04, 0.00, 0.03], rows=1000, test_share=0.2, rope=0.01)
        3835
    """
    mean, scale, freedom = _posterior(differences, test_share)
    if not freedom:
        return None

    def probability(times: float) -> float:
        """The probability of the decision that the mean implies, with this many times the rows."""
        beyond, below = ((side * rope - abs(mean)) * math.sqrt(times) / scale for side in (1, -1))
        if abs(mean) > rope:
            return float(stats.t.sf(beyond, freedom))
        return float(stats.t.cdf(beyond, freedom) - stats.t.cdf(below, freedom))

    if not scale or probability(1) >= sure:
        return rows
    if probability(TOO_MANY) < sure:
        return None
    return math.ceil(rows * float(optimize.brentq(lambda times: probability(times) - sure, 1, TOO_MANY)))


def _posterior(values: Sequence[float] | np.ndarray, test_share: float) -> tuple[float, float, int]:
    """Mean, scale and degrees of freedom of the Student t posterior of the mean."""
    if not 0 < test_share < 1:
        raise OptionError(
            f"test_share is {test_share!r}, expected the share of rows tested in a fold, such as 0.2 for five folds"
        )
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DataError(
            f"values of folds are {values.tolist()}, expected one finite number for each fold; leave out folds without a score"
        )
    count = len(values)
    if count == 1 or (values == values[0]).all():  # the variance of equal values may be a rounding error away from 0
        return float(values[0]), 0.0, count - 1
    spread = float(values.var(ddof=1))
    return float(values.mean()), math.sqrt((1 / count + test_share / (1 - test_share)) * spread), count - 1
