"""Every optimizer against the textbook, in NumPy, and against torch.optim."""

import numpy as np
import pytest
import torch
from torch import nn

from lamina.errors import OptionError, TrainingError
from lamina.train.optimizers import make_optimizer, orthogonalised
from lamina.train.parameters import FlatParameters
from lamina.train.recipe import Recipe

STEPS, RATE = 60, 0.02


def _sgd(w, g, state, t, momentum=0.0, nesterov=False):
    state["b"] = momentum * state.get("b", 0) + g
    return w - RATE * (g + momentum * state["b"] if nesterov else state["b"])


def _adagrad(w, g, state, t):
    state["s"] = state.get("s", 0) + g**2
    return w - RATE * g / (np.sqrt(state["s"]) + 1e-10)


def _rmsprop(w, g, state, t, momentum=0.0):
    state["s"] = 0.99 * state.get("s", 0) + 0.01 * g**2
    state["b"] = momentum * state.get("b", 0) + g / (np.sqrt(state["s"]) + 1e-8)
    return w - RATE * state["b"]


def _adam(w, g, state, t):
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    return w - RATE * (state["m"] / (1 - 0.9**t)) / (np.sqrt(state["v"] / (1 - 0.999**t)) + 1e-8)


def _recipe(optimizer, **options):
    return Recipe(**{"optimizer": optimizer, "weight_decay": 0.0, "ema_decay": None, **options})


CASES = {
    "sgd": (_recipe("sgd", momentum=0.0), _sgd, torch.optim.SGD, {}),
    "sgd momentum": (
        _recipe("sgd", momentum=0.9),
        lambda *a: _sgd(*a, momentum=0.9),
        torch.optim.SGD,
        {"momentum": 0.9},
    ),
    "sgd nesterov": (
        _recipe("sgd", momentum=0.9, nesterov=True),
        lambda *a: _sgd(*a, momentum=0.9, nesterov=True),
        torch.optim.SGD,
        {"momentum": 0.9, "nesterov": True},
    ),
    "adagrad": (_recipe("adagrad"), _adagrad, torch.optim.Adagrad, {}),
    "rmsprop": (_recipe("rmsprop", momentum=0.0), _rmsprop, torch.optim.RMSprop, {}),
    "rmsprop momentum": (
        _recipe("rmsprop", momentum=0.5),
        lambda *a: _rmsprop(*a, momentum=0.5),
        torch.optim.RMSprop,
        {"momentum": 0.5},
    ),
    "adam": (_recipe("adam"), _adam, torch.optim.Adam, {}),
    "adamw": (_recipe("adamw"), _adam, torch.optim.AdamW, {}),
}


def _flat():
    torch.manual_seed(0)
    return FlatParameters(nn.Linear(4, 3))


def _gradients(flat):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(flat.value.shape, generator=generator) * 10 ** (-step / 20) for step in range(STEPS)]


