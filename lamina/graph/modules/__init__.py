"""The ``nn.Module`` of each kind of layer.

A module is made from the layer and the shape of its joined input; its parameters are those that the layer declares, so the
plan's counts are the net's. Forward passes use few large operations and no Python loops over features or members, because a
training step is traced once and replayed. A layer that a mask is connected to is called with it: ``module(x, mask)``.
"""

from lamina.graph.modules import attention, attention_pool, convolution, dense, embedding, pretrained, recurrent, sequence
from lamina.graph.modules.embedding import bin_edges
from lamina.graph.modules.part import Part, Parts, Prepares

__all__ = ["MODULES", "Part", "Prepares", "bin_edges"]

MODULES: Parts = {}
for _file in (dense, embedding, sequence, convolution, recurrent, attention, attention_pool, pretrained):
    MODULES |= _file.PARTS
