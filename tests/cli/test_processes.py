"""Real processes: pipes, signals, full disks, and resuming."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import torch

from lamina import store
from tests.cli.helpers import QUICK, lamina, people

LAMINA = (sys.executable, "-c", "from lamina.cli import main; main()")
EAGER = (
    sys.executable,
    "-c",
    "from lamina.train import loop; loop.CHECKPOINT_SECONDS = 0; from lamina.cli import main; main()",
)
FIT = ("fit", "people.csv", "--target", "income", "--set", "recipe.patience=none", "--set", "recipe.learning_rate=1e-5")
EPOCHS = 150


def start(*words: str, command: tuple[str, ...] = LAMINA, **more) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, **more
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def events(run: str) -> int:
    path = Path(run, "events.jsonl")
    return len(path.read_text().splitlines()) if path.exists() else 0


def weights(run: str) -> dict[str, torch.Tensor]:
    return store.load(Path(run, "model.lamina")).net.state_dict()


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The final weights of a run that is not interrupted."""
    folder = tmp_path_factory.mktemp("undisturbed")
    people().write_csv(folder / "people.csv")
    words = [str(folder / word) if word == "people.csv" else word for word in long_fit("run")]
    words[words.index("run")] = str(folder / "run")
    result = lamina(*words, "--out", folder / "model.lamina")
    assert result.code == 0, result.err
    return weights(str(folder / "run"))


def long_fit(run: str) -> list[str]:
    return [*FIT, *QUICK, "--set", f"recipe.epochs={EPOCHS}", "--run", run]


def test_commands_in_a_shell(table):
    fit = start("fit", "people.csv", "--target", "income", *QUICK)
    out, err = fit.communicate(timeout=120)
    assert (fit.returncode, err) == (0, "")
    assert "lamina predict income.lamina new.csv" in out
    pipe = subprocess.run(
        f"{sys.executable} -c 'from lamina.cli import main; main()' predict income.lamina people.csv | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert (pipe.stdout, pipe.stderr) == ("income,probability <=50K,probability >50K\n", "")


def test_ctrl_c_keeps_the_best_model_and_resume_continues(table, undisturbed):
    Path("income.lamina").write_text("an older model")
    process = start(*long_fit("run"), command=EAGER)
    wait_for(lambda: events("run") > 20, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert "stopped by Ctrl-C" in out
    assert "lamina resume run --out income.lamina" in out
    assert Path("income.lamina").read_text() == "an older model"
    assert len(weights("run")) == len(undisturbed)
    assert json.loads(lamina("info", "run", "--json").out)["state"] == "ended by Ctrl-C"
    assert lamina("resume", "run", "--out", "income.lamina").code == 0
    assert_same(weights("run"), undisturbed)
    assert Path("income.lamina").read_bytes() == Path("run/model.lamina").read_bytes()


def test_kill_9_and_resume_ends_with_the_same_weights(table, undisturbed):
    process = start(*long_fit("run"), command=EAGER)
    wait_for(lambda: Path("run/checkpoint.safetensors").exists(), process)
    process.kill()
    process.communicate(timeout=60)
    assert not Path("run/model.lamina").exists()
    result = lamina("resume", "run")
    assert (result.code, result.err) == (0, "")
    assert_same(weights("run"), undisturbed)


def test_kill_9_and_resume_of_a_comparison_ends_with_its_board(table):
    families = ("--family", "constant", "--family", "linear", "--family", "forest")
    folds = ("--folds", "3", "--repeats", "2", "--workers", "1", "--metric", "balanced_accuracy")
    process = start("compare", "people.csv", "--target", "income", *families, *folds, "--run", "run")
    wait_for(lambda: events("run") > 4, process)
    process.kill()
    process.communicate(timeout=60)
    before = Path("run/events.jsonl").read_text().rpartition("\n")[0]
    about = json.loads(lamina("info", "run", "--json").out)
    assert (about["verb"], about["state"], about["fits"], about["board"]) == ("compare", "not finished", 18, None)
    assert 3 < about["done"] < 18
    Path("run").rename("moved")  # the folder that is given now is the one that counts
    result = lamina("resume", "moved", "--json", "--out", "best.lamina")
    assert (result.code, result.err) == (0, "")
    board = json.loads(result.out)
    assert (board["complete"], board["metric"], board["folds"], board["run"]) == (True, "balanced_accuracy", 6, "moved")
    after = Path("moved/events.jsonl").read_text()
    assert after.startswith(before)
    assert after.count('"result"') == 18
    best = store.load("best.lamina")
    assert best.family == next(
        line["family"]["name"] for line in board["candidates"] if line["candidate"]["name"] == board["verdict"]["take"]
    )
    assert Path("best.lamina").read_bytes() == Path("moved/model.lamina").read_bytes()
    assert sorted(os.listdir()) == ["best.lamina", "moved", "people.csv"]


def test_a_full_disk_is_an_error_and_resume_continues(table, undisturbed):
    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))

    process = start(*long_fit("run"), command=EAGER, preexec_fn=little_room)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(
        r"lamina: cannot write to the run folder run: .*File too large.*; free disk space .*: lamina resume run\n", err
    )
    result = lamina("resume", "run")
    assert (result.code, result.err) == (0, "")
    assert_same(weights("run"), undisturbed)


