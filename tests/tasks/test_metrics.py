"""What a network says, and how good it is, against closed forms and scikit-learn."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics
from sklearn.metrics import get_scorer, log_loss

from lamina.data.feed import Feed
from lamina.errors import OptionError
from lamina.tasks import Classification, Regression, Task
from lamina.tasks.losses import LOSSES
from lamina.tasks.metrics import scores as scores_of
from lamina.train.forward import Validation, forward


def combine(outputs, loss):
    return LOSSES[loss].predictions(outputs)


def every_score(task, truth, outputs, weight=None):
    return scores_of(task.metrics, truth, task.predict(outputs), weight)


def test_probabilities_are_exact_and_stable():
    outputs = combine(torch.tensor([[0.0], [np.log(3)], [1e4], [-1e4]]), "binary_cross_entropy")
    np.testing.assert_allclose(outputs, [[0.5, 0.5], [0.25, 0.75], [0, 1], [1, 0]], atol=1e-7)
    logits = torch.tensor([[1.0, 2.0, 5.0]]).log()
    np.testing.assert_allclose(combine(logits + 1000, "cross_entropy"), [[0.125, 0.25, 0.625]], atol=1e-4)


def test_members_predict_the_mean_of_their_probabilities():
    logits = torch.tensor([[[1.0, 2.0, 5.0], [5.0, 2.0, 1.0]]]).log()
    np.testing.assert_allclose(combine(logits, "cross_entropy"), [[0.375, 0.25, 0.375]], atol=1e-7)
    np.testing.assert_allclose(combine(torch.tensor([[[1.0], [4.0]]]), "mse"), [[2.5]])


class Echo(torch.nn.Module):
    def forward(self, inputs):
        return inputs["x"]


def test_validation_scores_weigh_rows():
    logits, target, weight = torch.randn(50, 3), torch.randint(0, 3, (50,)), torch.rand(50)
    classes = Classification(("y",), classes=tuple("abc"), dtype="String")
    scores = Validation(Feed({"x": logits}, target, weight), classes, LOSSES["cross_entropy"]).scores(Echo())
    expected = log_loss(
        target.numpy(), logits.double().softmax(1).numpy(), sample_weight=weight.double().numpy(), labels=[0, 1, 2]
    )
    assert scores["loss"] == pytest.approx(expected, rel=1e-6)
    right = (logits.argmax(1) == target).double()
    assert scores["accuracy"] == pytest.approx(((right * weight).sum() / weight.sum()).item(), rel=1e-6)
    values, truth = torch.randn(20, 2), torch.randn(20, 2)
    numbers = Regression(("y", "z"), center=(5.0, 1.0), scale=(2.0, 3.0))
    scores = Validation(Feed({"x": values}, truth), numbers, LOSSES["mse"]).scores(Echo())
    assert scores == {"loss": pytest.approx(((values - truth) ** 2).mean().item(), rel=1e-6)}


def test_forward_goes_in_pieces_and_leaves_the_mode(monkeypatch):
    monkeypatch.setattr("lamina.train.forward.CHUNK", 3)
    net = Echo().train()
    assert forward(net, {"x": torch.arange(10.0)}, 10).tolist() == list(range(10))
    assert net.training


def standardised(task, values):
    return ((np.array(values) - task.center) / task.scale)[:, None]


def test_scores_are_those_of_scikit_learn():
    task = Task.infer(pl.DataFrame({"y": ["n", "y"] * 5}), "y")
    truth, outputs = np.array([0, 1, 1, 0]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]])
    scores = task.scores(truth, outputs)
    assert scores["accuracy"] == 0.75
    assert scores["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.4, 0.7]).mean())
    assert scores["auc"] == 1.0
    regression = Task.infer(pl.DataFrame({"y": [0.5, 1.5, 2.5]}), "y")
    scores = regression.scores(np.array([1.0, 2.0, 4.0]), standardised(regression, [1.0, 3.0, 3.0]))
    assert (scores["rmse"], scores["mae"]) == (pytest.approx((2 / 3) ** 0.5), pytest.approx(2 / 3))
    assert scores["r2"] == pytest.approx(1 - 2 / (14 / 3))


@pytest.mark.parametrize("labels", [[0, 1], [False, True], ["healthy", "sick"], ["fraud", "legal"], ["a", "b", "c"]])
def test_every_score_is_that_of_scikit_learn(labels):
    random = np.random.default_rng(len(labels))
    shares = {"healthy": 0.8, "fraud": 0.2}.get(labels[0], 1 / len(labels))
    codes = np.append(random.choice(len(labels), 200, p=[shares, *[(1 - shares) / (len(labels) - 1)] * (len(labels) - 1)]), 0)
    task = Task.infer(pl.DataFrame({"y": [labels[code] for code in codes]}), "y")
    outputs = random.dirichlet(np.ones(len(labels)), len(codes))
    truth, chosen = task.labels[codes], task.labels[outputs.argmax(1)]
    scores = every_score(task, codes, outputs)
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, chosen))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score(truth, chosen, average="macro"))
    if len(labels) > 2:
        assert not {"f1", "auc", "average_precision"} & set(scores)
        return
    one = labels.index("fraud") if "fraud" in labels else 1
    assert task.positive == one
    assert scores["f1"] == pytest.approx(metrics.f1_score(truth, chosen, pos_label=labels[one]))
    assert scores["average_precision"] == pytest.approx(
        metrics.average_precision_score(truth, outputs[:, one], pos_label=labels[one])
    )
    assert scores["auc"] == pytest.approx(metrics.roc_auc_score(codes, outputs[:, 1]))


def test_rows_of_one_class_have_no_score_that_sets_two_apart():
    task = Task.infer(pl.DataFrame({"y": ["n", "y"] * 5}), "y")
    scores = every_score(task, np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert set(scores) == {"accuracy", "balanced_accuracy", "log_loss", "f1_macro"}
    assert scores["f1_macro"] == pytest.approx(1 / 3)  # as scikit-learn's: a class that was only predicted counts as 0


def test_values_have_no_other_scores():
    task = Task.infer(pl.DataFrame({"y": [0.5, 1.5, 2.5]}), "y")
    truth, outputs = np.array([1.0, 2.0, 4.0]), standardised(task, [1.0, 3.0, 3.0])
    assert every_score(task, truth, outputs) == task.scores(truth, outputs)


def infer(values, times=4):
    return Task.infer(pl.DataFrame({"y": values * times}), "y")


def test_auto_takes_what_suits_the_task():
    assert infer([0.5, 1.5]).metric("auto").name == "r2"
    assert infer(["a"] * 7 + ["b"] * 3).metric("auto").name == "accuracy"
    assert infer(["a"] * 9 + ["b"]).metric("auto").name == "auc"
    assert infer(["a"] * 18 + ["b", "c"]).metric("auto").name == "balanced_accuracy"


@pytest.mark.parametrize("name", ["roc_auc", "neg_log_loss", "neg_root_mean_squared_error", "neg_mean_absolute_error"])
def test_the_names_of_scikit_learn_are_understood(name):
    get_scorer(name)
    metric = infer(["a", "b"] if name in ("roc_auc", "neg_log_loss") else [0.5, 1.5]).metric(name)
    assert metric.name in ("auc", "log_loss", "rmse", "mae")
    assert metric.greater == (not name.startswith("neg_"))


@pytest.mark.parametrize(
    ("target", "name", "message"),
    [
        (["a", "b"], "r2", "'r2' .*does not fit classification: a, b; choose auto, accuracy, log_loss, .*average_precision$"),
        (["a", "b", "c"], "auc", "'auc' .*does not fit .*; choose auto, accuracy, log_loss, balanced_accuracy, f1_macro$"),
        ([0.5, 1.5], "auc", "'auc' .*does not fit regression: a number; choose auto, rmse, mae, medae, mape, r2$"),
        ([0.5, 1.5], "f2", "the metric 'f2' is unknown or .*; choose auto, rmse, mae, medae, mape, r2$"),
    ],
)
def test_a_metric_that_does_not_fit_names_those_that_do(target, name, message):
    with pytest.raises(OptionError, match=message):
        infer(target).metric(name)


@pytest.mark.parametrize("target", [["a", "b"], ["a", "b", "c"], [0.5, 1.5, 2.25]])
def test_every_metric_runs_the_way_it_says(target):
    """Better predictions have the better score."""
    task = infer(target)
    truth = task.truth(pl.DataFrame({"y": target * 4}))
    if task.name == "classification":
        good = np.eye(task.size)[truth] * 0.7 + 0.3 / task.size
        bad = np.roll(good, 1, axis=0)
    else:
        good, bad = (standardised(task, values) for values in (truth + 0.1, truth[::-1]))
    better, worse = every_score(task, truth, good), every_score(task, truth, bad)
    assert len(better) == len(task.metrics)
    for metric in task.metrics:
        difference = better[metric.name] - worse[metric.name]
        assert difference > 0 if metric.greater else difference < 0


@pytest.mark.parametrize("target", [["a", "b"], ["a", "b", "c"], [0.5, 1.5, 2.25]])
def test_whole_weights_are_repeated_rows_and_weight_zero_is_no_row(target):
    task, random = infer(target), np.random.default_rng(0)
    truth = task.truth(pl.DataFrame({"y": target * 4}))
    outputs = random.dirichlet(np.ones(task.size), len(truth)) if task.size > 1 else random.normal(size=(len(truth), 1))
    weight = np.resize([1, 0, 2, 3, 1], len(truth))
    repeated = np.repeat(np.arange(len(truth)), weight)
    assert every_score(task, truth, outputs, weight.astype(float)) == pytest.approx(
        every_score(task, truth[repeated], outputs[repeated])
    )
    assert every_score(task, truth, outputs, np.full(len(truth), 7.0)) == pytest.approx(every_score(task, truth, outputs))


@pytest.mark.parametrize("count", [2, 4])
def test_scores_of_classes_with_weights_are_those_of_scikit_learn(count):
    random = np.random.default_rng(count)
    task = Classification(("y",), classes=tuple("abcd"[:count]), dtype="String", frequencies=(0.7, 0.3, 0.1, 0.1)[:count])
    truth, outputs = random.integers(0, count, 80), random.dirichlet(np.ones(count), 80)
    weight, said = random.integers(0, 3, 80).astype(float), outputs.argmax(1)
    scores = {metric.name: metric(truth, task.predict(outputs), weight) for metric in task.metrics}
    assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said, sample_weight=weight))
    assert scores["f1_macro"] == pytest.approx(metrics.f1_score(truth, said, average="macro", sample_weight=weight))
    if count == 2:
        assert scores["f1"] == pytest.approx(metrics.f1_score(truth, said, pos_label=1, sample_weight=weight))
