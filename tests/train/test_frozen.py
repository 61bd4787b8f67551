"""What frozen parts say is computed once: the same weights and scores as when it is computed in every step."""

import copy

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import lamina
from lamina.data.feed import Feed
from lamina.data.read import read_table
from lamina.errors import GraphError
from lamina.families import Convolutional
from lamina.fitting.fit import fit_model
from lamina.fitting.settings import Settings
from lamina.graph import Dense, Dropout, Graph, Net, Norm, Plan
from lamina.graph.layers import Flatten, GlobalPool, Join, pretrained
from lamina.graph.layers.pretrained import Normalise, Pretrained, register
from lamina.tasks import Classification
from lamina.tasks.losses import LOSSES
from lamina.train import frozen
from lamina.train.events import Epoch
from lamina.train.forward import Validation
from lamina.train.frozen import compute_frozen, frozen_layers
from lamina.train.recipe import Recipe
from lamina.train.run import Run
from lamina.train.step import Trainer
from lamina.trust.trust import Trust

ROWS = 40
TASK = Classification(("y",), classes=(0, 1), dtype="Int64")


class Backbone(nn.Module):
    """Convolution, batch norm and dropout: everything that behaves otherwise in training. Counts the rows that it reads."""

    rows = 0

    def __init__(self):
        super().__init__()
        self.stack = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))

    def forward(self, x):
        type(self).rows += len(x)
        return self.stack(x)


class Vector(Backbone):
    def forward(self, x):
        return super().forward(x).mean((2, 3))


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.setattr(pretrained, "_MAKERS", {})
    register("maps", Backbone, size=8)
    register("vector", Vector, size=8)
    Backbone.rows = Vector.rows = 0


def drawn(*behind, part="vector", out=(4,), before=None, **options):
    """An image through a part, and a table beside it."""
    g = Graph()
    g.input("image", shape=(8, 8, 3))
    g.input("numbers", shape=2)
    g.layer("normalise", Normalise(), after="image")
    if before is not None:
        g.layer("before", before, after="normalise")
    g.layer("part", Pretrained(part, out=out, **options), after="normalise" if before is None else "before")
    last = "part"
    for number, layer in enumerate(behind):
        g.layer(f"behind{number}", layer, after=last)
        last = f"behind{number}"
    g.layer("head", Dense(2), after=[last, "numbers"])
    g.output("y", after="head")
    return g


def feed(rows=ROWS):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (rows, 8, 8, 3), dtype=np.uint8)
    numbers = random.normal(size=(rows, 2)).astype(np.float32)
    return Feed({"image": images, "numbers": numbers}, np.arange(rows) % 2, np.linspace(0.5, 1.5, rows))


def trained(net, rows):
    trainer = Trainer(net.train(), rows, Recipe(loss="cross_entropy", batch_size=16, learning_rate=0.01, precision="float32"))
    for _ in range(10):
        trainer.run_epoch(torch.arange(ROWS), [1e-2] * 3)
    assert not trainer.why_eager
    return net.get_parameter("head.weight").detach().clone()


@pytest.mark.tiny
def test_the_weights_are_those_of_training_with_the_part_in_every_step():
    plain = Net(Plan(drawn()), seed=0)
    kept = copy.deepcopy(plain)
    rows = compute_frozen(kept, feed())
    assert list(rows.inputs) == ["numbers", "part"]
    assert kept.training
    weights = trained(kept, rows)
    torch.testing.assert_close(weights, trained(plain, feed()), rtol=0, atol=1e-6)
    assert not torch.equal(weights, Net(Plan(drawn()), seed=0).get_parameter("head.weight"))
    with_part, without = (Validation(rows, TASK, LOSSES["cross_entropy"]).scores(kept) for rows in (feed(), rows))
    assert without == pytest.approx(with_part, abs=1e-9)


def test_chunks_make_one_block(monkeypatch):
    net = Net(Plan(drawn()), seed=0)
    whole = compute_frozen(net, feed()).inputs["part"]
    monkeypatch.setattr(frozen, "chunk_rows", lambda net: 7)
    torch.testing.assert_close(compute_frozen(net, feed()).inputs["part"], whole, rtol=0, atol=1e-6)


def test_what_is_kept_is_the_last_that_does_not_learn():
    shape = {"part": "maps", "out": (4, 6, 6)}
    assert frozen_layers(Plan(drawn())) == ["part"]
    assert frozen_layers(Plan(drawn(GlobalPool(), **shape))) == ["behind0"]
    assert frozen_layers(Plan(drawn(Norm("batch"), GlobalPool(), Dense(3), **shape))) == ["part"]  # a batch norm learns
    assert frozen_layers(Plan(drawn(Flatten(), Dropout(0.5), **shape))) == ["behind0"]  # dropout is drawn anew
    assert frozen_layers(Plan(drawn(frozen=False))) == []
    assert frozen_layers(Plan(drawn(before=Norm("batch")))) == []
    assert frozen_layers(Plan(drawn(before=Dropout(0.1)))) == []


