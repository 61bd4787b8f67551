"""Importances against scikit-learn's and their expected values."""

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


def by_name(result):
    return {importance.column: importance for importance in result}


def linear(weights, truth):
    """Scores a linear model of all columns by R²."""
    return lambda table: r2_score(truth, table.to_numpy() @ weights)


def test_the_same_as_scikit_learn():
    X = ROWS.to_numpy()
    y = X @ WEIGHTS + GENERATOR.normal(size=60)
    model = LinearRegression().fit(X, y)
    expected = permutation_importance(model, X, y, n_repeats=7, random_state=3)
    result = importances(lambda table: model.score(table.to_numpy(), y), ROWS, repeats=7, seed=3)
    assert [importance.column for importance in result] == [NAMES[j] for j in np.argsort(-expected.importances_mean)]
    for j, name in enumerate(NAMES):
        importance = by_name(result)[name]
        assert importance.mean == pytest.approx(expected.importances_mean[j], abs=1e-12)
        assert importance.error == pytest.approx(expected.importances_std[j] / 6**0.5, abs=1e-12)


def test_a_linear_model_has_its_closed_form():
    y = ROWS.to_numpy() @ WEIGHTS
    result = by_name(importances(linear(WEIGHTS, y), ROWS, repeats=200))
    for name, weight in zip(NAMES, WEIGHTS, strict=True):
        expected, error = 2 * weight**2 * np.var(ROWS[name].to_numpy()) / y.var(), result[name].error or 0.0
        assert result[name].mean == pytest.approx(expected, abs=4 * error)
        assert error <= 0.02 * expected


def test_a_shuffle_is_the_switch_of_fisher_less_the_rows_that_stay():
    x, z = ROWS["a"].to_numpy(), ROWS["b"].to_numpy()
    y = np.sin(x) * z + GENERATOR.normal(size=60)

    def score(table):
        return -float(((y - np.sin(table["a"].to_numpy()) * table["b"].to_numpy()) ** 2).mean())

    switched = (y[:, None] - np.sin(x)[None, :] * z[:, None]) ** 2
    switched = (switched.sum() - np.trace(switched)) / (60 * 59)  # equation 3.3
    importance = by_name(importances(score, ROWS[:, :2], repeats=2000))["a"]
    error = importance.error or 0.0
    assert importance.mean == pytest.approx((switched + score(ROWS)) * 59 / 60, abs=4 * error)
    assert error < 0.01 * importance.mean


def test_unused_and_constant_columns_have_no_importance():
    table = ROWS.with_columns(a=pl.lit(3.0))
    result = by_name(importances(linear(WEIGHTS, GENERATOR.normal(size=60)), table))
    assert (result["d"].mean, result["d"].error) == (0, 0)
    assert result["a"].mean == pytest.approx(0, abs=1e-12)
    assert result["b"].mean != 0


def test_equal_columns_that_share_a_weight_have_a_quarter_of_its_importance():
    table = ROWS.select("a", copy="a", b="b")
    y = ROWS["a"].to_numpy() * 2
    single, shared = (by_name(importances(linear(weights, y), table)) for weights in ([2, 0, 0], [1, 1, 0]))
    assert single["copy"].mean == 0
    assert single["a"].mean > 1
    for name in ("a", "copy"):
        assert shared[name].mean == pytest.approx(single["a"].mean / 4)


