"""Rows to predict, checked against the schema of the training rows."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lamina.data.schema import ROLES, Column, Schema
from lamina.errors import SchemaError

TRAINED = Schema.infer(
    {
        "age": [17, 40, 90, 33],
        "smoker": ["no", "yes", "no", "no"],
        "member": [True, False, None, True],
        "bit": [0.0, 1.0, 1.0, None],
        "city": ["Bern", "Oslo", "Rome", "Bern"],
        "day": ["2020-01-01", "2020-01-31", "2020-01-05", None],
        "same": [1, 1, 1, 1],
        "income": [1.5, 2.5, 3.5, 4.5],
    },
    target="income",
)
OUTSIDE = "day: 1 value outside the training range 2020-01-01..2020-01-31"
ROW = {"age": 40, "smoker": "no", "member": True, "bit": 1.0, "city": "Oslo", "day": "2020-01-05"}


@pytest.mark.parametrize(
    ("change", "name", "value", "notes"),
    [
        ({}, "age", 40.0, []),
        ({"age": "40"}, "age", 40.0, []),
        ({"age": " 1040 "}, "age", 1040.0, ["age: 1 value outside the training range 17..90"]),
        ({"age": None}, "age", None, []),
        ({"age": float("inf")}, "age", None, []),
        ({"age": "?"}, "age", None, []),
        ({"age": True}, "age", 1.0, ["age: 1 value outside the training range 17..90"]),
        ({"age": " 44 "}, "age", 44.0, []),
        ({"day": "5 May 2021"}, "day", dt.datetime(2021, 5, 5), [OUTSIDE]),
        (
            {"day": "2021-05-05"},
            "day",
            dt.datetime(2021, 5, 5),
            [OUTSIDE],
        ),
        ({"day": dt.date(2020, 1, 2)}, "day", dt.datetime(2020, 1, 2), []),
        ({"day": None}, "day", None, []),
        ({"smoker": "yes"}, "smoker", True, []),
        ({"smoker": True}, "smoker", True, []),
        (
            {"smoker": "maybe"},
            "smoker",
            None,
            ["smoker: 1 value not in the training rows, such as 'maybe', treated as missing (training: 'no' and 'yes')"],
        ),
        ({"smoker": 1}, "smoker", True, []),
        ({"smoker": "FALSE"}, "smoker", False, []),
        (
            {"smoker": 2},
            "smoker",
            None,
            ["smoker: 1 value not in the training rows, such as 2, treated as missing (training: 'no' and 'yes')"],
        ),
        ({"smoker": None}, "smoker", None, []),
        ({"member": 0}, "member", False, []),
        ({"member": "true"}, "member", True, []),
        ({"bit": 0}, "bit", False, []),
        ({"bit": "1"}, "bit", True, []),
        (
            {"bit": 0.5},
            "bit",
            None,
            ["bit: 1 value not in the training rows, such as 0.5, treated as missing (training: '0' and '1')"],
        ),
        ({"bit": float("nan")}, "bit", None, []),
        ({"city": "Paris"}, "city", "Paris", []),
        ({"city": 3.0}, "city", "3", []),
        ({"city": 2.5}, "city", "2.5", []),
        ({"extra": 1}, "age", 40.0, ["column 'extra' was not in the training data and is ignored"]),
        ({"same": 2, "income": None}, "age", 40.0, []),
    ],
)
def test_check_remarks_on_converted_values(change, name, value, notes):
    checked, remarks = TRAINED.check([ROW | change])
    assert checked.columns == list(ROW)
    assert checked[name].to_list() == [value]
    assert remarks == notes
    quiet, remarks = TRAINED.check(pd.DataFrame([ROW | change]), notes=False)
    assert remarks == []
    assert quiet[name].to_list() == [value]


def test_check_takes_nan_of_polars_as_missing():
    rows = pl.DataFrame([ROW, ROW]).with_columns(age=pl.Series([float("nan"), 50]), bit=pl.Series([float("nan"), 0]))
    checked, notes = TRAINED.check(rows)
    assert checked["age"].to_list() == [None, 50.0]
    assert checked["bit"].to_list() == [None, False]
    assert notes == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"age": "abc"}, "column 'age' holds 'abc' in row 2, expected a number as in training; correct it, leave it empty"),
        ({"day": "soon"}, "column 'day' holds 'soon' in row 2, expected a date as in training"),
        ({"age": [1]}, "column 'age' holds Object"),
        ({"city": {"a": 1}}, "column 'city' holds Object, expected a category as in training"),
        ({"smoker": [1]}, "column 'smoker' holds Object, expected a flag as in training"),
    ],
)
def test_check_refuses(change, message):
    with pytest.raises(SchemaError, match=message):
        TRAINED.check([ROW, ROW | change])


def test_check_refuses_numbers_for_dates():
    with pytest.raises(SchemaError, match="column 'day' holds Int64, expected a date as in training; convert it"):
        TRAINED.check([ROW | {"day": 5}])


def test_check_names_missing_columns():
    with pytest.raises(SchemaError, match=r"lacks columns 'age', 'city' that the model .*; rename 'Age' to 'age'\?$"):
        TRAINED.check([{"Age": 1} | {name: value for name, value in ROW.items() if name not in ("age", "city")}])
    with pytest.raises(
        SchemaError, match="lacks column 'age' that the model was trained on; add it, with empty values where unknown"
    ):
        TRAINED.check([{name: value for name, value in ROW.items() if name != "age"}])
    many = Schema.infer(pl.DataFrame(np.random.default_rng(0).normal(size=(9, 15))))
    with pytest.raises(SchemaError, match="'column_9' and 5 more that the model .*; add them"):
        many.check({"z": [1]})


def test_an_empty_table_can_be_checked():
    checked, notes = TRAINED.check(pl.DataFrame(ROW).clear())
    assert checked.shape == (0, 6)
    assert notes == []


def test_looking_up():
    assert TRAINED["age"] == Column("age", "number", "feature", "whole numbers from 17 to 90", TRAINED["age"].details)
    assert [column.name for column in TRAINED.ignored] == ["same"]
    assert {column.role for column in TRAINED.columns} <= set(ROLES)
    with pytest.raises(SchemaError, match=r"no column 'Age' in the schema; did you mean 'age'\?"):
        TRAINED["Age"]
    assert str(TRAINED).splitlines()[0] == "age     number    feature  whole numbers from 17 to 90"


@pytest.mark.parametrize("value", [1.5, None, float("inf"), "2.5", 7])
def test_few_rows_of_numbers_are_checked_as_many_are(value):
    table = pl.DataFrame({"a": [0.5, 1.5, 2.5] * 10, "b": [1, 2, 3] * 10, "c": [1.25, None, 3.5] * 10})
    schema = Schema.infer(table, kinds=dict.fromkeys("abc", "number"))
    few = pl.DataFrame({"a": [value], "b": [2], "c": [1.0]})
    many = pl.concat([few] * 40)
    assert schema.check(few, notes=False)[0].equals(schema.check(many, notes=False)[0][:1])
    assert schema.check(few, notes=False)[0].equals(schema.check(few)[0])


def test_numbers_in_another_unit_are_refused():
    amounts = pl.DataFrame({"paid": ["$5", "$7.50", "1,200", "$9"] * 5, "plain": ["5", "7", "9", "8"] * 5})
    amounts = amounts.with_columns(y=pl.Series(np.arange(20) / 7))
    for kinds in ({}, {"paid": "number", "plain": "number"}):
        schema = Schema.infer(amounts, target="y", kinds=kinds)
        kept, _ = schema.check(amounts[:3])
        assert kept["paid"].to_list() == [5, 7.5, 1200]
        assert schema.check({"paid": ["12"], "plain": [1]})[0]["paid"].to_list() == [12]
        with pytest.raises(
            SchemaError, match="column 'paid' holds '12 €' in row 1, expected a number, written 1,234.5 in \\$ as in"
        ):
            schema.check({"paid": ["12 €"], "plain": ["5"]})
        with pytest.raises(SchemaError, match="column 'plain' holds '5 %' in row 1, expected a number as in training"):
            schema.check({"paid": ["$12"], "plain": ["5 %"]})
    mixed = pl.DataFrame({"paid": ["$5", "7 €"] * 9, "y": np.arange(18)})
    reason = Schema.infer(mixed, target="y", kinds={"paid": "number"})["paid"].reason
    assert "in $; 9 invalid, such as '7 €', treated as missing" in reason


@pytest.mark.parametrize(
    ("words", "true"),
    [(["ja", "nein"], "ja"), (["Y", "N"], "Y"), (["VRAI", "FAUX"], "VRAI"), (["on", "off"], "on"), (["b", "a"], "b")],
)
def test_flags_are_ordered_by_what_their_words_mean(words, true):
    rows = {"x": words * 10, "z": [float(i) for i in range(20)], "y": ["p", "q"] * 10}
    schema = Schema.infer(rows, target="y")
    checked, _ = schema.check({"x": words, "z": [0.5] * 2})
    assert checked["x"].to_list() == [True, False]
    assert schema["x"].details["levels"][1] == true


def test_a_column_of_durations_reads_them_from_text():
    rows = {"x": [dt.timedelta(seconds=60 * i) for i in range(20)], "y": ["p", "q"] * 10}
    checked, _ = Schema.infer(rows, target="y").check({"x": ["0:01:00", "0 days 00:02:00", "PT3M"]})
    assert checked["x"].to_list() == [60, 120, 180]
