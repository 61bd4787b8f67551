"""Trees as arrays: three ways of traversal find the same leaf as scikit-learn."""

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
def fitted():
    random = np.random.default_rng(0)
    X = holes(random.normal(size=(400, 5)))
    y = (np.nan_to_num(X[:, 0]) + np.isnan(X[:, 1]) > 0.5).astype(int)
    forest = RandomForestClassifier(12, random_state=0).fit(X, y)
    return forest, Trees.from_sklearn([tree.tree_ for tree in forest.estimators_], 5)


def theirs(forest, X: np.ndarray, trees: Trees) -> np.ndarray:
    return trees._rank[forest.apply(X) + trees.roots[:-1]]


@pytest.mark.parametrize("rows", [1, FEW_ROWS, FEW_ROWS + 1, SORTED_FROM + 7])
@pytest.mark.parametrize("threads", [1, 3])
def test_leaves_are_those_of_scikit_learn(fitted, rows, threads):
    forest, trees = fitted
    X = holes(np.random.default_rng(1).normal(size=(rows, 5)), seed=1)
    leaves = trees.leaves(X, threads)
    assert leaves.dtype == np.int32
    assert np.array_equal(leaves, theirs(forest, X, trees))


def test_all_ways_of_traversal_find_the_same_leaf(fitted):
    _, trees = fitted
    X = holes(np.random.default_rng(2).normal(size=(90, 5)), seed=2)
    assert trees._compiled is not None
    assert trees._merged is not None
    traversed = trees._traverse(X)
    assert np.array_equal(trees._rank[traversed], trees.leaves(X, 2))
    assert np.array_equal(traversed, trees._traverse_merged(trees._merged, X))


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 5), values=st.integers(1, 4))
def test_ties_with_thresholds_and_few_values(seed, count, values):
    """Values equal to thresholds, and columns of few values."""
    random = np.random.default_rng(seed)
    X = holes(random.integers(0, values + 1, (60, 3)) / 2, seed=seed)
    forest = ExtraTreesRegressor(count, random_state=seed).fit(X, random.normal(size=60))
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_], 3)
    assert np.array_equal(trees.leaves(X), theirs(forest, X, trees))
    assert np.array_equal(trees.leaves(X[:3]), theirs(forest, X[:3], trees))
    assert np.array_equal(trees._rank[trees._traverse(X)], theirs(forest, X, trees))


def test_numpy_traverses_where_scikit_learn_has_another_format(fitted, monkeypatch):
    forest, trees = fitted
    X = holes(np.random.default_rng(3).normal(size=(50, 5)), seed=3)
    monkeypatch.setattr(module, "_compile", lambda *arrays, columns: None)
    fresh = dataclasses.replace(trees)
    assert fresh._compiled is None
    assert fresh._merged is None
    assert np.array_equal(fresh.leaves(X), theirs(forest, X, trees))
    assert np.array_equal(fresh.leaves(X[:4]), theirs(forest, X[:4], trees))


def test_compiled_trees_with_other_leaves_are_not_used(fitted, monkeypatch):
    _, trees = fitted
    compile_right = module._compile

    def compile_wrong(feature, threshold, left, right, missing_left, *, columns):
        return compile_right(feature, threshold, right, left, missing_left, columns=columns)

    monkeypatch.setattr(module, "_compile", compile_wrong)
    fresh = dataclasses.replace(trees)
    assert fresh._compiled is None
    assert fresh._merged is None


def test_no_rows(fitted):
    assert fitted[1].leaves(np.empty((0, 5), np.float32)).shape == (0, 12)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_are_bitwise_equal_for_one_row_and_many(fitted, width, dtype):
    _, trees = fitted
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
def test_each_tree_is_added_to_its_output(fitted, rows):
    _, trees = fitted
    X = holes(np.random.default_rng(6).normal(size=(rows, 5)), seed=6)
    value = np.random.default_rng(7).normal(size=(int(trees.is_leaf.sum()), 1))
    output = np.arange(12) % 3
    values = value[trees.leaves(X), 0]
    assert np.allclose(trees.sums(X, value, output), np.stack([values[:, output == k].sum(1) for k in range(3)], axis=1))


@given(st.floats(width=64, allow_nan=False), st.floats(width=32, allow_nan=False))
def test_a_threshold_in_float32_separates_float32_numbers_alike(threshold, value):
    with np.errstate(over="ignore"):
        rounded = as_float32(np.array([threshold]))[0]
    assert rounded.dtype == np.float32
    assert (np.float32(value) <= rounded) == (value <= threshold)
