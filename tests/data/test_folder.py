"""Folders of class folders and archives of arrays, as people find them."""

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lamina.data.folder import SPLIT, read_arrays, read_folder
from lamina.errors import ReadError


def make(root, *names, content=b"x"):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content)
        else:
            path.mkdir()
    return root


def save(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def test_images(tmp_path):
    make(tmp_path, "dog/2.JPG", "dog/10.png", "cat/deep/er/1.webp", "cat/0.png", "README.md", ".git/config")
    make(tmp_path, "cat/.DS_Store", "cat/Thumbs.db", "dog/.cache/3.png", "__MACOSX/cat/0.png")
    table = read_folder(tmp_path)
    assert table.to_dict(as_series=False) == {
        "image": [str(tmp_path / name) for name in ("cat/0.png", "cat/deep/er/1.webp", "dog/10.png", "dog/2.JPG")],
        "label": ["cat", "cat", "dog", "dog"],
    }


def test_paths_are_whole_however_the_folder_is_named(tmp_path, monkeypatch):
    make(tmp_path, "pets/cat/1.png", "pets/dog/2.png")
    monkeypatch.chdir(tmp_path / "pets" / "cat")
    expected = [str(tmp_path / "pets" / name) for name in ("cat/1.png", "dog/2.png")]
    for named in (Path(".."), Path("../../pets"), tmp_path / "pets"):
        assert read_folder(named)["image"].to_list() == expected


def test_texts(tmp_path):
    make(tmp_path, "good/1.txt", content="\ufeffschön\nwar es".encode())
    make(tmp_path, "poor/1.txt", content=b"")
    make(tmp_path, "readme.txt")
    assert read_folder(tmp_path).rows() == [("schön\nwar es", "good"), ("", "poor")]


@pytest.mark.parametrize("words", [("train", "test"), ("Train", "Val"), ("training", "valid")])
def test_parts(tmp_path, words):
    one, other = words
    make(tmp_path, f"{one}/a/1.png", f"{one}/b/2.png", f"{other}/a/3.png", f"{one}/list.txt")
    table = read_folder(tmp_path)
    assert table.columns == ["image", "label", "split"]
    assert table["split"].dtype == SPLIT
    found = {(path.rsplit("/")[-1], label, split) for path, label, split in table.rows()}
    low, high = one.lower(), other.lower()
    assert found == {("1.png", "a", low), ("2.png", "b", low), ("3.png", "a", high)}


def test_train_may_be_a_class(tmp_path):
    assert read_folder(make(tmp_path, "train/1.png", "plane/1.png"))["label"].to_list() == ["plane", "train"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["1.png", "2.png"],
            r"holds 2 images \(1.png, ...\) and no class folders; put each class in a folder of its own, or give",
        ),
        (["1.txt"], r"holds 1 file \(1.txt\) and no class folders; put each class"),
        ([], r"holds nothing and no class folders"),
        (["a/1.png", "b/1.png", "2.png"], r"holds 1 image \(2.png\) beside class folders; put each class"),
        (["a/1.png", "b/"], r"the class folder .*b holds no files; remove it, or put its images or texts there"),
        (["a/1.png", "b/.DS_Store"], r"the class folder .*b holds no files"),
        (["a/1.png", "b/c/1.pdf"], r"1 file is neither an image nor a text \(b.c.1.pdf\); move them elsewhere \(images: .png"),
        (["a/1.png", "b/1.pdf", "a/x.csv"], r"2 files are neither images nor texts \(a.x.csv, ...\); move"),
        (
            ["a/1.png", "b/1.txt", "b/2.txt"],
            r"mixes 1 images \(a.1.png, ...\) and 2 texts \(b.1.txt, ...\); keep one of the two",
        ),
        (["train/1.png", "test/a/2.png"], r"train holds 1 image \(1.png\) and no class folders"),
        (
            ["train/a/1.png", "extra/2.png"],
            r"beside the folder of training rows is 'extra', expected test, valid or val; move",
        ),
    ],
)
def test_bad_folders(tmp_path, names, message):
    with pytest.raises(ReadError, match=message):
        read_folder(make(tmp_path, *names))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ReadError, match="cannot read the folder .*lost: No such file or directory; check its name"):
        read_folder(tmp_path / "lost")


