"""Fits in parallel threads give what they give one after the other, and leave torch's own random numbers alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lamina
from lamina.graph.modules.attention import attend
from lamina.graph.random import current_generator, drawing_from, dropout, torch_random
from lamina.train.randomness import randomness
from lamina.train.threads import available_threads, threads


def fitted(seed: int) -> np.ndarray:
    draw = np.random.default_rng(0)
    X = draw.normal(size=(300, 4)).astype(np.float32)
    y = np.where(X[:, 0] * X[:, 1] > 0, "a", "b")
    family = lamina.FeedForward(hidden_sizes=(32, 32), dropout=0.4, members=1)
    recipe = lamina.Recipe(epochs=12, batch_size=16)
    return lamina.Classifier(family, recipe=recipe, random_state=seed).fit(X, y).predict_proba(X)


def test_two_threads_give_what_one_after_the_other_gives() -> None:
    before = torch.get_rng_state()
    alone = [fitted(seed) for seed in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(fitted, (0, 1)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_that_of_torch(share: float, training: bool) -> None:
    x = torch.arange(1.0, 41.0, requires_grad=True)
    torch.manual_seed(3)
    expected = F.dropout(x, share, training)
    with drawing_from(torch.Generator().manual_seed(3)):
        ours = dropout(x, share, training)
    assert torch.equal(expected, ours)
    assert torch.equal(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (expected, ours)))


@pytest.mark.parametrize("masked", [True, False])
def test_attention_with_dropout_is_that_of_torch(masked: bool) -> None:
    query, key, value = torch.randn(3, 5, 2, 7, 4, generator=torch.Generator().manual_seed(1)).unbind()
    seen = (torch.arange(7) < 4).expand(5, 1, 1, 7) if masked else None
    torch.manual_seed(3)
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=0.3)
    with drawing_from(torch.Generator().manual_seed(3)):
        assert torch.equal(attend(query, key, value, seen, 0.3), expected)


@pytest.mark.parametrize(("net", "own"), [(nn.ReLU(), False), (None, True)])
def test_modules_from_elsewhere_draw_from_torch_one_fit_at_a_time(net: nn.Module | None, own: bool) -> None:
    from lamina.graph import Dense, Graph, Net, Plan

    graph = Graph()
    graph.input("x", shape=2)
    graph.layer("hidden", Dense(2), after="x")
    graph.output("y", after="hidden")
    before = torch.get_rng_state()
    with randomness(net or Net(Plan(graph), seed=0)) as begin:
        begin(5)
        first = torch.rand(3, generator=current_generator())
        begin(5)
        assert torch.equal(torch.rand(3, generator=current_generator()), first)
        assert (current_generator() is not None) == own
    assert torch.equal(torch.get_rng_state(), before)


def test_torch_random_serves_one_thread_at_a_time() -> None:
    seen: list[int] = []

    def draw() -> None:
        with torch_random():
            seen.append(2)

    with ThreadPoolExecutor(1) as pool, torch_random():
        with torch_random():  # the same thread may ask again
            waiting = pool.submit(draw)
        seen.append(1)
        with pytest.raises(TimeoutError):
            waiting.result(0.02)
    assert seen == [1, 2]


def test_what_one_fit_sets_is_no_measure_for_another_thread() -> None:
    before = torch.get_num_threads()
    with ThreadPoolExecutor(1) as pool, threads(before + 1):
        assert pool.submit(available_threads).result() == min(before, available_cores())

        def within() -> tuple[int, int]:
            with threads(before + 2):
                inside = available_threads()
            return inside, torch.get_num_threads()

        assert pool.submit(within).result() == (before + 2, before)
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_threads_are_at_most_the_cores_that_a_container_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)
    assert available_threads() == 1


def available_cores() -> int:
    from joblib import cpu_count

    return cpu_count()
