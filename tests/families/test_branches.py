"""Families with branches: their recipe with a backbone, and their plain columns."""

import polars as pl
import pytest

from lamina.data.encoding import Input
from lamina.families import Attention, Convolutional, FeedForward, Hierarchical, Recurrent
from lamina.families.family import LEARNING_RATES
from lamina.graph import Plan
from lamina.graph.graph import Graph
from lamina.tasks import Task
from lamina.train.recipe import Recipe

PROBLEM = {
    "rows": 1000,
    "inputs": {"image": Input((8, 8, 3), ("photo",), kind="image")},
    "task": Task.infer(pl.DataFrame({"y": ["n", "y"] * 5}), "y"),
}


@pytest.mark.parametrize("optimizer", LEARNING_RATES)
def test_fine_tuning_has_a_tenth_of_the_learning_rate(optimizer):
    family = Convolutional(backbone="backbone", freeze_backbone=False)
    recipe = family.complete(Recipe(optimizer=optimizer), **PROBLEM)
    expected = {"sgd": 0.005, "adagrad": 0.002, "rmsprop": 1e-4, "adam": 3e-4, "adamw": 3e-4, "muon": 3e-4}
    assert (recipe.learning_rate, recipe.epochs) == (expected[optimizer], 15)
    assert family.complete(Recipe(optimizer=optimizer, learning_rate=0.5), **PROBLEM).learning_rate == 0.5


MIXED = {
    "numbers": Input((3,), ("a", "b", "c")),
    "categories": Input((2,), ("few", "many"), (4, 40), "categories"),
    "text": Input((25,), ("review",), (9,), "text"),
}


@pytest.mark.parametrize("family", [Convolutional, Recurrent, Hierarchical])
def test_a_mixed_table_takes_the_options_of_the_table_reader(family):
    options = {"bins": 7, "number_embedding_dim": 5, "one_hot": 10, "category_embedding_dim": 6}
    plans = [Plan(cls(number_embedding="periodic", **options).graph(MIXED, 2)) for cls in (family, FeedForward)]
    for name, shape in (("number_embedding", (15,)), ("category_embedding", (4 + 6,))):
        assert plans[0].layers[name] == plans[1].layers[name]
        assert [plan.shapes[name] for plan in plans] == [shape, shape]
    layer = Plan(family(bins=7).graph(MIXED, 2)).layers["number_embedding"]
    assert (layer.kind, layer.bins) == ("piecewise_linear", 7)
    plain = Plan(family(number_embedding=None, one_hot=0).graph(MIXED, 2))
    assert "number_embedding" not in plain.layers
    assert [edge.source for edge in plain.graph.edges_into("table")] == ["numbers", "category_embedding"]
    assert plain.shapes["category_embedding"] == (16,)


def test_unsupported_blocks_are_refused():
    from lamina.families.branches import BranchFamily

    with pytest.raises(TypeError, match=r"BranchFamily has no table\(\)"):
        BranchFamily().table(Graph(), MIXED)
    with pytest.raises(TypeError, match="a block of kind 'image' has no steps"):
        Attention().steps(Graph(), "image", PROBLEM["inputs"]["image"])
