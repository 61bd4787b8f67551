"""Options outside of the call: as JSON in runs and files, and on the estimator that comes back."""

import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

import lamina
from lamina import Classifier, FeedForward, Recipe, Regressor
from lamina.fitting.settings import (
    Settings,
)
from lamina.options import CallOptions

BASE = {
    "age": [i % 60 for i in range(80)],
    "shop": [i // 8 for i in range(80)],
    "y": ["old" if i % 60 > 30 else "young" for i in range(80)],
}
LINEAR = {"family": "linear", "monitor": None}


# JSON


@pytest.mark.parametrize(
    "labels",
    [(np.int64(0), np.int64(1)), (0, 1), ("a", np.str_("b")), (False, np.True_),
     (dt.date(2024, 1, 1), dt.date(2024, 1, 2)), (np.datetime64("2024-01-01"), np.datetime64("2024-01-02"))],
)  # fmt: skip
def test_weights_of_any_labels_survive_a_run(tmp_path, labels):
    values = [labels[age > 30].item() if hasattr(labels[age > 30], "item") else labels[age > 30] for age in BASE["age"]]
    table = {"age": BASE["age"], "y": values}
    weights = {labels[0]: 1, labels[1]: np.float32(30)}
    options = {"task": "classification", "class_weight": weights, **LINEAR}
    result = [lamina.fit(table, "y", run=run, **options).predict_proba(table) for run in (None, tmp_path / "r")]
    (tmp_path / "r/model.lamina").unlink()
    result.append(lamina.resume(tmp_path / "r", monitor=None).predict_proba(table))
    assert np.array_equal(result[0], result[1])
    assert np.array_equal(result[0], result[2])
    plain = lamina.fit(table, "y", **{**options, "class_weight": None}).predict_proba(table)
    assert result[0][:, 1].mean() > plain[:, 1].mean() + 0.02


@pytest.mark.parametrize("label", [pd.Timestamp("2024-01-01 10:00"), np.datetime64("2024-01-01T10:00", "ns")])
def test_moments_of_other_libraries_are_labels(label):
    settings = Settings("y", class_weight={label: 2})
    assert settings.class_weight == {dt.datetime(2024, 1, 1, 10): 2}
    assert Settings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_numpy_values_of_options_survive_json():
    recipe, family = Recipe(epochs=np.int64(2), weight_decay=np.float32(0.5)), FeedForward(hidden_sizes=(np.int64(4),))
    settings = Settings("y", recipe=recipe, family=family, validation=np.float32(0.25), seed=np.int64(3))
    content = json.loads(json.dumps(settings.check().to_json()))
    assert (content["recipe"]["epochs"], content["family"]["hidden_sizes"], content["validation"], content["seed"]) == (
        2,
        [4],
        0.25,
        3,
    )


# The estimator that comes back


def test_what_comes_back_carries_the_options_of_the_fit(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=120), "id": rng.permutation(120) * 1.5, "shop": np.arange(120) // 6})
    frame["y"] = np.where(frame.x + rng.normal(0, 1, 120) > 0, "up", "down")
    family, recipe = FeedForward(hidden_sizes=(4,), members=1, number_embedding=None), Recipe(epochs=3)
    options = {"family": family, "recipe": recipe, "validation": 0.3, "class_weight": {"up": 2.0}, "kinds": {"x": "number"}}
    model = lamina.fit(frame, "y", **options, seed=7, drop=["id"], group="shop", trust=False, monitor=None, run=tmp_path / "r")
    expected = {**options, "random_state": 7, "drop": ("id",), "group": "shop", "trust": False, "unique": False}
    expected |= {
        "device": "auto",
        "quality": "good",
        "time_limit": None,
        "time": None,
        "split": None,
        "weight": None,
        "callbacks": None,
        "merge_rare": False,
        "skip_bad": False,
    }
    model.save(tmp_path / "m.lamina")
    others = [lamina.load(tmp_path / "m.lamina"), lamina.resume(tmp_path / "r", monitor=None)]
    X, y = frame.drop(columns="y"), frame["y"]
    result = clone(model).fit(X, y).predict_proba(X)
    assert np.array_equal(result, model.predict_proba(X))  # the same rows, seed and options are the same model
    for other in (model, *others):
        assert other.get_params(deep=False) == expected
        assert np.array_equal(clone(other).fit(X, y).predict_proba(X), result)
    scores = cross_val_score(others[0], X, y, cv=2)
    assert np.array_equal(scores, cross_val_score(Classifier(**expected), X, y, cv=2))


def test_a_regressor_and_what_the_data_chose_come_back_too(tmp_path):
    table = {"x": [i / 10 for i in range(60)], "y": [i * 2.5 for i in range(60)]}
    model = lamina.fit(table, "y", recipe=Recipe(epochs=1), seed=None, monitor=None)
    assert isinstance(model, Regressor)
    assert (model.family, model.recipe) == (FeedForward(hidden_sizes=(128, 128), members=16), Recipe(epochs=1))
    again = clone(model).fit(pd.DataFrame({"x": table["x"]}), pd.Series(table["y"], name="y"))
    assert np.array_equal(again.predict(table), model.predict(table))  # with the seed that was drawn


def test_weights_given_to_fit_are_no_column_to_ask_for_again(tmp_path):
    X, weights = {"age": BASE["age"]}, np.linspace(0.5, 2, 80)
    model = Classifier("linear", random_state=0).fit(X, BASE["y"], weights)
    loaded = lamina.load(model.save(tmp_path / "m.lamina"))
    assert loaded.weight is None
    assert np.array_equal(clone(loaded).fit(X, BASE["y"], weights).predict_proba(X), model.predict_proba(X))


def test_a_file_of_an_earlier_release_carries_its_family_and_recipe():
    model = lamina.load("tests/golden/0.1.0.lamina")
    card = model.model_.card
    assert model.family.to_json().items() >= card["family"].items()
    assert model.recipe.to_json().items() >= card["recipe"].items()


def test_weighted_and_unique_rows_are_not_repeated():
    X, weights = {"age": BASE["age"][:60]}, [2] * 60
    model = Classifier("linear", unique=True, random_state=0).fit(X, BASE["y"][:60], weights)
    assert model.model_.card["data"]["rows"] == 60


def test_call_options_are_called_by_their_keyword():
    assert (CallOptions.title("seed"), Recipe.title("epochs")) == ("seed", "Recipe.epochs")
