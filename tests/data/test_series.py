"""Series: every way they are stored becomes one, scaling has closed forms, and long tables become series."""

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from lamina.data.columns.column import Values
from lamina.data.columns.series import Series
from lamina.data.columns.steps import MOST_STEPS, SeriesBlock
from lamina.data.encoding import Encoding, Input
from lamina.data.gather import gather_series
from lamina.data.schema import Column
from lamina.errors import SchemaError

F64 = pl.Float64
KIND = Series()


def guess(column):
    return KIND.guess(Values(column))


def coerce(column):
    return KIND.coerce(column)


def check(column, values):
    return KIND.check(column, values, [])


def ragged(rows, channels):
    return pl.Series("wave", rows, dtype=pl.List(pl.Array(F64, channels)))


def trained(values):
    found = coerce(values)
    return Column(values.name, found.kind, "feature", found.reason, found.details)


# The kind


@pytest.mark.parametrize(
    ("rows", "dtype", "reason", "details"),
    [
        ([[1, 2, 3], [4], [], None], pl.List(pl.Int64), "3 series of 0 to 3 steps, 1 channel", (1, 0, 3, 0.25)),
        ([[1, 2], [3, 4]], pl.Array(pl.Float32, 2), "2 series of 2 steps, 1 channel", (1, 2, 2, 0)),
        ([[[1, 2]], [[3, 4]]], pl.List(pl.List(F64)), "2 series of 1 step, 2 channels", (2, 1, 1, 0)),
        ([[[1, 2]], [[3, 4], None]], pl.List(pl.Array(F64, 2)), "2 series of 1 to 2 steps, 2 channels", (2, 1, 2, 0)),
        ([[[1, 2], [3, 4], [5, 6]], None], pl.Array(F64, (3, 2)), "1 series of 3 steps, 2 channels", (2, 3, 3, 0.5)),
        ([[[1, 2], [3, 4]]], pl.Array(pl.List(pl.Int8), 2), "1 series of 2 steps, 2 channels", (2, 2, 2, 0)),
    ],
)
def test_what_is_a_series(rows, dtype, reason, details):
    found = guess(pl.Series("wave", rows, dtype=dtype))
    channels, shortest, longest, missing = details
    assert (found.kind, found.reason) == ("series", reason)
    expected = {"dtype": str(dtype), "missing": missing, "channels": channels, "shortest": shortest, "longest": longest}
    assert json.loads(json.dumps(found.details)) == expected


def test_what_is_none():
    for column in (
        pl.Series([1, 2]),
        pl.Series(["a"]),
        pl.Series([["a"]]),
        pl.Series([[True]]),
        pl.Series([[[[1.0]]]]),
        pl.Series(np.zeros((2, 8, 8), np.uint8)),
        pl.Series(np.zeros((2, 8, 8, 3), np.uint8)),
        pl.Series(np.zeros((2, 8, 8, 3))),
    ):
        assert guess(column) is None
    assert coerce(pl.Series(np.zeros((2, 8, 3), np.uint8))).reason == "2 series of 8 steps, 3 channels"
    assert guess(pl.Series([None, None], dtype=pl.List(F64))).kind == "constant"
    assert guess(pl.Series([[], None], dtype=pl.List(F64))).reason == "series without any steps"
    uneven = pl.Series("wave", [[[1, 2]], [[1, 2], [3]]])
    reason = "lists whose steps have 1 (row 2) to 2 (row 1) values; every step of a series needs the same number"
    assert (guess(uneven).kind, guess(uneven).reason) == ("other", reason)
    with pytest.raises(SchemaError, match=r"'wave' cannot be a series: lists .* 1 \(row 2\) to 2 .*; fill missing"):
        coerce(uneven)


@pytest.mark.parametrize(
    "dtype",
    [
        pl.List(pl.List(pl.Int64)),
        pl.List(pl.Array(pl.Int8, 2)),
        pl.List(pl.Array(F64, 2)),
        pl.Array(pl.Array(pl.Float32, 2), 2),
        pl.Array(pl.List(F64), 2),
    ],
)
def test_check_gives_one_form(dtype):
    values = pl.Series("wave", [[[1, 2], [3, None]], None], dtype=dtype)
    column = trained(values)
    checked = check(column, values)
    assert_series_equal(checked, ragged([[[1, 2], [3, None]], None], 2))
    assert check(column, checked) is not values
    assert_series_equal(check(column, checked), checked)


