"""Names of columns, classes and targets are data: never a pattern, a suffix, markup or another column."""

import json
import shlex

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lamina
from lamina.data.frames import literal
from lamina.data.gather import gather_series
from lamina.data.read import read_table
from lamina.data.schema import Schema
from lamina.errors import ReadError
from lamina.leaks import Leak, find_leaks
from lamina.predictions import result_columns
from lamina.tasks import Task

NAMES = (
    "count", "len", "literal", "*", "^a$", "^.*$", "^", "$", "a.b", "x (y)", "x (days)", "x is missing", "x month (sine)",
    "[0]", "[red]x[/red]", "[/]", "two\nlines", "tab\there", "naïve 変数 🙂", "l" * 300, "set", "set_", "low", "high",
    "novelty_p", "is_novel", "reasons", "probability a", "probability b", "prediction", "predicted y", "label", "level", "rows",
    "index", "row", "0", "1", "-x", "a=b", 'quo"te', "quo'te", "back\\slash", "${x}", "{x}", ":smile:", "column",
    "sample_weight",
)  # fmt: skip


def rows(target: str, number: str, word: str, *, count: int = 40) -> pl.DataFrame:
    i = np.arange(count)
    return pl.DataFrame(
        {
            number: i * 0.7 % 5,
            word: [("red", "blue", "green")[j % 3] for j in i],
            target: ["ab"[j] for j in (i * 0.7 % 5 > 2.5).astype(int)],
        }
    )


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=5, max_size=5, unique=True), family=st.sampled_from(["linear", "constant"])
)
def test_any_name_works_from_fit_to_predictions(names, family, tmp_path):
    target, number, word, group, weight = names
    table = rows(target, number, word).with_columns(
        pl.Series(group, [f"g{i % 8}" for i in range(40)]), pl.Series(weight, np.arange(40) % 3 + 0.5)
    )
    model = lamina.fit(table, target, family=family, group=group, weight=weight, seed=0, monitor=None)
    again = lamina.load(model.save(tmp_path / "m.lamina"))
    new = table[[number, word]]
    result = again.predict(new, trust=True)
    columns = result_columns(again.model_, trust=True)
    assert result.columns == list(columns)
    assert result.columns[0] == literal(target)
    assert list(columns.values())[:4] == ["prediction", "probability", "probability", "set"]
    assert result[literal(target)].to_list() == model.predict(new).to_list()
    assert again.predict_table(new).width == 3
    assert again.evaluate(table) == model.evaluate(table)
    assert set(again.importance(table, repeats=1)["column"]) == {literal(number), literal(word)}


@pytest.mark.parametrize("name", NAMES)
def test_a_target_may_have_any_name(name):
    table = rows(name, "x", "y")
    model = lamina.fit(table, name, family="linear", seed=0, monitor=None)
    assert model.predict(table).to_list() == table[name].to_list()
    assert model.predict(table, trust=True)[literal(name)].to_list() == table[name].to_list()
    values = table.with_columns(pl.Series(name, np.arange(40) % 5 * 1.5))
    result = lamina.fit(values, name, family="linear", seed=0, monitor=None).predict(values, trust=True)
    assert result.columns[0] == literal(name)
    assert result.width == len(set(result.columns)) >= 5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("option", ["time", "split", "drop"])
def test_a_column_of_any_role_may_have_any_name(name, option):
    values = {"time": np.arange(40), "split": ["train", "valid"] * 20, "drop": np.arange(40) % 7}[option]
    table = rows("target", "x", "y").with_columns(pl.Series(name, values))
    options = {option: [name] if option == "drop" else name}
    model = lamina.fit(table, "target", family="linear", seed=0, monitor=None, **options)
    role = {"drop": "ignored"}.get(option, option)
    assert {column.name: column.role for column in model.model_.schema.columns}[literal(name)] == role


