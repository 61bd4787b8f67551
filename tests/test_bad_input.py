"""Bad input, as a person meets it on the command line: one line that names the thing and the remedy, and nothing lost."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from lamina.data.cells import read_texts
from lamina.data.read import read_table
from tests.cli.helpers import QUICK, Output, lamina, leftovers, people

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
OLD = "an older model that must not be lost"


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    people().write_csv(folder / "people.csv")
    path = folder / "income.lamina"
    result = lamina("fit", folder / "people.csv", "--target", "income", "--out", path, "--run", folder / "run", *QUICK)
    assert result.code == 0, result.err
    return path


def refused(*words: object, match: str) -> None:
    """The command ends with 1 and one line that matches; every file and folder is as it was."""
    before = {name: _content(name) for name in leftovers(Path.cwd())}
    result = lamina(*words)
    assert result.code == 1, result
    assert result.out == ""
    assert re.fullmatch(r"lamina: [^\n]+\n", result.err), result.err
    assert "Traceback" not in result.err
    assert re.search(match, result.err), result.err
    assert {name: _content(name) for name in leftovers(Path.cwd())} == before


def _content(name: str) -> bytes:
    return Path(name).read_bytes() if Path(name).is_file() else b""


def write(name: str, content: str | bytes | pl.DataFrame) -> str:
    if isinstance(content, pl.DataFrame):
        content.write_csv(name)
    else:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def rows(*lines: str, count: int = 30) -> str:
    """A CSV of a, y with 30 good rows, then these."""
    good = [f"{i / 7:.3f},{'yes' if i % 2 else 'no'}" for i in range(count)]
    return "\n".join(["a,y", *good, *lines]) + "\n"


FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": (b"", r"bad.csv is empty; expected a table with a line of column names"),
    "header only": ("a,y\n", r"bad.csv has column names but no rows; expected at least one row"),
    "a picture": (PNG, r"bad.csv is not a table but a PNG image; give a table: CSV, Parquet"),
    "a long line": (rows("1,yes,3"), r"bad.csv, line 32: .*3 .*2"),
    "a short line": (rows("1", count=40), r"bad.csv, line 42: .*1 .*2"),
    "wrong encoding": (rows("1.5,né").encode("latin-1"), r"bad.csv, line 32: .*UTF-8"),
    "duplicate names": ("a,b,a,y\n1,2,3,no\n", r"bad.csv, line 1: has more than one column named 'a'"),
    "one row": ("a,y\n1,no\n", r"1 row.*at least 2"),
    "target all missing": ("a,y\n" + "1,\n2,\n3,\n" * 9, r"'y'.*no value in any"),
    "target constant": ("a,y\n" + "1,no\n2,no\n3,no\n" * 9, r"target 'y' has one class \('no'\).*needs two; give rows"),
    "target a constant number": ("a,y\n" + "1,2.5\n2,2.5\n" * 9, r"target 'y' is 2.5 in all 18 rows; .*give rows that differ"),
    "target infinite": ("a,y\n" + "1,2.5\n2,inf\n3,2.5\n" * 9, r"target 'y' is infinite in 9 rows.*drop"),
    "a class with one row": (rows("1,maybe"), r"class 'maybe' of target 'y' has 1 row, but at least 2 are needed; merge"),
    "all columns ignorable": (
        "id,k,y\n" + "".join(f"u{i:04},x,{i % 2}\n" for i in range(40)),
        r"no column is left to learn from: 'id' \(.*'k' \(.*add columns",
    ),
    "only the target": ("y\n" + "no\nyes\n" * 20, r"no column is left to learn from besides the target; add features"),
    "a web page": ("<!DOCTYPE html><html></html>", r"bad.csv is not a table but a web page.*download"),
    "bytes": (bytes(range(256)) * 40, r"bad.csv is not a table but binary data; give CSV"),
}  # fmt: skip


@pytest.mark.parametrize("what", FILES)
def test_unusable_files(what):
    content, match = FILES[what]
    write("y.lamina", OLD)
    refused("fit", write("bad.csv", content), "--target", "y", *QUICK, match=match)


def test_a_missing_file_gives_the_nearest_names():
    write("people.csv", people())
    refused("fit", "poeple.csv", "--target", "income", match=r"no file poeple.csv; did you mean people.csv\?")
    refused("fit", "no/where.csv", "--target", "income", match=r"no file no/where.csv; the folder no does not exist")
    refused("fit", ".", "--target", "income", match=r"\. is a folder, expected a file")


def test_damaged_binary_files():
    people().write_parquet("whole.parquet")
    whole = Path("whole.parquet").read_bytes()
    refused(
        "fit",
        write("bad.parquet", whole[: len(whole) // 2]),
        "--target",
        "income",
        match="bad.parquet is a damaged Parquet file",
    )
    refused(
        "fit",
        write("bad.csv.gz", b"\x1f\x8b\x08\x00truncated"),
        "--target",
        "income",
        match="bad.csv.gz is truncated or damaged",
    )


def test_an_unknown_target_gives_the_nearest_names():
    write("people.csv", people())
    refused("fit", "people.csv", "--target", "incme", match=r"'incme'.*did you mean 'income'\?")
    refused("fit", "people.csv", "--target", "zzz", match=r"'zzz'.*it has 'person', 'age'")


def test_unknown_columns_and_kinds():
    write("people.csv", people())
    fit = ("fit", "people.csv", "--target", "income")
    refused(*fit, "--drop", "twn", match=r"'twn'.*did you mean 'town'\?")
    refused(*fit, "--group", "famly", match=r"'famly'")
    refused(*fit, "--kind", "age=nmber", match=r"'age' is 'nmber'; expected one of number")
    refused(*fit, "--kind", "age", match=r"--kind age: write COLUMN=KIND")
    refused(*fit, "--kind", "town=number", match=r"column 'town' cannot be a number.*'")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("--set recipe.learning_rate=-1", r"Recipe.learning_rate is -1, expected .* between 1e-08 and 100"),
        ("--set recipe.optimizer=adm", r"Recipe.optimizer is 'adm', expected one of 'auto', 'sgd'"),
        ("--set recipe.patienc=3", r"no option 'patienc'; did you mean 'patience'\?"),
        ("--set family.dropout=2", r"FeedForward.dropout is 2, expected a number between 0 and 0.95"),
        ("--set recipe.loss=mse", r"loss 'mse' does not fit classification.*expected"),
        ("--validation 2", r"validation is 2.0, expected a share"),
        ("--family woods", r"lamina has no family 'woods'; it has 'auto', 'feedforward'"),
        ("--task clustering", r"'clustering', expected .*classification"),
        ("--class-weight heavy", r"class_weight is 'heavy', expected 'balanced'"),
        ("--device abacus", r"device 'abacus' cannot be used here; take 'cpu' or 'auto'"),
        ("--task regression", r"target 'income' is of type String.*regression needs numbers"),
    ],
)
def test_options_out_of_bounds(words, match):
    write("people.csv", people())
    refused("fit", "people.csv", "--target", "income", *words.split(), match=match)


def test_rows_without_a_target_are_ignored_and_noted():
    table = people().with_columns(income=pl.when(pl.col("age") % 10 == 0).then(None).otherwise(pl.col("income")))
    result = fits(write("people.csv", table), "income")
    assert json.loads(result.out)["data"]["rows"] == 240 - table["income"].null_count()
    assert any(str(table["income"].null_count()) in note for note in json.loads(result.out)["notes"])


def fits(name: str, target: str, *words: str) -> Output:
    """Fit, predict and evaluate all go through, and the answers are numbers."""
    result = lamina("fit", name, "--target", target, "--out", "m.lamina", "--json", *words, *QUICK)
    assert (result.code, result.err) == (0, ""), result.err
    assert lamina("predict", "m.lamina", name, "--out", "answers.parquet").code == 0
    answers = pl.read_parquet("answers.parquet").select(pl.selectors.numeric())
    assert answers.width
    assert np.isfinite(answers.to_numpy()).all()
    assert lamina("evaluate", "m.lamina", name, "--json").code == 0
    return result


def test_infinities_and_huge_numbers_are_handled():
    draw = np.random.default_rng(0)
    table = pl.DataFrame(
        {"a": draw.normal(size=200), "huge": draw.normal(size=200) * 1e300, "y": draw.choice(["no", "yes"], 200)}
    )
    table[3, "a"], table[4, "a"], table[5, "huge"], table[6, "huge"] = np.inf, -np.inf, 1e308, -1e308
    result = fits(write("t.csv", table), "y")
    reason = next(column["reason"] for column in json.loads(result.out)["columns"] if column["name"] == "a")
    assert "2 infinite, treated as missing" in reason


def test_huge_targets():
    draw = np.random.default_rng(0)
    x = draw.normal(size=200)
    fits(write("t.csv", pl.DataFrame({"x": x, "y": x * 1e300})), "y")


def test_5000_columns():
    draw = np.random.default_rng(0)
    table = pl.DataFrame(draw.normal(size=(60, 5000)).astype(np.float32), schema=[f"column {i}" for i in range(5000)])
    table = table.with_columns(y=pl.Series(draw.choice(["no", "yes"], 60)))
    table.write_parquet("wide.parquet")
    fits("wide.parquet", "y", "--set", "family.number_embedding_dim=2", "--set", "family.bins=4")
    result = lamina("info", "m.lamina")
    assert "and 4,980 more columns: 4,980 number" in result.out
    assert len(result.out.splitlines()) < 80


def test_100000_categories():
    draw = np.random.default_rng(0)
    words = np.array([f"c{i}" for i in range(100_000)])
    table = pl.DataFrame({"word": words.repeat(2), "x": draw.normal(size=200_000), "y": draw.choice(["no", "yes"], 200_000)})
    table.write_parquet("many.parquet")
    result = fits("many.parquet", "y", "--set", "recipe.epochs=1", "--set", "recipe.batch_size=20000")
    assert any("word has" in note and "levels" in note for note in json.loads(result.out)["notes"])


def test_text_in_a_column_of_numbers_at_prediction(model):
    table = people(20).with_columns(pl.col("age").cast(pl.String))
    table[7, "age"] = "old"
    for words in (("predict",), ("evaluate",)):
        refused(
            *words,
            model,
            write("new.csv", table),
            match=r"column 'age' holds 'old' in row 8, expected a number as in training; correct it",
        )


def test_missing_and_extra_columns_at_prediction(model):
    refused(
        "predict",
        model,
        write("new.csv", people(5).drop("age")),
        match=r"the table lacks column 'age' that the model was trained on; add it",
    )
    refused(
        "predict",
        model,
        write("new.csv", people(5).rename({"age": "Age"})),
        match=r"lacks column 'age'.*rename 'Age' to 'age'\?",
    )
    refused("evaluate", model, write("new.csv", people(5).drop("income")), match=r"'income'")
    result = lamina("predict", model, write("new.csv", people(5).with_columns(shoe=pl.lit(43))))
    assert result.code == 0
    assert result.err == "note: column 'shoe' was not in the training data and is ignored\n"


def test_a_class_that_training_did_not_have(model):
    table = people(20).with_columns(income=pl.lit(">100K"))
    refused(
        "evaluate",
        model,
        write("new.csv", table),
        match=r"'>100K' \(20 rows\), which was not in training; expected '<=50K', '>50K'",
    )


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flipped(content: bytes) -> bytes:
    return content[:-50] + bytes([content[-50] ^ 255]) + content[-49:]


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (_cut, r"bad.lamina is not a .lamina file, or it is cut off or damaged"),
        (_flipped, r"bad.lamina is damaged: its checksum does not match; download it again or fit again"),
        (lambda content: b"", r"bad.lamina is not a .lamina file, or it is cut off or damaged"),
        (lambda content: PNG, r"bad.lamina is not a .lamina file, or it is cut off or damaged"),
        (lambda content: b"a,y\n1,2\n", r"bad.lamina is not a .lamina file, or it is cut off or damaged"),
    ],
)
def test_damaged_models(model, damage: Callable[[bytes], bytes], match):
    write("new.csv", people(5))
    write("bad.lamina", damage(model.read_bytes()))
    for words in (("predict", "bad.lamina", "new.csv"), ("evaluate", "bad.lamina", "new.csv"), ("info", "bad.lamina")):
        refused(*words, match=match)


def test_models_of_another_time_or_maker(model):
    with safe_open(model, framework="pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    save_file(tensors, "newer.lamina", metadata={**metadata, "format": "99"})
    save_file(tensors, "foreign.lamina")
    refused(
        "info",
        "newer.lamina",
        match=r"newer.lamina has format 99, this lamina supports up to \d+; upgrade: pip install -U lamina",
    )
    refused("info", "foreign.lamina", match=r"foreign.lamina is a safetensors file, but was not saved by lamina")


def test_a_missing_model_lists_the_models_of_the_folder(model):
    write("new.csv", people(5))
    write("income.lamina", model.read_bytes())
    refused("predict", "incom.lamina", "new.csv", match=r"there is no file incom.lamina; there is income.lamina")
    refused("resume", "runs/none-1", match=r"runs/none-1 has no run: there is no run.json in it")


def test_outputs_that_cannot_be_written_are_found_before_training():
    table = write("people.csv", people())
    Path("folder").mkdir()
    fit = ("fit", table, "--target", "income", *QUICK)
    refused(*fit, "--out", "folder", match=r"--out folder is a folder; give the path of a file")
    refused(*fit, "--out", "no/where/m.lamina", match=r"there is no folder no/where; make it")
    refused(*fit, "--out", table, match=r"--out people.csv is an input file; choose another name")
    refused(*fit, "--out", "people.csv/m.lamina", match=r"there is no folder people.csv")
    refused(
        *fit,
        "--run",
        "people.csv/run",
        match=r"cannot write the run folder people.csv/run: Not a directory; choose another with --run",
    )
    if os.path.isdir("/proc/self"):  # closed even to root
        refused(
            *fit,
            "--out",
            "/proc/self/m.lamina",
            match=r"cannot write in the folder /proc/self: .*; choose another folder with --out",
        )
        refused(
            *fit, "--run", "/proc/self/run", match=r"cannot write the run folder /proc/self/run: .*; choose another with --run"
        )


def test_the_data_of_a_run_are_gone_or_changed():
    write("people.csv", people())
    lamina("fit", "people.csv", "--target", "income", "--run", "run", *QUICK)
    Path("run/model.lamina").unlink()
    write("people.csv", people(239))
    refused("resume", "run", match=r"people.csv has changed since the run began; restore the old file, or fit again")
    Path("people.csv").unlink()
    refused("resume", "run", match=r"the data of this run are missing: .*people.csv; restore the file, or fit again")


def test_every_good_format_is_read_the_same():
    for name in ("t.csv", "t.csv.gz", "t.parquet", "t.arrow", "t.jsonl"):
        table = people(60)
        if name == "t.csv.gz":
            import gzip

            Path(name).write_bytes(gzip.compress(table.write_csv().encode()))
        else:
            {"csv": table.write_csv, "parquet": table.write_parquet, "arrow": table.write_ipc, "jsonl": table.write_ndjson}[
                name[2:]
            ](name)
        found = read_table(name)
        assert read_texts(found)[1].equals(table)
