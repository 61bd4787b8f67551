"""The layers as data: options, shapes and parameters of each kind.

A layer is a frozen dataclass without torch, so a graph can be checked, printed and stored;
:mod:`lamina.graph.modules` has the ``nn.Module`` of each kind, in files of the same names.

Shapes leave out the batch axis: ``(64,)`` is 64 neurons, ``(32, 64)`` is 64 neurons for each of 32 members or 32 steps,
``(3, 32, 32)`` is 3 channels of an image.
"""

from lamina.graph.layers.attention import AttentionPool, MultiHeadAttention, Patches, Position, StepDropout
from lamina.graph.layers.convolution import Convolution, GlobalPool, Pixels, Pool, PoolMask, RadialBasis, Subsample
from lamina.graph.layers.dense import Activation, Dense, Dropout, Flatten, Join, MemberDense, Norm, NTKDense, Scale
from lamina.graph.layers.embedding import CategoryEmbedding, NumberEmbedding, SparseDense, TokenEmbedding
from lamina.graph.layers.pretrained import Module, Normalise, Pretrained
from lamina.graph.layers.recurrent import Ends, Loop, Recurrent
from lamina.graph.layers.sequence import AnyPresent, Chunk, Present, Reshape, StepDense, StepPool

__all__ = [
    "Activation",
    "AnyPresent",
    "AttentionPool",
    "CategoryEmbedding",
    "Chunk",
    "Convolution",
    "Dense",
    "Dropout",
    "Ends",
    "Flatten",
    "GlobalPool",
    "Join",
    "Loop",
    "MemberDense",
    "Module",
    "MultiHeadAttention",
    "NTKDense",
    "Norm",
    "Normalise",
    "NumberEmbedding",
    "Patches",
    "Pixels",
    "Pool",
    "PoolMask",
    "Position",
    "Present",
    "Pretrained",
    "RadialBasis",
    "Recurrent",
    "Reshape",
    "Scale",
    "SparseDense",
    "StepDense",
    "StepDropout",
    "StepPool",
    "Subsample",
    "TokenEmbedding",
]
