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
from lamina.errors import TrainingError
from lamina.families import FeedForward
from lamina.fitting import bagging, members
from lamina.train import population
from lamina.train.at_once import at_once, interruptible, together
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


def test_threads_meet_and_the_rest_goes_on_alone():
    def shares(items):
        return [item / 4 if item > 0 else ValueError("no share") for item in items]

    assert together(shares, 3) is None
    assert at_once([lambda: together(shares, 1), lambda: together(shares, 3)], threads=1) == [0.25, 0.75]
    assert at_once([lambda: together(shares, 1), lambda: "other"], threads=1) == [None, "other"]
    with pytest.raises(ValueError, match="no share"):
        at_once([lambda: together(shares, 1), lambda: together(shares, -1)], threads=1)


def test_an_error_of_the_common_call_lets_all_go_on():
    def fail(items):
        raise MemoryError("too many")

    with pytest.raises(MemoryError, match="too many"):
        at_once([lambda: together(fail, 1), lambda: together(fail, 3)], threads=1)


def test_folds_at_once_are_those_of_one_after_another(monkeypatch):
    table, seen, models = rows(400, shape="signs"), [], []
    for cores in (2, 1):
        monkeypatch.setattr(bagging, "available_threads", lambda cores=cores: cores)
        monkeypatch.setattr(population, "MOST_MULTIPLICATIONS", 0)
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


@pytest.mark.parametrize(("most", "fitted"), [("0", 3), ("math.inf", 5)], ids=["threads", "population"])
def test_one_interrupt_stops_all_and_what_was_fitted_is_a_model(most, fitted):
    code = """
        import math
        import dataclasses
        import lamina
        from lamina import Ensemble, Recipe
        from lamina.families import FeedForward
        from lamina.fitting import bagging, members
        from lamina.train import population
        from lamina.train.events import Candidate, Epoch
        from tests.fitting.test_candidates import rows

        bagging.available_threads = lambda: 2
        population.MOST_MULTIPLICATIONS = {most}
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
        [sys.executable, "-c", textwrap.dedent(code).replace("{most}", most)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out.startswith(f"{fitted} interrupted")
    assert ("3 of 5 folds were fitted before the interrupt" in out) == (fitted == 3)


def test_an_error_in_one_fold_is_no_interrupt(monkeypatch):
    monkeypatch.setattr(bagging, "available_threads", lambda: 2)
    original = members.fit_family

    def fit_family(rows, family, *rest, event, **options):
        if family.name == "feedforward" and event.fold == 2:
            raise TrainingError("fold 2 fails")
        return original(rows, family, *rest, event=event, **options)

    monkeypatch.setattr(members, "fit_family", fit_family)
    network = FeedForward(hidden_sizes=(16,), members=2)
    family = Ensemble((network, "linear"), folds=4)
    card = lamina.fit(rows(400, shape="signs"), "y", family=family, recipe=Recipe(epochs=2), monitor=None).model_.card
    assert card["stopped"] == "fitted"
    assert [(one["name"], one["verdict"]) for one in card["candidates"] if one["verdict"]] == [("feedforward", "fold 2 fails")]
