"""Sets of labels: how many of a row's labels they miss, against the rate that is stated."""

import numpy as np
import pytest
from scipy.special import expit, logit

from lamina.errors import OptionError
from lamina.trust.labels import LabelSets


def draw(rows, seed):
    random = np.random.default_rng(seed)
    chances = random.beta(0.7, 1.5, (rows, 5))
    return chances, (random.random((rows, 5)) < chances).astype(float)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_stated_share_of_labels_is_in_the_set(coverage):
    missed = []
    for seed in range(20):
        chances, truth = draw(500, seed)
        new, labels = draw(2000, 1000 + seed)
        inside = LabelSets.fit(chances, truth, np.ones_like(truth)).sets(new, coverage)
        share = ((labels == 1) & ~inside).sum(1) / np.maximum(labels.sum(1), 1)
        missed.append(share.mean())
    error = 3 * np.std(missed) / len(missed) ** 0.5
    assert 1 - coverage - 0.005 - error < np.mean(missed) <= 1 - coverage + error


def test_few_rows_put_all_labels_into_the_set_and_unknown_ones_say_nothing():
    chances, truth = draw(5, 0)
    assert LabelSets.fit(chances, truth, np.ones_like(truth)).sets(chances, 0.9).all()
    found = LabelSets.fit(chances, truth, np.zeros_like(truth))
    assert (len(found.chances), found.calibrations) == (0, (None,) * 5)
    with pytest.raises(OptionError, match="coverage is 2, expected a share"):
        found.sets(chances, 2)


def test_probabilities_are_calibrated_label_by_label():
    random = np.random.default_rng(0)
    chances = random.random((2000, 2))
    true = np.stack([expit(logit(chances[:, 0]) / 3), chances[:, 1]], axis=1)  # the first label is predicted too surely
    truth = (random.random((2000, 2)) < true).astype(float)
    found = LabelSets.fit(chances, truth, np.ones_like(truth)).probabilities(chances)
    np.testing.assert_allclose(found, true, atol=0.06)
