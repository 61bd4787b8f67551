"""Make the golden file of a release, once and before it: python tests/golden/make.py"""

from pathlib import Path

import polars as pl

import lamina

HERE = Path(__file__).parent

if __name__ == "__main__":  # pytest imports every file here in its search for examples
    people = pl.read_parquet(HERE.parent.parent / "examples" / "data" / "adult.parquet").head(3000)
    days = pl.date_range(pl.date(2024, 1, 1), pl.date(2024, 12, 31), eager=True)
    people = people.with_columns(day=pl.Series([days[i % len(days)] for i in range(len(people))]))
    people = people.with_columns(age=pl.when(pl.col("fnlwgt") % 10 > 0).then("age"))
    family = lamina.FeedForward(hidden_sizes=(16,), members=4, bins=8, number_embedding_dim=4)
    model = lamina.fit(people, "income", family=family, recipe=lamina.Recipe(epochs=3), seed=0, monitor=None)
    path = model.save(HERE / f"{lamina.__version__}.lamina")
    rows = people.drop("income").head(40)
    rows.with_columns(expected=pl.Series(model.predict_proba(rows)[:, 1])).write_csv(path.with_suffix(".csv"))
