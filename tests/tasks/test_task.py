"""Tasks: inference, encoding and decoding of targets, and targets that cannot be predicted."""

import json
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from lamina.data.scaling import moments
from lamina.errors import OptionError, TargetError
from lamina.tasks import Regression, Task


def column(values):
    return pl.DataFrame({"y": values})


def infer(values, **options):
    return Task.infer(pl.DataFrame({"y": values}), "y", **options)


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (["a", "b"] * 5, "classification", "words"),
        ([True, False] * 5, "classification", "true and false"),
        (pl.Series(["a", "b"] * 5, dtype=pl.Categorical), "classification", "words"),
        ([1, 2, 3] * 10, "classification", "3 distinct whole numbers in 30 rows"),
        ([0.0, 1.0] * 5, "classification", "2 distinct whole numbers"),
        ([0.5, 1.0] * 5, "regression", "fractions"),
        (list(range(100)), "regression", "100 distinct whole numbers"),
        (list(range(20)) * 5, "classification", "20 distinct whole numbers"),
        (list(range(20)) * 4, "regression", "20 distinct whole numbers"),
        (list(range(21)) * 10, "regression", "21 distinct whole numbers"),
        ([date(2020, 1, 1), date(2021, 1, 1)] * 3, "classification", "dates"),
    ],
)
def test_the_kind_is_found_with_a_reason(values, kind, reason):
    task = infer(values)
    assert task.name == kind
    assert reason in task.reason


def test_a_requested_kind_overrules_the_guess():
    assert infer([1, 2, 3] * 10, kind="regression").center == (2.0,)
    assert infer(list(range(9)), kind="classification", min_class_rows=1).classes == tuple(range(9))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["b", "a", "b", "a"], object),
        ([2, 1, 2, 1], np.int64),
        (pl.Series([2, 1, 2, 1], dtype=pl.UInt8), np.uint8),
        ([True, False, True, False], bool),
        (pl.Series([2.0, 1.0, 2.0, 1.0], dtype=pl.Float32), np.float32),
        ([date(2021, 1, 1), date(2020, 1, 1)] * 2, "datetime64[D]"),
        ([datetime(2021, 1, 1, 5), datetime(2020, 1, 1)] * 2, "datetime64[us]"),
        (pl.Series(["b", "a", "b", "a"], dtype=pl.Enum(["b", "a"])), object),
    ],
)
def test_labels_come_back_as_they_were_given(values, dtype):
    task = infer(values)
    codes = task.truth(column(values))
    assert codes.dtype == np.int64
    assert codes.tolist() == [1, 0, 1, 0]
    labels = task.predict(np.eye(2)[codes]).labels
    assert labels.dtype == dtype
    assert pl.Series(labels).to_list() == pl.Series(values).to_list()
    again = Task.from_json(json.loads(json.dumps(task.to_json())))
    assert again == task
    assert [type(label) for label in again.classes] == [type(label) for label in task.classes]


@given(
    st.one_of(
        st.lists(st.text(), min_size=2, unique=True),
        st.lists(st.integers(-(2**62), 2**62), min_size=2, unique=True),
        st.lists(st.integers(-(2**52), 2**52).map(float), min_size=2, unique=True),
        st.lists(st.dates(), min_size=2, unique=True),
        st.lists(st.datetimes(), min_size=2, unique=True),
    )
)
def test_any_labels_survive_encoding_and_json(labels):
    task = infer(labels, kind="classification", min_class_rows=1)
    assert list(task.classes) == sorted(labels)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    codes = task.truth(column(labels))
    assert pl.Series(task.predict(np.eye(len(labels))[codes]).labels).to_list() == labels


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, unique=True))
def test_any_values_survive_encoding_and_json(values):
    task = infer(values, kind="regression")
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    spread = max(values) - min(values)
    np.testing.assert_allclose(task.decode_truth(task.encode(column(values))), values, atol=1e-6 * spread + 1e-9)


