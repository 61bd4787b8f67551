"""Series become summary statistics: closed forms, a plain reading beside the fast one, and whatever a series may hold."""

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats
from sklearn.preprocessing import RobustScaler

from lamina.data.columns.steps import SeriesBlock
from lamina.data.columns.summary import STATISTICS, SummaryBlock
from lamina.data.encode import Encoder
from lamina.data.encoding import Encoding, Input
from lamina.data.schema import Column, Schema

NAN = float("nan")
UNSCALED = Encoding(scaling="none", plain=True)


def ragged(rows, channels=1):
    return pl.Series("wave", rows, dtype=pl.List(pl.Array(pl.Float64, channels)))


def one_channel(*rows):
    return ragged([None if row is None else [[value] for value in row] for row in rows])


def statistics(*rows):
    """The statistics of series of one channel, by their names."""
    block = SummaryBlock.fit(one_channel([1], [1, 2]), UNSCALED, "series")
    found = block.transform(one_channel(*rows))["series"]
    names = block.inputs["series"].names
    assert found.dtype == np.float32
    assert names == ("wave", "number of steps", *STATISTICS)
    return [dict(zip(names[1:], row, strict=True)) for row in found.tolist()]


def plain_reading(values):
    """The statistics of one channel, a NaN where there is none, written down as the table in the docstring says it."""
    values = np.array([NAN if value is None or not math.isfinite(value) else value for value in values])
    times, known = np.flatnonzero(~np.isnan(values)), values[~np.isnan(values)]
    if not len(known):
        return [NAN] * 15 + [1.0 if len(values) else NAN]
    mean = known.mean()
    varies, several = known.min() < known.max(), len(known) > 1
    around = np.where(np.isnan(values), 0, values - mean)
    frequency = share = NAN
    if varies:
        frequencies, density = signal.periodogram(around, detrend=False)
        frequency, share = frequencies[1:][density[1:].argmax()], density[1:].max() / density[1:].sum()
    return [
        *(mean, known.std(), known.min(), known.max(), known[0], known[-1], *np.quantile(known, [0.25, 0.5, 0.75])),
        stats.linregress(times, known).slope if several else NAN,
        np.abs(np.diff(known)).mean() if several else NAN,
        (known > mean).mean(),
        ((known - mean)[1:] * (known - mean)[:-1]).sum() / ((known - mean) ** 2).sum() if varies else NAN,
        frequency,
        share,
        np.isnan(values).mean(),
    ]


def test_a_line():
    (found,) = statistics([1, 3, 5, 7])
    expected = {"number of steps": 4, "mean": 4, "standard deviation": math.sqrt(5), "smallest": 1, "largest": 7, "first": 1}
    expected |= {"last": 7, "lower quartile": 2.5, "median": 4, "upper quartile": 5.5, "slope": 2, "mean absolute change": 2}
    expected |= {"share above the mean": 0.5, "autocorrelation": (3 + -1 + 3) / 20, "share missing": 0}
    expected |= {"main frequency": 0.25, "share of the main frequency": 16 / 20}  # |X| = 4 sqrt 2, 4, 4 sqrt 2 of -3 -1 1 3
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("length", "cycles"), [(32, 3), (50, 7), (31, 1), (32, 16)])
def test_a_wave_has_one_frequency(length, cycles):
    (found,) = statistics(5 + np.cos(2 * np.pi * cycles * np.arange(length) / length))
    assert found["main frequency"] == pytest.approx(cycles / length)
    assert found["share of the main frequency"] == pytest.approx(1)
    assert found["mean"] == pytest.approx(5)


def test_a_random_walk_and_noise_differ_in_their_neighbours():
    noise = np.random.default_rng(0).normal(size=2000)
    walk, still = statistics(noise.cumsum(), noise)
    assert walk["autocorrelation"] > 0.99
    assert abs(still["autocorrelation"]) < 0.05


@pytest.mark.parametrize("length", [1, 2, 3, 10, 200])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e300])
def test_a_constant_is_one_exactly(length, value):
    (found,) = statistics([value] * length)
    level = max(value, -float(np.finfo(np.float32).max))
    for name in ("mean", "smallest", "largest", "first", "last", "lower quartile", "median", "upper quartile"):
        assert found[name] == np.float32(level)
    assert (found["standard deviation"], found["share above the mean"], found["share missing"]) == (0, 0, 0)
    none = [name for name, number in found.items() if math.isnan(number)]
    alone = ["slope", "mean absolute change"] if length == 1 else []
    assert none == [*alone, "autocorrelation", "main frequency", "share of the main frequency"]


