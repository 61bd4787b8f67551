"""The whole of a tuning: rows, trials, failures, resumed runs, bad input."""

import json
import shutil
import time

import numpy as np
import polars as pl
import pytest

import lamina
from lamina import Attention, Boosting, Recipe
from lamina.errors import DataError, OptionError, RunError, TrainingError
from lamina.fitting.prepare import prepare
from lamina.fitting.settings import Settings
from lamina.train.events import Trial
from lamina.train.run import Run
from lamina.tuning.fits import Fits
from lamina.tuning.rows import draw_parts
from lamina.tuning.terms import TuningTerms
from tests.cli.helpers import lamina as command


def waves(rows=240):
    draw = np.random.default_rng(0)
    x, z = draw.uniform(-3, 3, rows), draw.normal(size=rows)
    return {"x": x.tolist(), "z": z.tolist(), "y": (np.sin(x) + 0.1 * z + 0.1 * draw.normal(size=rows)).tolist()}


CALL = {"family": "boosting", "trials": 3, "folds": 2, "metric": "rmse", "seed": 1}


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder, events = tmp_path_factory.mktemp("tuning") / "run", []
    return lamina.tune(waves(), "y", run=folder, monitor=events.append, **CALL), folder, events


def test_trials_begin_with_the_defaults(tuned):
    result, _, events = tuned
    assert result.trials[0].defaults == "boosting"
    assert result.trials[0].params["family.max_leaf_nodes"] == Boosting().max_leaf_nodes
    trials = [event for event in events if isinstance(event, Trial)]
    assert [event.number for event in trials if event.state != "running"] == [0, 1, 2]
    assert [event.done for event in trials if event.number == 0] == [0.0, 0.5, 0.0]


def test_the_result_has_a_verdict_a_frame_and_a_model(tuned):
    result, folder, _ = tuned
    frame = result.to_frame()
    assert frame.columns[0] == "trial"
    assert frame.columns[-4:] == ["rmse", "state", "seconds", "failed"]
    assert frame.height == 3
    assert result.ranked()[0].score == frame["rmse"].min()
    assert result.low < result.score < result.high
    assert result.test_rows == 48
    assert result.verdict.words in repr(result).replace("\n", " ")
    options = result.model.family.get_params()
    expected = result.best_params if result.verdict.take == "tuned" else {}
    assert {name: options[name.partition(".")[2]] for name in expected} == expected
    loaded = lamina.load(folder / "model.lamina")
    assert loaded.predict(waves()).tolist() == result.model.predict(waves()).tolist()


def test_a_finished_tuning_is_loaded(tuned):
    result, folder, _ = tuned
    again = lamina.resume(folder)
    assert again == result
    assert again.to_json() == json.loads(json.dumps(result.to_json()))
    assert again.model.predict({"x": [0.5], "z": [0.0]}) == result.model.predict({"x": [0.5], "z": [0.0]})


def test_the_same_call_loads_a_finished_tuning(tuned):
    result, folder, _ = tuned
    assert lamina.tune(waves(), "y", run=folder, monitor=None, **CALL) == result


def test_a_folder_of_other_rows_settings_or_verb_is_refused(tuned, tmp_path):
    folder = tuned[1]
    with pytest.raises(RunError, match="was begun on other rows; give the same, or choose another folder"):
        lamina.tune(waves(200), "y", run=folder, monitor=None, **CALL)
    with pytest.raises(RunError, match="was begun with other metric"):
        lamina.tune(waves(), "y", run=folder, monitor=None, **{**CALL, "metric": "mae"})
    with pytest.raises(RunError, match="was begun with other space"):
        lamina.tune(waves(), "y", run=folder, monitor=None, space={"family.max_leaf_nodes": (2, 9)}, **CALL)
    with pytest.raises(RunError, match="was begun with other settings"):
        lamina.tune(waves(), "y", run=folder, monitor=None, **{**CALL, "seed": 2})
    with pytest.raises(RunError, match="holds a run that is not a comparison"):
        lamina.compare(waves(), "y", run=folder, families=["linear"], monitor=None)
    lamina.fit(waves(), "y", family="linear", run=tmp_path / "fit", monitor=None)
    with pytest.raises(RunError, match="holds a run that is not a tuning; choose another folder with run="):
        lamina.tune(waves(), "y", run=tmp_path / "fit", monitor=None, **CALL)


