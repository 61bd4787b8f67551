"""Leakage between folds, and tables without any."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import ttest_1samp
from sklearn import datasets

from lamina.data.rowhash import hash_column
from lamina.data.schema import Schema
from lamina.errors import DataError
from lamina.leaks import Leak, duplicates, find_leaks, folds
from lamina.leaks.rows import Rows, frequency_codes, losses, predict_out_of_fold
from lamina.tasks import Task


def leaks(columns, target="y", *, roles=None, kinds=None, seed=0):
    table = pl.DataFrame(columns)
    schema = Schema.infer(table, target=target, roles=roles, kinds=kinds)
    return find_leaks(table, schema, Task.infer(table, target), seed=seed)


def findings(*args, **options):
    return [(leak.kind, leak.remedy) for leak in leaks(*args, **options)]


def plain(rows=600, seed=0):
    """Three numbers that predict the target in part."""
    draw = np.random.default_rng(seed)
    columns = {f"x{i}": draw.normal(size=rows) for i in range(3)}
    columns["y"] = np.where(columns["x0"] + columns["x1"] + draw.normal(size=rows) > 0, "yes", "no")
    return columns


def with_duplicates(columns, count):
    return {name: np.concatenate([values, values[:count]]) for name, values in columns.items()}


def test_a_leak_as_one_line_and_as_json():
    leak = Leak("group", ("customer",), "customer has 3 values", 'group="customer"')
    assert str(leak) == 'group: customer has 3 values; use group="customer"'
    assert leak.to_json() == {
        "kind": "group",
        "columns": ["customer"],
        "evidence": "customer has 3 values",
        "remedy": 'group="customer"',
    }


def test_a_name_with_quotes_can_be_typed_as_it_is_shown():
    columns = plain()
    columns['a "b"'] = columns["y"] == "yes"
    assert findings(columns) == [("target copy", 'drop="a \\"b\\""')]


def test_a_table_that_lacks_a_column_is_refused():
    table = pl.DataFrame(plain())
    with pytest.raises(DataError, match="the table lacks the column 'x1' of its schema; give the table that the schema is of"):
        find_leaks(table.drop("x1"), Schema.infer(table, target="y"), Task.infer(table, "y"))


# ---------------------------------------------------------------- no alarm


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes"])
def test_real_tables_without_a_fault_raise_no_alarm(name):
    frame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    assert leaks({column: frame[column].to_numpy() for column in frame}, "target") == ()


@pytest.mark.parametrize("seed", range(10))
def test_noise_raises_no_alarm(seed):
    draw = np.random.default_rng(seed)
    rows = int(draw.integers(20, 800))
    day = [date(2020, 1, 1) + timedelta(days=int(days)) for days in draw.integers(0, 400, rows)]
    columns = {
        "customer": draw.integers(0, rows // 4, rows),
        "code": [f"A{code:03d}" for code in draw.integers(0, rows // 3, rows)],
        "day": day,
        "few": draw.integers(0, 3, rows),
        "gaps": np.where(draw.random(rows) < 0.4, np.nan, draw.normal(size=rows)),
        "flag": draw.random(rows) < 0.1,
        "y": draw.normal(size=rows) if seed % 2 else draw.choice(["a", "b"], rows),
    }
    assert leaks(columns, seed=seed) == ()


@pytest.mark.parametrize("rows", [2, 3, 7, 30])
def test_a_handful_of_rows_says_nothing(rows):
    columns = {"x": np.arange(rows) / 7, "who": ["a", "b"] * rows, "y": [0.5, 1.5, 2.5] * rows}
    assert leaks({name: list(values)[:rows] for name, values in columns.items()}) == ()


def test_empty_and_constant_columns_are_no_leak():
    columns = plain()
    rows = len(columns["y"])
    empty = {"nothing": [None] * rows, "same": [1] * rows, "huge": np.full(rows, 1e300), "infinite": np.full(rows, np.inf)}
    empty["huge"][0] = -1e300
    assert leaks({**empty, **columns}) == ()


def test_the_same_seed_finds_the_same():
    assert leaks(patients(), seed=3) == leaks(patients(), seed=3) != ()


# ---------------------------------------------------------------- duplicates


def test_duplicates_are_counted():
    (leak,) = leaks(with_duplicates(plain(), 60))
    assert leak.kind == "duplicates"
    assert leak.columns == ()
    assert leak.remedy == "unique=True"
    assert leak.evidence == (
        "60 of 660 rows (9.1%) equal an earlier row, 100% of them with the same target; about 0 expected by chance"
    )


def test_duplicates_in_rows_sorted_by_the_target_need_not_all_agree():
    columns = with_duplicates(plain(), 60)
    columns["y"][[3, 7, 11]] = "no"
    order = np.argsort(columns["y"], kind="stable")
    assert findings({name: values[order] for name, values in columns.items()}) == [("duplicates", "unique=True")]


def test_few_duplicates_are_not_reported():
    assert leaks(with_duplicates(plain(2000), 15)) == ()


def test_coarse_values_agree_by_chance():
    draw = np.random.default_rng(0)
    columns = {f"c{i}": draw.integers(0, 4, 2000) for i in range(5)}
    columns["y"] = np.where(sum(columns.values()) > 7, "a", "b")  # so equal rows share it, as duplicates do
    table = pl.DataFrame(columns)
    assert table.is_duplicated().mean() > 0.7
    assert leaks(columns) == ()


def test_duplicates_of_coarse_values_are_more_than_chance():
    draw = np.random.default_rng(0)
    columns = {f"c{i}": draw.integers(0, 8, 2000) for i in range(6)}
    columns["y"] = np.where(columns["c0"] + draw.integers(0, 3, 2000) > 4, "a", "b")
    assert leaks(columns) == ()
    (leak,) = leaks(with_duplicates(columns, 200))
    assert leak.kind == "duplicates"


def test_chance_is_what_the_product_of_the_columns_lets_one_expect():
    draw = np.random.default_rng(0)
    sides = np.array([3, 5, 8, 11])
    hashes = [hash_column(pl.Series(draw.integers(0, side, 4000)), place) for place, side in enumerate(sides)]
    chance, freest = duplicates.expected(hashes)
    product = 4000 * 3999 / 2 / sides.prod()
    assert abs(chance / product - 1) < 0.1
    assert freest == 3
    assert abs(duplicates.repeats(np.sum(hashes, axis=0))[1] / product - 1) < 0.1


def test_repeats_are_rows_and_pairs():
    assert duplicates.repeats(np.array([7, 7, 7, 1, 2, 2], dtype=np.uint64)) == (3, 4)


def test_the_same_settings_with_other_results_are_measurements():
    columns = with_duplicates(plain(), 300)
    columns["y"] = np.random.default_rng(0).normal(size=900)
    assert leaks(columns) == ()


def test_duplicates_that_differ_in_one_column():
    columns = with_duplicates(plain(), 60)
    columns["note"] = np.random.default_rng(0).normal(size=660)
    (leak,) = leaks(columns)
    assert (leak.kind, leak.columns) == ("duplicates", ("note",))
    assert "60 of 660 rows (9.1%) equal an earlier row in all but note" in leak.evidence


def test_duplicates_in_one_group_are_not_reported():
    columns = with_duplicates(plain(), 60)
    columns["site"] = np.concatenate([np.arange(600), np.arange(60)]) % 50
    assert findings(columns, roles={"site": "group"}) == []
    columns["site"] = np.concatenate([np.arange(600), np.arange(60) + 1]) % 50
    assert findings(columns, roles={"site": "group"}) == [("duplicates", "unique=True")]


def test_texts_and_series_are_compared_too():
    texts = [f"a text of more than six words, the one with number {i}, to be read" for i in range(300)]
    columns = {"text": [*texts, *texts[:30]], "y": ["a", "b"] * 165}
    assert findings(columns) == [("duplicates", "unique=True")]
    series = np.random.default_rng(0).normal(size=(300, 8)).tolist()
    columns = {"sound": [*series, *series[:30]], "y": ["a", "b"] * 165}
    assert findings(columns) == [("duplicates", "unique=True")]


def test_a_lone_column_agrees_by_chance():
    draw = np.random.default_rng(0)
    x = draw.integers(0, 50, 500)
    assert leaks({"x": x, "y": np.where(x % 2 == 0, "even", "odd")}) == ()


# ---------------------------------------------------------------- target copies


def test_codes_of_the_classes_are_copies_all_of_them():
    columns = plain()
    yes = columns["y"] == "yes"
    columns |= {"code": np.where(yes, 7, 3), "word": np.where(yes, "Z", "A")}
    assert findings(columns) == [("target copy", 'drop="code"'), ("target copy", 'drop="word"')]
    assert leaks(columns)[0].evidence.startswith("code alone explains 100.0% of the variance of y, all other columns")


def test_the_target_in_another_unit_is_a_copy_and_a_good_predictor_is_none():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(500, 3))
    y = x.sum(axis=1) + draw.normal(size=500)
    columns = {"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y}
    assert findings(columns | {"dollars": np.exp(y).round(3)}) == [("target copy", 'drop="dollars"')]
    assert findings(columns | {"backwards": -y}) == [("target copy", 'drop="backwards"')]
    assert findings(columns | {"good": y + 0.3 * draw.normal(size=500)}) == []


def test_an_easy_task_is_no_leak():
    draw = np.random.default_rng(0)
    yes = draw.random(500) < 0.5
    columns = {"exact": yes * 9 + draw.normal(size=500), "good": yes * 5 + draw.normal(size=500), "y": yes}
    assert findings(columns) == []
    columns["good"] = yes * 1 + draw.normal(size=500)
    assert findings(columns) == [("target copy", 'drop="exact"')]


def test_an_ignored_column_is_not_reported():
    columns = plain()
    columns["code"] = columns["y"] == "yes"
    assert findings(columns, roles={"code": "ignored"}) == []


# ---------------------------------------------------------------- after the fact


@pytest.mark.parametrize("blank", [None, 0.0, -1.0])
def test_an_amount_for_one_class_only(blank):
    columns = plain()
    draw = np.random.default_rng(0)
    paid = (columns["y"] == "yes") & (draw.random(600) < 0.5)
    amounts = draw.uniform(10, 90, 600)
    columns["refund"] = [amount if there else blank for amount, there in zip(amounts.tolist(), paid.tolist(), strict=True)]
    (leak,) = leaks(columns)
    assert (leak.kind, leak.remedy) == ("after the fact", 'drop="refund"')
    sign = "has a value" if blank is None else f"is not {blank:g}"
    assert leak.evidence.startswith(f"refund {sign} in {paid.sum():,} rows: all of them have y = yes, as 4")


@pytest.mark.parametrize(("word", "sign"), [(None, "has a value"), ("none", "has a value"), ("unknown", "has a value")])
def test_words_and_dates_for_one_class_only(word, sign):
    columns = plain()
    draw = np.random.default_rng(0)
    there = (columns["y"] == "no") & (draw.random(600) < 0.6)
    causes = draw.choice(["heart", "lung", "fall"], 600).tolist()
    columns["cause"] = [cause if some else word for cause, some in zip(causes, there.tolist(), strict=True)]
    columns["ended"] = [date(2024, 1, 1 + i % 28) if some else None for i, some in enumerate(there.tolist())]
    assert findings(columns) == [("after the fact", 'drop="cause"'), ("after the fact", 'drop="ended"')]
    assert f"cause {sign} in {there.sum()} rows: all of them have y = no" in leaks(columns)[0].evidence


def test_a_flag_raised_for_one_class_only():
    columns = plain()
    columns["dunned"] = np.where((columns["y"] == "yes") & (np.random.default_rng(0).random(600) < 0.7), "y", "n")
    assert findings(columns) == [("after the fact", 'drop="dunned"')]


def test_a_value_of_nought_for_costs_of_nought():
    draw = np.random.default_rng(0)
    ill = draw.random(600) < 0.5
    columns = {"age": draw.integers(20, 90, 600), "y": np.where(ill, draw.gamma(2, 100, 600), 0.0)}
    columns["nights"] = np.where(ill, draw.integers(1, 9, 600), 0)
    assert findings(columns) == [("after the fact", 'drop="nights"')]
    assert "have y = 0, as 5" in leaks(columns)[0].evidence or "have y other than 0, as 5" in leaks(columns)[0].evidence


def test_values_missing_for_any_class_are_no_leak():
    columns = plain()
    draw = np.random.default_rng(0)
    likely = np.where(columns["y"] == "yes", 0.8, 0.3)
    columns["lab"] = np.where(draw.random(600) < likely, draw.normal(size=600), np.nan)
    assert findings(columns) == []


def test_an_indicator_that_other_columns_predict_is_no_leak():
    columns = plain()
    columns["lab"] = np.where(columns["x2"] > 0.5, 1.0, np.nan)
    columns["y"] = np.where((columns["x2"] > 0) ^ (np.random.default_rng(1).random(600) < 0.01), "yes", "no")
    assert findings(columns) == []


# ---------------------------------------------------------------- groups


def patients(seed=0, name="patient"):
    """150 patients with 2 to 9 visits; age and height identify them, and the target is constant for most."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(150), draw.integers(2, 10, 150))
    who = draw.permutation(who)
    own = draw.random(150) < 0.5
    return {
        name: draw.permutation(9000)[:150][who],
        "age": draw.normal(50, 15, 150)[who],
        "height": draw.normal(170, 9, 150)[who],
        "pulse": draw.normal(70, 9, len(who)),
        "y": np.where(own[who] ^ (draw.random(len(who)) < 0.03), "ill", "well"),
    }


