"""Classifier and Regressor under scikit-learn's contract."""

import copy
import datetime as dt
import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import lamina
from lamina import Boosting, Classifier, ExtraTrees, FeedForward, Linear, Recipe, Regressor, Shortcut
from lamina.errors import DataError, LaminaWarning, OptionError, SchemaError, TargetError
from lamina.fitting import bagging, candidates

PLAIN = FeedForward(hidden_sizes=(32,), number_embedding=None, members=1, dropout=0.0)
WORDS = ["a fine day", "a poor day"] * 20
SHORT = Recipe(epochs=40, batch_size=32, learning_rate=0.01)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True, as_frame=True)


def classifier(**more):
    return Classifier(**{"family": PLAIN, "recipe": SHORT, "random_state": 0, **more})


@pytest.mark.parametrize("estimator", [Classifier, Regressor])
@pytest.mark.parametrize("options", [{}, {"family": PLAIN, "recipe": Recipe(epochs=60)}], ids=["default", "plain"])
def test_check_estimator_passes_with_no_expected_failures(estimator, options, monkeypatch):
    quick = [Linear(), Boosting(max_iter=20), ExtraTrees(n_estimators=10), FeedForward(hidden_sizes=(32,), members=2)]
    for module in (bagging, candidates):  # the default's own are fitted for minutes here
        monkeypatch.setattr(module, "shortlist", lambda schema, quality="good": quick)
    with warnings.catch_warnings():
        # scikit-learn's own: skips what needs SCIPY_ARRAY_API, and casts a NaN to an integer in its test of y.
        warnings.filterwarnings("ignore", message=".*check_array_api_input.*")
        warnings.filterwarnings("ignore", message="invalid value encountered in cast", category=RuntimeWarning)
        results = check_estimator(estimator(**options), on_fail=None)
    assert [result["check_name"] for result in results if result["status"] not in ("passed", "skipped")] == []
    assert [result["check_name"] for result in results if result["status"] == "skipped"] in ([], ["check_array_api_input"])


def test_learns_iris_and_diabetes(iris):
    assert cross_val_score(classifier(), *iris, cv=3).mean() > 0.92
    X, y = load_diabetes(return_X_y=True)
    assert cross_val_score(Regressor(PLAIN, SHORT, random_state=0), X, y, cv=3).mean() > 0.35


@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_scorers_work_on_frames(iris, scoring):
    assert cross_val_score(classifier(), *iris, cv=3, scoring=scoring).mean() > (-0.4 if "neg" in scoring else 0.9)


def test_grid_search_reaches_into_recipe_and_family(iris):
    grid = {"recipe__learning_rate": [1e-5, 0.02], "family__hidden_sizes": [(16,), (16, 16)]}
    search = GridSearchCV(Classifier(recipe=SHORT, family=PLAIN, random_state=0), grid, cv=2).fit(*iris)
    assert search.best_params_["recipe__learning_rate"] == 0.02
    assert SHORT.learning_rate == 0.01
    from_nothing = GridSearchCV(Classifier(random_state=0), {"recipe__epochs": [1, 2], "family__members": [1]}, cv=2).fit(*iris)
    assert from_nothing.best_estimator_.n_iter_ == from_nothing.best_params_["recipe__epochs"]


def test_set_params_creates_recipe_and_family():
    assert Classifier().set_params(recipe__epochs=3).recipe == Recipe(epochs=3)
    assert Classifier(family="shortcut").set_params(family__num_blocks=2).family == Shortcut(num_blocks=2)
    assert Classifier().set_params(family="shortcut", family__num_blocks=2).family == Shortcut(num_blocks=2)
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        Classifier().set_params(nonsense=1)
    with pytest.raises(OptionError, match="Recipe has no option 'epoch'; did you mean 'epochs'"):
        Classifier().set_params(recipe__epoch=1)


def test_works_in_a_pipeline(iris):
    X, y = iris
    assert make_pipeline(StandardScaler(), classifier()).fit(X, y).score(X, y) > 0.9
    mixed = X.assign(kind=np.where(X.iloc[:, 0] > 5.8, "long", "short"))
    columns = ColumnTransformer([("k", OneHotEncoder(), ["kind"])], remainder="passthrough")
    assert make_pipeline(columns, classifier()).fit(mixed, y).score(mixed, y) > 0.9


