"""Where the random numbers of a fit come from, so that fits in parallel threads leave each other, and the caller, alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lamina.graph.random import drawing_from, torch_random


@contextmanager
def randomness(net: nn.Module, *, foreign: bool = False) -> Iterator[Callable[[int], object]]:
    """Let a fit draw its random numbers; gives the function that begins them anew from a seed.

    On a CPU a fit has a generator of its own. On a GPU dropout is one kernel with torch's generator and three without, and a
    module that lamina did not write knows no other generator: there, torch's own serve one fit at a time, the others wait.

    Args:
        net: What is trained.
        foreign: Whether modules that lamina did not write may join the net later.
    """
    foreign = foreign or any(not type(module).__module__.startswith("lamina.") for module in net.modules())
    if next((p.device.type for p in net.parameters()), "cpu") == "cpu" and not foreign:
        generator = torch.Generator()
        with drawing_from(generator):
            yield generator.manual_seed
    else:
        with torch_random(range(torch.cuda.device_count())), drawing_from(None):
            yield torch.manual_seed
