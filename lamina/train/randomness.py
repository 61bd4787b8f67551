"""Random numbers of a fit, independent of other threads and of the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lamina.graph.random import drawing_from, torch_random


@contextmanager
def randomness(net: nn.Module, *, foreign: bool = False) -> Iterator[Callable[[int], object]]:
    """Set the generator of a fit; yields the function that seeds it.

    On a CPU a fit has its own generator. On a GPU (where dropout is faster with torch's generator) and with modules from
    outside of lamina, torch's global generators are locked for one fit at a time.

    Args:
        net: The trained network.
        foreign: Whether modules from outside of lamina may be added later.
    """
    foreign = foreign or any(not type(module).__module__.startswith("lamina.") for module in net.modules())
    if next((p.device.type for p in net.parameters()), "cpu") == "cpu" and not foreign:
        generator = torch.Generator()
        with drawing_from(generator):
            yield generator.manual_seed
    else:
        with torch_random(range(torch.cuda.device_count())), drawing_from(None):
            yield torch.manual_seed
