"""The .lamina file: checked, exact in a fresh process, loaded from earlier formats."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

import lamina
from lamina import store
from lamina.errors import ModelFileError
from tests.contract import fitted, table


@pytest.fixture(scope="module")
def model():
    return fitted("feedforward", "binary", epochs=2)[0]


@pytest.fixture
def path(model, tmp_path):
    return model.save(tmp_path / "m.lamina")


def test_a_fresh_process_predicts_the_same_bits(model, path, tmp_path):
    frame, _ = table("binary")
    frame.write_parquet(tmp_path / "rows.parquet")
    code = (
        "import sys, lamina, numpy; model = lamina.load(sys.argv[1]);"
        "numpy.save(sys.argv[3], model.predict_proba(lamina.data.read.read_table(sys.argv[2])))"
    )
    subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / "rows.parquet"), str(tmp_path / "p.npy")], check=True)
    assert np.array_equal(np.load(tmp_path / "p.npy"), model.predict_proba(frame))


def test_the_card_says_where_the_model_came_from(path):
    card = lamina.load(path).model_.card
    assert card["lamina"] == lamina.__version__
    assert card["data"]["rows"] == 120
    assert card["split"]["train"] + card["split"]["validation"] == 120
    assert card["recipe"]["epochs"] == 2
    assert len(card["history"]) == 2
    assert set(card["validation"]) == set(card["baseline"]) == {"accuracy", "log_loss", "auc"}


def test_trust_is_saved_and_an_earlier_file_has_none(model, path, tmp_path):
    frame, _ = table("binary")
    assert lamina.load(path).predict(frame, trust=True).equals(model.predict(frame, trust=True))
    old = lamina.load(os.path.join(os.path.dirname(__file__), "golden", "0.1.0.lamina"))
    assert old.model_.trust is None
    assert lamina.load(old.save(tmp_path / "again.lamina")).model_.trust is None


def test_no_pickle_in_the_file(path):
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    assert set(header["__metadata__"]) == {"format", "content", "sha256"}
    assert json.loads(header["__metadata__"]["content"])["predictor"]["graph"]["nodes"]


@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1, -1000])
def test_a_cut_file_is_refused(path, cut):
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelFileError, match=r"m.lamina is not a .lamina file, or it is cut off or damaged"):
        lamina.load(path)


def test_each_flipped_byte_is_detected(path):
    good = path.read_bytes()
    for place in np.random.default_rng(0).integers(8, len(good), 60):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(ModelFileError, match=r"damaged|not saved by lamina|upgrade"):
            lamina.load(path)


def test_other_files_are_refused_by_name(tmp_path, path):
    with pytest.raises(ModelFileError, match=r"there is no file .*nothing.lamina; there is .*m.lamina"):
        lamina.load(tmp_path / "nothing.lamina")
    with pytest.raises(ModelFileError, match=r"is a folder; give a .lamina file"):
        lamina.load(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.lamina").touch()
    with pytest.raises(ModelFileError, match=r"is a folder; did you mean .*model.lamina"):
        lamina.load(tmp_path / "run")
    save_file({"w": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelFileError, match=r"is a safetensors file, but was not saved by lamina"):
        lamina.load(tmp_path / "other.safetensors")


def test_a_newer_format_is_refused_by_name(path, monkeypatch, model):
    monkeypatch.setattr(store, "FORMAT", 4)
    model.save(path)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"has format 4, this lamina supports up to 3; upgrade: pip install -U lamina"):
        lamina.load(path)


def test_unknown_content_is_refused(path, monkeypatch, model):
    monkeypatch.setattr(type(model.model_.net.plan.graph), "to_json", lambda self: {"format": 1, "nodes": [{"name": "x"}]})
    model.save(path)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"cannot be read by this lamina"):
        lamina.load(path)


def test_a_failed_save_leaves_the_old_file(path, model, tmp_path):
    old = path.read_bytes()
    code = (
        "import resource, signal, sys, lamina; model = lamina.load(sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "model.save(sys.argv[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert "ModelFileError: cannot write" in done.stderr
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == ["m.lamina"]
    with pytest.raises(ModelFileError, match=r"it is a folder; give the path of a file"):
        model.save(tmp_path)


def test_files_of_earlier_releases_still_predict_the_same_numbers():
    """One file of each release, from tests/golden/make.py."""
    from pathlib import Path

    golden = Path(__file__).parent / "golden"
    files = sorted(golden.glob("*.lamina"))
    assert files
    for file in files:
        rows = pl.read_csv(golden / f"{file.stem}.csv", try_parse_dates=True)
        model = lamina.load(file)
        np.testing.assert_allclose(
            model.predict_proba(rows.drop("expected"))[:, 1], rows["expected"].to_numpy(), rtol=0, atol=1e-6
        )
        card = model.model_.card
        assert lamina.FeedForward.from_json(card["family"]).check().hidden_sizes == (16,)
        assert lamina.Recipe.from_json(card["recipe"]).check().ema_decay == 0.998


def test_every_option_that_was_renamed_is_one_of_its_family():
    from dataclasses import fields

    from lamina.families import FAMILIES
    from lamina.migration import RENAMED

    for family, names in RENAMED.items():
        if family != "auto":
            known = {field.name for field in fields(FAMILIES[family])}
            shared = set(RENAMED["feedforward"].values()) | set(RENAMED["lightgbm"].values()) | {"max_depth"}
            assert set(names.values()) - shared <= known
            assert not set(names) & known


def test_the_same_model_has_the_same_bytes(model, path, tmp_path):
    contents = {model.save(tmp_path / f"{number}.lamina").read_bytes() for number in range(5)}
    assert contents == {path.read_bytes()}
    assert lamina.load(path).save(tmp_path / "again.lamina").read_bytes() == path.read_bytes()
