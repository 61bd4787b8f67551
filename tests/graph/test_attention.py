"""Attention against torch's, its masks, positions and patches against their formulas, and its weights taken out of a net."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from lamina.errors import GraphError
from lamina.graph import Graph, Net, Plan
from lamina.graph.layer import Layer
from lamina.graph.layers import Dense
from lamina.graph.layers.attention import MultiHeadAttention, Patches, Position, StepDropout
from lamina.graph.layers.sequence import Present, StepPool
from tests.graph.helpers import lengths, module_of, rows


def reference(module, heads):
    """torch's own layer with the same weights; torch keeps those of query, key and value in one matrix, too."""
    width = module.shape[-1]
    theirs = torch.nn.MultiheadAttention(width, heads, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(module.in_weight)
        theirs.in_proj_bias.copy_(module.in_bias.normal_(generator=torch.Generator().manual_seed(1)))
        theirs.out_proj.weight.copy_(module.out_weight)
        theirs.out_proj.bias.copy_(module.out_bias.normal_(generator=torch.Generator().manual_seed(2)))
    return theirs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_torchs_attention(heads, masked):
    module = module_of(MultiHeadAttention(heads), (7, 8))
    theirs = reference(module, heads)
    mask = lengths(7, 3, 1, longest=7) if masked else None
    there = torch.ones(3, 7, dtype=torch.bool) if mask is None else mask
    x, z = rows(3, 7, 8).requires_grad_(), rows(3, 7, 8).requires_grad_()
    ours = module(x, mask)
    other, weights = theirs(z, z, z, key_padding_mask=None if mask is None else ~mask, average_attn_weights=False)
    torch.testing.assert_close(ours[there], other[there], rtol=0, atol=1e-12)
    torch.testing.assert_close(module.weights(x, mask), weights, rtol=0, atol=1e-12)
    look = rows(3, 7, 8, seed=5) * there[..., None]
    (ours * look).sum().backward()
    (other * look).sum().backward()
    pairs = [
        (x.grad, z.grad),
        (module.in_weight.grad, theirs.in_proj_weight.grad),
        (module.in_bias.grad, theirs.in_proj_bias.grad),
        (module.out_weight.grad, theirs.out_proj.weight.grad),
        (module.out_bias.grad, theirs.out_proj.bias.grad),
    ]
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-12)


def test_sequences_side_by_side_are_attended_one_by_one():
    module = module_of(MultiHeadAttention(2), (4, 5, 6))
    x, mask = rows(3, 4, 5, 6), lengths(*range(12), longest=5).view(3, 4, 5)
    y, weights = module(x, mask), module.weights(x, mask)
    assert weights.shape == (3, 4, 2, 5, 5)
    for i in range(4):
        torch.testing.assert_close(y[:, i], module(x[:, i], mask[:, i]))
        torch.testing.assert_close(weights[:, i], module.weights(x[:, i], mask[:, i]))


def test_a_sequence_without_steps_gives_numbers_and_leaves_the_others_alone():
    module = module_of(MultiHeadAttention(2), (4, 6))
    x, mask = rows(2, 4, 6).requires_grad_(), lengths(0, 3, longest=4)
    y = module(x, mask)
    assert y.isfinite().all()
    torch.testing.assert_close(y[1:], module(x[1:], mask[1:]))
    y.square().sum().backward()
    assert x.grad is not None
    assert all(gradient.isfinite().all() for gradient in [x.grad, *(p.grad for p in module.parameters())])


def test_dropout_silences_weights_only_while_training():
    module = module_of(MultiHeadAttention(1, dropout=0.5), (6, 4))
    x = rows(1, 6, 4)
    whole = module.eval()(x)
    torch.testing.assert_close(whole, module_of(MultiHeadAttention(1), (6, 4))(x))
    torch.manual_seed(0)
    some = torch.stack([module.train()(x) for _ in range(4000)])
    assert not torch.equal(some[0], some[1])
    torch.testing.assert_close(some.mean(0), whole, rtol=0, atol=0.03)