def test_a_comparison_with_any_name():
    table = rows("count", "^x$", "[/red]")
    board = lamina.compare(table, "count", families={"*": "constant", "[/]": "linear"}, folds=2, repeats=1, monitor=None)
    assert {line.name: line.folds for line in board.lines} == {"*": 2, "[/]": 2}


@pytest.mark.parametrize("name", ["stay (days)", "stay is missing", "stay month (sine)", "stay hour (cosine)"])
def test_a_forest_gives_the_importance_to_the_column_itself(name):
    table = pl.DataFrame(
        {name: [i / 3 for i in range(60)], "stay": [i * 7 % 5 / 3 for i in range(60)], "y": ["a"] * 30 + ["b"] * 30}
    )
    model = lamina.fit(table, "y", family=lamina.Forest(n_estimators=10), seed=0, monitor=None)
    impurity = dict(model.importance(table, repeats=1).select("column", "impurity").iter_rows())
    assert impurity[name] > 0.8
    assert sum(impurity.values()) == pytest.approx(1)


def test_no_result_column_replaces_another():
    table = rows("probability a", "x", "y")
    model = lamina.fit(table, "probability a", family="linear", seed=0, monitor=None)
    result = model.predict_table(table)
    assert result.columns == ["probability a", "probability a_", "probability b"]
    assert result["probability a"].to_list() == table["probability a"].to_list()
    assert result["probability a_"].dtype == pl.Float64
    two = pl.DataFrame({"x": np.arange(40) % 8 * 1.0, "a": np.arange(40) % 8 * 2.5, "low a": np.arange(40) % 8 * 1.5})
    result = lamina.fit(two, ["a", "low a"], family="linear", seed=0, monitor=None).predict(two, trust=True)
    assert result.columns[:6] == ["a", "low a", "low a_", "low low a", "high a", "high low a"]
    np.testing.assert_allclose(result["low a"], two["low a"], atol=0.3)


def test_names_that_differ_by_an_underscore_stay_different_in_an_estimator():
    X = pd.DataFrame({"a": np.arange(30.0) % 7})
    y = pd.DataFrame({"a": np.arange(30.0) % 7, "a_": -np.arange(30.0) % 5})
    model = lamina.Regressor("linear", random_state=0).fit(X, y)
    assert model.model_.task.targets == ("a_", "a__")
    assert model.predict(X).shape == (30, 2)


@pytest.mark.parametrize("target", [0, 3, "3", np.int64(3)])
def test_whole_numbers_are_names_of_columns(target):
    x = np.random.default_rng(0).normal(size=(60, 2))
    table = pd.DataFrame(np.c_[x[:, 0] > 0, x, x[:, 1] > 0].astype(float))
    model = lamina.fit(table, target, family="linear", drop=[2], seed=0, monitor=None)
    assert model.classes_.tolist() == [0.0, 1.0]
    assert model.model_.task.targets == (str(target),)
    assert "2" not in [column.name for column in model.model_.schema.features]


def test_a_target_series_named_0_has_this_name():
    X = pd.DataFrame({"a": np.arange(30) % 7})
    model = lamina.Classifier("linear", random_state=0).fit(X, pd.Series(np.arange(30) % 2, name=0))
    assert model.model_.task.targets == ("0",)
    model = lamina.Classifier("linear", random_state=0).fit(X, pl.Series([0, 1] * 15))
    assert model.model_.task.targets == ("target",)


def test_long_tables_of_any_names_become_series():
    table = {"^id$": ["a", "b", "a"], "*": [2, 1, 1], "count": [71, 64, 70], "^i$": ["no", "yes", "no"]}
    result = gather_series(table, "^id$", "*").to_dicts()
    assert result == [
        {"^id$_": "a", "^i$_": "no", "series": [[70.0], [71.0]]},
        {"^id$_": "b", "^i$_": "yes", "series": [[64.0]]},
    ]


