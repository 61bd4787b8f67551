"""Compile a recorded step into a Python function that only calls kernels.

Constants are computed once, unused calls are dropped, views need no call. Every result gets a fixed address: gradients in the
flat gradient, the others in one block of working memory that is reused when a result is no longer read. Each kernel becomes a
line that writes its result there (``out=``), if it has an ``out`` variant.
"""

from __future__ import annotations

import dataclasses
import keyword
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from lamina.train.trace import NEW, Call, Memory, Recorder, Untraceable, memory_of, view_of

_ALIGN = 64  # bytes, as torch aligns tensors of their own: some kernels round differently on other addresses

# Kernels with an out= that do not resize it. mse_loss and huber_loss resize it.
# Those of the first group are reached faster through torch.<name> than through the operator's own handle.
_DIRECT = frozenset(
    "_log_softmax _softmax abs add addcdiv addcmul addmm amax amin baddbmm bmm cat clamp clamp_max clamp_min cos div eq exp "
    "expm1 gather ge gt index_select le log log1p logical_not lt maximum mean minimum mm mul ne neg pow reciprocal rsqrt "
    "sigmoid sign sin sqrt square sub sum tanh where".split()
)
_WRITING = _DIRECT | frozenset(
    "_log_softmax_backward_data _softmax_backward_data elu elu_backward gelu gelu_backward hardtanh hardtanh_backward "
    "huber_loss_backward leaky_relu leaky_relu_backward linalg_vector_norm log_sigmoid_backward log_sigmoid_forward "
    "mse_loss_backward nll_loss_backward nll_loss_forward sigmoid_backward silu silu_backward softplus softplus_backward "
    "tanh_backward threshold_backward".split()
)
_METHODS = frozenset("add_ sub_ mul_ div_ copy_ zero_ fill_ bernoulli_".split())
_FILLS: dict[str, int | str] = {  # the value, or the argument that holds it
    **dict.fromkeys("zeros zeros_like new_zeros".split(), "0"),
    **dict.fromkeys("ones ones_like new_ones".split(), "1"),
    **{"full": 1, "full_like": 1, "new_full": 2},
}
_COPIES = frozenset("_to_copy clone".split())


@dataclass(frozen=True)
class Replay:
    """A compiled step."""

    run: Callable[[], Tensor]  # computes the gradients for the current batch tensors and returns the loss
    source: str  # the Python code of run
    bytes: int  # size of the working memory


def write_replay(recording: Recorder, names: dict[str, Tensor], targets: Sequence[Tensor], *, exact: bool = True) -> Replay:
    """Compile a recording into a function.

    Args:
        recording: The step.
        names: Input tensors by their names in the source.
        targets: The destination of each parameter's gradient.
        exact: Whether the results must be the same bits; else a product may be computed transposed, as its destination is.

    Raises:
        Untraceable: The step cannot be replayed; the message says why.
    """
    if recording.reason:
        raise Untraceable(recording.reason)
    return _Writer(recording, names, targets, exact).write()


