"""Run folders: whole files at each moment, events that survive a cut, checkpoints."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch

from lamina.errors import RunError
from lamina.train.events import End, Epoch, Start, StopReason
from lamina.train.recipe import Recipe
from lamina.train.run import Run, replacing

START = Start(80, 20, "feedforward", Recipe(epochs=3), notes=("a note",))
EPOCH = Epoch(0, 0.5, 0.01, 10, 1.0, 1.5, True, {"loss": 0.25, "accuracy": 0.75})


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "r", {"target": "y"})


def test_replacing_leaves_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "f"
    path.write_text("old")

    def write(text):
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError(text)

    with pytest.raises(ZeroDivisionError):
        write("half")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f"]
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644 or os.umask(0o22) != 0o22


def test_a_cut_event_is_left_out_and_rewound(run):
    for event in (START, EPOCH, dataclasses.replace(EPOCH, epoch=1)):
        run.write(event)
    with (run.folder / "events.jsonl").open("a") as file:
        file.write('{"event": "epo')
    assert run.events() == [START, EPOCH, dataclasses.replace(EPOCH, epoch=1)]
    run.rewind(lambda event: not isinstance(event, Epoch) or event.epoch < 1)
    assert run.events() == [START, EPOCH]
    assert (run.folder / "events.jsonl").read_text().endswith("}\n")


def test_checkpoints_come_back(run):
    assert run.load_checkpoint() is None
    run.save_checkpoint({"w": torch.arange(3.0)}, {"epoch": 4})
    tensors, state = run.load_checkpoint()
    assert tensors["w"].tolist() == [0, 1, 2]
    assert state == {"epoch": 4}


def test_finished_means_a_model_and_its_own_end(run):
    run.write(End(StopReason.INTERRUPTED))
    run.model_path.write_text("")
    assert not run.finished
    run.write(End(StopReason.PATIENCE))
    assert run.finished


def test_bad_folders_are_refused_by_name(tmp_path, run):
    with pytest.raises(RunError, match=r"is not empty; choose another, or resume it: lamina resume"):
        Run.create(run.folder, {})
    with pytest.raises(RunError, match=r"has no run: there is no run.json in it"):
        Run.open(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write the run folder .*choose another with --run"):
        Run.create(tmp_path / "file" / "r", {})
    (run.folder / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(RunError, match=r"was created by a newer lamina"):
        Run.open(run.folder)
    (run.folder / "run.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(RunError, match=r"was created by an earlier lamina, whose options had other names; start a new run"):
        Run.open(run.folder)
    (run.folder / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"cannot read"):
        Run.open(run.folder)
    (run.folder / "checkpoint.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(RunError, match=r"is damaged .*delete it to start again"):
        run.load_checkpoint()


def test_a_cut_line_is_dropped_before_the_next_event(run):
    run.write(START)
    with (run.folder / "events.jsonl").open("a") as file:
        file.write('{"event": "epo')
    again = Run.open(run.folder)
    again.write(EPOCH)
    again.write(End(StopReason.PATIENCE))
    assert again.events() == [START, EPOCH, End(StopReason.PATIENCE)]


def test_a_first_event_that_was_cut_is_dropped(run):
    (run.folder / "events.jsonl").write_text('{"event": "sta')
    run.write(START)
    assert run.events() == [START]


def test_fresh_folders_count_up_and_are_created(tmp_path):
    first = Run.fresh_folder("my data", tmp_path)
    assert first.name == "my-data-1"
    assert first.is_dir()
    assert Run.fresh_folder("my data", tmp_path).name == "my-data-2"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write the run folder .*choose another with --run"):
        Run.fresh_folder("my data", tmp_path / "file")


def test_a_folder_with_a_temporary_file_of_a_killed_process_is_new(tmp_path):
    (tmp_path / ".run.json.k2x_9a").write_text("{")
    with pytest.raises(RunError, match="has no run"):
        Run.open(tmp_path)
    Run.create(tmp_path, {"target": "y"})
    assert Run.open(tmp_path).settings["target"] == "y"
    assert sorted(os.listdir(tmp_path)) == [".run.json.k2x_9a", "run.json"]


def test_a_folder_with_other_files_is_not_a_run_to_resume(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty; choose another, or empty it"):
        Run.create(tmp_path, {})


def test_one_of_several_processes_creates_a_run(tmp_path):
    code = (
        "import sys, pathlib; from lamina.errors import RunError; from lamina.train.run import Run\n"
        "print('ready', flush=True); sys.stdin.readline(); folder = pathlib.Path(sys.argv[1])\n"
        "try: Run.create(folder, {'by': sys.argv[2]}); print('created', sys.argv[2])\n"
        "except RunError as error: Run.discard_empty(folder); print(error)\n"
        "print(Run.fresh_folder('d', sys.argv[3]).name)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "r")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([*command, str(number), str(tmp_path / "runs")], **pipes) for number in range(6)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    lines = [process.communicate()[0].splitlines() for process in processes]
    (created,) = [first for first, _ in lines if first.startswith("created")]
    assert sum("is not empty; choose another, or resume it" in first for first, _ in lines) == 5
    assert Run.open(tmp_path / "r").settings["by"] == created.split()[1]
    assert sorted(second for _, second in lines) == [f"d-{number}" for number in range(1, 7)]


def test_one_of_several_processes_writes_to_a_run(run):
    code = "import sys; from lamina.train.run import Run\nwith Run.open(sys.argv[1]).claimed(): print('claimed'); input()"
    command = [sys.executable, "-u", "-c", code, run.folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(RunError, match=r"another process writes to the run .*; wait until it has ended"), run.claimed():
            pass
        other.kill()
    for _ in range(2):
        with run.claimed():
            pass


def test_only_an_own_run_without_events_is_discarded(tmp_path):
    other = Run.create(tmp_path / "new" / "r", {})
    (other.folder / "mine.txt").write_text("")
    Run.discard_empty(other.folder)
    assert os.listdir(other.folder) == ["mine.txt"]
    own = Run.create(tmp_path / "a" / "b" / "r", {})
    Run.discard_empty(own.folder)
    assert not (tmp_path / "a").exists()
    begun = Run.create(tmp_path / "c", {})
    begun.write(START)
    Run.discard_empty(begun.folder)
    assert begun.events() == [START]


def test_a_full_disk_is_an_error_and_keeps_the_old_checkpoint(run):
    run.save_checkpoint({"w": torch.zeros(10)}, {"epoch": 1})
    code = (
        "import resource, signal, sys, torch; from lamina.train.run import Run\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "Run.open(sys.argv[1]).save_checkpoint({'w': torch.ones(1_000_000)}, {'epoch': 2})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(run.folder)], capture_output=True, text=True)
    assert "RunError: cannot write to the run folder" in done.stderr
    assert "lamina resume" in done.stderr
    assert run.load_checkpoint()[1] == {"epoch": 1}
    assert sorted(os.listdir(run.folder)) == ["checkpoint.safetensors", "run.json"]


def test_a_run_that_a_full_disk_left_empty_is_removed(tmp_path):
    """The error of the full disk is the one that is shown, not one of the file that it left."""
    run = Run.create(tmp_path / "runs" / "a-1", {"verb": "fit"})
    (run.folder / "run.json").write_text("")
    Run.discard_empty(run.folder)
    assert list(tmp_path.iterdir()) == []
