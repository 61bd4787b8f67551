"""Calibration against closed forms, scikit-learn and true probabilities."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn.isotonic import IsotonicRegression

from lamina.errors import DataError
from lamina.trust.calibration import Calibration, expected_calibration_error


def draw(rows, classes=3, sharper=1.0, seed=0):
    """Probabilities that are sharper than the true ones, class codes, and the true probabilities."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(rows, classes))
    true = softmax(logits, axis=1)
    truth = (generator.random((rows, 1)) > true.cumsum(1)).sum(1).clip(max=classes - 1)
    return softmax(sharper * logits, axis=1), truth, true


@pytest.mark.parametrize("sharper", [0.4, 2.5])
def test_the_temperature_is_recovered(sharper):
    probabilities, truth, true = draw(5000, sharper=sharper)
    calibration = Calibration.fit(probabilities, truth)
    assert calibration.method == "temperature"
    assert calibration.temperature == pytest.approx(sharper, rel=0.05)
    np.testing.assert_allclose(calibration.apply(probabilities), true, atol=0.02)
    assert calibration.error_after < calibration.error_before / 3
    assert calibration.loss_after < calibration.loss_before


def test_a_constant_probability_becomes_the_observed_share_with_half_a_row_more():
    probabilities, truth = np.tile([0.1, 0.9], (60, 1)), np.repeat([0, 1], [20, 40])
    calibration = Calibration.fit(probabilities, truth)
    np.testing.assert_allclose(calibration.apply(probabilities)[0], [20.5 / 61, 40.5 / 61], atol=1e-6)


def test_the_temperature_is_not_dominated_by_zeros():
    _, truth, true = draw(5000, classes=4)
    probabilities = (
        np.random.default_rng(1).multinomial(10, true) / 10
    )  # as ten neighbours: the true class may have probability 0
    assert (probabilities[np.arange(5000), truth] == 0).any()
    calibration = Calibration.fit(probabilities[:2500], truth[:2500])
    assert calibration.temperature == pytest.approx(1, abs=0.3)
    assert expected_calibration_error(calibration.apply(probabilities[2500:]), truth[2500:]) < 0.03
    assert (calibration.apply(probabilities) > 0).all()


def test_few_correct_rows_do_not_make_the_model_certain():
    probabilities = np.tile([0.1, 0.2, 0.7], (20, 1))
    top = Calibration.fit(probabilities, np.full(20, 2)).apply(probabilities)[0, 2]
    assert 0.9 < top < 0.99


def test_a_curve_calibrates_where_no_temperature_does():
    generator = np.random.default_rng(0)
    true = generator.random(6000)
    truth = (generator.random(6000) < true).astype(int)
    probabilities = 0.5 + 0.5 * np.sign(true - 0.5) * np.abs(2 * true - 1) ** 4  # underconfident, but right at 0 and 1
    both = np.stack([1 - probabilities, probabilities], axis=1)
    calibration = Calibration.fit(both, truth)
    assert calibration.method == "isotonic"
    np.testing.assert_allclose(np.abs(calibration.apply(both)[:, 1] - true).mean(), 0, atol=0.03)
    assert calibration.error_after < 0.02 < 0.1 < calibration.error_before


def test_the_curve_is_that_of_scikit_learn_mixed_with_its_input():
    probabilities, truth, _ = draw(300)
    calibration = Calibration._isotonic(probabilities, truth)
    tempered = Calibration._temperature(probabilities, truth).apply(probabilities)
    flat = tempered.ravel()
    curve = IsotonicRegression().fit([*flat, flat.min(), flat.max()], [*np.eye(3)[truth].ravel(), 1 / 3, 1 / 3])
    expected = (300 * curve.predict(flat).reshape(-1, 3) + tempered) / 301
    np.testing.assert_allclose(calibration.apply(probabilities), expected / expected.sum(1, keepdims=True), rtol=1e-12)


def test_calibrated_probabilities_are_not_changed():
    methods = []
    for seed in range(20):
        probabilities, truth, true = draw(400, seed=seed)
        calibration = Calibration.fit(probabilities, truth)
        methods.append(calibration.method)
        np.testing.assert_allclose(calibration.apply(probabilities), true, atol=0.08)
    assert methods.count("none") >= 14


