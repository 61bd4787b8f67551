"""The loop: best weights kept, stopping, exact epochs, topology that changes, random state left alone."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest
import torch

import lamina
from lamina.errors import RunError, TrainingError
from lamina.families import FeedForward
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import Settings
from lamina.graph.graph import Graph
from lamina.train.callbacks import Hooks
from lamina.train.events import Epoch, StopReason
from lamina.train.loop import train, train_for
from lamina.train.recipe import Recipe
from tests.contract import small, table
from tests.train.test_population import member

TINY = FeedForward(hidden_sizes=(8,), members=1, number_embedding=None, dropout=0.0)


def fit(rows=80, *, family=TINY, monitor=None, edit=None, run=None, kind="binary", **recipe):
    frame, target = table(kind, rows)
    recipe = Recipe(**{"epochs": 5, "batch_size": 16, "learning_rate": 0.01, **recipe})
    return fit_model(frame, Settings((target,), family=family, recipe=recipe), monitor=monitor, edit=edit, run=run)


@pytest.mark.tiny
def test_the_weights_that_validated_best_are_kept():
    model = fit(epochs=40, learning_rate=0.1, patience=None, weight_decay=0.0)
    losses = [epoch["validation_loss"] for epoch in model.card["history"]]
    assert model.card["best_epoch"] == int(np.argmin(losses))
    assert model.card["best_epoch"] < 39
    assert model.card["validation"]["log_loss"] == pytest.approx(min(losses), rel=1e-9)


def test_training_for_a_number_of_epochs_ends_with_the_weights_of_the_last():
    one, other, other_recipe = member(epochs=8, learning_rate=1e-3), member(epochs=8, learning_rate=1e-3), member().recipe
    net, history = train(one.net, one.feed, one.validation, recipe=one.recipe, seed=3)
    assert history.best_epoch == 7
    done = []
    again = train_for(other.net, other.feed, 8, recipe=other.recipe, seed=3, hooks=Hooks(None, done.append))
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), again.parameters(), strict=True))
    assert [event.done for event in done] == [number / 8 for number in range(1, 9)]
    limited = dataclasses.replace(other_recipe, time_limit=1e-9)
    with pytest.raises(TrainingError, match="the time limit ended training"):
        train_for(other.net, other.feed, 100_000, recipe=limited, seed=3, hooks=Hooks())
    other.feed.inputs["x"][:] = float("nan")
    with pytest.raises(TrainingError, match="the loss was not finite"):
        train_for(other.net, other.feed, 2, recipe=other.recipe, seed=3, hooks=Hooks())


def test_patience_ends_training():
    card = fit(epochs=500, learning_rate=0.05, patience=3).card
    assert card["stopped"] is StopReason.PATIENCE
    assert len(card["history"]) == card["best_epoch"] + 4


def test_the_time_limit_ends_training_with_the_best_so_far():
    began = time.monotonic()
    card = fit(epochs=1_000_000, patience=None, time_limit=1.0).card
    assert card["stopped"] is StopReason.TIME_LIMIT
    assert time.monotonic() - began < 10
    partial = fit(rows=5_000, time_limit=0.2, batch_size=1).card
    assert partial["stopped"] is StopReason.TIME_LIMIT
    assert [epoch["train_loss"] for epoch in partial["history"]] == [None]


def test_an_exploding_loss_is_an_error():
    with pytest.raises(TrainingError, match=r"the loss was never finite \(learning rate 100\); lower recipe.learning_rate"):
        fit(
            kind="regression",
            optimizer="sgd",
            learning_rate=100.0,
            loss="mse",
            family=FeedForward(hidden_sizes=(64, 64), members=1),
        )


def test_the_callers_random_numbers_go_on_as_before():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    fit(family=FeedForward(hidden_sizes=(8,), members=1, dropout=0.3))
    assert torch.equal(torch.get_rng_state(), before)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam", "adamw", "muon"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "coslog4", "plateau"])
def test_every_optimizer_and_schedule_resumes(optimizer, schedule, tmp_path, monkeypatch):
    """Momentum, learning rates, the state of plateau and dropout: a resumed epoch is the same, bit by bit."""
    monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)
    frame, target = table("binary", 60)
    family = FeedForward(hidden_sizes=(8,), members=2, dropout=0.2, bins=4)
    recipe = Recipe(optimizer=optimizer, schedule=schedule, epochs=14, batch_size=16, patience=None)

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Epoch) and event.epoch == 8:
            raise Killed

    whole = lamina.fit(frame, target, family=family, recipe=recipe, seed=1, monitor=None)
    with pytest.raises(Killed):
        lamina.fit(frame, target, family=family, recipe=recipe, seed=1, monitor=kill, run=tmp_path / "r")
    resumed = lamina.resume(tmp_path / "r", monitor=None)
    for mine, other in zip(whole.model_.net.state_dict().values(), resumed.model_.net.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
    assert [e["validation_loss"] for e in whole.history_] == [e["validation_loss"] for e in resumed.history_]


def test_the_learning_rate_is_found():
    model = fit(rows=300, learning_rate="find", epochs=30, kind="classes")
    assert 1e-5 < model.card["recipe"]["learning_rate"] < 1
    assert model.card["validation"]["accuracy"] > model.card["baseline"]["accuracy"]


def test_topology_may_change_between_epochs():
    def edit(epoch, net) -> Graph | None:
        return net.plan.graph.widen("hidden1", 16) if epoch == 3 else None

    model = fit(epochs=6, edit=edit, patience=None)
    assert model.net.plan.graph.layers["hidden1"].size == 16
    assert model.card["best_epoch"] >= 3
    assert len(model.card["history"]) == 6


def test_resume_refuses_changed_or_lost_data(tmp_path):
    frame, target = table("binary")
    frame.write_parquet(tmp_path / "d.parquet")

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Epoch):
            raise Killed

    with pytest.raises(Killed):
        lamina.fit(tmp_path / "d.parquet", target, family=small("feedforward"), run=tmp_path / "r", monitor=kill)
    frame.with_columns(a=pl.lit(1.0)).write_parquet(tmp_path / "d.parquet")
    with pytest.raises(RunError, match=r"d.parquet has changed since the run began"):
        lamina.resume(tmp_path / "r")
    (tmp_path / "d.parquet").unlink()
    with pytest.raises(RunError, match=r"the data of this run are missing: .*d.parquet; restore the file, or fit again"):
        lamina.resume(tmp_path / "r")


CHILD = """
import sys, polars as pl, lamina
from lamina import FeedForward, Recipe
recipe = Recipe(epochs=40, batch_size=8, patience=None, schedule="cosine")
family = FeedForward(hidden_sizes=(16,), members=2, bins=4, dropout=0.1)
lamina.fit(pl.read_parquet(sys.argv[1]), "target", family=family, recipe=recipe, seed=4, run=sys.argv[2], monitor=None)
"""


def test_a_process_killed_at_any_moment_resumes_to_the_same_bits(tmp_path):
    table("binary", 2000)[0].write_parquet(tmp_path / "d.parquet")
    child = [sys.executable, "-c", CHILD, str(tmp_path / "d.parquet")]
    subprocess.run([*child, str(tmp_path / "whole")], check=True)
    process = subprocess.Popen([*child, str(tmp_path / "cut")])
    while not (tmp_path / "cut" / "checkpoint.safetensors").exists():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut" / "model.lamina").exists()
    resumed = lamina.resume(tmp_path / "cut", monitor=None)
    whole = lamina.load(tmp_path / "whole" / "model.lamina")
    for mine, other in zip(whole.model_.net.state_dict().values(), resumed.model_.net.state_dict().values(), strict=True):
        assert torch.equal(mine, other)
    events = map(json.loads, (tmp_path / "cut" / "events.jsonl").read_text().splitlines())
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == list(range(40))
