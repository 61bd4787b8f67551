"""Distillation: a network learns the outputs of a fitted model."""

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
from sklearn.ensemble import ExtraTreesClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression

import lamina
from lamina import Classifier, FeedForward, Recipe
from lamina.data.schema import Schema
from lamina.errors import DataError, OptionError, RunError, SchemaError
from lamina.fitting import distill
from lamina.tasks.losses import LOSSES
from lamina.tasks.task import Task
from lamina.train.run import TEACHER, TEACHER_OUTPUTS, Run
from tests.cli.helpers import lamina as command

SHORT = {"recipe": Recipe(epochs=3), "monitor": None}
DRAWN = np.random.default_rng(0)
X, Z = DRAWN.normal(size=300), DRAWN.integers(4, size=300)
ROWS = {"x": X.tolist(), "town": [("Bern", "Rome", "Oslo", "Kiel")[z] for z in Z]}
SCORE = X + Z + 0.3 * DRAWN.normal(size=300)
CLASSES = {**ROWS, "y": np.select([SCORE < 0.8, SCORE < 2], ["low", "mid"], "high").tolist()}
VALUES = {**ROWS, "y": SCORE.tolist()}
LABELS = {**ROWS, "a": [bool(v) for v in SCORE > 1.5], "b": [bool(v) for v in X > 0]}


@pytest.fixture(scope="module")
def teacher():
    return lamina.fit(CLASSES, "y", family="linear", monitor=None)


@pytest.fixture(scope="module")
def path(teacher, tmp_path_factory):
    return teacher.save(tmp_path_factory.mktemp("teacher") / "teacher.lamina")


@pytest.mark.parametrize(
    ("data", "target", "score"), [(CLASSES, "y", "agreement"), (VALUES, "y", "r2"), (LABELS, ["a", "b"], "agreement")]
)
def test_a_student_is_like_its_teacher(data, target, score, tmp_path):
    teacher = lamina.fit(data, target, family="boosting", monitor=None)
    student = teacher.distill(data, recipe=Recipe(epochs=15), monitor=None)
    card = student.model_.card["teacher"]
    assert card["family"] == "boosting"
    assert card["perturbed_rows"] == 2550
    assert card["fidelity"].keys() == {score}
    assert card["fidelity"][score] > 0.9
    assert "its teacher (boosting)" in student.model_.summary()[-1]
    assert student.family == FeedForward(hidden_sizes=(128, 128), members=1)
    loaded = lamina.load(student.save(tmp_path / "student.lamina"))
    assert loaded.model_.card["teacher"] == card
    assert np.array_equal(loaded.predict(pl.DataFrame(data)), student.predict(pl.DataFrame(data)))


def test_a_teacher_is_a_model_a_file_or_an_estimator(teacher, path):
    students = [lamina.fit(CLASSES, "y", teacher=given, **SHORT) for given in (teacher, teacher.model_, path)]
    assert len({tuple(student.predict_proba(CLASSES)[:, 0]) for student in students}) == 1
    assert students[2].model_.card["teacher"]["model"] == str(path)
    assert students[0].model_.card["teacher"]["checksum"] == students[2].model_.card["teacher"]["checksum"]


@pytest.mark.parametrize("fitted", [False, True])
def test_a_scikit_learn_estimator_is_a_teacher(fitted):
    numbers = pl.DataFrame({"x": X, "z": Z, "y": CLASSES["y"]})
    forest = ExtraTreesClassifier(50, random_state=0)
    if fitted:
        forest.fit(numbers[["x", "z"]].to_pandas(), numbers["y"].to_numpy())
    before = np.random.get_state()[1].copy()
    student = lamina.fit(numbers, "y", teacher=forest, recipe=Recipe(epochs=15), monitor=None)
    assert student.model_.card["teacher"]["model"] == "ExtraTreesClassifier"
    assert any("ExtraTreesClassifier was fitted" in note for note in student.model_.card["notes"]) == fitted
    assert np.array_equal(np.random.get_state()[1], before)
    assert student.model_.card["teacher"]["fidelity"]["agreement"] > 0.85
    values = numbers.with_columns(y=pl.Series(SCORE))
    student = lamina.fit(values, "y", teacher=RandomForestRegressor(50, random_state=0), recipe=Recipe(epochs=15), monitor=None)
    assert student.model_.card["teacher"]["fidelity"]["r2"] > 0.85


