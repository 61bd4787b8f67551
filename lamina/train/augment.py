"""Data augmentation of training images."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from lamina.errors import OptionError
from lamina.graph.random import current_generator
from lamina.train.recipe import WAYS


class Augment:
    """Random augmentation of a batch of images, independent for each row.

    Use only transformations that keep the target: a flipped "b" is a "d".

    ==========  ==============================================================================================================
    way         transformation
    ==========  ==============================================================================================================
    ``shift``   translation by up to 1/8 of each side, 4 pixels of 32 (He et al. 2016, arXiv 1512.03385, section 4.2)
    ``crop``    a crop of 70 to 100 % of the area, aspect ratio changed by up to 4:3, resized to the image (Szegedy et al. 2015,
                arXiv 1409.4842, section 6, with 8 to 100 % on ImageNet)
    ``flip``    horizontal flip with probability 1/2
    ``rotate``  rotation by up to 10 degrees
    ``erase``   with probability 1/2 a rectangle of 2 to 40 % of the area is set to 0 (Zhong et al. 2020, arXiv 1708.04896, with
                noise; a rectangle that does not fit is redrawn there, clipped here)
    ==========  ==============================================================================================================

    Pixels from outside of the image are 0. Geometric transformations come first, then erasing, whatever the order of ``ways``.
    Random numbers are from the generator of this thread (:mod:`lamina.graph.random`). There is no device synchronisation and no
    data-dependent shape, so it can be part of a CUDA graph.

    Args:
        ways: Names from :data:`WAYS`; empty for no augmentation.

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

    def __init__(self, ways: tuple[str, ...] = WAYS) -> None:
        if unknown := [way for way in ways if way not in WAYS]:
            raise OptionError(f"augment has {unknown[0]!r}, expected some of {', '.join(WAYS)}; leave it out")
        self.ways = ways

    def __call__(self, images: Tensor) -> Tensor:
        if "crop" in self.ways or "rotate" in self.ways:
            images.copy_(self._warped(images))
        if "shift" in self.ways or "flip" in self.ways:
            images.copy_(self._moved(images))
        if "erase" in self.ways:
            images.mul_(~_rectangles(images))
        return images

    def _warped(self, images: Tensor) -> Tensor:
        """Crop and rotation as one affine sampling grid (Jaderberg et al. 2015)."""
        rows, height, width, channels = images.shape
        tall = wide = images.new_ones(rows, dtype=torch.float32)
        angle = y = x = torch.zeros_like(tall)
        if "crop" in self.ways:
            tall, wide = _sides(images, 0.7, 1.0, 4 / 3)
            y, x = ((2 * _rand(tall) - 1) * (1 - side) for side in (tall, wide))
        if "rotate" in self.ways:
            angle = (2 * _rand(tall) - 1) * math.radians(10)
        cos, sin = angle.cos(), angle.sin()
        across = (wide * cos, -sin * tall * (height / width), x)  # the grid is -1 to 1 on both sides
        down = (sin * wide * (width / height), tall * cos, y)
        maps = torch.stack((*across, *down), 1).view(rows, 2, 3)
        grid = affine_grid(maps, [rows, channels, height, width], align_corners=False)
        warped = grid_sample(images.permute(0, 3, 1, 2).float(), grid, align_corners=False)
        return warped.round_().clamp_(0, 255).permute(0, 2, 3, 1)

    def _moved(self, images: Tensor) -> Tensor:
        """Shift and flip as one gather of pixels from zero-padded images."""
        rows, height, width, channels = images.shape
        down, right = (max(1, round(side / 8)) if "shift" in self.ways else 0 for side in (height, width))
        tall, wide = height + 2 * down, width + 2 * right
        padded = images.new_zeros(rows, tall, wide, channels)
        padded[:, down : down + height, right : right + width] = images
        place = {"dtype": torch.int64, "device": images.device}
        drawn = {**place, "generator": current_generator()}
        y, x = torch.arange(height, **place).repeat(rows, 1), torch.arange(width, **place).repeat(rows, 1)
        if "flip" in self.ways:
            x = torch.where(torch.randint(2, (rows, 1), **drawn) == 1, width - 1 - x, x)
        y += torch.randint(2 * down + 1, (rows, 1), **drawn)
        x += torch.randint(2 * right + 1, (rows, 1), **drawn)
        pixels = (torch.arange(rows, **place).view(-1, 1, 1) * tall + y[:, :, None]) * wide + x[:, None, :]
        return padded.view(-1, channels).index_select(0, pixels.view(-1)).view(images.shape)


def _rand(like: Tensor) -> Tensor:
    return torch.rand(like.shape, device=like.device, generator=current_generator())


def _rectangles(images: Tensor) -> Tensor:
    """The mask of pixels to erase (N, height, width, 1): a rectangle in each image with probability 1/2."""
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
    """Height and width (N,), as fractions, of rectangles with random area and aspect ratio, clamped to 1."""
    area = least + (most - least) * torch.rand(len(images), device=images.device, generator=current_generator())
    ratios = ((2 * _rand(area) - 1) * math.log(ratio)).exp()
    return (area * ratios).sqrt().clamp(max=1), (area / ratios).sqrt().clamp(max=1)
