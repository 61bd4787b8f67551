"""The ensemble family: folds, weights, groups, files, trust."""

import dataclasses
import json
import time

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris

import lamina
from lamina import Boosting, Ensemble, FeedForward, Forest, Linear, Recipe
from lamina.errors import DataError, ModelFileError, OptionError, TrainingError
from lamina.families import family_from_json, family_to_json
from lamina.families.ensemble import EnsemblePredictor
from lamina.fitting import bagging
from lamina.model import Network

SMALL = (Boosting(max_iter=8), FeedForward(hidden_sizes=(8,), members=2))
RECIPE = Recipe(epochs=3)


def rows(count=240, seed=0):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, count))
    town = random.choice(["Bern", "Rome"], count)
    y = np.where(a + (town == "Rome") + random.normal(0, 0.5, count) > 0.5, "yes", "no")
    return pl.DataFrame({"a": a, "b": b, "town": town, "who": np.arange(count) // 12, "y": y})


@pytest.fixture(scope="module")
def fitted():
    return lamina.fit(rows(), "y", drop=["who"], family=Ensemble(SMALL, folds=3), recipe=RECIPE, monitor=None)


def test_every_row_is_validated_by_models_that_were_not_fitted_to_it(fitted):
    card, model = fitted.model_.card, fitted.model_
    assert card["split"] == {
        "how": "out of fold: by the models that were not fitted to it", "out_of_bag": True, "train": 240, "validation": 240,
    }  # fmt: skip
    assert [one["name"] for one in card["candidates"]] == ["boosting", "feedforward"]
    assert sum(one["weight"] for one in card["candidates"]) == pytest.approx(1)
    assert len(model.predictor.members) == 3 * sum(one["weight"] > 0 for one in card["candidates"])
    assert card["validation"]["accuracy"] > 0.75
    assert model.trust is not None
    assert set(fitted.predict(rows(5), trust=True).columns) >= {"set", "novelty_p", "reasons"}


def test_noise_is_not_predicted_out_of_fold():
    noise = rows().with_columns(y=pl.Series(np.random.default_rng(1).choice(["yes", "no"], 240)))
    model = lamina.fit(noise, "y", family=Ensemble((Forest(n_estimators=10),), folds=4), monitor=None).model_
    assert model.evaluate(noise)["scores"]["accuracy"] > 0.8
    assert model.card["validation"]["accuracy"] < 0.6


def test_the_outputs_are_the_weighted_mean_of_the_members(fitted):
    model, table = fitted.model_, rows(20, seed=3)
    checked, _ = model.schema.check(table, notes=False)
    total = np.zeros((20, 2))
    for member in model.predictor.members:
        encoder = model.encoder.parts[member.encoder]
        total += member.weight * member.predictor.outputs(encoder.transform(checked), 20)
    assert model.outputs(table) == pytest.approx(total, abs=1e-12)


def test_a_file_predicts_the_same_bits(fitted, tmp_path):
    fitted.save(tmp_path / "e.lamina")
    loaded = lamina.load(tmp_path / "e.lamina")
    table = rows(50, seed=5)
    assert np.array_equal(loaded.predict_proba(table), fitted.predict_proba(table))
    assert loaded.family == fitted.family
    assert loaded.model_.family == "ensemble"
    again = clone(loaded).fit(rows().drop("y"), rows()["y"])
    assert again.model_.card["candidates"][0]["name"] == "boosting"


def test_a_group_is_in_one_fold():
    """The group gives the class away: with a group on both sides of a fold its rows would be predicted perfectly."""
    random = np.random.default_rng(0)
    who = np.arange(300) // 6
    table = pl.DataFrame({"code": who * 1.0, "who": who, "y": random.choice(["yes", "no"], 50)[who]})
    family = Ensemble((Forest(n_estimators=20),), folds=5)
    apart = lamina.fit(table, "y", group="who", family=family, monitor=None).model_.card
    together = lamina.fit(table, "y", drop=["who"], family=family, monitor=None).model_.card
    assert apart["split"]["out_of_bag"]
    assert apart["validation"]["accuracy"] < 0.7
    assert together["validation"]["accuracy"] > 0.9


def test_with_a_column_of_times_each_family_is_fitted_once():
    table = rows().with_columns(day=pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 8, 27), eager=True))
    model = lamina.fit(table, "y", time="day", family=Ensemble((*SMALL,), folds=3), recipe=RECIPE, monitor=None).model_
    assert model.card["split"]["how"].startswith("by time")
    assert {member.part for member in model.predictor.members} <= {0, 1}
    assert len(model.predictor.members) <= 2


def test_without_folds_the_members_have_the_same_training_rows():
    model = lamina.fit(rows(), "y", family=Ensemble(SMALL, folds=0), recipe=RECIPE, monitor=None).model_
    assert (model.card["split"]["train"], model.card["split"]["validation"]) == (204, 36)
    assert model.card["train"]["rows"] == 204


def test_regression_has_a_spread_for_its_intervals():
    table = rows().with_columns(z=pl.col("a") * 3 + pl.col("b"))
    model = lamina.fit(table.drop("y"), "z", family=Ensemble((Forest(n_estimators=10), "linear"), folds=3), monitor=None)
    predicted = model.predict(rows(40, seed=9), trust=True, reasons=False)
    assert model.model_.trust.intervals is not None
    assert (predicted["low"] <= predicted["high"]).all()


