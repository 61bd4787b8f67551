"""Images: a column of files, bytes or arrays as one block of pixels.

An image is the path of a file, the bytes of one, or an array (height, width) or (height, width, channels) of 1, 3 or 4
channels. All images are resized to one size, whatever their aspect ratio; they stay gray if all training images are.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl

from lamina.data.columns.column import Block, Column, ColumnKind, Guess, Values, describe, inner_dtype
from lamina.data.copies import contents
from lamina.data.encoding import Encoding, Input
from lamina.data.pictures import (
    PIECE,
    SIGNATURE,
    SUFFIXES,
    Header,
    extremes,
    faults,
    read_headers,
    read_pixels,
    readable_headers,
    scaled,
    verify,
)
from lamina.data.readings import TextReading
from lamina.errors import ModelFileError, SchemaError
from lamina.wording import count

LARGEST = 4096
"""Most pixels of a side."""
LONGEST = 224
"""Longest side in pixels where no size is set, as customary for ImageNet."""

_SAMPLE = 256  # images that the guess of a kind looks at
_LUMA = (19595, 38470, 7471)  # red, green and blue of gray in 65536ths, as ITU-R 601-2 and Pillow have it
_HANDLED = {
    "several": "with several frames (animations, pages): the first is used",
    "transparent": "with an alpha channel or a transparent colour: composited on white",
    "upper": "in colour with 16 bits per channel: only the upper 8 bits are read; save darker ones with 8 bits",
}


# The block


@dataclass(frozen=True)
class ImageBlock(Block):
    """The encoding of a column of images as a block of pixels, fitted on training rows.

    The size is ``encoding.image_size``; else the median height and the median width of the training images, scaled down to a
    longest side of 224.

    Args:
        height: Of every image in the block.
        width: Of every image in the block.
        channels: 1 for gray, 3 for red, green and blue.
        resized: Whether training images were resized.
        low: Value of black in arrays and in gray files of more than 8 bits: 0 for values in 0..1 or 0..255, else the lowest.
        high: Value of white there: 1, 255 or the highest.
        deep: Whether training images were files of more than 8 bits.

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
    deep: bool = False

    @classmethod
    def fit(cls, values: pl.Series, encoding: Encoding, block: str) -> Self:
        """Fit size, colours and range of values to training rows.

        Raises:
            ReadError: Images cannot be read; all of them are counted.
            SchemaError: There is no image.
        """
        name, notes, low, high, deep = values.name, [], 0.0, 255.0, False
        if values.null_count() == len(values):
            raise SchemaError(f"column {name!r} has no image in any training row; drop it")
        if isinstance(values.dtype, pl.Array):
            height, width, channels = _shape(values.dtype)
            heights, widths, gray = [height], [width], channels == 1
            low, high = _scale(*_extremes(values))
            if (low, high) not in ((0, 1), (0, 255)):
                notes.append(f"{name}: values from {low:.6g} to {high:.6g} are scaled to 0 to 255")
        else:
            headers = read_headers(values)
            heights, widths = [header.height for header in headers], [header.width for header in headers]
            gray = all(header.gray for header in headers)
            handled = _HANDLED
            if deep := any(header.deep for header in headers):
                low, high = _scale(*extremes(values))
                scaling = f"of more than 8 bits per channel: values from {low:.6g} to {high:.6g} are scaled to 0 to 255"
                handled = {**_HANDLED, "deep": scaling}
            notes += _handled(values, headers, handled)
        height, width = (float(np.median(sides)) for sides in (heights, widths))
        scale = min(1.0, LONGEST / max(height, width))
        height, width = (encoding.image_size or max(1, round(side * scale)) for side in (height, width))
        others = sum(size != (height, width) for size in zip(heights, widths, strict=True))
        if others:
            which = "all images are" if others == len(heights) else f"{others:,} of {count(len(heights), 'image')} are"
            notes.append(f"{name}: {which} resized to {height} x {width} (height x width)")
        return cls(name, block, height, width, 1 if gray else 3, others > 0, low, high, tuple(notes), deep)

    def verify(self) -> None:
        if not (1 <= min(self.height, self.width) and max(self.height, self.width) <= LARGEST) or self.channels not in (1, 3):
            raise ModelFileError(
                f"images of column {self.name!r} have {self.height} x {self.width} pixels of {self.channels} channels, "
                f"expected at most {LARGEST} x {LARGEST} of 1 or 3"
            )

    @property
    def extent(self) -> str:
        return f"{self.height} x {self.width} pixels, {'gray' if self.channels == 1 else 'colour'}"

    @cached_property
    def inputs(self) -> dict[str, Input]:
        return {self.block: Input((self.height, self.width, self.channels), (self.name,), kind="image")}

    def transform(self, values: pl.Series) -> dict[str, np.ndarray]:
        """Pixels, uint8 (N, height, width, channels); a missing image is all 0.

        Arrays of the right shape and dtype are shared and read-only.

        Raises:
            ReadError: Images cannot be read: their number, and the rows and files of the first five.
        """
        if isinstance(values.dtype, pl.Array):
            return {self.block: self._arrays(values)}
        scale = (self.low, self.high) if self.deep else None
        return {self.block: read_pixels(values, self.height, self.width, self.channels, scale)}

    def remarks(self, values: pl.Series) -> list[str]:
        """Sentences on images of another size, colour or range of values than in training.

        Raises:
            ReadError: Images cannot be read.
        """
        remarks: list[str] = []
        present = len(values) - values.null_count()
        if not present:
            return remarks
        if isinstance(values.dtype, pl.Array):
            height, width, channels = _shape(values.dtype)
            others = present if (height, width) != (self.height, self.width) else 0
            coloured = present if channels > 1 else 0
            low, high = _extremes(values)
            black, white = self._scale_of(values.dtype)
        else:
            headers = read_headers(values)
            others = sum((header.height, header.width) != (self.height, self.width) for header in headers)
            coloured = sum(not header.gray for header in headers)
            handled = {"several": _HANDLED["several"]}
            if not self.deep:
                handled["deep"] = "of more than 8 bits per channel, unlike training images: white is 65535, or 1 in floats"
            remarks += _handled(values, headers, handled)
            low, high = black, white = self.low, self.high
            if self.deep and any(header.deep for header in headers):
                low, high = extremes(values)
        if low < black or high > white:
            remarks.append(f"{self.name}: values outside the training range {black:.6g}..{white:.6g}, clipped")
        if others and not self.resized:
            size = f"{self.height} x {self.width}, the size of training"
            remarks.append(f"{self.name}: {count(others, 'image')} resized to {size}")
        if coloured and self.channels == 1:
            remarks.append(f"{self.name}: {count(coloured, 'image')} in colour converted to gray, as in training")
        return remarks

    def _scale_of(self, dtype: pl.DataType) -> tuple[float, float]:
        """The values of black and white in arrays; those of 8 bits are read as files of 8 bits are."""
        return (0.0, 255.0) if self.deep and inner_dtype(dtype) == pl.UInt8 else (self.low, self.high)

    def _arrays(self, values: pl.Series) -> np.ndarray:
        height, width, channels = _shape(values.dtype)
        scale = self._scale_of(values.dtype)
        same = (height, width, channels) == (self.height, self.width, self.channels) and scale == (0, 255)
        if same and inner_dtype(values.dtype) == pl.UInt8 and not values.null_count():
            pixels = values.to_numpy()
            if pixels.dtype == np.uint8:  # else single pixels are missing
                return pixels.reshape(-1, height, width, channels)
        result = np.zeros((len(values), self.height, self.width, self.channels), dtype=np.uint8)
        for start in range(0, len(values), PIECE):
            chunk = values.slice(start, PIECE)
            pixels = scaled(chunk.to_numpy().reshape(-1, height, width, channels), *scale)
            pixels = _coloured(pixels, self.channels)
            if (height, width) != (self.height, self.width):
                pixels = _resized(pixels, self.height, self.width)
            result[start : start + len(chunk)] = pixels
        result[values.is_null().to_numpy()] = 0
        return result


