"""Flat parameters: the same network in other memory."""

import copy

import pytest
import torch
from torch import nn

from lamina.errors import TrainingError
from lamina.train.parameters import FlatParameters


def _net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.ReLU(), nn.Linear(5, 2))


def test_the_module_computes_what_it_did_and_follows_the_flat_tensor():
    net, x = _net(), torch.randn(4, 3)
    before, identities = net(x), [id(parameter) for parameter in net.parameters()]
    flat = FlatParameters(net)
    assert torch.equal(net(x), before)
    assert [id(parameter) for parameter in net.parameters()] == identities
    flat.value.zero_()
    assert torch.equal(net(x), torch.zeros(4, 2))


def test_gradients_are_views_of_the_flat_gradient():
    net = _net()
    flat = FlatParameters(net)
    net(torch.randn(4, 3)).square().sum().backward()
    expected = torch.cat([parameter.grad.flatten() for parameter in flat.parameters])
    assert expected.abs().sum() > 0
    assert torch.equal(torch.cat([view.flatten() for view in flat.gradients]), expected)
    assert flat.gradient.abs().sum() == pytest.approx(expected.abs().sum().item(), rel=1e-6)


def test_matrices_decay_and_come_first_and_start_on_cache_lines():
    flat = FlatParameters(_net())
    assert flat.names == ("0.weight", "3.weight", "0.bias", "1.weight", "1.bias", "3.bias")
    assert len(flat.decaying(flat.value)) == 32  # 15 and 10 numbers, each on a line of 16
    assert all(view.data_ptr() % 64 == flat.value.data_ptr() % 64 for view in flat.views)


def test_embeddings_and_scales_do_not_decay():
    net = nn.Sequential(nn.Linear(2, 5), nn.Linear(5, 2))
    net[0].register_parameter("scale", nn.Parameter(torch.ones(2, 5)))
    flat = FlatParameters(net)
    assert flat.names == ("0.weight", "1.weight", "0.bias", "0.scale", "1.bias")
    assert len(flat.decaying(flat.value)) == 32


def test_frozen_parameters_stay_where_they_are():
    net = _net()
    net[0].weight.requires_grad_(False)
    where = net[0].weight.data_ptr()
    assert "0.weight" not in FlatParameters(net).names
    assert net[0].weight.data_ptr() == where


def test_released_parameters_have_memory_of_their_own():
    net, x = _net(), torch.randn(4, 3)
    before = net(x)
    flat = FlatParameters(net)
    flat.release()
    flat.value.zero_()
    assert torch.equal(net(x), before)
    assert net[0].weight.untyped_storage().nbytes() == 15 * 4
    assert net[0].weight.grad is None


def test_copies_and_loaded_states_keep_the_views():
    net = _net()
    flat = FlatParameters(net)
    other = copy.deepcopy(net)
    flat.value.zero_()
    assert other[0].weight.abs().sum() > 0
    net.load_state_dict(other.state_dict())
    assert torch.equal(flat.views[0], other[0].weight)


def test_nothing_to_train():
    with pytest.raises(TrainingError, match="no trainable parameters"):
        FlatParameters(nn.ReLU())


def test_several_dtypes():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(TrainingError, match="torch.float32 on cpu and torch.float64 on cpu, expected one"):
        FlatParameters(net)
