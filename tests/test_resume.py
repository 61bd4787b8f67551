"""A run knows its verb, and all that it writes is in the folder that is given: fits, comparisons, old and hostile folders."""

import json
import os
import shutil

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.comparison import runner
from lamina.errors import OptionError, RunError
from lamina.train.events import Compare
from lamina.train.run import FILES, Run
from tests.cli.helpers import lamina as command

FAMILIES = ["constant", "linear", lamina.Forest(n_estimators=3)]


def waves(rows=120, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] + random.normal(0, 0.5, rows) > 0, "up", "down")})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A board and the folder of its comparison."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    return lamina.compare(waves(), "y", families=FAMILIES, folds=3, repeats=1, workers=1, run=folder, monitor=None), folder


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the folder, somewhere else."""
    return shutil.copytree(finished[1], tmp_path / "copied")


def change(folder, /, **settings):
    """Write other settings; None removes one."""
    content = {**json.loads((folder / "run.json").read_text()), **settings}
    (folder / "run.json").write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def cut(folder, results):
    """The folder as a comparison leaves it that was killed after so many results, its last line cut off."""
    kept, count = [], 0
    for line in (folder / "events.jsonl").read_text().splitlines(keepends=True):
        count += '"result"' in line
        if count <= results:
            kept.append(line)
    (folder / "events.jsonl").write_text("".join(kept) + '{"event": "resu')
    (folder / "model.lamina").unlink()
    (folder / "board.json").unlink()


@pytest.fixture
def no_worker(monkeypatch):
    """No fit of a fold is allowed."""

    def refuse(*given):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(runner, "_Worker", refuse)


# ---------------------------------------------------------------- the verb
def test_a_finished_comparison_is_loaded_with_its_board_and_model(finished, copied, no_worker, monkeypatch):
    board, _ = finished
    (copied / "data.arrow").unlink()  # nothing is computed again
    found = lamina.resume(copied, monitor=None)
    assert found == board
    assert str(found) == str(board)
    rows = waves(seed=1)
    assert found.model.predict_proba(rows).tolist() == board.model.predict_proba(rows).tolist()


def test_an_interrupted_comparison_ends_as_an_undisturbed_one(finished, copied):
    board, _ = finished
    cut(copied, results=5)
    found = lamina.resume(copied, monitor=None)
    assert found.complete
    assert [line.candidate.scores for line in found.lines] == [line.candidate.scores for line in board.lines]
    assert (found.verdict.take, found.verdict.call) == (board.verdict.take, board.verdict.call)
    assert found.model.predict_proba(waves(seed=1)).tolist() == board.model.predict_proba(waves(seed=1)).tolist()
    assert Run.open(copied).finished


def test_a_folder_of_before_has_no_verb_and_no_terms(finished, copied, no_worker):
    board, _ = finished
    old = [line for line in (copied / "events.jsonl").read_text().splitlines(keepends=True) if '"result"' in line]
    (copied / "events.jsonl").write_text("".join(old))
    (copied / "board.json").unlink()
    change(copied, verb=None, dropped=None, metric=None, rope=None, time_limit=None, memory_limit=None, workers=None)
    assert Run.open(copied).verb == "compare"
    assert not Run.open(copied).finished
    found = lamina.resume(copied, monitor=None)
    assert found == board
    assert json.loads((copied / "run.json").read_text())["metric"] == "auto"


def test_a_fit_of_before_has_no_verb(tmp_path):
    lamina.fit(waves(), "y", family="linear", run=tmp_path / "r", seed=0, monitor=None)
    change(tmp_path / "r", verb=None)
    assert Run.open(tmp_path / "r").verb == "fit"
    assert isinstance(lamina.resume(tmp_path / "r", monitor=None), lamina.Classifier)


def test_resume_goes_on_with_the_terms_of_the_last_call(finished, copied, no_worker):
    again = {"families": ["constant", "linear"], "folds": 3, "repeats": 1, "run": copied, "monitor": None}
    lamina.compare(waves(), "y", **again, metric="log_loss")
    with pytest.raises(OptionError, match="the metric 'r2' is unknown or does not fit classification"):
        lamina.compare(waves(), "y", **again, metric="r2")
    (copied / "model.lamina").unlink()
    found = lamina.resume(copied, monitor=None)
    assert (found.metric.name, len(found.lines)) == ("log_loss", 2)
    with pytest.raises(RunError, match="was begun with another 'forest'"):  # its results are in the folder still
        lamina.compare(waves(), "y", **{**again, "families": [lamina.Forest(n_estimators=4)]})
    assert len(lamina.compare(waves(), "y", **{**again, "families": FAMILIES}).lines) == 3


def test_a_comparison_that_was_begun_anew_is_not_finished(copied):
    assert Run.open(copied).finished
    Run.open(copied).write(Compare({}, 3, "at random", 120))
    assert not Run.open(copied).finished


def test_the_same_call_refused_on_a_folder_leaves_its_files(finished, copied):
    (copied / "notes.txt").write_text("mine")
    (copied / "events.jsonl").unlink()
    with pytest.raises(OptionError, match="does not fit"):
        lamina.compare(waves(), "y", families=FAMILIES, folds=3, repeats=1, metric="r2", run=copied, monitor=None)
    assert (copied / "notes.txt").read_text() == "mine"


def test_an_unknown_verb_is_of_a_newer_lamina(copied):
    change(copied, verb="translate")
    with pytest.raises(RunError, match="was created with .translate., and this lamina resumes fit, compare, tune only"):
        lamina.resume(copied)


# ---------------------------------------------------------------- what info says
def test_info_says_what_a_comparison_is_and_found(finished, copied):
    board, _ = finished
    found = json.loads(command("info", copied, "--json").out)
    assert (found["verb"], found["state"], found["targets"]) == ("compare", "finished", ["y"])
    assert (found["candidates"], found["done"], found["fits"]) == (["baseline", "linear", "forest"], 9, 9)
    assert found["board"] == json.loads(json.dumps(board.to_json()))
    shown = command("info", copied).out
    assert "copied (finished)" in " ".join(shown.split())  # a long path is wrapped
    assert "9 of 9" in shown
    assert " ".join(board.verdict.words.split()) in " ".join(shown.split())
    cut(copied, results=5)
    shown = " ".join(command("info", copied).out.split())
    assert "(not finished)" in shown
    assert "5 of 9" in shown
    assert f"lamina resume {copied}".replace(" ", "") in shown.replace(" ", "")  # a long path is wrapped


def test_info_says_what_a_fit_found(tmp_path):
    model = lamina.fit(waves(), "y", family="linear", run=tmp_path / "r", seed=0, monitor=None)
    found = json.loads(command("info", tmp_path / "r", "--json").out)
    assert "board" not in found
    assert (found["verb"], found["state"]) == ("fit", "finished")
    assert found["scores"]["accuracy"] == model.model_.card["validation"]["accuracy"]
    assert "validation accuracy" in command("info", tmp_path / "r").out


def test_resume_of_a_finished_comparison_shows_its_board(finished, copied, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = command("resume", "copied", "--out", "best.lamina")
    assert (said.code, said.err) == (0, "")
    assert finished[0].verdict.words.split(".")[0] in " ".join(said.out.split())
    assert (tmp_path / "best.lamina").read_bytes() == (copied / "model.lamina").read_bytes()


# ---------------------------------------------------------------- nothing is written outside
@pytest.mark.parametrize("place", ["../outside", "{absolute}/outside"])
@pytest.mark.parametrize("verb", ["fit", "compare"])
def test_no_path_in_run_json_says_where_anything_is_written(finished, tmp_path, monkeypatch, verb, place):
    monkeypatch.chdir(tmp_path)
    place = place.format(absolute=tmp_path)
    folder = tmp_path / "in" / "run"
    if verb == "fit":
        lamina.fit(waves(), "y", family="linear", run=folder, seed=0, monitor=None)
        (folder / "model.lamina").unlink()
    else:
        shutil.copytree(finished[1], folder)
        cut(folder, results=9)
    data = {**json.loads((folder / "run.json").read_text())["data"], "copy": place}
    names = ("out", "model", "folder", "events", "run", "checkpoint", "board", "picture", "copy")
    change(folder, data=data, **dict.fromkeys(names, place))
    said = command("resume", "in/run")
    assert said.code == 0, said.err
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} <= {
        "in",
        "in/run",
        *(f"in/run/{name}" for name in FILES),
    }
    assert (folder / "model.lamina").exists()


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_links_are_refused(copied, tmp_path, name):
    (copied / name).unlink(missing_ok=True)
    outside = tmp_path / "outside"
    outside.write_text("mine")
    os.symlink(outside, copied / name)
    for call in (lamina.resume, Run.open):
        with pytest.raises(RunError, match=f"{name} is a symbolic link; replace it by the file itself"):
            call(copied)
    assert outside.read_text() == "mine"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": None}, r"run.json is damaged \(it names no data\); start again in another folder"),
        ({"data": {"path": 3}}, "it names no data"),
        ({"asked": {}}, r"is damaged \(its settings: 'recipe'"),
        ({"asked": 7}, r"is damaged \(its settings: "),
        ({"candidates": ["forest"]}, r"is damaged \(its candidates: "),
        ({"candidates": {"a": {"trees": 3}}}, r"is damaged \(its candidates: 'name'"),
    ],
)
def test_settings_that_are_damaged_are_said(copied, settings, said):
    (copied / "model.lamina").unlink()
    change(copied, **settings)
    with pytest.raises(RunError, match=said):
        lamina.resume(copied, monitor=None)


def test_terms_out_of_bounds_are_said(copied):
    (copied / "model.lamina").unlink()
    change(copied, folds="../x")
    with pytest.raises(OptionError, match=r"folds is '../x', expected a whole number between 2 and 100"):
        lamina.resume(copied, monitor=None)


def test_events_and_boards_that_are_damaged_are_said(copied):
    (copied / "board.json").write_text('{"verdict": 3}')
    with pytest.raises(RunError, match=r"board.json is damaged .*; delete it; lamina resume .*copied writes it again"):
        lamina.resume(copied, monitor=None)
    for line in ("{", "3", "{}", '{"event": 1}'):
        (copied / "events.jsonl").write_text(f"{line}\n")
        with pytest.raises(RunError, match=r"events.jsonl is damaged: a line in it is no event"):
            lamina.resume(copied, monitor=None)


def test_no_target_is_said(copied):
    change(copied, asked={"target": 3})
    assert "it names no target" in command("info", copied).err