def test_rows_of_one_patient_are_alike():
    columns = patients()
    (leak,) = leaks(columns)
    assert (leak.kind, leak.columns, leak.remedy) == ("group", ("patient",), 'group="patient"')
    rows = len(columns["y"])
    assert leak.evidence.startswith(f"patient has 150 values in {rows:,} rows; two rows of one patient have the same")
    assert "two random rows in 50%; random folds explain" in leak.evidence


def test_a_group_without_a_name_is_found_by_columns_constant_in_it():
    assert findings(patients(name="nummer")) == [("group", 'group="nummer"')]


def test_columns_that_hardly_vary_identify_no_group():
    draw = np.random.default_rng(0)
    who = draw.permutation(np.repeat(np.arange(200), 5))
    rare = {name: draw.random(1000) < 0.03 for name in ("flooded", "burnt")}
    target = draw.normal(size=200)[who] + 0.5 * draw.normal(size=1000)
    table = pl.DataFrame({"nummer": draw.permutation(10_000)[:200][who], **rare, "x": draw.normal(size=1000), "y": target})
    rows = Rows.from_table(table, Schema.infer(table, target="y"), Task.infer(table, "y"), 0)
    assert folds._group_columns(rows) == []


def test_a_group_with_its_role_is_not_reported():
    assert findings(patients(), roles={"patient": "group"}) == []
    columns = patients()
    columns["part"] = np.where(columns["patient"] % 5 == 0, "valid", "train")
    assert findings(columns, roles={"part": "split"}) == []


