"""Fits at once in threads: the same bits as one after another, one Ctrl-C for all, errors of each."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

import lamina
from lamina import Ensemble, Recipe
from lamina.families import FeedForward
from lamina.fitting import bagging
from lamina.train.at_once import at_once, interruptible
from lamina.train.events import Candidate, Epoch
from tests.fitting.test_candidates import rows


def test_each_call_has_its_threads_and_the_caller_keeps_its_own():
    before = torch.get_num_threads()
    inside, outside = at_once([torch.get_num_threads, torch.get_num_threads], threads=1), torch.get_num_threads()
    assert inside == [1, 1]
    assert outside == before


def test_an_error_ends_the_other_calls():
    def wait():
        with interruptible() as stop:
            return stop.wait(30)

    def fail():
        raise ValueError("first")

    started = time.monotonic()
    with pytest.raises(ValueError, match="first"):
        at_once([fail, wait], threads=1)
    assert time.monotonic() - started < 10


def test_folds_at_once_are_those_of_one_after_another(monkeypatch):
    table, seen, models = rows(400, shape="signs"), [], []
    for cores in (2, 1):
        monkeypatch.setattr(bagging, "available_threads", lambda cores=cores: cores)
        family = Ensemble((FeedForward(hidden_sizes=(16,), members=2, dropout=0.1),), folds=4)
        names = set()

        def monitor(event, names=names, cores=cores):
            names.add(threading.current_thread().name)
            if isinstance(event, Candidate | Epoch):
                seen.append((cores, event))

        models.append(lamina.fit(table, "y", family=family, recipe=Recipe(epochs=3), seed=1, monitor=monitor))
        assert len(names) == (2 if cores == 2 else 1)  # of the folds after the first one
    assert np.array_equal(models[0].predict(table), models[1].predict(table))
    folds = {cores: [event.fold for of, event in seen if of == cores and isinstance(event, Candidate)] for cores in (1, 2)}
    assert folds == {1: [0, 1, 2, 3], 2: [0, 1, 2, 3]}


def test_one_interrupt_stops_both_and_what_was_fitted_is_a_model(tmp_path):
    code = """
        import dataclasses
        import lamina
        from lamina import Ensemble, Recipe
        from lamina.families import FeedForward
        from lamina.fitting import bagging, members
        from lamina.train.events import Candidate, Epoch
        from tests.fitting.test_candidates import rows

        bagging.available_threads = lambda: 2
        first, original = [], members.fit_family

        def fit_family(rows, family, settings, *rest, **options):
            recipe = Recipe(epochs=100000 if first else 2, patience=None)
            first.append(1)
            return original(rows, family, dataclasses.replace(settings, recipe=recipe), *rest, **options)

        members.fit_family = fit_family

        def monitor(event):
            if isinstance(event, Epoch) and event.epoch == 3:
                print("training", flush=True)

        family = Ensemble((FeedForward(hidden_sizes=(64,), members=4),), folds=5)
        model = lamina.fit(rows(2000), "y", family=family, monitor=monitor)
        print(len(model.model_.predictor.members), model.model_.card["stopped"], *model.model_.card["notes"], flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out.startswith("3 interrupted")
    assert "3 of 5 folds were fitted before the interrupt" in out
