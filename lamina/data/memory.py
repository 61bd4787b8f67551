"""What a source may take of the memory: sizes are checked before a file is unpacked or read."""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from lamina.errors import ReadError
from lamina.wording import file_size

UNPACKED, _RATIO = 1 << 30, 200
"""Bytes from which on a file that unpacks to more than so many times its size is refused; tables reach about 50 times."""


DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error),
    *(OSError, ValueError, EOFError, RuntimeError, LookupError, ArithmeticError),
)
"""What a damaged zip archive raises."""


def available_memory() -> int:
    """Bytes of memory that this process can still use; in a container or with ``ulimit -v``, no more than its limit."""
    limits = []
    for source in ("/proc/meminfo", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError):
            text = Path(source).read_text()
            if number := re.search(r"^MemAvailable: +(\d+) kB|^(\d+)$", text, re.MULTILINE):
                limits.append(int(number[1]) * 1024 if number[1] else int(number[2]))
    with contextlib.suppress(ImportError, OSError):  # of Windows, of macOS
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            limits.append(limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize())
    return min(limits, default=8 << 30)


def check_size(path: Path, size: int, packed: int | None = None, most: int | None = None, least: int | None = None) -> None:
    """Raise an error for a content of more than half of the available memory, or far more than the file that it unpacks from.

    Args:
        path: The file that the error names.
        size: The bytes of the content.
        packed: The bytes of the compressed file.
        most: The most bytes, by default half of the available memory.
        least: The bytes up to which a content may be of any times the size of its file, by default 1 GB.

    Raises:
        ReadError: It is too large.
    """
    most = available_memory() // 2 if most is None else most
    if size > most:
        raise ReadError(
            f"{path} has more than {file_size(most)}, half of the available memory; use fewer rows or columns, or more memory"
        )
    if packed is not None and size > max(least or UNPACKED, _RATIO * packed):
        raise ReadError(
            f"{path} unpacks to more than {_RATIO} times its size ({file_size(packed)} to over {file_size(size)}), as no table "
            "does; if it is one, decompress it first"
        )


def read_bounded(path: Path, file: io.IOBase, packed: int | None = None, start: bytes = b"") -> bytes:
    """The content of a stream behind its start, as far as :func:`check_size` lets it be read."""
    most, content = available_memory() // 2, io.BytesIO()
    content.write(start)
    try:
        while part := file.read(1 << 20):
            content.write(part)
            check_size(path, content.tell(), packed, most)
    except MemoryError:
        raise ReadError(f"{path} is larger than the memory; use fewer rows") from None
    return content.getvalue()


def check_archive(path: Path, file: BinaryIO | io.BytesIO, least: int | None = None) -> None:
    """Raise ReadError for a zip archive (.npz, .xlsx) that unpacks to more than :func:`check_size` lets pass."""
    size = 0
    with contextlib.suppress(*DAMAGE), zipfile.ZipFile(file) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    check_size(path, size, file.seek(0, os.SEEK_END), least=least)
    file.seek(0)