def test_customers_whose_habit_no_other_column_predicts():
    draw = np.random.default_rng(0)
    who = draw.permutation(np.repeat(np.arange(200), 5))
    codes = np.array([f"C{code:04d}" for code in draw.permutation(10_000)[:200]])
    columns = {
        "account": codes[who],
        "x": draw.normal(size=1000),
        "y": draw.normal(size=200)[who] + 0.5 * draw.normal(size=1000),
    }
    (leak,) = leaks(columns)
    assert leak.remedy == 'group="account"'
    assert "the targets of two rows of one account have a correlation of 0." in leak.evidence
    assert "folds by it 0%" in leak.evidence


def test_a_town_with_an_effect_is_a_feature():
    draw = np.random.default_rng(0)
    town = draw.integers(0, 40, 4000)
    names = np.array([f"{a}{b}ham" for a in "ABCDEFGH" for b in ("er", "ol", "un", "ist", "and")])
    columns = {"town": names[town], "size": draw.normal(size=4000)}
    columns["y"] = draw.normal(size=40)[town] + columns["size"] + 0.5 * draw.normal(size=4000)
    assert findings(columns) == []


def test_a_number_whose_order_predicts_the_target_is_a_feature():
    draw = np.random.default_rng(0)
    age = draw.integers(18, 90, 1500)
    columns = {"age": age, "x": draw.normal(size=1500), "y": np.sin(age / 10) + 0.3 * draw.normal(size=1500)}
    assert findings(columns) == []


