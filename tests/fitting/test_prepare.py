"""One preparation for fits, comparisons, workers and resumed runs."""

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.errors import DataError, OptionError
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings

ROWS = pl.DataFrame({"x": [1, 2, 3, 4, 4, 5], "w": [1.0, 2.0, 1.0, 1.0, 1.0, 4.0], "y": ["a", "b", "a", "b", "b", None]})


def test_the_order_of_rows_does_not_matter():
    shuffled = ROWS.sample(fraction=1.0, shuffle=True, seed=3)
    one, other = (prepare(table, Settings("y", weight="w")) for table in (ROWS, shuffled))
    assert one.table.equals(other.table)
    assert one.weight.tolist() == other.weight.tolist() == one.table["w"].to_list()


def test_rows_without_a_target_and_duplicates_are_dropped():
    prepared = prepare(ROWS, Settings("y", unique=True))
    assert sorted(prepared.table["x"]) == [1, 2, 3, 4]
    assert prepared.notes == ("1 of 5 rows has no value in the target 'y' and is ignored",)
    assert (prepared.weight, prepared.group) == (None, None)
    assert prepared.source is ROWS


def test_class_weights_multiply_the_weight_column():
    prepared = prepare(ROWS, Settings("y", weight="w", class_weight={"b": 10.0}))
    expected = np.where(prepared.table["y"] == "b", 10.0, 1.0) * prepared.table["w"].to_numpy()
    np.testing.assert_array_equal(prepared.weight, expected)
    with pytest.raises(OptionError, match="class_weight names 'c', which is no class of 'y'"):
        prepare(ROWS, Settings("y", class_weight={"c": 1.0}))


def test_errors_number_the_rows_of_the_table_that_was_given(tmp_path):
    """Not those that are left after duplicates were dropped."""
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    names = ["a.png", "a.png", "b.png", "broken.png"] + [f"{number}.png" for number in range(8)]
    for place, name in enumerate(dict.fromkeys(names)):
        if name != "broken.png":
            from PIL import Image

            Image.new("L", (8, 8), color=20 * place).save(tmp_path / name)
    table = pl.DataFrame({"image": [str(tmp_path / name) for name in names], "y": ["u", "u", "v", "v"] + ["u", "v"] * 4})
    with pytest.raises(DataError, match="1 of 12 images cannot be read: row 4 "):
        lamina.fit(table, "y", unique=True, family="linear", seed=0, monitor=None)