def test_texts_in_another_encoding(tmp_path):
    make(tmp_path, "a/1.txt", content="one\nzwei\nfünf".encode("latin-1"))
    with pytest.raises(
        ReadError,
        match=r"1.txt, line 3: byte 0xfc is not UTF-8 .*CP1252 reads 'one zwei fünf'.* iconv -f CP1252 -t utf-8 1.txt > utf8_1",
    ):
        read_folder(tmp_path)


def test_a_text_that_cannot_be_opened(tmp_path):
    make(tmp_path, "a/1.txt")
    (tmp_path / "a" / "2.txt").symlink_to(tmp_path / "lost")
    with pytest.raises(ReadError, match=r"a/2.txt is not a file that can be read .*a broken link\); remove it"):
        read_folder(tmp_path)


def test_arrays(tmp_path):
    table = read_arrays(
        save(
            tmp_path,
            image=np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
            wide=np.array([[1.0, 2.0], [3.0, 4.0]]),
            tall=np.array([[5], [6]]),
            name=np.array([b"Z\xc3\xbcrich", b"Bern"]),
            label=np.array(["a", "b"]),
        )
    )
    assert table.schema == {
        "image": pl.Array(pl.UInt8, (3, 4)),
        "wide_0": pl.Float64,
        "wide_1": pl.Float64,
        "tall": pl.Int64,
        "name": pl.String,
        "label": pl.String,
    }
    assert table.drop("image").rows() == [(1.0, 2.0, 5, "Zürich", "a"), (3.0, 4.0, 6, "Bern", "b")]
    assert table["image"].to_numpy().tolist() == np.arange(24).reshape(2, 3, 4).tolist()


def test_colour_images(tmp_path):
    assert read_arrays(save(tmp_path, x=np.zeros((2, 4, 4, 3), np.uint8)))["x"].dtype == pl.Array(pl.UInt8, (4, 4, 3))


@pytest.mark.parametrize("form", ["{0}_{1}", "{1}_{0}"])
def test_parts_are_stacked(tmp_path, form):
    arrays = {("x", "train"): np.ones((3, 2, 2)), ("y", "train"): np.arange(3)}
    arrays |= {("x", "test"): np.zeros((1, 2, 2)), ("y", "test"): np.array([[7]])[:, 0]}
    table = read_arrays(save(tmp_path, **{form.format(*names): array for names, array in arrays.items()}))
    assert table.columns == ["x", "y", "split"]
    assert table["y"].to_list() == [0, 1, 2, 7]
    assert table["split"].to_list() == ["train", "train", "train", "test"]
    assert table["split"].dtype == SPLIT
    assert table["x"].to_numpy().mean((1, 2)).tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, "the arrays differ in length: 'x' has 3 rows, 'y' 2; give each one row"),
        ({"x_train": np.zeros(3), "y_train": np.zeros(2)}, "'x of train' has 3 rows, 'y of train' 2"),
        (
            {"x_train": np.zeros(3), "x_test": np.zeros(2), "y_test": np.zeros(2)},
            "has 'y' for only one of 'train' and 'test'; give",
        ),
        (
            {"x_train": np.zeros((3, 2)), "x_test": np.zeros((3, 4))},
            r"a row of 'x' has the shape \(2,\) in 'train' and \(4,\) in 'te",
        ),
        (
            {"x": np.array([{}, 1], dtype=object)},
            "the array 'x' holds Python objects, which may run code when they are read; save",
        ),
        ({"x": np.array(3)}, "'x' has 0 axes, expected 1 to 4, rows first; leave it out"),
        ({"x": np.zeros((1, 1, 1, 1, 1))}, "'x' has 5 axes"),
        ({"x": np.array([b"\xff"])}, "the array 'x' is damaged .'utf-8' codec"),
        ({}, "holds no arrays; write it with"),
        (
            {"x_train": np.zeros(3), "split_train": np.zeros(3)},
            r"data.npz has more than one column named 'split' \(columns 2 and 3\); rename an array; the column 'split' is",
        ),
        (
            {"x": np.zeros((3, 2)), "x_1": np.zeros(3)},
            r"more than one column named 'x_1' \(columns 2 and 3\); rename an array$",
        ),
    ],
)
def test_bad_archives(tmp_path, arrays, message):
    with pytest.raises(ReadError, match=message):
        read_arrays(save(tmp_path, **arrays))


