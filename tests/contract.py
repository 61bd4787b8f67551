"""The contract that every family in ``FAMILIES`` fulfils, for every kind of task and column."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_score

import lamina
from lamina import api
from lamina.data.columns import KINDS
from lamina.data.read import read_table
from lamina.errors import DataError, TargetError
from lamina.families import CLASSICAL, FAMILIES, NETWORKS, Forest
from lamina.families.family import TABLE
from lamina.train.events import Epoch
from lamina.train.recipe import Recipe

# Small enough to be quick, large enough to learn.
SMALL = {
    "feedforward": {"hidden_sizes": (32, 32), "members": 4, "bins": 8, "dropout": 0.0},
    "realmlp": {"hidden_sizes": (32, 32), "dropout": 0.0},
    "shortcut": {"num_blocks": 2, "hidden_size": 32, "inner_size": 32, "bins": 8, "dropout": 0.0},
    "convolutional": {"channels": 8, "filters": 16, "dropout": 0.0, "embedding_dim": 16},
    "recurrent": {"hidden_sizes": (16,), "dropout": 0.0, "embedding_dim": 16},
    "attention": {"hidden_size": 16, "num_heads": 2, "num_layers": 1, "dropout": 0.0, "word_dropout": 0.0, "embedding_dim": 16},
    "hierarchical": {"hidden_size": 16, "dropout": 0.0, "embedding_dim": 16},
    "forest": {"n_estimators": 30},
    "extratrees": {"n_estimators": 30},
    "boosting": {"max_iter": 60, "min_samples_leaf": 2, "l2_regularization": 1.0},
    "linear": {"alpha": 0.1},
    "neighbours": {"n_neighbors": 3},
    "rocket": {"num_features": 200},
    "constant": {},
    "lightgbm": {"max_iter": 60, "min_samples_leaf": 2},
    "xgboost": {"max_iter": 60},
    "catboost": {"max_iter": 60},
    "ensemble": {"families": ("linear", Forest(n_estimators=30)), "folds": 3},
}
# The learning rates of layers in the neural tangent parametrisation are larger.
RATES = {"realmlp": 0.04}
# Accuracy or R² on the training rows: for plain columns, and for images, texts and series.
TRAIN_SCORES = {"linear": (0.7, 0.95), "ensemble": (0.7, 0.9), "neighbours": (0.6, 0.75), "constant": (-0.1, 0.4)}
# With leaves of a single row or few neighbours the weights have no effect.
WEIGHED = {
    "forest": {"min_samples_leaf": 20},
    "extratrees": {"min_samples_leaf": 20},
    "neighbours": {"n_neighbors": 20},
    "lightgbm": {"min_samples_leaf": 20, "max_iter": 20},
}
SEEDLESS = ("constant",)
TASKS = ("binary", "classes", "regression", "targets", "labels")
TABLES = [name for name, family in FAMILIES.items() if set(TABLE) <= set(family.reads)]
RICH = [name for name, kind in KINDS.items() if kind.blocks]
READS = [(name, kind) for name, family in NETWORKS.items() for kind in (*RICH, "all") if {kind} & {*family.reads, "all"}]
READS += [(name, "all") for name in (*CLASSICAL, "ensemble")]


def small(name: str, **more: Any):
    if name in CLASSICAL and (library := CLASSICAL[name].needs):
        pytest.importorskip(library)
    return FAMILIES[name](**{**SMALL[name], **more})


def train_score(name: str) -> tuple[float, float]:
    return TRAIN_SCORES.get(name, (0.8, 0.95))


def table(task: str, rows: int = 120, seed: int = 0) -> tuple[pl.DataFrame, str | list[str]]:
    """Numbers, a flag, a category, a date, all with missing values; and a target that follows from them."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=rows), random.normal(size=rows) * 1000
    town = random.choice(["Bern", "Rome", "Oslo"], rows)
    score = 2 * a + np.sin(b / 500) + (town == "Rome") * 2
    frame = pl.DataFrame(
        {
            "a": a,
            "b, with a comma": b,
            "flag": random.random(rows) < 0.5,
            "town": town,
            "day": np.datetime64("2024-01-01") + random.integers(0, 365, rows).astype("timedelta64[D]"),
        }
    )
    missing = pl.Series(random.random(rows) < 0.05)
    frame = frame.with_columns(pl.when(~missing).then(pl.all()).otherwise(None))
    if task == "binary":
        return frame.with_columns(target=pl.Series(np.where(score > 0, "yes", "no"))), "target"
    if task == "classes":
        return frame.with_columns(target=pl.Series(np.digitize(score, [-1, 1, 3]))), "target"
    if task == "regression":
        return frame.with_columns(target=pl.Series(score * 50 + 7)), "target"
    if task == "labels":  # one in ten is missing
        known = random.random((2, rows)) < 0.9
        labels = [pl.when(pl.Series(mask)).then(pl.Series(has)) for mask, has in zip(known, (score > 0, a > 0.5), strict=True)]
        return frame.with_columns(one=labels[0], two=labels[1]), ["one", "two"]
    return frame.with_columns(one=pl.Series(score), two=pl.Series(-score * 3 + a)), ["one", "two"]


