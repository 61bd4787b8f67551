"""A registered module as a layer: its weights, its modes, its way into a file and back."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import lamina
from lamina.data.feed import Feed
from lamina.errors import GraphError, ModelFileError, OptionError
from lamina.families.branches import BranchFamily
from lamina.graph import Dense, Graph, Net, Plan
from lamina.graph.layers import pretrained
from lamina.graph.layers.pretrained import IMAGENET, Normalise, Pretrained, part_maker, register, registered
from lamina.graph.modules.pretrained import part_shape
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer


class Backbone(nn.Module):
    """Convolution, batch norm and dropout: everything that behaves otherwise in training."""

    def __init__(self, channels=4):
        super().__init__()
        self.stack = nn.Sequential(
            nn.Conv2d(3, channels, 3),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, x):
        return self.stack(x)


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.setattr(pretrained, "_MAKERS", {})
    register("backbone", Backbone, size=8)


def drawn(out=(4,), **options):
    g = Graph()
    g.input("image", shape=(8, 8, 3))
    g.layer("normalise", Normalise(), after="image")
    g.layer("part", Pretrained("backbone", out=out, **options), after="normalise")
    g.layer("head", Dense(2), after="part")
    g.output("y", after="head")
    return g


def images(rows=6, channels=3):
    return torch.randint(0, 256, (rows, 8, 8, channels), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_part_trains_or_stays_as_it_was(frozen):
    net = Net(Plan(drawn(frozen=frozen)), seed=0)
    before = {name: value.clone() for name, value in net.part.state_dict().items()}
    head = net.head.weight.detach().clone()
    feed = Feed({"image": images(40)}, np.arange(40) % 2)
    trainer = Trainer(
        net.train(), feed, Recipe(loss="cross_entropy", batch_size=8, ema_decay=None, step_mode="eager", learning_rate=0.01)
    )
    trainer.run_epoch(torch.arange(40), [1e-2] * 5)
    same = {name: torch.equal(before[name], value) for name, value in net.part.state_dict().items()}
    assert all(same.values()) if frozen else not any(same.values())
    assert not torch.equal(head, net.head.weight)
    assert net.part.module.training is not frozen
    assert net.head.training


@pytest.mark.parametrize("frozen", [True, False])
def test_steps_are_replayed(frozen):
    net = Net(Plan(drawn(frozen=frozen)), seed=0)
    feed = Feed({"image": images(64)}, np.arange(64) % 2)
    trainer = Trainer(net.train(), feed, Recipe(loss="cross_entropy", batch_size=8, step_mode="traced"))
    trainer.run_epoch(torch.arange(64), [1e-2] * 8)
    assert trainer.why_eager is None or not trainer.why_eager


def test_it_gives_what_the_module_gives_and_gradients_pass_through_a_frozen_one():
    g = Graph()
    g.input("x", shape=(3, 8, 8))
    g.layer("part", Pretrained("backbone", out=(4,)), after="x")
    g.output("y", after="part")
    net = Net(Plan(g), seed=0).train()
    x = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    alone = Backbone()
    alone.load_state_dict(net.part.module.state_dict())
    torch.testing.assert_close(net({"x": x}), alone.eval()(x), rtol=0, atol=0)
    (mine,) = torch.autograd.grad(net({"x": x}).sum(), x)
    (theirs,) = torch.autograd.grad(alone(x).sum(), x)
    torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_the_seed_makes_its_weights_and_the_global_stream_stays_where_it_was():
    state = torch.get_rng_state()
    one, two, other = (Net(Plan(drawn()), seed=seed).part.module.stack[0].weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_many_rows_go_through_in_parts_and_give_the_same():
    net = Net(Plan(drawn()), seed=0).eval()
    x = images(150)
    whole = net({"image": x})
    with torch.inference_mode():
        torch.testing.assert_close(net({"image": x}), whole.detach(), rtol=0, atol=1e-6)


def test_options_reach_the_maker_and_the_file():
    graph = drawn(out=(7,), options={"channels": 7})
    assert Graph.from_json(graph.to_json()) == graph
    assert Graph.from_json(graph.to_json()).layers["part"] == graph.layers["part"]
    assert Net(Plan(graph), seed=0).part.module.stack[0].out_channels == 7


def test_copies_and_pickles_have_the_same_outputs():
    net = Net(Plan(drawn()), seed=0).eval()
    expected = net({"image": images()})
    pickled = pickle.loads(pickle.dumps(net))
    for other in (copy.deepcopy(net), pickled):
        assert torch.equal(other({"image": images()}), expected)
        assert not other.train().part.module.training
    fresh = Net(Plan(drawn()), seed=5).eval()
    fresh.load_state_dict(net.state_dict())
    assert torch.equal(fresh({"image": images()}), expected)


def test_editing_keeps_its_weights():
    net = Net(Plan(drawn()), seed=0)
    with torch.no_grad():
        net.part.module.stack[0].weight.fill_(0.5)
    wider = net.edit(net.plan.graph.replace("head", Dense(3)))
    assert (wider.part.module.stack[0].weight == 0.5).all()


def test_a_plan_needs_no_part_and_counts_none():
    pretrained._MAKERS.clear()
    plan = Plan(drawn())
    assert plan.shapes["part"] == (4,)
    assert plan.parameters["part"] == 0


def test_shape_found_by_trying_leaves_the_part_as_it_was():
    assert part_shape("backbone", (3, 8, 8)) == (4,)
    assert part_shape("backbone", (3, 9, 9), {"channels": 5}) == (5,)
    module = Backbone()
    register("same", lambda: module)
    module.stack[1].eval()
    part_shape("same", (3, 8, 8))
    assert module.training
    assert not module.stack[1].training
    assert module.stack[1].num_batches_tracked == 0


def test_normalise_is_its_formula():
    def net(layer, channels):
        g = Graph()
        g.input("x", shape=(8, 8, channels))
        g.layer("n", layer, after="x")
        g.output("y", after="n")
        return Net(Plan(g), seed=0)({"x": images(channels=channels)}).double()

    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in IMAGENET)
    for channels in (1, 3, 4):
        x = images(channels=channels).permute(0, 3, 1, 2).double()[:, :3] / 255
        torch.testing.assert_close(net(Normalise(), channels), (x - mean) / std, rtol=0, atol=1e-5)
    x = images().double() / 255
    gray = (x @ torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64))[:, None]
    torch.testing.assert_close(net(Normalise((0.5,), (0.25,)), 3), (gray - 0.5) / 0.25, rtol=0, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_fit_reads_images_with_it_and_the_file_names_it_and_holds_its_weights(tmp_path, frozen):
    class Images(BranchFamily):
        name = "images"
        reads = ("image",)

    rows = np.random.default_rng(0).integers(0, 256, (40, 10, 10, 3), dtype=np.uint8)
    data = {"image": rows, "label": ["a", "b"] * 20}
    family = Images(backbone="backbone", freeze_backbone=frozen)
    model = lamina.fit(data, "label", family=family, recipe=Recipe(epochs=1), seed=0, monitor=None)
    assert model.model_.net.plan.inputs == {"image": (8, 8, 3)}  # the size it was registered with
    assert model.model_.card["recipe"]["learning_rate"] == (3e-3 if frozen else 3e-4)
    assert model.model_.card["recipe"]["epochs"] == 1  # an explicit option is kept
    model.save(tmp_path / "m.lamina")
    expected = model.predict_proba(data)
    assert np.array_equal(lamina.load(tmp_path / "m.lamina").predict_proba(data), expected)
    pretrained._MAKERS.clear()
    with pytest.raises(ModelFileError, match="part 'backbone' that is not registered here .* import register"):
        lamina.load(tmp_path / "m.lamina")


def test_an_unknown_part_is_refused():
    with pytest.raises(OptionError, match=r"BranchFamily.backbone is 'vgg', expected a registered part \(backbone\); register"):
        BranchFamily(backbone="vgg").check()


def build(layer, shape=(3, 8, 8)):
    g = Graph()
    g.input("x", shape=shape)
    g.layer("part", layer, after="x")
    g.output("y", after="part")
    return Net(Plan(g), seed=0)


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: register("", Backbone), "registered as '', expected a name"),
        (lambda: register("x", 3), "registered with 3, expected a function"),
        (lambda: register("x", Backbone, size=0), "size of part 'x' is 0, expected the height and width"),
        (lambda: register("x", Backbone, mean=(0.5, 0.5)), "has 2 means and 3 deviations, expected 1 .* or 3"),
        (lambda: register("x", Backbone, std=(1, 0, 1)), r"std of part 'x' is \(1, 0, 1\), expected a number for each"),
        (lambda: register("x", Backbone, mean="abc"), "mean of part 'x' is 'abc'"),
        (lambda: part_maker("backbon"), "part 'backbon' that is not registered here .did you mean 'backbone'"),
        (lambda: Pretrained("", out=(3,)), "Pretrained.part is '', expected the name"),
        (lambda: Pretrained("x", out=(0,)), r"Pretrained.out is \(0,\), expected whole numbers"),
        (lambda: Pretrained("x", out=(1,), frozen=1), "Pretrained.frozen is 1, expected True or False"),
        (lambda: Pretrained("x", out=(1,), options={"a": object()}), "Pretrained.options is .* expected names with text"),
        (lambda: Pretrained("x", out=(1,), options=["a"]), r"Pretrained.options is \['a'\], expected names"),
        (lambda: Normalise(mean=(0.5,)), "Normalise has 1 means and 3 deviations"),
        (lambda: build(Normalise(), (8, 8, 2)), r"Normalise reads .* but was given \(8, 8, 2\); give an image"),
        (lambda: build(Pretrained("backbone", out=(5,))), r"gives \(4,\) for \(3, 8, 8\), but .* \(5,\); set out=\(4,\)"),
        (lambda: build(Pretrained("backbone", out=(4,)), (2, 8, 8)), r"part 'backbone' cannot read \(2, 8, 8\): .*channels"),
        (lambda: build(Pretrained("backbone", out=(4,), options={"width": 1})), "cannot be made with the options .*width"),
        (lambda: build(Pretrained("dict", out=(4,))), "part 'dict' made a dict, expected an nn.Module"),
        (lambda: build(Pretrained("pair", out=(4,))), "part 'pair' gives tuple for 2 rows, expected one tensor"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    register("dict", dict)
    register("pair", Pair)
    with pytest.raises(GraphError, match=message):
        make()


def test_names_are_listed():
    register("other", Backbone)
    assert registered() == ("backbone", "other")
