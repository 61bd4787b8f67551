"""Boosted trees are scikit-learn's, up to the best round, read into plain arrays: questions after sets of codes, too."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from lamina.errors import TrainingError
from lamina.families.classical import boosting as module
from lamina.families.classical.boosting import Boosting, BoostingFamily
from lamina.families.classical.family import Rows
from lamina.families.classical.matrix import coded
from tests.families.classical.helpers import KINDS, blocks, how, make

WIDE = (4, 40, 300, 6)  # the third has more levels than scikit-learn takes for a category


def peers(kind: str, rows: Rows, levels: tuple[int, ...], **options):
    maker = HistGradientBoostingClassifier if kind in ("binary", "classes") else HistGradientBoostingRegressor
    by_codes = [place for place, size in enumerate(levels) if size <= 255]
    targets = [rows.target] if rows.target.ndim == 1 else rows.target.T
    made = (maker(early_stopping=False, categorical_features=by_codes or None, random_state=0, **options) for _ in targets)
    return [peer.fit(coded(rows.blocks), target, rows.weight) for peer, target in zip(made, targets, strict=True)]


def check(found, theirs, new, rows: int):
    if hasattr(theirs[0], "classes_"):
        said = found.outputs(new, rows)[:, theirs[0].classes_]
        np.testing.assert_allclose(said, theirs[0].predict_proba(coded(new)), atol=1e-10)
    else:
        expected = np.stack([peer.predict(coded(new)) for peer in theirs], axis=1)
        np.testing.assert_allclose(found.outputs(new, rows), expected, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("levels", "weighted"), [((), False), ((4, 6), True), (WIDE, False)])
def test_it_answers_as_scikit_learns_does(kind, levels, weighted):
    """Rows to answer have missing values, and codes that training rows had not: those are missing to scikit-learn, too."""
    weight = np.random.default_rng(0).random(500) + 0.1 if weighted else None
    rows = make(kind, 500, missing=True, levels=levels, weight=weight)
    nobody = Rows({name: block[:0] for name, block in rows.blocks.items()}, rows.inputs, rows.target[:0], rows.classes)
    found = Boosting(max_iter=12, min_samples_leaf=5).fit(rows, nobody, how())
    check(found, peers(kind, rows, levels, max_iter=12, min_samples_leaf=5), blocks(200, 7, missing=True, levels=levels), 200)


def test_questions_after_sets_of_codes_are_asked():
    """A target that follows from single codes of a category here and there, which no question after the order tells at once."""
    random = np.random.default_rng(0)
    codes = random.integers(1, 30, (3000, 1))
    rows = make("binary", 3000, levels=(30,))
    wanted = np.isin(codes[:, 0], [2, 3, 7, 11, 12, 13, 20, 29])
    rows = Rows({**rows.blocks, "categories": codes}, rows.inputs, wanted.astype(np.int64), 2)
    found = Boosting(max_iter=30, max_leaf_nodes=2).fit(rows, rows, how())
    every = {name: np.repeat(block[:1], 30, axis=0) for name, block in rows.blocks.items()}
    every["categories"] = np.arange(30)[:, None]
    said = found.outputs(every, 30)
    assert np.array_equal(np.flatnonzero(said.argmax(1)), [2, 3, 7, 11, 12, 13, 20, 29])
    check(found, peers("binary", rows, (30,), max_iter=len(found.trees), max_leaf_nodes=2), every, 30)


@pytest.mark.parametrize("kind", ["binary", "values"])
def test_what_was_grown_since_the_best_round_is_dropped(kind):
    rows, held = make(kind, 150), make(kind, 150, 1)
    found = Boosting(learning_rate=0.4, patience=15, min_samples_leaf=3).fit(rows, held, how())

    def loss(rounds: int) -> float:
        said = (
            Boosting(max_iter=rounds, learning_rate=0.4, patience=1000, min_samples_leaf=3)
            .fit(rows, held, how())
            .outputs(held.blocks, 150)
        )
        if kind == "binary":
            return -np.log(said[np.arange(150), held.target]).mean()
        return ((said - held.target) ** 2)[:, 0].mean()

    rounds = int((found.output == 0).sum())
    assert rounds < 200
    assert loss(rounds) <= min(loss(rounds + 1), loss(rounds + 10), loss(max(rounds - 1, 1))) + 1e-12


def test_rows_of_a_class_that_is_not_learnt_say_nothing_of_when_to_stop():
    rows, held = make("classes"), make("classes", 90, 1)
    strange = Rows(held.blocks, held.inputs, np.where(np.arange(90) % 3 == 0, 4, held.target), 5, np.ones(90))
    found = Boosting(max_iter=15).fit(rows, strange, how())
    assert not found.outputs(rows.blocks, 300)[:, 4].any()
    only = Rows(held.blocks, held.inputs, np.full(90, 4), 5)
    assert len(Boosting().fit(rows, only, how()).trees) == 3 * module.UNWATCHED


def test_a_scikit_learn_that_takes_no_rows_to_validate_holds_back_its_own(monkeypatch):
    rows = make("binary")
    old = SimpleNamespace(parameters=("X", "y", "sample_weight"))
    monkeypatch.setattr(module, "inspect", SimpleNamespace(signature=lambda function: old))
    found = Boosting(max_iter=60, patience=3).fit(rows, rows, how())
    assert 0 < len(found.trees) < 60


def test_trees_that_cannot_be_read_are_refused(monkeypatch):
    read = module._read
    monkeypatch.setattr(module, "_read", lambda *given: read(*given) | {"value": [1.0] * len(read(*given)["value"])})
    with pytest.raises(TrainingError, match="the boosted trees of this scikit-learn cannot be read, expected one from 1.6"):
        Boosting(max_iter=5).fit(make("binary"), make("binary"), how())


def test_the_base_boosts_nothing():
    with pytest.raises(TypeError, match="BoostingFamily boosts nothing; take a family such as Boosting"):
        BoostingFamily().fit(make("binary"), make("binary"), how())
