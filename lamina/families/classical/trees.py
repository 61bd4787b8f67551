"""Trees as plain arrays: which leaf each row comes to, in the same bits wherever they are walked.

scikit-learn's compiled trees walk fastest, so arrays are laid into them where this scikit-learn takes them; else numpy walks. A
walk only compares, it adds nothing up, so both come to the same leaf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np

#: From so many rows on it pays to lay rows that take the same way side by side: the processor guesses its way then.
SORTED_FROM = 2_000
#: How many of these trees say which way a row takes.
_SORTED_BY = 2
#: Up to so many rows all trees are walked at once; more are walked tree by tree.
FEW_ROWS = 16
_LEAF = -1


@dataclass(frozen=True)
class Trees:
    """Binary trees, their nodes one behind the other; a row goes left where its value is at most the threshold.

    Attributes:
        roots: First node of each tree, and the number of all nodes behind the last, int64 (trees + 1,).
        feature: Column that a node asks for, -1 for a leaf; int32 (nodes,).
        threshold: What it compares with; float32 (nodes,), as rows are.
        left: Node on the left, counted from the root of its tree; int32 (nodes,).
        right: The same on the right.
        missing_left: Whether a missing value goes left; bool (nodes,).
        columns: How many columns a row has.

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
    def gather(cls, trees: Sequence[Any], columns: int) -> Self:
        """From the ``tree_`` of scikit-learn's estimators."""
        counts = [tree.node_count for tree in trees]
        return cls(
            roots=np.cumsum([0, *counts]),
            feature=np.concatenate([np.where(tree.children_left < 0, _LEAF, tree.feature) for tree in trees]).astype(np.int32),
            threshold=as_float32(np.concatenate([tree.threshold for tree in trees])),
            left=np.concatenate([tree.children_left for tree in trees]).astype(np.int32),
            right=np.concatenate([tree.children_right for tree in trees]).astype(np.int32),
            missing_left=np.concatenate([np.asarray(tree.missing_go_to_left, dtype=bool) for tree in trees]),
            columns=columns,
        )

    def __len__(self) -> int:
        return len(self.roots) - 1

    @cached_property
    def is_leaf(self) -> np.ndarray:
        """Which nodes are leaves; bool (nodes,)."""
        return self.feature < 0

    def leaves(self, rows: np.ndarray, threads: int = 1) -> np.ndarray:
        """The leaf that each row comes to in each tree, as its number among all leaves; int32 (N, trees).

        Args:
            rows: float32 (N, columns); NaN is missing.
            threads: Cores to use.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        if (found := self._of_few(rows)) is not None:
            return found
        out = np.empty((len(self), len(rows)), dtype=np.int32)

        def keep(part: slice, tree: int, leaf: np.ndarray) -> None:
            out[tree, part] = leaf

        return out[:, self._back(self._each(rows, keep, threads))].T

    def sums(self, rows: np.ndarray, value: np.ndarray, output: np.ndarray | None = None, threads: int = 1) -> np.ndarray:
        """What the leaves say that each row comes to, added up in the order of the trees: alike alone and in company.

        Args:
            rows: As for :meth:`leaves`.
            value: What each leaf says, (leaves, K).
            output: Where each tree says one thing only, which of the sums it adds to, (trees,).
            threads: Cores to use.

        Shape:
            (N, K), or (N, outputs), of the type of the values.
        """
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        width = value.shape[1] if output is None else int(output.max()) + 1
        total = np.zeros((len(rows), width), dtype=value.dtype)
        if (found := self._of_few(rows)) is not None:
            for place in range(width) if output is not None else [slice(None)]:
                some = found if output is None else found[:, output == place]
                said = np.add.accumulate(value[some], axis=1)[:, -1]  # a plain sum takes another order for a single number
                total[:, place] = said if output is None else said[:, 0]
            return total
        sides = [slice(None)] * len(self) if output is None else [slice(place, place + 1) for place in output.tolist()]

        def add(part: slice, tree: int, leaf: np.ndarray) -> None:
            total[part, sides[tree]] += value.take(leaf, axis=0)

        return total[self._back(self._each(rows, add, threads))]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps."""
        names = ("roots", "feature", "threshold", "left", "right", "missing_left")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int) -> Self:
        names = ("roots", "feature", "threshold", "left", "right", "missing_left")
        return cls(*(arrays[name] for name in names), columns=columns)

    # -- walking -------------------------------------------------------------------------------------------------------

    def _each(self, rows: np.ndarray, see: Callable[[slice, int, np.ndarray], None], threads: int) -> np.ndarray | None:
        """Walk each tree with each part of the rows, laid in the order that is returned (None: as they are)."""
        trees, starts = self._compiled, self.roots.tolist()
        if trees is None:
            for number, node in enumerate(self._walk(rows).T):
                see(slice(None), number, self._rank[node])
            return None
        order = None
        with ThreadPoolExecutor(threads) as pool:
            if len(rows) >= SORTED_FROM:
                # Rows that are neighbours in a few trees mostly are neighbours in the others, too.
                first, *more = pool.map(lambda tree: tree.apply(rows), trees[:_SORTED_BY])
                for other in more:
                    first = (first << 32) | other
                order = np.argsort(first)
                rows = rows[order]
            size = max(-(-len(rows) // threads), SORTED_FROM)

            def walk(start: int) -> None:
                part = slice(start, start + size)
                some = rows[part]
                for number, tree in enumerate(trees):
                    see(part, number, self._rank[starts[number] : starts[number + 1]].take(tree.apply(some)))

            list(pool.map(walk, range(0, len(rows), size)))
        return order

    @staticmethod
    def _back(order: np.ndarray | None) -> Any:
        """Where each row of before lies in the order."""
        if order is None:
            return slice(None)
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return back

    def _of_few(self, rows: np.ndarray) -> np.ndarray | None:
        """The same as :meth:`leaves` for a few rows."""
        if len(rows) > FEW_ROWS:
            return None
        return self._rank[self._walk(rows) if self._together is None else self._walk_together(self._together, rows)]

    @cached_property
    def _rank(self) -> np.ndarray:
        """The number of each leaf among all leaves, by its node."""
        return (np.cumsum(self.is_leaf) - 1).astype(np.int32)

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
                return node
            value = rows[row, np.maximum(feature, 0)]
            missing = np.isnan(value)
            goes_left = np.where(missing, self.missing_left[node], value <= self.threshold[node])
            node = np.where(inner, base + np.where(goes_left, self.left[node], self.right[node]), node)

    def _walk_together(self, together: Any, rows: np.ndarray) -> np.ndarray:
        """One call for all trees: each row stands there once for each tree, and says in a column of its own which."""
        asked = np.empty((len(rows), len(self), self.columns + 1), dtype=np.float32)
        asked[:, :, :-1] = rows[:, None]
        asked[:, :, -1] = np.arange(len(self))
        return together.apply(asked.reshape(-1, self.columns + 1)).reshape(asked.shape[:2]) - (len(self) - 1)

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


def as_float32(threshold: np.ndarray) -> np.ndarray:
    """The largest float32 up to each threshold: numbers that are float32 are on the same side of it.

    Example:
        >>> as_float32(np.array([0.1])) < 0.1
        array([ True])
    """
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
    except (ImportError, AttributeError, TypeError, ValueError, KeyError):  # another scikit-learn has other trees inside
        return None
