"""The forest is scikit-learn's, as plain arrays; its out-of-bag predictions, quantiles and feature importance are right."""

import dataclasses
import sys
import time
import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor

import lamina
from lamina.families import ExtraTrees, Forest
from lamina.families.classical import forest
from lamina.families.classical.forest import ForestPredictor, _ensemble, _quantile
from lamina.families.classical.matrix import ordered
from tests.families.classical.helpers import KINDS, blocks, fitting, make

pytestmark = pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")  # of scikit-learn's own forests of 20 trees


def peer(kind: str, rows, **more):
    maker = RandomForestClassifier if kind in ("binary", "classes") else RandomForestRegressor
    target = rows.target[:, 0] if kind == "value" else rows.target
    features = "sqrt" if kind in ("binary", "classes") else 1.0
    predictor = maker(20, max_features=features, random_state=3, oob_score=True, **more)
    return predictor.fit(ordered(rows.blocks), target, rows.weight)


def fit(kind: str, rows, **options) -> ForestPredictor:
    return Forest(**{"n_estimators": 20, **options}).fit(rows, rows, fitting(3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_it_predicts_as_scikit_learn_also_out_of_bag(kind, weighted):
    weight = np.random.default_rng(9).random(300) + 0.1 if weighted else None
    rows = make(kind, missing=True, weight=weight)
    predictor, theirs = fit(kind, rows), peer(kind, rows)
    new = blocks(70, 5, missing=True)
    outputs = predictor.outputs(new, 70)
    if kind in ("binary", "classes"):
        known = theirs.classes_
        expected, out_of_bag = theirs.predict_proba(ordered(new)), theirs.oob_decision_function_
        np.testing.assert_allclose(outputs.sum(1), 1, atol=1e-12)
        assert not np.delete(outputs, known, axis=1).any()
        outputs, ours = outputs[:, known], predictor.out_of_bag[:, known]
    else:
        expected = theirs.predict(ordered(new)).reshape(70, -1)
        out_of_bag, ours = theirs.oob_prediction_.reshape(300, -1), predictor.out_of_bag
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    present = ~np.isnan(ours).any(1)
    assert present.mean() > 0.99
    np.testing.assert_allclose(ours[present], out_of_bag[present], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_extremely_randomised_trees_predict_as_scikit_learn_and_have_no_out_of_bag_rows(kind):
    rows = make(kind, missing=True)
    classes = kind in ("binary", "classes")
    predictor = ExtraTrees(n_estimators=20).fit(rows, rows, fitting(3))
    peer = (ExtraTreesClassifier if classes else ExtraTreesRegressor)(
        20, max_features="sqrt" if classes else 1.0, random_state=3
    )
    theirs = peer.fit(ordered(rows.blocks), rows.target[:, 0] if kind == "value" else rows.target)
    new = blocks(70, 5, missing=True)
    outputs = predictor.outputs(new, 70)
    if classes:
        outputs, expected = outputs[:, theirs.classes_], theirs.predict_proba(ordered(new))
    else:
        expected = theirs.predict(ordered(new)).reshape(70, -1)
        assert predictor.spread(new, 70).shape == expected.shape
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert predictor.out_of_bag is None
    assert predictor.stores_rows
    assert not Forest().fit(rows, rows, fitting(3)).stores_rows


def test_extremely_randomised_trees_split_no_small_nodes_of_many_rows(monkeypatch):
    rows = make("value")
    sizes = [ExtraTrees(5, min_samples_split=least).fit(rows, rows, fitting(3)).size() for least in (2, 5, "auto")]
    monkeypatch.setattr("lamina.families.classical.forest._MANY_ROWS", 300)
    many = ExtraTrees(5).fit(rows, rows, fitting(3)).size()
    assert sizes[1] < sizes[0] == sizes[2]
    assert many == sizes[1]


def test_extremely_randomised_trees_end_at_their_deadline():
    rows = make("value")
    late = dataclasses.replace(fitting(3), deadline=time.monotonic() - 1)
    assert len(ExtraTrees(500).fit(rows, rows, late).trees) == 10


def test_warning_filters_that_the_threads_of_scikit_learn_leave_empty_are_restored_for_the_next_trees(monkeypatch):
    rows, filters, fit = make("value", 500), [], ExtraTreesRegressor.fit

    def racing(self, *data, **options):
        filters.append(len(warnings.filters))
        fit(self, *data, **options)
        warnings.filters[:] = []  # as two of its threads can, each of which resets and restores them
        return self

    monkeypatch.setattr(ExtraTreesRegressor, "fit", racing)
    monkeypatch.setattr(forest, "_FIRST", 5)
    monkeypatch.setattr(forest, "_SECONDS", 0)
    before = list(warnings.filters)
    ExtraTrees(n_estimators=15).fit(rows, rows, fitting(3))
    assert len(filters) > 1
    assert min(filters) > len(before)
    assert warnings.filters == before


def test_majority_vote():
    rows = make("classes")
    predictor, theirs = fit("classes", rows, vote="mode", min_samples_leaf=7), peer("classes", rows, min_samples_leaf=7)
    new = blocks(50, 6)
    named = np.stack([tree.predict_proba(ordered(new)).argmax(1) for tree in theirs.estimators_])
    shares = np.stack([(named == place).mean(0) for place in range(len(theirs.classes_))], axis=1)
    np.testing.assert_allclose(predictor.outputs(new, 50)[:, theirs.classes_], shares, atol=1e-6)


def test_quantiles_are_those_of_a_quantile_regression_forest():
    """Meinshausen 2006, computed by hand: the weight of a training row is its share of the leaves of the new row."""
    rows = make("value", 400)
    trees = 150
    predictor = Forest(n_estimators=trees, min_samples_leaf=5).fit(rows, rows, fitting(3))
    new = blocks(40, 8)
    ours = predictor.quantiles(new, 40, (0.1, 0.5, 0.9))[:, :, 0]
    y = rows.target[:, 0]
    theirs = RandomForestRegressor(trees, max_features=1.0, min_samples_leaf=5, random_state=3)
    theirs.fit(ordered(rows.blocks), y)
    weight = np.zeros((40, len(y)))
    for tree, sample in zip(theirs.estimators_, theirs.estimators_samples_, strict=True):
        trained, new_leaves = tree.apply(ordered(rows.blocks)), tree.apply(ordered(new))
        drawn = np.zeros(len(y))
        drawn[sample] = 1
        same = (trained[None, :] == new_leaves[:, None]) * drawn
        weight += same / same.sum(1, keepdims=True) / trees
    order = np.argsort(y)
    reached = np.cumsum(weight[:, order], axis=1)
    for place, (level, far) in enumerate(((0.1, 0.12), (0.5, 0.15), (0.9, 0.35))):  # one row of each leaf is drawn
        exact = y[order][(reached < level).sum(1).clip(max=len(y) - 1)]
        assert np.abs(ours[place] - exact).mean() < far
    np.testing.assert_allclose(predictor.spread(new, 40)[:, 0], (ours[2] - ours[0]) / 2, atol=1e-6)


def test_the_out_of_bag_spread():
    rows = make("value", 200)
    predictor = fit("value", rows, n_estimators=60)
    error = np.abs(predictor.out_of_bag - rows.target)[:, 0]
    within = error <= predictor.out_of_bag_spread[:, 0]
    assert 0.6 < within.mean() < 0.95  # half of the middle 80 %
    assert predictor.out_of_bag_spread.shape == (200, 1)
    assert fit("binary", make("binary")).spread(blocks(3), 3) is None


def test_feature_importance_sums_to_one_and_finds_the_informative_columns():
    rows = make("value", 500)
    importance = fit("value", rows).importance
    assert sum(importance.values()) == pytest.approx(1)
    assert set(importance) == {"a", "b", "c", "d", "level0", "level1"}  # "a is missing" belongs to a
    assert min(importance["a"], importance["b"], importance["level1"]) > max(importance["c"], importance["level0"])


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_bitwise_equal_for_one_row_many_rows_and_a_loaded_predictor(kind):
    predictor = fit(kind, make(kind, missing=True))
    new = blocks(60, 5, missing=True)
    together = predictor.outputs(new, 60)
    alone = np.concatenate([predictor.outputs({name: block[i : i + 1] for name, block in new.items()}, 1) for i in range(60)])
    assert np.array_equal(alone, together)
    loaded = ForestPredictor.from_file(predictor.to_json(), predictor.tensors())
    assert np.array_equal(loaded.outputs(new, 60), together)
    if kind == "values":
        assert np.array_equal(loaded.quantiles(new, 60, (0.3,)), predictor.quantiles(new, 60, (0.3,)))
    assert predictor.outputs({name: block[:0] for name, block in new.items()}, 0).shape == (0, together.shape[1])


def test_rows_in_all_bootstrap_samples_have_no_out_of_bag_prediction():
    predictor = fit("binary", make("binary", 40), n_estimators=2)
    missing = np.isnan(predictor.out_of_bag).all(1)
    assert 0 < missing.sum() < 40
    assert not np.isnan(predictor.out_of_bag[~missing]).any()


def test_an_out_of_bag_prediction_of_0_is_not_missing():
    rows = make("value", 40)
    rows.target[:] = 0
    rows.target[:2] = [[1.0], [-1.0]]
    predictor = fit("value", rows, n_estimators=4)
    drawn = peer_samples(rows, trees=4)
    always = np.array([all(row in sample for sample in drawn) for row in range(40)])
    assert 0 < always.sum() < 40
    assert (np.isnan(predictor.out_of_bag[:, 0]) == always).all()
    assert (predictor.out_of_bag[~always] == 0).sum() > 10


def peer_samples(rows, trees: int) -> list[np.ndarray]:
    """The bootstrap samples of scikit-learn's trees."""
    forest = RandomForestRegressor(trees, max_features=1.0, random_state=3)
    return forest.fit(ordered(rows.blocks), rows.target[:, 0]).estimators_samples_


def test_quantiles_are_those_of_numpy_with_nan():
    values = np.random.default_rng(0).normal(size=(60, 20, 2))
    values[np.random.default_rng(1).random(values.shape) < 0.6] = np.nan
    values[0, 1:] = np.nan
    values[0, 0] = 3.0
    for level in (0.1, 0.5, 0.9):
        theirs = np.nanquantile(values, level, axis=1)
        np.testing.assert_allclose(_quantile(np.sort(values, axis=1), level), theirs, rtol=1e-12)


def test_duplicates_are_noted_without_validation_rows():
    table = pl.DataFrame({"x": [float(i) for i in range(50)] * 2, "y": ["a", "b"] * 50})
    assert lamina.fit(table, "y", family=lamina.Forest(n_estimators=5), seed=0, monitor=None).model_.card["notes"] == [
        "50 rows have an exact duplicate: scores may be better than on new rows"
    ]
    alone = table[:50]
    assert lamina.fit(alone, "y", family=lamina.Forest(n_estimators=5), seed=0, monitor=None).model_.card["notes"] == []


@pytest.mark.parametrize("kind", ["class", "value"])
def test_a_forest_of_scikit_learn_intelex_predicts_without_it(kind, monkeypatch, tmp_path):
    pytest.importorskip("sklearnex")
    assert _ensemble(np.zeros((2, 1)), values=True, trees=64)[1]
    frame = pl.DataFrame({"a": np.arange(300.0) % 17, "b": np.arange(300.0) % 23})
    target = frame["a"] * frame["b"] if kind == "value" else (frame["a"] > frame["b"]).cast(pl.String)
    model = lamina.fit(frame.with_columns(y=target), "y", family=Forest(n_estimators=64), seed=0, monitor=None)
    path, outputs = model.save(tmp_path / "m.lamina"), model.model_.outputs(frame)
    monkeypatch.setitem(sys.modules, "sklearnex", None)
    assert not _ensemble(np.zeros((2, 1)), values=True, trees=64)[1]
    np.testing.assert_array_equal(lamina.load(path).model_.outputs(frame), outputs)


def test_scikit_learn_intelex_splits_a_column_of_mostly_zeros():
    pytest.importorskip("sklearnex")
    draw = np.random.default_rng(0)
    gain = np.where(draw.random(20_000) < 0.03, draw.random(20_000), 0.0)
    frame = pl.DataFrame({"gain": gain, "noise": draw.normal(size=20_000), "y": np.where(gain > 0.5, "more", "less")})
    model = lamina.fit(frame, "y", family=Forest(n_estimators=30, max_features=None), trust=False, seed=0, monitor=None)
    near = pl.DataFrame({"gain": np.r_[np.linspace(0.41, 0.45, 50), np.linspace(0.55, 0.59, 50)], "noise": np.zeros(100)})
    assert model.predict(near).to_list() == ["less"] * 50 + ["more"] * 50
