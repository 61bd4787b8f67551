"""Warm start: what a fit keeps of the model that it starts from, what it trains, and what it refuses."""

import json

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_digits

import lamina
from lamina import FeedForward, Recipe, store
from lamina.errors import ModelFileError, OptionError, SchemaError, TargetError
from tests.cli.helpers import lamina as command

SHORT = Recipe(epochs=4, threads=1)
SMALL = FeedForward(hidden_sizes=(16,), members=2)


def fit(rows, target="y", **options):
    options = {"recipe": SHORT, "family": "auto" if "start" in options else SMALL, "trust": False, "monitor": None} | options
    return lamina.fit(rows, target, **options)


def shops(rows=60, kinds=("a", "b", "c")):
    """Rows as text, with decimal commas."""
    draw = np.random.default_rng(0)
    size = draw.normal(size=rows)
    return pl.DataFrame(
        {
            "size": [f"{value:.2f}".replace(".", ",") for value in size],
            "town": draw.choice(["Bern", "Rome"], rows),
            "y": [kinds[code] for code in np.digitize(size, [-0.5, 0.5][: len(kinds) - 1])],
        }
    )


@pytest.fixture(scope="module")
def old():
    return fit(shops())


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X.reshape(-1, 8, 8) * 15.9).astype(np.uint8), y


def test_the_first_epoch_on_the_same_rows_is_about_as_good_as_the_best_before():
    rows = load_diabetes(as_frame=True).frame
    before = lamina.fit(rows, "target", recipe=Recipe(epochs=12), trust=False, monitor=None)
    after = lamina.fit(rows, "target", start=before, recipe=Recipe(epochs=1), trust=False, monitor=None)
    best = before.history_[before.model_.card["best_epoch"]]["validation_loss"]
    untrained = before.history_[0]["validation_loss"]
    assert after.history_[0]["validation_loss"] < best + 0.35 * (untrained - best)


def test_digits_0_to_4_help_with_5_to_9(digits):
    images, y = digits
    draw = np.random.default_rng(1)
    few = np.concatenate([draw.permutation(np.flatnonzero(y == digit))[:10] for digit in range(5, 10)])
    many = np.setdiff1d(np.flatnonzero(y >= 5), few)
    rows = {"image": images[few], "y": y[few]}
    known = lamina.fit({"image": images[y < 5], "y": y[y < 5]}, "y", recipe=Recipe(epochs=8), trust=False, monitor=None)
    recipe = Recipe(epochs=15)
    scratch = lamina.fit(rows, "y", task="classification", recipe=recipe, trust=False, seed=1, monitor=None)
    warm = lamina.fit(rows, "y", start=known, recipe=recipe, trust=False, seed=1, monitor=None)
    assert warm.classes_.tolist() == [5, 6, 7, 8, 9]
    losses = [model.evaluate({"image": images[many], "y": y[many]})["scores"]["log_loss"] for model in (scratch, warm)]
    assert losses[1] < 0.8 * losses[0]


def test_columns_readings_and_encoder_are_those_of_the_model(old):
    plain = shops().with_columns(size=pl.col("size").str.replace(",", ".").cast(pl.Float64) * 3)
    model = fit(plain.with_columns(town=pl.lit("Bern")), start=old)
    assert model.model_.encoder == old.model_.encoder
    assert model.model_.schema.features == old.model_.schema.features
    few = pl.DataFrame({"town": ["Bern", "Rome"], "size": ["0,5", "-0,5"]})  # in another order
    assert len(model.predict(few)) == 2
    assert fit(shops().select("y", "town", "size"), start=old).predict_proba(few).shape == (2, 3)


def test_the_model_that_training_starts_from_does_not_change(old):
    before = store.checksum(old.model_)
    model = fit(shops(), start=old)
    assert store.checksum(old.model_) == before != store.checksum(model.model_)


