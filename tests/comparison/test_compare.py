"""A comparison end to end in real processes: results, resuming, limits, errors."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.comparison import runner
from lamina.comparison.board import make_board
from lamina.comparison.compare import choose_candidates
from lamina.comparison.picture import front
from lamina.data.rowhash import order
from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError, RunError
from lamina.families import FAMILIES, SIMPLEST_FIRST
from lamina.fitting.folds import Folds
from lamina.train.events import Compare, Job
from tests.comparison.metrics import METRICS, TWO

SMALL = {
    "families": {"baseline": "constant", "linear": "linear", "forest": lamina.Forest(n_estimators=5)},
    "monitor": None,
}


def waves(rows=240, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")})


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    run, events = tmp_path_factory.mktemp("compared") / "run", []
    board = lamina.compare(waves(), "y", **{**SMALL, "monitor": events.append}, folds=3, repeats=1, run=run, workers=2)
    return board, run, events


def test_every_candidate_is_fitted_on_every_fold(compared):
    board, run, events = compared
    assert board.complete
    assert {line.name for line in board.lines} == set(SMALL["families"])
    assert [line.folds for line in board.lines] == [3, 3, 3]
    assert board.lines[-1].name == "baseline"
    assert board.verdict.call in ("wins", "tie", "unclear")
    assert board.verdict.words
    written = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert sum(event["event"] == "result" for event in written) == 9
    assert isinstance(events[0], Compare)
    assert (events[0].folds, events[0].rows, list(events[0].candidates)) == (3, 240, list(SMALL["families"]))
    assert sorted(event.done for event in events if isinstance(event, Job)) == list(range(1, 10))


def test_scores_are_those_of_a_fit_on_the_very_same_fold(compared):
    """The same rows, the same seed, by hand."""
    board, run, _ = compared
    table = waves()[order(waves())]  # as lamina prepares it
    with np.load(run / "folds.npz") as folds:
        train, test = folds["train1"], folds["test1"]
    line = next(line for line in board.lines if line.name == "forest")
    model = lamina.fit(table[train], "y", family=lamina.Forest(n_estimators=5), seed=1, monitor=None)
    assert line.candidate.scores[1] == model.evaluate(table[test])["scores"]["accuracy"]


def test_the_complexity_of_a_candidate_is_its_family_and_the_size_of_its_model(compared):
    board, run, _ = compared
    found = {line.name: line.candidate.complexity for line in board.lines}
    assert [SIMPLEST_FIRST[rank] for rank, _ in found.values()] == [line.family["name"] for line in board.lines]
    assert (found["baseline"], found["linear"]) == ((0, 2), (1, 3))  # two shares; two weights and an offset
    with np.load(run / "folds.npz") as folds:
        train = folds["train1"]
    model = lamina.fit(waves()[order(waves())][train], "y", family=lamina.Forest(n_estimators=5), seed=1, monitor=None).model_
    sizes = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert model.predictor.size() in [each["parameters"] for each in sizes if each.get("name") == "forest"]


def test_every_family_has_a_place_from_simple_to_complex():
    assert sorted(SIMPLEST_FIRST) == sorted(FAMILIES)


def test_the_recommended_model_is_fitted_to_all_rows(compared):
    board, run, _ = compared
    assert board.model.model_.card["data"]["rows"] == 240
    assert lamina.load(run / "model.lamina").evaluate(waves(seed=1))["scores"]["accuracy"] > 0.9


def test_the_board_as_frame_json_picture_and_text(compared, tmp_path):
    board, _, _ = compared
    frame = board.to_frame()
    assert frame.columns[:4] == ["candidate", "accuracy", "low", "high"]
    assert frame["low"].min() >= 0
    assert frame["high"].max() <= 1
    assert json.loads(json.dumps(board.to_json(), allow_nan=False))["verdict"]["take"] == board.verdict.take
    picture = board.picture(tmp_path / "board.svg").read_text()
    assert picture.startswith("<svg")
    assert all(name in picture for name in SMALL["families"])
    assert " ".join(str(board).split()).startswith(board.verdict.words)


def test_a_finished_comparison_is_not_done_again(compared):
    board, run, _ = compared
    events = []
    again = lamina.compare(waves(), "y", **{**SMALL, "monitor": events.append}, folds=3, repeats=1, run=run)
    assert not [event for event in events if isinstance(event, Job)]
    assert again == board
    other = lamina.compare(waves(), "y", **SMALL, folds=3, repeats=1, run=run, metric="log_loss")
    assert (other.metric.name, other.verdict.metric) == ("log_loss", "log_loss")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 4}, "was begun with other folds; give the same"),
        ({"repeats": 2}, "was begun with other repeats"),
        ({"seed": 7}, "was begun with other settings"),
        ({"families": {"forest": lamina.Forest(n_estimators=6)}}, "was begun with another 'forest'"),
        ({"data": waves(seed=3)}, "was begun on other rows"),
    ],
)
def test_resuming_needs_the_same_options(compared, change, message):
    options = {"data": waves(), "target": "y", **SMALL, "folds": 3, "repeats": 1, "run": compared[1], **change}
    with pytest.raises(RunError, match=message):
        lamina.compare(**options)


def test_the_folder_of_a_fit_is_no_comparison(tmp_path):
    lamina.fit(waves(60), "y", family="constant", run=tmp_path / "fit", monitor=None)
    with pytest.raises(RunError, match="holds a run that is not a comparison"):
        lamina.compare(waves(60), "y", **SMALL, run=tmp_path / "fit")


def test_a_candidate_that_fails_names_the_reason_and_the_others_finish(monkeypatch):
    monkeypatch.setattr(runner, "LEAST_GRACE", 5.0)
    table = waves(90)
    families = {"linear": "linear", "windows": lamina.Convolutional(), "baseline": "constant"}
    with pytest.raises(OptionError, match="the family 'convolutional' reads"):
        lamina.compare(table, "y", families=families, folds=3, monitor=None)
    families = {"linear": "linear", "woods": lamina.Forest(n_estimators=100_000), "baseline": "constant"}
    board = lamina.compare(table, "y", families=families, folds=3, repeats=1, time_limit=1, monitor=None)
    woods = next(line for line in board.lines if line.name == "woods")
    assert woods.folds == 0
    assert woods.candidate.failed == "ran out of time (time_limit is 1 s)"
    assert [line.folds for line in board.lines if line.name != "woods"] == [3, 3]
    assert "woods" in board.verdict.words
    assert board.model is not None


def test_memory_has_a_limit():
    random = np.random.default_rng(0)
    table = pl.DataFrame({f"x{i}": random.normal(size=4000) for i in range(200)} | {"y": ["a", "b"] * 2000})
    families = {"near": "neighbours", "baseline": "constant"}
    board = lamina.compare(table, "y", families=families, folds=3, repeats=1, memory_limit=0.1, monitor=None, workers=1)
    assert [line.candidate.failed for line in board.lines if line.name == "near"] == [
        "ran out of memory (memory_limit is 0.1 GB)"
    ]


def test_the_same_candidate_twice_is_a_tie_and_noted():
    families = {"one": lamina.Forest(n_estimators=5), "other": lamina.Forest(n_estimators=5), "baseline": "constant"}
    board = lamina.compare(waves(150), "y", families=families, folds=3, repeats=1, monitor=None)
    assert board.notes == ("one and other make the same predictions: they count as one",)
    assert board.verdict.call == "tie"


SCRIPT = """
import sys, lamina, polars as pl
lamina.compare(pl.read_parquet(sys.argv[1]), "y", families=["constant", "linear", lamina.Forest(n_estimators=100)],
    folds=5, repeats=1,
    run=sys.argv[2], workers=1, monitor=lambda event: print(event.kind, getattr(event, "done", None), flush=True))
