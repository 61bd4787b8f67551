"""The plan: order, delays, shapes, counts, and what it refuses."""

import pytest

from lamina.errors import GraphError
from lamina.graph import (
    Activation,
    Dense,
    Edge,
    Graph,
    Join,
    Norm,
    Plan,
)
from tests.graph.helpers import design, one


@pytest.mark.tiny
def test_the_design_s_example():
    plan = Plan(design())
    assert plan.order == ("hidden", "deeper")
    assert plan.recurrent
    assert plan.edges["hidden"] == (Edge("pixels", "hidden", 0), Edge("deeper", "hidden", 1))
    assert plan.edges["deeper"] == (Edge("hidden", "deeper", 0), Edge("pixels", "deeper", 0))
    assert plan.shapes == {"pixels": (1, 32, 32), "hidden": (64,), "deeper": (64,)}
    assert plan.joined == {"hidden": (1088,), "deeper": (1088,)}
    assert plan.parameters == {"hidden": 1088 * 64 + 64, "deeper": 1088 * 64 + 64}
    assert plan.parameter_count == 139_392
    assert repr(plan) == "Plan(2 layers, 139,392 parameters, recurrent)"
    assert str(plan).splitlines() == [
        "layer   kind    from                            shape  parameters  notes",
        "pixels  Input                             1 x 32 x 32",
        "hidden  Dense   pixels, deeper (delayed)           64      69,696  relu",
        "deeper  Dense   hidden, pixels                     64      69,696",
        "label   Output  deeper                             64",
        "total                                                     139,392  recurrent: steps over the time axis",
    ]


def test_a_plan_keeps_its_own_copy():
    g = design()
    plan = Plan(g)
    g.layer("late", Dense(3), after="deeper")
    assert "late" not in plan.graph.nodes


def test_order_is_that_of_definition_wherever_edges_leave_it_open():
    g = Graph()
    g.input("x", shape=3)
    g.layer("last", Join("concat"))
    for name, after in {"c": "x", "a": "x", "d": "c", "b": "x"}.items():
        g.layer(name, Dense(2), after=after)
        g.connect(name, "last")
    g.output("y", after="last")
    plan = Plan(g)
    assert plan.order == ("c", "a", "d", "b", "last")
    assert not plan.recurrent
    assert not any(edge.delay for edge in plan.edges["last"])  # defined before what it reads, but in no cycle


def cycle(**delays):
    g = Graph()
    g.input("x", shape=3)
    g.layer("a", Dense(2), after="x")
    g.layer("b", Dense(2))
    g.layer("c", Dense(2))
    for name in ("ab", "bc", "ca"):
        g.connect(name[0], name[1], delay=delays.get(name))
    g.output("y", after="c")
    return g


def delayed(graph):
    return {edge.source + edge.target for edges in Plan(graph).edges.values() for edge in edges if edge.delay}


def test_the_rule_for_delays_and_marks():
    assert delayed(cycle()) == {"ca"}
    assert delayed(cycle(bc=1)) == {"bc"}
    assert delayed(cycle(bc=1, ca=1)) == {"bc", "ca"}
    assert delayed(cycle(bc=1, ca=0)) == {"bc"}
    assert Plan(cycle(bc=1)).order == ("c", "a", "b")
    with pytest.raises(GraphError, match="the cycle through 'a', 'b', 'c' has no delayed edge, as one has delay=0"):
        Plan(cycle(ca=0))
    g = one(Dense(3))
    g.connect("layer", "layer", delay=0)
    with pytest.raises(GraphError, match="the cycle through 'layer' has no delayed edge"):
        Plan(g)


def test_shapes_of_a_cycle_follow_from_its_dense_layer():
    g = Graph()
    g.input("x", shape=3)
    g.layer("joined", Join("concat"), after="x")
    g.layer("active", Activation("relu"), after="joined")
    g.layer("back", Dense(2), after="active")
    g.layer("kept", Norm(), after="back")
    g.connect("kept", "joined")
    g.output("y", after="kept")
    plan = Plan(g)
    assert plan.shapes == {"x": (3,), "joined": (5,), "active": (5,), "back": (2,), "kept": (2,)}
    assert plan.joined["back"] == (5,)


