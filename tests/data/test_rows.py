"""Rows to predict as people give them: one row by name, one image, a folder, a text."""

import io
import os
import subprocess
import sys
import threading
from collections import namedtuple
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

import lamina
from lamina.data.read import read_table
from lamina.data.rows import as_rows
from lamina.data.schema import Column, Schema
from lamina.errors import ReadError, SchemaError
from tests.cli.helpers import lamina as command

PLAIN = Schema((Column("age", "number", "feature", "", {}), Column("town", "category", "feature", "", {})))
TEXT = Schema((Column("review", "text", "feature", "", {}), Column("label", "category", "target", "", {})))
WAVE = Schema((Column("wave", "series", "feature", "", {"channels": 1}),))
WAVES = Schema((Column("wave", "series", "feature", "", {"channels": 2}),))
SHADES = {"cat": 0, "dog": 120}


def rows(source, schema):
    return read_table(as_rows(source, schema)).rows()


@pytest.mark.parametrize(
    "row",
    [
        {"age": 17, "town": "Bern"},
        {"age": np.float64(17), "town": "Bern", "other": [1, 2]},
        pd.DataFrame({"age": [17], "town": ["Bern"]}).iloc[0],
        namedtuple("Person", ["age", "town"])(17, "Bern"),
    ],
)
def test_one_row_by_its_names(row):
    assert rows(row, PLAIN) == [(17, "Bern")]


@pytest.mark.parametrize(
    "source",
    [
        {"age": [17, 18], "town": ["Bern", "Rome"]},
        {"age": [17], "town": "Bern"},
        pd.Series([1.0, 2.0]),
        "new.csv",
        [{"age": 1}],
    ],
)
def test_other_forms_stay_as_they_are(source):
    assert as_rows(source, PLAIN) is source


def test_one_row_that_lacks_a_column_is_still_a_row():
    for row in ({"Age": 17, "town": "Bern"}, {"AGE": 17, "Town": "Bern"}, pd.Series({"town": "Bern", "Age": 17})):
        with pytest.raises(SchemaError, match="the table lacks column.* 'age'.* that the model was trained on; rename"):
            PLAIN.check(read_table(as_rows(row, PLAIN)))
    numbered = Schema((Column("0", "number", "feature", "", {}), Column("1", "number", "feature", "", {})))
    assert rows(pd.Series([1.5, 2.5]), numbered) == [(1.5, 2.5)]


@pytest.mark.parametrize("value", [b"x", 3, 2.5, Image.new("L", (2, 2))])
def test_one_value_is_no_row_of_a_table(value):
    with pytest.raises(ReadError, match=r"is no row to predict; give a file, a frame, .* with 'age', 'town', or one row as a"):
        as_rows(value, PLAIN)


def test_texts(tmp_path):
    long = "A film about the sea, " * 500
    for text in ("What a film!", long, "no\0path"):
        assert rows(text, TEXT) == [(text,)]
    assert rows({"review": "fine"}, TEXT) == [("fine",)]
    (tmp_path / "1.txt").write_text("good, or so", encoding="utf-8")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "2.txt").write_text("poor", encoding="utf-8")
    assert rows(tmp_path, TEXT) == [("good, or so",), ("poor",)]
    assert rows(str(tmp_path / "1.txt"), TEXT) == [("good, or so",)]
    (tmp_path / "table.txt").write_text("id,review\n1,one\n2,two\n", encoding="utf-8")
    assert rows(tmp_path / "table.txt", TEXT) == [("1", "one"), ("2", "two")]
    for pipe in ("-", "/dev/null"):
        assert as_rows(pipe, TEXT) == pipe
    with pytest.raises(ReadError, match="no file lost.csv"):
        rows("lost.csv", TEXT)
    with pytest.raises(
        ReadError, match=r"int is no row to predict; give a text, the path .* or a table with the column 'review'"
    ):
        as_rows(3, TEXT)


def test_series():
    for one in ([1.0, 2.0, 3.0], np.array([1.0, 2.0, 3.0]), {"wave": [1.0, 2.0, 3.0]}):
        assert rows(one, WAVE) == [([1.0, 2.0, 3.0],)]
    several = [[1.0, 2.0], [3.0]]
    assert as_rows(several, WAVE) is several
    assert len(rows(np.zeros((5, 2)), WAVES)) == 1
    assert len(rows(np.zeros((3, 5, 2)), WAVES)) == 3


