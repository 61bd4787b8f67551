"""The parent's side of the process that fits the trials."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lamina.comparison.worker import OUT_OF_MEMORY
from lamina.families.family import Family
from lamina.train.recipe import Recipe

OUT_OF_TIME = "ran out of time"
_KILLED = (-9, 137)
_ENDING = 0.5
"""Seconds that a network, which stops by itself at the limit, has to validate and to save."""


class Process:
    """A process that fits one job after the other, and is started again after it was killed.

    Args:
        folder: The run folder.
        threads: Threads of a fit.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder, self.threads = folder, threads
        self._process: subprocess.Popen[str] | None = None
        self._ready = False
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def fit(
        self,
        family: Family,
        recipe: Recipe,
        fold: int,
        *,
        deadline: float = math.inf,
        save: str | None = None,
        on_epoch: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> dict[str, Any]:
        """The result of a fit to the training rows of a fold.

        Args:
            family: With its options.
            recipe: How a network is trained.
            fold: Its number in ``folds.npz``.
            deadline: When it must have ended, by ``time.monotonic()``; the process is then killed.
            save: The name of a file in the run folder for the model.
            on_epoch: Called with ``epoch``, ``loss`` and ``epochs``; true stops training.

        Returns:
            ``score`` (None where the metric is not defined), ``fit_seconds``, ``decided`` options and why training ``stopped``;
            or ``failed``, the reason.
        """
        self.start()
        if not self._ready:
            if "ready" not in (answer := self._read(deadline)):
                self.kill()
                return answer
            self._ready = True
        left = deadline - time.monotonic()
        limit = None if left == math.inf else max(0.9 * left - _ENDING, 0.05)
        options = {"family": {"name": family.name, **family.to_json()}, "recipe": recipe.to_json()}
        self._send({**options, "fold": fold, "time_limit": limit, "save": save, "epochs": on_epoch is not None})
        while "epoch" in (answer := self._read(deadline)):
            if on_epoch is not None and on_epoch(answer):
                on_epoch = None
                self._send("stop")
        if answer.get("failed", "").startswith(OUT_OF_MEMORY):
            self.kill()  # its memory is fragmented
        return answer

    def kill(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        while self._lines.get() is not None:
            pass
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process = None

    def start(self) -> None:
        """Start the process, unless it runs; it takes seconds to load its libraries."""
        if self._process is not None:
            return
        self._ready = False
        threads = str(self.threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "LOKY_MAX_CPU_COUNT": threads}
        process = self._process = subprocess.Popen(
            [sys.executable, "-m", "lamina.tuning.worker", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only the parent
        )
        lines = self._lines = queue.SimpleQueue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()

    def _send(self, content: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended, which the next read says
            self._process.stdin.write(json.dumps(content) + "\n")
            self._process.stdin.flush()

    def _read(self, deadline: float) -> dict[str, Any]:
        """The next line; the process is killed at the deadline."""
        while True:
            left = deadline - time.monotonic()
            try:
                line = self._lines.get(timeout=min(max(left, 0.0), 0.5))  # so that Ctrl-C is seen
                break
            except queue.Empty:
                if left <= 0:
                    self.kill()
                    return {"failed": OUT_OF_TIME}
        if line is not None and line.endswith("\n"):
            return json.loads(line)
        assert self._process is not None
        self._lines.put(None)
        code = self._process.wait()
        self.kill()
        return {"failed": OUT_OF_MEMORY if code in _KILLED else f"its process ended with {code}"}
