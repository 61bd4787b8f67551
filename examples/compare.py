"""Is deep learning worth it? Deep and classical on 4,000 people of the Adult set, a verdict, and how far to trust the winner.

The same on the command line: ``lamina compare examples/data/adult.parquet --target income``, which asks about all rows.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import polars as pl

import lamina

HERE = Path(__file__).parent


def main(rows: int = 4000, families: str | list[str] = "auto", out: Path = HERE.parent / "income.lamina") -> None:
    people = pl.read_parquet(HERE / "data" / "adult.parquet").sample(fraction=1.0, shuffle=True, seed=0)
    new, some = people[:5], people[5 : 5 + rows]

    board = lamina.compare(some, target="income", families=families, folds=5, repeats=1, unique=True)
    for leak in board.leaks:
        print(f"Mind {leak.kind}: {leak.evidence}; {leak.remedy} deals with it.")
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_width_chars=80, float_precision=3):
        print(board.to_frame().select("candidate", board.metric.name, "low", "high", "fit_seconds", "predict_micros"))
    print(f"\n{textwrap.fill(board.verdict.words, 80)}\n")

    assert board.model is not None
    path = board.model.save(out)
    print(f"{board.verdict.take} is in {path.name}, learnt from all of them. Asked about five people that it never saw:\n")
    answers = lamina.load(path).predict(new.drop("income"), trust=True, coverage=0.9)
    for truth, said in zip(new["income"], answers.iter_rows(named=True), strict=True):
        known = f"{'unlike' if said['unlike training'] else 'like'} training (p {said['unlike']:.2f})"
        print(f"  truly {truth:5}  said {said['income']:5}  90 % sure of: {said['set']:14}  {known}")
        print(f"    because {said['because']}")


if __name__ == "__main__":
    main()
