"""The net computes what textbooks and PyTorch compute."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from lamina.errors import GraphError
from lamina.graph import (
    Activation,
    CategoryEmbedding,
    Dense,
    Dropout,
    Flatten,
    Graph,
    Join,
    MemberDense,
    Net,
    Norm,
    NumberEmbedding,
    Plan,
)
from tests.graph.helpers import chain, same


def net_of(graph, seed=0):
    return Net(Plan(graph), seed=seed).double()


@pytest.mark.tiny
def test_feed_forward_is_sequential_with_the_same_weights():
    net = net_of(chain(Dense(5, "relu"), Dense(4, "tanh"), Dense(2)))
    other = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    other.load_state_dict(dict(zip(other.state_dict(), net.state_dict().values(), strict=True)))
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    ours, theirs = net({"x": x}), other(x)
    same(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for mine, other_parameter in zip(net.parameters(), other.parameters(), strict=True):
        same(mine.grad, other_parameter.grad)


def test_images_are_read_flat_and_several_inputs_end_to_end():
    g = Graph()
    g.input("pixels", shape=(1, 2, 2))
    g.input("more", shape=3)
    g.layer("hidden", Dense(5), after=["pixels", "more"])
    g.output("y", after="hidden")
    net = net_of(g)
    pixels, more = torch.rand(6, 1, 2, 2, dtype=torch.float64), torch.rand(6, 3, dtype=torch.float64)
    expected = torch.cat([pixels.flatten(1), more], 1) @ net.hidden.weight.T + net.hidden.bias
    same(net({"pixels": pixels, "more": more}), expected)


def test_shortcut_by_add_is_the_closed_form():
    g = Graph()
    g.input("x", shape=3)
    g.layer("block", Dense(3, "relu"), after="x")
    g.layer("sum", Join("add"), after=["block", "x"])
    g.output("y", after="sum")
    net = net_of(g)
    x = torch.randn(5, 3, dtype=torch.float64)
    same(net({"x": x}), F.relu(x @ net.block.weight.T + net.block.bias) + x)


def test_projection_is_a_learnt_linear_map_of_the_shortcut():
    g = Graph()
    g.input("x", shape=3)
    g.layer("wide", Dense(4), after="x")
    g.layer("sum", Join("add"), after="wide")
    g.connect("x", "sum", projection=True)
    g.output("y", after="sum")
    net = net_of(g)
    assert list(net.state_dict()) == ["x_to_sum.weight", "wide.weight", "wide.bias"]
    x = torch.randn(5, 3, dtype=torch.float64)
    same(net({"x": x}), x @ net.wide.weight.T + net.wide.bias + x @ net.x_to_sum.weight.T)
    assert sum(p.numel() for p in net.parameters()) == net.plan.parameter_count == 4 * 3 + 4 + 4 * 3


def test_add_into_a_dense_layer_sums_before_the_weights():
    g = Graph()
    g.input("a", shape=(2, 3))
    g.input("b", shape=6)
    g.layer("sum", Dense(2, join="add"), after=["a", "b"])
    g.output("y", after="sum")
    net = net_of(g)
    a, b = torch.rand(4, 2, 3, dtype=torch.float64), torch.rand(4, 6, dtype=torch.float64)
    same(net({"a": a, "b": b}), (a.flatten(1) + b) @ net.sum.weight.T + net.sum.bias)


def test_directly_recurrent_is_elman_with_gradients():
    g = Graph()
    g.input("x", shape=3)
    g.layer("hidden", Dense(4, "tanh"), after="x")
    g.connect("hidden", "hidden")
    g.output("y", after="hidden")
    net = net_of(g)
    rnn = nn.RNN(3, 4, batch_first=True).double()
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(net.hidden.weight[:, :3])
        rnn.weight_hh_l0.copy_(net.hidden.weight[:, 3:])
        rnn.bias_ih_l0.copy_(net.hidden.bias)
        rnn.bias_hh_l0.zero_()
    x = torch.randn(6, 9, 3, dtype=torch.float64)
    ours, theirs = net({"x": x}), rnn(x)[0]
    same(ours, theirs)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    same(net.hidden.weight.grad, torch.cat([rnn.weight_ih_l0.grad, rnn.weight_hh_l0.grad], 1))
    same(net.hidden.bias.grad, rnn.bias_ih_l0.grad)


def test_indirectly_recurrent_is_the_loop_written_by_hand():
    g = Graph()
    g.input("x", shape=2)
    g.layer("before", Dense(3, "tanh"), after="x")
    g.layer("hidden", Dense(4, "tanh"), after="before")
    g.layer("deeper", Dense(5, "logistic"), after="hidden")
    g.connect("deeper", "hidden")
    g.connect("x", "deeper")
    g.layer("last", Dense(1), after="deeper")
    g.output("y", after="last")
    net = net_of(g)
    assert [block.names for block in net.plan.blocks] == [("before",), ("hidden", "deeper"), ("last",)]
    x = torch.randn(3, 6, 2, dtype=torch.float64)
    fed_back = torch.zeros(3, 5, dtype=torch.float64)
    expected = []
    for t in range(6):
        before = torch.tanh(F.linear(x[:, t], net.before.weight, net.before.bias))
        hidden = torch.tanh(F.linear(torch.cat([before, fed_back], 1), net.hidden.weight, net.hidden.bias))
        fed_back = torch.sigmoid(F.linear(torch.cat([hidden, x[:, t]], 1), net.deeper.weight, net.deeper.bias))
        expected.append(F.linear(fed_back, net.last.weight, net.last.bias))
    ours, theirs = net({"x": x}), torch.stack(expected, 1)
    same(ours, theirs)
    for mine, other in zip(
        torch.autograd.grad(ours.square().sum(), list(net.parameters())),
        torch.autograd.grad(theirs.square().sum(), list(net.parameters())),
        strict=True,
    ):
        same(mine, other)


def test_a_marked_edge_forward_waits_without_a_cycle():
    g = Graph()
    g.input("x", shape=2)
    g.layer("change", Join("add"), after="x")
    g.layer("past", Join("add"))
    g.connect("x", "past", delay=1)
    g.layer("both", Join("concat"), after=["change", "past"])
    g.output("y", after="both")
    x = torch.arange(12.0, dtype=torch.float64).view(1, 6, 2)
    before = torch.cat([torch.zeros(1, 1, 2, dtype=torch.float64), x[:, :-1]], 1)
    same(net_of(g)({"x": x}), torch.cat([x, before], -1))


def test_an_outside_edge_into_a_cycle_may_wait_too():
    g = Graph()
    g.input("x", shape=1)
    g.layer("total", Join("add"))
    g.connect("x", "total", delay=1)
    g.connect("total", "total")
    g.output("y", after="total")
    x = torch.arange(1.0, 5.0, dtype=torch.float64).view(1, 4, 1)
    same(net_of(g)({"x": x}).flatten(), torch.tensor([0.0, 1.0, 3.0, 6.0], dtype=torch.float64))


def test_several_outputs_come_as_a_dict_and_activations_by_name():
    g = chain(Dense(4, "relu"), Dense(2))
    g.output("inner", after="layer0")
    net = net_of(g)
    x = torch.randn(5, 3, dtype=torch.float64)
    outputs = net({"x": x})
    assert list(outputs) == ["y", "inner"]
    seen = net.activations({"x": x}, ["layer0", "x"])
    same(seen["layer0"], F.relu(F.linear(x, net.layer0.weight, net.layer0.bias)))
    assert seen["x"] is x
    assert outputs["inner"].equal(seen["layer0"])
    with pytest.raises(GraphError, match="no layer 'layer9' to look at; did you mean 'layer"):
        net.activations({"x": x}, ["layer9"])


def test_norms_are_pytorchs():
    x = torch.randn(8, 6, dtype=torch.float64) * 3 + 1
    same(net_of(chain(Norm(), shape=6))({"x": x}), F.layer_norm(x, (6,)))
    net, other = net_of(chain(Norm("batch"), shape=6)), nn.BatchNorm1d(6).double()
    same(net({"x": x}), other(x))
    same(net.layer0.running_mean, other.running_mean)
    same(net.layer0.running_variance, other.running_var)
    same(net.eval()({"x": x}), other.eval()(x))
    members = torch.randn(8, 2, 3, dtype=torch.float64)
    net = net_of(chain(Norm("batch"), shape=(2, 3)))
    same(net({"x": members}), nn.BatchNorm1d(6).double()(members.flatten(1)).view(8, 2, 3))
    before = net.layer0.running_mean.clone()
    assert torch.isfinite(net.train()({"x": torch.ones(1, 2, 3, dtype=torch.float64)})).all()  # one row has no variance
    assert torch.equal(net.layer0.running_mean, before)


def test_dropout_only_while_training():
    x = torch.ones(1000, 4, dtype=torch.float64)
    for layer in (Dropout(0.5), Dense(4, dropout=0.5)):
        net = net_of(chain(layer, shape=4))
        assert (net({"x": x}) == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
        assert not (net.eval()({"x": x}) == 0).any()


def test_flatten_activation_and_output_function():
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    net = net_of(chain(Flatten(), Activation("relu"), Dense(4, "tanh", output="softmax", bias=False), shape=(2, 3)))
    expected = torch.tanh(F.relu(x.flatten(1)) @ net.layer2.weight.T).softmax(-1)
    same(net({"x": x}), expected)
    assert net.layer2.layer.bias is False
    assert list(net.state_dict()) == ["layer2.weight"]


def test_a_batch_may_have_the_output_of_a_layer_without_the_inputs_that_only_it_needs():
    g = Graph()
    g.input("left", shape=3)
    g.input("right", shape=2)
    g.layer("deep", Dense(5, "relu"), after="left")
    g.layer("deeper", Dense(4, "tanh"), after="deep")
    g.layer("head", Dense(1), after=["deeper", "right"])
    g.output("y", after="head")
    net = net_of(g)
    x = {"left": torch.randn(6, 3, dtype=torch.float64), "right": torch.randn(6, 2, dtype=torch.float64)}
    seen = net.activations(x, ["deep", "deeper"])
    same(net({"right": x["right"], "deeper": seen["deeper"]}), net(x))
    same(net({"right": x["right"], "deep": seen["deep"]}), net(x))
    same(
        net({**x, "deeper": seen["deeper"] + 1}),
        F.linear(torch.cat([seen["deeper"] + 1, x["right"]], 1), net.head.weight, net.head.bias),
    )
    same(net.activations({"deep": seen["deep"]}, ["deeper"])["deeper"], seen["deeper"])
    with pytest.raises(GraphError, match="the batch lacks the input 'left'; it has 'right'"):
        net({"right": x["right"]})
    with pytest.raises(GraphError, match=r"the output of layer 'deep' has the shape \(6, 4\), expected \(rows, 5\)"):
        net({"right": x["right"], "deep": seen["deeper"]})


def test_a_given_layer_runs_through_time_and_one_in_a_cycle_is_executed():
    g = Graph()
    g.input("x", shape=2)
    g.layer("before", Dense(3, "tanh"), after="x")
    g.layer("hidden", Dense(4, "tanh"), after="before")
    g.connect("hidden", "hidden")
    g.output("y", after="hidden")
    net = net_of(g)
    x = torch.randn(3, 6, 2, dtype=torch.float64)
    before = net.activations({"x": x}, ["before"])["before"]
    same(net({"before": before}), net({"x": x}))
    same(net({"x": x, "hidden": torch.zeros(3, 6, 4, dtype=torch.float64)}), net({"x": x}))


# -- as a module -----------------------------------------------------------------------------------------------------------


def test_seeds_make_the_weights_and_the_global_generator_does_not():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = Net(Plan(chain(Dense(4), Dense(2))), seed=5).state_dict()
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(2)
    again, other = (Net(Plan(chain(Dense(4), Dense(2))), seed=seed).state_dict() for seed in (5, 6))
    assert all(first[name].equal(again[name]) for name in first)
    assert not first["layer0.weight"].equal(other["layer0.weight"])
    longer = Net(Plan(chain(Dense(4), Dense(2), Dense(2))), seed=5).state_dict()
    assert all(first[name].equal(longer[name]) for name in first)
    twins = Net(Plan(chain(Dense(3), Dense(3))), seed=5)
    assert not twins.layer0.weight.equal(twins.layer1.weight)
    assert Net(Plan(chain(Dense(4)))).seed != Net(Plan(chain(Dense(4)))).seed


def test_weights_begin_within_one_over_the_root_of_what_a_neuron_reads():
    net = Net(Plan(chain(Dense(500), shape=100)), seed=0)
    for tensor in (net.layer0.weight, net.layer0.bias):
        assert tensor.abs().max().item() == pytest.approx(0.1, rel=0.02)
        assert tensor.mean().item() == pytest.approx(0, abs=0.01)


def test_it_is_a_plain_module():
    net = Net(Plan(chain(Dense(4, "relu", dropout=0.25), Norm(), Dense(2))), seed=0).eval()
    x = {"x": torch.randn(5, 3)}
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other(x).equal(net(x))
        assert other.plan.graph == net.plan.graph
    assert repr(net).splitlines()[1] == "  (layer0): Dense(3 -> 4, relu, dropout 0.25)"
    assert list(net.state_dict()) == [
        "layer0.weight",
        "layer0.bias",
        "layer1.weight",
        "layer1.bias",
        "layer2.weight",
        "layer2.bias",
    ]


@pytest.mark.parametrize("name", ["train", "forward", "plan", "seed"])
def test_a_name_that_a_module_needs_is_refused(name):
    g = Graph()
    g.input("x", shape=3)
    g.layer(name, Dense(4), after="x")
    g.output("y", after=name)
    with pytest.raises(GraphError, match=f"the name '{name}' is an attribute of the network; give the layer another"):
        Net(Plan(g))


def test_batches_that_do_not_fit_are_refused_by_name():
    net = Net(Plan(chain(Dense(4))), seed=0)
    with pytest.raises(GraphError, match="the batch lacks the input 'x'; it has 'X'"):
        net({"X": torch.zeros(2, 3)})
    with pytest.raises(GraphError, match=r"the input 'x' has the shape \(2, 4\), expected \(rows, 3\)"):
        net({"x": torch.zeros(2, 4)})
    g = chain(Dense(4))
    g.connect("layer0", "layer0")
    with pytest.raises(GraphError, match=r"\(2, 3\), expected \(rows, time steps, 3\)"):
        Net(Plan(g))({"x": torch.zeros(2, 3)})


def test_a_step_of_every_kind_can_be_traced_and_replayed():
    g = Graph()
    g.input("numbers", shape=3)
    g.input("codes", shape=2)
    g.layer("bins", NumberEmbedding("piecewise_linear", 4, bins=5), after="numbers")
    g.layer("waves", NumberEmbedding("periodic", 4), after="numbers")
    g.layer("levels", CategoryEmbedding((3, 4), (2, 0)), after="codes")
    g.layer("members", Dense(6, members=2, adapter=True), after=["bins", "waves", "levels"])
    g.layer("hidden", Dense(8, "relu", members=2, adapter=True), after="members")
    g.layer("norm", Norm(), after="hidden")
    g.layer("sum", Join("add"), after=["norm", "hidden"])
    g.layer("heads", MemberDense(2, members=2), after="sum")
    g.output("y", after="heads")
    net = Net(Plan(g), seed=0)
    parameters = dict(net.named_parameters())

    def gradients(values, numbers, codes):
        loss = torch.func.functional_call(net, values, ({"numbers": numbers, "codes": codes},)).square().mean()
        return torch.autograd.grad(loss, list(values.values()))

    def batch(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(8, 3, generator=generator), torch.randint(0, 3, (8, 2), generator=generator)

    traced = make_fx(gradients)(parameters, *batch(0))
    for ours, theirs in zip(traced(parameters, *batch(1)), gradients(parameters, *batch(1)), strict=True):
        same(ours, theirs, 1e-7)
