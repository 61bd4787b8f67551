"""From a file of training rows to predictions for another: how cells are read is learnt from the one and kept for the other."""

import datetime as dt
import io

import numpy as np
import pandas as pd
import polars as pl
import pytest

import lamina
from lamina.errors import LaminaWarning, SchemaError, TargetError

LINEAR = {"family": "linear", "monitor": None, "trust": False, "seed": 0}
N = 200
X = np.linspace(-3, 3, N)


def csv(separator=",", **columns):
    """A file of columns; a cell with the separator is quoted."""
    return io.StringIO(
        pl.DataFrame({name: list(map(str, cells)) for name, cells in columns.items()}).write_csv(separator=separator)
    )


def fit(target="y", separator=",", options=None, **columns):
    return lamina.fit(csv(separator, **columns), target, **LINEAR, **(options or {}))


@pytest.mark.parametrize(
    ("true", "false", "other"),
    [
        ("True", "False", "Unknown"),
        ("TRUE", "FALSE", "n/a"),
        ("yes", "no", "maybe"),
        ("1", "0", "?"),
        ("Y", "N", "-"),
        ("5", "7", "x"),
    ],
)
def test_a_file_without_one_of_the_words_is_read_as_the_training_file(true, false, other):
    words = ([true] * 9 + [false] * 9 + [other] * 2) * 10
    model = fit(member=words, z=X, y=["a" if word == true else "b" for word in words])
    assert model.predict(csv(member=[true, false, true], z=[0, 0, 0])).to_list() == ["a", "b", "a"]
    assert model.predict({"member": [true, false], "z": [0.0, 0.0]}).tolist() == ["a", "b"]


DAYS = [dt.date(2021, 12, 20) + dt.timedelta(days=day) for day in range(N)]
FORMATS = [
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
    "%d-%b-%Y",
    "%m/%d/%y",
    "%B %d, %Y",
    "%d.%m.%Y",
    "%Y-%m-%d %H:%M:%S UTC",
    "%m-%d-%Y %I:%M %p",
]


@pytest.mark.parametrize("form", FORMATS)
def test_dates_of_any_form_are_dates_and_order_the_rows(form):
    days = [day.strftime(form) for day in DAYS]
    model = fit("sales", options={"time": "day"}, day=days, z=X, sales=[i / 10 for i in range(N)])
    column = model.model_.schema["day"]
    assert (column.kind, column.details["low"][:10], column.details["high"][:10]) == ("date", "2021-12-20", "2022-07-07")
    assert model.model_.card["split"]["validation"] == 30
    feature = fit("sales", day=days, z=X, sales=[i / 10 for i in range(N)])
    cells = {"day": days[:20], "z": [0.0] * 20}
    assert feature.predict(csv(**cells)).to_list() == feature.predict({**cells, "day": DAYS[:20]}).tolist()


def test_a_month_first_file_after_a_day_first_model_is_refused():
    model = fit("sales", day=[day.strftime("%d/%m/%Y") for day in DAYS], z=X, sales=[i / 10 for i in range(N)])
    with pytest.raises(
        SchemaError,
        match=r"column 'day' holds '12/31/2021' in row 2, expected a date, day first as in training; correct it, leave",
    ):
        model.predict(csv(day=["01/02/2022", "12/31/2021"], z=[0, 0]))


def test_mixed_and_undecidable_forms():
    half = [day.strftime("%d/%m/%Y" if row % 2 else "%m/%d/%Y") for row, day in enumerate(DAYS)]
    assert fit("sales", day=half, z=X, sales=[i / 10 for i in range(N)]).model_.schema["day"].kind != "date"
    some = [day.strftime("%m/%d/%Y" if row % 50 else "%d %b %Y") for row, day in enumerate(DAYS)]
    assert fit("sales", day=some, z=X, sales=[i / 10 for i in range(N)]).model_.schema["day"].kind == "date"
    early = ["01/02/2022", "03/04/2022"] * 100
    with pytest.raises(
        SchemaError, match="column 'day' has dates such as '01/02/2022', which may be 1 February 2022 or 2 January"
    ):
        fit(day=early, z=X, y=["a", "b"] * 100)
    model = fit(options={"kinds": {"day": "date %m/%d/%Y"}}, day=early, z=X, y=["a", "b"] * 100)
    assert model.model_.schema["day"].details["high"][:10] == "2022-03-04"


