"""Calibration against closed forms, scikit-learn and probabilities that are known to be true."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from lamina.errors import DataError, OptionError
from lamina.trust.calibration import Calibration, expected_calibration_error


def draw(rows, classes=3, sharper=1.0, seed=0):
    """Probabilities made sharper than the ones the truth is drawn from."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(rows, classes))
    true = softmax(logits, axis=1)
    truth = (generator.random((rows, 1)) > true.cumsum(1)).sum(1).clip(max=classes - 1)
    return softmax(sharper * logits, axis=1), truth, true


@pytest.mark.parametrize("sharper", [0.4, 2.5])
def test_the_temperature_is_recovered(sharper):
    said, truth, true = draw(5000, sharper=sharper)
    found = Calibration.fit(said, truth)
    assert found.method == "temperature"
    assert found.temperature == pytest.approx(sharper, rel=0.05)
    np.testing.assert_allclose(found.apply(said), true, atol=0.02)
    assert found.error_after < found.error_before / 3
    assert found.loss_after < found.loss_before


def test_a_constant_answer_becomes_the_share_that_came_true_with_half_a_row_more():
    said, truth = np.tile([0.1, 0.9], (60, 1)), np.repeat([0, 1], [20, 40])
    found = Calibration.fit(said, truth)
    np.testing.assert_allclose(found.apply(said)[0], [20.5 / 61, 40.5 / 61], atol=1e-6)


def test_the_temperature_is_not_about_zeros_only():
    _, truth, true = draw(5000, classes=4)
    said = np.random.default_rng(1).multinomial(10, true) / 10  # as ten neighbours, of which none may be of the true class
    assert (said[np.arange(5000), truth] == 0).any()
    found = Calibration.fit(said[:2500], truth[:2500])
    assert found.temperature == pytest.approx(1, abs=0.3)
    assert expected_calibration_error(found.apply(said[2500:]), truth[2500:]) < 0.03
    assert (found.apply(said) > 0).all()


def test_few_rows_that_are_all_right_do_not_make_it_certain():
    said = np.tile([0.1, 0.2, 0.7], (20, 1))
    top = Calibration.fit(said, np.full(20, 2)).apply(said)[0, 2]
    assert 0.9 < top < 0.99


def test_what_no_temperature_mends_is_mended_by_a_curve():
    generator = np.random.default_rng(0)
    true = generator.random(6000)
    truth = (generator.random(6000) < true).astype(int)
    said = 0.5 + 0.5 * np.sign(true - 0.5) * np.abs(2 * true - 1) ** 4  # too near to the middle, but right at the ends
    both = np.stack([1 - said, said], axis=1)
    found = Calibration.fit(both, truth)
    assert found.method == "isotonic"
    np.testing.assert_allclose(np.abs(found.apply(both)[:, 1] - true).mean(), 0, atol=0.03)
    assert found.error_after < 0.02 < 0.1 < found.error_before


def test_the_curve_is_that_of_scikit_learn_and_one_part_of_what_was_said():
    said, truth, _ = draw(300)
    found = Calibration._isotonic(said, truth)
    tempered = Calibration._temperature(said, truth).apply(said)
    flat = tempered.ravel()
    curve = IsotonicRegression().fit([*flat, flat.min(), flat.max()], [*np.eye(3)[truth].ravel(), 1 / 3, 1 / 3])
    expected = (300 * curve.predict(flat).reshape(-1, 3) + tempered) / 301
    np.testing.assert_allclose(found.apply(said), expected / expected.sum(1, keepdims=True), rtol=1e-12)


def test_what_is_calibrated_is_left_alone():
    methods = []
    for seed in range(20):
        said, truth, true = draw(400, seed=seed)
        found = Calibration.fit(said, truth)
        methods.append(found.method)
        np.testing.assert_allclose(found.apply(said), true, atol=0.08)
    assert methods.count("none") >= 14


@pytest.mark.parametrize("rows", [1, 2, 19])
def test_too_few_rows_change_nothing(rows):
    said, truth, _ = draw(rows, sharper=9)
    found = Calibration.fit(said, truth)
    assert (found.method, found.rows) == ("none", rows)
    assert np.array_equal(found.apply(said), said)


def probabilities(rows):
    return arrays(np.float64, (rows, 3), elements=st.floats(0, 1)).map(lambda x: (x + 1e-9) / (x + 1e-9).sum(1, keepdims=True))