def test_weights_are_kept_and_of_the_last_layer_those_of_known_classes(old):
    still = Recipe(epochs=1, learning_rate=1e-8, ema_decay=None, weight_decay=0.0, threads=1)
    model = fit(shops(kinds=("b", "c", "d")), start=old, recipe=still)
    before, after = old.model_.net.state_dict(), model.model_.net.state_dict()
    for name in before:
        if not name.startswith("head"):
            np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    weight = [state["head.weight"].numpy() for state in (before, after)]  # (members, in, out)
    np.testing.assert_allclose(weight[1][:, :, :2], weight[0][:, :, 1:], atol=1e-6)
    assert np.abs(weight[1][:, :, 2] - weight[0][:, :, 2]).max() > 0.01
    assert "the last layer has the outputs 'b', 'c', 'd': the weights of 'b', 'c' are kept" in model.model_.card["notes"][-1]


def test_a_number_of_another_scale_is_predicted_from_the_start():
    rows = load_diabetes(as_frame=True).frame
    before = fit(rows, "target", recipe=Recipe(epochs=6, threads=1))
    still = Recipe(epochs=1, learning_rate=1e-8, threads=1)
    shifted = fit(rows.assign(target=rows["target"] * 3 + 1000), "target", start=before, recipe=still)
    np.testing.assert_allclose(shifted.predict(rows[:5]), before.predict(rows[:5]), rtol=1e-4)


def test_the_card_names_the_model_and_a_run_is_resumed_without_it(old, tmp_path):
    path = old.save(tmp_path / "old.lamina")

    class Stop(lamina.callbacks.Callback):
        def on_epoch(self, event):
            if event.epoch == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(shops(), start=path, run=tmp_path / "run", callbacks=[Stop()])
    sum_ = store.checksum(path)
    path.unlink()
    model = lamina.resume(tmp_path / "run", monitor=None)
    assert model.model_.card["start"] == {"model": str(path), "checksum": sum_}
    assert "training starts from" in model.model_.card["why"]
    straight = fit(shops(), start=old)
    np.testing.assert_array_equal(model.predict_proba(shops()), straight.predict_proba(shops()))


def test_the_command_line_starts_from_a_file(old, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old.save(tmp_path / "old.lamina")
    shops(kinds=("d", "e")).write_csv(tmp_path / "new.csv")
    done = command("fit", "new.csv", "--target", "y", "--start", "old.lamina", "--set", "recipe.epochs=2", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["start"]["model"] == "old.lamina"
    assert "training starts from old.lamina" in " ".join(command("info", "y.lamina").out.split())


def test_what_cannot_start_a_fit(old, tmp_path):
    rows = shops()
    with pytest.raises(SchemaError, match="'colour' is no column of the given model.*drop=\\['colour'\\]"):
        fit(rows.with_columns(colour=pl.lit("red")), start=old)
    assert fit(rows.with_columns(colour=pl.lit("red")), start=old, drop=["colour"]).n_iter_ == 4
    with pytest.raises(SchemaError, match="lacks column 'town' of the given model; add it"):
        fit(rows.drop("town"), start=old)
    with pytest.raises(SchemaError, match="'town' is a feature of the given model and cannot be ignored"):
        fit(rows, start=old, drop=["town"])
    with pytest.raises(SchemaError, match="'town' is a feature of the given model and cannot be the target"):
        fit(rows, "town", start=old)
    with pytest.raises(OptionError, match="family is 'linear', but the family of the given model stays"):
        fit(rows, start=old, family="linear")
    with pytest.raises(OptionError, match="kinds is {'town': 'text'}, but the kinds of columns"):
        fit(rows, start=old, kinds={"town": "text"})
    with pytest.raises(OptionError, match="task is 'regression', but the task"):
        fit(rows, start=old, task="regression")
    with pytest.raises(TargetError, match="a model of classification: .*or fit without start"):
        fit(rows.with_columns(y=pl.int_range(60) / 7), start=old)
    with pytest.raises(OptionError, match="the family 'forest', which is not trained in epochs"):
        fit(rows, start=fit(rows, family="forest"))
    with pytest.raises(OptionError, match="start is an estimator that is not fitted"):
        fit(rows, start=lamina.Classifier())
    with pytest.raises(OptionError, match="start is 3, expected a fitted model or the path of a .lamina file"):
        fit(rows, start=3)
    with pytest.raises(ModelFileError, match="there is no file .*none.lamina"):
        fit(rows, start=tmp_path / "none.lamina")
