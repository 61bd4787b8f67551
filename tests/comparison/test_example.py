"""The example runs, here with few rows and candidates."""

import runpy
from pathlib import Path

import lamina

EXAMPLE = Path(__file__).parents[2] / "examples" / "compare.py"


def test_the_example_compares_saves_and_predicts_with_trust(tmp_path, capsys):
    out = tmp_path / "income.lamina"
    runpy.run_path(str(EXAMPLE))["main"](rows=300, families=["constant", "linear"], out=out)
    printed = capsys.readouterr().out
    for piece in ("baseline", "Use ", "fitted to all rows, is saved to income.lamina", "90 % set: ", "reasons: "):
        assert piece in printed, piece
    assert printed.count("actual ") == 5
    assert max(map(len, printed.partition("Predictions for")[0].splitlines())) <= 100
    assert lamina.load(out).model_.trust is not None