@pytest.mark.parametrize(
    "mark", ["n/a", "-", "#N/A", "#DIV/0!", "<NA>", "missing", ".", "NULL", "(blank)", "unknown", "not available"]
)
def test_spellings_of_missing_numbers(mark):
    cells = [mark if row % 20 == 0 else f"{value:.3f}" for row, value in enumerate(X)]
    column = fit(v=cells, z=range(N), y=["in" if abs(value) < 1 else "out" for value in X]).model_.schema["v"]
    assert column.kind == "number"
    assert f"missing where {mark!r} (10)" in column.reason
    plain = fit(v=X.round(3), z=range(N), y=["in" if abs(value) < 1 else "out" for value in X])
    assert plain.predict(csv(v=[0.5, mark], z=[1, 2])).to_list() == plain.predict({"v": [0.5, None], "z": [1, 2]}).tolist()


@pytest.mark.parametrize(
    ("how", "cells"), [("excel", [44562, 44563.0, "44564.5"]), ("%Y%m%d", [20220101, 20220102.0, "20220103"])]
)
def test_dates_that_are_numbers(how, cells):
    start = dt.date(2022, 1, 1)
    days = [start + dt.timedelta(days=day) for day in range(N)]
    numbers = [44562 + day if how == "excel" else int(f"{days[day]:%Y%m%d}") for day in range(N)]
    rows = {"day": numbers, "z": X, "sales": [row / 10 for row in range(N)]}
    models = [lamina.fit(rows, "sales", kinds={"day": f"date {how}"}, **LINEAR)]
    models.append(fit("sales", options={"kinds": {"day": f"date {how}"}}, **rows))
    models.append(lamina.fit(pd.DataFrame(rows).astype({"day": float}), "sales", kinds={"day": f"date {how}"}, **LINEAR))
    for model in models:
        assert model.model_.schema["day"].details["low"][:10] == "2022-01-01"
        by_date = model.predict({"day": days[:2], "z": [0.0, 0.0]}).tolist()
        assert model.predict({"day": cells[:2], "z": [0.0, 0.0]}).tolist() == by_date
        assert model.predict(csv(day=[int(cells[0]), cells[2]], z=[0.0, 0.0])).to_list()[0] == by_date[0]
    with pytest.raises(
        SchemaError, match=f"kinds: column 'z' is 'date {how}', but no cell is written so, such as '-10000000000'"
    ):
        lamina.fit({**rows, "z": [-(10**10)] * N}, "sales", kinds={"z": f"date {how}"}, **LINEAR)


def test_a_new_word_in_nearly_all_cells():
    cells = ["to be measured"] * (N - 2) + ["1.5", "2.5"]
    model = fit(v=cells, z=X, y=["a", "b"] * 100)
    column = model.model_.schema["v"]
    assert column.kind == "number"
    assert column.reason.endswith("99.0% missing; missing where 'to be measured' (198)")
    assert model.predict(csv(v=["To be measured"], z=[0])).to_list() == model.predict({"v": [None], "z": [0.0]}).tolist()
    with pytest.raises(SchemaError, match="column 'v' holds 'later' in row 1, expected a number as in training; correct"):
        model.predict(csv(v=["later"], z=[0]))
    model = fit(v=X.round(2), z=X, y=["a", "b"] * 100)
    with pytest.raises(
        SchemaError, match="column 'v' holds 'to be measured' in row 1, expected a number as in training; correct"
    ):
        model.predict(csv(v=cells, z=X))


