"""The bytes that the columns of an Arrow file claim, read from its metadata before any of it is unpacked.

The layout is that of the Arrow IPC format: messages of a length, a FlatBuffers table and a body of buffers. A compressed
buffer starts with the bytes that it unpacks to.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

Content = bytes | mmap.mmap

_MAGIC, _CONTINUES = b"ARROW1", -1
_DICTIONARY, _ROWS = 2, 3  # types of messages that have a body


def claimed_size(content: Content) -> int:
    """The sum of what the buffers of an Arrow file or stream claim, in bytes: their length, or what they unpack to.

    Args:
        content: The bytes of the file, or a memory map of it.

    Returns:
        The bytes; those of the messages before the damaged one where the metadata is damaged.
    """
    size = 0
    try:
        for position in _blocks(content) if content[:6] == _MAGIC else _messages(content):
            message, body = _message(content, position)
            size += sum(max(0, claim) for claim in _claims(content, message, body))
    except (struct.error, IndexError):
        pass
    return size


def _blocks(content: Content) -> Iterator[int]:
    """Where the messages with columns begin in a file, which its footer names."""
    end = len(content) - len(_MAGIC) - 4
    footer = _target(content, max(0, end - struct.unpack_from("<i", content, end)[0]))
    for index in (2, 3):  # dictionaries, rows
        if blocks := _field(content, footer, index):
            for entry in _entries(content, _target(content, blocks), 24):
                yield struct.unpack_from("<q", content, entry)[0]


def _messages(content: Content) -> Iterator[int]:
    """Where the messages of a stream begin, one after another."""
    position = 0
    while position < len(content):
        yield position
        message, body = _message(content, position)
        if body <= position + 8:
            return
        of_body = _field(content, message, 3)
        position = body + (max(0, struct.unpack_from("<q", content, of_body)[0]) if of_body else 0)


def _message(content: Content, position: int) -> tuple[int, int]:
    """Where the table of a message is, and its body."""
    (length,) = struct.unpack_from("<i", content, position)
    position += 4
    if length == _CONTINUES:
        (length,) = struct.unpack_from("<i", content, position)
        position += 4
    return _target(content, position), position + length


def _claims(content: Content, message: int, body: int) -> Iterator[int]:
    """The bytes that each buffer of a message claims."""
    kind, header = _field(content, message, 1), _field(content, message, 2)
    if not kind or not header or content[kind] not in (_DICTIONARY, _ROWS):
        return
    rows = _target(content, header)
    if content[kind] == _DICTIONARY:
        data = _field(content, rows, 1)
        if not data:
            return
        rows = _target(content, data)
    buffers = _field(content, rows, 2)
    if not buffers:
        return
    compressed = _field(content, rows, 3) is not None
    for entry in _entries(content, _target(content, buffers), 16):
        offset, length = struct.unpack_from("<qq", content, entry)
        within = compressed and 8 <= length <= len(content) and offset >= 0
        yield max(length, struct.unpack_from("<q", content, body + offset)[0] if within else 0)


def _entries(content: Content, first: int, width: int) -> range:
    """Where the entries of a vector of structures are."""
    (count,) = struct.unpack_from("<I", content, first)
    return range(first + 4, min(first + 4 + width * count, len(content)), width)


def _target(content: Content, position: int) -> int:
    return position + struct.unpack_from("<I", content, position)[0]


def _field(content: Content, table: int, index: int) -> int | None:
    """Where a field of a FlatBuffers table is, or None."""
    fields = table - struct.unpack_from("<i", content, table)[0]
    if fields < 0 or 4 + 2 * index >= struct.unpack_from("<H", content, fields)[0]:
        return None
    (offset,) = struct.unpack_from("<H", content, fields + 4 + 2 * index)
    return table + offset if offset else None
