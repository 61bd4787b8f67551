"""Relative paths of images in a table are completed by the folder of its file."""

import gzip
import io
import json
import os

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lamina.data.read import read_table


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pictures(tmp_path, monkeypatch, names=("img/1.png", "img/2.png")):
    """A folder with images, and another one that lamina is started in."""
    for name in names:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "data", name, b"x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "data"


def images_in(name, table):
    """The bytes of a table in the format that the name asks for."""
    file = io.BytesIO()
    if "json" in name:
        table.write_ndjson(file)
    elif "parquet" in name:
        table.write_parquet(file)
    elif "arrow" in name:
        table.write_ipc(file)
    else:
        table.write_csv(file, separator="\t" if "tsv" in name else ",")
    return gzip.compress(file.getvalue()) if name.endswith(".gz") else file.getvalue()


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.csv.gz", "t.parquet", "t.arrow", "t.parquet.gz"])
def test_images_are_beside_the_file_that_names_them(tmp_path, monkeypatch, name):
    folder = pictures(tmp_path, monkeypatch)
    table = pl.DataFrame({"photo": [None, "img/1.png", "img/2.png"], "label": ["a", "b", "img"], "n": ["x", "y", "z"]})
    write(folder, name, images_in(name, table))
    expected = table.with_columns(photo=pl.Series([None, str(folder / "img/1.png"), str(folder / "img/2.png")]))
    assert_frame_equal(read_table(folder / name), expected)
    assert_frame_equal(read_table(f"../data/{name}"), expected)


def test_images_are_beside_the_archive_that_names_them(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    np.savez(folder / "t.npz", photo=np.array(["img/1.png", "img/2.png"]), n=np.arange(2))
    assert read_table("../data/t.npz")["photo"].to_list() == [str(folder / "img/1.png"), str(folder / "img/2.png")]


def test_images_in_the_folder_that_lamina_is_started_in(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    write(folder, "t.csv", "photo\nimg/1.png\nimg/2.png\n")
    monkeypatch.chdir(folder)
    assert all(map(os.path.exists, read_table("t.csv")["photo"]))
    assert all(map(os.path.exists, read_table(folder / "t.csv")["photo"]))


def test_every_column_of_images_is_looked_for(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch, ("a/1.png", "b/1.JPG"))
    write(folder, "t.csv", "left,right\na/1.png,b/1.JPG\n")
    assert read_table(folder / "t.csv").row(0) == (str(folder / "a/1.png"), str(folder / "b/1.JPG"))


@pytest.mark.parametrize("word", ["img/9.png", "img/1", "img", "1.png", "http://example.com/1.png", "a picture, 1.png"])
def test_what_names_no_image_beside_the_file_stays_as_it_is(tmp_path, monkeypatch, word):
    folder = pictures(tmp_path, monkeypatch)
    table = pl.DataFrame({"word": [word, "img/1.txt"]})
    table.write_csv(folder / "t.csv")
    assert_frame_equal(read_table(folder / "t.csv"), table)


def test_whole_paths_of_images_stay_as_they_are(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    table = pl.DataFrame({"photo": [str(folder / "img/1.png"), str(folder / "img/2.png")]})
    table.write_csv(tmp_path / "t.csv")
    assert_frame_equal(read_table(tmp_path / "t.csv"), table)


def test_images_beside_the_file_win_over_those_where_lamina_is_started(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    (tmp_path / "elsewhere" / "img").mkdir()
    write(tmp_path / "elsewhere", "img/1.png", b"another")
    write(folder, "t.csv", "photo\nimg/1.png\nimg/2.png\n")
    assert read_table("../data/t.csv")["photo"].to_list() == [str(folder / "img/1.png"), str(folder / "img/2.png")]


def test_an_image_that_is_missing_hides_no_other(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    write(folder, "t.csv", "photo\nimg/0.png\n" + "img/1.png\n" * 300)
    assert read_table(folder / "t.csv")["photo"].to_list() == [str(folder / "img/0.png")] + [str(folder / "img/1.png")] * 300


def test_of_mixed_paths_only_the_loose_ones_are_led_to_the_file(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    whole = [str(folder / "img/2.png"), "~/1.png", "https://example.org/1.png", "C:/1.png", None]
    (folder / "t.jsonl").write_text("\n".join(json.dumps({"photo": path}) for path in ["img/1.png", *whole]))
    assert read_table(folder / "t.jsonl")["photo"].to_list() == [str(folder / "img/1.png"), *whole]


def test_few_files_are_looked_for_and_none_for_texts(tmp_path, monkeypatch):
    folder = pictures(tmp_path, monkeypatch)
    looks = []
    monkeypatch.setattr("lamina.data.read.os.path.isfile", lambda path: looks.append(path))
    rows = [{"photo": f"{i}.png", "text": "as in 1.png" if i % 9 == 0 else "words " * 99} for i in range(5000)]
    pl.DataFrame(rows).write_parquet(folder / "t.parquet")
    read_table(folder / "t.parquet")
    assert 1 < len(looks) <= 50
    assert {os.path.dirname(path) for path in looks} == {str(folder)}
    assert not any("as in" in path for path in looks)
