"""Which rows train and which validate."""

import shutil
from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import StratifiedShuffleSplit

from lamina.data.schema import Column, Schema
from lamina.errors import DataError
from lamina.fitting import split as module
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings
from lamina.fitting.split import count_duplicates, hashed_features, out_of_bag, split
from lamina.leaks import find_leaks
from lamina.tasks import Task


def schema_of(table, **roles):
    kinds = {name: "number" if dtype.is_numeric() else "category" for name, dtype in table.schema.items()}
    return Schema(tuple(Column(name, kind, roles.get(name, "feature"), "", {}) for name, kind in kinds.items()))


def cut(columns, *, validation=0.2, seed=0, min_class_rows=2, **roles):
    table = pl.DataFrame(columns)
    task = Task.infer(table, "y", min_class_rows=min_class_rows)
    found = split(table, schema_of(table, y="target", **roles), task, validation=validation, seed=seed)
    rows = np.concatenate([found.train, found.validation])
    assert len(set(rows.tolist())) == len(rows)
    assert (np.diff(found.train) > 0).all()
    assert (np.diff(found.validation) > 0).all()
    return found


def test_classes_are_held_back_in_proportion_as_scikit_learn_does():
    y = np.repeat(["a", "b", "c"], [700, 250, 52])
    found = cut({"x": np.arange(1002), "y": y})
    _, theirs = next(StratifiedShuffleSplit(1, test_size=200, random_state=0).split(y, y))
    ours = np.unique(y[found.validation], return_counts=True)[1]
    np.testing.assert_array_equal(ours, np.unique(y[theirs], return_counts=True)[1])
    assert ours.tolist() == [140, 50, 10]
    assert len(found.train) == 802
    assert found.how == "at random, stratified"
    assert found.notes == ()


def test_the_seed_decides():
    columns = {"x": np.arange(100), "y": np.arange(100) / 7}
    first, again, other = (cut(columns, seed=seed).validation.tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert len(first) == 20


def test_rows_are_drawn_evenly():
    columns = {"x": np.arange(20), "y": ["a", "b"] * 10}
    drawn = np.bincount(np.concatenate([cut(columns, seed=seed).validation for seed in range(400)]), minlength=20)
    assert abs(drawn - 80).max() < 40  # 5 standard deviations of a binomial of 400 draws at 1 in 5


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.floats(0.01, 0.9))
def test_every_class_trains_and_the_share_is_kept_where_it_can_be(sizes, share):
    if max(sizes) == 1:
        return
    y = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    found = cut({"x": np.arange(len(y)), "y": y}, validation=share, min_class_rows=1)
    counts = np.array([(y[found.validation] == name).sum() for name in np.unique(y)])
    assert (counts <= np.array(sizes) - 1).all()
    assert (counts - np.array(sizes) * share <= 1 + 1e-9).all()
    assert len(found.validation) <= max(round(len(y) * share), 1)
    if share <= 0.5 and min(sizes) > 1:
        assert len(found.validation) == max(round(len(y) * share), 1)


def test_two_rows_are_split_in_one_and_one():
    assert [
        len(rows) for rows in (cut({"x": [1, 2], "y": [0.5, 1.5]}).train, cut({"x": [1, 2], "y": [0.5, 1.5]}).validation)
    ] == [1, 1]


def test_groups_stay_together():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 50, 1000)
    found = cut({"x": np.arange(1000), "y": rng.normal(size=1000), "who": group}, who="group")
    assert not set(group[found.train]) & set(group[found.validation])
    assert 180 <= len(found.validation) <= 200
    assert found.how == "at random, each who on one side"


def test_rows_without_a_group_are_one():
    columns = {"x": range(9), "y": np.arange(9) / 2, "who": ["a"] * 3 + ["b"] * 3 + [None] * 3}
    for seed in range(5):
        found = cut(columns, seed=seed, validation=0.4, who="group")
        assert found.validation.tolist() in ([0, 1, 2], [3, 4, 5], [6, 7, 8])
    assert found.notes == ("3 rows without a value in who: kept together as one group",)


def test_the_smallest_group_validates_when_all_are_larger_than_the_share():
    found = cut({"x": range(9), "y": np.arange(9) / 2, "who": ["a"] * 5 + ["b"] * 4}, who="group")
    assert found.validation.tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "times",
    [
        [date(2020, 1, day) for day in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)],
        [f"2020-01-{day:02d}" for day in (10, 9, 8, 7, 6, 5, 4, 3, 2, 1)],
        [10.5, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    ],
)
def test_the_latest_rows_validate(times):
    found = cut({"x": range(10), "y": np.arange(10) / 2, "at": times}, at="time")
    assert found.validation.tolist() == [0, 1]
    assert found.how == "by time: the latest rows by at"


