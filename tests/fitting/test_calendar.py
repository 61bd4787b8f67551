"""Rows split by time: the cycles of the date are features, the time itself is not."""

from datetime import datetime

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data.schema import Schema
from lamina.errors import DataError

QUICK = {"seed": 0, "monitor": None, "trust": False}


def traffic(days=60, every="1h"):
    """Two rush hours on working days, more cars every week, and the weather."""
    when = pl.datetime_range(
        datetime(2023, 1, 2), datetime(2023, 1, 2) + pl.duration(days=days), every, closed="left", eager=True
    )
    rng = np.random.default_rng(0)
    hour, weekday = when.dt.hour().to_numpy(), when.dt.weekday().to_numpy() - 1
    rush = np.exp(-((hour - 8) ** 2) / 4) + np.exp(-((hour - 17) ** 2) / 8)
    rain = rng.normal(size=len(when))
    cars = 1000 * rush * (weekday < 5) + 300 * np.exp(-((hour - 14) ** 2) / 20) * (weekday >= 5)
    cars += 50 * rain + np.arange(len(when)) / len(when) * 50 + rng.normal(scale=20, size=len(when))
    return pl.DataFrame({"at": when, "rain": rain, "cars": cars})


@pytest.mark.parametrize("family", ["linear", "boosting"])
def test_a_fit_by_time_is_as_good_as_with_hour_and_weekday_by_hand(family):
    rows = traffic()
    model = lamina.fit(rows, "cars", time="at", family=family, **QUICK)
    late = rows["at"] >= rows["at"][int(len(rows) * 0.85)]
    parts = {"hour": pl.col("at").dt.hour(), "weekday": pl.col("at").dt.weekday(), "part": late}
    by_hand = lamina.fit(rows.with_columns(**parts).drop("at"), "cars", split="part", family=family, **QUICK)
    scores = [one.model_.card["validation"]["r2"] for one in (model, by_hand)]
    assert scores[0] > scores[1] - 0.03
    assert "at weekday (sine)" in model.model_.encoder.inputs["flags"].names
    assert "numbers" not in model.model_.encoder.inputs or "at (days)" not in model.model_.encoder.inputs["numbers"].names


def test_later_rows_are_no_remark_and_the_date_is_needed(tmp_path):
    rows = traffic(40)
    model = lamina.fit(rows[:800], "cars", time="at", family="linear", seed=0, monitor=None)
    later = rows[800:].drop("cars")
    model.save(tmp_path / "cars.lamina")
    assert model.model_.schema.check(later)[1] == []
    assert np.array_equal(lamina.load(tmp_path / "cars.lamina").predict(later), model.predict(later))
    assert not model.predict(later, trust=True)["is_novel"].all()
    with pytest.raises(lamina.LaminaError, match="lacks column 'at'"):
        model.predict(later.drop("at"))


@pytest.mark.parametrize(
    ("every", "role"), [("1h", "no feature: validation rows are later"), ("1d", "its weekday is a feature")]
)
def test_only_cycles_that_rows_repeat_are_features(every, role):
    rows = traffic(1 if every == "1h" else 60, every).head(20 if every == "1h" else 60)
    schema = Schema.infer(rows, target="cars", roles={"at": "time"})
    assert role in schema["at"].reason
    assert schema["at"].is_feature == (every == "1d")
    numbered = Schema.infer(rows.with_columns(at=pl.int_range(len(rows))), target="cars", roles={"at": "time"})
    assert [column.name for column in numbered.features] == ["rain"]


def test_a_cycle_that_training_rows_lack_is_said():
    rows = pl.concat([traffic(4).with_columns(pl.col("at").dt.offset_by("20d")).tail(20), traffic(2)])
    model = lamina.fit(rows, "cars", time="at", family="linear", validation=0.3, **QUICK)
    assert "at: weekday not among the features, training rows have no whole cycle of it" in model.model_.card["notes"]
    with pytest.raises(DataError, match="no cycle of 'at' is complete in the training rows"):
        lamina.fit(rows.with_columns(at=pl.col("at").dt.date()).drop("rain"), "cars", time="at", family="linear", **QUICK)
