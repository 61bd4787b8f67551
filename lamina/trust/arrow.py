"""The sizes of an Arrow file, read from its metadata before anything is unpacked.

A compressed buffer begins with its size when unpacked; see "IPC file format" and "Buffer compression" of the Arrow columnar
format, and the FlatBuffers internals for the layout of the metadata.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from lamina.errors import ModelFileError

_MAGIC = b"ARROW1"
_BLOCK, _PAIR = 24, 16  # bytes of a block of the footer; of a buffer, or of a column's length and nulls


class Sizes(NamedTuple):
    """The rows of an Arrow file, and its bytes when unpacked."""

    rows: int
    unpacked: int


def sizes(data: bytes) -> Sizes:
    """The sizes of an Arrow file.

    Raises:
        ModelFileError: It is none, or its metadata contradict each other.
    """
    try:
        return _sizes(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ModelFileError(f"it is no Arrow file ({error})") from error


def _sizes(data: bytes) -> Sizes:
    if not (data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise ModelFileError("it is no Arrow file")
    end = len(data) - len(_MAGIC) - 4
    footer = _Table.root(data, end - _int32(data, end))
    rows = unpacked = 0
    for field in (2, 3):  # dictionaries, and batches of rows
        for block in footer.structs(field, _BLOCK):
            start, metadata, _, body = struct.unpack_from("<qiiq", data, block)
            message = _Table.root(data, start + (8 if _int32(data, start) == -1 else 4))
            batch = message.table(2)
            batch = batch.table(1) if field == 2 else batch
            lengths = [batch.int64(0), *(struct.unpack_from("<q", data, node)[0] for node in batch.structs(1, _PAIR))]
            if min(lengths) < 0:
                raise ModelFileError("an Arrow file has a negative length")
            rows += max(lengths)
            for buffer in batch.structs(2, _PAIR):
                offset, size = struct.unpack_from("<qq", data, buffer)
                place = start + metadata + offset
                if min(offset, size) < 0 or offset + size > body or place + size > len(data):
                    raise ModelFileError("an Arrow file has a buffer outside of it")
                packed = batch.has(3) and size >= 8
                unpacked += max(size, struct.unpack_from("<q", data, place)[0] if packed else 0)
    return Sizes(rows, unpacked)


def _int32(data: bytes, place: int) -> int:
    if place < 0:
        raise IndexError("a negative place")
    return struct.unpack_from("<i", data, place)[0]


class _Table(NamedTuple):
    """A table of FlatBuffers."""

    data: bytes
    place: int

    @classmethod
    def root(cls, data: bytes, place: int) -> _Table:
        return cls(data, place + _int32(data, place))

    def _field(self, number: int) -> int:
        """The place of a field; 0 without it."""
        vtable = self.place - _int32(self.data, self.place)
        if vtable < 0:
            raise IndexError("a negative place")
        if 4 + 2 * number >= struct.unpack_from("<H", self.data, vtable)[0]:
            return 0
        offset = struct.unpack_from("<H", self.data, vtable + 4 + 2 * number)[0]
        return self.place + offset if offset else 0

    def has(self, number: int) -> bool:
        return bool(self._field(number))

    def int64(self, number: int) -> int:
        place = self._field(number)
        return struct.unpack_from("<q", self.data, place)[0] if place else 0

    def table(self, number: int) -> _Table:
        place = self._field(number)
        if not place:
            raise IndexError("a part is missing")
        return _Table.root(self.data, place)

    def structs(self, number: int, size: int) -> Iterator[int]:
        """The places of the entries of a vector."""
        if not (place := self._field(number)):
            return
        start = place + _int32(self.data, place)
        count = _int32(self.data, start)
        if count * size > len(self.data):
            raise IndexError("a vector is longer than the file")
        yield from (start + 4 + size * entry for entry in range(count))