class _Writer:
    def __init__(self, recording: Recorder, names: dict[str, Tensor], targets: Sequence[Tensor], exact: bool) -> None:
        self.calls, self.memories, self.exact = recording.calls, recording.memories, exact
        self.loss = recording.loss
        pairs = list(zip(targets, recording.gradients, strict=True))
        self.gradients = [(target, gradient) for target, gradient in pairs if gradient is not None]
        self.unused = [target for target, gradient in pairs if gradient is None]
        self.scope: dict[str, Any] = {"torch": torch, "device": torch.device, "inf": float("inf"), "nan": float("nan")}
        self.inputs = {(memory_of(tensor), tensor.storage_offset()): name for name, tensor in names.items()}
        self.variables: dict[tuple, str] = {}  # names of views
        self.functions: dict[Callable | torch.Generator, str] = {}
        self.same: dict[tuple, tuple] = {}  # a view at the address of another
        self.taken = {"replay", *self.scope}
        self.work = torch.empty(0, dtype=torch.uint8)

    def write(self) -> Replay:
        self._drop_identities()
        self._drop_constants()
        self._drop_dead()
        copies = self._place_gradients()
        size = self._place_rest([self.loss, *(gradient for _, gradient in copies)])
        self.work = torch.empty(size, dtype=torch.uint8)
        source = "def replay():\n" + "".join(f"    {line}\n" for line in self._lines(copies))
        exec(compile(source, "<a training step, replayed>", "exec"), self.scope)
        return Replay(self.scope["replay"], source, size)

    # Cleaning

    def _drop_identities(self) -> None:
        """Drop ``x * 1``, as autograd emits it: the result shares the memory of x."""
        touched, kept = {key for call in self.calls for key in call.touched}, []
        for call in self.calls:
            if call.name == "mul" and call.made and not isinstance(call.args[1], Tensor) and call.args[1] == 1:
                x, result = self._memory(call.args[0]), self._memory(call.made[0])
                same = view_of(call.args[0]) == view_of(call.made[0]) and x.size == result.size
                if same and touched.isdisjoint((memory_of(x.tensor), memory_of(result.tensor))):
                    self.memories[memory_of(result.tensor)] = x
                    continue
            kept.append(call)
        self.calls = kept

    def _drop_constants(self) -> None:
        """Drop calls that depend on no input and keep their recorded results."""
        for call in self.calls:
            for key in call.touched:
                self.memories[key].written = True
        kept = []
        for call in self.calls:
            results = [self._memory(tensor) for tensor in call.made]
            constant = (
                not call.touched
                and not call.random
                and call.name not in NEW
                and not any(memory.written for memory in results)
                and all(self._memory(tensor).constant for tensor in call.read())
            )
            for memory in results:
                memory.constant = constant
            if not constant:
                kept.append(call)
        self.calls = kept

    def _drop_dead(self) -> None:
        """Drop calls unless they contribute to the loss or a gradient, draw random numbers, or write to input memory."""
        used = {self._memory(tensor) for tensor in (self.loss, *(gradient for _, gradient in self.gradients))}
        kept = []
        for call in reversed(self.calls):
            results = [self.memories[key] for key in (*call.touched, *(memory_of(tensor) for tensor in call.made))]
            if call.random or any(memory.first < 0 for memory in results) or not used.isdisjoint(results):
                kept.append(call)
                used.update(self._memory(tensor) for tensor in call.read())
        self.calls = kept[::-1]
        for index, call in enumerate(self.calls):
            for tensor in call.made:
                self._memory(tensor).first = index
            for tensor in (*call.read(), *call.made):
                self._memory(tensor).last = index
                self._memory(tensor).shapes.add(view_of(tensor))

    # Memory

    def _place_gradients(self) -> list[tuple[Tensor, Tensor]]:
        """Compute gradients at their destination; returns the pairs that have to be copied instead."""
        copies = []
        for target, gradient in self.gradients:
            memory = self._memory(gradient)
            fits = memory.size == target.numel() * target.element_size() and gradient.dtype == target.dtype
            free = memory.first >= 0 and not memory.constant and memory.target is None
            if fits and free and (gradient.is_contiguous() or self._transpose(memory, gradient)):
                memory.target = target
            else:
                copies.append((target, gradient))
        return copies

    def _transpose(self, memory: Memory, gradient: Tensor) -> bool:
        """Compute a gradient that is the transpose of a batched product as the product of the transposes; whether it is one."""
        call = self.calls[memory.first]
        alone = call.name == "bmm" and memory.last == memory.first and gradient.ndim == 3
        if self.exact or not alone or not gradient.mT.is_contiguous():
            return False
        one, other = call.args
        result = gradient.mT.view(gradient.shape)  # the same memory, contiguous
        self.calls[memory.first] = dataclasses.replace(call, args=(other.mT, one.mT), results=[result])
        self.gradients = [(target, result if value is gradient else value) for target, value in self.gradients]
        return True

    def _place_rest(self, kept: list[Tensor]) -> int:
        """Assign an address to every other result; returns the bytes needed."""
        for tensor in kept:
            self._memory(tensor).last = len(self.calls)
            self._memory(tensor).shapes.add(view_of(tensor))
        ends: dict[int, list[Memory]] = defaultdict(list)
        free: dict[int, list[int]] = defaultdict(list)
        top = 0
        for index, call in enumerate(self.calls):
            replaced = self._operand_to_replace(call, index)
            for tensor in call.made:
                memory = self._memory(tensor)
                memory.number = index
                if memory.target is not None:
                    continue
                if _is_fresh(call) and len(memory.shapes) == 1 and memory is not self._memory(self.loss):
                    memory.local = True
                    continue
                size = -(-memory.size // _ALIGN) * _ALIGN
                if replaced is not None:
                    operand = self._memory(replaced)
                    memory.place, memory.number = operand.place, operand.number
                    ends[index].remove(operand)
                    self.same[self._view_key(tensor)] = self._view_key(replaced)
                elif free[size]:
                    memory.place = free[size].pop()
                else:
                    memory.place, top = top, top + size
                ends[memory.last].append(memory)
            for memory in ends.pop(index, ()):
                if memory.place is not None:
                    free[-(-memory.size // _ALIGN) * _ALIGN].append(memory.place)
        return top

    def _operand_to_replace(self, call: Call, index: int) -> Tensor | None:
        """The operand of an elementwise kernel that is last used here and has the memory layout of the result, or None."""
        if torch.Tag.pointwise not in call.op.tags or len(call.made) != 1 or _is_fresh(call):
            return None
        result = call.made[0]
        for operand in call.read():
            memory = self._memory(operand)
            views = {view_of(tensor) for tensor in call.read() if self._memory(tensor) is memory}
            whole = memory.size == self._memory(result).size
            if memory.place is not None and memory.last == index and whole and views == {view_of(result)}:
                return operand
        return None

    def _placed(self, tensor: Tensor) -> Tensor:
        """The tensor at its new address."""
        memory = self._memory(tensor)
        if memory.target is not None:
            block, start = memory.target.untyped_storage(), memory.target.storage_offset()
        elif memory.place is not None:
            block, start = self.work.untyped_storage(), memory.place // tensor.element_size()
        else:
            block, start = memory.tensor.untyped_storage(), 0
        placed = torch.empty(0, dtype=tensor.dtype)
        return placed.set_(block, start + tensor.storage_offset(), tensor.shape, tensor.stride())

    # Source

    def _lines(self, copies: list[tuple[Tensor, Tensor]]) -> Iterator[str]:
        yield '"""One step: loss and gradients of the current batch tensors."""'
        yield "# forward"
        backward = False
        for call in self.calls:
            if call.backward and not backward:
                backward = True
                yield "# backward"
            for line in self._lines_of(call):
                shapes = ", ".join(str(tuple(tensor.shape)) for tensor in call.made)
                yield f"{line}  # {shapes}" if shapes else line
        for target, gradient in copies:
            yield f"{self._name_of_target(target)}.copy_({self._variable(gradient)})"
        for target in self.unused:
            yield f"{self._name_of_target(target)}.zero_()"
        yield f"return {self._variable(self.loss)}"

    def _lines_of(self, call: Call) -> Iterator[str]:
        if call.name in NEW:
            return
        args = [self._text(item) for item in call.args]
        kwargs = {name: self._text(value) for name, value in call.kwargs.items() if value is not None or name == "generator"}
        result = self._variable(call.made[0]) if call.made else ""
        if not call.made and call.name in _METHODS:
            yield f"{args[0]}.{call.name}({_arguments(args[1:], kwargs)})"
        elif not call.made:
            yield f"{self._function(call.name, call.op._op)}({_arguments(args, kwargs)})"
        elif call.name in _COPIES:
            yield f"{result}.copy_({args[0]})"
        elif call.name in _FILLS:
            value = _FILLS[call.name]
            yield f"{result}.fill_({args[value] if isinstance(value, int) else value})"
        elif call.name == "index_add" and not kwargs:
            yield f"{result}.copy_({args[0]}).index_add_({_arguments(args[1:], {})})"
        elif call.name == "relu" and result == args[0]:
            yield f"{self._function('relu_', torch.relu_)}({result})"
        elif call.name == "relu":
            yield f"{self._function('clamp_min', torch.clamp_min)}({args[0]}, 0, out={result})"
        elif _is_fresh(call):
            yield from self._fresh(call, _arguments(args, kwargs))
        elif _is_direct(call):
            yield f"{self._function(call.name, getattr(torch, call.name))}({_arguments(args, {**kwargs, 'out': result})})"
        elif match := _out_variant(call.op):
            variant, outs = match
            results = [self._variable(tensor) for tensor in call.made]
            kwargs |= dict(zip(outs, results, strict=True))
            yield f"{self._function(call.name, variant._op)}({_arguments(args, kwargs)})"

    def _fresh(self, call: Call, arguments: str) -> Iterator[str]:
        """A kernel that allocates its result: bound to a variable, or copied to its address."""
        names, copies = [], []
        for tensor in call.results:
            if tensor is None:
                names.append("_")
            elif self._memory(tensor).local:
                names.append(self._variable(tensor))
            else:
                names.append(self._unique("made"))
                copies.append(f"{self._variable(tensor)}.copy_({names[-1]})")
        yield f"{', '.join(names)} = {self._function(call.name, call.op._op)}({arguments})"
        yield from copies

    def _text(self, item: Any) -> str:
        if isinstance(item, Tensor):
            return self._variable(item)
        if isinstance(item, list | tuple):
            return "[" + ", ".join(self._text(part) for part in item) + "]"
        if isinstance(item, torch.Generator):
            return self._function("generator", item)
        if item is None or isinstance(item, _PRINTED):
            return repr(item)
        raise Untraceable(f"a kernel is given a {type(item).__name__}")

    def _variable(self, tensor: Tensor) -> str:
        """The name of a tensor; equal views of the same memory share a name."""
        key = self._view_key(tensor)
        while key in self.same:
            key = self.same[key]
        if key not in self.variables:
            memory = self._memory(tensor)
            if memory.target is not None:
                base = self.inputs[(memory_of(memory.target), memory.target.storage_offset())]
            else:
                outside = "constant" if memory.constant or memory.first < 0 else f"t{memory.number}"
                base = self.inputs.get((memory_of(memory.tensor), tensor.storage_offset()), outside)
            transposed = tensor.ndim == 2 and not tensor.is_contiguous() and tensor.t().is_contiguous()
            self.variables[key] = self._unique(base + "_transposed" if transposed else base)
            if not memory.local:
                self.scope[self.variables[key]] = self._placed(tensor)
        return self.variables[key]

    def _memory(self, tensor: Tensor) -> Memory:
        return self.memories[memory_of(tensor)]

    def _view_key(self, tensor: Tensor) -> tuple:
        return id(self._memory(tensor)), *view_of(tensor)

    def _name_of_target(self, target: Tensor) -> str:
        name = self._unique(self.inputs[(memory_of(target), target.storage_offset())])
        self.scope[name] = target
        return name

    def _function(self, name: str, function: Callable | torch.Generator) -> str:
        if function not in self.functions:
            self.functions[function] = self._unique(name, of_torch=True)
            self.scope[self.functions[function]] = function
        return self.functions[function]

    def _unique(self, name: str, *, of_torch: bool = False) -> str:
        """A new name in the source; only a function may be named as one of torch."""
        name = re.sub(r"\W", "_", name)
        name = f"layer{name}" if name[0].isdigit() else name
        number, tried = 2, name
        while tried in self.taken or keyword.iskeyword(tried) or (hasattr(torch, tried) and not of_torch):
            tried, number = f"{name}_{number}", number + 1
        self.taken.add(tried)
        return tried


_PRINTED = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


def _arguments(args: list[str], kwargs: dict[str, str]) -> str:
    return ", ".join([*args, *(f"{name}={value}" for name, value in kwargs.items())])


def _is_direct(call: Call) -> bool:
    return call.name in _DIRECT and (_out_variant(call.op) is not None or call.op._overloadname == "Scalar")


def _is_fresh(call: Call) -> bool:
    """Whether the kernel can only allocate its result."""
    if call.name in NEW | _COPIES | _FILLS.keys() | {"relu"} or (call.name == "index_add" and not call.kwargs):
        return False
    if call.touched or _is_direct(call):
        return bool(call.touched)
    variant = _out_variant(call.op) if call.name in _WRITING else None
    return variant is None or len(variant[1]) != len(call.made)


@cache
def _out_variant(op: Any) -> tuple[Any, tuple[str, ...]] | None:
    """The operator's ``out`` variant and the names of its ``out`` arguments; None for generated variants, which only copy."""
    expected = [(argument.name, str(argument.type)) for argument in op._schema.arguments]
    packet = op.overloadpacket
    for overload in packet.overloads():
        variant = getattr(packet, overload)
        arguments = variant._schema.arguments
        outs = [a.name for a in arguments if a.is_out]
        rest = [(a.name, str(a.type)) for a in arguments if not a.is_out]
        if outs and rest == expected and torch.Tag.generated not in variant.tags:
            return variant, tuple(outs)
    return None
