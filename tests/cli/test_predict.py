"""``lamina predict`` and ``lamina evaluate``."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lamina.api import fit, load
from lamina.train.events import Shuffle
from tests.cli.helpers import lamina, leftovers, people


def test_predictions_are_csv_in_a_pipe(model, table):
    result = lamina("predict", model, table)
    assert (result.code, result.err) == (0, "")
    output = pl.read_csv(io.StringIO(result.out))
    assert output.equals(load(model).predict_table(people()))
    assert output.columns == ["income", "probability <=50K", "probability >50K"]


def test_trust_adds_columns(model, table):
    result = lamina("predict", model, table, "--trust", "--coverage", "0.8", "--out", "predictions.parquet")
    assert result.code == 0
    output = pl.read_parquet("predictions.parquet")
    assert output.columns[3:] == ["set", "novelty_p", "is_novel", "reasons"]
    assert output.equals(load(model).predict(people(), trust=True, coverage=0.8))
    result = lamina("predict", model, table, "--trust", "--no-reasons")
    assert pl.read_csv(io.StringIO(result.out)).columns[3:] == ["set", "novelty_p", "is_novel"]
    result = lamina("predict", model, table, "--trust", "--coverage", "90")
    assert (result.code, result.out) == (1, "")
    assert "coverage is 90.0, expected a share of the rows between 0 and 1, such as 0.9" in result.err


def test_trust_fits_into_80_columns(model, monkeypatch, capsys):
    from lamina.cli.render import show_predictions
    from lamina.predictions import result_columns

    monkeypatch.setenv("COLUMNS", "80")
    estimator = load(model)
    predictions = estimator.predict_table(people(30), trust=True).with_columns(pl.lit(True).alias("is_novel"))
    show_predictions(predictions, result_columns(estimator.model_, trust=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["row", "income", "probability", "set", "novelty_p", "reasons"]
    assert max(map(len, lines)) <= 80
    assert lines[-2] == "!: novel, 30 of 30 rows (5 % of rows like the training rows are marked)."


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "arrow", "jsonl"])
def test_the_extension_of_out_defines_the_format(model, table, ending):
    from lamina.data.cells import read_texts
    from lamina.data.read import read_table

    result = lamina("predict", model, table, "--out", f"predictions.{ending}")
    assert (result.code, result.out) == (0, f"240 rows in predictions.{ending}\n")
    found = read_table(f"predictions.{ending}")
    assert read_texts(found)[1].equals(load(model).predict_table(people()))


def test_keep_puts_the_columns_of_the_data_before_the_predictions(model, table):
    result = lamina("predict", model, table, "--keep")
    output = pl.read_csv(io.StringIO(result.out))
    assert output.columns == [*people().columns, "predicted income", "probability <=50K", "probability >50K"]
    assert output.select(people().columns).equals(people())


def test_a_row_of_json_as_an_argument(model):
    rows = people(2).to_dicts()
    result = lamina("predict", model, *(json.dumps(row, default=str) for row in rows))
    assert pl.read_csv(io.StringIO(result.out))["income"].to_list() == list(load(model).predict(people(2)))
    assert "no file {'age'; the folder . has" in lamina("predict", model, "{'age'").err


def test_lists_of_labels_are_json_in_csv_and_kept_numbers_are_numbers_elsewhere():
    x = np.linspace(-1, 1, 100)
    genres = [[name for name, has in (("drama", value > 0), ("wár", value < 0.5)) if has] for value in x]
    table = pl.DataFrame({"x": x, "price": [f"1.{i + 100},5 €" for i in range(100)], "code": "007", "genres": genres})
    fit(table, "genres", family="linear", trust=False, monitor=None).save("m.lamina")
    table.drop("genres").write_csv("new.csv")
    table.write_parquet("new.parquet")
    result = lamina("predict", "m.lamina", "new.csv")
    assert json.loads(pl.read_csv(io.StringIO(result.out))["genres"][60]) == ["drama", "wár"], result.err
    assert lamina("predict", "m.lamina", "new.parquet", "--keep", "--out", "kept.tsv").code == 0
    assert "--keep" not in lamina("predict", "m.lamina", "new.csv", "--keep", "--out", "kept.parquet").err
    kept = pl.read_parquet("kept.parquet")
    assert kept.dtypes[:4] == [pl.Float64, pl.Float64, pl.String, pl.List(pl.String)]
    assert json.loads(lamina("predict", "m.lamina", "new.csv", "--keep", "--json").out)["predictions"][0]["price"] == 1100.5
    table.with_columns(raw=pl.lit(b"\x89")).write_parquet("raw.parquet")
    assert "column 'raw' holds bytes, which only .parquet" in lamina("predict", "m.lamina", "raw.parquet", "--keep").err


def test_json_has_predictions_and_notes(model, table):
    people(3).with_columns(town=pl.Series(["Bern", "Ulm", "Rome"]), shoe=1).write_csv("new.csv")
    output = json.loads(lamina("predict", model, "new.csv", "--json").out)
    assert (output["rows"], len(output["predictions"]), set(output["predictions"][0])) == (
        3,
        3,
        {"income", "probability <=50K", "probability >50K"},
    )
    assert any("'shoe'" in note for note in output["notes"])
    assert any("'Ulm'" in note for note in output["notes"])
    result = lamina("predict", model, "new.csv", "--json", "--out", "a.csv")
    assert json.loads(result.out) | {"notes": []} == {
        "rows": 3,
        "columns": ["income", "probability <=50K", "probability >50K"],
        "notes": [],
        "out": "a.csv",
    }


def test_notes_go_to_stderr(model):
    people(3).with_columns(age=pl.Series([200, 17, 30])).write_csv("new.csv")
    result = lamina("predict", model, "new.csv")
    assert re.match(r"note: age: 1 value outside the training range .*\n$", result.err)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        ("predictions.xlsx", "the extension defines the format"),
        ("nowhere/predictions.csv", "there is no folder nowhere; make it"),
        ("people.csv", "is an input file"),
    ],
)
def test_out_is_checked_before_any_work(model, table, tmp_path, out, error):
    before = leftovers(tmp_path), table.read_bytes()
    result = lamina("predict", model, table, "--out", out)
    assert result.code == 1
    assert error in result.err
    assert (leftovers(tmp_path), table.read_bytes()) == before


def test_evaluate_prints_a_sentence_and_a_table(model, table):
    result = lamina("evaluate", model, table)
    assert result.code == 0
    output = load(model).evaluate(people())
    assert "on 240 rows; always predicting" in result.out
    assert re.search(rf"^accuracy +{output['scores']['accuracy']:.4f} +{output['baseline']['accuracy']:.4f}$", result.out, re.M)
    assert json.loads(lamina("evaluate", model, table, "--json").out) == {**output, "notes": [result.err[len("note: ") : -1]]}


def test_evaluate_notes_training_rows(model, table):
    assert lamina("evaluate", model, table).err.startswith("note: these are the training rows")
    people(60).write_csv("some.csv")
    assert lamina("evaluate", model, "some.csv").err == ""
    assert json.loads(lamina("evaluate", model, "some.csv", "--json").out)["notes"] == []


def test_a_full_disk_leaves_the_old_file(model, table):
    import resource

    Path("predictions.csv").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("predictions.csv", "predictions.parquet", "predictions.arrow", "predictions.jsonl"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            result = lamina("predict", model, table, "--out", name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert result.code == 1
        assert re.fullmatch(rf"lamina: cannot write {name}: .*; free some space, or choose another path\n", result.err), (
            result.err
        )
    assert Path("predictions.csv").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == ["people.csv", "predictions.csv"]


def test_evaluate_shows_the_confusion_matrix(model, table):
    predictions = load(model).predict_table(people())["income"]
    wrong = int(((predictions == ">50K") & (people()["income"] == "<=50K")).sum())
    right = int(((predictions == "<=50K") & (people()["income"] == "<=50K")).sum())
    assert re.search(rf"^<=50K +{right} +{wrong}$", lamina("evaluate", model, table).out, re.M)


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_the_model_comes_first(model, table, verb):
    result = lamina(verb, table, model)
    assert (result.code, result.err) == (1, f"lamina: the model comes first: lamina {verb} {model} {table}\n")


def test_importance_shows_the_most_important_features(model, table):
    plain, result = lamina("evaluate", model, table), lamina("evaluate", model, table, "--importance")
    assert (result.code, result.err) == (0, plain.err)
    assert result.out.startswith(plain.out)
    more = result.out[len(plain.out) :]
    assert "Decrease of the accuracy when a column is shuffled, on 240 rows." in more
    importances = load(model).importance(people())
    assert importances["column"][0] == "age"
    shown = re.findall(r"^(\w+) +(█*[▏▎▍▌▋▊▉]?) +(-?\d\.\d{4}) +(\d\.\d{4})$", more, re.M)
    assert [(name, decrease, error) for name, _, decrease, error in shown] == [
        (name, f"{decrease:.4f}", f"{error:.4f}") for name, decrease, error in importances.iter_rows()
    ]
    assert [len(bar) for _, bar, _, _ in shown] == sorted((len(bar) for _, bar, _, _ in shown), reverse=True)
    assert shown[0][1] == "█" * 20
    output = json.loads(lamina("evaluate", model, table, "--importance", "--json").out)
    assert output["importance"] == {"score": "accuracy", "columns": importances.to_dicts()}
    assert "importance" not in json.loads(lamina("evaluate", model, table, "--json").out)


def test_importance_of_many_columns_and_rows(model, monkeypatch, capsys):
    from lamina.cli.scores import show_importance

    monkeypatch.setenv("COLUMNS", "80")
    decreases = [0.5, *[-0.01] * 19]
    importances = pl.DataFrame({"column": [f"column {i} " * 5 for i in range(20)], "importance": decreases, "error": 0.0025})
    show_importance(load(model).model_, importances.with_columns(impurity=0.05), rows=7000)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[2:4]).endswith("on 5,000 of 7,000 rows, drawn at random.")
    assert lines[5].split() == ["column", "decrease", "std.", "error", "impurity"]
    assert lines[6].endswith("█" * 20 + "    0.5000      0.0025     5.0 %")
    assert lines[7].endswith(" " * 20 + "   -0.0100      0.0025     5.0 %")
    assert lines[-2:] == ["and 5 more", "impurity: the column's share of the impurity decrease in the trees"]
    show_importance(load(model).model_, importances[1:], rows=7000)  # none that matters
    assert "█" not in capsys.readouterr().out


def test_a_bar_only_where_a_person_waits(monkeypatch, capsys):
    from lamina.cli import evaluate

    with evaluate._shuffling() as bar:
        bar(Shuffle("age", 0.5))
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    for patience, shown in ((2, False), (-1, True)):
        monkeypatch.setattr(evaluate, "BAR_DELAY_SECONDS", patience)
        with evaluate._shuffling() as bar:
            bar(Shuffle("age", 0.5))
        assert ("shuffling" in capsys.readouterr().err) == shown


def test_trust_with_the_columns_of_the_data_is_readable_on_80_columns(model, monkeypatch, capsys):
    from lamina.cli.render import show_predictions
    from lamina.predictions import predictions, result_columns

    monkeypatch.setenv("COLUMNS", "80")
    estimator = load(model).model_
    rows = people(30)
    columns = result_columns(estimator, trust=True)
    show_predictions(predictions(estimator, rows, trust=True), columns, rows)
    lines = capsys.readouterr().out.splitlines()
    heads = " ".join(lines[:2]).split()  # no word of them is broken
    assert {"row", "predicted", "income", "probability", "set", "novelty_p", "reasons"} <= set(heads)
    assert max(map(len, lines)) <= 80
    show_predictions(predictions(estimator, rows), result_columns(estimator), rows)  # without trust there is room
    assert {"row", "person", "age", "town", "member"} <= set(capsys.readouterr().out.split()[:12])
