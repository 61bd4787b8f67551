"""From a table and settings to a model."""

import contextlib
import io
import json
import shutil
from importlib.metadata import version

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import lamina
from lamina.cli.render import show_model
from lamina.data.rowhash import fingerprint
from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError, SchemaError
from lamina.families import FeedForward
from lamina.fitting.card import trained_on
from lamina.fitting.encoded import encode
from lamina.fitting.prepare import prepare, row_groups
from lamina.fitting.settings import Settings
from lamina.fitting.split import Split
from lamina.fitting.training import choose_device
from lamina.train.recipe import Recipe
from tests.contract import small, table

PLAIN = FeedForward(hidden_sizes=(8,), members=1, number_embedding=None)
QUICK = {"family": PLAIN, "recipe": Recipe(epochs=2), "seed": 0, "monitor": None}


@pytest.mark.parametrize("family", ["auto", "shortcut", FeedForward(hidden_sizes=(3, 4), activation="tanh")])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"yes": 2.0, "no": 0.5}])
def test_settings_survive_json(family, class_weight):
    roles = {"group": "shop", "drop": ["b"]}
    asked = Settings("y", family=family, recipe=Recipe(epochs=3), class_weight=class_weight, kinds={"a": "category"}, **roles)
    assert asked.roles == {"shop": "group", "b": "ignored"}
    assert Settings.from_json(json.loads(json.dumps(asked.to_json()))) == asked


def test_unknown_words_are_refused_with_the_nearest():
    with pytest.raises(OptionError, match="fit has no option 'grup'; did you mean 'group'"):
        lamina.fit({"x": [1]}, "y", grup="shop")
    with pytest.raises(OptionError, match="fit has no option 'xyzzy'; it has data, target, task, kinds"):
        lamina.fit({"x": [1]}, "y", xyzzy=1)
    with pytest.raises(OptionError, match="device 'abacus' cannot be used here; take 'cpu' or 'auto'"):
        choose_device("abacus")
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_the_fingerprint_is_of_the_content_not_the_order():
    frame, _ = table("binary")
    assert fingerprint(frame) == fingerprint(frame.reverse())
    assert fingerprint(frame) != fingerprint(frame.rename({"a": "z"}))
    assert fingerprint(frame) != fingerprint(frame[1:])


def test_weights_of_classes_and_rows_multiply():
    frame = pl.DataFrame({"x": [1.0, 2, 3, 4], "y": ["a", "b", "b", "b"], "w": [1.0, 2, 3, 4]})

    def weights(**options):
        prepared = prepare(frame, Settings("y", fewest=1, **options))
        return None if prepared.weight is None else prepared.weight[np.argsort(prepared.table["x"])]

    assert weights(drop=["w"]) is None
    np.testing.assert_allclose(weights(drop=["w"], class_weight="balanced"), [2, 2 / 3, 2 / 3, 2 / 3])
    np.testing.assert_allclose(weights(weight="w", class_weight={"a": 10}), [10, 2, 3, 4])


@pytest.mark.parametrize("bad", [-1.0, None, float("inf")])
def test_bad_weights_are_refused_by_name(bad):
    frame, target = table("binary")
    weighted = frame.with_columns(w=pl.Series([bad] + [1.0, 2.0, 3.5] * 39 + [1.0, 1.0], dtype=pl.Float64))
    with pytest.raises(DataError, match="the weight column 'w' holds missing, infinite or negative weights; mend or drop"):
        lamina.fit(weighted, target, weight="w", **QUICK)
    with pytest.raises(DataError, match="the weights in column 'w' are all zero"):
        lamina.fit(frame.with_columns(w=0.0), target, weight="w", **QUICK)
    with pytest.raises(OptionError, match="class_weight is for classes"):
        lamina.fit(table("regression")[0], "target", class_weight="balanced", **QUICK)


def test_roles_decide_what_validates_and_what_is_learnt_from():
    frame, target = table("binary")
    shops = frame.with_columns(shop=pl.Series([f"s{i % 12}" for i in range(len(frame))]))
    model = lamina.fit(shops, target, group="shop", drop=["town"], **QUICK).model_
    assert {column.name for column in model.schema.features} == {"a", "b, with a comma", "flag", "day"}
    assert model.card["split"]["how"] == "at random, each shop on one side"
    by_time = lamina.fit(frame.drop_nulls("day"), target, time="day", **QUICK).model_
    assert "day" in by_time.card["split"]["how"]
    with pytest.raises(SchemaError, match="'tonw'.*'town'"):
        lamina.fit(frame, target, drop=["tonw"], **QUICK)


