"""Reading tables from memory, and giving back the same library."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from lamina.data.frames import like
from lamina.data.read import read_table
from lamina.errors import ReadError
from lamina.wording import nearest

TABLE = pl.DataFrame(
    {
        "age": [39, 17, None],
        "height": [1.5, None, 1e300],
        "city": ["Bern", None, 'a "b", c'],
        "member": [True, False, True],
        "born": [dt.date(1980, 1, 2), None, dt.date(2001, 12, 31)],
    }
)


def test_pandas_of_every_dtype():
    frame = pd.DataFrame(
        {
            "whole": [1, 2, 3],
            "real": [1.5, np.nan, 2.5],
            "half": np.array([1.5, np.nan, 2.5], dtype=np.float16),
            "text": ["x", None, "z"],
            "level": pd.Categorical(["b", None, "a"]),
            "code": pd.Categorical([3, 3, 1]),
            "maybe": pd.array([1, None, 3], dtype="Int64"),
            "unsure": pd.array([True, None, False], dtype="boolean"),
            "share": pd.array([0.5, None, 1.5], dtype="Float32"),
            "mixed": [1, "two", 3.0],
            "numbers": np.array([1, 2.5, None], dtype=object),
            "when": pd.to_datetime(["2020-01-01", None, "2020-01-03"]),
            "zoned": pd.to_datetime(["2020-01-01", None, "2020-01-03"]).tz_localize("Europe/Zurich"),
            "lasting": pd.to_timedelta([1, None, 3], unit="s"),
            "month": pd.PeriodIndex(["2020-01", "2020-02", "2020-03"], freq="M"),
            "sparse": pd.arrays.SparseArray([0.0, 0.0, 1.5]),
            "things": [[1], {"a": 2}, None],
        },
        index=[7, 8, 9],
    )
    table = read_table(frame)
    assert table.drop("things").to_dict(as_series=False) == {
        "whole": [1, 2, 3],
        "real": [1.5, None, 2.5],
        "half": [1.5, None, 2.5],
        "text": ["x", None, "z"],
        "level": ["b", None, "a"],
        "code": ["3", "3", "1"],
        "maybe": [1, None, 3],
        "unsure": [True, None, False],
        "share": [0.5, None, 1.5],
        "mixed": ["1", "two", "3"],
        "numbers": [1.0, 2.5, None],
        "when": [dt.datetime(2020, 1, 1), None, dt.datetime(2020, 1, 3)],
        "zoned": [dt.datetime(2019, 12, 31, 23, tzinfo=dt.UTC), None, dt.datetime(2020, 1, 2, 23, tzinfo=dt.UTC)],
        "lasting": [dt.timedelta(seconds=1), None, dt.timedelta(seconds=3)],
        "month": [dt.datetime(2020, month, 1) for month in (1, 2, 3)],
        "sparse": [0.0, 0.0, 1.5],
    }
    assert table["level"].dtype == pl.Categorical
    assert table["things"].dtype == pl.Object


def test_pandas_backed_by_arrow():
    frame = pd.DataFrame({"a": [1, None], "b": ["x", None]}).convert_dtypes(dtype_backend="pyarrow")
    assert read_table(frame).to_dict(as_series=False) == {"a": [1, None], "b": ["x", None]}


@pytest.mark.parametrize(
    "source",
    [
        TABLE,
        TABLE.lazy(),
        TABLE.to_arrow(),
        TABLE.to_arrow().to_batches()[0],
        TABLE.to_dict(),
        TABLE.to_dict(as_series=False),
        TABLE.rows(named=True),
        {name: TABLE[name].to_list() for name in TABLE.columns},
    ],
    ids=["polars", "lazy", "pyarrow", "batch", "dict of series", "dict of lists", "dicts", "lists"],
)
def test_other_sources_give_the_same_table(source):
    assert_frame_equal(read_table(source), TABLE)


def test_one_column_sources():
    for source in (pl.Series("a", [1, 2]), pd.Series([1, 2], name="a"), {"a": pd.Series([1, 2])}, {"a": np.array([1, 2])}):
        assert read_table(source).to_dict(as_series=False) == {"a": [1, 2]}
    for source in ([1, 2], np.array([1, 2]), np.array([[1], [2]]), [[1], [2]], pd.Series([1, 2]), pa.chunked_array([[1, 2]])):
        assert read_table(source).to_dict(as_series=False) == {"x0": [1, 2]}


def test_numpy():
    array = np.array([[1.0, np.nan], [np.inf, 4.0]])
    assert read_table(array).to_dict(as_series=False) == {"x0": [1.0, float("inf")], "x1": [None, 4.0]}
    assert read_table(array.astype(np.float32)).dtypes == [pl.Float32, pl.Float32]
    assert read_table(np.array([["a", 1], ["b", None]], dtype=object)).rows() == [("a", 1), ("b", None)]
    assert read_table(np.array([(1, 2.5)], dtype=[("a", int), ("b", float)])).to_dict(as_series=False) == {"a": [1], "b": [2.5]}
    days = np.array(["2020-01-01", "NaT"], dtype="datetime64[D]")
    assert read_table({"d": days})["d"].to_list() == [dt.datetime(2020, 1, 1), None]


def test_narwhals_and_arrow_capsules():
    import narwhals as nw

    class Capsule:
        def __arrow_c_stream__(self, requested_schema=None):
            return TABLE.__arrow_c_stream__(requested_schema)

    class Array:
        def __array__(self, dtype=None, copy=None):
            return np.array([[1, 2]])

    assert_frame_equal(read_table(nw.from_native(TABLE)), TABLE)
    assert_frame_equal(read_table(nw.from_native(TABLE.lazy())), TABLE)
    assert_frame_equal(read_table(Capsule()), TABLE)
    assert read_table(Array()).to_dict(as_series=False) == {"x0": [1], "x1": [2]}


@pytest.mark.parametrize("frame", [TABLE, TABLE.lazy()], ids=["eager", "lazy"])
def test_a_library_that_only_narwhals_knows(monkeypatch, frame):
    import narwhals as nw

    known = nw.from_native(frame)
    monkeypatch.setattr("narwhals.from_native", lambda source, pass_through: known)
    assert_frame_equal(read_table(object()), TABLE)


def test_huge_and_odd_values():
    assert read_table({"a": [2**70, 1]})["a"].to_list() == [float(2**70), 1.0]
    assert read_table({"a": [True, 2]})["a"].to_list() == [1, 2]
    assert read_table({"a": [None, float("nan")]})["a"].dtype == pl.Null
    assert read_table({"a": [pd.NA, pd.NaT, "x"]})["a"].to_list() == [None, None, "x"]
    assert read_table({"a": [dt.date(2020, 1, 1), "soon"]})["a"].to_list() == ["2020-01-01", "soon"]
    assert read_table({"a": [True, "x"]})["a"].to_list() == ["true", "x"]
    assert read_table(pl.DataFrame({"a": [float("nan"), 1.0, float("inf")]}))["a"].to_list() == [None, 1.0, float("inf")]
    assert read_table({3: [1], None: [2]}).columns == ["3", "column_2"]
    assert read_table({None: [1], "column_1": [2]}).columns == ["column_1_", "column_1"]


class Sparse:
    def toarray(self):
        return None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            r"the pandas DataFrame has more than one column named 'a' \(columns 1 and 2\)",
        ),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "more than one column named '1'"),
        (pa.table([[1], [2]], names=["a", "a"]), "the Arrow table has more than one column named 'a'"),
        (np.zeros((2, 2, 2, 2, 2)), r"an array of shape \(2, 2, 2, 2, 2\) is not a table.*[Rr]eshape your data"),
        (np.array(5.0), r"shape \(\) is not a table"),
        (np.array([[1j]]), "Complex data not supported"),
        ({"a": [1j]}, "Complex data not supported: column 'a'"),
        ({"a": [1, 2], "b": [1]}, "'b' has 1 values, 'a' 2; give each column one value per row"),
        ({"a": 5}, "column 'a' of the dict is 5; expected a list or array"),
        ({"a": "text"}, "column 'a' of the dict is 'text'; expected a list"),
        ([["a", 2], ["b"]], "row 2 of the list has 1 values, row 1 has 2"),
        (Sparse(), r"sparse data \(Sparse\) is not a table yet; give it dense: X.toarray\(\)"),
        (object(), "cannot read a table from object; give a file"),
        (None, "cannot read a table from NoneType"),
    ],
)
def test_frames_that_are_no_table(source, message):
    with pytest.raises(ReadError, match=message):
        read_table(source)


def test_near_names_or_all_names_are_suggested():
    assert nearest("Aeg", TABLE.columns) == "did you mean 'age'?"
    assert nearest("zzz", TABLE.columns).startswith("it has 'age', 'height'")
    assert nearest("zzz", [f"c{i}" for i in range(30)]).endswith("'c19' and 10 more")


# The way back


def test_like_gives_back_the_same_library(tmp_path):
    words, frame = pl.Series("income", ["low", "high"]), pl.DataFrame({"low": [0.25, 0.75], "high": [0.75, 0.25]})
    pandas = pd.DataFrame({"a": [1, 2]}, index=["r", "s"])
    back = like(words, pandas)
    assert isinstance(back, pd.Series)
    assert back.to_dict() == {"r": "low", "s": "high"}
    assert back.name == "income"
    assert like(frame, pandas).to_dict() == {"low": {"r": 0.25, "s": 0.75}, "high": {"r": 0.75, "s": 0.25}}
    assert like(words, pandas["a"]).index.tolist() == ["r", "s"]
    for source in (frame, frame.lazy(), words, "file.csv", tmp_path):
        assert like(words, source) is words
    assert like(words, frame.to_arrow()).to_pylist() == ["low", "high"]
    assert like(frame, frame.to_arrow()).column_names == ["low", "high"]
    for source in (np.zeros((2, 1)), {"a": [1, 2]}, [[1], [2]]):
        np.testing.assert_array_equal(like(words, source), np.array(["low", "high"]))
        np.testing.assert_array_equal(like(frame, source), [[0.25, 0.75], [0.75, 0.25]])
    mixed = like(pl.DataFrame({"a": ["x"], "b": [1]}), [[1]])
    assert mixed.tolist() == [["x", 1]]
    assert like(pl.Series([1, 2]), [0]).dtype == np.int64