def test_a_network_is_evaluated_once_for_its_outputs_and_their_spread(monkeypatch):
    evaluated, evaluate = [], Network._outputs
    monkeypatch.setattr(Network, "_outputs", lambda net, *args: evaluated.append(net) or evaluate(net, *args))
    family = Ensemble((FeedForward(hidden_sizes=(8,), members=2),), folds=3)
    model = lamina.fit(rows(), "a", drop=["y"], family=family, recipe=RECIPE, trust=False, monitor=None).model_
    assert len(evaluated) == 3
    evaluated.clear()
    model.spread(model.schema.check(rows())[0])
    assert len(evaluated) == 3


@pytest.mark.parametrize(
    ("family", "error", "message"),
    [
        (
            Ensemble(folds=1),
            OptionError,
            "folds is 1, but a fold is predicted by models of the other folds; take at least 2, or 0",
        ),
        (Ensemble(folds=0, repeats=2), OptionError, "repeats is 2, but folds=0 has no folds to repeat; take folds=5"),
        (Ensemble(()), OptionError, "families is empty; name at least one family"),
        (Ensemble(("boostng",)), OptionError, "no family 'boostng'; did you mean 'boosting'"),
        (Ensemble((Ensemble(),)), OptionError, "Ensemble.families has an ensemble, expected single families"),
        (Ensemble("linear"), OptionError, "expected one of 'auto'|expected 'auto'"),
        (Ensemble(("linear",), folds=50), DataError, "30 rows cannot make 50 folds"),
    ],
)
def test_bad_ensembles_are_one_line(family, error, message):
    with pytest.raises(error, match=message):
        lamina.fit(rows(30), "y", family=family, monitor=None)


def test_a_class_with_fewer_rows_than_folds_is_noted():
    table = rows().with_columns(y=pl.when(pl.int_range(240) < 2).then(pl.lit("rare")).otherwise("y"))
    model = lamina.fit(table, "y", family=Ensemble(("linear",), folds=5), monitor=None).model_
    assert any("class 'rare' has no training row in" in note or "no test row" in note for note in model.card["notes"])
    assert model.outputs(rows(3)).shape == (3, 3)


def test_a_family_that_fails_is_left_out_and_all_that_fail_are_an_error(monkeypatch):
    def fail(*_):
        raise TrainingError("no convergence")

    monkeypatch.setattr(Boosting, "fit", fail)
    model = lamina.fit(rows(), "y", family=Ensemble(("linear", "boosting"), folds=2), monitor=None).model_
    assert [(one["name"], one["verdict"]) for one in model.card["candidates"]] == [
        ("linear", ""),
        ("boosting", "no convergence"),
    ]
    with pytest.raises(TrainingError, match=r"no family of the ensemble could be fitted \(boosting: no convergence\)"):
        lamina.fit(rows(), "y", family=Ensemble(("boosting",), folds=2), monitor=None)


def test_repeats_divide_the_rows_anew_and_a_row_is_predicted_by_their_mean():
    data = rows(60).drop("who")
    family = Ensemble(("linear", Boosting(max_iter=5, min_samples_leaf=2)), folds=3, repeats=4)
    model = lamina.fit(data, "y", family=family, seed=0, monitor=None).model_
    parts = {member.part: 0 for member in model.predictor.members}
    for member in model.predictor.members:
        parts[member.part] += 1
    assert set(parts.values()) == {12}
    assert model.card["split"]["how"].startswith("out of fold")
    one = lamina.fit(data, "y", family=dataclasses.replace(family, repeats=1), seed=0, monitor=None).model_
    losses = [fit.card["candidates"][0]["loss"] for fit in (model, one)]
    assert losses[0] == pytest.approx(losses[1], rel=0.2)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("cores", [1, 4])  # as many folds are begun at once, but only with time for each
def test_folds_are_fitted_as_far_as_the_time_allows(cores, monkeypatch):
    monkeypatch.setattr(bagging, "available_threads", lambda: cores)
    fit = Linear.fit

    def slow(*arguments):
        time.sleep(0.7)
        return fit(*arguments)

    monkeypatch.setattr(Linear, "fit", slow)
    X, y = load_iris(return_X_y=True, as_frame=True)
    family = Ensemble(("linear", Forest(n_estimators=10)), folds=5)
    model = lamina.fit(X.assign(y=y), "y", task="classification", family=family, time_limit=3, seed=0, monitor=None).model_
    folds = len(model.predictor.members) // len({member.part for member in model.predictor.members})
    assert 2 <= folds < 5
    assert f"time_limit=3 was enough for {folds} of 5 folds" in model.card["notes"]
    assert 0.8 < model.card["validation"]["accuracy"] <= 1
    assert sum(member.weight for member in model.predictor.members) == (pytest.approx(1))


def test_families_with_options_are_stored_as_json():
    family = Ensemble(("linear", *SMALL), folds=3)
    assert family_from_json(json.loads(json.dumps(family_to_json(family)))) == family


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values["members"].clear(), "0 members"),
        (lambda values: values["members"][0].update(weight=3.0), "do not sum to 1"),
        (lambda values: values["members"][0].update(encoder=99), "no encoder 99"),
        (lambda values: values["members"][0].update(predictor={"kind": "ensemble"}), "is an ensemble"),
    ],
)
def test_a_changed_file_is_refused(fitted, change, message):
    predictor = fitted.model_.predictor
    values = json.loads(json.dumps(predictor.to_json()))
    change(values)
    with pytest.raises(ModelFileError, match=message):
        EnsemblePredictor.from_file(values, predictor.tensors()).check(fitted.model_.encoder.inputs, 2)
