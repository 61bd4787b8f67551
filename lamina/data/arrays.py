"""Columns of lists, arrays or tensors: series and images in memory.

==============================================  ====================================================================
rows                                            column
==============================================  ====================================================================
lists or arrays of numbers                      a series of one channel each: List
arrays of two or three axes, all of one shape   series as (steps, channels), or images: Array
arrays of two axes, of unequal length           series: List of Array. Where the lengths differ along the second axis
                                                and not along the first, (channels, steps) is transposed
uint8 arrays of differing sizes, PIL images     images, as the bytes of PNG files: Binary; among PIL images also bytes,
                                                paths and arrays
gray images (height, width, 1) of other dtypes  images, as the bytes of PNG or TIFF files: Binary; also (height, width) of
and of differing sizes                          uint16, where both differ
==============================================  ====================================================================

Only uint8, the dtype of images, is kept; other numbers become Float32 where it is wide enough, else Float64.
"""

from __future__ import annotations

import decimal
import io
import numbers
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lamina.errors import ReadError


def has_axes(value: Any) -> bool:
    """Whether the value is a list, an array or a tensor."""
    if isinstance(value, Sequence):
        return not isinstance(value, str | bytes | bytearray | memoryview)
    return hasattr(value, "__array__") and getattr(value, "ndim", 0) > 0


def is_nested(value: Any) -> bool:
    """Whether the value has at least two axes."""
    if hasattr(value, "ndim"):
        return value.ndim > 1
    return has_axes(value) and len(value) > 0 and all(has_axes(cell) for cell in value)


def is_missing(value: Any) -> bool:
    """Whether the value is None, or the NaN of any library."""
    if value is None or (isinstance(value, float | np.floating) and value != value):
        return True
    return type(value).__name__ in ("NAType", "NaTType")


def as_array(value: Any) -> np.ndarray:
    """A list, an array or a tensor as an array, missing numbers as NaN; dtype object if it does not hold only numbers."""
    if hasattr(value, "detach"):  # a torch tensor, which may require a gradient or have a dtype that NumPy lacks
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    try:
        array = np.asarray(value)
    except ValueError:  # lists of differing lengths
        array = np.fromiter(value, dtype=object, count=len(value))
    if array.dtype != object or not array.size:
        return array
    cells = array.ravel().tolist()
    if any(not is_missing(cell) and not isinstance(cell, numbers.Real | decimal.Decimal) for cell in cells):
        return array
    return np.array([np.nan if is_missing(cell) else float(cell) for cell in cells]).reshape(array.shape)


