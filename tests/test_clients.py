"""Estimators under other libraries; each test is skipped where its library is not installed."""

import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from sklearn.feature_selection import RFECV, SelectFromModel

import lamina
from lamina import Boosting, Classifier, Forest, Recipe, Regressor
from lamina.data.read import read_table
from lamina.errors import GraphError, ReadError

pytestmark = [pytest.mark.filterwarnings("ignore:X does not have valid feature names"), pytest.mark.filterwarnings("default")]

RANDOM = np.random.default_rng(0)
X = pd.DataFrame(RANDOM.normal(size=(120, 3)), columns=["a", "b", "c"])
Y = (X["a"] + X["b"] > 0).astype(int)
TABLE = X.assign(y=Y)
NET = {"family": "feedforward", "recipe": Recipe(epochs=2), "monitor": None}


@pytest.fixture(scope="module", params=["fit(X, y)", "lamina.fit"])
def model(request):
    if request.param == "fit(X, y)":
        return Classifier("linear", random_state=0).fit(X, Y)
    return lamina.fit(TABLE, "y", family="linear", monitor=None)


@pytest.mark.parametrize(
    "family", ["linear", Forest(n_estimators=20), Boosting(max_iter=5)], ids=["linear", "forest", "boosting"]
)
def test_feature_selection(family):
    model = Classifier(family, random_state=0, trust=False)
    assert RFECV(model, cv=2, min_features_to_select=2).fit(X, Y).support_[:2].all()
    mixed = X.assign(word=np.where(Y == 1, "u", "v"), constant=1.0)
    fitted = model.fit(mixed, Y)
    assert fitted.feature_importances_.shape == (5,)
    assert fitted.feature_importances_.sum() == pytest.approx(1)
    assert fitted.feature_importances_.argmax() == 3
    assert SelectFromModel(Regressor(family, random_state=0)).fit(X, X["b"]).get_support().tolist() == [False, True, False]
    assert Classifier(family, random_state=0).fit(X, np.c_[Y, X["c"] > 0]).feature_importances_.shape == (3,)


def test_coefficients_are_those_of_the_predictions():
    values = X["a"] * 3 - X["c"] + 100

    def scaled(fitted):
        return fitted.model_.encoder.transform(pl.from_pandas(X))["numbers"]

    fitted = Regressor("linear", random_state=0).fit(X, values)
    assert scaled(fitted) @ fitted.coef_ + fitted.intercept_ == pytest.approx(fitted.predict(X), rel=1e-5)
    two = Regressor("linear", random_state=0).fit(X, np.c_[values, -values])
    assert scaled(two) @ two.coef_.T + two.intercept_ == pytest.approx(two.predict(X), rel=1e-5)
    odds = Classifier("linear", random_state=0).fit(X, Y)
    assert odds.coef_.shape == (1, 3)
    probability = 1 / (1 + np.exp(-(scaled(odds) @ odds.coef_.T + odds.intercept_)))
    assert probability[:, 0] == pytest.approx(odds.predict_proba(X)[:, 1], abs=1e-5)
    assert Classifier("linear").fit(X, np.arange(120) % 3).coef_.shape == (3, 3)
    for other in (Classifier("forest").fit(X, Y), Classifier("linear").fit(X.assign(d=list("ab") * 60), Y)):
        with pytest.raises(AttributeError, match="coef_ and intercept_ exist for family='linear' on columns of numbers"):
            _ = other.coef_


def test_families_without_importance_have_no_such_attribute():
    for family in ("neighbours", "constant"):
        assert not hasattr(Classifier(family).fit(X, Y), "feature_importances_")
    with pytest.raises(AttributeError, match="the family 'constant' has no feature_importances_; use importance"):
        _ = Classifier("constant").fit(X, Y).feature_importances_
    assert not hasattr(Classifier(), "feature_importances_")


def test_a_network_takes_tensors():
    net = lamina.fit(TABLE, "y", **NET).model_.net
    rows = torch.zeros(4, 3, requires_grad=True)
    members = net({"numbers": rows})
    assert torch.equal(net(rows), members.mean(dim=1))
    net(rows).sum().backward()
    assert rows.grad is not None
    with pytest.raises(GraphError, match="the network has 1 inputs, numbers; 2 given: give one for each"):
        net(rows, rows)


@pytest.mark.parametrize("kind", ["text", "bytes", "file", "parquet"])
def test_open_files_are_tables(kind, tmp_path):
    text = TABLE.to_csv(index=False)
    (tmp_path / "rows.csv").write_text(text)

    def opened():
        if kind == "parquet":
            file = io.BytesIO()
            pl.from_pandas(TABLE).write_parquet(file)
            file.seek(0)
            return file
        return {"text": io.StringIO, "bytes": lambda text: io.BytesIO(text.encode())}[kind](text)

    if kind == "file":
        with open(tmp_path / "rows.csv") as file, open(tmp_path / "rows.csv", "rb") as raw:
            assert read_table(file).equals(read_table(raw))
            with pytest.raises(
                ReadError, match=r"rows.csv has nothing left to read; give the path, or go back .* file.seek\(0\)"
            ):
                read_table(raw)
        return
    assert read_table(opened()).equals(read_table(opened()))
    fitted = lamina.fit(opened(), "y", family="linear", monitor=None)
    assert fitted.predict(opened()).to_list() == fitted.predict(TABLE).tolist()
    assert len(Classifier("linear").fit(opened(), Y).predict(opened())) == 120


