"""Editing a graph, and the weights that stay."""

import dataclasses

import pytest
import torch

from lamina.errors import GraphError
from lamina.graph import (
    Activation,
    CategoryEmbedding,
    Dense,
    Edge,
    Flatten,
    Graph,
    Join,
    MemberDense,
    Net,
    Norm,
    NumberEmbedding,
    Plan,
)


def two_hidden():
    g = Graph()
    g.input("x", shape=3)
    g.layer("first", Dense(4, "relu"), after="x")
    g.layer("second", Dense(5, "relu"), after="first")
    g.layer("head", Dense(2), after="second")
    g.output("y", after="head")
    return g


def changed(net):
    """The net with other weights than fresh ones."""
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.add_(0.25)
    return net


def net_of(graph):
    return changed(Net(Plan(graph), seed=0))


def edges(graph):
    return [(edge.source, edge.target) for edge in graph.edges]


def test_insert_splits_the_edges_and_keeps_the_order_of_definition():
    g = two_hidden()
    new = g.insert("between", Dense(4), after="first", before="second")
    assert edges(new) == [("x", "first"), ("between", "second"), ("second", "head"), ("first", "between")]
    assert list(new.nodes) == ["x", "first", "between", "second", "head"]
    assert edges(g) == [("x", "first"), ("first", "second"), ("second", "head")]
    last = g.insert("scores", Activation("softmax"), after="head", before=["y"])
    assert last.outputs == {"y": "scores"}


def test_remove_reconnects_and_an_added_layer_comes_out_again():
    g = two_hidden()
    assert edges(g.remove("second")) == [("x", "first"), ("first", "head")]
    assert Plan(g.insert("between", Dense(4), after="first", before="second").remove("between")).order == Plan(g).order
    assert g.remove("head").outputs == {"y": "second"}
    g.connect("first", "head")
    assert edges(g.remove("second")) == [("x", "first"), ("first", "head")]


def test_remove_from_a_cycle_keeps_waiting():
    g = Graph()
    g.input("x", shape=3)
    g.layer("a", Dense(3), after="x")
    g.layer("b", Dense(3), after="a")
    g.connect("b", "b")
    g.connect("b", "a", delay=1)
    g.output("y", after="a")
    new = g.remove("b")
    assert [(e.source, e.target, e.delay) for e in new.edges] == [("x", "a", None), ("a", "a", 1)]
    assert Plan(new).recurrent
    past = g.insert("between", Dense(3), after="x", before="a")
    past.edges = [dataclasses.replace(edge, delay=1) if edge.target == "between" else edge for edge in past.edges]
    assert past.remove("between").edges_into("a")[0] == Edge("x", "a", 1)


def test_editing_what_is_not_there_is_refused():
    g = two_hidden()
    with pytest.raises(GraphError, match="there is no layer 'secnd' to edit; did you mean 'second'"):
        g.remove("secnd")
    with pytest.raises(GraphError, match="there is no layer 'x' to edit"):
        g.widen("x", 3)
    with pytest.raises(GraphError, match="'first' is not read by 'head'; known: second"):
        g.insert("new", Dense(3), after="first", before="head")
    with pytest.raises(GraphError, match="layer 'new' comes after 'frist', which is not defined; did you mean 'first'"):
        g.insert("new", Dense(3), after="frist", before="head")
    with pytest.raises(GraphError, match="layer 'sum' is a Join, which has no size; widen a layer that has, as Dense"):
        g.insert("sum", Join(), after="first", before="second").widen("sum", 3)
    g.layer("both", Join("concat"), after=["first", "second"])
    g.output("z", after="both")
    with pytest.raises(GraphError, match="'both' reads 2 nodes, so output 'z' cannot move; put a Join"):
        g.remove("both")


def test_an_unrelated_layer_leaves_everything_else_identical():
    net = net_of(two_hidden())
    longer = net.edit(two_hidden().insert("extra", Dense(2), after="head", before="y"))
    for name, tensor in net.state_dict().items():
        assert longer.state_dict()[name].equal(tensor), name
    back = longer.edit(two_hidden())
    x = {"x": torch.randn(6, 3)}
    assert back(x).equal(net(x))


def test_widening_keeps_the_old_neurons_on_both_sides():
    net = net_of(two_hidden())
    wide = net.edit(two_hidden().widen("first", 6))
    fresh = Net(Plan(two_hidden().widen("first", 6)), seed=0)
    assert wide.first.weight[:4].equal(net.first.weight)
    assert wide.first.bias[:4].equal(net.first.bias)
    assert wide.first.weight[4:].equal(fresh.first.weight[4:])
    assert wide.second.weight[:, :4].equal(net.second.weight)
    assert wide.second.weight[:, 4:].equal(fresh.second.weight[:, 4:])
    assert wide.head.weight.equal(net.head.weight)
    with torch.no_grad():
        wide.second.weight[:, 4:] = 0
    x = {"x": torch.randn(6, 3)}
    torch.testing.assert_close(wide(x), net(x))
    narrow = wide.edit(two_hidden().widen("first", 2))
    assert narrow.second.weight.equal(net.second.weight[:, :2])


