"""Headers and pixels of image files, and one error for all that cannot be read.

Files may be of any size and colour mode. They are rotated as in their EXIF data, transparency is composited on white, gray
values of 16 or 32 bits are scaled to 8 by the values of training images, and of several frames in a file (animations, pages)
the first is used.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import polars as pl

from lamina.errors import ReadError
from lamina.wording import count

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SIGNATURE = re.compile(rb"\x89PNG|\xff\xd8\xff|BM|GIF8|II\*\0|MM\0\*|RIFF....WEBP|P[1-6]\s", re.DOTALL)
"""The first bytes of an image file."""
PIECE = 1024
"""Images of a chunk."""
SIDE = 65535
"""Pixels of the longest side; decoding takes a time for each line that is read, however short the file is."""
LARGE = 1 << 24
"""Pixels from which on images are decoded one at a time, as each may take 16 bytes a pixel."""

_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_TURNS = dict(
    enumerate(("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"), 2)
)
"""How Pillow undoes each orientation in EXIF data."""
_GRAY = ("1", "L", "LA", "La", "I", "F")

Source = str | bytes
Scale = tuple[float, float]
Result = TypeVar("Result")


class Header(NamedTuple):
    """The properties of an image that need no decoding.

    ``several``: it is an animation or a file of pages; ``deep``: it is gray with more than 8 bits; ``upper``: it has 16 bits
    per channel, of which Pillow reads the upper 8.
    """

    height: int
    width: int
    gray: bool
    several: bool
    transparent: bool = False
    deep: bool = False
    upper: bool = False


def readable_headers(values: pl.Series) -> list[Header]:
    """The headers of the images that can be read."""
    return each(values, header)[0]


def read_headers(values: pl.Series) -> list[Header]:
    """The headers of all images that are not missing.

    Raises:
        ReadError: Images cannot be read: their number, and the rows and files of the first five.
    """
    headers, faults = each(values, header)
    if faults:
        verify(values)
    return headers


def verify(values: pl.Series) -> None:
    """Decode all images: truncated ones may have a valid header.

    Raises:
        ReadError: As for :func:`read_headers`.
    """
    _refuse(values, faults(values))


def faults(values: pl.Series) -> dict[int, str]:
    """By row, why an image cannot be decoded."""
    return each(values, lambda row, image: pixels(image, 8, 8, 1, (0, 1)))[1]


def extremes(values: pl.Series) -> tuple[float, float]:
    """The lowest and the highest value in gray images of more than 8 bits; 0 and 0 without such images.

    Of each image one pixel in a thousand is left out at either end: a few dead pixels would turn all others black.

    Raises:
        ReadError: As for :func:`read_headers`.
    """

    def ends(row: int, image: Image) -> np.ndarray | None:
        if image.mode[0] not in "IF":
            return None
        numbers = np.asarray(image)
        numbers = numbers[np.isfinite(numbers)]  # a copy
        margin = len(numbers) // 1000
        places = [margin, len(numbers) - 1 - margin]
        if len(numbers):
            numbers.partition(places)
        return numbers[places] if len(numbers) else None

    pairs, faults = each(values, ends)
    _refuse(values, faults)
    known = [pair for pair in pairs if pair is not None]
    return float(min((low for low, _ in known), default=0)), float(max((high for _, high in known), default=0))


def read_pixels(values: pl.Series, height: int, width: int, channels: int, scale: Scale | None = None) -> np.ndarray:
    """All images, uint8 (N, height, width, channels); a missing one is all 0.

    Args:
        values: Paths or bytes.
        height: To which they are resized.
        width: To which they are resized.
        channels: 1 for gray, 3 for colour.
        scale: The values of black and of white in gray images of more than 8 bits; by default white is 65535, and 1 or 255
            where values are floats.

    Raises:
        ReadError: As for :func:`read_headers`.
    """
    result = np.zeros((len(values), height, width, channels), dtype=np.uint8)

    def place(row: int, image: Image) -> None:
        result[row] = pixels(image, height, width, channels, scale)

    _refuse(values, each(values, place)[1])
    return result


def each(values: pl.Series, work: Callable[[int, Image], Result]) -> tuple[list[Result], dict[int, str]]:
    """The results of a function of each row and its open image, and by row the reason why an image cannot be read."""
    from PIL.Image import DecompressionBombWarning

    faults: dict[int, str] = {}
    one_at_a_time = Lock()

    def attempt(row: int, source: Source | None) -> list[Result]:
        if source is None:
            return []
        try:
            with _opened(source) as image:
                is_large = image.width * image.height > LARGE and image.format not in ("JPEG", "MPO")  # decoded at 1/8
                with one_at_a_time if is_large else nullcontext():
                    return [work(row, image)]
        except ReadError as error:
            faults[row] = str(error)
            return []

    results: list[Result] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # on odd metadata
        warnings.simplefilter("error", DecompressionBombWarning)
        for start in range(0, len(values), PIECE):
            sources = values.slice(start, PIECE).to_list()
            run = pool.map if len(sources) > 8 else map  # for few images threads would be slower
            results += itertools.chain.from_iterable(run(attempt, itertools.count(start), sources))
    return results, dict(sorted(faults.items()))


def _refuse(values: pl.Series, faults: dict[int, str]) -> None:
    """Raise an error if there are faults."""
    if not faults:
        return
    shown = []
    for row, fault in itertools.islice(faults.items(), 5):
        source = values[row]
        shown.append(f"row {row + 1:,}{f' ({source})' if isinstance(source, str) else ''} {fault}")
    more = f"; and {len(faults) - 5:,} more" if len(faults) > 5 else ""
    images = count(len(values) - values.null_count(), "image")
    them = "it" if len(faults) == 1 else "them"
    raise ReadError(
        f"column {values.name!r}: {len(faults):,} of {images} cannot be read: {'; '.join(shown)}{more}; "
        f"replace {them}, leave {them} empty, or skip {them} (skip_bad=True, --skip-bad)"
    )


@contextmanager
def _opened(source: Source) -> Iterator[Image]:
    """An open image file; any error while it is open becomes a ReadError."""
    from PIL import Image, UnidentifiedImageError

    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else os.path.expanduser(source)
        if isinstance(file, str) and not os.path.isfile(file) and not os.path.isdir(file) and os.path.exists(file):
            raise ReadError("is a pipe or a device, expected a file")
        with Image.open(file, formats=_FORMATS) as image:
            if max(image.size) > SIDE:
                raise ReadError(f"is {image.width:,} x {image.height:,} pixels, more than {SIDE:,} on a side; scale it down")
            yield image
    except FileNotFoundError:
        raise ReadError("does not exist") from None
    except UnidentifiedImageError:
        raise ReadError(_unidentified(source)) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        pixels, most = re.findall(r"\d+", str(error))[:2]
        raise ReadError(f"has {int(pixels):,} pixels, more than the safe limit of {int(most):,}; scale it down") from None
    except ReadError:
        raise
    except Exception as error:  # decoders raise any exception for damaged bytes
        if isinstance(error, OSError) and error.strerror:
            raise ReadError(f"cannot be opened: {error.strerror}") from None
        raise ReadError(f"is truncated or damaged ({str(error) or type(error).__name__})") from None


def _unidentified(source: Source) -> str:
    if isinstance(source, str):
        with open(os.path.expanduser(source), "rb") as file:
            source = file.read(16)
    if not source:
        return "is empty (0 bytes)"
    if SIGNATURE.match(source):
        return "is truncated or damaged"
    return f"is no image of a supported format (it begins with {source[:16]!r}); supported are {', '.join(_FORMATS)}"


def header(row: int, image: Image) -> Header:
    """The header of an open image."""
    width, height = image.size
    if image.format != "TIFF" and _orientation(image) >= 5:  # Pillow rotates TIFF files itself
        width, height = height, width
    gray = image.mode in _GRAY or image.mode.startswith("I;16")
    several = getattr(image, "is_animated", False) and image.format != "MPO"
    deep = image.mode[0] in "IF"
    upper = not deep and any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    return Header(height, width, gray, several, image.has_transparency_data, deep, upper)


def _orientation(image: Image) -> int:
    """The orientation in the EXIF data, 1 to 8; from 5 on, width and height are swapped."""
    from PIL.Image import Image as Base

    try:
        orientation = Base.getexif(image).get(0x0112)  # PNG's own would decode the whole image for it
    except Exception:  # damaged EXIF data are ignored
        return 1
    return orientation if orientation in _TURNS else 1


def pixels(image: Image, height: int, width: int, channels: int, scale: Scale | None = None) -> np.ndarray:
    """The pixels of an image, (height, width, channels)."""
    from PIL import Image as PIL

    side = 2 * max(height, width)
    image.draft(None, (side, side))  # decodes a large JPEG file at 1/2, 1/4 or 1/8
    image = upright(image, "L" if channels == 1 else "RGB", scale)
    if image.size != (width, height):
        image = image.resize((width, height), PIL.Resampling.BILINEAR)
    return np.asarray(image).reshape(height, width, channels)


def upright(image: Image, mode: str, scale: Scale | None = None) -> Image:
    """An image of 8 bits in a mode, rotated as its EXIF data say, transparency on white."""
    from PIL import Image as PIL

    image.load()
    orientation = _orientation(image)
    if image.mode[0] in "IF":
        image = _eight_bits(image, scale)
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = PIL.alpha_composite(PIL.new("RGBA", image.size, "white"), image)
    image = image.convert(mode)
    return image.transpose(PIL.Transpose[_TURNS[orientation]]) if orientation > 1 else image


def _eight_bits(image: Image, scale: Scale | None) -> Image:
    """Gray of 16 or 32 bits as 8 bits."""
    from PIL.Image import fromarray

    values = np.asarray(image)
    if scale is not None:
        return fromarray(scaled(values, *scale))
    low, high = float(values.min()), float(values.max())
    white = (1 if high <= 1 else 255) if image.mode == "F" else 65535
    if not (low >= 0 and high <= white):
        raise ReadError(f"holds values from {low:g} to {high:g}, expected 0 to {white}; scale it, or give arrays")
    return fromarray(scaled(values, 0, white))


def scaled(pixels: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers as uint8, ``low`` to ``high`` scaled to 0 to 255 and clipped; NaN is 0."""
    if pixels.dtype == np.uint8 and (low, high) == (0, 255):
        return pixels
    values = pixels.astype(np.result_type(pixels, np.float32))
    values -= low
    values *= 255 / (high - low)
    np.nan_to_num(values, copy=False, posinf=255, neginf=0)
    return np.rint(np.clip(values, 0, 255, out=values), out=values).astype(np.uint8)
