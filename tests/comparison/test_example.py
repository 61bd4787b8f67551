"""The example runs, here with few rows and candidates."""

import runpy
from pathlib import Path

import lamina

EXAMPLE = Path(__file__).parents[2] / "examples" / "compare.py"


def test_the_example_compares_saves_and_asks_for_trust(tmp_path, capsys):
    out = tmp_path / "income.lamina"
    runpy.run_path(str(EXAMPLE))["main"](rows=300, families=["constant", "linear"], out=out)
    said = capsys.readouterr().out
    for piece in ("baseline", "Take ", "is in income.lamina, learnt from all of them", "90 % sure of: ", "reasons "):
        assert piece.lower() in said.lower(), piece
    assert said.count("truly ") >= 5
    assert max(map(len, said.partition("Asked about")[0].splitlines())) <= 100
    assert lamina.load(out).model_.trust is not None
