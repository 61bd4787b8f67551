"""Workers end with the comparison that started them, also when it was killed in the middle of their fits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CODE = """
import numpy as np, sys, lamina
x = np.random.default_rng(0).normal(size=(400, 8))
table = {f"x{i}": x[:, i] for i in range(8)} | {"y": np.where(x[:, 0] * x[:, 1] > 0, "a", "b")}
lamina.compare(table, "y", families=["feedforward"], recipe=lamina.Recipe(epochs=10_000, patience=10_000), folds=2, repeats=1,
               workers=1, run=sys.argv[1], monitor=None)
"""


def workers(folder):
    """The processes whose command line has the folder and the module of a worker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "lamina.comparison.worker" in words and str(folder) in words:
            found.append(int(path.parent.name))
    return found


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds processes in /proc")
def test_workers_end_when_the_comparison_is_killed(tmp_path):
    folder = tmp_path / "r"
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", CODE, str(folder)])
    try:
        assert wait_for(lambda: workers(folder), 60)
        (worker,) = workers(folder)
        busy = Path(f"/proc/{worker}/stat")
        assert wait_for(lambda: int(busy.read_text().rsplit(")")[1].split()[11]) > 350, 60)  # 3.5 s of CPU time: it fits
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
        assert wait_for(lambda: not workers(folder), 5)
    finally:
        parent.kill()
        for pid in workers(folder):
            os.kill(pid, signal.SIGKILL)