def fitted(name: str, task: str, *, seed: int = 0, rows: int = 120, **recipe):
    frame, target = table(task, rows)
    recipe = Recipe(**{"epochs": 150, "learning_rate": RATES.get(name, 5e-3), "patience": None, "batch_size": 32, **recipe})
    return lamina.fit(frame, target, family=small(name), recipe=recipe, seed=seed, monitor=None, drop=[]), frame


@functools.cache
def quick(name: str, task: str):
    """A model of two epochs and its frame, shared by the tests that only ask it for predictions."""
    return fitted(name, task, epochs=2)


def rich_columns(kind: str, rows: int = 48, seed: int = 0) -> dict[str, Any]:
    """Images, texts, series, or all of them beside a number and a category; each is enough to predict the target."""
    random = np.random.default_rng(seed)
    yes = np.arange(rows) % 2 == 0
    images = random.integers(0, 60, (rows, 8, 10, 3), dtype=np.uint8)
    images[yes, :, :5] += 120
    images[~yes, :, 5:] += 120
    words = np.array("the a film was seen by many people in town and it is not long".split())
    texts = [
        " ".join([*random.choice(words, random.integers(5, 14)), "good fun" if good else "bad luck", *random.choice(words, 4)])
        for good in yes
    ]
    slopes = np.where(yes, 1.0, -1.0)
    series = [
        np.outer(np.arange(n) - n / 2, [slope, 0.1]) + random.normal(0, 0.3, (n, 2))
        for n, slope in zip(random.integers(6, 12, rows), slopes, strict=True)
    ]
    columns = {"image": images, "text": texts, "series": series}
    if kind == "all":
        columns |= {"number": slopes + random.normal(0, 0.5, rows), "town": random.choice(["Bern", "Rome"], rows)}
    else:
        columns = {kind: columns[kind]}
    return {**columns, "target": np.where(yes, "yes", "no")}


def rich(kind: str) -> pl.DataFrame:
    return read_table(rich_columns(kind))


def fitted_to(name: str, kind: str, *, seed: int = 0, run=None, monitor=None, frame: pl.DataFrame | None = None, **recipe):
    frame = rich(kind) if frame is None else frame
    plain = {"epochs": 60, "learning_rate": 5e-3, "schedule": "constant", "patience": None, "augment": None}
    recipe = Recipe(**{**plain, **recipe})
    family = small(name, **({"members": 1} if name == "feedforward" else {}))
    return lamina.fit(frame, "target", family=family, recipe=recipe, seed=seed, run=run, monitor=monitor, device="cpu")


@functools.cache
def quick_rich(name: str, kind: str):
    """The same after one epoch, of images, texts, series or all."""
    return fitted_to(name, kind, epochs=1), rich(kind)


