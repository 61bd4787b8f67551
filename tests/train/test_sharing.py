"""While other processes want the cores, waiting threads sleep; otherwise all is as it was."""

import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from lamina.train import sharing
from lamina.train.sharing import Load, Sleepers, sharing_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the load of cores is read from /proc")


def write(stat: Path, *ticks: int) -> None:
    lines = [f"cpu{core} {busy} 0 0 {10**6} 0 0 0 {busy} 7 7" for core, busy in enumerate(ticks)]
    stat.write_text("\n".join(["cpu  9 9 9 9 9 9 9 9 9 9", *lines, "intr 1 2 3"]))


def test_load_counts_what_others_do_on_the_cores_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat, clock, own = tmp_path / "stat", iter([10.0, 12.0, 14.0]), iter([1.0, 1.5, 9.0])
    monkeypatch.setattr(sharing, "_STAT", stat)
    monkeypatch.setattr(sharing, "cores", lambda: {0, 2})
    monkeypatch.setattr(sharing.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(sharing.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(sharing.time, "process_time", lambda: next(own))
    write(stat, 0, 0, 0)
    load = Load()
    write(stat, 50, 10_000, 75)  # user and steal count; a core that is not ours does not
    assert load.others() == pytest.approx(((2 * 50 + 2 * 75) / 100 - 0.5) / 2)
    write(stat, 50, 10_000, 75)
    assert load.others() == 0.0


def openmp_threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_sleepers_are_there_until_they_end() -> None:
    from threadpoolctl import threadpool_info

    libraries = sum(library["prefix"] == "libgomp" for library in threadpool_info())
    before = openmp_threads()
    sleepers = Sleepers()
    sleepers.add()
    sleepers.add()
    assert len(sleepers._threads) == libraries
    deadline = time.monotonic() + 5
    while openmp_threads() < before + libraries * (len(sharing.cores()) + 1) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert openmp_threads() == before + libraries * (len(sharing.cores()) + 1)
    sleepers.end()
    while openmp_threads() > before and time.monotonic() < deadline:
        time.sleep(0.005)
    assert openmp_threads() == before


@pytest.mark.parametrize(("others", "expected"), [(0.0, []), (1.0, ["add"])])
def test_waiting_threads_sleep_beside_other_work(monkeypatch: pytest.MonkeyPatch, others: float, expected: list[str]) -> None:
    did: list[str] = []
    looked = threading.Event()

    class Noted:
        def add(self) -> None:
            did.append("add")

        def end(self) -> None:
            did.append("end")

    def load(_: object) -> float:
        if did or not others:
            looked.set()
        return others

    monkeypatch.setattr(sharing, "SECONDS", 0.002)
    monkeypatch.setattr(sharing, "Sleepers", Noted)
    monkeypatch.setattr(sharing.Load, "others", load)
    monkeypatch.setattr(sharing, "cores", lambda: {0, 1})
    monkeypatch.setattr(sharing, "available_threads", lambda: 2)
    monkeypatch.setattr(sharing, "_can_share", lambda: True)
    with sharing_cores():
        assert looked.wait(5)
        assert did[:1] == expected
    deadline = time.monotonic() + 5
    while did != [*expected, *(["end"] if expected else [])] and time.monotonic() < deadline:
        time.sleep(0.002)
    assert did == [*expected, *(["end"] if expected else [])]


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_who_has_chosen_how_to_wait_is_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in sharing._WAITING:
        monkeypatch.delenv(variable, raising=False)
    assert sharing._can_share()
    monkeypatch.setenv(name, "passive")
    assert not sharing._can_share()


def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    with sharing_cores():
        assert torch.get_num_threads() <= before
    assert torch.get_num_threads() == before
