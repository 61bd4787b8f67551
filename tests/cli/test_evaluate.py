"""``lamina evaluate``: figures of classes, thresholds and the worst predictions, as a person types and reads them."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest

from lamina.api import load
from tests.cli.helpers import lamina


@pytest.fixture(scope="module")
def fraud(tmp_path_factory):
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("fraud")
    x = random.normal(size=(1200, 2))
    y = np.where(random.random(1200) < 1 / (1 + np.exp(3 - 2 * x[:, 0])), "fraud", "legal")
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": y})
    table[:800].write_csv(folder / "train.csv")
    table[800:].write_csv(folder / "test.csv")
    model = folder / "kind.lamina"
    result = lamina("fit", folder / "train.csv", "--target", "kind", "--family", "linear", "--out", model)
    assert result.code == 0, result.err
    return model, folder / "test.csv", result.out


def test_accuracy_is_beside_balanced_accuracy_and_the_baseline(fraud):
    model, test, fitted = fraud
    headline = r"Accuracy [\d.]+ %, balanced accuracy [\d.]+ % on [\d,]+ (validation )?rows; always predicting legal has"
    for text in (fitted, lamina("evaluate", model, test).out, lamina("info", model).out):
        assert re.search(headline, " ".join(text.split()))
        assert re.search(r"^F1 of 'fraud' ", text, re.M)
        assert re.search(r"^class +precision +recall +F1 +support$", text, re.M)
        assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"^ +this model +baseline +on training rows$", fitted, re.M)


@pytest.mark.parametrize("rule", ["f1", "recall=0.9", "precision=0.7", "cost=1:5", "0.25"])
def test_a_threshold_says_where_it_was_chosen(fraud, rule):
    model, test, _ = fraud
    output = json.loads(lamina("evaluate", model, test, "--threshold", rule, "--json").out)
    chosen = output["threshold"]
    assert chosen["class"] == "fraud"
    assert ("rows" in chosen) == (rule != "0.25")
    text = " ".join(lamina("evaluate", model, test, "--threshold", rule).out.split())
    where = "" if rule == "0.25" else ", chosen for "
    assert f"Predicts fraud from a probability of {chosen['value']:.3g}{where or '.'}" in text
    assert ("on the validation rows of the fit (" in text) == bool(where)
    result = lamina("predict", model, test, "--threshold", rule)
    assert f"note: Predicts fraud from a probability of {chosen['value']:.3g}" in result.err
    said = [line.split(",")[0] for line in result.out.splitlines()[1:]]
    matrix = np.array(output["confusion"])
    assert said.count("fraud") == matrix[:, 0].sum()
    assert output["labels"] == ["fraud", "legal"]
    assert matrix.sum(axis=1).tolist() == [row["support"] for row in output["report"]]


def test_the_worst_predictions_have_their_rows(fraud):
    model, test, _ = fraud
    output = json.loads(lamina("evaluate", model, test, "--errors", "3", "--json").out)
    assert len(output["errors"]) == 3
    rows = pl.read_csv(test)
    assert [error["actual"] for error in output["errors"]] == [rows["kind"][error["row"] - 1] for error in output["errors"]]
    text = lamina("evaluate", model, test, "--errors", "3").out
    assert re.search(r"^Worst predictions\nrow +actual +predicted +probability$", text, re.M)
    worst = output["errors"][0]
    assert re.search(rf"^ *{worst['row']}  {worst['actual']} +{worst['predicted']} +{worst['probability']:.4f}$", text, re.M)
    assert repr(load(model).evaluate(rows)).startswith("Evaluation on 400 rows\n")


def test_what_cannot_be_evaluated_so_is_one_line(fraud):
    model, test, _ = fraud
    for words, error in (
        (("--threshold", "recal=1"), "threshold is 'recal=1', expected f1, recall=0.9, precision=0.9, cost=1:5"),
        (("--errors", "-1"), "errors is -1, expected a whole number between 0 and"),
    ):
        result = lamina("evaluate", model, test, *words)
        assert (result.code, result.out) == (1, "")
        assert error in result.err
        assert result.err.count("\n") == 1
