"""Long tables, one row per step, as tables with one row per series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from lamina.data.frames import literal
from lamina.data.parse import dates, numbers
from lamina.data.read import nearest, read_table
from lamina.errors import SchemaError


def gather_series(table: Any, id: str, time: str | None = None, values: Sequence[str] | None = None) -> pl.DataFrame:
    """A table with one row per series from a long table with one row per step.

    Only the order of the times counts, not the time between them; where that matters, add it as one of the values.

    Args:
        table: Anything that :func:`~lamina.data.read.read_table` reads.
        id: The column that identifies the series of a row.
        time: The column that orders the steps: numbers, dates, or text that holds them. None if the rows are in order.
        values: The channels, numbers or flags. By default every column that varies within a series; if given, other
            varying columns are dropped.

    Returns:
        A row for each id, in the order in which they first appear: the id, the columns that are the same in all rows of an id
        (the label, most often), and ``series``, List of Array(Float64, channels).

    Raises:
        SchemaError: A column does not exist or cannot be a channel, an id or a time is missing, a time occurs twice.

    Example:
        >>> rows = {"who": ["a", "b", "a"], "minute": [2, 1, 1], "pulse": [71, 64, 70], "ill": ["no", "yes", "no"]}
        >>> gather_series(rows, "who", "minute").to_dicts()
        [{'who': 'a', 'ill': 'no', 'series': [[70.0], [71.0]]}, {'who': 'b', 'ill': 'yes', 'series': [[64.0]]}]
    """
    table = read_table(table)
    id, time, values = literal(id), time and literal(time), values and [literal(name) for name in values]
    keys = [id] if time in (None, id) else [id, time]
    if time == id:
        raise SchemaError(f"{id!r} is given as id and as time; give the column that orders the rows as time, or None")
    for name in [*keys, *(values or ())]:
        if name not in table.columns:
            raise SchemaError(f"no column {name!r} in the table; {nearest(name, table.columns)}")
    if "series" in table.columns:
        raise SchemaError("the table has a column 'series', which is the name of the result; rename it")
    if values is not None and (not values or set(values) & set(keys)):
        raise SchemaError(f"values is {list(values)!r}; expected at least one column besides {' and '.join(map(repr, keys))}")
    for name in keys:
        _refuse(table[name].is_null(), name, "is empty", "fill it in or leave the row out")
    if time is not None:
        table = table.with_columns(_times(table[time]))
        _refuse_twice(table, id, time)
    columns = [name for name in table.columns if name not in keys]
    nested = [name for name in columns if table[name].dtype.is_nested() or table[name].dtype == pl.Object]
    if nested:
        raise SchemaError(f"column {nested[0]!r} holds {table[nested[0]].dtype}, expected one value per step; leave it out")
    bare = table.clone()
    bare.columns = [str(index) for index in range(table.width)]  # polars reads names such as "*" as patterns
    bare_name = dict(zip(table.columns, bare.columns, strict=True))
    counts = bare.group_by(bare_name[id]).agg(pl.col([bare_name[name] for name in columns]).n_unique())
    varying = [name for name in columns if counts[bare_name[name]].max() != 1]
    channels = list(values or varying)
    if not channels:
        raise SchemaError(f"no column varies within {id!r}; name the channels with values=[...], or use the table as it is")
    for name in channels:
        if not (table[name].dtype.is_numeric() or table[name].dtype == pl.Boolean):
            raise SchemaError(
                f"column {name!r} varies within {id!r} and holds {table[name].dtype}, expected numbers; leave it out, "
                "name the channels with values=[...], or turn it into numbers"
            )
    kept = [name for name in columns if name not in channels and name not in varying]
    series = pl.concat_arr(pl.col([bare_name[name] for name in channels]).cast(pl.Float64)).alias("series")
    rows = bare if time is None else bare.sort(bare_name[time])
    key, first = bare_name[id], pl.col([bare_name[name] for name in kept]).first()
    gathered = rows.group_by(key, maintain_order=True).agg(first, series)
    result = bare.select(pl.col(key).unique(maintain_order=True)).join(gathered, on=key, how="left", maintain_order="left")
    result.columns = [id, *kept, "series"]
    return result


def _times(column: pl.Series) -> pl.Series:
    """The times as numbers or dates; as text, 10 would come before 9."""
    if column.dtype.is_numeric() or column.dtype.is_temporal():
        return column
    for parsed in (numbers(column), dates(column)):
        if parsed is not None and not parsed.null_count():
            return parsed
    raise SchemaError(
        f"column {column.name!r} cannot be the time: it holds {column.dtype}, such as {column[0]!r:.40}; expected numbers "
        "or dates"
    )


def _refuse(bad: pl.Series, name: str, fault: str, remedy: str) -> None:
    if bad.any():
        rows = bad.arg_true()
        more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
        raise SchemaError(f"column {name!r} {fault} in row {rows[0] + 1:,}{more}; {remedy}")


def _refuse_twice(table: pl.DataFrame, id: str, time: str) -> None:
    twice = table[[id, time]].is_duplicated()
    if twice.any():
        row = int(twice.arg_true()[0])
        series, moment = table[id][row], table[time][row]
        count = int(((table[id] == series) & (table[time] == moment)).sum())
        raise SchemaError(f"{id} {series!r} has {count:,} rows at {time} {moment}; average them, or give a finer time")
