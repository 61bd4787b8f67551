"""What has axes in every row: series and images in memory become columns, exactly; what does not fit is one clear line."""

import io
import time

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image

from lamina.data.frames import like
from lamina.data.read import read_table
from lamina.errors import ReadError

RNG = np.random.default_rng(0)
UNIVARIATE = pl.List(pl.Float64)


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.uint8, pl.UInt8),
        (np.float32, pl.Float32),
        (np.float64, pl.Float64),
        (np.float16, pl.Float32),
        (np.int16, pl.Float32),
        (np.int64, pl.Float64),
        (bool, pl.Float32),
    ],
)
@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3), (0, 5, 3)])
def test_arrays_of_many_axes_are_one_column(given, kept, shape):
    array = RNG.integers(0, 2, shape).astype(given)
    for source in (array, np.asfortranarray(array), {"x0": array}, torch.from_numpy(array), {"x0": torch.from_numpy(array)}):
        column = read_table(source)["x0"]
        assert column.dtype == pl.Array(kept, shape[1:])
        np.testing.assert_array_equal(column.to_numpy(), array)


def test_sixty_thousand_images_are_read_at_once():
    array = np.zeros((60_000, 28, 28), np.uint8)
    start = time.perf_counter()
    assert len(read_table(array)) == 60_000
    assert time.perf_counter() - start < 0.5


def test_columns_of_a_dict():
    wave = RNG.normal(size=(3, 7))
    table = read_table({"wave": wave, "one": wave[:, :1], "label": ["a", "b", "a"]})
    assert table.schema == {"wave": pl.Array(pl.Float64, 7), "one": pl.Float64, "label": pl.String}
    np.testing.assert_array_equal(table["wave"].to_numpy(), wave)
    assert read_table({"a": torch.tensor([1, 2])})["a"].to_list() == [1, 2]
    assert read_table({"a": pd.Index(["x", None])})["a"].to_list() == ["x", None]
    holes = np.array([[[1, None]], [[np.nan, 4.0]]], dtype=object)
    np.testing.assert_array_equal(read_table(holes)["x0"].to_numpy(), [[[1, np.nan]], [[np.nan, 4]]])


def test_tensors():
    leaf = torch.tensor([[1.0, 2.0]], requires_grad=True)
    assert read_table(leaf).rows() == [(1.0, 2.0)]
    assert read_table(torch.ones(1, 2, dtype=torch.bfloat16)).dtypes == [pl.Float32] * 2
    assert read_table([torch.ones(3, 2), torch.zeros(1, 2)])["x0"].to_list() == [[[1, 1]] * 3, [[0, 0]]]
    assert read_table([torch.ones(3), torch.zeros(1)])["x0"].to_list() == [[1, 1, 1], [0]]
    assert read_table([torch.ones(2), torch.zeros(2)]).rows() == [(1, 1), (0, 0)]


@pytest.mark.parametrize("kind", ["arrays", "lists", "tuples", "mixed", "object array"])
def test_ragged_series(kind):
    arrays = [RNG.normal(size=(steps, 2)) for steps in (3, 0, 1, 5)]
    given = {
        "arrays": arrays,
        "lists": [array.tolist() for array in arrays],
        "tuples": tuple(tuple(map(tuple, array)) for array in arrays),
        "mixed": [list(array) for array in arrays],
        "object array": np.array([*arrays, None], dtype=object)[:-1],
    }[kind]
    column = read_table(given)["x0"]
    assert column.dtype == pl.List(pl.Array(pl.Float64, 2))
    assert column.to_list() == [array.tolist() for array in arrays]


def test_missing_series_and_missing_values():
    a, b = np.ones((2, 2), np.float32), np.array([[1, np.nan]], np.float32)
    column = read_table({"s": [None, a, b, float("nan")]})["s"]
    assert column.dtype == pl.List(pl.Array(pl.Float32, 2))
    assert column.to_list()[:2] == [None, [[1, 1], [1, 1]]]
    assert np.isnan(column.to_list()[2][0][1])
    assert column[3] is None
    table = read_table({"s": [[[1.0, None]], [[2.0, 3.0], [None, pd.NA]]]})
    np.testing.assert_array_equal(table["s"][1].to_numpy(), [[2, 3], [np.nan, np.nan]])
    same = read_table({"s": [np.ones((2, 3)), None, np.zeros((2, 3))]})["s"]
    assert same.dtype == pl.Array(pl.Float64, (2, 3))
    assert same.to_list() == [[[1] * 3] * 2, None, [[0] * 3] * 2]


