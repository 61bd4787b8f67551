"""Trees as arrays: three ways to walk, one leaf; and it is the leaf that scikit-learn comes to."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier

from lamina.families.classical import trees as module
from lamina.families.classical.trees import FEW_ROWS, SORTED_FROM, Trees, as_float32


def holes(X: np.ndarray, share: float = 0.2, seed: int = 0) -> np.ndarray:
    X = X.astype(np.float32)
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    return X


@pytest.fixture(scope="module")
def grown():
    random = np.random.default_rng(0)
    X = holes(random.normal(size=(400, 5)))
    y = (np.nan_to_num(X[:, 0]) + np.isnan(X[:, 1]) > 0.5).astype(int)
    forest = RandomForestClassifier(12, random_state=0).fit(X, y)
    return forest, Trees.gather([tree.tree_ for tree in forest.estimators_], 5)


def theirs(forest, X: np.ndarray, trees: Trees) -> np.ndarray:
    return trees._rank[forest.apply(X) + trees.roots[:-1]]


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, SORTED_FROM + 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_comes_to_the_leaf_that_scikit_learn_says(grown, rows, threads):
    forest, trees = grown
    X = holes(np.random.default_rng(1).normal(size=(rows, 5)), seed=1)
    leaves = trees.leaves(X, threads)
    assert leaves.dtype == np.int32
    assert np.array_equal(leaves, theirs(forest, X, trees))


def test_all_ways_of_walking_come_to_the_same_leaf(grown):
    _, trees = grown
    X = holes(np.random.default_rng(2).normal(size=(90, 5)), seed=2)
    assert trees._compiled is not None
    assert trees._together is not None
    walked = trees._walk(X)
    assert np.array_equal(trees._rank[walked], trees.leaves(X, 2))
    assert np.array_equal(walked, trees._walk_together(trees._together, X))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), values=st.integers(1, 4))
def test_ties_with_thresholds_and_few_values(seed, count, values):
    """Values that are the thresholds themselves, and columns that say little."""
    random = np.random.default_rng(seed)
    X = holes(random.integers(0, values + 1, (60, 3)) / 2, seed=seed)
    forest = ExtraTreesRegressor(count, random_state=seed).fit(X, random.normal(size=60))
    trees = Trees.gather([tree.tree_ for tree in forest.estimators_], 3)
    assert np.array_equal(trees.leaves(X), theirs(forest, X, trees))
    assert np.array_equal(trees.leaves(X[:3]), theirs(forest, X[:3], trees))
    assert np.array_equal(trees._rank[trees._walk(X)], theirs(forest, X, trees))


def test_where_scikit_learn_has_other_trees_inside_numpy_walks(grown, monkeypatch):
    forest, trees = grown
    X = holes(np.random.default_rng(3).normal(size=(50, 5)), seed=3)
    monkeypatch.setattr(module, "_compile", lambda *arrays, columns: None)
    fresh = dataclasses.replace(trees)
    assert fresh._compiled is None
    assert fresh._together is None
    assert np.array_equal(fresh.leaves(X), theirs(forest, X, trees))
    assert np.array_equal(fresh.leaves(X[:4]), theirs(forest, X[:4], trees))


def test_compiled_trees_that_walk_otherwise_are_not_trusted(grown, monkeypatch):
    _, trees = grown
    compile_right = module._compile

    def compile_wrong(feature, threshold, left, right, missing_left, *, columns):
        return compile_right(feature, threshold, right, left, missing_left, columns=columns)

    monkeypatch.setattr(module, "_compile", compile_wrong)
    fresh = dataclasses.replace(trees)
    assert fresh._compiled is None
    assert fresh._together is None


def test_a_file_gives_the_same_trees_back(grown):
    _, trees = grown
    again = Trees.from_arrays(trees.to_arrays(), 5)
    X = holes(np.random.default_rng(4).normal(size=(40, 5)), seed=4)
    assert len(again) == 12
    assert np.array_equal(again.leaves(X), trees.leaves(X))


def test_no_rows_come_to_no_leaves(grown):
    assert grown[1].leaves(np.empty((0, 5), np.float32)).shape == (0, 12)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_the_same_to_the_bit_alone_and_in_company(grown, width, dtype):
    _, trees = grown
    random = np.random.default_rng(5)
    X = holes(random.normal(size=(SORTED_FROM + 50, 5)), seed=5)
    value = random.normal(size=(int(trees.is_leaf.sum()), width)).astype(dtype)
    together = trees.sums(X, value, threads=3)
    expected = np.zeros((len(X), width), dtype)
    for leaf in trees.leaves(X).T:
        expected += value[leaf]
    assert together.dtype == dtype
    assert np.array_equal(together, expected)
    assert np.array_equal(together, trees.sums(X, value))
    for rows in (1, 2, FEW_ROWS, FEW_ROWS + 1):
        assert np.array_equal(trees.sums(X[:rows], value), together[:rows])


@pytest.mark.parametrize("rows", [3, FEW_ROWS + 5])
def test_each_tree_adds_to_its_own_sum(grown, rows):
    _, trees = grown
    X = holes(np.random.default_rng(6).normal(size=(rows, 5)), seed=6)
    value = np.random.default_rng(7).normal(size=(int(trees.is_leaf.sum()), 1))
    output = np.arange(12) % 3
    said = value[trees.leaves(X), 0]
    assert np.allclose(trees.sums(X, value, output), np.stack([said[:, output == k].sum(1) for k in range(3)], axis=1))


@given(st.floats(width=64, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_a_threshold_in_float32_parts_numbers_in_float32_alike(threshold, value):
    with np.errstate(over="ignore"):
        rounded = as_float32(np.array([threshold]))[0]
    assert rounded.dtype == np.float32
    assert (np.float32(value) <= rounded) == (value <= threshold)