def photo(kind, seed=0):
    return np.random.default_rng(seed).integers(SHADES[kind], SHADES[kind] + 120, (12, 10, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pets")
    for kind in SHADES:
        (folder / "pets" / kind).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(photo(kind, i)).save(folder / "pets" / kind / f"{i}.png")
    (folder / "new" / "deep").mkdir(parents=True)
    Image.fromarray(photo("dog", 99)).save(folder / "new" / "1.png")
    Image.fromarray(photo("cat", 99)).save(folder / "new" / "deep" / "without an ending", "PNG")
    (folder / "new" / "list.csv").write_text("a\n1\n", encoding="utf-8")
    (folder / "empty").mkdir()
    recipe = lamina.Recipe(epochs=8)
    model = lamina.fit(folder / "pets", family="linear", recipe=recipe, trust=False, monitor=None)
    model.save(folder / "pets.lamina")
    return folder, model


def test_photos(pets):
    folder, model = pets
    dog = photo("dog", 99)
    file = io.BytesIO()
    Image.fromarray(dog).save(file, "PNG")
    path = folder / "new" / "1.png"
    data = file.getvalue()
    for one in (path, str(path), data, bytearray(data), memoryview(data), Image.fromarray(dog), dog, {"image": str(path)}):
        assert list(model.predict(one)) == ["dog"]
        assert list(model.predict_table(one)["label"]) == ["dog"]
        assert model.predict_proba(one).shape == (1, 2)
    for several in ([path, path], [str(path)] * 2, [data] * 2, [Image.fromarray(dog)] * 2, [dog] * 2, np.stack([dog, dog])):
        assert list(model.predict(several)) == ["dog", "dog"]
    assert list(model.predict(folder / "new")) == ["dog", "cat"]
    assert list(model.predict(dog[..., 0])) == ["dog"]
    with pytest.raises(
        ReadError, match="holds no image; give the path of an image or of a folder of images, bytes, a PIL image"
    ):
        model.predict(folder / "empty")
    with pytest.raises(ReadError, match="no file .*2.png; did you mean 1.png"):
        model.predict(folder / "new" / "2.png")
    with pytest.raises(
        ReadError, match="int is no row to predict; give the path of an image .* a table with the column 'image'"
    ):
        model.predict(3)


def test_photos_on_the_command_line(pets, monkeypatch):
    folder, _ = pets
    monkeypatch.chdir(folder)
    result = command("predict", "pets.lamina", "new/1.png", "new/deep/without an ending")
    output = pl.read_csv(io.StringIO(result.out))
    assert output["label"].to_list() == ["dog", "cat"], result.err
    assert output["image"].to_list() == [str(folder / "new" / name) for name in ("1.png", "deep/without an ending")]
    assert command("predict", "pets.lamina", "new").out == result.out
    lost = command("predict", "pets.lamina", "new/2.png")
    assert (lost.code, lost.out) == (1, "")
    assert "no file new/2.png; did you mean 1.png?" in lost.err


def test_a_photo_in_a_pipe(pets, tmp_path):
    folder, model = pets
    photo, code = folder / "new" / "1.png", "import sys; from lamina.cli import main; main()"
    run = partial(subprocess.run, capture_output=True, text=True, check=False)
    with photo.open("rb") as file:
        result = run([sys.executable, "-c", code, "predict", str(folder / "pets.lamina"), "-"], stdin=file)
    assert result.stdout.split("\n")[1].startswith("dog,"), result.stderr
    os.mkfifo(pipe := tmp_path / "pipe")
    for content in (photo.read_bytes(), f"image\n{photo}\n".encode()):
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        assert list(model.predict(pipe)) == ["dog"]
        writer.join()


def test_gray_images_of_few_columns_are_several():
    schema = Schema(
        (Column("digit", "image", "feature", "", {"dtype": "Array(UInt8, shape=(4, 4))", "sizes": [[4, 4], [4, 4]]}),)
    )
    assert len(rows(np.zeros((5, 4, 4), dtype=np.uint8), schema)) == 5
    assert len(rows(np.zeros((4, 4), dtype=np.uint8), schema)) == 1


def test_a_frame_of_images_is_no_image():
    table = pl.DataFrame({"photo": [b"\x89PNG"] * 2})
    for frame in (pd.DataFrame({"photo": [{"bytes": b"\x89PNG", "path": None}, None]}), table.to_arrow()):
        read = read_table(as_rows(frame, Schema((Column("photo", "image", "feature", "", {}),))))
        assert read["photo"][0] == b"\x89PNG"
        assert len(read) == 2
