"""Folds: every row is asked about once a deal, classes in proportion, groups whole, time forwards; and what is refused."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.fitting.folds import draw
from lamina.tasks import Task


def drawn(table, target="y", roles=None, **asked):
    schema = Schema.infer(table, target=target, roles=roles or {})
    return draw(table, schema, Task.infer(table, target, min_class_rows=1), **asked)


def classes(*counts):
    labels = [label for label, count in zip("abcdef", counts, strict=False) for _ in range(count)]
    return pl.DataFrame({"x": np.arange(len(labels)) / 7, "y": labels})


@settings(max_examples=30)
@given(
    counts=st.lists(st.integers(3, 30), min_size=2, max_size=4),
    folds=st.integers(2, 6),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_every_row_is_asked_about_once_a_deal_and_each_class_in_proportion(counts, folds, repeats, seed):
    table = classes(*counts)
    found = drawn(table, folds=folds, repeats=repeats, seed=seed)
    assert len(found) == folds * repeats
    for start in range(0, len(found), folds):
        asked = np.concatenate(found.test[start : start + folds])
        assert sorted(asked) == list(range(len(table)))
    codes = table["y"].rank("dense").to_numpy() - 1
    for train, test in zip(found.train, found.test, strict=True):
        assert sorted(np.concatenate([train, test])) == list(range(len(table)))
        exact = np.bincount(codes, minlength=len(counts)) / folds
        assert (np.abs(np.bincount(codes[test], minlength=len(exact)) - exact) < 1).all()
    again = drawn(table, folds=folds, repeats=repeats, seed=seed)
    assert all(np.array_equal(one, other) for one, other in zip(found.test, again.test, strict=True))


def test_a_class_with_fewer_rows_than_folds_is_dealt_out_and_said():
    found = drawn(classes(40, 2), folds=5)
    few = "too few rows for so many folds; merge_rare=True merges rare classes"
    assert found.notes == (f"class 'b' has no test row in up to 3 of 5 folds: {few}",)
    found = drawn(classes(40, 20, 1), folds=5)
    assert found.notes == (
        f"class 'c' has no training row in up to 1 of 5 folds: {few}",
        f"class 'c' has no test row in up to 4 of 5 folds: {few}",
    )
    said = r"fold \d of 5 would train only on rows where 'y' is 'a': 1 row of 41 has another value; give more of these"
    with pytest.raises(DataError, match=said):
        drawn(classes(40, 1), folds=5)


def test_a_target_that_is_nearly_constant():
    table = pl.DataFrame({"x": np.arange(40) / 7, "y": np.where(np.arange(40) == 3, 1.5, 0.0)})
    with pytest.raises(DataError, match="would train only on rows where 'y' is 0.0: 1 row of 40 has another value"):
        drawn(table, folds=5)
    several = table.with_columns(z=pl.col("x") * 2)
    with pytest.raises(DataError, match="rows where 'y' is 0.0"):
        drawn(several, ["z", "y"], folds=5)


def test_a_group_is_wholly_on_one_side():
    random = np.random.default_rng(0)
    table = classes(60, 60).with_columns(pl.Series("who", random.integers(0, 12, 120)).cast(pl.String))
    for target, kind in (("y", "class"), ("x", "value")):
        found = drawn(table, target, roles={"who": "group"}, folds=4, repeats=2)
        for train, test in zip(found.train, found.test, strict=True):
            assert not set(table["who"].gather(train)) & set(table["who"].gather(test)), kind
    assert found.how == "4 folds at random, each who on one side, 2 times"
    with pytest.raises(DataError, match="'who' has 12 groups, which cannot make 13 folds; take at most 12 folds"):
        drawn(table, roles={"who": "group"}, folds=13)


def grouped(*sizes):
    who = [name for name, size in zip(["big", "p", "q", "r", "s", None], sizes, strict=False) for _ in range(size)]
    return pl.DataFrame({"x": np.arange(len(who)) / 7, "y": ["a", "b"] * (len(who) // 2), "who": who})


def test_groups_that_are_too_few_or_too_large():
    drawn(grouped(10, 10, 10), roles={"who": "group"}, folds=3)
    for table, folds, said in (
        (grouped(20), 2, "the group column 'who' holds a single group, expected at least 3; name another column or none"),
        (grouped(10, 10), 2, "the group column 'who' holds 2 groups, expected at least 3"),
        (
            grouped(10, 10, 10),
            2,
            "3 groups of 'who' leave one of 2 folds with a single one .*; take more folds, or another column",
        ),
        (grouped(10).with_columns(who=pl.lit(None, pl.String)), 2, "the group column 'who' has no value in any row"),
    ):
        with pytest.raises(DataError, match=said):
            drawn(table, roles={"who": "group"}, folds=folds)
    found = drawn(grouped(60, 5, 5, 5, 5), roles={"who": "group"}, folds=3)
    assert found.notes == (
        "who 'big' has 60 of 80 rows: the fold with them as test rows trains on 20 rows only, so scores differ much "
        "from fold to fold",
    )


def test_rows_without_a_group_or_a_time_are_said():
    table = grouped(10, 10, 10, 10, 0, 10)
    found = drawn(table, roles={"who": "group"}, folds=5)
    assert found.notes == ("10 rows without a value in who: kept together as one group",)
    lone = table["who"].is_null().to_numpy()
    assert sorted(lone[test].sum() for test in found.test) == [0, 0, 0, 0, 10]
    table = table.with_columns(day=pl.when(pl.int_range(50) >= 10).then(pl.int_range(50)))
    found = drawn(table.drop("who"), roles={"day": "time"}, folds=3)
    assert found.notes == ("10 rows without a value in day: only training rows",)
    assert all(set(range(10)) <= set(train) for train in found.train)


def test_time_runs_forwards():
    days = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 4, 9), interval="1d", eager=True)
    table = pl.DataFrame({"day": days, "x": np.arange(100) / 7, "y": ["a", "b"] * 50}).sample(fraction=1, shuffle=True, seed=1)
    found = drawn(table, roles={"day": "time"}, folds=4)
    assert (len(found), found.how) == (4, "4 folds from the past to the future by day")
    for train, test in zip(found.train, found.test, strict=True):
        assert table["day"].gather(train).max() < table["day"].gather(test).min()
        assert 18 <= len(test) <= 22
    assert [len(train) for train in found.train] == sorted(len(train) for train in found.train)
    with pytest.raises(DataError, match="has too few different times for 4 folds .*; take fewer folds, or another column"):
        drawn(table.with_columns(day=pl.Series([2000 + i // 20 for i in range(100)])), roles={"day": "time"}, folds=4)
    with pytest.raises(DataError, match="has too few different times for 4 folds"):
        drawn(table.with_columns(pl.lit(1).alias("day")), roles={"day": "time"}, folds=4)
    with pytest.raises(DataError, match="holds neither dates nor numbers"):
        drawn(table.with_columns(pl.lit("soon").alias("day")), roles={"day": "time"}, folds=4)


def test_a_split_column_is_one_fold():
    table = classes(10, 10).with_columns(pl.Series("part", ["train", "test"] * 10))
    found = drawn(table, roles={"part": "split"})
    assert found.how == "one fold, by the column part"
    assert found.test[0].tolist() == list(range(1, 20, 2))
    assert found.test_share == 0.5


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(DataError, match="3 rows cannot make 5 folds; give more rows, or fewer folds"):
        drawn(pl.DataFrame({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "a"]}), folds=5)
    table = classes(9, 9).with_columns(pl.lit("a").alias("g"), pl.int_range(18).alias("t"))
    with pytest.raises(DataError, match=r"2 columns say how to split: g \(group\), t \(time\); keep one"):
        drawn(table, roles={"g": "group", "t": "time"})