print("complete")
"""


def test_a_killed_comparison_is_resumed(tmp_path):
    waves().write_parquet(tmp_path / "t.parquet")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "t.parquet"), str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.split() == ["job", "4"]:
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    before = (tmp_path / "run" / "events.jsonl").read_text()
    assert before.count('"result"') >= 4
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert done.endswith("complete\n")
    after = (tmp_path / "run" / "events.jsonl").read_text()
    assert after.startswith(before.rpartition("\n")[0])
    assert after.count('"result"') == 15


def test_an_interrupt_leaves_a_partial_board(tmp_path):
    waves().write_parquet(tmp_path / "t.parquet")
    script = SCRIPT.replace("lamina.compare(", "board = lamina.compare(").replace(
        'print("complete")', "print(board.complete, board.model, board.verdict.words)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "t.parquet"), str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.split() == ["job", "7"]:
            process.send_signal(signal.SIGINT)
            break
    began = time.monotonic()
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait() == 0
    assert time.monotonic() - began < 30
    assert "False None" in rest


def test_candidates_have_names_of_their_own():
    schema = Schema.infer(waves(), target="y")
    chosen = choose_candidates(["forest", lamina.Forest(n_estimators=5), "constant"], schema, TWO)
    assert list(chosen) == ["forest", "forest 2", "baseline"]
    assert chosen["forest 2"]["n_estimators"] == 5
    everything = choose_candidates("auto", schema, TWO)
    assert "rocket" not in everything
    series = Schema.infer(pl.DataFrame({"wave": [[1.0, 2.0]] * 3 + [[0.0, 1.0]] * 3, "y": ["a", "b"] * 3}), target="y")
    assert {"rocket", "convolutional"} <= set(choose_candidates("auto", series, TWO))
    assert {"baseline", "linear", "neighbours", "boosting", "forest", "feedforward"} <= set(everything)
    with pytest.raises(OptionError, match="there is no candidate; give at least one family"):
        choose_candidates([], schema, TWO)
    with pytest.raises(OptionError, match="families is 3, expected 'auto', a list"):
        choose_candidates(3, schema, TWO)
    with pytest.raises(OptionError, match="lamina has no family 'woods'"):
        choose_candidates(["woods"], schema, TWO)


def test_what_does_not_fit_is_refused_before_any_work(tmp_path):
    for options, message in (
        ({"metric": "r2"}, "the metric 'r2' is unknown or does not fit classification"),
        ({"folds": 1}, "^folds is 1, expected a whole number between 2 and 100"),
        ({"time_limit": 0}, "^time_limit is 0"),
        ({"nonsense": 1}, "compare has no option 'nonsense'"),
    ):
        with pytest.raises(OptionError, match=message):
            lamina.compare(waves(60), "y", **{**SMALL, "folds": 3, **options})
    for y, message in ((["a", "b", "a"], "class 'b' of target 'y' has 1 row"), ([0.5, 1.5, 2.5], "3 rows cannot make 5 folds")):
        with pytest.raises(DataError, match=message):
            lamina.compare({"x": [1.5, 2.5, 3.5], "y": y}, "y", **SMALL)


def result(name, fold, score, **costs):
    costs = {"fit_seconds": 1.0, "predict_micros": 1.0, "bytes": 100, "same": f"{name}{fold}{score}", **costs}
    return {"name": name, "fold": fold, "scores": {"accuracy": score, "log_loss": 1 - score}, **costs}


def test_the_pareto_front():
    rows = np.arange(10)
    folds = Folds((rows,) * 4, (rows[:2],) * 4, "4 folds")
    seconds = {"fast": (1.0, 0.7), "slow": (9.0, 0.9), "worse": (5.0, 0.6), "middle": (3.0, 0.8)}
    results = [result(n, f, score + f / 100, fit_seconds=s) for n, (s, score) in seconds.items() for f in range(4)]
    board = make_board(
        {name: {"name": name} for name in seconds}, results, task=TWO, metric=METRICS["accuracy"], folds=folds, rows=12
    )
    assert [line.name for line in front(board.lines, board.metric)] == ["fast", "middle", "slow"]
    assert [line.name for line in board.lines] == ["slow", "middle", "fast", "worse"]
    lower = make_board(
        {name: {"name": name} for name in seconds}, results, task=TWO, metric=METRICS["log_loss"], folds=folds, rows=12
    )
    assert [line.name for line in front(lower.lines, lower.metric)] == ["fast", "middle", "slow"]
    assert lower.lines[0].others["accuracy"] == pytest.approx(0.915)


def test_a_fold_reads_texts_as_all_rows_of_the_comparison():
    """Without the odd cells, which are all in the test rows, the codes would be numbers, and the marks flags."""
    draw = np.random.default_rng(0)
    last = np.arange(200) >= 150
    table = pl.DataFrame(
        {
            "code": [f"A{i}" if odd and i % 2 else str(i % 40) for i, odd in enumerate(last)],
            "mark": ["c" if odd and i % 3 == 0 else "ab"[i % 2] for i, odd in enumerate(last)],
            "x": draw.normal(size=200),
            "y": draw.choice(["p", "q"], 200),
            "part": np.where(last, "test", "train"),
        }
    )
    board = lamina.compare(table, "y", families=["linear"], split="part", monitor=None)
    assert [line.folds for line in board.lines] == [1]
    assert board.model.model_.schema["code"].kind == "category"
