"""The classical families predict as scikit-learn does; outputs are the same bits for one row, many rows and a loaded model."""

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
from lamina.families.classical.matrix import one_hot
from lamina.families.classical.neighbours import N_NEIGHBORS
from lamina.families.predictor import PREDICTORS
from tests.families.classical.helpers import KINDS, LEVELS, blocks, fitting, make

ALPHAS = Linear.alphas
FAMILIES = {"constant": Constant(), "linear": Linear(), "neighbours": Neighbours(), "boosting": Boosting(max_iter=20)}
CLASSES = ("binary", "classes")


def expected(peer, X, rows: int) -> np.ndarray:
    """scikit-learn's predictions, with a column for each class."""
    if not hasattr(peer, "classes_"):
        return peer.predict(X).reshape(rows, -1)
    outputs = np.zeros((rows, 5 if len(peer.classes_) > 2 else 2))
    outputs[:, peer.classes_] = peer.predict_proba(X)
    return outputs


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(FAMILIES, KINDS)))
def test_outputs_are_bitwise_equal_for_one_row_many_rows_and_a_loaded_predictor(name, kind):
    missing = name == "boosting"  # for the others the encoder imputes missing values
    rows = make(kind, missing=missing)
    predictor = FAMILIES[name].fit(rows, make(kind, 100, 1, missing=missing), fitting())
    new = blocks(90, 5, missing=missing)
    together = predictor.outputs(new, 90)
    assert together.dtype == np.float64
    assert together.shape == (90, {"binary": 2, "classes": 5, "value": 1, "values": 2}[kind])
    alone = np.concatenate([predictor.outputs({key: block[i : i + 1] for key, block in new.items()}, 1) for i in range(90)])
    assert np.array_equal(alone, together)
    loaded = PREDICTORS[predictor.kind].from_file(predictor.to_json(), predictor.tensors())
    assert np.array_equal(loaded.outputs(new, 90), together)
    assert loaded.size() == predictor.size() > 0
    assert predictor.outputs({key: block[:0] for key, block in new.items()}, 0).shape == (0, together.shape[1])
    if kind in CLASSES:
        np.testing.assert_allclose(together.sum(1), 1, atol=1e-12)
        assert kind == "binary" or not together[:, [1, 4]].any()  # classes without training rows