def test_clone_pickle_and_joblib(iris):
    X, y = iris
    fitted = classifier().fit(X, y)
    probabilities = fitted.predict_proba(X)
    again = clone(fitted)
    assert not hasattr(again, "model_")
    assert np.array_equal(again.fit(X, y).predict_proba(X), probabilities)
    assert np.array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), probabilities)
    file = io.BytesIO()
    joblib.dump(fitted, file)
    assert np.array_equal(joblib.load(file).predict_proba(X), probabilities)


def test_predictions_are_arrays_after_fit_and_in_the_library_of_the_rows_from_a_table(iris, tmp_path):
    X, y = iris
    X = X.set_axis([f"row {i}" for i in range(len(X))])
    model = classifier().fit(X, y.set_axis(X.index))
    forms = {"pandas": X, "polars": pl.from_pandas(X), "pyarrow": pl.from_pandas(X).to_arrow(), "array": X.to_numpy()}
    for form in forms.values():
        fitted = classifier().fit(form, y)
        assert isinstance(fitted.predict(form), np.ndarray)
        assert fitted.predict(form).dtype == fitted.classes_.dtype
    assert isinstance(Regressor("linear").fit(X, pd.DataFrame({"a": y.to_numpy(), "b": y.to_numpy()})).predict(X), np.ndarray)
    assert isinstance(model.predict_table(X[:5]), pd.DataFrame)
    assert model.predict_table(X[:5]).columns.tolist() == ["target", "probability 0", "probability 1", "probability 2"]
    loaded = lamina.load(model.save(tmp_path / "iris.lamina"))
    labels = loaded.predict(X[:5])
    assert isinstance(labels, pd.Series)
    assert list(labels.index) == list(X.index[:5])
    assert labels.name == "target"
    assert isinstance(loaded.predict(forms["polars"]), pl.Series)
    assert isinstance(loaded.predict(forms["pyarrow"]), pa.ChunkedArray | pa.Array)
    assert isinstance(loaded.predict(X.to_numpy()), np.ndarray)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda one: TransformedTargetRegressor(one, func=np.log, inverse_func=np.exp),
        lambda one: StackingRegressor([("one", one)], cv=2),
    ],
    ids=["transformed", "stacked"],
)
@pytest.mark.parametrize("form", [lambda X: X, pl.from_pandas, lambda X: X.to_numpy()], ids=["pandas", "polars", "array"])
def test_regressors_of_regressors(form, wrap):
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.normal(size=(120, 2)), columns=["a", "b"])
    y = np.exp(X["a"] + 0.1 * random.normal(size=120))
    assert wrap(Regressor("linear", random_state=0)).fit(form(X), y).score(form(X), y) > 0.5


def test_an_array_is_read_by_position(iris):
    X, y = iris
    table = lamina.fit(X.assign(y=y), "y", family="linear", task="classification", monitor=None, seed=0)
    assert np.array_equal(table.predict(X.to_numpy()), table.predict(X))
    assert np.array_equal(table.predict(X.to_numpy().tolist()), table.predict(X))
    with pytest.raises(SchemaError, match="X has 3 columns without names, the model was fitted on 4: sepal length"):
        table.predict(X.to_numpy()[:, :3])
    fitted = Classifier("linear", random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert np.array_equal(fitted.predict_proba(X.to_numpy()), fitted.predict_proba(X))
    from_array = Classifier("linear", random_state=0).fit(X.to_numpy(), y)
    with pytest.warns(UserWarning, match="X has feature names"):
        assert np.array_equal(from_array.predict(X), from_array.predict(X.to_numpy()))
    mixed = X.assign(kind=np.where(y == 0, "a", "b"), y=y)
    by_words = lamina.fit(pl.from_pandas(mixed), "y", family="forest", task="classification", monitor=None, seed=0)
    rows = mixed.drop(columns="y")
    assert np.array_equal(by_words.predict(rows.to_numpy()), by_words.predict(rows))
    importance = permutation_importance(by_words, pl.from_pandas(rows), y, n_repeats=1, random_state=0).importances_mean
    assert importance.shape == (5,)
    texts = lamina.fit(
        {"review": WORDS, "y": ["fine", "poor"] * 20}, "y", family="linear", monitor=None, kinds={"review": "text"}
    )
    assert texts.predict(["a fine day"]).tolist() == ["fine"]


@pytest.mark.parametrize("rows", [[], np.empty((0, 4)), pd.DataFrame], ids=["list", "array", "frame"])
def test_nothing_to_predict_gives_nothing(iris, rows):
    X, y = iris
    rows = X[:0] if rows is pd.DataFrame else rows
    for model in (
        Classifier("linear").fit(X, y),
        lamina.fit(X.assign(y=y), "y", task="classification", monitor=None, family="linear"),
    ):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="X does not have valid feature names")
            assert len(model.predict(rows)) == 0
            assert model.predict_proba(rows).shape == (0, 3)


