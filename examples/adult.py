"""Who earns more than 50,000 dollars a year? Fit on four fifths of the Adult set, then face the fifth that was held out.

The same on the command line: ``lamina fit examples/data/adult.parquet --target income``.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import lamina
from lamina.cli.render import show_columns, show_scores

HERE = Path(__file__).parent


def main() -> None:
    people = pl.read_parquet(HERE / "data" / "adult.parquet").sample(fraction=1.0, shuffle=True, seed=0)
    held_out, rest = people[: len(people) // 5], people[len(people) // 5 :]

    print(f"Fitting {len(rest):,} rows; {len(held_out):,} are held out.\n")
    model = lamina.fit(rest, target="income", seed=0)
    card = model.model_.card
    show_columns(model.model_.schema, model.model_.task)
    print(f"{len(model.history_)} epochs in {card['seconds']:.0f} s, {card['parameters']:,} parameters.\n")

    show_scores(model.model_.task, model.evaluate(held_out), "rows that it never saw")

    print("\nThe first of them, as the model sees them:")
    answers = model.predict_table(held_out.drop("income").head(5))
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_width_chars=80, float_precision=3):
        print(held_out.select("age", "education", truly="income").head(5).hstack(answers.rename({"income": "said"})))

    path = model.save(HERE.parent / "income.lamina")
    again = lamina.load(path)
    assert again.predict(held_out.head(100)).equals(model.predict(held_out.head(100)))
    print(f"\nThe model is in {path.name} ({path.stat().st_size / 1e6:.1f} MB). Next:")
    print(f"  .venv/bin/lamina info {path.name}")
    print(f"  .venv/bin/lamina predict {path.name} examples/data/adult.parquet --out predictions.csv")


if __name__ == "__main__":
    main()