def test_a_trial_that_cannot_be_fitted_fails_and_the_others_go_on(tmp_path):
    rows = waves(60)
    space = {"family.hidden_size": [33], "family.num_heads": [1, 4]}
    options = {"recipe": Recipe(epochs=1), "folds": 1, "monitor": None, "sampler": "random", "trials": 6}
    result = lamina.tune(rows, "y", family=Attention(num_layers=1, mlp_ratio=1), space=space, **options)
    states = {one.params["family.num_heads"]: one.state for one in result.trials[1:]}
    assert states[4] == "failed"
    assert states[1] in ("complete", "pruned")
    assert "num_heads" in next(one.failed for one in result.trials if one.state == "failed")
    assert result.to_frame()["failed"].null_count() < 6


def test_where_all_fail_the_reason_is_said(monkeypatch):
    text = {"z": [0.5] * 60, "x": [float(i) for i in range(60)], "y": [float(i) for i in range(60)]}
    family = Attention(hidden_size=33)
    with pytest.raises((TrainingError, OptionError), match="num_heads"):
        lamina.tune(text, "y", family=family, trials=2, folds=1, recipe=Recipe(epochs=1), monitor=None)


def test_ctrl_c_keeps_the_best_so_far_and_the_search_goes_on(tmp_path):
    def monitor(event):
        if isinstance(event, Trial) and (event.number, event.state) == (1, "complete"):
            raise KeyboardInterrupt

    call = {**CALL, "family": "linear", "folds": 2, "trials": 4, "run": tmp_path / "run"}
    result = lamina.tune(waves(), "y", monitor=monitor, **call)
    assert (result.stopped, len(result.trials)) == ("interrupted", 2)
    assert "2 of 4 trials, which Ctrl-C ended" in result.verdict.words
    assert result.model.predict({"x": [0.5], "z": [0.0]}).shape == (1,)
    shown = command("info", tmp_path / "run")
    assert "(ended by Ctrl-C)" in " ".join(shown.out.split())
    resumed = lamina.resume(tmp_path / "run", monitor=None)
    assert (resumed.stopped, len(resumed.trials)) == ("trials", 4)
    assert resumed.trials[:2] == result.trials
    whole = lamina.tune(waves(), "y", monitor=None, **{**call, "run": None})
    assert [one.params for one in resumed.trials] == [one.params for one in whole.trials]
    assert resumed.score == whole.score


def test_a_time_limit_ends_with_a_result():
    began = time.monotonic()
    result = lamina.tune(waves(), "y", monitor=None, **{**CALL, "family": "linear", "trials": 100_000, "time_limit": 2.5})
    assert time.monotonic() - began < 5
    assert result.stopped == "time_limit"
    assert f"{len(result.trials)} of 100,000 trials" in result.verdict.words
    assert "which the time limit ended" in result.verdict.words


def test_a_damaged_result_is_said(tuned, tmp_path):
    shutil.copytree(tuned[1], tmp_path / "run")
    (tmp_path / "run" / "tuning.json").write_text("{}")
    with pytest.raises(RunError, match="tuning.json is damaged .*; delete it; lamina resume .* writes it again"):
        lamina.resume(tmp_path / "run")


def test_the_command_line_shows_a_tuning(tuned, tmp_path):
    folder = tuned[1]
    shown = command("info", folder)
    assert "3 of 3" in shown.out
    assert "RMSE of the best of 3 trials" in shown.out
    assert tuned[0].verdict.words[:40] in shown.out
    resumed = command("resume", folder, "--out", tmp_path / "y.lamina", "--json")
    assert json.loads(resumed.out)["verdict"]["words"] == tuned[0].verdict.words
    assert lamina.load(tmp_path / "y.lamina").family.name == "boosting"
    pl.DataFrame(waves(60)).write_csv(tmp_path / "rows.csv")
    for words, match in (
        (["--trials", "0"], "trials is 0, expected a whole number between 1 and 100000"),
        (["--space", "family.max_leaf_nods=2:9"], "did you mean 'max_leaf_nodes'?"),
        (["--space", "nonsense"], "--space nonsense: write NAME=LOW:HIGH"),
        (["--family", "forest", "--set", "family.max_depth=3"], "--set family.NAME needs a single --family"),
    ):
        failed = command("tune", tmp_path / "rows.csv", "--target", "y", "--family", "boosting", *words)
        assert (failed.code, match in failed.err, failed.err.count("\n")) == (1, True, 1), failed.err


# Rows


