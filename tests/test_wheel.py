"""The source distribution is complete, and the wheel that is built from it works without the source beside it."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

USE = """
import pathlib, sys, lamina
assert pathlib.Path(lamina.__file__).is_relative_to(pathlib.Path("site").resolve()), lamina.__file__
table = {"x": [i / 40 for i in range(40)], "y": ["low"] * 20 + ["high"] * 20}
model = lamina.fit(table, "y", recipe=lamina.Recipe(epochs=1), seed=0, monitor=None)
model.save("m.lamina")
assert lamina.load("m.lamina").predict(table).tolist() == model.predict(table).tolist()
from lamina.cli import main
sys.argv = ["lamina", "--help"]
main()
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The source distribution, of a copy: what an earlier build left in the source folder must not get into it."""
    folder = tmp_path_factory.mktemp("source")
    names = [*(line.split()[-1] for line in (ROOT / "MANIFEST.in").read_text().splitlines() if line.startswith("graft"))]
    for name in names:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("*.*"):
        if path.suffix in (".md", ".toml", ".in"):
            shutil.copy(path, folder)
    for name in ("LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    build = "from setuptools.build_meta import build_sdist; build_sdist('dist')"
    subprocess.run([sys.executable, "-c", build], check=True, cwd=folder, capture_output=True)
    (path,) = (folder / "dist").iterdir()
    return path


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    subprocess.run([*command, source], check=True, cwd=folder)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "site")
    return folder


def test_the_source_distribution_holds_tests_docs_and_examples(source):
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    folders = ("lamina", "tests", "docs", "examples", "benchmarks", ".ci")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert expected | {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"} <= names


def test_the_wheel_holds_every_file_of_the_package(wheel):
    expected = {path.relative_to(ROOT) for path in (ROOT / "lamina").rglob("*") if path.is_file()}
    expected = {path for path in expected if "__pycache__" not in path.parts}
    found = {path.relative_to(wheel / "site") for path in (wheel / "site").rglob("*") if path.is_file()}
    assert Path("lamina/py.typed") in found
    assert {path for path in found if path.parts[0] == "lamina"} == expected
    assert {path.parts[0].partition("-")[0] for path in found} == {"lamina"}


def test_the_wheel_fits_saves_loads_and_predicts_by_itself(wheel):
    environment = {**os.environ, "PYTHONPATH": str(wheel / "site"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", USE], cwd=wheel, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "predict" in run.stdout