def test_rows_of_the_same_time_stay_together_and_rows_without_one_train():
    times = [1.0, 2, 2, 2, 2, 2, 2, 3, None, float("nan")]
    found = cut({"x": range(10), "y": np.arange(10) / 2, "at": times}, at="time", validation=0.5)
    assert found.validation.tolist() == [1, 2, 3, 4, 5, 6, 7]  # 7 rows are nearer to 5 than 1 row is
    assert found.notes == ("2 rows without a value in at: training rows",)
    found = cut({"x": range(10), "y": np.arange(10) / 2, "at": times}, at="time")
    assert found.validation.tolist() == [7]


@pytest.mark.parametrize(
    ("words", "validation", "train"),
    [
        (["train", "Valid ", "TRAIN", "validation"], [1, 3], [0, 2]),
        (["train", "test", "train", "val"], [3], [0, 2]),
        (["train", "test", "train", "test"], [1, 3], [0, 2]),
        ([True, False, False, False], [0], [1, 2, 3]),
        ([0, 1, 0, 1], [1, 3], [0, 2]),
        ([0.0, 1.0, 0.0, 1.0], [1, 3], [0, 2]),
    ],
)
def test_a_column_says_which_rows_validate(words, validation, train):
    found = cut({"x": range(4), "y": np.arange(4) / 3, "side": words}, side="split")
    assert found.validation.tolist() == validation
    assert found.train.tolist() == train
    assert found.how == "by the column side"
    assert bool(found.notes) == (words[1:4:2] == ["test", "val"])


def test_test_rows_beside_validation_rows_are_left_out_and_told():
    found = cut({"x": range(3), "y": np.arange(3) / 3, "side": ["train", "test", "val"]}, side="split")
    assert found.notes == ("1 row marked as test in side: neither training nor validation rows",)
    assert found.test.tolist() == [1]


def test_exact_doubles_are_counted_whatever_their_target():
    columns = {"x": [1.0, 1.0, 2.0, None, None, 0.0], "z": ["a", "a", "b", "c", "c", "d"], "y": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}
    table = pl.DataFrame(columns)
    schema = schema_of(table, y="target")
    assert count_duplicates(*hashed_features(table, schema), np.array([0, 3, 5]), np.array([1, 2, 4])) == 2
    assert count_duplicates(*hashed_features(table, schema), np.array([0, 1]), np.array([2, 3])) == 0
    found = cut({**columns, "side": [0, 1, 0, 0, 1, 0]}, side="split")
    assert found.notes == (
        "2 of 2 validation rows have an exact duplicate among the training rows: scores may be better than on new rows",
    )


def test_rows_with_the_same_hash_are_not_called_doubles(monkeypatch):
    monkeypatch.setattr("lamina.fitting.split.hash_rows", lambda table: np.zeros(len(table), dtype=np.uint64))
    table = pl.DataFrame({"x": [1, 2, 3]})
    assert count_duplicates(*hashed_features(table, schema_of(table)), np.array([0]), np.array([1, 2])) == 0


def test_a_table_without_features_has_no_doubles():
    table = pl.DataFrame({"y": [1, 1]})
    assert count_duplicates(*hashed_features(table, schema_of(table, y="target")), np.array([0]), np.array([1])) == 0


def test_a_class_whose_rows_all_validate_is_told():
    columns = {"x": range(6), "y": ["a", "a", "b", "b", "c", "c"], "side": [0, 1, 0, 1, 1, 1]}
    assert "class 'c' has no training row in this split, so it cannot be predicted" in cut(columns, side="split").notes


