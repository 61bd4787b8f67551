"""The progress bar."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console
from rich.progress import Progress

from lamina import Recipe
from lamina import progress as module
from lamina.progress import _ProgressMonitor, progress
from lamina.train.events import Epoch, Start, Step, Trial, Tune


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def monitor(clock) -> _ProgressMonitor:
    return _ProgressMonitor(Progress(console=Console(file=io.StringIO()), auto_refresh=False))


def start(**options) -> Start:
    return Start(80, 20, "feedforward", dataclasses.replace(Recipe(epochs=100, patience=4), **options))


def epoch(number: int, *, best: bool = True, **scores) -> Epoch:
    return Epoch(number, 0.5, 0.01, 10, 1.0, 1.0, best, {"loss": 0.25, **scores})


def test_no_bar_without_a_terminal(capsys):
    with progress() as bar:
        bar(start())
        bar(epoch(0))
    assert capsys.readouterr() == ("", "")


def test_an_epoch_shows_losses_and_the_range_of_the_time_left(monitor, clock):
    monitor(start())
    clock[0] += 2
    monitor(epoch(0))
    task = monitor.bar.tasks[0]
    assert (task.completed, task.total, task.fields["epoch"]) == (1.0, 100, "epoch 2/100")
    assert task.fields["status"] == "loss 0.5000 validation 0.2500 best 0.2500 0:08 to 3:18 left"


def test_accuracy_is_shown_with_that_of_the_best_epoch(monitor, clock):
    monitor(start(patience=None))
    clock[0] += 1
    monitor(epoch(0, accuracy=0.9))
    monitor(epoch(1, accuracy=0.8, best=False))
    assert monitor.bar.tasks[0].fields["status"] == "loss 0.5000 accuracy 0.8000 best 0.9000 0:49 left"


def test_a_time_limit_is_the_latest_end(monitor, clock):
    monitor(start(patience=None, time_limit=10.0))
    clock[0] += 3
    monitor(epoch(0))
    assert monitor.bar.tasks[0].fields["status"].endswith("best 0.2500 0:07 left")


def test_steps_are_shown_at_intervals(monitor, clock):
    monitor(start())
    for step in range(1, 11):
        clock[0] += 0.03
        monitor(Step(0, step, 10))
    assert monitor.bar.tasks[0].completed == 0.8  # at 0.12 s and 0.24 s


def test_a_resumed_run_counts_its_own_time(monitor, clock):
    monitor(start(patience=None))
    monitor(Step(50, 1, 10))
    clock[0] += 1
    monitor(epoch(50))
    assert monitor.bar.tasks[0].fields["status"].endswith("0:49 left")


def test_a_tuning_shows_the_trial_the_best_score_and_the_time_left(monitor, clock):
    monitor(Tune(10, {}, rows=100, split="at random", test_rows=20, metric="rmse", time_limit=30))
    monitor(Trial(0, 10, "running"))
    clock[0] += 4
    monitor(Trial(1, 10, "running", best=0.51234, done=0.5))
    task = monitor.bar.tasks[0]
    assert (task.completed, task.total, task.fields["epoch"]) == (1.5, 10, "trial 2/10")
    assert task.fields["status"] == "best 0.5123; about 0:23 left"
    clock[0] += 14
    monitor(Trial(1, 10, "complete", best=0.5))
    assert task.fields["status"] == "best 0.5; about 0:12 left"  # to the time limit


def test_the_bar_is_full_in_the_end(monitor):
    monitor(start())
    monitor(epoch(0))
    monitor.end()
    assert monitor.bar.tasks[0].percentage == 100