@pytest.mark.parametrize(("name", "kind"), READS)
class TestRichContract:
    """The contract for images, texts, series and mixtures of them."""

    def test_fits_a_small_training_set(self, name, kind):
        model = fitted_to(name, kind)
        assert model.evaluate(rich(kind))["scores"]["accuracy"] > train_score(name)[1]
        assert name not in NETWORKS or min(epoch["train_loss"] for epoch in model.history_) < 0.15

    def test_same_seed_same_numbers_in_any_order_of_rows(self, name, kind):
        frame = rich(kind)
        first, other = (fitted_to(name, kind, epochs=2, seed=seed) for seed in (0, 1))
        again = fitted_to(name, kind, epochs=2, frame=frame.sample(fraction=1, shuffle=True, seed=3))
        assert np.array_equal(first.predict_proba(frame), again.predict_proba(frame))
        assert name not in NETWORKS or not np.array_equal(first.predict_proba(frame), other.predict_proba(frame))

    def test_saved_and_loaded_it_predicts_the_same(self, name, kind, tmp_path):
        model, frame = quick_rich(name, kind)
        loaded = lamina.load(model.save(tmp_path / "m.lamina"))
        assert loaded.predict_table(frame).equals(model.predict_table(frame))

    def test_missing_values_in_training_and_prediction(self, name, kind):
        frame = rich(kind)
        holes = frame.with_columns(
            pl.when(pl.int_range(pl.len()) % 7 != 3).then(pl.col(column)).alias(column)
            for column in frame.columns
            if column != "target"
        )
        model = fitted_to(name, kind, epochs=2, frame=holes)
        empty = frame.select(pl.lit(None, dtype=dtype).alias(column) for column, dtype in frame.schema.items())
        assert np.isfinite([epoch["train_loss"] for epoch in model.history_]).all()
        assert np.isfinite(model.predict_proba(empty)).all()

    def test_predictions_do_not_depend_on_other_rows(self, name, kind):
        model, frame = quick_rich(name, kind)
        together = model.predict_proba(frame)
        alone = np.concatenate([model.predict_proba(frame[i]) for i in range(5)])
        np.testing.assert_allclose(alone, together[:5], rtol=0, atol=1e-5)

    def test_predictions_with_trust(self, name, kind, tmp_path):
        model, frame = quick_rich(name, kind)
        frame = frame[:6]
        predictions = model.predict(frame, trust=True)
        assert {"set", "novelty_p", "is_novel"} < set(predictions.columns)
        assert ("reasons" in predictions.columns) == (kind == "all")
        loaded = lamina.load(model.save(tmp_path / "m.lamina"))
        assert loaded.predict(frame, trust=True).equals(predictions)
        alone = model.predict(frame[:1], trust=True)
        assert alone["novelty_p"][0] == pytest.approx(predictions["novelty_p"][0], abs=0.2)

    def test_scikit_learn_searches_and_cross_validates_it(self, name, kind):
        columns = rich_columns(kind)
        y = columns.pop("target")
        X = read_table(columns) if kind == "all" else columns[kind]  # the rows themselves, or a frame
        recipe = Recipe(epochs=3, learning_rate=1e-2)
        model = lamina.Classifier(family=small(name), recipe=recipe, random_state=0)
        grid = (
            {"recipe__batch_size": [8, 48], "family__vocabulary_size": [500]}
            if name != "ensemble"
            else {"family__folds": [2, 3]}
        )
        search = GridSearchCV(model, grid, cv=2).fit(X, y)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert cross_val_score(search.best_estimator_, X, y, cv=2).mean() == search.best_score_


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in READS if name in NETWORKS])
class TestRichNetworkContract:
    """The contract of networks for images, texts and series."""

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    def test_gpu_agrees_with_cpu(self, name, kind):
        model, frame = quick_rich(name, kind)
        there = copy.deepcopy(model)
        there.model_.net.to("cuda")
        exact = {"enabled": True, "allow_tf32": False, "fp32_precision": "ieee"}  # else convolutions round to 10 bits
        with torch.backends.cudnn.flags(**exact):
            np.testing.assert_allclose(model.predict_proba(frame), there.predict_proba(frame), atol=1e-3)

    def test_a_resumed_run_has_the_same_weights(self, name, kind, tmp_path, monkeypatch):
        monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)

        class Killed(BaseException):
            pass

        def kill(event):
            if isinstance(event, Epoch) and event.epoch == 1:
                raise Killed

        whole = fitted_to(name, kind, epochs=3, schedule="one_cycle", run=tmp_path / "whole")
        with pytest.raises(Killed):
            fitted_to(name, kind, epochs=3, schedule="one_cycle", run=tmp_path / "cut", monitor=kill)
        resumed = api.resume(tmp_path / "cut", monitor=None)
        for weights, expected in zip(
            whole.model_.net.state_dict().values(), resumed.model_.net.state_dict().values(), strict=True
        ):
            assert torch.equal(weights, expected)


