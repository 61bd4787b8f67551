"""What is noted of a step, and the function that it becomes."""

import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lamina.train import trace
from lamina.train.replay import write_replay
from lamina.train.trace import Untraceable, record


class _Step:
    """A step of a small network on tensors that stay where they are."""

    def __init__(self, compute=None, net=None):
        torch.manual_seed(0)
        self.net = net or nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        self.x, self.y = torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 1])
        self.parameters = list(self.net.parameters())
        self.targets = [torch.full_like(parameter, 7.0) for parameter in self.parameters]
        self.compute = (lambda: compute(self)) if compute else self.loss

    def loss(self):
        return F.cross_entropy(self.net(self.x), self.y)

    def replay(self):
        names = {"x": self.x, "y": self.y}
        for (name, parameter), target in zip(self.net.named_parameters(), self.targets, strict=True):
            names |= {name: parameter, f"{name}_gradient": target}
        return write_replay(record(self.compute, self.parameters), names, self.targets)

    def assert_right(self, replay):
        """On other rows than those recorded."""
        self.x.normal_()
        with torch.inference_mode():
            loss = replay.run()
        expected = self.compute()
        gradients = torch.autograd.grad(expected, self.parameters, allow_unused=True)
        assert torch.equal(loss, expected)
        for target, gradient in zip(self.targets, gradients, strict=True):
            assert torch.equal(target, torch.zeros_like(target) if gradient is None else gradient)


def test_the_source_reads_like_the_textbook():
    step = _Step()
    replay = step.replay()
    step.assert_right(replay)
    assert replay.source == textwrap.dedent('''\
        def replay():
            """One step: loss and gradients of the current batch tensors."""
            # forward
            addmm(layer0_bias, x, layer0_weight_transposed, out=t0)  # (5, 4)
            relu_(t0)  # (5, 4)
            addmm(layer2_bias, t0, layer2_weight_transposed, out=t2)  # (5, 2)
            _log_softmax(t2, 1, False, out=t3)  # (5, 2)
            nll_loss_forward(t3, y, None, 1, -100, output=t4, total_weight=t4_2)  # (), ()
            # backward
            nll_loss_backward(constant, t3, y, None, 1, -100, t4_2, grad_input=t5)  # (5, 2)
            _log_softmax_backward_data(t5, t3, 1, torch.float32, out=t6)  # (5, 2)
            mm(t6, layer2_weight, out=t7)  # (5, 4)
            mm(t6_transposed, t0, out=layer2_weight_gradient)  # (2, 4)
            sum(t6, [0], True, out=layer2_bias_gradient)  # (1, 2)
            threshold_backward(t7, t0, 0, grad_input=t7)  # (5, 4)
            mm(t7_transposed, x, out=layer0_weight_gradient)  # (4, 3)
            sum(t7, [0], True, out=layer0_bias_gradient)  # (1, 4)
            return t4
    ''')


def test_memory_is_used_again():
    deep = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(3, 3), nn.Tanh())), nn.Linear(3, 2))
    step = _Step(net=deep)
    replay = step.replay()
    step.assert_right(replay)
    # Of each layer the output is kept for the backward pass; what else there is takes turns.
    assert replay.bytes <= 64 * (20 + 8)


def test_what_leads_nowhere_is_dropped_and_what_depends_on_nothing_is_computed_once():
    def compute(step):
        torch.linalg.inv(step.x[:3])
        mask = torch.arange(3).float().mul(0.5).exp()
        return F.cross_entropy(step.net(step.x * mask), step.y)

    step = _Step(compute)
    replay = step.replay()
    step.assert_right(replay)
    assert "mul(x, constant" in replay.source
    for name in ("inv", "arange", "exp"):
        assert name not in replay.source


def test_a_factor_of_one_is_no_work():
    step = _Step(lambda step: F.cross_entropy(step.net(step.x * 1) * 1, step.y))
    replay = step.replay()
    step.assert_right(replay)
    assert "mul(" not in replay.source
    assert "addmm(layer0_bias, x, " in replay.source