def test_an_edge_that_learns_is_behind():
    g = Graph()
    g.input("image", shape=(8, 8, 3))
    g.layer("normalise", Normalise(), after="image")
    g.layer("part", Pretrained("vector", out=(4,)), after="normalise")
    g.layer("beside", Dense(3), after="normalise")
    g.layer("sum", Join("add"), after="beside")
    g.connect("part", "sum", projection=True)
    g.layer("same", Join("add"), after="part")
    g.layer("wide", Join("add"), after="same")
    g.connect("part", "wide", projection=True)
    g.layer("head", Dense(2), after=["sum", "wide"])
    g.output("y", after="head")
    assert sorted(frozen_layers(Plan(g))) == ["part", "same"]
    net = Net(Plan(g), seed=0).eval()
    rows = Feed({"image": feed().inputs["image"]}, np.zeros(ROWS))
    kept = compute_frozen(net, rows)
    assert sorted(kept.inputs) == ["image", "part", "same"]  # another layer reads the image, too
    torch.testing.assert_close(net(kept.inputs), net(rows.inputs), rtol=0, atol=1e-6)


def test_a_part_may_be_the_output():
    g = Graph()
    g.input("image", shape=(8, 8, 3))
    g.layer("normalise", Normalise(), after="image")
    g.layer("part", Pretrained("vector", out=(4,)), after="normalise")
    g.output("y", after="part")
    assert frozen_layers(Plan(g)) == ["part"]


def test_the_feed_stays_where_nothing_is_frozen_or_too_much_is_to_be_kept(monkeypatch):
    rows = feed()
    net = Net(Plan(drawn(frozen=False)), seed=0)
    assert compute_frozen(net, rows) is rows
    monkeypatch.setattr(frozen, "MOST_BYTES", 0)
    net = Net(Plan(drawn(Flatten(), Dense(3), part="maps", out=(4, 6, 6))), seed=0)
    assert compute_frozen(net, rows) is rows  # 144 numbers for 192 bytes
    assert compute_frozen(Net(Plan(drawn()), seed=0), rows) is not rows  # 4 numbers


# -- a whole fit -----------------------------------------------------------------------------------------------------------


def table():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    images[1::2] //= 3
    return {"image": images, "age": random.normal(size=60), "label": ["a", "b"] * 30}


def fit(run=None, monitor=None, edit=None, part="vector", data=None, trust=False, **recipe):
    family = Convolutional(backbone=part, dropout=0.0)
    recipe = Recipe(**{"epochs": 6, "patience": None, **recipe})
    settings = Settings(("label",), family=family, recipe=recipe, trust=trust)
    Vector.rows = 0
    return fit_model(read_table(data or table()), settings, run=run, monitor=monitor, edit=edit), Vector.rows


def state(model):
    return dict(model.net.named_parameters())


@pytest.mark.parametrize("mixed", [True, False])
def test_a_fit_reads_each_image_once_and_comes_to_the_same(mixed, monkeypatch):
    data = table() if mixed else {name: values for name, values in table().items() if name != "age"}
    # Adam would make as much of a rounding error as of any other gradient; half precision makes larger ones.
    plain = {"optimizer": "sgd", "learning_rate": 0.05, "precision": "float32"}
    model, once = fit(data=data, **plain, trust=True)
    monkeypatch.setattr("lamina.fitting.training.compute_frozen", lambda net, feed: feed)
    other, often = fit(data=data, **plain, trust=True)
    assert 60 <= once < 70 < 6 * 51 < often
    for name, value in state(model).items():
        torch.testing.assert_close(value, state(other)[name], rtol=0, atol=1e-6)
    losses = [[epoch["validation_loss"] for epoch in fitted.card["history"]] for fitted in (model, other)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    np.testing.assert_allclose(model.trust.novelty.validation_scores, other.trust.novelty.validation_scores, rtol=1e-4)


@pytest.mark.parametrize("target", ["label", "age"])
def test_what_is_kept_for_trust_is_what_the_model_says_of_the_table(target):
    data = read_table(table()).with_columns(part=pl.Series(["valid", *["train"] * 5] * 10))
    family = Convolutional(backbone="vector")
    settings = Settings((target,), split="part", family=family, recipe=Recipe(epochs=2))
    model = fit_model(data, settings)
    validation = data.filter(data["part"] == "valid")
    assert model.evaluate(validation)["scores"] == pytest.approx(model.card["validation"], abs=1e-6)
    features, _ = model.schema.check(validation)
    expected = np.sort(model.trust.novelty.score(model.novelty_features(features, None)))
    np.testing.assert_allclose(model.trust.novelty.validation_scores, expected, rtol=1e-4)
    outputs, spread = model.outputs(validation), model.spread(features)
    again = Trust().calibrated(model.task.judge, outputs, model.task.encode(validation), features=features, spread=spread)
    name = "sets" if target == "label" else "intervals"
    np.testing.assert_allclose(getattr(model.trust, name).scores, getattr(again, name).scores, rtol=1e-4)


def test_images_that_change_and_graphs_that_may_are_read_in_every_epoch():
    assert fit(augment=("flip",))[1] > 6 * 51
    assert fit(edit=lambda epoch, net: None)[1] > 6 * 51


def test_a_resumed_fit_is_the_same_bit_by_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)

    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, Epoch) and event.epoch == 2:
            raise Killed

    run = Run.create(tmp_path / "run", {})
    with pytest.raises(Killed):
        fit(run=run, monitor=kill)
    resumed, whole = fit(run=run)[0], fit()[0]
    assert [epoch["epoch"] for epoch in resumed.card["history"]] == list(range(6))
    for name, value in state(whole).items():
        assert torch.equal(value, state(resumed)[name])


def test_the_model_predicts_from_images():
    model = lamina.fit(table(), "label", family=Convolutional(backbone="vector"), recipe=Recipe(epochs=1), seed=0, monitor=None)
    assert len(model.predict(table())) == 60
    with pytest.raises(GraphError, match="the batch lacks the input 'image'; it has 'numbers'"):
        model.model_.net({"numbers": torch.zeros(2, 1)})
