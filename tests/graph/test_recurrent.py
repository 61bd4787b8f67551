"""Recurrent layers against PyTorch's own with packed sequences; loops against recurrent layers."""

import json

import pytest
import torch
from torch import nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from lamina.data.feed import Feed
from lamina.errors import GraphError
from lamina.graph import Dense, Graph, Net, Plan
from lamina.graph.layers.recurrent import Ends, Loop, Recurrent
from lamina.graph.layers.sequence import Chunk, Present, StepPool
from lamina.graph.modules import MODULES
from lamina.train.threads import multiplications

TORCH = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
LENGTHS = (6, 1, 4, 6)
STEPS, WIDTH, SIZE = 6, 3, 5


def net_of(*layers, steps=STEPS, mask=True, seed=0):
    """Layers one behind the other over (steps, width); those that can are masked."""
    g, mask = Graph(), mask and any(layer.masked for layer in layers)
    g.input("x", shape=(steps, WIDTH))
    if mask:
        g.input("steps", shape=(steps,))
        g.layer("present", Present(), after="steps")
    before = "x"
    for i, layer in enumerate(layers):
        g.layer(f"layer{i}", layer, after=before, mask="present" if mask and layer.masked else None)
        before = f"layer{i}"
    g.output("y", after=before)
    return Net(Plan(g), seed=seed)


def batch(lengths=LENGTHS, steps=STEPS, seed=0):
    x = torch.zeros(len(lengths), steps, WIDTH)
    there = torch.zeros(len(lengths), steps, dtype=torch.uint8)
    generator = torch.Generator().manual_seed(seed)
    for row, length in enumerate(lengths):
        x[row, :length] = torch.randn(length, WIDTH, generator=generator)
        there[row, :length] = 1
    return {"x": x, "steps": there}


