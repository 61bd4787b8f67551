"""The graphs of the families, their completed recipes, and that deep networks train only with shortcuts."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import lamina
from lamina.data.encoding import Input
from lamina.data.schema import Column, Schema
from lamina.errors import OptionError
from lamina.families import (
    FAMILIES,
    NETWORKS,
    Family,
    FeedForward,
    NetworkFamily,
    Shortcut,
    choose_family,
    make_family,
    works_with,
)
from lamina.families.family import LEARNING_RATES
from lamina.graph.plan import Plan
from lamina.tasks import Task
from lamina.train.recipe import Recipe

INPUTS = {
    "numbers": Input((3,), ("a", "b", "c")),
    "flags": Input((2,), ("d", "a is missing"), kind="flags"),
    "categories": Input((2,), ("e", "f"), (4, 100), "categories"),
}
BINARY = Task.infer(pl.DataFrame({"y": ["n", "y"] * 5}), "y")


@pytest.mark.tiny
def test_the_plain_network():
    family = FeedForward(hidden_sizes=(64, 64), activation="tanh", number_embedding=None, members=1, dropout=0.0)
    plan = Plan(family.graph({"numbers": Input((20,), tuple(map(str, range(20))))}, 3))
    assert plan.parameter_count == (20 * 64 + 64) + (64 * 64 + 64) + (64 * 3 + 3)
    assert list(plan.graph.layers) == ["hidden1", "hidden2", "head"]


def test_embeddings_of_plain_columns():
    family = FeedForward(
        number_embedding="periodic", number_embedding_dim=5, one_hot=10, category_embedding_dim=6, hidden_sizes=(7,), members=4
    )
    plan = Plan(family.graph(INPUTS, 2))
    assert plan.shapes["number_embedding"] == (15,)
    assert plan.shapes["category_embedding"] == (4 + 6,)
    assert plan.shapes["hidden1"] == (4, 7)
    assert plan.shapes["head"] == (4, 2)
    assert [edge.source for edge in plan.graph.edges_into("hidden1")] == ["number_embedding", "flags", "category_embedding"]


def test_shortcuts_skip_two_layers():
    graph = Shortcut(num_blocks=2, hidden_size=8, inner_size=16).graph(INPUTS, 1)
    assert [edge.source for edge in graph.edges_into("block2")] == ["block1", "project2"]
    assert Plan(graph).shapes["expand1"] == (16,)


def test_auto_fields_of_a_recipe_are_completed():
    recipe = FeedForward().complete(Recipe(), rows=40_000, inputs=INPUTS, task=BINARY)
    assert recipe.loss == "binary_cross_entropy"
    assert "auto" not in recipe.to_json().values() or recipe.step_mode == "auto"
    assert [FeedForward().batch_size(rows) for rows in (10, 1000, 50_000, 10_000_000)] == sorted(
        FeedForward().batch_size(rows) for rows in (10, 1000, 50_000, 10_000_000)
    )
    assert FeedForward().complete(Recipe(batch_size="full"), rows=777, inputs=INPUTS, task=BINARY).batch_size == 777
    recipe = Recipe(learning_rate=0.5, epochs=7, batch_size=5, schedule="cosine", loss="cross_entropy")
    kept = FeedForward().complete(recipe, rows=40_000, inputs=INPUTS, task=BINARY)
    assert (kept.learning_rate, kept.epochs, kept.batch_size, kept.schedule, kept.loss) == (
        0.5,
        7,
        5,
        "cosine",
        "cross_entropy",
    )


def test_families_go_by_name():
    assert make_family("shortcut") is Shortcut
    schema = Schema.infer({"x": [1.5, 2.5, 3.5], "y": ["a", "b", "a"]}, target="y")
    assert isinstance(choose_family("auto", schema)[0], FeedForward)
    with pytest.raises(OptionError, match="lamina has no family 'forrest'; did you mean 'forest'"):
        make_family("forrest")
    with pytest.raises(OptionError, match="family is None, expected 'auto', a name"):
        choose_family(None, schema)
    with pytest.raises(OptionError, match="has nothing to read"):
        FeedForward().graph({}, 1)
    with pytest.raises(TypeError, match="draws no graph"):
        NetworkFamily().graph(INPUTS, 1)
    with pytest.raises(TypeError, match="asks nothing of the encoder"):
        Family().encoding()
    assert all(family.name == name for name, family in FAMILIES.items())


def test_thirty_layers_train_with_shortcuts_and_not_without():
    """He et al. 2016: a plain stack of this depth passes no gradient to its first layers, a residual one does."""
    random = np.random.default_rng(0)
    X = random.normal(size=(600, 4))
    table = pl.DataFrame({**{f"x{i}": X[:, i] for i in range(4)}, "y": np.where(X[:, 0] * X[:, 1] > 0, "same", "other")})
    recipe = Recipe(epochs=25, batch_size=64, learning_rate=1e-3, patience=None)
    plain = {"number_embedding": None, "dropout": 0.0}
    deep = lamina.fit(
        table, "y", family=FeedForward(hidden_sizes=(64,) * 30, members=1, **plain), recipe=recipe, seed=0, monitor=None
    )
    residual = lamina.fit(
        table, "y", family=Shortcut(num_blocks=15, hidden_size=64, inner_size=64, **plain), recipe=recipe, seed=0, monitor=None
    )
    assert min(epoch["train_loss"] for epoch in deep.history_) > 0.65
    assert deep.model_.card["validation"]["accuracy"] < 0.7
    assert min(epoch["train_loss"] for epoch in residual.history_) < 0.2
    assert residual.model_.card["validation"]["accuracy"] > 0.85


def test_the_table_in_the_docs_is_what_the_code_says():
    page = (Path(__file__).parents[2] / "docs" / "families.md").read_text()
    assert works_with() in page


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in NETWORKS for kind in ("table", "image", "text", "series")])
def test_a_family_reads_what_the_table_says_or_says_who_does(name, kind):
    columns = {
        "table": Column("x", "number", "feature", "", {}),
        "image": Column("x", "image", "feature", "", {}),
        "text": Column("x", "text", "feature", "", {}),
        "series": Column("x", "series", "feature", "", {}),
    }
    schema = Schema((columns[kind],))
    line = next(line for line in works_with().splitlines() if f"`{name}`" in line)
    cell = line.split("|")[2 + list(columns).index(kind)].strip()
    if cell == "yes":
        assert choose_family(name, schema)[0].name == name
    else:
        with pytest.raises(OptionError, match=f"the family '{name}' reads .*; take 'auto' or one of feedforward"):
            choose_family(name, schema)
    assert kind == "table" or choose_family("auto", schema)[1].startswith("column 'x' holds")


BLOCKS = {
    "table": INPUTS,
    "image": {"image": Input((28, 28, 1), ("x",), kind="image")},
    "colour": {"image": Input((32, 32, 3), ("x",), kind="image")},
    "text": {"text": Input((100,), ("x",), (5000,), "text")},
    "series": {"series": Input((150, 2), ("x", "a", "b"), kind="series"), "series_steps": Input((150,), ("x",), kind="steps")},
}
READS = {"table": "number", "colour": "image"}  # the kind of column, where it goes by another name
TASKS = {
    "binary": BINARY,
    "classes": Task.infer(pl.DataFrame({"y": ["a", "b", "c"] * 5}), "y"),
    "regression": Task.infer(pl.DataFrame({"y": [i / 7 for i in range(40)]}), "y"),
}
READ = [(name, kind) for name, family in NETWORKS.items() for kind in BLOCKS if READS.get(kind, kind) in family.reads]
OPTIMIZERS = ("sgd", "adagrad", "rmsprop", "adam", "adamw")


def test_the_tests_cover_the_table_of_kinds():
    rows = [line.split("|") for line in works_with().splitlines()[2:]]
    columns = ("table", "image", "text", "series")
    readable = {
        (row[1].strip(" `"), kind)
        for row in rows
        for kind, cell in zip(columns, row[2:6], strict=True)
        if cell.strip() == "yes"
    }
    assert {(name, kind) for name, kind in readable if name in NETWORKS} == {
        (name, kind) for name, kind in READ if kind != "colour"
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("name", "kind"), READ)
def test_a_completed_recipe_has_no_auto_fields(name, kind, task):
    every = {key: block for blocks in BLOCKS.values() for key, block in blocks.items()}
    for rows in (2, 150, 20_000, 3_000_000):
        for inputs in (BLOCKS[kind], every):
            recipe = NETWORKS[name]().complete(Recipe(), rows=rows, inputs=inputs, task=TASKS[task])
            # step_mode depends on the device and on whether the step can be traced.
            assert [key for key, value in recipe.to_json().items() if value == "auto"] == ["step_mode"]
            assert recipe.check() is recipe
            assert 1 <= recipe.batch_size <= rows
            assert recipe.loss == TASKS[task].losses[0].name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("name", "kind"), READ)
def test_the_preferred_learning_rate_is_for_adam_and_adamw(name, kind, optimizer):
    given = {"rows": 1000, "inputs": BLOCKS[kind], "task": BINARY}
    family = NETWORKS[name]()
    preferred = family.prefers(**given)
    recipe = family.complete(Recipe(optimizer=optimizer), **given)
    kin = optimizer in ("adam", "adamw")
    assert recipe.learning_rate == (preferred.get("learning_rate", 3e-3) if kin else LEARNING_RATES[optimizer])
    decay = 0.03 if optimizer == "adamw" else 0.0
    assert recipe.weight_decay == (preferred.get("weight_decay", decay) if optimizer == "adamw" else decay)
    others = {key: value for key, value in preferred.items() if key not in ("learning_rate", "weight_decay")}
    assert {key: getattr(recipe, key) for key in others} == others


def test_some_families_prefer_another_learning_rate():
    rates = {NETWORKS[name]().prefers(rows=1000, inputs=BLOCKS[kind], task=BINARY).get("learning_rate") for name, kind in READ}
    assert len(rates - {None, *LEARNING_RATES.values()}) > 0


@pytest.mark.parametrize(("name", "kind"), READ)
def test_fields_that_are_set_are_kept(name, kind):
    options = {
        "learning_rate": 0.123,
        "weight_decay": 0.5,
        "schedule": "plateau",
        "epochs": 77,
        "batch_size": 13,
        "patience": None,
    }
    options |= {"clip_value": 3.0, "augment": ("erase",), "precision": "float32", "loss": "cross_entropy"}
    options |= {"metric": "accuracy"}
    for optimizer in OPTIMIZERS:
        recipe = Recipe(optimizer=optimizer, **options)
        assert NETWORKS[name]().complete(recipe, rows=1000, inputs=BLOCKS[kind], task=BINARY) == recipe


def test_the_size_of_the_default_network_and_its_optimizer_follow_the_rows():
    task = Task.infer(pl.DataFrame({"y": ["a", "b"] * 5}), ["y"])
    plain = {"numbers": Input((3,), ("x", "y", "z"), kind="numbers")}
    image = plain | {"image": Input((8, 8, 1), ("i",), kind="image")}
    decided = {}
    for rows in (9_999, 10_000, 40_000):
        family, _ = FeedForward().suited(plain, "cpu", rows)
        recipe = family.complete(Recipe(), rows=rows, inputs=plain, task=task)
        decided[rows] = family.hidden_sizes, family.members, recipe.optimizer, recipe.epochs, recipe.patience
    assert decided == {
        9_999: ((128, 128), 16, "adamw", 200, 8),
        10_000: ((128, 128, 128), 8, "muon", 200, 6),
        40_000: ((128, 128, 128), 8, "muon", 50, 6),
    }
    beside = FeedForward().suited(image, "cpu", 40_000)[0]
    assert (beside.hidden_sizes, beside.members) == ((128, 128), 1)
    assert beside.complete(Recipe(), rows=40_000, inputs=image, task=task).optimizer == "adamw"
    given = FeedForward(hidden_sizes=(8,), members=2)
    assert given.suited(plain, "cpu", 40_000)[0] == given
    assert given.complete(Recipe(optimizer="adamw"), rows=40_000, inputs=plain, task=task).epochs == 100
