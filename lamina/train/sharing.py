"""Cores that are shared with other processes: threads that wait for each other sleep there instead of spinning.

OpenMP's threads wait for the slowest of a team in a loop, for some milliseconds, before they sleep. On cores of one's own that
is the fastest way; where other processes want the cores too, the loop takes the time that the slowest needs, and small steps
become a hundred times slower. How long to spin is read once, when the library is loaded, from variables of the environment;
but GNU's OpenMP hardly spins at all while it manages more threads than there are cores. So while others are busy, a thread
holds a team of its own, asleep; when they are done it ends, and the waiting is as before. The numbers stay the same bits: no
count of threads changes.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lamina.train.threads import available_threads, threads

SECONDS = 0.25  # between two looks at what others do
SLACK = 0.25  # cores that others may be busy on before they count
_STAT = Path("/proc/stat")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # who sets one of these has chosen


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Use the cores that this process really gets, beside whatever else is at work on them; also a decorator.

    Example:
        >>> with sharing_cores():
        ...     available_threads() >= 1
        True
    """
    with threads(available_threads()), _watch:
        yield


def cores() -> set[int]:
    """The numbers of the cores that this process may run on."""
    return os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))


class Load:
    """How busy others are on the cores of this process."""

    def __init__(self) -> None:
        self._before = self._used()

    def others(self) -> float:
        """Cores that other processes, and other machines on the same hardware, took since this was asked last."""
        (time_before, all_before, own_before), self._before = self._before, self._used()
        now, all_now, own_now = self._before
        return max(0.0, (all_now - all_before - own_now + own_before) / max(now - time_before, 1e-3))

    def _used(self) -> tuple[float, float, float]:
        wanted, ticks = {f"cpu{core}" for core in cores()}, 0
        with _STAT.open() as lines:
            for line in lines:
                name, *fields = line.split(maxsplit=9)
                if not name.startswith("cpu"):
                    break
                if name in wanted:  # user nice system idle iowait irq softirq steal
                    ticks += sum(map(int, fields[:3])) + sum(map(int, fields[5:8]))
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class Sleepers:
    """Teams of threads that do nothing, one for each GNU OpenMP in the process: torch and scikit-learn bring one each."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def add(self) -> None:
        """A team for each library that has none yet."""
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            path = library.filepath
            if library.prefix == "libgomp" and path not in self._threads:
                self._threads[path] = threading.Thread(target=self._hold, args=(path,), daemon=True)
                self._threads[path].start()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads.values():
            thread.join()

    def __len__(self) -> int:
        return len(self._threads)

    def _hold(self, path: str) -> None:
        library = ctypes.CDLL(path)
        nothing = ctypes.cast(library.omp_get_thread_num, ctypes.c_void_p)  # a function that reads no argument
        library.GOMP_parallel(nothing, None, ctypes.c_uint(len(cores()) + 1), ctypes.c_uint(0))
        self._end.wait()  # the team is this thread's, and ends with it


class _Watch:
    """One thread that looks at the load, for as long as somebody in the process is at work."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._end = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and available_threads() > 1 and _can_share():
                self._end = threading.Event()
                threading.Thread(target=self._look, args=(self._end, available_threads()), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end.set()

    def _look(self, end: threading.Event, team: int) -> None:
        load, sleepers, modules = Load(), None, 0
        while not end.wait(SECONDS):
            if load.others() > len(cores()) - team + SLACK:
                sleepers = sleepers or Sleepers()
                if modules != len(sys.modules):  # a library is loaded when it is needed; to look for them takes milliseconds
                    sleepers.add()
                    modules = len(sys.modules)
            elif sleepers is not None:
                sleepers.end()
                sleepers, modules = None, 0
        if sleepers is not None:
            sleepers.end()


_watch = _Watch()


def _can_share() -> bool:
    return sys.platform == "linux" and _STAT.exists() and not any(name in os.environ for name in _WAITING)