def test_which_axis_is_time():
    rows = [RNG.normal(size=(2, steps)) for steps in (3, 5, 4)]
    channels_first = read_table([*rows, np.empty((2, 0)), None])["x0"]
    assert channels_first.to_list() == [*(row.T.tolist() for row in rows), [], None]
    assert read_table([row.T for row in rows])["x0"].to_list() == [row.T.tolist() for row in rows]
    nothing_varies = read_table([np.zeros((2, 5))] * 3)["x0"]
    assert nothing_varies.dtype == pl.Array(pl.Float64, (2, 5))
    assert read_table([np.zeros((0, 3)), np.empty((0, 3))])["x0"].to_list() == [[], []]


def test_series_of_one_channel():
    for rows in ([[1, 2, 3], [4], []], [np.array([1, 2, 3]), np.array([4.0]), np.array([])], [(1, 2, 3), (4,), ()]):
        column = read_table(rows)["x0"]
        assert column.dtype == UNIVARIATE
        assert column.to_list() == [[1, 2, 3], [4], []]
    assert read_table([[1, 2], [3, 4]]).rows() == [(1, 2), (3, 4)]
    assert read_table({"wave": [[1, 2], [3, 4]]})["wave"].dtype == UNIVARIATE
    assert read_table({"wave": [[], None]})["wave"].to_list() == [[], None]
    assert read_table({"wave": [np.zeros((0, 3)), [1.0]]})["wave"].to_list() == [[], [1.0]]
    assert read_table([None, [1.0], [2.0]])["x0"].to_list() == [None, [1.0], [2.0]]
    frame = pd.DataFrame({"wave": [[1, 2], np.array([3.0]), None, (True, None)]}, index=[3, 4, 5, 6])
    assert read_table(frame)["wave"].to_list()[:3] == [[1, 2], [3], None]
    assert like(pl.Series("y", [1, 2, 3, 4]), frame).index.tolist() == [3, 4, 5, 6]
    np.testing.assert_array_equal(like(pl.Series("y", [1, 2]), [np.zeros((2, 2)), np.zeros((3, 2))]), [1, 2])


def test_lists_of_something_else_stay_objects():
    assert read_table({"tags": [["a"], ("b", "c"), {"d"}, None]})["tags"].to_list() == [["a"], ["b", "c"], ["d"], None]
    for rows in ([[{"a": 1}]], [[["a"], ["b", "c"]]], [[1, "a"], [2, "b"]], [[1], {"a": 2}]):
        assert read_table({"things": rows})["things"].dtype == pl.Object
    assert read_table([["a", [1, 2]], ["b", [3]]]).dtypes == [pl.String, UNIVARIATE]


def test_texts_and_bytes():
    for texts in (["one text", "two"], np.array(["one text", "two"]), np.array(["one text", "two"], dtype=object)):
        assert read_table(texts).to_dict(as_series=False) == {"x0": ["one text", "two"]}
    column = read_table([b"\x89PNG", None, bytearray(b"GIF8")])["x0"]
    assert column.dtype == pl.Binary
    assert column.to_list() == [b"\x89PNG", None, b"GIF8"]


