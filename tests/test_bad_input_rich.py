"""Bad images, texts and series, as a person meets them: handled and result, or refused by the name of the file or row."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import lamina
from lamina.errors import ReadError, SchemaError
from lamina.estimators import Classifier
from lamina.families import FeedForward
from lamina.train.recipe import Recipe
from tests.cli.helpers import lamina as command
from tests.cli.helpers import leftovers

TINY = FeedForward(hidden_sizes=(4,), members=1)
ONCE = Recipe(epochs=1, threads=1)
QUICK = "--family feedforward --set recipe.epochs=1 --set recipe.threads=1 --set family.members=1".split()
QUICK += ["--set", "family.hidden_sizes=4"]
WORDS = "a stranger comes to town and finds old gold under gray stones".split()
LATIN1 = "caf\xe9 in the old town at night".encode("latin-1")


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(data: Any, target: str = "y", **asked: Any) -> Any:
    return lamina.fit(data, target, family=TINY, recipe=ONCE, monitor=None, seed=0, **asked)


def learn(X: Any, seed: int = 0) -> Classifier:
    return Classifier(family=TINY, recipe=ONCE, random_state=seed).fit(X, np.arange(len(X)) % 2)


def refused(*words: object, match: str) -> None:
    """The command ends with 1, one line that matches, and nothing left behind."""
    before = leftovers(Path.cwd())
    result = command(*words)
    assert (result.code, result.out) == (1, "")
    assert re.fullmatch(r"lamina: [^\n]+\n", result.err), result.err
    assert re.search(match, result.err), result.err
    assert leftovers(Path.cwd()) == before


# Images


def picture(place: int = 0, mode: str = "L", form: str = "PNG", size: int = 8) -> bytes:
    pixels = np.random.default_rng(place).integers(0, 256, (size, size, 4), dtype=np.uint8)
    image = Image.fromarray(pixels, "RGBA") if mode == "RGBA" else Image.fromarray(pixels[..., :3], "RGB").convert(mode)
    return saved(image, form)


def saved(image: Image.Image, form: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def pets(root: str = "pets", each: int = 6) -> Path:
    """A folder of two classes of gray pictures."""
    for kind, first in (("cat", 0), ("dog", 100)):
        Path(root, kind).mkdir(parents=True)
        for place in range(each):
            Path(root, kind, f"{place}.png").write_bytes(picture(first + place))
    return Path(root)


BOMB = saved(Image.new("1", (12_000, 8_000)))
UNREADABLE = {
    "truncated": (picture()[:60], "is truncated or damaged"),
    "zero bytes": (b"", r"is empty \(0 bytes\)"),
    "a text": (b"hello, this is a text", r"is no image of a supported format \(it begins with b'hello, this is a"),
    "a bomb": (BOMB, "has 96,000,000 pixels, more than the safe limit of 89,478,485; scale it down"),
}


@pytest.fixture(scope="module")
def images() -> Classifier:
    return learn([picture(place) for place in range(20)])


@pytest.mark.parametrize("what", UNREADABLE)
def test_an_unreadable_image_is_reported_by_its_row(what, images):
    content, fault = UNREADABLE[what]
    row = 17
    given = [picture(place) for place in range(20)]
    given[row - 1] = content
    match = f"^column 'x0': 1 of 20 images cannot be read: row {row} {fault}.*; replace it, leave it empty"
    with pytest.raises(ReadError, match=match):
        learn(given)
    with pytest.raises(ReadError, match=match):
        images.predict(given)


def test_all_unreadable_images_are_reported_at_once():
    given = [picture(place) for place in range(40)]
    for row in (3, 14, 25, 36):
        given[row - 1] = given[row - 1][:60]
    table = {"photo": given, "y": ["yes", "no"] * 20}
    rows = "; ".join(f"row {row} is truncated or damaged .*" for row in (3, 14, 25, 36))
    for seed in range(3):
        with pytest.raises(ReadError, match=f"^column 'photo': 4 of 40 images cannot be read: {rows}; replace them") as caught:
            lamina.fit(table, "y", family=TINY, recipe=ONCE, monitor=None, seed=seed)
        assert caught.value.__suppress_context__  # a person sees one error, not two


def test_rows_without_a_target_are_counted_as_rows():
    table = {"photo": [picture(place) for place in range(20)], "y": [None, None, None, *["yes", "no"] * 8, "no"]}
    table["photo"][11] = b""
    with pytest.raises(ReadError, match=r"1 of 20 images cannot be read: row 12 is empty"):
        fit(table)


def test_rows_to_predict_are_counted_as_given_however_they_are_read(images, monkeypatch):
    monkeypatch.setattr("lamina.model.BATCH_BYTES", 1024)  # four images at a time
    given = [picture(place) for place in range(20)]
    given[10], given[17] = given[10][:60], given[17][:60]
    match = r"2 of 20 images cannot be read: row 11 is truncated .*; row 18 is truncated"
    with pytest.raises(ReadError, match=match):
        images.predict(given)
    with pytest.raises(ReadError, match=match):
        images.evaluate({"x0": given, "target": [None, None, *[0, 1] * 9]})


def test_a_folder_names_the_file():
    pets()
    result = command("fit", "pets", *QUICK, "--out", "m.lamina", "--run", "run")
    assert result.code == 0, result.err
    assert "Preprocessing: image resized to 8 x 8 pixels, gray." in result.out
    Path("pets/cat/9.png").write_bytes(picture()[:60])
    Path("pets/dog/7.jpg").write_bytes(b"")
    Path("pets/dog/8.jpg").write_text("hello, this is a text")
    Path("pets/dog/9.png").write_bytes(BOMB)
    match = (
        r"column 'image': 4 of 16 images cannot be read: row 7 \(.*pets/cat/9.png\) is truncated .*; "
        r"row 14 \(.*pets/dog/7.jpg\) is empty \(0 bytes\); row 15 \(.*pets/dog/8.jpg\) is no image .*; "
        r"row 16 \(.*pets/dog/9.png\) has 96,000,000 pixels, .*"
    )
    refused("fit", "pets", *QUICK, match=match)
    for verb in ("predict", "evaluate"):
        refused(verb, "m.lamina", "pets", match=match)


def test_uncommon_images_are_read_and_counted(images):
    given = [picture(place) for place in range(24)]
    given[1] = picture(1, "CMYK", "JPEG")
    given[2] = given[4] = picture(2, "RGBA")
    given[3] = saved(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900))
    frames = [Image.open(io.BytesIO(picture(place))) for place in range(3)]
    given[5] = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    given[6] = picture(6, size=12)
    model = learn(given, seed=2)
    notes = "\n".join(model.model_.card["notes"])
    assert "x0: 1 image with several frames (animations, pages): the first is used" in notes
    assert "x0: 2 images with an alpha channel or a transparent colour: composited on white" in notes
    assert "x0: 1 image of more than 8 bits per channel: values from 0 to 56700 are scaled to 0 to 255" in notes
    assert "resized" in notes
    assert model.model_.encoder.inputs["image"].shape == (8, 8, 3)
    assert len(images.predict(given)) == 24


def test_the_preprocessing_of_images_is_printed():
    root = pets()
    for place in (3, 4):  # one of them is a training row, whatever the split
        (root / "dog" / f"{place}.png").write_bytes(picture(place, "RGBA"))
    result = command("fit", "pets", *QUICK, "--out", "m.lamina", "--run", "run")
    shown = "".join(result.out.split())  # a long path is broken anywhere
    assert re.search(r"Note:image:\dimages?\(suchas/.*/pets/dog/[34].png\)withanalphachannelora", shown)
    frames = [Image.open(io.BytesIO(picture(place))) for place in range(3)]
    (root / "cat" / "1.gif").write_bytes(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    for verb in ("predict", "evaluate"):
        result = command(verb, "m.lamina", "pets")
        assert result.code == 0
        assert re.search(r"note: image: 1 image \(such as /.*/pets/cat/1.gif\) with several frames", result.err)


def test_too_few_images():
    root = pets()
    (root / "bird").mkdir()
    refused("fit", "pets", *QUICK, match=r"the class folder pets/bird holds no files; remove it, or put its images")
    (root / "bird" / "1.png").write_bytes(picture())
    refused("fit", "pets", *QUICK, match=r"class 'bird' of target 'label' has 1 row, but at least 2 are needed")
    Path("single/cat").mkdir(parents=True)
    Path("single/cat/1.png").write_bytes(picture())
    refused("fit", "single", *QUICK, match=r"the table has 1 row .*learning needs at least 2")
    with pytest.raises(SchemaError, match="the table has 1 row"):
        learn([picture()])


def test_a_missing_image_is_none(images):
    given: list[Any] = [picture(place) for place in range(20)]
    given[4] = None
    assert len(learn(given).predict(given)) == len(images.predict(given)) == 20


# Texts


def plots(count: int = 40) -> list[str | None]:
    draw = np.random.default_rng(0)
    return [" ".join(draw.choice(WORDS, 8)) for _ in range(count)]


@pytest.fixture(scope="module")
def texts() -> Classifier:
    return learn(plots())


def remarks(model: Any, table: Any) -> list[str]:
    checked, notes = model.model_.schema.check(table)
    return notes + model.model_.encoder.unseen(checked)


def test_empty_huge_and_unknown_texts_are_handled(texts):
    given = plots()
    given[3], given[4], given[5], given[6] = "", " \n ", None, "gold " * 200_000
    model = learn(given)
    assert len(model.predict(given)) == 40
    given[7] = given[8] = "zyx wvu"
    assert len(texts.predict(given)) == 40
    assert remarks(texts, {"x0": given}) == [
        "x0: 2 texts have no word of the vocabulary",
        "x0: 1 text is longer than 8 tokens and truncated",
    ]


def test_the_preprocessing_of_texts_is_printed():
    table = pl.DataFrame({"plot": plots(), "age": range(40), "y": ["yes", "no"] * 20})
    table.write_csv("films.csv")
    result = command("fit", "films.csv", "--target", "y", "--set", "recipe.epochs=1", "--out", "m.lamina", "--run", "run")
    assert result.code == 0, result.err
    assert "Preprocessing: plot truncated to at most 8 tokens, vocabulary of 12" in result.out
    assert "Why: column 'plot' holds texts: attention, which relates words to each other." in result.out
    assert "Why: column 'plot' holds texts: attention" in command("info", "m.lamina").out
    table.with_columns(pl.Series("plot", ["zyx wvu"] * 3 + plots()[3:])).write_csv("new.csv")
    for verb in ("predict", "evaluate"):
        result = command(verb, "m.lamina", "new.csv")
        assert (result.code, result.err) == (0, "note: plot: 3 texts have no word of the vocabulary\n")


def test_a_table_of_plain_columns_says_why_too():
    pl.DataFrame({"age": range(40), "who": ["Ann Lee", "Bob Fox"] * 20, "y": ["yes", "no", "no", "no"] * 10}).write_csv("t.csv")
    result = command("fit", "t.csv", "--target", "y", "--set", "recipe.epochs=1", "--out", "m.lamina", "--run", "run")
    assert re.search(r"who +flag ", result.out)  # names of people are no texts
    assert "Why: plain columns: an ensemble of feedforward networks" in result.out
    assert "Preprocessing" not in result.out


def test_text_that_is_not_utf_8_names_file_and_line(texts):
    lines = [f'"{plot}",{"yes" if place % 2 else "no"}' for place, plot in enumerate(plots())]
    Path("films.csv").write_bytes("\n".join(["plot,y", *lines, ""]).encode() + LATIN1 + b",no\n")
    match = r"films.csv, line 42: byte 0xe9 is not UTF-8 .*'caf\xe9 in the o"
    refused("fit", "films.csv", "--target", "y", *QUICK, match=match)
    texts.save("m.lamina")
    refused("predict", "m.lamina", "films.csv", match=match)
    for kind in ("good", "poor"):
        Path("reviews", kind).mkdir(parents=True)
        for place in range(5):
            Path("reviews", kind, f"{place}.txt").write_text(plots()[place] or "")
    Path("reviews/poor/9.txt").write_bytes(b"first line\n" + LATIN1)
    refused(
        "fit",
        "reviews",
        *QUICK,
        match=r"reviews/poor/9.txt, line 2: byte 0xe9 is not UTF-8 \(CP1252 reads 'rst line café in the old'",
    )


def test_half_of_a_surrogate_pair_names_the_row(texts):
    given = plots()
    given[11] = "caf\ud800"
    match = r"^column '{}', row 12: '\\ud800' is half of a surrogate pair and no character \(in 'caf\\ud800'\); read the text"
    with pytest.raises(ReadError, match=match.format("plot")):
        fit({"plot": given, "y": ["yes", "no"] * 20})
    with pytest.raises(ReadError, match=match.format("plot")):
        fit({"plot": [3.5, *given[1:]], "y": ["yes", "no"] * 20})
    for call in (learn, texts.predict):
        with pytest.raises(ReadError, match=match.format("x0")):
            call(given)


def test_texts_that_say_nothing():
    with pytest.raises(SchemaError, match=r"no column is left to learn from: 'plot' \(missing in every row\)"):
        fit({"plot": [None] * 20, "y": ["yes", "no"] * 10})
    assert "x0: no text has a word" in learn([""] * 20).model_.card["notes"]


# Series


def waves(count: int = 30, channels: int = 2) -> list[Any]:
    draw = np.random.default_rng(0)
    return [draw.normal(size=(steps, channels)) for steps in draw.integers(3, 9, count)]


@pytest.fixture(scope="module")
def series() -> Classifier:
    return learn(waves())


def test_empty_missing_and_short_series_are_handled(series):
    given = waves()
    given[3], given[4], given[5] = np.zeros((0, 2)), None, given[5][:1]
    given[6] = np.repeat(given[6], 9, axis=0)
    model = learn(given)
    assert any(re.fullmatch(r"x0: \d of \d\d series (has|have) no steps", note) for note in model.model_.card["notes"])
    assert len(model.predict(given)) == len(series.predict(given)) == 30
    assert remarks(series, {"x0": given}) == [
        "x0: 1 of 30 series are longer than 8 steps and truncated to the last steps",
        "x0: 2 of 30 series have no steps",
    ]
    with pytest.raises(SchemaError, match=r"no column is left to learn from: 'x0' \(series without any steps\)"):
        learn([np.zeros((0, 2))] * 20)
    assert len(learn([wave[:1] for wave in waves()]).predict([waves()[0]])) == 1


def test_another_number_of_channels_names_the_row(series):
    given = waves()
    given[7] = waves(channels=3)[7]
    for call in (learn, series.predict):
        with pytest.raises(ReadError, match=r"column 'x0': row 1 has shape \(\d, 2\), row 8 \(\d, 3\); 2 and 3 channels"):
            call(given)
    with pytest.raises(SchemaError, match=r"column 'x0' has 3 channels in row 1, expected 2 as in training"):
        series.predict(waves(channels=3))
    with pytest.raises(
        SchemaError, match=r"column 'x0' has 7 channels in row 1, expected 2 as in training; give \(steps, channels\)"
    ):
        series.predict([np.zeros((2, 7))])


def test_uneven_steps_in_a_file_name_the_row():
    even = pl.DataFrame({"wave": [wave.tolist() for wave in waves()], "y": ["yes", "no"] * 15})
    uneven = even["wave"].to_list()
    uneven[11] = [[1.0, 2.0], [3.0]]
    even.write_parquet("even.parquet")
    even.with_columns(pl.Series("wave", uneven)).write_parquet("uneven.parquet")
    fitted = command("fit", "even.parquet", "--target", "y", *QUICK, "--out", "m.lamina", "--run", "run")
    assert "Preprocessing: wave truncated to at most 8 steps of 2 channels." in fitted.out
    steps = r"lists whose steps have 1 \(row 12\) to 2 \(row 1\) values; every step of a series needs the same number"
    refused("fit", "uneven.parquet", "--target", "y", *QUICK, match=rf"no column is left to learn from: 'wave' \({steps}\)")
    kind = ("--kind", "wave=series")
    refused("fit", "uneven.parquet", "--target", "y", *kind, *QUICK, match=rf"column 'wave' cannot be a series: {steps}")
    for verb in ("predict", "evaluate"):
        refused(
            verb,
            "m.lamina",
            "uneven.parquet",
            match="column 'wave' has 1 channel in row 12, expected 2 as in training; give every step",
        )
    with pytest.raises(ReadError, match=r"column 'wave', row 12: step 2 has 1 values, step 1 has 2; give every step"):
        fit({"wave": uneven, "y": ["yes", "no"] * 15})


def test_channels_without_a_value_are_noted():
    given = waves()
    for wave in given:
        wave[:, 1] = np.nan
    model = learn(given)
    assert "x0: channel 2 without any training value; set to zero" in model.model_.card["notes"]
    np.testing.assert_array_equal(model.predict_proba(waves()), model.predict_proba(given))


def test_times_out_of_order_twice_or_missing(series):
    rows = [
        {"who": who, "time": time, "pulse": float(wave[time, 0]), "pressure": float(wave[time, 1])}
        for who, wave in enumerate(waves())
        for time in reversed(range(len(wave)))
    ]
    gathered = lamina.gather_series(rows, "who", "time")
    np.testing.assert_array_equal(series.predict({"x0": gathered["series"]}), series.predict(waves()))
    with pytest.raises(SchemaError, match=r"who 3 has 2 rows at time 1; average them, or give a finer time"):
        lamina.gather_series([*rows, {"who": 3, "time": 1, "pulse": 0.0, "pressure": 0.0}], "who", "time")
    with pytest.raises(SchemaError, match=rf"column 'time' is empty in row {len(rows) + 1}; fill it in or leave the row out"):
        lamina.gather_series([*rows, {"who": 3, "time": None, "pulse": 0.0, "pressure": 0.0}], "who", "time")
    Path("long.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert lamina.gather_series("long.jsonl", "who", "time").equals(gathered)
