"""Label sets: the share of missed labels against the requested coverage."""

import numpy as np
import pytest
from scipy.special import expit, logit

from lamina.trust.labels import LabelSets


def draw(rows, seed):
    random = np.random.default_rng(seed)
    probabilities = random.beta(0.7, 1.5, (rows, 5))
    return probabilities, (random.random((rows, 5)) < probabilities).astype(float)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_requested_share_of_labels_is_in_the_set(coverage):
    missed = []
    for seed in range(20):
        probabilities, truth = draw(500, seed)
        new, labels = draw(2000, 1000 + seed)
        inside = LabelSets.fit(probabilities, truth, np.ones_like(truth)).sets(new, coverage)
        share = ((labels == 1) & ~inside).sum(1) / np.maximum(labels.sum(1), 1)
        missed.append(share.mean())
    error = 3 * np.std(missed) / len(missed) ** 0.5
    assert 1 - coverage - 0.005 - error < np.mean(missed) <= 1 - coverage + error


def test_with_few_rows_all_labels_are_in_the_set_and_missing_ones_are_ignored():
    probabilities, truth = draw(5, 0)
    assert LabelSets.fit(probabilities, truth, np.ones_like(truth)).sets(probabilities, 0.9).all()
    fitted = LabelSets.fit(probabilities, truth, np.zeros_like(truth))
    assert (len(fitted.true_probabilities), fitted.calibrations) == (0, (None,) * 5)


def test_probabilities_are_calibrated_label_by_label():
    random = np.random.default_rng(0)
    probabilities = random.random((2000, 2))
    true = np.stack([expit(logit(probabilities[:, 0]) / 3), probabilities[:, 1]], axis=1)  # the first label is overconfident
    truth = (random.random((2000, 2)) < true).astype(float)
    calibrated = LabelSets.fit(probabilities, truth, np.ones_like(truth)).calibrate(probabilities)
    np.testing.assert_allclose(calibrated, true, atol=0.06)
