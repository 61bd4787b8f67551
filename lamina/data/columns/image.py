"""Images: a column of files, bytes or arrays becomes one block of pixels.

An image is whatever a person has: the path of a file, the bytes of one, or an array (height, width) or (height, width,
channels) of 1, 3 or 4 channels. A network reads images of one size, so the others are resized to it, whatever their shape;
they stay gray if all training images are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block, Column, ColumnKind, Guess, Values, describe
from lamina.data.encoding import Encoding, Input
from lamina.data.pictures import (
    PIECE,
    SIGNATURE,
    SUFFIXES,
    Header,
    is_file,
    read_headers,
    read_pixels,
    scaled,
    some_headers,
    verify,
)
from lamina.errors import SchemaError

LONGEST = 224
"""The longest side, in pixels, of images whose size nobody gave: ImageNet's customary size."""

_SAMPLE = 256  # images looked at to guess what a column is
_LUMA = (19595, 38470, 7471)  # red, green and blue of gray in 65536ths, as ITU-R 601-2 and Pillow have it
_HANDLED = {
    "several": "with several pictures (animations, pages): the first is taken",
    "transparent": "with an alpha channel or a transparent colour: laid on white",
    "deep": "of more than 8 bits per channel: brought to 8",
}


# What a column is


def guess(column: pl.Series) -> Guess | None:
    """Take a column for images if its values are: arrays of pixels, paths of image files that exist, bytes of image files.

    Example:
        >>> guess(pl.Series("digit", np.zeros((10, 8, 8), dtype=np.uint8))).reason
        '10 images of 8 x 8, gray'
    """
    if column.null_count() == len(column):
        return None
    if isinstance(column.dtype, pl.Array):
        shape = column.dtype.shape
        if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
            reason = f"arrays of {_times(shape)}; of an image the channels come last: numpy.moveaxis(images, 1, -1)"
            return Guess("other", reason, describe(column))
        plain = len(shape) == 3 or _pixel(column.dtype) == pl.UInt8
        return _described(column, "arrays") if plain and _holds_images(column.dtype) else None
    if column.dtype not in (pl.String, pl.Binary):
        return None
    sample = _sample(column)
    if column.dtype == pl.Binary:
        images = sum(SIGNATURE.match(value) is not None for value in sample)
        return _described(column, "bytes") if images > len(sample) / 2 else None
    if sum(path.lower().endswith(SUFFIXES) for path in sample) < 0.9 * len(sample):
        return None
    if any(is_file(path) for path in sample):
        return _described(column, "paths")
    if len(set(sample)) < 0.95 * len(sample):
        return None
    reason = f"names of image files that are not there, such as {sample[0]!r:.60}; give paths that lead to them from here"
    return Guess("other", reason, describe(column))


def regard(column: pl.Series) -> Guess | None:
    """Take a column for images because a person says so; None if its values cannot be images."""
    source = {pl.String: "paths", pl.Binary: "bytes"}.get(column.dtype.base_type(), "arrays")
    if column.null_count() == len(column) or (source == "arrays" and not _holds_images(column.dtype)):
        return None
    found = _described(column, source)
    return dataclasses.replace(found, reason=f"given; {found.reason}")


def check(column: Column, values: pl.Series) -> pl.Series:
    """Bring images to predict into a form that the encoder takes: paths or bytes of files, or arrays; none is decoded yet.

    Raises:
        SchemaError: The values are no images, or arrays on another scale than the learnt ones.
    """
    dtype = values.dtype
    if dtype in (pl.Null, pl.Categorical, pl.Enum):
        return values.cast(pl.String)
    if dtype not in (pl.String, pl.Binary) and not _holds_images(dtype):
        raise SchemaError(
            f"column {column.name!r} holds {dtype}, images were learnt; give paths or bytes of image files, or arrays "
            "(height, width) or (height, width, channels), channels last"
        )
    learnt = column.details["dtype"]
    if ("Float" in learnt) != ("Float" in str(dtype)):  # 0.5 is gray in one of them and nearly black in the other
        form = "arrays of floats" if "Float" in learnt else "image files, or arrays of uint8 from 0 to 255"
        raise SchemaError(f"column {column.name!r} holds images as {dtype}, {learnt} was learnt; give {form}")
    return values


def _holds_images(dtype: pl.DataType) -> bool:
    if not isinstance(dtype, pl.Array) or not (_pixel(dtype).is_numeric() or _pixel(dtype) == pl.Boolean):
        return False
    return 0 not in dtype.shape and (len(dtype.shape) == 2 or (len(dtype.shape) == 3 and dtype.shape[2] in (1, 3, 4)))


def _pixel(dtype: Any) -> pl.DataType:
    while isinstance(dtype, pl.Array):
        dtype = dtype.inner
    return dtype


def _shape(dtype: Any) -> tuple[int, int, int]:
    """Height, width and channels."""
    height, width, *channels = dtype.shape
    return height, width, channels[0] if channels else 1


