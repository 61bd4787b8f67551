"""Decision trees as plain arrays, with the leaves and the sums of leaf values of rows, bitwise reproducible.

scikit-learn's compiled trees are the fastest; they are built from the arrays where this version of scikit-learn accepts them.
Else numpy traverses the arrays. A traversal only compares, so both find the same leaf.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lamina.data.encoding import Input
from lamina.errors import ModelFileError
from lamina.families.classical.matrix import count_columns
from lamina.families.predictor import ArrayPredictor
from lamina.stored import check_array, stored

#: Number of rows from which they are sorted by their leaves in the first trees, which helps branch prediction.
SORTED_FROM = 2_000
#: Number of trees to sort by.
_SORTED_BY = 2
#: Most rows for which all trees are traversed in one call; more rows are traversed tree by tree.
FEW_ROWS = 16
_LEAF = -1
#: Most levels of a tree of a file: deeper ones take seconds to traverse.
_LEVELS = 1 << 14
#: Most values of all trees' copies of a row, for which they are merged.
_MERGED = 1 << 22


@dataclass(frozen=True)
class Trees:
    """Binary trees, their nodes concatenated; a row goes left where its value is at most the threshold.

    Attributes:
        roots: First node of each tree, then the number of nodes, int64 (trees + 1,).
        feature: Column of the split, -1 for a leaf; int32 (nodes,).
        threshold: Threshold of the split; float32 (nodes,), as the rows.
        left: Left child, relative to the root of its tree; int32 (nodes,).
        right: Right child.
        missing_left: Whether a missing value goes left; bool (nodes,).
        columns: Number of columns of a row.

    Example:
        >>> stump = Trees(
        ...     roots=np.array([0, 3]),
        ...     feature=np.array([0, -1, -1], np.int32),
        ...     threshold=np.array([0.5, 0.0, 0.0], np.float32),
        ...     left=np.array([1, -1, -1], np.int32),
        ...     right=np.array([2, -1, -1], np.int32),
        ...     missing_left=np.array([True, False, False]),
        ...     columns=1,
        ... )
        >>> rows = np.array([[0.5], [0.6], [np.nan]], np.float32)
        >>> stump.leaves(rows).tolist()
        [[0], [1], [0]]
        >>> stump.sums(rows, np.array([[10.0], [20.0]])).tolist()
        [[10.0], [20.0], [10.0]]
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    columns: int

    @classmethod
    def concatenated(cls, trees: Sequence[Mapping[str, Any]], columns: int) -> Self:
        """From the feature, threshold, left, right and missing_left of the nodes of each tree."""
        arrays = {name: np.concatenate([tree[name] for tree in trees]) for name in trees[0]}
        return cls(
            roots=np.cumsum([0, *(len(tree["feature"]) for tree in trees)]),
            feature=arrays["feature"].astype(np.int32),
            threshold=as_float32(arrays["threshold"]),
            left=arrays["left"].astype(np.int32),
            right=arrays["right"].astype(np.int32),
            missing_left=arrays["missing_left"].astype(bool),
            columns=columns,
        )

    @classmethod
    def from_sklearn(cls, trees: Sequence[Any], columns: int) -> Self:
        """From the ``tree_`` of scikit-learn's estimators."""
        nodes = [
            {
                "feature": np.where(tree.children_left < 0, _LEAF, tree.feature),
                "threshold": tree.threshold,
                "left": tree.children_left,
                "right": tree.children_right,
                "missing_left": tree.missing_go_to_left,
            }
            for tree in trees
        ]
        return cls.concatenated(nodes, columns)

    def check(self, inputs: Mapping[str, Input]) -> None:
        """Raise ModelFileError where a row of these blocks would lead out of the arrays, or around in a circle."""
        nodes = len(self.feature)
        for name, kinds in (("feature", "i"), ("threshold", "f"), ("left", "i"), ("right", "i"), ("missing_left", "b")):
            check_array(f"the trees' {name}", getattr(self, name), kinds, (nodes,))
        check_array("the trees' roots", self.roots, "i", (None,))
        sizes = np.diff(self.roots)
        if not len(sizes) or self.roots[0] or self.roots[-1] != nodes or sizes.min() < 1:
            raise ModelFileError(f"the trees' roots do not divide the {nodes} nodes")
        if self.columns != (columns := count_columns(inputs)):
            raise ModelFileError(f"the trees read {self.columns} columns, the encoder has {columns}")
        if self.feature.max() >= columns:
            raise ModelFileError(f"the trees split by column {self.feature.max()}, the encoder has {columns}")
        if any((side[self.is_leaf] != _LEAF).any() for side in (self.left, self.right)):
            raise ModelFileError("a leaf of the trees has a child")
        inner = np.flatnonzero(~self.is_leaf)
        base, end = np.repeat(self.roots[:-1], sizes)[inner], np.repeat(sizes, sizes)[inner]
        children = [side[inner].astype(np.int64) for side in (self.left, self.right)]
        if any(((side < 1) | (side >= end)).any() for side in children):
            raise ModelFileError("a node of the trees has a child outside of its tree")
        children = [side + base for side in children]
        if all((side > inner).all() for side in children):  # else nodes that were added for a split by a subset of codes
            return
        edges = (np.ones(2 * len(inner), bool), (np.tile(inner, 2), np.concatenate(children)))
        components, _ = connected_components(coo_array(edges, shape=(nodes, nodes)), connection="strong")
        if components < nodes or any((side == inner).any() for side in children):
            raise ModelFileError("a node of the trees leads back to itself")

    def __len__(self) -> int:
        return len(self.roots) - 1

    @cached_property
    def is_leaf(self) -> np.ndarray:
        """Which nodes are leaves; bool (nodes,)."""
        return self.feature < 0

    def leaves(self, rows: np.ndarray, threads: int | None = None) -> np.ndarray:
        """The leaf of each row in each tree, as its index among all leaves; int32 (N, trees).

        Args:
            rows: float32 (N, columns); NaN is missing.
            threads: Number of threads; None for torch's.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if (leaves := self._leaves_of_few(rows)) is not None:
            return leaves
        out = np.empty((len(self), len(rows)), dtype=np.int32)

        def keep(part: slice, tree: int, leaf: np.ndarray) -> None:
            out[tree, part] = leaf

        return out[:, self._for_each(rows, keep, threads)].T

    def sums(
        self, rows: np.ndarray, value: np.ndarray, output: np.ndarray | None = None, threads: int | None = None
    ) -> np.ndarray:
        """Sum over the trees of the value of each row's leaf, in the order of the trees: the same bits in a batch of any size.

        Args:
            rows: As for :meth:`leaves`.
            value: Values of each leaf, (leaves, K).
            output: The output that each tree is added to, (trees,), where K is 1.
            threads: As for :meth:`leaves`.

        Shape:
            (N, K), or (N, outputs), of the type of the values.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        width = value.shape[1] if output is None else int(output.max()) + 1
        total = np.zeros((len(rows), width), dtype=value.dtype)
        if (leaves := self._leaves_of_few(rows)) is not None:
            for place in range(width) if output is not None else [slice(None)]:
                own = leaves if output is None else leaves[:, output == place]
                sums = np.add.accumulate(value[own], axis=1)[:, -1]  # np.sum adds the numbers of a single row in another order
                total[:, place] = sums if output is None else sums[:, 0]
            return total
        places = [slice(None)] * len(self) if output is None else [slice(place, place + 1) for place in output.tolist()]

        def add(part: slice, tree: int, leaf: np.ndarray) -> None:
            total[part, places[tree]] += value.take(leaf, axis=0)

        return total[self._for_each(rows, add, threads)]

    # -- traversal -----------------------------------------------------------------------------------------------------

    def _for_each(self, rows: np.ndarray, function: Callable[[slice, int, np.ndarray], None], threads: int | None) -> Any:
        """Call a function with each part of the sorted rows, each tree, and their leaves; return an index that unsorts."""
        import torch

        threads = threads or torch.get_num_threads()
        trees, starts, unsorted = self._compiled, self.roots.tolist(), slice(None)
        if trees is None:
            for number, node in enumerate(self._traverse(rows).T):
                function(slice(None), number, self._rank[node])
            return unsorted
        with ThreadPoolExecutor(threads) as pool:
            if len(rows) >= SORTED_FROM:
                # Rows that share leaves in the first trees mostly share leaves in the others.
                first, *more = pool.map(lambda tree: tree.apply(rows), trees[:_SORTED_BY])
                for leaf in more:
                    first = (first << 32) | leaf
                order = np.argsort(first)
                rows, unsorted = rows[order], np.empty_like(order)
                unsorted[order] = np.arange(len(order))
            size = max(-(-len(rows) // threads), SORTED_FROM)

            def traverse(start: int) -> None:
                part = slice(start, start + size)
                batch = rows[part]
                for number, tree in enumerate(trees):
                    function(part, number, self._rank[starts[number] : starts[number + 1]].take(tree.apply(batch)))

            list(pool.map(traverse, range(0, len(rows), size)))
        return unsorted

    def _leaves_of_few(self, rows: np.ndarray) -> np.ndarray | None:
        """:meth:`leaves` of up to FEW_ROWS rows; None for more."""
        if len(rows) > FEW_ROWS:
            return None
        return self._rank[self._traverse(rows) if self._merged is None else self._traverse_merged(self._merged, rows)]

    @cached_property
    def _rank(self) -> np.ndarray:
        """The index of each leaf among all leaves, by node."""
        return (np.cumsum(self.is_leaf) - 1).astype(np.int32)

    def _traverse(self, rows: np.ndarray) -> np.ndarray:
        """Leaf nodes (N, trees): all trees in parallel, level by level."""
        root = self.roots[:-1]
        node = np.tile(root, (len(rows), 1))
        base = np.broadcast_to(root, node.shape)
        row = np.arange(len(rows))[:, None]
        for _ in range(_LEVELS):
            feature = self.feature[node]
            inner = feature >= 0
            if not inner.any():
                return node
            value = rows[row, np.maximum(feature, 0)]
            missing = np.isnan(value)
            goes_left = np.where(missing, self.missing_left[node], value <= self.threshold[node])
            node = np.where(inner, base + np.where(goes_left, self.left[node], self.right[node]), node)
        raise ModelFileError(f"the trees have more than {_LEVELS:,} levels; fit again")

    def _traverse_merged(self, merged: Any, rows: np.ndarray) -> np.ndarray:
        """Leaf nodes (N, trees) in one call: each row is repeated for each tree, with the tree's number in an extra column."""
        repeated = np.empty((len(rows), len(self), self.columns + 1), dtype=np.float32)
        repeated[:, :, :-1] = rows[:, None]
        repeated[:, :, -1] = np.arange(len(self))
        return merged.apply(repeated.reshape(-1, self.columns + 1)).reshape(repeated.shape[:2]) - (len(self) - 1)

    @cached_property
    def _compiled(self) -> list[Any] | None:
        """The trees as scikit-learn's trees, or None where this version does not accept the arrays."""
        trees = []
        for start, end in zip(self.roots[:-1], self.roots[1:], strict=True):
            part = slice(start, end)
            arrays = (self.feature[part], self.threshold[part], self.left[part], self.right[part], self.missing_left[part])
            trees.append(_compile(*arrays, columns=self.columns))
        if any(tree is None for tree in trees):
            return None
        leaves = np.stack([tree.apply(self._probe) for tree in trees], axis=1) + self.roots[:-1]
        return trees if np.array_equal(leaves, self._traverse(self._probe)) else None

    @cached_property
    def _merged(self) -> Any:
        """All trees as one, below nodes that split by the number of the tree; None as for :attr:`_compiled`."""
        count, shift = len(self), len(self) - 1  # shift: number of the nodes above the trees
        if count * (self.columns + 1) > _MERGED:
            return None
        split, left, right = np.zeros(shift), np.zeros(shift, np.int64), np.zeros(shift, np.int64)
        free, todo = 1, [(0, 0, count)] if shift else []
        while todo:
            node, start, end = todo.pop()
            middle = (start + end) // 2
            split[node] = middle - 0.5
            for side, low, high in ((left, start, middle), (right, middle, end)):
                if high - low == 1:
                    side[node] = self.roots[low] + shift
                else:
                    side[node] = free
                    todo.append((free, low, high))
                    free += 1
        base = np.repeat(self.roots[:-1], np.diff(self.roots)) + shift
        inner = self.feature >= 0
        tree = _compile(
            np.concatenate([np.full(shift, self.columns), self.feature]),
            np.concatenate([split, self.threshold]),
            np.concatenate([left, np.where(inner, self.left + base, _LEAF)]),
            np.concatenate([right, np.where(inner, self.right + base, _LEAF)]),
            np.concatenate([np.zeros(shift, bool), self.missing_left]),
            columns=self.columns + 1,
        )
        correct = tree is not None and np.array_equal(self._traverse_merged(tree, self._probe), self._traverse(self._probe))
        return tree if correct else None

    @cached_property
    def _probe(self) -> np.ndarray:
        """Random rows around thresholds, with missing values, to check compiled trees on."""
        generator = np.random.default_rng(0)
        rows = generator.choice(self.threshold, (32, self.columns)) + generator.normal(size=(32, self.columns))
        rows[generator.random(rows.shape) < 0.1] = np.nan
        return rows.astype(np.float32)


_FIELDS = [field.name for field in dataclasses.fields(Trees)]


@dataclass(frozen=True)
class TreesPredictor(ArrayPredictor):
    """Base of the predictors of trees.

    Attributes:
        trees: The trees, whose arrays are saved beside those of the predictor.
    """

    trees: Trees
    counted: ClassVar[str] = "nodes"

    def size(self) -> int:
        return len(self.trees.feature)

    def saved(self) -> dict[str, Any]:
        arrays = {name: getattr(self.trees, name) for name in _FIELDS}
        return arrays | {name: value for name, value in super().saved().items() if name != "trees"}

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        return super().restored({**values, "trees": stored(Trees, {name: values.get(name) for name in _FIELDS})})

    def check(self, inputs: Mapping[str, Input], outputs: int) -> None:
        self.trees.check(inputs)


def as_float32(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 not above each threshold: float32 values stay on the same side of it."""
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _compile(
    feature: np.ndarray, threshold: np.ndarray, left: np.ndarray, right: np.ndarray, missing_left: np.ndarray, *, columns: int
) -> Any:
    try:
        from sklearn.tree._tree import NODE_DTYPE, Tree

        nodes: Any = np.zeros(len(feature), dtype=NODE_DTYPE)
        nodes["feature"], nodes["threshold"] = np.where(feature < 0, -2, feature), threshold
        nodes["left_child"], nodes["right_child"] = left, right
        nodes["missing_go_to_left"] = missing_left
        tree = Tree(columns, np.array([1], dtype=np.intp), 1)
        values = np.zeros((len(nodes), 1, 1))
        tree.__setstate__({"max_depth": 1, "node_count": len(nodes), "nodes": nodes, "values": values})
        return tree
    except (ImportError, AttributeError, TypeError, ValueError, KeyError):  # a version of scikit-learn with another format
        return None