@settings(max_examples=20, deadline=None)
@given(probabilities(30), arrays(np.int64, 30, elements=st.integers(0, 2)))
def test_no_candidate_changes_the_label(said, truth):
    for found in (Calibration._temperature(said, truth), Calibration._isotonic(said, truth), Calibration.fit(said, truth)):
        new = found.apply(said)
        np.testing.assert_allclose(new.sum(1), 1, atol=1e-9)
        assert (new >= 0).all()
        label = said.argmax(1)
        assert (new[np.arange(30), label] >= new.max(1) - 1e-12).all()


@pytest.mark.parametrize(
    ("said", "truth"),
    [
        (np.tile([0.2, 0.3, 0.5], (50, 1)), np.arange(50) % 2),  # all equal, a class absent
        (np.eye(3)[np.arange(50) % 3], (np.arange(50) + (np.arange(50) % 5 == 0)) % 3),  # certain, and often wrong
        (np.eye(3)[np.arange(50) % 3], np.arange(50) % 3),  # certain and right
        (np.tile([0.0, 1.0], (50, 1)), np.zeros(50, dtype=int)),  # certain and always wrong
    ],
)
def test_odd_probabilities(said, truth):
    for found in (Calibration._temperature(said, truth), Calibration._isotonic(said, truth), Calibration.fit(said, truth)):
        new = found.apply(said)
        assert np.isfinite(new).all()
        np.testing.assert_allclose(new.sum(1), 1)
        chosen = new[np.arange(50), truth]
        assert -np.log(np.maximum(chosen, 1e-15)).mean() <= found.loss_before + 40 * (found.loss_before == 0)


def test_json_keeps_every_bit():
    said, truth, _ = draw(300)
    for found in (Calibration("none", 3), Calibration.fit(draw(300, sharper=3)[0], truth), Calibration._isotonic(said, truth)):
        back = Calibration.from_json(json.loads(json.dumps(found.to_json())))
        assert back == found
        assert np.array_equal(back.apply(said), found.apply(said))


def test_the_same_rows_give_the_same_calibration():
    said, truth, _ = draw(300, sharper=3)
    assert Calibration.fit(said, truth) == Calibration.fit(said, truth)


def test_the_error_is_the_sum_over_bins():
    said, truth, _ = draw(1000, sharper=2)
    sure, right, expected = said.max(1), said.argmax(1) == truth, 0.0
    for i in range(10):
        inside = (sure > i / 10) & (sure <= (i + 1) / 10)
        expected += abs(sure[inside].sum() - right[inside].sum()) / 1000
    assert expected_calibration_error(said, truth, bins=10) == pytest.approx(expected)
    edge = np.array([[0.25, 0.75], [0.2, 0.8]])  # the first lies on the edge of two bins of four, and belongs below
    assert expected_calibration_error(edge, np.array([1, 0]), bins=4) == pytest.approx((0.25 + 0.8) / 2)
    assert expected_calibration_error(np.eye(2)[truth[:9] % 2], truth[:9] % 2) == 0


@pytest.mark.parametrize(
    ("said", "truth", "message"),
    [
        (np.ones(3), [0], r"shape \(3,\), expected \(rows, classes\)"),
        (np.ones((3, 1)), [0, 0, 0], "at least 2 classes"),
        ([[0.5, 0.6]], [0], "no probabilities.*apply softmax"),
        ([[np.nan, 1.0]], [0], "no probabilities"),
        ([[-0.5, 1.5]], [0], "no probabilities"),
        ([[0.5, 0.5]], [0, 1], r"truth has the shape \(2,\), expected a class code for each of 1 rows"),
        (np.empty((0, 2)), [], "at least 1"),
        ([[0.5, 0.5]], [2], r"truth holds 2 to 2 \(int64\), expected codes 0 to 1"),
        ([[0.5, 0.5]], [0.0], "float64"),
    ],
)
def test_wrong_input(said, truth, message):
    with pytest.raises(DataError, match=message):
        Calibration.fit(np.asarray(said, dtype=float), np.asarray(truth))


def test_no_bins():
    with pytest.raises(OptionError, match="bins is 0, expected a whole number of at least 1"):
        expected_calibration_error(np.array([[0.5, 0.5]]), np.array([0]), bins=0)