@pytest.mark.parametrize("rows", [1, 2, 19])
def test_too_few_rows_change_nothing(rows):
    probabilities, truth, _ = draw(rows, sharper=9)
    calibration = Calibration.fit(probabilities, truth)
    assert (calibration.method, calibration.rows) == ("none", rows)
    assert np.array_equal(calibration.apply(probabilities), probabilities)


def random_probabilities(rows):
    return arrays(np.float64, (rows, 3), elements=st.floats(0, 1)).map(lambda x: (x + 1e-9) / (x + 1e-9).sum(1, keepdims=True))


@settings(max_examples=20)
@given(random_probabilities(30), arrays(np.int64, 30, elements=st.integers(0, 2)))
def test_no_candidate_changes_the_label(probabilities, truth):
    for calibration in (
        Calibration._temperature(probabilities, truth),
        Calibration._isotonic(probabilities, truth),
        Calibration.fit(probabilities, truth),
    ):
        new = calibration.apply(probabilities)
        np.testing.assert_allclose(new.sum(1), 1, atol=1e-9)
        assert (new >= 0).all()
        label = probabilities.argmax(1)
        assert (new[np.arange(30), label] >= new.max(1) - 1e-12).all()


@pytest.mark.parametrize(
    ("probabilities", "truth"),
    [
        (np.tile([0.2, 0.3, 0.5], (50, 1)), np.arange(50) % 2),  # all equal, a class absent
        (np.eye(3)[np.arange(50) % 3], (np.arange(50) + (np.arange(50) % 5 == 0)) % 3),  # certain, and often wrong
        (np.eye(3)[np.arange(50) % 3], np.arange(50) % 3),  # certain and right
        (np.tile([0.0, 1.0], (50, 1)), np.zeros(50, dtype=int)),  # certain and always wrong
    ],
)
def test_odd_probabilities(probabilities, truth):
    for calibration in (
        Calibration._temperature(probabilities, truth),
        Calibration._isotonic(probabilities, truth),
        Calibration.fit(probabilities, truth),
    ):
        new = calibration.apply(probabilities)
        assert np.isfinite(new).all()
        np.testing.assert_allclose(new.sum(1), 1)
        chosen = new[np.arange(50), truth]
        assert -np.log(np.maximum(chosen, 1e-15)).mean() <= calibration.loss_before + 40 * (calibration.loss_before == 0)


def test_json_keeps_every_bit():
    probabilities, truth, _ = draw(300)
    for calibration in (
        Calibration("none", 3),
        Calibration.fit(draw(300, sharper=3)[0], truth),
        Calibration._isotonic(probabilities, truth),
    ):
        back = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
        assert back == calibration
        assert np.array_equal(back.apply(probabilities), calibration.apply(probabilities))


def test_the_same_rows_give_the_same_calibration():
    probabilities, truth, _ = draw(300, sharper=3)
    assert Calibration.fit(probabilities, truth) == Calibration.fit(probabilities, truth)


def test_the_error_is_the_sum_over_bins():
    probabilities, truth, _ = draw(1000, sharper=2)
    confidence, correct, expected = probabilities.max(1), probabilities.argmax(1) == truth, 0.0
    for i in range(10):
        inside = (confidence > i / 10) & (confidence <= (i + 1) / 10)
        expected += abs(confidence[inside].sum() - correct[inside].sum()) / 1000
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(expected)
    edge = np.array([[0.25, 0.75], [0.2, 0.8]])  # 0.75 is the edge of two of four bins and in the lower one
    assert expected_calibration_error(edge, np.array([1, 0]), bins=4) == pytest.approx((0.25 + 0.8) / 2)
    assert expected_calibration_error(np.eye(2)[truth[:9] % 2], truth[:9] % 2) == 0


@pytest.mark.parametrize(
    "probabilities", [[[0.5, 0.6]], [[np.nan, 1.0]], [[-0.5, 1.5]]], ids=["sum above 1", "missing", "negative"]
)
def test_wrong_input(probabilities):
    with pytest.raises(DataError, match="invalid probabilities, expected numbers from 0 to 1 .*; apply softmax"):
        Calibration.fit(np.array(probabilities), np.array([0]))
