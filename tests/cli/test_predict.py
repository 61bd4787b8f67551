"""``lamina predict`` and ``lamina evaluate``."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import polars as pl
import pytest

from lamina.api import load
from lamina.train.events import Shuffle
from tests.cli.helpers import lamina, leftovers, people


def test_answers_are_csv_in_a_pipe(model, table):
    said = lamina("predict", model, table)
    assert (said.code, said.err) == (0, "")
    found = pl.read_csv(io.StringIO(said.out))
    assert found.equals(load(model).predict_table(people()))
    assert found.columns == ["income", "probability <=50K", "probability >50K"]


def test_trust_says_how_far_each_answer_goes(model, table):
    said = lamina("predict", model, table, "--trust", "--coverage", "0.8", "--out", "answers.parquet")
    assert said.code == 0
    found = pl.read_parquet("answers.parquet")
    assert found.columns[3:] == ["set", "novelty_p", "is_novel", "reasons"]
    assert found.equals(load(model).predict(people(), trust=True, coverage=0.8))
    said = lamina("predict", model, table, "--trust", "--no-reasons")
    assert pl.read_csv(io.StringIO(said.out)).columns[3:] == ["set", "novelty_p", "is_novel"]
    said = lamina("predict", model, table, "--trust", "--coverage", "90")
    assert (said.code, said.out) == (1, "")
    assert "coverage is 90.0, expected a share of the rows between 0 and 1, such as 0.9" in said.err


def test_trust_fits_into_80_columns(model, monkeypatch, capsys):
    from lamina.cli.render import show_predictions
    from lamina.predictions import result_columns

    monkeypatch.setenv("COLUMNS", "80")
    estimator = load(model)
    answers = estimator.predict_table(people(30), trust=True).with_columns(pl.lit(True).alias("is_novel"))
    show_predictions(answers, result_columns(estimator.model_, trust=True))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["row", "income", "probability", "set", "novelty_p", "reasons"]
    assert max(map(len, lines)) <= 80
    assert lines[-2] == "!: unlike training, 30 of 30 rows; of rows like those of training, 5 % are."


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "arrow", "jsonl"])
def test_the_ending_of_out_says_the_format(model, table, ending):
    from lamina.data.read import read_table

    said = lamina("predict", model, table, "--out", f"answers.{ending}")
    assert (said.code, said.out) == (0, f"240 rows in answers.{ending}\n")
    assert read_table(f"answers.{ending}").equals(load(model).predict_table(people()))


def test_keep_puts_the_columns_of_the_data_before_the_answers(model, table):
    said = lamina("predict", model, table, "--keep")
    found = pl.read_csv(io.StringIO(said.out))
    assert found.columns == [*people().columns, "predicted income", "probability <=50K", "probability >50K"]
    assert found.select(people().columns).equals(people())


def test_json_holds_the_answers_and_what_is_worth_saying(model, table):
    people(3).with_columns(town=pl.Series(["Bern", "Ulm", "Rome"]), shoe=1).write_csv("new.csv")
    found = json.loads(lamina("predict", model, "new.csv", "--json").out)
    assert (found["rows"], len(found["predictions"]), set(found["predictions"][0])) == (
        3,
        3,
        {"income", "probability <=50K", "probability >50K"},
    )
    assert any("'shoe'" in note for note in found["notes"])
    assert any("'Ulm'" in note for note in found["notes"])
    said = lamina("predict", model, "new.csv", "--json", "--out", "a.csv")
    assert json.loads(said.out) | {"notes": []} == {
        "rows": 3,
        "columns": ["income", "probability <=50K", "probability >50K"],
        "notes": [],
        "out": "a.csv",
    }


def test_notes_go_to_stderr(model):
    people(3).with_columns(age=pl.Series([200, 17, 30])).write_csv("new.csv")
    said = lamina("predict", model, "new.csv")
    assert re.match(r"note: age: 1 value outside .* learnt\n$", said.err)


@pytest.mark.parametrize(
    ("out", "error"),
    [
        ("answers.xlsx", "the ending says the format"),
        ("nowhere/answers.csv", "there is no folder nowhere; make it"),
        ("people.csv", "is the file that is read"),
    ],
)
def test_out_is_looked_at_before_any_work(model, table, tmp_path, out, error):
    before = leftovers(tmp_path), table.read_bytes()
    said = lamina("predict", model, table, "--out", out)
    assert said.code == 1
    assert error in said.err
    assert (leftovers(tmp_path), table.read_bytes()) == before


def test_evaluate_says_it_in_words_and_in_figures(model, table):
    said = lamina("evaluate", model, table)
    assert said.code == 0
    found = load(model).evaluate(people())
    assert "on 240 rows; always predicting" in said.out
    assert re.search(rf"^accuracy +{found['scores']['accuracy']:.4f} +{found['baseline']['accuracy']:.4f}$", said.out, re.M)
    assert json.loads(lamina("evaluate", model, table, "--json").out) == {**found, "notes": [said.err[len("note: ") : -1]]}


def test_evaluate_says_when_these_are_the_rows_it_learnt_from(model, table):
    assert lamina("evaluate", model, table).err.startswith("note: these are the rows that it learnt from")
    people(60).write_csv("some.csv")
    assert lamina("evaluate", model, "some.csv").err == ""
    assert json.loads(lamina("evaluate", model, "some.csv", "--json").out)["notes"] == []


def test_a_full_disk_leaves_the_old_answers(model, table):
    import resource

    Path("answers.csv").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name in ("answers.csv", "answers.parquet", "answers.arrow", "answers.jsonl"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        try:
            said = lamina("predict", model, table, "--out", name)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert said.code == 1
        assert re.fullmatch(rf"lamina: cannot write {name}: .*; make room, or choose another place\n", said.err), said.err
    assert Path("answers.csv").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == ["answers.csv", "people.csv"]


def test_evaluate_shows_which_class_was_taken_for_which(model, table):
    answers = load(model).predict_table(people())["income"]
    wrong = int(((answers == ">50K") & (people()["income"] == "<=50K")).sum())
    right = int(((answers == "<=50K") & (people()["income"] == "<=50K")).sum())
    assert re.search(rf"^<=50K +{right} +{wrong}$", lamina("evaluate", model, table).out, re.M)


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_the_model_comes_first(model, table, verb):
    said = lamina(verb, table, model)
    assert (said.code, said.err) == (1, f"lamina: the model comes first: lamina {verb} {model} {table}\n")


def test_importance_shows_which_columns_matter(model, table):
    plain, said = lamina("evaluate", model, table), lamina("evaluate", model, table, "--importance")
    assert (said.code, said.err) == (0, plain.err)
    assert said.out.startswith(plain.out)
    more = said.out[len(plain.out) :]
    assert "How far the accuracy falls when a column's values are shuffled, in 240 rows." in more
    matter = load(model).importance(people())
    assert matter["column"][0] == "age"
    shown = re.findall(r"^(\w+) +(█*[▏▎▍▌▋▊▉]?) +(-?\d\.\d{4}) +(\d\.\d{4})$", more, re.M)
    assert [(name, fall, error) for name, _, fall, error in shown] == [
        (name, f"{fall:.4f}", f"{error:.4f}") for name, fall, error in matter.iter_rows()
    ]
    assert [len(bar) for _, bar, _, _ in shown] == sorted((len(bar) for _, bar, _, _ in shown), reverse=True)
    assert shown[0][1] == "█" * 20
    found = json.loads(lamina("evaluate", model, table, "--importance", "--json").out)
    assert found["importance"] == {"score": "accuracy", "columns": matter.to_dicts()}
    assert "importance" not in json.loads(lamina("evaluate", model, table, "--json").out)


def test_importance_of_many_columns_and_rows(model, monkeypatch, capsys):
    from lamina.cli.render import show_importance

    monkeypatch.setenv("COLUMNS", "80")
    falls = [0.5, *[-0.01] * 19]
    matter = pl.DataFrame({"column": [f"column {i} " * 5 for i in range(20)], "importance": falls, "error": 0.0025})
    show_importance(load(model).model_, matter.with_columns(impurity=0.05), rows=7000)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert " ".join(lines[2:4]).endswith("in 5,000 of 7,000 rows, drawn at random.")
    assert lines[5].split() == ["column", "falls", "by", "error", "impurity"]
    assert lines[6].endswith("█" * 20 + "    0.5000  0.0025     5.0 %")
    assert lines[7].endswith(" " * 20 + "   -0.0100  0.0025     5.0 %")
    assert lines[-2:] == ["and 5 more", "impurity: the column's share in what the trees gained while they learnt"]
    show_importance(load(model).model_, matter[1:], rows=7000)  # none that matters
    assert "█" not in capsys.readouterr().out


def test_a_bar_only_where_a_person_waits(monkeypatch, capsys):
    from lamina.cli import predict

    with predict._shuffling() as bar:
        bar(Shuffle("age", 0.5))
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    for patience, shown in ((2, False), (-1, True)):
        monkeypatch.setattr(predict, "PATIENCE_SECONDS", patience)
        with predict._shuffling() as bar:
            bar(Shuffle("age", 0.5))
        assert ("shuffling" in capsys.readouterr().err) == shown