@pytest.mark.parametrize("name", FAMILIES)
def test_rows_of_weight_zero_are_ignored(name):
    rows = make("binary", 200)
    half = Rows({key: block[:100] for key, block in rows.blocks.items()}, rows.inputs, rows.target[:100], rows.classes)
    weighted = Rows(rows.blocks, rows.inputs, rows.target, rows.classes, (np.arange(200) < 100).astype(float))
    family = {"linear": Linear(alpha=1.0), "neighbours": Neighbours(n_neighbors=7)}.get(name, FAMILIES[name])
    if name == "boosting":  # bins are computed from rows of weight zero, too
        weighted = Rows(rows.blocks, rows.inputs, rows.target, rows.classes, np.where(rows.target == 1, 1e-6, 1.0))
        assert family.fit(weighted, weighted, fitting()).outputs(rows.blocks, 200)[:, 1].max() < 0.1
        return
    new = blocks(50, 4)
    first, second = (family.fit(part, rows, fitting()).outputs(new, 50) for part in (half, weighted))
    np.testing.assert_allclose(first, second, atol=2e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_single_class_is_always_predicted(name):
    rows = make("classes", 60)
    rows = Rows(rows.blocks, rows.inputs, np.full(60, 3), 5)
    outputs = FAMILIES[name].fit(rows, rows, fitting()).outputs(blocks(4), 4)
    np.testing.assert_array_equal(outputs, np.eye(5)[[3, 3, 3, 3]])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_few_rows_are_enough(name, kind, count):
    rows = make(kind, 80)
    few = Rows({key: block[:count] for key, block in rows.blocks.items()}, rows.inputs, rows.target[:count], rows.classes)
    assert np.isfinite(FAMILIES[name].fit(few, few, fitting()).outputs(blocks(9, 2), 9)).all()


# -- constant ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_constant_predicts_as_scikit_learns_dummy(kind, weighted):
    weight = np.random.default_rng(0).random(300) if weighted else None
    rows = make(kind, weight=weight)
    peer = DummyClassifier(strategy="prior") if kind in CLASSES else DummyRegressor()
    X = np.zeros((300, 1))
    peer.fit(X, rows.target, weight)
    np.testing.assert_allclose(Constant().fit(rows, rows, fitting()).outputs({}, 4), expected(peer, X[:4], 4), atol=1e-6)


# -- linear ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
def test_linear_predicts_as_scikit_learn(kind, weighted):
    weight = np.random.default_rng(0).random(300) + 0.1 if weighted else None
    rows, new = make(kind, weight=weight), blocks(70, 5)
    predictor = Linear(alpha=0.5).fit(rows, rows, fitting())
    peer = LogisticRegression(C=2, tol=1e-9, max_iter=5000) if kind in CLASSES else Ridge(0.5, solver="svd")
    peer.fit(one_hot(rows.blocks, LEVELS).astype(np.float64), rows.target, weight)
    np.testing.assert_allclose(predictor.outputs(new, 70), expected(peer, one_hot(new, LEVELS), 70), atol=1e-4)


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
def test_texts_stay_sparse_and_are_features(name, kind):
    rows, new = texts(600, 0, kind), texts(200, 1, kind)
    predictor = FAMILIES[name].fit(rows, new, fitting())
    outputs = predictor.outputs(new.blocks, 200)
    if kind == "binary":
        right = (outputs.argmax(1) == new.target).mean()
        assert right > {"linear": 0.85, "neighbours": 0.7, "boosting": 0.8}[name]
    else:
        assert (
            1 - ((outputs - new.target) ** 2).mean() / new.target.var()
            > {"linear": 0.95, "neighbours": 0.3, "boosting": 0.5}[name]
        )
    alone = np.concatenate(
        [predictor.outputs({key: block[i : i + 1] for key, block in new.blocks.items()}, 1) for i in range(30)]
    )
    assert np.array_equal(alone, outputs[:30])
    loaded = PREDICTORS[name].from_file(predictor.to_json(), predictor.tensors())
    assert np.array_equal(loaded.outputs(new.blocks, 200), outputs)


def test_alpha_is_chosen_by_cross_validation():
    random = np.random.default_rng(0)
    numbers = random.normal(size=(120, 40)).astype(np.float32)
    inputs = {"numbers": Input((40,), tuple(map(str, range(40))))}
    noise = Rows({"numbers": numbers}, inputs, random.integers(0, 2, 120), 2)
    clear = Rows({"numbers": numbers}, inputs, (numbers[:, 0] > 0).astype(np.int64), 2)
    progress = []
    reporting = dataclasses.replace(fitting(), progress=progress.append)
    assert Linear().fit(noise, noise, reporting).alpha == max(ALPHAS)
    assert Linear().fit(clear, clear, fitting()).alpha < 10
    assert progress == sorted(progress)
    assert progress[-1] == 1
    line = Rows({"numbers": numbers}, inputs, numbers[:, :2] * 2, 0)
    assert Linear().fit(line, line, fitting()).alpha == min(ALPHAS)


def grouped(groups: int, seed: int, kind: str) -> Rows:
    """Twenty rows of each group: three informative features, and twenty that identify the group, with its own offset."""
    random = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), 20)
    informative, own = random.normal(size=(len(group), 3)), random.normal(size=(groups, 20))[group]
    numbers = np.concatenate([informative, own + random.normal(0, 0.1, own.shape)], axis=1).astype(np.float32)
    values = informative @ [1, 0.5, -0.5] + random.normal(size=groups)[group] + random.normal(0, 0.3, len(group))
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
def test_options_chosen_with_groups_are_right_for_new_groups(name, kind):
    """Without groups they are not: features that identify the group seem to be informative."""
    tried = (
        [Linear(alpha=alpha) for alpha in ALPHAS]
        if name == "linear"
        else [Neighbours(n_neighbors=count) for count in N_NEIGHBORS]
    )
    regrets = []
    for seed in range(3):
        rows, new = grouped(40, seed, kind), grouped(100, 100 + seed, kind)
        truth = np.eye(2)[new.target] if kind == "binary" else new.target

        def error(family, rows=rows, new=new, truth=truth):
            return ((family.fit(rows, rows, fitting()).outputs(new.blocks, len(new)) - truth) ** 2).mean()

        best = min(map(error, tried))
        ways = (rows, dataclasses.replace(rows, group=None))
        regrets.append([error(FAMILIES[name], rows=way) / best - 1 for way in ways])
    with_groups, without = np.mean(regrets, axis=0)
    assert with_groups < 0.1 < without


