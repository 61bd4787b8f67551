"""The modules of :mod:`lamina.graph.layers.pretrained`."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from lamina.errors import GraphError
from lamina.graph.layer import Shape
from lamina.graph.layers import pretrained as kinds
from lamina.graph.modules.part import Part
from lamina.graph.random import torch_random

_ROWS = 64  # per forward pass outside training, as the part's activations may be large
_GRAY = (0.299, 0.587, 0.114)


def make_part(
    name: str, options: dict[str, Any] | None = None, *, inputs: Any = None, generator: Generator | None = None
) -> nn.Module:
    """The module registered under this name, with random weights from the generator; torch's global generators are unchanged.

    Raises:
        GraphError: The name is not registered, the options are wrong, or the result is not an ``nn.Module``.
    """
    make = kinds.part_maker(name).make
    with torch_random(devices=[]):
        torch.manual_seed(0 if generator is None else int(torch.randint(2**62, (), generator=generator)))
        try:
            module = make(**(options or {})) if inputs is None else make(inputs)
        except TypeError as error:
            given = f"the options {options or {}}" if inputs is None else f"the inputs {', '.join(inputs)}"
            raise GraphError(f"part {name!r} cannot be made with {given}: {error}") from error
    if not isinstance(module, nn.Module):
        raise GraphError(
            f"part {name!r} made a {type(module).__name__}, expected an nn.Module; correct the function that makes it"
        )
    return module


@torch.no_grad()
def shape_out(name: str, module: nn.Module, shape: Shape) -> Shape:
    """The module's output shape for a row of this shape, from a forward pass of zeros.

    Raises:
        GraphError: The module fails on this shape, or does not return one tensor with the rows first.
    """
    modes = {child: child.training for child in module.modules()}
    module.eval()
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(()))
    try:
        y = module(like.new_zeros(2, *shape))
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise GraphError(f"part {name!r} cannot read {shape}: {reason}; give it inputs of its expected shape") from error
    finally:
        for child, training in modes.items():
            child.training = training
    if not isinstance(y, Tensor) or y.dim() < 2 or len(y) != 2:
        result = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise GraphError(f"part {name!r} gives {result} for 2 rows, expected one tensor with the rows first; wrap the module")
    return tuple(y.shape[1:])


def part_shape(name: str, shape: Shape, options: dict[str, Any] | None = None) -> Shape:
    """``Pretrained.out`` for inputs of this shape; constructs the part."""
    return shape_out(name, make_part(name, options), shape)


class _ReadsInputs(nn.Module):
    """The registered module behind the flattened inputs: it reads them as a dict of tensors in their own shapes."""

    def __init__(self, part: str, inputs: dict[str, Any], generator: Generator | None) -> None:
        super().__init__()
        seen = {
            name: SimpleNamespace(**{key: tuple(v) if isinstance(v, list) else v for key, v in block.items()})
            for name, block in inputs.items()
        }
        self.names, self.shapes = list(seen), [block.shape for block in seen.values()]
        self.dtypes = [torch.int64 if block.kind in ("categories", "text") else torch.float32 for block in seen.values()]
        self.module = make_part(part, inputs=seen, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split([math.prod(shape) for shape in self.shapes], 1)
        blocks = zip(self.names, parts, self.shapes, self.dtypes, strict=True)
        return self.module({name: part.reshape(-1, *shape).to(dtype) for name, part, shape, dtype in blocks})


def module_shape(part: str, inputs: dict[str, Any]) -> Shape:
    """``Module.out`` for these inputs; constructs the part."""
    module = _ReadsInputs(part, inputs, None)
    return shape_out(part, module, (sum(math.prod(shape) for shape in module.shapes),))


class Pretrained(Part):
    """If frozen, it stays in evaluation mode, so that batch norms do not update their statistics."""

    module: nn.Module

    def __init__(self, layer: kinds.Pretrained, shape: Shape, generator: Generator) -> None:
        super().__init__(layer, shape, generator)
        self.module = self.made(generator)
        out = shape_out(layer.part, self.module, shape)
        if out != layer.out:
            raise GraphError(f"part {layer.part!r} gives {out} for {shape}, but the graph has {layer.out}; set out={out}")
        if layer.frozen:
            self.module.requires_grad_(False).eval()

    def made(self, generator: Generator) -> nn.Module:
        """The module that the factory makes."""
        return make_part(self.layer.part, self.layer.options, generator=generator)

    def train(self, mode: bool = True) -> Pretrained:
        super().train(mode)
        if self.layer.frozen:
            self.module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() or len(x) <= _ROWS:
            return self.module(x)
        return torch.cat([self.module(part) for part in x.split(_ROWS)])


class Module(Pretrained):
    """The registered module, with its inputs as a dict."""

    def made(self, generator: Generator) -> nn.Module:
        return _ReadsInputs(self.layer.part, self.layer.options["inputs"], generator)


class Normalise(Part):
    """The result is channels last in memory, as for :class:`~lamina.graph.modules.convolution.Pixels`."""

    def initialise(self, generator: Generator) -> None:
        self.register_buffer("mean", 255 * torch.tensor(self.layer.mean), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(self.layer.std)), persistent=False)
        self.register_buffer("gray", torch.tensor(_GRAY), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., :3].to(self.mean.dtype)
        if x.shape[-1] == 3 and len(self.mean) == 1:
            x = (x @ self.gray)[..., None]
        return ((x - self.mean) * self.scale).permute(0, 3, 1, 2)
