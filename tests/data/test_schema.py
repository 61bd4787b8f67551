"""The schema: guesses that a data scientist would make, overrides, checks at prediction."""

import datetime as dt
import decimal
import json
import string
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lamina.data.columns import FEATURE_KINDS, guess
from lamina.data.read import read_table
from lamina.data.schema import KINDS, ROLES, Schema
from lamina.errors import SchemaError

ADULT = Path(__file__).parents[2] / "examples" / "data" / "adult.parquet"
ROWS = 200
RANDOM = np.random.default_rng(0)
WORDS = np.array(list(string.ascii_lowercase))


def words(count):
    return ["".join(RANDOM.choice(WORDS, 8)) for _ in range(count)]


DAY = dt.date(2020, 1, 1)
GUESSES = [
    # name, values, kind, a piece of the reason
    ("age", RANDOM.integers(17, 90, ROWS), "number", "whole numbers from 1"),
    ("month", [1 + i % 12 for i in range(ROWS)], "number", "whole numbers from 1 to 12"),
    ("grade", [i % 5 for i in range(ROWS)], "number", "whole numbers from 0 to 4"),
    ("price", RANDOM.normal(size=ROWS), "number", "numbers from"),
    ("fnlwgt", RANDOM.integers(12_285, 1_490_400, ROWS), "number", "whole numbers"),
    ("year", list(range(1800, 2000)), "number", "from 1,800 to 1,999"),
    ("huge", [1e300, -1e300] * 100, "number", "from -1e+300 to 1e+300"),
    ("far", [1.0, 2.0, float("inf"), float("-inf")] * 50, "number", "100 infinite, treated as missing; 50.0% missing"),
    ("two", [3, 7] * 100, "number", "from 3 to 7"),
    ("text_numbers", ["12.5", " 7", "1,234", "?"] * 50, "number", "written 1,234.5; missing where '?' (50)"),
    ("nearly", ["12.5", "7"] * 99 + ["7", "lost"], "number", "1 invalid, such as 'lost', treated as missing"),
    ("cost", [decimal.Decimal("1.10"), decimal.Decimal("2.25")] * 100, "number", "from 1.1 to 2.25"),
    ("lasted", [dt.timedelta(seconds=i % 7) for i in range(ROWS)], "number", "from 0 to 6, in seconds"),
    ("at", [dt.time(i % 24) for i in range(ROWS)], "number", "from 0 to 82,800, in seconds"),
    ("member", [True, False] * 100, "flag", "two values: 'false' and 'true'"),
    ("smoker", ["yes", "no"] * 100, "flag", "two values: 'no' and 'yes'"),
    ("vegan", ["no", "Yes"] * 100, "flag", "two values: 'no' and 'Yes'"),
    ("bit", [1, 0] * 100, "flag", "two values: '0' and '1'"),
    ("sign", [1.0, -1.0] * 100, "flag", "two values: '-1' and '1'"),
    ("trend", [1, 0, -1, 0] * 50, "number", "whole numbers from -1 to 1"),
    ("bits", ["0", "1"] * 100, "flag", "two values: '0' and '1'"),
    ("bits_as_floats", ["0.0", "1.0"] * 100, "flag", "two values: '0' and '1'"),
    ("bits_in_percent", ["0 %", "1 %"] * 100, "flag", "two values: '0' and '1'; in %"),
    ("shop_code", ["7.0", "8.0", "9.0"] * 66 + [None] * 2, "category", "3 distinct whole numbers"),
    ("city", ["Bern", "Oslo", "Rome", "Riga"] * 50, "category", "4 distinct texts in 200 rows"),
    ("many", [f"k{i % 150}" for i in range(ROWS)], "category", "150 distinct texts"),
    ("zip", [94100 + i % 30 for i in range(ROWS)], "category", "30 distinct whole numbers in 200 rows, named like a code"),
    ("zipCode", [94100.0 + i % 30 if i else None for i in range(ROWS)], "category", "named like a code; 0.5% missing"),
    ("shop_id", [i % 9 for i in range(ROWS)], "category", "9 distinct whole numbers in 200 rows, named like a code"),
    ("plz", ["01067", "01069", "80331"] * 66 + [None] * 2, "category", "3 distinct texts"),
    ("declared", pl.Series([str(i % 3) for i in range(ROWS)], dtype=pl.Categorical), "category", "3 distinct levels"),
    ("alley", ["yes", None] * 100, "category", "'yes' or missing; 50.0% missing"),
    ("born", [DAY + dt.timedelta(days=i) for i in range(ROWS)], "date", "dates from 2020-01-01 to 2020-07-18"),
    ("day", ["2020-01-31", "2020-02-01"] * 99 + [None, "?"], "date", "dates from 2020-01-31"),
    ("pointed", ["31.01.2020", "1.2.2020 "] * 99 + [None, "?"], "date", "dates from 2020-01-31 to 2020-02-01"),
    ("pointed_hour", ["?", "31.1.2020 10:30"] + ["01.02.2020"] * 198, "date", "with the time of day"),
    ("version", ["31.13.2020", "1.1.2", "1.1.3", "2.0.0"] * 50, "category", "4 distinct texts"),
    ("hour", ["2020-01-31T10:00:00Z", "2020-02-01 11:30"] * 100, "date", "with the time of day"),
    ("rownames", RANDOM.permutation(ROWS), "id", "200 distinct whole numbers in 200 rows, named like an identifier"),
    ("customerID", RANDOM.permutation(10**6)[:ROWS], "id", "named like an identifier"),
    ("n", list(range(5, 205)), "id", "row numbers from 5 to 204"),
    ("hash", words(ROWS), "id", "200 distinct texts in 200 rows"),
    ("name", words(ROWS), "id", "200 distinct texts in 200 rows"),
    ("spectrum", np.arange(ROWS) * 0.1, "number", "numbers from 0 to 19.9"),
    ("price", ["1,234", "NaN", "12"] * 66 + [None] * 2, "number", "whole numbers from 12 to 1,234"),
    ("revenue", ["$1,234.50", "-$3", "$ 12", "7"] * 49 + [None] * 4, "number", "numbers from -3 to 1234.5"),
    ("share", ["12 %", "3.5%"] * 100, "number", "numbers from 3.5 to 12"),
    ("currencies", ["$12", "12 €", "$7", "3 €"] * 50, "category", "4 distinct texts"),
    ("german", ["12,50 €", "7,25 €", "3,10 €"] * 66 + [None] * 2, "number", "written 1.234,5 in €"),
    ("review", [f"this film was number {i} of all" for i in range(ROWS)], "text", "free text of 7 words on average"),
    ("same", [7] * ROWS, "constant", "the same value in every row: '7'"),
    ("same_text", ["x"] * ROWS, "constant", "the same value in every row: 'x'"),
    ("same_day", [DAY] * ROWS, "constant", "the same date in every row"),
    ("always", [True] * ROWS, "constant", "the same value in every row: 'true'"),
    ("empty", [None] * ROWS, "constant", "missing in every row"),
    ("marks", ["?", "NA"] * 100, "constant", "missing in every row"),
    ("endless", [float("inf")] * ROWS, "constant", "no finite number in any row"),
    ("list", [[1, 2]] * ROWS, "series", "200 series of 2 steps, 1 channel"),
    ("words", [["a", "b"]] * ROWS, "other", "holds"),
    ("struct", [{"a": 1}] * ROWS, "other", "holds struct values"),
    ("bytes", [b"a"] * ROWS, "other", "holds binary values"),
    ("object", pl.Series([object()] * ROWS, dtype=pl.Object), "other", "holds object values"),
]


