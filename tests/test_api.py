"""``lamina.fit``: its target and its split; ``lamina.resume``."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import lamina
from lamina import runs
from lamina.data.folder import SPLIT
from lamina.data.read import read_table
from lamina.errors import OptionError, RunError
from lamina.families import FeedForward
from lamina.fitting.settings import Settings
from lamina.train.events import Epoch, Start
from lamina.train.recipe import Recipe

PLAIN = FeedForward(hidden_sizes=(8,), members=1, number_embedding=None)
QUICK = {"family": PLAIN, "recipe": Recipe(epochs=1), "seed": 0, "monitor": None}


def reviews(folder, **parts):
    """A folder of texts, with a number of texts per class for each part; ``whole`` is a folder without parts."""
    for part, count in parts.items():
        for label in ("good", "poor"):
            path = folder / label if part == "whole" else folder / part / label
            path.mkdir(parents=True)
            for i in range(count):
                (path / f"{i}.txt").write_text(f"{label} it was, and {part}, number {i}")
    return folder


def archive(tmp_path, *, parts=("train", "test"), counts=(30, 10), **more):
    """An archive of arrays x, y, shop and when, in parts."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in zip(parts, counts, strict=True):
        arrays |= {f"x_{part}": random.normal(size=(count, 3)), f"y_{part}": np.arange(count) % 2}
        arrays |= {f"shop_{part}": np.arange(count) // 5, f"when_{part}": np.arange(count) * 1.5}
    np.savez(tmp_path / "data.npz", **arrays, **more)
    return tmp_path / "data.npz"


def splits(data, target=None, **given):
    """The split of a fit and its notes."""
    starts = []
    options = {**QUICK, "monitor": lambda event: starts.append(event) if isinstance(event, Start) else None}
    model = lamina.fit(data, target, **options, **given).model_
    assert model.card["split"]["how"] == starts[0].split.how
    return model.card["split"], starts[0].notes


# The target


@pytest.mark.parametrize("data", [{"y": [1, 2]}, "rows.csv", Path("rows.csv"), pl.DataFrame({"y": [1]}), "data.npz"])
def test_a_target_is_required(data):
    assert runs.target_of(data, "y") == "y"
    assert runs.target_of(data, ["a", "b"]) == ["a", "b"]
    for missing in (None, "", []):
        with pytest.raises(
            OptionError, match=r"there is no target; name the column to predict: target='income' \(in the command"
        ):
            runs.target_of(data, missing)


def test_the_target_of_a_folder_is_label(tmp_path):
    for data in (tmp_path, str(tmp_path)):
        assert runs.target_of(data, None) == "label"
        assert runs.target_of(data, "other") == "other"
    with pytest.raises(OptionError, match="there is no target"):
        runs.target_of(tmp_path / "gone", None)


@pytest.mark.parametrize("name", ["pets", "n.csv"])
def test_the_home_folder_is_expanded(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "n.csv").write_text("x,label\n" + "1,a\n2,b\n" * 20)
    reviews(tmp_path / "pets", whole=20)
    killed(f"~/{name}", None if name == "pets" else "label", run=tmp_path / "r")
    assert lamina.resume(tmp_path / "r", monitor=None).n_iter_ == 2


# Resume


class Killed(BaseException):
    pass


def killed(data, target, run):
    """A run that is killed after its first epoch."""

    def kill(event):
        if isinstance(event, Epoch):
            raise Killed

    with pytest.raises(Killed):
        lamina.fit(data, target, run=run, **{**QUICK, "family": "auto", "recipe": Recipe(epochs=2), "monitor": kill})


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Images of two classes in folders, and tables that name them."""
    for i in range(20):
        label = "ab"[i % 2]
        (tmp_path / "pets" / label).mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i % 2 * 200 + i).save(tmp_path / "pets" / label / f"{i}.png")
    names = [f"pets/{'ab'[i % 2]}/{i}.png" for i in range(20)]
    table = pl.DataFrame({"photo": names, "y": ["a", "b"] * 10})
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("data", ["t.csv", "t.parquet", "pets"])
@pytest.mark.parametrize("start", [".", "elsewhere"])
def test_a_run_on_images_of_a_relative_path_is_resumed_from_any_folder(photos, tmp_path, monkeypatch, data, start):
    monkeypatch.chdir(tmp_path / start)
    target = None if data == "pets" else "y"
    killed(data if start == "." else f"../{data}", target, run="r")
    monkeypatch.chdir("/")
    assert lamina.resume(tmp_path / start / "r", monitor=None).n_iter_ == 2


def test_another_image_in_a_folder_is_a_change(photos, tmp_path):
    killed("pets", None, run="r")
    (tmp_path / "pets/a/0.png").rename(tmp_path / "pets/a/00.png")
    with pytest.raises(RunError, match="pets has changed since the run began; restore the old file"):
        lamina.resume("r")


# The split


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_train_and_test_parts_are_the_split(tmp_path, kind):
    data = archive(tmp_path) if kind == "archive" else reviews(tmp_path / "r", train=15, test=5)
    for path in (data, str(data)):
        result, notes = splits(path, "y" if kind == "archive" else None)
        assert result == {"how": "by the column split", "out_of_bag": False, "train": 30, "validation": 10}
        assert not any("marked as test" in note for note in notes)


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_test_parts_are_not_used_beside_validation_parts(tmp_path, kind):
    if kind == "archive":
        data, target = archive(tmp_path, parts=("train", "val", "test"), counts=(30, 8, 12)), "y"
    else:
        data, target = reviews(tmp_path / "r", train=15, valid=4, test=6), None
    result, notes = splits(data, target)
    assert result == {"how": "by the column split", "out_of_bag": False, "train": 30, "validation": 8}
    assert any("12 rows marked as test" in note for note in notes)


def test_the_split_is_no_feature_and_is_not_needed_to_predict(tmp_path):
    data = archive(tmp_path)
    model = lamina.fit(data, "y", **QUICK)
    assert {column.name: column.role for column in model.model_.schema.columns}["split"] == "split"
    table = read_table(data)
    assert (model.predict(table.drop("split", "y")) == model.predict(table)).all()


@pytest.mark.parametrize(
    ("given", "how"),
    [
        ({"group": "shop"}, "at random, each shop on one side"),
        ({"time": "when"}, "by time: the latest rows by when"),
        ({"split": "mine"}, "by the column mine"),
        ({"split": "split"}, "by the column split"),
        ({"group": "shop", "drop": ["when"]}, "at random, each shop on one side"),
        ({"drop": ["split"]}, "at random, stratified"),
        ({"group": None, "time": None, "split": None, "weight": "when"}, "by the column split"),
    ],
)
def test_an_explicit_split_wins(tmp_path, given, how):
    mine = {"mine_train": np.arange(30) % 3 == 0, "mine_test": np.arange(10) % 3 == 0}
    data = archive(tmp_path, **mine)
    assert splits(data, "y", **given)[0]["how"] == how
    model = lamina.fit(data, "y", **QUICK, **given)
    assert "split" not in [column.name for column in model.model_.schema.features]
    assert len(model.predict(read_table(data).drop("split"))) == 40


def test_without_parts_rows_are_sampled(tmp_path):
    result, _ = splits(reviews(tmp_path / "r", whole=20))
    assert result == {"how": "at random, stratified", "out_of_bag": False, "train": 34, "validation": 6}
    np.savez(tmp_path / "whole.npz", x=np.random.default_rng(0).normal(size=(40, 2)), y=np.arange(40) % 2)
    result, _ = splits(tmp_path / "whole.npz", "y")
    assert result == {"how": "at random, stratified", "out_of_bag": False, "train": 34, "validation": 6}


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.jsonl", "t.npz", None])
def test_a_column_that_happens_to_be_called_split_is_a_column(tmp_path, name):
    """Only the parts of folders and archives are a split."""
    frame = pl.DataFrame(
        {"x": np.random.default_rng(0).normal(size=40), "split": ["train", "test"] * 20, "y": ["a", "a", "b", "b"] * 10}
    )
    if name:
        write = {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}
        arrays = {
            "x": frame["x"].to_numpy(),
            "split": np.array(["train", "test"] * 20),
            "y": np.array(["a", "a", "b", "b"] * 10),
        }
        write[".npz"] = lambda path: np.savez(path, **arrays)
        write[Path(name).suffix](tmp_path / name)
    data = tmp_path / name if name else frame
    model = lamina.fit(data, "y", **QUICK).model_
    assert model.card["split"] == {"how": "at random, stratified", "out_of_bag": False, "train": 34, "validation": 6}
    assert {column.name: column.role for column in model.schema.columns}["split"] == "feature"
    assert splits(data, "y", split="split")[0] == {
        "how": "by the column split",
        "out_of_bag": False,
        "train": 20,
        "validation": 20,
    }


def test_parts_are_the_split_unless_another_is_given(tmp_path):
    plain = pl.DataFrame({"split": ["train"], "label": ["a"]})
    parted = plain.with_columns(pl.col("split").cast(SPLIT))
    plain_settings = Settings("label", validation=0.3, drop=["a"])
    with_split = dataclasses.replace(plain_settings, split="split")
    for data, table, expected in [
        (tmp_path, parted, with_split),
        (os.fspath(tmp_path), parted, with_split),
        (tmp_path, plain, plain_settings),
        ("data.NPZ", parted, with_split),
        (Path("data.npz"), plain, plain_settings),
        ("data.npz", plain.drop("split"), plain_settings),
        ("data.parquet", plain, plain_settings),
        (parted, parted, plain_settings),
        ({"split": ["train"], "label": ["a"]}, parted, plain_settings),
    ]:
        assert runs.with_parts(plain_settings, data, table) == expected
    for role in ("group", "time", "split"):
        result = runs.with_parts(Settings("label", **{role: "mine"}, drop=["x"]), tmp_path, parted)
        assert result.roles == {"mine": role, "x": "ignored", "split": "ignored"}
    assert runs.with_parts(Settings("label", weight="w"), tmp_path, parted).roles == {"w": "weight", "split": "split"}
    dropped = Settings("label", drop=["split"])
    assert runs.with_parts(dropped, tmp_path, parted) == dropped
