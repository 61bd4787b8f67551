"""A table becomes blocks: closed forms, parity with scikit-learn, and the same numbers by either path."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from lamina.data import encode
from lamina.data.columns import category
from lamina.data.encode import Encoder, Levels, Scaled
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import Column, Schema
from lamina.errors import DataError, OptionError

KINDS = {pl.Boolean: "flag", pl.String: "category", pl.Datetime: "date"}


def schema_of(table, **roles):
    """A schema as ``Schema.infer`` would make it of a table that went through ``check``."""
    return Schema(
        tuple(
            Column(name, KINDS.get(dtype.base_type(), "number"), roles.get(name, "feature"), "so", {})
            for name, dtype in table.schema.items()
        )
    )


def fit(table, **options):
    return Encoder.fit(table, schema_of(table), Encoding(**options))


def clip(z):
    return z / math.sqrt(1 + (z / 3) ** 2)


def test_numbers_are_scaled_by_median_and_quartiles_and_clipped_smoothly():
    table = pl.DataFrame({"x": [0.0, 10, 20, 30, 40]})  # median 20, quartiles 10 and 30
    encoder = fit(table)
    assert encoder.numbers == (Scaled("x", 20.0, 20.0),)
    block = encoder.transform(table)["numbers"]
    assert block.dtype == np.float32
    np.testing.assert_allclose(block[:, 0], [clip(z) for z in (-1, -0.5, 0, 0.5, 1)], rtol=1e-6)


def test_mostly_equal_numbers_are_scaled_by_those_that_differ():
    gains = [0.0] * 92 + [1000.0, 2000, 2000, 3000, 3000, 4000, 5000, 1e300]
    encoder = fit(pl.DataFrame({"x": gains}))
    assert encoder.numbers == (Scaled("x", 0.0, 6000.0),)  # twice the median distance, 3000
    block = encoder.transform(pl.DataFrame({"x": [0.0, 3000.0, 1e300]}))["numbers"][:, 0]
    np.testing.assert_allclose(block, [0, clip(0.5), 3], rtol=1e-6)


def test_a_constant_in_training_has_width_one():
    assert fit(pl.DataFrame({"x": [7.0, 7.0]})).numbers == (Scaled("x", 7.0, 1.0),)
    assert fit(pl.DataFrame({"x": [7.0, 7.0]}), scaling="standard").numbers == (Scaled("x", 7.0, 1.0),)
    empty = pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Float64)})
    assert fit(empty).numbers == (Scaled("x", 0.0, 1.0, has_missing=True),)


def test_standard_scaling_is_scikit_learns():
    rng = np.random.default_rng(0)
    values = np.c_[rng.normal(1e6, 1e-2, 500), rng.exponential(3, 500), rng.integers(0, 5, 500)]
    table = pl.DataFrame(values, schema=["a", "b", "c"])
    scaler = StandardScaler().fit(values[:400])
    encoder = fit(table[:400], scaling="standard")
    np.testing.assert_allclose(encoder.transform(table)["numbers"], scaler.transform(values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", ["robust", "standard"])
def test_huge_and_infinite_numbers_are_harmless(scaling):
    table = pl.DataFrame({"x": [1.0, 2, 3, 4, 1e300, -1e300], "y": [1e300, -1e300, 5e299, 0, 1, 2]})
    encoder = fit(table, scaling=scaling)
    strange = pl.DataFrame({"x": [1e308, float("inf"), float("nan")], "y": [-1e308, float("-inf"), None]}, strict=False)
    block = encoder.transform(strange)["numbers"]
    assert np.isfinite(block).all()
    assert block[1:].tolist() == [[0, 0], [0, 0]]
    assert block[0, 0] > 1 > -1 > block[0, 1]
    spread = fit(pl.DataFrame({"x": [-1.7e308, 1.7e308] * 4}), scaling=scaling)
    assert np.isfinite(spread.transform(strange)["numbers"]).all()


def test_missing_numbers_are_the_middle_and_marked():
    table = pl.DataFrame({"x": [1.0, None, 3.0], "y": [1.0, 2.0, 3.0]})
    encoder = fit(table)
    blocks = encoder.transform(pl.DataFrame({"x": [None, 2.0], "y": [None, None]}, schema={"x": pl.Float64, "y": pl.Float64}))
    assert blocks["numbers"].tolist() == [[0, 0], [0, 0]]
    assert blocks["flags"].tolist() == [[1], [0]]  # y had no missing value in training
    assert encoder.inputs["flags"].names == ("x is missing",)


def test_flags_are_minus_one_and_one():
    table = pl.DataFrame({"f": [True, False, None]})
    assert fit(table).transform(table)["flags"].tolist() == [[1], [-1], [0]]


def test_categories_are_numbered_by_frequency_then_name():
    table = pl.DataFrame({"town": ["b", "c", "a", "c", None, "b", "c"]})
    encoder = fit(table)
    assert encoder.categories == (Levels("town", ("c", "b", "a")),)
    block = encoder.transform(pl.DataFrame({"town": ["a", "b", "c", "new", None]}))["categories"]
    assert block.dtype == np.int64
    assert block[:, 0].tolist() == [3, 2, 1, 0, 0]
    assert encoder.inputs == {"categories": Input((1,), ("town",), (4,), "categories", ("town",))}


def test_the_rarest_of_too_many_levels_share_a_code(monkeypatch):
    monkeypatch.setattr(category, "MOST_LEVELS", 2)
    encoder = fit(pl.DataFrame({"town": ["a", "b", "b", "c", "d", "a", "a"]}))
    assert encoder.categories == (Levels("town", ("a", "b")),)
    assert encoder.notes == ("town has 4 levels; the 2 most frequent are kept, the others (2 rows) are treated as missing",)


def test_dates_become_days_and_the_cycles_that_vary():
    days = [datetime(2024, 1, 1), datetime(2024, 1, 3), datetime(2024, 1, 5), None]  # Monday, Wednesday, Friday
    table = pl.DataFrame({"at": pl.Series(days, dtype=pl.Datetime("us"))})
    encoder = fit(table)
    middle = (datetime(2024, 1, 3, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    assert encoder.numbers == (Scaled("at", middle, 2.0, has_missing=True, is_date=True, cycles=("weekday",)),)
    assert encoder.inputs["numbers"].names == ("at (days)",)
    assert encoder.inputs["flags"].names == ("at is missing", "at weekday (sine)", "at weekday (cosine)")
    blocks = encoder.transform(table)
    np.testing.assert_allclose(blocks["numbers"][:, 0], [clip(-1), 0, clip(1), 0], rtol=1e-6)
    angle = 2 * math.pi * 2 / 7
    np.testing.assert_allclose(
        blocks["flags"][[0, 1, 3]], [[0, 0, 1], [0, math.sin(angle), math.cos(angle)], [1, 0, 0]], atol=1e-6
    )


def test_cycles_of_a_date_are_those_of_the_calendar():
    times = [datetime(1969, 7, 20, 20, 30), datetime(2024, 2, 29, 6), datetime(1999, 12, 31, 0)]
    encoder = fit(pl.DataFrame({"at": times}))
    assert encoder.numbers[0].cycles == ("month", "weekday", "hour")
    waves = encoder.transform(pl.DataFrame({"at": times}))["flags"].reshape(3, 3, 2)
    share = np.arctan2(waves[..., 0], waves[..., 1]) / (2 * np.pi) % 1
    expected = [[(t.month - 1) / 12, t.weekday() / 7, (t.hour + t.minute / 60) / 24] for t in times]
    np.testing.assert_allclose(share, expected, atol=1e-6)


def test_the_time_that_splits_the_rows_has_whole_cycles_and_no_days():
    hours = pl.datetime_range(datetime(2024, 1, 1), datetime(2024, 2, 20), "1h", eager=True).alias("at")
    rows = pl.DataFrame({"at": hours, "x": [i % 9 for i in range(len(hours))], "born": hours.reverse(), "y": range(len(hours))})
    schema = Schema.infer(rows, target="y", roles={"at": "time"})
    assert schema["at"].reason == (
        "dates from 2024-01-01 to 2024-02-20, with the time of day; its weekday and hour are features, the time itself is not: "
        "validation rows are later than all training rows"
    )
    encoder = Encoder.fit(rows, schema)
    at = next(number for number in encoder.numbers if number.name == "at")
    assert (at.cycles, at.trend) == (("weekday", "hour"), False)  # two months are no whole year
    assert encoder.inputs["numbers"].names == ("x", "born (days)")
    waves = [name for name in encoder.inputs["flags"].names if name.startswith("at")]
    assert waves[:3] == ["at weekday (sine)", "at weekday (cosine)", "at weekday (sine 2)"]
    assert len(waves) == 2 * (3 + 6)
    blocks = encoder.transform(rows.select("at", "x", "born"))
    assert blocks["numbers"].shape == (len(rows), 2)
    np.testing.assert_allclose(blocks["numbers"][:, 0], fit(rows.select("x")).transform(rows.select("x"))["numbers"][:, 0])
    phase = 2 * np.pi * 6 * (hours.dt.hour().to_numpy() / 24)
    np.testing.assert_allclose(
        blocks["flags"][:, encoder.inputs["flags"].names.index("at hour (sine 6)")], np.sin(phase), atol=1e-5
    )
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    np.testing.assert_array_equal(again.transform(rows)["flags"], blocks["flags"])
    alone = Encoder.fit(rows, Schema.infer(rows.select("at", "y"), target="y", roles={"at": "time"}))
    assert set(alone.inputs) == set(alone.transform(rows)) == {"flags"}


def everything(rows, seed=0):
    rng = np.random.default_rng(seed)
    holes = rng.random(rows) < 0.1
    at = pl.Series(rng.integers(0, 2**40, rows) * 1000).cast(pl.Datetime("us"))
    return pl.DataFrame(
        {
            **{f"x{j}": np.where(holes, np.nan, rng.normal(size=rows)) for j in range(20)},
            "flag": pl.Series(rng.random(rows) < 0.3).set(pl.Series(holes), None),
            "town": pl.Series([f"t{i}" for i in rng.integers(0, 50, rows)]).set(pl.Series(holes), None),
            "at": at.set(pl.Series(holes), None),
        }
    )


def test_one_row_is_encoded_as_among_many(monkeypatch):
    table = everything(600)
    encoder = fit(table)
    whole = encoder.transform(table)
    assert {name: block.shape[1:] for name, block in whole.items()} == {name: i.shape for name, i in encoder.inputs.items()}
    monkeypatch.setattr(encode, "_ROWS", 128)
    monkeypatch.setattr(encode, "_FEW_ROWS", 50)
    pieces = encoder.transform(table)
    for name, block in whole.items():
        assert len(encoder.inputs[name].names) == block.shape[1]
        np.testing.assert_array_equal(block, pieces[name])
        alone = np.concatenate([encoder.transform(table[i])[name] for i in range(0, 600, 7)])
        np.testing.assert_array_equal(block[::7], alone)


def test_no_rows_give_empty_blocks():
    encoder = fit(everything(20))
    assert {name: block.shape for name, block in encoder.transform(everything(20)[:0]).items()} == {
        name: (0, *block.shape) for name, block in encoder.inputs.items()
    }


def test_blocks_without_columns_are_left_out():
    table = pl.DataFrame({"x": [1.0, 2.0]})
    assert list(fit(table).inputs) == list(fit(table).transform(table)) == ["numbers"]


def test_only_features_are_encoded():
    table = pl.DataFrame({"x": [1.0, 2.0], "y": [1.0, 2.0]})
    assert Encoder.fit(table, schema_of(table, y="target")).inputs["numbers"].names == ("x",)


def test_unseen_values_are_reported():
    encoder = fit(pl.DataFrame({"town": ["a", "b"], "job": ["x", "y"]}))
    table = pl.DataFrame({"town": ["a", "c", "d", "c", None, "e", "f"], "job": ["x"] * 6 + ["z"]})
    assert encoder.unseen(table) == [
        "town: 5 rows have values not in the training rows ('c', 'd', 'e', ...), treated as missing",
        "job: 1 row has a value not in the training rows ('z'), treated as missing",
    ]
    assert encoder.unseen(table[:1]) == []


@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
    st.lists(st.one_of(st.none(), st.text()), min_size=1),
    st.lists(st.datetimes(), min_size=1),
)
def test_json_brings_back_the_same_encoder(numbers, words, times):
    rows = min(len(numbers), len(words), len(times))
    table = pl.DataFrame(
        {
            "x": pl.Series(numbers[:rows], dtype=pl.Float64),
            "word": pl.Series(words[:rows], dtype=pl.String),
            "at": pl.Series(times[:rows], dtype=pl.Datetime("us")),
        }
    )
    encoder = fit(table)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    for name, block in encoder.transform(table).items():
        assert np.isfinite(block).all()
        np.testing.assert_array_equal(again.transform(table)[name], block)
    codes = encoder.transform(table)["categories"][:, 0] if encoder.categories else []
    assert [None if code == 0 else encoder.categories[0].levels[code - 1] for code in codes] == words[:rows]


def test_wrong_scaling_and_no_columns_are_refused():
    table = pl.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(OptionError, match="scaling is 'minmax', expected 'robust', 'standard', 'none'"):
        fit(table, scaling="minmax")
    with pytest.raises(DataError, match=r"no column is left .* an ignored one \(x: so\)"):
        Encoder.fit(table, schema_of(table, x="ignored"))
    with pytest.raises(DataError, match="give a table with more columns"):
        Encoder.fit(table, schema_of(table, x="target"))
