"""Forked processes: predictions of a model that the parent loaded, fitted or used, where its threads do not exist."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

ROWS = """
import multiprocessing, numpy as np, polars as pl, sys, lamina
random = np.random.default_rng(0)
rows = {"x": random.normal(size=80), "g": random.choice(list("abc"), 80), "y": random.choice(["p", "q"], 80)}
dated = rows | {"day": [f"2020-01-{1 + i % 28:02d}" for i in range(80)], "cost": [f"{i}.5 kg" for i in range(80)],
                "wave": [[float(i), 1.0, 2.0] for i in range(80)]}
def fit(table, family="auto"):
    return lamina.fit(table, "y", family=family, recipe=lamina.Recipe(epochs=1), seed=0, monitor=None)
def ask(method="predict", **options):
    return np.asarray(getattr(model, method)(table, **options)).tolist()
def pool(*given, **options):
    with multiprocessing.get_context("fork").Pool(1) as workers:
        return workers.apply_async(ask, given, options).get(timeout=40)
"""


def run(code, *words):
    """The lines that code prints in a new process with several threads."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2"}
    command = [sys.executable, "-W", "ignore", "-c", ROWS + code, *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_a_child_predicts_after_a_fit_and_predictions():
    code = """
table = rows
model = fit(table)
expected = ask(), ask("predict_proba")
assert pool() == expected[0]
assert np.allclose(pool("predict_proba"), expected[1])
table = pl.DataFrame(rows)
assert pool() == expected[0]
for family in ("forest", "boosting", "linear"):
    model = fit(table, family)
    assert pool() == ask()
"""
    run(code)


def test_a_child_predicts_after_load(tmp_path):
    code = """
table = rows
if len(sys.argv) == 2:
    fit(table).save(sys.argv[1])
    sys.exit()
model = lamina.load(sys.argv[1])
first = pool()
assert first == ask() == pool()
import joblib
with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
    assert joblib.Parallel()(joblib.delayed(ask)() for _ in range(2)) == [first, first]
"""
    run(code, tmp_path / "m.lamina")
    run(code, tmp_path / "m.lamina", "load")


def test_a_call_that_needs_the_threads_of_the_parent_is_an_error():
    code = """
from lamina import forked
table = dated
model = fit(table)
pl.LazyFrame(rows).select(pl.col("x") + 1).collect(engine="streaming")  # its threads are in the parent
forked.ENTRY_SECONDS, forked.IDLE_SECONDS = 0.5, 2
try: pool()
except lamina.errors.ForkError as error: print(error)
"""
    (line,) = run(code)
    assert line.startswith("predict waits for threads of polars, which a forked process does not have; start processes with")
    assert "get_context('spawn')" in line


def test_an_error_in_a_child_is_its_own_and_its_process_goes_on():
    code = """
table = rows
model = fit(table, "linear")
def both():
    try: model.predict({"x": [1.0]})
    except lamina.errors.SchemaError as error: return str(error), ask()
with multiprocessing.get_context("fork").Pool(1) as workers:
    text, labels = workers.apply_async(both).get(timeout=40)
assert "'g'" in text and labels == ask()
"""
    run(code)


def test_gunicorn_with_preload(tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(
        ROWS + "model = fit(rows)\nmodel.predict(rows)\n"
        "def app(environ, start):\n    start('200 OK', [])\n    return [str(len(model.predict(rows))).encode()]\n"
    )
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "1", "-b", "127.0.0.1:18765", "app:app"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2"}
    server = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            try:
                answer = urllib.request.urlopen("http://127.0.0.1:18765", timeout=20).read()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        assert answer == b"80"
    finally:
        server.terminate()
        server.wait(20)