def test_check_of_one_channel_and_of_nothing():
    one = trained(pl.Series("wave", [[1.0, 2.0]]))
    for dtype in (pl.List(pl.Int64), pl.Array(pl.UInt8, 2)):
        assert_series_equal(check(one, pl.Series("wave", [[1, None], None], dtype=dtype)), ragged([[[1], [None]], None], 1))
    two = trained(ragged([[[1, 2]]], 2))
    for dtype in (pl.List(F64), pl.List(pl.Null), pl.List(pl.Array(F64, 3)), pl.List(pl.List(F64))):
        assert_series_equal(check(two, pl.Series("wave", [[], None], dtype=dtype)), ragged([[], None], 2))
    assert_series_equal(check(two, pl.Series("wave", [None, None])), ragged([None, None], 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            pl.Series(["a"]),
            r"column 'wave' holds String, expected series of 2 channels as in training",
        ),
        (pl.Series([[], [1.0]]), "has 1 channel in row 2, expected 2 as in training; give every step as many"),
        (pl.Series([[[1, 2]], [[1, 2], [3]]]), "has 1 channel in row 2, expected 2 as in training"),
        (pl.Series([[[1, 2]], [[1, 2], [3, 4, 5]]]), "has 3 channels in row 2, expected 2 as in training"),
        (
            pl.Series(np.zeros((1, 2, 9))),
            r"has 9 channels in row 1, expected 2 .*; give \(steps, channels\): transpose it with .T",
        ),
        (pl.Series(np.zeros((1, 9, 3))), "has 3 channels in row 1, expected 2 as in training; give every step"),
    ],
)
def test_check_refuses(values, message):
    with pytest.raises(SchemaError, match=message):
        check(trained(ragged([[[1, 2]]], 2)), values)


# The encoding


def test_scaling_has_closed_forms():
    values = ragged([[[1, 10], [2, 10]], [[3, 10]], None, []], 2)
    block = SeriesBlock.fit(values, Encoding(), "series2")
    assert (block.centers, block.scales) == ((2.0, 10.0), (pytest.approx(np.sqrt(2 / 3)), 1.0))
    assert block.inputs == {
        "series2": Input((2, 2), ("wave", "channel 1", "channel 2"), kind="series"),
        "series2_steps": Input((2,), ("wave",), kind="steps"),
    }
    out = block.transform(values)
    assert {name: rows.dtype for name, rows in out.items()} == {"series2": np.float32, "series2_steps": np.uint8}
    np.testing.assert_allclose(out["series2"][..., 0], [[-np.sqrt(1.5), 0], [np.sqrt(1.5), 0], [0, 0], [0, 0]], rtol=1e-6)
    assert not out["series2"][..., 1].any()
    assert out["series2_steps"].tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert block.notes == ("wave: 2 of 4 series have no steps",)


def test_missing_values_are_marked_where_training_had_them():
    nan, inf = float("nan"), float("inf")
    train = ragged([[[1, None, 5], [3, nan, nan]], [[inf, None, 7], [2, None, 6]]], 3)
    block = SeriesBlock.fit(train, Encoding(), "series")
    assert block.marked == (0, 2)
    assert block.inputs["series"].names[1:] == (
        *("channel 1", "channel 2", "channel 3"),
        *("channel 1 is missing", "channel 3 is missing"),
    )
    assert block.notes == ("wave: channel 2 without any training value; set to zero",)
    rows = block.transform(ragged([[[2, 99, nan], [None, None, 6]], [None, [2, 0, 6]]], 3))["series"]
    np.testing.assert_array_equal(rows[0], [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]])
    np.testing.assert_array_equal(rows[1], [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]])
    names = ", ".join(map(str, range(1, 11)))
    assert f"channels {names}, ... without any" in SeriesBlock.fit(ragged([[[None] * 11]], 11), Encoding(), "series").notes[0]


