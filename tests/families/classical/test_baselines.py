"""The classical baselines answer as scikit-learn does, and keep what every predictor keeps."""

import dataclasses
import itertools

import numpy as np
import pytest
from scipy import sparse
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from lamina.data.encoding import Input
from lamina.families import Boosting, Constant, Linear, Neighbours
from lamina.families.classical.family import Rows
from lamina.families.classical.linear import PENALTIES
from lamina.families.classical.matrix import one_hot
from lamina.families.classical.neighbours import COUNTS
from lamina.families.predictor import PREDICTORS
from tests.families.classical.helpers import KINDS, LEVELS, blocks, how, make

FAMILIES = {"constant": Constant(), "linear": Linear(), "neighbours": Neighbours(), "boosting": Boosting(max_iter=20)}
CLASSES = ("binary", "classes")


def expected(peer, X, rows: int) -> np.ndarray:
    """What scikit-learn says, with a column for each class that there is."""
    if not hasattr(peer, "classes_"):
        return peer.predict(X).reshape(rows, -1)
    said = np.zeros((rows, 5 if len(peer.classes_) > 2 else 2))
    said[:, peer.classes_] = peer.predict_proba(X)
    return said


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(FAMILIES, KINDS)))
def test_a_row_alone_in_company_and_from_a_file_has_the_same_bits(name, kind):
    missing = name == "boosting"  # the others are given what is scaled, where nothing is missing
    rows = make(kind, missing=missing)
    found = FAMILIES[name].fit(rows, make(kind, 100, 1, missing=missing), how())
    new = blocks(90, 5, missing=missing)
    together = found.outputs(new, 90)
    assert together.dtype == np.float64
    assert together.shape == (90, {"binary": 2, "classes": 5, "value": 1, "values": 2}[kind])
    alone = np.concatenate([found.outputs({key: block[i : i + 1] for key, block in new.items()}, 1) for i in range(90)])
    assert np.array_equal(alone, together)
    again = PREDICTORS[found.kind].from_file(found.to_json(), found.tensors())
    assert np.array_equal(again.outputs(new, 90), together)
    assert again.size() == found.size() > 0
    assert found.outputs({key: block[:0] for key, block in new.items()}, 0).shape == (0, together.shape[1])
    if kind in CLASSES:
        np.testing.assert_allclose(together.sum(1), 1, atol=1e-12)
        assert kind == "binary" or not together[:, [1, 4]].any()  # classes that no training row had


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_that_weigh_nothing_are_not_learnt_from(name):
    rows = make("binary", 200)
    half = Rows({key: block[:100] for key, block in rows.blocks.items()}, rows.inputs, rows.target[:100], rows.classes)
    weighted = Rows(rows.blocks, rows.inputs, rows.target, rows.classes, (np.arange(200) < 100).astype(float))
    family = {"linear": Linear(alpha=1.0), "neighbours": Neighbours(n_neighbors=7)}.get(name, FAMILIES[name])
    if name == "boosting":  # the histograms of rows that weigh nothing are there all the same
        weighted = Rows(rows.blocks, rows.inputs, rows.target, rows.classes, np.where(rows.target == 1, 1e-6, 1.0))
        assert family.fit(weighted, weighted, how()).outputs(rows.blocks, 200)[:, 1].max() < 0.1
        return
    new = blocks(50, 4)
    first, second = (family.fit(part, rows, how()).outputs(new, 50) for part in (half, weighted))
    np.testing.assert_allclose(first, second, atol=2e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_single_class_is_answered_always(name):
    rows = make("classes", 60)
    rows = Rows(rows.blocks, rows.inputs, np.full(60, 3), 5)
    said = FAMILIES[name].fit(rows, rows, how()).outputs(blocks(4), 4)
    np.testing.assert_array_equal(said, np.eye(5)[[3, 3, 3, 3]])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_handful_of_rows_is_enough(name, kind, count):
    rows = make(kind, 80)
    few = Rows({key: block[:count] for key, block in rows.blocks.items()}, rows.inputs, rows.target[:count], rows.classes)
    assert np.isfinite(FAMILIES[name].fit(few, few, how()).outputs(blocks(9, 2), 9)).all()


# -- constant ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_constant_says_what_scikit_learns_dummy_says(kind, weighted):
    weight = np.random.default_rng(0).random(300) if weighted else None
    rows = make(kind, weight=weight)
    peer = DummyClassifier(strategy="prior") if kind in CLASSES else DummyRegressor()
    X = np.zeros((300, 1))
    peer.fit(X, rows.target, weight)
    np.testing.assert_allclose(Constant().fit(rows, rows, how()).outputs({}, 4), expected(peer, X[:4], 4), atol=1e-6)


# -- linear ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_finds_the_weights_that_scikit_learn_finds(kind, weighted):
    weight = np.random.default_rng(0).random(300) + 0.1 if weighted else None
    rows, new = make(kind, weight=weight), blocks(70, 5)
    found = Linear(alpha=0.5).fit(rows, rows, how())
    peer = LogisticRegression(C=2, tol=1e-9, max_iter=5000) if kind in CLASSES else Ridge(0.5, solver="svd")
    peer.fit(one_hot(rows.blocks, LEVELS).astype(np.float64), rows.target, weight)
    np.testing.assert_allclose(found.outputs(new, 70), expected(peer, one_hot(new, LEVELS), 70), atol=1e-4)


def texts(rows: int, seed: int = 0, kind: str = "binary") -> Rows:
    """Sparse weights of terms beside a number."""
    random = np.random.default_rng(seed)
    terms = sparse.csr_matrix(sparse.random(rows, 80, 0.1, random_state=random), dtype=np.float32)
    numbers = random.normal(size=(rows, 1)).astype(np.float32)
    score = np.asarray(terms[:, :6].sum(1)).reshape(-1) * 3 - 1 + numbers[:, 0]
    target = (score > 0).astype(np.int64) if kind == "binary" else score[:, None].astype(np.float32)
    inputs = {"numbers": Input((1,), ("a",)), "text": Input((80,), ("t",), kind="terms")}
    return Rows({"numbers": numbers, "text": terms}, inputs, target, 2 if target.ndim == 1 else 0)


@pytest.mark.parametrize("kind", ["binary", "value"])
@pytest.mark.parametrize("name", ["linear", "neighbours", "boosting"])
def test_texts_stay_sparse_and_are_learnt_from(name, kind):
    rows, new = texts(600, 0, kind), texts(200, 1, kind)
    found = FAMILIES[name].fit(rows, new, how())
    said = found.outputs(new.blocks, 200)
    if kind == "binary":
        right = (said.argmax(1) == new.target).mean()
        assert right > {"linear": 0.85, "neighbours": 0.7, "boosting": 0.8}[name]
    else:
        assert (
            1 - ((said - new.target) ** 2).mean() / new.target.var()
            > {"linear": 0.95, "neighbours": 0.3, "boosting": 0.5}[name]
        )
    alone = np.concatenate([found.outputs({key: block[i : i + 1] for key, block in new.blocks.items()}, 1) for i in range(30)])
    assert np.array_equal(alone, said[:30])
    again = PREDICTORS[name].from_file(found.to_json(), found.tensors())
    assert np.array_equal(again.outputs(new.blocks, 200), said)


def test_the_penalty_is_the_one_that_answers_other_rows_best():
    random = np.random.default_rng(0)
    numbers = random.normal(size=(120, 40)).astype(np.float32)
    inputs = {"numbers": Input((40,), tuple(map(str, range(40))))}
    noise = Rows({"numbers": numbers}, inputs, random.integers(0, 2, 120), 2)
    clear = Rows({"numbers": numbers}, inputs, (numbers[:, 0] > 0).astype(np.int64), 2)
    progress = []
    fitting = dataclasses.replace(how(), progress=progress.append)
    assert Linear().fit(noise, noise, fitting).penalty == max(PENALTIES)
    assert Linear().fit(clear, clear, how()).penalty < 10
    assert progress == sorted(progress)
    assert progress[-1] == 1
    line = Rows({"numbers": numbers}, inputs, numbers[:, :2] * 2, 0)
    assert Linear().fit(line, line, how()).penalty == min(PENALTIES)


def grouped(groups: int, seed: int, kind: str) -> Rows:
    """Twenty rows of each group: three numbers that tell, and twenty that only say which group it is; it has its own offset."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 20)
    telling, own = random.normal(size=(len(group), 3)), random.normal(size=(groups, 20))[group]
    numbers = np.concatenate([telling, own + random.normal(0, 0.1, own.shape)], axis=1).astype(np.float32)
    values = telling @ [1, 0.5, -0.5] + random.normal(size=groups)[group] + random.normal(0, 0.3, len(group))
    target = (values > 0).astype(np.int64) if kind == "binary" else values[:, None].astype(np.float32)
    return Rows(
        {"numbers": numbers},
        {"numbers": Input((23,), tuple(map(str, range(23))))},
        target,
        2 if target.ndim == 1 else 0,
        group=group,
    )


@pytest.mark.parametrize("kind", ["binary", "value"])
@pytest.mark.parametrize("name", ["linear", "neighbours"])
def test_what_is_chosen_among_groups_is_right_for_new_groups(name, kind):
    """Chosen without groups it is not: what tells the groups apart seems to tell the answers."""
    tried = [Linear(alpha=one) for one in PENALTIES] if name == "linear" else [Neighbours(n_neighbors=one) for one in COUNTS]
    regrets = []
    for seed in range(3):
        rows, new = grouped(40, seed, kind), grouped(100, 100 + seed, kind)
        truth = np.eye(2)[new.target] if kind == "binary" else new.target

        def error(family, rows=rows, new=new, truth=truth):
            return ((family.fit(rows, rows, how()).outputs(new.blocks, len(new)) - truth) ** 2).mean()

        best = min(map(error, tried))
        ways = (rows, dataclasses.replace(rows, group=None))
        regrets.append([error(FAMILIES[name], rows=way) / best - 1 for way in ways])
    with_groups, without = np.mean(regrets, axis=0)
    assert with_groups < 0.1 < without


@pytest.mark.parametrize("kind", ["binary", "value"])
@pytest.mark.parametrize("family", [Linear(), Neighbours(), Neighbours(max_rows=7)])
def test_few_groups_and_groups_of_most_rows_are_no_trouble(family, kind):
    rows = grouped(3, 0, kind)
    for group in (rows.group % 2, np.minimum(rows.group, 1), np.arange(60) > 0, np.zeros(60)):
        found = family.fit(dataclasses.replace(rows, group=group), rows, how())
        assert np.isfinite(found.outputs(rows.blocks, 60)).all()


# -- neighbours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 4, 30])
def test_neighbours_are_those_of_scikit_learn(kind, k):
    rows, new = make(kind, 400), blocks(80, 5)
    found = Neighbours(n_neighbors=k).fit(rows, rows, how())
    maker = KNeighborsClassifier if kind in CLASSES else KNeighborsRegressor
    scale = {"flag": 0.5, "level": np.sqrt(0.5)}
    peer = maker(k).fit(one_hot(rows.blocks, LEVELS, **scale), rows.target)
    np.testing.assert_allclose(found.outputs(new, 80), expected(peer, one_hot(new, LEVELS, **scale), 80), atol=1e-5)


def test_two_levels_and_yes_and_no_are_one_apart_and_ties_all_count():
    inputs = {"flags": Input((1,), ("f",), kind="flags"), "categories": Input((1,), ("c",), (3,), "categories")}
    codes, flags = np.array([[1], [2], [1], [2]]), np.array([[1], [1], [-1], [-1]], np.float32)
    rows = Rows({"flags": flags, "categories": codes}, inputs, np.array([0, 1, 1, 0]), 2)
    found = Neighbours(n_neighbors=2).fit(rows, rows, how())
    asked = {"flags": flags[:1], "categories": codes[:1]}
    np.testing.assert_allclose(found.outputs(asked, 1), [[1 / 3, 2 / 3]])  # itself, and both that are 1 away


def test_the_number_of_neighbours_is_chosen_and_rows_are_forgotten():
    rows = make("binary", 300)
    noise = Rows(rows.blocks, rows.inputs, np.random.default_rng(0).integers(0, 2, 300), 2)
    assert Neighbours().fit(noise, noise, how()).k == max(COUNTS)
    pairs = {key: np.repeat(block[:50], 2, axis=0) for key, block in rows.blocks.items()}
    twice = Rows(pairs, rows.inputs, noise.target[:50].repeat(2), 2)
    assert Neighbours().fit(twice, twice, how()).k == 1  # each row's double knows
    together = dataclasses.replace(twice, group=np.arange(50).repeat(2))
    assert Neighbours().fit(together, together, how()).k > 1  # and is not asked
    assert len(Neighbours(max_rows=40).fit(rows, rows, how()).target) == 40
    assert Neighbours(n_neighbors=1000).fit(rows, rows, how()).k == 300
    nothing = Rows(rows.blocks, rows.inputs, rows.target, 2, np.zeros(300))
    assert Neighbours().fit(nothing, nothing, how()).kind == "constant"