@pytest.mark.parametrize("name", TABLES)
class TestContract:
    @pytest.mark.parametrize("task", TASKS)
    def test_fits_a_small_training_set(self, name, task):
        model, frame = fitted(name, task, seed=1)
        result = model.evaluate(frame)
        assert name not in NETWORKS or min(epoch["train_loss"] for epoch in model.history_) < 0.1
        minimum = train_score(name)[0]
        assert (
            result["scores"].get("accuracy", -1) > minimum + 0.05
            or result["scores"].get("r2", -1) > minimum
            or 1 - result["scores"].get("hamming_loss", 9) > minimum + 0.05
        ), result

    @pytest.mark.tiny
    def test_same_seed_same_numbers_in_any_order_of_rows(self, name):
        first, frame = fitted(name, "classes", epochs=3)
        again = lamina.fit(
            frame.sample(fraction=1, shuffle=True, seed=5),
            "target",
            family=small(name),
            recipe=Recipe(epochs=3, learning_rate=RATES.get(name, 5e-3), patience=None, batch_size=32),
            seed=0,
            monitor=None,
        )
        other, _ = fitted(name, "classes", epochs=3, seed=1)
        assert np.array_equal(first.predict_proba(frame), again.predict_proba(frame))
        assert name in SEEDLESS or not np.array_equal(first.predict_proba(frame), other.predict_proba(frame))

    @pytest.mark.tiny
    @pytest.mark.parametrize("task", TASKS)
    def test_saved_and_loaded_it_predicts_the_same(self, name, task, tmp_path):
        model, frame = quick(name, task)
        loaded = lamina.load(model.save(tmp_path / "m.lamina"))
        assert loaded.predict_table(frame).equals(model.predict_table(frame))
        assert type(loaded) is type(model)

    def test_rows_of_missing_values_only(self, name):
        model, frame = quick(name, "binary")
        empty = frame.select(pl.lit(None, dtype=dtype).alias(column) for column, dtype in frame.schema.items())
        probabilities = model.predict_proba(empty)
        assert np.isfinite(probabilities).all()
        assert (probabilities == probabilities[0]).all()

    def test_predictions_do_not_depend_on_other_rows(self, name):
        model, frame = quick(name, "binary")
        together = model.predict_proba(frame)
        alone = np.concatenate([model.predict_proba(frame[i]) for i in range(20)])
        np.testing.assert_allclose(alone, together[:20], rtol=0, atol=1e-6)

    @pytest.mark.parametrize("task", ["binary", "targets", "labels"])
    def test_predictions_with_trust(self, name, task, tmp_path):
        model, frame = quick(name, task)
        holes = frame[:12].with_columns(pl.lit(None, dtype=pl.Float64).alias("a"))
        predictions = model.predict(holes, trust=True)
        assert {"novelty_p", "is_novel"} < set(predictions.columns)
        assert ({"low one", "high two", "reasons two"} if task == "targets" else {"set", "reasons"}) < set(predictions.columns)
        assert predictions.null_count().sum_horizontal()[0] == 0
        loaded = lamina.load(model.save(tmp_path / "m.lamina"))
        assert loaded.predict(holes, trust=True).equals(predictions)
        alone = pl.concat([model.predict(holes[i], trust=True) for i in range(3)])
        for column, together in zip(alone, predictions[:3], strict=True):
            if column.dtype.is_float():
                np.testing.assert_allclose(column, together, rtol=0, atol=1e-5)
            elif not column.name.startswith("reasons"):  # effects are rounded
                assert column.equals(together)

    def test_one_row_or_one_class_is_refused(self, name):
        frame, _ = table("binary")
        with pytest.raises(DataError, match=r"has 1 row .*learning needs at least 2"):
            lamina.fit(frame[:1], "target", family=small(name), monitor=None)
        with pytest.raises(TargetError, match=r"one class \('yes'\)"):
            lamina.fit(frame.filter(pl.col("target") == "yes"), "target", family=small(name), monitor=None)

    def test_weights_of_rows_count(self, name):
        """A class with tiny sample weights is not predicted."""
        frame, _ = table("binary")
        weighted = frame.with_columns(w=pl.when(pl.col("target") == "yes").then(0.001).otherwise(1.0))
        model = lamina.fit(
            weighted,
            "target",
            weight="w",
            family=small(name, **WEIGHED.get(name, {})),
            recipe=Recipe(epochs=20, batch_size=32),
            seed=0,
            monitor=None,
        )
        assert (model.predict(frame) == "no").mean() > 0.95


@pytest.mark.parametrize("name", [name for name in TABLES if name in NETWORKS])
class TestNetworkContract:
    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
    def test_gpu_agrees_with_cpu(self, name):
        frame, target = table("classes")
        recipe = Recipe(epochs=3, batch_size=32)
        cpu, gpu = (
            lamina.fit(frame, target, family=small(name), recipe=recipe, seed=0, device=device, monitor=None)
            for device in ("cpu", "cuda")
        )
        np.testing.assert_allclose(cpu.predict_proba(frame), gpu.predict_proba(frame), atol=1e-3)

    def test_a_resumed_run_has_the_same_weights(self, name, tmp_path, monkeypatch):
        monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)
        frame, target = table("classes")
        family, recipe = small(name), Recipe(epochs=6, batch_size=32)

        class Killed(BaseException):
            pass

        def kill(event):
            if isinstance(event, Epoch) and event.epoch == 3:
                raise Killed

        whole = lamina.fit(frame, target, family=family, recipe=recipe, seed=3, run=tmp_path / "whole", monitor=None)
        with pytest.raises(Killed):
            lamina.fit(frame, target, family=family, recipe=recipe, seed=3, run=tmp_path / "cut", monitor=kill)
        resumed = api.resume(tmp_path / "cut", monitor=None)
        for weights, expected in zip(
            whole.model_.net.state_dict().values(), resumed.model_.net.state_dict().values(), strict=True
        ):
            assert torch.equal(weights, expected)
        assert [e["epoch"] for e in resumed.history_] == list(range(6))