def test_patients_whose_visits_have_independent_targets_are_no_group():
    columns = patients()
    columns["y"] = np.where(columns["pulse"] + np.random.default_rng(1).normal(size=len(columns["y"])) > 70, "fast", "slow")
    assert findings(columns) == []


def test_a_leak_must_be_large_and_significant():
    assert folds.FoldTest(0.5, 0.6, 1e-6).leaks("")
    assert not folds.FoldTest(0.5, 0.54, 1e-6).leaks("")
    assert not folds.FoldTest(0.5, 0.9, 5e-3).leaks("")
    assert folds.FoldTest(0.5, 0.9, 5e-3).leaks("person")
    assert not folds.FoldTest(-3.0, 0.04, 0.0).leaks("person")  # nothing is explained either way


def test_the_error_counts_each_group_once():
    draw = np.random.default_rng(0)
    worse = draw.normal(0.1, 1, 400)
    trial = folds._fold_test(worse, np.zeros(400), np.arange(400))
    np.testing.assert_allclose(trial.p_value, ttest_1samp(worse, 0, alternative="greater").pvalue, rtol=1e-9)
    twice = folds._fold_test(np.repeat(worse, 2), np.zeros(800), np.repeat(np.arange(400), 2))
    np.testing.assert_allclose(twice.p_value, trial.p_value, rtol=1e-9)


