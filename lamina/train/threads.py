"""CPU settings of training: number of threads, bfloat16, denormal numbers.

The number of threads depends on the arithmetic of a step only, not on measured times, because sums over another number of
threads round differently.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from lamina.train.dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from lamina.data.feed import Feed

# Multiplications in the forward pass of a step per thread. Measured on 2 cores: a step of 5 million takes as long with two
# threads as with one, a smaller one longer, one of 9 million a fifth less.
PER_THREAD = 3_000_000
_ROWS = 8


def thread_count(net: nn.Module, feed: Feed, batch_size: int, members: int = 1) -> int:
    """The number of threads for the steps of a network, or of a population of so many of its kind.

    1 for a small one, at most :func:`available_threads`.

    Example:
        >>> from lamina.data.feed import Feed
        >>> import numpy as np
        >>> feed = Feed({"numbers": np.zeros((100, 3), np.float32)}, np.zeros(100, np.int64))
        >>> net = nn.Linear(3, 2)
        >>> net.forward = lambda batch: batch["numbers"] @ net.weight.t()
        >>> thread_count(net, feed, 32)
        1
    """
    if feed.device.type != "cpu":
        return available_threads()
    try:
        count = members * multiplications_of_step(net, feed, batch_size)
    except Exception:  # another torch; a net that fails here also fails in its first step
        return available_threads()
    return max(1, min(available_threads(), int(count / PER_THREAD)))


def multiplications_of_step(net: nn.Module, feed: Feed, batch_size: int) -> float:
    """Multiplications in the matrix products of the forward pass of a step."""
    return multiplications(net, feed) / min(len(feed), _ROWS) * min(batch_size, len(feed))


def multiplications(net: nn.Module, feed: Feed) -> int:
    """Multiplications in the matrix products of the forward pass for the first 8 rows.

    Products with the same weights, as the steps of a recurrent layer, are sequential: the count is divided by their number.
    """
    training = net.training
    net.eval()  # no dropout, no running means
    try:
        with torch.no_grad(), _Counter({p.data_ptr() for p in net.parameters()}) as counter:
            net({name: block[:_ROWS] for name, block in feed.inputs.items()})
    finally:
        net.train(training)
    return counter.count // max(counter.uses.values(), default=1)


class _Counter(TorchDispatchMode):
    """Counts the multiplications of matrix products and convolutions."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.count, self.weights, self.uses = 0, weights, Counter[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "addmm") and args[-1].data_ptr() in self.weights:
            self.uses[args[-1].data_ptr()] += 1
        if name in ("mm", "bmm"):
            self.count += result.numel() * args[0].shape[-1]
        elif name in ("addmm", "baddbmm"):
            self.count += result.numel() * args[1].shape[-1]
        elif name == "mkldnn_rnn_layer":  # an LSTM: input and state weights for each step and row
            steps, rows = args[0].shape[:2]
            self.uses[args[2].data_ptr()] += steps
            self.count += steps * rows * (args[1].numel() + args[2].numel())
        elif name == "convolution":
            self.count += result.numel() * prod(args[1].shape[1:])
        return result


def has_bfloat16(device: str = "cpu") -> bool:
    """Whether the device has hardware for bfloat16 matrix products: a GPU since 2020, or a CPU with AMX.

    Image convolutions are about twice as fast with it, with the same accuracy.
    """
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", bool)  # not public
    return device == "cpu" and has_amx()


class _Own(threading.local):
    depth = 0  # nested `threads()` of this thread


_own, _lock = _Own(), threading.Lock()
_inside, _initial = 0, 0  # threads within `threads()`, and torch's setting before the first


def available_threads() -> int:
    """The number of threads that lamina may use: torch's setting, at most the cores of this process.

    Unlike torch's default, it respects the cgroup quota of a container.
    """
    from joblib import cpu_count  # knows affinity and quotas

    if _own.depth:
        return torch.get_num_threads()
    with _lock:
        return min(_initial if _inside else torch.get_num_threads(), cpu_count())


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Set torch's number of threads, and restore it on exit.

    A new Python thread starts with the last setting of any thread, which may be that of another fit; so the setting before the
    first fit is restored.

    Example:
        >>> before = torch.get_num_threads()
        >>> with threads(1):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    global _inside, _initial
    before = torch.get_num_threads()
    with _lock:
        if not _own.depth:
            if _inside:
                before = _initial
            _inside, _initial = _inside + 1, before
        _own.depth += 1
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            torch.set_num_threads(before)
            _own.depth -= 1
            _inside -= not _own.depth


def keep_threads(count: int) -> None:
    """Set the number of threads of this Python thread, until it ends; :func:`threads` inside of it restores this number."""
    _own.depth += 1
    torch.set_num_threads(count)


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Flush denormal numbers (below 1.2e-38) to zero in this thread, if the processor can, and restore the setting on exit.

    Moving means of dead neurons become denormal within a thousand steps, which made Adam's update nine times slower.
    """
    before = torch.full((), 1e-39).mul(1.0).item() == 0.0  # sync: on the CPU
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)
