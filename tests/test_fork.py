"""Forked processes: calls of a model that the parent loaded, fitted or used, where its threads do not exist."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import polars as pl
import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")

GOLDEN = Path(__file__).parent / "golden"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "2", "POLARS_MAX_THREADS": "2"}
FITTED = """
import io, joblib, multiprocessing, os, pickle, sys, threading, warnings
import numpy as np, pandas as pd, polars as pl, lamina
from lamina import Classifier, Recipe
def lost(made, given):  # cannot be imported elsewhere
    return 0.0
random = np.random.default_rng(0)
rows = {"x": random.normal(size=60), "g": random.choice(list("abc"), 60), "y": random.choice(["p", "q"], 60),
        "day": [f"2020-01-{1 + i % 28:02d}" for i in range(60)], "cost": [f"{i}.5 kg" for i in range(60)],
        "wave": [[float(i), 1.0, 2.0] for i in range(60)], "note": [f"some words are here, {i}" for i in range(60)],
        "photo": list(random.integers(0, 255, (60, 8, 8), np.uint8))}
plain = pd.DataFrame({name: rows[name] for name in "xgy"})
one = dict(recipe=Recipe(epochs=1), monitor=None)
model = lamina.fit(rows, "y", **one)
pl.DataFrame(rows["x"]).sort("column_0").lazy().select(pl.all() + 1).collect(engine="streaming")
"""


def run(code, *words):
    """The lines that code prints in a new process with several threads."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, words)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr
    return done.stdout.splitlines()


def test_a_child_answers_after_a_fit_and_predictions(tmp_path):
    code = """
def ask(given):
    trusted = given.predict(rows, trust=True)
    numbers = given.predict_proba(rows), given.importance(rows, repeats=1)["importance"].to_numpy()
    return trusted, given.predict(rows), given.classes_.tolist(), numbers, given.evaluate(rows)["rows"]
def child(pickled, path):
    global rows
    results = [ask(model), ask(pickled), ask(lamina.load(path))]
    assert pickle.loads(pickle.dumps(pickled)).save(path + "2").read_bytes() == model.save(path + "3").read_bytes()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model.predict({**rows, "g": ["new"] * 60})
    results.append((str(warned[0].message), model.notes_))
    try: model.predict({"x": [1.0]})
    except lamina.LaminaError as error: results.append((type(error).__name__, str(error)))
    own = Classifier("linear", random_state=0)
    assert own.fit(plain[["x", "g"]], plain["y"]) is own
    try: lamina.Stream(model)
    except lamina.errors.ForkError: pass
    else: raise AssertionError
    gathered = lamina.gather_series({"who": ["a", "b", "a"], "pulse": [71, 64, 70]}, "who")
    assert gathered.to_dict(as_series=False)["who"] == ["a", "b"]
    results += [own.predict_proba(plain[["x", "g"]]), own.feature_names_in_.tolist()]
    results.append(lamina.fit(plain, "y", family="linear", monitor=None).predict(plain).tolist())
    try: Classifier("feedforward", Recipe(metric=lost)).fit(plain[["x", "g"]], plain["y"])
    except lamina.errors.ForkError as error: results.append(str(error))
    thread = threading.Thread(target=fork, args=[results])
    thread.start()
    thread.join()
    return [*results, len(model.predict(rows))], own
def fork(results):
    if not (pid := os.fork()):
        os._exit(len(model.predict(rows)))
    results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
expected, path = ask(model), sys.argv[1]
own = Classifier("linear", random_state=0).fit(plain[["x", "g"]], plain["y"])
with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
    calls = [joblib.delayed(child)(model, str(model.save(path))), joblib.delayed(ask)(model)]
    (results, fitted), other = joblib.Parallel()(calls)
*answers, warned, error, proba, names, labels, lost_, grandchild, again = results
for answer in (*answers, other):
    assert answer[0][["y", "set", "is_novel"]].equals(expected[0][["y", "set", "is_novel"]])
    assert answer[1].tolist() == expected[1].tolist() and answer[2] == expected[2] and answer[4] == expected[4]
    assert all(np.allclose(*pair, atol=1e-5) for pair in zip(answer[3], expected[3]))
assert "new" in warned[0] and warned[1] == (warned[0],)
assert error[0] == "SchemaError" and "'g'" in error[1], error
assert np.allclose(proba, own.predict_proba(plain[["x", "g"]])) and names == ["x", "g"]
assert np.allclose(fitted.predict_proba(plain[["x", "g"]]), proba)
assert labels == lamina.fit(plain, "y", family="linear", monitor=None).predict(plain).tolist()
assert (grandchild, again) == (60, 60)
print(lost_)
"""
    (line,) = run(FITTED + code, tmp_path / "m.lamina")
    assert line.startswith("Estimator.fit cannot be computed in another process after a fork: ")
    assert "start processes with multiprocessing.get_context('spawn'), or load the model after the fork" in line


def test_gunicorn_with_preload(tmp_path):
    pytest.importorskip("gunicorn")
    (tmp_path / "app.py").write_text(
        f"import os, lamina\nmodel = lamina.load({str(GOLDEN / '0.1.0.lamina')!r})\nrows = {str(GOLDEN / '0.1.0.csv')!r}\n"
        "def app(environ, start):\n    start('200 OK', [])\n    return [f'{len(model.predict(rows))} {os.getpid()}'.encode()]\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-t", "90", "-b", address, "app:app"]
    server = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL)

    def request(answers):
        for _ in range(600):
            try:
                answers.append(urllib.request.urlopen(f"http://{address}", timeout=90).read().split())
                return
            except urllib.error.URLError:
                time.sleep(0.1)

    try:
        answers: list[list[bytes]] = []
        for _ in range(10):
            threads = [threading.Thread(target=request, args=[answers]) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert [int(rows) for rows, _ in answers] == [len(pl.read_csv(GOLDEN / "0.1.0.csv"))] * 20
        assert len({worker for _, worker in answers}) == 2
    finally:
        server.terminate()
        server.wait(20)
