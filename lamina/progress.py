"""A progress bar for training, where a person is looking."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from lamina.train.events import Compare, Epoch, Event, Fit, Job, Monitor, Refit, Start, Step

EVERY_SECONDS = 0.1


@contextmanager
def progress(*, transient: bool = False) -> Iterator[Monitor]:
    """Show how training goes, on stderr: epoch, loss, validation, time left.

    Shows nothing where nobody is looking (a pipe, a log file): a bar there is thousands of lines.

    Args:
        transient: Take the bar away in the end.

    Yields:
        A monitor: called with each event of training.

    Example:
        >>> from lamina.train.events import Step
        >>> with progress() as bar:
        ...     bar(Step(epoch=0, step=1, steps=10))
    """
    console = Console(stderr=True, highlight=False)
    if not (console.is_terminal or console.is_jupyter):
        yield lambda event: None
        return
    columns = (TextColumn("{task.fields[epoch]}"), BarColumn(10), TextColumn("{task.fields[said]}", markup=False))
    with Progress(*columns, console=console, transient=transient) as bar:
        shown = _Shown(bar)
        yield shown
        shown.end()


class _Shown:
    """Turns events into what the bar shows."""

    def __init__(self, bar: Progress):
        self.bar = bar
        self.task = bar.add_task("", total=None, epoch="preparing", said="")
        self.epochs = 1
        self.patience: int | None = None
        self.limit: float | None = None
        self.began = self.drawn = time.monotonic()
        self.first: int | None = None  # the epoch that this process began with: later than 0 when it resumes
        self.done = 0.0
        self.said = ""
        self.best: tuple[int, str] = (0, "")

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Start(recipe=recipe):
                self.epochs, self.limit = 1 if recipe.epochs == "auto" else int(recipe.epochs), recipe.time_limit
                self.patience = recipe.patience if isinstance(recipe.patience, int) else None
                self.began = now
            case Compare(candidates=candidates):
                self.said = "preparing"
                self.bar.update(self.task, total=None, epoch="comparing", said=f"{len(candidates)} candidates")
            case Job(done=done, jobs=jobs):
                left = _clock((jobs - done) * (now - self.began) / done)
                did = f"{event.name}, fold {event.fold + 1}" + (" failed" if event.failed else "")
                place = f"fit {done}/{jobs}"
                self.bar.update(self.task, total=jobs, completed=done, epoch=place, said=f"{did}; about {left} left")
            case Refit(name=name):
                self.bar.update(self.task, total=None, epoch="learning from all rows", said=name)
            case Fit(done=done):
                self.bar.update(self.task, total=1, completed=done, epoch="fitting")
            case Step(epoch=epoch):
                self.first = epoch if self.first is None else self.first
                if now - self.drawn < EVERY_SECONDS:  # steps take microseconds
                    return
                self._draw(now, epoch + event.step / event.steps)
            case Epoch(scores=scores):
                name = "accuracy" if "accuracy" in scores else "loss"
                value = f"{scores[name]:.4f}"
                if event.best:
                    self.best = (event.epoch, value)
                name = "validation" if name == "loss" else name
                self.said = f"loss {event.train_loss:.4f} {name} {value} best {self.best[1]}"
                self._draw(now, event.epoch + 1.0)

    def end(self) -> None:
        """Training came to its own end: the bar is full, however many epochs it took."""
        self.bar.update(self.task, total=1, completed=1, said=self.said)

    def _draw(self, now: float, done: float) -> None:
        self.drawn, self.done = now, done
        epoch = f"epoch {min(int(done) + 1, self.epochs)}/{self.epochs}"
        self.bar.update(
            self.task, total=self.epochs, completed=done, epoch=epoch, said=f"{self.said} {self._left(now)}".strip()
        )

    def _left(self, now: float) -> str:
        """From the soonest to the latest end: training stops when nothing gets better, and who knows when that is."""
        lived = self.done - (self.first or 0)
        if lived <= 0:
            return ""
        each = (now - self.began) / lived
        latest = (self.epochs - self.done) * each
        if self.limit is not None:
            latest = min(latest, max(self.limit - (now - self.began), 0))
        soonest = latest if self.patience is None else min(latest, (self.best[0] + 1 + self.patience - self.done) * each)
        span = [_clock(seconds) for seconds in (max(soonest, 0), latest)]
        return " to ".join(dict.fromkeys(span)) + " left"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"
