"""The command line, called in this process: what it printed and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from typer.testing import CliRunner

from lamina.cli import app

QUICK = "--set recipe.epochs=3 --set recipe.threads=1 --set family.members=2 --set family.hidden_sizes=16".split()


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str


def lamina(*words: object) -> Said:
    """Call ``lamina`` with these words."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


def people(rows: int = 240) -> pl.DataFrame:
    """A small table with something to learn: who is old enough has a high income."""
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
    """Every file and folder below, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}
