"""Encoded rows as plain tensors."""

import numpy as np
import pytest
import torch

from lamina.data.feed import Feed
from lamina.errors import DataError

NUMBERS = np.arange(12, dtype=np.float32).reshape(6, 2)
CODES = np.arange(6)[:, None]


def test_arrays_become_tensors_without_a_copy():
    feed = Feed({"numbers": NUMBERS, "categories": CODES}, np.arange(6), np.arange(6.0), device="cpu")
    assert len(feed) == 6
    assert feed.inputs["numbers"].data_ptr() == NUMBERS.ctypes.data
    assert feed.inputs["categories"].dtype == feed.targets["target"].dtype == torch.int64
    assert feed.weight.dtype == torch.float32


def test_rows_are_gathered_together():
    feed = Feed({"numbers": NUMBERS}, np.arange(6), np.arange(6.0)).rows(torch.tensor([4, 0]))
    assert feed.inputs["numbers"].tolist() == [[8, 9], [0, 1]]
    assert feed.targets["target"].tolist() == feed.weight.tolist() == [4, 0]
    assert Feed({"numbers": NUMBERS}, np.arange(6)).rows(torch.tensor([1])).weight is None


def test_an_order_follows_from_the_seed_and_holds_each_row_once():
    feed = Feed({"numbers": NUMBERS}, np.arange(6))
    first, again, other = (feed.permutation(torch.Generator().manual_seed(seed)).tolist() for seed in (1, 1, 2))
    assert sorted(first) == list(range(6))
    assert first == again != other


def test_read_only_and_strided_arrays_are_taken():
    block = np.broadcast_to(np.float32([1, 2]), (6, 2))
    assert Feed({"numbers": block}, np.arange(12)[::2]).targets["target"].tolist() == [0, 2, 4, 6, 8, 10]


def test_rows_that_do_not_match_are_refused():
    with pytest.raises(DataError, match="numbers of rows differ .numbers 6, target 5."):
        Feed({"numbers": NUMBERS}, np.arange(5))
    with pytest.raises(DataError, match="weight 5"):
        Feed({"numbers": NUMBERS}, np.arange(6), np.ones(5))
