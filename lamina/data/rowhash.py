"""A hash of the content of rows that is the same on every machine and with every version of every library.

Splits depend on it, and so do all scores; so it is specified here. All arithmetic is on unsigned 64-bit integers that wrap
around. ``mix`` is the finalizer of SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195), ``G`` its
increment 0x9E3779B97F4A7C15, and sums over places count from 0:

- A *value* becomes 64 bits. Whole numbers, booleans, dates, times: the integer, as polars stores it. Floats: the bits of the
  float64, with one zero and one NaN. A null: 0x6E756C6C6E756C6C. Text (categories too) and bytes: cut into words of 8 bytes,
  the first byte lowest, the last word filled up with zeros, then as a list of words whose length is the number of bytes. A
  list or an array: ``mix(length + sum of mix(value + (place + 1) * G))``, arrays of UInt8 (images) as bytes where no value in
  them is missing. A struct: the row hash of its fields. Decimals: the text of the integer that polars stores. Anything else:
  its text.
- A *column* is ``mix(value + mix((place + 1) * G))`` with the place of the column in the table.
- A *row* is the sum of its columns. Columns of Python objects, and of the dtype Null, count as 0.

So rows are equal by values, not by how these are stored: 1 as Int8 or as UInt64, "a" as text or as a category. Names of
columns do not change the hash, their order does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from itertools import chain

import numpy as np
import polars as pl

from lamina.errors import RunError

VERSION = "rowhash1"
"""The name of this hash in a fingerprint; another algorithm needs another name."""

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_NULL = np.uint64(0x6E756C6C6E756C6C)
_WIDE = tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))
_PADDING = np.array([bytes(count) for count in range(8)], dtype=object)
_BLOCK = 1 << 16  # values that are mixed at a time: they stay in the cache


def hash_rows(table: pl.DataFrame) -> np.ndarray:
    """A 64-bit number for the content of each row.

    Shape:
        (N, columns) -> (N,) of uint64.

    Example:
        >>> hash_rows(pl.DataFrame({"a": [1, 1, None], "b": ["x", "x", "y"]})).tolist()
        [6251350395223038841, 6251350395223038841, 2710999355913231877]
    """
    total = np.zeros(len(table), dtype=np.uint64)
    for place, column in enumerate(table.get_columns()):
        if column.dtype != pl.Null:  # a file stores a column of Python objects as Null
            total += hash_column(column, place)
    return total


def hash_column(column: pl.Series, place: int = 0) -> np.ndarray:
    """The summand in the hash of each row of a column at this place in its table; 0 for a column of Python objects."""
    if column.dtype == pl.Object:
        return np.zeros(len(column), dtype=np.uint64)
    return _mix(hash_values(column) + _mix(_keys(np.array([place]))))


def first_of_duplicates(table: pl.DataFrame) -> pl.Series:
    """Whether a row is the first of its content, (N,).

    Example:
        >>> first_of_duplicates(pl.DataFrame({"a": [1, 2, 1]})).to_list()
        [True, True, False]
    """
    return pl.Series(hash_rows(table)).is_first_distinct()


def order(table: pl.DataFrame) -> np.ndarray:
    """The places of the rows in the order of their hashes (N,): the same order for the same rows, however they were given.

    Example:
        >>> table = pl.DataFrame({"a": [1, 2, 3]})
        >>> table[order(table)].equals(table.reverse()[order(table.reverse())])
        True
    """
    return np.argsort(hash_rows(table), kind="stable")


def fingerprint(table: pl.DataFrame) -> str:
    """A hash of the column names and the content of a table, independent of the order of its rows.

    Example:
        >>> fingerprint(pl.DataFrame({"a": [1, 2]})) == fingerprint(pl.DataFrame({"a": [2, 1]}))
        True
    """
    rows = np.sort(hash_rows(table)).astype("<u8").tobytes()
    return f"{VERSION}:{hashlib.sha256(json.dumps(table.columns).encode() + rows).hexdigest()[:16]}"


def check_comparable(stored: str, run: object) -> None:
    """Check that the fingerprint stored in a run is one of this hash.

    Raises:
        RunError: Another version of lamina began the run, and ordered its rows in another way.
    """
    if not stored.startswith(f"{VERSION}:"):
        made = stored.partition(":")[0] if ":" in stored else "polars' own"
        raise RunError(
            f"the run in {run} was begun by another version of lamina: its rows are in the order of the hash {made}, "
            f"expected {VERSION}; resume it with that version, or fit again in another folder"
        )


def hash_values(column: pl.Series) -> np.ndarray:
    """The 64 bits of each value of a column, before they are mixed with its place."""
    dtype = column.dtype
    if dtype == pl.Null:
        return np.full(len(column), _NULL)
    if isinstance(dtype, pl.Struct):
        values = hash_rows(column.struct.unnest())
    elif isinstance(dtype, pl.List | pl.Array):
        values = _of_pixels(column) if isinstance(dtype, pl.Array) else None
        if values is None:
            column = column.arr.to_list() if isinstance(dtype, pl.Array) else column
            values = _in_slices(_of_lists, column, column.list.len().sum())
    elif dtype == pl.Binary:
        values = _of_bytes(column)
    elif dtype.is_float():
        values = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0  # -0.0 + 0.0 is 0.0
        values[np.isnan(values)] = np.nan
        values = values.view(np.uint64)
    elif dtype == pl.UInt64:
        values = column.fill_null(0).to_numpy()
    elif dtype == pl.Boolean or dtype.is_temporal() or (dtype.is_integer() and dtype not in _WIDE):
        values = column.to_physical().cast(pl.Int64).fill_null(0).to_numpy().view(np.uint64)
    else:
        values = _of_texts((column.to_physical() if dtype.is_decimal() else column).cast(pl.String))
    return np.where(column.is_null().to_numpy(), _NULL, values) if column.null_count() else values


def _of_texts(column: pl.Series) -> np.ndarray:
    texts = column.unique()
    if len(texts) >= len(column) // 2:
        return _of_bytes(column.cast(pl.Binary))
    hashes = pl.Series(_of_bytes(texts.cast(pl.Binary)))
    return column.replace_strict(texts, hashes, return_dtype=pl.UInt64).to_numpy()


def _of_bytes(column: pl.Series) -> np.ndarray:
    return _in_slices(_of_words, column.fill_null(b""), column.bin.size().sum() // 8)


def _of_words(column: pl.Series) -> np.ndarray:
    sizes = column.bin.size().cast(pl.Int64).to_numpy()
    padded = chain.from_iterable(zip(column.to_list(), _PADDING[-sizes % 8], strict=True))
    return _of_runs(np.frombuffer(b"".join(padded), dtype="<u8"), sizes, -(-sizes // 8))


def _of_lists(column: pl.Series) -> np.ndarray:
    sizes = column.list.len().fill_null(0).cast(pl.Int64).to_numpy()
    return _of_runs(hash_values(column.filter(pl.Series(sizes > 0)).explode()), sizes, sizes)


def _of_pixels(column: pl.Series) -> np.ndarray | None:
    """Arrays of UInt8 as bytes, eight at a time; None for another dtype, or if values in them are missing."""
    dtype = column.dtype
    while isinstance(dtype, pl.Array):
        dtype = dtype.inner
    present = column.is_not_null().to_numpy()
    if dtype != pl.UInt8 or not present.any() or (pixels := column.drop_nulls().to_numpy()).dtype != np.uint8:
        return None
    pixels = pixels.reshape(len(pixels), -1)
    size, values = pixels.shape[1], np.zeros(len(column), dtype=np.uint64)
    keys, rows = _keys(np.arange(-(-size // 8))), max(_BLOCK * 8 // max(size, 1), 1)
    totals = []
    for start in range(0, len(pixels), rows):
        padded = np.pad(pixels[start : start + rows], ((0, 0), (0, -size % 8)))
        totals.append(_mix((padded.view("<u8") + keys).reshape(-1)).reshape(len(padded), len(keys)).sum(axis=1))
    values[present] = _mix(np.concatenate(totals) + np.uint64(size))
    return values


def _in_slices(function: Callable[[pl.Series], np.ndarray], column: pl.Series, values: float | Decimal) -> np.ndarray:
    """A function of a column, computed on slices of about a block of values."""
    rows = max(len(column) * _BLOCK // max(int(values), 1), 1)
    if rows >= len(column):
        return function(column)
    return np.concatenate([function(column[start : start + rows]) for start in range(0, len(column), rows)])


def _of_runs(values: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The hashes of lists from their concatenated values, their lengths and their numbers of values."""
    ends = np.cumsum(counts)
    places = np.arange(len(values)) - np.repeat(ends - counts, counts)
    mixed = _mix(values + _keys(places))
    total = np.append(np.uint64(0), np.cumsum(mixed, dtype=np.uint64))  # wraps around, and so does the difference
    return _mix(total[ends] - total[ends - counts] + lengths.astype(np.uint64))


def _keys(places: np.ndarray) -> np.ndarray:
    return (places.astype(np.uint64) + np.uint64(1)) * _INCREMENT


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer, in place, a block at a time."""
    for start in range(0, len(values), _BLOCK):
        z = values[start : start + _BLOCK]
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return values
