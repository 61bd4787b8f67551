"""The step: all ways to execute it give the same numbers, and those of a plain PyTorch loop."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lamina.data.encoding import Input
from lamina.data.feed import Feed
from lamina.errors import OptionError
from lamina.families import FeedForward, Shortcut
from lamina.graph.graph import Graph
from lamina.graph.layers import Dense
from lamina.graph.layers.convolution import Pixels
from lamina.graph.net import Net
from lamina.graph.plan import Plan
from lamina.tasks import Classification
from lamina.tasks.losses import CROSS_ENTROPY
from lamina.train.augment import Augment
from lamina.train.forward import Validation
from lamina.train.loop import train
from lamina.train.recipe import Recipe
from lamina.train.step import TRACE_AFTER, Trainer
from lamina.train.threads import threads

ROWS, BATCH = 107, 20  # the last batch of an epoch holds 7


class Rows(nn.Sequential):
    def forward(self, batch):
        return super().forward(batch["numbers"])


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList([nn.Embedding(5, 4, padding_idx=0), nn.Embedding(5, 3)])
        self.hidden, self.out = nn.Linear(13, 16), nn.Linear(16, 3)

    def forward(self, batch):
        vectors = [table(batch["categories"][:, i]) for i, table in enumerate(self.tables)]
        return self.out(F.dropout(F.gelu(self.hidden(torch.cat([batch["numbers"], *vectors], 1))), 0.2, self.training))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.onward, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, batch):
        state, states = torch.zeros(len(batch["numbers"]), 8), []
        for time in range(4):
            state = torch.tanh(self.inward(batch["numbers"] * time) + self.onward(state))
            states.append(state)
        return self.out(torch.stack(states, 1).mean(1))


class Shared(nn.Module):
    """One layer used twice, one parameter that broadcasts, one layer not used at all, and a factor of 1."""

    def __init__(self):
        super().__init__()
        self.layer, self.scale, self.out, self.idle = (
            nn.Linear(6, 6),
            nn.Parameter(torch.ones(1)),
            nn.Linear(6, 3),
            nn.Linear(2, 2),
        )

    def forward(self, batch):
        hidden = self.layer(torch.sigmoid(self.layer(batch["numbers"]) * self.scale))
        return self.out(torch.addcmul(hidden, hidden, batch["numbers"]) * 1)


class InPlace(nn.Module):
    """Writes into tensors it has made, by parts."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)

    def forward(self, batch):
        x = torch.zeros_like(batch["numbers"])
        x[:, ::2] = batch["numbers"][:, 1::2] * 2
        x[:, 1] += 1
        x += torch.ones_like(x).mul_(2) * torch.full((6,), 0.1).add_(0.1)
        return self.out(x)