def check_again(schema, checked):
    """Check checked values, which changes none of them; the remarks."""
    remarks = []
    again = [KINDS[column.kind].check(column, checked[column.name], remarks) for column in schema.features]
    assert_frame_equal(pl.DataFrame(again), checked)
    return remarks


@pytest.mark.parametrize(("name", "values", "kind", "reason"), GUESSES, ids=[row[0] for row in GUESSES])
def test_guesses(name, values, kind, reason):
    values = values.alias(name) if isinstance(values, pl.Series) else pl.Series(name, values, strict=False)
    target = pl.Series("y", RANDOM.normal(size=ROWS))
    other = pl.Series("x", RANDOM.normal(size=ROWS))
    schema = Schema.infer(pl.DataFrame([values, other, target]), target="y")
    assert schema[name].kind == kind
    assert reason in schema[name].reason
    if kind in ("flag", "category") and values.dtype == pl.String:
        assert schema.check(pl.DataFrame([values, other]))[0][name].null_count() == values.null_count()
    is_feature = kind in FEATURE_KINDS
    assert schema[name].role == ("feature" if is_feature else "ignored")
    assert schema["y"].role == "target"
    checked, notes = schema.check(pl.DataFrame([values, other]))
    assert notes == (["nearly: 1 value treated as missing, such as 'lost': no number"] if name == "nearly" else [])
    assert checked.columns == ([name, "x"] if is_feature else ["x"])
    check_again(schema, checked)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


