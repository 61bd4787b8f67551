"""A board on the terminal: leaks and notes, the candidates, the verdict."""

from __future__ import annotations

import math
import shlex
from typing import TYPE_CHECKING

from rich.text import Text

from lamina.cli.screen import console, small_table, title
from lamina.cli.shared import plain
from lamina.wording import duration, file_size, number

if TYPE_CHECKING:
    from lamina.comparison.board import Board
    from lamina.leaks import Leak


def show_findings(board: Board) -> None:
    """Print leaks and notes, a row for each candidate, and the verdict."""
    out = console()
    for leak in board.leaks:
        out.print(Text(f"Possible leak ({plain(leak.kind)}): {plain(leak.evidence)}; use {_flag(leak)}."))
    for note in board.notes:
        out.print(Text(f"Note: {plain(note)}."))
    if board.leaks or board.notes:
        out.print()
    out.print(title(f"{board.metric.title} on {board.rows:,} rows, {plain(board.how)}"))
    table = small_table(
        "", "score", "95 % interval", "fit time", "prediction\ntime per row", "file size", right=(1, 2, 3, 4, 5)
    )
    for line in board.lines:
        if not line.folds:
            continue
        interval = f"{number(line.low)} to {number(line.high)}" if math.isfinite(line.low) else ""
        name = plain(line.name) + (f" ({line.folds} of {board.folds} folds)" if line.folds < board.folds else "")
        table.add_row(
            Text(name, style="bold" if line.name == board.verdict.take else ""),
            number(line.score),
            interval,
            duration(line.candidate.fit_seconds),
            duration(line.candidate.predict_micros / 1e6),
            file_size(line.candidate.bytes),
        )
    if table.row_count:
        out.print(table)
    out.print()
    out.print(Text(plain(board.verdict.words)))


def _flag(leak: Leak) -> str:
    """The option that removes a leak, quoted for the shell: group="who" is --group who."""
    name = leak.remedy.partition("=")[0]
    return f"--{name}" if name == "unique" else f"--{name} {shlex.quote(plain(leak.columns[0]))}"
