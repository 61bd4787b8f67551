"""A training step recorded once, to be replayed as straight-line kernel calls.

A small network on a CPU is bound by overhead, not arithmetic: autograd builds and frees a graph, every operation allocates its
result, every view is made anew. All of that is the same at each step. So one step is lived through with a recorder beneath
autograd, which notes each kernel and the memory that it read and wrote, and :mod:`lamina.train.replay` writes the notes down as
a Python function that does nothing but call these kernels on memory with a fixed place::

    addmm(layer0_bias, numbers, layer0_weight_transposed, out=t0)
    relu_(t0)
    addmm(layer2_bias, t0, layer2_weight_transposed, out=t2)
    ...

The kernels are those of the eager step, on the same numbers in the same order, so the results are the same bits.

What cannot be replayed is refused with a reason: a step whose kernels depend on values (``.item()``, ``nonzero``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lamina.train.dispatch import TorchDispatchMode

MOST_BYTES = 2**30  # a recording keeps every intermediate result; a step that makes more than this is left eager
MOST_CALLS = 20_000
SHAPES_ONLY = frozenset(  # kernels that read the shape of an argument, not its values
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided "
    "zeros_like ones_like full_like new_zeros new_ones new_full".split()
)


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


class Untraceable(Exception):
    """The step cannot be replayed; the message says why. Never leaves this package."""


@dataclass
class Call:
    """One kernel as it was called.

    Attributes:
        op: The operator.
        args: As given; tensors are those of the recorded step.
        kwargs: As given.
        made: Results in memory of their own, with their position among the results.
        results: How many results there are; 0 for one that is no list.
        touched: Memories that are written in place.
        backward: Whether autograd called it.
    """

    op: Any
    args: Sequence[Any]
    kwargs: dict[str, Any]
    made: list[tuple[int, Tensor]]
    results: int
    touched: tuple[int, ...]
    backward: bool

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
    """What is known of one block of memory: who makes it, when it is used last, and where it will live."""

    tensor: Tensor  # keeps the block, and so its key, from being used again
    size: int
    first: int = -1  # the call that makes it; -1: it comes from outside
    last: int = -1
    constant: bool = False
    written: bool = False  # in place, after it was made
    shapes: set[tuple] = field(default_factory=set)  # the ways in which it is used
    place: int | None = None  # bytes into the working memory
    number: int = -1  # the call that made what was first in this place: its name in the source
    target: Tensor | None = None  # the gradient that it is
    local: bool = False  # a fresh result of each replay, held by a local variable


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
    """Which view of its memory a tensor is."""
    return tensor.dtype, tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


class Recorder(TorchDispatchMode):
    """Lets every kernel run and notes it. A kernel that cannot be replayed ends the notes, never the step."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.memories: dict[int, Memory] = {}
        self.backward = False
        self.reason = ""
        self._bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.reason:
            try:
                self.reason = self._note(func, args, kwargs or {}, result)
            except Exception as error:  # a torch whose operators describe themselves in another way
                self.reason = f"the operators of torch {torch.__version__} cannot be recorded: {describe(error)}"
            if self.reason:
                self.calls, self.memories = [], {}
        return result

    def _note(self, op: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> str:
        results = list(result) if isinstance(result, list | tuple) else [result]
        if {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(op.tags) or not (
            result is None or any(isinstance(item, Tensor) for item in results)
        ):
            return f"{op} makes the step depend on values"
        given = list(tensors_in((args, kwargs)))
        if not all(_is_plain(tensor) for tensor in (*given, *tensors_in(results))):
            return f"{op} works on tensors that are not plain memory"
        for tensor in given:
            if memory_of(tensor) not in self.memories:
                self.memories[memory_of(tensor)] = Memory(tensor, tensor.untyped_storage().nbytes())
        made = []
        for position, item in enumerate(results):
            if isinstance(item, Tensor) and memory_of(item) not in self.memories:
                memory = Memory(item, item.untyped_storage().nbytes(), first=len(self.calls))
                self.memories[memory_of(item)] = memory
                self._bytes += memory.size
                made.append((position, item))
        touched = tuple(_written(op, args, kwargs))
        if made or touched:  # what neither makes nor writes memory is a view: its result says all there is to know
            count = len(results) if isinstance(result, list | tuple) else 0
            self.calls.append(Call(op, args, kwargs, made, count, touched, self.backward))
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
            given = args[position] if position < len(args) and not argument.kwarg_only else kwargs.get(argument.name)
            for tensor in tensors_in(given):
                yield memory_of(tensor)


@dataclass
class Recording:
    """One step as it was lived through: its notes, its loss, and the gradient of each parameter (None: it has none)."""

    recorder: Recorder
    loss: Tensor
    gradients: tuple[Tensor | None, ...]


def record(compute: Callable[[], Tensor], parameters: Sequence[Tensor]) -> Recording:
    """Live through one step and note it.

    The step is real whatever comes of its notes: it draws its random numbers and gives its gradients.

    Args:
        compute: Forward pass and loss, on tensors that stay where they are from step to step.
        parameters: What the loss is differentiated by.
    """
    with torch.enable_grad(), Recorder() as recorder:
        loss = compute()
        recorder.backward = True
        gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
    return Recording(recorder, loss.detach(), gradients)
