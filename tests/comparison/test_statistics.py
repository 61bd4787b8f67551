"""The correlated t-test against closed forms, another library's values, and brute force."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lamina.comparison.statistics import TOO_MANY, correlated_t_test, interval, rows_needed
from lamina.errors import DataError, OptionError

FIVE = np.array([0.83, 0.84, 0.82, 0.85, 0.83]) - np.array([0.81, 0.83, 0.79, 0.84, 0.80])
FIFTEEN = 0.012 + 0.01 * np.sin(np.arange(15) * 1.7)
SOME = st.lists(st.floats(-0.1, 0.1), min_size=2, max_size=30)


def test_probabilities_are_those_of_baycomp():
    """baycomp 1.0.3, by the authors of the test: ``two_on_single(worse, better, rope=0.01, runs=...)``."""
    result = correlated_t_test(FIVE, test_share=0.2, rope=0.01)
    expected = 0.005528246696724983, 0.09961944486244856, 0.8948523084408264
    assert (result.worse, result.equal, result.better) == pytest.approx(expected, rel=1e-9)
    result = correlated_t_test(FIFTEEN, test_share=0.2, rope=0.01)
    expected = 5.284524837573739e-05, 0.3253166193966799, 0.6746305353549443
    assert (result.worse, result.equal, result.better) == pytest.approx(expected, rel=1e-9)
    result = correlated_t_test(FIFTEEN, test_share=0.2, rope=0)
    assert (result.worse, result.better) == pytest.approx((0.005847284573213929, 0.9941527154267861), rel=1e-9)


def test_the_posterior_by_hand():
    """Differences 1, 5, -3 have mean 1 and variance 16; a third tested gives the scale 4 sqrt(1/3 + 1/2)."""
    result = correlated_t_test([1, 5, -3], test_share=1 / 3, rope=2)
    t = stats.t(2, loc=1, scale=4 * math.sqrt(5 / 6))
    assert (result.mean, result.worse, result.better) == pytest.approx((1, t.cdf(-2), t.sf(2)))
    assert (result.low, result.high) == pytest.approx(t.interval(0.95))
    opposite = correlated_t_test([-1, -5, 3], test_share=1 / 3, rope=2)
    assert dataclasses.astuple(-result) == pytest.approx(dataclasses.astuple(opposite))


def test_the_posterior_by_brute_force():
    """Draw the variance and then the mean from the posterior under a flat prior, for folds that are all equally correlated."""
    random, count, draws = np.random.default_rng(0), len(FIVE), 400_000
    variance = (count - 1) * FIVE.var(ddof=1) / random.chisquare(count - 1, draws)
    mean = FIVE.mean() + np.sqrt(variance * (1 / count + 0.2 / 0.8)) * random.standard_normal(draws)
    result = correlated_t_test(FIVE, test_share=0.2, rope=0.01)
    brute = [(mean < -0.01).mean(), (abs(mean) <= 0.01).mean(), (mean > 0.01).mean()]
    assert [result.worse, result.equal, result.better] == pytest.approx(brute, abs=0.003)
    assert [result.low, result.high] == pytest.approx(np.quantile(mean, [0.025, 0.975]), abs=0.0005)


def test_the_interval_covers_the_mean_of_correlated_scores_at_its_level():
    """Nadeau and Bengio's model: any two scores have the correlation rho, the share of rows tested."""
    random, rho = np.random.default_rng(1), 0.2
    common, own = random.standard_normal((2000, 1)), random.standard_normal((2000, 10))
    drawn = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
    covered = [low <= 0 <= high for low, high in (interval(each, test_share=rho, level=0.9) for each in drawn)]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize(
    ("value", "rope", "call"),
    [
        (0.0, 0.01, "equal"),
        (0.5, 0.5, "equal"),
        (0.5, 0.25, "better"),
        (-0.5, 0.25, "worse"),
        (0.0, 0.0, "equal"),
        (1e-9, 0, "better"),
    ],
)
def test_differences_that_are_all_the_same_leave_no_doubt(value, rope, call):
    result = correlated_t_test([value] * 5, test_share=0.2, rope=rope)
    assert {"worse": result.worse, "equal": result.equal, "better": result.better}[call] == 1
    assert result.worse + result.equal + result.better == 1
    assert result.low == result.mean == result.high == value


def test_the_same_decimal_three_times_leaves_no_doubt():
    """The mean of three times 0.1 is not 0.1 in floating point, so their variance is not 0."""
    assert np.var([0.1] * 3, ddof=1) > 0
    assert correlated_t_test([0.1] * 3, test_share=0.2, rope=0.01).better == 1
    assert interval([0.1] * 3, test_share=0.2) == (0.1, 0.1)


