"""Reading: every source gives the same table, and what is no table is one clear line."""

import datetime as dt
import gzip
import io
import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from lamina.data.read import read_table
from lamina.errors import ReadError
from tests.data.helpers import PNG, TABLE, read_values, write


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.arrow", "t.feather", "t.jsonl", "t.ndjson", "noname"])
@pytest.mark.parametrize("zipped", [False, True])
def test_every_format_gives_the_same_table(tmp_path, name, zipped):
    file = io.BytesIO()
    if name == "t.parquet":
        TABLE.write_parquet(file)
    elif name in ("t.arrow", "t.feather"):
        TABLE.write_ipc(file)
    elif "json" in name:
        TABLE.write_ndjson(file)
    else:
        TABLE.write_csv(file, separator="\t" if name == "t.tsv" else ",")
    data = file.getvalue()
    path = write(tmp_path, name + ".gz" * zipped, gzip.compress(data) if zipped else data)
    assert_frame_equal(read_values(path), TABLE)
    assert_frame_equal(read_table(str(path)), read_table(path))


def test_arrow_stream(tmp_path):
    TABLE.write_ipc_stream(tmp_path / "t.arrow")
    assert_frame_equal(read_table(tmp_path / "t.arrow"), TABLE)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found(tmp_path, separator):
    rows = [["a", "b c", "d"], ["1", "x, y; z", "2.5"], ["2", "w", "3.5"]]
    lines = [separator.join(f'"{cell}"' if separator in cell else cell for cell in row) for row in rows]
    table = read_values(write(tmp_path, "t.csv", "\n".join(lines)))
    assert table.to_dict(as_series=False) == {"a": [1, 2], "b c": ["x, y; z", "w"], "d": [2.5, 3.5]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfa,b\n1,2\n", {"a": [1], "b": [2]}),
        ("a\tb\n1\t\u00e9\n".encode("utf-16"), {"a": [1], "b": ["é"]}),
        (b"a,b\r\n1,x\r\n2,y\r\n", {"a": [1, 2], "b": ["x", "y"]}),
        (b"a,b\n1,x\n\n2,y\n\n", {"a": [1, 2], "b": ["x", "y"]}),
        (b"a,b\n1,\n2,y\n", {"a": [1, 2], "b": [None, "y"]}),
        (b"a,b\n?,NA\n2,null\n3,N/A\n", {"a": [None, 2, 3], "b": [None] * 3}),
        (b"a,b\nnan,None\n1.5,x\n", {"a": [None, 1.5], "b": ["None", "x"]}),
        (b'a,b\n1,"two\nlines"\n2,"a ""quote"""\n', {"a": [1, 2], "b": ["two\nlines", 'a "quote"']}),
        (b"age, job, pay\n39, State-gov, 7.5\n50, ?, 3\n", {"age": [39, 50], "job": ["State-gov", None], "pay": [7.5, 3.0]}),
        (b"a;b\n1;2,5\n2;3\n", {"a": [1, 2], "b": [2.5, 3.0]}),
        (b'"a","b"\n"1","x"\n"","y"\n"3",""\n', {"a": [1, None, 3], "b": ["x", "y", None]}),
        (b"a;b\n1;1,234\n2;3,456\n", {"a": [1, 2], "b": [1.234, 3.456]}),
        (b"a;b;c\n1;1,234;5.5\n2;3,456;6.5\n", {"a": [1, 2], "b": [1234, 3456], "c": [5.5, 6.5]}),
        (b"a\n1\n2\n", {"a": [1, 2]}),
        (b",a\n1,5\n2,6\n", {"column_1": [1, 2], "a": [5, 6]}),
        (
            b"t\n2013-01-01T10:00:00Z\n2013-01-01T11:30:00+02:00\n",
            {"t": [dt.datetime(2013, 1, 1, h, m) for h, m in ((10, 0), (9, 30))]},
        ),
        (b"t\n2013-01-01\n2013-01-99\n", {"t": ["2013-01-01", "2013-01-99"]}),
        (b"t\n01/02/2013\n13/04/2013\n", {"t": [dt.date(2013, 2, 1), dt.date(2013, 4, 13)]}),
        (b"a\n1e300\ninf\n-5\n", {"a": [1e300, float("inf"), -5.0]}),
    ],
)
def test_text_files(tmp_path, content, expected):
    assert read_values(write(tmp_path, "t.csv", content)).to_dict(as_series=False) == expected