@pytest.mark.parametrize("family", ["linear", "forest", "neighbours", FeedForward(members=1)])
def test_sparse_rows(iris, family):
    X, y = iris
    X = X.to_numpy() * (X.to_numpy() > 1)
    model = Classifier(family, recipe=Recipe(epochs=2), random_state=0)
    dense = model.fit(X, y).predict_proba(X)
    for form in (sparse.csr_matrix, sparse.csr_array, sparse.dok_array):
        assert np.array_equal(model.fit(form(X), y).predict_proba(form(X)), dense)
    assert isinstance(model.predict(sparse.csr_array(X)), np.ndarray)


def test_sparse_rows_that_are_too_many_are_refused():
    y = [0, 1] * 1000
    with pytest.raises(
        DataError, match="sparse X of 2,000 rows x 60,000 columns is read as dense rows, of at most 100,000,000"
    ):
        Classifier("linear").fit(sparse.csr_array((2000, 60_000)), y)
    with pytest.raises(
        DataError, match="sparse X for the network 'feedforward' of .* at most 10,000,000 cells; reduce the col"
    ):
        Classifier("feedforward").fit(sparse.csr_array((2000, 6_000)), y)


def test_texts_and_categories_in_sklearn_pipelines(iris):
    labels = ["fine", "poor"] * 20
    assert make_pipeline(TfidfVectorizer(), Classifier("linear")).fit(WORDS, labels).score(WORDS, labels) == 1
    words = pd.DataFrame({"word": WORDS})
    assert make_pipeline(OneHotEncoder(), Classifier("forest", random_state=0)).fit(words, labels).score(words, labels) == 1