def test_the_group_effect_leaves_the_row_out():
    residuals = np.array([[1.0], [2.0], [6.0], [5.0]])
    predictions = folds._group_effect(residuals, np.array([0, 0, 0, 1]))
    np.testing.assert_allclose(predictions[:, 0], [8 / 3, 7 / 3, 1.0, 0.0])


# ---------------------------------------------------------------- time


def wandering(seed=0, rows=1200):
    """A row an hour; the level wanders."""
    draw = np.random.default_rng(seed)
    level = np.cumsum(draw.normal(size=rows))
    start = np.datetime64("2023-05-01T00:00")
    x = draw.normal(size=rows)
    return {
        "at": (start + np.arange(rows) * np.timedelta64(60, "m")).astype("datetime64[us]"),
        "x": x,
        "y": level + x + 0.1 * draw.normal(size=rows),
    }


def test_a_level_that_drifts_is_temporal_leakage_in_any_order_of_rows():
    columns = wandering()
    order = np.random.default_rng(1).permutation(1200)
    for ordered in (columns, {name: values[order] for name, values in columns.items()}):
        (leak,) = leaks(ordered)
        assert (leak.kind, leak.remedy) == ("time", 'time="at"')
        assert leak.evidence.startswith("rows close to each other in at are similar: random folds explain 9")


def test_seconds_since_1970_and_numbers_named_like_a_time_count_if_they_rise():
    columns = wandering()
    order = np.random.default_rng(1).permutation(1200)
    seconds = columns.pop("at").astype("datetime64[s]").astype(np.int64)
    assert findings({"clock": seconds, **columns}) == [("time", 'time="clock"')]
    assert findings({"week": np.arange(1200) // 7, **columns}) == [("time", 'time="week"')]
    assert findings({"floor": np.arange(1200) // 7, **columns}) == []
    mixed = {"week": np.arange(1200) // 7, **columns}
    assert findings({name: values[order] for name, values in mixed.items()}) == []


def test_a_date_along_which_nothing_changes_is_only_a_date():
    columns = wandering()
    columns["y"] = columns["x"] + 0.3 * np.random.default_rng(0).normal(size=1200)
    assert findings(columns) == []


def test_a_time_with_its_role_is_not_reported():
    assert findings(wandering(), roles={"at": "time"}) == []


def test_a_birthday_is_a_feature():
    columns = wandering()
    columns["date_of_birth"] = columns.pop("at")
    assert findings(columns) == []


def test_rows_sorted_by_the_target_are_not_in_the_order_of_time():
    columns = plain()
    order = np.argsort(columns["y"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    assert findings({"id": np.arange(600), **columns}) == []


# ---------------------------------------------------------------- the parts


def test_codes_count_from_the_most_frequent_down():
    assert frequency_codes(pl.Series(["b", "a", None, "b", "c", "c", "c"])).to_list() == [1, 2, None, 1, 0, 0, 0]


def test_without_inputs_the_mean_of_the_other_folds_is_predicted():
    targets = np.array([[0.0], [2.0], [4.0], [10.0]])
    predictions = predict_out_of_fold(np.empty((4, 0)), targets, np.array([0, 0, 1, 1]), 0)
    np.testing.assert_array_equal(predictions[:, 0], [7, 7, 1, 1])
    assert losses(np.full((4, 1), targets.mean()), targets).mean() == 1


def test_a_feature_is_left_out_with_all_inputs_made_of_it():
    table = pl.DataFrame({"d": [date(2020, 1, day) for day in range(1, 9)], "x": np.arange(8) / 3, "y": [0.5, 1.5] * 4})
    rows = Rows.from_table(table, Schema.infer(table, target="y"), Task.infer(table, "y"), 0)
    assert rows.inputs.shape == (8, 5)
    np.testing.assert_allclose(rows.without("d")[:, 0], np.arange(8) / 3, rtol=1e-6)
    assert rows.without("d", "x").shape == (8, 0)
