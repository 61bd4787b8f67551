"""Damaged and odd files for every reader; ``python -m tests.fuzz tables`` is the process that reads them.

The input of a number is the same everywhere: ``write(number, folder)``.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

TOKENS = (
    *(b'"', b'""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\\", b" "),
    *(b"[", b"]", b"{", b"}", b":", b"null", b"NaN", b"-Infinity", b"1e400", b"[" * 120, b'{"a":' * 120, b"sep=;\n", b"# x\n"),
    *(
        b"NA",
        b"n/a",
        b"-",
        b"?",
        b"0",
        b"-1",
        b"99999999999999999999",
        b"1e308",
        b"1,234.5",
        b"1.234,5",
        b"(1)",
        b"12 kg",
        b"5%",
    ),
    *(
        b"01:23:45",
        b"PT1S",
        b"12/31/2024",
        b"31/12/2024",
        b"0000-00-00",
        b"9999-99-99",
        b"99999-01-01",
        b"-0001-01-01",
        b"+24:60",
    ),
    *(b"2024-01-01T00:00:00+99:99", b"24:00:00", b"True", b"[1, 2]", b"1.png", b"/etc/passwd", b"~", b"^a$", b"x" * 5000),
    *("é".encode("latin-1"), "日本".encode(), "日本".encode("utf-16"), b"\x1b[31m", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
)
HUGE = tuple(size.to_bytes(8, "little") for size in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1))
CELLS = (
    b"A1",
    b"XFD1048576",
    b"ZZ99999",
    b"A0",
    b"B4294967296",
    b"",
    b"n",
    b"str",
    b"d",
    b"e",
    b"b",
    b"-1",
    b"9" * 30,
    b"1e400",
)
TEXT = ("t.csv", "t.tsv", "t.txt", "t.jsonl", "t.json")


def write(number: int, folder: Path) -> Path:
    """The input of a number, as a file or a folder below a folder."""
    random = np.random.default_rng(number)
    names = (
        sorted(_bases()) + [name for name in sorted(_bases()) if "t." in name and name.endswith((".csv", ".tsv", "jsonl"))] * 3
    )
    name = names[number % len(names)]
    if name.startswith("folder"):
        return _folder(random, folder / "rows", name)
    content = _bases()[name]
    content = _workbook(random, content) if name.endswith(".xlsx") else _changed(random, content, text=name.endswith(TEXT))
    if random.random() < 0.05:
        content = gzip.compress(content)[: None if random.random() < 0.7 else -9]
        name += ".gz"
    if random.random() < 0.05:
        name = names[random.integers(len(names))].removeprefix("folder ")
    path = folder / name.rpartition(" ")[2]
    path.write_bytes(content)
    return path


def _changed(random: np.random.Generator, content: bytes, *, text: bool) -> bytes:
    """The content with a few changes, most often one."""
    for _ in range(int(random.geometric(0.5))):
        at, size = int(random.integers(len(content) + 1)), int(random.integers(1, 40))
        kind = int(random.integers(14 if text else 8))
        if kind == 0:
            content = content[:at] + content[at + size :]
        elif kind == 1:
            content = content[:at] + content[at : at + size] * int(random.integers(2, 30)) + content[at + size :]
        elif kind == 2 and random.random() < 0.3:
            content = content[:at]
        elif kind == 3:
            content = content[:at] + random.bytes(size) + content[at + size :]
        elif kind == 4 and not text:
            content = content[:at] + HUGE[random.integers(len(HUGE))][: int(random.choice([1, 4, 8]))] + content[at + 8 :]
        elif kind == 5 and text:
            content = content.decode("utf-8", "replace").encode(
                str(random.choice(["utf-16", "utf-16-le", "latin-1", "utf-32"])), "replace"
            )
        elif text:
            token = TOKENS[random.integers(len(TOKENS))]
            if random.random() < 0.5:  # a whole cell
                at = max(content.rfind(mark, 0, at) for mark in (b",", b"\n", b"\t")) + 1
                size = 0 if random.random() < 0.5 else size % 8
            content = content[:at] + token + content[at + size :]
        elif content:
            content = content[:at] + bytes([random.integers(256)]) + content[at + 1 :]
    return content


def _workbook(random: np.random.Generator, content: bytes) -> bytes:
    """A workbook with changes in one of its parts, most often the sheet, or of its bytes."""
    if random.random() < 0.2:
        return _changed(random, content, text=False)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    names = [*parts, *["xl/worksheets/sheet1.xml"] * 10, *["xl/sharedStrings.xml"] * 3]
    name = names[random.integers(len(names))]
    if random.random() < 0.5:  # another place, value or type of a cell
        found = [
            match.span(1) for match in re.finditer(rb'(?:r|t|s|ref|count)="([^"]*)"|<v>([^<]*)</v>', parts[name]) if match[1]
        ]
        start, end = found[random.integers(len(found))] if found else (0, 0)
        parts[name] = parts[name][:start] + CELLS[random.integers(len(CELLS))] + parts[name][end:]
    else:
        parts[name] = _changed(random, parts[name], text=True)
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return file.getvalue()


def _folder(random: np.random.Generator, folder: Path, name: str) -> Path:
    """Class folders of images or of texts, with a few files that are damaged, foreign or nested."""
    ending = name.rpartition(".")[2]
    for number in range(int(random.integers(1, 10))):
        at = folder / str(
            random.choice(
                [
                    "a",
                    "b",
                    "a",
                    "b",
                    "a",
                    "b",
                    "a",
                    "b",
                    "train/a",
                    "train/b",
                    "test",
                    "images",
                    "masks",
                    ".hidden",
                    "a/deep/er",
                ]
            )
        )
        at.mkdir(parents=True, exist_ok=True)
        content = b"some words \xc3\xa9" if ending == "txt" else _image(ending)
        other = str(random.choice(["txt", "png", "csv", "DS_Store", ""])) if random.random() < 0.1 else ending
        (at / f"{number}.{other}").write_bytes(
            _changed(random, content, text=ending == "txt") if random.random() < 0.6 else content
        )
    return folder


@cache
def _image(ending: str) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending))
    return file.getvalue()


@cache
def _bases() -> dict[str, bytes]:
    """A good file of each format; the names say the format."""
    rows = 12
    table = {
        "id": [f"u{row:03}" for row in range(rows)],
        "x": [row / 4 for row in range(rows)],
        "n": [1000 * row if row % 5 else None for row in range(rows)],
        "day": [f"2024-01-{row + 1:02}" for row in range(rows)],
        "when": [f"{row + 1}/20/2024 {row}:30 PM" for row in range(rows)],
        "town": ["Bern", 'New, "York"', "NA"] * 4,
        "price": [f"{row},{row}5 €" for row in range(rows)],
        "took": [f"0{row % 10}:10:0{row % 10}" for row in range(rows)],
        "wave": [f"[1, {row}, 3.5]" for row in range(rows)],
        "y": ["a", "b"] * 6,
    }
    frame = pl.DataFrame(table)
    nested = frame.with_columns(
        wave=pl.Series([[1.0, 2.0, float(row)] for row in range(rows)]),
        day=pl.col("day").str.to_date(),
        data=pl.Series([_image("png")] * rows),
        part=pl.Series([{"a": row, "b": "x"} for row in range(rows)]),
        kind=pl.Series(["p", "q", None] * 4, dtype=pl.Categorical),
    )
    bases = {"t.csv": frame.write_csv().encode(), "t.tsv": frame.write_csv(separator="\t").encode()}
    bases |= {
        "semicolons t.csv": frame.write_csv(separator=";").encode(),
        "bare t.txt": frame[["x", "n", "y"]].write_csv().encode(),
    }
    bases |= {"t.jsonl": frame.write_ndjson().encode(), "nested t.jsonl": nested.drop("data").write_ndjson().encode()}
    bases["t.json"] = json.dumps(frame.to_dicts()).encode()
    writers: dict[str, Callable[[io.BytesIO], object]] = {
        "t.parquet": nested.write_parquet,
        "small t.parquet": lambda file: frame[["x", "y"]].write_parquet(file, compression="uncompressed"),
        "t.arrow": nested.write_ipc,
        "stream t.arrow": nested.write_ipc_stream,
        "t.npz": lambda file: np.savez(
            file, x=np.arange(24.0).reshape(12, 2), y=np.array(["a", "b"] * 6), w=np.zeros((12, 3, 2))
        ),
        "small t.npz": lambda file: np.savez_compressed(
            file, x_train=np.eye(4), y_train=np.ones(4), x_test=np.eye(4)[:2], y_test=np.ones(2)
        ),
        "t.npy": lambda file: np.save(file, np.eye(4)),
        "pickle t.npz": lambda file: np.savez(file, x=np.array([{}, None], dtype=object), y=np.ones(2)),
        "odd t.npz": _odd_archive,
    }
    if importlib.util.find_spec("xlsxwriter") and importlib.util.find_spec("fastexcel"):
        writers["t.xlsx"] = nested.drop("data", "part", "wave").write_excel
    for name, save in writers.items():
        save(file := io.BytesIO())
        bases[name] = file.getvalue()
    bases |= {f"{ending} t.{ending}": _image(ending) for ending in ("png", "jpg")}
    bases |= {f"folder.{ending}": b"" for ending in ("png", "jpg", "gif", "tif", "bmp", "webp", "txt")}
    return bases


def _odd_archive(file: io.BytesIO) -> None:
    """An archive whose arrays have headers of other sizes and types than their content."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, head in {
            "x": "{'descr': '<f8', 'fortran_order': True, 'shape': (1000000000000,), }",
            "y": "{'descr': '|V8', 'fortran_order': False, 'shape': (3, 3), }",
            "z": "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (), }",
        }.items():
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + bytes(72))


def warm_up(folder: Path) -> None:
    """Read a workbook: libraries reserve a gigabyte of addresses for it once, which is no memory."""
    if "t.xlsx" in _bases():
        (folder / "t.xlsx").write_bytes(_bases()["t.xlsx"])
        judge(str(folder / "t.xlsx"), "")


def judge(path: str, _: str) -> None:
    """Read a table, learn its schema, read it again with that, and open its images."""
    from lamina.data.columns import KINDS
    from lamina.data.read import read_table
    from lamina.data.schema import Schema

    schema = Schema.infer(path)
    checked, _notes = schema.check(read_table(path))
    for column in schema.features:
        KINDS[column.kind].verify(checked[column.name])
