"""What does not learn is computed once: a frozen part says the same of a row in every epoch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lamina.data.feed import Feed
from lamina.graph.layers import Activation, Flatten, GlobalPool, Join, Normalise, Pool, Pretrained, Reshape
from lamina.graph.net import Net, needed_nodes, sources
from lamina.graph.plan import Plan
from lamina.train.forward import chunk_rows

MOST_BYTES = 2**30  # what is kept for the rows of a feed may be larger than what it replaces, up to this

#: Layers that say the same of a row whenever they are asked: they learn nothing, count nothing and draw nothing at random.
STILL = (Activation, Flatten, GlobalPool, Join, Normalise, Pool, Reshape)


def compute_frozen(net: Net, feed: Feed) -> Feed:
    """The feed with what frozen parts say of its rows, in place of the blocks that nobody else reads.

    A pretrained part takes nearly all the time of a step. Where it is frozen, and so is all before it, it need not take part in
    one: the net takes what it is given under the name of a layer, see :class:`~lamina.graph.net.Net`. This holds while rows and
    graph stay as they are: not with augmentation, nor where the graph is edited on the way. The part works in float32, as in
    prediction, whatever the precision of the steps.

    Args:
        net: On the device of the feed.
        feed: Rows to learn from or to validate on.

    Returns:
        The feed itself where nothing is frozen, or where what is to be kept is too large (``MOST_BYTES``).
    """
    names = frozen_layers(net.plan)
    inputs = net.plan.inputs.keys()
    left = needed_nodes(net.plan, net.plan.outputs.values(), names) & inputs
    replaced = sum(feed.inputs[name].nbytes for name in inputs - left)
    size = sum(4 * math.prod(net.plan.shapes[name]) for name in names) * len(feed)
    if not names or size > max(replaced, MOST_BYTES):
        return feed
    blocks = {name: block for name, block in feed.inputs.items() if name in left}
    return Feed(blocks | _activations(net, feed, names), feed.targets, feed.weight)


def frozen_layers(plan: Plan) -> list[str]:
    """The layers up to which nothing learns, with a frozen part among them: the last ones, those that others read."""
    still: dict[str, bool] = dict.fromkeys(plan.inputs, False)  # whether a frozen part is among what led there
    for name, layer in plan.layers.items():
        part = isinstance(layer, Pretrained) and layer.frozen
        projected = any(edge.projection for edge in plan.edges[name])
        if (part or type(layer) in STILL) and not projected and all(source in still for source in sources(plan, name)):
            still[name] = part or any(still[source] for source in sources(plan, name))
    frozen = [name for name, through in still.items() if through]
    read = {source for name in plan.layers if name not in frozen for source in sources(plan, name)}
    return [name for name in frozen if name in read or name in plan.outputs.values()]


@torch.no_grad()  # not in inference mode: autograd keeps these for the gradients of the layers behind
def _activations(net: Net, feed: Feed, names: list[str]) -> dict[str, Tensor]:
    """What these layers give for all rows, a chunk at a time."""
    kept: dict[str, Tensor] = {}
    chunk = chunk_rows(net)
    for start in range(0, len(feed), chunk):
        rows = slice(start, start + chunk)
        for name, values in net.activations({name: block[rows] for name, block in feed.inputs.items()}, names).items():
            if name not in kept:
                kept[name] = values.new_empty((len(feed), *values.shape[1:]))
            kept[name][rows] = values
    return kept
