"""Comparisons on difficult rows: no result is lost, and messages name the remedy."""

import json
import warnings

import numpy as np
import polars as pl
import pytest
import torch

import lamina
from lamina.comparison import runner
from lamina.comparison.worker import Work, run_job
from lamina.errors import DataError, OptionError
from lamina.graph.layers import pretrained
from lamina.graph.layers.pretrained import Pretrained


class LocalWorker:
    """A worker in this process, which starts faster."""

    def __init__(self, folder, limits):
        self.work = Work(folder)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, job, stop):
        with warnings.catch_warnings(action="ignore"):
            return run_job(self.work, {"family": job.family, "fold": job.fold})


@pytest.fixture
def local_worker(monkeypatch):
    monkeypatch.setattr(runner, "_Worker", LocalWorker)
    threads = torch.get_num_threads()  # a worker sets its own
    yield
    torch.set_num_threads(threads)


FEW = {"families": ["constant", "linear"], "repeats": 1, "workers": 1, "monitor": None}


def rows(count=60, seed=0, **columns):
    random = np.random.default_rng(seed)
    x = random.normal(size=(count, 2))
    y = np.where(x[:, 0] + random.normal(0, 0.3, count) > 0, "up", "down")
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y}).with_columns(**columns)


def finished(board):
    return board.complete and board.model is not None and all(line.folds == board.folds for line in board.lines)


@pytest.mark.usefixtures("local_worker")
def test_a_class_with_fewer_rows_than_folds():
    table = rows(y=pl.Series(["rare"] * 2 + rows()["y"].to_list()[2:]))
    board = lamina.compare(table, "y", **{**FEW, "families": ["constant", "linear", "neighbours"]}, folds=5)
    assert finished(board)
    few = "too few rows for so many folds; merge_rare=True merges rare classes"
    assert board.notes == (f"class 'rare' has no test row in up to 3 of 5 folds: {few}",)
    assert board.model.classes_.tolist() == ["down", "rare", "up"]


