"""The GPU benchmark, and what is packed for a machine without network: every line runs here, with made-up data on the CPU."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import datasets, gpu, measure, pack
from benchmarks.__main__ import main


def test_without_a_gpu_it_says_so_and_ends_with_2(monkeypatch, capsys):
    monkeypatch.setattr(measure, "run", lambda job, **others: {"error": "RuntimeError: PyTorch 9 sees no CUDA device"})
    with pytest.raises(SystemExit) as end:
        main(["gpu"])
    assert end.value.code == 2
    assert capsys.readouterr().out == (
        "no GPU to measure on (RuntimeError: PyTorch 9 sees no CUDA device); "
        "take a machine with one, or try this out: --device cpu --quick\n"
    )


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"PyTorch .* sees no CUDA device"):
        gpu.probe("cuda")


def _here(job, *, timeout, log=None, **arguments):
    """A part in this process: it takes long enough to start one."""
    assert timeout > 0
    return getattr(gpu, job.partition(":")[2])(**arguments)


@pytest.fixture
def in_this_process(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "run", _here)
    monkeypatch.setattr(pytest, "main", _tests_that_pass)  # not pytest in pytest
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    return tmp_path / "out"


def _tests_that_pass(arguments, plugins):
    assert arguments[1:3] == ["-m", "gpu"]

    class Report:
        def __init__(self, when, outcome):
            self.when, self.nodeid, self.longreprtext = when, "test_x", "why"
            self.passed, self.failed, self.skipped = (outcome == name for name in ("passed", "failed", "skipped"))

    for report in (Report("setup", "passed"), Report("call", "passed"), Report("setup", "skipped"), Report("call", "failed")):
        plugins[0].pytest_runtest_logreport(report)
    return 1


def test_every_part_runs_and_its_row_is_written_at_once(in_this_process, capsys):
    main(["gpu", "--device", "cpu", "--quick"])
    written = json.loads((in_this_process / "gpu.json").read_text())
    rows = {result["part"]: result for result in written["results"]}
    assert list(rows) == list(gpu.PARTS)
    assert written["machine"]["gpu"] == "none: on the CPU"
    assert rows["tests"]["result"] == "1 passed, 1 failed, 1 skipped"
    assert rows["tests"]["failed"] == ["test_x"]
    assert rows["mnist"]["epochs"] == rows["cifar10"]["epochs"] == 2
    assert rows["cifar10"]["parameters"] == 482_730  # the network of a CPU
    for part in ("mlp small", "mlp large", "lstm", "attention"):
        assert rows[part]["steps_per_second"]["graph"] > 0
        assert 0 <= rows[part]["accuracy"]["eager"] <= 1
    page = (in_this_process / "gpu.md").read_text()
    assert page.count("\n| ") == 1 + len(gpu.PARTS)
    assert "GPU: none: on the CPU." in page
    assert page.strip() in capsys.readouterr().out


def test_what_fails_is_a_row_and_time_is_kept(monkeypatch, tmp_path):
    clock = [0.0]

    def failing(job, *, timeout, log=None, **arguments):
        if job.endswith("probe"):
            return gpu.probe("cpu")
        clock[0] += 200
        return {"error": f"more than {timeout:g} s"}

    monkeypatch.setattr(measure, "run", failing)
    monkeypatch.setattr(gpu.time, "monotonic", lambda: clock[0])
    main(["gpu", "--device", "cpu", "--folder", str(tmp_path)])
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert rows[0] == "| tests | failed: more than 150 s |  | no |  |"
    assert rows[2] == "| cifar10 | failed: more than 70 s |  | no |  |"
    assert rows[3] == "| mlp small | failed: not run: no time was left |  | no |  |"


def test_a_log_keeps_what_a_process_wrote(tmp_path):
    found = measure.run("benchmarks.datasets:load", log=tmp_path / "new" / "gpu.log", name="nothing")
    assert "KeyError" in found["error"]
    text = (tmp_path / "new" / "gpu.log").read_text()
    assert text.startswith("== benchmarks.datasets:load\n")
    assert "Traceback" in text


@pytest.mark.parametrize("shape", [(6, 6), (6, 4, 3)])
def test_what_is_packed_comes_back_bit_by_bit_in_folders_small_enough(shape, monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    parts = [datasets.Rows(random.integers(0, 256, (n, *shape)).astype(np.uint8), np.arange(n) % 3) for n in (23, 7)]
    monkeypatch.setattr(datasets, "load_rows", lambda name: parts)
    monkeypatch.setattr(pack, "IMAGES", 10)
    folders = pack.write(tmp_path / "pack", [], "3.12", ("some",), limit=1)
    assert folders == [tmp_path / "pack" / "1"]
    assert len(list(folders[0].iterdir())) == 2 + 3 + 1
    for mine, theirs in zip(pack.load(folders[0], "some"), parts, strict=True):
        np.testing.assert_array_equal(mine.values, theirs.values)
        np.testing.assert_array_equal(mine.labels, theirs.labels)
    next(folders[0].glob("some-train-001*")).unlink()
    with pytest.raises(FileNotFoundError, match="has 13 of 23 images of some-train"):
        pack.load(folders[0], "some")


def test_files_are_shared_out(tmp_path):
    for name, size in (("a", 50), ("b", 40), ("c", 30), ("d", 10)):
        (tmp_path / name).write_bytes(b"x" * size)
    folders = pack._split(sorted(tmp_path.iterdir()), tmp_path / "out", 60)
    assert [sorted(file.name for file in folder.iterdir()) for folder in folders] == [["a", "d"], ["b"], ["c"]]


def test_wheels_are_asked_for_and_installed_without_what_they_need(monkeypatch, tmp_path, capsys):
    commands = []

    def run(command, check):
        commands.append(command)
        if "download" in command:
            (pack.Path(command[command.index("--dest") + 1]) / "some-1.0-py3-none-any.whl").write_bytes(b"wheel")

    monkeypatch.setattr(pack.subprocess, "run", run)
    monkeypatch.setattr(pack, "SETS", ())
    monkeypatch.setattr(pack.write, "__defaults__", ((), pack.LIMIT))
    main(["gpu", "--pack", str(tmp_path / "pack"), "--packages", "some==1.0", "numpy", "no-such-thing"])
    assert commands[0][-3:] == ["some==1.0", f"numpy=={np.__version__}", "no-such-thing"]
    assert "--no-deps" in commands[0]
    assert capsys.readouterr().out == f"{tmp_path / 'pack' / '1'}: 0.0 MiB\n"
    assert pack.install(tmp_path / "pack" / "1", tmp_path / "site") == ["some"]
    assert {"--no-index", "--no-deps", "--target"} <= set(commands[1])
    assert pack.install(tmp_path, tmp_path / "site") == []
    assert len(commands) == 2


def test_what_was_packed_reaches_the_processes(monkeypatch, tmp_path):
    monkeypatch.setattr(pack, "install", lambda folder, target: [])
    monkeypatch.setenv("PYTHONPATH", "before")
    seen = []

    def run(job, **others):
        seen.append((dict(gpu.os.environ), others))
        return gpu.probe("cpu") if job.endswith("probe") else {"error": "x"}

    monkeypatch.setattr(measure, "run", run)
    given = ["gpu", "--device", "cpu", "--packed", str(tmp_path), "--folder", str(tmp_path), "--parts", "mnist"]
    main(given)
    assert seen[0][0]["PYTHONPATH"].endswith(":before")
    assert seen[0][0]["CUDA_VISIBLE_DEVICES"] == ""
    assert seen[1][1]["packed"] == str(tmp_path.resolve())
    assert gpu.os.environ["PYTHONPATH"] == "before"
