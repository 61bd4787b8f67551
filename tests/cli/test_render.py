"""Text output of the commands."""

from __future__ import annotations

import math
import re

import numpy as np
import polars as pl
import pytest

from lamina.cli.render import show_columns, show_predictions, sparkline
from lamina.cli.scores import show_scores
from lamina.data.schema import Schema
from lamina.tasks import Task
from lamina.wording import file_size, number, percent


def test_a_wide_table_is_listed_in_part_and_counted(capsys):
    draw = np.random.default_rng(0)
    table = pl.DataFrame({f"x{i}": draw.normal(size=30) for i in range(40)}).with_columns(
        *(pl.lit(1).alias(f"one{i}") for i in range(30)),
        *(pl.Series(f"word{i}", draw.choice(["a", "b", "c"], 30)) for i in range(5)),
        y=pl.Series(["a", "b"] * 15),
    )
    show_columns(Schema.infer(table, target="y"), Task.infer(table, "y"))
    result = capsys.readouterr().out
    assert result.count("\nx") == 20
    assert "and 25 more columns: 20 number, 5 category\n" in result
    assert result.count("\none") == 20
    assert "and 10 more columns: 10 constant\n" in result


def test_names_are_shown_as_they_are_and_fit(capsys):
    names = ["[red]x[/red]", ":smile:", "a" * 200, "a\nb", "\x1b[31mred"]
    table = pl.DataFrame({name: np.random.default_rng(0).normal(size=30) for name in names}).with_columns(
        y=pl.Series([1, 2] * 15)
    )
    show_columns(Schema.infer(table, target="y"), Task.infer(table, "y"))
    result = capsys.readouterr().out
    for shown in ("[red]x[/red]", ":smile:", "a" * 27 + "…", "a\\nb", "\\x1b[31mred"):
        assert f"\n{shown} " in result
    assert max(map(len, result.splitlines())) <= 80


def task() -> Task:
    return Task.infer(pl.DataFrame({"y": ["no"] * 6 + ["yes"] * 4}), "y")


def test_scores_of_a_classifier(capsys):
    scores = {
        "rows": 1000,
        "scores": {"accuracy": 0.871, "log_loss": 0.3, "auc": 0.9},
        "baseline": {"accuracy": 0.6, "log_loss": 0.7, "auc": 0.5},
        "confusion": [[560, 40], [89, 311]],
    }
    show_scores(task(), scores, "rows")
    result = capsys.readouterr().out
    assert "Accuracy 87.1 % on 1,000 rows; always predicting no has 60.0 %.\n" in result
    assert re.search(r"^AUC +0.9000 +0.5000$", result, re.M)
    assert re.search(r"^no +560 +40\nyes +89 +311$", result, re.M)


def test_a_model_no_better_than_the_baseline(capsys):
    scores = {"rows": 100, "scores": {"accuracy": 0.6, "log_loss": 0.7}, "baseline": {"accuracy": 0.6, "log_loss": 0.69}}
    show_scores(task(), scores, "rows")
    assert "\nIt learnt nothing: it is no better than the baseline, do not rely on it.\n" in capsys.readouterr().out
    scores["scores"]["log_loss"] = 0.5
    show_scores(task(), scores, "rows")
    assert "\nIts accuracy is no better than that, but its probabilities are.\n\n" in capsys.readouterr().out


def test_scores_of_a_regressor(capsys):
    regression = Task.infer(pl.DataFrame({"y": [0.5, 1.5, 2.25]}), "y")
    scores = {"rows": 3, "scores": {"mae": 0.25, "rmse": 0.5}, "baseline": {"mae": 1250.5, "rmse": 2.0}}
    show_scores(regression, scores, "rows")
    assert "Mean absolute error 0.25 on 3 rows; always predicting the mean has 1,250." in capsys.readouterr().out


def test_predictions_show_the_first_and_count_the_rest(capsys):
    columns = {"y": "prediction", "probability a": "probability"}
    show_predictions(pl.DataFrame({"y": ["a"] * 50, "probability a": [0.98765] * 50}), columns)
    result = capsys.readouterr().out
    assert result.count("0.9877") == 20
    assert "and 30 more rows; save all with --out predictions.csv" in result


def test_predictions_of_many_classes_show_the_highest_probability(capsys):
    probabilities = {f"probability {label}": [0.7 if label == "c" else 0.1] for label in "abcd"}
    columns = {"y": "prediction"} | dict.fromkeys(probabilities, "probability")
    show_predictions(pl.DataFrame({"y": ["c"], **probabilities}), columns, pl.DataFrame({"name": ["x\n"], "y": ["a"]}))
    result = capsys.readouterr().out.splitlines()
    assert result[0].split("  ") == ["row", "name", "y", "predicted y", "probability"]
    assert result[1].split() == ["1", "x\\n", "a", "c", "0.7000"]


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.0 %"), (0.0012, "0.12 %"), (0.5, "50.0 %"), (1.0, "100.0 %")])
def test_percent(value, text):
    assert percent(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.123456, "0.1235"), (-1234.5, "-1,234"), (1e300, "1e+300"), (math.nan, "nan")])
def test_number(value, text):
    assert number(value) == text


def test_sparkline_squeezes_and_leaves_gaps():
    assert sparkline([2, math.nan, 1]) == "█ ▁"
    assert sparkline([1]) == ""
    assert len(sparkline(range(1000))) == 24
    assert sparkline(range(1000))[-1] == "█"


def test_file_size():
    assert [file_size(n) for n in (12, 1234, 5_600_000, 7e9)] == ["12 bytes", "1.23 kB", "5.6 MB", "7 GB"]
