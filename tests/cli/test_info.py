"""``lamina info``."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lamina.api import load
from lamina.train.events import End, Epoch, StopReason
from lamina.train.run import Run
from tests.cli.helpers import lamina


def test_the_card_of_a_file(model):
    result = lamina("info", model)
    assert result.code == 0
    assert re.search(r"^age +number +whole numbers", result.out, re.M)
    assert "to 240 rows" in result.out
    assert re.search(rf"^total +{load(model).model_.net.plan.parameter_count:,}$", result.out, re.M)
    assert re.search(r"^hidden1 +Dense +number_embedding, ", result.out, re.M)
    assert max(map(len, result.out.splitlines())) <= max(80, len(str(model)) + 20)
    assert "always predicting" in result.out


def test_json(model):
    output = json.loads(lamina("info", model, "--json").out)
    assert (output["targets"], output["data"]["rows"], output["family"]["name"]) == (["income"], 240, "feedforward")
    assert "hidden1" in [node["name"] for node in output["graph"]["nodes"]]


def test_the_state_of_a_run(model):
    result = lamina("info", model.parent / "run")
    assert re.search(r"run \(finished\)\n", result.out)
    assert re.search(r"^epochs +3$", result.out, re.M)
    assert "lamina resume" not in result.out


def test_an_interrupted_run_shows_how_to_resume():
    run = Run.create("runs/a-1", {"asked": {"target": ["y"]}, "data": {"path": "/data/a.csv"}})
    for number, loss in enumerate((0.5, 0.25, 0.3)):
        run.write(Epoch(number, 0.5, 0.01, 10, 1.0, 1.0, True, {"loss": loss}))
    result = lamina("info", "runs/a-1")
    assert "runs/a-1 (not finished)" in result.out
    assert "█▁▂ lowest 0.25, last 0.3" in result.out
    assert "lamina resume runs/a-1" in result.out
    run.write(End(StopReason.INTERRUPTED))
    assert json.loads(lamina("info", "runs/a-1", "--json").out)["state"] == "ended by Ctrl-C"


def test_neither_a_model_nor_a_run():
    Path("empty").mkdir()
    result = lamina("info", "empty")
    assert (result.code, result.err) == (1, "lamina: empty is a folder; give a .lamina file\n")
