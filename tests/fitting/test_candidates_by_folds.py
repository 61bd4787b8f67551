"""family="auto" of few rows: candidates that are fitted to folds, the choice among them, and the fit to all rows."""

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import Ridge

import lamina
from lamina.families import Boosting, Ensemble, ExtraTrees, FeedForward, Linear
from lamina.families.classical.matrix import cardinalities, one_hot
from lamina.fitting import bagging, candidates
from lamina.fitting.members import Rows, fit_family
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings
from lamina.fitting.split import split
from lamina.fitting.training import NetworkTraining
from lamina.train.callbacks import Hooks
from lamina.train.events import Candidate
from lamina.train.recipe import Recipe
from lamina.trust.trust import Trust
from tests.fitting.test_candidates import card_of, rows


@pytest.fixture
def quick(monkeypatch):
    """Candidates that are fitted in no time."""
    families = [Linear(), Boosting(max_iter=10), ExtraTrees(n_estimators=10), FeedForward(hidden_sizes=(8,), members=1)]
    for module in (bagging, candidates):
        monkeypatch.setattr(module, "shortlist", lambda schema, quality="good": families)


def events_of(table, **options):
    seen = []
    model = lamina.fit(table, "y", monitor=lambda one: seen.append(one) if isinstance(one, Candidate) else None, **options)
    return model.model_, [(event.name, event.rows) for event in seen]


def test_the_simplest_is_chosen_out_of_fold_then_fitted_to_all_rows(quick, monkeypatch):
    table, alphas, solve = rows(), [], Linear.solve
    monkeypatch.setattr(Linear, "solve", lambda self, *rest: alphas.append(self.alpha) or solve(self, *rest))
    model = lamina.fit(table, "y", monitor=None).model_
    card = model.card
    assert model.family == "linear"
    assert [one["name"] for one in card["candidates"]] == ["linear", "boosting", "extratrees", "feedforward"]
    assert card["why"].startswith("linear")
    assert card["why"].endswith("on 5 folds; linear was then fitted to all rows")
    assert card["split"]["out_of_bag"]
    assert card["split"]["validation"] == len(table)
    alpha = model.predictor.alpha
    assert alphas == ["auto", *[alpha] * 5]  # it is searched on the first fold
    X = one_hot(model.encoder.transform(model.schema.check(table)[0]), cardinalities(model.encoder.inputs))
    expected = Ridge(alpha=alpha).fit(X, model.task.encode(table)["target"])
    np.testing.assert_allclose(model.predictor.weights.ravel(), expected.coef_.ravel(), atol=1e-5)


def test_what_is_behind_on_the_first_fold_is_fitted_no_more(quick):
    model, fits = events_of(rows(1000, shape="signs"))
    linear = model.card["candidates"][0]
    assert linear["verdict"] == "behind on the first fold"
    assert linear["rows"] == 800
    assert [rows for name, rows in fits if name == "linear"] == [800]
    chosen = next(one["name"] for one in model.card["candidates"] if one["weight"])
    assert [rows for name, rows in fits if name == chosen][:5] == [800] * 5


def test_early_stopping_keeps_the_models_of_the_folds(quick, monkeypatch, tmp_path):
    monkeypatch.setattr(bagging, "best_single_or_mean", lambda loss, outputs: [0.25, 0.75, *[0.0] * (len(outputs) - 2)])
    monkeypatch.setattr(bagging, "near_best", lambda losses, *rest, **options: range(len(losses)))
    table = rows()
    fitted = lamina.fit(table, "y", monitor=None)
    assert isinstance(fitted.family, Ensemble)
    members = fitted.model_.predictor.members
    assert [(one.family, one.weight) for one in members] == [("linear", 0.25), *[("boosting", pytest.approx(0.15))] * 5]
    assert "weighted mean of linear (25%), boosting (75%)" in fitted.model_.card["why"]
    assert fitted.model_.card["why"].endswith("linear was then fitted to all rows")
    loaded = lamina.load(fitted.save(tmp_path / "m.lamina"))
    assert np.array_equal(loaded.predict(rows(9)), fitted.predict(rows(9)))


def test_a_single_family_has_the_spread_that_its_intervals_were_calibrated_with(quick, monkeypatch):
    monkeypatch.setattr(bagging, "best_single_or_mean", lambda loss, outputs: [0.0, 1.0, *[0.0] * (len(outputs) - 2)])
    monkeypatch.setattr(bagging, "near_best", lambda losses, *rest, **options: range(len(losses)))
    seen, original = [], Trust.calibrated

    def calibrated(*rest, **options):
        seen.append(options["spread"])
        return original(*rest, **options)

    monkeypatch.setattr(Trust, "calibrated", calibrated)
    model = lamina.fit(rows(), "y", monitor=None)
    assert {one.family for one in model.model_.predictor.members} == {"boosting"}
    assert seen == [None]
    new = rows(500, seed=1)
    inside = model.predict(new, trust=True).select(pl.col("low") <= new["y"], new["y"] <= pl.col("high"))
    assert inside.select(pl.all_horizontal(pl.all())).to_series().mean() > 0.85


@pytest.mark.parametrize("options", [{"validation": 0.3}, {"quality": "fast"}, {"time": "c"}])
def test_each_candidate_is_fitted_once_where_that_is_asked_for(quick, options):
    assert "on the same validation rows" in card_of(rows(), **options)["why"]


def test_a_group_is_in_one_fold(quick):
    table = rows().with_columns(patient=pl.Series(np.arange(300) // 10))
    card = card_of(table, group="patient")
    assert "on 5 folds" in card["why"]


def test_a_network_is_compared_by_an_epoch_that_other_rows_chose():
    prepared = prepare(rows(400, shape="signs"), settings := Settings("y", recipe=Recipe(epochs=30)))
    parts = split(prepared.table, prepared.schema, prepared.task, seed=0)
    task = prepared.task.fit(prepared.table[parts.train])
    data = Rows(prepared, parts, task)
    family, device = FeedForward(hidden_sizes=(64,), members=1), torch.device("cpu")
    fitted = fit_family(data, family, settings, device, Hooks(), event=Candidate("feedforward", 340, 0, 1))
    training = NetworkTraining(family, data.encoded(family.encoding()), task, settings, device, keep=True)
    best = training.run(run=None, hooks=Hooks(), edit=None)
    losses = [data.loss.of_rows(outputs) for outputs in training.kept]
    assert np.mean(losses, axis=1) == pytest.approx([one["validation_loss"] for one in best.history.epochs], rel=1e-4)
    part = data.loss.parts(0)
    for number in range(5):
        epoch = int(np.argmin([loss[part != number].mean() for loss in losses]))
        np.testing.assert_array_equal(fitted.outputs[part == number], training.kept[epoch][part == number])
    assert data.loss.mean(fitted.outputs) >= min(map(np.mean, losses))
