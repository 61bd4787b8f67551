"""Multilabel: targets of several yes/no labels, missing ones among them, from inference to files."""

import json

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import metrics

import lamina
from lamina.errors import OptionError, TargetError
from lamina.tasks import Multilabel, Task
from lamina.tasks.losses import label_cross_entropy

LISTS = pl.DataFrame({"genres": [["drama", "war"], [], None, ["war"], ["drama"], ["love", "drama"]]})


def table(rows=300, seed=0, holes=0.3):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 3))
    labels = np.stack([x[:, 0] > 0, x[:, 1] - x[:, 2] > 0.5], axis=1)
    known = random.random(labels.shape) >= holes
    columns = {f"x{i}": x[:, i] for i in range(3)}
    columns |= {
        name: [bool(v) if k else None for v, k in zip(labels[:, j], known[:, j], strict=True)] for j, name in enumerate("ab")
    }
    return pl.DataFrame(columns)


def test_lists_and_columns_of_yes_and_no_are_labels():
    task = Task.infer(LISTS, "genres")
    assert (task.name, task.labels, task.listed) == ("multilabel", ("drama", "love", "war"), True)
    truth = task.truth(LISTS)
    assert truth[0].tolist() == [1, 0, 1]
    assert truth[1].tolist() == [0, 0, 0]
    assert np.isnan(truth[2]).all()
    mask, note = task.usable_rows(LISTS)
    assert mask.tolist() == [True, True, False, True, True, True]
    assert note == "1 of 6 rows has no value in the target 'genres' and is ignored"
    mixed = pl.DataFrame({"a": [True, False, None], "b": ["No", "Yes", "No"], "c": [0, 1, None]})
    task = Task.infer(mixed, ["a", "b", "c"])
    assert (task.name, task.values) == ("multilabel", ((False, True), ("No", "Yes"), (0, 1)))
    np.testing.assert_array_equal(task.truth(mixed), [[1, 0, 0], [0, 1, 1], [np.nan, 0, np.nan]])
    assert task.predict(np.array([[0.9, 0.2, 0.7]])).labels.tolist() == [[True, "No", 1]]
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    assert Task.infer(pl.DataFrame({"a": [0.5, 1.5], "b": [1, 0]}), ["a", "b"]).name == "regression"
    assert Task.infer(mixed.drop_nulls(), ["a", "c"], kind="regression").name == "regression"


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"a": [None, None], "b": [True, False]}, "label 'a' has no value in any row; drop it"),
        ({"a": [True, True], "b": [False, False]}, "every label of the targets 'a', 'b' is the same in all rows"),
        ({"a": ["x", "y"], "b": [True, False]}, "target 'a' is not a label: multilabel needs several columns of yes and no"),
        ({"a": [True, None], "b": [None, None]}, "one row"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(columns, match):
    with pytest.raises(TargetError, match=match):
        Task.infer(pl.DataFrame(columns), ["a", "b"], kind="multilabel")


def test_new_labels_and_values_are_refused_by_name():
    task = Task.infer(LISTS, "genres")
    with pytest.raises(TargetError, match="has the label 'noir' in row 2, which was not in training; expected 'drama'"):
        task.truth(pl.DataFrame({"genres": [["war"], ["noir"]]}))
    assert task.truth(pl.DataFrame({"genres": [["war", None]]})).tolist() == [[0, 0, 1]]
    with pytest.raises(TargetError, match="is of type String, expected lists as in training"):
        task.truth(pl.DataFrame({"genres": ["war"]}))
    columns = Task.infer(pl.DataFrame({"a": [True, False], "b": [False, True]}), ["a", "b"])
    with pytest.raises(TargetError, match="label 'a' is 2 in row 1, expected True or False"):
        columns.truth(pl.DataFrame({"a": [2], "b": [1]}))
    with pytest.raises(OptionError, match="class_weight is for classification, but the task is multilabel"):
        columns.class_weights(pl.DataFrame({"a": [True], "b": [False]}), "balanced")
    same = pl.DataFrame({"a": [True, True], "b": [False, True]})
    assert Task.infer(same, ["a", "b"]).warning == "the label 'a' is the same in all rows and cannot be predicted"


def test_a_masked_label_has_exactly_no_gradient_and_the_rest_is_pytorchs():
    torch.manual_seed(0)
    logits = torch.randn(6, 3, requires_grad=True)
    target, known, weight = (torch.randn(6, 3) > 0).float(), (torch.rand(6, 3) > 0.4).float(), torch.rand(6)
    label_cross_entropy(logits, target, weight, known).backward()
    assert (logits.grad[known == 0] == 0).all()
    assert (logits.grad[known == 1] != 0).all()
    losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    expected = (losses * known * weight[:, None]).sum() / (known * weight[:, None]).sum()
    assert label_cross_entropy(logits, target, weight, known).item() == pytest.approx(expected.item(), rel=1e-6)
    members = torch.stack([logits, logits], dim=1)
    assert label_cross_entropy(members, target, weight, known).item() == pytest.approx(expected.item(), rel=1e-6)


def test_metrics_are_scikit_learns_on_what_is_known():
    random = np.random.default_rng(1)
    truth = (random.random((200, 3)) < [0.5, 0.2, 0.8]).astype(float)
    outputs = np.clip(0.5 * truth + random.random((200, 3)) * 0.6, 0.01, 0.99)
    task, weight = Multilabel(("a", "b", "c"), labels=("a", "b", "c")), random.random(200)
    scores = {metric.name: metric(truth, task.predict(outputs), weight) for metric in task.metrics}
    has = outputs >= 0.5
    assert scores["auc_macro"] == pytest.approx(metrics.roc_auc_score(truth, outputs, average="macro", sample_weight=weight))
    for average in ("macro", "micro"):
        expected = metrics.f1_score(truth, has, average=average, sample_weight=weight)
        assert scores[f"f1_{average}"] == pytest.approx(expected)
    assert scores["hamming_loss"] == pytest.approx(metrics.hamming_loss(truth, has, sample_weight=weight))
    expected = metrics.average_precision_score(truth, outputs, average="macro", sample_weight=weight)
    assert scores["average_precision_macro"] == pytest.approx(expected)
    each = [metrics.log_loss(truth[:, i], outputs[:, i], sample_weight=weight) for i in range(3)]
    assert scores["log_loss"] == pytest.approx(np.mean(each))
    holes = np.where(random.random(truth.shape) < 0.3, np.nan, truth)
    known = ~np.isnan(holes[:, 0])
    first = metrics.roc_auc_score(truth[known, 0], outputs[known, 0])
    assert task.details(holes, outputs)["report"][0]["auc"] == pytest.approx(first)
    assert task.details(holes, outputs)["report"][0]["known"] == known.sum()


def test_a_threshold_has_the_highest_f1():
    random = np.random.default_rng(2)
    truth = (random.random((500, 1)) < 0.2).astype(float)
    outputs = np.round(np.clip(0.3 * truth + random.random((500, 1)) * 0.7, 0, 1), 2)  # with ties
    task = Multilabel(("a",), labels=("a",)).decide(outputs, truth)
    best = max(metrics.f1_score(truth, outputs >= level) for level in np.unique(outputs))
    assert metrics.f1_score(truth, task.predict(outputs).decision) == pytest.approx(best)
    assert Multilabel(("a",), labels=("a",)).decide(outputs[:30], truth[:30]).thresholds == (0.5,)


def test_the_baseline_of_a_metric_of_ones_own_has_no_thresholds_of_the_model():
    def wrong(y_true, y_pred):
        return float((y_true != y_pred).mean())

    random = np.random.default_rng(0)
    x = random.normal(size=800)
    frame = pl.DataFrame({"x": x, "a": random.random(800) < 0.35, "b": x > 0})  # for a, F1 is highest if it is always set
    recipe = lamina.Recipe(metric=lamina.make_metric(wrong, greater=False))
    model = lamina.fit(frame, ["a", "b"], family="linear", recipe=recipe, monitor=None)
    assert model.model_.task.thresholds[0] < model.model_.task.frequencies[0]
    baseline = model.evaluate(frame)["baseline"]
    assert baseline["wrong"] == pytest.approx(baseline["hamming_loss"])


@pytest.mark.parametrize("family", ["feedforward", "forest", "boosting", "linear", "neighbours"])
def test_every_sort_of_family_learns_labels_of_which_some_are_missing(family, tmp_path):
    frame, whole = table(), table(holes=0.0)
    recipe = lamina.Recipe(epochs=60, learning_rate=5e-3, patience=None, batch_size=32)
    model = lamina.fit(frame, ["a", "b"], family=family, recipe=recipe, seed=0, monitor=None)
    assert isinstance(model, lamina.Classifier)
    scores = model.evaluate(whole)
    assert scores["scores"]["auc_macro"] > 0.95
    assert scores["scores"]["log_loss"] < scores["baseline"]["log_loss"]
    assert set(scores["labels"]) == {"a", "b"}
    predictions = model.predict(whole[:5], trust=True)
    assert predictions.columns[:4] == ["a", "b", "probability a", "probability b"]
    assert {"set", "novelty_p", "reasons"} < set(predictions.columns)
    assert predictions.schema["a"] == pl.Boolean
    loaded = lamina.load(model.save(tmp_path / "m.lamina"))
    assert loaded.predict(whole[:5], trust=True).equals(predictions)


def test_lists_come_back_as_lists_and_arrays_as_arrays():
    frame = table(holes=0.0)
    lists = [[name for name in "ab" if row[name]] for row in frame.iter_rows(named=True)]
    model = lamina.fit(
        frame.select("x0", "x1", "x2").with_columns(y=pl.Series(lists)), "y", family="linear", seed=0, monitor=None
    )
    predicted = model.predict(frame.select("x0", "x1", "x2"))
    assert predicted.dtype == pl.List(pl.String)
    assert np.mean([one == other for one, other in zip(predicted.to_list(), lists, strict=True)]) > 0.9
    X, Y = frame.select("x0", "x1", "x2").to_numpy(), frame.select("a", "b").to_numpy().astype(int)
    fitted = lamina.Classifier("linear", random_state=0).fit(X, Y)
    assert fitted.predict(X).shape == Y.shape
    assert (fitted.predict(X) == Y).mean() > 0.9
    assert fitted.predict_proba(X).shape == Y.shape


def test_candidates_are_compared_on_labels():
    board = lamina.compare(table(), ["a", "b"], families=["constant", "linear"], folds=3, repeats=1, seed=0, monitor=None)
    assert (board.metric.name, board.verdict.take) == ("auc_macro", "linear")
    assert board.lines[0].others["hamming_loss"] < 0.2
