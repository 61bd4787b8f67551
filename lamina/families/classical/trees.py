"""Trees as plain arrays: which leaf each row comes to, in the same bits wherever they are walked.

scikit-learn's compiled trees walk fastest, so arrays are laid into them where this scikit-learn takes them; else numpy walks. A
walk only compares, it adds nothing up, so both come to the same leaf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

#: From so many rows on it pays to lay rows that take the same way side by side: the processor guesses its way then.
SORTED_FROM = 2_000
#: Up to so many rows all trees are walked at once; more are walked tree by tree.
FEW_ROWS = 16
_LEAF = -1


@dataclass(frozen=True)
class Trees:
    """Binary trees, their nodes one behind the other; a row goes left where its value is at most the threshold.

    Attributes:
        roots: First node of each tree, and the number of all nodes behind the last, int64 (trees + 1,).
        feature: Column that a node asks for, -1 for a leaf; int32 (nodes,).
        threshold: What it compares with; float64 (nodes,).
        left: Node on the left, counted from the root of its tree; int32 (nodes,).
        right: The same on the right.
        missing_left: Whether a missing value goes left; bool (nodes,).
        columns: How many columns a row has.

    Example:
        >>> stump = Trees(
        ...     roots=np.array([0, 3]),
        ...     feature=np.array([0, -1, -1], np.int32),
        ...     threshold=np.array([0.5, 0.0, 0.0]),
        ...     left=np.array([1, -1, -1], np.int32),
        ...     right=np.array([2, -1, -1], np.int32),
        ...     missing_left=np.array([True, False, False]),
        ...     columns=1,
        ... )
        >>> stump.leaves(np.array([[0.5], [0.6], [np.nan]], np.float32)).tolist()
        [[1], [2], [1]]
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    columns: int

    @classmethod
    def gather(cls, trees: Sequence[Any], columns: int) -> Self:
        """From the ``tree_`` of scikit-learn's estimators."""
        counts = [tree.node_count for tree in trees]
        return cls(
            roots=np.cumsum([0, *counts]),
            feature=np.concatenate([np.where(tree.children_left < 0, _LEAF, tree.feature) for tree in trees]).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            left=np.concatenate([tree.children_left for tree in trees]).astype(np.int32),
            right=np.concatenate([tree.children_right for tree in trees]).astype(np.int32),
            missing_left=np.concatenate([np.asarray(tree.missing_go_to_left, dtype=bool) for tree in trees]),
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.roots) - 1

    def leaves(self, rows: np.ndarray, threads: int = 1) -> np.ndarray:
        """The leaf that each row comes to in each tree, as the number of the node; int32 (N, trees).

        Args:
            rows: float32 (N, columns); NaN is missing.
            threads: Cores to use.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if len(rows) <= FEW_ROWS:
            return self._walk(rows) if self._together is None else self._walk_together(self._together, rows)
        return self._walk(rows) if self._compiled is None else self._walk_compiled(self._compiled, rows, threads)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps."""
        names = ("roots", "feature", "threshold", "left", "right", "missing_left")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int) -> Self:
        names = ("roots", "feature", "threshold", "left", "right", "missing_left")
        return cls(*(arrays[name] for name in names), columns=columns)

    # -- walking -------------------------------------------------------------------------------------------------------

    def _walk(self, rows: np.ndarray) -> np.ndarray:
        """All trees at once, a level at a time."""
        root = self.roots[:-1]
        # a leaf leads to itself, so that rows which are there wait for the others
        node = np.tile(root, (len(rows), 1))
        base = np.broadcast_to(root, node.shape)
        row = np.arange(len(rows))[:, None]
        while True:
            feature = self.feature[node]
            inner = feature >= 0
            if not inner.any():
                return node.astype(np.int32)
            value = rows[row, np.maximum(feature, 0)]
            missing = np.isnan(value)
            goes_left = np.where(missing, self.missing_left[node], value <= self.threshold[node])
            node = np.where(inner, base + np.where(goes_left, self.left[node], self.right[node]), node)

    def _walk_compiled(self, compiled: list[Any], rows: np.ndarray, threads: int) -> np.ndarray:
        out = np.empty((len(rows), len(self)), dtype=np.int32, order="F")
        order: Any = slice(None)
        if len(rows) >= SORTED_FROM:
            # Rows that are neighbours in a few trees mostly are neighbours in the others, too.
            order = np.lexsort([tree.apply(rows) // 32 for tree in compiled[2::-1]])
            rows = rows[order]

        def walk(trees: range) -> None:
            for number in trees:
                out[order, number] = compiled[number].apply(rows) + self.roots[number]

        parts = [range(start, len(self), threads) for start in range(min(threads, len(self)))]
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(walk, parts))
        return out

    def _walk_together(self, together: Any, rows: np.ndarray) -> np.ndarray:
        """One call for all trees: each row stands there once for each tree, and says in a column of its own which."""
        which = np.tile(np.arange(len(self), dtype=np.float32), len(rows))
        leaf = together.apply(np.column_stack([np.repeat(rows, len(self), axis=0), which]))
        return (leaf - (len(self) - 1)).astype(np.int32).reshape(len(rows), len(self))

    @cached_property
    def _compiled(self) -> list[Any] | None:
        """The trees as scikit-learn's own, or None where this scikit-learn does not take these arrays."""
        trees = []
        for start, end in zip(self.roots[:-1], self.roots[1:], strict=True):
            part = slice(start, end)
            arrays = (self.feature[part], self.threshold[part], self.left[part], self.right[part], self.missing_left[part])
            trees.append(_compile(*arrays, columns=self.columns))
        if any(tree is None for tree in trees):
            return None
        found = np.stack([tree.apply(self._probe) for tree in trees], axis=1) + self.roots[:-1]
        return trees if np.array_equal(found, self._walk(self._probe)) else None

    @cached_property
    def _together(self) -> Any:
        """All trees as one, behind nodes that ask for the number of the tree; None as for :attr:`_compiled`."""
        count, shift = len(self), len(self) - 1  # so many nodes ask
        asks, left, right = np.zeros(shift), np.zeros(shift, np.int64), np.zeros(shift, np.int64)
        free, todo = 1, [(0, 0, count)] if shift else []
        while todo:
            node, start, end = todo.pop()
            middle = (start + end) // 2
            asks[node] = middle - 0.5
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
            np.concatenate([asks, self.threshold]),
            np.concatenate([left, np.where(inner, self.left + base, _LEAF)]),
            np.concatenate([right, np.where(inner, self.right + base, _LEAF)]),
            np.concatenate([np.zeros(shift, bool), self.missing_left]),
            columns=self.columns + 1,
        )
        if tree is None or not np.array_equal(self._walk_together(tree, self._probe), self._walk(self._probe)):
            return None
        return tree

    @cached_property
    def _probe(self) -> np.ndarray:
        """Rows around thresholds, with some missing: a walk that agrees on these is the same walk."""
        generator = np.random.default_rng(0)
        rows = generator.choice(self.threshold, (32, self.columns)) + generator.normal(size=(32, self.columns))
        rows[generator.random(rows.shape) < 0.1] = np.nan
        return rows.astype(np.float32)


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
    except (ImportError, AttributeError, TypeError, ValueError, KeyError):  # another scikit-learn has other trees inside
        return None
