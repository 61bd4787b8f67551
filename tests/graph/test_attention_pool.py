"""Pooling by attention against its formula, with and without a mask, on any number of axes."""

import numpy as np
import pytest
import torch

from lamina.errors import GraphError
from lamina.graph import Graph, Net, Plan
from lamina.graph.layers.attention import AttentionPool
from lamina.graph.layers.sequence import StepDense
from tests.graph.helpers import rows, same


def made(layer=None, shape=(5, 4), seed=0, steps_before=0):
    g = Graph()
    g.input("x", shape=shape)
    g.input("there", shape=shape[:-1])
    if steps_before:
        g.layer("wide", StepDense(steps_before), after="x")
    g.layer("pool", layer or AttentionPool(), after="wide" if steps_before else "x", mask="there")
    g.output("y", after="pool")
    return Net(Plan(g), seed=seed).double()


def by_the_book(pool, h, steps):
    """Yang et al. 2016, eq. 5-7, one sequence of that many steps, word by word."""
    W, b, contexts = (tensor.detach().numpy() for tensor in (pool.weight, pool.bias, pool.context))
    h = h.numpy()[:steps]
    u = np.tanh(h @ W.T + b)
    parts = np.split(h, len(contexts), axis=1)
    s = []
    for context, part in zip(contexts, parts, strict=True):
        e = np.exp(u @ context)
        s.append((e / e.sum()) @ part)
    return torch.from_numpy(np.concatenate(s))


@pytest.mark.parametrize("layer", [AttentionPool(), AttentionPool(7), AttentionPool(3, heads=2)])
def test_it_is_its_formula(layer):
    pool, x = made(layer).pool, rows(3, 5, 4)
    steps = [5, 2, 1]
    mask = torch.arange(5) < torch.tensor(steps)[:, None]
    y = pool(x, mask)
    for i, count in enumerate(steps):
        same(y[i], by_the_book(pool, x[i], count))
    same(pool(x)[1], by_the_book(pool, x[1], 5))


def test_it_counts_what_it_learns():
    plan = made(AttentionPool(6, heads=2)).plan
    assert plan.parameter_count == 6 * 4 + 6 + 2 * 6
    assert plan.shapes["pool"] == (4,)


@pytest.mark.parametrize("heads", [1, 2])
def test_axes_before_the_steps_are_sequences_side_by_side(heads):
    pool, x = made(AttentionPool(heads=heads)).pool, rows(2, 3, 5, 4)
    mask = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[0, 1] = False
    same(pool(x, mask), pool(x.flatten(0, 1), mask.flatten(0, 1)).unflatten(0, (2, 3)))
    assert pool.weights(x, mask).shape == (2, 3, heads, 5)


@pytest.mark.parametrize("steps", [10, 30])
def test_padding_and_its_values_change_nothing(steps):
    pool, x = made(shape=(10, 4)).pool, rows(2, 6, 4)
    padded = torch.full((2, steps, 4), 1e6, dtype=torch.float64)
    padded[:, :6] = x
    mask = (torch.arange(steps) < 6).expand(2, -1)
    same(pool(padded, mask), pool(x))
    same(pool.weights(padded, mask)[..., :6], pool.weights(x))
    assert not pool.weights(padded, mask)[..., 6:].any()


def test_nothing_gives_zeros_and_finite_gradients():
    net = made(AttentionPool(heads=2)).float()
    x = rows(3, 5, 4).float().requires_grad_()
    mask = torch.zeros(3, 5, dtype=torch.bool)
    mask[1, :2] = True
    y = net.pool(x, mask)
    assert not y[[0, 2]].any()
    assert y[1].any()
    assert not net.pool.weights(x, mask)[0].any()
    y.square().sum().backward()
    assert not x.grad[[0, 2]].any()
    assert x.grad[1, :2].any()
    assert not x.grad[1, 2:].any()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("heads", [1, 2])
def test_gradients_are_those_of_finite_differences(heads):
    pool, x = made(AttentionPool(3, heads=heads)).pool, rows(2, 5, 4).requires_grad_()
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda *_: pool(x, mask), (x, *pool.parameters()))


def test_large_scores_stay_finite():
    pool, x = made().pool, 1e4 * rows(2, 5, 4)
    pool.context.data.mul_(1e4)
    weights = pool.weights(x, torch.ones(2, 5, dtype=torch.bool))
    same(weights.sum(-1), torch.ones(2, 1, dtype=torch.float64))


def test_a_wider_layer_before_it_keeps_its_weights():
    net = made(AttentionPool(6), steps_before=3)
    wider = net.edit(net.plan.graph.widen("wide", 5))
    same(wider.pool.weight[:, :3], net.pool.weight)
    same(wider.pool.context, net.pool.context)
    larger = net.edit(net.plan.graph.widen("pool", 8))
    same(larger.pool.weight[:6], net.pool.weight)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AttentionPool(0), "AttentionPool.size is 0, expected a whole number of at least 1"),
        (lambda: AttentionPool(heads=0), "AttentionPool.heads is 0, expected a whole number"),
        (
            lambda: AttentionPool(heads=3).shape([(5, 4)]),
            "has 3 heads for a width of 4; give a number of heads that divides it",
        ),
        (lambda: AttentionPool().shape([(5,)]), r"AttentionPool reads \(steps, width\), but was given \(5,\)"),
    ],
)
def test_bad_pools_are_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()
