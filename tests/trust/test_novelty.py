"""Novel rows are detected, the rate of false alarms is as stated, and files keep every bit."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load, save
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.metrics import roc_auc_score

from lamina.errors import DataError
from lamina.trust.novelty import MAX_TRAIN_ROWS, Novelty


def shuffled(rows):
    """Each column permuted independently."""
    return np.random.default_rng(1).permuted(rows, axis=0)


def auc(novelty, usual, novel):
    return roc_auc_score(np.repeat([0, 1], [len(usual), len(novel)]), novelty.score(np.concatenate([usual, novel])))


@pytest.mark.parametrize("load_set", [load_breast_cancer, load_digits])
def test_shuffled_columns_are_novel(load_set):
    rows = load_set().data
    rows = rows[np.random.default_rng(0).permutation(len(rows))] / (1 + rows.std(0))
    train, validation, new = np.split(rows, [len(rows) // 2, 3 * len(rows) // 4])
    novelty = Novelty.fit(train, validation)
    assert auc(novelty, new, shuffled(new)) > 0.97
    assert (novelty.p_value(shuffled(new)) <= 0.05).mean() > 0.8


def test_noise_of_small_norm_in_a_layer_is_novel():
    generator = np.random.default_rng(0)
    layer = generator.normal(size=(20, 64))

    def features(inputs):
        return np.maximum(inputs @ layer, 0).astype(np.float32)

    digits = np.repeat(3 * generator.normal(size=(10, 20)), 200, axis=0) + 0.3 * generator.normal(size=(2000, 20))
    generator.shuffle(digits)
    novelty = Novelty.fit(features(digits[:1000]), features(digits[1000:1500]), layer=True)
    noise = features(0.5 * generator.normal(size=(500, 20)))
    assert np.linalg.norm(noise, axis=1).mean() < 0.5 * np.linalg.norm(features(digits), axis=1).mean()
    assert auc(novelty, features(digits[1500:]), noise) > 0.99


def test_rows_in_a_region_of_low_density_are_not_novel():
    generator = np.random.default_rng(0)
    sparse = generator.random(4000) < 0.1
    rows = np.where(sparse[:, None], 2, -2) + np.where(sparse, 1, 0.1)[:, None] * generator.normal(size=(4000, 3))
    novelty = Novelty.fit(rows[:2000], rows[2000:3000])
    alarms = novelty.p_value(rows[3000:]) <= 0.05
    assert alarms[sparse[3000:]].mean() < 0.3  # by distances without division all alarms are here: 0.44


def test_a_row_outside_of_the_components_is_novel(monkeypatch):
    monkeypatch.setattr("lamina.trust.novelty.COMPONENTS", 12)
    generator = np.random.default_rng(0)
    axes = np.linalg.qr(generator.normal(size=(60, 11)))[0].T
    rows = generator.normal(size=(900, 10)) @ axes[:10]
    novelty = Novelty.fit(rows[:500], rows[500:700])
    assert novelty.components.shape == (61, 12)
    assert auc(novelty, rows[700:], rows[700:] + 0.5 * axes[10]) > 0.99


@pytest.mark.parametrize("width", [1, 2, 10, 50])
def test_one_extreme_value_is_novel_and_a_central_row_is_not(width):
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(3000, width)).astype(np.float32)
    novelty = Novelty.fit(rows[:2000], rows[2000:])
    extreme = generator.normal(size=(100, width))
    extreme[:, 0] = 12
    assert (novelty.p_value(extreme) <= 0.01).mean() > 0.95
    assert novelty.p_value(np.zeros((1, width)))[0] > 0.05
    if width > 2:
        assert Novelty.fit(rows[:2000], rows[2000:], layer=True).p_value(np.zeros((1, width)))[0] < 0.01


def test_false_alarms_are_as_rare_as_stated():
    generator, values = np.random.default_rng(0), []
    for _ in range(150):
        rows = generator.gamma(1, size=(219, 3)) @ generator.normal(size=(3, 5))
        values.append(Novelty.fit(rows[:100], rows[100:199]).p_value(rows[199:]))
    values = np.array(values)
    for level in (0.01, 0.05, 0.2, 0.5):
        rates = (values <= level).mean(1)
        assert rates.mean() == pytest.approx(level, abs=4 * rates.std() / np.sqrt(150))


def test_the_p_value_counts_validation_scores():
    rows = np.random.default_rng(0).normal(size=(300, 4))
    novelty = Novelty.fit(rows[:200], rows[200:])
    scores = novelty.score(rows[:20])
    expected = [(1 + (novelty.validation_scores >= score).sum()) / 101 for score in scores]
    assert np.array_equal(novelty.p_value(rows[:20]), expected)
    assert novelty.p_value(novelty.validation_scores.max() * np.full((1, 4), 1e6))[0] == 1 / 101
    assert np.array_equal(novelty.validation_scores, np.sort(novelty.score(rows[200:])))


def test_repeated_training_rows_are_not_novel():
    words = np.repeat(np.eye(4, dtype=np.float32), 50, axis=0)
    novelty = Novelty.fit(words, words[::5])
    assert (novelty.score(words) == 0).all()
    assert (novelty.p_value(words) == 1).all()
    assert novelty.p_value(np.ones((1, 4)))[0] == 1 / 41


def test_other_values_in_a_constant_column_and_in_one_of_two_equal_columns_are_novel():
    rows = np.random.default_rng(0).normal(size=(400, 5)).astype(np.float32)
    rows[:, 2] = 7
    rows[:, 4] = rows[:, 3]
    novelty = Novelty.fit(rows[:300], rows[300:])
    changed = rows[300:310].copy()
    changed[:, 2] = 3
    assert (novelty.p_value(changed) < 0.05).all()
    changed = rows[300:310].copy()
    changed[:, 4] = -changed[:, 3] - np.sign(changed[:, 3])
    assert (novelty.p_value(changed) < 0.05).all()


@pytest.mark.parametrize("rows", [2, 3, 5])
@pytest.mark.parametrize("width", [1, 30])
def test_a_handful_of_rows(rows, width):
    train = np.random.default_rng(0).normal(size=(rows, width))
    novelty = Novelty.fit(train, train[:1] + 0.1)
    assert np.isfinite(novelty.score(train)).all()
    assert novelty.p_value(1000 + train).max() <= 1
    assert np.isfinite(Novelty.fit(np.zeros((rows, width)), np.zeros((1, width))).score(train)).all()


@settings(max_examples=25)
@given(arrays(np.float32, (12, 3), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_any_numbers_give_a_score(rows):
    novelty = Novelty.fit(rows[:6], rows[6:9])
    assert np.isfinite(novelty.score(rows)).all()
    assert ((novelty.p_value(rows) >= 0.25) & (novelty.p_value(rows) <= 1)).all()


def test_many_wide_rows_are_a_small_file_that_keeps_every_bit(monkeypatch):
    monkeypatch.setattr("lamina.trust.novelty.MAX_VALIDATION_ROWS", 500)
    generator = np.random.default_rng(0)
    rows = (generator.normal(size=(3600, 30)) @ generator.normal(size=(30, 600))).astype(np.float32)
    novelty = Novelty.fit(rows[:3000], rows[3000:])
    assert (len(novelty.reference), len(novelty.validation_scores)) == (MAX_TRAIN_ROWS, 500)
    stored = save(novelty.arrays())
    assert len(stored) + 8 * 4500 < 2e6
    back = Novelty.from_json(json.loads(json.dumps(novelty.to_json())), load(stored))
    assert np.array_equal(back.score(rows[:50]), novelty.score(rows[:50]))
    assert auc(novelty, rows[3000:3200], shuffled(rows[3000:3200])) > 0.99


def test_the_score_of_a_row_does_not_depend_on_other_rows():
    rows = np.random.default_rng(0).normal(size=(600, 40)).astype(np.float32)
    novelty = Novelty.fit(rows[:300], rows[300:])
    assert np.array_equal(novelty.score(rows[300:]), np.concatenate([novelty.score(row[None]) for row in rows[300:]]))
    assert len(novelty.score(rows[:0])) == 0
    assert novelty.whitening[-1] == 0  # no residual


def test_the_unit_of_the_features_does_not_matter():
    rows = np.random.default_rng(0).normal(size=(600, 5))
    scores = [Novelty.fit(unit * rows[:300], unit * rows[300:]).validation_scores for unit in (1.0, 1024.0)]
    np.testing.assert_allclose(*scores, rtol=1e-3)


def test_wrong_input():
    rows = np.random.default_rng(0).normal(size=(10, 3))
    with pytest.raises(DataError, match="validation has the shape .* fill in missing values"):
        Novelty.fit(rows, rows * np.nan)
    with pytest.raises(DataError, match="rows has the shape .* the type float64, expected finite numbers"):
        Novelty.fit(rows, rows).score(rows * np.inf)
