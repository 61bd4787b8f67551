"""Trials: the sampler, successive halving, and the journal of a process that was killed."""

import sys

import pytest

import lamina
from lamina import Boosting, Recipe
from lamina.errors import MissingExtraError, RunError
from lamina.tuning.space import Dimension, Space
from lamina.tuning.study import Study

SPACE = Space(
    {"boosting": Boosting()},
    Recipe(),
    (
        Dimension("family.learning_rate", "learning_rate", "boosting", 0.01, 1.0, log=True),
        Dimension("family.max_leaf_nodes", "max_leaf_nodes", "boosting", 2, 64, whole=True),
        Dimension("family.l2_regularization", "l2_regularization", "boosting", choices=(0.0, 10.0)),
    ),
)


def study(path, sampler="tpe", greater=False):
    return Study(path / "journal.log", SPACE, sampler=sampler, seed=3, greater=greater)


def loss(params):
    return (params["family.learning_rate"] - 0.2) ** 2 + params["family.max_leaf_nodes"] / 100


def run(one, number):
    """So many trials, each with its loss as score."""
    for _ in range(number):
        trial = one.ask()
        trial.behind_in_fold(loss(trial.params))
        trial.end("complete", seconds=0.1)
    return one.results


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_resumed_study_asks_for_the_same_trials(tmp_path, sampler):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = run(study(tmp_path / "a", sampler), 12)
    for _ in range(6):
        again = study(tmp_path / "b", sampler)
        again.ask()  # its process is killed
        journal = tmp_path / "b" / "journal.log"
        journal.write_bytes(journal.read_bytes() + b'{"op_code": 9, "trial')
        (tmp_path / "b" / "journal.log.lock").touch()
        results = run(study(tmp_path / "b", sampler), 2)
    assert [one.params for one in results] == [one.params for one in whole]
    assert [one.number for one in results] == list(range(12))


def test_the_parzen_estimator_is_better_than_chance(tmp_path):
    best = []
    for sampler in ("tpe", "random"):
        (tmp_path / sampler).mkdir()
        best.append(min(one.score for one in run(study(tmp_path / sampler, sampler), 25)))
    assert best[0] < best[1]


def test_the_first_trial_has_the_defaults(tmp_path):
    one = study(tmp_path, greater=True)
    defaults = {"family.max_leaf_nodes": 31, "family.l2_regularization": 0.0}
    one.ask(defaults)  # its process is killed
    trial = study(tmp_path, greater=True).ask(defaults)
    assert trial.params == defaults
    assert trial.number == 0


def test_halving_stops_those_that_are_not_in_the_better_half(tmp_path):
    one = study(tmp_path)
    stopped = []
    for number in range(6):
        trial = one.ask()
        behind = next((epoch for epoch in range(24) if trial.behind_in_epoch(epoch, 1.0 + number - 0.01 * epoch, 24)), None)
        stopped.append(behind)
        trial.end("failed" if behind is None else "pruned", seconds=1.0)
    assert stopped[0] is None
    assert stopped[1] == 2  # after the third epoch, an eighth of them
    better = one.ask()
    assert not any(better.behind_in_epoch(epoch, 0.1, 24) for epoch in range(24))


def test_a_fold_that_is_worse_than_the_median_stops_a_trial(tmp_path):
    one = study(tmp_path, greater=True)
    for score in (0.5, 0.6, 0.7, 0.8):
        trial = one.ask()
        assert not trial.behind_in_fold(score)
        trial.end("complete", seconds=1.0)
    assert one.ask().behind_in_fold(0.55)
    assert not one.ask().behind_in_fold(0.66)


def test_a_trial_whose_process_was_killed_twice_is_not_tried_again(tmp_path):
    run(study(tmp_path), 1)
    params = study(tmp_path).ask().params  # each has a process that is killed
    assert study(tmp_path).ask().params == params
    last = study(tmp_path).results[-1]
    assert (last.state, last.failed, last.params) == ("failed", "its process was killed twice", params)
    assert study(tmp_path).ask().params != params


def test_a_damaged_journal_is_said(tmp_path):
    run(study(tmp_path), 1)
    journal = tmp_path / "journal.log"
    journal.write_text("nonsense\n" + journal.read_text())
    with pytest.raises(RunError, match="journal.log is damaged: a line in it is no entry; start again in another folder"):
        study(tmp_path)


def test_without_optuna_the_install_command_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"tuning needs optuna, .*: pip install 'lamina\[tune\]'"):
        lamina.tune({"x": [1, 2, 3, 4], "y": [1.5, 2.5, 3.5, 4.5]}, "y")
