"""The graph: building it, what it refuses, JSON both ways."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lamina.graph
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
    Norm,
    NumberEmbedding,
)
from tests.graph.helpers import design, one


def test_names_are_checked():
    g = one(Dense(3))
    for name in ("2nd", "a.b", "", "a b", 3):
        with pytest.raises(GraphError, match="cannot name a node; use letters, digits and underscores, not a digit first"):
            g.layer(name, Dense(3), after="x")
    for name in ("x", "layer", "y"):
        with pytest.raises(
            GraphError, match=f"the name '{name}' is taken; give each input, layer and output a name of its own"
        ):
            g.input(name, shape=3)


def test_unknown_ends_are_refused_with_the_nearest_name():
    g = one(Dense(3))
    with pytest.raises(GraphError, match="layer 'new' comes after 'leyer', which is not defined; did you mean 'layer'"):
        g.layer("new", Dense(3), after=["x", "leyer"])
    with pytest.raises(GraphError, match="an edge starts at 'q', which is not defined; known: x, layer"):
        g.connect("q", "layer")
    with pytest.raises(GraphError, match="an edge ends at 'y', which is not defined"):
        g.connect("x", "y")
    with pytest.raises(GraphError, match="output 'z' comes after 'q', which is not defined"):
        g.output("z", after="q")


def test_edges_that_make_no_sense_are_refused():
    g = one(Dense(3))
    with pytest.raises(GraphError, match="'layer' cannot connect to the input 'x'; inputs come from the batch"):
        g.connect("layer", "x")
    with pytest.raises(GraphError, match="'x' is connected to 'layer' already; connect two nodes once"):
        g.connect("x", "layer")
    with pytest.raises(GraphError, match=r"comes after \['x', 'x'\], where a name is repeated; name each once"):
        g.layer("new", Dense(3), after=["x", "x"])
    with pytest.raises(GraphError, match=r"delay from 'layer' to 'layer' is 2, expected 0, 1 or None; chain Join\(\) to wait"):
        g.connect("layer", "layer", delay=2)


@pytest.mark.parametrize("shape", [(), (0,), (3, -1), (2.5,), (True,), 0, 2.5])
def test_an_input_s_shape_is_checked(shape):
    with pytest.raises(GraphError, match="input 'x' has the shape .* expected whole numbers of at least 1"):
        Graph().input("x", shape=shape)


def test_a_layer_must_be_a_layer():
    with pytest.raises(GraphError, match="layer 'a' is a int, expected a layer kind, as in Dense"):
        Graph().layer("a", 64)


WIDTHS = st.integers(1, 50)
NAMES = st.sampled_from(["identity", "tanh", "relu", "softmax"])
LAYERS = st.one_of(
    st.builds(
        Dense,
        WIDTHS,
        NAMES,
        bias=st.booleans(),
        output=NAMES,
        members=WIDTHS,
        adapter=st.booleans(),
        chunks=st.lists(WIDTHS).map(tuple),
        dropout=st.floats(0, 0.99),
        join=st.sampled_from(["concat", "add"]),
    ),
    st.builds(MemberDense, WIDTHS, NAMES, members=WIDTHS),
    st.builds(Activation, NAMES),
    st.builds(Dropout, st.floats(0, 0.99)),
    st.builds(Norm, st.sampled_from(["layer", "batch"])),
    st.builds(Flatten),
    st.builds(Join),
    st.builds(CategoryEmbedding, st.just((3, 4)), st.tuples(WIDTHS, st.just(0))),
    st.builds(NumberEmbedding, st.sampled_from(["piecewise_linear", "periodic"]), WIDTHS, sigma=st.floats(1e-9, 1e9)),
)


@settings(max_examples=60)
@given(st.data(), st.lists(LAYERS, min_size=1, max_size=6))
def test_json_is_exact_both_ways(data, layers):
    g = Graph()
    g.input("x", shape=data.draw(st.lists(WIDTHS, min_size=1, max_size=3)))
    for i, layer in enumerate(layers):
        g.layer(f"l{i}", layer, after=data.draw(st.lists(st.sampled_from(list(g.nodes)), unique=True)))
        source = data.draw(st.sampled_from(list(g.nodes)))
        if (source, f"l{i}") not in [(edge.source, edge.target) for edge in g.edges]:
            g.connect(source, f"l{i}", delay=data.draw(st.sampled_from([0, 1, None])), projection=data.draw(st.booleans()))
    g.output("y", after=data.draw(st.sampled_from(list(g.nodes))))
    again = Graph.from_json(json.loads(json.dumps(g.to_json())))
    assert again == g
    assert list(again.nodes.items()) == list(g.nodes.items())
    assert (again.edges, again.outputs) == (g.edges, g.outputs)
    assert all(type(again.nodes[name]) is type(node) for name, node in g.nodes.items())


def test_numbers_of_numpy_go_into_json():
    g = one(Dense(np.int64(5)), shape=np.array([3]))
    assert Graph.from_json(json.loads(json.dumps(g.to_json()))) == g


def broken(change):
    values = json.loads(json.dumps(design().to_json()))
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format=2), "the graph has format 2, this lamina reads 1; update lamina to read newer ones"),
        (lambda v: v.pop("format"), "the graph has format None"),
        (lambda v: v.update(weights=1), "a stored graph has 'weights', which this lamina does not expect; update lamina"),
        (lambda v: v.pop("edges"), "a stored graph lacks 'edges'"),
        (lambda v: v["nodes"][0].update(dtype="int"), "a stored input has 'dtype'"),
        (lambda v: v["nodes"][1].update(frozen=True), "a stored layer has 'frozen'"),
        (lambda v: v["edges"][0].update(gain=2), "a stored edge has 'gain'"),
        (lambda v: v["edges"][0].pop("delay"), "a stored edge lacks 'delay'"),
        (lambda v: v["nodes"][1]["layer"].update(type="Densse"), "layer kind 'Densse' is unknown .* did you mean 'Dense'"),
        (lambda v: v["nodes"][1]["layer"].update(sparse=1), "Dense has no option 'sparse' in this lamina; update lamina"),
        (lambda v: v["nodes"][1]["layer"].pop("size"), "Dense lacks 'size'; the stored graph is damaged, store it again"),
        (lambda v: v["nodes"][1]["layer"].update(activation="swish"), "Dense.activation is 'swish'"),
        (lambda v: v["edges"][0].update(source="pixel"), "an edge starts at 'pixel', .* did you mean 'pixels'"),
    ],
)
def test_what_only_a_newer_lamina_knows_is_refused_by_name(change, message):
    with pytest.raises(GraphError, match=message):
        Graph.from_json(broken(change))


def test_a_stored_layer_without_a_new_option_takes_its_default():
    values = broken(lambda v: v["nodes"][1]["layer"].pop("dropout"))
    assert Graph.from_json(values) == design()


def test_graphs_and_plans_load_no_torch():
    code = "import sys, lamina.graph as g; g.Plan; assert 'torch' not in sys.modules; g.Net; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Nett'"):
        lamina.graph.__getattr__("Nett")
