"""Errors as messages and exit codes, output paths, JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from lamina.cli.options import Debug
from lamina.cli.shared import Commands, check_output, plain, print_json
from lamina.errors import OptionError, ReadError


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
    ],
)
def test_output_paths_are_checked(path, match):
    Path("folder").mkdir()
    Path("data.csv").touch()
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
