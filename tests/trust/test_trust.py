"""Trust of a fitted model, from the fit through the file to the table of predictions."""

import dataclasses
import re
from typing import Any

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data.schema import Schema
from lamina.errors import OptionError
from lamina.trust.trust import BACKGROUND, Trust, background
from lamina.trust.view import FEWEST_LEVELS, MOST_NUMBERS, View, row_hash

QUICK = lamina.Recipe(epochs=8, batch_size=64, patience=None, learning_rate=5e-3, threads=1)
NETWORK = lamina.FeedForward(hidden_sizes=(16,), members=4, bins=8, dropout=0.0)


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Two correlated numbers, a town, and a class with a noise of 10 %."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=rows)
    town = draw.choice(["Bern", "Rome", "Oslo"], rows)
    score = x + (town == "Rome")
    flipped = draw.random(rows) < 0.1
    return pl.DataFrame(
        {
            "x": x,
            "copy": x + 0.05 * draw.normal(size=rows),
            "town": town,
            "class": np.where((score > 0.3) ^ flipped, "high", "low"),
            "value": 10 * score + draw.normal(size=rows),
        }
    )


def fit(target: str, family: Any, rows: int = 1200, **options):
    other = "value" if target == "class" else "class"
    return lamina.fit(table(rows), target, family=family, drop=[other], recipe=QUICK, seed=0, monitor=None, **options)


@pytest.fixture(scope="module", params=[NETWORK, "forest", "linear"], ids=["network", "forest", "linear"])
def classifier(request):
    return fit("class", request.param)


@pytest.fixture(scope="module", params=[NETWORK, "forest"], ids=["network", "forest"])
def regressor(request):
    return fit("value", request.param)


def test_sets_have_the_requested_coverage(classifier):
    new = table(3000, seed=1)
    for coverage in (0.8, 0.9):
        predictions = classifier.predict(new, trust=True, coverage=coverage, reasons=False)
        inside = [truth in labels.split(" or ") for truth, labels in zip(new["class"], predictions["set"], strict=True)]
        assert abs(np.mean(inside) - coverage) < 0.045  # from 180 validation rows: a standard deviation of 0.03 at 0.8


def test_ties_of_few_trees_are_broken():
    model, new = fit("class", lamina.Forest(n_estimators=10)), table(3000, seed=1)
    assert len(np.unique(model.model_.trust.sets.ties)) > 1000
    predictions = model.predict(new, trust=True, coverage=0.9, reasons=False)
    inside = [truth in labels.split(" or ") for truth, labels in zip(new["class"], predictions["set"], strict=True)]
    assert 0.88 < np.mean(inside) < 0.97  # 1.0 without tie-breaking


def test_intervals_have_the_requested_coverage(regressor):
    new = table(3000, seed=1)
    predictions = regressor.predict(new, trust=True, reasons=False)
    inside = (predictions["low"] <= new["value"]) & (new["value"] <= predictions["high"])
    assert abs(inside.mean() - 0.9) < 0.045
    assert regressor.model_.trust.intervals.with_spread
    width = (predictions["high"] - predictions["low"]).mean()
    assert 3 < width < 8  # the noise alone needs 3.3


def test_calibrated_probabilities_come_with_the_same_label(classifier):
    new = table(500, seed=1)
    predictions = classifier.predict(new, trust=True, reasons=False)
    probabilities = predictions.select("probability high", "probability low").to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (predictions["class"].to_numpy() == classifier.predict(new).to_numpy()).all()
    expected = classifier.model_.trust.calibration.apply(classifier.predict_proba(new))
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_a_row_that_breaks_a_correlation_is_novel(classifier):
    new = table(2000, seed=1)
    assert abs(classifier.predict(new, trust=True, reasons=False)["is_novel"].mean() - 0.05) < 0.03
    broken = new.with_columns(copy=-pl.col("x")).filter(pl.col("x").abs() > 1)
    assert classifier.predict(broken, trust=True, reasons=False)["is_novel"].mean() > 0.9


def test_reasons_are_the_important_columns(regressor):
    rows = pl.DataFrame({"x": [2.0, None], "copy": [2.0, None], "town": ["Rome", "Oslo"]})
    first, second = regressor.predict(rows, trust=True)["reasons"]
    assert "town Rome (+" in first
    assert re.search(r"(x|copy) 2 \(\+", first)
    assert "town Oslo (-" in second


def test_reasons_show_raw_values():
    rows = table(300).with_columns(sex=pl.Series(["man", "woman"] * 150), **{"class": pl.Series(["low", "high"] * 150)})
    model = lamina.fit(rows, "class", family="linear", drop=["value"], seed=0, monitor=None)
    assert "sex man (+" in model.predict(rows, trust=True)["reasons"][0]


def test_several_targets_have_an_interval_and_reasons_each():
    rows = table(300).with_columns(other=pl.col("value") * -2).drop("class")
    model = lamina.fit(rows, ["value", "other"], family="forest", seed=0, monitor=None)
    predictions = model.predict(rows[:3], trust=True)
    names = [
        "low value",
        "low other",
        "high value",
        "high other",
        "novelty_p",
        "is_novel",
        "reasons value",
        "reasons other",
    ]
    assert predictions.columns == ["value", "other", *names]


