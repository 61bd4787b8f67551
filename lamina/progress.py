"""A progress bar for fits, comparisons and tunings on a terminal, and a line of progress in a notebook."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from lamina.train.events import Candidate, Compare, Epoch, Event, Fit, Job, Monitor, Refit, Start, Step, Trial, Tune
from lamina.train.recipe import Recipe

EVERY_SECONDS = 0.1
WIDTH = 10  # of the bar


@contextmanager
def progress(*, transient: bool = False) -> Iterator[Monitor]:
    """A monitor that shows epoch, losses and time left on stderr, or in the output of a notebook's cell.

    It shows nothing in a pipe or a log file.

    Args:
        transient: Remove the bar at the end.

    Yields:
        A monitor, to be called with each event.

    Example:
        >>> from lamina.train.events import Step
        >>> with progress() as bar:
        ...     bar(Step(epoch=0, step=1, steps=10))
    """
    console = Console(stderr=True, highlight=False)
    if console.is_jupyter:
        line = _NotebookLine()
        monitor = _ProgressMonitor(line)
        yield monitor
        monitor.end()
        if transient:
            line.clear()
        return
    if not console.is_terminal:
        yield lambda event: None
        return
    columns = (TextColumn("{task.fields[epoch]}"), BarColumn(WIDTH), TextColumn("{task.fields[status]}", markup=False))
    with Progress(*columns, console=console, transient=transient) as bar:
        monitor = _ProgressMonitor(bar)
        yield monitor
        monitor.end()


class _NotebookLine:
    """A line of a notebook that is replaced; it needs no ipywidgets."""

    def add_task(self, description: str, *, total: float | None, **fields: str) -> TaskID:
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self.state: dict[str, Any] = {"total": total, "completed": 0.0, **fields}
        self.handle: Any = display(self._content(), raw=True, display_id=True)
        return TaskID(0)

    def update(self, task: TaskID, **state: Any) -> None:
        self.state |= state
        self.handle.update(self._content(), raw=True)

    def clear(self) -> None:
        self.handle.update({"text/plain": ""}, raw=True)

    def _content(self) -> dict[str, str]:
        total, completed = self.state["total"], self.state["completed"]
        filled = 0 if not total else round(WIDTH * min(completed / total, 1.0))
        bar = "━" * filled + "─" * (WIDTH - filled)
        return {"text/plain": f"{self.state['epoch']} {bar} {self.state['status']}".rstrip()}


class _ProgressMonitor:
    """A monitor that updates a bar."""

    def __init__(self, bar: Progress | _NotebookLine):
        self.bar = bar
        self.task = bar.add_task("", total=None, epoch="preparing", status="")
        self.recipe, self.epochs = Recipe(), 1
        self.start = self.drawn = time.monotonic()
        self.first: int | None = None  # the epoch that this process started with: above 0 for a resumed run
        self.losses = self.fit = ""
        self.best: tuple[int, str] = (0, "")
        self.limit: float | None = None  # of a tuning, in seconds
        self.trial: tuple[float, float] | None = None  # the first trial of this process, and when it began

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Start(recipe=recipe):
                self.recipe, self.start = recipe, now
                self.epochs = 1 if recipe.epochs == "auto" else int(recipe.epochs)
            case Compare(candidates=candidates):
                self.bar.update(self.task, epoch="comparing", status=f"{len(candidates)} candidates")
            case Job(done=done, jobs=jobs):
                left = _clock((jobs - done) * (now - self.start) / done)
                status = f"{event.name}, fold {event.fold + 1}{' failed' if event.failed else ''}; about {left} left"
                self.bar.update(self.task, total=jobs, completed=done, epoch=f"fit {done}/{jobs}", status=status)
            case Candidate(name=name, rows=rows, leader=leader, recipe=recipe):
                self.recipe = recipe or Recipe(epochs=1)
                self.epochs = 1 if self.recipe.epochs == "auto" else int(self.recipe.epochs)
                self.first, self.losses, self.best, self.start = None, "", (0, ""), now
                fold = "" if event.fold is None else f" fold {event.fold + 1}"
                self.fit = f"{event.done + 1}/{event.fits} {name}{fold} "
                status = f"on {rows:,} rows{f'; {leader} leads' if leader else ''}"
                self.bar.update(self.task, total=None, epoch=self.fit.strip(), status=status)
            case Tune(time_limit=limit):
                self.limit, self.start = limit, now
                self.bar.update(self.task, epoch="tuning", status="defaults, for the test rows")
            case Trial(number=number, trials=trials):
                self._draw_trial(event, now, number + (event.done if event.state == "running" else 1), trials)
            case Refit(name=name):
                self.bar.update(self.task, epoch="fitting all rows", status=name)
            case Fit(done=done):
                self.bar.update(self.task, total=1, completed=done, epoch=self.fit.strip() or "fitting")
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
                self.losses = f"loss {event.train_loss:.4f} {name} {value} best {self.best[1]}"
                self._draw(now, event.epoch + 1.0)

    def end(self) -> None:
        """Fill the bar: training is done, perhaps before the last epoch."""
        self.bar.update(self.task, total=1, completed=1, status=self.losses)

    def _draw(self, now: float, done: float) -> None:
        self.drawn = now
        epoch = f"{self.fit}epoch {min(int(done) + 1, self.epochs)}/{self.epochs}"
        status = f"{self.losses} {self._left(now, done)}".strip()
        self.bar.update(self.task, total=self.epochs, completed=done, epoch=epoch, status=status)

    def _draw_trial(self, event: Trial, now: float, done: float, trials: int) -> None:
        """The number of the trial, the best score, and the time left: to the last trial, or to the time limit."""
        if self.trial is None:
            self.trial = (done, now)
        first, began = self.trial
        left = [(trials - done) * (now - began) / (done - first)] if done > first else []
        left += [] if self.limit is None else [max(self.limit - (now - self.start), 0)]
        best = "" if event.best is None else f"best {event.best:.4g}; "
        status = f"{best}about {_clock(min(left))} left" if left else best.rstrip("; ")
        self.bar.update(self.task, total=trials, completed=done, epoch=f"trial {event.number + 1}/{trials}", status=status)

    def _left(self, now: float, done: float) -> str:
        """The time left, from early stopping at the earliest to the last epoch or the time limit."""
        epochs = done - (self.first or 0)
        if epochs <= 0:
            return ""
        seconds = now - self.start
        epoch_seconds = seconds / epochs
        latest = (self.epochs - done) * epoch_seconds
        if self.recipe.time_limit is not None:
            latest = min(latest, max(self.recipe.time_limit - seconds, 0))
        earliest = latest
        if isinstance(self.recipe.patience, int):
            earliest = min(latest, (self.best[0] + 1 + self.recipe.patience - done) * epoch_seconds)
        span = [_clock(seconds) for seconds in (max(earliest, 0), latest)]
        return " to ".join(dict.fromkeys(span)) + " left"


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{second:02}" if hours else f"{minutes}:{second:02}"