@pytest.mark.parametrize("kind", ["binary", "value"])
@pytest.mark.parametrize("family", [Linear(), Neighbours(), Neighbours(max_rows=7)])
def test_few_groups_and_one_large_group(family, kind):
    rows = grouped(3, 0, kind)
    for group in (rows.group % 2, np.minimum(rows.group, 1), np.arange(60) > 0, np.zeros(60)):
        predictor = family.fit(dataclasses.replace(rows, group=group), rows, fitting())
        assert np.isfinite(predictor.outputs(rows.blocks, 60)).all()


# -- neighbours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [1, 4, 30])
def test_neighbours_predicts_as_scikit_learn(kind, k):
    rows, new = make(kind, 400), blocks(80, 5)
    predictor = Neighbours(n_neighbors=k).fit(rows, rows, fitting())
    maker = KNeighborsClassifier if kind in CLASSES else KNeighborsRegressor
    scale = {"flag": 0.5, "level": np.sqrt(0.5)}
    peer = maker(k).fit(one_hot(rows.blocks, LEVELS, **scale), rows.target)
    np.testing.assert_allclose(predictor.outputs(new, 80), expected(peer, one_hot(new, LEVELS, **scale), 80), atol=1e-5)


def test_levels_and_flags_are_one_apart_and_all_ties_count():
    inputs = {"flags": Input((1,), ("f",), kind="flags"), "categories": Input((1,), ("c",), (3,), "categories")}
    codes, flags = np.array([[1], [2], [1], [2]]), np.array([[1], [1], [-1], [-1]], np.float32)
    rows = Rows({"flags": flags, "categories": codes}, inputs, np.array([0, 1, 1, 0]), 2)
    predictor = Neighbours(n_neighbors=2).fit(rows, rows, fitting())
    query = {"flags": flags[:1], "categories": codes[:1]}
    np.testing.assert_allclose(predictor.outputs(query, 1), [[1 / 3, 2 / 3]])  # itself, and both that are 1 away


def test_n_neighbors_is_chosen_and_max_rows_are_kept():
    rows = make("binary", 300)
    noise = Rows(rows.blocks, rows.inputs, np.random.default_rng(0).integers(0, 2, 300), 2)
    assert Neighbours().fit(noise, noise, fitting()).n_neighbors == max(N_NEIGHBORS)
    pairs = {key: np.repeat(block[:50], 2, axis=0) for key, block in rows.blocks.items()}
    twice = Rows(pairs, rows.inputs, noise.target[:50].repeat(2), 2)
    assert Neighbours().fit(twice, twice, fitting()).n_neighbors == 1  # each row has a duplicate
    together = dataclasses.replace(twice, group=np.arange(50).repeat(2))
    assert Neighbours().fit(together, together, fitting()).n_neighbors > 1  # duplicates are in one group
    assert len(Neighbours(max_rows=40).fit(rows, rows, fitting()).target) == 40
    assert Neighbours(n_neighbors=1000).fit(rows, rows, fitting()).n_neighbors == 300
    nothing = Rows(rows.blocks, rows.inputs, rows.target, 2, np.zeros(300))
    assert Neighbours().fit(nothing, nothing, fitting()).kind == "constant"
