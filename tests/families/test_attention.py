"""The attention family: its graph for each kind of column, and that it learns interactions of words."""

import numpy as np
import polars as pl
import pytest
import torch

from lamina.data.encoding import Input
from lamina.data.feed import Feed
from lamina.errors import OptionError
from lamina.families.attention import Attention
from lamina.graph import Net, Plan
from lamina.graph.layers.attention import MultiHeadAttention, Position
from lamina.tasks import Task
from lamina.tasks.losses import LOSSES
from lamina.train.forward import Validation
from lamina.train.loop import train
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer

TEXT = {"text": Input((12,), ("review",), (30,), "text")}
SERIES = {
    "series": Input((12, 3), ("walk", "x", "y", "z"), kind="series"),
    "series_steps": Input((12,), ("walk",), kind="steps"),
}
IMAGE = {"image": Input((10, 9, 3), ("photo",), kind="image")}
TABLE = {
    "numbers": Input((3,), ("a", "b", "c")),
    "flags": Input((2,), ("d", "a is missing"), kind="flags"),
    "categories": Input((2,), ("e", "f"), (4, 9), "categories"),
}
TINY = Attention(hidden_size=8, num_heads=2, embedding_dim=8, num_layers=1, dropout=0.0, word_dropout=0.0, joint_size=8)
CLASSES = Task.infer(pl.DataFrame({"y": ["a", "b", "c"] * 5}), "y")


def blocks_of(inputs, rows=6, seed=0):
    """Random rows for these inputs; the first text and the first series are empty."""
    random = np.random.default_rng(seed)
    found = {}
    for name, block in inputs.items():
        shape = (rows, *block.shape)
        if block.kind in ("text", "steps"):
            present = np.arange(block.shape[0]) < random.permutation(rows)[:, None] * 2
            codes = random.integers(1, block.cardinalities[0], shape) if block.kind == "text" else 1
            found[name] = (codes * present).astype(np.int32 if block.kind == "text" else np.uint8)
        elif block.kind == "categories":
            found[name] = random.integers(0, block.cardinalities, shape)
        elif block.kind == "image":
            found[name] = random.integers(0, 256, shape).astype(np.uint8)
        else:
            found[name] = random.normal(size=shape).astype(np.float32)
    return found


def fit(family, inputs, blocks, target, **recipe):
    net = Net(Plan(family.graph(inputs, int(target.max()) + 1)), seed=0)
    feed = Feed(blocks, target)
    net.prepare(feed.inputs)
    recipe = family.complete(Recipe(**{"threads": 1, **recipe}), rows=len(target), inputs=inputs, task=CLASSES)
    return train(net, feed, Validation(feed, CLASSES, LOSSES[recipe.loss]), recipe=recipe, seed=0)


@pytest.mark.parametrize("inputs", [TEXT, SERIES, IMAGE, TABLE, TEXT | SERIES | IMAGE | TABLE], ids=lambda i: "-".join(i))
def test_outputs_and_gradients_are_finite_for_every_kind_of_column(inputs):
    net = Net(Plan(TINY.graph(inputs, 3)), seed=0)
    batch = {name: torch.from_numpy(block) for name, block in blocks_of(inputs).items()}
    net.prepare(batch)
    outputs = net(batch)
    assert outputs.shape == (6, 3)
    outputs.square().sum().backward()
    gradients = {name: p.grad for name, p in net.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())


def test_the_graph_depends_on_the_kind_of_column():
    plan = Plan(Attention().graph(TEXT | SERIES | IMAGE | TABLE, 3))
    attention = {name for name, layer in plan.layers.items() if isinstance(layer, MultiHeadAttention)}
    count = {kind: sum(name.startswith(f"{kind}_") for name in attention) for kind in ("text", "series", "image", "table")}
    assert count == {"text": 1, "series": 2, "image": 4, "table": 2}
    positions = {name: layer.kind for name, layer in plan.layers.items() if isinstance(layer, Position)}
    assert positions == {"text_position": "sinusoidal", "series_position": "sinusoidal", "image_position": "learnt"}
    assert plan.shapes["table_columns"] == (3 + 2 + 2, 64)  # each column is a step
    assert plan.shapes["image_patches"] == (90, 3)  # 10 x 9 pixels, one by one
    assert plan.shapes["image_pool"] == (96,)
    assert plan.shapes["text_end"] == (128,)  # the mean word embedding and the pooled attention


