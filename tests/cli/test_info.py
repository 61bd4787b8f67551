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
    said = lamina("info", model)
    assert said.code == 0
    assert re.search(r"^age +number +whole numbers", said.out, re.M)
    assert "from 240 rows" in said.out
    assert re.search(rf"^total +{load(model).model_.net.plan.parameter_count:,}$", said.out, re.M)
    assert re.search(r"^hidden1 +Dense +number_embedding, ", said.out, re.M)
    assert max(map(len, said.out.splitlines())) <= max(80, len(str(model)) + 20)
    assert "always predicting" in said.out


def test_json(model):
    found = json.loads(lamina("info", model, "--json").out)
    assert (found["targets"], found["data"]["rows"], found["family"]["name"]) == (["income"], 240, "feedforward")
    assert "hidden1" in [node["name"] for node in found["graph"]["nodes"]]


def test_a_run_folder_says_how_it_stands(model):
    said = lamina("info", model.parent / "run")
    assert re.search(r"run \(finished\)\n", said.out)
    assert re.search(r"^epochs +3$", said.out, re.M)
    assert "lamina resume" not in said.out


def test_a_run_that_ended_early_says_how_to_go_on():
    run = Run.create("runs/a-1", {"asked": {"target": ["y"]}, "data": {"path": "/data/a.csv"}})
    for number, loss in enumerate((0.5, 0.25, 0.3)):
        run.write(Epoch(number, 0.5, 0.01, 10, 1.0, 1.0, True, {"loss": loss}))
    said = lamina("info", "runs/a-1")
    assert "runs/a-1 (not finished)" in said.out
    assert "█▁▂ lowest 0.25, last 0.3" in said.out
    assert "lamina resume runs/a-1" in said.out
    run.write(End(StopReason.INTERRUPTED))
    assert json.loads(lamina("info", "runs/a-1", "--json").out)["state"] == "ended by Ctrl-C"


def test_neither_a_model_nor_a_run():
    Path("empty").mkdir()
    said = lamina("info", "empty")
    assert (said.code, said.err) == (1, "lamina: empty is a folder; give a .lamina file\n")