def test_a_column_that_turns_to_text_late(tmp_path):
    table = read_values(write(tmp_path, "t.csv", "a,b\n" + "1,2\n" * 20_000 + "1,unknown\n"))
    assert table["b"].tail(2).to_list() == [2, None]
    assert table["a"].sum() == 20_001


def test_a_column_that_begins_late(tmp_path):
    table = read_values(write(tmp_path, "t.csv", "a,b\n" + "1,\n" * 20_000 + "1,2.5\n"))
    assert table["b"].to_list() == [None] * 20_000 + [2.5]


def test_five_thousand_columns(tmp_path):
    names = [f"c{i}" for i in range(5000)]
    lines = [",".join(names)] + [",".join(str(i + j) for i in range(5000)) for j in range(20)]
    table = read_values(write(tmp_path, "wide.csv", "\n".join(lines)))
    assert table.shape == (20, 5000)
    assert table["c4999"].to_list() == list(range(4999, 5019))


def test_mixed_json_lines(tmp_path):
    lines = [{"a": 1, "b": "x"}, {"a": "two", "c": None}, {"b": "y", "d": {"e": 1}}, {"b": "z", "d": 5}]
    table = read_table(write(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n"))
    assert table.select("a", "b").to_dict(as_series=False) == {"a": ["1", "two", None, None], "b": ["x", None, "y", "z"]}


EMPTY = io.BytesIO()
TABLE.clear().write_parquet(EMPTY)
PARQUET = io.BytesIO()
TABLE.write_parquet(PARQUET)
ARROW = io.BytesIO()
TABLE.write_ipc(ARROW)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty; expected a table"),
        ("t.csv", b"\n\n \n", "nothing but empty lines"),
        ("t.csv", b"a,b\n", "has column names but no rows"),
        ("t.csv", PNG, "not a table but a PNG image; give a table"),
        ("t.csv", b"PK\x03\x04....", "give an Excel workbook a name that ends in .xlsx"),
        ("t.csv", b"a\x00\x01\x02,\x03" * 50, "not a table but binary data"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-le"), "UTF-16 without a mark"),
        ("t.csv", b"\xff\xfea", "damaged UTF-16"),
        ("t.csv", b"<!DOCTYPE html><html>", "a web page or XML; download"),
        ("t.csv", b'[{"a": 1}]', "is not CSV: it holds JSON"),
        ("t.json", b'[{"a": 1}, 2]', "value 2 of the list is a int, expected an object of column: value"),
        ("t.json", b'[{"a": 1}', "not JSON"),
        ("t.json", b'[{"a": ' + b"[" * 9_999, "over 100 lists or objects inside one another; flatten them"),
        ("t.csv", PARQUET.getvalue(), "is not CSV: it holds Parquet; rename it to end in .parquet"),
        ("t.parquet", b"a,b\n1,2\n", r"is not Parquet: it holds CSV \('a,b"),
        ("t.csv", b'{"a": 1}\n', "is not CSV: it holds JSON Lines"),
        ("t.parquet", EMPTY.getvalue(), "t.parquet has no rows; expected at least one"),
        ("t.parquet", PARQUET.getvalue()[:-200], "damaged Parquet file"),
        ("t.parquet", b"PAR1" + PARQUET.getvalue()[300:], "damaged Parquet file"),
        ("t.arrow", ARROW.getvalue()[:200], "damaged Arrow file"),
        ("t.csv", b"a,b\n1,2\n3\n4,5\n", "line 3: 1 values, but the first line names 2 columns"),
        ("t.csv", b"a,b\n1,2\n\n3,4\n5,6,7\n", "line 5: 3 values, but the first line names 2"),
        ("t.csv", b'a,b\n1,"x\ny"\n2,"p,q"\n3\n', "line 5: 1 values"),
        ("t.csv", b'a,b\n1,"x"\n2,"y\n3,z\n', "line 3: a quote .* is opened and never closed"),
        (
            "t.csv",
            "a,b\n1,x\n2,caf\u00e9\n".encode("latin-1"),
            "line 3: byte 0xe9 is not UTF-8 .*CP1252 reads '2,café'.*iconv -f CP1252",
        ),
        ("t.csv", b"\xef\xbb\xbfa,\xe9\n1,x\n", r"line 1: byte 0xe9 is not UTF-8 \(CP1252 reads 'a,é', CP1251 reads 'a,й'"),
        ("t.csv", "a,\u00e9\n1,x\n".encode("latin-1"), "line 1: byte 0xe9 is not UTF-8"),
        (
            "t.csv",
            b"a,b,a\n1,2,3\n",
            r"line 1: has more than one column named 'a' \(columns 1 and 3\); rename one, or add a line",
        ),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "line 2: not JSON"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "line 2: a JSON list, expected one object of"),
        ("t.jsonl", b"a,b\n", "line 1: not JSON"),
        ("t.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 9999, mtime=0)[:-40], "truncated or damaged"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "empty once decompressed"),
        ("t.csv.gz", b"a,b\n1,2\n", "not compressed with gzip"),
    ],
)
def test_what_is_no_table(tmp_path, name, content, message):
    with pytest.raises(ReadError, match=message) as error:
        read_table(write(tmp_path, name, content))
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_missing_file_names_the_nearest(tmp_path):
    write(tmp_path, "adult.csv", "a\n1\n")
    with pytest.raises(ReadError, match=r"no file .*adlut.csv; did you mean adult.csv\?"):
        read_table(tmp_path / "adlut.csv")
    with pytest.raises(ReadError, match="has no file of a similar name"):
        read_table(tmp_path / "qqqqqqq")
    with pytest.raises(ReadError, match="the folder .* does not exist either"):
        read_table(tmp_path / "nowhere" / "t.csv")
    with pytest.raises(ReadError, match=r"is a folder, expected a file: one of adult.csv"):
        read_table(tmp_path)
    with pytest.raises(ReadError, match="is an address; lamina reads local files"):
        read_table("https://example.org/t.csv")


def test_no_permission(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, "t.csv", "a\n1\n")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ReadError, match="cannot read .*: Permission denied; check its permissions"):
        read_table(path)