def test_a_name_that_is_a_pattern_in_polars_becomes_literal(tmp_path):
    table = pl.DataFrame({"^a$": [1.5, None], "a": ["x", "y"]})
    for write, name in ((table.write_csv, "t.csv"), (table.write_parquet, "t.parquet"), (table.write_ndjson, "t.jsonl")):
        write(tmp_path / name)
    assert read_table(tmp_path / "t.csv").equals(pl.DataFrame({"^a$_": ["1.5", None], "a": ["x", "y"]}))
    read = [read_table(tmp_path / name) for name in ("t.parquet", "t.jsonl")]
    read += [
        read_table(source)
        for source in (table, table.lazy(), table.to_pandas(), table.to_arrow(), table.to_dict(), table.to_dicts())
    ]
    assert all(frame.equals(pl.DataFrame({"^a$_": [1.5, None], "a": ["x", "y"]})) for frame in read)
    assert read_table(table["^a$"]).columns == ["^a$_"]
    assert table.columns == ["^a$", "a"]
    with pytest.raises(ReadError, match=r"has the columns '\^a\$' and '\^a\$_', and the former is renamed"):
        read_table(table.with_columns(pl.Series("^a$_", [1, 2])))


def test_leakage_is_detected_under_any_name():
    draw = np.random.default_rng(0)
    sick = draw.random(400) < 0.4
    nights = [int(n) if n else None for n in sick * draw.integers(0, 9, 400)]
    table = pl.DataFrame({"*": draw.integers(20, 90, 400), "count": nights, "len": sick})
    result = find_leaks(table, Schema.infer(table, target="len"), Task.infer(table, "len"))
    assert [(leak.kind, leak.columns) for leak in result] == [("after the fact", ("count",))]
    twice = pl.DataFrame({"*": np.tile(draw.normal(size=200), 2), "count": list("ab") * 200, "len": np.arange(400) % 200})
    for roles, kinds in (({}, ["duplicates"]), ({"len": "group"}, [])):  # duplicates are in one group
        schema = Schema.infer(twice, target="count", roles=roles)
        result = find_leaks(twice, schema, Task.infer(twice, "count"))
        assert [leak.kind for leak in result if leak.kind == "duplicates"] == kinds


def test_the_board_quotes_names_for_the_shell():
    from lamina.cli.board import _flag

    for name in ('"a"', "a//b", "./x", "a\\b", "it's"):
        assert shlex.split(_flag(Leak("group", (name,), "", 'group="..."'))) == ["--group", name]
    assert _flag(Leak("duplicates", (), "", "unique=True")) == "--unique"


def test_markup_in_a_name_is_shown(monkeypatch, capsys):
    from lamina.progress import progress
    from lamina.train.events import Compare, Job

    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress() as bar:
        bar(Compare({"[/red]": {}}, 2, "at random", 3))
        bar(Job(done=1, jobs=2, name="[/red]", fold=0))
        bar.bar.refresh()
    assert "[/red], fold 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["count", "^a$", "[red]x[/red]", "probability a", "two\nlines"])
def test_the_command_line_with_any_name(name, tmp_path, monkeypatch):
    from tests.cli.helpers import lamina as command

    monkeypatch.chdir(tmp_path)
    table = rows(name, "[/x]", "*").with_columns(pl.Series(f"predicted {name}", np.arange(40) % 3))
    table.write_csv("data.csv")
    fitted = command("fit", "data.csv", "--target", name, "--family", "linear", "--seed", "0", "--out", "m.lamina")
    assert fitted.code == 0, fitted.err
    assert "[/x]" in fitted.out
    result = command("evaluate", "m.lamina", "data.csv", "--importance")
    assert result.code == 0
    assert "[/x]" in result.out
    assert command("info", "m.lamina").code == 0
    result = command("predict", "m.lamina", "data.csv", "--keep", "--out", "out.parquet")
    assert result.code == 0, result.err
    result = pl.read_parquet("out.parquet")
    assert result.columns[:4] == [literal(column) for column in table.columns]
    assert result.columns[4] == f"predicted {name}_"
    result = command("predict", "m.lamina", "data.csv", "--trust", "--json")
    assert literal(name) in json.loads(result.out)["predictions"][0]