def test_options_reach_the_graph():
    family = Attention(
        num_layers=3, hidden_size=24, num_heads=3, mlp_ratio=4, positions=None, patch_size=5, word_dropout=0.0, embedding_dim=10
    )
    plan = Plan(family.check().graph(IMAGE | TEXT, 2))
    assert plan.shapes["image_patches"] == (4, 75)
    assert plan.shapes["image_expand3"] == (4, 96)
    assert plan.shapes["text_stem"] == (12, 24)
    assert not {"image_position", "text_position", "text_kept", "image_norm4"} & set(plan.layers)
    assert Plan(Attention(num_heads=5).graph(TEXT, 2)).shapes["text_pool"] == (65,)
    with pytest.raises(OptionError, match=r"Attention.hidden_size is 50, expected a multiple of num_heads, 4; change one"):
        Attention(hidden_size=50).check()


@pytest.mark.parametrize("inputs", [TEXT, SERIES], ids=["text", "series"])
def test_longer_padding_changes_no_output(inputs):
    longer = {n: Input((30, *b.shape[1:]), b.names, b.cardinalities, b.kind) for n, b in inputs.items()}
    short, long = (Net(Plan(TINY.graph(i, 3)), seed=0).eval() for i in (inputs, longer))
    blocks = blocks_of(inputs)
    padded = {n: np.pad(b, [(0, 0), (0, 18), *[(0, 0)] * (b.ndim - 2)]) for n, b in blocks.items()}
    near, far = (net({n: torch.from_numpy(b) for n, b in blocks.items()}) for net, blocks in ((short, blocks), (long, padded)))
    torch.testing.assert_close(near, far)


def test_it_learns_an_interaction_of_words():
    """Class 1 where both words are present or neither, which is not linear in the mean of the words."""
    random = np.random.default_rng(0)
    codes = random.integers(4, 30, (400, 12)).astype(np.int32)
    first, second = random.random(400) < 0.5, random.random(400) < 0.5
    codes[np.arange(400), random.integers(0, 6, 400)] = np.where(first, 2, 4)
    codes[np.arange(400), random.integers(6, 12, 400)] = np.where(second, 3, 4)
    family = Attention(hidden_size=16, num_heads=2, embedding_dim=16, num_layers=1, dropout=0.0, word_dropout=0.0)
    target = (first == second).astype(np.int64)
    _, history = fit(family, TEXT, {"text": codes}, target, epochs=30, learning_rate=1e-2, batch_size=32)
    assert history.epochs[-1]["validation_accuracy"] > 0.97


def test_it_learns_a_table_and_attends_to_columns():
    random = np.random.default_rng(0)
    blocks = blocks_of(TABLE, rows=300)
    blocks["flags"] = (random.random((300, 2)) < 0.5).astype(np.float32)
    target = ((blocks["numbers"][:, 0] * blocks["flags"][:, 0] > 0) + (blocks["categories"][:, 0] == 1)).astype(np.int64)
    net, history = fit(TINY, TABLE, blocks, target, epochs=30, learning_rate=1e-2)
    assert history.epochs[-1]["validation_accuracy"] > 0.9
    weights = net.attention({name: torch.from_numpy(block[:5]) for name, block in blocks.items()})
    assert {name: tuple(found.shape) for name, found in weights.items()} == {
        "table_attention1": (5, 2, 7, 7),
        "table_pool": (5, 2, 7),
    }


def test_steps_are_replayed():
    """A traced step gives the same numbers as an eager one, masks, dropout and all."""
    rows = 64
    recipe = Recipe(threads=1, batch_size=16, epochs=3, step_mode="traced")
    family = Attention(hidden_size=8, num_heads=2, embedding_dim=8, dropout=0.1, joint_size=8)
    inputs = TEXT | SERIES
    target = np.arange(rows) % 3
    feed = Feed(blocks_of(inputs, rows), target)
    recipe = family.complete(recipe, rows=rows, inputs=inputs, task=CLASSES)
    trainer = Trainer(Net(Plan(family.graph(inputs, 3)), seed=0), feed, recipe)
    trainer.run_epoch(torch.arange(rows), [1e-3] * trainer.steps_per_epoch)
    assert trainer.why_eager == ""


def test_the_preferred_recipe_depends_on_the_columns():
    prefer = Attention().prefers
    text = prefer(rows=10_000, inputs=TEXT, task=CLASSES)
    assert (text["epochs"], text["learning_rate"], text["augment"]) == (5, 3e-3, None)
    assert prefer(rows=10_000, inputs={"text": Input((4096,), ("t",), (9,), "text")}, task=CLASSES)["batch_size"] == 16
    assert prefer(rows=10_000, inputs=IMAGE, task=CLASSES)["augment"] == ("shift", "flip")
    assert prefer(rows=10_000, inputs={"image": Input((8, 8, 1), ("i",), kind="image")}, task=CLASSES)["augment"] == (
        "shift",
        "rotate",
    )
    assert prefer(rows=10_000, inputs=TABLE, task=CLASSES)["epochs"] == 100
    assert Attention().complete(Recipe(epochs=3), rows=50, inputs=TEXT, task=CLASSES).epochs == 3