def test_duplicate_names_in_parquet(tmp_path):
    import pyarrow.parquet as pq

    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(ReadError, match="t.parquet.*two columns of the same name.*rename|damaged"):
        read_table(tmp_path / "t.parquet")


# Properties

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs"]), min_size=1).map(
    lambda t: "x" + t
)
COLUMNS = st.sampled_from(
    [
        st.integers(-(2**62), 2**62),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
        st.booleans(),
        CELLS,
        st.dates(dt.date(1, 1, 1)),
    ]
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_written_as_csv_is_read(tmp_path, data):
    rows = data.draw(st.integers(1, 6))
    columns = {}
    for place in range(data.draw(st.integers(2, 4))):
        cells = data.draw(COLUMNS)
        values = [data.draw(cells)] + data.draw(st.lists(st.none() | cells, min_size=rows - 1, max_size=rows - 1))
        columns[f"name {place}"] = values
    table = pl.DataFrame(columns, strict=False)
    table.write_csv(tmp_path / "t.csv")
    found = read_values(tmp_path / "t.csv")
    assert found.columns == table.columns
    for name in table.columns:
        expected = table[name].to_list()
        if table[name].dtype == pl.Float64:
            expected = [value if value is None else pytest.approx(value) for value in expected]
        assert found[name].to_list() == expected


@pytest.mark.parametrize(
    "text", ["zip,rooms,share\n08001,1,0.5\n10115,2,0.25\n", "zip;rooms;share\n08001;1;0,5\n10115;2;0,25\n"]
)
def test_codes_with_leading_zeros_stay_text(tmp_path, text):
    (tmp_path / "z.csv").write_text(text)
    table = read_values(tmp_path / "z.csv")
    assert table.to_dict(as_series=False) == {"zip": ["08001", "10115"], "rooms": [1, 2], "share": [0.5, 0.25]}


def test_a_name_too_long_for_a_file_is_no_fault(tmp_path):
    write(tmp_path, "t.csv", "text\n" + "word" * 2000 + ".png\n")
    assert len(read_table(tmp_path / "t.csv")["text"][0]) == 8004


def test_a_name_that_begins_with_a_tilde_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "~backup.csv", "a\n1\n")
    assert read_table("~backup.csv")["a"].to_list() == ["1"]


