"""``lamina compare``: board, verdict and leaks as text and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lamina.api import load
from lamina.comparison import runner
from tests.cli.helpers import lamina, leftovers

FEW = ("--family", "constant", "--family", "linear", "--folds", "3", "--repeats", "1", "--workers", "1")


@pytest.fixture
def rows() -> str:
    random = np.random.default_rng(0)
    a = random.normal(size=150)
    table = pl.DataFrame(
        {"a b": a, "c": random.normal(size=150), "y": np.where(a + random.normal(0, 0.3, 150) > 0, "up", "down")}
    )
    pl.concat([table, table[:30]]).write_csv("rows.csv")
    return "rows.csv"


def test_the_board_and_the_verdict_as_text(rows):
    Path("y.lamina").write_text("the model of lamina fit")
    result = lamina("compare", rows, "--target", "y", *FEW, "--picture", "b.svg")
    assert result.code == 0, result.err
    assert re.search(r"^Possible leak \(duplicates\): 30 of 180 rows .*; use --unique\.", result.out.replace("\n", " "))
    assert re.search(r"^accuracy on 180 rows, 3 folds at random, stratified$", result.out, re.M)
    assert re.search(r"^linear +0\.\d+ +0\.\d+ to ", result.out, re.M)
    assert re.search(r"^baseline +0\.5", result.out, re.M)
    assert "use linear" in result.out.replace("\n", " ").lower()
    assert re.search(r"^model +y-compare\.lamina \(.*linear fitted to all rows", result.out, re.M)
    assert max(map(len, result.out.splitlines())) <= 80
    assert load("y-compare.lamina").model_.family == "linear"
    assert Path("y.lamina").read_text() == "the model of lamina fit"
    assert Path("b.svg").read_text().startswith("<svg")


def test_json_and_duplicates_are_left_out(rows):
    result = lamina("compare", rows, "--target", "y", *FEW, "--unique", "--json", "--out", "m.lamina", "--run", "here")
    output = json.loads(result.out)
    assert (output["rows"], output["leaks"], output["complete"]) == (150, [], True)
    assert (output["verdict"]["take"], output["model"], output["run"]) == ("linear", "m.lamina", "here")
    again = json.loads(
        lamina("compare", rows, "--target", "y", *FEW, "--unique", "--json", "--out", "m.lamina", "--run", "here").out
    )
    assert again["candidates"] == output["candidates"]  # not fitted again, so the seconds are the same, too


def test_every_metric_is_named_in_the_help():
    result = re.sub(r"[\s│]+", " ", lamina("compare", "--help").out)
    for name in (
        "accuracy",
        "balanced_accuracy",
        "f1",
        "f1_macro",
        "auc",
        "average_precision",
        "log_loss",
        "r2",
        "rmse",
        "mae",
    ):
        assert re.search(rf"\b{name}\b", result), name


def test_a_metric_about_one_class_names_it_and_trust_is_left_out(rows):
    result = lamina("compare", rows, "--target", "y", *FEW, "--metric", "f1", "--no-trust")
    assert result.code == 0, result.err
    assert re.search(r"^F1 of '(up|down)' on 180 rows", result.out, re.M)
    assert load("y-compare.lamina").model_.trust is None


def test_rare_classes_may_count_as_much_as_frequent_ones(tmp_path):
    draw = np.random.default_rng(2)
    x = draw.normal(size=400)
    pl.DataFrame({"x": x, "y": np.where(x + draw.normal(size=400) > 1.8, "rare", "often")}).write_csv("rare.csv")
    command = ("compare", "rare.csv", "--target", "y", *FEW, "--metric", "balanced_accuracy", "--no-trust", "--json")
    plain, balanced = (json.loads(lamina(*command, *more).out)["candidates"] for more in ((), ("--class-weight", "balanced")))
    score = [next(one["score"] for one in output if one["candidate"]["name"] == "linear") for output in (plain, balanced)]
    assert score[0] < 0.65 < 0.75 < score[1]


class Failing:
    """A worker whose jobs all fail."""

    def __init__(self, *given):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, job, stop):
        return {"failed": "ran out of luck"}


def test_where_nothing_has_a_score_there_is_no_model(rows, monkeypatch):
    monkeypatch.setattr(runner, "_Worker", Failing)
    Path("y.lamina").write_text("an older model")
    result = lamina("compare", rows, "--target", "y", *FEW, "--run", "here", "--out", "y.lamina")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "no candidate has a score, so there is no model; the verdict gives the reasons, here the results" in result.err
    assert "(baseline, linear: ran out of luck)" in result.out.replace("\n", " ")
    assert Path("y.lamina").read_text() == "an older model"


def test_errors(rows):
    for arguments, message in (
        (("--picture", "b.png"), "--picture b.png: the picture is an SVG file, choose a name that ends in .svg"),
        (("--metric", "r2"), "the metric 'r2' is unknown or does not fit classification"),
        (("--family", "woods"), "lamina has no family 'woods'"),
        (("--group", "nobody"), "nobody"),
        (("--repeats", "0"), "repeats is 0, expected"),
        (("--rope", "-1"), "rope is -1.0, expected a number of at least 0"),
    ):
        output = lamina("compare", rows, "--target", "y", *FEW, *arguments)
        assert (output.code, output.out) == (1, "")
        assert message in output.err
        assert output.err.count("\n") == 1
    assert lamina("compare", rows).code == 2
    assert leftovers(Path(".")) == {"rows.csv"}