NAMES = words(200)
BOUNDARIES = [
    # just on one side of a rule, and just on the other
    ("x", ["7", "8.5"] * 47 + ["lost"] * 5 + ["7"], "number"),
    ("x", ["7", "8.5"] * 47 + ["lost"] * 5 + ["gone"], "category"),
    ("x", ["2020-01-01", "2020-01-02"] * 47 + ["lost"] * 5 + ["2020-01-03"], "date"),
    ("x", ["2020-01-01", "2020-01-02"] * 47 + ["lost"] * 5 + ["gone"], "category"),
    ("x", ["7", "8.5"] * 2 + ["lost"] * 96, "number"),
    ("x", ["2020-01-01", "2020-01-02"] * 2 + ["lost"] * 96, "date"),
    ("x", list(range(20)), "id"),
    ("x", list(range(19)), "number"),
    ("x", [1.9 * i // 1 for i in range(200)], "number"),
    ("x", [int(1.9 * i) for i in range(200)], "id"),
    ("x", [int(2.1 * i) for i in range(200)], "number"),
    ("id", [7 * i % 1000 for i in range(95)] + [0] * 5, "id"),
    ("id", [7 * i % 1000 for i in range(94)] + [0] * 6, "category"),
    ("key", [7 * i for i in range(9)] + [0], "number"),
    ("x", NAMES[:20], "id"),
    ("x", NAMES[:19], "category"),
    ("x", NAMES[:95] + NAMES[:5], "id"),
    ("x", NAMES[:94] + NAMES[:6], "category"),
    ("user_id", NAMES[:95] + NAMES[:5], "id"),
    ("user_id", NAMES[:94] + NAMES[:6], "category"),
    ("x", [f"two words{i}" for i in range(50)] * 2, "category"),
    ("x", ["-nan"] * 150 + ["x1"], "flag"),
]


@pytest.mark.parametrize(("name", "values", "kind"), BOUNDARIES)
def test_where_the_rules_change(name, values, kind):
    table = pl.DataFrame({name: pl.Series(name, values), "other": np.arange(len(values)) / 7})
    assert Schema.infer(table)[name].kind == kind


def test_details_and_checked_values():
    table = pl.DataFrame(
        {
            "age": [17, 90, None, 40],
            "far": [1.5, float("inf"), float("nan"), 2.5],
            "smoker": ["no", "yes", None, "no"],
            "city": ["Oslo", "Bern", "Oslo", None],
            "shop_id": [3.0, 3.0, None, 4.0],
            "when": ["2020-01-01", "2020-01-02T12:00:00+02:00", None, "2020-01-05"],
            "price": ["1,234", "5.5", "", "inf"],
            "zoned": pl.Series([dt.datetime(2020, 1, 1), None] * 2).dt.replace_time_zone("Europe/Zurich"),
        }
    )
    schema, when = Schema.infer(table), "Datetime(time_unit='us', time_zone=None)"
    assert {column.name: column.details for column in schema.columns} == {
        "age": {"dtype": "Int64", "missing": 0.25, "low": 17, "high": 90, "whole": True},
        "far": {"dtype": "Float64", "missing": 0.5, "infinite": 1, "low": 1.5, "high": 2.5, "whole": False},
        "smoker": {"dtype": "String", "missing": 0.25, "levels": ["no", "yes"]},
        "city": {"dtype": "String", "missing": 0.25, "levels": ["Bern", "Oslo"]},
        "shop_id": {"dtype": "Float64", "missing": 0.25, "levels": ["3", "4"], "distinct": 2},
        "when": {"dtype": when, "missing": 0.25, "low": "2020-01-01T00:00:00", "high": "2020-01-05T00:00:00", "time": True},
        "price": {"dtype": "Float64", "missing": 0.5, "infinite": 1, "low": 5.5, "high": 1234.0, "whole": False},
        "zoned": schema["zoned"].details,
    }
    checked, notes = schema.check(table)
    assert checked.to_dict(as_series=False) == {
        "age": [17.0, 90.0, None, 40.0],
        "far": [1.5, None, None, 2.5],
        "smoker": [False, True, None, False],
        "city": [True, False, True, None],
        "shop_id": ["3", "3", None, "4"],
        "when": [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 2, 10), None, dt.datetime(2020, 1, 5)],
        "price": [1234.0, 5.5, None, None],
        "zoned": [None] * 4 if schema["zoned"].kind == "constant" else [dt.datetime(2019, 12, 31, 23), None] * 2,
    }
    assert notes == []
    assert set(checked.dtypes) == {pl.Float64, pl.Boolean, pl.String, pl.Datetime("us")}


def test_levels_are_few_and_the_most_frequent_first():
    values = ["b"] * 50 + ["a"] * 30 + [f"k{i:03}" for i in range(60)]
    details = guess(pl.Series(values)).details
    assert details["levels"] == ["b", "a"] + [f"k{i:03}" for i in range(18)]
    assert details["distinct"] == 62


def test_a_hundred_thousand_levels_and_5000_columns():
    schema = Schema.infer({"user": [f"u{i % 100_000}" for i in range(150_000)], "y": [0.5, 1.5, 2.0] * 50_000}, target="y")
    assert schema["user"].kind == "category"
    assert schema["user"].details["distinct"] == 100_000
    wide = pl.DataFrame(RANDOM.normal(size=(10, 5000)))
    assert len(Schema.infer(wide, target="column_0").features) == 4999


def test_adult_as_a_data_scientist_would():
    schema = Schema.infer(read_table(ADULT), target="income")
    kinds = {kind: [column.name for column in schema.by_kind(kind)] for kind in KINDS}
    assert kinds["number"] == ["age", "fnlwgt", "educational-num", "capital-gain", "capital-loss", "hours-per-week"]
    assert kinds["flag"] == ["gender"]
    assert len(kinds["category"]) == 7
    assert schema.ignored == ()
    assert schema["income"].role == "target"
    assert schema["workclass"].details["levels"][:2] == ["Private", "Self-emp-not-inc"]


def test_overrides():
    table = {
        "zip": [94000 + i for i in range(9)] * 3,
        "day": [f"2020-01-{1 + i:02}" for i in range(27)],
        "user": list(range(27)),
        "name": [f"n{i}" for i in range(27)],
        "mixed": ["1", "2", "x"] * 9,
        "rank": ["first", "second", "first"] * 9,
        "year": [2013] * 27,
        "epoch": list(range(100, 127)),
        "y": [1, 2, 3] * 9,
        "weight": [1.0, 2.0, 0.5] * 9,
        "note": ["a rather long piece of text " + str(i) for i in range(27)],
    }
    kinds = {"zip": "number", "mixed": "number", "rank": "category", "epoch": "id", "name": "category"}
    roles = {"day": "time", "user": "feature", "year": "feature", "weight": "weight", "note": "feature", "rank": "ignored"}
    schema = Schema.infer(table, target="y", kinds=kinds, roles=roles)
    inferred = {column.name: (column.kind, column.role) for column in schema.columns}
    assert inferred == {
        "zip": ("number", "feature"),
        "day": ("date", "time"),
        "user": ("number", "feature"),
        "name": ("category", "feature"),
        "mixed": ("number", "feature"),
        "rank": ("category", "ignored"),
        "year": ("category", "feature"),
        "epoch": ("id", "ignored"),
        "y": ("number", "target"),
        "weight": ("number", "weight"),
        "note": ("category", "feature"),
    }
    assert schema["mixed"].reason == "given; from 1 to 2; 33.3% missing; 9 invalid, such as 'x', treated as missing"
    assert schema["rank"].reason.startswith("ignored as requested (given; 2 distinct values")
    assert schema["epoch"].reason == "given as id, which is ignored"
    checked, notes = schema.check(table)
    assert checked["mixed"].to_list()[:3] == [1.0, 2.0, None]
    assert notes == ["mixed: 9 values treated as missing, such as 'x': no number"]
    flags = Schema.infer(table, target="y", kinds={"rank": "flag", "day": "date", "zip": "category"})
    assert flags["rank"].details["levels"] == ["first", "second"]
    assert flags["day"].reason == "given; dates from 2020-01-01 to 2020-01-27"
    assert flags["zip"].details["distinct"] == 9
    assert [column.name for column in Schema.infer(table, target=["y", "weight"]).targets] == ["y", "weight"]
    assert Schema.infer(table, roles={"y": "target"}).targets[0].name == "y"


def test_durations_as_categories():
    lasted = pl.Series([dt.timedelta(seconds=1), dt.timedelta(seconds=2.5), dt.timedelta(seconds=1)])
    schema = Schema.infer({"lasted": lasted}, kinds={"lasted": "category"})
    assert schema["lasted"].details["levels"] == ["1", "2.5"]
    assert schema.check({"lasted": lasted})[0]["lasted"].to_list() == ["1", "2.5", "1"]


SAMPLED = RANDOM.permutation(10 * ROWS)[:ROWS]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("column_1", SAMPLED),
        ("column_1", np.sort(SAMPLED)),
        ("column_1", np.tile(np.arange(ROWS // 4), 4)),  # four tables, one below the other
        ("Unnamed: 0", SAMPLED),
        ("Unnamed: 0.1", SAMPLED.astype(float)),
        ("index", np.tile(np.arange(ROWS // 2), 2)),
        ("row", SAMPLED),
        ("anything", RANDOM.permutation(ROWS) + 1),
    ],
)
def test_a_saved_index_is_an_id(name, values):
    schema = Schema.infer({name: values, "x": RANDOM.normal(size=ROWS), "y": RANDOM.normal(size=ROWS)}, target="y")
    assert (schema[name].kind, schema[name].role) == ("id", "ignored")
    assert "row" in schema[name].reason


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("price", SAMPLED * 7 + 1000),
        ("population", np.sort((np.exp(RANDOM.normal(10, 2, size=ROWS)) * 100).astype(int))),
        ("column_1", RANDOM.normal(size=ROWS)),
        ("column_1", RANDOM.integers(0, 9, ROWS)),
        ("column_1", SAMPLED - 500),
        ("distance", np.arange(ROWS) * 10),
    ],
)
def test_distinct_measurements_are_no_index(name, values):
    assert (
        Schema.infer({name: values, "x": RANDOM.normal(size=ROWS), "y": RANDOM.normal(size=ROWS)}, target="y")[name].role
        == "feature"
    )


def test_a_column_is_nameless_only_among_named_ones(tmp_path):
    (tmp_path / "saved.csv").write_text(",x,y\n" + "".join(f"{i},{i % 7},{i % 3}\n" for i in SAMPLED))
    assert Schema.infer(tmp_path / "saved.csv", target="y")["column_1"].reason.endswith("without a name, as a saved index")
    columns = {f"column_{i}": SAMPLED if i == 1 else RANDOM.normal(size=ROWS) for i in (1, 2, 3)}
    assert Schema.infer(columns, target="column_3")["column_1"].kind == "number"


def test_a_lone_counter_is_kept():
    schema = Schema.infer({"x": list(range(100)), "y": [0.5, 1.5] * 50}, target="y")
    assert schema["x"].role == "feature"
    assert schema["x"].reason == "whole numbers from 0 to 99; kept as the only feature"


def test_a_lone_counter_that_is_to_be_ignored_is_not_kept():
    with pytest.raises(SchemaError, match="no column is left to learn from: 'x'"):
        Schema.infer({"x": list(range(100)), "y": [0.5, 1.5] * 50}, target="y", roles={"x": "ignored"})


def test_targets_keep_what_features_would_lose():
    names = Schema.infer({"x": [1.5, 2.5] * 20, "y": [f"t{i}" for i in range(40)]}, target="y")
    assert (names["y"].kind, names["y"].role) == ("category", "target")
    constant = Schema.infer({"x": [1.5, 2.5] * 20, "y": [1] * 40}, target="y")
    assert (constant["y"].kind, constant["y"].role) == ("constant", "target")


X = [1.5, 2.5, 3.5]


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        ({"x": X, "income": X}, {"target": "incme"}, r"no column 'incme' to be the target; did you mean 'income'\?"),
        ({"x": X, "income": X}, {"target": "zzz"}, "no column 'zzz' to be the target; it has 'x', 'income'"),
        ({"x": X}, {"kinds": {"X1": "number"}}, r"kinds names a column 'X1' that does not exist; did you mean 'x'\?"),
        (
            {"x": X},
            {"kinds": {"x": "picture"}},
            "kinds: 'x' is 'picture'; expected one of number, flag, category, date, image, text, series",
        ),
        ({"x": X}, {"roles": {"u": "group"}}, "roles names a column 'u' that does not exist; it has 'x'"),
        ({"x": X}, {"roles": {"x": "goal"}}, "roles: 'x' is 'goal'; expected one of feature, target, group"),
        ({"x": X, "y": X}, {"target": "y", "roles": {"y": "group"}}, "column 'y' is the target and also has the role 'group'"),
        ({"x": ["a", "b", "c"]}, {"kinds": {"x": "number"}}, "column 'x' cannot be a number: that needs numbers.*such as 'a'"),
        ({"x": ["a", "b", "c"]}, {"kinds": {"x": "date"}}, "cannot be a date: that needs dates"),
        ({"x": X}, {"kinds": {"x": "date"}}, "cannot be a date: that needs dates .* it holds Float64"),
        ({"x": X}, {"kinds": {"x": "flag"}}, "cannot be a flag: that needs exactly two different values"),
        ({"x": [[1], [2], [3]]}, {"kinds": {"x": "category"}}, "cannot be a category: that needs plain values"),
        ({"x": [None, None]}, {"kinds": {"x": "number"}}, "cannot be a number"),
        (
            {"x": [np.ones((4 + row, 5), np.uint16) for row in range(3)]},
            {"kinds": {"x": "image"}},
            r"cannot be an image: that needs paths .*, or arrays, \(height, width, 1\) where their sizes differ, it holds List",
        ),
        (
            {"x": [np.ones((4 + row, 5 + row), np.uint16) for row in range(3)]},
            {"kinds": {"x": "series"}},
            "cannot be a series: that needs lists or arrays of numbers, floats where uint8 or uint16 are read as images",
        ),
        (
            {"x": [["a"], ["b"]], "y": [1, 2]},
            {"target": "y", "roles": {"x": "feature"}},
            "column 'x' cannot be a feature: holds list values",
        ),
        ({"x": X, "w": ["a", "b", "c"]}, {"roles": {"w": "weight"}}, "column 'w' cannot hold weights, which are numbers"),
        ({"y": X}, {"target": "y"}, "no column is left to learn from besides the target"),
        (
            {"id": [5, 7, 9], "year": [2013] * 3, "y": X},
            {"target": "y"},
            r"no column is left to learn from: 'id' \(3 distinct whole numbers .*\), 'year' \(the same .*\); keep one",
        ),
        ({f"c{i}": [1, 1] for i in range(9)}, {}, "'c4' .* and 4 more; keep one"),
        ({"x": [1.5], "y": [1]}, {"target": "y"}, r"the table has 1 row \(n_samples=1\); learning needs at least 2"),
        (pl.DataFrame({"x": []}), {}, r"the table has no rows \(n_samples=0\)"),
    ],
)
def test_what_cannot_be_inferred(table, options, message):
    with pytest.raises(SchemaError, match=message) as error:
        Schema.infer(table, **options)
    assert "\n" not in str(error.value)


# Properties

VALUES = [
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(["yes", "no", "?", "", "1,234", "2020-01-01", "2020-13-01", "inf", "-nan", "007", "1e5"]),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.times(),
    st.decimals(allow_nan=False),
    st.lists(st.integers(), max_size=2),
    st.binary(max_size=3),
]


@settings(max_examples=150)
@given(st.data())
def test_no_table_crashes(data):
    rows = data.draw(st.integers(2, 30))
    columns = {"sure": [0.5, 1.5] + [2.5] * (rows - 2)}
    for place in range(data.draw(st.integers(1, 4))):
        cells = data.draw(st.sampled_from([*VALUES, st.one_of(*VALUES)]))
        name = data.draw(st.sampled_from(["id", "zip", "x", "when"])) + str(place)
        columns[name] = data.draw(st.lists(st.none() | cells, min_size=rows, max_size=rows))
    schema = Schema.infer(columns)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert all(column.reason and column.kind in KINDS and column.role in ROLES for column in schema.columns)
    checked, notes = schema.check(columns)
    more = check_again(schema, checked)
    assert not [note for note in notes if "outside" in note]
    assert more == []