def is_numeric(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def from_array(name: str, array: np.ndarray) -> pl.Series:
    """A column from one array: series as (rows, steps) or (rows, steps, channels); images as (rows, height, width, channels).

    Raises:
        ReadError: It has fewer or more axes, is empty, or holds no numbers.

    Example:
        >>> from_array("wave", np.zeros((5, 100, 3))).dtype
        Array(Float64, shape=(100, 3))
    """
    array = as_array(array)
    if array.ndim not in (2, 3, 4) or 0 in array.shape[1:]:
        raise ReadError(
            f"an array of shape {array.shape} is not a table; expected (rows,), (rows, columns), series as (rows, steps, "
            "channels) or images as (rows, height, width, channels). Reshape your data"
        )
    if not is_numeric(array):
        raise ReadError(
            f"column {name!r} is an array of {array.dtype} of shape {array.shape}; expected numbers in so many axes"
        )
    return pl.Series(name, np.ascontiguousarray(array, _plain(array.dtype, array.ndim - 1)))


def from_rows(name: str, values: Sequence[Any]) -> pl.Series | None:
    """A column from rows that are arrays or None, as in the table above; None if they are not numeric.

    Raises:
        ReadError: The rows do not fit together; the message names the first two.

    Example:
        >>> from_rows("wave", [np.zeros((3, 20)), None, np.zeros((3, 30))]).list.len().to_list()
        [20, None, 30]
    """
    arrays = [None if value is None else as_array(value) for value in values]
    present = {row: array for row, array in enumerate(arrays, 1) if array is not None}
    if not all(is_numeric(array) for array in present.values()):
        for row, array in present.items():
            _refuse_uneven(name, row, array)
        return None
    present = {row: array for row, array in present.items() if array.size} or present
    (first, one), *others = present.items()
    for row, array in others:
        if array.ndim != one.ndim:
            raise _shape_error(
                name, (first, one), (row, array), "give each the same number of axes: (steps,) or (steps, channels)"
            )
    if one.ndim == 1:
        return _lists(name, [None if array is None else array.ravel() for array in arrays])
    if one.ndim > 3:
        raise ReadError(f"column {name!r}: row {first} has {one.ndim} axes; expected at most 3: (height, width, channels)")
    if one.size and all(array is None or array.shape == one.shape for array in arrays):
        return _stack(name, arrays)
    types = {array.dtype for array in present.values()}
    unequal = all(len({array.shape[axis] for array in present.values()}) > 1 for axis in (0, 1))
    gray = all(array.shape[2:] == (1,) for array in present.values()) or (
        unequal and one.ndim == 2 and types == {np.dtype(np.uint16)}
    )
    if types == {np.dtype(np.uint8)} or gray:
        return pl.Series(name, [None if array is None else _file_of_array(name, array) for array in arrays], dtype=pl.Binary)
    if one.ndim == 3:
        row, array = next((row, array) for row, array in others if array.shape != one.shape)
        remedy = "give colour images of differing sizes as uint8: (image / white * 255).astype('uint8')"
        raise _shape_error(name, (first, one), (row, array), remedy)
    return _ragged(name, arrays, present)


def image_file(name: str, value: Any) -> bytes:
    """The bytes of the file of an image among PIL images: of another one, of its bytes, its path, or an array of uint8.

    Raises:
        ReadError: The value is no image.
    """
    if hasattr(value, "getbands"):
        return png(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | os.PathLike):
        try:
            return Path(os.path.expanduser(value)).read_bytes()
        except OSError as error:
            raise ReadError(f"column {name!r}: cannot read {value}: {error.strerror}; check its name and permissions") from None
    array = as_array(value) if has_axes(value) else None
    if array is None or array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise ReadError(
            f"column {name!r} holds {type(value).__name__} beside images; expected PIL images, bytes, paths or arrays of uint8"
        )
    return _file_of_array(name, array)


def png(image: Any) -> bytes:
    """The bytes of a file of a PIL image, rotated as in its EXIF data: PNG, or TIFF for numbers that PNG cannot hold."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(image)
    numbers = image.mode[0] in "IF" and image.mode != "I;16"
    if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") and not numbers:
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "TIFF") if numbers else image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _file_of_array(name: str, array: np.ndarray) -> bytes:
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not array.size or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ReadError(
            f"column {name!r} holds an array of {array.dtype} of shape {array.shape}; expected (height, width[, 1, 3 or 4])"
        )
    if array.dtype not in (np.uint8, np.uint16):
        array = array.astype(np.float32)
    return png(Image.fromarray(np.ascontiguousarray(array)))


def _ragged(name: str, arrays: list[np.ndarray | None], present: dict[int, np.ndarray]) -> pl.Series:
    (first, one), *others = present.items()
    unequal = next(((row, array) for row, array in others if array.shape[1] != one.shape[1]), None)
    transposed = unequal is not None and all(array.shape[0] == one.shape[0] for array in present.values())
    if unequal is not None and not transposed:
        remedy = (
            f"{one.shape[1]} and {unequal[1].shape[1]} channels; give each series as (steps, channels) with the same channels, "
            "or gray images as (height, width, 1)"
        )
        raise _shape_error(name, (first, one), unequal, remedy)
    channels = one.shape[0 if transposed else 1]
    steps = [None if array is None else array.T if transposed else array for array in arrays]
    steps = [np.empty((0, channels)) if array is not None and not array.size else array for array in steps]
    return _lists(name, steps)


def _lists(name: str, arrays: Sequence[np.ndarray | None]) -> pl.Series:
    """Rows of differing lengths, gathered from one long array: a thousand times faster than one by one."""
    lengths = np.array([0 if array is None else len(array) for array in arrays])
    present = [array for array in arrays if array is not None]
    steps = np.concatenate([array for array in present if len(array)] or present[:1])
    index = pl.Series("row", np.repeat(np.arange(len(arrays)), lengths))
    table = pl.DataFrame([index, pl.Series("steps", steps.astype(_plain(steps.dtype, steps.ndim)))])
    gathered = table.group_by("row", maintain_order=True).agg("steps")
    rows = pl.DataFrame({"row": np.arange(len(arrays))}).join(gathered, on="row", how="left", maintain_order="left")["steps"]
    empty = pl.Series([array is not None and not len(array) for array in arrays])
    return rows.zip_with(~empty, pl.Series([[]], dtype=rows.dtype)).alias(name)


def _stack(name: str, arrays: list[np.ndarray | None]) -> pl.Series:
    block = from_array(name, np.stack([array for array in arrays if array is not None]))
    if len(block) == len(arrays):
        return block
    present = np.array([array is not None for array in arrays])
    return block.gather(pl.Series(np.cumsum(present) - 1).set(pl.Series(~present), None))


def _refuse_uneven(name: str, row: int, array: np.ndarray) -> None:
    """Raise an error for a row of lists of numbers of differing lengths, which is no series."""
    cells = [as_array(cell) for cell in array.tolist() if has_axes(cell)] if array.ndim == 1 else []
    if array.dtype == object and len(cells) == len(array) and all(is_numeric(cell) for cell in cells):
        step = next(step for step, cell in enumerate(cells) if cell.shape != cells[0].shape)
        raise ReadError(
            f"column {name!r}, row {row}: step {step + 1} has {cells[step].size} values, step 1 has {cells[0].size}; "
            "give every step one value per channel, NaN where it is unknown"
        )


def _shape_error(name: str, first: tuple[int, np.ndarray], second: tuple[int, np.ndarray], remedy: str) -> ReadError:
    shapes = f"row {first[0]} has shape {first[1].shape}, row {second[0]} {second[1].shape}"
    return ReadError(f"column {name!r}: {shapes}; {remedy}")


def _plain(dtype: np.dtype, axes: int) -> np.dtype:
    """The dtype of a column of arrays with so many axes; those of one axis are no images."""
    if dtype == np.uint8 and axes > 1:
        return dtype
    return np.dtype(np.float32 if dtype.itemsize <= 2 or dtype == np.float32 else np.float64)