def test_columns_follow_their_neurons_through_joins_and_norms():
    def graph(size):
        g = Graph()
        g.input("x", shape=3)
        g.layer("a", Dense(size), after="x")
        g.layer("b", Dense(2), after="x")
        g.layer("both", Join("concat"), after=["a", "b"])
        g.layer("norm", Norm("batch"), after="both")
        g.layer("flat", Flatten(), after="norm")
        g.layer("head", Dense(2), after=["flat", "x"])
        g.output("y", after="head")
        return g

    net = net_of(graph(2))
    wide = net.edit(graph(4))
    kept = [0, 1, 4, 5]
    assert wide.head.weight[:, [*kept, 6, 7, 8]].equal(net.head.weight)
    for name in ("weight", "bias", "running_mean", "running_variance"):
        assert getattr(wide.norm, name)[kept].equal(getattr(net.norm, name)), name
    assert (wide.norm.weight[[2, 3]] == 1).all()


def test_a_new_source_in_front_moves_the_columns():
    def graph(*sources):
        g = Graph()
        g.input("x", shape=2)
        g.input("z", shape=(1, 2, 2))
        g.layer("hidden", Dense(3), after=sources)
        g.layer("rest", Dense(3), after="z")
        g.layer("both", Join("concat"), after=["hidden", "rest"])
        g.output("y", after="both")
        return g

    net = net_of(graph("x"))
    more = net.edit(graph("z", "x"))
    assert more.hidden.weight[:, 4:].equal(net.hidden.weight)


def test_members_residuals_cycles_and_projections_are_kept():
    def graph(width):
        g = Graph()
        g.input("x", shape=3)
        g.layer("members", Dense(3, members=2, adapter=True), after="x")
        g.layer("a", Dense(width, members=2, adapter=True), after="members")
        g.layer("b", Dense(width, members=2), after="a")
        g.connect("b", "a")
        g.layer("sum", Join("add"), after=["a", "b"])
        g.connect("members", "sum", projection=True)
        g.layer("heads", MemberDense(2, members=2), after="sum")
        g.output("y", after="heads")
        return g

    net = net_of(graph(3))
    wide = net.edit(graph(5))
    assert wide.a.weight[:3, :6].equal(net.a.weight)
    assert wide.a.r[:, :6].equal(net.a.r)
    assert wide.a.s[:, :3].equal(net.a.s)
    assert wide.a.b[:, :3].equal(net.a.b)
    assert wide.heads.weight[:, :3].equal(net.heads.weight)
    assert wide.members.r.equal(net.members.r)
    assert wide.members_to_sum.weight[:3].equal(net.members_to_sum.weight)


def test_embeddings_are_kept_with_their_bins_when_nothing_about_them_changed():
    def graph(bins):
        g = Graph()
        g.input("numbers", shape=2)
        g.input("codes", shape=2)
        g.layer("embedded", NumberEmbedding("piecewise_linear", 2, bins=bins), after="numbers")
        g.layer("levels", CategoryEmbedding((3, 4), (2, 0)), after="codes")
        g.layer("head", Dense(1), after=["embedded", "levels"])
        g.output("y", after="head")
        return g

    net = net_of(graph(4))
    batch = {"numbers": torch.randn(50, 2), "codes": torch.randint(0, 3, (50, 2))}
    net.prepare(batch)
    assert net.edit(graph(4))(batch).equal(net(batch))
    other = net.edit(graph(5))
    assert other.levels.weight.equal(net.levels.weight)
    assert other.embedded.linear.equal(Net(Plan(graph(5)), seed=0).embedded.linear)
    assert other.head.weight.equal(net.head.weight)


def test_edit_keeps_mode_and_type_and_forgets_a_layer_of_another_kind():
    net = net_of(two_hidden()).double().eval()
    new = net.edit(two_hidden().replace("second", Join()))
    assert not new.training
    assert new.first.weight.dtype == torch.float64
    assert new.first.weight.equal(net.first.weight)
    assert not new.head.weight.equal(net.head.weight[:, :4])  # its inputs are other neurons now
    assert new.head.bias.equal(net.head.bias)


def test_a_very_deep_net_can_be_planned_and_edited():
    g = Graph()
    g.input("x", shape=2)
    last = "x"
    for i in range(1500):
        g.layer(f"sum{i}", Join("add"), after=last)
        last = f"sum{i}"
    g.layer("head", Dense(1), after=last)
    g.output("y", after="head")
    net = net_of(g)
    assert net.edit(g.remove("sum7")).head.weight.equal(net.head.weight)
