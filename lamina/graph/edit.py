"""Copy weights from a net to the net of an edited graph, unit by unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from lamina.graph.layer import projection_name
from lamina.graph.layers import Flatten
from lamina.graph.plan import Plan

#: A neuron: the node that computes it and its index there.
Unit = tuple[str, int]


def carry(old: nn.Module, new: nn.Module, plans: tuple[Plan, Plan]) -> None:
    """Copy into ``new`` every weight of ``old`` whose neurons still exist.

    Weights between pairs of neurons are mapped by these neurons; other weights, as of an embedding, are copied when layer and
    input are unchanged.
    """
    before_plan, plan = plans
    outputs, inputs = zip(_units(before_plan), _units(plan), strict=True)
    for name, layer in plan.layers.items():
        before = before_plan.layers.get(name)
        if type(before) is not type(layer):
            continue
        if layer.axes:
            _copy(old.get_submodule(name), new.get_submodule(name), layer.axes, (inputs[0][name], inputs[1][name]))
        elif before == layer and inputs[0][name] == inputs[1][name]:
            new.get_submodule(name).load_state_dict(old.get_submodule(name).state_dict())
    for source, target in sorted(set(plan.projections) & set(before_plan.projections)):
        name = projection_name(source, target)
        _copy(
            old.get_submodule(name),
            new.get_submodule(name),
            {"weight": ("out", "in")},
            (outputs[0][source], outputs[1][source]),
        )


def _copy(old: nn.Module, new: nn.Module, axes: Mapping[str, tuple[str, ...]], read: tuple[list[Unit], list[Unit]]) -> None:
    before, after = old.state_dict(), new.state_dict()
    position = {unit: i for i, unit in enumerate(read[0])}
    pairs = [(position[unit], i) for i, unit in enumerate(read[1]) if unit in position]
    for name, target in after.items():
        source = before.get(name)
        if source is None or source.dim() != target.dim():
            continue
        roles = ("member",) * (target.dim() - len(axes[name])) + axes[name]
        places = [
            # The norm of an image has a weight for each channel, not for each neuron of the last axis.
            pairs
            if role == "in" and (source.shape[axis], target.shape[axis]) == (len(read[0]), len(read[1]))
            else [(i, i) for i in range(min(source.shape[axis], target.shape[axis]))]
            for axis, role in enumerate(roles)
        ]
        target[_grid([[new for _, new in place] for place in places])] = source[
            _grid([[old for old, _ in place] for place in places])
        ]


def _grid(places: Sequence[Sequence[int]]) -> tuple[Tensor, ...]:
    """Index of the sub-block at these positions of each axis."""
    return torch.meshgrid(*(torch.tensor(place, dtype=torch.int64) for place in places), indexing="ij")


def _units(plan: Plan) -> tuple[dict[str, list[Unit]], dict[str, list[Unit]]]:
    """The units of each node's output and of each layer's joined input.

    Unitwise layers keep the units of their input. In a cycle a delayed input belongs to the layer that it comes from.
    """
    outputs = {name: _own(plan, name) for name in plan.shapes}
    inputs: dict[str, list[Unit]] = {}
    for name, layer in plan.layers.items():
        edges = [edge for edge in plan.edges[name] if not edge.projection]
        edges = edges[:1] if layer.join == "add" else edges  # a sum has the units of its first input
        inputs[name] = []
        for edge in edges:
            units, width = outputs[edge.source], layer.reads(plan.shapes[edge.source])[-1]
            inputs[name] += units if len(units) == width else [(edge.source, i) for i in range(width)]
        if layer.unitwise or (isinstance(layer, Flatten) and len(inputs[name]) == len(outputs[name])):
            outputs[name] = inputs[name]
    return outputs, inputs


def _own(plan: Plan, name: str) -> list[Unit]:
    """The node's own units: of the last axis if it has members, else of all axes."""
    shape = plan.shapes[name]
    return [(name, i) for i in range(shape[-1] if len(shape) == 2 else math.prod(shape))]
