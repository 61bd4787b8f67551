"""Readings: the same table through many writers; a model trained on one file is asked about each other.

One table of 2,000 rows (numbers, large numbers, shares, a category, true and false, a date, a date-time, a price, a duration,
missing cells, a class to predict) is written by each writer: CSV in the forms of many countries and programs, Parquet, Arrow,
JSON Lines, frames of pandas, polars and pyarrow, dicts and lists. A model is trained on each, and predicts the rows of all:
what says the same has to give the same predictions, or to be refused by an error that names the column. What *differs* is
misread in silence.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import measure

TITLE = f"# Readings\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"
ROWS = 2_000


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=ROWS, help="rows of the table (2000)")
    parser.add_argument(
        "--writers", nargs="+", default=list(WRITERS), choices=list(WRITERS), metavar="WRITER", help="all of them"
    )
    parser.add_argument("--out", default="readings", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    with tempfile.TemporaryDirectory() as folder:
        for result in cross(arguments.writers, arguments.rows, Path(folder)):
            report.add(**result)


def cross(names: Sequence[str], rows: int, folder: Path, trained: Sequence[str] = ()) -> Iterable[dict[str, Any]]:
    """For each writer, or those to be trained on: the others with the same predictions, with an error, or that differ."""
    import numpy as np

    import lamina

    table = generate(rows)
    sources = {name: WRITERS[name].write(table, folder) for name in names}
    for name in trained or names:
        result: dict[str, Any] = {"writer": name, "identical": 0, "refused": {}, "differs": {}}
        try:
            model = lamina.fit(sources[name], "level", kinds=WRITERS[name].kinds, family="linear", trust=False, monitor=None)
            expected = model.predict_proba(sources[name])
            result["model"] = hashlib.sha256(expected.tobytes()).hexdigest()[:8]
        except lamina.LaminaError as error:
            yield {**result, "error": str(error).replace(f"{folder}/", "")}
            continue
        for other in names:
            try:
                predicted = model.predict_proba(sources[other])
            except lamina.LaminaError as error:
                result["refused"][other] = str(error).replace(f"{folder}/", "")
                continue
            if np.array_equal(predicted, expected):
                result["identical"] += 1
            else:
                result["differs"][other] = f"{np.abs(predicted - expected).max(axis=1).astype(bool).mean():.0%} of the rows"
        yield result


def render(results: list[dict[str, Any]]) -> str:
    lines = ["| trained on | identical | refused | differs |", "|---|---:|---:|---|"]
    for result in results:
        if "error" in result:
            lines.append(f"| {result['writer']} | not trained: {result['error']} | | |")
        else:
            differs = ", ".join(f"{other} ({how})" for other, how in result["differs"].items())
            lines.append(f"| {result['writer']} | {result['identical']} | {len(result['refused'])} | {differs} |")
    trained = [result for result in results if "error" not in result]
    kinds = Counter(reason(error) for result in trained for error in result["refused"].values())
    identical, differing = sum(r["identical"] for r in trained), sum(len(r["differs"]) for r in trained)
    lines += ["", f"{identical:,} pairs are identical, {sum(kinds.values()):,} are refused by name, {differing:,} differ.", ""]
    lines += ["| pairs | refused, for example |", "|---:|---|"]
    lines += [f"| {number:,} | {example} |" for example, number in kinds.most_common()]
    return "\n".join(lines)


def reason(error: str) -> str:
    """An error without its value, row and file, so that those of one kind are equal.

    Example:
        >>> reason("column 'day' holds '31.12.2024' in row 7, expected a date as in training")
        "column 'day' holds … in row …, expected a date as in training"
    """
    error = re.sub(r"/\S*/", "", error)
    return re.sub(r"holds '.*?' in row [\d,]+", "holds … in row …", error)


# The table


def generate(rows: int = ROWS) -> dict[str, list[Any]]:
    """The columns of the table, None where a cell is missing."""
    import numpy as np

    random = np.random.default_rng(0)

    def holes(values: Iterable[Any], share: float = 0.04) -> list[Any]:
        return [None if missing else value for value, missing in zip(values, random.random(rows) < share, strict=True)]

    ratio = np.round(random.normal(0, 40, rows), 2)
    people = random.integers(900, 4_000_000, rows)
    share = np.round(random.uniform(0, 100, rows), 1)
    town = random.choice(["Bern", "Oslo", "Sao Paulo", "New York", "Lima"], rows)
    member = random.random(rows) < 0.4
    days = random.integers(0, 1500, rows)
    minutes = random.integers(0, 2_000_000, rows)
    price = np.round(np.exp(random.normal(6, 1.2, rows)), 2)
    seconds = random.integers(1, 20_000, rows)
    score = ratio / 40 + (town == "Oslo") + member - days / 1500 + random.normal(0, 0.4, rows)
    level = np.where(score > 0.5, "high", np.where(score < -0.5, "low", "middle"))
    return {
        "ratio": holes(ratio.tolist()),
        "people": holes(people.tolist()),
        "share": holes(share.tolist()),
        "town": holes(town.tolist()),
        "member": holes(member.tolist()),
        "day": holes(dt.date(2020, 1, 1) + dt.timedelta(days=int(day)) for day in days),
        "moment": holes(dt.datetime(2020, 1, 1) + dt.timedelta(minutes=int(minute)) for minute in minutes),
        "price": holes(price.tolist()),
        "duration": holes(dt.timedelta(seconds=int(second)) for second in seconds),
        "level": level.tolist(),
    }


# Writers


@dataclass(frozen=True)
class Writer:
    """A writer, and the kinds that a model trained on its table is given."""

    write: Callable[[dict[str, list[Any]], Path], Any]
    kinds: dict[str, str] | None = None


@dataclass(frozen=True)
class Style:
    """How the cells of a text file are written."""

    separator: str = ","
    decimal: str = "."
    thousands: str = ""
    missing: str = ""
    words: tuple[str, str] = ("False", "True")
    day: str | Callable[[dt.date], str] = "%Y-%m-%d"
    moment: str | Callable[[dt.datetime], str] = "%Y-%m-%d %H:%M:%S"
    price: str = "{}"
    share: str = "{}"
    people: str = "{}"
    duration: Callable[[dt.timedelta], str] = str
    negative: str = "-{}"
    all_quoted: bool = False
    end: str = "\n"
    encoding: str = "utf-8"
    above: str = ""
    suffix: str = ".csv"
    towns: dict[str, str] = field(default_factory=dict)

    def number(self, value: float, digits: int | None = None) -> str:
        text = f"{abs(value):,.{digits}f}" if digits is not None else f"{abs(value):,}"
        text = text.translate({ord(","): self.thousands, ord("."): self.decimal})
        return self.negative.format(text) if value < 0 else text

    def quoted(self, cell: str) -> str:
        return f'"{cell}"' if self.all_quoted or self.separator.strip(" ") in cell else cell

    def cells(self, name: str, values: list[Any]) -> list[str]:
        write: dict[str, Callable[[Any], str]] = {
            "ratio": self.number,
            "people": lambda value: self.people.format(self.number(value)),
            "share": lambda value: self.share.format(self.number(value)),
            "town": lambda value: self.towns.get(value) or str(value),
            "member": lambda value: self.words[value],
            "day": lambda value: self._moment(value, self.day),
            "moment": lambda value: self._moment(value, self.moment),
            "price": lambda value: self.price.format(self.number(value, 2)),
            "duration": self.duration,
            "level": str,
        }
        return [self.missing if value is None else write[name](value) for value in values]

    def _moment(self, value: Any, form: str | Callable[[Any], str]) -> str:
        return value.strftime(form) if isinstance(form, str) else form(value)


def text(**style: Any) -> Callable[[dict[str, list[Any]], Path], Path]:
    """The writer of text files in a style."""
    chosen = Style(**style)

    def write(table: dict[str, list[Any]], folder: Path) -> Path:
        rows = [list(table), *zip(*(chosen.cells(name, values) for name, values in table.items()), strict=True)]
        lines = [chosen.separator.join(map(chosen.quoted, row)) + chosen.end for row in rows]
        path = folder / f"{len(list(folder.iterdir()))}{chosen.suffix}"
        content = (chosen.above + "".join(lines)).encode(chosen.encoding)
        path.write_bytes(gzip.compress(content) if chosen.suffix.endswith(".gz") else content)
        return path

    return write


def texts(frame: Callable[[dict[str, list[Any]]], Any], **style: Any) -> Callable[[dict[str, list[Any]], Path], Any]:
    """The writer of frames of text."""
    chosen = Style(**style)
    return lambda table, folder: frame(
        {
            name: [cell or None for cell in chosen.cells(name, values)] if not chosen.missing else chosen.cells(name, values)
            for name, values in table.items()
        }
    )


def _pandas(table: dict[str, list[Any]]) -> Any:
    import pandas as pd

    frame = pd.DataFrame(table)
    return frame.assign(
        day=pd.to_datetime(frame["day"]), moment=pd.to_datetime(frame["moment"]), duration=pd.to_timedelta(frame["duration"])
    )


def _polars(table: dict[str, list[Any]]) -> Any:
    import polars as pl

    return pl.DataFrame(table, schema_overrides={"duration": pl.Duration("us"), "moment": pl.Datetime("us")})


def _polars_times(table: dict[str, list[Any]]) -> Any:
    """Durations as times of day, as polars writes no others in CSV."""
    import polars as pl

    return _polars(table).with_columns((pl.lit(dt.datetime(2020, 1, 1)) + pl.col("duration")).dt.time().alias("duration"))


def _pandas_texts(cells: dict[str, list[Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(cells)


def _polars_texts(cells: dict[str, list[Any]]) -> Any:
    import polars as pl

    return pl.DataFrame(cells)


def from_pandas(change: Callable[[Any], Any]) -> Callable[[dict[str, list[Any]], Path], Any]:
    return lambda table, folder: change(_pandas(table))


def from_polars(change: Callable[[Any], Any]) -> Callable[[dict[str, list[Any]], Path], Any]:
    return lambda table, folder: change(_polars(table))


def file_of(frame: Callable[[dict[str, list[Any]]], Any], method: str, suffix: str, **options: Any) -> Callable[..., Path]:
    """The writer of a file by a method of a frame."""

    def write(table: dict[str, list[Any]], folder: Path) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}{suffix}"
        getattr(frame(table), method)(path, **options)
        return path

    return write


def clock(value: dt.timedelta) -> str:
    seconds = int(value.total_seconds())
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def seconds_of(table: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {**table, "duration": [None if value is None else value.total_seconds() for value in table["duration"]]}


def _ampm(value: dt.datetime) -> str:
    hour, half = (value.hour - 1) % 12 + 1, "PM" if value.hour > 11 else "AM"
    return f"{value.month}/{value.day}/{value.year} {hour}:{value.minute:02} {half}"


def _offset(value: dt.datetime) -> str:
    return (value + dt.timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S+02:00")


def _serial(value: Any) -> str:
    whole = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    return f"{(whole - dt.datetime(1899, 12, 30)).total_seconds() / 86400:.10f}".rstrip("0").rstrip(".")


GERMAN = {
    "separator": ";",
    "decimal": ",",
    "thousands": ".",
    "day": "%d.%m.%Y",
    "moment": "%d.%m.%Y %H:%M:%S",
    "duration": clock,
}
US = {"thousands": ",", "day": "%m/%d/%Y", "moment": _ampm, "duration": clock}

WRITERS: dict[str, Writer] = {
    "CSV, ISO": Writer(text()),
    "CSV by pandas": Writer(file_of(_pandas, "to_csv", ".csv", index=False)),
    "CSV by pandas, ; and decimal comma": Writer(file_of(_pandas, "to_csv", ".csv", index=False, sep=";", decimal=",")),
    "CSV by pandas, NA": Writer(file_of(_pandas, "to_csv", ".csv", index=False, na_rep="NA")),
    "CSV by polars": Writer(file_of(_polars_times, "write_csv", ".csv")),
    "CSV by polars, null": Writer(file_of(_polars_times, "write_csv", ".csv", null_value="null")),
    "TSV by polars, all quoted": Writer(file_of(_polars_times, "write_csv", ".tsv", separator="\t", quote_style="always")),
    "TSV": Writer(text(separator="\t", suffix=".tsv", duration=clock)),
    "CSV, |": Writer(text(separator="|", suffix=".txt")),
    "CSV, all quoted": Writer(text(all_quoted=True)),
    "CSV, CRLF and byte order mark": Writer(text(end="\r\n", encoding="utf-8-sig")),
    "CSV, CR": Writer(text(end="\r")),
    "CSV, UTF-16": Writer(text(encoding="utf-16")),
    "CSV, gzip": Writer(text(suffix=".csv.gz")),
    "CSV, Latin-1": Writer(text(encoding="latin-1", towns={"Bern": "Zürich"})),
    "CSV, sep=;": Writer(text(separator=";", above="sep=;\n")),
    "CSV, spaces after commas": Writer(text(separator=", ")),
    "Excel, German": Writer(text(**GERMAN, words=("FALSCH", "WAHR"), end="\r\n", encoding="utf-8-sig")),
    "Excel, Unicode text": Writer(text(separator="\t", words=("FALSE", "TRUE"), encoding="utf-16", suffix=".txt", **US)),
    "Excel, US": Writer(text(**US, words=("FALSE", "TRUE"), end="\r\n")),
    "Excel, serials": Writer(
        text(words=("FALSE", "TRUE"), day=_serial, moment=_serial, duration=clock),
        {"day": "date excel", "moment": "date excel"},
    ),
    "US dates, AM and PM": Writer(text(day="%m/%d/%Y", moment=_ampm)),
    "US, $ and parentheses": Writer(text(**US, price="${}", negative="({})", share="{}%")),
    "German, €": Writer(text(**GERMAN, price="{} €", share="{} %")),
    "German, ja and nein": Writer(text(**GERMAN, words=("nein", "ja"))),
    "French": Writer(
        text(separator=";", decimal=",", thousands="\u202f", day="%d/%m/%Y", moment="%d/%m/%Y %H:%M", words=("FAUX", "VRAI"))
    ),
    "Swiss": Writer(text(separator=";", thousands="'", day="%d.%m.%Y", moment="%d.%m.%Y %H:%M:%S", price="CHF {}")),
    "British": Writer(text(thousands=",", day="%d/%m/%Y", moment="%d/%m/%Y %H:%M:%S", price="£{}")),
    "USD before": Writer(text(price="USD {}", share="{} %", people="{} people")),
    "month names": Writer(text(day="%d-%b-%Y", moment="%b %d, %Y %H:%M:%S")),
    "year first, slashes": Writer(text(day="%Y/%m/%d", moment="%Y/%m/%d %H:%M:%S")),
    "UTC": Writer(text(moment="%Y-%m-%d %H:%M:%S UTC")),
    "ISO with T and Z": Writer(text(moment="%Y-%m-%dT%H:%M:%S.000Z")),
    "ISO with an offset": Writer(text(moment=_offset)),
    "n/a": Writer(text(missing="n/a")),
    "-": Writer(text(missing="-")),
    "#N/A": Writer(text(missing="#N/A")),
    "missing": Writer(text(missing="missing")),
    "lower case, yes and no": Writer(text(words=("no", "yes"))),
    "0 and 1": Writer(text(words=("0", "1"))),
    "JSON Lines by polars": Writer(file_of(_polars, "write_ndjson", ".jsonl")),
    "JSON Lines by pandas": Writer(file_of(_pandas, "to_json", ".jsonl", orient="records", lines=True, date_format="iso")),
    "JSON Lines by pandas, epochs": Writer(file_of(_pandas, "to_json", ".jsonl", orient="records", lines=True)),
    "JSON list by pandas": Writer(file_of(_pandas, "to_json", ".json", orient="records", date_format="iso")),
    "Parquet by polars": Writer(file_of(_polars, "write_parquet", ".parquet")),
    "Parquet by pandas": Writer(file_of(_pandas, "to_parquet", ".parquet", index=False)),
    "Arrow by polars": Writer(file_of(_polars, "write_ipc", ".arrow")),
    "Feather by pandas": Writer(file_of(_pandas, "to_feather", ".feather")),
    "pandas": Writer(from_pandas(lambda frame: frame)),
    "pandas, nullable": Writer(from_pandas(lambda frame: frame.convert_dtypes())),
    "pandas, Arrow": Writer(from_pandas(lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"))),
    "pandas, categories": Writer(from_pandas(lambda frame: frame.astype({"town": "category", "level": "category"}))),
    "pandas, objects": Writer(from_pandas(lambda frame: frame.astype(object))),
    "pandas, zone": Writer(
        from_pandas(lambda frame: frame.assign(moment=frame["moment"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")))
    ),
    "pandas, periods": Writer(from_pandas(lambda frame: frame.assign(day=frame["day"].dt.to_period("D")))),
    "pandas, only text": Writer(texts(_pandas_texts)),
    "polars": Writer(from_polars(lambda frame: frame)),
    "polars, lazy": Writer(from_polars(lambda frame: frame.lazy())),
    "polars, only German text": Writer(texts(_polars_texts, **GERMAN)),
    "pyarrow": Writer(from_polars(lambda frame: frame.to_arrow())),
    "dict of lists": Writer(lambda table, folder: table),
    "dict of lists, seconds": Writer(lambda table, folder: seconds_of(table)),
    "list of dicts": Writer(from_polars(lambda frame: frame.to_dicts())),
}
