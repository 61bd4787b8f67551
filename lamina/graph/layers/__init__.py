"""The kinds of layers, as data: what each is called, what it accepts, what comes out, what it learns.

A layer here is a frozen dataclass and knows nothing of torch, so a graph can be checked, printed and stored anywhere;
:mod:`lamina.graph.modules` holds the ``nn.Module`` of each kind, in files of the same names. A neuron layer is *propagation*
(how its inputs are combined), then *activation*, then *output*.

Shapes leave out the batch axis: ``(64,)`` is 64 neurons, ``(32, 64)`` is 64 neurons for each of 32 members or 32 steps,
``(3, 32, 32)`` is 3 channels of an image.
"""

from lamina.graph.layers import attention, attention_pool, convolution, pretrained, recurrent, sequence
from lamina.graph.layers.dense import Activation, Dense, Dropout, Flatten, Join, MemberDense, Norm
from lamina.graph.layers.embedding import CategoryEmbedding, NumberEmbedding, TokenEmbedding

__all__ = [
    "Activation",
    "CategoryEmbedding",
    "Dense",
    "Dropout",
    "Flatten",
    "Join",
    "MemberDense",
    "Norm",
    "NumberEmbedding",
    "TokenEmbedding",
    "attention",
    "attention_pool",
    "convolution",
    "pretrained",
    "recurrent",
    "sequence",
]
