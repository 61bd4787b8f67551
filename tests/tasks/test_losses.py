"""Losses against PyTorch's and closed forms, gradients included."""

import math

import pytest
import torch
from torch.nn import functional as F

from lamina.errors import OptionError
from lamina.tasks.losses import (
    CROSS_ENTROPY,
    NO_CLASS,
    binary_cross_entropy,
    cross_entropy,
    find_loss,
    huber,
    maximum_a_posteriori,
    mse,
)

N, MEMBERS, K = 6, 3, 4
CASES = {
    "cross_entropy": (cross_entropy, K, lambda o, t: F.cross_entropy(o, t, reduction="none")),
    "binary_cross_entropy": (
        binary_cross_entropy,
        1,
        lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], t.to(o.dtype), reduction="none"),
    ),
    "maximum_a_posteriori": (
        maximum_a_posteriori,
        K,
        lambda o, t: (o.exp().sum(1) + math.exp(NO_CLASS)).log() - o.gather(1, t[:, None])[:, 0],  # eq. 9 as it is printed
    ),
    "mse": (mse, K, lambda o, t: (o - t).square().mean(1)),
    "huber": (huber(0.7), K, lambda o, t: F.huber_loss(o, t, delta=0.7, reduction="none").mean(1)),
}


def _data(name):
    torch.manual_seed(1)
    loss, width, rows = CASES[name]
    outputs = torch.randn(N, MEMBERS, width, dtype=torch.float64, requires_grad=True)
    if name not in ("mse", "huber"):
        target = torch.randint(0, 2 if name == "binary_cross_entropy" else K, (N,))
    else:
        target = torch.randn(N, K, dtype=torch.float64)
    return loss, rows, outputs, target, torch.rand(N, dtype=torch.float64)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("members", [False, True])
def test_value_and_gradient(name, weighted, members):
    loss, rows, outputs, target, weight = _data(name)
    inputs = outputs if members else outputs[:, 0]
    value = loss(inputs, target, weight if weighted else None)
    each = [rows(outputs[:, member], target) for member in range(MEMBERS if members else 1)]
    per_row = torch.stack(each).mean(0)  # each member is trained on its own
    expected = (per_row * weight).sum() / weight.sum() if weighted else per_row.mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    gradient, expected_gradient = (torch.autograd.grad(result, outputs, retain_graph=True)[0] for result in (value, expected))
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", CASES)
def test_equal_weights_change_nothing(name):
    loss, _, outputs, target, _ = _data(name)
    weight = torch.full((N,), 0.3, dtype=torch.float64)
    assert loss(outputs, target, weight).item() == pytest.approx(loss(outputs, target, None).item(), rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_a_batch_without_weight_teaches_nothing(name):
    loss, _, outputs, target, _ = _data(name)
    value = loss(outputs, target, torch.zeros(N, dtype=torch.float64))
    assert value.item() == 0
    assert torch.autograd.grad(value, outputs)[0].abs().sum() == 0


def test_closed_forms():
    zeros, code = torch.zeros(1, 5), torch.tensor([1])
    assert cross_entropy(zeros, code).item() == pytest.approx(math.log(5))
    assert binary_cross_entropy(torch.tensor([[2.0]]), torch.tensor([0])).item() == pytest.approx(math.log(1 + math.e**2))
    assert binary_cross_entropy(torch.tensor([[800.0]]), torch.tensor([0])).item() == 800  # no overflow
    assert mse(torch.tensor([[3.0]]), torch.tensor([[1.0]])).item() == 4
    assert huber(2.0)(torch.tensor([[1.0]]), torch.tensor([[0.0]]), None).item() == 0.5
    assert huber(2.0)(torch.tensor([[5.0]]), torch.tensor([[0.0]]), None).item() == 2 * (5 - 1)


def test_one_logit_is_two():
    logit, target = torch.tensor([[0.3], [-2.0]]), torch.tensor([1, 0])
    two = torch.cat([torch.zeros_like(logit), logit], 1)
    assert binary_cross_entropy(logit, target).item() == pytest.approx(cross_entropy(two, target).item())


def test_by_name():
    assert find_loss("cross_entropy") is CROSS_ENTROPY
    assert find_loss("huber", huber_delta=2.0)(torch.tensor([[5.0]]), {"target": torch.tensor([[0.0]])}).item() == 8
    with pytest.raises(OptionError, match="loss is 'hinge', expected one of cross_entropy"):
        find_loss("hinge")
