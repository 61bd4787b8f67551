"""``lamina fit`` and ``lamina resume``, in this process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest

from lamina import FeedForward, Recipe
from lamina.api import load
from lamina.cli.fit import parse_options
from lamina.errors import OptionError
from lamina.families import Auto, Shortcut
from tests.cli.helpers import QUICK, lamina, leftovers, people


def test_the_summary_of_a_fit(table):
    result = lamina("fit", table, "--target", "income", *QUICK)
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^age +number +whole numbers from", result.out, re.M)
    assert re.search(r"^person +id +240 distinct texts in 240 rows", result.out, re.M)
    assert re.search(
        r"Accuracy [\d.]+ % on 36 validation rows; always predicting .* has [\d.]+ %",
        result.out.replace("\n", " "),
    )
    assert re.search(r"^model +income.lamina \([\d.]+ kB\)$", result.out, re.M)
    assert "lamina predict income.lamina new.csv" in result.out
    assert Path("income.lamina").read_bytes() == Path("runs/people-1/model.lamina").read_bytes()
    assert max(map(len, result.out.splitlines())) <= 80


def test_a_second_fit_takes_the_next_run_folder_and_replaces_the_file(table):
    lamina("fit", table, "--target", "income", *QUICK)
    first = Path("income.lamina").read_bytes()
    result = lamina("fit", table, "--target", "income", "--seed", 1, *QUICK)
    assert result.code == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["people-1", "people-2"]
    assert Path("income.lamina").read_bytes() != first


def test_json_is_one_document_with_the_whole_card(table):
    result = lamina("fit", table, "--target", "income", "--json", *QUICK)
    output = json.loads(result.out)
    assert (result.err, output["model"], output["task"], output["classes"]) == (
        "",
        "income.lamina",
        "classification",
        ["<=50K", ">50K"],
    )
    assert {column["name"]: column["role"] for column in output["columns"]} == {
        "person": "ignored",
        "age": "feature",
        "town": "feature",
        "member": "feature",
        "planet": "ignored",
        "income": "target",
    }
    assert output["family"] == {"name": "feedforward", **FeedForward(hidden_sizes=(16,), members=2).to_json()}
    assert (output["split"]["train"], output["split"]["validation"], len(output["history"])) == (204, 36, 3)


def test_options_of_every_sort_reach_the_settings(table):
    rows = people().with_columns(
        zip=pl.Series([f"{i % 7}" for i in range(240)]), part=pl.Series(["train", "valid", "test"] * 80)
    )
    rows.write_parquet("people.parquet")
    words = "--kind zip=category --drop town --split part --class-weight balanced --family shortcut".split()
    words += "--set family.num_blocks=1 --set recipe.epochs=2 --out m.lamina --run r --seed 5 --device cpu".split()
    result = lamina("fit", "people.parquet", "--target", "income", *words)
    assert result.code == 0, result.err
    settings = json.loads(Path("r/run.json").read_text())["asked"]
    assert settings["kinds"] == {"zip": "category"}
    assert (settings["drop"], settings["split"], settings["group"]) == (["town"], "part", None)
    assert (settings["class_weight"], settings["seed"], settings["family"]["num_blocks"]) == ("balanced", 5, 1)
    assert load("m.lamina").model_.card["split"]["train"] == 80


def test_what_trust_needs_can_be_left_out(table):
    assert lamina("fit", table, "--target", "income", "--no-trust", *QUICK).code == 0
    bare = Path("income.lamina").stat().st_size
    assert load("income.lamina").model_.trust is None
    result = lamina("predict", "income.lamina", table, "--trust")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert lamina("fit", table, "--target", "income", *QUICK).code == 0
    assert load("income.lamina").model_.trust is not None
    assert Path("income.lamina").stat().st_size > bare


def test_several_targets(table):
    people().with_columns(height=pl.col("age") * 2.5, weight=pl.col("age") / 3).write_csv("people.csv")
    result = lamina("fit", "people.csv", "--target", "height", "--target", "weight", *QUICK)
    assert result.code == 0, result.err
    assert "on average over 2 targets" in result.out.replace("\n", " ")
    assert load("height-weight.lamina").model_.task.targets == ("height", "weight")


def test_set_reads_values_for_the_recipe_and_the_family():
    family, recipe = parse_options("auto", ["recipe.learning_rate=3e-3", "family.hidden_sizes=64,64", "recipe.patience=none"])
    assert family == Auto(hidden_sizes="64,64")
    assert recipe == Recipe(learning_rate=3e-3, patience=None)
    assert parse_options("shortcut", ["family.num_blocks=2"]) == (Shortcut(num_blocks=2), Recipe())
    assert parse_options("auto", []) == ("auto", Recipe())


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("learning_rate=1", "write recipe.NAME=VALUE or family.NAME=VALUE"),
        ("recipe.epochs", "write recipe.NAME=VALUE"),
        ("recipe.epoch=3", "did you mean 'epochs'"),
        ("recipe.epochs=0", "Recipe.epochs is 0, expected"),
        ("family.num_bloks=3", "no family has an option 'num_bloks'; did you mean 'num_blocks'"),
    ],
)
def test_set_refuses_what_it_does_not_know(text, match):
    with pytest.raises(OptionError, match=match):
        parse_options("auto", [text])


def test_options_lists_every_option_with_its_bounds():
    result = lamina("fit", "--options")
    assert result.code == 0
    for name in ("learning_rate", "patience", "hidden_sizes", "members", "num_blocks"):
        assert re.search(rf"^{name} ", result.out, re.M), name
    assert "a number between 0 and 0.95" in re.sub(r"\s+", " ", result.out)


def test_help_lists_the_exit_codes():
    result = lamina("--help")
    assert result.code == 0
    assert "130 Ctrl-C" in re.sub(r"\s+", " ", result.out)


def test_wrong_usage_ends_with_2():
    assert lamina("fit", "people.csv").code == 2
    assert lamina("fitt").code == 2


def test_resuming_a_finished_run_leaves_a_later_model_alone(table):
    lamina("fit", table, "--target", "income", *QUICK)
    lamina("fit", table, "--target", "income", "--seed", 1, *QUICK)
    later = Path("income.lamina").read_bytes()
    result = lamina("resume", "runs/people-1", "--json")
    assert result.code == 0
    assert json.loads(result.out)["model"] == "runs/people-1/model.lamina"
    assert Path("income.lamina").read_bytes() == later
    Path("income.lamina").unlink()
    assert lamina("resume", "runs/people-1", "--out", "income.lamina").code == 0
    assert Path("income.lamina").read_bytes() == Path("runs/people-1/model.lamina").read_bytes()
    assert str(Path.cwd()) not in Path("runs/people-1/run.json").read_text().replace(str(table.resolve()), "")
    refused = lamina("resume", "runs/people-1", "--out", table)
    assert (refused.code, refused.err) == (1, "lamina: --out people.csv is an input file; choose another name\n")


def test_a_refused_fit_leaves_nothing_but_what_was_there(table, tmp_path):
    before = leftovers(tmp_path)
    assert lamina("fit", table, "--target", "incom").code == 1
    assert leftovers(tmp_path) == before
    Path("mine").mkdir()
    assert lamina("fit", table, "--target", "incom", "--run", "mine").code == 1
    assert leftovers(tmp_path) == before | {"mine"}
    Path("mine/notes.txt").write_text("keep me")
    result = lamina("fit", table, "--target", "income", "--run", "mine")
    assert (result.code, Path("mine/notes.txt").read_text()) == (1, "keep me")
    assert "the run folder mine is not empty" in result.err
