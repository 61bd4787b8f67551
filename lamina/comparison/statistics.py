"""The statistics of a comparison: how sure a difference is when the folds share most of their training rows.

Scores of a cross-validation are not independent: any two training sets overlap, so their spread makes a mean look surer than it
is. The correction of Nadeau and Bengio (2003, "Inference for the generalization error", Machine Learning 52) widens it; the
Bayesian correlated t-test (Benavoli, Corani, Demšar and Zaffalon 2017, "Time for a change", JMLR 18(77)) turns it into the
probability that one candidate is better, worse, or so close that it makes no difference in practice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from lamina.errors import DataError, OptionError

MIN_FOLDS = 3
"""Fewer folds in common say nothing about how much a difference varies."""
SAME_COST = 1.5
"""Times on a busy machine differ by so much from one run to the next, so a smaller ratio is no difference in cost."""
SAME_SIZE = 1.5
"""Models of one family whose numbers of parameters differ by a smaller ratio count as equally complex."""
TOO_MANY = 100
"""More than so many times the rows is no advice."""


@dataclass(frozen=True)
class Comparison:
    """What is known of the mean difference between two candidates: positive where the first scores higher.

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

    def turned(self) -> Comparison:
        """The same, seen from the second."""
        return Comparison(-self.mean, -self.high, -self.low, self.better, self.equal, self.worse)


def correlated_t_test(differences: Sequence[float] | np.ndarray, *, test_share: float, rope: float) -> Comparison:
    """Compare two candidates by the differences of their scores on the same folds.

    The posterior of the mean difference is a Student t with n - 1 degrees of freedom around the mean of the differences, with
    the squared scale ``(1/n + rho/(1 - rho)) s²``, where ``s²`` is their variance and ``rho`` the share of rows that are
    tested: the correlated t-test of Benavoli et al. 2017, with the correlation that Nadeau and Bengio 2003 propose. Differences
    that are all the same leave no doubt; a difference of exactly the rope counts as equal.

    Args:
        differences: Score of the first minus score of the second, one for each fold.
        test_share: Rows of a fold's test part by all rows: 0.2 for five folds, however often they are repeated.
        rope: Half the width of the region of practical equivalence, in the units of the score.

    Shape:
        ``differences`` (folds * repeats,).

    Raises:
        DataError: No differences, or some that are not finite.
        OptionError: The share or the rope is out of bounds.

    Example:
        >>> found = correlated_t_test([0.02, 0.01, 0.03, 0.01, 0.03], test_share=0.2, rope=0.01)
        >>> f"{found.mean:.2f} {found.worse:.3f} {found.equal:.3f} {found.better:.3f}"
        '0.02 0.006 0.100 0.895'
    """
    if isinstance(rope, bool) or not isinstance(rope, int | float) or not 0 <= rope < math.inf:
        raise OptionError(f"rope is {rope!r}, expected the least difference that matters: a finite number from 0 up")
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
    """Bound the mean score of one candidate, with the same correction as :func:`correlated_t_test`.

    Args:
        scores: One for each fold; a single one bounds nothing.
        test_share: Rows of a fold's test part by all rows.
        level: Probability that the interval holds the true mean.

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
    """Estimate how many rows in all it takes until the test is sure, one way or the other.

    Where the mean difference lies beyond the rope, that is until "better" (or "worse") has the probability ``sure``, otherwise
    until "equal" has. The estimate is rough: it takes the mean that was measured for the truth, and lets the spread of the
    differences shrink with the square root of the rows, as it does where chance in the test rows is its cause. A mean near the
    edge of the rope makes it large, and nobody learns the same from more rows.

    Args:
        differences: Score of the first minus score of the second, one for each fold.
        rows: How many there are now.
        test_share: Rows of a fold's test part by all rows.
        rope: Half the width of the region of practical equivalence.
        sure: The probability to reach.

    Returns:
        Rows in all, ``rows`` where they are enough; ``None`` where nothing can be estimated or more than :data:`TOO_MANY`
        times the rows were needed.

    Example:
        >>> rows_needed([0.03, 0.01, 0.04, 0.00, 0.03], rows=1000, test_share=0.2, rope=0.01)
        3835
    """
    mean, scale, freedom = _posterior(differences, test_share)
    if not freedom:
        return None

    def chance(times: float) -> float:
        """The probability of the call that the mean stands for, with so many times the rows."""
        beyond, below = ((side * rope - abs(mean)) * math.sqrt(times) / scale for side in (1, -1))
        if abs(mean) > rope:
            return float(stats.t.sf(beyond, freedom))
        return float(stats.t.cdf(beyond, freedom) - stats.t.cdf(below, freedom))

    if not scale or chance(1) >= sure:
        return rows
    if chance(TOO_MANY) < sure:
        return None
    return math.ceil(rows * float(optimize.brentq(lambda times: chance(times) - sure, 1, TOO_MANY)))


def _posterior(values: Sequence[float] | np.ndarray, test_share: float) -> tuple[float, float, int]:
    """Mean, scale and degrees of freedom of the Student t that the true mean follows."""
    if not 0 < test_share < 1:
        raise OptionError(
            f"test_share is {test_share!r}, expected the share of rows tested in a fold, such as 0.2 for five folds"
        )
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise DataError(
            f"values of folds are {values.tolist()}, expected one finite number for each fold; leave out folds without"
        )
    count = len(values)
    if count == 1 or (values == values[0]).all():  # the variance of equal values may be a rounding error away from 0
        return float(values[0]), 0.0, count - 1
    spread = float(values.var(ddof=1))
    return float(values.mean()), math.sqrt((1 / count + test_share / (1 - test_share)) * spread), count - 1