def test_words_among_the_numbers_of_a_target_are_classes():
    for words in (["5", "7", "9", "lost"] * 50, ["5"] * 97 + ["7"] * 97 + ["lost"] * 6):
        model = fit(z=X, y=words)
        assert sorted(model.classes_) == sorted(set(words))
    rare = fit(z=X, y=[f"{value:.3f}" for value in X[5:]] + ["lost"] * 5)
    assert rare.model_.card["notes"][0] == "5 of 200 rows have no value in the target 'y' and are ignored"


@pytest.mark.parametrize(
    ("cells", "doubt"),
    [
        (
            [day.strftime("%d/%m/%Y" if row % 2 else "%m/%d/%Y") for row, day in enumerate(DAYS)],
            "rows ('21/12/2021' in row 2) and month first in ",
        ),
        (
            ["12 kg", "500 g", "1 kg", "750 g"] * 50,
            "several units: 'g' in 100 rows ('500 g' in row 2), 'kg' in 100 rows ('12 kg'",
        ),
        (
            ["1.5", "2.5", "3.5", "low", "high"] * 40,
            "only some cells are numbers, not 80 rows ('low' in row 4); kinds={'v': 'num",
        ),
        (
            ["2022-01-01 10:00 IST", "2022-01-02 11:00 IST", "2022-01-03 12:00 IST", "2022-01-04 13:00 IST"] * 50,
            "the time zone 'IST' is not known, in 200 rows ('2022-01-01 10:00 IST' in row 1); write offsets such as +05:30",
        ),
        (
            ["2022-01-01", "2022-01-02", "soon", "later"] * 50,
            "only some cells are dates, not 100 rows ('soon' in row 3); kinds=",
        ),
    ],
)
def test_why_a_column_that_looks_like_numbers_or_dates_is_text(cells, doubt):
    model = fit(v=cells, z=X, y=["a", "b"] * 100)
    column = model.model_.schema["v"]
    assert column.kind in ("category", "id")
    assert doubt in column.reason
    assert column.kind == "id" or doubt in next(note for note in model.model_.card["notes"] if note.startswith("v is read as"))


@pytest.mark.parametrize(("high", "low"), [("dead", "alive"), ("M", "F"), ("5", "7 to 9")])
def test_true_and_false_are_not_guessed_for_other_words(high, low):
    words = [high, low] * 100
    model = fit(v=words, z=X, y=["a", "b"] * 100)
    assert model.predict({"v": [high, low], "z": [0.0, 0.0]}).tolist() == ["a", "b"]
    with pytest.raises(
        SchemaError, match=f"column 'v' holds true and false, expected '{min(high, low)}' or '{max(high, low)}' as"
    ):
        model.predict({"v": [True, False], "z": [0.0, 0.0]})
    three = fit(v=[*words[:150], *["other"] * 50], z=X, y=["a", "b"] * 100)
    with pytest.raises(SchemaError, match=r"column 'v' holds true and false, expected a category as in training \('"):
        three.predict({"v": [True, False], "z": [0.0, 0.0]})


@pytest.mark.parametrize(("true", "false"), [("True", "False"), ("yes", "no"), ("WAHR", "FALSCH")])
def test_true_and_false_beside_another_word(true, false):
    words = [true, false, "unknown to us"] * 66
    model = fit(v=words, z=X[:198], y=["a" if word == true else "b" for word in words])
    assert model.predict(pd.DataFrame({"v": [True, False], "z": [0.0, 0.0]})).to_list() == ["a", "b"]


def test_codes_with_leading_zeros_are_never_numbers():
    model = fit(zip=["01234", "12345", "02139", "90210"] * 50, z=X, y=["a", "b", "a", "b"] * 50)
    assert model.predict({"zip": ["01234", "12345"], "z": [0.0, 0.0]}).tolist() == ["a", "b"]
    with pytest.raises(
        SchemaError, match=r"column 'zip' holds numbers \(Int64\), expected texts of digits as in training, with"
    ):
        model.predict(pd.read_csv(csv(zip=["01234", "12345"], z=[0, 0])))


