"""The decision threshold of two classes: chosen by a rule on the validation rows, used by evaluate and predict."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn import metrics

import lamina
from lamina.errors import OptionError
from lamina.tasks import Classification, Multilabel, Task
from lamina.tasks.threshold import MOST_POINTS, Rule, fit_curve


def rows(count=500, seed=0, ties=True):
    random = np.random.default_rng(seed)
    positive = random.random(count) < 0.15
    probabilities = np.clip(0.3 * positive + random.random(count) * 0.7, 0, 1)
    return np.round(probabilities, 2) if ties else probabilities, positive, random.integers(0, 4, count).astype(float)


def every(probabilities, positive, weight):
    """The weights of true and false positives for every threshold."""
    levels = [np.inf, *np.unique(probabilities)]
    chosen = [probabilities >= level for level in levels]
    return np.array([[(weight * (said & positive)).sum(), (weight * (said & ~positive)).sum()] for said in chosen])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rule", ["f1", "recall=0.9", "recall=1", "precision=0.5", "cost=1:5", "cost=5:1", "cost=1:0.001"])
def test_no_other_threshold_is_better(rule, weighted):
    probabilities, positive, weight = rows()
    weight = weight if weighted else np.ones(len(weight))
    threshold = Rule.parse(rule).choose(fit_curve(probabilities, positive, weight if weighted else None))
    right, false = every(probabilities, positive, weight).T
    hits, misses = every(probabilities, positive, weight)[0] * 0 + [
        (weight * ((probabilities >= threshold) & positive)).sum(),
        (weight * ((probabilities >= threshold) & ~positive)).sum(),
    ]
    total = (weight * positive).sum()
    if rule == "f1":
        assert 2 * hits / (hits + misses + total) == pytest.approx((2 * right / (right + false + total)).max())
    elif rule.startswith("cost"):
        low, high = Rule.parse(rule).values
        assert low * misses + high * (total - hits) == pytest.approx((low * false + high * (total - right)).min())
    elif rule.startswith("recall"):
        wanted = Rule.parse(rule).values[0]
        assert hits / total >= wanted
        assert misses == false[right >= wanted * total].min()
    else:
        assert hits / (hits + misses) >= 0.5
        assert hits == right[right >= 0.5 * (right + false)].max()


def test_a_long_curve_is_shortened_and_keeps_the_highest_f1():
    probabilities, positive, _ = rows(20_000, ties=False)
    curve = fit_curve(probabilities, positive)
    assert MOST_POINTS <= len(curve) <= MOST_POINTS + 3
    best = max(
        metrics.f1_score(positive, probabilities >= level) for level in np.quantile(probabilities, np.linspace(0, 1, 30))
    )
    assert metrics.f1_score(positive, probabilities >= Rule.parse("f1").choose(curve)) >= best
    said = probabilities >= Rule.parse("recall=0.8").choose(curve)
    assert 0.8 <= metrics.recall_score(positive, said) < 0.81
    assert fit_curve(probabilities, np.ones(len(positive), dtype=bool)) == ()


@pytest.mark.parametrize(
    "wrong", ["f2", "recall", "recall=2", "recall=0", "precision=x", "cost=1", "cost=0:1", "cost=1:2:3", "1.5", "", "=", True]
)
def test_rules_that_are_none_are_refused(wrong):
    with pytest.raises(
        OptionError, match=r"threshold is .*, expected f1, recall=0.9, precision=0.9, cost=1:5 \(false positive"
    ):
        Rule.parse(wrong)


def test_what_has_no_threshold_says_so():
    two = Task.infer(pl.DataFrame({"y": [0, 1] * 5}), "y")
    with pytest.raises(
        OptionError, match="chosen on the validation rows of the fit, but the model has no curve of them: it was"
    ):
        two.with_threshold("f1")
    assert two.with_threshold("0.3").predict(np.array([[0.6, 0.4], [0.8, 0.2]])).labels.tolist() == [1, 0]
    curve = fit_curve(np.array([0.9, 0.5]), np.array([False, True]))
    with pytest.raises(OptionError, match=r"no threshold has a precision of 0.9 on .*; the highest is 0.5"):
        Rule.parse("precision=0.9").choose(curve)
    with pytest.raises(OptionError, match="threshold is for two classes, but 'y' has 3; leave it out"):
        Task.infer(pl.DataFrame({"y": [0, 1, 2] * 5}), "y").with_threshold(0.5)
    with pytest.raises(OptionError, match="threshold is for two classes or labels, but the task is regression: a number"):
        Task.infer(pl.DataFrame({"y": [0.5, 1.5]}), "y").with_threshold(0.5)
    labels = Multilabel(("a", "b"), labels=("a", "b"), thresholds=(0.2, 0.7))
    assert labels.with_threshold("f1").thresholds == (0.2, 0.7)
    assert labels.with_threshold(0.4).thresholds == (0.4, 0.4)
    with pytest.raises(OptionError, match="threshold='recall' is chosen on the validation rows of the fit, but the model has"):
        labels.with_threshold("recall=0.9")


def test_each_label_takes_the_rule_by_itself():
    random = np.random.default_rng(0)
    truth = (random.random((400, 3)) < (0.1, 0.4, 0.02)).astype(float)  # the last has too few rows
    truth[:50, 1] = np.nan
    outputs = np.clip(0.3 * np.nan_to_num(truth) + random.random((400, 3)) * 0.7, 0, 1)
    task = Multilabel(("a", "b", "c"), labels=("a", "b", "c")).decide(outputs, truth)
    for rule in ("recall=0.9", "precision=0.6", "cost=1:5", "f1"):
        known = truth[50:, 1] == 1
        alone = (fit_curve(outputs[:, 0], truth[:, 0] == 1), fit_curve(outputs[50:, 1], known))
        assert task.with_threshold(rule).thresholds == (*map(Rule.parse(rule).choose, alone), 0.5)
    title = task.with_threshold("recall=0.9").tables(task.with_threshold("recall=0.9").details(truth, outputs))[0].title
    assert title.endswith("for a recall of at least 0.9 (0.5 for labels of fewer than 20)")
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again.with_threshold("recall=0.8") == task.with_threshold("recall=0.8")
    with pytest.raises(OptionError, match="no threshold of label 'b' has a precision of 1 on the validation rows"):
        Multilabel(("b",), labels=("b",)).decide(np.round(outputs[:, 1:2]), truth[:, 1:2]).with_threshold("precision=1")
    many = Multilabel(("y",), labels=tuple(map(str, range(1000)))).decide(outputs[:, [0] * 1000], truth[:, [0] * 1000])
    assert sum(map(len, many.curves)) <= 12_000


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    random = np.random.default_rng(0)
    x = random.normal(size=(1500, 3))
    y = np.where(random.random(1500) < 1 / (1 + np.exp(3 - 2 * x[:, 0])), "yes", "no")
    frame = pl.DataFrame({f"x{i}": x[:, i] for i in range(3)} | {"y": y})
    path = tmp_path_factory.mktemp("model") / "m.lamina"
    lamina.fit(frame[:1000], "y", family="linear", monitor=None).save(path)
    return lamina.load(path), frame[1000:]


def test_a_threshold_is_chosen_on_the_validation_rows_and_used_for_other_rows(fitted):
    model, new = fitted
    plain, result = model.evaluate(new), model.evaluate(new, threshold="recall=0.9")
    chosen = result["threshold"]
    assert (chosen["class"], chosen["rule"], chosen["rows"]) == (
        "yes",
        "a recall of at least 0.9",
        "validation rows of the fit",
    )
    assert model.evaluate(new[:50], threshold="recall=0.9")["threshold"] == chosen  # not on the given rows
    assert plain == model.evaluate(new)  # the model itself is as before
    said = np.where(model.predict_proba(new)[:, 1] >= chosen["value"], "yes", "no")
    assert model.predict(new, threshold="recall=0.9").to_list() == said.tolist()
    assert model.predict_table(new, threshold="recall=0.9")["y"].to_list() == said.tolist()
    assert model.predict(new, trust=True, reasons=False, threshold=chosen["value"])["y"].to_list() == said.tolist()
    assert result["report"][1]["recall"] == pytest.approx(metrics.recall_score(new["y"], said, pos_label="yes"))
    assert result["report"][1]["recall"] > plain["report"][1]["recall"] + 0.1
    assert {name: plain["scores"][name] for name in ("auc", "log_loss")}.items() <= result["scores"].items()
    assert result["baseline"] == plain["baseline"]
    words = model.model_.with_threshold("cost=1:5").task.summary(model.evaluate(new, threshold="cost=1:5"), "rows")[-1]
    assert "chosen for the lowest cost (1 for a false positive, 5 for a false negative) on the validation rows of" in words
    card = model.model_.card
    assert words.endswith(f"the fit ({card['report'][1]['support']} of them yes).")


def test_the_curve_is_that_of_the_validation_rows(fitted):
    task = fitted[0].model_.task
    assert task.curve[-1][1] + task.curve[-1][2] == fitted[0].model_.card["split"]["validation"]
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    forest = lamina.fit(fitted[1], "y", family="forest", monitor=None).model_  # out of bag: all rows
    assert sum(forest.task.curve[-1][1:]) == len(fitted[1])
    assert isinstance(forest.task, Classification)


@pytest.mark.parametrize("call", ["predict", "predict_table", "evaluate", "errors"])
def test_a_wrong_threshold_is_an_option_error(fitted, call):
    for wrong in ("recal=0.9", 2, [0.5]):
        with pytest.raises(OptionError, match="threshold is"):
            getattr(fitted[0], call)(fitted[1], threshold=wrong)
