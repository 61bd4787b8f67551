"""Training rows are scored beside the validation rows: a model that memorises, or learnt nothing, is named."""

import re

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.cli.render import show_model
from lamina.fitting import train_scores


def table(rows=300, signal=0.0, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 6))
    y = signal * x[:, 0] + random.normal(size=rows)
    columns = {f"x{place}": x[:, place] for place in range(6)}
    return pl.DataFrame({**columns, "y": np.where(y > 0, "up", "down"), "z": y, "late": random.random(rows) < 0.3})


def sentences(model):
    card = model.model_.card
    return model.model_.task.summary(
        {"rows": card["split"]["validation"], "scores": card["validation"], **card}, "validation rows"
    )


def fit(frame, target="y", family="linear", **options):
    drop = ["z" if target == "y" else "y", *([] if "split" in options else ["late"])]
    return lamina.fit(frame, target, family=family, drop=drop, seed=0, monitor=None, **options)


@pytest.mark.parametrize("target", ["y", "z"])
def test_the_scores_of_training_rows_are_those_of_evaluate(target):
    frame = table(signal=2.0)
    model = fit(frame.with_columns(late=pl.arange(300) >= 250), target, split="late")
    train = model.model_.card["train"]
    assert train["rows"] == 250
    assert train["scores"] == pytest.approx(model.evaluate(frame[:250])["scores"])
    assert len(sentences(model)) == 1


def test_a_model_that_memorises_is_named(capsys):
    frame = table(200, signal=0.7).hstack(
        pl.DataFrame(np.random.default_rng(1).normal(size=(200, 100)), [f"noise{i}" for i in range(100)])
    )
    model = fit(frame)
    score, memorised = model.model_.card["validation"]["accuracy"], model.model_.card["train"]["scores"]["accuracy"]
    assert memorised > score + 0.25
    last = f"It memorises (overfitting): accuracy {memorised:.4g} on training rows, {score:.4g} on validation rows; more rows, "
    assert sentences(model)[-1].startswith(last)
    assert model.model_.summary() == sentences(model)
    assert "It memorises (overfitting)" in repr(model.model_)
    show_model(model.model_)
    output = capsys.readouterr().out
    assert "It memorises (overfitting)" in output
    baseline = model.model_.card["baseline"]["accuracy"]
    assert re.search(rf"^accuracy +{score:.4f} +{baseline:.4f} +{memorised:.4f}$", output, re.M)


@pytest.mark.parametrize("target", ["y", "z"])
@pytest.mark.parametrize("family", ["linear", "boosting", "forest"])
def test_a_model_that_learnt_nothing_is_named(family, target):
    assert any("learnt nothing" in sentence for sentence in sentences(fit(table(), target, family)))
    assert not any("learnt nothing" in sentence for sentence in sentences(fit(table(signal=2.0), target, family)))


def test_rows_that_a_model_predicts_from_itself_are_not_scored():
    frame = table()
    assert fit(frame, family="forest").model_.card["train"] is None  # all rows validate, out of bag
    assert fit(frame, family="neighbours").model_.card["train"] is None
    forest = fit(frame, family="forest", split="late").model_.card  # out of bag, so not by heart
    assert forest["train"]["rows"] == forest["split"]["train"]
    assert forest["train"]["scores"]["accuracy"] < 0.7


def test_only_a_sample_of_many_rows_is_scored_and_training_stays_the_same(monkeypatch):
    frame, recipe = table(2000, signal=1.0), lamina.Recipe(epochs=3)
    whole = fit(frame, family="feedforward", recipe=recipe)
    assert whole.model_.card["train"]["rows"] == train_scores.FEWEST
    monkeypatch.setattr(train_scores, "FEWEST", 50)
    few = fit(frame, family="feedforward", recipe=recipe)
    rows = whole.model_.card["split"]["train"]
    assert few.model_.card["train"]["rows"] == int(0.02 * 3 * rows * 3)
    assert few.model_.card["train"]["scores"]["accuracy"] == pytest.approx(
        whole.model_.card["train"]["scores"]["accuracy"], abs=0.1
    )
    x = frame.drop("y", "z", "late")
    assert np.array_equal(few.predict_proba(x), whole.predict_proba(x))


def test_a_class_without_a_validation_row_is_named():
    frame = table(100, signal=2.0).with_columns(y=pl.Series(["rare", "rare", *["up", "down"] * 49]))
    model = fit(frame.with_columns(late=pl.arange(100) > 80), split="late")
    assert any("rare" in note and "no validation row" in note for note in model.model_.card["notes"]), model.model_.card[
        "notes"
    ]
