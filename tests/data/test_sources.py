"""What a source says about its text, and the readings that a model keeps for every later source."""

import io

import polars as pl
import pytest

import lamina
from lamina.data.read import read_source
from lamina.errors import OptionError

LINEAR = {"family": "linear", "monitor": None, "trust": False}
TEXTS = {"word": ["NA", "Apnea", "Insomnia"] * 20, "y": ["0", "1", "1"] * 20}


def csv(columns, separator=","):
    return io.StringIO(pl.DataFrame(columns).write_csv(separator=separator))


def test_a_text_file_says_its_separator_and_a_frame_has_none():
    assert read_source(csv(TEXTS)).separator == ","
    assert read_source(csv(TEXTS, ";")).separator == ";"
    assert read_source(TEXTS).separator is None
    assert read_source(io.BytesIO(b'{"a": "x"}\n{"a": "y"}\n')).separator is None


def test_a_frame_of_texts_alone_keeps_its_labels_and_words():
    frame = lamina.fit(pl.DataFrame(TEXTS), "y", **LINEAR)
    assert frame.classes_.tolist() == ["0", "1"]
    file = lamina.fit(csv(TEXTS), "y", **LINEAR)
    assert file.classes_.tolist() == [0, 1]
    rare = {"word": ["NA", *["Apnea", "Insomnia"] * 30], "y": ["b", *["a", "b"] * 30]}
    assert "NA" in lamina.fit(pl.DataFrame(rare), "y", **LINEAR).model_.schema["word"].details["levels"]
    assert "missing where 'NA' (1)" in lamina.fit(csv(rare), "y", **LINEAR).model_.schema["word"].reason


def test_a_run_keeps_the_separator(tmp_path):
    text = "x;y\n" + "".join(f"{i},{i * 7 % 900 + 100};{'ab'[i > 60]}\n" for i in range(1, 101))
    fitted = lamina.fit(io.StringIO(text), "y", run=tmp_path / "run", **LINEAR)
    (tmp_path / "run" / "model.lamina").unlink(missing_ok=True)
    for model in (fitted, lamina.resume(tmp_path / "run", monitor=None)):
        assert model.model_.schema["x"].reading.decimal == ","


def test_the_reading_of_the_target_is_declared():
    prices = [f"{1 + i / 1000:.3f}" for i in range(100)]
    rows = {"x": [float(i) for i in range(100)], "price": prices}
    usual = lamina.fit(rows, "price", **LINEAR).predict({"x": [50.0]})
    german = lamina.fit(rows, "price", kinds={"price": "number 1.234,56"}, **LINEAR).predict({"x": [50.0]})
    assert abs(usual[0] - 1.05) < 0.01
    assert abs(german[0] - 1050) < 10
    codes = lamina.fit(csv(TEXTS), "y", kinds={"y": "text"}, **LINEAR)
    assert codes.classes_.tolist() == ["0", "1"]
    with pytest.raises(OptionError, match="kinds names the target 'price' as 'flag', expected how its values are read: number"):
        lamina.fit(rows, "price", kinds={"price": "flag"}, **LINEAR)
