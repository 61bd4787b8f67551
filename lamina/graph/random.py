"""Random numbers of a network in training, as for dropout, from a generator per thread.

``F.dropout`` draws from torch's global generator, which all threads share, so two simultaneous fits would not be reproducible.
Kernels and numbers are those of ``F.dropout``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

#: Lock of torch's global generators; reentrant.
_torch_generators = threading.RLock()


@contextmanager
def torch_random(devices: Iterable[int] = ()) -> Iterator[None]:
    """Lock torch's global generators and restore their state on exit.

    Args:
        devices: GPUs whose generators are restored, besides that of the CPU.
    """
    with _torch_generators, torch.random.fork_rng(devices=list(devices)):
        yield


class _Current(threading.local):
    generator: Generator | None = None


_current = _Current()


def current_generator() -> Generator | None:
    """The generator of this thread; None for torch's global generator."""
    return _current.generator


@contextmanager
def drawing_from(generator: Generator | None) -> Iterator[None]:
    """Within, modules that run in this thread draw from this generator.

    Example:
        >>> import torch
        >>> before = torch.get_rng_state()
        >>> with drawing_from(torch.Generator().manual_seed(0)):
        ...     sorted(set(dropout(torch.ones(100), 0.5, training=True).tolist()))
        [0.0, 2.0]
        >>> torch.equal(torch.get_rng_state(), before)
        True
    """
    before, _current.generator = _current.generator, generator
    try:
        yield
    finally:
        _current.generator = before


def dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """``F.dropout``, drawn from the generator of this thread."""
    if not training or not share:
        return x
    generator = _current.generator
    if generator is None or share == 1:
        return F.dropout(x, share)
    kept = torch.empty_like(x).bernoulli_(1 - share, generator=generator).div_(1 - share)
    return x * kept
