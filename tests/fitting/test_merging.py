"""Rare classes of a target: merged, named, and read alike in later rows."""

import json

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.errors import OptionError, TargetError
from tests.cli.helpers import lamina as command

LABELS = ["cat"] * 30 + ["dog"] * 25 + ["emu"] * 3 + ["yak"]


def rows(labels=LABELS):
    return pl.DataFrame({"x": np.arange(len(labels)) / 10, "z": np.arange(len(labels)) % 7 / 2, "y": labels})


def fit(table, **options):
    return lamina.fit(table, "y", **{"family": "linear", "merge_rare": True, "trust": False, "monitor": None} | options)


def test_rare_classes_are_one_class_also_in_later_rows():
    model = fit(rows())
    assert model.classes_.tolist() == ["cat", "dog", "other"]
    assert "2 rare classes of y merged into 'other': 'yak' (1 row), 'emu' (3 rows)" in model.model_.card["notes"]
    assert model.evaluate(rows())["rows"] == 59
    assert set(model.predict(rows()[-4:]).to_list()) <= {"cat", "dog", "other"}


def test_one_rare_row_takes_the_next_class_and_other_may_be_taken():
    model = fit(rows(["cat"] * 30 + ["dog"] * 25 + ["Other"] * 12 + ["yak"]))
    assert model.classes_.tolist() == ["cat", "dog", "other"]  # Other is the next rarest
    model = fit(rows(["cat"] * 30 + ["other"] * 25 + ["yak"] * 3))
    assert model.classes_.tolist() == ["cat", "other", "other_"]


def test_numbers_as_classes_become_text(tmp_path):
    model = fit(rows([{"cat": 1, "dog": 2, "emu": 3, "yak": 4}[label] for label in LABELS]))
    assert model.classes_.tolist() == ["1", "2", "other"]
    kept = lamina.load(model.save(tmp_path / "m.lamina"))
    assert kept.evaluate(rows([1, 2, 3] * 5))["rows"] == 15
    X = np.arange(118.0).reshape(59, 2)
    assert lamina.Classifier("linear", merge_rare=True).fit(X, LABELS).classes_.tolist() == ["cat", "dog", "other"]


def test_the_commands_merge_them_and_errors_name_the_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows().write_csv("rows.csv")
    refused = command("fit", "rows.csv", "--target", "y", "--family", "linear")
    assert refused.code == 1
    assert "class 'yak' of target 'y' has 1 row" in refused.err
    assert "--merge-rare" in refused.err
    done = command("fit", "rows.csv", "--target", "y", "--family", "linear", "--merge-rare", "--json")
    assert any("merged into 'other'" in note for note in json.loads(done.out)["notes"])
    words = "compare rows.csv --target y --family linear --family constant --folds 2 --repeats 1 --merge-rare --json"
    board = command(*words.split())
    assert board.code == 0, board.err
    assert lamina.load("y-compare.lamina").classes_.tolist() == ["cat", "dog", "other"]
    again = command("evaluate", "y.lamina", "rows.csv", "--json")
    assert json.loads(again.out)["rows"] == 59
    assert "these are the training rows" in again.out


def test_what_has_no_rare_classes():
    with pytest.raises(OptionError, match="merge_rare is for one target of classes, and 'y' is none"):
        fit(rows([i / 7 for i in range(59)]))
    with pytest.raises(TargetError, match="all 5 classes of target 'y' have fewer than 10 rows"):
        fit(rows(list("abcde") * 2))
    assert fit(rows(LABELS[:55])).classes_.tolist() == ["cat", "dog"]
