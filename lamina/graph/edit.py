"""Copy weights from a net to the net of an edited graph, unit by unit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from torch import nn

from lamina.graph.layer import projection_name
from lamina.graph.layers import Flatten
from lamina.graph.plan import Plan

#: A neuron: the node that computes it and its index there.
Unit = tuple[str, int]


def carry(
    old: nn.Module, new: nn.Module, plans: tuple[Plan, Plan], *, outputs: Mapping[str, Sequence[tuple[int, int]]] | None = None
) -> None:
    """Copy into ``new`` every weight of ``old`` whose neurons still exist.

    Weights between pairs of neurons are mapped by these neurons; other weights, as of an embedding, are copied when layer and
    input are unchanged.

    Args:
        old: The net to copy from.
        new: The net to copy into.
        plans: Their plans.
        outputs: For layers that no other layer reads, the indices of their neurons before and after; else these are equal.
    """
    renumbered = outputs or {}
    before_plan, plan = plans
    units, inputs = zip(_units(before_plan), _units(plan), strict=True)
    for name, layer in plan.layers.items():
        before = before_plan.layers.get(name)
        if type(before) is not type(layer):
            continue
        if layer.axes:
            read = inputs[0][name], inputs[1][name]
            _copy(old.get_submodule(name), new.get_submodule(name), layer.axes, read, renumbered.get(name))
        elif before == layer and inputs[0][name] == inputs[1][name]:
            new.get_submodule(name).load_state_dict(old.get_submodule(name).state_dict())
    for source, target in sorted(set(plan.projections) & set(before_plan.projections)):
        name = projection_name(source, target)
        read = (units[0][source], units[1][source])
        _copy(old.get_submodule(name), new.get_submodule(name), {"weight": ("out", "in")}, read)


def _copy(
    old: nn.Module,
    new: nn.Module,
    axes: Mapping[str, tuple[str, ...]],
    read: tuple[list[Unit], list[Unit]],
    outputs: Sequence[tuple[int, int]] | None = None,
) -> None:
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
            else outputs
            if role == "out" and outputs is not None
            else [(i, i) for i in range(min(source.shape[axis], target.shape[axis]))]
            for axis, role in enumerate(roles)
        ]
        olds, news = (np.ix_(*(np.array([pair[side] for pair in place], int) for place in places)) for side in (0, 1))
        target[news] = source[olds]


def _units(plan: Plan) -> tuple[dict[str, list[Unit]], dict[str, list[Unit]]]:
    """The units of each node's output and of each layer's joined input.

    Unitwise layers keep the units of their input. In a cycle a delayed input belongs to the layer that it comes from.
    """
    # A node's own units are those of the last axis if it has members, else of all axes.
    sizes = {name: shape[-1] if len(shape) == 2 else math.prod(shape) for name, shape in plan.shapes.items()}
    outputs = {name: [(name, i) for i in range(size)] for name, size in sizes.items()}
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
