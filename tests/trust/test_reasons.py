"""Effects against the closed form of a linear model, and how a table is asked."""

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from lamina.errors import DataError, OptionError
from lamina.trust.reasons import Reason, find_reasons

GENERATOR = np.random.default_rng(0)
ROWS, OTHERS = GENERATOR.normal(size=(5, 4)), GENERATOR.normal(size=(40, 4))
WEIGHTS = np.array([[2.0, 0.0], [-1.0, 0.5], [0.3, 3.0], [0.0, 0.0]])
NAMES = ["a", "b", "c", "d"]


def ask(decide, rows=ROWS, others=OTHERS):
    """What ``reasons`` calls, for a model that is a function of an array; counts the rows it is asked about."""

    def say(row, column, donor):
        say.asked.append(len(row))
        mixed = rows[row].copy()
        swapped = np.flatnonzero(column >= 0)
        mixed[swapped, column[swapped]] = others[donor[swapped], column[swapped]]
        return decide(mixed)

    say.asked = []
    return say


@pytest.mark.parametrize("output", [0, 1])
def test_a_linear_model_has_its_closed_form(output):
    found = find_reasons(ask(lambda x: x @ WEIGHTS), NAMES, rows=5, background=40, output=output, top=4, draws=40)
    for i, some in enumerate(found):
        effects = WEIGHTS[:, output] * (ROWS[i] - OTHERS.mean(0))
        order = [j for j in np.argsort(-np.abs(effects)) if WEIGHTS[j, output]]
        assert [reason.column for reason in some] == [NAMES[j] for j in order]
        np.testing.assert_allclose([reason.effect for reason in some], effects[order])


def test_the_most_probable_class_is_explained():
    found = find_reasons(ask(lambda x: softmax(x @ WEIGHTS, axis=1)), NAMES, rows=5, background=40, top=1, draws=40)
    for row, (reason,) in zip(ROWS, found, strict=True):
        label = (row @ WEIGHTS).argmax()
        mixed = np.tile(row, (40, 1))
        j = NAMES.index(reason.column)
        mixed[:, j] = OTHERS[:, j]
        expected = softmax(row @ WEIGHTS)[label] - softmax(mixed @ WEIGHTS, axis=1)[:, label].mean()
        assert reason.effect == pytest.approx(expected)


def test_a_row_has_the_same_reasons_alone_and_in_any_batch(monkeypatch):
    together = find_reasons(ask(lambda x: x @ WEIGHTS), NAMES, rows=5, background=40, output=0)
    for i in range(5):
        assert find_reasons(ask(lambda x: x @ WEIGHTS, ROWS[i : i + 1]), NAMES, rows=1, background=40, output=0) == [
            together[i]
        ]
    monkeypatch.setattr("lamina.trust.reasons.BATCH", 7)
    say = ask(lambda x: x @ WEIGHTS)
    assert find_reasons(say, NAMES, rows=5, background=40, output=0) == together
    assert (max(say.asked), sum(say.asked)) == (7, 5 + 5 * 4 * 16)


def test_it_asks_twice_for_a_few_rows():
    say = ask(lambda x: x @ WEIGHTS)
    find_reasons(say, NAMES, rows=5, background=3)
    assert say.asked == [5, 5 * 4 * 3]


def test_fewer_draws_are_near_though_the_background_is_sorted():
    say = ask(lambda x: x @ WEIGHTS, others=np.sort(OTHERS, axis=0))
    near, exact = (find_reasons(say, NAMES, rows=5, background=40, output=0, draws=draws) for draws in (16, 40))
    for few, all_ in zip(near, exact, strict=True):
        both = {reason.column: reason.effect for reason in all_}
        assert all(abs(reason.effect - both[reason.column]) < 0.75 for reason in few)


def test_nothing_matters_to_a_constant_and_no_rows_have_no_reasons():
    say = ask(lambda x: np.tile([0.3, 0.7], (len(x), 1)) + 1e-9 * x[:, :1])
    assert find_reasons(say, NAMES, rows=5, background=40) == [()] * 5
    assert find_reasons(say, NAMES, rows=0, background=40) == []


def test_a_table_is_asked_as_the_documentation_says():
    table = pl.DataFrame({"age": [50.0, 20.0], "city": ["Rome", "Oslo"]})
    background = pl.DataFrame({"age": [20.0, 20.0], "city": ["Oslo", None]})
    columns = table.columns

    def say(row, column, donor):
        mixed, other = table[row], background[donor]
        for j, name in enumerate(columns):
            swapped = pl.when(pl.lit(pl.Series(column == j))).then(other[name]).otherwise(pl.col(name))
            mixed = mixed.with_columns(swapped.alias(name))
        return (mixed["age"] / 10 + (mixed["city"] == "Rome").fill_null(False)).to_numpy()[:, None]

    found = find_reasons(say, columns, rows=2, background=2, output=0)
    assert found == [(Reason("age", 3.0), Reason("city", 1.0)), ()]


@pytest.mark.parametrize("option", ["top", "draws"])
def test_options(option):
    with pytest.raises(OptionError, match=f"{option} is 0, expected a whole number of at least 1"):
        find_reasons(ask(lambda x: x), NAMES, rows=5, background=40, **{option: 0})


def test_wrong_input():
    with pytest.raises(DataError, match="no background rows, expected at least 1"):
        find_reasons(ask(lambda x: x), NAMES, rows=5, background=0)
    with pytest.raises(DataError, match=r"what is said has the shape \(5,\), expected \(5, classes or targets\)"):
        find_reasons(ask(lambda x: x[:, 0]), NAMES, rows=5, background=3)
    with pytest.raises(OptionError, match="output is 4, expected 0 to 3"):
        find_reasons(ask(lambda x: x), NAMES, rows=5, background=3, output=4)
