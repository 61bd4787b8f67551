"""Steps: dense, pooled, chunked and reshaped against torch and loops in words; masks; tokens' vectors; errors."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lamina.data.feed import Feed
from lamina.errors import GraphError
from lamina.graph import Dense, Graph, Net, Plan
from lamina.graph.layers import TokenEmbedding
from lamina.graph.layers.sequence import AnyPresent, Chunk, Present, Reshape, StepDense, StepPool
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer
from tests.graph.helpers import chain, lengths, module_of, rows

KINDS = ("mean", "max", "sum", "last")


def pooled(kind, x, there=None):
    """Pooling of the present steps of each sequence, in a loop."""
    pooled_steps = []
    for i, steps in enumerate(x):
        steps = steps if there is None else steps[there[i]]
        if not len(steps):
            pooled_steps.append(steps.new_zeros(steps.shape[1:]))
        else:
            how = {"mean": lambda s: s.mean(0), "max": lambda s: s.amax(0), "sum": lambda s: s.sum(0), "last": lambda s: s[-1]}
            pooled_steps.append(how[kind](steps))
    return torch.stack(pooled_steps)


# Masks


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.uint8, torch.float32, torch.bool])
def test_present_is_what_is_not_zero(dtype):
    codes = torch.tensor([[3, 1, 0, 0], [0, 0, 0, 0], [0, 7, 0, 2]]).to(dtype)
    there = module_of(Present(), (4,))(codes)
    assert there.dtype == torch.bool
    assert there.tolist() == [[True, True, False, False], [False] * 4, [False, True, False, True]]


def test_any_present_is_the_mask_of_the_level_above():
    words = lengths(0, 1, 3, 0, 0, 2, longest=3).view(2, 3, 3)
    sentences = module_of(AnyPresent(), (3, 3))(words)
    assert sentences.tolist() == [[False, True, True], [False, False, True]]
    assert module_of(AnyPresent(), (3,))(sentences).tolist() == [True, True]
    assert module_of(AnyPresent(), (3,))(sentences & False).tolist() == [False, False]


# StepDense


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (2, 5, 3)])
def test_step_dense_is_a_linear_layer_at_each_step(shape, bias):
    module = module_of(StepDense(4, "tanh", bias=bias), shape)
    theirs = nn.Linear(3, 4, bias=bias, dtype=torch.float64)
    theirs.weight.data.copy_(module.weight)
    if bias:
        theirs.bias.data.copy_(module.bias)
    x, z = rows(6, *shape).requires_grad_(), rows(6, *shape).requires_grad_()
    ours = module(x)
    other = torch.stack([torch.tanh(theirs(step)) for step in z.unbind(-2)], -2)
    torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    look = rows(*ours.shape, seed=1)
    (ours * look).sum().backward()
    (other * look).sum().backward()
    for mine, their in [(x, z), *zip(module.parameters(), theirs.parameters(), strict=True)]:
        torch.testing.assert_close(mine.grad, their.grad, rtol=0, atol=1e-12)


def test_step_dense_activates_over_its_own_neurons():
    module = module_of(StepDense(4, "softmax"), (5, 3))
    torch.testing.assert_close(module(rows(2, 5, 3)).sum(-1), torch.ones(2, 5, dtype=torch.float64))


def test_step_dense_begins_as_torchs_linear_layer_does():
    module = module_of(StepDense(200), (7, 16))
    for tensor in (module.weight, module.bias):
        assert 0.24 < tensor.abs().max() <= 0.25  # 1 / sqrt(16): the steps do not count


def test_step_dense_drops_in_training_only():
    module = module_of(StepDense(50, dropout=0.25), (20, 3))
    x = rows(10, 20, 3)
    dropped, kept = module.train()(x), module.eval()(x)
    zero = dropped == 0
    assert 0.22 < zero.double().mean() < 0.28
    torch.testing.assert_close(dropped[~zero], kept[~zero] / 0.75)
    torch.testing.assert_close(kept, F.linear(x, module.weight, module.bias))


def test_a_wider_step_dense_keeps_what_the_old_neurons_know():
    net = Net(Plan(chain(StepDense(4), StepDense(2), shape=(5, 3))), seed=0)
    wide = net.edit(net.plan.graph.widen("layer0", 6))
    assert torch.equal(wide.layer0.weight[:4], net.layer0.weight)
    assert torch.equal(wide.layer0.bias[:4], net.layer0.bias)
    assert torch.equal(wide.layer1.weight[:, :4], net.layer1.weight)


# StepPool


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_mask_every_step_counts(kind):
    x, z = rows(3, 5, 4).requires_grad_(), rows(3, 5, 4).requires_grad_()
    ours, other, look = module_of(StepPool(kind), (5, 4))(x), pooled(kind, z), rows(3, 4, seed=1)
    torch.testing.assert_close(ours, other)
    (ours * look).sum().backward()
    (other * look).sum().backward()
    torch.testing.assert_close(x.grad, z.grad)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_with_a_mask_only_steps_that_are_there_count(kind, holes):
    there = lengths(5, 3, 1, 0, longest=5)
    if holes:
        there = torch.tensor([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
    x, z = rows(4, 5, 3).requires_grad_(), rows(4, 5, 3).requires_grad_()
    ours, other, look = module_of(StepPool(kind), (5, 3))(x, there), pooled(kind, z, there), rows(4, 3, seed=1)
    torch.testing.assert_close(ours, other, rtol=0, atol=1e-12)
    (ours * look).sum().backward()
    (other * look).sum().backward()
    torch.testing.assert_close(x.grad, z.grad, rtol=0, atol=1e-12)
    assert not x.grad[~there].any()
    assert x.grad[:3].flatten(1).any(1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_without_any_step_is_zero_and_so_is_its_gradient(kind):
    x = (rows(2, 4, 3) - 5).requires_grad_()  # below zero: the greatest of nothing is not one of them
    y = module_of(StepPool(kind), (4, 3))(x, lengths(0, 2, longest=4))
    assert torch.equal(y[0], torch.zeros(3, dtype=torch.float64))
    assert (y[1] < 0).all()
    (y * y + y).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[0].any()
    assert x.grad[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_has_no_influence_however_large(kind):
    module, there = module_of(StepPool(kind), (6, 3)), lengths(6, 4, 1, 0, longest=6)
    x = rows(4, 6, 3)
    for other in (1e300, -1e300, 0.0):
        changed = torch.where(there[..., None], x, other)
        torch.testing.assert_close(module(changed, there), module(x, there), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_side_by_side_are_pooled_each_by_itself(kind):
    x, there = rows(2, 3, 5, 4), lengths(5, 4, 3, 2, 1, 0, longest=5).view(2, 3, 5)
    module = module_of(StepPool(kind), (3, 5, 4))
    for given, masks in (((x,), ()), ((x, there), (there,))):
        flat = pooled(kind, x.flatten(0, 1), *(mask.flatten(0, 1) for mask in masks))
        torch.testing.assert_close(module(*given), flat.view(2, 3, 4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_right(kind):
    x, module = rows(3, 4, 2).requires_grad_(), module_of(StepPool(kind), (4, 2))
    assert torch.autograd.gradcheck(lambda x: module(x, lengths(4, 2, 0, longest=4)), x)


# Chunk and Reshape


def test_a_chunk_is_a_stretch_of_steps_and_the_mask_goes_with_it():
    g = Graph()
    g.input("words", shape=(6,))
    g.input("x", shape=(6, 3))
    g.layer("present", Present(), after="words")
    g.layer("sentences", Chunk(2), after="x")
    g.layer("there", Chunk(2), after="present")
    g.layer("sentence", StepPool("mean"), after="sentences", mask="there")
    g.layer("any", AnyPresent(), after="there")
    g.layer("document", StepPool("mean"), after="sentence", mask="any")
    g.output("y", after="document")
    net = Net(Plan(g), seed=0)
    assert (net.plan.shapes["sentences"], net.plan.shapes["there"], net.plan.shapes["any"]) == ((3, 2, 3), (3, 2), (3,))
    there = lengths(6, 3, 0, longest=6)
    batch = {"words": there.int() * 9, "x": rows(3, 6, 3)}
    found = net.activations(batch, ["sentences", "there", "sentence", "any", "document"])
    for i, part in enumerate(range(0, 6, 2)):
        assert torch.equal(found["sentences"][:, i], batch["x"][:, part : part + 2])
        assert torch.equal(found["there"][:, i], there[:, part : part + 2])
    assert found["any"].tolist() == [[True, True, True], [True, True, False], [False, False, False]]
    long, short = batch["x"][0], batch["x"][1]
    expected = torch.stack([long.mean(0), (short[:2].mean(0) + short[2]) / 2, torch.zeros(3, dtype=torch.float64)])
    torch.testing.assert_close(found["document"], expected)


def test_chunks_of_chunks():
    net = Net(Plan(chain(Chunk(2), Chunk(3), shape=(12, 5))), seed=0)
    x = rows(4, 12, 5)
    assert net.plan.shapes["layer1"] == (2, 3, 2, 5)
    assert torch.equal(net({"x": x}), x.reshape(4, 2, 3, 2, 5))
    assert torch.equal(Net(Plan(chain(Chunk(12), shape=12)), seed=0)({"x": x[..., 0]}), x[:, None, :, 0])


def test_uneven_chunks_are_refused_by_name():
    with pytest.raises(GraphError, match=r"layer 'layer0': Chunk\(4\) was given 10 steps; give a multiple of 4"):
        Plan(chain(Chunk(4), shape=(10, 3)))
    with pytest.raises(GraphError, match=r"Chunk\(4\) was given 2 steps"):
        Chunk(4).shape([(2, 3)])


@pytest.mark.parametrize(
    ("sizes", "expected"), [((-1, 4), (6, 4)), ((2, -1), (2, 12)), ((2, 3, 4), (2, 3, 4)), ((24,), (24,)), ((-1,), (24,))]
)
def test_reshape_keeps_the_order_of_neurons(sizes, expected):
    net = Net(Plan(chain(Reshape(sizes), shape=(3, 8))), seed=0)
    x = rows(5, 3, 8)
    assert net.plan.shapes["layer0"] == expected
    assert torch.equal(net({"x": x}), x.reshape(5, *expected))


def test_reshape_lays_several_inputs_end_to_end():
    g = Graph()
    g.input("a", shape=(2, 4))
    g.input("b", shape=12)
    g.layer("columns", Reshape((-1, 4)), after=["a", "b"])
    g.output("y", after="columns")
    net = Net(Plan(g), seed=0)
    a, b = rows(3, 2, 4), rows(3, 12, seed=1)
    assert torch.equal(net({"a": a, "b": b}), torch.cat([a, b.view(3, 3, 4)], 1))


# Tokens


def test_a_token_is_its_vector_and_nothing_is_zero():
    module = module_of(TokenEmbedding(6, 3), (4,))
    codes = torch.tensor([[5, 1, 0, 0], [2, 5, 5, 0]], dtype=torch.int32)
    y = module(codes)
    assert torch.equal(y, module.weight[codes.long()])
    assert torch.equal(y[codes == 0], torch.zeros(3, 3, dtype=torch.float64))
    assert y[codes != 0].abs().min() > 0
    y.sum().backward()
    count = torch.tensor([0.0, 1, 1, 0, 0, 3], dtype=torch.float64)  # the three zeros are not counted
    assert torch.equal(module.weight.grad, count[:, None].expand(6, 3))
    sentences = codes.view(2, 2, 2)
    assert torch.equal(module(sentences), y.view(2, 2, 2, 3))


def test_tokens_begin_as_vectors_of_length_one():
    weight = module_of(TokenEmbedding(2000, 64), (4,)).weight
    assert not weight[0].any()
    assert weight[1:].square().sum(1).mean().item() == pytest.approx(1, abs=0.02)
    assert abs(weight[1:].mean().item()) < 0.001


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("mode", ["eager", "traced"])
def test_training_leaves_nothing_at_zero_and_what_is_frozen_as_it_is(frozen, mode):
    g = Graph()
    g.input("text", shape=(4,))
    g.layer("present", Present(), after="text")
    g.layer("embedding", TokenEmbedding(6, 3, frozen=frozen), after="text")
    g.layer("mean", StepPool(), after="embedding", mask="present")
    g.layer("head", Dense(2), after="mean")
    g.output("y", after="head")
    net = Net(Plan(g), seed=0)
    assert net.embedding.weight.requires_grad is not frozen
    before = {name: value.clone() for name, value in net.state_dict().items()}
    codes = torch.tensor([[5, 1, 0, 0], [2, 5, 5, 0], [0, 0, 0, 0], [3, 4, 1, 2]], dtype=torch.int32)
    recipe = Recipe(loss="cross_entropy", batch_size=2, step_mode=mode, weight_decay=0.5, learning_rate=0.1)
    trainer = Trainer(net, Feed({"text": codes}, torch.tensor([0, 1, 0, 1])), recipe)
    for _ in range(4):
        trainer.run_epoch(torch.arange(4), [0.1, 0.1])
    assert not net.embedding.weight[0].any()
    assert torch.equal(net.embedding.weight, before["embedding.weight"]) is frozen
    assert (net.embedding.weight[1:] != before["embedding.weight"][1:]).all() or frozen
    assert not torch.equal(net.head.weight, before["head.weight"])


# What is declared, and what is refused


@pytest.mark.parametrize(
    ("layer", "shape", "learnt"),
    [
        (StepDense(4, "relu", dropout=0.5), (5, 3), {"weight": (4, 3), "bias": (4,)}),
        (StepDense(np.int64(4), bias=False), (2, 5, 3), {"weight": (4, 3)}),
        (StepPool("max"), (5, 3), {}),
        (Chunk(5), (10, 3), {}),
        (Reshape((-1, 2)), (5, 4), {}),
        (AnyPresent(), (5, 3), {}),
        (TokenEmbedding(7, 3, frozen=True), (5,), {"weight": (7, 3)}),
    ],
)
def test_what_is_declared_is_what_is_learnt_and_stored(layer, shape, learnt):
    graph = chain(layer, shape=shape)
    net = Net(Plan(graph), seed=0)
    assert {name: tuple(value.shape) for name, value in net.layer0.named_parameters()} == learnt == layer.tensors(shape)
    assert net.plan.parameter_count == sum(parameter.numel() for parameter in net.parameters())
    assert Graph.from_json(json.loads(json.dumps(graph.to_json()))) == graph


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepDense(0), r"StepDense.size is 0, expected a whole number of at least 1"),
        (lambda: StepDense(4, "rellu"), r"StepDense.activation is 'rellu', expected one of its names; did you mean 'relu'\?"),
        (lambda: StepDense(4, dropout=1.0), r"StepDense.dropout is 1.0, expected a number from 0"),
        (
            lambda: StepDense(4).shape([(3,)]),
            r"StepDense reads \(steps, width\), but was given \(3,\); put a Reshape before it",
        ),
        (lambda: StepPool("meen"), r"StepPool.kind is 'meen', expected one of its names; did you mean 'mean'\?"),
        (lambda: StepPool().shape([(3,)]), r"StepPool reads \(steps, width\), but was given \(3,\); put a Reshape before it"),
        (
            lambda: AnyPresent().shape([(3,)]),
            r"AnyPresent reads \(\.\.\., steps\), but was given \(3,\); put a Chunk before it",
        ),
        (lambda: Chunk(0), r"Chunk.size is 0, expected a whole number of at least 1"),
        (lambda: Chunk(2.5), r"Chunk.size is 2.5, expected a whole number of at least 1"),  # pyright: ignore
        (lambda: Reshape((2.5,)), r"Reshape.sizes is \(2.5,\), expected whole numbers of at least -1"),  # pyright: ignore
        (lambda: Reshape((-2, 3)), r"Reshape.sizes is \(-2, 3\), expected whole numbers of at least -1"),
        (lambda: Reshape((4,)).shape([(6,)]), r"Reshape cannot make \(4,\) of 6 neurons; give sizes whose product is 6"),
        (lambda: Reshape((-1, 4)).shape([(2, 3)]), r"Reshape cannot make \(-1, 4\) of 6 neurons"),
        (lambda: Reshape((-1, -1)).shape([(6,)]), r"Reshape cannot make \(-1, -1\) of 6 neurons"),
        (lambda: Reshape(()).shape([(1,)]), r"Reshape cannot make \(\) of 1 neurons; give sizes whose product is 1"),
        (lambda: Reshape((0, -1)).shape([(6,)]), r"Reshape cannot make \(0, -1\) of 6 neurons"),
        (lambda: TokenEmbedding(0, 3), r"TokenEmbedding.vocabulary is 0, expected a whole number of at least 1"),
        (lambda: TokenEmbedding(5, -1), r"TokenEmbedding.size is -1, expected a whole number of at least 1"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(GraphError, match=message):
        make()
