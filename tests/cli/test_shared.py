"""Errors as messages and exit codes, output paths, JSON."""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lamina.api import load
from lamina.cli.options import Debug
from lamina.cli.shared import Commands, check_output, copy_model, plain, print_json
from lamina.errors import ModelFileError, OptionError, ReadError
from lamina.train.run import Run
from tests.cli.helpers import QUICK, lamina, leftovers


def command_output(error: BaseException, *words: str) -> tuple[int, str, BaseException | None]:
    """Exit code, stderr and exception of a command that raises an error."""
    app = typer.Typer(cls=Commands)

    @app.command()
    def fail(debug: Debug = False) -> None:
        raise error

    app.callback()(lambda: None)
    result = CliRunner().invoke(app, ["fail", *words])
    return result.exit_code, result.stderr, result.exception


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ReadError("no file a.csv;\n look again"), 1, "lamina: no file a.csv; look again\n"),
        (ReadError("column 'a\x1b[31m' is bad"), 1, "lamina: column 'a\\x1b[31m' is bad\n"),
        (OSError(28, "No space left on device", "x.csv"), 1, "lamina: x.csv: No space left on device\n"),
        (MemoryError(), 1, "lamina: not enough memory; use fewer rows"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "lamina: not enough memory; use fewer rows"),
        (KeyboardInterrupt(), 130, "lamina: stopped\n"),
        (
            ZeroDivisionError("by\nzero"),
            70,
            "lamina: ZeroDivisionError: by zero; this is a bug in lamina: run it again with",
        ),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, line):
    exit_code, message, _ = command_output(error)
    assert exit_code == code
    assert message.startswith(line)
    assert message.count("\n") == 1


def test_debug_lets_the_error_through_with_its_traceback():
    _, message, error = command_output(ReadError("no file a.csv"), "--debug")
    assert isinstance(error, ReadError)
    assert message == ""


def test_json_is_strict(capsys):
    print_json({"a": float("nan"), "b": (1, float("inf")), 3: "é", "c": {"d": [-float("inf"), None, True]}})
    assert capsys.readouterr().out == '{"a": null, "b": [1, null], "3": "é", "c": {"d": [null, null, true]}}\n'
    print_json({"path": Path("a")})
    assert json.loads(capsys.readouterr().out) == {"path": "a"}


def test_escape_codes_in_names_are_escaped():
    assert plain("a\nb\x1b[2Jc") == "a\\nb\\x1b[2Jc"
    assert plain("Größe 漢") == "Größe 漢"


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("folder", r"--out folder is a folder; give the path of a file, such as folder/name\.lamina"),
        ("no/where/a.lamina", r"there is no folder no/where; make it \(mkdir -p no/where\)"),
        ("data.csv", "--out data.csv is an input file; choose another name"),
        ("data.csv/a.lamina", "there is no folder data.csv"),
        ("/dev/full", "--out /dev/full is a device or a pipe; give the path of a file"),
        ("pipe.lamina", "--out pipe.lamina is a device or a pipe"),
        ("lost.lamina", "--out lost.lamina: there is no folder .*/nowhere"),
    ],
)
def test_output_paths_are_checked(path, match):
    Path("folder").mkdir()
    Path("data.csv").touch()
    os.mkfifo("pipe.lamina")
    Path("lost.lamina").symlink_to("nowhere/m.lamina")
    with pytest.raises(OptionError, match=match):
        check_output(Path(path), "data.csv")


def test_a_read_only_folder():
    Path("closed").mkdir(mode=0o555)
    folder = Path("/proc/self") if os.geteuid() == 0 else Path("closed")  # root can write everywhere else
    if not folder.is_dir():
        pytest.skip("no folder here that is closed to root")
    with pytest.raises(OptionError, match=f"cannot write in the folder {folder}: .*; choose another folder with --out"):
        check_output(folder / "a.lamina")


def test_help_needs_no_torch():
    import subprocess

    code = "import sys, lamina.cli; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_link_stays_and_a_device_is_not_replaced(model, table):
    Path("folder").mkdir()
    Path("folder/target.csv").write_text("old")
    Path("link.csv").symlink_to("folder/target.csv")
    assert lamina("predict", model, table, "--out", "link.csv").code == 0
    assert Path("link.csv").is_symlink()
    assert Path("folder/target.csv").read_text().startswith("income,probability")
    assert leftovers(Path("folder")) == {"target.csv"}
    Path("turn.csv").symlink_to("turn.csv")
    assert "--out turn.csv is a link that leads to itself" in lamina("predict", model, table, "--out", "turn.csv").err
    Path("folder/target.csv").chmod(0o600)
    assert lamina("predict", model, table, "--out", "link.csv").code == 0
    assert Path("folder/target.csv").stat().st_mode & 0o777 == 0o600
    os.mkfifo("pipe.lamina")
    loaded = load(model)
    with pytest.raises(ModelFileError, match="cannot write pipe.lamina: it is not a regular file"):
        loaded.save("pipe.lamina")
    assert Path("pipe.lamina").is_fifo()


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("train a.csv", "No such command 'train'. Did you mean 'fit'?"),
        ("score m.lamina a.csv", "Did you mean 'evaluate'?"),
        ("fitt", "Did you mean 'fit'?"),
        ("fit a.csv --target y --epochs 3", "Did you mean --set recipe.epochs=3?"),
        ("fit a.csv --lr=0.1 --target y", "Did you mean --set recipe.learning_rate=0.1?"),
        ("fit a.csv --target y --hidden-sizes 64,64", "Did you mean --set family.hidden_sizes=64,64?"),
        ("fit a.csv --target y --n-estimators", "Did you mean --set family.n_estimators=VALUE?"),
        ("compare a.csv --target y --batch-size 3", "Did you mean --set recipe.batch_size=3?"),
        ("compare a.csv --taget y", "(Possible options: --set, --target, --time)"),
        ("predict m a.csv --epochs 3", "No such option: --epochs"),
    ],
)
def test_other_names_of_commands_and_options(words, hint):
    result = lamina(*words.split())
    assert result.code == 2
    assert hint in re.sub(r"[\s│]+", " ", result.err)


@pytest.mark.parametrize(
    ("name", "family"),
    [("random_forest", "forest"), ("LSTM", "recurrent"), ("mlp", "feedforward"), ("cnn", "convolutional"), ("xgb", "xgboost")],
)
def test_other_names_of_families(table, name, family):
    result = lamina("fit", table, "--target", "income", "--family", name)
    assert (result.code, result.err) == (1, f"lamina: lamina has no family {name!r}; did you mean {family!r}?\n")


@pytest.mark.parametrize("device", ["meta", "hpu", "xla", "mkldnn", "gpu", ""])
def test_devices_that_cannot_be_used(table, device):
    result = lamina("fit", table, "--target", "income", "--device", device, *QUICK)
    assert (result.code, result.err) == (1, f"lamina: device {device!r} cannot be used here; take 'cpu' or 'auto'\n")


def test_a_full_disk_leaves_the_old_model(model):
    Path("y.lamina").write_text("an older model")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            ModelFileError, match=r"cannot write y.lamina: File too large; the model is safe in .*/model.lamina"
        ):
            copy_model(Run.open(model.parent / "run"), Path("y.lamina"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert leftovers(Path(".")) == {"y.lamina"}
    assert Path("y.lamina").read_text() == "an older model"