def test_a_result_never_takes_the_place_of_what_is_still_read():
    def compute(step):
        a = step.net(step.x)
        b = a * 2
        c = b + a  # a is read for the last time: c may take its place, d may take that of b
        d = b * c
        return F.cross_entropy(d - c, step.y) + (b * d).mean()

    step = _Step(compute)
    step.assert_right(step.replay())


def test_operands_that_are_other_views_of_a_place_keep_it():
    def compute(step):
        a = step.net[0](step.x)[:, :3]
        square = a[:3].exp()
        return F.cross_entropy(step.net(torch.cat([square * square.t(), step.x[3:]])), step.y)

    step = _Step(compute)
    step.assert_right(step.replay())


def test_random_numbers_are_drawn_anew_and_in_order():
    def compute(step):
        torch.rand(3)  # used for nothing, but drawn
        return F.cross_entropy(step.net(F.dropout(step.x, 0.5) + torch.randn_like(step.x)), step.y)

    step = _Step(compute)
    replay = step.replay()
    torch.manual_seed(5)
    with torch.inference_mode():
        losses = [replay.run().item() for _ in range(3)]
    torch.manual_seed(5)
    assert losses == [step.compute().item() for _ in range(3)]
    assert len(set(losses)) == 3


def test_gradients_that_are_shared_unused_or_spread_are_put_in_place():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.idle = (nn.Parameter(torch.randn(5, 2)) for _ in range(3))
            self.spread = nn.Parameter(torch.randn(4))

    def compute(step):
        return F.cross_entropy(step.net.one + step.net.two + step.x[:, :2], step.y) + step.net.spread.sum()

    step = _Step(compute, Odd())
    step.assert_right(step.replay())


def test_memory_filled_in_parts_is_filled_anew():
    def compute(step):
        parts = [torch.zeros(5, 3), torch.ones(5, 3), torch.full((5, 3), 0.5), torch.empty(5, 3), step.x.new_full((5, 3), 3.0)]
        for place, part in enumerate(parts):
            part[:, place % 3] += step.x[:, 0] if place != 3 else 0
            part[:, 0].copy_(step.x[:, 1])
        parts[3].copy_(step.x)
        return F.cross_entropy(step.net(sum(parts)), step.y)

    step = _Step(compute)
    step.assert_right(step.replay())


def test_random_numbers_come_from_the_generator_of_the_recorded_step():
    generator = torch.Generator()
    step = _Step(lambda step: step.loss() * torch.rand((), generator=generator.manual_seed(5)))
    replay = step.replay()
    generator.manual_seed(5)
    step.assert_right(replay)
    assert "generator=generator" in replay.source


REFUSED = {
    "makes the step depend on values": lambda step: step.loss() * step.x.sum().item(),
    "makes the step depend on values$": lambda step: step.loss() + step.x[step.x > 0].mean(),
    "a kernel is given a complex": lambda step: step.loss() + torch.view_as_real(step.x * 1j).sum(),
    "not plain memory": lambda step: step.loss() + step.x.to_sparse().sum(),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_cannot_be_replayed_is_refused(reason):
    step = _Step(REFUSED[reason])
    with pytest.raises(Untraceable, match=reason):
        step.replay()


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [("MOST_BYTES", 100, "more than .* GiB of intermediate results"), ("MOST_CALLS", 5, "calls more than 5 kernels")],
)
def test_steps_too_large_to_note_are_refused(monkeypatch, limit, value, reason):
    monkeypatch.setattr(trace, limit, value)
    with pytest.raises(Untraceable, match=reason):
        _Step().replay()


def test_the_step_that_is_noted_is_a_real_one():
    step = _Step()
    recording = record(step.compute, step.parameters)
    assert torch.equal(recording.loss, step.loss())
    for gradient, expected in zip(recording.gradients, torch.autograd.grad(step.loss(), step.parameters), strict=True):
        assert torch.equal(gradient, expected)