def test_a_single_fold_says_nothing():
    result = correlated_t_test([0.3], test_share=0.2, rope=0.01)
    assert (result.mean, result.low, result.high) == (0.3, -math.inf, math.inf)
    assert all(map(math.isnan, (result.worse, result.equal, result.better)))
    assert interval([0.3], test_share=0.2) == (-math.inf, math.inf)
    assert rows_needed([0.3], rows=100, test_share=0.2, rope=0.01) is None


@settings(max_examples=60)
@given(SOME, st.floats(0.05, 0.5), st.floats(0, 0.05), st.floats(0, 0.05))
def test_what_must_hold_for_any_differences(differences, share, rope, more):
    result = correlated_t_test(differences, test_share=share, rope=rope)
    assert result.worse + result.equal + result.better == pytest.approx(1)
    assert min(result.worse, result.equal, result.better) >= 0
    assert result.low <= result.mean <= result.high
    wider = correlated_t_test(differences, test_share=share, rope=rope + more)
    assert wider.equal >= result.equal - 1e-12
    doubt = correlated_t_test(differences, test_share=min(share + more, 0.9), rope=rope)
    assert doubt.high - doubt.low >= result.high - result.low - 1e-12
    higher = correlated_t_test(np.array(differences) + 1.0, test_share=share, rope=rope)
    assert higher.better >= result.better - 1e-9
    turned = correlated_t_test([-each for each in differences], test_share=share, rope=rope)
    assert (turned.worse, turned.better, turned.low) == pytest.approx((result.better, result.worse, -result.high))


def test_interval_by_hand():
    low, high = interval([0.84, 0.86, 0.85, 0.83, 0.87], test_share=0.2)
    scale = math.sqrt(0.00025 * (0.2 + 0.25))
    assert (low, high) == pytest.approx((0.85 - 2.776445 * scale, 0.85 + 2.776445 * scale))


def test_rows_needed_by_hand():
    """The mean 0.022 is 0.012 beyond the rope: a scale of 0.012 / 2.131847 makes "better" 95 % likely."""
    differences = [0.03, 0.01, 0.04, 0.00, 0.03]
    scale = math.sqrt(np.var(differences, ddof=1) * 0.45)
    expected = math.ceil(1000 * (scale * 2.1318467863 / 0.012) ** 2)
    assert rows_needed(differences, rows=1000, test_share=0.2, rope=0.01) == expected
    assert rows_needed([-each for each in differences], rows=1000, test_share=0.2, rope=0.01) == expected


@settings(max_examples=60)
@given(SOME, st.floats(0, 0.05))
def test_with_the_rows_needed_the_test_is_sure(differences, rope):
    """Differences around the same mean, closer together by the square root of the factor, reach 0.95, and not before."""
    needed = rows_needed(differences, rows=10**6, test_share=0.2, rope=rope)
    mean = np.mean(differences)

    def most(factor):
        shrunk = mean + (np.array(differences) - mean) / math.sqrt(factor)
        result = correlated_t_test(shrunk, test_share=0.2, rope=rope)
        return max(result.worse, result.equal, result.better)

    if needed is None:
        assert most(0.99 * TOO_MANY) <= 0.951 or abs(abs(mean) - rope) < 1e-9
    else:
        assert most(needed / 10**6) >= 0.949
        if needed > 10**6 * 1.1:
            assert most(needed / 10**6 / 1.1) < 0.95


def test_rows_needed_where_none_or_no_more_are():
    assert rows_needed([0.05, 0.051, 0.049], rows=500, test_share=0.2, rope=0.01) == 500
    assert rows_needed([0.01] * 4, rows=500, test_share=0.2, rope=0.01) == 500
    assert rows_needed([0.00, 0.02, 0.00, 0.02], rows=500, test_share=0.2, rope=0.01) is None  # on the edge of the rope
    assert rows_needed([1.0, -1.0, 1.0, -1.0], rows=500, test_share=0.2, rope=0.01) is None  # more than 100 times the rows


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [0.1, math.inf], [[0.1, 0.2]]])
def test_values_that_are_not_one_finite_number_for_each_fold(values):
    with pytest.raises(DataError, match="expected one finite number for each fold; leave out folds without a score"):
        correlated_t_test(values, test_share=0.2, rope=0.01)


@pytest.mark.parametrize("share", [0, 1, -0.2, math.nan])
def test_a_share_out_of_bounds(share):
    with pytest.raises(OptionError, match="expected the share of rows tested in a fold, such as 0.2 for five folds"):
        interval([0.1, 0.2], test_share=share)


@pytest.mark.parametrize("rope", [-0.01, math.nan, math.inf, True, "0.1"])
def test_a_rope_out_of_bounds(rope):
    with pytest.raises(OptionError, match="expected the smallest difference that matters: a finite number of at least 0"):
        correlated_t_test([0.1, 0.2], test_share=0.2, rope=rope)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_out_of_bounds(level):
    with pytest.raises(OptionError, match="expected a probability between 0 and 1, such as 0.95"):
        interval([0.1, 0.2], test_share=0.2, level=level)
