"""Importances against scikit-learn's, and against what they must be on average over all shuffles."""

import numpy as np
import polars as pl
import pytest
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from lamina import Classifier, FeedForward, Recipe, Regressor
from lamina.errors import DataError, OptionError, SchemaError
from lamina.trust.importance import importances

GENERATOR = np.random.default_rng(0)
NAMES = ["a", "b", "c", "d"]
ROWS = pl.DataFrame(GENERATOR.normal(size=(60, 4)), NAMES)
WEIGHTS = np.array([2.0, -1.0, 0.3, 0.0])


def by_name(found):
    return {one.column: one for one in found}


def linear(weights, truth):
    """Scores a linear model of all columns by R²."""
    return lambda table: r2_score(truth, table.to_numpy() @ weights)


def test_the_same_as_scikit_learn():
    X = ROWS.to_numpy()
    y = X @ WEIGHTS + GENERATOR.normal(size=60)
    model = LinearRegression().fit(X, y)
    expected = permutation_importance(model, X, y, n_repeats=7, random_state=3)
    found = importances(lambda table: model.score(table.to_numpy(), y), ROWS, repeats=7, seed=3)
    assert [one.column for one in found] == [NAMES[j] for j in np.argsort(-expected.importances_mean)]
    for j, name in enumerate(NAMES):
        one = by_name(found)[name]
        assert one.mean == pytest.approx(expected.importances_mean[j], abs=1e-12)
        assert one.error == pytest.approx(expected.importances_std[j] / 6**0.5, abs=1e-12)


def test_a_linear_model_has_its_closed_form():
    y = ROWS.to_numpy() @ WEIGHTS
    found = by_name(importances(linear(WEIGHTS, y), ROWS, repeats=200))
    for name, weight in zip(NAMES, WEIGHTS, strict=True):
        expected, error = 2 * weight**2 * np.var(ROWS[name].to_numpy()) / y.var(), found[name].error or 0.0
        assert found[name].mean == pytest.approx(expected, abs=4 * error)
        assert error <= 0.02 * expected


def test_a_shuffle_is_the_switch_of_fisher_less_the_rows_that_stay():
    x, z = ROWS["a"].to_numpy(), ROWS["b"].to_numpy()
    y = np.sin(x) * z + GENERATOR.normal(size=60)

    def score(table):
        return -float(((y - np.sin(table["a"].to_numpy()) * table["b"].to_numpy()) ** 2).mean())

    switched = (y[:, None] - np.sin(x)[None, :] * z[:, None]) ** 2
    switched = (switched.sum() - np.trace(switched)) / (60 * 59)  # equation 3.3
    one = by_name(importances(score, ROWS[:, :2], repeats=2000))["a"]
    error = one.error or 0.0
    assert one.mean == pytest.approx((switched + score(ROWS)) * 59 / 60, abs=4 * error)
    assert error < 0.01 * one.mean


def test_a_column_that_is_not_used_or_never_changes_is_worth_nothing():
    table = ROWS.with_columns(a=pl.lit(3.0))
    found = by_name(importances(linear(WEIGHTS, GENERATOR.normal(size=60)), table))
    assert (found["d"].mean, found["d"].error) == (0, 0)
    assert found["a"].mean == pytest.approx(0, abs=1e-12)
    assert found["b"].mean != 0


def test_copies_share_a_weight_and_have_a_quarter_of_its_importance():
    table = ROWS.select("a", copy="a", b="b")
    y = ROWS["a"].to_numpy() * 2
    one, shared = (by_name(importances(linear(weights, y), table)) for weights in ([2, 0, 0], [1, 1, 0]))
    assert one["copy"].mean == 0
    assert one["a"].mean > 1
    for name in ("a", "copy"):
        assert shared[name].mean == pytest.approx(one["a"].mean / 4)