def test_whole_numbers_that_are_dates():
    numbers = [int(f"{day:%Y%m%d}") for day in DAYS]
    y = [row / 10 for row in range(N)]
    for model in (fit(day=numbers, z=X, y=y), lamina.fit({"day": numbers, "z": X, "y": y}, "y", **LINEAR)):
        column = model.model_.schema["day"]
        assert (column.kind, column.details["low"][:10]) == ("date", "2021-12-20")
        given = (numbers[:2], list(map(str, numbers[:2])), DAYS[:2], ["2021-12-20", "20211221"])
        assert len({tuple(model.predict({"day": cells, "z": [0.0, 0.0]}).tolist()) for cells in given}) == 1
        with pytest.raises(SchemaError, match="'20/12/2021' in row 1, expected a date, written 20240531 as in training"):
            model.predict({"day": ["20/12/2021"], "z": [0.0]})
    assert fit(n=[20220101 + row for row in range(N)], z=X, y=y).model_.schema["n"].kind != "date"


def test_a_series_is_the_same_row_as_list_and_as_array():
    waves = np.arange(N * 12).reshape(N, 12) % 251
    y = ["a", "b"] * 100
    forms = [
        waves,
        waves.tolist(),
        list(waves),
        waves.astype(np.uint8),
        list(waves.astype(np.uint8)),
        pl.Series(waves.tolist()),
    ]
    scores = [lamina.fit({"wave": form, "y": y}, "y", **LINEAR).model_.card["validation"]["log_loss"] for form in forms]
    assert len(set(scores)) == 1


@pytest.mark.parametrize("name", ["None", "NA", "null", "nan"])
def test_a_class_with_the_name_of_a_missing_value(name):
    label = np.where(X > 1, "Insomnia", np.where(X < -1, "Apnea", name))
    for model in (fit(x=X.round(2), y=label), lamina.fit({"x": X, "y": label}, "y", **LINEAR)):
        assert sorted(model.classes_) == sorted(["Apnea", "Insomnia", name])
        assert model.predict({"x": [0.0]}).tolist() == [name]


@pytest.mark.parametrize(
    ("level", "others"),
    [("NA", ["DE", "CH"]), ("None", ["Full", "Half"]), ("null", ["set", "void"]), ("nan", ["bread", "rice"])],
)
def test_a_level_with_the_name_of_a_missing_value_in_a_file_as_in_a_frame(level, others):
    words = [level, *others] * 66
    rows = pd.DataFrame(
        {"country": words, "z": X[: len(words)].round(3), "y": ["low" if word == level else "high" for word in words]}
    )
    text = rows.to_csv(index=False)
    of_frame, of_file = lamina.fit(rows, "y", **LINEAR), lamina.fit(io.StringIO(text), "y", **LINEAR)
    for model in (of_frame, of_file):
        assert (model.predict(rows).to_numpy() == rows.y).all()
        assert model.predict(io.StringIO(text)).to_list() == rows.y.to_list()


@pytest.mark.parametrize(
    "form", ["{:,.0f}", "${:,.0f}", "{:,.2f} €", "{:.0f}", "USD {:,.2f}", "{:.1f} kg", "{:.2f}%", "{:.3f}M", "({:,.0f})"]
)
def test_numbers_with_marks_and_units_are_features_and_targets(form):
    price = np.exp(8 + 0.3 * X)
    cells = [form.format(value) for value in price]
    assert fit("x", x=X.round(3), z=range(N), price=cells).model_.schema["price"].kind == "number"
    for options in ({}, {"task": "regression"}, {"kinds": {"price": "number"}}):
        model = fit("price", options=options, x=X.round(3), z=range(N), price=cells)
        assert model.model_.task.name == "regression"
        predicted = model.predict({"x": [0.0], "z": [100]})[0]
        assert abs(abs(predicted) / np.exp(8) - 1) < 0.2


@pytest.mark.parametrize("text", ["1 234,50", "1.234,50", "1'234.50", "1,234.50 kg", "EUR 1.234,50", "1234,5"])
def test_marks_of_other_countries(text):
    cells = [text] * 100 + [text.replace("1234", "2234").replace("234", "834")] * 100
    model = fit(separator=";", size=cells, z=X.round(3), y=["small"] * 100 + ["large"] * 100)
    assert model.model_.schema["size"].details["low"] == 1234.5
    assert model.predict(csv(";", size=[text], z=[-3])).to_list() == ["small"]


