"""The console, and how titles, tables and figures look on it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lamina.cli.shared import plain
from lamina.wording import number


class _Console(Console):
    def print(self, *objects: Any, **options: Any) -> None:
        """Print without spaces at the ends of lines; a broken pipe raises."""
        with self.capture() as captured:
            super().print(*objects, **options)
        sys.stdout.write(re.sub(r" +$", "", captured.get(), flags=re.MULTILINE))


def console() -> Console:
    """A console on the current stdout."""
    return _Console(highlight=False, markup=False, emoji=False)


def small_table(*heads: str, right: Iterable[int] = (), gap: int = 2) -> Table:
    """A table without borders; ``right`` are the numbers of the right-aligned columns, ``gap`` the spaces between columns."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in set(right) else "left", overflow="fold")
    return table


def short_name(name: str) -> Text:
    """A column's name, at most 28 characters of it."""
    shown = Text(plain(name), no_wrap=True)
    shown.truncate(28, overflow="ellipsis")
    return shown


def title(text: str) -> Text:
    return Text(text, style="bold")


def figure(value: float) -> str:
    """A score with four decimals, or four significant digits."""
    return f"{value:.4f}" if abs(value) < 10 and (round(value, 4) or not value) else number(value)


def cell(value: Any) -> str:
    """A value of a table as text; empty for None."""
    return "" if value is None else figure(value) if isinstance(value, float) else plain(value)
