"""Selection of one of several models, or of their weighted mean, on validation rows."""

import numpy as np
import polars as pl
import pytest

from lamina.families.ensemble import greedy_weights, total_spread
from lamina.fitting.selection import ValidationLoss, best_mean, best_single, best_single_or_mean, cross_fitted
from lamina.tasks.task import Task

RNG = np.random.default_rng(0)
VALUES = RNG.normal(size=400)
TASK = Task.infer(pl.DataFrame({"y": VALUES}), "y")
LOSS = ValidationLoss(TASK, VALUES)
STANDARD = ((VALUES - VALUES.mean()) / VALUES.std())[:, None]


def noisy(scale, seed):
    return STANDARD + np.random.default_rng(seed).normal(0, scale, STANDARD.shape)


def test_the_simplest_of_models_that_do_not_clearly_differ_is_taken():
    near = noisy(0.3, 1) + np.random.default_rng(2).normal(0, 0.001, STANDARD.shape)
    assert best_single(LOSS, [near, noisy(0.3, 1), noisy(0.9, 3)]) == [1, 0, 0]
    assert best_single(LOSS, [noisy(0.9, 3), noisy(0.3, 1)]) == [0, 1]


def test_a_mean_is_taken_where_it_is_clearly_better():
    weights = best_single_or_mean(LOSS, [noisy(0.5, 1), noisy(0.5, 2)])
    assert weights == pytest.approx([0.5, 0.5], abs=0.1)
    assert best_single_or_mean(LOSS, [noisy(0.1, 1), noisy(2.0, 2)]) == [1, 0]
    assert best_single_or_mean(LOSS, [noisy(0.5, 1)]) == [1]


def test_a_mean_has_no_member_that_makes_no_clear_difference():
    both, poor = [noisy(0.5, 1), noisy(0.5, 2)], noisy(3.0, 3)
    weights = best_single_or_mean(LOSS, [*both, poor])
    assert best_mean(LOSS, [*both, poor])[2] > 0 == weights[2]
    assert weights[:2] == pytest.approx(best_mean(LOSS, both))


def test_weights_of_independent_errors_are_inverse_to_their_variance():
    """The mean of independent unbiased estimates with the least variance weighs each by 1 / variance."""
    weights = best_mean(LOSS, [noisy(0.3, 1), noisy(0.6, 2)])
    assert weights[0] == pytest.approx(0.36 / (0.36 + 0.09), abs=0.06)


def test_sample_weights_and_groups_count():
    good, bad = noisy(0.1, 1), noisy(1.0, 2)
    mixed = np.where(np.arange(400)[:, None] < 200, good, bad)
    other = np.where(np.arange(400)[:, None] < 200, bad, good)
    first = np.where(np.arange(400) < 200, 1.0, 0.0)
    assert best_single(ValidationLoss(TASK, VALUES, first), [mixed, other]) == [1, 0]
    assert best_single(ValidationLoss(TASK, VALUES, 1 - first), [mixed, other]) == [0, 1]
    # 400 rows of 3 groups are 3 observations: a difference that is clear row by row is not, group by group
    group = np.arange(400) // 150
    here, there = (good + np.where(group == number, by, 0.0)[:, None] for number, by in ((0, 1.0), (1, 0.7)))
    assert best_single(LOSS, [here, there]) == [0, 1]
    assert best_single(ValidationLoss(TASK, VALUES, group=group), [here, there]) == [1, 0]


def test_scores_of_noise_are_not_better_for_the_choice():
    """Of 50 models that predict noise the best looks better than it is; cross-fitted outputs do not."""
    models = [np.random.default_rng(seed).normal(0, 1, STANDARD.shape) for seed in range(100, 150)]
    expected = 2.0  # of independent standard normal values
    best = min(LOSS.mean(model) for model in models)
    honest = LOSS.mean(cross_fitted(best_single, LOSS, models))
    assert best < 1.75
    assert abs(honest - expected) < 0.3
    assert best < honest - 0.04


def test_cross_fitted_groups_stay_together():
    group = np.repeat(np.arange(40), 10)
    seen = []

    def choose(loss, outputs):
        seen.append(set(loss.group.tolist()))
        return [1.0]

    cross_fitted(choose, ValidationLoss(TASK, VALUES, group=group), [STANDARD])
    assert all(len(groups) == 32 for groups in seen)


def test_greedy_selection_keeps_the_best_round_and_ignores_what_is_not_finite():
    truth = np.arange(4.0)[:, None]
    assert greedy_weights([truth * np.nan, truth], lambda mean: float(((mean - truth) ** 2).mean())) == [0, 1]
    assert greedy_weights([truth * np.nan], lambda mean: float("nan")) == [1]


def test_the_spread_of_a_mixture_is_that_of_its_parts_and_between_them():
    low, high, within = np.zeros((3, 1)), np.full((3, 1), 2.0), np.full((3, 1), 0.5)
    assert total_spread([low, high], [None, None], [0.5, 0.5]).tolist() == [[1.0]] * 3
    assert total_spread([low, high], [within, None], [0.5, 0.5])[0, 0] == pytest.approx((1 + 0.5 * 0.25) ** 0.5)
    assert total_spread([low], [None], [1.0]) is None


@pytest.mark.parametrize(
    ("table", "targets", "outputs", "expected"),
    [
        (["a", "b", "a"], "y", [[0.5, 0.5], [0.2, 0.8], [1.0, 0.0]], [np.log(2), -np.log(0.8), 0.0]),
        ([1.0, 2.5, 3.2], "y", [[0.0], [0.0], [0.0]], None),
    ],
)
def test_row_losses_are_the_log_loss_or_the_squared_error(table, targets, outputs, expected):
    frame = pl.DataFrame({"y": table * 20})
    task, outputs = Task.infer(frame, targets), np.array(outputs * 20)
    losses = task.row_losses(task.truth(frame), outputs)
    if expected is None:
        values = np.array(table * 20)
        expected = ((values - values.mean()) / values.std()) ** 2
        assert losses == pytest.approx(expected)
        return
    assert losses[:3] == pytest.approx(expected, abs=2e-3)
    assert losses.max() < 8


def test_row_losses_of_labels_are_means_of_those_that_are_known():
    frame = pl.DataFrame({"a": [1, 0, None] * 10, "b": [1, 1, 0] * 10})
    task = Task.infer(frame, ["a", "b"], kind="multilabel")
    losses = task.row_losses(task.truth(frame), np.tile([[0.5, 0.8], [0.5, 0.8], [0.1, 0.2]], (10, 1)))
    half, four = np.log(2), -np.log(0.8)
    assert losses[:3] == pytest.approx([(half + four) / 2, (half + four) / 2, four], abs=2e-3)
