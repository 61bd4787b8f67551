"""Reading of archives, pipes, standard input and devices: what fits the memory, once, or one clear line."""

import contextlib
import gzip
import io
import os
import re
import socket
import struct
import subprocess
import sys
import threading

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from lamina.data import memory, read
from lamina.data.arrow import claimed_size
from lamina.data.read import read_table
from lamina.errors import ReadError
from tests.data.helpers import PNG, TABLE, read_values, write


def test_what_is_decompressed_is_bounded_by_the_memory(tmp_path, monkeypatch):
    path = write(tmp_path, "t.csv.gz", gzip.compress(b"a\n" + b"1\n" * 3_000_000))
    assert memory.available_memory() > 1 << 20
    monkeypatch.setattr(memory, "available_memory", lambda: 10 << 20)
    with pytest.raises(ReadError, match=r"t.csv.gz has more than 5.24 MB, half of the available memory; use fewer rows"):
        read_table(path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.npz"])
def test_what_unpacks_to_far_more_than_a_table_does_is_refused(tmp_path, monkeypatch, name):
    path = tmp_path / name
    np.savez_compressed(path, x=np.zeros(10**6)) if name == "t.npz" else path.write_bytes(gzip.compress(b"\0" * 8_000_000))
    monkeypatch.setattr(memory, "UNPACKED", 1 << 20)
    with pytest.raises(ReadError, match=r"unpacks to more than 200 times its size \([\d.]+ kB to over [\d.]+ MB\), as no"):
        read_table(path)


def test_the_memory_that_a_process_may_use_is_no_more_than_its_limit():
    program = (
        "import resource; from lamina.data.memory import available_memory; "
        "resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30)); print(available_memory() < 8 << 30)"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "True\n"


def test_the_columns_of_a_parquet_file_fit_the_memory(tmp_path, monkeypatch):
    pl.DataFrame({"x": np.zeros(10**6), "n": np.zeros(10**6, np.int8)}).write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(memory, "available_memory", lambda: 10 << 20)
    with pytest.raises(ReadError, match="t.parquet has more than 5.24 MB, half of the available memory"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("form", ["polars", "polars stream", "pyarrow", "pyarrow stream"])
def test_the_bytes_that_an_arrow_file_claims_are_those_of_its_columns(compression, form):
    numbers = np.random.default_rng(0).integers(0, 9, 40_000)
    table, file = (
        pl.DataFrame({"x": numbers, "y": numbers * 0.5, "c": pl.Series(numbers.astype(str), dtype=pl.Categorical)}),
        io.BytesIO(),
    )
    if form.startswith("polars"):
        (table.write_ipc_stream if "stream" in form else table.write_ipc)(file, compression=compression)
    else:
        arrow = table.to_arrow()
        options = pa.ipc.IpcWriteOptions(compression=None if compression == "uncompressed" else compression)
        make = pa.ipc.new_stream if "stream" in form else pa.ipc.new_file
        with make(file, arrow.schema, options=options) as writer:
            writer.write_table(arrow)
    least = table.estimated_size()
    assert least <= claimed_size(file.getvalue()) < 1.1 * least


def test_columns_that_an_arrow_file_does_not_hold_are_refused_where_memory_is_limited(tmp_path):
    """Without the check, polars ends the process on what it cannot allocate."""
    pl.DataFrame({"x": np.arange(400)}).write_ipc(tmp_path / "t.arrow", compression="uncompressed")
    content = (tmp_path / "t.arrow").read_bytes()
    buffer = struct.pack("<qq", 0, 3200)
    assert content.count(buffer) == 1
    (tmp_path / "t.arrow").write_bytes(content.replace(buffer, struct.pack("<qq", 0, 3200 + (17 << 40))))
    program = (
        "import resource, lamina.data.read as read; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
        f"try: read.read_table({str(tmp_path / 't.arrow')!r})\nexcept read.ReadError as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
    assert re.search(r"t.arrow has more than [\d.]+ GB, half of the available memory", answer)


def test_a_pipe_that_no_program_writes_to_is_an_error(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(read, "_WAIT", 0.1)
    with pytest.raises(ReadError, match="pipe is a pipe that no program writes to; start that program first"):
        read_table(tmp_path / "pipe")


def test_a_folder_that_links_to_one_it_is_in_is_refused(tmp_path):
    (tmp_path / "rows" / "a").mkdir(parents=True)
    write(tmp_path / "rows" / "a", "1.png", PNG)
    (tmp_path / "rows" / "b").symlink_to(tmp_path)
    with pytest.raises(ReadError, match="rows/b is a link to a folder that it is in itself"):
        read_table(tmp_path / "rows")


@pytest.mark.parametrize("name", ["t.npz", "t.xlsx"])
def test_a_pipe_of_a_format_that_needs_a_file_is_refused(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ReadError, match=f"{name} is a pipe; expected a file"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("form", ["csv", "gz", "parquet"])
def test_a_named_pipe_is_read_once(tmp_path, form):
    file = io.BytesIO()
    TABLE.write_parquet(file) if form == "parquet" else TABLE.write_csv(file)
    content = gzip.compress(file.getvalue()) if form == "gz" else file.getvalue()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(content,))
    writer.start()
    assert_frame_equal(read_values(tmp_path / "pipe"), TABLE)
    writer.join()


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
@pytest.mark.parametrize("source", ["file", "pipe", "socket"])
def test_standard_input(tmp_path, name, source):
    code = f"from lamina.data.read import read_source, read_table; print(read_table({name!r}).rows())"
    content = b"a,b\n1,x\n"
    with contextlib.ExitStack() as stack:
        if source == "pipe":
            given: dict = {"input": content}
        elif source == "file":
            given = {"stdin": stack.enter_context(write(tmp_path, "t.csv", content).open("rb"))}
        else:
            here, there = socket.socketpair()
            with here:
                here.sendall(content)
            given = {"stdin": stack.enter_context(there)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, **given)
    assert done.stdout == b"[('1', 'x')]\n"


def test_devices_are_refused(tmp_path):
    with pytest.raises(ReadError, match="/dev/zero is a device or a socket; expected a file"):
        read_table("/dev/zero")
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    os.mkfifo(tmp_path / "pets" / "cat" / "1.txt")
    with pytest.raises(ReadError, match=r"cat/1.txt is not a file that can be read .*; remove it"):
        read_table(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "1.txt").unlink()
    (tmp_path / "pets" / "cat" / "loop").symlink_to(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "2.txt").write_text("miau")
    assert read_table(tmp_path / "pets").rows() == [("miau", "cat")]
    (tmp_path / "pets" / "cat" / "itself").symlink_to("itself")
    with pytest.raises(ReadError, match=r"cat/itself is not a file that can be read"):
        read_table(tmp_path / "pets")
