"""A tuning whose process is killed in a trial loses that trial only."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import lamina
from lamina.tuning.study import RESULT

CODE = """
import sys, lamina
sys.path.insert(0, {path!r})
from tests.tuning.test_killed import CALL, table
lamina.tune(table(), "y", run=sys.argv[1], **CALL)
"""
CALL = {"family": "boosting", "trials": 5, "folds": 2, "sampler": "random", "monitor": None}


def table():
    x = np.random.default_rng(0).normal(size=(200, 3))
    return {f"x{i}": x[:, i] for i in range(3)} | {"y": x[:, 0] * x[:, 1]}


def ended(folder):
    journal = folder / "journal.log"
    return journal.read_text().count(f'"{RESULT}"') if journal.exists() else 0


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_killed_tuning_goes_on(tmp_path):
    folder, root = tmp_path / "r", os.getcwd()
    child = subprocess.Popen([sys.executable, "-W", "ignore", "-c", CODE.format(path=root), str(folder)])
    try:
        end = time.monotonic() + 120
        while ended(folder) < 2 and time.monotonic() < end and child.poll() is None:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
    finally:
        child.kill()
    before = ended(folder)
    assert 2 <= before < 5
    result = lamina.resume(folder, monitor=None)
    assert len(result.trials) == 5
    assert [one.number for one in result.trials] == list(range(5))
    assert result.trials[0].defaults == "boosting"
    assert ended(folder) == 5  # none of those that ended was repeated
    assert len({str(one.params) for one in result.trials}) == 5  # nor was any settings tried twice
    assert result.model.predict({"x0": [0.5], "x1": [0.5], "x2": [0.0]}).shape == (1,)
