"""Figures of classes, labels and targets, and the confusion matrix, against scikit-learn; the worst predictions."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

import lamina
from lamina.errors import OptionError
from lamina.tasks import Classification, Multilabel, Regression, Task
from lamina.tasks.report import Evaluation


def classes(count, rows=600, seed=0):
    random = np.random.default_rng(seed)
    names = tuple(f"class {place:02d}" for place in range(count))
    task = Classification(("y",), classes=names, dtype="String", frequencies=(1 / count,) * count)
    outputs = random.dirichlet(np.ones(count), rows)
    truth = np.where(random.random(rows) < 0.5, outputs.argmax(1), random.integers(0, count, rows))
    return task, truth, outputs, random.random(rows) * 3


@pytest.mark.parametrize("count", [2, 3, 15])
@pytest.mark.parametrize("weighted", [False, True])
def test_figures_of_classes_are_those_of_scikit_learn(count, weighted):
    task, truth, outputs, weight = classes(count)
    weight = weight if weighted else None
    details, said = task.details(truth, outputs, weight), outputs.argmax(1)
    expected = metrics.precision_recall_fscore_support(truth, said, labels=range(count), sample_weight=weight, zero_division=0)
    found = [[row[key] for row in details["report"]] for key in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(found, expected)
    matrix = metrics.confusion_matrix(truth, said, labels=range(count), sample_weight=weight)
    np.testing.assert_allclose(details["confusion"], matrix)
    assert [row["class"] for row in details["report"]] == details["labels"] == list(task.classes)
    most = details["confused"][0]
    wrong = matrix - np.diag(np.diag(matrix))
    assert most["count"] == pytest.approx(wrong.max())
    place = task.classes.index(most["actual"]), task.classes.index(most["predicted"])
    assert matrix[place] == pytest.approx(wrong.max())
    assert most["share"] == pytest.approx(wrong.max() / matrix[place[0]].sum())
    assert isinstance(details["report"][0]["support"], float if weighted else int)


def test_a_class_that_is_never_predicted_has_a_precision_of_0():
    task, *_ = classes(3)
    details = task.details(np.array([0, 1, 1]), np.eye(3)[[0, 0, 1]])
    assert [row["precision"] for row in details["report"]] == [0.5, 1.0, 0.0]
    assert [row["support"] for row in details["report"]] == [1, 2, 0]


@pytest.mark.parametrize(("count", "rows", "columns"), [(2, 100, True), (5, 10**6, True), (12, 10**5, False)])
def test_a_confusion_matrix_fits_80_columns(count, rows, columns, capsys, monkeypatch):
    from lamina.cli.scores import show_scores

    monkeypatch.setenv("COLUMNS", "80")
    task, truth, outputs, _ = classes(count, rows=2000)
    result = {"rows": rows, **dict.fromkeys(("scores", "baseline"), task.scores(truth, outputs))}
    details = task.details(truth, outputs)
    details["confusion"] = (np.array(details["confusion"]) * (rows // 2000 or 1)).tolist()
    show_scores(task, result | details, "rows")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    start = lines.index("Confusion matrix")
    heads = lines[start + 1].removeprefix("actual \\ predicted").split()
    assert heads == (" ".join(task.classes).split() if columns else [str(place + 1) for place in range(count)])
    cells = [line.split()[-count:] for line in lines[start + 2 : start + 2 + count]]
    assert [[int(cell.replace(",", "")) for cell in row] for row in cells] == details["confusion"]


def test_of_many_classes_the_most_frequent_confusions_are_shown(capsys):
    from lamina.cli.scores import show_scores

    task, truth, outputs, _ = classes(40)
    details = task.details(truth, outputs)
    assert [table.title for table in task.tables(details)] == [
        "Most frequent confusions",
        "The 10 of 40 classes with the lowest F1",
    ]
    scores = task.scores(truth, outputs)
    show_scores(task, {"rows": 600, "scores": scores, "baseline": scores, **details}, "rows")
    first = details["confused"][0]
    assert f"{first['actual']} -> {first['predicted']}" in capsys.readouterr().out
    assert "confusion" not in classes(101)[0].details(*classes(101)[1:3])


def test_figures_of_labels_are_those_of_scikit_learn():
    random = np.random.default_rng(1)
    truth = (random.random((200, 3)) < [0.5, 0.2, 0.8]).astype(float)
    outputs = np.clip(0.5 * truth + random.random((200, 3)) * 0.6, 0.01, 0.99)
    task, weight = Multilabel(tuple("abc"), labels=tuple("abc")), random.random(200)
    report = task.details(truth, outputs, weight)["report"]
    expected = metrics.precision_recall_fscore_support(truth, outputs >= 0.5, sample_weight=weight)
    np.testing.assert_allclose([[row[key] for row in report] for key in ("precision", "recall", "f1", "support")], expected)
    truth[:50, 0] = np.nan
    report = task.details(truth, outputs)["report"]
    assert (report[0]["known"], report[0]["support"]) == (150, int(np.nansum(truth[:, 0])))
    assert report[0]["recall"] == pytest.approx(metrics.recall_score(truth[50:, 0], outputs[50:, 0] >= 0.5))
    worst = task.errors(truth, outputs, 1)[0]
    assert (truth[worst["row"], "abc".index(worst["label"])] == 1) == (worst["actual"] == "yes")


@pytest.mark.parametrize("targets", [1, 2])
def test_figures_of_values_are_those_of_scikit_learn(targets):
    random = np.random.default_rng(2)
    task = Regression(tuple("ab"[:targets]), center=(5.0,) * targets, scale=(2.0,) * targets)
    truth, weight = random.random((100, targets)) + 0.5, random.random(100)
    outputs = (truth + random.normal(size=truth.shape) - 5) / 2
    values = outputs * 2 + 5
    truth = truth[:, 0] if targets == 1 else truth
    functions = {
        "rmse": metrics.root_mean_squared_error,
        "mae": metrics.mean_absolute_error,
        "medae": metrics.median_absolute_error,
        "mape": metrics.mean_absolute_percentage_error,
        "r2": metrics.r2_score,
    }
    scores = task.scores(truth, outputs, weight)
    assert scores == {name: pytest.approx(f(truth, values, sample_weight=weight)) for name, f in functions.items()}
    report = task.details(truth, outputs)["report"]
    for name, function in functions.items():
        expected = np.atleast_1d(function(truth, values, multioutput="raw_values"))
        np.testing.assert_allclose([row[name] for row in report], expected)
    residuals = np.abs(truth.reshape(100, -1) - values)
    assert task.errors(truth, outputs, 3)[0]["row"] == np.unravel_index(residuals.argmax(), residuals.shape)[0]


@pytest.mark.parametrize("zero", [0.0, 1e-320])
def test_mape_is_not_defined_beside_a_value_of_0(zero, capsys):
    from lamina.cli.scores import show_scores

    rows = {"x": [i / 10 for i in range(60)], "y": [zero, *(i / 10 + 0.05 for i in range(1, 60))]}
    model = lamina.fit(rows, "y", family="linear", monitor=None)
    result = model.evaluate(rows)
    assert result["undefined"] == {"mape": "an actual value is 0"}
    assert set(result["scores"]) == {"rmse", "mae", "medae", "r2"}
    assert np.isfinite(list(result["scores"].values())).all()
    show_scores(model.model_.task, result, "rows")
    assert "MAPE is not defined: an actual value is 0.\n" in capsys.readouterr().out
    whole = model.evaluate({"x": rows["x"][1:], "y": rows["y"][1:]})
    assert "undefined" not in whole
    assert whole["scores"]["mape"] < 1


def test_an_evaluation_is_json_and_has_frames():
    rows = {"x": [i / 100 for i in range(200)], "y": [None, *(i % 7 < i // 50 for i in range(1, 200))]}
    model = lamina.fit(rows, "y", family="linear", monitor=None)
    result = model.evaluate(rows, errors=4)
    assert json.loads(json.dumps(result)) == result
    assert result["labels"] == [False, True]
    assert result.to_frame()["class"].to_list() == [False, True]
    assert result.confusion.columns == ["actual", "False", "True"]
    with pytest.raises(OptionError, match="there is no confusion matrix; it is for classes, up to 100; take to_frame"):
        _ = Evaluation(labels=["a"]).confusion
    with pytest.raises(OptionError, match="no errors; ask for them: model.evaluate"):
        _ = model.evaluate(rows).errors
    assert result.confusion.select("False", "True").to_numpy().sum() == result["rows"] == 199
    assert model.errors(rows, 4).equals(result.errors)
    predicted = model.predict({"x": rows["x"]})
    for error in result["errors"]:
        place = error["row"] - 1
        assert (error["actual"], error["predicted"]) == (rows["y"][place], predicted[place])
        assert error["actual"] != error["predicted"]
    confidence = [error["probability"] for error in result["errors"]]
    assert confidence == sorted(confidence, reverse=True)
    probabilities = model.predict_proba({"x": rows["x"]}).max(axis=1)
    wrong = [p for p, said, true in zip(probabilities, predicted, rows["y"], strict=True) if true is not None and said != true]
    assert confidence == pytest.approx(sorted(wrong, reverse=True)[:4])


def test_accuracy_is_never_alone_where_classes_are_unbalanced():
    task = Task.infer(pl.DataFrame({"y": ["no"] * 90 + ["yes"] * 10}), "y")
    truth = np.repeat([0, 1], [90, 10])
    outputs = np.where(np.arange(100)[:, None] < 95, [[0.9, 0.1]], [[0.2, 0.8]])
    scores, baseline = task.scores(truth, outputs), task.baseline_scores(truth)
    assert scores["f1"] == pytest.approx(metrics.f1_score(truth, outputs.argmax(1)))
    first = task.summary({"rows": 100, "scores": scores, "baseline": baseline}, "rows")[0]
    assert first == "Accuracy 95.0 %, balanced accuracy 75.0 % on 100 rows; always predicting no has 90.0 % and 50.0 %."
    even = Task.infer(pl.DataFrame({"y": ["no", "yes"] * 50}), "y")
    assert set(even.scores(truth, outputs)) == {"accuracy", "log_loss", "auc"}
