"""Reading JSON Lines, one object of column: value per line, and JSON that is a list of such objects."""

from __future__ import annotations

import io
import itertools
import json
import re
from pathlib import Path
from typing import Any

import polars as pl

from lamina.data.delimited import in_utf8
from lamina.data.frames import objects
from lamina.errors import ReadError

_LISTS_IN_LISTS = 100
"""Nested lists and objects of JSON; parsers fail from a few hundred on."""


def read_json(path: Path, data: bytes | None) -> pl.DataFrame:
    data = path.read_bytes() if data is None else data
    data = in_utf8(path, data, data[:4]) or b""
    for number, line in enumerate(io.BytesIO(data), 1):
        if line.count(b"[") + line.count(b"{") > _LISTS_IN_LISTS and _depth(line) > _LISTS_IN_LISTS:
            raise ReadError(f"{path}, line {number}: over {_LISTS_IN_LISTS} lists or objects inside one another; flatten them")
    if data.lstrip().startswith(b"["):
        return _of_objects(_objects(path, data))
    try:
        return pl.read_ndjson(data, infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        rows = []  # slower, for mixed types in a column, and for the line number of an error
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ReadError(f"{path}, line {number}: not JSON ({error}); expected one object per line") from None
        if not isinstance(row, dict):
            given = type(row).__name__
            raise ReadError(f"{path}, line {number}: a JSON {given}, expected one object of column: value per line")
        rows.append(row)
    return _of_objects(rows)


def _objects(path: Path, data: bytes) -> list[dict[str, Any]]:
    """The objects of a list."""
    if _depth(data) > _LISTS_IN_LISTS:
        raise ReadError(f"{path}: over {_LISTS_IN_LISTS} lists or objects inside one another; flatten them")
    try:
        rows = json.loads(data)
    except ValueError as error:
        raise ReadError(f"{path}: not JSON ({error}); download or write it again") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ReadError(
                f"{path}: value {number:,} of the list is a {type(row).__name__}, expected an object of column: value"
            )
    return rows


def _of_objects(rows: list[dict[str, Any]]) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame([objects(name, [row.get(name) for row in rows]) for name in names])


def _depth(line: bytes) -> int:
    """How many lists and objects are inside one another in a line of JSON."""
    steps = (1 if mark in b"[{" else -1 for mark in re.findall(rb"[\[\]{}]", re.sub(rb'"(?:[^"\\]|\\.)*+"', b"", line)))
    return max(itertools.accumulate(steps), default=0)