def test_files_that_are_no_archives(tmp_path):
    path = save(tmp_path, x=np.arange(1000))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:500])
    with pytest.raises(ReadError, match=r"is no archive of arrays \(.*\); write it with numpy.savez\(path, x=..., y=...\)"):
        read_arrays(path)
    data[300] ^= 255
    path.write_bytes(data)
    with pytest.raises(ReadError, match="the array 'x' is damaged .*; write or download it again"):
        read_arrays(path)
    with open(path, "wb") as file:
        np.save(file, np.arange(3))
    with pytest.raises(ReadError, match="holds one array and no archive of them; give numpy.load"):
        read_arrays(path)
    with pytest.raises(ReadError, match="cannot read .*lost.npz: No such file or directory; check its name and permissions"):
        read_arrays(tmp_path / "lost.npz")


def test_an_array_called_split_is_a_column_like_others(tmp_path):
    table = read_arrays(save(tmp_path, x=np.zeros(2), split=np.array(["train", "test"])))
    assert table.schema == {"x": pl.Float64, "split": pl.String}


@pytest.mark.parametrize("inside", ["3.png", "unknown/3.png"])
def test_a_part_without_labels(tmp_path, inside):
    make(tmp_path, "train/a/1.png", "train/b/2.png", f"test/{inside}", "test/list.csv")
    table = read_folder(tmp_path)
    assert table.columns == ["image", "label"]  # there is no part to validate
    assert table["label"].to_list() == ["a", "b", None]
    assert table["image"].to_list()[2] == str(tmp_path / "test" / inside)
    make(tmp_path, "val/b/4.png")
    table = read_folder(tmp_path)
    assert table["label"].to_list() == ["a", "b", None, "b"]
    assert table["split"].to_list() == ["train", "train", "test", "val"]


def test_a_part_without_labels_of_texts(tmp_path):
    make(tmp_path, "train/a/1.txt", "train/b/2.txt", "test/3.txt", "test/plot.png")
    assert read_folder(tmp_path).rows() == [("x", "a"), ("x", "b"), ("x", None)]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/{}.png", "masks/{}.png"),
        ("images/{}.jpg", "labels/{}.txt"),
        ("train_images/{}.png", "train_masks/{}_mask.gif"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
        ("train/images/{}.png", "train/masks/{}.png"),
        ("images/train/{}.png", "masks/train/{}_seg.png"),
    ],
)
def test_images_with_masks_are_no_two_classes(tmp_path, images, masks):
    make(tmp_path, *(form.format(name) for form in (images, masks) for name in ("one", "two", "3")))
    if images.startswith("train/"):
        make(tmp_path, "val/images/4.png", "val/masks/4.png")
    with pytest.raises(ReadError, match="looks like segmentation or detection: .* has a file for each image in .*; lamina"):
        read_folder(tmp_path)


def test_classes_called_masks_and_images_are_classes(tmp_path):
    make(tmp_path, "images/sea.png", "masks/carnival.png")
    assert read_folder(tmp_path)["label"].to_list() == ["images", "masks"]


def test_the_folder_of_runs_is_no_class(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.txt").write_text(f"a {name}")
    (tmp_path / "runs" / "pets-1").mkdir(parents=True)
    (tmp_path / "runs" / "pets-2").mkdir()
    (tmp_path / "runs" / "pets-2" / "run.json").write_text("{}")
    assert read_folder(tmp_path)["label"].to_list() == ["cat", "dog"]


def test_what_is_no_file_and_names_that_are_not_utf_8_are_skipped_where_asked(tmp_path):
    make(tmp_path, "a/1.png", "b/1.png")
    os.mkfifo(tmp_path / "a" / "2.png")
    (tmp_path / "a" / "3.png").symlink_to("/nowhere")
    with pytest.raises(ReadError, match=r"2.png is not a file that can be read \(a pipe, .*\); remove it, or skip it"):
        read_folder(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/b/caf\xe9.png")).write_bytes(b"x")
    skipped = []
    assert read_folder(tmp_path, skipped)["label"].to_list() == ["a", "b"]
    odd = "not a file that can be read (a pipe, a device or a broken link)"
    assert skipped == [f"a/2.png is {odd}", f"a/3.png is {odd}", r"'b/caf\udce9.png' is a name that is not UTF-8"]