def test_cells_move_whole_and_nothing_else_moves():
    table = pl.DataFrame(
        {
            "image": pl.Series(np.arange(80, dtype=np.uint8).reshape(20, 2, 2)),
            "series": [[float(i)] * (i % 4) for i in range(20)],
            "text": [f"word {i}" if i % 5 else None for i in range(20)],
        }
    )
    seen = []
    importances(lambda shuffled: float(seen.append(shuffled) or 0), table, repeats=3)
    assert len(seen) == 1 + 3 * 3
    for i, shuffled in enumerate(seen[1:]):
        moved = table.columns[i // 3]
        assert shuffled.schema == table.schema
        assert shuffled.drop(moved).equals(table.drop(moved))
        assert not shuffled[moved].equals(table[moved])
        assert sorted(map(str, shuffled[moved].to_list())) == sorted(map(str, table[moved].to_list()))


def test_a_single_shuffle_has_no_error_and_a_monitor_follows():
    events = []
    assert {one.error for one in importances(linear(WEIGHTS, ROWS["a"].to_numpy()), ROWS, repeats=1)} == {None}
    importances(lambda table: 0.0, ROWS[:, :2], repeats=2, monitor=events.append)
    assert [(event.column, event.done) for event in events] == [("a", 0.25), ("a", 0.5), ("b", 0.75), ("b", 1.0)]


def test_wrong_input():
    with pytest.raises(OptionError, match="repeats is 0, expected a whole number of at least 1"):
        importances(lambda table: 0.0, ROWS, repeats=0)
    with pytest.raises(DataError, match="needs at least 2 rows whose target is known, these are 1; give more rows"):
        importances(lambda table: 0.0, ROWS[:1])


# Of estimators


def people(rows=200):
    draw = np.random.default_rng(1)
    age, town = draw.normal(50, 15, rows), draw.choice(["Bern", "Rome", "Oslo"], rows)
    rich = age + 10 * (town == "Rome") + draw.normal(0, 3, rows) > 52
    return pl.DataFrame({"age": age, "town": town, "shoe": draw.normal(40, 3, rows), "rich": np.where(rich, "yes", "no")})


def fitted(family, rows=None, target="rich", kind=Classifier):
    rows = people() if rows is None else rows
    return kind(family, Recipe(epochs=15), random_state=0, trust=False).fit(rows.drop(target), rows[target])


@pytest.mark.parametrize("family", [FeedForward(hidden_sizes=(16,), members=2), "forest", "boosting", "linear"])
def test_every_family_relies_on_what_tells(family):
    rows = people(400)
    found = fitted(family, rows[:200]).importance(rows[200:])
    assert found.columns[:3] == ["column", "importance", "error"]
    assert found["column"].to_list()[:2] == ["age", "town"]
    age, town, shoe = found["importance"]
    assert age > town > 0.02 > abs(shoe)
    assert found["importance"].is_sorted(descending=True)


def test_a_forest_tells_its_impurity_too():
    model = fitted("forest")
    found = model.importance(people())
    assert dict(found.select("column", "impurity").iter_rows()) == dict(model.model_.predictor.importance)
    assert "impurity" not in fitted("linear").importance(people()).columns


def test_a_constant_answer_relies_on_nothing():
    assert fitted("constant").importance(people())["importance"].to_list() == [0, 0, 0]


def test_an_estimator_has_the_importances_of_scikit_learn():
    X = ROWS.to_numpy()
    y = X @ WEIGHTS + GENERATOR.normal(size=60)
    model = Regressor("linear", random_state=0, trust=False).fit(X, y)
    names = [column.name for column in model.model_.schema.features]
    expected = permutation_importance(model, X, y, scoring="r2", n_repeats=3, random_state=5)
    table = pl.DataFrame(X, names).with_columns(target=y)
    found = dict(model.importance(table, repeats=3, seed=5).select("column", "importance").iter_rows())
    assert [found[name] for name in names] == pytest.approx(expected.importances_mean.tolist(), abs=1e-9)


def test_rows_without_a_target_are_passed_over_and_a_file_is_read(tmp_path):
    model, rows = fitted("linear"), people()
    holes = rows.with_columns(rich=pl.when(pl.arange(len(rows)) % 3 == 0).then(None).otherwise("rich"))
    holes.write_parquet(tmp_path / "rows.parquet")
    assert model.importance(tmp_path / "rows.parquet").equals(model.importance(holes.drop_nulls("rich")))


def test_a_fault_is_told_of_the_row_that_was_given(monkeypatch):
    monkeypatch.setattr("lamina.trust.importance.MOST_ROWS_RICH", 39)
    rows = people(40).with_columns(photo=pl.Series(GENERATOR.integers(0, 255, (40, 4, 4), dtype=np.uint8)))
    model = fitted("constant", rows)
    assert model.importance(rows)["importance"].to_list() == [0] * 4
    damaged = rows.with_columns(photo=pl.Series([None] * 30 + [b"nothing"] + [None] * 9, dtype=pl.Binary))
    with pytest.raises(DataError, match="row 31 is no image"):
        model.importance(damaged.with_columns(rich=pl.when(pl.arange(40) > 5).then("rich")))


def test_several_targets():
    rows = ROWS.with_columns(y=pl.col("a") * 3, z=pl.col("b"))
    model = Regressor("linear", random_state=0).fit(rows.select(NAMES), rows.select("y", "z"))
    found = model.importance(rows)
    assert set(found["column"][:2]) == {"a", "b"}
    assert found["importance"][1] > 0.5


@pytest.mark.parametrize("rich", [False, True])
def test_of_many_rows_some_are_drawn(monkeypatch, rich):
    monkeypatch.setattr("lamina.trust.importance.MOST_ROWS", 50)
    monkeypatch.setattr("lamina.trust.importance.MOST_ROWS_RICH", 30)
    rows = people()
    if rich:
        words = np.where(rows["rich"] == "yes", "a house by the lake", "a room on the street")
        rows = rows.with_columns(home=pl.Series([f"{said} since year {i}" for i, said in enumerate(words)]))
    model, asked = fitted("linear", rows), []
    said = model.model_.outputs
    monkeypatch.setattr(model.model_, "outputs", lambda table, **how: asked.append(table) or said(table, **how))
    found = model.importance(rows, repeats=2)
    assert {len(table) for table in asked} == {30 if rich else 50}
    assert found["column"][0] == ("home" if rich else "age")
    assert asked[0]["age"].is_in(rows["age"].to_list()).all()
    assert asked[0]["age"].n_unique() == len(asked[0])
    assert not model.importance(rows, repeats=2, seed=1).equals(found)
    assert model.importance(rows, repeats=2).equals(found)


def test_rows_that_cannot_be_used():
    model = fitted("linear")
    with pytest.raises(DataError, match="these are 1; give more rows"):
        model.importance(people(1))
    with pytest.raises(SchemaError, match="lacks column 'age'"):
        model.importance(people().drop("age"))
    with pytest.raises(OptionError, match="repeats is 0"):
        model.importance(people(), repeats=0)
    rows = people().with_columns(rich=pl.Series(["yes"] * 20 + ["no"] * 180))
    with pytest.raises(
        DataError,
        match="one class in the 180 rows used, of which the AUC says nothing; give more",
    ):
        fitted("linear", rows).importance(rows[20:])