def test_rows_of_a_group_and_of_a_tenth_of_the_time_belong_together():
    days = [f"2024-{month:02}-{day:02}" for month in range(1, 11) for day in (1, 1, 15)]
    frame = pl.DataFrame({"x": range(30), "y": [1.0, 2.0] * 15, "who": ["b", "a", None] * 10, "day": days})
    rows = np.arange(30)

    def groups(**roles):
        return row_groups(frame, Schema.infer(frame, target="y", roles=roles))

    who = groups(who="group")
    assert [len(np.unique(who[i::3])) for i in range(3)] == [1, 1, 1]
    assert len(np.unique(who)) == 3
    assert groups(day="time").tolist() == np.repeat(np.arange(10), 3).tolist()
    assert groups(x="time").tolist() == np.repeat(np.arange(10), 3).tolist()
    assert groups() is None
    prepared = prepare(frame.drop("day"), Settings("y", group="who"))
    one = np.flatnonzero(prepared.table["who"] == "a")
    parts = Split(one, np.setdiff1d(rows, one), "by hand")
    data = encode(prepared, parts, prepared.task.fit(prepared.table[one]), PLAIN.encoding())
    assert data.train.group is None  # a single group trains


def test_the_family_is_told_of_groups_and_a_choice_heeds_them():
    """The nearest rows are of the same person, and no rows of a new person."""
    draw = np.random.default_rng(0)
    who = np.repeat(np.arange(40), 10)
    frame = pl.DataFrame({"near": who + 0.01 * draw.normal(size=400), "y": draw.normal(size=40)[who], "who": who})
    asked = {"family": "neighbours", "seed": 0, "monitor": None, "trust": False}
    ways = {"group": {"group": "who"}, "time": {"time": "who"}, "neither": {"drop": ["who"]}}
    k = {name: lamina.fit(frame, "y", **way, **asked).model_.predictor.n_neighbors for name, way in ways.items()}
    assert k["neither"] < 9
    assert k["group"] > 9
    assert k["time"] > 9


def test_rows_without_an_answer_are_left_out_and_said():
    frame, target = table("classes")
    holes = frame.with_columns(target=pl.when(pl.int_range(pl.len()) < 7).then(None).otherwise(pl.col("target")))
    card = lamina.fit(holes, target, **QUICK).model_.card
    assert card["data"]["rows"] == 113
    assert any("7 of 120 rows have no value in the target" in note for note in card["notes"])


def test_classes_that_differ_in_case_are_said():
    table = pl.DataFrame({"x": np.arange(90.0), "left": ["yes", "no", "No "] * 30})
    card = lamina.fit(table, "left", family="constant", trust=False, seed=0, monitor=None).model_.card
    note = "the classes 'No ' and 'no' differ only in case or spaces; if they are the same class, write them alike"
    assert note in card["notes"]


def test_a_model_scores_beside_always_saying_the_same():
    frame, target = table("regression")
    recipe = Recipe(epochs=60, batch_size=16)
    model = lamina.fit(frame, target, family=small("feedforward"), recipe=recipe, seed=0, monitor=None)
    found = model.evaluate(frame)
    assert found["rows"] == 120
    assert found["baseline"]["r2"] == pytest.approx(0, abs=0.05)
    assert found["scores"]["rmse"] < found["baseline"]["rmse"] / 2
    said = model.predict(frame).to_numpy()
    assert found["scores"]["rmse"] == pytest.approx(np.sqrt(((said - frame[target].to_numpy()) ** 2).mean()))


def test_many_rows_are_answered_in_pieces(monkeypatch):
    frame, target = table("binary")
    model = lamina.fit(frame, target, **QUICK)
    whole = model.predict_proba(frame)
    monkeypatch.setattr("lamina.model.BATCH_ROWS", 50)
    np.testing.assert_allclose(model.predict_proba(frame), whole, atol=1e-6)
    assert model.predict_table(frame[:0]).columns == ["target", "probability no", "probability yes"]
    assert len(model.predict_table(frame[:0])) == 0


def test_a_finished_run_is_loaded_not_trained_again(tmp_path):
    frame, target = table("binary")
    first = lamina.fit(frame, target, run=tmp_path / "r", **QUICK)
    again = lamina.resume(tmp_path / "r", monitor=None)
    assert again.model_.card == first.model_.card
    events = [event.kind for event in lamina.train.run.Run.open(tmp_path / "r").events()]
    assert events == ["start", "epoch", "epoch", "end"]


