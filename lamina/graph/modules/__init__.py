"""The ``nn.Module`` of each kind of layer; the formulas are documented in :mod:`lamina.graph.layers`.

A module is constructed from the layer and the shape of its joined input, with the parameters that the layer declares. A layer
with a mask is called as ``module(x, mask)``. Forward passes have no Python loops over features or members.
"""

from lamina.graph.modules import attention, convolution, dense, embedding, pretrained, recurrent, sequence  # noqa: F401
from lamina.graph.modules.embedding import bin_edges
from lamina.graph.modules.part import MODULES, Part

__all__ = ["MODULES", "Part", "bin_edges"]