class DroppedBits(nn.Module):
    """Dropout from random bits."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, batch):
        x = torch.relu(self.hidden(batch["numbers"]))
        bits = torch.empty(x.numel() // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        return self.out(x * ((bits.view(x.shape) >= 6554 - 32768) * (1 / 0.9)))


class Attentive(nn.Module):
    def __init__(self):
        super().__init__()
        self.inward, self.out = nn.Linear(1, 8), nn.Linear(8, 3)
        self.attention = nn.MultiheadAttention(8, 2, dropout=0.1, batch_first=True)

    def forward(self, batch):
        x = self.inward(batch["numbers"].unsqueeze(2))
        return self.out(self.attention(x, x, x, need_weights=False)[0].mean(1))


def _table(family):
    cardinalities = (5, 5)
    inputs = {"numbers": Input((6,), tuple("abcdef")), "categories": Input((2,), ("g", "h"), cardinalities, "categories")}
    return Net(Plan(family.graph(inputs, 3)), seed=0)


def _activated(name):
    layer = nn.Softmax(1) if name == "Softmax" else getattr(nn, name)()
    return Rows(nn.Linear(6, 16), layer, nn.Linear(16, 3))


NETS = {
    "plain": lambda: Rows(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)),
    "dropout and layer norm": lambda: Rows(nn.Linear(6, 16), nn.LayerNorm(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)),
    "batch norm": lambda: Rows(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)),
    "convolution": lambda: Rows(
        nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten(), nn.Linear(8, 3)
    ),
    "feed-forward": lambda: _table(FeedForward(hidden_sizes=(16, 16), members=4, bins=5, number_embedding_dim=4)),
    "feed-forward, periodic": lambda: _table(
        FeedForward(hidden_sizes=(16,), members=1, number_embedding="periodic", one_hot=0)
    ),
    "shortcut": lambda: _table(Shortcut()),
    "embedded": Embedded,
    "recurrent": Recurrent,
    "shared": Shared,
    "in place": InPlace,
    "dropped bits": DroppedBits,
    "attentive": Attentive,
    **{
        name: lambda name=name: _activated(name)
        for name in "Tanh Sigmoid LeakyReLU ELU SELU GELU SiLU Softplus Hardtanh Softmax Mish PReLU Identity".split()
    },
}


def _feed(loss="cross_entropy", weighted=False):
    generator = torch.Generator().manual_seed(1)
    inputs = {
        "numbers": torch.randn(ROWS, 6, generator=generator),
        "categories": torch.randint(0, 5, (ROWS, 2), generator=generator),
    }
    if loss in ("cross_entropy", "maximum_a_posteriori"):
        target = torch.randint(0, 3, (ROWS,), generator=generator)
    elif loss == "binary_cross_entropy":
        target = torch.randint(0, 2, (ROWS,), generator=generator)
    else:
        target = torch.randn(ROWS, 3, generator=generator)
    return Feed(inputs, target, torch.rand(ROWS, generator=generator) if weighted else None)


def _trained(net, mode, *, loss="cross_entropy", weighted=False, epochs=5, batch=BATCH, **options):
    recipe = Recipe(
        loss=loss, batch_size=batch, step_mode=mode, **{"optimizer": "adamw", "weight_decay": 0.1, "ema_decay": 0.99, **options}
    )
    feed = _feed(loss, weighted)
    trainer = Trainer(net, feed, recipe)
    torch.manual_seed(2)
    losses = [trainer.run_epoch(torch.randperm(ROWS), [1e-2] * trainer.steps_per_epoch) for _ in range(epochs)]
    return trainer, losses, torch.rand(1)


def _make(name):
    torch.manual_seed(0)
    return NETS[name]()


def _assert_same(traced, eager):
    assert torch.equal(traced[0].optimizer.value, eager[0].optimizer.value)
    assert traced[1] == eager[1]
    assert torch.equal(traced[2], eager[2])  # the same random numbers were drawn
    for ours, theirs in zip(traced[0].net.buffers(), eager[0].net.buffers(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", NETS)
def test_traced_steps_are_eager_ones_bit_by_bit(name):
    traced = _trained(_make(name), "traced")
    assert traced[0].why_eager == ""
    assert traced[0].source
    _assert_same(traced, _trained(_make(name), "eager"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy", "maximum_a_posteriori", "mse", "huber"])
@pytest.mark.parametrize("name", ["plain", "feed-forward"])
def test_so_they_are_for_every_loss(name, loss, weighted):
    class One(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, batch):
            return self.net(batch)[..., :1]

    def net():
        return One(_make(name)) if loss == "binary_cross_entropy" else _make(name)

    traced = _trained(net(), "traced", loss=loss, weighted=weighted)
    assert traced[0].why_eager == ""
    _assert_same(traced, _trained(net(), "eager", loss=loss, weighted=weighted))


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam"])
def test_and_for_every_optimizer_with_clamping(optimizer):
    options = {"optimizer": optimizer, "clip_value": 0.1, "clip_norm": 0.5}
    _assert_same(_trained(_make("shared"), "traced", **options), _trained(_make("shared"), "eager", **options))


def test_they_are_the_same_after_200_steps():
    _assert_same(*(_trained(_make("plain"), mode, epochs=34) for mode in ("traced", "eager")))


def test_and_with_two_threads():
    with threads(2):
        _assert_same(*(_trained(_make("feed-forward"), mode, batch=64, epochs=2) for mode in ("traced", "eager")))


def test_auto_is_eager_at_first_then_traced():
    net = _make("plain")
    trainer, losses, _ = _trained(net, "auto", epochs=2)
    assert 2 * 5 < TRACE_AFTER
    assert trainer.source == ""
    trainer, losses, _ = _trained(_make("plain"), "auto", epochs=30)
    assert "addmm(layer0_bias, numbers, layer0_weight_transposed, out=" in trainer.source
    assert losses == _trained(_make("plain"), "eager", epochs=30)[1]


def test_full_batch_needs_no_gather():
    traced, eager = (_trained(_make("plain"), mode, batch="full") for mode in ("traced", "eager"))
    assert traced[0].steps_per_epoch == 1
    _assert_same(traced, eager)


def test_a_plain_loop_learns_the_same():
    net, feed = _make("plain"), _feed()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    torch.manual_seed(2)
    losses = []
    for _ in range(5):
        total = 0.0
        for rows in torch.randperm(ROWS).split(BATCH):
            optimizer.zero_grad()
            loss = F.cross_entropy(net({"numbers": feed.inputs["numbers"][rows]}), feed.targets["target"][rows])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / ROWS)
    trainer, ours, _ = _trained(_make("plain"), "traced", optimizer="adam", weight_decay=0.0, ema_decay=None)
    assert ours == pytest.approx(losses, rel=1e-5)
    for view, parameter in zip(trainer.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(view, parameter, rtol=1e-4, atol=1e-5)


class Deciding(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, batch):
        y = self.layer(batch["numbers"])
        return y * 2 if y.sum() > 0 else y


class Counting(Deciding):
    calls = 0

    def forward(self, batch):
        self.calls += 1
        return self.layer(batch["numbers"]) * (1 + 0.01 * self.calls)


class Gated(Deciding):
    """``aten::lstm`` hands other memory to its backward pass without gradients."""

    def __init__(self):
        super().__init__()
        self.lstm, self.layer = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, batch):
        return self.layer(self.lstm(batch["numbers"].unsqueeze(2))[0][:, -1])


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Deciding, "makes the step depend on values"), (Counting, "gave other numbers"), (Gated, "cannot be replayed")],
)
def test_what_cannot_be_replayed_stays_eager_and_right(kind, reason):
    def net():
        torch.manual_seed(0)
        return kind()

    traced = _trained(net(), "traced")
    assert reason in traced[0].why_eager
    assert traced[0].source == ""
    if kind is not Counting:  # which was called once more, by the check
        _assert_same(traced, _trained(net(), "eager"))


def test_tick_ends_an_epoch_between_steps():
    trainer, _, _ = _trained(_make("plain"), "traced")
    before, seen = trainer.optimizer.value.clone(), []

    def tick(step):
        seen.append(step)
        return True

    steps = 200_000
    order = torch.randint(ROWS, (steps * BATCH,))
    assert trainer.run_epoch(order, [1e-3] * steps, tick) is None
    assert len(seen) == 1
    assert 0 < seen[0] < steps
    assert not torch.equal(trainer.optimizer.value, before)


def test_an_epoch_that_ended_early_can_be_continued():
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(3))
    whole, parts = (_trained(_make("plain"), "traced", epochs=1)[0] for _ in range(2))
    whole.run_epoch(order, [0.01 * step for step in range(6)])
    parts.run_epoch(order[:60], [0.0, 0.01, 0.02])
    parts.run_epoch(order[60:], [0.03, 0.04, 0.05])
    torch.testing.assert_close(parts.optimizer.value, whole.optimizer.value, rtol=0, atol=1e-6)


def test_the_loss_is_the_mean_over_rows():
    net, feed = _make("plain"), _feed()
    with torch.no_grad():
        expected = F.cross_entropy(net(feed.inputs), feed.targets["target"]).item()
    trainer = Trainer(net, feed, Recipe(loss="cross_entropy", batch_size=BATCH, step_mode="traced"))
    assert trainer.run_epoch(torch.arange(ROWS), [0.0] * 6) == pytest.approx(expected, rel=1e-5)


def test_silent_neurons_do_not_leave_denormals():
    trainer, _, _ = _trained(_make("plain"), "eager", optimizer="adam", weight_decay=0.0, epochs=1)
    with torch.no_grad():
        trainer.net[0].bias.fill_(-100)  # every neuron of the first layer falls silent
    with threads(1):  # the flag is the calling thread's own
        trainer.run_epoch(torch.arange(ROWS).repeat(200), [0.0] * math.ceil(200 * ROWS / BATCH))
    mean = trainer.optimizer.state_dict()["mean"]
    assert not ((mean != 0) & (mean.abs() < torch.finfo(torch.float32).tiny)).any()


def test_weight_decay_leaves_biases_and_scales_alone():
    trainer, _, _ = _trained(_make("feed-forward"), "eager", epochs=1)
    flat = trainer.optimizer.parameters
    decaying = flat.value.data_ptr() + 4 * len(flat.decaying(flat.value))
    names = {name for name, view in zip(flat.names, flat.views, strict=True) if view.data_ptr() < decaying}
    assert {"hidden1.weight", "hidden2.weight", "head.weight"} <= names
    assert not [name for name in names if not name.endswith("weight")]
    normed = _trained(_make("dropout and layer norm"), "eager", epochs=1)[0].optimizer.parameters
    assert len(normed.decaying(normed.value)) == 6 * 16 + 16 * 3  # not the weights of the norm


def test_modes_that_do_not_fit_the_device():
    with pytest.raises(OptionError, match="step_mode is 'cuda_graph' on the device cpu, expected 'cuda'"):
        _trained(_make("plain"), "cuda_graph")


class Looking(nn.Module):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.layer, self.seen = nn.Linear(60, 3), []

    def forward(self, batch):
        self.seen.append({name: block.clone() for name, block in batch.items()})
        return self.layer(batch["image"].flatten(1) / 255)


def _images(rows=10):
    generator = torch.Generator().manual_seed(4)
    image = torch.randint(1, 256, (rows, 4, 5, 3), dtype=torch.uint8, generator=generator)
    steps = torch.ones(rows, 7, dtype=torch.uint8)  # bytes, too, but no image
    numbers = torch.rand(rows, 4, 5, 3, generator=generator)  # as many axes, but no bytes
    return Feed({"image": image, "steps": steps, "numbers": numbers}, torch.arange(rows) % 3)


def _looked(batch, *, epochs=3, augment=("shift", "flip"), feed=None, net=None, mode="eager"):
    net, feed = net or Looking(), feed or _images()
    recipe = Recipe(loss="cross_entropy", batch_size=batch, step_mode=mode, augment=augment, weight_decay=0.0)
    trainer = Trainer(net, feed, recipe)
    torch.manual_seed(5)
    losses = [trainer.run_epoch(torch.arange(len(feed)), [1e-2] * trainer.steps_per_epoch) for _ in range(epochs)]
    return trainer, losses


@pytest.mark.parametrize("batch", [4, 10, "full", 1000])
def test_images_are_changed_anew_at_each_step_and_stay_as_they_are_in_the_feed(batch):
    feed, net = _images(), Looking()
    before = {name: block.clone() for name, block in feed.inputs.items()}
    trainer, _ = _looked(batch, feed=feed, net=net)
    assert trainer.steps_per_epoch == (3 if batch == 4 else 1)
    for name, block in before.items():
        assert torch.equal(feed.inputs[name], block)
    torch.manual_seed(5)
    parts = 3 * torch.arange(10).split(4 if batch == 4 else 10)
    assert len(net.seen) == len(parts)
    for rows, seen in zip(parts, net.seen, strict=True):
        # From the feed's own images each time, not from those of the last step.
        assert torch.equal(seen["image"], Augment(("shift", "flip"))(before["image"][rows].clone()))
        assert torch.equal(seen["steps"], before["steps"][rows])
        assert torch.equal(seen["numbers"], before["numbers"][rows])
    steps = trainer.steps_per_epoch
    epochs = [torch.cat([seen["image"] for seen in net.seen[i * steps : (i + 1) * steps]]) for i in range(3)]
    assert not any(torch.equal(epochs[i], other) for i in range(3) for other in (*epochs[:i], before["image"]))


@pytest.mark.parametrize("augment", [None, ()])
def test_without_changes_a_full_batch_is_the_feed_itself(augment):
    feed = _images()

    class Where(Looking):
        def forward(self, batch):
            self.places = {name: block.data_ptr() for name, block in batch.items()}
            return super().forward(batch)

    net = Where()
    _looked("full", augment=augment, feed=feed, net=net)
    assert net.places == {name: block.data_ptr() for name, block in feed.inputs.items()}
    _looked("full", augment=("flip",), feed=feed, net=net)
    moved = {name for name, block in feed.inputs.items() if net.places[name] != block.data_ptr()}
    assert moved == {"image"}


@pytest.mark.parametrize("batch", [4, "full"])
def test_traced_steps_see_the_changes_too(batch):
    class Image(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))

        def forward(self, batch):
            return self.layers(batch["image"].permute(0, 3, 1, 2).float() / 255)

    traced, losses = _looked(batch, epochs=8, net=Image(), mode="traced")
    eager, expected = _looked(batch, epochs=8, net=Image())
    assert (traced.why_eager, eager.source) == ("", "")
    assert traced.source
    assert losses == expected
    assert torch.equal(traced.optimizer.value, eager.optimizer.value)
    unchanged, others = _looked(batch, epochs=8, net=Image(), augment=None)
    assert others != expected
    assert not torch.equal(unchanged.optimizer.value, eager.optimizer.value)


def test_images_are_changed_to_learn_from_never_to_validate():
    g = Graph()
    g.input("image", shape=(4, 5, 3))
    g.layer("pixels", Pixels(), after="image")
    g.layer("head", Dense(3), after="pixels")
    g.output("y", after="head")
    net, seen = Net(Plan(g), seed=0), {True: [], False: []}
    net.register_forward_pre_hook(lambda module, args: seen[module.training].append(args[0]["image"].clone()))
    feeds = [Feed({"image": feed.inputs["image"]}, feed.targets["target"]) for feed in (_images(12), _images(8))]
    before = [feed.inputs["image"].clone() for feed in feeds]
    decided = {"loss": "cross_entropy", "epochs": 3, "batch_size": 12, "schedule": "constant", "patience": None}
    decided |= {"learning_rate": 1e-3, "weight_decay": 0.0, "clip_value": None, "precision": "float32"}
    task = Classification(("y",), classes=("a", "b", "c"), dtype="String")
    validation = Validation(feeds[1], task, CROSS_ENTROPY)
    train(net, feeds[0], validation, recipe=Recipe(augment=("erase",), step_mode="eager", **decided), seed=0)
    assert [torch.equal(feed.inputs["image"], images) for feed, images in zip(feeds, before, strict=True)] == [True, True]
    learnt = [images for images in seen[True] if len(images) == 12]
    assert len(learnt) >= 3
    assert all((images == 0).any() for images in learnt[-3:])
    assert not torch.equal(learnt[-1], learnt[-2])
    assert len(seen[False]) >= 3
    assert all(torch.equal(images, before[1]) for images in seen[False][-3:])
    assert not any((images == 0).any() for images in seen[False])
