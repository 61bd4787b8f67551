"""The hierarchical family: its levels, invariance to padding, and that it finds the relevant sentence."""

import math

import numpy as np
import pytest
import torch

from lamina.data.encoding import Input
from lamina.data.feed import Feed
from lamina.errors import GraphError, OptionError
from lamina.families.hierarchical import MOST_STEPS, Hierarchical
from lamina.graph import Net, Plan
from lamina.tasks import Classification
from lamina.train.recipe import Recipe
from lamina.train.schedules import make_schedule
from lamina.train.step import Trainer

TASK = Classification(("y",), dtype="String", classes=("a", "b", "c"))
SMALL = {"hidden_size": 8, "embedding_dim": 4}


def text(length, vocabulary=50):
    return {"text": Input((length,), ("review",), (vocabulary,), "text")}


def series(length, channels=2):
    steps = Input((length,), ("watch",), kind="steps")
    return {"series": Input((length, channels), ("watch", "x", "y"), kind="series"), "series_steps": steps}


def net_of(family, inputs, outputs=3):
    return Net(Plan(family.graph(inputs, outputs)), seed=0).eval()


def codes(*shape, seed=0, vocabulary=50):
    return torch.randint(2, vocabulary, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


@pytest.mark.parametrize(
    ("family", "inputs", "sizes"),
    [
        (Hierarchical(levels=(5,)), text(20), (5,)),
        (Hierarchical(levels=(5, 2, 2)), text(40), (5, 2, 2)),
        (Hierarchical(), text(25), (25,)),
        (Hierarchical(), text(1600), (25,)),
        (Hierarchical(), text(2500), (25, 10)),
        (Hierarchical(), text(20_000), (25, 32)),
        (Hierarchical(), text(25 * 67), (25,)),  # 67 sentences make no even paragraphs
        (Hierarchical(), series(25), (5,)),
        (Hierarchical(), series(300), (20,)),
        (Hierarchical(), series(8000), (20, 20)),
    ],
)
def test_levels_are_of_similar_length(family, inputs, sizes):
    block = next(iter(inputs.values()))
    assert family.sizes(block) == sizes
    shapes = Plan(family.graph(inputs, 3)).shapes
    name, left = next(iter(inputs)), block.shape[0]
    for level, size in enumerate(sizes, 1):
        left //= size
        assert shapes[f"{name}_chunk{level}"][:2] == (left, size)
        assert shapes[f"{name}_attention{level}"] == (left, family.hidden_size)
    assert shapes[f"{name}_attention{len(sizes) + 1}"] == (family.hidden_size,)


def test_encoding_is_a_multiple_of_the_levels():
    encoding = Hierarchical(levels=(20, 10), max_length=10_000).encoding()
    assert (encoding.sentence, encoding.chunk, encoding.length) == (20, 200, 10_000)
    encoding = Hierarchical().encoding()
    assert (encoding.sentence, encoding.chunk, encoding.length) == (25, 25, 0)


@pytest.mark.parametrize("encoder", ["gru", "none"])
@pytest.mark.parametrize("levels", [(5,), (5, 2)])
def test_longer_padding_and_missing_documents_change_nothing(encoder, levels):
    family = Hierarchical(levels=levels, encoder=encoder, **SMALL)
    short, long = net_of(family, text(20)), net_of(family, text(60))
    long.load_state_dict(short.state_dict())
    x = codes(3, 20)
    x[0, 13:] = 0
    x[1, 3:5] = 0  # a short sentence
    x[2] = 0  # a missing text
    padded = torch.nn.functional.pad(x, (0, 40))
    y = short({"text": x})
    assert y.isfinite().all()
    torch.testing.assert_close(long({"text": padded}), y, rtol=0, atol=1e-6)


def test_missing_documents_have_finite_gradients():
    net = net_of(Hierarchical(levels=(5,), **SMALL), text(20)).train()
    x = codes(3, 20)
    x[1] = 0
    net({"text": x}).square().sum().backward()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()


def test_series_and_several_columns_have_branches_of_their_own():
    inputs = {**text(50), **series(25), "text2": Input((25,), ("title",), (9,), "text"), "numbers": Input((2,), ("a", "b"))}
    net = net_of(Hierarchical(**SMALL), inputs)
    batch = {"text": codes(2, 50), "text2": codes(2, 25, vocabulary=9), "numbers": torch.zeros(2, 2)}
    batch |= {"series": torch.randn(2, 25, 2), "series_steps": (torch.arange(25) < 7).to(torch.uint8).repeat(2, 1)}
    y = net(batch)
    batch["series"][:, 7:] = 99.0  # beyond the end
    torch.testing.assert_close(net(batch), y)
    assert {"text_attention2", "text2_attention2", "series_attention2", "table"} <= set(net.plan.layers)


@pytest.mark.parametrize("length", [25, 2_500, 20_000, 40_000, 10_000_000])
def test_batches_of_long_documents_are_small(length):
    family = Hierarchical()
    recipe = family.complete(Recipe(), rows=2_000, inputs=text(length), task=TASK)
    assert recipe.batch_size == 32 or recipe.batch_size == 4 or recipe.batch_size * length <= MOST_STEPS
    assert recipe.clip_value == 1.0
    assert "auto" not in [recipe.to_json()[name] for name in family.prefers(rows=2_000, inputs=text(length), task=TASK)]
    assert family.complete(Recipe(), rows=3, inputs=text(length), task=TASK).batch_size == 3


def test_it_finds_the_relevant_sentence():
    """A key word and a value word in one sentence determine the class; each alone is in all documents."""
    random = np.random.default_rng(0)
    rows, sentences, size, classes, most = 700, 60, 5, 4, 60
    x = random.integers(7, most, (rows, sentences, size), dtype=np.int32)
    y, where = random.integers(0, classes, rows), random.integers(0, sentences, rows)
    for i in range(rows):
        others = random.permutation(np.delete(np.arange(sentences), where[i]))[:4]
        x[i, others, 0] = [2, 3, 4, 5]
        x[i, where[i], random.permutation(size)[:2]] = 2, 3 + y[i]
    family = Hierarchical(levels=(size,), encoder="none", hidden_size=16, embedding_dim=16, dropout=0.0)
    net = Net(Plan(family.graph(text(sentences * size, most), classes)), seed=0)
    recipe = Recipe(
        learning_rate=5e-3, batch_size=32, epochs=12, schedule="cosine", weight_decay=0.03, clip_value=1.0, loss="cross_entropy"
    )
    blocks = torch.from_numpy(x.reshape(rows, -1))
    train = slice(0, 600)
    trainer = Trainer(net, Feed({"text": blocks[train]}, y[train]), recipe)
    schedule, generator = make_schedule(recipe, trainer.steps_per_epoch), torch.Generator().manual_seed(0)
    for epoch in range(12):
        trainer.run_epoch(torch.randperm(600, generator=generator), schedule.rates(epoch))
    assert not trainer.why_eager
    net.eval()
    with torch.no_grad():
        held_out = {"text": blocks[600:]}
        right = net(held_out).argmax(-1).numpy() == y[600:]
        weights = net.attention(held_out)["text_attention2"][:, 0].numpy()
    assert right.mean() >= 0.95
    assert weights[np.arange(100), where[600:]].mean() >= 3 / sentences


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Hierarchical(levels=(1,)), r"Hierarchical.levels is \(1,\), expected 'auto' or a list of whole numbers"),
        (Hierarchical(levels=()), r"Hierarchical.levels is empty, expected the size of one level or more, as in \(25,\)"),
        (Hierarchical(hidden_size=7), "Hierarchical.hidden_size is 7, expected an even number"),
        (
            Hierarchical(hidden_size=8, num_heads=3),
            "Hierarchical.num_heads is 3, expected a number that divides hidden_size, 8",
        ),
    ],
)
def test_bad_options_are_refused(family, message):
    with pytest.raises(OptionError, match=message):
        family.check()


def test_lengths_that_do_not_fit_the_levels_are_refused():
    with pytest.raises(GraphError, match="Chunk\\(7\\) was given 20 steps; give a multiple of 7"):
        Plan(Hierarchical(levels=(7,)).graph(text(20), 3))


def test_parameters_do_not_grow_with_the_length():
    counts = {
        length: net_of(Hierarchical(levels=(25, 20), **SMALL), text(length)).plan.parameter_count for length in (500, 5000)
    }
    assert len(set(counts.values())) == 1
    assert math.prod((25, 20)) == 500