def test_out_of_bag_outputs_are_the_targets_while_they_are_known(monkeypatch, tmp_path):
    learnt, shares, soften = [], [], Task.soften

    def watched(task, blocks, outputs, share):
        learnt.append(outputs)
        shares.append(share)
        return soften(task, blocks, outputs, share)

    monkeypatch.setattr(Task, "soften", watched)
    forest = lamina.fit(CLASSES, "y", family="forest", monitor=None)
    forest.distill(CLASSES, **SHORT)
    lamina.load(forest.save(tmp_path / "f.lamina")).distill(CLASSES, **SHORT)
    assert shares == 2 * [0.5, 1.0]  # of training rows and of perturbed ones, of which only the teacher knows the target
    known = set(map(tuple, forest.model_.predictor.out_of_bag))
    assert set(map(tuple, learnt[0])) <= known
    assert not set(map(tuple, learnt[2])) <= known


def test_an_ensemble_of_folds_notes_that_it_knows_the_validation_rows(teacher):
    ensemble = lamina.fit(CLASSES, "y", family=lamina.Ensemble(("linear", "neighbours"), folds=2), monitor=None)
    note = "the validation rows are training rows of the given model, so the scores may be slightly too good"
    doubt = "scores are slightly too good if the given model was fitted to some of the validation rows, which is not known"
    assert note in ensemble.distill(CLASSES, **SHORT).model_.card["notes"]
    assert not {note, doubt} & {*teacher.distill(CLASSES, **SHORT).model_.card["notes"]}
    some = {name: values[:250] for name, values in CLASSES.items()}
    assert doubt in teacher.distill(some, **SHORT).model_.card["notes"]


@pytest.mark.parametrize("order", [("id", "y", "x", "town"), ("town", "x", "id", "y")])
def test_a_student_has_the_validation_rows_of_its_teacher(order):
    """Also with ignored columns and the target among the features, in any order."""
    rows = {"y": CLASSES["y"], "x": CLASSES["x"], "id": [f"{i:04}" for i in range(300)], "town": CLASSES["town"]}
    teacher = lamina.fit(rows, "y", family="linear", drop=["id"], monitor=None)
    student = teacher.distill({name: rows[name] for name in order}, **SHORT)
    assert student.model_.card["data"] == teacher.model_.card["data"]
    assert student.model_.card["baseline"] == teacher.model_.card["baseline"]
    assert not student.model_.card["notes"]


# What is learnt


@pytest.mark.parametrize("name", ["cross_entropy", "maximum_a_posteriori", "binary_cross_entropy"])
@pytest.mark.parametrize("members", [(), (3,)])
def test_losses_read_probabilities(name, members):
    """Of one class they are those of its code, and they are linear in the target."""
    loss, count = LOSSES[name], 2 if LOSSES[name].single else 4
    outputs = torch.randn(7, *members, 1 if loss.single else count, generator=torch.Generator().manual_seed(0))
    codes, weight = torch.arange(7) % count, torch.arange(1.0, 8.0)
    sharp, flat = torch.nn.functional.one_hot(codes, count).float(), torch.full((7, count), 1 / count)
    for rows in (None, weight):
        whole = loss(outputs, {"target": sharp}, rows)
        assert torch.allclose(whole, loss(outputs, {"target": codes}, rows))
        mixed = loss(outputs, {"target": 0.3 * sharp + 0.7 * flat}, rows)
        assert torch.allclose(mixed, 0.3 * whole + 0.7 * loss(outputs, {"target": flat}, rows), rtol=1e-5)


def test_softened_targets():
    task = Task.infer(pl.DataFrame({"y": ["a", "b", "a", "b"]}), "y")
    soft = task.soften({"target": np.array([1])}, np.array([[0.4, 0.6]]), 0.5)
    assert np.allclose(soft["target"], [[0.2, 0.8]])
    labels = Task.infer(pl.DataFrame({"a": [True, False], "b": [False, True]}), ["a", "b"], kind="multilabel")
    known = {"target": np.array([[1.0, 0.0]]), "known": np.array([[1.0, 0.0]])}
    soft = labels.soften(known, np.array([[0.5, 0.9]]), 0.5)
    assert np.allclose(soft["target"], [[0.75, 0.9]])
    assert soft["known"].tolist() == [[1.0, 1.0]]