def _handled(values: pl.Series, headers: list[Header], handled: Mapping[str, str] = _HANDLED) -> list[str]:
    """Sentences on converted images, with their number and an example."""
    remarks = []
    for attribute, conversion in handled.items():
        rows = [row for row, header in enumerate(headers) if getattr(header, attribute)]
        if rows:
            first = values.drop_nulls()[rows[0]]
            example = f" (such as {first})" if isinstance(first, str) else ""
            remarks.append(f"{values.name}: {count(len(rows), 'image')}{example} {conversion}")
    return remarks


# Arrays


def _extremes(values: pl.Series) -> tuple[float, float]:
    """The lowest and highest finite value in arrays."""
    flat = values.reshape((-1,))
    flat = flat.filter(flat.is_finite()) if flat.dtype.is_float() else flat
    return float(flat.min() or 0), float(flat.max() or 0)  # pyright: ignore[reportArgumentType]


def _scale(low: float, high: float) -> tuple[float, float]:
    """The values of black and white: 0 and 1, 0 and 255, or the lowest and highest value."""
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


# The kind


class Image(ColumnKind):
    """Paths or bytes of image files, or arrays, none of them decoded; ``source``, ``channels``, ``sizes``.

    Example:
        >>> Image().guess(Values(pl.Series("digit", np.zeros((10, 8, 8), dtype=np.uint8)))).reason
        '10 images of 8 x 8, gray'
    """

    name = "image"
    reading = TextReading
    saved_details = {"dtype": str}
    expects = "paths or bytes of image files, or arrays, (height, width, 1) where their sizes differ"
    forms = "the path of an image or of a folder of images, bytes, a PIL image, an array (height, width[, channels])"
    blocks = (ImageBlock,)

    def guess(self, values: Values) -> Guess | None:
        column, dtype = values.column, values.column.dtype
        if column.null_count() == len(column):
            return None
        if isinstance(dtype, pl.Array):
            shape = dtype.shape
            if len(shape) == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
                reason = f"arrays of {_times(shape)}; expected channels last for images: numpy.moveaxis(images, 1, -1)"
                return Guess("other", reason, values.details)
            plain = len(shape) == 3 or inner_dtype(dtype) == pl.UInt8
            return _described(column, "arrays") if plain and _holds_images(dtype) else None
        if dtype not in (pl.String, pl.Binary):
            return None
        sample = _sample(column)
        if dtype == pl.Binary:
            images = sum(SIGNATURE.match(value) is not None for value in sample)
            return _described(column, "bytes") if images > len(sample) / 2 else None
        if sum(path.lower().endswith(SUFFIXES) for path in sample) < 0.9 * len(sample):
            return None
        if any(os.path.isfile(os.path.expanduser(path)) for path in sample):
            return _described(column, "paths")
        if len(set(sample)) < 0.95 * len(sample):
            return None
        reason = f"names of image files that do not exist, such as {sample[0]!r:.60}; give paths relative to the current folder"
        return Guess("other", reason, values.details)

    def coerce(self, column: pl.Series) -> Guess | None:
        source = {pl.String: "paths", pl.Binary: "bytes"}.get(column.dtype.base_type(), "arrays")
        if column.null_count() == len(column) or (source == "arrays" and not _holds_images(column.dtype)):
            return None
        result = _described(column, source)
        return dataclasses.replace(result, reason=f"given; {result.reason}")

    def check(self, column: Column, values: pl.Series, remarks: list[str]) -> pl.Series:
        dtype = values.dtype
        if dtype in (pl.Null, pl.Categorical, pl.Enum):
            return values.cast(pl.String)
        if dtype not in (pl.String, pl.Binary) and not _holds_images(dtype):
            raise SchemaError(
                f"column {column.name!r} holds {dtype}, expected images as in training; give paths or bytes of image files, "
                "or arrays (height, width) or (height, width, channels), channels last"
            )
        trained = column.details["dtype"]
        if ("Float" in trained) != ("Float" in str(dtype)) and not column.details.get(
            "deep"
        ):  # 0.5 is gray in one of them and nearly black in the other
            form = "arrays of floats" if "Float" in trained else "image files, or arrays of uint8 from 0 to 255"
            raise SchemaError(f"column {column.name!r} holds images as {dtype}, expected {trained} as in training; give {form}")
        return values

    def is_alone(self, column: Column, value: Any) -> bool:
        if isinstance(value, bytes | bytearray | memoryview) or hasattr(value, "getbands"):  # a Pillow image
            return True
        shape = tuple(getattr(value, "shape", ()))
        gray = len(shape) == 3 and list(shape[1:]) in column.details.get("sizes", ())  # several, in gray
        return len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4) and not gray)

    def of_file(self, column: Column, path: Path) -> str | None:
        if path.suffix.lower() not in SUFFIXES:
            with open(path, "rb") as file:
                if not SIGNATURE.match(file.read(16)):
                    return None
        return os.path.abspath(path)

    def of_bytes(self, column: Column, data: bytes) -> bytes | None:
        return data if SIGNATURE.match(data) else None

    def contents(self, values: pl.Series) -> pl.Series:
        values = values.cast(pl.String) if values.dtype in (pl.Categorical, pl.Enum) else values
        return contents(values) if values.dtype in (pl.String, pl.Binary) else values

    def verify(self, values: pl.Series) -> None:
        if not isinstance(values.dtype, pl.Array):
            verify(values)

    def faults(self, values: pl.Series) -> dict[int, str]:
        return faults(values) if values.dtype in (pl.String, pl.Binary) else {}