@pytest.mark.parametrize("paths", [[Path("a/1.png"), None], [Path("a/1.png"), "b.png"]])
def test_paths_are_text(paths):
    texts = [None if path is None else str(path) for path in paths]
    for source in (paths, {"x0": paths}, pd.DataFrame({"x0": paths}), pd.Series(paths), [{"x0": path} for path in paths]):
        assert_frame_equal(read_table(source), pl.DataFrame({"x0": texts}))
    assert read_table({"x": [Path("a"), object()]})["x"].dtype == pl.Object


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float32, np.uint8, bool])
def test_few_rows_of_one_type_become_the_columns_that_many_do(dtype):
    values = np.random.default_rng(0).integers(0, 2, (40, 3)).astype(dtype)
    if dtype == np.float64:
        values[1, 2] = np.nan
    for source in (values, pd.DataFrame(values, columns=["a", "b", "c"])):
        many = read_table(source)
        few = read_table(source[:3])
        assert few.schema == many.schema
        assert few.equals(many[:3])
        assert read_table(source[:0]).schema == many.schema


def test_the_remedy_for_another_encoding_can_be_pasted(tmp_path):
    path = tmp_path / "Kunden (final) v2.csv"
    path.write_bytes("a,b\n1,Größe\n".encode("latin-1"))
    with pytest.raises(ReadError) as caught:
        read_table(path)
    command = str(caught.value).partition("for example: ")[2]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)
    assert read_table(tmp_path / "utf8_Kunden (final) v2.csv")["b"].to_list() == ["Größe"]


BODY = "a;b;y\n" + "".join(f"{i};{i % 7};{'pq'[i % 2]}\n" for i in range(20))


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\n" + BODY,
        '\ufeff"sep=;"\r\n' + BODY.replace("\n", "\r\n"),
        "# exported, 2024-01-01\n#\n" + BODY,
        "\n# a; b\n\n" + BODY,
        BODY.replace("\n", "\r"),
        "# exported\r" + BODY.replace("\n", "\r"),
        BODY.encode("utf-32"),
        ("sep=;\r\n" + BODY.replace("\n", "\r\n")).encode("utf-16"),
    ],
)
def test_lines_above_the_names_and_ends_of_lines(tmp_path, content):
    expected = read_table(write(tmp_path, "plain.csv", BODY))
    assert_frame_equal(read_table(write(tmp_path, "t.csv", content)), expected)


@pytest.mark.parametrize(
    ("content", "names"),
    [("#id,name\n1,Bob\n2,Ann\n", ["#id", "name"]), ("#name,city\nBob,Bern\n", ["#name", "city"]), ("#id\n1\n", ["#id"])],
)
def test_a_name_may_begin_with_a_hash(tmp_path, content, names):
    assert read_table(write(tmp_path, "t.csv", content)).columns == names