def theirs_of(module, layer):
    """PyTorch's module with the same weights."""
    theirs = TORCH[layer.cell](WIDTH, layer.size, batch_first=True, bidirectional=layer.bidirectional)
    names = {"weight": "weight_ih_l0", "weight_state": "weight_hh_l0", "bias": "bias_ih_l0", "bias_state": "bias_hh_l0"}
    pairs = [(f"{ours}{way}", f"{name}{way.replace('back', 'reverse')}") for way in layer.ways for ours, name in names.items()]
    for ours, name in pairs:
        getattr(theirs, name).data = getattr(module, ours).detach().flatten(0, 1).clone()
    return theirs, pairs


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", sorted(TORCH))
def test_values_and_gradients_are_those_of_packed_sequences(cell, bidirectional):
    net = net_of(Recurrent(SIZE, cell, bidirectional=bidirectional), Ends() if bidirectional else StepPool("last"))
    nn.init.normal_(net.layer0.bias_state)
    theirs, pairs = theirs_of(net.layer0, net.plan.layers["layer0"])
    rows = batch()
    x = rows["x"].clone().requires_grad_()
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    output, state = theirs(packed)
    last = (state[0] if cell == "lstm" else state).transpose(0, 1).flatten(1)
    ours = {"x": rows["x"].clone().requires_grad_(), "steps": rows["steps"]}
    every = net.activations(ours, ["layer0"])["layer0"]
    there = rows["steps"].bool()
    torch.testing.assert_close(every[there], pad_packed_sequence(output, batch_first=True)[0][there], rtol=0, atol=1e-6)
    torch.testing.assert_close(net(ours), last, rtol=0, atol=1e-6)
    weight = torch.randn_like(last)
    (last * weight).sum().backward()
    (net(ours) * weight).sum().backward()
    torch.testing.assert_close(ours["x"].grad, x.grad, rtol=0, atol=1e-6)
    for mine, name in pairs:
        gradient = getattr(net.layer0, mine).grad
        torch.testing.assert_close(gradient.flatten(0, 1), getattr(theirs, name).grad, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", sorted(TORCH))
def test_without_a_mask_every_step_counts(cell):
    net = net_of(Recurrent(SIZE, cell, bidirectional=True), mask=False)
    theirs, _ = theirs_of(net.layer0, net.plan.layers["layer0"])
    x = batch()["x"]
    torch.testing.assert_close(net({"x": x}), theirs(x)[0], rtol=0, atol=1e-6)
    ends = net_of(Recurrent(SIZE, cell, bidirectional=True), Ends(), mask=False)
    assert torch.equal(ends({"x": x}), torch.cat([net({"x": x})[:, -1, :SIZE], net({"x": x})[:, 0, SIZE:]], 1))


def test_ends_are_the_last_and_the_first_step_that_are_there_whatever_the_mask():
    there = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.bool)
    x = torch.randn(5, 4, 6, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(5, 6)
    for row, (steps, here) in enumerate(zip(x, there, strict=True)):
        if here.any():
            expected[row] = torch.cat([steps[here][-1, :3], steps[here][0, 3:]])
    ends = MODULES[Ends](Ends(), (4, 6), torch.Generator())
    torch.testing.assert_close(ends(x, there), expected, rtol=0, atol=0)


@pytest.mark.parametrize("pool", [StepPool("mean"), StepPool("max"), Ends()])
def test_longer_padding_changes_nothing(pool):
    layers = (Recurrent(4, bidirectional=True), Recurrent(SIZE, "gru", bidirectional=True), pool)
    short, long = (net_of(*layers, steps=steps)(batch(steps=steps)) for steps in (10, 30))
    torch.testing.assert_close(short, long, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pool", [StepPool("mean"), StepPool("last"), Ends()])
def test_no_steps_at_all_give_zeros_and_finite_gradients(pool):
    net = net_of(Recurrent(SIZE, bidirectional=True), pool)
    y = net(batch((0, 3)))
    assert torch.equal(y[0], torch.zeros(2 * SIZE))
    y.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in net.parameters())


def test_sequences_side_by_side_are_read_each_by_itself():
    g = Graph()
    g.input("x", shape=(STEPS, WIDTH))
    g.input("steps", shape=(STEPS,))
    g.layer("present", Present(), after="steps")
    g.layer("words", Chunk(3), after="x")
    g.layer("there", Chunk(3), after="present")
    g.layer("layer0", Recurrent(SIZE, "gru", bidirectional=True), after="words", mask="there")
    g.output("y", after="layer0")
    rows = batch()
    whole = Net(Plan(g), seed=0)(rows)
    assert whole.shape == (4, 2, 3, 2 * SIZE)
    alone = net_of(Recurrent(SIZE, "gru", bidirectional=True), steps=3)
    for part in range(2):
        cut = {name: block[:, 3 * part : 3 * part + 3] for name, block in rows.items()}
        torch.testing.assert_close(whole[:, part], alone(cut), rtol=0, atol=1e-6)


def test_how_it_begins():
    layer = net_of(Recurrent(SIZE, bidirectional=True)).layer0
    for gate in (*layer.weight_state, *layer.weight_state_back):
        torch.testing.assert_close(gate @ gate.t(), torch.eye(SIZE), rtol=0, atol=1e-5)
    assert layer.bias[1].tolist() == layer.bias_back[1].tolist() == [1.0] * SIZE
    assert layer.bias.sum() == SIZE
    assert not layer.bias_state.any()
    assert layer.weight.abs().max() <= (6 / (WIDTH + SIZE)) ** 0.5
    assert not net_of(Recurrent(SIZE, "gru")).layer0.bias.any()
    again = net_of(Recurrent(SIZE, bidirectional=True)).layer0
    assert all(torch.equal(a, b) for a, b in zip(layer.parameters(), again.parameters(), strict=True))


def test_dropout_is_for_training():
    net = net_of(Recurrent(SIZE, dropout=0.5), mask=False)
    x = batch()["x"]
    dropped = net({"x": x})
    kept = net.eval()({"x": x})
    zero = dropped == 0
    assert 0.2 < zero.float().mean() < 0.8
    torch.testing.assert_close(dropped[~zero], 2 * kept[~zero])


def elman():
    g = Graph()
    g.input("step", shape=WIDTH)
    g.layer("hidden", Dense(SIZE, "tanh"), after="step")
    g.connect("hidden", "hidden")
    g.output("state", after="hidden")
    return g


def indirect():
    g = Graph()
    g.input("step", shape=WIDTH)
    g.layer("hidden", Dense(4, "tanh"), after="step")
    g.layer("next", Dense(SIZE, "tanh"), after="hidden")
    g.connect("next", "hidden")
    g.output("state", after="next")
    return g


def test_a_loop_of_one_layer_is_elmans():
    loop, rnn = net_of(Loop(elman()), StepPool("last")), net_of(Recurrent(SIZE, "rnn"), StepPool("last"))
    hidden = loop.layer0.net.hidden
    with torch.no_grad():
        rnn.layer0.weight[0], rnn.layer0.weight_state[0] = hidden.weight.split([WIDTH, SIZE], 1)
        rnn.layer0.bias[0] = hidden.bias
    rows = batch()
    torch.testing.assert_close(loop(rows), rnn(rows), rtol=0, atol=1e-6)
    loop(rows).sum().backward()
    rnn(rows).sum().backward()
    torch.testing.assert_close(hidden.weight.grad[:, :WIDTH], rnn.layer0.weight.grad[0], rtol=0, atol=1e-5)


def test_a_loop_is_the_net_of_its_graph():
    net = net_of(Loop(indirect()), mask=False)
    x = batch()["x"]
    state = torch.zeros(len(x), SIZE)
    hidden, following = net.layer0.net.hidden, net.layer0.net.next
    for step in range(STEPS):
        state = torch.tanh(
            linear(torch.tanh(linear(torch.cat([x[:, step], state], 1), *hidden.parameters())), *following.parameters())
        )
        torch.testing.assert_close(net({"x": x})[:, step], state, rtol=0, atol=1e-6)


@pytest.mark.parametrize("layer", [Recurrent(SIZE), Recurrent(SIZE, "gru", bidirectional=True), Loop(indirect())])
def test_what_is_declared_is_what_is_learnt_and_stored(layer):
    net = net_of(layer)
    assert {name: tuple(value.shape) for name, value in net.layer0.named_parameters()} == layer.tensors((STEPS, WIDTH))
    assert net.plan.parameter_count == sum(parameter.numel() for parameter in net.parameters())
    graph = net.plan.graph
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph
    assert type(layer).__name__ in str(net.plan)


@pytest.mark.parametrize("layer", [Recurrent(SIZE), Recurrent(SIZE, "gru"), Recurrent(SIZE, "rnn"), Loop(indirect())])
def test_step_by_step_is_the_same(layer):
    net = net_of(layer, mask=False)
    x = batch()["x"]
    state, module = net.layer0.begin(x), net.layer0
    for step in range(STEPS):
        y, state = module.step(x[:, step : step + 1], state)
        torch.testing.assert_close(y[:, 0], net({"x": x})[:, step], rtol=0, atol=1e-6)


def test_a_projected_edge_in_a_loop_is_declared():
    g = Graph()
    g.input("step", shape=WIDTH)
    g.layer("wide", Dense(4, "tanh"), after="step")
    g.layer("sum", Dense(SIZE, "tanh", join="add"), after="wide")
    g.connect("step", "sum", projection=True)
    g.connect("sum", "wide")
    g.output("state", after="sum")
    net = net_of(Loop(g))
    assert {name: tuple(value.shape) for name, value in net.layer0.named_parameters()} == Loop(g).tensors((STEPS, WIDTH))


def test_widening_keeps_what_the_old_neurons_know():
    net = net_of(Recurrent(SIZE), mask=False)
    wide = net.edit(net.plan.graph.widen("layer0", 7)).layer0
    assert torch.equal(wide.weight[:, :SIZE], net.layer0.weight)
    assert torch.equal(wide.weight_state[:, :SIZE, :SIZE], net.layer0.weight_state)
    assert torch.equal(wide.bias[:, :SIZE], net.layer0.bias)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_chain_of_steps_counts_as_one_for_the_threads(cell):
    counts = {}
    for steps in (10, 50):
        feed = Feed({"x": torch.zeros(9, steps, WIDTH)}, torch.zeros(9, dtype=torch.int64))
        counts[steps] = multiplications(net_of(Recurrent(SIZE, cell), steps=steps, mask=False), feed)
    gates = {"lstm": 4, "gru": 3}[cell]
    assert counts[10] == counts[50] == 8 * gates * SIZE * (WIDTH + SIZE)


def feedforward():
    g = Graph()
    g.input("step", shape=WIDTH)
    g.layer("hidden", Dense(4), after="step")
    g.output("state", after="hidden")
    return g


def two_inputs():
    g = indirect()
    g.input("more", shape=2)
    g.connect("more", "next")
    return g


def of_two_axes():
    g = Graph()
    g.input("step", shape=(2, WIDTH))
    g.layer("hidden", Dense(4), after="step")
    g.connect("hidden", "hidden")
    g.output("state", after="hidden")
    return g


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recurrent(0), r"Recurrent.size is 0, expected a whole number of at least 1"),
        (lambda: Recurrent(4, "ltsm"), r"Recurrent.cell is 'ltsm', expected one of its names; did you mean 'lstm'\?"),
        (lambda: Recurrent(4, dropout=1.0), r"Recurrent.dropout is 1.0, expected a number from 0"),
        (lambda: Recurrent(4).shape([(3,)]), r"Recurrent reads \(steps, width\), but was given \(3,\)"),
        (lambda: Ends().shape([(4, 5)]), r"Ends was given steps of 5 neurons, expected two directions of one size"),
        (lambda: Loop("rnn"), r"Loop.graph is a str, expected a Graph or what its to_json gives"),  # pyright: ignore
        (lambda: Loop(two_inputs()), r"Loop.graph has 2 inputs and 1 outputs, expected one of each"),
        (lambda: Loop(feedforward()), r"Loop.graph feeds nothing back; connect a layer to an earlier one"),
        (lambda: Loop(of_two_axes()), r"Loop.graph reads \(2, 3\) and gives \(4,\), expected one axis each"),
        (lambda: Loop(elman()).shape([(6, 4)]), r"Loop was given steps of 4 neurons, but its graph reads 3; make them equal"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()
