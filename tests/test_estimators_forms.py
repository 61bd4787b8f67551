"""Which X of an estimator is a table, and which is images, texts or series."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_iris

import lamina
from lamina import Classifier, Recipe
from lamina.data.xy import is_rich
from lamina.errors import TargetError

WORDS = ["a fine day", "a poor day"] * 20


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True, as_frame=True)


def objects(*values):
    """An array of these objects, one axis, whatever they are."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


PICTURE = Image.new("RGB", (4, 4))
TABLES = {
    "numbers": np.zeros((4, 3)),
    "one column of numbers": np.zeros((4, 1)),
    "objects": np.array([[1, "a"], [2, None]], dtype=object),
    "words": np.array([["a", "b"], ["c", "d"]]),
    "numbers of one axis": np.arange(4.0),
    "objects of one axis that are numbers": objects(1, 2.5),
    "an empty array": np.array([]),
    "a tensor": torch.zeros(4, 3),
    "an empty list": [],
    "a list of numbers": [1.0, 2.0],
    "rows of numbers": [[1, 2], [3, 4]],
    "rows with missing values": [[1, None], [np.nan, 4]],
    "rows as tuples": ((1, 2), (3, 4)),
    "rows as arrays": [np.zeros(3), np.ones(3)],
    "rows of words": [["a", "b"], ["c", "d"]],
    "rows of both": [["a", 1], ["b", 2]],
    "rows of differing lengths with words": [["a", 1], ["b"]],
    "rows as dicts": [{"a": 1}, {"a": 2}],
    "columns": {"a": [1, 2]},
    "pandas": pd.DataFrame({"text": ["a", "b"]}),
    "polars": pl.DataFrame({"text": ["a", "b"]}),
    "pyarrow": pa.table({"text": ["a", "b"]}),
    "a pandas series of numbers": pd.Series([1.0, 2.0]),
    "a polars series of numbers": pl.Series([1.0, 2.0]),
    "a pyarrow array of numbers": pa.array([1.0, 2.0]),
    "a pyarrow batch": pa.record_batch({"text": ["a", "b"]}),
    "numbers, one NaN": [1.0, np.nan],
}
RICH = {
    "series": np.zeros((4, 5, 3)),
    "images": np.zeros((4, 8, 8, 3), dtype=np.uint8),
    "a tensor of series": torch.zeros(4, 5, 3),
    "a tensor of images": torch.zeros(4, 3, 8, 8),
    "texts": ["a b", "c"],
    "one text": ["a"],
    "texts as a tuple": ("a b", "c"),
    "texts, one missing": ["a b", None],
    "an array of texts": np.array(["a b", "c"]),
    "an array of objects that are texts": objects("a b", None),
    "a pandas series of texts": pd.Series(["a b", "c"]),
    "pictures": [PICTURE, PICTURE],
    "pictures, one missing": [None, PICTURE],
    "pictures in an array": objects(PICTURE, PICTURE),
    "bytes of pictures": [b"\x89PNG", b"\x89PNG"],
    "ragged numbers": [[1, 2], [3]],
    "ragged numbers, one missing": [[1, 2], None, [3]],
    "ragged arrays": [np.zeros(3), np.zeros(2)],
    "ragged arrays in an array": objects(np.zeros(3), np.zeros(2)),
    "arrays of two axes": [np.zeros((5, 3)), np.zeros((5, 3))],
    "arrays of two axes and many lengths": [np.zeros((5, 3)), np.zeros((2, 3))],
    "tensors of two axes": [torch.zeros(5, 3), torch.zeros(2, 3)],
    "lists of steps": [[[1, 2], [3, 4]], [[5, 6]]],
    "nothing but missing values": [None, None],
    "nothing but NaN": [np.nan],
    "texts, one NaN": ["a b", float("nan")],
    "a pandas series of texts, one NaN": pd.Series(["a b", np.nan], dtype=object),
    "pandas strings": pd.Series(["a b", pd.NA], dtype="string"),
    "pandas strings of pyarrow": pd.Series(["a b", None], dtype=pd.ArrowDtype(pa.string())),
    "pandas texts by default": pd.Series(["a b", None]),
    "a polars series of texts": pl.Series(["a b", None]),
    "a polars series of series": pl.Series([[1.0, 2.0], [3.0, 4.0]]),
    "a polars series of bytes": pl.Series([b"\x89PNG"]),
    "a polars series of nothing": pl.Series([None]),
    "a pyarrow array of texts": pa.array(["a b", None]),
    "a chunked array of texts": pa.chunked_array([["a b"], ["c"]]),
    "paths": [Path("a/1.png"), None],
    "paths in a pandas series": pd.Series([Path("a/1.png"), Path("a/2.png")]),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_not_rich(name):
    assert is_rich(TABLES[name]) is False


@pytest.mark.parametrize("name", RICH)
def test_images_texts_and_series_are_rich(name):
    assert is_rich(RICH[name]) is True


@pytest.mark.parametrize(
    "form",
    [
        list,
        pl.Series,
        pa.array,
        pd.Series,
        lambda words: pd.Series(words, dtype="string"),
        lambda words: pd.Series([np.nan if word is None else word for word in words], dtype=object),
    ],
    ids=["list", "polars", "pyarrow", "pandas", "pandas strings", "pandas objects"],
)
def test_texts_in_every_form_with_one_missing(form):
    X = form([None, *WORDS])
    model = Classifier(recipe=Recipe(epochs=2), random_state=0).fit(X, ["poor"] + ["fine", "poor"] * 20)
    assert [column.kind for column in model.model_.schema.features] == ["text"]
    assert len(model.predict(X)) == 41
    assert len(model.predict(form([None]))) == 1


def test_paths_of_images(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    for i, path in enumerate(paths):
        Image.new("L", (6, 6), i % 2 * 200).save(path)
    model = Classifier(recipe=Recipe(epochs=1), random_state=0).fit(paths, ["a", "b"] * 10)
    assert [column.kind for column in model.model_.schema.features] == ["image"]
    assert np.array_equal(model.predict_proba(paths), model.predict_proba([str(path) for path in paths]))


def test_a_list_of_dicts_is_a_table(iris):
    X, y = iris
    model = Classifier(recipe=Recipe(epochs=2), random_state=0).fit(X.to_dict("records"), y)
    assert [column.name for column in model.model_.schema.features] == list(X.columns)
    assert np.array_equal(model.predict(X.to_dict("records")), model.predict(X.to_dict("list")))
    assert isinstance(model.predict(X.to_dict("records")[:3]), np.ndarray)


@pytest.mark.parametrize("form", [list, pd.Series, tuple])
def test_lists_of_labels(form):
    """What a person has of several labels: lists, tuples or sets in a list or in a column of pandas."""
    X = pd.DataFrame({"x": np.linspace(-1, 1, 90)})
    rows = [{"a", "b"} if x > 0.2 else ["a"] if x > -0.5 else () for x in X.x]
    model = Classifier("linear", random_state=0).fit(X, form(rows))
    assert model.classes_.tolist() == ["a", "b"]
    assert model.predict(X.iloc[[89, 30, 0]]).tolist() == [["a", "b"], ["a"], []]
    model = lamina.fit(X.assign(tags=rows), "tags", family="linear", monitor=None)
    assert model.predict(X.iloc[[89, 30]]).tolist() == [["a", "b"], ["a"]]


@pytest.mark.parametrize("other", [1, True, 2.5])
def test_texts_among_labels_of_another_type(other):
    """They came back as texts, unlike the labels that were given."""
    X, y = pd.DataFrame({"x": range(60)}), ["a", other, None] * 20
    with pytest.raises(TargetError, match="y holds labels of the types .*str.*, expected one; convert them: as text, "):
        Classifier("linear").fit(X, pd.Series(y))
    with pytest.raises(TargetError, match="target 'y' holds labels of the types"):
        lamina.fit(X.assign(y=y), "y", family="linear", monitor=None)