def test_a_line_keeps_its_number_below_lines_that_are_skipped(tmp_path):
    with pytest.raises(ReadError, match="t.csv, line 6: 1 values"):
        read_table(write(tmp_path, "t.csv", "sep=;\n# a comment\n\na;b\n1;2\n3\n4;5\n"))
    with pytest.raises(ReadError, match="t.csv, line 2: has more than one column named 'a'"):
        read_table(write(tmp_path, "t.csv", "# a comment\na;a\n1;2\n"))


@pytest.mark.parametrize(
    ("above", "message"),
    [
        ("Sales report;;\n;;\n", "line 1: most column names are empty; 'Sales report' seems .* which seem to be in line 3"),
        ("Sales report\n\n", r"line 1: names 1 column \('Sales report'\), but 21 of the next 21 lines have 3 values"),
        ("Sales; 2024\n", "line 1: names 2 columns .* have 3 values; remove a title above the column names, or correct"),
    ],
)
def test_a_title_above_the_names_is_named(tmp_path, above, message):
    with pytest.raises(ReadError, match=message):
        read_table(write(tmp_path, "t.csv", above + BODY))


def test_values_of_any_length(tmp_path):
    name, text = "n" * 200_000, "x, " * 100_000 + '"y"'
    table = pl.DataFrame({"a": ["1", "2"], name: [text, None]})
    table.write_csv(tmp_path / "t.csv")
    assert_frame_equal(read_table(tmp_path / "t.csv"), table)


def test_an_open_quote_takes_linear_time(tmp_path):
    path = write(tmp_path, "t.csv", 'a,b\n"1,2\n' + "1,2\n" * 400_000)
    begin = time.monotonic()
    with pytest.raises(ReadError, match=r"line 2: a quote \(\"\) is opened and never closed"):
        read_table(path)
    assert time.monotonic() - begin < 10  # minutes if quadratic


@pytest.mark.parametrize("value", ["[" * 1700 + "1" + "]" * 1700, '{"b": ' * 600 + "1" + "}" * 600])
def test_nested_json_is_refused_before_it_is_parsed(tmp_path, value):
    with pytest.raises(ReadError, match="line 2: over 100 lists or objects inside one another; flatten them"):
        read_table(write(tmp_path, "t.jsonl", f'{{"a": null}}\n{{"a": {value}}}\n'))


def test_many_brackets_are_not_nested(tmp_path):
    lines = [{"a": "[" * 500, "b": [[1]] * 300}, {"a": '"{' * 200, "b": []}]
    table = read_table(write(tmp_path, "t.jsonl", "\n".join(map(json.dumps, lines))))
    assert table["a"].to_list() == [line["a"] for line in lines]


def test_a_file_name_that_is_not_utf8(tmp_path):
    for name in (b"caf\xe9.csv", b"caf\xe9.parquet"):
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        pl.DataFrame({"a": [1, 2]}).write_csv(tmp_path / "t.csv")
        pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "t.parquet")
        (tmp_path / f"t{path.suffix}").rename(path)
        assert read_values(path)["a"].to_list() == [1, 2]
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    (folder / "cat").mkdir(parents=True)
    write(folder / "cat", "1.png", PNG)
    with pytest.raises(ReadError, match="is not UTF-8, which a table cannot hold; rename it"):
        read_table(folder)


