"""Effects against the closed form of a linear model, and the calls of the predict function."""

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from lamina.trust.reasons import Reason, find_reasons

GENERATOR = np.random.default_rng(0)
ROWS, BACKGROUND = GENERATOR.normal(size=(5, 4)), GENERATOR.normal(size=(40, 4))
WEIGHTS = np.array([[2.0, 0.0], [-1.0, 0.5], [0.3, 3.0], [0.0, 0.0]])
NAMES = ["a", "b", "c", "d"]


def predictor(model, rows=ROWS, background=BACKGROUND):
    """The predict function for a model that is a function of an array; records the number of rows of each call."""

    def predict(row, column, donor):
        predict.calls.append(len(row))
        changed = rows[row].copy()
        i = np.flatnonzero(column >= 0)
        changed[i, column[i]] = background[donor[i], column[i]]
        return model(changed)

    predict.calls = []
    return predict


@pytest.mark.parametrize("output", [0, 1])
def test_a_linear_model_has_its_closed_form(output):
    result = find_reasons(predictor(lambda x: x @ WEIGHTS), NAMES, rows=5, background=40, output=output, draws=40)
    for i, reasons in enumerate(result):
        effects = WEIGHTS[:, output] * (ROWS[i] - BACKGROUND.mean(0))
        order = [j for j in np.argsort(-np.abs(effects)) if WEIGHTS[j, output]]
        assert [reason.column for reason in reasons] == [NAMES[j] for j in order]
        np.testing.assert_allclose([reason.effect for reason in reasons], effects[order])


def test_the_most_probable_class_is_explained():
    result = find_reasons(predictor(lambda x: softmax(x @ WEIGHTS, axis=1)), NAMES, rows=5, background=40, draws=40)
    for row, (reason, *_) in zip(ROWS, result, strict=True):
        label = (row @ WEIGHTS).argmax()
        mixed = np.tile(row, (40, 1))
        j = NAMES.index(reason.column)
        mixed[:, j] = BACKGROUND[:, j]
        expected = softmax(row @ WEIGHTS)[label] - softmax(mixed @ WEIGHTS, axis=1)[:, label].mean()
        assert reason.effect == pytest.approx(expected)


def test_a_row_has_the_same_reasons_alone_and_in_any_batch(monkeypatch):
    together = find_reasons(predictor(lambda x: x @ WEIGHTS), NAMES, rows=5, background=40, output=0)
    for i in range(5):
        assert find_reasons(predictor(lambda x: x @ WEIGHTS, ROWS[i : i + 1]), NAMES, rows=1, background=40, output=0) == [
            together[i]
        ]
    monkeypatch.setattr("lamina.trust.reasons.BATCH", 7)
    predict = predictor(lambda x: x @ WEIGHTS)
    assert find_reasons(predict, NAMES, rows=5, background=40, output=0) == together
    assert (max(predict.calls), sum(predict.calls)) == (7, 5 + 5 * 4 * 16)


def test_few_rows_need_two_calls():
    predict = predictor(lambda x: x @ WEIGHTS)
    find_reasons(predict, NAMES, rows=5, background=3)
    assert predict.calls == [5, 5 * 4 * 3]


def test_fewer_draws_are_near_with_a_sorted_background():
    predict = predictor(lambda x: x @ WEIGHTS, background=np.sort(BACKGROUND, axis=0))
    near, exact = (find_reasons(predict, NAMES, rows=5, background=40, output=0, draws=draws) for draws in (16, 40))
    for approximate, reasons in zip(near, exact, strict=True):
        effects = {reason.column: reason.effect for reason in reasons}
        assert all(abs(reason.effect - effects[reason.column]) < 0.75 for reason in approximate)


def test_a_constant_model_has_no_reasons():
    predict = predictor(lambda x: np.tile([0.3, 0.7], (len(x), 1)) + 1e-9 * x[:, :1])
    assert find_reasons(predict, NAMES, rows=5, background=40) == [()] * 5


def test_the_predict_function_of_the_docstring():
    table = pl.DataFrame({"age": [50.0, 20.0], "city": ["Rome", "Oslo"]})
    background = pl.DataFrame({"age": [20.0, 20.0], "city": ["Oslo", None]})
    columns = table.columns

    def predict(row, column, donor):
        changed, donors = table[row], background[donor]
        for j, name in enumerate(columns):
            replaced = pl.when(pl.lit(pl.Series(column == j))).then(donors[name]).otherwise(changed[name])
            changed = changed.with_columns(replaced.alias(name))
        return (changed["age"] / 10 + (changed["city"] == "Rome").fill_null(False)).to_numpy()[:, None]

    result = find_reasons(predict, columns, rows=2, background=2, output=0)
    assert result == [(Reason("age", 3.0), Reason("city", 1.0)), ()]
