"""Schedules against PyTorch's, and the learning-rate finder."""

import itertools
import math

import pytest
import torch
from torch import nn

from lamina.data.feed import Feed
from lamina.errors import OptionError, TrainingError
from lamina.train.recipe import Recipe
from lamina.train.schedules import PLATEAU_FACTOR, PLATEAU_PATIENCE, find_learning_rate, make_schedule

EPOCHS, STEPS = 8, 25


def _schedule(name, rate=0.1):
    return make_schedule(Recipe(schedule=name, learning_rate=rate, epochs=EPOCHS), STEPS)


def _all(schedule):
    return [rate for epoch in range(EPOCHS) for rate in schedule.rates(epoch)]


def _torch_optimizer(rate=0.1):
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)


def _torch_rates(optimizer, scheduler):
    rates = []
    for _ in range(EPOCHS * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_constant():
    schedule = _schedule("constant")
    assert _all(schedule) == [0.1] * 200
    assert schedule.state_dict() == {}


def test_cosine_warms_up_and_is_pytorchs_after():
    rates = _all(_schedule("cosine"))
    assert rates[:10] == pytest.approx([0.01 * step for step in range(1, 11)])
    optimizer = _torch_optimizer()
    expected = _torch_rates(optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=190))
    assert rates[10:] == pytest.approx(expected[:190], abs=1e-9)


def test_one_cycle_is_pytorchs():
    optimizer = _torch_optimizer()
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=EPOCHS * STEPS + 1, cycle_momentum=False)
    ours = make_schedule(Recipe(schedule="one_cycle", learning_rate=0.1, epochs=1), EPOCHS * STEPS + 1).rates(0)
    assert ours[: EPOCHS * STEPS] == pytest.approx(_torch_rates(optimizer, scheduler), abs=1e-9)


def test_coslog4_has_four_cycles_each_as_long_as_all_before_it():
    rates = _all(_schedule("coslog4"))
    ends = [round((2**cycle - 1) / 15 * (EPOCHS * STEPS - 1)) for cycle in range(5)]
    assert max(rates[end] for end in ends) < 0.003
    assert [max(rates[first : last + 1]) for first, last in itertools.pairwise(ends)] == pytest.approx([0.1] * 4, rel=0.02)
    for share in (0.1, 0.25, 0.7):
        step = round(share * (EPOCHS * STEPS - 1))
        t = step / (EPOCHS * STEPS - 1)
        assert rates[step] == pytest.approx(0.05 * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))))


@pytest.mark.parametrize("name", ["cosine", "one_cycle", "coslog4"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_short_trainings_have_finite_rates(name, steps):
    rates = make_schedule(Recipe(schedule=name, learning_rate=0.1, epochs=1), steps).rates(0)
    assert len(rates) == steps
    assert all(0 <= rate <= 0.1 for rate in rates)


def test_plateau_is_pytorchs():
    losses = [1.0, 0.9, 0.95, 0.89999, *[0.9] * 20, 0.5, *[0.6] * 12]
    optimizer = _torch_optimizer()
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=PLATEAU_FACTOR, patience=PLATEAU_PATIENCE)
    schedule = _schedule("plateau")
    for epoch, loss in enumerate(losses):
        assert schedule.rates(epoch)[0] == pytest.approx(optimizer.param_groups[0]["lr"])
        schedule.observe(loss)
        scheduler.step(loss)
    assert schedule.rates(0)[0] == pytest.approx(0.1 * PLATEAU_FACTOR**5)


def test_plateau_restores_its_state():
    schedule, resumed = _schedule("plateau"), _schedule("plateau")
    assert schedule.state_dict()["best"] is None  # infinity is no JSON
    for loss in [1.0, *[2.0] * 9]:
        schedule.observe(loss)
    resumed.load_state_dict(schedule.state_dict())
    for loss in [2.0] * 4:
        schedule.observe(loss)
        resumed.observe(loss)
        assert schedule.rates(1) == resumed.rates(1)


def test_unknown_schedule():
    with pytest.raises(OptionError, match="schedule is 'auto', expected one of constant, cosine"):
        make_schedule(Recipe(epochs=1, learning_rate=0.1), 3)


class _Net(nn.Sequential):
    def forward(self, batch):
        return super().forward(batch["x"])


def _task():
    torch.manual_seed(0)
    x = torch.randn(512, 6)
    return _Net(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1)), Feed({"x": x}, x[:, :1] * x[:, 1:2] + x[:, 2:3])


@pytest.mark.parametrize(("optimizer", "low", "high"), [("sgd", 0.005, 0.5), ("adamw", 5e-3, 0.1)])
def test_the_finder_takes_a_rate_that_learns(optimizer, low, high):
    net, feed = _task()
    before, random = [p.clone() for p in net.parameters()], torch.get_rng_state()
    recipe = Recipe(optimizer=optimizer, momentum=0.0, loss="mse", batch_size=32, learning_rate="find")
    rate = find_learning_rate(net, feed, recipe)
    assert low < rate < high
    assert all(torch.equal(p, b) for p, b in zip(net.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert find_learning_rate(net, feed, recipe) == rate


def test_the_finder_refuses_infinite_data():
    net, feed = _task()
    feed.targets["target"][:] = math.inf
    with pytest.raises(TrainingError, match="not finite at the smallest learning rate"):
        find_learning_rate(net, feed, Recipe(loss="mse", batch_size=32))
