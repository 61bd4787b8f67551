"""A table, and files to read."""

import datetime as dt

import polars as pl

from lamina.data.cells import read_texts
from lamina.data.read import read_source

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
TABLE = pl.DataFrame(
    {
        "age": [39, 17, None],
        "height": [1.5, None, 1e300],
        "city": ["Bern", None, 'a "b", c'],
        "member": [True, False, True],
        "born": [dt.date(1980, 1, 2), None, dt.date(2001, 12, 31)],
    }
)


def read_values(path):
    """The table of a file with the values of its cells."""
    source = read_source(path)
    return read_texts(source.table, separator=source.separator)[1]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