def test_steps_with_probabilities_are_replayed(teacher):
    """As those with codes; the same seed gives the same student, and eager steps give the same numbers."""
    students = [teacher.distill(CLASSES, recipe=Recipe(epochs=2, step_mode=mode), monitor=None) for mode in ("traced", "eager")]
    assert np.array_equal(*(student.predict_proba(CLASSES) for student in students))


def test_perturbed_rows_have_cells_of_other_rows():
    table = pl.DataFrame(ROWS)
    schema = lamina.fit(CLASSES, "y", family="linear", monitor=None).model_.schema
    perturbed = distill._PerturbedRows(table, schema, 0)
    rows, source = perturbed.rows(450)
    assert (len(rows), source.tolist()) == (450, [*range(300), *range(150)])
    same = (rows["x"] == table["x"].gather(source)).mean()
    assert 0.6 < same < 0.8
    assert set(rows["x"]) <= set(table["x"])
    assert rows[:100].equals(perturbed.rows(100)[0])
    only = Schema(tuple(column for column in schema.columns if column.name != "town"))
    assert distill._PerturbedRows(table[["x"]], only, 0).most == 0  # a single cell is that of another row


def test_texts_stay_as_they_are():
    texts = {"text": [f"a {'good' if s > 1.5 else 'bad'} film number {i}" for i, s in enumerate(SCORE)], "x": X.tolist()}
    texts["y"] = ["yes" if s > 1.5 else "no" for s in SCORE]
    teacher = lamina.fit(texts, "y", family="linear", kinds={"text": "text"}, monitor=None)
    student = teacher.distill(texts, recipe=Recipe(epochs=1), monitor=None)
    assert student.model_.card["teacher"]["perturbed_rows"] == 255


def test_a_slow_teacher_leaves_time_to_learn(teacher, monkeypatch):
    quick = distill.ModelTeacher.outputs
    monkeypatch.setattr(distill, "CHUNK", 50)
    monkeypatch.setattr(distill.ModelTeacher, "outputs", lambda self, rows: time.sleep(0.05) or quick(self, rows))
    student = teacher.distill(CLASSES, time_limit=1.5, monitor=None)
    assert 0 < student.model_.card["teacher"]["perturbed_rows"] < 2550
    assert len(student.history_) > 1


# What is refused

TWO = {name: [v for v, y in zip(values, CLASSES["y"], strict=True) if y != "mid"] for name, values in CLASSES.items()}


@pytest.mark.parametrize(
    ("data", "options", "error", "match"),
    [
        (TWO, {}, OptionError, "teacher is the given model, but it knows 'mid' besides"),
        ({**CLASSES, "y": ["top", *CLASSES["y"][:-1], ][:299] + ["top"]}, {}, OptionError, "it does not know 'top'"),
        (CLASSES, {"target": "town"}, OptionError, "predicts 'y', but the target is 'town'; give the same target"),
        (CLASSES, {"task": "regression"}, OptionError, "a model of classification; leave task out"),
        (CLASSES, {"kinds": {"x": "category"}}, OptionError, "decides the kinds of columns"),
        ({n: CLASSES[n] for n in ("x", "y")}, {}, SchemaError, "lacks column 'town' of the given model"),
        ({**CLASSES, "new": SCORE.tolist()}, {}, SchemaError, r"features stay with teacher; drop=\['new'\]"),
        (CLASSES, {"family": "forest"}, OptionError, "family is 'forest', but only a network learns from a teacher"),
        (CLASSES, {"quality": "best"}, OptionError, "so start, teacher, edit and callbacks cannot be given"),
        (CLASSES, {"teacher": Classifier()}, OptionError, "teacher is an estimator that is not fitted"),
        (CLASSES, {"teacher": 3}, OptionError, "teacher is 3, expected a fitted model"),
        (CLASSES, {"teacher": LinearRegression()}, DataError, "teacher LinearRegression raised ValueError"),
        (CLASSES, {"teacher": LogisticRegression()}, DataError, "teacher LogisticRegression raised ValueError"),
        (CLASSES, {"recipe": Recipe(loss=lambda outputs, targets: outputs)}, OptionError, "a student learns probabilities"),
    ],
)  # fmt: skip
def test_errors(teacher, data, options, error, match):
    options = {"target": "y", "teacher": teacher, "monitor": None, **options}
    with pytest.raises(error, match=match):
        lamina.fit(data, **options)