def test_an_interrupt_while_reading_leaves_nothing(table):
    os.mkfifo("slow.csv")
    process = start("fit", "slow.csv", "--target", "income")
    with open("slow.csv", "w") as pipe:  # opens once the process reads
        pipe.write("a,b\n")
        pipe.flush()
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "lamina: stopped\n")
    assert sorted(os.listdir()) == ["people.csv", "slow.csv"]


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A command of bash in which ``lamina`` is this one."""
    return subprocess.run(
        ["bash", "-c", f'lamina() {{ {sys.executable} -m lamina "$@"; }}; {command}'],
        capture_output=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_data_from_pipes(table, model):
    fit = shell("cat people.csv | lamina fit - --target income --family linear --out m.lamina --run run")
    assert (fit.returncode, fit.stderr) == (0, b"")
    data = json.loads(Path("run/run.json").read_text())["data"]
    assert data["copy"] == "data.arrow"  # so that it can be resumed
    expected = shell(f"lamina predict {model} people.csv")
    assert expected.returncode == 0
    for words in ("<(cat people.csv)", "- < people.csv", "/dev/stdin < <(gzip -c people.csv)"):
        done = shell(f"lamina predict {model} {words}")
        assert (done.returncode, done.stdout, done.stderr) == (0, expected.stdout, b""), words
    compare = shell("cat people.csv | lamina compare /dev/stdin --target income --family constant --folds 2 --repeats 1")
    assert (compare.returncode, compare.stderr) == (0, b"")
    assert os.listdir("runs") == ["stdin-compare-1"]


def test_results_are_utf8_in_a_pipe(table, model):
    rows = people(3).with_columns(town=pl.Series(["Zürich", "Київ", "東京"]))
    rows.write_csv("new.csv")
    done = shell(f"lamina predict {model} new.csv --keep", PYTHONIOENCODING="cp1252")
    assert done.returncode == 0
    assert pl.read_csv(done.stdout)["town"].to_list() == rows["town"].to_list()
    done = shell(f"lamina predict {model} new.csv --json", PYTHONIOENCODING="ascii")
    assert "Київ" in " ".join(json.loads(done.stdout)["notes"])


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("lamina predict MODEL people.csv >&-", 1, "lamina: stdout: Bad file descriptor\n"),
        ("lamina predict MODEL people.csv --out p.csv 2>&-", 0, ""),
        ("lamina --help >/dev/full", 1, "lamina: stdout: No space left on device\n"),
        ("set -o pipefail; lamina --help | true", 0, ""),
    ],
)
def test_a_stdout_that_cannot_be_written(table, model, command, code, message):
    done = shell(command.replace("MODEL", str(model)))
    assert (done.returncode, done.stderr.decode()) == (code, message)


def test_completion_can_be_installed(tmp_path):
    done = shell("lamina --install-completion bash", HOME=str(tmp_path), _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, done.stderr) == (0, b"")