def test_a_huge_value_spoils_nothing():
    quiet = np.random.default_rng(0).normal(5, 2, (50, 20, 1))
    loud = quiet.copy()
    loud[3, 4, 0], loud[7, 0, 0] = 1e300, -1e30
    column = trained(pl.Series("wave", quiet))
    clean, spoilt = (SeriesBlock.fit(check(column, pl.Series("wave", wave)), Encoding(), "s") for wave in (quiet, loud))
    assert spoilt.scales[0] == pytest.approx(clean.scales[0], rel=0.01)
    out = spoilt.transform(check(column, pl.Series("wave", loud)))["s"]
    assert (out[3, 4, 0], out[7, 0, 0]) == (10, -10)
    far = SeriesBlock.fit(ragged([[[1.7e308], [-1.7e308], [0]]], 1), Encoding(), "s").transform(ragged([[[-1.7e308]]], 1))["s"]
    np.testing.assert_allclose(far[0, :, 0], [-np.sqrt(1.5), 0, 0], rtol=1e-6)
    rare = ragged([[[0.0]] * 999 + [[1.0]]], 1)  # a rare event is not a mistake
    assert SeriesBlock.fit(rare, Encoding(), "s").transform(rare)["s"][0, -1, 0] == 10


@pytest.mark.parametrize(
    ("encoding", "length"),
    [
        (Encoding(), 7),
        (Encoding(chunk=4), 8),
        (Encoding(chunk=4, sentence=6), 12),
        (Encoding(length=5), 5),
        (Encoding(length=9), 9),
        (Encoding(length=7, chunk=4), 4),
        (Encoding(length=3, chunk=4), 4),
    ],
)
def test_length(encoding, length):
    train = ragged([[[k] for k in range(7)], [[1]]], 1)
    block = SeriesBlock.fit(train, encoding, "s")
    assert block.length == length
    steps = block.transform(train)["s_steps"]
    assert steps.sum(axis=1).tolist() == [min(7, length), 1]
    last = block.transform(train)["s"][0, : min(7, length), 0] * block.scales[0] + block.centers[0]
    np.testing.assert_allclose(last, np.arange(7)[-length:], atol=1e-5)
    cut = (f"wave: 1 of 2 series are longer than {length} steps and truncated to the last steps",)
    assert block.notes == (cut if length < 7 else ())


def test_very_long_series_and_no_steps_at_all():
    long = ragged([[[0.0]] * (MOST_STEPS + 1)], 1)
    assert SeriesBlock.fit(long, Encoding(chunk=3), "s").length == 2046
    empty = SeriesBlock.fit(ragged([[], None], 2), Encoding(chunk=4), "s")
    assert (empty.length, empty.scales) == (4, (0.0, 0.0))
    assert not empty.transform(ragged([[[1, 2]]], 2))["s"].any()
    assert empty.transform(ragged([], 2))["s"].shape == (0, 4, 2)


def test_remarks():
    block = SeriesBlock.fit(ragged([[[1], [2]]], 1), Encoding(), "s")
    assert block.remarks(ragged([[[1], [2]], [[1]]], 1)) == []
    assert block.remarks(ragged([[[1]] * 3, [], None, [[1]]], 1)) == [
        "wave: 1 of 4 series are longer than 2 steps and truncated to the last steps",
        "wave: 2 of 4 series have no steps",
    ]


@settings(max_examples=40)
@given(st.lists(st.none() | st.lists(st.tuples(*[st.none() | st.floats(width=64)] * 2), max_size=5), min_size=1, max_size=6))
def test_pieces_rows_and_json_change_nothing(rows):
    values = ragged([None if row is None else [list(step) for step in row] for row in rows], 2)
    block = SeriesBlock.fit(values, Encoding(length=3), "s")
    again = SeriesBlock.from_json(json.loads(json.dumps(block.to_json(), allow_nan=False)))
    assert again == block
    whole = block.transform(values)
    assert np.isfinite(whole["s"]).all()
    assert np.abs(whole["s"]).max() <= 10
    for row in range(len(values)):
        alone = again.transform(values[row : row + 1])
        for name in whole:
            np.testing.assert_array_equal(alone[name][0], whole[name][row])
    assert not whole["s"][whole["s_steps"] == 0].any()


