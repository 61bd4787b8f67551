"""Carry weights from a net to one of an edited graph, unit by unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lamina.graph.layer import projection_name
from lamina.graph.layers import Flatten
from lamina.graph.plan import Plan

if TYPE_CHECKING:
    from lamina.graph.net import Net

#: A neuron: the node that makes it and its place there.
Unit = tuple[str, int]


def carry(old: Net, new: Net) -> None:
    """Copy into ``new`` every weight of ``old`` whose neurons are still there.

    What a layer learns for each pair of neurons is mapped by these neurons. What is bound to its input as a whole, as an
    embedding is, is kept when layer and input are the same.
    """
    made, read = zip(_units(old.plan), _units(new.plan), strict=True)
    for name, layer in new.plan.layers.items():
        before = old.plan.layers.get(name)
        if type(before) is not type(layer):
            continue
        if layer.axes:
            _copy(old.get_submodule(name), new.get_submodule(name), layer.axes, (read[0][name], read[1][name]))
        elif before == layer and read[0][name] == read[1][name]:
            new.get_submodule(name).load_state_dict(old.get_submodule(name).state_dict())
    for source, target in sorted(set(new.plan.projections) & set(old.plan.projections)):
        name = projection_name(source, target)
        _copy(old.get_submodule(name), new.get_submodule(name), {"weight": ("out", "in")}, (made[0][source], made[1][source]))


def _copy(old: nn.Module, new: nn.Module, axes: Mapping[str, tuple[str, ...]], read: tuple[list[Unit], list[Unit]]) -> None:
    before, after = old.state_dict(), new.state_dict()
    where = {unit: i for i, unit in enumerate(read[0])}
    pairs = [(where[unit], i) for i, unit in enumerate(read[1]) if unit in where]
    for name, target in after.items():
        source = before.get(name)
        if source is None or source.dim() != target.dim():
            continue
        words = ("member",) * (target.dim() - len(axes[name])) + axes[name]
        places = [
            # The norm of an image learns for each channel, not for each neuron of the last axis.
            pairs
            if word == "in" and (source.shape[axis], target.shape[axis]) == (len(read[0]), len(read[1]))
            else [(i, i) for i in range(min(source.shape[axis], target.shape[axis]))]
            for axis, word in enumerate(words)
        ]
        target[_grid([[new for _, new in place] for place in places])] = source[
            _grid([[old for old, _ in place] for place in places])
        ]


def _grid(places: Sequence[Sequence[int]]) -> tuple[Tensor, ...]:
    """Index the sub-block where the named places of each axis cross."""
    return torch.meshgrid(*(torch.tensor(place, dtype=torch.int64) for place in places), indexing="ij")


def _units(plan: Plan) -> tuple[dict[str, list[Unit]], dict[str, list[Unit]]]:
    """Who makes each output of a node, and who makes each input of a layer, after joining.

    Layers that pass their inputs on one by one pass on who made them. In a cycle what comes back counts as made by the layer
    that it comes back from.
    """
    made = {name: _own(plan, name) for name in plan.shapes}
    read: dict[str, list[Unit]] = {}
    for name, layer in plan.layers.items():
        edges = [edge for edge in plan.edges[name] if not edge.projection]
        edges = edges[:1] if layer.join == "add" else edges  # a sum has the identity of its first part
        read[name] = []
        for edge in edges:
            units, width = made[edge.source], layer.reads(plan.shapes[edge.source])[-1]
            read[name] += units if len(units) == width else [(edge.source, i) for i in range(width)]
        if layer.unitwise or (isinstance(layer, Flatten) and len(read[name]) == len(made[name])):
            made[name] = read[name]
    return made, read


def _own(plan: Plan, name: str) -> list[Unit]:
    """The neurons of a node under its own name: along the last axis when there are members, else one by one."""
    shape = plan.shapes[name]
    return [(name, i) for i in range(shape[-1] if len(shape) == 2 else math.prod(shape))]
