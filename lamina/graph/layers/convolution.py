"""Images and sequences through windows: pixels, convolution, pooling.

An image is ``(channels, height, width)``, a sequence ``(steps, width)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.errors import GraphError
from lamina.graph.layer import Layer, Shape


@dataclass(frozen=True)
class Pixels(Layer):
    """An image as it is stored, brought to mean 0 and variance 1 in each channel over the training images.

    Shape:
        ``(height, width, channels)`` of uint8 to ``(channels, height, width)``.

    Example:
        >>> Pixels().shape([(28, 28, 1)])
        (1, 28, 28)
    """

    def result(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise GraphError(f"Pixels reads (height, width, channels), but was given {shape}; give an image")
        return (shape[2], *shape[:2])
