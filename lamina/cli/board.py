"""A board as a person reads it: what may be wrong with the rows, the candidates, the verdict."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from lamina.cli.render import console, duration, quoted, size, small_table, title
from lamina.cli.shared import plain
from lamina.wording import number

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.leaks import Leak


def show_findings(board: Board) -> None:
    """Leaks and notes, a line for each candidate, and the verdict."""
    out = console()
    for leak in board.leaks:
        out.print(Text(f"Mind {plain(leak.kind)}: {plain(leak.evidence)}; {_typed(leak)} deals with it."))
    for note in board.notes:
        out.print(Text(f"Note: {plain(note)}."))
    if board.leaks or board.notes:
        out.print()
    out.print(title(f"{board.metric.title} on {board.rows:,} rows, {plain(board.how)}"))
    table = small_table("", "score", "95 % interval", "learns in", "answers a row in", "file", right=(1, 2, 3, 4, 5))
    for line in board.lines:
        if not line.folds:
            continue
        span = f"{number(line.low)} to {number(line.high)}" if math.isfinite(line.low) else ""
        name = plain(line.name) + (f" ({line.folds} of {board.folds} folds)" if line.folds < board.folds else "")
        table.add_row(
            Text(name, style="bold" if line.name == board.verdict.take else ""),
            number(line.score),
            span,
            duration(line.candidate.fit_seconds),
            _micros(line.candidate.predict_micros),
            size(line.candidate.bytes),
        )
    if table.row_count:
        out.print(table)
    out.print()
    out.print(Text(plain(board.verdict.words)))
    out.print()


def show_board(board: Board, *, model: Path | None, run: Path, picture: Path | None) -> None:
    """What was found, where everything is, and what to type next."""
    show_findings(board)
    out = console()
    ending = small_table("", "")
    ending.show_header = False
    if model is not None:
        ending.add_row(
            "model", f"{plain(model)} ({size(model.stat().st_size)}), {plain(board.verdict.take)} learnt from all rows"
        )
    if picture is not None:
        ending.add_row("picture", plain(picture))
    ending.add_row("run", plain(run))
    if model is not None:
        ending.add_row("next", f"lamina predict {quoted(model)} new.csv")
    out.print(ending, soft_wrap=True)


def _typed(leak: Leak) -> str:
    """What deals with a leak as it is typed in a shell: group="who" is --group who."""
    name = leak.remedy.partition("=")[0]
    return f"--{name}" if name == "unique" else f"--{name} {shlex.quote(plain(leak.columns[0]))}"


def _micros(value: float) -> str:
    return f"{value / 1000:.3g} ms" if value >= 1000 else f"{value:.3g} µs"
