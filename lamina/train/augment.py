"""Augmentation: every epoch sees every training image a little differently, and the network learns what does not matter."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from lamina.errors import OptionError
from lamina.graph.random import current_generator
from lamina.train.recipe import WAYS


class Augment:
    """Change a batch of images at random, each row by its own draw.

    A photo of a cat that is moved by two pixels is a cat: what may change in an image without changing its meaning is said here
    instead of being learnt from many more examples. Say only what is true of the images: a flipped "b" is a "d".

    ==========  ==============================================================================================================
    way         what happens to an image
    ==========  ==============================================================================================================
    ``shift``   it moves by up to an eighth of its sides, 4 pixels of 32 (He et al. 2016, arXiv 1512.03385, section 4.2)
    ``crop``    70 to 100 % of its area, of an aspect ratio up to 4:3 other than its own, fills the whole (Szegedy et al. 2015,
                arXiv 1409.4842, section 6, who go down to 8 % for ImageNet's large images)
    ``flip``    it is mirrored left to right, every second time
    ``rotate``  it turns by up to 10 degrees either way
    ``erase``   a rectangle of 2 to 40 % of its area, every second time, is set to 0 (Zhong et al. 2020, arXiv 1708.04896; they
                fill it with noise, and draw again where the rectangle does not fit, which here is cut to the image's sides)
    ==========  ==============================================================================================================

    What comes in from outside of an image is 0. The order is that of the geometry, then of erasing, whatever the order of
    ``ways``. All chance comes from the generator of this thread (:mod:`lamina.graph.random`). Nothing waits for the device
    and no shape depends on data, so the whole can be part of a CUDA graph.

    Args:
        ways: Some of :data:`WAYS`; none leaves images as they are.
        shift: Furthest way of a shift, as a share of the side.
        area: Smallest share of the area that a crop keeps.
        degrees: Largest angle of a rotation.

    Shape:
        uint8 (N, height, width, channels), changed in place and returned.

    Raises:
        OptionError: A way is unknown.

    Example:
        >>> seed = torch.manual_seed(0)
        >>> images = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 4, 1)
        >>> Augment(("flip",))(images).flatten(1).tolist()
        [[0, 1, 2, 3], [7, 6, 5, 4]]
    """

    def __init__(self, ways: tuple[str, ...] = WAYS, *, shift: float = 1 / 8, area: float = 0.7, degrees: float = 10) -> None:
        if unknown := [way for way in ways if way not in WAYS]:
            raise OptionError(f"augment has {unknown[0]!r}, expected some of {', '.join(WAYS)}; leave it out")
        self.ways, self.shift, self.area, self.degrees = ways, shift, area, degrees

    def __call__(self, images: Tensor) -> Tensor:
        if "crop" in self.ways or "rotate" in self.ways:
            images.copy_(self._warped(images))
        if "shift" in self.ways or "flip" in self.ways:
            images.copy_(self._moved(images))
        if "erase" in self.ways:
            images.mul_(~_rectangles(images))
        return images

    def _warped(self, images: Tensor) -> Tensor:
        """Crop and rotation as one affine map from where a pixel is to where it is taken from (Jaderberg et al. 2015)."""
        rows, height, width, channels = images.shape
        tall = wide = images.new_ones(rows, dtype=torch.float32)
        angle = y = x = torch.zeros_like(tall)
        if "crop" in self.ways:
            tall, wide = _sides(images, self.area, 1.0, 4 / 3)
            y, x = ((2 * _rand(tall) - 1) * (1 - side) for side in (tall, wide))
        if "rotate" in self.ways:
            angle = (2 * _rand(tall) - 1) * math.radians(self.degrees)
        cos, sin = angle.cos(), angle.sin()
        across = (
            wide * cos,
            -sin * tall * (height / width),
            x,
        )  # the grid runs from -1 to 1 on either side, however long it is
        down = (sin * wide * (width / height), tall * cos, y)
        maps = torch.stack((*across, *down), 1).view(rows, 2, 3)
        grid = affine_grid(maps, [rows, channels, height, width], align_corners=False)
        warped = grid_sample(images.permute(0, 3, 1, 2).float(), grid, align_corners=False)
        return warped.round_().clamp_(0, 255).permute(0, 2, 3, 1)

    def _moved(self, images: Tensor) -> Tensor:
        """Shift and flip as one gather of pixels from images with a border of zeros."""
        rows, height, width, channels = images.shape
        down, right = (max(1, round(side * self.shift)) if self.shift else 0 for side in (height, width))
        down, right = (down, right) if "shift" in self.ways else (0, 0)
        tall, wide = height + 2 * down, width + 2 * right
        bordered = images.new_zeros(rows, tall, wide, channels)
        bordered[:, down : down + height, right : right + width] = images
        place = {"dtype": torch.int64, "device": images.device}
        drawn = {**place, "generator": current_generator()}
        y, x = torch.arange(height, **place).repeat(rows, 1), torch.arange(width, **place).repeat(rows, 1)
        if "flip" in self.ways:
            x = torch.where(torch.randint(2, (rows, 1), **drawn) == 1, width - 1 - x, x)
        y += torch.randint(2 * down + 1, (rows, 1), **drawn)
        x += torch.randint(2 * right + 1, (rows, 1), **drawn)
        pixels = (torch.arange(rows, **place).view(-1, 1, 1) * tall + y[:, :, None]) * wide + x[:, None, :]
        return bordered.view(-1, channels).index_select(0, pixels.view(-1)).view(images.shape)


def _rand(like: Tensor) -> Tensor:
    return torch.rand(like.shape, device=like.device, generator=current_generator())


def _rectangles(images: Tensor) -> Tensor:
    """Where to erase: (N, height, width, 1), a rectangle in every second image."""
    rows, height, width, _ = images.shape
    erased = torch.rand(rows, device=images.device, generator=current_generator()) < 0.5
    inside = []
    for side, share in zip((height, width), _sides(images, 0.02, 0.4, 1 / 0.3), strict=True):
        long = (share * side).round().clamp(1, side)
        first = (_rand(share) * (side - long + 1)).floor()
        place = torch.arange(side, device=images.device)
        inside.append((place >= first[:, None]) & (place < (first + long)[:, None]))
    down, across = inside
    return (down[:, :, None] & (across & erased[:, None])[:, None, :])[..., None]


def _sides(images: Tensor, least: float, most: float, ratio: float) -> tuple[Tensor, Tensor]:
    """Shares of height and width (N,) of rectangles of a random area and a ratio between 1 / ratio and ratio, cut to 1."""
    area = least + (most - least) * torch.rand(len(images), device=images.device, generator=current_generator())
    ratios = ((2 * _rand(area) - 1) * math.log(ratio)).exp()
    return (area * ratios).sqrt().clamp(max=1), (area / ratios).sqrt().clamp(max=1)