def test_a_class_of_a_single_row_is_refused_before_any_work(tmp_path):
    table = rows(y=pl.Series(["rare"] + rows()["y"].to_list()[1:]))
    with pytest.raises(DataError, match="class 'rare' of target 'y' has 1 row, but at least 2 are needed; merge rare classes"):
        lamina.compare(table, "y", **FEW, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Own(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.linear = torch.nn.Linear(inputs["numbers"].shape[0], 4)

    def forward(self, blocks):
        return self.linear(blocks["numbers"])


def test_a_part_that_is_registered_here_only_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "_MAKERS", {})
    lamina.register("own", Own)
    graph = lamina.Graph()
    graph.input("numbers", shape=2)
    graph.layer("part", Pretrained("own", out=(4,)), after="numbers")
    table = rows(picture=pl.Series(np.arange(60 * 64).reshape(60, 8, 8, 1).astype(np.uint8)))
    for family in (lamina.Custom("own"), lamina.Custom(graph), lamina.Convolutional(backbone="own")):
        match = "candidate 'mine' has the registered part 'own', which is not registered in the worker processes"
        with pytest.raises(OptionError, match=match):
            lamina.compare(table, "y", **{**FEW, "families": {"mine": family, "base": "constant"}}, run=tmp_path / "run")
    with pytest.raises(OptionError, match="Custom.network is 'other', which is no registered name"):
        lamina.compare(rows(), "y", **{**FEW, "families": [lamina.Custom("other")]}, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("local_worker")
def test_folds_of_one_class_do_not_count_where_the_metric_is_undefined():
    table = rows(y=pl.Series(["b"] * 4 + ["a"] * 56), a=pl.Series([9.0] * 4 + [0.1 * (i % 7) for i in range(56)]))
    board = lamina.compare(table, "y", **FEW, folds=5)
    assert (board.metric.name, board.folds) == ("auc", 4)
    assert finished(board)
    assert board.notes[-1] == "in 1 of 5 folds all rows predicted are of one class, so AUC is not defined: not counted"
    assert "Compared on the folds that they finished" not in board.verdict.words


@pytest.mark.usefixtures("local_worker")
def test_columns_without_a_value_in_some_folds_or_anywhere():
    sparse = {
        "number": [1.5, 2.5],
        "word": ["p", "q"],
        "flag": [True, False],
        "date": ["2024-01-01", "2024-03-01"],
        "empty": [None, None],
    }
    table = rows(**{name: pl.Series(values + [None] * 58) for name, values in sparse.items()})
    board = lamina.compare(table, "y", **{**FEW, "families": ["linear", "forest", "neighbours"]}, folds=3)
    assert finished(board)
    assert board.notes == ("1 ignored column: empty (missing in every row)",)
    with pytest.raises(DataError, match=r"no column is left to learn from: 'a' \(missing in every row\)"):
        lamina.compare({"a": [None] * 60, "y": table["y"]}, "y", **FEW)


@pytest.mark.usefixtures("local_worker")
def test_a_fold_without_a_value_in_any_column_says_which():
    part = ["test"] * 2 + ["train"] * 10
    table = pl.DataFrame({"a": [1.5, 2.5] + [None] * 10, "y": ["u", "d"] * 6, "part": part})
    board = lamina.compare(table, "y", **FEW, split="part")
    assert "baseline, linear: in fold 1, no column is left to learn from: 'a'" in board.verdict.words
    assert board.verdict.words.count("no column is left") == 1
    assert (board.complete, board.model) == (True, None)


@pytest.mark.usefixtures("local_worker")
def test_constant_and_identical_predictions_are_noted():
    table = rows(y=pl.Series(["a"] * 45 + ["b"] * 15), a=pl.Series([float(i % 5) for i in range(60)])).drop("b")
    board = lamina.compare(table, "y", **FEW, folds=3)
    assert finished(board)
    assert board.notes == ("linear predicts the same for every row",)
    assert board.verdict.call == "nothing learnt"
    values = rows(y=pl.Series(np.arange(60) % 7 + 0.5))
    board = lamina.compare(values, "y", **{**FEW, "families": ["constant", "constant"]}, folds=3)
    assert board.notes[-1] == "baseline and constant 2 make the same predictions: they count as one"


@pytest.mark.usefixtures("local_worker")
def test_a_task_is_the_same_in_every_fold():
    """21 different whole numbers are quantities; the fold that lacks one of them would by itself take 20 for classes."""
    values = [number for number in range(20) for _ in range(7)] + [20]
    table = rows(141, y=pl.Series(values), a=pl.Series(np.array(values, dtype=float)))
    board = lamina.compare(table, "y", **FEW, folds=5)
    assert board.metric.name == "r2"
    assert finished(board)
    assert all(score > 0.99 for line in board.lines if line.name == "linear" for score in line.candidate.scores)


@pytest.mark.usefixtures("local_worker")
def test_what_failed_for_want_of_time_or_memory_may_try_again(tmp_path, monkeypatch):
    asked = {**FEW, "folds": 3, "run": tmp_path / "run"}
    with monkeypatch.context() as low_memory:
        low_memory.setattr(LocalWorker, "run", lambda worker, job, stop: {"failed": "ran out of memory"})
        board = lamina.compare(rows(), "y", **asked, memory_limit=0.1)
    assert (board.complete, board.model, board.verdict.call) == (True, None, "failed")
    before = (tmp_path / "run" / "events.jsonl").read_text().count('"result"')
    lamina.compare(rows(), "y", **asked, memory_limit=0.1)
    assert (tmp_path / "run" / "events.jsonl").read_text().count('"result"') == before
    board = lamina.compare(rows(), "y", **asked)
    assert finished(board)
    written = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    assert sum("scores" in event for event in written) == 6
