"""Fits of all candidates on all folds in parallel processes; results are written to the run, which can be resumed."""

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

#: Time beyond the limit, as a share and in seconds: a network stops by itself at the limit, then saves and predicts.
GRACE = 0.25
LEAST_GRACE = 20.0
#: Exit codes of a process that the system killed for lack of memory, and of one whose library aborted without it.
_KILLED, _ABORTED = (-9, 137), (-6, -11)


@dataclass(frozen=True)
class Job:
    """One candidate, with its family as JSON, on one fold."""

    name: str
    family: Mapping[str, Any]
    fold: int


def work(run: Run, jobs: Sequence[Job], *, workers: int, limits: Mapping[str, Any], monitor: Monitor | None = None) -> bool:
    """Run the jobs and write each result to the run as an event.

    A candidate that failed on a fold is skipped on the others, unless the limits have changed since.

    Args:
        run: The run, with data, settings and folds.
        jobs: The jobs, fold by fold, so that an interrupted comparison has scored all candidates on the same folds.
        workers: Number of processes.
        limits: ``time_limit`` of a fit in seconds and ``memory_limit`` of a process in GB, each may be None.
        monitor: Called with a :class:`~lamina.train.events.Job` after each job.

    Returns:
        Whether all jobs ran: False after Ctrl-C.
    """
    pending: queue.SimpleQueue[Job] = queue.SimpleQueue()
    for job in jobs:
        pending.put(job)
    failed = {result["name"] for result in results(run) if result.get("failed") and not may_try_again(result, limits)}
    lock, stop, done = threading.Lock(), threading.Event(), 0

    def run_jobs() -> None:
        nonlocal done
        with _Worker(run.folder, limits) as worker:
            while not stop.is_set():
                try:
                    job = pending.get_nowait()
                except queue.Empty:
                    return
                result = {} if job.name in failed else worker.run(job, stop)
                reason = result.get("failed")
                with lock:
                    done += 1
                    if result and not stop.is_set():
                        measured = {name: value for name, value in result.items() if name != "failed"}
                        run.write(Result(job.name, job.fold, reason, dict(limits) if reason else None, measured))
                        if reason:
                            failed.add(job.name)
                    if monitor:
                        monitor(events.Job(done, len(jobs), job.name, job.fold, reason))

    threads = [threading.Thread(target=run_jobs, daemon=True) for _ in range(min(workers, len(jobs)))]
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
    """A process that runs one job after the other, and is replaced after it was killed."""

    def __init__(self, folder: Path, limits: Mapping[str, Any]):
        self.folder, self.limits = folder, limits
        self.process: subprocess.Popen[str] | None = None
        self.reader: threading.Thread | None = None

    def __enter__(self) -> _Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def run(self, job: Job, stop: threading.Event) -> dict[str, Any]:
        """The result of a job; {} where ``stop`` was set."""
        if self.process is None:
            self.process = self._start()
            ready = self._read(stop, None)  # the time limit does not include the start
            if "ready" not in ready:
                self._end()
                return ready
        limit = self.limits.get("time_limit")
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"family": job.family, "fold": job.fold, "time_limit": limit}) + "\n")
            self.process.stdin.flush()
        result = self._read(stop, limit)
        if result.get("failed") == OUT_OF_MEMORY:
            self._end()  # its memory is fragmented
            return {"failed": OUT_OF_MEMORY + self._memory_hint()}
        return result

    def _memory_hint(self) -> str:
        memory = self.limits.get("memory_limit")
        return f" (memory_limit is {memory:g} GB)" if memory else "; fewer workers leave more for each"

    def _read(self, stop: threading.Event, limit: float | None) -> dict[str, Any]:
        """The next line of the process as JSON; the process is killed when the time limit is exceeded or ``stop`` is set."""
        process = self.process
        assert process is not None
        assert process.stdout is not None
        read = process.stdout.readline  # a line without a line break where the process ended
        deadline = None if limit is None else time.monotonic() + limit + max(LEAST_GRACE, GRACE * limit)
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.reader = threading.Thread(target=lambda: lines.put(read()), daemon=True)
        self.reader.start()
        while True:
            try:
                line = lines.get(timeout=0.2)
                break
            except queue.Empty:
                pass
            if stop.is_set():
                self._end()
                return {}
            if deadline is not None and time.monotonic() > deadline:
                self._end()
                return {"failed": f"ran out of time (time_limit is {limit:g} s)"}
        if line.endswith("\n"):
            return json.loads(line)
        self._end()
        if process.returncode in _KILLED or (process.returncode in _ABORTED and self.limits.get("memory_limit")):
            return {"failed": OUT_OF_MEMORY + self._memory_hint()}
        return {"failed": f"its process ended with {process.returncode}"}

    def _start(self) -> subprocess.Popen[str]:
        memory = self.limits.get("memory_limit")
        command = [sys.executable, "-m", "lamina.comparison.worker", str(self.folder), *([str(memory)] if memory else [])]
        threads = str(Run.open(self.folder).settings["threads"])
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "LOKY_MAX_CPU_COUNT": threads}
        # finds the modules of functions and estimators that this process finds, such as those beside its script
        environment["PYTHONPATH"] = os.pathsep.join(str(path) or os.getcwd() for path in sys.path)
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only the parent, which kills it
        )

    def _end(self) -> None:
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.05)  # keeps the exit code of one that has ended
        self.process.kill()
        self.process.wait()
        if self.reader is not None:
            self.reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.process = None


def may_try_again(result: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether a candidate failed under other limits than the present ones, or by code that may have changed since."""
    return bool(result.get("failed")) and (result.get("limits") != dict(limits) or result.get("retry", False))


def results(run: Run) -> Iterator[dict[str, Any]]:
    """The results in a run: for each candidate and fold the first success, otherwise the last failure."""
    latest: dict[tuple[str, int], dict[str, Any]] = {}
    for event in run.events():
        if isinstance(event, Result) and latest.get(key := (event.name, event.fold), {"failed": True}).get("failed"):
            latest[key] = event.values()
    yield from latest.values()