def _sample(column: pl.Series) -> list[Any]:
    present = column.drop_nulls()
    return present.gather_every(max(1, len(present) // _SAMPLE)).head(_SAMPLE).to_list()


def _described(column: pl.Series, source: str) -> Guess:
    if source == "arrays":
        height, width, channels = _shape(column.dtype)
        sizes, gray = [[height, width]], channels == 1
    else:
        # An image that cannot be read is refused later, when it is to be learnt from.
        known = some_headers(pl.Series(column.name, _sample(column), dtype=column.dtype))
        sizes = sorted({(header.height, header.width) for header in known}, key=lambda size: (size[0] * size[1], size))
        sizes, gray = [list(size) for size in sizes], all(header.gray for header in known)
    count = len(column) - column.null_count()
    what = "that cannot be read"
    if sizes:
        of = f"of {_times(sizes[0])}" if len(sizes) == 1 else f"from {_times(sizes[0])} to {_times(sizes[-1])}"
        what = f"{of}, {'gray' if gray else 'colour'}"
    reason = f"{_count(count)} {what}"
    extra = {"source": source, "channels": 1 if gray else 3, "sizes": [sizes[0], sizes[-1]] if sizes else []}
    return Guess("image", reason, describe(column) | extra)


def _times(size: tuple[int, ...] | list[int]) -> str:
    return " x ".join(map(str, size))


def _count(count: int) -> str:
    return f"{count:,} {'image' if count == 1 else 'images'}"


# The block


@dataclass(frozen=True)
class ImageBlock(Block):
    """The way from a column of images to a block of pixels, learnt from training rows.

    The size is the one that was asked for; else the one that all training images have; else the median of their heights and of
    their widths. A size that nobody asked for is scaled down to a longest side of 224.

    Args:
        name: Of the column.
        block: The name of the block.
        height: Of every image in the block.
        width: Of every image in the block.
        channels: 1 for gray, 3 for red, green and blue.
        resized: Were training images of other sizes?
        low: What is black in arrays. Values in 0..1 and in 0..255 are taken for what they seem, others from lowest to highest.
        high: What is white in arrays.
        notes: What a person should know of the training images.

    Example:
        >>> images = pl.Series("digit", np.arange(8, dtype=np.uint8).reshape(2, 2, 2))
        >>> block = ImageBlock.fit(images, Encoding(), "image")
        >>> block.transform(images)["image"].tolist()
        [[[[0], [1]], [[2], [3]]], [[[4], [5]], [[6], [7]]]]
    """

    kind: ClassVar[str] = "image"

    name: str
    block: str
    height: int
    width: int
    channels: int
    resized: bool = False
    low: float = 0.0
    high: float = 255.0
    notes: tuple[str, ...] = ()

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Learn size, colours and scale from training rows, as :func:`check` returns them.

        Raises:
            ReadError: Images that cannot be read; all of them are counted.
            SchemaError: There is no image at all.
        """
        name, notes, low, high = values.name, [], 0.0, 255.0
        if values.null_count() == len(values):
            raise SchemaError(f"column {name!r} holds no image in any training row; leave it out")
        if isinstance(values.dtype, pl.Array):
            height, width, channels = _shape(values.dtype)
            heights, widths, gray = [height], [width], channels == 1
            low, high = _scale(values)
            if (low, high) not in ((0, 1), (0, 255)):
                notes.append(f"{name}: values from {low:.6g} to {high:.6g} are brought to 0 to 255")
        else:
            headers = read_headers(values)
            heights, widths = [header.height for header in headers], [header.width for header in headers]
            gray = all(header.gray for header in headers)
            notes += _handled(values, headers)
        height, width = (float(np.median(sides)) for sides in (heights, widths))
        scale = min(1.0, LONGEST / max(height, width))
        height, width = (encoding.image_size or max(1, round(side * scale)) for side in (height, width))
        others = sum(size != (height, width) for size in zip(heights, widths, strict=True))
        if others:
            count = len(values) - values.null_count()
            which = "all images are" if others == len(heights) else f"{others:,} of {_count(count)} are"
            notes.append(f"{name}: {which} of another size and resized to {height} x {width} (height x width)")
        return cls(name, block, height, width, 1 if gray else 3, others > 0, low, high, tuple(notes))

    @property
    def extent(self) -> str:
        """What every image is brought to, in words."""
        return f"{self.height} x {self.width} pixels, {'gray' if self.channels == 1 else 'colour'}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        """The block that :meth:`transform` gives."""
        return {self.block: Input((self.height, self.width, self.channels), (self.name,), kind="image")}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """Turn images into pixels; a missing one is all 0. Arrays of the right form are shared, not copied, and read-only.

        Shape:
            uint8 (N, height, width, channels).

        Raises:
            ReadError: Images that cannot be read: how many, and the rows and files of the first five.
        """
        if isinstance(values.dtype, pl.Array):
            return {self.block: self._arrays(values)}
        return {self.block: read_pixels(values, self.height, self.width, self.channels)}

    def remarks(self, values: pl.Series) -> list[str]:
        """What was handled in rows to predict and is worth saying: other sizes, colours or values than learnt.

        Raises:
            ReadError: Images that cannot be read.
        """
        found: list[str] = []
        present = len(values) - values.null_count()
        if not present:
            return found
        if isinstance(values.dtype, pl.Array):
            height, width, channels = _shape(values.dtype)
            others = present if (height, width) != (self.height, self.width) else 0
            coloured = present if channels > 1 else 0
            low, high = _extremes(values)
            if low < self.low or high > self.high:
                found.append(f"{self.name}: values outside {self.low:.6g}..{self.high:.6g} learnt, taken as black or white")
        else:
            headers = read_headers(values)
            others = sum((header.height, header.width) != (self.height, self.width) for header in headers)
            coloured = sum(not header.gray for header in headers)
            found += _handled(values, headers, {"several": _HANDLED["several"]})
        if others and not self.resized:
            found.append(f"{self.name}: {_count(others)} of another size than {self.height} x {self.width} learnt, resized")
        if coloured and self.channels == 1:
            found.append(f"{self.name}: {_count(coloured)} in colour, gray ones were learnt; taken as gray")
        return found

    def _arrays(self, values: pl.Series) -> np.ndarray:
        height, width, channels = _shape(values.dtype)
        learnt = (height, width, channels) == (self.height, self.width, self.channels) and (self.low, self.high) == (0, 255)
        if learnt and _pixel(values.dtype) == pl.UInt8 and not values.null_count():
            pixels = values.to_numpy()
            if pixels.dtype == np.uint8:  # else single pixels are missing
                return pixels.reshape(-1, height, width, channels)
        result = np.zeros((len(values), self.height, self.width, self.channels), dtype=np.uint8)
        for start in range(0, len(values), PIECE):
            piece = values.slice(start, PIECE)
            pixels = scaled(piece.to_numpy().reshape(-1, height, width, channels), self.low, self.high)
            pixels = _coloured(pixels, self.channels)
            if (height, width) != (self.height, self.width):
                pixels = _resized(pixels, self.height, self.width)
            result[start : start + len(piece)] = pixels
        result[values.is_null().to_numpy()] = 0
        return result


def _handled(values: pl.Series, headers: list[Header], handled: Mapping[str, str] = _HANDLED) -> list[str]:
    """How many images are not quite what is read of them, and one of them."""
    found = []
    for what, said in handled.items():
        rows = [row for row, header in enumerate(headers) if getattr(header, what)]
        if rows:
            first = values.drop_nulls()[rows[0]]
            such = f" (such as {first})" if isinstance(first, str) else ""
            found.append(f"{values.name}: {_count(len(rows))}{such} {said}")
    return found


# Arrays


def _extremes(values: pl.Series) -> tuple[float, float]:
    """The lowest and highest finite value in arrays."""
    flat = values.reshape((-1,))
    flat = flat.filter(flat.is_finite()) if flat.dtype.is_float() else flat
    return float(flat.min() or 0), float(flat.max() or 0)  # pyright: ignore[reportArgumentType]


def _scale(values: pl.Series) -> tuple[float, float]:
    """What is black and what is white in arrays: 0 and 1, 0 and 255, or the lowest and highest value."""
    low, high = _extremes(values)
    if low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high if high > low else low + 1


def _coloured(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (N, H, W, 1, 3 or 4) with 1 channel or 3."""
    if pixels.shape[3] == 4:
        alpha = pixels[..., 3:].astype(np.uint16)
        pixels = ((pixels[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if channels == 1 and pixels.shape[3] == 3:
        return ((pixels @ np.array(_LUMA, dtype=np.uint32) + 0x8000) >> 16).astype(np.uint8)[..., None]
    return np.broadcast_to(pixels, (*pixels.shape[:3], channels))


def _resized(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    from PIL import Image

    images = (Image.fromarray(image[..., 0] if image.shape[2] == 1 else image) for image in pixels)
    resized = [np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)) for image in images]
    return np.stack(resized).reshape(-1, height, width, pixels.shape[3])


class Image(ColumnKind):
    """Paths or bytes of image files, or arrays; ``source``, ``channels``, ``sizes``."""

    name = "image"
    expects = "paths or bytes of image files, or arrays"
    block = vector = ImageBlock

    def guess(self, values: Values) -> Guess | None:
        return guess(values.column)

    def coerce(self, column: pl.Series) -> Guess | None:
        return regard(column)

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        return check(column, values)

    def verify(self, values: pl.Series) -> None:
        if not isinstance(values.dtype, pl.Array):
            verify(values)
