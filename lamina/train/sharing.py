"""Make OpenMP threads sleep instead of spin while other processes use the same cores.

OpenMP threads spin for some milliseconds at a barrier before they sleep. On cores shared with other processes this delays the
slowest thread, and small steps become a hundred times slower. The spin count is read from the environment when the library is
loaded; but GNU OpenMP hardly spins while it manages more threads than there are cores. So while other processes are busy, a
thread keeps an additional, sleeping team. The number of computing threads does not change, so results are the same bits.
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

SECONDS = 0.25  # between two measurements of the load
SLACK = 0.25  # load of other processes, in cores, that is ignored
_STAT = Path("/proc/stat")
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")  # the user's own setting


@contextmanager
def sharing_cores() -> Iterator[None]:
    """Use the available threads, and adapt to the load of other processes; also a decorator.

    Example:
        >>> with sharing_cores():
        ...     available_threads() >= 1
        True
    """
    with threads(available_threads()), _watch:
        yield


def cores() -> set[int]:
    """The numbers of the cores that this process may run on; Linux only, as all of this."""
    return os.sched_getaffinity(0)


class Load:
    """The load of other processes on the cores of this process."""

    def __init__(self) -> None:
        self._before = self._used()

    def others(self) -> float:
        """The number of cores that other processes and virtual machines used since the last call."""
        (time_before, all_before, own_before), self._before = self._before, self._used()
        now, all_now, own_now = self._before
        return max(0.0, (all_now - all_before - own_now + own_before) / max(now - time_before, 1e-3))

    def _used(self) -> tuple[float, float, float]:
        names, ticks = {f"cpu{core}" for core in cores()}, 0
        with _STAT.open() as lines:
            for line in lines:
                name, *fields = line.split(maxsplit=9)
                if not name.startswith("cpu"):
                    break
                if name in names:  # user nice system idle iowait irq softirq steal
                    ticks += sum(map(int, fields[:3])) + sum(map(int, fields[5:8]))
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class Sleepers:
    """Sleeping teams of threads, one for each GNU OpenMP library in the process (torch and scikit-learn have one each)."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self._threads: dict[str, threading.Thread] = {}

    def add(self) -> None:
        """Start a team for each library without one."""
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            path = library.filepath
            if library.prefix == "libgomp" and path not in self._threads:
                self._threads[path] = threading.Thread(target=self._keep_team, args=(path,), daemon=True)
                self._threads[path].start()

    def end(self) -> None:
        self._end.set()
        for thread in self._threads.values():
            thread.join()

    def _keep_team(self, path: str) -> None:
        library = ctypes.CDLL(path)
        nothing = ctypes.cast(library.omp_get_thread_num, ctypes.c_void_p)  # a function that reads no argument
        library.GOMP_parallel(nothing, None, ctypes.c_uint(len(cores()) + 1), ctypes.c_uint(0))
        self._end.wait()  # the team ends with this thread


class _Watch:
    """A context manager, shared by all users in the process, with one thread that measures the load."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0
        self._end = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and available_threads() > 1 and _can_share():
                self._end = threading.Event()
                threading.Thread(target=self._run, args=(self._end, available_threads()), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._end.set()

    def _run(self, end: threading.Event, team: int) -> None:
        load, sleepers, modules = Load(), None, 0
        while not end.wait(SECONDS):
            if load.others() > len(cores()) - team + SLACK:
                sleepers = sleepers or Sleepers()
                if modules != len(sys.modules):  # finding libraries takes milliseconds
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
