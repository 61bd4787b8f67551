"""The verdict of a tuning, and the score that it reports."""

import math

import numpy as np
import pytest

from lamina.tasks.metrics import Metric, accuracy
from lamina.tasks.prediction import Prediction
from lamina.tuning.study import TrialResult
from lamina.tuning.verdict import TuningVerdict, decide, score_both

ACCURACY = Metric("accuracy", "accuracy", accuracy)
ERROR = Metric(
    "error",
    "error",
    lambda truth, p, w: np.average(np.abs(truth - p.decision), weights=w),
    greater=False,
    rope=0.02,
    relative=True,
)
TRIALS = [TrialResult(0, {}, 0.5, "complete", 1.0), TrialResult(1, {"family.max_depth": 3}, 0.6, "complete", 2.0)]


def prediction(values):
    return Prediction(values, values, values)


def verdict(scored, **options):
    given = {"metric": ACCURACY, "trials": TRIALS, "planned": 2, "params": {"family.max_depth": 3}, "rows": 400, "seconds": 9.0}
    return decide(scored, **{**given, **options})


def rows_right(share, number=400, seed=0):
    """Predictions of the class 1 with this share of ones, so of right ones."""
    return prediction((np.random.default_rng(seed).permutation(number) < share * number).astype(np.int64))


TRUTH = np.ones(400, dtype=np.int64)


def test_a_clear_gain_is_worth_it_and_is_not_corrected():
    scored = score_both(ACCURACY, TRUTH, rows_right(0.9), rows_right(0.7))
    assert (scored.tuned, scored.defaults) == (0.9, 0.7)
    assert scored.score == pytest.approx(0.9, abs=1e-3)
    assert scored.low < 0.9 < scored.high
    assert scored.standard_error == pytest.approx(math.sqrt(0.9 * 0.1 / 400), rel=0.1)
    found = verdict(scored)
    assert (found.call, found.take) == ("worth it", "tuned")
    assert "Tuning was worth it: accuracy 0.900 against 0.700 with the defaults, on 400 test rows" in found.words
    assert found.words.endswith("The model has the tuned settings: family.max_depth=3.")
    assert TuningVerdict.from_json(found.to_json()) == found


def test_errors_are_better_where_they_are_lower():
    truth, noise = np.zeros(300), np.random.default_rng(0).normal(size=(2, 300))
    scored = score_both(ERROR, truth, prediction(noise[0] * 0.5), prediction(noise[1]))
    assert scored.difference.mean > 0
    assert scored.rope == pytest.approx(0.02 * scored.tuned)
    assert verdict(scored, metric=ERROR).call == "worth it"
    worse = score_both(ERROR, truth, prediction(noise[1]), prediction(noise[0] * 0.5))
    assert (verdict(worse, metric=ERROR).call, verdict(worse, metric=ERROR).take) == ("not worth it", "defaults")
    assert worse.score == pytest.approx(worse.defaults)


def test_equal_predictions_make_no_difference():
    scored = score_both(ACCURACY, TRUTH, rows_right(0.8), rows_right(0.8))
    assert scored.difference.equal == 1.0
    assert scored.score == 0.8
    assert (verdict(scored).call, verdict(scored).take) == ("no difference", "defaults")


def test_who_takes_the_better_of_two_equally_good_ones_is_corrected(monkeypatch):
    """Both are right in 80 % of all rows; of 100 the better one of them seems better than it is."""
    monkeypatch.setattr("lamina.tuning.verdict._DRAWS", (150, 150))
    monkeypatch.setattr("lamina.tuning.verdict._SPLITS", 0.2)
    truth, taken, reported = np.ones(100, dtype=np.int64), [], []
    for seed in range(60):
        right = (np.random.default_rng(seed).random((2, 100)) < 0.8).astype(np.int64)
        scored = score_both(ACCURACY, truth, prediction(right[0]), prediction(right[1]))
        taken.append(scored.tuned if verdict(scored).take == "tuned" else scored.defaults)
        reported.append(scored.score)
    assert np.mean(taken) > 0.815
    assert np.mean(reported) == pytest.approx(0.8, abs=0.01)


def test_rows_of_a_group_vary_together():
    right = np.repeat((np.arange(20) < 16).astype(np.int64), 20)
    one = score_both(ACCURACY, TRUTH, None, prediction(right))
    together = score_both(ACCURACY, TRUTH, None, prediction(right), group=np.repeat(np.arange(20), 20))
    assert together.standard_error > 3 * one.standard_error


def test_words_without_two_scores():
    scored = score_both(ACCURACY, TRUTH, None, rows_right(0.8))
    words = verdict(scored, params={}).words
    assert "Tuning was not worth it: no trial was better than the defaults, which have accuracy 0.800 on 400 test rows" in words
    alone = verdict(scored, trials=TRIALS[:1], planned=30, stopped="time_limit")
    assert alone.call == "alone"
    assert "1 of 30 trials, which the time limit ended" in alone.words
    failed = verdict(score_both(ACCURACY, TRUTH, rows_right(0.8), None), defaults_failed="no memory")
    assert (failed.call, failed.take) == ("defaults failed", "tuned")
    assert failed.words.startswith("The defaults could not be fitted (no memory), so nothing shows what tuning is worth.")


def test_an_unclear_result_says_so():
    scored = score_both(ACCURACY, TRUTH, rows_right(0.82), rows_right(0.8, seed=1))
    assert (verdict(scored).call, verdict(scored).take) == ("unclear", "tuned")
    assert "It is not clear whether tuning was worth it" in verdict(scored).words
