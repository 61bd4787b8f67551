"""Damaged and foreign files, and cells that cannot be read: named, counted and left out where that is asked for."""

import json
import os

import numpy as np
import polars as pl
import pytest
from PIL import Image

import lamina
from lamina.errors import LaminaWarning, ReadError, SchemaError
from tests.cli.helpers import lamina as command

QUICK = {"recipe": lamina.Recipe(epochs=1, threads=1), "trust": False, "monitor": None}


@pytest.fixture
def pets(tmp_path):
    """Class folders of 12 images each, a truncated and a foreign file among them."""
    draw = np.random.default_rng(0)
    for label, shade in (("cat", 40), ("dog", 200)):
        folder = tmp_path / "pets" / label
        folder.mkdir(parents=True)
        for number in range(12):
            pixels = (draw.integers(0, 40, (8, 8)) + shade).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    damaged = tmp_path / "pets" / "cat" / "3.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    (tmp_path / "pets" / "dog" / "notes.docx").write_bytes(b"PK\x03\x04")
    return tmp_path / "pets"


def test_files_of_a_folder(pets):
    with pytest.raises(ReadError, match=r"dog/notes.docx.*skip them \(skip_bad=True, --skip-bad\)"):
        lamina.fit(pets, **QUICK)
    (pets / "dog" / "notes.docx").rename(pets.parent / "notes.docx")
    with pytest.raises(ReadError, match=r"1 of 24 images cannot be read: .*3.png.*or skip it \(skip_bad=True, --skip-bad\)"):
        lamina.fit(pets, **QUICK)
    (pets.parent / "notes.docx").rename(pets / "dog" / "notes.docx")
    model = lamina.fit(pets, skip_bad=True, **QUICK)
    notes = model.model_.card["notes"]
    assert "1 file skipped: dog/notes.docx is no image" in notes
    assert any("1 row skipped: " in note and "cat/3.png" in note for note in notes)
    assert model.model_.card["data"]["rows"] == 23
    with pytest.warns(LaminaWarning, match="2 rows skipped: dog/notes.docx is no image; .*3.png"):
        assert model.evaluate(pets, skip_bad=True)["rows"] == 23
    os.mkfifo(pets / "dog" / "pipe.png")
    with pytest.warns(LaminaWarning, match="rows? skipped: .*3.png"):
        assert sum(label is not None for label in model.predict(pets, skip_bad=True)) == 23


def test_predictions_stay_beside_their_rows(pets):
    model = lamina.fit(pets, skip_bad=True, **QUICK)
    paths = [str(pets / name) for name in ("cat/1.png", "cat/3.png", "dog/1.png", "none.png")]
    with pytest.raises(ReadError, match="2 of 4 images cannot be read"):
        model.predict(paths)
    with pytest.warns(LaminaWarning, match="2 rows skipped: .*3.png in row 2.*none.png in row 4 does not exist"):
        labels = model.predict(paths, skip_bad=True)
    assert [label is None for label in labels] == [False, True, False, True]
    assert "2 rows skipped" in model.notes_[0]
    assert labels[0] == model.predict(paths[:1])[0]
    with pytest.warns(LaminaWarning, match="1 row skipped"):
        table = model.predict_table(pl.DataFrame({"image": paths[1:3]}), skip_bad=True)
    assert table["probability cat"].is_null().to_list() == [True, False]
    assert model.predict(paths[:1], skip_bad=True).tolist() == model.predict(paths[:1]).tolist()


def test_cells_that_cannot_be_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = pl.DataFrame({"x": np.arange(60) / 7, "y": np.arange(60) * 2.0 + 0.5})
    model = lamina.fit(rows, "y", family="linear", **QUICK)
    model.save("m.lamina")
    new = pl.DataFrame({"x": ["1.5", "broken", None, "3.5"], "y": ["21.5", "1.5", "2.5", "49.5"]})
    new.write_csv("new.csv")
    with pytest.raises(SchemaError, match=r"'broken' in row 2.*skip such rows \(skip_bad=True, --skip-bad\)"):
        model.predict(new)
    with pytest.warns(LaminaWarning, match="1 row skipped: x 'broken' in row 2"):
        assert model.predict(new, skip_bad=True).is_null().to_list() == [False, True, False, False]
    with pytest.warns(LaminaWarning, match="1 row skipped"):
        worst = model.evaluate(new, skip_bad=True, errors=3)["errors"]
    assert sorted(error["row"] for error in worst) == [1, 3, 4]
    refused = command("predict", "m.lamina", "new.csv")
    assert refused.code == 1
    assert "--skip-bad" in refused.err
    done = command("predict", "m.lamina", "new.csv", "--skip-bad")
    assert done.out.splitlines()[2] in ("", '""')
    assert len(done.out.splitlines()) == 5
    assert "note: 1 row skipped: x 'broken' in row 2" in done.err
    scores = json.loads(command("evaluate", "m.lamina", "new.csv", "--skip-bad", "--errors", "1", "--json").out)
    assert (scores["rows"], scores["errors"][0]["row"]) == (3, worst[0]["row"])


def test_a_comparison_and_a_resumed_run_skip_the_same_files(pets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = "compare pets --family linear --family constant --folds 2 --repeats 1 --skip-bad --run r --json"
    done = command(*words.split())
    assert done.code == 0, done.err
    assert "2 rows" not in done.out
    lamina.fit(pets, skip_bad=True, run=tmp_path / "fit", **QUICK)
    (tmp_path / "fit" / "events.jsonl").write_text("")
    (tmp_path / "fit" / "model.lamina").unlink()
    assert lamina.resume(tmp_path / "fit", monitor=None).model_.card["data"]["rows"] == 23


def test_nothing_is_left(pets):
    for file in pets.rglob("*.png"):
        file.write_bytes(b"\x89PNG")
    with pytest.raises(ReadError, match="no row can be read: 24 rows skipped"):
        lamina.fit(pets, skip_bad=True, kinds={"image": "image"}, **QUICK)
