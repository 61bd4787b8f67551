"""The net: an ``nn.Module`` that executes a plan by name."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Container, Iterable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor, nn

from lamina.errors import GraphError
from lamina.graph.edit import carry
from lamina.graph.graph import Graph
from lamina.graph.layer import Shape, nearest, projection_name
from lamina.graph.modules import MODULES
from lamina.graph.modules.recurrent import Loop
from lamina.graph.plan import Block, Plan


class Net(nn.Module):
    """Executes a plan. A plain ``nn.Module``, which can be copied and pickled.

    Each layer is a child under its own name, so the state dict has ``hidden.weight``, ``hidden.bias``; a projected edge is
    ``source_to_target.weight``. Every layer has its own generator, seeded by seed and name, for its initial weights: the global
    generator is not used, and adding a layer does not change the weights of the others.

    Args:
        plan: The plan to execute.
        seed: Seed of the initial weights; ``None`` for a random one. Stored as ``net.seed``.

    Shape:
        A batch is a dict of one tensor for each input, ``(N, *shape)``, or ``(N, T, *shape)`` when the plan is recurrent. The
        result is ``(N, *shape)`` or ``(N, T, *shape)`` of the output, or a dict of them when there are several.

        A batch may also contain the output of a layer under the layer's name: then neither the layer nor what only it needs is
        executed or required in the batch. A layer in a cycle is always executed.

    Raises:
        GraphError: The name of a layer is an attribute of ``nn.Module``, as ``train``.

    Example:
        >>> import torch
        >>> from lamina.graph import Dense, Graph, Net, Plan
        >>> g = Graph()
        >>> g.input("x", shape=3)
        >>> g.layer("hidden", Dense(4, "relu"), after="x")
        >>> g.output("y", after="hidden")
        >>> net = Net(Plan(g), seed=0)
        >>> net({"x": torch.zeros(2, 3)}).shape
        torch.Size([2, 4])
        >>> net
        Net(
          (hidden): Dense(3 -> 4, relu)
        )
    """

    def __init__(self, plan: Plan, *, seed: int | None = None) -> None:
        super().__init__()
        self.plan = plan
        self.seed = secrets.randbits(62) if seed is None else int(seed)
        for (source, target), (width_in, width_out) in plan.projections.items():
            self._add(projection_name(source, target), _Projection(width_in, width_out, self._generator(f"{source} {target}")))
        for name, layer in plan.layers.items():
            self._add(name, MODULES[type(layer)](layer, plan.joined[name], self._generator(name)))
        #: For each edge into a layer whether to flatten, and the name of its projection or "".
        self._reads = {
            name: [
                (plan.read(edge) != plan.shapes[edge.source], projection_name(edge.source, name) if edge.projection else "")
                for edge in edges
            ]
            for name, edges in plan.edges.items()
        }
        self._alone = {block.names[0] for block in plan.blocks if not block.cyclic}

    def _add(self, name: str, module: nn.Module) -> None:
        if hasattr(self, name):
            raise GraphError(f"the name {name!r} is an attribute of the network; give the layer another")
        self.add_module(name, module)

    def _generator(self, name: str) -> Generator:
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return Generator().manual_seed(int.from_bytes(digest) >> 1)

    # -- running -------------------------------------------------------------------------------------------------------

    def forward(self, batch: Mapping[str, Tensor] | Tensor, *more: Tensor) -> Tensor | dict[str, Tensor]:
        """The outputs for a batch: a tensor for each input, by name.

        Tools for PyTorch such as Captum give tensors, in the order of the inputs: for these the members of the network are
        averaged, so that outputs are (rows, K).

        Raises:
            GraphError: The number of tensors is another than that of the inputs.
        """
        if isinstance(batch, Tensor):
            return self._averaged(batch, *more)
        values = self._run(batch)
        outputs = {name: values[after] for name, after in self.plan.outputs.items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def _averaged(self, *tensors: Tensor) -> Tensor:
        names = list(self.plan.inputs)
        if len(tensors) != len(names):
            raise GraphError(
                f"the network has {len(names)} inputs, {', '.join(names)}; {len(tensors)} given: give one for each"
            )
        outputs = self.forward(dict(zip(names, tensors, strict=True)))
        if not isinstance(outputs, Tensor):
            raise GraphError(f"the network has {len(outputs)} outputs, {', '.join(outputs)}; give a dict of its inputs")
        return outputs.mean(dim=1) if outputs.ndim == 3 else outputs

    def activations(self, batch: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """The outputs of the named layers for a batch, by name."""
        names = list(names)
        for name in names:
            if name not in self.plan.shapes:
                raise GraphError(f"there is no layer {name!r} to look at; {nearest(name, self.plan.shapes)}")
        values = self._run(batch, names)
        return {name: values[name] for name in names}

    @torch.no_grad()
    def attention(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The attention weights of each attention layer by name, for every row and head; they sum to 1."""
        training = self.training
        self.eval()
        values = self._run(batch)
        weights: dict[str, Tensor] = {}
        for name in self.plan.order:
            module: Any = self._child(name)
            if hasattr(module, "weights"):
                weights[name] = module.weights(*self._arguments(name, values))
        self.train(training)
        return weights

    @torch.no_grad()
    def prepare(self, batch: Mapping[str, Tensor]) -> None:
        """Initialise layers from the training inputs, as the bins of number embeddings.

        Only the layers that these depend on are executed, so the batch may be large.
        """
        training = self.training
        self.eval()
        for name in self.plan.order:
            module: Any = self._child(name)
            if hasattr(module, "prepare"):
                module.prepare(self._read(name, self._run(batch, sources(self.plan, name))))
        self.train(training)

    def _run(self, batch: Mapping[str, Tensor], names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The value of every node by name; with ``names``, or layers in the batch, only of the nodes needed for them."""
        values = {name: self._input(batch, name, self.plan.shapes[name]) for name in batch.keys() & self._alone}
        if values and names is None:
            names = self.plan.outputs.values()
        needed = None if names is None else needed_nodes(self.plan, names, values)
        values |= {
            name: self._input(batch, name, shape)
            for name, shape in self.plan.inputs.items()
            if needed is None or name in needed
        }
        for block in self.plan.blocks:
            if needed is not None and needed.isdisjoint(block.names):
                continue
            if block.cyclic:
                values |= self._loop(block, values)
                continue
            name = block.names[0]
            y = self._call(name, values)
            if self.plan.recurrent:
                y = y.unflatten(0, values[self.plan.edges[name][0].source].shape[:2])
            values[name] = y
        return values

    def _call(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        return self._child(name)(*self._arguments(name, values))

    def _arguments(self, name: str, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The arguments of a layer's module: its joined input, and its mask if it has one."""
        x, mask = self._read(name, values), self.plan.masks.get(name)
        if mask is None:
            return (x,)
        if values[mask].dtype != torch.bool:  # numbers would scale the steps; the dtype is only known here
            raise GraphError(
                f"the mask {mask!r} of layer {name!r} has dtype {values[mask].dtype}, expected bool; put Present() behind it"
            )
        return x, values[mask]

    def _read(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """The joined input of a layer outside of cycles, all time steps as one large batch."""
        read = [values[edge.source] for edge in self.plan.edges[name]]
        if self.plan.recurrent:
            read = [_shift(x) if edge.delay else x for x, edge in zip(read, self.plan.edges[name], strict=True)]
            read = [x.flatten(0, 1) for x in read]
        return self._join(name, read)

    def _input(self, batch: Mapping[str, Tensor], name: str, shape: Shape) -> Tensor:
        if name not in batch:
            raise GraphError(f"the batch lacks the input {name!r}; it has {', '.join(map(repr, batch)) or 'nothing'}")
        lead = 2 if self.plan.recurrent else 1
        if batch[name].shape[lead:] != shape or batch[name].dim() < lead:
            axes = ("rows", "time steps")[:lead]
            expected = ", ".join([*axes, *map(str, shape)])
            kind = "input" if name in self.plan.inputs else "output of layer"
            raise GraphError(f"the {kind} {name!r} has the shape {tuple(batch[name].shape)}, expected ({expected}); reshape it")
        return batch[name]

    def _loop(self, block: Block, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of a cycle, executed step by step; delayed inputs are zero at the first step."""
        outside = {
            edge: _shift(values[edge.source]) if edge.delay else values[edge.source]
            for name in block.names
            for edge in self.plan.edges[name]
            if edge.source not in block.names
        }
        anchor = next(iter(outside.values()))
        like = next(self.parameters(), anchor)
        previous = {name: like.new_zeros(anchor.shape[0], *self.plan.shapes[name]) for name in block.names}
        steps: dict[str, list[Tensor]] = {name: [] for name in block.names}
        for time in range(anchor.shape[1]):
            now: dict[str, Tensor] = {}
            for name in block.names:
                read = [
                    outside[edge][:, time] if edge in outside else (previous if edge.delay else now)[edge.source]
                    for edge in self.plan.edges[name]
                ]
                now[name] = self._child(name)(self._join(name, read))
                steps[name].append(now[name])
            previous = now
        return {name: torch.stack(outputs, 1) for name, outputs in steps.items()}

    def _join(self, name: str, values: list[Tensor]) -> Tensor:
        """Flatten, project and join the inputs of a layer."""
        inputs = []
        for x, (flat, projection) in zip(values, self._reads[name], strict=True):
            x = x.flatten(1) if flat else x
            inputs.append(self._child(projection)(x) if projection else x)
        if len(inputs) == 1:
            return inputs[0]
        return sum(inputs[1:], inputs[0]) if self.plan.layers[name].join == "add" else torch.cat(inputs, -1)

    def _child(self, name: str) -> nn.Module:
        return self._modules[name]  # pyright: ignore[reportReturnType]

    # -- editing -------------------------------------------------------------------------------------------------------

    def edit(self, graph: Graph) -> Net:
        """A net of another graph with every weight that still fits.

        When a layer is widened, old neurons keep their weights, and so do the layers that read them. Other weights are those of
        a new net with the same seed.
        """
        new = Net(Plan(graph), seed=self.seed)
        like = next(self.parameters(), None)
        if like is not None:
            new.to(device=like.device, dtype=like.dtype)
        carry(self, new, (self.plan, new.plan))
        return new.train(self.training)


Loop.net_class = Net  # a loop holds a net, and a net is made of modules such as a loop


def sources(plan: Plan, name: str) -> list[str]:
    """The nodes that a layer reads, its mask included; none for an input."""
    read = [edge.source for edge in plan.edges.get(name, ())]
    return [*read, plan.masks[name]] if name in plan.masks else read


def needed_nodes(plan: Plan, names: Iterable[str], available: Container[str] = ()) -> set[str]:
    """These nodes and all nodes that they depend on, up to those that are ``available``."""
    needed: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in needed and name not in available:
            needed.add(name)
            queue += sources(plan, name)
    return needed


def _shift(x: Tensor) -> Tensor:
    """Delay by one time step; the first is zero."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


class _Projection(nn.Module):
    """The linear map of a projected edge, without bias."""

    def __init__(self, width_in: int, width_out: int, generator: Generator) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(width_out, width_in).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)