def test_images_of_hugging_face_are_their_bytes():
    file = io.BytesIO()
    Image.new("L", (2, 2)).save(file, "PNG")
    read = read_table(pl.DataFrame({"image": [{"bytes": file.getvalue(), "path": None}], "more": [{"a": 1}]}))
    assert read["image"].to_list() == [file.getvalue()]
    assert read_table(pl.DataFrame({"image": [{"bytes": None, "path": "a.png"}]}))["image"].to_list() == ["a.png"]


def test_shap(model):
    shap = pytest.importorskip("shap")
    explainer = shap.KernelExplainer(model.predict_proba, X[:10])
    assert np.shape(explainer.shap_values(X[:2], nsamples=20, silent=True)) == (2, 3, 2)


def test_lime(model):
    lime = pytest.importorskip("lime.lime_tabular")
    explainer = lime.LimeTabularExplainer(X.to_numpy(), feature_names=list(X.columns))
    assert len(explainer.explain_instance(X.to_numpy()[0], model.predict_proba, num_samples=50).as_list()) == 3


def test_mapie(model):
    mapie = pytest.importorskip("mapie.classification")
    for rows in (X, X.to_numpy()):
        conformal = mapie.SplitConformalClassifier(model, confidence_level=0.9, prefit=True).conformalize(rows, Y)
        assert conformal.predict_set(rows[:3])[1].shape == (3, 2, 1)


def test_captum():
    attr = pytest.importorskip("captum.attr")
    fitted = lamina.fit(TABLE, "y", **NET).model_
    rows = torch.as_tensor(fitted.encoder.transform(pl.from_pandas(X[:4]))["numbers"])
    assert attr.IntegratedGradients(fitted.net).attribute(rows, target=0).shape == (4, 3)


def test_skops(model):
    skops = pytest.importorskip("skops.io")
    content = skops.dumps(model)
    assert skops.get_untrusted_types(data=content) == ["lamina.estimators.Classifier"]
    loaded = skops.loads(content, trusted=["lamina.estimators.Classifier"])
    assert loaded.get_params() == model.get_params()
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_mlflow(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("mlflow.sklearn")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    mlflow.set_experiment("lamina")
    mlflow.sklearn.autolog(silent=True, log_models=False, log_datasets=False)
    try:
        fitted = Classifier("linear", random_state=0).fit(X, Y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    assert len(mlflow.search_runs(experiment_names=["lamina"])) == 0
    for serialization in ("skops", "cloudpickle"):
        trusted = ["lamina.estimators.Classifier"] if serialization == "skops" else None
        options = {"serialization_format": serialization, "skops_trusted_types": trusted}
        with mlflow.start_run():
            stored = mlflow.sklearn.log_model(fitted, name="model", pip_requirements=[], **options).model_uri
        assert np.array_equal(mlflow.sklearn.load_model(stored).predict_proba(X), fitted.predict_proba(X))
        assert np.array_equal(mlflow.pyfunc.load_model(stored).predict(X), fitted.predict(X))


def test_hugging_face_datasets():
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(TABLE.to_dict("list"))
    fitted = lamina.fit(rows, "y", family="linear", monitor=None)
    assert len(fitted.predict(rows.shuffle(seed=1).select(range(5)))) == 5
    assert len(Classifier("linear").fit(rows.remove_columns("y"), rows["y"]).predict(rows.remove_columns("y"))) == 120


def test_hugging_face_images():
    datasets = pytest.importorskip("datasets")
    images = [Image.fromarray(RANDOM.integers(0, 255, (8, 8), dtype=np.uint8)) for _ in range(40)]
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = datasets.Dataset.from_dict({"image": images, "label": [0, 1] * 20}, features=kinds)
    fitted = lamina.fit(rows, "label", recipe=Recipe(epochs=1), monitor=None)
    labels = fitted.predict(rows).tolist()
    for some in (rows.remove_columns("label"), rows.to_pandas(), rows.with_format("numpy"), rows.to_polars(), rows[:]):
        assert list(fitted.predict(some)) == labels
    assert fitted.predict(rows.select([1, 2])).tolist() == labels[1:3]
    assert fitted.predict(rows[1]).tolist() == labels[1:2]
    assert fitted.evaluate(rows)["rows"] == 40
    assert len(Classifier(recipe=Recipe(epochs=1)).fit(rows.remove_columns("label"), rows["label"]).predict(rows[:3])) == 3


def test_pyarrow_datasets(tmp_path):
    dataset = pytest.importorskip("pyarrow.dataset")
    pl.from_pandas(X).write_parquet(tmp_path / "rows.parquet")
    fitted = Classifier("linear").fit(dataset.dataset(tmp_path), Y)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert np.array_equal(fitted.predict(dataset.dataset(tmp_path)), fitted.predict(X))


def test_duckdb():
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.connect().from_df(X)
    fitted = Classifier("linear").fit(relation, Y)
    assert fitted.feature_names_in_.tolist() == ["a", "b", "c"]
    assert np.array_equal(fitted.predict(relation), fitted.predict(X))