@pytest.mark.parametrize(
    ("columns", "roles", "message"),
    [
        ({"y": ["a", "b"]}, {}, "2 rows in 2 classes cannot be split"),
        ({"y": [0.5, 1], "who": ["a", "a"]}, {"who": "group"}, "group column 'who' holds a single group"),
        ({"y": [0.5, 1], "who": pl.Series([None, None], dtype=pl.String)}, {"who": "group"}, "group column 'who' has no value"),
        ({"y": [0.5, 1], "at": [float("nan"), None]}, {"at": "time"}, "time column 'at' has no value in any row"),
        ({"y": [0.5, 1], "at": [3, 3]}, {"at": "time"}, "time column 'at' has the same time in all rows"),
        ({"y": [0.5, 1], "at": ["soon", "late"]}, {"at": "time"}, "time column 'at' holds neither dates nor numbers"),
        ({"y": [0.5, 1], "at": [True, False]}, {"at": "time"}, "time column 'at' holds neither dates nor numbers"),
        ({"y": [0.5, 1], "side": ["train", "other"]}, {"side": "split"}, "split column 'side' holds 'other' in 1 row"),
        ({"y": [0.5, 1], "side": ["train", None]}, {"side": "split"}, "split column 'side' holds None in 1 row"),
        ({"y": [0.5, 1], "side": ["train", "train"]}, {"side": "split"}, "leaves no validation row"),
        ({"y": [0.5, 1], "side": ["val", "test"]}, {"side": "split"}, "leaves no training row"),
        (
            {"y": [0.5, 1], "side": [0, 1], "at": [0, 1]},
            {"side": "split", "at": "time"},
            r"2 columns .* side \(split\), at \(time\)",
        ),
        ({"y": ["a", "b", "b"], "side": [1, 0, 0]}, {"side": "split"}, "all training rows .* one class .y = b."),
    ],
)
def test_rows_that_cannot_be_split_are_refused(columns, roles, message):
    with pytest.raises(DataError, match=message):
        cut(columns, min_class_rows=1, **roles)


def test_words_of_a_split_column_do_not_overlap():
    words = module.TRAIN_WORDS + module.VALIDATION_WORDS + module.TEST_WORDS
    assert len(set(words)) == len(words)


def test_a_class_that_is_never_validated_is_a_note():
    columns = {"x": np.arange(303), "y": ["fine"] * 300 + ["fraud"] * 3}
    assert cut(columns, validation=0.1).notes == (
        "no validation row has y = fraud (3 training rows): this class was never validated; get more rows, raise "
        "validation, or merge rare classes (merge_rare=True, --merge-rare)",
    )
    assert cut(columns, validation=0.5).notes == ()
    rare = {"x": np.arange(310), "y": ["fine"] * 300 + [f"rare {i // 2}" for i in range(10)]}
    (note,) = cut(rare, validation=0.01).notes
    assert note.startswith(
        "no validation row has y = rare 0, y = rare 1, y = rare 2, y = rare 3, y = rare 4 (10 training rows): "
    )
    assert "these classes were never validated" in note


def photos(folder, names, seed=0):
    draw = np.random.default_rng(seed)
    paths = []
    for name in names:
        paths.append(str(folder / name))
        Image.fromarray(draw.integers(0, 255, (6, 6), dtype=np.uint8)).save(paths[-1])
    return paths


def test_copies_of_image_files_are_duplicates(tmp_path):
    paths = photos(tmp_path, [f"{place}.png" for place in range(6)])
    Image.open(paths[0]).save(tmp_path / "0.webp", lossless=True)
    shutil.copy(paths[1], tmp_path / "copy of 1.png")
    columns = {"photo": [*paths, str(tmp_path / "0.webp"), str(tmp_path / "copy of 1.png")], "y": [*"abababab"]}
    table = pl.DataFrame(columns)
    schema = Schema.infer(table, target="y")
    assert count_duplicates(*hashed_features(table, schema), np.arange(6), np.array([6, 7])) == 2
    task = Task.infer(table, "y")
    (note,) = out_of_bag(table, schema, task).notes
    assert note == "2 rows have a duplicate: scores may be better than on new rows"
    (leak,) = find_leaks(pl.concat([table, table.reverse()] * 5), schema, task)
    assert (leak.kind, leak.remedy) == ("duplicates", "unique=True")
    assert len(prepare(table, Settings("y", unique=True)).table) == 6


def test_a_photo_in_two_classes_is_a_note(tmp_path):
    paths = photos(tmp_path, [f"{place}.png" for place in range(10)])
    shutil.copy(paths[0], tmp_path / "same.png")
    same = str(tmp_path / "same.png")
    table = pl.DataFrame({"photo": [*paths, same, None, None], "y": [*"ababababab", "b", "a", "b"]})
    schema, task = Schema.infer(table, target="y"), Task.infer(table, "y")
    note = (
        f"2 rows have the same image as a row of another class, such as {paths[0]!r} in 'a' and {same!r} in 'b'; "
        "correct the labels"
    )
    assert note in split(table, schema, task).notes
    assert note in out_of_bag(table, schema, task).notes
    texts = {
        "x": [f"the film was {word} and the next one {other}" for word in "abcde" for other in "fghij"],
        "y": ["a", "b"] * 13,
    }
    texts["x"].append(texts["x"][0])
    rows = pl.DataFrame(texts)
    notes = split(rows, Schema.infer(rows, target="y", kinds={"x": "text"}), Task.infer(rows, "y")).notes
    assert any(note.startswith("2 rows have the same text as a row of another class, such as 'the film") for note in notes)