HALF = np.array([0, 1] * 20)
DAYS = np.array(["2020-01-01", "2021-01-01"])
LABELS = {
    "categorical of whole numbers": (pd.Categorical(np.array([10, 20])[HALF]), [10, 20], "i"),
    "categorical of booleans": (pd.Series(np.array([False, True])[HALF]).astype("category"), [False, True], "b"),
    "categorical of words": (pd.Series(np.array(["a", "b"])[HALF]).astype("category"), ["a", "b"], "O"),
    "booleans": (pd.Series(HALF == 1), [False, True], "b"),
    "nullable booleans": (pd.Series(HALF == 1).astype("boolean"), [False, True], "b"),
    "nullable whole numbers": (pd.Series(HALF).astype("Int64"), [0, 1], "i"),
    "whole numbers of pyarrow": (pd.Series(HALF).astype("int8[pyarrow]"), [0, 1], "i"),
    "strings": (pd.Series(np.array(["a", "b"])[HALF]).astype("string"), ["a", "b"], "O"),
    "objects": (pd.Series(HALF).astype(object), [0, 1], "i"),
    "dates": (pd.Series(pd.to_datetime(DAYS)[HALF]), [np.datetime64(day) for day in DAYS], "M"),
    "days": ([dt.date.fromisoformat(DAYS[i]) for i in HALF], [np.datetime64(day) for day in DAYS], "M"),
    "dates in seconds": (DAYS.astype("datetime64[s]")[HALF], [np.datetime64(day) for day in DAYS], "M"),
    "periods": (pd.Series(pd.PeriodIndex(DAYS, freq="D")[HALF]), [np.datetime64(day) for day in DAYS], "M"),
    "polars categories": (pl.Series(np.array(["a", "b"])[HALF]).cast(pl.Categorical), ["a", "b"], "O"),
    "polars booleans": (pl.Series(HALF == 1), [False, True], "b"),
    "pyarrow": (pa.array(["a", "b"] * 20).dictionary_encode(), ["a", "b"], "O"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_have_the_type_that_they_were_given_in(name):
    y, labels, kind = LABELS[name]
    X = pd.DataFrame({"x": HALF + 0.1, "z": np.arange(40.0)})
    model = Classifier("linear", random_state=0).fit(X, y)
    predicted = model.predict(X)
    assert predicted.dtype.kind == kind
    assert (predicted == np.array(labels)[HALF]).all()
    assert (model.classes_ == np.array(labels)).all()
    if not isinstance(y, pl.Series | pa.Array):
        table = lamina.fit(X.assign(y=y), "y", family="linear", monitor=None)
        assert (table.predict(X).to_numpy() == np.array(labels)[HALF]).all()
        assert table.evaluate(X.assign(y=y))["scores"]["accuracy"] == 1


def test_missing_labels_are_refused(iris):
    for y in (
        np.ma.masked_array([0, 1] * 75, mask=[1] * 5 + [0] * 145),
        pd.Series([0, 1] * 75, dtype="Int64").mask(np.arange(150) < 5),
    ):
        with pytest.raises(TargetError, match="y has no value in 5 of 150 rows; leave these rows out"):
            Classifier("linear").fit(iris[0], y)


def test_masked_cells_are_missing(iris):
    X, y = iris
    hidden = np.random.default_rng(0).random(X.shape) < 0.2
    masked, missing = np.ma.masked_array(X.to_numpy(), hidden), np.where(hidden, np.nan, X.to_numpy())
    model = Classifier("forest", random_state=0)
    assert np.array_equal(model.fit(masked, y).predict_proba(masked), model.fit(missing, y).predict_proba(missing))


def test_series_with_channels_first_are_asked_about():
    wave = np.random.default_rng(0).normal(size=(20, 3, 30))
    model, y = Classifier("linear", random_state=0), [0, 1] * 10
    with pytest.warns(LaminaWarning, match=r"\(20, 3, 30\) is read as \(rows, steps, channels\).*give X.transpose\(0, 2, 1\)"):
        model.fit(wave, y)
    with pytest.raises(DataError, match="1 step of 30 channels, and one step is no series; if it is"):
        model.fit(wave[:, :1], y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(wave.transpose(0, 2, 1), y).predict(wave.transpose(0, 2, 1))


def test_notes_on_rows_to_predict_are_one_warning_for_each_call(iris):
    X, y = iris
    X = X.assign(place=np.where(y == 0, "a", "b"))
    model = lamina.fit(X.assign(y=y), "y", family="linear", task="classification", monitor=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(X)
    assert model.notes_ == ()
    rows = X.assign(place="elsewhere", more=1)[:3]
    rows["sepal length (cm)"] += 100
    for predict in (model.predict, model.predict_proba, model.predict_table):
        with pytest.warns(LaminaWarning) as caught:
            predict(rows)
        assert [warning.filename for warning in caught] == [__file__]
    assert len(model.notes_) == 3
    assert all(any(word in note for note in model.notes_) for word in ("'more'", "outside the training range", "'elsewhere'"))
    assert str(caught[0].message) == "; ".join(model.notes_)


def test_a_pickle_is_the_file_of_the_model(iris, tmp_path):
    X, y = iris
    model = Classifier("forest", random_state=0).fit(X, y)
    stored, copied = pickle.dumps(model), copy.deepcopy(model)
    assert pickle.loads(stored).get_params() == model.get_params()
    assert len(stored) < model.save(tmp_path / "iris.lamina").stat().st_size + 5000
    assert pickle.dumps(model) == stored
    assert np.array_equal(copied.predict_proba(X), model.predict_proba(X))
    assert not hasattr(pickle.loads(pickle.dumps(Classifier())), "model_")


@pytest.mark.parametrize("labels", [["a", "b", "c"], [10, 20, 30], [1.0, 2.0, 3.0]])
def test_labels_keep_their_type(iris, labels):
    X, y = iris
    target = np.array(labels)[y.to_numpy()]
    model = classifier(recipe=Recipe(epochs=2)).fit(X.to_numpy(), target)
    assert set(model.predict(X.to_numpy())) <= set(labels)
    assert model.classes_.tolist() == labels
    assert model.predict(X.to_numpy()).dtype.kind == np.array(labels).dtype.kind or isinstance(labels[0], str)


def test_several_targets():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 3))
    Y = pd.DataFrame({"sum": X.sum(1), "first": 1000 * X[:, 0]})
    model = Regressor(PLAIN, Recipe(epochs=100, batch_size=32, learning_rate=0.01), random_state=0).fit(X, Y)
    assert model.predict(X).shape == (300, 2)
    assert model.score(X, Y) > 0.97
    assert model.model_.task.targets == ("sum", "first")


def test_integer_weights_are_repeated_rows(iris):
    X, y = iris
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = classifier().fit(np.repeat(X.to_numpy(), weights, axis=0), np.repeat(y.to_numpy(), weights))
    weighted = classifier().fit(X.to_numpy(), y.to_numpy(), sample_weight=weights)
    assert np.array_equal(repeated.predict_proba(X.to_numpy()), weighted.predict_proba(X.to_numpy()))
    model = classifier().fit(X, y, sample_weight=np.where(y == 1, 1e-4, 1.0))
    assert (model.predict(X) != 1).all()
    with pytest.raises(ValueError, match="zero"):
        classifier().fit(X, y, sample_weight=np.zeros(len(X)))


def test_class_weights(iris):
    X, y = iris
    keep = (y != 2) & ((y != 1) | (np.arange(len(y)) % 10 == 0))
    rare = classifier(class_weight="balanced").fit(X[keep], y[keep])
    assert rare.score(X[y != 2], y[y != 2]) > 0.95
    assert (classifier(class_weight={0: 0.0001, 1: 1.0}).fit(X[y != 2], y[y != 2]).predict(X[y != 2]) == 1).mean() > 0.95
    with pytest.raises(OptionError, match="class_weight names 7, which is no class"):
        classifier(class_weight={7: 1.0}).fit(X, y)
    with pytest.raises(OptionError, match="class_weight is 'even', expected 'balanced'"):
        classifier(class_weight="even").fit(X, y)


def test_the_order_of_columns_is_checked_after_fit_only(iris):
    X, y = iris
    strict = classifier(recipe=Recipe(epochs=2)).fit(X, y)
    with pytest.raises(ValueError, match="must be in the same order"):
        strict.predict(X[X.columns[::-1]])
    by_name = lamina.fit(X.assign(y=y), "y", family=PLAIN, recipe=Recipe(epochs=2), task="classification", monitor=None, seed=0)
    assert (by_name.predict(X[X.columns[::-1]]) == by_name.predict(X.assign(more=1))).all()
    with pytest.raises(SchemaError, match="petal width"):
        by_name.predict(X.drop(columns="petal width (cm)"))


def test_bad_input_is_refused(iris):
    X, y = iris
    with pytest.raises(NotFittedError, match="not fitted"):
        classifier().predict(X)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        classifier().fit(X, y[:-1])
    with pytest.raises(OptionError, match="lamina has no family 'forrest'; did you mean 'forest'"):
        classifier(family="forrest").fit(X, y)
    with pytest.raises(OptionError, match="family is 3, expected 'auto'"):
        classifier(family=3).fit(X, y)
    with pytest.raises(OptionError, match="device 'tpu9' cannot be used here"):
        classifier(device="tpu9").fit(X, y)
    with pytest.raises(OptionError, match="validation is 2"):
        classifier(validation=2).fit(X, y)
    with pytest.raises(OptionError, match="the loss 'mse' does not fit"):
        classifier(recipe=Recipe(loss="mse")).fit(X, y)
    with pytest.raises(ValueError, match="dim 3"):
        Regressor().fit(X, np.zeros((len(X), 2, 2)))
    with pytest.raises(DataError, match="one class"):
        classifier().fit(X, np.zeros(len(X)))
