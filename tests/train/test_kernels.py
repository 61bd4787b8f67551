"""What torch does not promise is checked before it is relied on, and done without where it fails."""

import re
import runpy

import numpy as np
import pytest
import torch
from torch import nn

from lamina.data.feed import Feed
from lamina.train import dispatch, kernels, step, threads, trace
from lamina.train.kernels import adam_kernel, plain_adam, plain_sgd, sgd_kernel
from lamina.train.optimizers import make_optimizer
from lamina.train.parameters import FlatParameters
from lamina.train.recipe import Recipe
from lamina.train.replay import Replay
from lamina.train.step import Trainer


@pytest.fixture
def fresh():
    """Kernels are chosen anew within a test, and again after it."""
    for choose in (sgd_kernel, adam_kernel):
        choose.cache_clear()
    yield
    for choose in (sgd_kernel, adam_kernel):
        choose.cache_clear()


def _wrong_arguments(*lists, lr):
    raise TypeError("unexpected keyword")


def _wrong_numbers(kernel):
    def run(values, *rest, **options):
        kernel(values, *rest, **options)
        values[0].mul_(1.001)

    return run


BREAKS = {
    "missing": lambda monkeypatch, name: monkeypatch.delattr(torch, name),
    "other arguments": lambda monkeypatch, name: monkeypatch.setattr(torch, name, _wrong_arguments),
    "other numbers": lambda monkeypatch, name: monkeypatch.setattr(torch, name, _wrong_numbers(getattr(torch, name))),
}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))

    def forward(self, batch):
        return self.layers(batch["numbers"])


def _updated(optimizer):
    torch.manual_seed(0)
    flat = FlatParameters(nn.Linear(4, 3))
    stepping = make_optimizer(flat, Recipe(optimizer=optimizer))
    for _ in range(30):
        flat.gradient.copy_(torch.randn(flat.value.shape))
        stepping.update(0.01)
    return flat.value


def _trained(mode):
    draw = np.random.default_rng(0)
    feed = Feed({"numbers": draw.normal(size=(128, 3)).astype(np.float32)}, draw.integers(0, 2, 128))
    net = Net()
    trainer = Trainer(net, feed, Recipe(batch_size=4, loss="cross_entropy", step_mode=mode))
    torch.manual_seed(1)
    loss = trainer.run_epoch(torch.arange(128), [0.01] * 32)
    return trainer, loss, torch.cat([tensor.flatten().double() for tensor in net.state_dict().values()])


def test_the_fused_kernels_are_used_where_they_are_right(fresh):
    assert sgd_kernel("cpu").func is torch._fused_sgd_
    assert adam_kernel("cpu").func is torch._fused_adam_


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize(("optimizer", "name"), [("sgd", "_fused_sgd_"), ("adamw", "_fused_adam_")])
def test_a_fused_kernel_that_fails_its_check_is_done_without(fresh, monkeypatch, how, optimizer, name):
    weights = _updated(optimizer)
    for choose in (sgd_kernel, adam_kernel):
        choose.cache_clear()
    BREAKS[how](monkeypatch, name)
    assert (sgd_kernel("cpu") is plain_sgd, adam_kernel("cpu") is plain_adam) == (optimizer == "sgd", optimizer == "adamw")
    torch.testing.assert_close(_updated(optimizer), weights, rtol=1e-5, atol=1e-6)


def test_a_missing_kernel_says_so():
    with pytest.raises(NotImplementedError, match=re.escape(f"torch {torch.__version__} has no _fused_nothing_")):
        kernels._private("_fused_nothing_")()


def _broken(*args, **kwargs):
    raise AttributeError("no such thing")


class _NoMode:
    def __enter__(self):
        raise NotImplementedError("this torch has no TorchDispatchMode")


def _fails_midway(compute, parameters):
    compute()  # draws random numbers, moves running means
    raise TypeError("__torch_dispatch__() takes other arguments")


@pytest.mark.parametrize(
    ("where", "what", "reason"),
    [
        ((trace.Recorder, "__enter__"), _NoMode.__enter__, "cannot be recorded with torch .*: NotImplementedError: this torch"),
        ((step, "record"), _fails_midway, "cannot be recorded with torch .*: TypeError: __torch_dispatch__"),
        ((trace, "memory_of"), _broken, "operators of torch .* cannot be recorded: AttributeError: no such thing"),
        ((trace, "_written"), _broken, "operators of torch .* cannot be recorded: AttributeError: no such thing"),
        ((step, "write_replay"), _broken, "cannot be replayed with torch .*: AttributeError: no such thing"),
        ((step, "write_replay"), lambda *args, **options: Replay(_broken, "", 0), "cannot be replayed: no such thing"),
    ],
)
def test_a_step_that_this_torch_cannot_trace_is_eager_and_right(monkeypatch, where, what, reason):
    _, loss, weights = _trained("eager")
    with monkeypatch.context() as patch:
        patch.setattr(*where, what, raising=False)
        trainer, traced_loss, traced_weights = _trained("traced")
    assert re.search(reason, trainer.why_eager)
    assert trainer.source == ""
    assert traced_loss == loss
    assert torch.equal(traced_weights, weights)


def test_threads_are_torch_s_own_where_work_cannot_be_counted(monkeypatch):
    feed = Feed({"numbers": np.zeros((8, 3), np.float32)}, np.zeros(8, np.int64))
    monkeypatch.setattr(threads, "multiplications", _broken)
    assert threads.thread_count(Net(), feed, 4) == torch.get_num_threads()


def test_without_a_sign_of_amx_there_is_no_bfloat16(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert threads.has_bfloat16() == torch.cuda.is_available()


def test_a_torch_without_a_recorder_fails_at_its_first_use(monkeypatch):
    monkeypatch.delattr("torch.utils._python_dispatch.TorchDispatchMode")
    mode = runpy.run_path(dispatch.__file__)["TorchDispatchMode"]
    with pytest.raises(NotImplementedError, match="this torch has no TorchDispatchMode"), mode():
        pass