def test_sinusoidal_positions_are_the_formula():
    y = module_of(Position(), (50, 6))(torch.zeros(1, 50, 6, dtype=torch.float64))[0]
    for t in (0, 1, 17, 49):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert y[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert y[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_learnt_positions_are_added_to_every_sequence_and_learn():
    module = module_of(Position("learnt"), (2, 5, 3))
    x = rows(4, 2, 5, 3)
    torch.testing.assert_close(module(x), x + module.position)
    assert module.position.shape == (5, 3)
    assert 0.005 < module.position.std() < 0.04
    module(x).sum().backward()
    torch.testing.assert_close(module.position.grad, torch.full((5, 3), 8.0, dtype=torch.float64))
    assert not list(module_of(Position(), (5, 3)).parameters())


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 7, 10), (2, 3, 3)])
def test_patches_are_torchs_unfold(shape):
    x = rows(2, *shape)
    padded = F.pad(x, (0, -shape[2] % 4, 0, -shape[1] % 4))
    expected = F.unfold(padded, 4, stride=4).transpose(1, 2)
    ours = module_of(Patches(4), shape)(x)
    assert torch.equal(ours, expected)
    assert ours.shape[1:] == Patches(4).shape([shape])


def attentive(steps) -> Any:
    g = Graph()
    g.input("x", shape=(steps, 4))
    g.input("codes", shape=steps)
    g.layer("present", Present(), after="codes")
    g.layer("position", Position(), after="x")
    g.layer("look", MultiHeadAttention(2, dropout=0.5), after="position", mask="present")
    g.layer("again", MultiHeadAttention(1), after="look")
    g.layer("pool", StepPool("mean"), after="again", mask="present")
    g.layer("head", Dense(3), after="pool")
    g.output("y", after="head")
    return Net(Plan(g), seed=0)


def test_a_net_returns_its_attention_weights():
    net = attentive(6).train()
    batch = {"x": rows(3, 6, 4).float(), "codes": lengths(6, 2, 0, longest=6).int()}
    found = net.attention(batch)
    assert {name: tuple(weights.shape) for name, weights in found.items()} == {"look": (3, 2, 6, 6), "again": (3, 1, 6, 6)}
    assert net.training
    assert not any(weights.requires_grad for weights in found.values())
    torch.testing.assert_close(found["look"].sum(-1), torch.ones(3, 2, 6))
    assert (found["look"][1, ..., 2:] == 0).all()
    values = net.eval().activations(batch, ["position", "look"])
    torch.testing.assert_close(found["again"], net.again.weights(values["look"]))  # without dropout
    assert not net.attention(batch)["again"].isnan().any()


def test_longer_padding_changes_nothing():
    """What is attended to is the same whether a row is padded to 10 steps or to 30."""
    short = module_of(MultiHeadAttention(2), (10, 4))
    long = module_of(MultiHeadAttention(2), (30, 4))
    long.load_state_dict(short.state_dict())
    mask = lengths(4, 10, longest=30)
    x = rows(2, 30, 4)
    near, far = short(x[:, :10], mask[:, :10]), long(x, mask)[:, :10]
    torch.testing.assert_close(near[mask[:, :10]], far[mask[:, :10]])
    changed = torch.where(mask[..., None], x, 100 * rows(2, 30, 4, seed=3))
    torch.testing.assert_close(long(changed, mask)[mask], long(x, mask)[mask])


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(GraphError, match=r"has 3 heads, but was given a width of 8; give a multiple of the heads"):
        MultiHeadAttention(3).shape([(5, 8)])
    with pytest.raises(GraphError, match=r"MultiHeadAttention reads \(steps, width\), but was given \(8,\)"):
        MultiHeadAttention(2).shape([(8,)])
    with pytest.raises(GraphError, match=r"Position reads \(steps, width\), but was given \(8,\)"):
        Position().shape([(8,)])
    with pytest.raises(GraphError, match=r"Position.kind is 'sinus', expected one of its names; did you mean 'sinusoidal'"):
        Position("sinus")
    with pytest.raises(GraphError, match=r"Patches reads \(channels, height, width\), but was given \(8, 8\); put Pixels"):
        Patches(4).shape([(8, 8)])
    with pytest.raises(GraphError, match=r"MultiHeadAttention.heads is 0, expected a whole number of at least 1"):
        MultiHeadAttention(0)


@pytest.mark.parametrize("layer", [Position("learnt"), MultiHeadAttention(2, dropout=0.1), StepDropout(0.3), Patches(3)])
def test_layers_go_through_json(layer):
    assert Layer.from_json(layer.to_json()) == layer


def test_step_dropout_takes_steps_out_of_a_mask_while_training():
    module = module_of(StepDropout(0.3), (1000,))
    mask = lengths(1000, 400, 0, longest=1000)
    assert torch.equal(module.eval()(mask), mask)
    torch.manual_seed(0)
    left = module.train()(mask)
    assert not (left & ~mask).any()
    assert left.sum(-1).tolist() == [pytest.approx(700, abs=60), pytest.approx(280, abs=40), 0]
    assert torch.equal(module_of(StepDropout(0.0), (1000,)).train()(mask), mask)