@pytest.mark.parametrize("names", [[0, 1, 2], ["0", "1", "2"], [2020, 2021, 2022], ["1.5", "-1", "007"]])
def test_columns_with_numbers_as_names(names):
    rows = pd.DataFrame(np.c_[X, X**2, X > 0], columns=names)
    target = names[2]
    model = lamina.fit(rows, target, **LINEAR)
    assert model.predict(rows[names[:2]]).to_list() == (X > 0).tolist()
    assert model.predict(io.StringIO(rows.to_csv(index=False))).to_list() == (X > 0).tolist()


def test_a_level_that_pandas_takes_for_missing_is_noted():
    rows = pd.DataFrame({"country": ["NA", "DE", "CH"] * 66, "z": X[:198], "y": ["low", "high", "high"] * 66})
    model = lamina.fit(rows, "y", **LINEAR)
    with pytest.warns(LaminaWarning, match="country: 66 values missing, none in the training rows, where 'NA' is a level"):
        model.predict(pd.read_csv(io.StringIO(rows.to_csv(index=False))))


def test_lists_of_a_frame_as_cells_of_a_file():
    rows = pd.DataFrame({"wave": [[row, row % 7, 0.5] for row in range(N)], "y": ["a", "b"] * 100})
    of_frame = lamina.fit(rows, "y", **LINEAR)
    of_file = fit(options={"kinds": {"wave": "series"}}, wave=rows["wave"], y=rows["y"])
    for model in (of_frame, of_file):
        assert model.predict_proba(csv(wave=rows["wave"])).tolist() == model.predict_proba(rows).tolist()
    with pytest.raises(SchemaError, match="'soon' in row 1, expected a series, written as lists of numbers as in training"):
        of_frame.predict(csv(wave=["soon"]))


def test_durations_are_predicted_in_seconds():
    hours = pd.to_timedelta(np.arange(N), unit="h")
    of_frame = lamina.fit(pd.DataFrame({"x": X, "y": hours}), "y", **LINEAR)
    of_file = fit(x=X, y=hours)
    assert of_frame.model_.task.name == of_file.model_.task.name == "regression"
    assert of_frame.predict({"x": [0.0]})[0] == pytest.approx(99.5 * 3600, rel=0.01)
    assert of_frame.evaluate(csv(x=X, y=hours))["scores"] == of_frame.evaluate(pd.DataFrame({"x": X, "y": hours}))["scores"]


def test_masked_whole_numbers_stay_whole():
    labels = np.ma.masked_array((X > 0).astype(int), mask=np.arange(N) % 10 == 0)
    assert lamina.fit({"x": X, "y": labels}, "y", **LINEAR).predict({"x": [3.0]}).tolist() == [1]
    assert lamina.fit({"x": labels, "y": X}, "y", **LINEAR).model_.schema["x"].details["missing"] == 0.1


def test_dates_in_two_orders_neither_split_rows_nor_are_a_target():
    half = [day.strftime("%d/%m/%Y" if row % 2 else "%m/%d/%Y") for row, day in enumerate(DAYS)]
    with pytest.raises(SchemaError, match="column 'day' cannot be the time: it is read as text, as its dates are day first in"):
        fit(options={"time": "day"}, day=half, z=X, y=["a", "b"] * 100)
    with pytest.raises(TargetError, match="y is read as text, as its dates are day first in 6. rows"):
        fit(y=half, z=X)


@pytest.mark.parametrize(
    "labels", [["2021-Q1", "2021-Q2"], ["Jan 2022", "Feb 2022"], ["2021-W01", "2021-W02"], ["1h", "30min"]]
)
def test_periods_and_few_durations_are_classes_as_they_are_written(labels):
    assert sorted(fit(z=X, y=labels * 100).classes_) == sorted(labels)
