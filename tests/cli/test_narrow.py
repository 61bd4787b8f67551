"""Predictions on a screen of 80 columns, with --trust and --keep."""

import io

import polars as pl
import pytest

from lamina.cli import render
from lamina.cli.screen import Console


@pytest.fixture
def screen(monkeypatch):
    output = io.StringIO()
    monkeypatch.setattr(render, "console", lambda: Console(file=output, width=80))
    return output


def predicted(targets, rows=10):
    reasons = "age 79 (+0.38), native_country United-States (+0.0021), education Bachelors (-0.0014)"
    columns = {target: [52.4] * rows for target in targets} | {f"low {target}": [47.25] * rows for target in targets}
    columns |= {f"high {target}": [58.5] * rows for target in targets}
    columns |= {"novelty_p": [0.5, None, *[0.02] * (rows - 2)], "is_novel": [False, None, *[True] * (rows - 2)]}
    columns |= {f"reasons {target}": [reasons, None, *[reasons] * (rows - 2)] for target in targets}
    kinds = {name: name.partition(" ")[0] for name in columns} | dict.fromkeys(targets, "prediction")
    return pl.DataFrame(columns), kinds


DATA = pl.DataFrame({name: [f"{name} {i}" for i in range(10)] for name in ("age", "education", "occupation", "town", "club")})


def test_a_line_for_each_row_while_it_fits(screen):
    render.show_predictions(*predicted(["price"]), DATA)
    lines = screen.getvalue().splitlines()
    assert lines[0].split()[:4] == ["row", "age", "education", "price"]
    assert max(map(len, lines)) <= 80
    assert "3 more columns of the data with --out predictions.csv --keep" in lines
    assert "0.02 !" in screen.getvalue()


def test_a_line_for_each_value_where_it_does_not(screen):
    render.show_predictions(*predicted(["price_per_night", "total_revenue", "satisfaction"]), DATA)
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert lines[0] == "row 1"
    assert max(map(len, lines)) <= 80
    assert [line.split()[:2] for line in lines[1:6]] == [[name, name] for name in DATA.columns]
    assert any(line.split() == ["low", "total_revenue", "47.25"] for line in lines)
    assert lines[-1] == "and 2 more rows; save all with --out predictions.csv"