def test_images_of_differing_sizes():
    shapes = [(4, 5), (6, 3), (2, 2, 3), (3, 2, 4), (5, 5, 1)]
    arrays = [RNG.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    for some in (arrays[:2], arrays[2:4], arrays[4:] + [np.zeros((2, 3, 1), np.uint8)]):
        column = read_table([*some, None])["x0"]
        assert column.dtype == pl.Binary
        for array, data in zip(some, column, strict=False):
            np.testing.assert_array_equal(decoded(data), array.squeeze(2) if array.shape[2:] == (1,) else array)
        assert column[-1] is None
    assert read_table([arrays[0]] * 2)["x0"].dtype == pl.Array(pl.UInt8, (4, 5))
    assert read_table([arrays[2]] * 2)["x0"].dtype == pl.Array(pl.UInt8, (2, 2, 3))


def test_images_of_pil():
    red = np.full((2, 3, 3), (255, 0, 0), np.uint8)
    for mode in ("RGB", "RGBA", "CMYK", "P"):
        data = read_table({"i": [Image.fromarray(red).convert(mode), None]})["i"]
        assert data[1] is None
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data[0])).convert("RGB")), red)
    gray = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for image in (Image.fromarray(gray), Image.fromarray(gray.astype(np.float32))):
        np.testing.assert_array_equal(decoded(read_table([image])["x0"][0]), gray)
    image = Image.fromarray(gray)
    image.getexif()[0x0112] = 6  # the camera was held upright
    np.testing.assert_array_equal(decoded(read_table([image])["x0"][0]), np.rot90(gray, -1))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.zeros((2, 0, 3)), r"an array of shape \(2, 0, 3\) is not a table; expected .*series as \(rows, steps, channels\)"),
        ({"x": np.zeros((1,) * 5)}, r"an array of shape \(1, 1, 1, 1, 1\) is not a table"),
        (np.array([[["a"]]]), r"column 'x0' is an array of <U1 of shape \(1, 1, 1\); expected numbers"),
        (np.array([[[1j]]]), "column 'x0' is an array of complex128"),
        ([[1, 2], 3], "row 2 of the list is no list, row 1 has 2 values; give each row"),
        (["ab", [1, 2]], "row 2 of the list has 2 values, row 1 is no list"),
        ([["a", 2], ["b"]], "row 2 of the list has 1 values, row 1 has 2 values; give each row one value per column, or"),
        (
            [np.zeros((7, 2)), np.zeros((9, 2)), np.zeros((8, 3))],
            r"column 'x0': row 1 has shape \(7, 2\), row 3 \(8, 3\); 2 and 3 channels; give each series as",
        ),
        ([np.zeros(3), np.zeros((3, 2))], r"row 1 has shape \(3,\), row 2 \(3, 2\); give each the same number of axes"),
        ([[[1, 2], [3]]], "column 'x0', row 1: step 2 has 1 values, step 1 has 2; give every step one value per channel"),
        ([np.zeros((2, 2, 3)), np.zeros((2, 3, 3))], r"row 2 \(2, 3, 3\); give colour images of differing sizes as uint8"),
        ([np.zeros((1, 2, 2, 3))], "column 'x0': row 1 has 4 axes; expected at most 3"),
        (
            [np.zeros((1, 2, 2), "u1"), np.zeros((2, 2, 2), "u1")],
            r"an array of uint8 of shape \(1, 2, 2\); expected \(height, w",
        ),
    ],
)
def test_what_does_not_fit(source, message):
    with pytest.raises(ReadError, match=message) as error:
        read_table(source)
    assert "\n" not in str(error.value)


def test_images_in_several_forms_are_one_column(tmp_path):
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    image = Image.fromarray(pixels)
    image.save(tmp_path / "1.png")
    data = (tmp_path / "1.png").read_bytes()
    cells = [image, data, bytearray(data), memoryview(data), str(tmp_path / "1.png"), tmp_path / "1.png", pixels, None]
    column = read_table(cells)["x0"]
    assert column.dtype == pl.Binary
    assert [None if file is None else np.asarray(Image.open(io.BytesIO(file))).tolist() for file in column] == [
        *[pixels.tolist()] * 7,
        None,
    ]
    assert read_table([memoryview(data)])["x0"].to_list() == [data]
    for value, message in [
        ("lost.png", "column 'x0': cannot read lost.png: No such file"),
        (3, "holds int beside images; exp"),
    ]:
        with pytest.raises(ReadError, match=message):
            read_table([image, value])


def test_a_number_of_too_many_digits_is_named():
    with pytest.raises(ReadError, match="column 'x', row 2: a number of more than 308 digits; give it as text"):
        read_table({"x": [1, 10**400]})
