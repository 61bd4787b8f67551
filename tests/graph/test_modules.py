"""Activations, ensembles and embeddings against their formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from lamina.graph import Activation, CategoryEmbedding, Dense, MemberDense, Net, NTKDense, NumberEmbedding, Plan, Scale
from lamina.graph.activations import ACTIVATIONS
from lamina.graph.layer import ACTIVATIONS as ACTIVATION_NAMES
from lamina.graph.layer import KINDS
from lamina.graph.modules import MODULES, bin_edges
from tests.graph.helpers import chain, rows, same


def net_of(*layers, shape, seed=0):
    return Net(Plan(chain(*layers, shape=shape)), seed=seed).double()


FORMULAS = {
    "identity": lambda x: x,
    "step": lambda x: float(x >= 0),
    "logistic": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "lecun_tanh": lambda x: 1.7159 * math.tanh(2 * x / 3),
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
}


@pytest.mark.parametrize("name", sorted(FORMULAS))
def test_activation_is_its_formula(name):
    x = torch.tensor([[-2.0, -1e-9, 0.0, 0.5, 30.0]], dtype=torch.float64)
    expected = torch.tensor([[FORMULAS[name](value) for value in x[0].tolist()]], dtype=torch.float64)
    same(net_of(Activation(name), shape=5)({"x": x}), expected)


def test_softmax_runs_over_the_last_axis_and_step_has_no_gradient():
    x = rows(4, 2, 3).requires_grad_()
    same(net_of(Activation("softmax"), shape=(2, 3))({"x": x}).sum(-1), torch.ones(4, 2, dtype=torch.float64))
    net_of(Activation("step"), shape=(2, 3))({"x": x}).sum().backward()
    assert (x.grad == 0).all()


def test_every_name_and_kind_has_its_part():
    assert set(ACTIVATIONS) == set(ACTIVATION_NAMES)
    assert set(MODULES) == set(KINDS.values())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(5), 3),
        (Dense(5, bias=False), (2, 3)),
        (Dense(5, members=2, adapter=True), (2, 3)),
        (Dense(5, members=2, adapter=True, bias=False), 3),
        (MemberDense(5, members=2), (2, 3)),
        (MemberDense(5, members=2, bias=False), 4),
        (CategoryEmbedding((3, 4, 5), (2, 0, 3)), 3),
        (CategoryEmbedding((3, 4), (0, 0)), 2),
        (NumberEmbedding("piecewise_linear", 4, bins=6), 3),
        (NumberEmbedding("periodic", 4, frequencies=5), 3),
    ],
)
def test_parameters_and_shape_are_those_of_the_plan(layer, shape):
    net = net_of(layer, shape=shape)
    assert {name: tuple(p.shape) for name, p in net.layer0.named_parameters()} == layer.tensors(net.plan.joined["layer0"])
    assert sum(p.numel() for p in net.parameters()) == net.plan.parameter_count
    x = torch.zeros(2, *net.plan.inputs["x"], dtype=torch.int64 if isinstance(layer, CategoryEmbedding) else torch.float64)
    assert net({"x": x}).shape == (2, *net.plan.shapes["layer0"])
    assert net({"x": x}).dtype == torch.float64


# -- ensembles -------------------------------------------------------------------------------------------------------------


def test_members_share_the_weights_of_dense():
    net = net_of(Dense(4, "relu", members=3), shape=(3, 5))
    x, dense = rows(6, 3, 5), net.layer0
    same(net({"x": x}), F.relu(x @ dense.weight.T + dense.bias))
    net = net_of(Dense(4, members=3), shape=5)
    same(net({"x": x[:, 0]}), (x[:, 0] @ net.layer0.weight.T + net.layer0.bias)[:, None].expand(6, 3, 4))


def test_adapters_are_equation_5_of_batch_ensemble_member_by_member():
    net = net_of(Dense(4, "relu", members=3, adapter=True), shape=5)
    part, x = net.layer0, rows(6, 5)
    assert set(part.r.unique().tolist()) == {-1.0, 1.0}
    assert (part.s == 1).all()
    assert (part.b == part.b[0]).all()
    for tensor in (part.r, part.s, part.b):
        tensor.data = rows(*tensor.shape)
    expected = [F.relu(part.s[k] * (part.weight @ (part.r[k] * x).T).T + part.b[k]) for k in range(3)]
    same(net({"x": x}), torch.stack(expected, 1))
    later = net_of(Dense(4, members=3, adapter=True, bias=False), shape=(3, 5))
    assert (later.layer0.r == 1).all()
    members = rows(6, 3, 5)
    same(later({"x": members}), members @ later.layer0.weight.T)


def test_member_dense_has_weights_for_each():
    net, x = net_of(MemberDense(2, "tanh", members=3), shape=(3, 5)), rows(6, 3, 5)
    expected = [torch.tanh(x[:, k] @ net.layer0.weight[k] + net.layer0.bias[k]) for k in range(3)]
    same(net({"x": x}), torch.stack(expected, 1))
    flat = net_of(MemberDense(2, members=3, bias=False), shape=5)
    same(flat({"x": x[:, 0]}), torch.stack([x[:, 0] @ flat.layer0.weight[k] for k in range(3)], 1))


def test_members_begin_with_one_sign_for_each_chunk():
    r = net_of(Dense(4, members=50, adapter=True, chunks=(3, 2)), shape=5).layer0.r
    assert set(r.unique().tolist()) == {-1.0, 1.0}
    assert (r[:, :3] == r[:, :1]).all()
    assert (r[:, 3:] == r[:, 3:4]).all()
    assert 0.2 < (r[:, 0] == r[:, 3]).double().mean() < 0.8


# -- categories ------------------------------------------------------------------------------------------------------------


def test_category_embedding_looks_each_column_up_in_its_own_table():
    cardinalities, sizes = (3, 4, 2, 5), (2, 0, 0, 3)
    net = net_of(CategoryEmbedding(cardinalities, sizes), shape=4)
    codes = torch.tensor([[0, 3, 1, 4], [2, 0, 0, 1], [1, 2, 1, 0]])
    weight = net.layer0.weight
    first, last = weight[:6].view(3, 2), weight[6:].view(5, 3)
    expected = [first[codes[:, 0]], F.one_hot(codes[:, 1], 4), F.one_hot(codes[:, 2], 2), last[codes[:, 3]]]
    ours = net({"x": codes})
    same(ours, torch.cat(expected, 1))
    net.zero_grad()
    ours[:, -3:].sum().backward()
    same(weight.grad[6:].view(5, 3), torch.tensor([1.0, 1, 0, 0, 1], dtype=torch.float64)[:, None].expand(5, 3))
    assert (weight.grad[:6] == 0).all()
    assert (first[0] == 0).all()
    assert (last[0] == 0).all()
    assert (last[1:] != 0).all()
    assert first.abs().max() <= 2**-0.5
    assert last.abs().max() <= 3**-0.5


def test_category_embedding_of_one_hot_only_learns_nothing():
    net = net_of(CategoryEmbedding((3, 2), (0, 0)), shape=2)
    assert list(net.state_dict()) == []
    same(net({"x": torch.tensor([[2, 0]])}), torch.tensor([[0.0, 0, 1, 1, 0]], dtype=torch.float64))
    assert net.float()({"x": torch.tensor([[2, 0]])}).dtype == torch.float32


# -- numbers ---------------------------------------------------------------------------------------------------------------


def encoding(x, edges):
    """How full each bin is, one number and one bin at a time (Gorishniy et al. 2022, eq. 1, clamped to 0 and 1)."""
    return [min(max((x - left) / (right - left), 0.0), 1.0) for left, right in zip(edges[:-1], edges[1:], strict=True)]


def test_piecewise_linear_is_equation_1_with_quantile_bins():
    net = net_of(NumberEmbedding("piecewise_linear", 3, bins=4), shape=2)
    train = torch.stack([torch.arange(44.0), torch.tensor([0.0, 1.0, 7.0]).repeat(15)[:44]], 1).double()
    net.prepare({"x": train})
    part = net.layer0
    assert (part.weight == 0).all()
    part.weight.data = rows(2, 3, 4)
    edges = [np.unique(np.quantile(column.numpy(), np.linspace(0, 1, 5))).tolist() for column in train.T]
    assert edges == [[0, 10.75, 21.5, 32.25, 43], [0, 1, 7]]
    x = torch.tensor([[-5.0, 0.5], [3.0, 1.0], [20.0, 4.0], [39.0, 9.0], [60.0, -1.0]], dtype=torch.float64)
    expected = torch.zeros(5, 2, 3, dtype=torch.float64)
    for n in range(5):
        for f in range(2):
            full = encoding(x[n, f].item(), edges[f])
            full += [0.0] * (4 - len(full))
            expected[n, f] = part.weight[f] @ torch.tensor(full, dtype=torch.float64) + part.linear[f] * x[n, f] + part.bias[f]
    same(net({"x": x}), expected.flatten(1), 1e-6)  # bins are kept in single precision


def test_piecewise_linear_begins_as_a_straight_line_and_learns_its_bins():
    net = net_of(NumberEmbedding("piecewise_linear", 3, bins=4), shape=2)
    x = rows(50, 2)
    same(net({"x": x}), (x[:, :, None] * net.layer0.linear + net.layer0.bias).flatten(1))
    net({"x": x}).sum().backward()
    assert (net.layer0.weight.grad != 0).any(2).all()


def test_bins_are_quantiles_but_for_values_that_would_fill_one():
    spread = np.sort(np.random.default_rng(0).normal(size=1000))
    np.testing.assert_allclose(bin_edges(spread, 8), np.quantile(spread, np.linspace(0, 1, 9)))
    mostly_zero = np.sort(np.concatenate([np.zeros(9000), np.arange(1, 1001)]))
    np.testing.assert_allclose(bin_edges(mostly_zero, 11), [0, *np.linspace(1, 1000, 11)])
    assert bin_edges(np.array([3.0, 3.0, 5.0]), 8).tolist() == [3, 5]


@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.5, -2.0]) | st.floats(-9, 9, width=32), min_size=1, max_size=200),
    st.integers(2, 20),
)
def test_bins_cover_the_values(values, bins):
    edges = bin_edges(np.sort(values), bins)
    assert len(edges) <= bins + 1
    assert (edges[0], edges[-1]) == (min(values), max(values))
    assert (np.diff(edges) > 0).all()


def test_bins_of_a_constant_and_of_a_skewed_column():
    net = net_of(NumberEmbedding("piecewise_linear", 2, bins=8), shape=2)
    net.prepare({"x": torch.tensor([[5.0, 0.0]] * 90 + [[5.0, 1.0]] * 10).double()})
    part = net.layer0
    assert (part.scale[0] == 0).all()
    assert (part.scale[1] != 0).sum() == 1
    assert torch.isfinite(net({"x": torch.tensor([[5.0, 0.0], [1e9, -1e9]], dtype=torch.float64)})).all()


def test_bins_do_not_depend_on_the_order_of_rows_and_are_in_the_state_dict():
    x = rows(500, 3)
    first, second = (net_of(NumberEmbedding("piecewise_linear", 2, bins=8), shape=3) for _ in range(2))
    first.prepare({"x": x})
    second.prepare({"x": x.flip(0)})
    assert first.layer0.offset.equal(second.layer0.offset)
    third = net_of(NumberEmbedding("piecewise_linear", 2, bins=8), shape=3)
    third.load_state_dict(first.state_dict())
    assert third({"x": x}).equal(first({"x": x}))


def test_only_what_prepares_is_executed_and_later_layers_see_their_own_inputs():
    net = net_of(Dense(2), NumberEmbedding("piecewise_linear", 2, bins=4), Dense(2), shape=3)
    x = rows(100, 3)
    seen = []
    net.layer2.register_forward_hook(lambda *_: seen.append(1))
    net.train()
    net.prepare({"x": x})
    assert not seen
    assert net.training
    hidden = net.activations({"x": x}, ["layer0"])["layer0"].detach().numpy()
    lows = (-net.layer1.offset[:, 0, 0] / net.layer1.scale[:, 0, 0]).numpy()
    np.testing.assert_allclose(lows, hidden.min(0), rtol=1e-5)


def test_periodic_is_equation_2_then_linear_then_relu():
    net = net_of(NumberEmbedding("periodic", 3, frequencies=5, sigma=0.5), shape=2)
    part, x = net.layer0, rows(7, 2)
    net.prepare({"x": x})
    expected = torch.zeros(7, 2, 3, dtype=torch.float64)
    for f in range(2):
        angle = 2 * math.pi * part.frequency[f] * x[:, f : f + 1]
        expected[:, f] = F.relu(torch.cat([angle.cos(), angle.sin()], 1) @ part.weight[f].T + part.bias[f])
    same(net({"x": x}), expected.flatten(1))
    many = net_of(NumberEmbedding("periodic", 1, frequencies=2000, sigma=0.5), shape=1).layer0.frequency
    assert many.std().item() == pytest.approx(0.5, rel=0.05)
    assert many.abs().max() <= 1.5


def test_pbld_is_the_number_beside_a_linear_layer_of_cosines():
    net = net_of(NumberEmbedding("pbld", 4, frequencies=5, sigma=0.5), shape=2)
    part, x = net.layer0, rows(7, 2)
    expected = torch.zeros(7, 2, 4, dtype=torch.float64)
    for f in range(2):
        angle = 2 * math.pi * 0.1 * part.frequency[f] * x[:, f : f + 1] + 0.1 * part.phase[f]
        expected[:, f] = torch.cat([x[:, f : f + 1], angle.cos() @ part.weight[f].T + part.bias[f]], 1)
    same(net({"x": x}), expected.flatten(1))
    many = net_of(NumberEmbedding("pbld", 2, frequencies=2000, sigma=0.5), shape=1).layer0
    assert 0.1 * many.frequency.std().item() == pytest.approx(0.5, rel=0.05)
    assert 0.1 * many.phase.abs().max().item() == pytest.approx(math.pi, rel=0.01)


def test_a_layer_in_the_neural_tangent_parametrisation_is_its_formula():
    net = net_of(NTKDense(3, "selu", parametric=True), shape=16)
    part, x = net.layer0, rows(5, 16)
    z = x @ part.weight.T / 4 + 0.1 * part.bias
    same(net({"x": x}), F.selu(z))
    part.slope.data = torch.tensor([0.0, 5.0, 20.0], dtype=torch.float64)
    same(net({"x": x}), z + torch.tensor([0.0, 0.5, 2.0], dtype=torch.float64) * (F.selu(z) - z))
    wide = net_of(NTKDense(2000), shape=2000).layer0
    assert wide.weight.std().item() == pytest.approx(1, rel=0.01)
    assert 0.1 * wide.bias.std().item() == pytest.approx(1, rel=0.05)


def test_a_scale_is_learnt_at_its_rate():
    net = net_of(Scale(0.5, rate=4.0), shape=3)
    x = rows(5, 3)
    same(net({"x": x}), 0.5 * x)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net({"x": x.abs()}).sum().backward()
    optimizer.step()
    same(net({"x": x}), (0.5 - 4 * 0.01) * x, 1e-9)  # the first step of Adam is the learning rate


@pytest.mark.parametrize("kind", ["piecewise_linear", "periodic", "pbld"])
def test_inputs_of_an_embedding_have_gradients_for_those_who_explain(kind):
    net = net_of(NumberEmbedding(kind, 3, bins=4), Dense(1), shape=2)
    net.layer0.weight.data = rows(*net.layer0.weight.shape)
    x = rows(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: net({"x": x}), (x,))
