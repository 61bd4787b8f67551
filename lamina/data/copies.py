"""Images of the same content: equal files, equal pixels in another file, and copies that were saved again as a JPEG."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from lamina.data.pictures import Source, each, header, upright

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 200_000_000
"""Pixels that are decoded only to find equal ones among files of one format."""
MOST_IMAGES = 5_000
"""Images of one height and width among which copies of other pixels are looked for."""
_LOSSY = {"JPEG", "MPO", "WEBP"}
_SIDE, _COARSE = 64, 8
_ROWS = 256  # compared with all others at a time
_FLAT = 4  # standard deviation of gray levels below which images are compared exactly only
_MAX_ERROR = 0.25
"""Largest difference of two copies, as a share of the standard deviation of their gray levels; 0.18 for noise as a JPEG."""
_MAX_ROUGHNESS, _MIN_ROUGHNESS = 0.35, 0.06
"""The same as a share of the differences of neighbours, divided by how far the image is scaled, but not below the second: a
picture moved by a pixel has more."""
_MAX_RATIO = 0.4
"""Largest ratio of this difference to that of the fourth nearest image: frames of a film resemble many others as much."""
_NEAREST = 4
_MAX_PEAK = 12  # of a difference, in standard deviations, and some levels for rounding: a detail that differs has more
_ROUNDING = 4
_MAX_COLOUR, _MAX_COLOUR_PEAK = 10, 30
"""Largest difference of colours (Cb and Cr) of parts of the image, root mean square and at all."""


class _Look(NamedTuple):
    """The digest of the pixels; gray levels (at most 64 x 64), colours and gray of fewer parts; empty with more than 8 bits."""

    digest: bytes
    lossy: bool
    most: float
    gray: np.ndarray
    colour: np.ndarray
    coarse: np.ndarray


def contents(values: pl.Series) -> pl.Series:
    """A number for the content of each image, the same for two with equal bytes or pixels and for copies; null if missing.

    A file is read only if another has its size. It is decoded only if another has its height and width in another format, or
    in the same one if there are not too many such pixels. A file that cannot be read differs from all others.

    Two images of one height and width, at least one of them a JPEG or WebP file, are copies if they differ, at 64 x 64 pixels,
    by noise only: little, evenly, and far less than from other images.

    Shape:
        (N,) -> (N,) of UInt32.
    """
    sources = values.drop_nulls().unique(maintain_order=True)
    sizes = [_size(source) for source in sources]
    alike = Counter(sizes)
    first = _first([_digest(source) if alike[size] > 1 else None for source, size in zip(sources, sizes, strict=True)])
    distinct = sorted(set(first))
    files = sources.gather(distinct)
    groups = _alike(files)
    rows = [row for group in groups for row in group]
    looks = dict(each(files.gather(rows), lambda place, image: (rows[place], _look(image)))[0])
    equal = _first([looks[row].digest if row in looks else None for row in range(len(files))])
    merged = {row: row for row in range(len(files))}  # into a row before it, or itself
    for group in groups:
        for pair in _copies([(row, looks[row]) for row in group if row in looks and equal[row] == row]):
            low, high = sorted(_root(merged, row) for row in pair)
            merged[high] = low
    same = dict(zip(distinct, (_root(merged, row) for row in equal), strict=True))
    number = {source: same[row] for source, row in zip(sources, first, strict=True)}
    return pl.Series(values.name, [number.get(source) for source in values], dtype=pl.UInt32)


def _alike(files: pl.Series) -> list[list[int]]:
    """Groups of files that may have the pixels of another one, by their places."""
    groups: defaultdict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    for extent, file in each(files, lambda row, image: (header(row, image)[:2], (row, image.format or "")))[0]:
        groups[extent].append(file)
    groups = defaultdict(list, {extent: group for extent, group in groups.items() if len(group) > 1})
    several = {extent for extent, group in groups.items() if len({format for _, format in group}) > 1}
    decode_all = sum(h * w * len(group) for (h, w), group in groups.items() if (h, w) not in several) <= MOST_PIXELS
    return [[row for row, _ in group] for extent, group in groups.items() if decode_all or extent in several]


def _look(image: Image) -> _Look:
    from PIL.Image import Resampling

    image.load()
    lossy, empty = image.format in _LOSSY, np.empty(0)
    if image.mode[0] in "IF":
        return _Look(_hash(np.asarray(image).astype(np.float64).tobytes()), lossy, 0.0, empty, empty, empty)
    image = upright(image, "RGB")
    gray, *colour = image.convert("YCbCr").split()
    sides = [min(side, _SIDE) for side in image.size]
    parts = [max(side // 4, 1) for side in sides]
    gray = gray.resize((sides[0], sides[1]), Resampling.BOX)
    small = [channel.resize((parts[0], parts[1]), Resampling.BOX) for channel in colour]
    coarse = gray.resize((_COARSE, _COARSE), Resampling.BOX)
    values = [np.stack([np.asarray(part) for part in some]) for some in ([gray], small, [coarse])]
    levels = values[0][0].astype(np.float32)
    rough = np.sqrt(sum((np.diff(levels, axis=axis) ** 2).sum() for axis in (0, 1)) / levels.size)
    share = max(_MAX_ROUGHNESS * _SIDE / max(*image.size, _SIDE), _MIN_ROUGHNESS)
    most = max(min(_MAX_ERROR * levels.std(), share * rough), 1)  # a level is lost to rounding
    return _Look(_hash(image.tobytes()), lossy, float(most if levels.std() >= _FLAT else 0), *values)


def _copies(looks: list[tuple[int, _Look]]) -> Iterator[tuple[int, int]]:
    """Pairs of images of one height and width that are copies with loss."""
    looks = [(row, look) for row, look in looks if look.most][:MOST_IMAGES]
    lossy = np.flatnonzero([look.lossy for _, look in looks])
    if len(looks) < 2 or not len(lossy):
        return
    coarse = np.stack([look.coarse.reshape(-1) for _, look in looks]).astype(np.float32)
    most = np.array([look.most for _, look in looks])
    squares, nearest = (coarse**2).sum(axis=1), min(_NEAREST, len(looks) - 1)
    for start in range(0, len(lossy), _ROWS):
        chosen = lossy[start : start + _ROWS]
        apart = squares + squares[chosen, None] - 2 * coarse[chosen] @ coarse.T
        distance = np.sqrt(np.maximum(apart, 0) / coarse.shape[1])  # at most that of all parts
        distance[np.arange(len(chosen)), chosen] = np.inf
        limit = most[chosen]
        if len(looks) > 2:
            limit = np.minimum(limit, _MAX_RATIO * np.partition(distance, nearest - 1, axis=1)[:, nearest - 1])
        for place, other in zip(*np.nonzero(distance <= limit[:, None]), strict=True):
            (row, look), (second, another) = looks[chosen[place]], looks[other]
            if (row < second or not another.lossy) and _is_copy(look, another):
                yield row, second


def _is_copy(one: _Look, other: _Look) -> bool:
    """Whether two images differ by noise only."""
    difference = np.abs(one.gray.astype(np.float32) - other.gray)
    error = float(np.sqrt((difference**2).mean()))
    colour = np.abs(one.colour.astype(np.float32) - other.colour)
    same_colours = np.sqrt((colour**2).mean()) <= _MAX_COLOUR and colour.max() <= _MAX_COLOUR_PEAK
    even = difference.max() <= _MAX_PEAK * error + _ROUNDING
    return bool(error <= min(one.most, other.most) and even and same_colours)


def _root(merged: dict[int, int], row: int) -> int:
    while merged[row] != row:
        row = merged[row]
    return row


def _first(keys: Sequence[bytes | None]) -> list[int]:
    """The position of the first equal key, for each key; None differs from all others."""
    first: dict[bytes, int] = {}
    return [place if key is None else first.setdefault(key, place) for place, key in enumerate(keys)]


def _size(source: Source) -> int | None:
    """The number of bytes; None of a file that is not there."""
    try:
        return len(source) if isinstance(source, bytes) else os.stat(os.path.expanduser(source)).st_size
    except OSError:
        return None


def _digest(source: Source) -> bytes | None:
    """A hash of the bytes; None of a file that cannot be read."""
    try:
        data = source if isinstance(source, bytes) else Path(os.path.expanduser(source)).read_bytes()
    except OSError:
        return None
    return _hash(data)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
