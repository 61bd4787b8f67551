"""Coverage over many repetitions, against its theory; sets and intervals against brute force."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from scipy.special import softmax

from lamina.errors import DataError
from lamina.trust.conformal import Intervals, Sets


def draw(generator, rows, classes=4, size=1.5):
    """Overconfident probabilities, and classes drawn from the true ones."""
    logits = size * generator.normal(size=(rows, classes))
    truth = (generator.random((rows, 1)) > softmax(logits, axis=1).cumsum(1)).sum(1).clip(max=classes - 1)
    return softmax(2 * logits, axis=1), truth


@pytest.mark.parametrize(("rows", "coverage"), [(29, 0.9), (100, 0.8), (100, 0.95)])
def test_sets_cover_as_often_as_theory_says(rows, coverage):
    generator, inside = np.random.default_rng(0), []
    for _ in range(400):
        probabilities, truth = draw(generator, rows + 50)
        sets = Sets.fit(probabilities[:rows], truth[:rows]).sets(probabilities[rows:], coverage)
        inside.append(sets[np.arange(50), truth[rows:]].mean())
    expected = np.ceil((rows + 1) * coverage) / (rows + 1)  # the mean of the Beta distribution it follows
    assert np.mean(inside) == pytest.approx(expected, abs=4 * np.std(inside) / 20)


def test_sets_of_an_accurate_model_may_be_empty():
    probabilities, truth = draw(np.random.default_rng(0), 20_000, size=12)
    assert (probabilities.argmax(1) == truth).mean() > 0.94
    sets = Sets.fit(probabilities[:10_000], truth[:10_000]).sets(probabilities[10_000:])
    assert sets[np.arange(10_000), truth[10_000:]].mean() == pytest.approx(0.9, abs=0.01)
    empty = ~sets.any(1)
    assert 0.03 < empty.mean() < 0.1
    assert probabilities[10_000:][empty].max(1).mean() < probabilities[10_000:].max(1).mean()
    assert sets.sum(1).max() == 1


def test_ties_give_votes_the_requested_coverage():
    generator = np.random.default_rng(0)
    probabilities, truth = draw(generator, 20_000, size=25)
    votes = np.round(probabilities * 5)
    votes = votes / votes.sum(1, keepdims=True)
    ties, half, rows = generator.random(20_000), slice(10_000), np.arange(10_000)
    at_least = Sets.fit(votes[half], truth[half]).sets(votes[10_000:])
    exact = Sets.fit(votes[half], truth[half], ties=ties[half]).sets(votes[10_000:], ties=ties[10_000:])
    assert at_least[rows, truth[10_000:]].mean() > 0.93
    assert exact[rows, truth[10_000:]].mean() == pytest.approx(0.9, abs=0.012)
    assert (exact <= at_least).all()


def test_rows_with_the_highest_ties_have_empty_sets():
    fitted = Sets.fit(np.tile([0.0, 1.0], (9, 1)), np.ones(9, dtype=int), ties=np.arange(9.0))
    sets = fitted.sets(np.tile([0.0, 1.0], (3, 1)), coverage=0.5, ties=np.array([0.0, 4.0, 5.0]))
    assert sets.tolist() == [[False, True], [False, True], [False, False]]


def test_sets_are_all_classes_with_too_few_rows():
    probabilities, truth = draw(np.random.default_rng(0), 9)
    assert Sets.fit(probabilities[:8], truth[:8]).sets(probabilities).all()
    assert not Sets.fit(probabilities, truth).sets(probabilities).all()
    assert Sets.fit(probabilities[:1], truth[:1]).sets(probabilities, 0.5)[0, truth[0]]


def test_higher_coverage_never_removes_a_class():
    probabilities, truth = draw(np.random.default_rng(0), 300)
    fitted = Sets.fit(probabilities, truth)
    levels = [fitted.sets(probabilities, coverage) for coverage in (0.1, 0.5, 0.8, 0.9, 0.99, 0.999)]
    assert all((low <= high).all() for low, high in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("with_spread", [False, True])
def test_intervals_cover_each_target_as_often_as_theory_says(with_spread):
    generator, inside = np.random.default_rng(0), []
    for _ in range(400):
        spread = generator.gamma(2, size=(89, 2))
        truth = spread * generator.standard_t(3, size=(89, 2)) * [1, 100]
        spreads = (spread[:39], spread[39:]) if with_spread else (None, None)
        fitted = Intervals.fit(np.zeros((39, 2)), truth[:39], spread=spreads[0])
        low, high = fitted.intervals(np.zeros((50, 2)), 0.9, spread=spreads[1])
        inside.append(((low <= truth[39:]) & (truth[39:] <= high)).mean(0))
    # choosing the added constant on the same 39 rows costs up to one point
    np.testing.assert_allclose(np.mean(inside, axis=0), 0.9, atol=0.015 if with_spread else 0.01)


def test_a_spread_makes_intervals_narrow_where_it_is_small():
    generator = np.random.default_rng(0)
    spread = np.repeat([[0.1], [2.0]], 2000, axis=0)
    truth = spread * generator.normal(size=(4000, 1))
    values = np.zeros((4000, 1))
    half = slice(None, None, 2)
    plain = Intervals.fit(values[half], truth[half]).intervals(values)
    low, high = Intervals.fit(values[half], truth[half], spread=spread[half]).intervals(values, spread=spread)
    inside = (low <= truth) & (truth <= high)
    assert inside[:2000].mean() == pytest.approx(0.9, abs=0.03)
    assert inside[2000:].mean() == pytest.approx(0.9, abs=0.03)
    assert (high - low).mean() < 0.75 * (plain[1] - plain[0]).mean()


def test_with_an_uninformative_spread_all_intervals_are_equally_wide():
    generator = np.random.default_rng(0)
    values, truth = np.zeros((3000, 1)), generator.normal(size=(3000, 1))
    fitted = Intervals.fit(values, truth, spread=generator.gamma(1, size=(3000, 1)))
    assert fitted.added[0] > 3
    widths = np.subtract(*fitted.intervals(values, spread=generator.gamma(1, size=(3000, 1)))[::-1])
    assert widths.std() < 0.25 * widths.mean()
    assert np.isinf(Intervals.fit(values, truth, spread=np.zeros((3000, 1))).added[0])


def test_the_unit_of_the_spread_does_not_matter_and_most_may_be_zero():
    generator = np.random.default_rng(0)
    spread = np.where(generator.random((1000, 1)) < 0.6, 0, generator.gamma(2, size=(1000, 1)))
    truth = (0.1 + spread) * generator.normal(size=(1000, 1))
    values = np.zeros((1000, 1))
    fitted = [Intervals.fit(values, truth, spread=unit * spread) for unit in (1, 1024)]
    assert 0 < fitted[0].added[0] < 1
    ends = [intervals.intervals(values, spread=unit * spread)[1] for intervals, unit in zip(fitted, (1, 1024), strict=True)]
    np.testing.assert_allclose(*ends)


def test_the_rank_is_not_a_rounding_too_high():
    values, truth = np.zeros((99, 1)), np.arange(1.0, 100)[:, None]
    assert 100 * 0.07 > 7
    assert Intervals.fit(values, truth).intervals(values, 0.07)[1][0, 0] == 7


def test_where_all_trees_agree_the_interval_is_not_a_point():
    spread = np.repeat([[0.0], [1.0]], 50, axis=0)
    truth = np.random.default_rng(0).normal(size=(100, 1)) * (spread + 0.1)
    low, high = Intervals.fit(np.zeros((100, 1)), truth, spread=spread).intervals(np.zeros((1, 1)), spread=np.zeros((1, 1)))
    assert 0 < high[0, 0] - low[0, 0] < 1


def test_a_model_that_is_never_wrong():
    values = np.arange(20.0)[:, None]
    for spread in (None, np.ones((20, 1))):
        low, high = Intervals.fit(values, values, spread=spread).intervals(values, spread=spread)
        assert np.array_equal(low, values)
        assert np.array_equal(high, values)


@settings(max_examples=60)
@given(st.floats(0.01, 0.999), st.integers(1, 300))
def test_few_rows_give_infinite_intervals(coverage, rows):
    values = np.zeros((rows, 1))
    low, high = Intervals.fit(values, values + 1).intervals(values, coverage)
    assert np.isfinite(low).all() == np.isfinite(high).all() == (rows >= coverage / (1 - coverage) - 1e-9)


def test_many_rows_are_drawn_from(monkeypatch):
    monkeypatch.setattr("lamina.trust.conformal.MOST_SCORES", 1000)
    generator = np.random.default_rng(0)
    probabilities, truth = draw(generator, 5000)
    ties = generator.random(5000)
    fitted = Sets.fit(probabilities, truth, ties=ties)
    assert len(fitted.scores) == len(fitted.ties) == 1000
    pairs = set(zip(-probabilities[np.arange(5000), truth], ties, strict=True))
    assert set(zip(fitted.scores, fitted.ties, strict=True)) <= pairs
    assert Intervals.fit(probabilities, probabilities).scores.shape == (1000, 4)


def test_files_keep_every_bit():
    generator = np.random.default_rng(0)
    probabilities, truth = draw(generator, 200)
    ties, spread = generator.random(200), generator.gamma(2, size=(200, 4))
    sets = Sets.fit(probabilities, truth, ties=ties)
    back = Sets.from_json(json.loads(json.dumps(sets.to_json())), load(save(sets.arrays())))
    assert np.array_equal(back.sets(probabilities, ties=ties), sets.sets(probabilities, ties=ties))
    intervals = Intervals.fit(probabilities, probabilities**2, spread=spread)
    again = Intervals.from_json(json.loads(json.dumps(intervals.to_json())), load(save(intervals.arrays())))
    assert np.array_equal(again.intervals(probabilities, spread=spread), intervals.intervals(probabilities, spread=spread))


def test_wrong_input():
    probabilities, truth = draw(np.random.default_rng(0), 20)
    with pytest.raises(DataError, match="invalid probabilities"):
        Sets.fit(probabilities, truth).sets(probabilities * np.nan)
    with pytest.raises(DataError, match=r"values has the shape \(20, 4\), expected \(rows, targets\), finite numbers"):
        Intervals.fit(probabilities, probabilities).intervals(probabilities * np.nan)