def test_missing_steps_are_passed_over():
    spaced, closed = statistics([NAN, 1, None, 3, math.inf, 7], [1, 3, 7])
    same = set(STATISTICS) - {"slope", "share missing", "main frequency", "share of the main frequency"}
    assert {name: spaced[name] for name in same} == pytest.approx({name: closed[name] for name in same})
    assert (spaced["number of steps"], spaced["share missing"]) == (6, 0.5)
    assert spaced["slope"] == pytest.approx(1.5)  # the times were 1, 3 and 5
    assert closed["slope"] == pytest.approx(3)


def test_what_has_no_steps_or_no_value():
    empty, missing, unknown = statistics([], None, [NAN, NAN])
    assert (empty["number of steps"], unknown["number of steps"], unknown["share missing"]) == (0, 2, 1)
    assert math.isnan(missing["number of steps"])
    for found, known in ((empty, 1), (missing, 0), (unknown, 2)):
        assert sum(not math.isnan(number) for number in found.values()) == known


def test_huge_values_do_no_harm():
    (found,) = statistics([1e300, -1e300, 3e300, 0.0])
    large = float(np.finfo(np.float32).max)
    assert (found["mean"], found["smallest"]) == (large, -large)
    assert found["autocorrelation"] == pytest.approx(statistics([1, -1, 3, 0])[0]["autocorrelation"])
    extreme = one_channel([1.7e308, -1.7e308], [1.0, 2.0, 3.0])
    assert np.isfinite(SummaryBlock.fit(extreme, Encoding(), "s").transform(extreme)["s"]).all()


VALUE = st.none() | st.floats(-100, 100, width=16) | st.sampled_from([NAN, math.inf])


@given(st.lists(st.lists(st.tuples(VALUE, VALUE), max_size=9), min_size=1, max_size=6))
def test_statistics_are_as_a_plain_reading_finds_them(rows):
    values = ragged([[list(step) for step in row] for row in rows], 2)
    block = SummaryBlock("wave", "s", channels=2, steps=0)
    found = block.transform(values)["s"]
    expected = [[len(row), *(number for j in (0, 1) for number in plain_reading([step[j] for step in row]))] for row in rows]
    ties = ("main frequency", "share above the mean")  # rounding decides which of two equal ones is the larger
    tied = [1 + j * len(STATISTICS) + STATISTICS.index(name) for j in (0, 1) for name in ties]
    np.testing.assert_allclose(np.delete(found, tied, 1), np.delete(expected, tied, 1), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))