def _updated(flat, optimizer, gradients, rate=RATE):
    for gradient in gradients:
        flat.gradient.copy_(gradient)
        optimizer.update(rate)
    return flat.value


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_textbook_formula(case, decay):
    recipe, formula, _, _ = CASES[case]
    flat = _flat()
    decays = np.zeros(len(flat.value))
    decays[: len(flat.decaying(flat.value))] = decay
    w, state = flat.value.numpy().astype(np.float64), {}
    for t, gradient in enumerate(_gradients(flat), 1):
        g = gradient.numpy().astype(np.float64)
        if case == "adamw":
            w = w - RATE * decays * w
        else:
            g = g + decays * w
        w = formula(w, g, state, t)
    recipe = Recipe(**{**recipe.get_params(), "weight_decay": decay})
    updated = _updated(flat, make_optimizer(flat, recipe), _gradients(flat))
    np.testing.assert_allclose(updated.numpy(), w, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_torch_optim(case):
    recipe, _, peer, options = CASES[case]
    flat = _flat()
    theirs = flat.value.clone().requires_grad_()
    matrix, rest = theirs.detach()[:16].clone().requires_grad_(), theirs.detach()[16:].clone().requires_grad_()
    groups = [{"params": [matrix], "weight_decay": 0.1}, {"params": [rest], "weight_decay": 0.0}]
    optimizer = peer(groups, lr=RATE, **options)
    for gradient in _gradients(flat):
        matrix.grad, rest.grad = gradient[:16].clone(), gradient[16:].clone()
        optimizer.step()
    updated = _updated(flat, make_optimizer(flat, Recipe(**{**recipe.get_params(), "weight_decay": 0.1})), _gradients(flat))
    torch.testing.assert_close(updated, torch.cat([matrix, rest]).detach(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_learning_rate_that_is_a_tensor(case):
    recipe = Recipe(**{**CASES[case][0].get_params(), "weight_decay": 0.1})
    with_float, with_tensor = _flat(), _flat()
    _updated(with_float, make_optimizer(with_float, recipe), _gradients(with_float))
    _updated(with_tensor, make_optimizer(with_tensor, recipe), _gradients(with_tensor), torch.tensor(RATE))
    torch.testing.assert_close(with_tensor.value, with_float.value, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_restored_state_continues_bit_by_bit(case):
    recipe = CASES[case][0]
    flat, other = _flat(), _flat()
    optimizer = make_optimizer(flat, recipe)
    _updated(flat, optimizer, _gradients(flat)[:30])
    other.value.copy_(flat.value)
    resumed = make_optimizer(other, recipe)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in optimizer.state_dict().items()})
    for pair, part in ((flat, optimizer), (other, resumed)):
        _updated(pair, part, _gradients(pair)[30:])
    assert torch.equal(flat.value, other.value)


def test_clamping_by_value_and_norm():
    flat = _flat()
    optimizer = make_optimizer(flat, _recipe("sgd", momentum=0.0, clip_value=0.5, clip_norm=1.0))
    before, gradient = flat.value.clone(), _gradients(flat)[0]
    _updated(flat, optimizer, [gradient], rate=1.0)
    clamped = gradient.clamp(-0.5, 0.5)
    assert clamped.norm() > 1
    torch.testing.assert_close(before - flat.value, clamped / clamped.norm(), rtol=1e-5, atol=1e-6)


def test_a_short_gradient_is_not_scaled():
    flat = _flat()
    optimizer = make_optimizer(flat, _recipe("sgd", momentum=0.0, clip_norm=100.0))
    before, gradient = flat.value.clone(), _gradients(flat)[0]
    _updated(flat, optimizer, [gradient], rate=1.0)
    assert torch.equal(flat.value, before - gradient)


def test_adam_adds_decay_to_the_gradient_and_adamw_does_not():
    w = {}
    for name in ("adam", "adamw"):
        flat = _flat()
        _updated(flat, make_optimizer(flat, _recipe(name, weight_decay=0.5)), _gradients(flat)[:1], rate=0.1)
        w[name] = flat.decaying(flat.value).clone()
    assert (w["adam"] - w["adamw"]).abs().max() > 1e-3


def _averaged(optimizer):
    with optimizer.averaged():
        return optimizer.value.clone()


def test_the_average_of_the_weights():
    flat = _flat()
    optimizer = make_optimizer(flat, _recipe("sgd", ema_decay=0.9))
    average = flat.value.double()
    for t, gradient in enumerate(_gradients(flat), 1):
        _updated(flat, optimizer, [gradient])
        average += max(9 / (9 + t), 1 - 0.9) * (flat.value.double() - average)
    before = flat.value.clone()
    torch.testing.assert_close(_averaged(optimizer).double(), average, rtol=1e-5, atol=1e-6)
    assert torch.equal(flat.value, before)
    assert not torch.equal(flat.value, _averaged(optimizer))


def test_the_average_is_the_same_on_host_and_device_and_is_restored():
    flats = [_flat() for _ in range(3)]
    on_host, on_device, resumed = (make_optimizer(flat, _recipe("sgd", ema_decay=0.9)) for flat in flats)
    _updated(flats[0], on_host, _gradients(flats[0]))
    _updated(flats[1], on_device, _gradients(flats[1]), torch.tensor(RATE))
    _updated(flats[2], resumed, _gradients(flats[2])[:20])
    state, value = {name: tensor.clone() for name, tensor in resumed.state_dict().items()}, flats[2].value.clone()
    resumed = make_optimizer(flats[2], _recipe("sgd", ema_decay=0.9))
    resumed.load_state_dict(state)
    flats[2].value.copy_(value)
    _updated(flats[2], resumed, _gradients(flats[2])[20:])
    assert torch.equal(_averaged(resumed), _averaged(on_host))
    torch.testing.assert_close(_averaged(on_device), _averaged(on_host), rtol=1e-5, atol=1e-6)


def test_without_averaging_the_weights_are_as_they_are():
    flat = _flat()
    assert torch.equal(_averaged(make_optimizer(flat, _recipe("sgd"))), flat.value)


def test_states_of_others_are_refused():
    flat = _flat()
    with pytest.raises(TrainingError, match="it is of another optimizer or network"):
        make_optimizer(flat, _recipe("adam")).load_state_dict({"velocity": torch.zeros(32)})


def test_options_that_make_no_sense():
    with pytest.raises(OptionError, match="nesterov is True with momentum 0"):
        make_optimizer(_flat(), _recipe("sgd", momentum=0.0, nesterov=True))
    with pytest.raises(OptionError, match="optimizer is 'lion', expected one of sgd"):
        make_optimizer(_flat(), _recipe("lion"))


def _deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(2, 8, 3), nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3))


