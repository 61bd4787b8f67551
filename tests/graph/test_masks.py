"""Masks: an edge that says which steps are there. What is refused, what is stored, and that what is masked has no influence."""

import inspect
import json

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from lamina.errors import GraphError
from lamina.graph import Dense, Flatten, Graph, Join, Net, Plan
from lamina.graph.graph import Edge
from lamina.graph.layers.attention import AttentionPool, MultiHeadAttention, StepDropout
from lamina.graph.layers.convolution import Convolution, Pool, PoolMask
from lamina.graph.layers.recurrent import Ends, Loop, Recurrent
from lamina.graph.layers.sequence import Chunk, Present, StepDense, StepPool
from lamina.graph.modules import MODULES

STEPS, WIDTH = 6, 4


def begun():
    """Two inputs and a mask, so far."""
    g = Graph()
    g.input("x", shape=(STEPS, WIDTH))
    g.input("steps", shape=(STEPS,))
    g.layer("present", Present(), after="steps")
    return g


def pooled(layer=None):
    g = begun()
    g.layer("pool", layer or StepPool("mean"), after="x", mask="present")
    g.layer("head", Dense(2), after="pool")
    g.output("y", after="head")
    return g


def batch(*lengths, seed=0):
    x = torch.randn(len(lengths), STEPS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return {"x": x, "steps": (torch.arange(STEPS) < torch.tensor(lengths)[:, None]).to(torch.uint8)}


# Drawing


@pytest.mark.parametrize(
    ("layer", "after", "mask", "message"),
    [
        (Dense(3), "x", "present", r"layer 'new' is a Dense, which accepts no mask; leave mask out"),
        (StepDense(3), "x", "present", r"layer 'new' is a StepDense, which accepts no mask; leave mask out"),
        (StepPool(), "x", "x", r"layer 'new' reads 'x' and is masked by it; name another node as the mask"),
        (
            StepPool(),
            ["x", "present"],
            "present",
            r"layer 'new' reads 'present' and is masked by it; name another node as the mask",
        ),
        (StepPool(), "x", "presnet", r"layer 'new' is masked by 'presnet', which is not defined; did you mean 'present'\?"),
        (StepPool(), "x", "new", r"layer 'new' is masked by 'new', which is not defined"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused_and_nothing_is_added(layer, after, mask, message):
    g = begun()
    before = g.copy()
    with pytest.raises(GraphError, match=message):
        g.layer("new", layer, after=after, mask=mask)
    assert g == before
    g.layer("new", StepPool(), after="x", mask="present")  # the name is free still


def test_a_mask_is_not_read_a_second_time():
    g = pooled()
    with pytest.raises(GraphError, match="'present' is connected to 'pool' already; connect two nodes once"):
        g.connect("present", "pool")


def test_a_mask_is_an_edge_that_is_drawn_and_not_read():
    g = pooled()
    assert g.edges_into("pool") == [Edge("x", "pool"), Edge("present", "pool", delay=0, mask=True)]
    assert "present -> pool" in repr(g)
    plan = Plan(g)
    assert plan.masks == {"pool": "present"}
    assert [edge.source for edge in plan.edges["pool"]] == ["x"]
    assert plan.joined["pool"] == (STEPS, WIDTH)
    assert [line.split() for line in str(plan).splitlines() if "where" in line] == [
        ["pool", "StepPool", "x", "where", "present", str(WIDTH)]
    ]


@pytest.mark.parametrize("kind", MODULES)
def test_a_layer_takes_a_mask_if_and_only_if_its_module_does(kind):
    made = MODULES[kind]
    forward = made.forward if inspect.isclass(made) else made  # pyright: ignore
    beside_what_it_reads = list(inspect.signature(forward).parameters)[2:]
    assert ("mask" in beside_what_it_reads) is kind.masked


# Planning


@pytest.mark.parametrize(
    ("size", "chunk", "message"),
    [
        (5, 0, r"layer 'pool' reads steps \(6,\), but its mask 'present' has \(5,\); mask and input must agree"),
        (1, 0, r"layer 'pool' reads steps \(6,\), but its mask 'present' has \(1,\)"),
        (6, 2, r"layer 'pool' reads steps \(6,\), but its mask 'present' has \(3, 2\)"),
    ],
)
def test_a_mask_of_another_shape_is_refused(size, chunk, message):
    g = Graph()
    g.input("x", shape=(STEPS, WIDTH))
    g.input("steps", shape=(size,))
    g.layer("codes", Chunk(chunk) if chunk else Join(), after="steps")
    g.layer("present", Present(), after="codes")
    g.layer("pool", StepPool(), after="x", mask="present")
    g.output("y", after="pool")
    with pytest.raises(GraphError, match=message):
        Plan(g)


def test_the_mask_of_the_level_below_does_not_fit():
    g = begun()
    g.layer("chunks", Chunk(3), after="x")
    g.layer("pool", StepPool(), after="chunks", mask="present")
    g.output("y", after="pool")
    with pytest.raises(GraphError, match=r"layer 'pool' reads steps \(2, 3\), but its mask 'present' has \(6,\)"):
        Plan(g)


@pytest.mark.parametrize("layer", [Convolution(5, 3), Pool("max", 2)])
def test_an_image_takes_no_mask(layer):
    g = Graph()
    g.input("image", shape=(3, 8, 8))
    g.input("there", shape=(3, 8))
    g.layer("read", layer, after="image", mask="there")
    g.output("y", after="read")
    with pytest.raises(GraphError, match=r"layer 'read' reads images of \(3, 8, 8\), which have no steps; leave mask out"):
        Plan(g)


def test_a_kind_that_takes_no_mask_is_refused_after_an_edit_and_from_a_file():
    replaced = pooled().replace("pool", StepDense(3))
    for g in (replaced, Graph.from_json(replaced.to_json()), pooled().replace("pool", Dense(3))):
        with pytest.raises(GraphError, match=r"layer 'pool' is a (Step)?Dense, which accepts no mask; leave mask out"):
            Plan(g)


def test_a_layer_that_has_nothing_but_a_mask_is_refused():
    g = begun()
    g.layer("pool", StepPool(), mask="present")
    g.layer("flat", Flatten(), after="x")
    g.layer("head", Dense(2), after=["pool", "flat"])
    g.output("y", after="head")
    with pytest.raises(GraphError, match="layer 'pool' reads nothing; give it after="):
        Plan(g)


def test_a_graph_that_steps_through_time_refuses_masks():
    g = pooled()
    g.connect("head", "head")
    with pytest.raises(
        GraphError, match="layer 'pool' has a mask, but the graph steps through time; put its cycle into a Loop layer"
    ):
        Plan(g)
    g = pooled()
    g.edges[-1] = Edge("pool", "head", delay=1)
    with pytest.raises(GraphError, match="layer 'pool' has a mask, but the graph steps through time"):
        Plan(g)


# Storing


def test_json_keeps_masks():
    g = begun()
    g.layer("read", Recurrent(3), after="x", mask="present")
    g.layer("pool", StepPool("max"), after="read", mask="present")
    g.output("y", after="pool")
    stored = json.loads(json.dumps(g.to_json()))
    assert [edge["mask"] for edge in stored["edges"] if edge["source"] == "present"] == [True, True]
    assert all("mask" not in edge for edge in stored["edges"] if edge["source"] != "present")
    again = Graph.from_json(stored)
    assert again == g
    assert again.edges == g.edges
    assert Plan(again).masks == Plan(g).masks == {"read": "present", "pool": "present"}
    rows = batch(6, 2, 0)
    assert torch.equal(Net(Plan(again), seed=3)(rows), Net(Plan(g), seed=3)(rows))
    unmasked = begun()
    unmasked.layer("read", Recurrent(3), after="x", mask="present")
    unmasked.layer("pool", StepPool("max"), after="read")
    unmasked.output("y", after="pool")
    assert unmasked != g


def test_a_graph_from_before_there_were_masks_is_read_and_written_as_it_was():
    stored = {
        "format": 1,
        "nodes": [
            {"name": "x", "shape": [3]},
            {"name": "hidden", "layer": Dense(4).to_json()},
            {"name": "head", "layer": Dense(1).to_json()},
        ],
        "edges": [
            {"source": "x", "target": "hidden", "delay": None, "projection": False},
            {"source": "hidden", "target": "head", "delay": None, "projection": False},
            {"source": "x", "target": "head", "delay": 0, "projection": False},
        ],
        "outputs": {"y": "head"},
    }
    g = Graph.from_json(stored)
    assert not any(edge.mask for edge in g.edges)
    assert Plan(g).masks == {}
    assert g.to_json() == stored


def test_an_edge_that_only_a_newer_lamina_knows_is_refused():
    stored = pooled().to_json()
    stored["edges"][-1]["masked_from"] = 3
    with pytest.raises(GraphError, match="a stored edge has 'masked_from', which this lamina does not expect; update lamina"):
        Graph.from_json(stored)


# Editing


def test_a_layer_can_be_put_into_a_mask():
    g = pooled().insert("kept", StepDropout(0.5), after="present", before="pool")
    assert Plan(g).masks == {"pool": "kept"}
    assert [edge.source for edge in Plan(g).edges["pool"]] == ["x"]


def test_a_layer_put_before_a_masked_one_leaves_its_mask():
    g = pooled().insert("wide", StepDense(7), after="x", before="pool")
    plan = Plan(g)
    assert (plan.masks, plan.joined["pool"]) == ({"pool": "present"}, (STEPS, 7))
    without = g.remove("wide")
    assert Plan(without).masks == {"pool": "present"}


def test_removing_a_masked_layer_connects_its_readers_to_what_it_read_not_to_its_mask():
    g = begun()
    g.layer("conv", Convolution(5, 3), after="x", mask="present")
    g.layer("flat", Flatten(), after="conv")
    g.layer("pool", StepPool(), after="conv", mask="present")
    g.output("y", after="flat")
    g.output("z", after="pool")
    g.output("conv_out", after="conv")
    without = g.remove("conv")
    assert [edge.source for edge in without.edges_into("flat")] == ["x"]
    assert without.outputs == {"y": "flat", "z": "pool", "conv_out": "x"}
    plan = Plan(without)
    assert plan.masks == {"pool": "present"}
    assert plan.joined["pool"] == (STEPS, WIDTH)


def test_a_mask_that_only_the_removed_layer_had_goes_with_what_led_to_it():
    g = begun()
    g.layer("kept", StepDropout(0.5), after="present")
    g.layer("conv", Convolution(5, 3), after="x", mask="kept")
    g.layer("pool", StepPool(), after="conv", mask="present")
    g.output("y", after="pool")
    net, rows = Net(Plan(g), seed=0), batch(6, 2, 0)
    without = g.remove("conv")
    assert list(without.nodes) == ["x", "steps", "present", "pool"]
    assert net.edit(without)(rows).shape == (3, WIDTH)
    without = without.remove("pool")
    assert list(without.nodes) == ["x"]
    assert without.outputs == {"y": "x"}
    shown = g.copy()
    shown.output("mask", after="kept")
    assert list(shown.remove("conv").nodes) == ["x", "steps", "present", "kept", "pool"]


def test_a_mask_is_not_removed_from_under_what_it_masks():
    g = pooled()
    with pytest.raises(GraphError, match="'present' masks 'pool'; remove 'pool' first, or replace 'present' by a mask"):
        g.remove("present")
    kept = g.insert("kept", StepDropout(0.5), after="present", before="pool").replace("kept", Join())
    assert Net(Plan(kept), seed=0)(batch(6, 2)).equal(Net(Plan(g), seed=0)(batch(6, 2)))


def test_an_edited_net_keeps_masks_and_weights():
    g = begun()
    g.layer("read", Recurrent(3), after="x", mask="present")
    g.layer("pool", StepPool("last"), after="read", mask="present")
    g.output("y", after="pool")
    net, rows = Net(Plan(g), seed=0), batch(6, 2, 0)
    assert torch.equal(net.edit(g.copy())(rows), net(rows))
    wide = net.edit(g.widen("read", 5))
    assert wide.plan.masks == net.plan.masks
    assert torch.equal(wide.read.weight[:, :3], net.read.weight)


# Running


def masked_net(*layers):
    """Masked layers one behind the other; behind one that pools steps the mask is pooled, too."""
    g, before, mask = begun(), "x", "present"
    for i, layer in enumerate(layers):
        g.layer(f"layer{i}", layer, after=before, mask=mask)
        before = f"layer{i}"
        if isinstance(layer, Pool):
            g.layer(f"mask{i}", PoolMask(layer.size), after=mask)
            mask = f"mask{i}"
    g.layer("head", Dense(3), after=before)
    g.output("y", after="head")
    return Net(Plan(g), seed=0)


def loop():
    g = Graph()
    g.input("step", shape=WIDTH)
    g.layer("hidden", Dense(5, "tanh"), after="step")
    g.connect("hidden", "hidden")
    g.output("state", after="hidden")
    return g


NETS = {
    **{f"pool {kind}": (StepPool(kind),) for kind in ("mean", "max", "sum", "last")},
    "lstm": (Recurrent(5), StepPool("last")),
    "both ways": (Recurrent(5, "gru", bidirectional=True), StepPool("mean")),
    "ends": (Recurrent(5, "rnn", bidirectional=True), Ends()),
    "loop": (Loop(loop()), StepPool("last")),
    "convolution": (Convolution(5, 3), StepPool("max")),
    "windows": (Pool("max", 2), Convolution(5, 3), StepPool("mean")),
    "average windows": (Pool("average", 2), StepPool("sum")),
    "attention": (MultiHeadAttention(2), StepPool("mean")),
    "attention pool": (AttentionPool(heads=2),),
}


def made(name):
    layers = NETS[name]
    if name != "loop":
        return masked_net(*layers)
    g = begun()  # it only looks back, so that it needs no mask itself
    g.layer("layer0", layers[0], after="x")
    g.layer("layer1", layers[1], after="layer0", mask="present")
    g.layer("head", Dense(3), after="layer1")
    g.output("y", after="head")
    return Net(Plan(g), seed=0)


@pytest.mark.parametrize("name", NETS)
def test_what_is_masked_has_no_influence_and_what_is_not_has_some(name):
    net = made(name)
    rows = batch(6, 4, 3, 1, 0)
    there = rows["steps"].bool()
    x = rows["x"].requires_grad_()
    expected = net(rows)
    changed = torch.where(there[..., None], x, 1e3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    torch.testing.assert_close(net({**rows, "x": changed}), expected, rtol=0, atol=1e-6)
    (expected * torch.randn(expected.shape, generator=torch.Generator().manual_seed(2))).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert not x.grad[~there].any()
    assert x.grad.flatten(1).any(1).tolist() == [True, True, True, True, False]
    if name not in ("pool max", "pool last"):  # which read one step of them all
        assert x.grad[there].any(-1).float().mean() > 0.5
    assert torch.isfinite(torch.cat([parameter.grad.flatten() for parameter in net.parameters()])).all()


@pytest.mark.parametrize("name", NETS)
def test_the_mask_decides_not_the_values(name):
    net, rows = made(name), batch(6)
    shorter = {"x": rows["x"], "steps": batch(3)["steps"]}
    assert not torch.allclose(net(shorter), net(rows))
    all_there = {"x": torch.zeros_like(rows["x"]), "steps": rows["steps"]}
    assert net.plan.masks
    assert torch.isfinite(net(all_there)).all()


def test_any_code_but_zero_is_a_step():
    net, rows = masked_net(StepPool("mean")), batch(6, 4, 0)
    codes = rows["steps"].int() * torch.tensor([5, 900, 1, 3, 70_000, 2], dtype=torch.int32)
    assert torch.equal(net({"x": rows["x"], "steps": codes}), net(rows))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.float32])
@pytest.mark.parametrize("layer", [StepPool("mean"), AttentionPool()])
def test_a_mask_of_numbers_is_refused_by_name(layer, dtype):
    g = Graph()
    g.input("x", shape=(STEPS, WIDTH))
    g.input("steps", shape=(STEPS,))
    g.layer("pool", layer, after="x", mask="steps")
    g.output("y", after="pool")
    net, rows = Net(Plan(g), seed=0), batch(6, 4, 0)
    numbers = {"x": rows["x"], "steps": rows["steps"].to(dtype)}
    message = rf"the mask 'steps' of layer 'pool' has dtype {dtype}, expected bool; put Present\(\) behind it"
    with pytest.raises(GraphError, match=message):
        net(numbers)
    if isinstance(layer, AttentionPool):
        with pytest.raises(GraphError, match=message):
            net.attention(numbers)
    assert torch.isfinite(net({**rows, "steps": rows["steps"].bool()})).all()


def test_looking_at_the_mask_leaves_nothing_in_a_traced_step():
    net, rows = masked_net(StepPool("sum")), batch(6, 2)
    there = rows["steps"].bool()
    alone = make_fx(lambda x: net.head(net.layer0(x, there)))(rows["x"])
    whole = make_fx(lambda x: net({"x": x, "present": there}))(rows["x"])
    assert [node.target for node in whole.graph.nodes if node.op == "call_function"] == [
        node.target for node in alone.graph.nodes if node.op == "call_function"
    ]


def test_a_mask_runs_first_and_only_where_it_is_needed():
    g = begun()
    g.layer("plain", Flatten(), after="x")
    g.layer("pool", StepPool(), after="x", mask="present")
    g.output("a", after="plain")
    g.output("b", after="pool")
    net, rows = Net(Plan(g), seed=0), batch(6, 2)
    assert net.plan.order.index("present") < net.plan.order.index("pool")
    assert torch.equal(net.activations({"x": rows["x"]}, ["plain"])["plain"], rows["x"].flatten(1))
    assert torch.equal(net.activations(rows, ["present"])["present"], rows["steps"].bool())
    with pytest.raises(GraphError, match="the batch lacks the input 'steps'"):
        net.activations({"x": rows["x"]}, ["pool"])


def test_a_batch_may_hold_the_mask_itself():
    net, rows = masked_net(StepPool("sum")), batch(6, 2, 0)
    given = {"x": rows["x"], "present": batch(1, 2, 3)["steps"].bool()}
    assert torch.equal(net(given), net({"x": rows["x"], "steps": batch(1, 2, 3)["steps"]}))
