"""Losses and metrics of one's own: values, gradients, masks, and what is refused."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, mean_absolute_error

import lamina
from lamina import Recipe
from lamina.errors import OptionError, TrainingError
from lamina.functions import StoredFunction
from lamina.tasks.losses import KNOWN, LABEL_CROSS_ENTROPY, LOSSES, TARGET, custom_loss
from lamina.tasks.prediction import Prediction
from tests.families.custom import OWN_LOSSES, entropy, fit, hits, label_entropy, logistic, rows, squares, weights_of

# Losses


@pytest.mark.parametrize("task", OWN_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_loss_gives_the_same_numbers(task, weighted):
    options = {"weight": "w"} if weighted else {}
    theirs, mine = fit(task, **options), fit(task, loss=OWN_LOSSES[task], **options)
    for one, other in zip(weights_of(mine), weights_of(theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert mine.model_.network.loss == theirs.model_.network.loss
    assert mine.model_.card["recipe"]["loss"]["name"] == OWN_LOSSES[task].__name__


@pytest.mark.parametrize(
    ("name", "function"), [("cross_entropy", entropy), ("mse", squares), ("binary_cross_entropy", logistic)]
)
@pytest.mark.parametrize("members", [0, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_values_and_gradients_are_those_of_the_built_in_loss(name, function, members, weighted):
    generator = torch.Generator().manual_seed(0)
    width = 1 if name == "binary_cross_entropy" else 4
    outputs = torch.randn((6, members, width) if members else (6, width), generator=generator, requires_grad=True)
    codes = torch.randint(2 if width == 1 else 4, (6,), generator=generator)
    targets = {TARGET: torch.randn(6, 4, generator=generator) if name == "mse" else codes}
    weight = torch.tensor([0.0, 1, 2, 1, 0, 3]) if weighted else None
    found = [loss(outputs, targets, weight) for loss in (LOSSES[name], custom_loss(function, LOSSES[name]))]
    torch.testing.assert_close(*found)
    torch.testing.assert_close(*(torch.autograd.grad(value, outputs)[0] for value in found))


def test_a_masked_label_has_no_gradient():
    outputs = torch.zeros(2, 2, requires_grad=True)
    known = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    loss = custom_loss(label_entropy, LABEL_CROSS_ENTROPY)(outputs, {TARGET: torch.ones(2, 2), KNOWN: known})
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert outputs.grad.tolist() == [[pytest.approx(-1 / 6), 0.0], [pytest.approx(-1 / 6), pytest.approx(-1 / 6)]]


@pytest.mark.parametrize(
    ("loss", "task", "error", "match"),
    [
        (
            lambda o, t: 3.0,
            "binary",
            OptionError,
            r"loss <lambda> returned 3.0, expected a tensor of \(32,\): a loss for each row",
        ),
        (lambda o, t: logistic(o, t).mean(), "binary", OptionError, r"a tensor of \(\), expected .*reduction='none'"),
        (lambda o, t: o - t, "binary", OptionError, r"tensor of \(32, 32\), expected .*outputs have the shape \(32, 1\)"),
        (
            lambda o, t: logistic(o.detach(), t),
            "binary",
            OptionError,
            "loss <lambda> has no gradient; compute it from the outputs",
        ),
        (
            lambda o, t: label_entropy(o, t).mean(1),
            "labels",
            OptionError,
            r"expected a tensor of \(32, 2\): a loss for each label",
        ),
        (
            lambda o, t: logistic(o, t) * math.nan,
            "binary",
            TrainingError,
            "loss <lambda> was never finite .*guard its logarithms",
        ),
        (7, "binary", OptionError, "Recipe.loss is 7, expected one of .* or a function of outputs and targets"),
        (StoredFunction("focal"), "binary", OptionError, "Recipe.loss is the function focal, of which .* give it again"),
    ],
)
def test_a_loss_that_is_none_is_refused(loss, task, error, match):
    with pytest.raises(error, match=match):
        fit(task, loss=loss, batch_size=32)


# Metrics


def test_a_metric_is_on_the_card_and_beside_the_others():
    model = fit(metric=hits)
    assert model.model_.card["validation"]["hits"] == model.model_.card["validation"]["accuracy"]
    scores = model.evaluate(rows())
    assert scores["scores"]["hits"] == scores["scores"]["accuracy"]
    assert scores["baseline"]["hits"] == scores["baseline"]["accuracy"]
    best = max(range(3), key=lambda epoch: model.history_[epoch]["validation_hits"])
    assert model.model_.card["best_epoch"] == best


def test_a_built_in_metric_decides_the_best_epoch():
    model = fit("regression", metric="mae", epochs=6, learning_rate=1.0)
    errors = [epoch["validation_mae"] for epoch in model.history_]
    assert model.model_.card["best_epoch"] == int(np.argmin(errors))
    assert model.model_.card["validation"]["mae"] == pytest.approx(min(errors), rel=1e-5)


def test_a_classical_family_is_scored_by_a_metric_too():
    table = rows("regression")
    model = lamina.fit(table, "y", family="linear", recipe=Recipe(metric=mean_absolute_error), monitor=None)
    scores = model.evaluate(table)["scores"]
    assert scores["mean_absolute_error"] == pytest.approx(scores["mae"])
    assert not any("metric" in note for note in model.model_.card["notes"])


def test_a_metric_honours_weights_and_reads_probabilities():
    truth, chances = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    prediction = Prediction(chances, chances.argmax(1), chances.argmax(1))
    assert lamina.make_metric(accuracy_score)(truth, prediction, np.array([1.0, 0.0, 3.0])) == 1.0
    seen = lamina.make_metric(lambda y_true, y_pred: y_pred[2], needs="probabilities", name="third")
    assert seen(truth, prediction) == 0.7
    assert (seen.greater, lamina.make_metric(mean_absolute_error).greater) == (True, False)


@pytest.mark.parametrize(
    ("metric", "options", "match"),
    [
        (lambda t, p: "good", {}, "metric <lambda> returned 'good', expected a number"),
        (lambda t, p: math.nan, {}, "metric <lambda> is NaN for the .* validation rows"),
        (lambda t, p: 1.0, {"weight": "w"}, r"metric <lambda> has no sample_weight.*sample_weight=None\)"),
        ("nonsense", {}, "Recipe.metric is 'nonsense', expected one of 'auto', 'loss', 'accuracy'"),
        ("rmse", {}, "metric 'rmse' is unknown or does not fit classification"),
        (StoredFunction("gain"), {}, "Recipe.metric is the function gain, of which .* give it again"),
    ],
)
def test_a_metric_that_is_none_is_refused(metric, options, match):
    with pytest.raises(OptionError, match=match):
        fit(metric=metric, **options)


def test_make_metric_refuses_what_is_no_function():
    with pytest.raises(OptionError, match="the metric is 3, expected a function of y_true and y_pred"):
        lamina.make_metric(3)
    with pytest.raises(OptionError, match="needs is 'logits', expected 'labels' or 'probabilities'"):
        lamina.make_metric(hits, needs="logits")
