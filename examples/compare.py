"""Is deep learning worth it? Networks and classical models on 4,000 rows of the Adult set, a verdict, and trust.

On the command line, with all rows: ``lamina compare examples/data/adult.parquet --target income``.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import polars as pl

import lamina

HERE = Path(__file__).parent


def main(rows: int = 4000, families: str | list[str] = "auto", out: Path = HERE.parent / "income.lamina") -> None:
    people = pl.read_parquet(HERE / "data" / "adult.parquet").sample(fraction=1.0, shuffle=True, seed=0)
    new, train = people[:5], people[5 : 5 + rows]

    board = lamina.compare(train, target="income", families=families, folds=5, repeats=1, unique=True)
    for leak in board.leaks:
        print(f"Possible leak ({leak.kind}): {leak.evidence}; use {leak.remedy}.")
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_width_chars=80, float_precision=3):
        print(board.to_frame().select("candidate", board.metric.name, "low", "high", "fit_seconds", "predict_micros"))
    print(f"\n{textwrap.fill(board.verdict.words, 80)}\n")

    assert board.model is not None
    path = board.model.save(out)
    print(f"{board.verdict.take}, fitted to all rows, is saved to {path.name}. Predictions for five new rows:\n")
    predictions = lamina.load(path).predict(new.drop("income"), trust=True, coverage=0.9)
    for actual, row in zip(new["income"], predictions.iter_rows(named=True), strict=True):
        novelty = f"{'novel' if row['is_novel'] else 'not novel'} (p {row['novelty_p']:.2f})"
        print(f"  actual {actual:5}  predicted {row['income']:5}  90 % set: {row['set']:14}  {novelty}")
        print(f"    reasons: {row['reasons']}")


if __name__ == "__main__":
    main()
