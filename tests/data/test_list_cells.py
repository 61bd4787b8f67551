"""Lists of numbers in the cells of a file, as ``to_csv`` writes them, are series."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import lamina
from lamina.data.readings import learn
from lamina.data.schema import Schema


def test_how_lists_are_written():
    cells = ["[0.1, 0.2]", "[1 2 3]", "[ 1.   -2.5e-3\n  nan]", "[4]", "[None, 5]", "n/a"]
    readings, table = learn(pl.DataFrame({"wave": cells}))
    assert readings["wave"].written() == "written as lists of numbers"
    expected = [[0.1, 0.2], [1, 2, 3], [1, -0.0025, np.nan], [4], [np.nan, 5]]
    for values, right in zip(table["wave"].to_list()[:5], expected, strict=True):
        np.testing.assert_array_equal(values, right)
    assert table["wave"][5] is None


@pytest.mark.parametrize(
    "cells", [["[a, b]", "[c, d]"], ["[1] Smith 2020", "[2] Jones 2021"], ["[]", "[]"], ["[1 2 ... 3]"] * 2]
)
def test_what_is_no_list(cells):
    _, table = learn(pl.DataFrame({"cell": cells}))
    assert table["cell"].dtype == pl.String


@pytest.mark.parametrize("form", ["list", "numpy"])
def test_a_file_of_pandas_is_that_of_its_frame(form, tmp_path):
    draw = np.random.default_rng(0)
    waves = [draw.normal(size=6).round(3) + shift for shift in (0, 3) for _ in range(30)]
    frame = pd.DataFrame({"wave": [wave.tolist() if form == "list" else wave for wave in waves], "y": ["a"] * 30 + ["b"] * 30})
    frame.to_csv(tmp_path / "waves.csv", index=False)
    options = {"family": "linear", "trust": False, "monitor": None}
    model = lamina.fit(tmp_path / "waves.csv", "y", **options)
    assert model.model_.schema["wave"].kind == "series"
    np.testing.assert_array_equal(model.predict_proba(tmp_path / "waves.csv"), model.predict_proba(frame))
    kept = lamina.load(model.save(tmp_path / "m.lamina"))
    np.testing.assert_array_equal(kept.predict_proba(tmp_path / "waves.csv"), model.predict_proba(frame))


def test_periods_and_nullable_columns_of_pandas_are_what_they_mean():
    frame = pd.DataFrame(
        {
            "month": pd.period_range("2020-01", periods=40, freq="M"),
            "size": pd.array([1, 2, 3, None] * 10, dtype="Int64"),
            "x": np.ma.masked_array(np.arange(40) / 7, mask=np.arange(40) % 4 == 0).filled(np.nan),
            "y": ["a", "b"] * 20,
        }
    )
    schema = Schema.infer(frame, target="y")
    assert schema["month"].kind == "date"
    assert [schema[name].details["missing"] for name in ("size", "x")] == [0.25, 0.25]