def test_several_targets_are_standardised_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    values = np.c_[rng.normal(5, 3, 200), rng.exponential(1e5, 200), np.full(200, 7.0)]
    values[0, 2] = 8
    table = pl.DataFrame(values, schema=["a", "b", "c"])
    task = Task.infer(table, ["a", "b", "c"])
    scaler = StandardScaler().fit(values)
    assert task.name == "regression"
    np.testing.assert_allclose(task.center, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(task.scale, scaler.scale_, rtol=1e-12)
    encoded = task.encode(table)["target"]
    assert encoded.dtype == np.float32
    np.testing.assert_allclose(encoded, scaler.transform(values), rtol=1e-5, atol=1e-6)
    assert (np.abs(task.decode_truth({"target": encoded}) - values) <= 1e-6 * scaler.scale_).all()
    np.testing.assert_array_equal(task.truth(table), values)


def test_one_target_is_predicted_as_float64_of_one_axis():
    task = Regression(("y",), center=(10.0,), scale=(2.0,))
    assert task.predict(np.float32([[1], [-1]])).labels.tolist() == [12.0, 8.0]
    assert task.predict(np.float32([1, -1])).labels.dtype == np.float64
    assert task.encode(column([12, 8]))["target"].tolist() == [[1.0], [-1.0]]
    assert task.truth(pl.DataFrame({"y": [12, 8]})).tolist() == [12.0, 8.0]


def test_scale_and_frequencies_are_measured_on_the_rows_given():
    task = infer([0.0, 10.0, 0.5, 9.5]).fit(pl.DataFrame({"y": [1.0, 3.0, None]}))
    assert (task.center, task.scale) == ((2.0,), (1.0,))
    task = infer(["a", "b"] * 4).fit(pl.DataFrame({"y": ["a", "a", "a", "b"]}))
    assert task.frequencies == (0.75, 0.25)
    assert infer([1.5, 2.5]).fit(pl.DataFrame({"y": [4.0, 4.0]})).scale == (1.0,)


def test_moments_of_huge_values_do_not_overflow():
    assert moments(np.array([-1e300, 1e300])) == pytest.approx((0, 1e300))
    assert moments(np.array([0.1] * 3)) == (0.1, 1.0)


def test_a_huge_value_stays_finite_when_encoded():
    task = Regression(("y",), center=(0.0,), scale=(1.0,))
    assert task.encode(column([1e300, -1e300]))["target"].tolist() == [[1e6], [-1e6]]


def test_the_baseline_always_says_the_same():
    task = infer(["b", "a", "b", "b"], kind="classification", min_class_rows=1)
    assert task.baseline(2).tolist() == [[0.25, 0.75], [0.25, 0.75]]
    assert task.predict(task.baseline(2)).labels.tolist() == ["b", "b"]
    task = infer([1.5, 2.5, 5.0])
    assert task.predict(task.baseline(2)).labels.tolist() == [3.0, 3.0]


def test_losses_follow_from_the_task():
    two, three, value = infer(["a", "b"] * 3), infer(["a", "b", "c"] * 3), infer([0.5, 1.5])
    assert (two.losses[0].name, two.head("binary_cross_entropy").units, two.head("cross_entropy").units) == (
        "binary_cross_entropy",
        1,
        2,
    )
    assert (three.losses[0].name, three.head("cross_entropy").units) == ("cross_entropy", 3)
    assert (value.losses[0].name, value.head("huber").units) == ("mse", 1)
    with pytest.raises(OptionError, match="'mse' does not fit classification: a, b, c, expected 'cross_entropy'"):
        three.head("mse")
    with pytest.raises(OptionError, match="'cross_entropy' does not fit regression: a number, expected 'mse' or 'huber'"):
        value.head("cross_entropy")


def test_rows_without_a_target_are_counted():
    table = pl.DataFrame({"y": [1.0, None, float("nan"), 2.0], "z": [None, 1, 1, 1]})
    mask, note = Regression(("y",)).usable_rows(table)
    assert mask.tolist() == [True, False, False, True]
    assert note == "2 of 4 rows have no value in the target 'y' and are ignored"
    assert Regression(("y", "z")).usable_rows(table)[0].tolist() == [False, False, False, True]
    assert Regression(("y",)).usable_rows(table[:1])[1] == ""


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([None, None], {}, "target 'y' has no value in any of the 2 rows"),
        ([1.5], {}, r"one row \(n_samples=1\)"),
        ([3, 3, 3], {}, "has one class .3. in all 3 rows"),
        ([3.5, 3.5, 3.5], {}, "is 3.5 in all 3 rows; there is nothing to learn"),
        ([1.5, float("inf"), 2.0], {}, "is infinite in 1 row;"),
        ([1.0, float("inf"), 2.0], {"kind": "classification"}, "has infinite values"),
        (["a"] * 5 + ["b"], {}, "class 'b' of target 'y' has 1 row, but at least 2 are needed; merge rare classes"),
        (["a"] * 9 + list("bcd"), {}, "class 'b' .* has 1 row .and 2 more classes have as few."),
        ([f"u{i}" for i in range(20)], {}, "20 distinct values in 20 rows, .* identifier"),
        ([f"a film that i liked {i} times" for i in range(20)], {}, "free text"),
        ([str(i / 2) for i in range(20)], {}, "numbers stored as text"),
        ([0.25, 0.5], {"kind": "classification"}, "Unknown label type: .* fractions such as 0.25"),
        (["a", "b"], {"kind": "regression"}, "type String .such as 'a'., but regression needs numbers"),
        (pl.Series([[1], [2]] * 3), {}, "type List.* regression needs numbers"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(values, options, message):
    with pytest.raises(TargetError, match=message):
        infer(values, **options)


def test_rare_classes_are_accepted_on_request():
    assert infer(["a", "b", "c"], kind="classification", min_class_rows=1).frequencies == pytest.approx((1 / 3,) * 3)


def test_wrong_names_and_kinds_are_refused():
    table = pl.DataFrame({"income": ["a", "b"] * 2, "age": [1, 2] * 2})
    with pytest.raises(TargetError, match="no column 'incom' to be the target; did you mean 'income'?"):
        Task.infer(table, "incom")
    with pytest.raises(TargetError, match="no target is named"):
        Task.infer(table, [])
    with pytest.raises(TargetError, match="'income' is of type String"):
        Task.infer(table, ["income", "age"])
    with pytest.raises(TargetError, match="2 targets .income, age. to classify"):
        Task.infer(table, ["income", "age"], kind="classification")
    with pytest.raises(OptionError, match="task is 'rank', expected 'classification'"):
        Task.infer(table, "income", kind="rank")


@pytest.mark.parametrize(
    ("training", "values", "message"),
    [
        (["a", "b"] * 2, ["a", "c"], "has the class 'c' .1 row., which was not in training; expected 'a', 'b'"),
        (["a", "b"] * 2, ["a", None], "has no value in 1 row"),
        ([1, 2] * 2, [1.5, 2.0], "has the class 1.5 .1 row."),
        ([1, 2] * 2, [[1], [2]], "is of type List.*, expected Int64"),
        ([0.5, 1.5], [0.5, None], "has no value in 1 row"),
        ([0.5, 1.5], ["x", "y"], "regression needs numbers"),
    ],
)
def test_a_target_of_another_kind_than_in_training_is_refused(training, values, message):
    with pytest.raises(TargetError, match=message):
        infer(training).truth(column(values))


def test_classes_are_recognised_in_another_type():
    assert infer([1, 2] * 2).truth(column([2.0, 1.0])).tolist() == [1, 0]
    assert infer([1.0, 2.0] * 2).truth(column([2, 1])).tolist() == [1, 0]