def test_muon_orthogonalises_the_momentum_of_hidden_weights_and_is_adamw_for_the_rest():
    net, peer = _deep(), _deep()
    flat, generator = FlatParameters(net), torch.Generator().manual_seed(1)
    optimizer = make_optimizer(flat, _recipe("muon", weight_decay=0.1))
    hidden = [peer[2].weight]
    kernels, rest = peer[0].weight, [peer[4].weight, *(part.bias for part in (peer[0], peer[2], peer[4]))]
    muon = torch.optim.Muon(hidden, lr=RATE, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    groups = [{"params": rest[:1], "weight_decay": 0.1}, {"params": rest[1:], "weight_decay": 0.0}]
    adamw, kernel_momentum, kernel = torch.optim.AdamW(groups, lr=RATE), torch.zeros(8, 6), kernels.detach().clone().flatten(1)
    for _ in range(20):
        for name, parameter in peer.named_parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            flat.gradients[flat.names.index(name)].copy_(gradient)
            parameter.grad = gradient
        optimizer.update(RATE)
        muon.step()
        adamw.step()
        gradient = kernels.grad.flatten(1)
        kernel_momentum = 0.95 * kernel_momentum + 0.05 * gradient
        u, _, v = torch.linalg.svd(0.05 * gradient + 0.95 * kernel_momentum, full_matrices=False)
        kernel = kernel * (1 - RATE * 0.1) - RATE * 0.2 * 8**0.5 * (u @ v)
    for parameter, theirs in zip((net[4].weight, net[0].bias, net[2].bias, net[4].bias), rest, strict=True):
        torch.testing.assert_close(parameter, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(net[2].weight, peer[2].weight, rtol=0, atol=0.02)  # theirs is in bfloat16
    # Newton-Schulz is rough: singular values of 0.7 to 1.2 instead of 1.
    moved, exact = (one - _deep()[0].weight.detach().flatten(1) for one in (net[0].weight.detach().flatten(1), kernel))
    assert torch.cosine_similarity(moved.flatten(), exact.flatten(), dim=0) > 0.98
    assert 0.8 < moved.norm() / exact.norm() < 1.2


def test_the_singular_values_of_an_orthogonalised_matrix_are_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in ((40, 40), (64, 16), (16, 64)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(shape, generator=generator)))
        assert values.max() < 1.25
        assert values.median() > 0.7
    assert torch.equal(orthogonalised(torch.zeros(3, 2)), torch.zeros(3, 2))