def test_a_cycle_that_grows_is_refused():
    g = one(Join("concat"))
    g.connect("layer", "layer")
    with pytest.raises(GraphError, match="the cycle through 'layer' has no shape, .*put a Dense into it"):
        Plan(g)


def test_a_sum_fed_back_into_itself_has_the_shape_of_its_input():
    g = one(Join("add"))
    g.connect("layer", "layer")
    assert Plan(g).shapes["layer"] == (3,)


@pytest.mark.parametrize(
    ("join", "message"),
    [
        ("add", r"layer 'both': a \(2,\) and b \(3,\) cannot join by 'add'; connect one with projection=True or join='concat'"),
        ("concat", r"layer 'both': a \(2,\) and x \(4, 2\) cannot join by 'concat'; flatten one of them"),
    ],
)
def test_shapes_that_cannot_join_name_both_sides(join, message):
    g = Graph()
    g.input("x", shape=(4, 2))
    g.layer("a", Dense(2), after="x")
    g.layer("b", Dense(3), after="x")
    g.layer("both", Join(join), after=["a", "b"] if join == "add" else ["a", "x"])
    g.layer("end", Dense(1), after=["both", "b"])
    g.output("y", after="end")
    with pytest.raises(GraphError, match=message):
        Plan(g)


def test_a_sum_in_a_cycle_is_held_against_what_comes_back():
    g = Graph()
    g.input("x", shape=3)
    g.layer("sum", Join("add"), after="x")
    g.layer("back", Dense(2), after="sum")
    g.connect("back", "sum")
    g.output("y", after="back")
    with pytest.raises(GraphError, match=r"layer 'sum': x \(3,\) and back \(2,\) cannot join"):
        Plan(g)


def test_projections():
    g = Graph()
    g.input("x", shape=3)
    g.input("image", shape=(3, 2))
    g.layer("wide", Dense(4), after=["x", "image"])
    g.layer("sum", Join("add"), after="wide")
    g.connect("x", "sum", projection=True)
    g.output("y", after="sum")
    plan = Plan(g)
    assert plan.projections == {("x", "sum"): (3, 4)}
    assert plan.parameters["sum"] == 12
    assert "wide, x (projected)" in str(plan)
    g.connect("image", "sum", projection=True)
    with pytest.raises(GraphError, match=r"image \(3, 2\) cannot be projected to \(4,\), as 'sum' needs; only the last axis"):
        Plan(g)
    g = one(Dense(3))
    g.layer("other", Join("concat"), after="layer")
    g.connect("x", "other", projection=True)
    g.output("z", after="other")
    with pytest.raises(GraphError, match="edge from 'x' to 'other' is projected, but 'other' joins by 'concat'; use"):
        Plan(g)
    for layer in (Join("add"), Dense(3, join="add")):
        g = one(Dense(3))
        g.layer("other", layer)
        g.connect("x", "other", projection=True)
        g.output("z", after="other")
        with pytest.raises(
            GraphError, match="every edge into 'other' is projected, so its width is unknown; leave one without"
        ):
            Plan(g)
    g = one(Join("add"))
    g.layer("x_to_sum", Dense(5), after="layer")
    g.layer("sum", Join("add"), after="x_to_sum")
    g.connect("x", "sum", projection=True)
    g.output("z", after="sum")
    with pytest.raises(GraphError, match="the projection from 'x' to 'sum' needs the name 'x_to_sum'; rename that layer"):
        Plan(g)


def test_nodes_on_no_path_from_input_to_output_are_refused():
    g = Graph()
    g.input("x", shape=3)
    with pytest.raises(GraphError, match="the graph has no output; name the layer that it returns"):
        Plan(g)
    g = one(Dense(3))
    g.input("unread", shape=2)
    with pytest.raises(GraphError, match="no layer reads the input 'unread'; connect it to a layer that leads to an output"):
        Plan(g)
    g = one(Dense(3))
    g.layer("dead", Dense(2), after="x")
    with pytest.raises(GraphError, match="layer 'dead' leads to no output; connect it to another layer, or remove it"):
        Plan(g)
    g = one(Dense(3))
    g.layer("alone", Dense(2))
    g.connect("alone", "layer")
    with pytest.raises(GraphError, match="layer 'alone' reads nothing; give it after="):
        Plan(g)
    g.connect("alone", "alone")
    with pytest.raises(GraphError, match="layer 'alone' is not reached from any input; connect an input"):
        Plan(g)