def test_a_fitted_estimator_with_fewer_classes_is_refused():
    numbers = pl.DataFrame({"x": X, "y": CLASSES["y"]})
    few = pl.DataFrame({"x": TWO["x"], "y": TWO["y"]})
    with pytest.raises(OptionError, match="knows only the classes 'high', 'low', but the data have 'high', 'low', 'mid'"):
        lamina.fit(numbers, "y", teacher=LogisticRegression().fit(few[["x"]].to_pandas(), few["y"].to_numpy()), monitor=None)


def test_both_start_and_teacher_are_refused(teacher):
    start = lamina.fit(CLASSES, "y", family="feedforward", **SHORT)
    with pytest.raises(OptionError, match="both start and teacher are given"):
        lamina.fit(CLASSES, "y", start=start, teacher=teacher, monitor=None)


# Runs and the command line


def test_a_killed_distillation_is_resumed(path, tmp_path):
    """Bit for bit, without the file of the teacher; with kill -9 in the middle of an epoch."""
    data, whole = (
        tmp_path / "rows.parquet",
        lamina.fit(CLASSES, "y", teacher=path, recipe=Recipe(epochs=80, patience=None), monitor=None),
    )
    pl.DataFrame(CLASSES).write_parquet(data)
    folder = tmp_path / "run"
    code = (
        "import sys, lamina\nrecipe = lamina.Recipe(epochs=80, patience=None)\n"
        "lamina.fit(sys.argv[1], 'y', teacher=sys.argv[2], recipe=recipe, run=sys.argv[3], monitor=None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(data), str(path), str(folder)])
    while not (folder / "checkpoint.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder / TEACHER).unlink()  # its outputs are enough
    resumed = lamina.resume(folder, monitor=None)
    assert len(resumed.history_) == 80
    assert np.array_equal(resumed.predict_proba(CLASSES), whole.predict_proba(CLASSES))
    assert resumed.model_.card["teacher"] == whole.model_.card["teacher"]
    assert resumed.model_.card["notes"] == whole.model_.card["notes"]


def test_a_run_without_outputs_and_teacher_says_so(teacher, tmp_path):
    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        teacher.distill(CLASSES, run=tmp_path / "run", recipe=Recipe(epochs=2), monitor=stop)
    run = Run.open(tmp_path / "run")
    (run.folder / TEACHER_OUTPUTS).write_bytes(b"no archive")
    with pytest.raises(RunError, match="teacher.npz is damaged"):
        lamina.resume(run.folder, monitor=None)
    (run.folder / TEACHER_OUTPUTS).unlink()
    assert lamina.resume(run.folder, monitor=None).model_.card["teacher"]["family"] == "linear"
    for name in (TEACHER_OUTPUTS, TEACHER, "model.lamina", "checkpoint.safetensors"):
        (run.folder / name).unlink()
    with pytest.raises(RunError, match="the run ended before the teacher the given model had predicted its rows"):
        lamina.resume(run.folder, monitor=None)


def test_the_command_line(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pl.DataFrame(CLASSES).write_parquet("rows.parquet")
    done = command("distill", path, "rows.parquet", "--set", "recipe.epochs=3", "--json")
    assert done.code == 0, done.err
    about = json.loads(done.out)
    assert about["teacher"]["model"] == str(path)
    assert lamina.load("y-student.lamina").model_.family == "feedforward"
    done = command("fit", "rows.parquet", "--target", "y", "--teacher", path, "--set", "recipe.epochs=3", "--out", "s.lamina")
    assert "its teacher (linear)" in " ".join(done.out.split()), done.err
    done = command("distill", path, "rows.parquet", "--family", "forest")
    assert (done.code, done.err.count("\n")) == (1, 1)
