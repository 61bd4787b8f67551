"""Every candidate on every fold, in processes side by side; what is done is written down, so that it can be gone on with."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.comparison.worker import OUT_OF_MEMORY
from lamina.train import events
from lamina.train.events import Monitor, Result
from lamina.train.run import Run

#: Seconds beyond the limit that a network gets, which ends in time by itself, to save and to answer.
GRACE = 0.25
LEAST_GRACE = 20.0
#: How a process ends that the system killed because memory is short, and one whose library could not go on without any.
_KILLED, _ABORTED = (-9, 137), (-6, -11)


@dataclass(frozen=True)
class Job:
    """One candidate on one fold.

    Attributes:
        name: Of the candidate.
        family: Its family as JSON, with its name.
        fold: Number of the fold.
    """

    name: str
    family: Mapping[str, Any]
    fold: int


def work(run: Run, jobs: Sequence[Job], *, workers: int, limits: Mapping[str, Any], monitor: Monitor | None = None) -> bool:
    """Do the jobs and write each result into the run as an event.

    Fold by fold, so that whenever it ends, all candidates have been asked about the same rows, as far as they came. A candidate
    that failed on a fold is not asked about others, unless the limits have changed since.

    Args:
        run: Holds the data, what was asked, and the folds.
        jobs: What is left to do, in order.
        workers: Processes side by side.
        limits: ``time_limit``, seconds that a fit may take, and ``memory_limit``, gigabytes that a process may; None for none.
        monitor: Called with a :class:`~lamina.train.events.Job` after each.

    Returns:
        Whether all were done: False after Ctrl-C.
    """
    todo: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        todo.put(job)
    failed = {result["name"] for result in results(run) if result.get("failed") and not may_try_again(result, limits)}
    lock, stop, done = threading.Lock(), threading.Event(), 0

    def follow() -> None:
        nonlocal done
        with _Worker(run.folder, limits) as worker:
            while not stop.is_set():
                try:
                    job = todo.get_nowait()
                except queue.Empty:
                    return
                skip = job.name in failed
                answer = {} if skip else worker.ask(job, stop)
                with lock:
                    done += 1
                    if answer and not stop.is_set():
                        run.write(_result(job, answer, limits))
                        if answer.get("failed"):
                            failed.add(job.name)
                    if monitor:
                        monitor(events.Job(done, len(jobs), job.name, job.fold, answer.get("failed")))

    threads = [threading.Thread(target=follow, daemon=True) for _ in range(min(workers, len(jobs)))]
    for thread in threads:
        thread.start()
    try:
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.2)
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join()
        return False
    return True


class _Worker:
    """A process that is asked one job after the other, and is replaced when it had to be ended."""

    def __init__(self, folder: Path, limits: Mapping[str, Any]):
        self.folder, self.limits = folder, limits
        self.process: subprocess.Popen[str] | None = None
        self.listener: threading.Thread | None = None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def ask(self, job: Job, stop: threading.Event) -> dict[str, Any]:
        """What came of a job; {} where it was stopped from outside."""
        if self.process is None:
            self.process = self._begin()
            ready = self._answer(stop, None)  # what it takes to begin does not count
            if "ready" not in ready:
                self._end()
                return ready
        limit = self.limits.get("time_limit")
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"family": job.family, "fold": job.fold, "time_limit": limit}) + "\n")
            self.process.stdin.flush()
        answer = self._answer(stop, limit)
        if answer.get("failed") == OUT_OF_MEMORY:
            self._end()  # what is left of its memory is in pieces
            return {"failed": OUT_OF_MEMORY + self._may_take()}
        return answer

    def _may_take(self) -> str:
        memory = self.limits.get("memory_limit")
        return f": memory_limit lets a process have {memory:g} GB" if memory else "; fewer workers leave each of them more"

    def _answer(self, stop: threading.Event, limit: float | None) -> dict[str, Any]:
        """The next line that it says, as long as it may take; else it is ended."""
        process = self.process
        assert process is not None
        last = None if limit is None else time.monotonic() + limit + max(LEAST_GRACE, GRACE * limit)
        heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.listener = threading.Thread(target=lambda: heard.put(_heard(process)), daemon=True)
        self.listener.start()
        while True:
            try:
                line = heard.get(timeout=0.2)
                break
            except queue.Empty:
                pass
            if stop.is_set():
                self._end()
                return {}
            if last is not None and time.monotonic() > last:
                self._end()
                return {"failed": f"ran out of time: time_limit lets a fit take {limit:g} s"}
        if line.endswith("\n"):
            return json.loads(line)
        self._end()
        if process.returncode in _KILLED or (process.returncode in _ABORTED and self.limits.get("memory_limit")):
            return {"failed": OUT_OF_MEMORY + self._may_take()}
        return {"failed": f"its process ended with {process.returncode}"}

    def _begin(self) -> subprocess.Popen[str]:
        memory = self.limits.get("memory_limit")
        command = [sys.executable, "-m", "lamina.comparison.worker", str(self.folder), *([str(memory)] if memory else [])]
        threads = str(Run.open(self.folder).settings["threads"])
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "LOKY_MAX_CPU_COUNT": threads}
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the parent, which ends it
        )

    def _end(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.05)  # one that has ended says with what
        self.process.kill()
        self.process.wait()
        if self.listener is not None:
            self.listener.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process = None


def _heard(process: subprocess.Popen[str]) -> str:
    """The next line; without its end where the process ended."""
    return process.stdout.readline() if process.stdout is not None else ""


def _result(job: Job, answer: Mapping[str, Any], limits: Mapping[str, Any]) -> Result:
    failed = answer.get("failed")
    measured = {name: value for name, value in answer.items() if name != "failed"}
    return Result(job.name, job.fold, failed, dict(limits) if failed else None, measured)


def may_try_again(result: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether a candidate failed under other limits than those of now."""
    return bool(result.get("failed")) and result.get("limits") != dict(limits)


def results(run: Run) -> Iterator[dict[str, Any]]:
    """What is written down: for each candidate and fold the first answer, or where it failed each time, why it last did."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for event in run.events():
        if isinstance(event, Result) and found.get(key := (event.name, event.fold), {"failed": True}).get("failed"):
            found[key] = event.values()
    yield from found.values()
