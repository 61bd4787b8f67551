"""Excel workbooks: cells keep their types, sheets are chosen by name, and faults are one line."""

import datetime as dt
import importlib.util
import io
import zipfile

import numpy as np
import pytest

import lamina
from lamina.data.read import read_table
from lamina.errors import ReadError
from tests.cli.helpers import lamina as command

pytest.importorskip("fastexcel", reason="fastexcel is not installed: pip install 'lamina[excel]'")
xlsxwriter = pytest.importorskip("xlsxwriter", reason="xlsxwriter is not installed")


def write(path, **sheets):
    book = xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"})
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    book.close()
    return path


def people(rows=60):
    draw = np.random.default_rng(0)
    ages = draw.integers(17, 90, rows).tolist()
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=int(day)) for day in draw.integers(0, 300, rows)]
    pairs = zip(ages, days, strict=True)
    return [["age", "day", "town", "old"], *([age, day, "Bern" if age % 2 else "Rome", age > 50] for age, day in pairs)]


def test_cells_keep_their_types(tmp_path):
    march, april = dt.date(2024, 3, 1), dt.date(2024, 4, 1)
    rows = [["n", "x", "day", "code", "mixed", ""], [1, 1.5, march, "007", 1, 1], [2, None, april, "012", "b", 2]]
    table = read_table(write(tmp_path / "a.xlsx", Sheet1=rows))
    assert table.columns == ["n", "x", "day", "code", "mixed", "column_6"]
    assert table["n"].to_list() == [1, 2]
    assert table["x"].to_list() == [1.5, None]
    assert table["day"].dt.month().to_list() == [3, 4]
    assert table["code"].to_list() == ["007", "012"]
    assert table["mixed"].to_list() == ["1", "b"]
    content = (tmp_path / "a.xlsx").read_bytes()
    assert read_table(io.BytesIO(content)).equals(table)


def test_every_command_reads_a_workbook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("people.xlsx", people=people())
    options = {"family": "linear", "trust": False, "monitor": None}
    model = lamina.fit("people.xlsx", "old", run="run", **options)
    assert model.model_.schema["day"].kind == "date"
    assert lamina.resume("run", monitor=None).predict("people.xlsx").len() == 60
    assert model.evaluate("people.xlsx")["rows"] == 60
    done = command("fit", "people.xlsx", "--target", "old", "--family", "linear", "--no-trust", "--json")
    assert done.code == 0, done.err
    assert len(command("predict", "old.lamina", "people.xlsx#people").out.splitlines()) == 61
    assert command("evaluate", "old.lamina", "people.xlsx").code == 0


def test_a_sheet_is_chosen_by_name(tmp_path):
    path = write(tmp_path / "b.xlsx", first=[["a"], [1]], second=[["b"], [2]], empty=[])
    with pytest.raises(ReadError, match=r"b.xlsx has 2 sheets: 'first', 'second'; choose one: '.*b.xlsx#first'"):
        read_table(path)
    assert read_table(f"{path}#second").to_dicts() == [{"b": 2}]
    with pytest.raises(ReadError, match="has no sheet 'third'; it has 'first', 'second', 'empty'"):
        read_table(f"{path}#third")
    with pytest.raises(ReadError, match="has no cells in the sheet 'empty'"):
        read_table(f"{path}#empty")
    only = write(tmp_path / "c.xlsx", Sheet1=[["a"], [1]], Sheet2=[], Sheet3=[])
    assert read_table(only).to_dicts() == [{"a": 1}]


def test_faults_are_one_line(tmp_path, monkeypatch):
    damaged = tmp_path / "d.xlsx"
    damaged.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ReadError, match="d.xlsx is damaged or protected by a password"):
        read_table(damaged)
    with pytest.raises(ReadError, match="no file .*none.xlsx"):
        read_table(tmp_path / "none.xlsx")
    with pytest.raises(ReadError, match="sheet 'one' has column names but no rows"):
        read_table(write(tmp_path / "e.xlsx", one=[["a", "b"]]))
    with pytest.raises(ReadError, match="sheet 'one' has more than one column named 'a'"):
        read_table(write(tmp_path / "f.xlsx", one=[["a", "a"], [1, 2]]))
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "fastexcel" else found(name, *more))
    with pytest.raises(ReadError, match=r"f.xlsx is a workbook, which fastexcel reads: pip install 'lamina\[excel\]'"):
        read_table(tmp_path / "f.xlsx")


@pytest.mark.parametrize("name", ["none.ods", "none.xls", "none.XLSB#a"])
def test_old_and_open_formats_are_known(name):
    with pytest.raises(ReadError, match="no file none"):
        read_table(name)


@pytest.mark.parametrize("place", ["XFD1048576", "ZZZZZZ99999999999"])
def test_a_cell_far_from_the_others_is_refused_before_the_rectangle_is_allocated(tmp_path, place):
    path = write(tmp_path / "far.xlsx", Sheet1=people(5))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b'r="B2"', f'r="{place}"'.encode()))
    with pytest.raises(ReadError, match="far.xlsx has more than .* GB, half of the available memory"):
        read_table(path)


def test_a_directory_that_only_one_library_can_read_is_no_error(tmp_path):
    path = write(tmp_path / "a.xlsx", Sheet1=people(5))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x05\x06") + 14] = 255  # the size of its directory
    path.write_bytes(data)
    assert read_table(path).shape == (5, 4)