ODD = {
    "t.json": (b"[[1, 2], [3, 4]]", "value 1 of the list is a list, expected an object"),
    "s.json": (b'"abc"', "s.json, line 1: a JSON str, expected one object of column: value per line"),
    "sep.csv": (b"sep=\xff\na,b\n1,2\n", r"sep.csv, line 1: .* is no separator; expected one such as , ; | or tab"),
    "key.parquet": (b"PARE" + bytes(40), "an encrypted Parquet file; decrypt it first"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_are_named(tmp_path, name):
    content, fault = ODD[name]
    with pytest.raises(ReadError, match=fault):
        read_table(write(tmp_path, name, content))


def test_json_of_utf_16_is_read(tmp_path):
    """As PowerShell writes it."""
    path = write(tmp_path, "t.jsonl", '{"a": "é"}\n{"a": "ü"}\n'.encode("utf-16"))
    assert read_table(path)["a"].to_list() == ["é", "ü"]


def test_a_text_of_no_characters_in_an_archive_is_named(tmp_path):
    np.savez(tmp_path / "t.npz", x=np.array([0x110000], dtype=np.uint32).view("U1"))
    with pytest.raises(ReadError, match="the array 'x' is damaged \\(1114112 is no character\\)"):
        read_table(tmp_path / "t.npz")


@pytest.mark.parametrize("zone", ["+05:30", "Mars/Base"])
def test_a_time_zone_that_polars_does_not_know_is_read(tmp_path, zone):
    """pandas and pyarrow write fixed offsets; a time of Arrow is in UTC whatever its zone."""
    zoned = pa.array([0, 10**9], pa.int64()).view(pa.timestamp("us", tz=zone))
    pyarrow.parquet.write_table(pa.table({"x": zoned}), tmp_path / "t.parquet")
    times = read_table(tmp_path / "t.parquet")["x"].dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    assert times[1] == dt.datetime(1970, 1, 1, 0, 16, 40)


def test_a_type_that_polars_does_not_know_is_named(tmp_path):
    spans = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as file, pa.ipc.new_file(file, pa.schema({"x": spans.type})) as writer:
        writer.write(pa.record_batch({"x": spans}))
    with pytest.raises(
        ReadError, match=r"t.arrow cannot be read \(could not import from .month_day.*\); write that column with"
    ):
        read_table(tmp_path / "t.arrow")


@pytest.mark.parametrize("text", ['[{"a": 1, "b": "x"}, {"b": "y"}]', ' [\n {"a": 1,\n "b": "x"},\n {"b": "y"}]\n'])
def test_a_json_list_of_objects(tmp_path, text):
    for name in ("t.json", "t.jsonl"):
        assert read_table(write(tmp_path, name, text)).rows() == [(1, "x"), (None, "y")]


def test_dates_that_no_calendar_has(tmp_path):
    days = pl.Series("day", [0, 2**31 - 1, None], dtype=pl.Int32).cast(pl.Date)
    days.to_frame().write_parquet(tmp_path / "t.parquet")
    for source in (tmp_path / "t.parquet", pl.DataFrame({"day": pl.Series([0, -(2**62)]).cast(pl.Datetime("us"))})):
        with pytest.raises(
            ReadError, match="column 'day': the date in row 2 is outside of the years 1 to 9999; correct it, or"
        ):
            read_table(source)
    kept = pl.DataFrame({"day": [dt.date(1, 1, 1), dt.date(9999, 12, 31)], "at": [dt.datetime(9999, 12, 31, 23, 59), None]})
    assert read_table(kept).equals(kept)


def test_a_blank_name_is_its_position_in_every_format(tmp_path):
    assert read_table(write(tmp_path, "t.jsonl", '{"a": 1, "": 2}\n')).columns == ["a", "column_2"]
    assert read_table(pl.DataFrame({" ": [1], "column_1": [2]})).columns == ["column_1_", "column_1"]


def test_a_pair_of_x_and_y_and_a_list_of_tables_are_no_table():
    X, y = np.ones((4, 2)), np.zeros(4)
    frame = pd.DataFrame(X, columns=["a", "b"])
    for pair in ((X, y), (frame, y), (frame, frame["a"]), (pl.DataFrame(X), y)):
        with pytest.raises(ReadError, match=r"a tuple of X and y is not a table; call lamina.Classifier\(\).fit\(X, y\)"):
            read_table(pair)
    with pytest.raises(ReadError, match="a list of 2 tables is not a table; join them first"):
        read_table([frame, frame])
