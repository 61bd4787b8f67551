"""What a fit notes of rows that a random split does not keep apart, and of columns that give the target away."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from sklearn import datasets

import lamina
from lamina.fitting.fit import _suspected
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings

RNG = np.random.default_rng(0)


def suspected(columns, target="y", **options):
    settings = Settings(target, **options).check()
    return _suspected(prepare(pl.DataFrame(columns), settings), settings)


def people(rows=600, per_person=6):
    """Rows of people, each with a level of their own and constant columns."""
    person = np.arange(rows) // per_person
    level = RNG.normal(size=rows)[person]
    return {
        "patient_id": person,
        "age": RNG.integers(20, 90, rows)[person],
        "weight": RNG.normal(70, 10, rows)[person],
        "x": RNG.normal(size=rows),
        "y": level + RNG.normal(scale=0.3, size=rows),
    }


def test_a_fit_says_that_rows_of_a_person_are_split_at_random(tmp_path):
    rows = people()
    model = lamina.fit(rows, "y", family="boosting", seed=0, monitor=None, trust=False)
    (note,) = model.model_.card["notes"]
    assert note.startswith("scores may be better than on new rows: patient_id has 100 values in 600 rows")
    assert note.endswith('use group="patient_id"')
    assert lamina.fit(rows, "y", family="linear", group="patient_id", seed=0, monitor=None).model_.card["notes"] == []


def test_a_drift_in_time_is_said_once_a_date_is_not_the_time():
    days = [date(2020, 1, 1) + timedelta(days=i) for i in range(700)]
    drift = RNG.normal(size=700).cumsum()
    rows = {"day": days, "x": RNG.normal(size=700), "y": drift + RNG.normal(scale=0.2, size=700)}
    shuffled = pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=0)
    for given in (rows, shuffled):
        (note,) = suspected(given)
        assert note.endswith('use time="day"')
    assert suspected(rows, time="day") == []


def test_a_counter_of_steps_rises_in_the_order_in_which_rows_are_given():
    rows = {"step": np.arange(800) * 3, "x": RNG.normal(size=800), "y": RNG.normal(size=800).cumsum()}
    assert [note.endswith('use time="step"') for note in suspected(rows)] == [True]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("form", ["series", "columns"])
def test_windows_of_a_series_are_named(form, shuffle):
    series = RNG.normal(size=700).cumsum()
    windows = sliding_window_view(series, 20)[:-1]
    target = series[20:]
    if shuffle:
        order = RNG.permutation(len(windows))
        windows, target = windows[order], target[order]
    columns = {"wave": windows.tolist()} if form == "series" else {f"x{i}": windows[:, i] for i in range(20)}
    notes = suspected({**columns, "y": target})
    assert any("they are windows of a longer series; use time= or group=" in note for note in notes)
    parts = np.where(np.arange(len(windows)) < 500, "train", "validation")
    assert suspected({**columns, "y": target, "part": parts}, split="part") == []


def test_lags_among_other_columns_are_windows():
    series = RNG.normal(size=400).cumsum()
    lags = {f"lag {i}": series[3 - i : len(series) - i] for i in (1, 2, 3)}
    rows = {"weekday": np.arange(397) % 7, **lags, "rain": RNG.normal(size=397), "y": series[3:]}
    assert any("lag 1 to lag 3 move on by one from row to row" in note for note in suspected(rows))


def test_a_copy_of_the_target_is_said():
    rows = people(per_person=1)
    rows["score"] = np.exp(rows["y"])
    assert [note.endswith('use drop="score"') for note in suspected(rows)] == [True]


def test_no_alarm_without_a_leak():
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_diabetes):
        assert suspected(load(as_frame=True).frame, "target") == []
    images = RNG.random((40, 8, 8))
    assert suspected({"a": images.tolist(), "y": ["p", "q"] * 20}) == []
    waves = [np.sin(np.arange(30) * speed).tolist() for speed in RNG.random(60)]
    assert suspected({"wave": waves, "y": ["p", "q"] * 30}) == []
    assert suspected({"wave": RNG.integers(0, 3, (60, 30)).tolist(), "y": ["p", "q"] * 30}) == []


def test_a_copy_is_found_among_many_columns():
    rows = {f"x{i}": RNG.normal(size=300) for i in range(60)} | {"never": [None] * 299 + [1.0]}
    rows["y"] = rows["x0"] + RNG.normal(size=300)
    assert suspected(rows) == []
    rows["late"] = rows["y"] ** 3
    assert [note.endswith('use drop="late"') for note in suspected(rows)] == [True]
