"""Who earns more than 50,000 dollars a year? A fit on four fifths of the Adult set, evaluated on the last fifth.

The same on the command line: ``lamina fit examples/data/adult.parquet --target income``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import lamina
from lamina.cli.render import show_candidates, show_columns
from lamina.cli.scores import show_scores

HERE = Path(__file__).parent


def main() -> None:
    people = pl.read_parquet(HERE / "data" / "adult.parquet").sample(fraction=1.0, shuffle=True, seed=0)
    test, train = people[: len(people) // 5], people[len(people) // 5 :]

    print(f"{len(train):,} training rows, {len(test):,} test rows.\n")
    model = lamina.fit(train, target="income", seed=0)
    card = model.model_.card
    show_columns(model.model_.schema, model.model_.task)
    show_candidates(card)
    print(f"Why: {card['why']}.\n")

    show_scores(model.model_.task, model.evaluate(test), "test rows")

    print("\nPredictions for the first test rows:")
    predictions = model.predict_table(test.drop("income").head(5))
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_width_chars=80, float_precision=3):
        print(test.select("age", "education", actual="income").head(5).hstack(predictions.rename({"income": "predicted"})))

    path = model.save(HERE.parent / "income.lamina")
    assert lamina.load(path).predict(test.head(100)).equals(model.predict(test.head(100)))
    print(f"\nModel saved to {path.name} ({path.stat().st_size / 1e6:.1f} MB). Next:")
    print(f"  .venv/bin/lamina info {path.name}")
    print(f"  .venv/bin/lamina predict {path.name} examples/data/adult.parquet --out predictions.csv")


if __name__ == "__main__":
    main()