@pytest.mark.parametrize("family", [NETWORK, "forest"])
def test_a_loaded_model_predicts_the_same_bits(family, tmp_path):
    model = fit("class", family, rows=200)
    loaded = lamina.load(model.save(tmp_path / "m.lamina"))
    new = table(50, seed=1)
    assert loaded.predict(new, trust=True).equals(model.predict(new, trust=True))
    saved, read = model.model_.trust, loaded.model_.trust
    assert read.to_json() == saved.to_json()
    assert {name: array.dtype for name, array in read.arrays().items()} == {n: a.dtype for n, a in saved.arrays().items()}


def test_an_array_gets_a_polars_frame_and_pandas_gets_pandas():
    pandas = pytest.importorskip("pandas")
    rows = table(200)
    X, y = rows.select("x", "copy").to_numpy(), rows["class"].to_numpy()
    model = lamina.Classifier("linear", random_state=0).fit(X, y)
    assert isinstance(model.predict(X[:3], trust=True), pl.DataFrame)
    assert isinstance(model.predict(X[:3]), np.ndarray)
    frame = pandas.DataFrame(X, columns=["x", "copy"], index=range(7, 207))
    predictions = lamina.Classifier("linear", random_state=0).fit(frame, y).predict(frame[:3], trust=True)
    assert isinstance(predictions, pandas.DataFrame)
    assert predictions.index.tolist() == [7, 8, 9]


def test_a_model_without_trust_is_refused(tmp_path):
    rows = table(100)
    model = fit("class", "linear", rows=100, trust=False)
    assert model.model_.trust is None
    with pytest.raises(OptionError, match=r"has no calibration, sets or novelty.*fit it again"):
        lamina.load(model.save(tmp_path / "m.lamina")).predict(rows, trust=True)
    assert lamina.Classifier("linear", trust=False).fit(rows.select("x"), rows["class"]).model_.trust is None


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 90, True, "0.9", float("nan")])
def test_a_coverage_that_is_no_share_is_refused(classifier, coverage):
    with pytest.raises(OptionError, match=r"coverage is .*between 0 and 1, such as 0\.9"):
        classifier.predict(table(3), trust=True, coverage=coverage)


@pytest.mark.parametrize("target", ["class", "value"])
def test_few_rows_give_full_sets_and_infinite_intervals(target):
    model = fit(target, "linear", rows=8, **({"task": "classification"} if target == "class" else {}))
    predictions = model.predict(table(5), trust=True)
    assert (predictions["set"].str.contains(" or ").all()) if target == "class" else predictions["low"].is_infinite().all()
    assert predictions["novelty_p"].min() >= 0.5  # with one validation row the smallest p-value is 1 / 2


@pytest.mark.parametrize("family", [NETWORK, "forest"])
@pytest.mark.parametrize("target", ["class", "value"])
def test_no_rows_give_the_same_columns(family, target):
    model = fit(target, family, rows=60)
    none, one = (model.predict(table(1)[:rows], trust=True) for rows in (0, 1))
    assert none.schema == one.schema
    assert len(none) == 0


def test_used_names_get_an_underscore():
    rows = table(100).rename({"class": "set"})
    model = lamina.fit(rows, "set", family="linear", drop=["value"], seed=0, monitor=None)
    assert {"set", "set_"} < set(model.predict(rows, trust=True).columns)


def test_many_labels_of_a_set_are_counted():
    rows = pl.DataFrame({"x": range(60), "y": [f"c{i % 20:02}" for i in range(60)]})
    model = lamina.fit(rows, "y", family="constant", seed=0, monitor=None)
    labels = model.predict(rows[:1], trust=True, coverage=0.99)["set"][0]
    assert labels.endswith(" or 10 more")
    assert labels.count(" or ") == 10


def test_images_have_novelty_by_the_last_layer_or_by_pixels():
    draw = np.random.default_rng(0)
    images = draw.integers(0, 80, (120, 8, 8), dtype=np.uint8)
    images[:60, :, :4] += 120
    y = np.repeat(["left", "right"], 60)
    noise = draw.integers(0, 255, (20, 8, 8), dtype=np.uint8)
    for family, by in ((lamina.Convolutional(channels=8, filters=16), "last layer"), ("forest", "columns")):
        model = lamina.Classifier(family, lamina.Recipe(epochs=3, threads=1), random_state=0).fit(images, y)
        predictions = model.predict(noise, trust=True)
        assert "reasons" not in predictions.columns
        assert by in model.model_.trust.summary()
        assert predictions["novelty_p"].mean() < model.predict(images, trust=True)["novelty_p"].mean()
        alone = model.predict(noise[:1], trust=True)
        assert alone["novelty_p"][0] == predictions["novelty_p"][0]