def test_cells_move_whole_and_nothing_else_moves():
    table = pl.DataFrame(
        {
            "image": pl.Series(np.arange(80, dtype=np.uint8).reshape(20, 2, 2)),
            "series": [[float(i)] * (i % 4) for i in range(20)],
            "text": [f"word {i}" if i % 5 else None for i in range(20)],
        }
    )
    tables = []
    importances(lambda shuffled: float(tables.append(shuffled) or 0), table, repeats=3)
    assert len(tables) == 1 + 3 * 3
    for i, shuffled in enumerate(tables[1:]):
        moved = table.columns[i // 3]
        assert shuffled.schema == table.schema
        assert shuffled.drop(moved).equals(table.drop(moved))
        assert not shuffled[moved].equals(table[moved])
        assert sorted(map(str, shuffled[moved].to_list())) == sorted(map(str, table[moved].to_list()))


def test_a_single_shuffle_has_no_error_and_a_monitor_follows():
    events = []
    assert {importance.error for importance in importances(linear(WEIGHTS, ROWS["a"].to_numpy()), ROWS, repeats=1)} == {None}
    importances(lambda table: 0.0, ROWS[:, :2], repeats=2, monitor=events.append)
    assert [(event.column, event.done) for event in events] == [("a", 0.25), ("a", 0.5), ("b", 0.75), ("b", 1.0)]


def test_wrong_input():
    with pytest.raises(DataError, match="needs at least 2 rows with a target, these are 1; give more rows"):
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
def test_every_family_relies_on_the_informative_columns(family):
    rows = people(400)
    result = fitted(family, rows[:200]).importance(rows[200:])
    assert result.columns[:3] == ["column", "importance", "error"]
    assert result["column"].to_list()[:2] == ["age", "town"]
    age, town, shoe = result["importance"]
    assert age > town > 0.02 > abs(shoe)
    assert result["importance"].is_sorted(descending=True)


def test_a_forest_has_impurity_importance_too():
    model = fitted("forest")
    result = model.importance(people())
    assert dict(result.select("column", "impurity").iter_rows()) == dict(model.model_.predictor.importance)
    assert "impurity" not in fitted("linear").importance(people()).columns


def test_the_baseline_relies_on_nothing():
    assert fitted("constant").importance(people())["importance"].to_list() == [0, 0, 0]


def test_an_estimator_has_the_importances_of_scikit_learn():
    X = ROWS.to_numpy()
    y = X @ WEIGHTS + GENERATOR.normal(size=60)
    model = Regressor("linear", random_state=0, trust=False).fit(X, y)
    names = [column.name for column in model.model_.schema.features]
    expected = permutation_importance(model, X, y, scoring="r2", n_repeats=3, random_state=5)
    table = pl.DataFrame(X, names).with_columns(target=y)
    result = dict(model.importance(table, repeats=3, seed=5).select("column", "importance").iter_rows())
    assert [result[name] for name in names] == pytest.approx(expected.importances_mean.tolist(), abs=1e-9)


def test_rows_without_a_target_are_ignored_and_a_file_is_read(tmp_path):
    model, rows = fitted("linear"), people()
    holes = rows.with_columns(rich=pl.when(pl.arange(len(rows)) % 3 == 0).then(None).otherwise("rich"))
    holes.write_parquet(tmp_path / "rows.parquet")
    assert model.importance(tmp_path / "rows.parquet").equals(model.importance(holes.drop_nulls("rich")))


def test_an_error_has_the_number_of_the_given_row(monkeypatch):
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
    result = model.importance(rows)
    assert set(result["column"][:2]) == {"a", "b"}
    assert result["importance"][1] > 0.5


@pytest.mark.parametrize("rich", [False, True])
def test_many_rows_are_sampled(monkeypatch, rich):
    monkeypatch.setattr("lamina.trust.importance.MOST_ROWS", 50)
    monkeypatch.setattr("lamina.trust.importance.MOST_ROWS_RICH", 30)
    rows = people()
    if rich:
        homes = np.where(rows["rich"] == "yes", "a house by the lake", "a room on the street")
        rows = rows.with_columns(home=pl.Series([f"{home} since year {i}" for i, home in enumerate(homes)]))
    model, tables = fitted("linear", rows), []
    outputs = model.model_.outputs
    monkeypatch.setattr(model.model_, "outputs", lambda table, **options: tables.append(table) or outputs(table, **options))
    result = model.importance(rows, repeats=2)
    assert {len(table) for table in tables} == {30 if rich else 50}
    assert result["column"][0] == ("home" if rich else "age")
    assert tables[0]["age"].is_in(rows["age"].to_list()).all()
    assert tables[0]["age"].n_unique() == len(tables[0])
    assert not model.importance(rows, repeats=2, seed=1).equals(result)
    assert model.importance(rows, repeats=2).equals(result)


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
        match="one class in the 180 rows used, so the AUC is not defined; give more",
    ):
        fitted("linear", rows).importance(rows[20:])
