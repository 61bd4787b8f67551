"""The command line, called in this process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from typer.testing import CliRunner

from lamina.cli import app

QUICK = "--set recipe.epochs=3 --set recipe.threads=1 --set family.members=2 --set family.hidden_sizes=16".split()


@dataclass(frozen=True)
class Output:
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str


def lamina(*words: object) -> Output:
    """Run ``lamina`` with these arguments."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Output(result.exit_code, result.stdout, result.stderr)


def people(rows: int = 240) -> pl.DataFrame:
    """A small table in which a high income depends on age."""
    draw = np.random.default_rng(0)
    age = draw.integers(17, 90, rows)
    return pl.DataFrame(
        {
            "person": [f"p{i:05}" for i in range(rows)],
            "age": age,
            "town": draw.choice(["Bern", "Rome", "Oslo"], rows),
            "member": draw.choice(["yes", "no"], rows),
            "planet": ["earth"] * rows,
            "income": np.where(age + draw.normal(0, 5, rows) > 50, ">50K", "<=50K"),
        }
    )


def leftovers(folder: Path) -> set[str]:
    """All files and folders in a folder, recursively."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
