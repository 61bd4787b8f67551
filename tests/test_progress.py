"""The progress bar."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console
from rich.progress import Progress

from lamina import Recipe
from lamina import progress as module
from lamina.progress import _Shown, progress
from lamina.train.events import Epoch, Start, Step


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def shown(clock) -> _Shown:
    return _Shown(Progress(console=Console(file=io.StringIO()), auto_refresh=False))


def start(**options) -> Start:
    return Start(80, 20, "feedforward", dataclasses.replace(Recipe(epochs=100, patience=4), **options))


def epoch(number: int, *, best: bool = True, **scores) -> Epoch:
    return Epoch(number, 0.5, 0.01, 10, 1.0, 1.0, best, {"loss": 0.25, **scores})


def test_nobody_looking_nothing_shown(capsys):
    with progress() as bar:
        bar(start())
        bar(epoch(0))
    assert capsys.readouterr() == ("", "")


def test_an_epoch_says_losses_and_the_time_left_from_soonest_to_latest(shown, clock):
    shown(start())
    clock[0] += 2
    shown(epoch(0))
    task = shown.bar.tasks[0]
    assert (task.completed, task.total, task.fields["epoch"]) == (1.0, 100, "epoch 2/100")
    assert task.fields["said"] == "loss 0.5000 validation 0.2500 best 0.2500 0:08 to 3:18 left"


def test_accuracy_is_shown_where_there_is_one_beside_that_of_the_best_epoch(shown, clock):
    shown(start(patience=None))
    clock[0] += 1
    shown(epoch(0, accuracy=0.9))
    shown(epoch(1, accuracy=0.8, best=False))
    assert shown.bar.tasks[0].fields["said"] == "loss 0.5000 accuracy 0.8000 best 0.9000 0:49 left"


def test_a_time_limit_is_the_latest_end(shown, clock):
    shown(start(patience=None, time_limit=10.0))
    clock[0] += 3
    shown(epoch(0))
    assert shown.bar.tasks[0].fields["said"].endswith("best 0.2500 0:07 left")


def test_steps_are_shown_now_and_then_only(shown, clock):
    shown(start())
    for step in range(1, 11):
        clock[0] += 0.03
        shown(Step(0, step, 10))
    assert shown.bar.tasks[0].completed == 0.8  # at 0.12 s and 0.24 s


def test_a_resumed_run_reckons_with_its_own_time(shown, clock):
    shown(start(patience=None))
    shown(Step(50, 1, 10))
    clock[0] += 1
    shown(epoch(50))
    assert shown.bar.tasks[0].fields["said"].endswith("0:49 left")


def test_the_bar_is_full_in_the_end(shown):
    shown(start())
    shown(epoch(0))
    shown.end()
    assert shown.bar.tasks[0].percentage == 100
