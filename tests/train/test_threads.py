"""Thread counts follow from the arithmetic of a step."""

import pytest
import torch
from torch import nn

from lamina.data.feed import Feed
from lamina.train.threads import PER_THREAD, denormals_flushed, multiplications, thread_count, threads


class _Net(nn.Sequential):
    def forward(self, batch):
        return super().forward(batch["x"])


def _mlp(*sizes):
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False)]
    return _Net(*layers)


def _feed(width, rows=100):
    return Feed({"x": torch.zeros(rows, width)}, torch.zeros(rows, dtype=torch.int64))


def test_multiplications_are_counted():
    assert multiplications(_mlp(5, 7, 3), _feed(5)) == 8 * (5 * 7 + 7 * 3)
    assert multiplications(_mlp(5, 7, 3), _feed(5, rows=2)) == 2 * (5 * 7 + 7 * 3)


def test_products_of_members_and_convolutions_are_counted():
    class Members(nn.Module):
        def forward(self, batch):
            x = batch["x"].expand(3, -1, -1)
            return torch.baddbmm(torch.zeros(3, 1, 2), torch.bmm(x, torch.ones(3, 5, 4)), torch.ones(3, 4, 2))

    assert multiplications(Members(), _feed(5)) == 8 * 3 * (5 * 4 + 4 * 2)
    convolution = _Net(nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 4, 3))
    assert multiplications(convolution, _feed(5)) == 8 * 3 * 4 * 3


def test_counting_leaves_the_network_as_it_was():
    net = _Net(nn.BatchNorm1d(5), nn.Dropout(0.5)).train()
    state = torch.get_rng_state()
    multiplications(net, _feed(5))
    assert net.training
    assert net[0].num_batches_tracked == 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("sizes", "batch", "count"), [((20, 64, 64, 3), 32, 1), ((54, 256, 256, 7), 256, 4)])
def test_small_nets_take_one_thread_and_large_ones_all(sizes, batch, count):
    with threads(4):
        assert thread_count(_mlp(*sizes), _feed(sizes[0], 1000), batch) == count


def test_between_them_threads_come_one_by_one():
    net = _mlp(1000, 1000)  # a million multiplications a row
    with threads(8):
        assert [thread_count(net, _feed(1000), rows * PER_THREAD // 10**6) for rows in (1, 2, 3, 50)] == [1, 2, 3, 8]


def test_no_more_rows_than_there_are():
    with threads(8):
        assert thread_count(_mlp(1000, 1000), _feed(1000, rows=2 * PER_THREAD // 10**6), 10**6) == 2


def test_threads_and_denormals_are_set_back():
    before, tiny = torch.get_num_threads(), torch.tensor([1e-39])

    def fail():
        with threads(before + 1), denormals_flushed():
            assert torch.get_num_threads() == before + 1
            assert (tiny * 1.0).view(torch.int32).item() == 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert torch.get_num_threads() == before
    assert (tiny * 1.0).view(torch.int32).item() > 0
    with denormals_flushed(), denormals_flushed():
        pass
    assert (tiny * 1.0).view(torch.int32).item() > 0