def parts(table, terms=None, **settings):
    prepared = prepare(pl.DataFrame(table), Settings("y", **settings).check())
    return prepared, draw_parts(prepared, terms or TuningTerms(), validation=0.15, seed=0)


def test_rows_of_a_group_are_on_one_side_everywhere():
    prepared, drawn = parts({**waves(), "who": [i // 12 for i in range(240)]}, group="who")
    who = prepared.table["who"].to_numpy()
    assert not set(who[drawn.test]) & set(who[drawn.train])
    assert all(not set(who[train]) & set(who[test]) for train, test in drawn.folds)
    assert len(drawn.folds) == 5


def test_few_groups_make_fewer_folds():
    _, drawn = parts({**waves(), "who": [i // 48 for i in range(240)]}, group="who")
    assert len(drawn.folds) in (3, 4)


def test_test_rows_are_later_than_all_others():
    prepared, drawn = parts({**waves(), "day": list(range(240))}, time="day")
    day = prepared.table["day"].to_numpy()
    assert day[drawn.test].min() > day[drawn.train].max()
    assert all(day[train].max() < day[test].min() for train, test in drawn.folds)


def test_a_split_column_names_the_test_rows_and_those_that_score():
    names = ["train"] * 140 + ["valid"] * 60 + ["test"] * 40
    prepared, drawn = parts({**waves(), "part": names}, split="part")
    part = prepared.table["part"].to_numpy()
    assert set(part[drawn.test]) == {"test"}
    ((train, scored),) = drawn.folds
    assert (set(part[train]), set(part[scored])) == ({"train"}, {"valid"})
    _, two = parts({**waves(), "part": ["train"] * 200 + ["test"] * 40}, split="part")
    assert len(two.test) == 40
    assert len(two.folds) == 5


def test_no_trial_sees_the_test_rows(monkeypatch):
    seen, real = [], Fits.fit

    def fit(self, family, recipe, fold, deadline, on_epoch=None):
        seen.append((fold, set(self.parts.folds[fold][0]) if fold < 2 else set(self.parts.train), set(self.parts.test)))
        return real(self, family, recipe, fold, deadline, on_epoch)

    monkeypatch.setattr(Fits, "fit", fit)
    lamina.tune(waves(100), "y", monitor=None, **{**CALL, "family": "linear"})
    assert {fold for fold, _, _ in seen} == {0, 1, 2}
    assert not any(train & test for _, train, test in seen)
    assert {len(test) for _, _, test in seen} == {20}


def test_two_hundred_rows_and_fewer():
    _, drawn = parts(waves(200))
    assert (len(drawn.test), len(drawn.folds)) == (40, 5)
    with pytest.raises(DataError, match="3 rows leave 1 test row for the score; give more rows, or a larger share"):
        parts(waves(3))


# Bad input


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"trials": 0}, "trials is 0, expected a whole number between 1 and 100000"),
        ({"trials": 2.5}, "trials is 2.5"),
        ({"time_limit": 0.5}, "time_limit is 0.5, expected a number between 1"),
        ({"time_limit": 1.0, "family": "forest"}, "time_limit is 1, but the defaults of forest are not fitted in"),
        ({"metric": "accuracy"}, "the metric 'accuracy' is unknown or does not fit regression"),
        ({"sampler": "grid"}, "sampler is 'grid', expected one of 'tpe', 'random'"),
        ({"family": []}, r"family is \[\], expected 'auto', the name of a family"),
        ({"family": "bosting"}, "lamina has no family 'bosting'; did you mean 'boosting'"),
        ({"family": "constant"}, "there is nothing to tune"),
        ({"space": {"family.max_leaf_nods": (2, 9)}}, "did you mean 'max_leaf_nodes'"),
        ({"space": [("family.max_leaf_nodes", 2, 9)]}, "expected a dict of ranges by option"),
        ({"test": 0.99}, "test is 0.99, expected a share between 0.01 and 0.9"),
        ({"folds": 0}, "folds is 0"),
        ({"recipe": Recipe(epochs=3), "space": {"recipe.epochs": (1, 2)}}, "has no recipe: it is no network"),
    ],
)
def test_options_that_cannot_be(options, match, tmp_path):
    rows = waves(20_000 if "time_limit" in options else 60)
    with pytest.raises(OptionError, match=match):
        lamina.tune(rows, "y", run=tmp_path / "run", **{**CALL, "monitor": None, **options})
    assert not (tmp_path / "run").exists() or not Run.open(tmp_path / "run").finished