@pytest.mark.parametrize("family", ["feedforward", "linear"])
@pytest.mark.parametrize("side", ["train", "valid"])
def test_rows_of_one_side_that_all_weigh_nothing_are_refused_by_the_column_before_training(family, side):
    frame = pl.DataFrame({"x": range(40), "y": ["a", "b"] * 20, "s": (["train"] * 3 + ["valid"]) * 10})
    weighted = frame.with_columns(w=(frame["s"] != side).cast(pl.Float64))
    count = {"train": 30, "valid": 10}[side]
    what = {"train": "training", "valid": "validation"}[side]
    match = f"the weight column 'w' is 0 in all {count} {what} rows, so nothing can be measured there; give some"
    with pytest.raises(DataError, match=match):
        lamina.fit(weighted, "y", family=family, weight="w", split="s", seed=0, monitor=None)
    with pytest.raises(OptionError, match="class_weight is 0 for every class in it"):
        lamina.fit(frame, "y", family=family, class_weight={"a": 0, "b": 0}, split="s", seed=0, monitor=None)


def test_the_rows_that_were_learnt_from_are_known_beside_others_without_a_target():
    frame = pl.DataFrame({"x": range(40), "y": ["a", "b"] * 20})
    more = pl.concat([frame, pl.DataFrame({"x": [7], "y": [None]}, schema=frame.schema)])
    model = lamina.fit(more, "y", family="constant", seed=0, monitor=None).model_
    assert trained_on(model, more)
    assert trained_on(model, frame)
    assert not trained_on(model, frame[1:])
    twice = pl.concat([more, frame[:5]])
    once = lamina.fit(twice, "y", family="constant", unique=True, seed=0, monitor=None).model_
    assert trained_on(once, twice)
    assert not trained_on(model, frame.with_columns(x=pl.col("x") + 1))


@pytest.mark.parametrize("family", ["linear", "forest", "feedforward"])
def test_rows_that_weigh_next_to_nothing_have_no_part_in_scores(family):
    """Every row that counts is predicted rightly; the others, as many, have the opposite class."""
    if family == "forest" and tuple(map(int, version("scikit-learn").split(".")[:2])) < (1, 9):
        pytest.skip("before scikit-learn 1.9 a forest draws rows without regard to their weights")
    x = np.tile([-1.0, 1.0], 100) * np.linspace(1, 2, 200)
    light = np.arange(200) // 2 % 2 == 1
    frame = pl.DataFrame({"x": x, "y": np.where((x > 0) != light, "up", "down"), "w": np.where(light, 1e-6, 1.0)})
    options = {"recipe": Recipe(epochs=20, learning_rate=1e-2)} if family == "feedforward" else {}
    model = lamina.fit(frame, "y", weight="w", family=family, seed=0, monitor=None, **options)
    assert model.model_.card["validation"]["accuracy"] > 0.99
    assert model.evaluate(frame)["scores"]["accuracy"] > 0.99
    assert model.evaluate(frame.drop("w"))["scores"]["accuracy"] < 0.8
    assert model.importance(frame)["importance"][0] > 0.3


def three_parts(path):
    draw = np.random.default_rng(0)
    for name in ("train", "validation", "test"):
        for shade, kind in ((0, "dark"), (120, "light")):
            (path / name / kind).mkdir(parents=True)
            for i in range(6):
                pixels = draw.integers(shade, shade + 120, (6, 6)).astype(np.uint8)
                if name == "test" and i < 2:  # of the other class, so that the test score is another one
                    pixels = 240 - pixels
                Image.fromarray(pixels).save(path / name / kind / f"{i}.png")
    return path


def test_the_test_part_of_three_is_scored_once_and_used_for_nothing_else(tmp_path):
    model = lamina.fit(three_parts(tmp_path), family="linear", monitor=None).model_
    assert model.card["split"] == {"how": "by the column split", "out_of_bag": False, "train": 12, "validation": 12}
    assert model.card["validation"]["accuracy"] == 1
    assert (model.card["test"]["rows"], model.card["test"]["scores"]["accuracy"]) == (12, pytest.approx(8 / 12))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        show_model(model, columns=False)
    assert "12 test rows, used for nothing else" in output.getvalue().replace("\n", " ")


def test_a_damaged_test_image_is_a_note_and_not_the_end_of_the_fit(tmp_path):
    (three_parts(tmp_path) / "test" / "dark" / "0.png").write_bytes(b"")
    card = lamina.fit(tmp_path, family="linear", monitor=None).model_.card
    assert "test" not in card
    assert any("the test rows are not scored: column 'image': 1 of 12 images cannot be read" in note for note in card["notes"])


def test_without_a_third_part_there_is_no_test_score(tmp_path):
    shutil.rmtree(three_parts(tmp_path) / "test")
    assert "test" not in lamina.fit(tmp_path, family="linear", monitor=None).model_.card
