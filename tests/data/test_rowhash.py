"""The hash of rows: what it is equal for, and that it never changes."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data import rowhash
from lamina.data.rowhash import fingerprint, first_of_duplicates, hash_column, hash_rows, order
from lamina.errors import RunError

G, NULL, MASK = 0x9E3779B97F4A7C15, 0x6E756C6C6E756C6C, 2**64 - 1


def mix(z):
    """SplitMix64 on one Python integer."""
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def value(x):
    """The definition in the docstring of the module, for one value."""
    if x is None:
        return NULL
    if isinstance(x, float):
        return int(np.float64(x + 0.0).view(np.uint64))
    if isinstance(x, str | bytes):
        data = x.encode() if isinstance(x, str) else x
        words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, len(data), 8)]
        return of_list(words, len(data))
    if isinstance(x, list):
        return of_list([value(item) for item in x], len(x))
    return int(x) & MASK


def of_list(values, length):
    return mix((length + sum(mix((item + (place + 1) * G) & MASK) for place, item in enumerate(values))) & MASK)


def row(*values):
    return sum(mix((value(x) + mix((place + 1) * G & MASK)) & MASK) for place, x in enumerate(values)) & MASK


def test_rows_are_hashed_as_the_docstring_says():
    columns = {
        "i": [1, -2, None],
        "f": [0.5, -0.0, None],
        "s": ["", "eight by", "über acht Bytes"],
        "b": [b"\x00", b"", None],
        "l": [[1, None], [], None],
        "n": [[["a"], []], [], None],
        "t": [True, False, None],
    }
    assert hash_rows(pl.DataFrame(columns)).tolist() == [row(*values) for values in zip(*columns.values(), strict=True)]


GOLDEN = [
    ([1, -1, None], pl.Int64, [7968799535414935390, 12570163593899035840, 5872784565251261290]),
    (
        [0.0, 0.1, float("nan"), float("inf")],
        pl.Float64,
        [8883187925210353900, 18201089243099590413, 17245471590432871856, 11233198792518040231],
    ),
    (
        ["", "a", "eight by", "nine byte", "ä", None],
        pl.String,
        [
            8883187925210353900,
            17418040556606769006,
            8207655986313750657,
            5205081971415650526,
            302863848442299950,
            5872784565251261290,
        ],
    ),
    ([b"", b"\x00", b"\x00\x00"], pl.Binary, [8883187925210353900, 16639587807621549714, 8478821800591872647]),
    ([True, False], pl.Boolean, [7968799535414935390, 8883187925210353900]),
    ([dt.date(2024, 1, 31)], pl.Date, [2465200531949861023]),
    ([dt.datetime(2024, 1, 31, 12)], pl.Datetime("us"), [9437493008869934463]),
    ([dt.timedelta(seconds=1)], pl.Duration("us"), [8297400032323865471]),
    ([dt.time(12)], pl.Time, [3319037408377805852]),
    ([Decimal("1.50")], pl.Decimal(10, 2), [14069501863531757798]),
    (
        [[1.0, 2.0], [], None, [None]],
        pl.List(pl.Float64),
        [3574494301330202974, 8883187925210353900, 5872784565251261290, 3542355126634531980],
    ),
    ([[1, 2, 3], None], pl.Array(pl.UInt8, 3), [16951308620487604195, 5872784565251261290]),
    ([[1, 2, 3], None], pl.Array(pl.Int64, 3), [18066353315827256852, 5872784565251261290]),
    ([{"a": 1, "b": "x"}, None], pl.Struct({"a": pl.Int64, "b": pl.String}), [2728363981726136554, 5872784565251261290]),
    ([None], pl.Null, [5872784565251261290]),
]
"""Another number here is another order of rows: other splits, other figures. Then rowhash.VERSION has to change."""


@pytest.mark.parametrize(("values", "dtype", "expected"), GOLDEN)
def test_hashes_never_change(values, dtype, expected):
    assert hash_column(pl.Series(values, dtype=dtype), 2).tolist() == expected


def test_the_fingerprint_never_changes():
    assert fingerprint(pl.DataFrame({"a": [1, 2, None], "b": ["x", "y", "z"]})) == "rowhash1:1a6375d8397d48e2"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.Series([1, None], dtype=pl.Int8), pl.Series([1, None], dtype=pl.UInt64)),
        (pl.Series([0.5, None], dtype=pl.Float32), pl.Series([0.5, None], dtype=pl.Float64)),
        (pl.Series([0.0, float("nan")]), pl.Series([-0.0, -float("nan")])),
        (pl.Series(["b", "a", None]), pl.Series(["b", "a", None], dtype=pl.Categorical)),
        (pl.Series(["b", "a", None]), pl.Series(["b", "a", None], dtype=pl.Enum(["a", "b", "c"]))),
        (pl.Series([[1, 2]]), pl.Series([[1, 2]], dtype=pl.Array(pl.Int32, 2))),
    ],
)
def test_equal_values_have_the_same_hash_however_stored(one, other):
    assert hash_column(one).tolist() == hash_column(other).tolist()


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([0, 1, -1, None, 2**62]),
        pl.Series([0.0, 1.0, 5e-324, None, float("nan"), float("inf"), -float("inf")]),
        pl.Series(["a", "a\0", "", None, "aaaaaaaa", "aaaaaaaaa", "baaaaaaaaaaaaaaa", "aaaaaaaabaaaaaaa"]),
        pl.Series([[1, 2], [2, 1], [1], [], None, [None], [None, None], [0]]),
        pl.Series([[[1], [2]], [[1, 2]], [[], [1, 2]], [[1, 2], []], [[]]]),
        pl.Series([[1, 2, 3], [3, 2, 1], [0, 0, 0], None], dtype=pl.Array(pl.UInt8, 3)),
        pl.Series([2**100, 2**101, 0], dtype=pl.Int128),
    ],
    ids=lambda values: str(values.dtype),
)
def test_unequal_values_have_unequal_hashes(values):
    assert len(set(hash_column(values).tolist())) == len(values)


def test_the_order_of_columns_matters_and_their_names_do_not():
    table = pl.DataFrame({"a": [1, 2], "b": [2, 1]})
    assert hash_rows(table).tolist() != hash_rows(table.select("b", "a")).tolist()
    assert hash_rows(table).tolist() == hash_rows(table.rename({"a": "z"})).tolist()


@pytest.mark.parametrize("kind", ["texts", "bytes", "lists", "images", "few texts"])
def test_slices_make_no_difference(monkeypatch, kind):
    draw = np.random.default_rng(0)
    sizes = draw.integers(0, 30, 200)
    column = {
        "texts": pl.Series([None if size == 3 else "é" * size + str(i) for i, size in enumerate(sizes)]),
        "few texts": pl.Series(["é" * (size % 5) for size in sizes]),
        "bytes": pl.Series([draw.bytes(size) for size in sizes]),
        "lists": pl.Series(
            [None if size == 3 else draw.normal(size=size).tolist() for size in sizes], dtype=pl.List(pl.Float64)
        ),
        "images": pl.Series(draw.integers(0, 256, (200, 3, 5), dtype=np.uint8)),
    }[kind]
    whole = hash_column(column)
    monkeypatch.setattr(rowhash, "_BLOCK", 7)
    assert hash_column(column).tolist() == whole.tolist()


def test_images_with_a_row_missing_or_sliced_keep_their_hashes():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 5), dtype=np.uint8)
    whole, holed = pl.Series(images), pl.Series([*images[:5].tolist(), None], dtype=pl.Array(pl.UInt8, (3, 5)))
    assert hash_column(whole)[:5].tolist() == hash_column(holed)[:5].tolist()
    assert hash_column(whole[2:4]).tolist() == hash_column(whole)[2:4].tolist()
    assert hash_column(holed[5:]).tolist() == hash_column(pl.Series([None])).tolist()


@pytest.mark.parametrize("dtype", [pl.Int64, pl.String, pl.Binary, pl.List(pl.Int64), pl.Array(pl.UInt8, 3), pl.Null])
def test_no_rows_have_no_hashes(dtype):
    assert hash_column(pl.Series([], dtype=dtype)).shape == (0,)


def test_python_objects_are_as_the_column_without_values_that_a_file_keeps_of_them():
    table = pl.DataFrame({"a": [1, 2], "o": pl.Series([object(), object()], dtype=pl.Object)})
    stored = table.with_columns(o=pl.lit(None))
    assert hash_rows(table).tolist() == hash_rows(stored).tolist()
    assert order(table).tolist() == order(stored).tolist()
    assert fingerprint(table) == fingerprint(stored)


def test_a_million_values_do_not_collide():
    draw = np.random.default_rng(0)
    table = pl.DataFrame(
        {"i": range(200_000), "f": draw.normal(size=200_000).astype(np.float32), "c": draw.choice(["a", "b"], 200_000)}
    )
    assert len(np.unique(hash_rows(table))) == 200_000
    bits = np.unpackbits(hash_rows(table.select("i")).view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert abs(bits - 0.5).max() < 0.01


def test_rows_and_doubles():
    table = pl.DataFrame({"a": [1, 2, 1, 3], "b": ["x", None, "x", None]})
    assert first_of_duplicates(table).to_list() == [True, True, False, True]
    turned = table[[3, 2, 1, 0]]
    assert table[order(table)].equals(turned[order(turned)])
    assert sorted(table[order(table)]["a"].to_list()) == [1, 1, 2, 3]


def test_the_hash_of_hash_rows_of_polars_is_not_asked(monkeypatch):
    monkeypatch.setattr(pl.DataFrame, "hash_rows", None)
    monkeypatch.setattr(pl.Series, "hash", None)
    lamina.fit({"x": range(40), "y": ["a", "b"] * 20}, "y", family="linear", seed=0, monitor=None)


def test_a_run_of_another_hash_is_refused(tmp_path):
    class Ended(Exception):
        pass

    def end(event):
        raise Ended

    data = {"x": range(40), "y": ["a", "b"] * 20}
    with pytest.raises(Ended):
        lamina.fit(data, "y", run=tmp_path / "r", seed=0, monitor=end)
    path = tmp_path / "r" / "run.json"
    settings = json.loads(path.read_text())
    assert settings["data"]["fingerprint"].startswith("rowhash1:")
    for known, made in [("0123456789abcdef", "polars' own"), ("rowhash9:0123456789abcdef", "rowhash9")]:
        settings["data"]["fingerprint"] = known
        path.write_text(json.dumps(settings))
        with pytest.raises(RunError, match=f"in the order of the hash {made}, expected rowhash1; resume it with that version"):
            lamina.resume(tmp_path / "r", monitor=None)
