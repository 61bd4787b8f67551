"""Long tables, one row per step, as tables with one row per series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import polars.selectors as cs

from lamina.data.cells import read_texts
from lamina.data.frames import literal
from lamina.data.parse import dates, numbers
from lamina.data.read import read_source
from lamina.errors import SchemaError
from lamina.options import known_options
from lamina.wording import nearest


@known_options
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
    source = read_source(table)
    _, table = read_texts(source.table, separator=source.separator)
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
        empty = table[name].is_null().arg_true()
        if len(empty):
            more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
            raise SchemaError(f"column {name!r} is empty in row {empty[0] + 1:,}{more}; fill it in or leave the row out")
    if time is not None:
        table = table.with_columns(_times(table[time]))
        twice = table[[id, time]].is_duplicated().arg_true()
        if len(twice):
            who, moment = table[id][twice[0]], table[time][twice[0]]
            rows = int(((table[id] == who) & (table[time] == moment)).sum())
            raise SchemaError(f"{id} {who!r} has {rows:,} rows at {time} {moment}; average them, or give a finer time")
    columns = [name for name in table.columns if name not in keys]
    nested = [name for name in columns if table[name].dtype.is_nested() or table[name].dtype == pl.Object]
    if nested:
        raise SchemaError(f"column {nested[0]!r} holds {table[nested[0]].dtype}, expected one value per step; leave it out")
    counts = table.group_by(cs.by_name(id)).agg(cs.by_name(columns).n_unique())  # polars reads plain "*" as a pattern
    varying = [name for name in columns if counts[name].max() != 1]
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
    series = pl.concat_arr(cs.by_name(channels).cast(pl.Float64)).alias("series")
    rows = table if time is None else table.sort(cs.by_name(time))
    gathered = rows.group_by(cs.by_name(id)).agg(cs.by_name(kept).first(), series)
    names, gathered.columns = gathered.columns, [str(position) for position in range(gathered.width)]  # no patterns in a join
    ids = table[id].unique(maintain_order=True).alias("0").to_frame()
    result = ids.join(gathered, on="0", how="left", maintain_order="left")
    result.columns = names
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
