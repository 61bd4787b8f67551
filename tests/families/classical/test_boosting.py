"""Boosted trees are scikit-learn's up to the best iteration, converted to plain arrays, with splits by subsets of levels."""

import dataclasses
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from lamina.errors import TrainingError
from lamina.families.classical import boosting as module
from lamina.families.classical.boosting import Boosting, BoostingFamily
from lamina.families.classical.family import Rows
from lamina.families.classical.matrix import coded
from tests.families.classical.helpers import KINDS, blocks, fitting, make

WIDE = (4, 40, 300, 6)  # the third has more levels than scikit-learn allows for a category


def peers(kind: str, rows: Rows, levels: tuple[int, ...], **options):
    maker = HistGradientBoostingClassifier if kind in ("binary", "classes") else HistGradientBoostingRegressor
    by_codes = [place for place, size in enumerate(levels) if size <= 255]
    targets = [rows.target] if rows.target.ndim == 1 else rows.target.T
    made = (maker(early_stopping=False, categorical_features=by_codes or None, random_state=0, **options) for _ in targets)
    return [peer.fit(coded(rows.blocks), target, rows.weight) for peer, target in zip(made, targets, strict=True)]


def check(predictor, theirs, new, rows: int):
    if hasattr(theirs[0], "classes_"):
        outputs = predictor.outputs(new, rows)[:, theirs[0].classes_]
        np.testing.assert_allclose(outputs, theirs[0].predict_proba(coded(new)), atol=1e-10)
    else:
        expected = np.stack([peer.predict(coded(new)) for peer in theirs], axis=1)
        np.testing.assert_allclose(predictor.outputs(new, rows), expected, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("levels", "weighted"), [((), False), ((4, 6), True), (WIDE, False)])
def test_it_predicts_as_scikit_learn(kind, levels, weighted):
    """New rows have missing values, and codes without training rows, which count as missing in scikit-learn, too."""
    weight = np.random.default_rng(0).random(500) + 0.1 if weighted else None
    rows = make(kind, 500, missing=True, levels=levels, weight=weight)
    empty = Rows({name: block[:0] for name, block in rows.blocks.items()}, rows.inputs, rows.target[:0], rows.classes)
    predictor = Boosting(max_iter=12, min_samples_leaf=5).fit(rows, empty, fitting())
    check(
        predictor, peers(kind, rows, levels, max_iter=12, min_samples_leaf=5), blocks(200, 7, missing=True, levels=levels), 200
    )


def test_splits_by_subsets_of_levels():
    """A target that depends on a scattered subset of levels, which no threshold on the code separates."""
    random = np.random.default_rng(0)
    codes = random.integers(1, 30, (3000, 1))
    rows = make("binary", 3000, levels=(30,))
    positive = np.isin(codes[:, 0], [2, 3, 7, 11, 12, 13, 20, 29])
    rows = Rows({**rows.blocks, "categories": codes}, rows.inputs, positive.astype(np.int64), 2)
    predictor = Boosting(max_iter=30, max_leaf_nodes=2).fit(rows, rows, fitting())
    every = {name: np.repeat(block[:1], 30, axis=0) for name, block in rows.blocks.items()}
    every["categories"] = np.arange(30)[:, None]
    outputs = predictor.outputs(every, 30)
    assert np.array_equal(np.flatnonzero(outputs.argmax(1)), [2, 3, 7, 11, 12, 13, 20, 29])
    check(predictor, peers("binary", rows, (30,), max_iter=len(predictor.trees), max_leaf_nodes=2), every, 30)


@pytest.mark.parametrize("kind", ["binary", "values"])
def test_trees_after_the_best_iteration_are_dropped(kind):
    rows, validation = make(kind, 150), make(kind, 150, 1)
    predictor = Boosting(learning_rate=0.4, patience=15, min_samples_leaf=3).fit(rows, validation, fitting())

    def loss(rounds: int) -> float:
        outputs = (
            Boosting(max_iter=rounds, learning_rate=0.4, patience=1000, min_samples_leaf=3)
            .fit(rows, validation, fitting())
            .outputs(validation.blocks, 150)
        )
        if kind == "binary":
            return -np.log(outputs[np.arange(150), validation.target]).mean()
        return ((outputs - validation.target) ** 2)[:, 0].mean()

    rounds = int((predictor.output == 0).sum())
    assert rounds < 200
    assert loss(rounds) <= min(loss(rounds + 1), loss(rounds + 10), loss(max(rounds - 1, 1))) + 1e-12


def test_without_patience_it_ends_after_all_iterations_and_is_the_fit_that_a_refit_asks_for():
    rows, validation = make("binary", 150), make("binary", 150, 1)
    stopped = Boosting(learning_rate=0.4, patience=5).fit(rows, validation, fitting())
    again = Boosting(learning_rate=0.4, patience=5).refit(stopped)
    assert again == Boosting(learning_rate=0.4, max_iter=len(stopped.output), patience=None)
    assert len(again.fit(rows, validation, fitting()).output) == len(stopped.output) < 1000
    check(
        again.fit(rows, validation, fitting()),
        peers("binary", rows, (4, 6), max_iter=again.max_iter, learning_rate=0.4),
        rows.blocks,
        150,
    )


def test_validation_rows_of_a_class_without_training_rows_are_ignored():
    rows, validation = make("classes"), make("classes", 90, 1)
    partly = Rows(validation.blocks, validation.inputs, np.where(np.arange(90) % 3 == 0, 4, validation.target), 5, np.ones(90))
    predictor = Boosting(max_iter=15).fit(rows, partly, fitting())
    assert not predictor.outputs(rows.blocks, 300)[:, 4].any()
    only = Rows(validation.blocks, validation.inputs, np.full(90, 4), 5)
    assert len(Boosting().fit(rows, only, fitting()).trees) == 3 * module.MAX_ITER_WITHOUT_VALIDATION


def test_before_scikit_learn_1_7_it_splits_off_validation_rows(monkeypatch):
    rows = make("binary")
    old = SimpleNamespace(parameters=("X", "y", "sample_weight"))
    monkeypatch.setattr(module, "inspect", SimpleNamespace(signature=lambda function: old))
    predictor = Boosting(max_iter=60, patience=3).fit(rows, rows, fitting())
    assert 0 < len(predictor.trees) < 60


def test_trees_that_cannot_be_read_are_refused(monkeypatch):
    read = module._read
    monkeypatch.setattr(
        module, "_read", lambda *arguments: read(*arguments) | {"value": [1.0] * len(read(*arguments)["value"])}
    )
    with pytest.raises(TrainingError, match="the boosted trees of this version of scikit-learn cannot be read, expected 1.6"):
        Boosting(max_iter=5).fit(make("binary"), make("binary"), fitting())


def test_the_base_class_has_no_boost():
    with pytest.raises(TypeError, match=r"BoostingFamily has no boost\(\); use a family such as Boosting"):
        BoostingFamily().fit(make("binary"), make("binary"), fitting())


def test_a_fit_ends_at_its_deadline_with_the_trees_it_has():
    rows = make("value")
    late, soon = (dataclasses.replace(fitting(), deadline=time.monotonic() + seconds) for seconds in (-1, 60))
    stopped, same, whole = (Boosting(max_iter=30).fit(rows, make("value", 100, 1), one) for one in (late, soon, fitting()))
    assert len(stopped.trees) == 1
    assert len(same.trees) == len(whole.trees) > 1
    np.testing.assert_array_equal(same.outputs(rows.blocks, 300), whole.outputs(rows.blocks, 300))