def sentences(rows: int, seed: int, words: str = "abcdefghij", least: int = 8) -> list[str]:
    """Sentences of 8 to 15 words of two letters, some far more frequent than others."""
    draw = np.random.default_rng(seed)
    vocabulary = [first + second for first in words for second in words]
    share = 1 / np.arange(1, len(vocabulary) + 1)
    return [" ".join(draw.choice(vocabulary, draw.integers(least, 2 * least), p=share / share.sum())) for _ in range(rows)]


def test_novelty_features_of_a_text_are_length_unknown_words_and_rarity():
    train = pl.DataFrame({"text": ["a a a b b", "a b c c a", None]})
    schema = Schema.infer(train, kinds={"text": "text"})
    view = View.fit(train, schema)
    new = pl.DataFrame({"text": ["c x a y", "x", "", None, "b"]})
    a, b, c = np.log([2, 3, 4])  # the codes, as a is the most frequent word
    expected = [[np.log(5), 0.5, (a + c) / 2], [np.log(2), 1, 0], [0, 0, 0], [0, 0, 0], [np.log(2), 0, b]]
    np.testing.assert_allclose(view.transform(new), expected, rtol=1e-6)
    assert np.array_equal(view.transform(new[:1]), view.transform(new)[:1])
    assert View.from_json(view.to_json()) == view
    two = new.with_columns(other="text", age=pl.lit(3.0))
    both = View.fit(two, Schema.infer(two, kinds={"text": "text", "other": "text", "age": "number"}))
    assert both.transform(two).shape == (5, 7)


def test_texts_of_another_kind_are_novel_and_those_of_the_same_kind_are_not(tmp_path):
    texts = sentences(1500, 0)
    model = lamina.Classifier("linear", random_state=0).fit(texts, ["yes" if "aa" in text else "no" for text in texts])
    model.save(tmp_path / "m.lamina")
    model = lamina.load(tmp_path / "m.lamina")
    alarms = {
        name: model.predict(texts, trust=True)["is_novel"].mean()
        for name, texts in {
            "same": sentences(1000, 1),
            "other words": sentences(100, 1, "uvwxyz"),
            "longer": sentences(100, 1, least=40),
            "rarer": sentences(100, 1, "jihgfedcba"),
        }.items()
    }
    assert 0.02 < alarms.pop("same") < 0.1
    assert min(alarms.values()) > 0.8, alarms
    name = model.model_.schema.features[0].name
    ties = model.model_.trust.ties(pl.DataFrame({name: sentences(1000, 1)}))
    assert len(np.unique(ties)) > 990


def test_a_model_without_a_view_predicts_without_novelty():
    texts = sentences(60, 0)
    model = lamina.Classifier("linear", random_state=0).fit(texts, ["yes", "no"] * 30)
    model.model_.trust = dataclasses.replace(model.model_.trust, view=None, novelty=None)
    assert model.predict(texts[:2], trust=True).columns == ["target", "probability no", "probability yes", "set"]


def test_rare_levels_are_merged():
    rows = pl.DataFrame({f"c{i}": [f"level {j % (30 * (i + 1))}" for j in range(400)] for i in range(4)} | {"n": range(400)})
    kinds = {f"c{i}": "category" for i in range(4)}
    view = View.fit(rows, Schema.infer(rows, kinds=kinds))
    assert view.transform(rows).shape[1] <= MOST_NUMBERS
    assert all(len(category.levels) >= FEWEST_LEVELS for category in view.encoder.categories)
    assert View.from_json(view.to_json()) == view


def test_the_row_hash_is_uniform_and_the_same_for_equal_rows():
    rows = np.random.default_rng(0).normal(size=(20_000, 7)).astype(np.float32)
    hashes = row_hash(rows)
    assert np.array_equal(hashes[3:4], row_hash(rows[3:4]))
    assert np.abs(np.histogram(hashes, 10, (0, 1))[0] / 2000 - 1).max() < 0.1
    counted = row_hash(np.arange(1000, dtype=np.float32)[:, None])
    assert len(np.unique(counted)) == 1000
    assert abs(counted.mean() - 0.5) < 0.03
    assert row_hash(np.array([[-0.0]])) == row_hash(np.array([[0.0]]))


def test_the_background_is_a_few_rows_of_plain_columns():
    rows = table(500)
    schema = Schema.infer(rows, target="class")
    stored = background(rows, schema)
    assert stored is not None
    assert stored.rows.shape == (BACKGROUND, 4)
    wide = pl.DataFrame({f"x{i}": [0.5, 1.5] for i in range(1001)})
    assert background(wide, Schema.infer(wide)) is None


def test_rows_without_a_prediction_are_ignored():
    def fitted(outputs, codes):
        return Trust().calibrated("classes", outputs, {"target": np.array(codes)}, features=pl.DataFrame())

    outputs = np.array([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.8]])
    assert len(fitted(outputs, [0, 0, 1]).sets.scores) == 2
    assert fitted(outputs[1:2], [0]).summary() == "nothing, as there are no validation rows"
