"""The recurrent family: its graph, its preferred recipe, and that it learns order."""

import numpy as np
import pytest

import lamina
from lamina.data.encoding import Input
from lamina.errors import OptionError
from lamina.families import Recurrent
from lamina.graph import Net, Plan
from lamina.graph.layers.recurrent import Ends, Loop
from lamina.tasks import Classification
from lamina.train.recipe import Recipe

SERIES = {
    "series": Input((9, 3), ("wave",), kind="series"),
    "series_steps": Input((9,), ("wave",), kind="steps"),
}
TEXT = {"text": Input((20,), ("review",), (100,), "text")}
CELLS = ("lstm", "gru", "rnn", "indirect")


def plan(inputs=None, **options):
    return Plan(Recurrent(**options).check().graph(inputs or SERIES, 2))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("inputs", [SERIES, TEXT, SERIES | TEXT | {"numbers": Input((2,), ("a", "b"))}])
def test_every_cell_reads_series_and_texts(cell, inputs):
    drawn = plan(inputs, cell=cell, hidden_sizes=(4, 5))
    assert drawn.shapes["head"] == (2,)
    assert Net(drawn, seed=0).plan.parameter_count == drawn.parameter_count


def test_layers_are_stacked():
    drawn = plan(hidden_sizes=(4, 6), cell="gru", dropout=0.2)
    assert drawn.shapes["series_recurrent1"] == (9, 8)
    assert drawn.shapes["series_recurrent2"] == (9, 12)
    assert drawn.masks["series_recurrent2"] == "series_present"
    assert [edge.source for edge in drawn.edges["series_recurrent2"]] == ["series_recurrent1"]
    assert plan(hidden_sizes=(4,), bidirectional=False).shapes["series_recurrent1"] == (9, 4)


@pytest.mark.parametrize(
    ("pool", "width", "nodes"),
    [
        ("last", 8, ["series_last"]),
        ("mean", 8, ["series_mean"]),
        ("max", 8, ["series_max"]),
        ("mean_max", 16, ["series_mean", "series_max", "series_pools"]),
    ],
)
def test_pools(pool, width, nodes):
    drawn = plan(hidden_sizes=(4,), pool=pool)
    assert [name for name in drawn.order if name not in ("series_present", "series_recurrent1", "head")] == nodes
    assert drawn.shapes[nodes[-1]] == (width,)
    assert isinstance(drawn.layers[nodes[0]], Ends) == (pool == "last")


def test_indirect_recurrence_goes_through_the_next_layer():
    loop = plan(cell="indirect", hidden_sizes=(4, 6)).layers["series_recurrent"]
    assert isinstance(loop, Loop)
    assert [(edge.source, edge.target, edge.delay) for edges in loop.plan.edges.values() for edge in edges] == [
        ("step", "hidden1", 0),
        ("hidden2", "hidden1", 1),
        ("hidden1", "hidden2", 0),
    ]
    alone = plan(cell="indirect", hidden_sizes=(4,)).layers["series_recurrent"]
    assert isinstance(alone, Loop)
    assert alone.plan.order == ("hidden1", "hidden2")


def test_gradients_are_clipped_by_default():
    task = Classification(("y",), classes=("a", "b"), dtype="String")
    recipe = Recurrent().complete(Recipe(), rows=270, inputs=SERIES, task=task)
    assert (recipe.clip_value, recipe.batch_size, recipe.epochs) == (1.0, 16, 200)
    assert Recurrent().complete(Recipe(), rows=3_000, inputs=SERIES, task=task).epochs == 133
    assert Recurrent().complete(Recipe(clip_value=None), rows=270, inputs=SERIES, task=task).clip_value is None


def test_invalid_options_are_refused():
    with pytest.raises(OptionError, match=r"bidirectional is True with cell='indirect', which is unidirectional"):
        Recurrent(cell="indirect", bidirectional=True).check()
    with pytest.raises(
        OptionError, match=r"Recurrent.hidden_sizes is empty, expected the sizes of one recurrent layer or more"
    ):
        Recurrent(hidden_sizes=()).check()
    with pytest.raises(OptionError, match=r"Recurrent.cell is 'ltsm', expected one of 'lstm', 'gru', 'rnn', 'indirect'"):
        Recurrent(cell="ltsm").check()


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_the_order_of_steps(cell):
    """The class is the sign of the first step, which a mean or maximum over the steps does not show."""
    random = np.random.default_rng(0)
    waves = [random.normal(size=(length, 1)) for length in random.integers(3, 7, 240)]
    table = {"wave": waves, "first": ["up" if wave[0] > 0 else "down" for wave in waves]}
    family = Recurrent(cell=cell, hidden_sizes=(12,), bidirectional=False, pool="last", dropout=0.0)
    recipe = Recipe(epochs=60, batch_size=16, learning_rate=0.02)
    model = lamina.fit(table, "first", family=family, recipe=recipe, validation=0.25, seed=0, monitor=None)
    assert model.model_.card["validation"]["accuracy"] >= 0.9