def _holds_images(dtype: pl.DataType) -> bool:
    if not isinstance(dtype, pl.Array) or not ((pixel := inner_dtype(dtype)).is_numeric() or pixel == pl.Boolean):
        return False
    return 0 not in dtype.shape and (len(dtype.shape) == 2 or (len(dtype.shape) == 3 and dtype.shape[2] in (1, 3, 4)))


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
        sizes, gray, deep = [[height, width]], channels == 1, False
    else:
        # An unreadable image is an error only when it is read for training.
        headers = readable_headers(pl.Series(column.name, _sample(column), dtype=column.dtype))
        sizes = sorted({(header.height, header.width) for header in headers}, key=lambda size: (size[0] * size[1], size))
        sizes, gray = [list(size) for size in sizes], all(header.gray for header in headers)
        deep = any(header.deep for header in headers)
    description = "that cannot be read"
    if sizes:
        span = f"of {_times(sizes[0])}" if len(sizes) == 1 else f"from {_times(sizes[0])} to {_times(sizes[-1])}"
        description = f"{span}, {'gray' if gray else 'colour'}"
    reason = f"{count(len(column) - column.null_count(), 'image')} {description}"
    extra = {"source": source, "channels": 1 if gray else 3, "sizes": [sizes[0], sizes[-1]] if sizes else []}
    return Guess("image", reason, describe(column) | extra | ({"deep": True} if deep else {}))


def _times(size: tuple[int, ...] | list[int]) -> str:
    return " x ".join(map(str, size))
