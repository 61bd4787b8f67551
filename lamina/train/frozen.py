"""Outputs of frozen parts, computed once instead of in every epoch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamina.data.feed import Feed
from lamina.graph.layers import Activation, Flatten, GlobalPool, Join, Normalise, Pool, Pretrained, Reshape
from lamina.graph.net import Net, needed_nodes, sources
from lamina.graph.plan import Plan
from lamina.train.forward import chunk_rows

MOST_BYTES = 2**30  # limit of the stored outputs, unless the inputs they replace are larger

#: Deterministic layers without parameters and statistics.
STATELESS = (Activation, Flatten, GlobalPool, Join, Normalise, Pool, Reshape)


def compute_frozen(net: Net, feed: Feed) -> Feed:
    """The feed with the outputs of frozen parts in place of the input blocks that only they read.

    A pretrained part needs most of the time of a step. If it is frozen, and so are the layers before it, its outputs are passed
    to the net under the layer's name, see :class:`~lamina.graph.net.Net`. Not possible with augmentation or an edited graph.
    The part is computed in float32, as in prediction, whatever the precision of the steps.

    Args:
        net: The network, on the device of the feed.
        feed: Training or validation rows.

    Returns:
        The feed itself if nothing is frozen or the outputs are too large (``MOST_BYTES``).
    """
    names = frozen_layers(net.plan)
    inputs = net.plan.inputs.keys()
    needed = needed_nodes(net.plan, net.plan.outputs.values(), names) & inputs
    replaced = sum(feed.inputs[name].nbytes for name in inputs - needed)
    size = sum(4 * math.prod(net.plan.shapes[name]) for name in names) * len(feed)
    if not names or size > max(replaced, MOST_BYTES):
        return feed
    blocks = {name: block for name, block in feed.inputs.items() if name in needed}
    return Feed(blocks | _activations(net, feed, names), feed.targets, feed.weight)


def frozen_layers(plan: Plan) -> list[str]:
    """The last layers that are frozen and depend on a frozen part: those that trained layers or outputs read."""
    constant: dict[str, bool] = dict.fromkeys(plan.inputs, False)  # whether it depends on a frozen part
    for name, layer in plan.layers.items():
        part = isinstance(layer, Pretrained) and layer.frozen
        projected = any(edge.projection for edge in plan.edges[name])
        if (part or type(layer) in STATELESS) and not projected and all(source in constant for source in sources(plan, name)):
            constant[name] = part or any(constant[source] for source in sources(plan, name))
    frozen = [name for name, depends in constant.items() if depends]
    read = {source for name in plan.layers if name not in frozen for source in sources(plan, name)}
    return [name for name in frozen if name in read or name in plan.outputs.values()]


@torch.no_grad()  # not in inference mode: autograd saves these for the gradients of later layers
def _activations(net: Net, feed: Feed, names: list[str]) -> dict[str, Tensor]:
    """The outputs of these layers for all rows, computed in chunks."""
    outputs: dict[str, Tensor] = {}
    chunk = chunk_rows(net)
    for start in range(0, len(feed), chunk):
        rows = slice(start, start + chunk)
        for name, values in net.activations({name: block[rows] for name, block in feed.inputs.items()}, names).items():
            if name not in outputs:
                outputs[name] = values.new_empty((len(feed), *values.shape[1:]))
            outputs[name][rows] = values
    return outputs