def test_transform_in_pieces(monkeypatch):
    values = ragged([[[float(k), 1.0]] * (k % 4) for k in range(23)], 2)
    block = SeriesBlock.fit(values, Encoding(), "s")
    whole = block.transform(values)
    monkeypatch.setattr("lamina.data.columns.steps._PIECE", 30)
    for name, rows in block.transform(values).items():
        np.testing.assert_array_equal(rows, whole[name])


# Long tables

LONG = pl.DataFrame(
    {
        "who": ["b", "a", "b", "a", "b"],
        "minute": [3, 1, 1, 2, 2],
        "pulse": [73, 60, None, 62, 72],
        "up": [True, False, True, True, False],
        "ill": ["yes", "no", "yes", "no", "yes"],
    }
)


def test_gather():
    expected = pl.DataFrame(
        {"who": ["b", "a"], "ill": ["yes", "no"]},
    ).with_columns(ragged([[[None, 1], [72, 0], [73, 1]], [[60, 0], [62, 1]]], 2).alias("series"))
    assert_frame_equal(gather_series(LONG, "who", "minute"), expected)
    assert_frame_equal(gather_series(LONG.to_pandas(), "who", "minute"), expected)
    in_order = gather_series(LONG.drop("minute"), "who", values=["pulse"])
    assert in_order["series"].to_list() == [[[73.0], [None], [72.0]], [[60.0], [62.0]]]
    assert in_order.columns == ["who", "ill", "series"]
    assert gather_series(LONG.drop("who", "ill", "minute").with_columns(who=1), "who").height == 1


@pytest.mark.parametrize(
    "times",
    [
        ["10", "9", "8", "7", "6"],
        [dt.datetime(2024, 1, 1, 10 - k) for k in range(5)],
        [f"2024-01-{10 - k:02d}" for k in range(5)],
        [float(-k) for k in range(5)],
        [dt.time(10 - k) for k in range(5)],
    ],
)
def test_times_are_sorted(times):
    found = gather_series({"id": [1] * 5, "t": times, "x": [0, 1, 2, 3, 4]}, "id", "t")
    assert found["series"].to_list() == [[[4.0], [3.0], [2.0], [1.0], [0.0]]]


def test_rows_of_a_time_without_order_stay_in_order():
    ids = [k % 7 for k in range(500)]
    found = gather_series({"id": ids, "x": list(range(500))}, "id")
    assert found["id"].to_list() == list(range(7))
    assert all(row == sorted(row) for row in found["series"].to_list())


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"time": "minut"}, r"no column 'minut' in the table; did you mean 'minute'\?"),
        ({}, {"values": ["puls"]}, "no column 'puls' in the table"),
        ({}, {"time": "who"}, "'who' is given as id and as time; give the column"),
        ({}, {"values": []}, r"values is \[\]; expected at least one column besides 'who' and 'minute'"),
        ({}, {"values": ["minute"]}, r"values is \['minute'\]; expected"),
        ({"series": [1] * 5}, {}, "has a column 'series', which is the name of the result; rename it"),
        ({"who": ["a", None, "a", None, "a"]}, {}, "column 'who' is empty in row 2 and 1 more; fill it in"),
        ({"minute": [1, 2, 3, 4, None]}, {}, "column 'minute' is empty in row 5; fill it in"),
        ({"minute": [1, 2, 1, 2, 1]}, {}, "who 'b' has 3 rows at minute 1; average them, or give a finer time"),
        ({"minute": ["x", "y", "z", "u", "v"]}, {}, "'minute' cannot be the time: it holds String, such as 'x'; expected num"),
        (
            {"word": ["x", "y", "z", "u", "v"]},
            {},
            "column 'word' varies within 'who' and holds String, expected numbers; leave",
        ),
        ({"list": [[1]] * 5}, {}, r"column 'list' holds List\(Float64\), expected one value per step; leave it out"),
        ({"pulse": [1] * 5, "up": [True] * 5}, {}, "no column varies within 'who'; name the channels"),
    ],
)
def test_gather_refuses(change, options, message):
    with pytest.raises(SchemaError, match=message):
        gather_series(LONG.with_columns(**{k: pl.Series(v) for k, v in change.items()}), "who", **{"time": "minute"} | options)