def test_tied_statistics_are_as_a_plain_reading_finds_them():
    rows = np.random.default_rng(0).normal(size=(50, 13))
    names = ("main frequency", "share above the mean")
    found = [[row[name] for name in names] for row in statistics(*rows)]
    expected = [[plain_reading(row)[STATISTICS.index(name)] for name in names] for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# The block


def test_short_series_of_one_length_are_followed_by_their_steps():
    values = ragged([[[1, 2], [3, 4], [5, 6]], None, [[7, 8], [9, NAN], [0, 1]], []], 2)
    block = SummaryBlock.fit(values, UNSCALED, "series2")
    assert (block.channels, block.steps) == (2, 3)
    steps = tuple(f"channel {channel} step {step}" for step in (1, 2, 3) for channel in (1, 2))
    each = tuple(f"channel {channel} {name}" for channel in (1, 2) for name in STATISTICS)
    assert block.inputs == {"series2": Input((39,), ("wave", "number of steps", *each, *steps), kind="summary")}
    assert block.extent == "39 summary statistics, with the 3 steps"
    rows = block.transform(values)["series2"][:, -6:]
    expected = [[1, 2, 3, 4, 5, 6], [NAN] * 6, [7, 8, 9, NAN, 0, 1], [NAN] * 6]
    np.testing.assert_array_equal(rows, expected)
    odd = ragged([[[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 2]]], 2)  # the last of a longer one, the first of a shorter one
    np.testing.assert_array_equal(block.transform(odd)["series2"][:, -6:], [[3, 4, 5, 6, 7, 8], [1, 2, *[NAN] * 4]])
    assert block.remarks(values) == ["wave: 2 of 4 series have no steps"]
    assert block.remarks(odd) == ["wave: 2 of 2 series have more or fewer than the 3 steps of training"]
    assert block.remarks(odd[:1]) == ["wave: 1 of 1 series has more or fewer than the 3 steps of training"]


@pytest.mark.parametrize(
    ("lengths", "channels", "steps"),
    [([32, 32], 2, 32), ([33, 33], 2, 0), ([64], 1, 64), ([65], 1, 0), ([3, 4], 1, 0), ([0, 0], 1, 0), ([1, 0], 64, 1)],
)
def test_steps_are_given_where_they_are_few_and_as_many_everywhere(lengths, channels, steps):
    values = ragged([[[1.0] * channels] * length for length in lengths], channels)
    block = SummaryBlock.fit(values, Encoding(), "s")
    assert block.steps == steps
    assert block.transform(values)["s"].shape == (len(lengths), 1 + channels * (len(STATISTICS) + steps))
    assert len(block.centers) == len(block.inputs["s"].names) - 1
    if not steps:
        assert block.extent == f"{1 + channels * len(STATISTICS)} summary statistics"


def test_scaling_is_the_encoders():
    rows = np.random.default_rng(0).normal(3, 2, (40, 100))
    block = SummaryBlock.fit(one_channel(*rows), Encoding(), "s")
    raw = SummaryBlock.fit(one_channel(*rows), UNSCALED, "s").transform(one_channel(*rows))["s"]
    z = RobustScaler().fit_transform(raw.astype(float))[:, 1:]  # all have 100 steps
    varies = np.ptp(raw[:, 1:], axis=0) > 0
    found = block.transform(one_channel(*rows))["s"]
    np.testing.assert_allclose(found[:, 1:][:, varies], (z / np.sqrt(1 + (z / 3) ** 2))[:, varies], rtol=1e-3, atol=1e-4)
    assert not found[:, 0].any()
    assert found.dtype == np.float32


def test_what_is_missing_is_the_middle_where_numbers_are_scaled():
    values = one_channel([1, 2, 4], [5], None, [2, 9, 3, 4])
    block = SummaryBlock.fit(values, Encoding(scaling="standard"), "s")
    found = block.transform(values)["s"]
    assert block.notes == ("wave: 1 of 4 series has no steps",)
    assert np.isfinite(found).all()
    assert not found[2].any()
    assert not found[1, 1 + STATISTICS.index("slope")]
    unknown = SummaryBlock.fit(one_channel(None, []), Encoding(), "s")
    assert (unknown.centers[1], unknown.scales[1]) == (0.0, 1.0)
    assert np.isfinite(unknown.transform(values)["s"]).all()
    assert unknown.transform(one_channel())["s"].shape == (0, 1 + len(STATISTICS))


@settings(max_examples=40)
@given(st.lists(st.none() | st.lists(st.tuples(*[st.none() | st.floats(width=64)] * 2), max_size=5), min_size=1, max_size=6))
def test_rows_and_json_change_nothing(rows):
    values = ragged([None if row is None else [list(step) for step in row] for row in rows], 2)
    for encoding in (Encoding(), UNSCALED):
        block = SummaryBlock.fit(values, encoding, "s")
        again = SummaryBlock.from_json(json.loads(json.dumps(block.to_json(), allow_nan=False)))
        assert again == block
        whole = block.transform(values)["s"]
        assert not np.isinf(whole).any()
        if encoding.scaling == "robust":
            assert np.abs(whole).max() <= 3
        for row in range(len(values)):
            np.testing.assert_array_equal(again.transform(values[row : row + 1])["s"][0], whole[row])


def test_transform_in_pieces(monkeypatch):
    draw = np.random.default_rng(0)
    values = ragged([draw.normal(size=(k % 3 * 20, 2)).tolist() for k in range(60)], 2)
    block = SummaryBlock.fit(values, UNSCALED, "s")
    whole = block.transform(values)["s"]
    monkeypatch.setattr("lamina.data.columns.summary._PIECE", 130)
    np.testing.assert_array_equal(block.transform(values)["s"], whole)


def test_the_encoder_takes_it_where_plain_rows_are_asked_for():
    table = pl.DataFrame({"wave": one_channel([1, 2, 3], [4, 5], None)})
    schema = Schema((Column("wave", "series", "feature", "", {"channels": 1}),))
    assert isinstance(Encoder.fit(table, schema).blocks[0], SeriesBlock)
    for scaling, missing in (("none", True), ("robust", False)):
        encoder = Encoder.fit(table, schema, Encoding(scaling=scaling, plain=True))
        assert isinstance(encoder.blocks[0], SummaryBlock)
        again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
        assert again == encoder
        found = again.transform(table)["series"]
        np.testing.assert_array_equal(found, encoder.transform(table)["series"])
        assert np.isnan(found).any() == missing
        assert encoder.inputs["series"].kind == "summary"
        assert encoder.unseen(table) == ["wave: 1 of 3 series has no steps"]
