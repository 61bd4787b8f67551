"""Populations: each member is what it is when trained alone; what cannot be packed is trained alone."""

import dataclasses

import numpy as np
import pytest
import torch

import lamina
from lamina import Ensemble, Recipe
from lamina.data.feed import Feed
from lamina.errors import TrainingError
from lamina.families import FeedForward
from lamina.graph import Dense, Graph, Net, Plan
from lamina.tasks.classification import Classification
from lamina.tasks.losses import LOSSES
from lamina.train import population
from lamina.train.callbacks import Hooks
from lamina.train.events import Epoch, StopReason
from lamina.train.forward import Validation
from lamina.train.loop import train
from lamina.train.population import Member, train_together
from lamina.train.run import Run
from tests.fitting.test_candidates import rows

RECIPE = Recipe(
    optimizer="adamw",
    loss="cross_entropy",
    metric="loss",
    learning_rate=0.01,
    weight_decay=0.03,
    schedule="cosine",
    epochs=4,
    batch_size=16,
    patience=None,
    clip_value=None,
    augment=None,
    precision="float32",
)
TASK = Classification(("y",), classes=("a", "b", "c"), dtype="String")


def member(seed=0, count=100, *, hidden=8, weighted=False, monitor=None, layer=None, **recipe):
    g = Graph()
    g.input("x", shape=5)
    g.layer("hidden", layer or Dense(hidden, "relu"), after="x")
    g.layer("head", Dense(3), after="hidden")
    g.output("y", after="head")
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count + 40, 5)).astype(np.float32)
    y = (x @ rng.standard_normal((5, 3))).argmax(1)
    weight = rng.uniform(0.5, 2, count) if weighted else None
    net = Net(Plan(g), seed=seed)
    feed = Feed({"x": x[:count]}, y[:count], weight)
    validation = Validation(Feed({"x": x[count:]}, y[count:]), TASK, LOSSES["cross_entropy"])
    return Member(net, feed, validation, dataclasses.replace(RECIPE, **recipe), seed, Hooks(None, monitor))


def alone(one):
    return train(one.net, one.feed, one.validation, recipe=one.recipe, seed=one.seed, hooks=one.hooks)


def losses(history):
    return [(epoch["train_loss"], epoch["validation_loss"]) for epoch in history.epochs]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weighted": True},
        {"optimizer": "sgd", "clip_value": 0.01},
        {"optimizer": "rmsprop", "ema_decay": None},
        {"optimizer": "adagrad", "weight_decay": 0.1},
        {"optimizer": "adam", "learning_rate": 0.003},
    ],
    ids=str,
)
@pytest.mark.parametrize("counts", [(100, 100, 100), (100, 101, 99), (96, 96, 96), (16, 16, 16)], ids=str)
def test_each_member_is_what_it_is_alone(options, counts):
    made = [[member(seed, count, **options) for seed, count in enumerate(counts)] for _ in range(2)]
    together, expected = train_together(made[0]), [alone(one) for one in made[1]]
    for (net, history), (other, its) in zip(together, expected, strict=True):
        assert np.allclose(losses(history), losses(its), atol=1e-5)
        assert history.best_epoch == its.best_epoch
        for value, another in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.allclose(value, another, atol=1e-5)


def test_a_member_that_stops_early_leaves_the_others_as_they_are():
    options = {"patience": 2, "learning_rate": 0.03, "epochs": 40}
    made = [[member(seed, 100, hidden=16, **options) for seed in range(5)] for _ in range(2)]
    together, expected = train_together(made[0]), [alone(one) for one in made[1]]
    assert len({len(history.epochs) for _, history in together}) > 2
    for (net, history), (other, its) in zip(together, expected, strict=True):
        assert history.stopped is its.stopped
        assert len(history.epochs) == len(its.epochs)
        assert np.allclose(losses(history), losses(its), atol=1e-4)
        for value, another in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.allclose(value, another, atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": "muon"},
        {"clip_norm": 1.0},
        {"schedule": "plateau"},
        {"learning_rate": "find"},
        {"step_mode": "eager"},
        {"threads": 1},
    ],
    ids=str,
)
def test_what_cannot_be_packed_is_left(change):
    assert train_together([member(0, **change), member(1, **change)]) == [None, None]


def test_networks_that_draw_random_numbers_and_large_ones_are_left(monkeypatch):
    assert train_together([member(seed, layer=Dense(8, "relu", dropout=0.5)) for seed in (0, 1)]) == [None, None]
    monkeypatch.setattr(population, "MOST_MULTIPLICATIONS", 1000)
    assert train_together([member(0), member(1)]) == [None, None]


def test_of_several_kinds_each_is_a_population():
    members = [member(0), member(1, hidden=4), member(2), member(3, hidden=4), member(4, count=30), member(5, epochs=2)]
    assert [result is not None for result in train_together(members)] == [True, True, True, True, False, False]


def test_the_error_of_one_member_is_its_own():
    members = [member(seed) for seed in range(3)]
    members[1].feed.inputs["x"][:] = float("nan")
    one, error, other = train_together(members)
    assert isinstance(error, TrainingError)
    assert one[1].stopped is other[1].stopped is StopReason.EPOCHS


def test_each_epoch_is_reported_and_the_time_limit_ends_all():
    seen = [], []
    members = [member(seed, monitor=seen[seed].append, epochs=10_000_000, time_limit=0.5) for seed in range(2)]
    for (_, history), events in zip(train_together(members), seen, strict=True):
        assert history.stopped is StopReason.TIME_LIMIT
        assert all(isinstance(event, Epoch) for event in events)
        assert [event.epoch for event in events] == [epoch["epoch"] for epoch in history.epochs][: len(events)]
        assert history.seconds < 5


def test_folds_of_an_ensemble_are_a_population(monkeypatch, tmp_path):
    table, family = rows(400, shape="signs"), Ensemble((FeedForward(hidden_sizes=(16,), members=2),), folds=4)
    sizes, original = [], population.train_together

    def counted(members):
        sizes.append(len(members))
        return original(members)

    monkeypatch.setattr("lamina.fitting.training.train_together", counted)
    recipe = Recipe(epochs=3)
    packed = lamina.fit(table, "y", family=family, recipe=recipe, seed=1, monitor=None, run=tmp_path / "run")
    assert sizes == [3]  # after the first one
    monkeypatch.setattr(population, "MOST_MULTIPLICATIONS", 0)
    single = lamina.fit(table, "y", family=family, recipe=recipe, seed=1, monitor=None)
    assert np.allclose(packed.model_.outputs(table), single.model_.outputs(table), atol=1e-5)


def test_a_member_whose_training_has_ended_is_not_trained_again(tmp_path):
    run = Run.create(tmp_path / "run", {})
    members = [dataclasses.replace(member(seed), run=run.part(str(seed))) for seed in range(2)]
    (net, history), _ = train_together(members)
    again = member(0)
    other, its = train(again.net, again.feed, again.validation, recipe=again.recipe, seed=0, run=run.part("0"))
    assert its.epochs == history.epochs
    assert its.stopped is history.stopped is StopReason.EPOCHS
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), other.parameters(), strict=True))
    assert [event.epoch for event in run.part("0").events() if isinstance(event, Epoch)] == [0, 1, 2, 3]
