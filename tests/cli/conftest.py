"""A table and a model for the tests of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, lamina, people


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """people.csv in the current folder."""
    people().write_csv(tmp_path / "people.csv")
    return Path("people.csv")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fitted model."""
    folder = tmp_path_factory.mktemp("model")
    people().write_csv(folder / "people.csv")
    path = folder / "income.lamina"
    result = lamina("fit", folder / "people.csv", "--target", "income", "--out", path, "--run", folder / "run", *QUICK)
    assert result.code == 0, result.err
    return path
