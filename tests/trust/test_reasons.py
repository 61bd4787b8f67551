"""Effects against the closed form of a linear model, and the calls of the predict function."""

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from lamina.trust.reasons import Reason, find_reasons

GENERATOR = np.random.default_rng(0)
NAMES = ["a", "b", "c", "d"]
ROWS, BACKGROUND = (pl.DataFrame(GENERATOR.normal(size=(rows, 4)), NAMES) for rows in (5, 40))
WEIGHTS = np.array([[2.0, 0.0], [-1.0, 0.5], [0.3, 3.0], [0.0, 0.0]])


def linear(table):
    return table.to_numpy() @ WEIGHTS


@pytest.mark.parametrize("output", [0, 1])
def test_a_linear_model_has_its_closed_form(output):
    result = find_reasons(linear, ROWS, BACKGROUND, output=output, draws=40)
    for i, reasons in enumerate(result):
        effects = WEIGHTS[:, output] * (ROWS.to_numpy()[i] - BACKGROUND.to_numpy().mean(0))
        order = [j for j in np.argsort(-np.abs(effects)) if WEIGHTS[j, output]]
        assert [reason.column for reason in reasons] == [NAMES[j] for j in order]
        np.testing.assert_allclose([reason.effect for reason in reasons], effects[order])


def test_the_most_probable_class_is_explained():
    result = find_reasons(lambda table: softmax(linear(table), axis=1), ROWS, BACKGROUND, draws=40)
    for row, (reason, *_) in zip(ROWS.to_numpy(), result, strict=True):
        label = (row @ WEIGHTS).argmax()
        mixed = np.tile(row, (40, 1))
        j = NAMES.index(reason.column)
        mixed[:, j] = BACKGROUND.to_numpy()[:, j]
        expected = softmax(row @ WEIGHTS)[label] - softmax(mixed @ WEIGHTS, axis=1)[:, label].mean()
        assert reason.effect == pytest.approx(expected)


def test_a_row_has_the_same_reasons_alone_and_in_any_batch(monkeypatch):
    together = find_reasons(linear, ROWS, BACKGROUND, output=0)
    for i in range(5):
        assert find_reasons(linear, ROWS[i : i + 1], BACKGROUND, output=0) == [together[i]]
    calls = []
    monkeypatch.setattr("lamina.trust.reasons.BATCH", 7)
    assert find_reasons(lambda table: calls.append(len(table)) or linear(table), ROWS, BACKGROUND, output=0) == together
    assert (max(calls), sum(calls)) == (7, 5 + 5 * 4 * 16)


def test_few_rows_need_two_calls():
    calls = []
    find_reasons(lambda table: calls.append(len(table)) or linear(table), ROWS, BACKGROUND[:3])
    assert calls == [5, 5 * 4 * 3]


def test_fewer_draws_are_near_with_a_sorted_background():
    background = pl.DataFrame(np.sort(BACKGROUND.to_numpy(), axis=0), NAMES)
    near, exact = (find_reasons(linear, ROWS, background, output=0, draws=draws) for draws in (16, 40))
    for approximate, reasons in zip(near, exact, strict=True):
        effects = {reason.column: reason.effect for reason in reasons}
        assert all(abs(reason.effect - effects[reason.column]) < 0.75 for reason in approximate)


def test_a_constant_model_has_no_reasons():
    def predict(table):
        return np.tile([0.3, 0.7], (len(table), 1)) + 1e-9 * table.to_numpy()[:, :1]

    assert find_reasons(predict, ROWS, BACKGROUND) == [()] * 5


def test_numbers_words_and_missing_values_are_replaced():
    table = pl.DataFrame({"age": [50.0, 20.0], "city": ["Rome", "Oslo"]})
    background = pl.DataFrame({"age": [20.0, 20.0], "city": ["Oslo", None]})

    def predict(rows):
        return (rows["age"] / 10 + (rows["city"] == "Rome").fill_null(False)).to_numpy()[:, None]

    result = find_reasons(predict, table, background, output=0)
    assert result == [(Reason("age", 3.0), Reason("city", 1.0)), ()]


def test_a_number_of_a_text_file_is_short_in_a_reason():
    from lamina.predictions import _value

    values = "0.1257302210933933", "-1.5", "00123", "1.234,50 €", 0.12573022, None
    assert [_value(value) for value in values] == ["0.1257", "-1.5", "00123", "1.234,50 €", "0.1257", "missing"]
