"""Record a training step, to be replayed as straight-line kernel calls.

A small network on a CPU is bound by overhead: autograd's graph, allocations and views, which are the same at each step. So one
step is recorded below autograd, with each kernel and the memory that it reads and writes, and :mod:`lamina.train.replay`
compiles the record into a Python function that calls these kernels on fixed memory::

    addmm(layer0_bias, numbers, layer0_weight_transposed, out=t0)
    relu_(t0)
    addmm(layer2_bias, t0, layer2_weight_transposed, out=t2)
    ...

The kernels are those of the eager step, on the same numbers in the same order, so the results are the same bits.

A step with data-dependent kernels (``.item()``, ``nonzero``) cannot be replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lamina.train.dispatch import TorchDispatchMode

MOST_BYTES = 2**30  # maximum size of the intermediate results
MOST_CALLS = 20_000
NEW = frozenset("empty empty_like empty_strided empty_permuted new_empty new_empty_strided".split())
# Kernels that read the shape of an argument, not its values.
SHAPES_ONLY = NEW | frozenset("zeros_like ones_like full_like new_zeros new_ones new_full".split())


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Untraceable(Exception):
    """The step cannot be replayed; the message says why. Internal."""


@dataclass
class Call:
    """One kernel call."""

    op: Any
    args: Sequence[Any]  # tensors are those of the recorded step
    kwargs: dict[str, Any]
    results: list[Tensor | None]  # those in new memory, None for others
    touched: tuple[int, ...]  # memory that is written in place
    backward: bool  # whether it is part of the backward pass

    @property
    def made(self) -> list[Tensor]:
        return [tensor for tensor in self.results if tensor is not None]

    @property
    def name(self) -> str:
        return self.op.overloadpacket.__name__

    @property
    def random(self) -> bool:
        return torch.Tag.nondeterministic_seeded in self.op.tags

    def read(self) -> list[Tensor]:
        """The tensors whose values the kernel may read."""
        return [] if self.name in SHAPES_ONLY else list(tensors_in((self.args, self.kwargs)))


@dataclass(eq=False)
class Memory:
    """A block of memory and its place in the replay."""

    tensor: Tensor  # keeps the block alive, so that its key stays unique
    size: int
    first: int = -1  # the call that allocates it; -1 for inputs
    last: int = -1
    constant: bool = False
    written: bool = False  # in place, after its allocation
    shapes: set[tuple] = field(default_factory=set)  # the views that are used
    place: int | None = None  # bytes into the working memory
    number: int = -1  # the first call that used this address: the name in the source
    target: Tensor | None = None  # the gradient that it becomes
    local: bool = False  # allocated at each replay, in a local variable


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, tuples and dicts."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from tensors_in(item)
    elif isinstance(tree, dict):
        yield from tensors_in(tuple(tree.values()))


def memory_of(tensor: Tensor) -> int:
    """A key for the block of memory that a tensor is a view of."""
    return tensor.untyped_storage()._cdata


def view_of(tensor: Tensor) -> tuple:
    """The dtype, offset, shape and strides of a tensor."""
    return tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


class Recorder(TorchDispatchMode):
    """Executes and records every kernel. After a kernel that cannot be replayed it only executes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.memories: dict[int, Memory] = {}
        self.backward = False
        self.reason = ""  # why it cannot be replayed
        self.loss = torch.empty(0)
        self.gradients: tuple[Tensor | None, ...] = ()  # of each parameter
        self._bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.reason:
            try:
                self.reason = self._record(func, args, kwargs or {}, result)
            except Exception as error:  # another torch
                self.reason = f"the operators of torch {torch.__version__} cannot be recorded: {describe(error)}"
            if self.reason:
                self.calls, self.memories = [], {}
        return result

    def _record(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> str:
        results = list(result) if isinstance(result, list | tuple) else [result]
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(op.tags) or not (
            result is None or any(isinstance(item, Tensor) for item in results)
        ):
            return f"{op} makes the step depend on values"
        operands = list(tensors_in((args, kwargs)))
        if not all(_is_plain(tensor) for tensor in (*operands, *tensors_in(results))):
            return f"{op} works on tensors that are not plain memory"
        for tensor in operands:
            if memory_of(tensor) not in self.memories:
                self.memories[memory_of(tensor)] = Memory(tensor, tensor.untyped_storage().nbytes())
        made: list[Tensor | None] = []
        for item in results:
            new = isinstance(item, Tensor) and memory_of(item) not in self.memories
            made.append(item if new else None)
            if new:
                memory = Memory(item, item.untyped_storage().nbytes(), first=len(self.calls))
                self.memories[memory_of(item)] = memory
                self._bytes += memory.size
        call = Call(op, args, kwargs, made, tuple(_written(op, args, kwargs)), self.backward)
        if call.made or call.touched:  # other calls are views
            self.calls.append(call)
        if self._bytes > MOST_BYTES:
            return f"the step makes more than {MOST_BYTES / 2**30:g} GiB of intermediate results"
        return f"the step calls more than {MOST_CALLS} kernels" if len(self.calls) > MOST_CALLS else ""


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not (tensor.is_conj() or tensor.is_neg() or tensor.is_quantized)


def _written(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[int]:
    if not op._schema.is_mutable:
        return
    for position, argument in enumerate(op._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) and not argument.kwarg_only else kwargs.get(argument.name)
            for tensor in tensors_in(value):
                yield memory_of(tensor)


def record(compute: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Recorder:
    """Execute and record one step.

    Args:
        compute: Forward pass and loss, on tensors with a fixed address.
        parameters: The parameters whose gradients are computed.
    """
    recording = Recorder()
    with torch.enable_grad(), recording:
        loss = compute()
        recording.backward = True
        recording.gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    recording.loss = loss.detach()
    return recording
