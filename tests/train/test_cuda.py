"""The step on a GPU: checked without one as far as that goes, and with one where there is one.

Without: every operation of the step runs on tensors without numbers ("meta"), which refuse what a CUDA graph refuses (waiting
for a value, tensors of several devices); and capture and replay are checked with a mock.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import lamina
from lamina.data.encoding import Input
from lamina.data.feed import Feed, as_tensor
from lamina.errors import TrainingError
from lamina.families import NETWORKS, Convolutional
from lamina.graph.plan import Plan
from lamina.train.optimizers import make_optimizer
from lamina.train.parameters import FlatParameters
from lamina.train.recipe import Recipe
from lamina.train.step import Trainer, _GraphStep
from tests.contract import READS, TABLES, fitted_to, rich, small, table

ROWS, BATCH = 30, 8
GPU = torch.cuda.is_available()
OPTIMIZERS = {"sgd": {"momentum": 0.0}, "sgd, nesterov": {"momentum": 0.9, "nesterov": True}, "rmsprop": {"momentum": 0.5}}
OPTIMIZERS |= {name: {} for name in ("adagrad", "adam", "adamw", "muon")}


def _recipe(optimizer="adamw", **options):
    plain = {"loss": "cross_entropy", "batch_size": BATCH, "weight_decay": 0.1, "clip_value": 1.0, "clip_norm": 1.0}
    return Recipe(**{"optimizer": optimizer.split(",")[0], **plain, **OPTIMIZERS.get(optimizer, {}), **options})


def _numbers(device="cpu"):
    generator = torch.Generator().manual_seed(1)
    block = torch.randn(ROWS, 6, generator=generator)
    return Feed({"numbers": block}, torch.randint(0, 3, (ROWS,), generator=generator), device=device)


class Rows(nn.Sequential):
    def forward(self, batch):
        return super().forward(batch["numbers"])


def _net(*more):
    torch.manual_seed(0)
    return Rows(nn.Linear(6, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), *more, nn.Linear(16, 3))


# ---------------------------------------------------------------- on tensors without numbers
def _without_numbers(module):
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                there = torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")
                part._parameters[name] = nn.Parameter(there, parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device="meta")
    return module


def _fused(*lists, lr, **options):
    for tensor in [*(tensor for tensors in lists for tensor in tensors), lr]:
        assert (tensor.device.type, tensor.dtype) == ("meta", torch.float32)
    assert lr.shape == ()


def _fake_step(net, blocks, recipe, *, weight=False):
    """Run the body of a GPU step of a net in training, on tensors without numbers."""
    there = {"device": "meta"}
    inputs = {name: torch.empty((ROWS, *shape), dtype=dtype, **there) for name, (shape, dtype) in blocks.items()}
    target = torch.empty(ROWS, dtype=torch.int64, **there)
    feed = Feed(inputs, target, torch.empty(ROWS, **there) if weight else None)
    with pytest.MonkeyPatch.context() as patch:  # a GPU's own read a rate and counts that lie there
        for name in ("sgd_kernel", "adam_kernel"):
            patch.setattr(f"lamina.train.optimizers.{name}", lambda device: _fused)
        trainer = Trainer(_without_numbers(net).train(), feed, recipe)
    step = _GraphStep(trainer, BATCH)
    trainer._begin(torch.empty(ROWS, dtype=torch.int64, **there), [0.1] * trainer.steps_per_epoch)
    step.begin(0)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode(False), torch.no_grad():
        patch.setattr(torch, "autocast", lambda *args, **kwargs: contextlib.nullcontext())  # knows no such device
        step.body()
    return trainer


def _fitted_blocks(name, kind):
    frame, target = (rich(kind), "target") if kind else table("classes")
    recipe = Recipe(epochs=1, batch_size=BATCH, augment=None, precision="float32")
    options = {"members": 1} if name == "feedforward" and kind else {}
    family = small(name, dropout=0.1, **options)
    model = lamina.fit(frame[:ROWS], target, family=family, recipe=recipe, monitor=None, trust=False)
    encoded = model.model_.encoder.transform(model.model_.schema.check(frame[:ROWS], notes=False)[0])
    return model.model_.net, {n: (tuple(b.shape[1:]), as_tensor(b).dtype) for n, b in encoded.items()}


CASES = [(name, "") for name in TABLES if name in NETWORKS]
CASES += [(name, kind) for name, kind in READS if name in NETWORKS and kind != "all"]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_step_waits_for_nothing_and_stays_on_one_device(name, kind):
    net, blocks = _fitted_blocks(name, kind)
    changes = ("shift", "crop", "flip", "rotate", "erase") if kind == "image" else None
    _fake_step(net, blocks, _recipe(augment=changes, precision="float32"))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("weight", [False, True])
def test_so_does_every_optimizer(optimizer, weight):
    trainer = _fake_step(_net(), {"numbers": ((6,), torch.float32)}, _recipe(optimizer), weight=weight)
    state = trainer.optimizer.state_dict()
    assert {tensor.device for tensor in state.values()} == {torch.device("meta")}  # a count elsewhere would not be captured


def test_what_would_wait_is_found():
    class Waiting(Rows):
        def forward(self, batch):
            return super().forward(batch) * (1.0 if batch["numbers"].sum().item() else 2.0)

    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta tensors"):
        _fake_step(Waiting(nn.Linear(6, 3)), {"numbers": ((6,), torch.float32)}, _recipe())


# ---------------------------------------------------------------- capture and replay, with a mock
class Stream:
    def __init__(self, device=None):
        pass

    def wait_stream(self, other):
        pass


class Captured:
    """A mock of a CUDA graph on a CPU: executes the captured function at each replay."""

    made: list = []
    fail = False

    def __init__(self):
        self.made.append(self)
        self.replayed = 0

    def replay(self):
        self.replayed += 1
        with torch.inference_mode():
            self.body()


@pytest.fixture
def mock(monkeypatch):
    current, made = [Stream()], []
    Captured.made, Captured.fail = made, False

    @contextlib.contextmanager
    def stream(new):
        before, current[0] = current[0], new
        yield
        current[0] = before

    @contextlib.contextmanager
    def graph(captured, capture_error_mode):
        assert capture_error_mode == "thread_local"
        step = next(step for step in steps() if step.graph is None and step.size == capturing[0])
        captured.body = step.body
        current[0] = Stream()  # a capture that fails leaves it there
        if Captured.fail:
            raise RuntimeError("operation not permitted when stream is capturing")
        step.body, body = lambda: None, step.body  # captured, not done
        yield
        step.body = body
        current[0] = home

    trainers, capturing = [], [0]

    def steps():
        return [step for trainer in trainers for step in trainer._steps.values()]

    capture = _GraphStep.capture

    def watched(step):
        capturing[0] = step.size
        capture(step)

    home = current[0]
    monkeypatch.setattr(_GraphStep, "capture", watched)
    monkeypatch.setattr("gc.collect", lambda: 0)  # takes seconds among other tests
    for name, value in {
        "CUDAGraph": Captured,
        "Stream": Stream,
        "stream": stream,
        "graph": graph,
        "device": contextlib.nullcontext,
        "current_stream": lambda device: current[0],
        "set_stream": lambda new: current.__setitem__(0, new),
        "synchronize": lambda device: None,
        "get_rng_state": lambda device: torch.get_rng_state(),
        "set_rng_state": lambda state, device: torch.set_rng_state(state),
        "default_generators": (type("G", (), {"clone_state": lambda g: g, "graphsafe_set_state": lambda g, other: None})(),),
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)

    def trained(mode, *, on_gpu, epochs=4, net=None):
        trainer = Trainer(net or _net(nn.Dropout(0.2)), _numbers(), _recipe(step_mode="eager", ema_decay=0.9))
        trainer.mode, trainer._on_gpu = mode, on_gpu
        trainers.append(trainer)
        losses = []
        for epoch in range(epochs):
            torch.manual_seed(epoch)
            order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch))
            losses.append(trainer.run_epoch(order, [1e-2 / (1 + step) for step in range(trainer.steps_per_epoch)]))
        return trainer, losses

    trained.current, trained.home = current, home
    return trained


def _assert_same(one, other):
    assert one[1] == pytest.approx(other[1], rel=1e-6)
    torch.testing.assert_close(one[0].optimizer.value, other[0].optimizer.value, rtol=1e-5, atol=1e-6)
    for name, tensor in one[0].optimizer.state_dict().items():
        torch.testing.assert_close(tensor, other[0].optimizer.state_dict()[name], rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(one[0].net.buffers(), other[0].net.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_captured_steps_are_eager_ones(mock):
    graph = mock("auto", on_gpu=True)
    _assert_same(graph, mock("eager", on_gpu=False))
    assert graph[0].why_eager == ""
    assert [captured.replayed for captured in Captured.made] == [4 * 3, 4]  # full batches, and the last of each epoch


def test_after_a_failed_capture_steps_are_eager_and_right(mock):
    Captured.fail = True
    graph = mock("auto", on_gpu=True)
    _assert_same(graph, mock("eager", on_gpu=False))
    assert graph[0].why_eager.startswith("the step cannot be a CUDA graph: operation not permitted")
    assert len(Captured.made) == 1  # it is not tried again
    assert mock.current[0] is mock.home
    with pytest.raises(TrainingError, match=r"the step cannot be a CUDA graph \(operation .*set recipe.step_mode='eager'"):
        mock("cuda_graph", on_gpu=True)


def test_a_later_failure_releases_captured_graphs(mock):
    trainer, _ = mock("auto", on_gpu=True, epochs=1)
    trainer.stay_eager("reasons")
    assert all(step.graph is None for step in trainer._steps.values())
    assert trainer.run_epoch(torch.arange(ROWS), [1e-3] * trainer.steps_per_epoch) > 0
    assert len(Captured.made) == 2


# ---------------------------------------------------------------- what a family chooses on a GPU
def test_colour_images_get_a_wider_network_on_a_gpu():
    colour, gray = ({"image": Input((32, 32, n), ("picture",), kind="image")} for n in (3, 1))
    wide, note = Convolutional().suited(colour, "cuda", 50_000)
    assert wide.channels == 128
    assert note.startswith("On a GPU the network has 128 channels in its first stage, not 32")
    for family, inputs, device in (
        (Convolutional(), colour, "cpu"),
        (Convolutional(), gray, "cuda"),
        (Convolutional(channels=64), colour, "cuda"),
        (Convolutional(architecture="plain"), colour, "cuda"),
    ):
        assert family.suited(inputs, device, 50_000) == (family, "")
    assert Plan(wide.graph(colour, 10)).parameter_count == 7_681_674
    auto, explicit = (Plan(Convolutional(**options).graph(colour, 10)) for options in ({}, {"channels": 32}))
    assert auto.graph == explicit.graph


def test_and_learns_for_longer(monkeypatch):
    from lamina.tasks import Task

    task = Task.infer(pl.DataFrame({"y": ["a", "b"] * 5}), ["y"])
    inputs = {"image": Input((32, 32, 3), ("picture",), kind="image")}
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    family, _ = Convolutional().suited(inputs, "cuda", 50_000)
    preferred = family.prefers(rows=42_500, inputs=inputs, task=task, device="cuda")
    assert (preferred["epochs"], preferred["batch_size"], preferred["weight_decay"]) == (47, 512, 0.1)
    assert (preferred["augment"], preferred["precision"]) == (("shift", "flip", "erase"), "bfloat16")
    data = {"rows": 42_500, "inputs": inputs, "task": task, "device": "cuda"}
    decays = {name: family.complete(Recipe(optimizer=name), **data).weight_decay for name in ("adamw", "adam", "sgd")}
    assert decays == {"adamw": 0.1, "adam": 0.0, "sgd": 0.0}
    here = Convolutional().prefers(rows=42_500, inputs=inputs, task=task)
    assert (here["epochs"], here["batch_size"], here["augment"]) == (18, 128, ("shift", "flip"))
    assert "weight_decay" not in here


# ---------------------------------------------------------------- with a GPU
gpu = [pytest.mark.gpu, pytest.mark.skipif(not GPU, reason="needs a CUDA GPU")]


def needs_gpu(test):
    return gpu[0](gpu[1](test))


def _there(mode, net, epochs=5, optimizer="adamw"):
    feed = _numbers("cuda")
    trainer = Trainer(net.cuda(), feed, _recipe(optimizer, step_mode=mode))
    losses = []
    for epoch in range(epochs):
        torch.manual_seed(epoch)
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(epoch)).cuda()
        losses.append(trainer.run_epoch(order, [1e-2 / (1 + step) for step in range(trainer.steps_per_epoch)]))
    return trainer, losses


@needs_gpu
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_cuda_graphs_are_eager_steps(optimizer):
    graph, eager = (_there(mode, _net(nn.Dropout(0.2)), optimizer=optimizer) for mode in ("cuda_graph", "eager"))
    assert graph[1] == pytest.approx(eager[1], rel=1e-5)
    torch.testing.assert_close(graph[0].optimizer.value, eager[0].optimizer.value, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(list(graph[0].net.buffers()), list(eager[0].net.buffers()), rtol=1e-4, atol=1e-5)


@needs_gpu
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_they_are_so_for_every_family(name, kind):
    frame, target = (rich(kind), "target") if kind else table("classes")
    losses = {}
    for mode in ("eager", "cuda_graph"):
        recipe = Recipe(epochs=3, batch_size=BATCH, learning_rate=1e-3, step_mode=mode, precision="float32")
        options = {"members": 1} if name == "feedforward" and kind else {}
        family = small(name, **options)
        model = lamina.fit(frame, target, family=family, recipe=recipe, seed=0, device="cuda", monitor=None)
        losses[mode] = [epoch["train_loss"] for epoch in model.history_]
        assert np.isfinite(model.predict_proba(frame)).all()
    assert losses["cuda_graph"] == pytest.approx(losses["eager"], rel=2e-2)


@needs_gpu
def test_a_step_that_cannot_be_captured_is_named_or_eager():
    class Deciding(Rows):
        def forward(self, batch):
            return super().forward(batch) * (1.0 if batch["numbers"].sum().item() else 2.0)

    def net():
        torch.manual_seed(0)
        return Deciding(nn.Linear(6, 16), nn.Dropout(0.2), nn.Linear(16, 3))

    with pytest.raises(TrainingError, match="the step cannot be a CUDA graph"):
        _there("cuda_graph", net())
    auto, eager = (_there(mode, net()) for mode in ("auto", "eager"))
    assert auto[0].why_eager.startswith("the step cannot be a CUDA graph")
    assert auto[1] == pytest.approx(eager[1], rel=1e-5)
    again = _there("cuda_graph", _net(nn.Dropout(0.2)))  # the next one can be
    assert again[1] == pytest.approx(_there("eager", _net(nn.Dropout(0.2)))[1], rel=1e-5)


@needs_gpu
def test_a_model_of_a_gpu_is_saved_loaded_and_resumed(tmp_path, monkeypatch):
    frame, target = table("classes")
    recipe = Recipe(epochs=4, batch_size=BATCH, patience=None)
    options = {"family": small("feedforward"), "recipe": recipe, "seed": 0, "device": "cuda", "monitor": None}
    model = lamina.fit(frame, target, run=tmp_path / "run", **options)
    loaded = lamina.load(model.save(tmp_path / "m.lamina"))
    np.testing.assert_allclose(loaded.predict_proba(frame), model.predict_proba(frame), atol=1e-5)
    predictions = model.predict(frame[:6], trust=True)
    assert {"set", "novelty_p"} < set(predictions.columns)

    class Killed(BaseException):
        pass

    def kill(event):
        if event.kind == "epoch" and event.epoch == 2:
            raise Killed

    monkeypatch.setattr("lamina.train.loop.CHECKPOINT_SECONDS", 0.0)
    with pytest.raises(Killed):
        lamina.fit(frame, target, run=tmp_path / "cut", **{**options, "monitor": kill})
    resumed = lamina.resume(tmp_path / "cut", monitor=None)
    np.testing.assert_allclose(resumed.predict_proba(frame), model.predict_proba(frame), atol=1e-3)


@needs_gpu
def test_finding_a_learning_rate_and_half_precision_on_a_gpu():
    model = fitted_to("convolutional", "image", epochs=2, learning_rate="find", precision="bfloat16")
    assert math.isfinite(model.history_[-1]["train_loss"])
    frame = rich("image")
    family = small("convolutional")
    recipe = Recipe(epochs=10, batch_size=BATCH, learning_rate="find", precision="bfloat16", augment=("shift", "flip", "erase"))
    there = lamina.fit(frame, "target", family=family, recipe=recipe, seed=0, device="cuda", monitor=None)
    assert math.isfinite(there.history_[-1]["train_loss"])


@needs_gpu
def test_optimizers_agree_with_the_cpu():
    for optimizer in OPTIMIZERS:
        values = {}
        for device in ("cpu", "cuda"):
            torch.manual_seed(0)
            flat = FlatParameters(nn.Linear(4, 3).to(device))
            steps = make_optimizer(flat, _recipe(optimizer))
            for i in range(5):
                flat.gradient.copy_(torch.linspace(-1, 1, len(flat.gradient)) * (i + 1))
                steps.update(torch.tensor(0.02, device=device) if device == "cuda" else 0.02)
            values[device] = flat.value.cpu()
        torch.testing.assert_close(values["cuda"], values["cpu"], rtol=1e-4, atol=1e-6)
