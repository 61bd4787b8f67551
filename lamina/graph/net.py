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
from lamina.graph.modules import MODULES, Prepares
from lamina.graph.plan import Block, Plan


class Net(nn.Module):
    """Executes a plan, define-by-run. A plain ``nn.Module``: train it, copy it, pickle it, take it away.

    Each layer is a child under its own name, so the state reads ``hidden.weight``, ``hidden.bias``; the learnt map of a
    projected edge is ``source_to_target.weight``. Every layer draws its first weights from a generator of its own, seeded
    by seed and name: the global generator is neither read nor moved, and adding a layer leaves the others as they were.

    Args:
        plan: What to execute.
        seed: Makes the first weights; ``None`` for new ones each time. Kept as ``net.seed``.

    Shape:
        A batch is a dict of one tensor for each input, ``(N, *shape)``, or ``(N, T, *shape)`` when the plan is recurrent. The
        result is ``(N, *shape)`` or ``(N, T, *shape)`` of the output, or a dict of them when there are several.

        A batch may also hold what a layer gives, under the layer's name: that is taken as it is, and what only this layer
        needs is neither executed nor asked for. A layer in a cycle is always executed.

    Raises:
        GraphError: A layer's name would hide a part of ``nn.Module``, as ``train`` does.

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
        self._reads = {name: _reads(plan, name) for name in plan.order}
        self._alone = {block.names[0] for block in plan.blocks if not block.cyclic}

    def _add(self, name: str, module: nn.Module) -> None:
        if hasattr(self, name):
            raise GraphError(f"the name {name!r} is taken by the network itself; give the layer another")
        self.add_module(name, module)

    def _generator(self, name: str) -> Generator:
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode(), digest_size=8).digest()
        return Generator().manual_seed(int.from_bytes(digest) >> 1)

    # -- running -------------------------------------------------------------------------------------------------------

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor | dict[str, Tensor]:
        values = self._run(batch)
        outputs = {name: values[after] for name, after in self.plan.outputs.items()}
        return outputs if len(outputs) > 1 else next(iter(outputs.values()))

    def activations(self, batch: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
        """What the named layers give for a batch."""
        names = list(names)
        for name in names:
            if name not in self.plan.shapes:
                raise GraphError(f"there is no layer {name!r} to look at; {nearest(name, self.plan.shapes)}")
        values = self._run(batch, names)
        return {name: values[name] for name in names}

    @torch.no_grad()
    def attention(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """How much each layer that attends looks at what, by its name: weights that sum to 1, for every row and head."""
        training = self.training
        self.eval()
        values = self._run(batch)
        found: dict[str, Tensor] = {}
        for name in self.plan.order:
            module: Any = self._child(name)
            if callable(getattr(module, "weights", None)):
                found[name] = module.weights(*self._given_to(name, values))
        self.train(training)
        return found

    @torch.no_grad()
    def prepare(self, batch: Mapping[str, Tensor]) -> None:
        """Show the training inputs once to the layers that begin from data, as a number embedding does with its bins.

        Only what these layers depend on is executed, so rows by the hundred thousand are welcome.
        """
        training = self.training
        self.eval()
        for name in self.plan.order:
            module = self._child(name)
            if isinstance(module, Prepares):
                module.prepare(self._read(name, self._run(batch, sources(self.plan, name))))
        self.train(training)

    def _run(self, batch: Mapping[str, Tensor], wanted: Iterable[str] | None = None) -> dict[str, Tensor]:
        """The value of every node by name; where some are ``wanted`` or layers are given, of those that are needed."""
        values = {name: self._given(batch, name, self.plan.shapes[name]) for name in batch.keys() & self._alone}
        if values and wanted is None:
            wanted = self.plan.outputs.values()
        needed = None if wanted is None else needed_nodes(self.plan, wanted, values)
        values |= {
            name: self._given(batch, name, shape)
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
        return self._child(name)(*self._given_to(name, values))

    def _given_to(self, name: str, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """What a layer's module is called with: what it reads, and its mask where it has one."""
        x, mask = self._read(name, values), self.plan.masks.get(name)
        if mask is None:
            return (x,)
        if values[mask].dtype != torch.bool:  # numbers would weigh the steps; only a batch tells what an input holds
            raise GraphError(
                f"the mask {mask!r} of layer {name!r} holds {values[mask].dtype}, not true and false; put Present() behind it"
            )
        return x, values[mask]

    def _read(self, name: str, values: Mapping[str, Tensor]) -> Tensor:
        """What a layer reads, all time steps as one large batch, as nothing here waits for itself."""
        read = [values[edge.source] for edge in self.plan.edges[name]]
        if self.plan.recurrent:
            read = [_shift(x) if edge.delay else x for x, edge in zip(read, self.plan.edges[name], strict=True)]
            read = [x.flatten(0, 1) for x in read]
        return self._join(name, read)

    def _given(self, batch: Mapping[str, Tensor], name: str, shape: Shape) -> Tensor:
        if name not in batch:
            raise GraphError(f"the batch lacks the input {name!r}; it has {', '.join(map(repr, batch)) or 'nothing'}")
        lead = 2 if self.plan.recurrent else 1
        if batch[name].shape[lead:] != shape or batch[name].dim() < lead:
            axes = ("rows", "time steps")[:lead]
            expected = ", ".join([*axes, *map(str, shape)])
            what = "input" if name in self.plan.inputs else "output of layer"
            raise GraphError(f"the {what} {name!r} has the shape {tuple(batch[name].shape)}, expected ({expected}); reshape it")
        return batch[name]

    def _loop(self, block: Block, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Step a cycle through time; what waits begins at zero."""
        outside = {
            edge: _shift(values[edge.source]) if edge.delay else values[edge.source]
            for name in block.names
            for edge in self.plan.edges[name]
            if edge.source not in block.names
        }
        anchor = next(iter(outside.values()))
        like = next(self.parameters(), anchor)
        past = {name: like.new_zeros(anchor.shape[0], *self.plan.shapes[name]) for name in block.names}
        steps: dict[str, list[Tensor]] = {name: [] for name in block.names}
        for time in range(anchor.shape[1]):
            now: dict[str, Tensor] = {}
            for name in block.names:
                read = [
                    outside[edge][:, time] if edge in outside else (past if edge.delay else now)[edge.source]
                    for edge in self.plan.edges[name]
                ]
                now[name] = self._child(name)(self._join(name, read))
                steps[name].append(now[name])
            past = now
        return {name: torch.stack(outputs, 1) for name, outputs in steps.items()}

    def _join(self, name: str, values: list[Tensor]) -> Tensor:
        """Flatten, project and join what a layer reads."""
        adds, reads = self._reads[name]
        inputs = []
        for x, (flat, projection) in zip(values, reads, strict=True):
            x = x.flatten(1) if flat else x
            inputs.append(self._child(projection)(x) if projection else x)
        if len(inputs) == 1:
            return inputs[0]
        return sum(inputs[1:], inputs[0]) if adds else torch.cat(inputs, -1)

    def _child(self, name: str) -> nn.Module:
        return self._modules[name]  # pyright: ignore[reportReturnType]

    # -- editing -------------------------------------------------------------------------------------------------------

    def edit(self, graph: Graph) -> Net:
        """A net of another graph that keeps every weight that still fits.

        Units keep their identity: when a layer is widened, old neurons keep their weights and the layers behind it keep theirs
        for the old neurons, wherever these now stand. What is new is as fresh as in a new net of the same seed.
        """
        new = Net(Plan(graph), seed=self.seed)
        like = next(self.parameters(), None)
        if like is not None:
            new.to(device=like.device, dtype=like.dtype)
        carry(self, new)
        return new.train(self.training)


def sources(plan: Plan, name: str) -> list[str]:
    """The nodes that a layer reads, its mask included; an input reads none."""
    read = [edge.source for edge in plan.edges.get(name, ())]
    return [*read, plan.masks[name]] if name in plan.masks else read


def needed_nodes(plan: Plan, names: Iterable[str], given: Container[str] = ()) -> set[str]:
    """These nodes and all that have to come before them, back to those that are ``given``."""
    found: set[str] = set()
    queue = list(names)
    while queue:
        name = queue.pop()
        if name not in found and name not in given:
            found.add(name)
            queue += sources(plan, name)
    return found


def _reads(plan: Plan, name: str) -> tuple[bool, list[tuple[bool, str]]]:
    """Whether a layer adds, and for each edge into it whether to flatten and what projects it; worked out once."""
    layer, shapes = plan.layers[name], plan.shapes
    return layer.join == "add", [
        (
            layer.reads(shapes[edge.source]) != shapes[edge.source],
            projection_name(edge.source, name) if edge.projection else "",
        )
        for edge in plan.edges[name]
    ]


def _shift(x: Tensor) -> Tensor:
    """One step later; zero comes first."""
    return torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1)


class _Projection(nn.Module):
    """The learnt map of a projected edge, without bias."""

    def __init__(self, width_in: int, width_out: int, generator: Generator) -> None:
        super().__init__()
        bound = width_in**-0.5
        self.weight = nn.Parameter(torch.empty(width_out, width_in).uniform_(-bound, bound, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight)
