"""Candidates that are no families of lamina: scikit-learn estimators and pipelines on the same folds."""

import base64
import datetime as dt
import json
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from typer.testing import CliRunner

import lamina
from lamina.cli import app
from lamina.comparison import runner
from lamina.comparison.foreign import described_value
from lamina.comparison.foreign_fit import rows_for_sklearn
from lamina.data.rowhash import order
from lamina.data.schema import Schema
from lamina.errors import OptionError, RunError
from lamina.train.run import Run
from tests.comparison.estimators import Command, Infinite, Own, Plain, Spy
from tests.comparison.test_bad_input import LocalWorker

ADULT = Path(__file__).parents[2] / "examples" / "data" / "adult.parquet"
FEW = {"folds": 3, "repeats": 1, "workers": 1, "monitor": None}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def local(monkeypatch):
    monkeypatch.setattr(runner, "_Worker", LocalWorker)
    threads, state = torch.get_num_threads(), np.random.get_state()
    yield
    torch.set_num_threads(threads)
    np.random.set_state(state)


def waves(count=90, seed=0, **columns):
    x = np.random.default_rng(seed).normal(size=(count, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] > 0, "up", "down")}).with_columns(**columns)


def failures(board):
    return {line.name: line.candidate.failed for line in board.lines if line.candidate.failed}


def score(board, name):
    return next(line.score for line in board.lines if line.name == name)


def encoded(estimator):
    labels = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), make_column_selector(dtype_exclude="number")), remainder=StandardScaler()
    )
    return make_pipeline(labels, estimator)


@pytest.mark.usefixtures("local")
def test_pipelines_are_judged_on_the_folds_of_the_families(tmp_path):
    frame = pl.read_parquet(ADULT).sample(600, seed=0)
    families = {
        "mine": encoded(LogisticRegression(max_iter=500)),
        "vectors": encoded(LinearSVC()),
        "near": encoded(KNeighborsClassifier()),
        "trees": HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=5),
        "boosting": "boosting",
    }
    board = lamina.compare(frame, "income", families=families, run=tmp_path / "run", **FEW)
    assert list(failures(board)) == ["trees"]
    assert [line.folds for line in board.lines] == [3, 3, 3, 3, 0]
    table = frame[order(frame)].to_pandas().astype({"age": float})
    with np.load(tmp_path / "run" / "folds.npz") as folds:
        train, test = folds["train1"], folds["test1"]
    X, y = table.drop(columns="income"), table["income"].to_numpy(dtype=object)
    for name in ("mine", "vectors"):
        fitted = clone(families[name]).fit(X.iloc[train], y[train])
        line = next(line for line in board.lines if line.name == name)
        assert line.candidate.scores[1] == pytest.approx(fitted.score(X.iloc[test], y[test]))
        assert ("log_loss" in line.others) == (name == "mine")
    assert "pickle" not in json.dumps(board.to_json()) + (tmp_path / "run" / "events.jsonl").read_text()


@pytest.mark.usefixtures("local")
def test_what_an_estimator_gets(monkeypatch):
    monkeypatch.setattr(Spy, "seen", [])
    days = [dt.date(2024, 1, 1) + dt.timedelta(days=i % 50) for i in range(90)]
    table = waves(
        town=pl.Series([[None, "Ulm", "Bonn", "Köln"][i % 4] for i in range(90)]),
        member=pl.Series([i % 3 == 0 for i in range(90)]),
        rented=pl.Series([[None, True, False][i % 3] for i in range(90)]),
        day=pl.Series(days),
        visits=pl.Series([[None, 1, 2, 5][i % 4] for i in range(90)]),
        weight=pl.Series([1.0 + i % 2 for i in range(90)]),
        y=pl.Series([i % 2 == 0 for i in range(90)]),
    )
    board = lamina.compare(table, "y", families={"spy": Spy(), "constant": "constant"}, weight="weight", **FEW)
    assert not failures(board)
    X, y, weight = Spy.seen[0]
    assert list(X.columns) == ["a", "b", "town", "member", "rented", "day", "visits"]
    kinds = {name: "object" if X[name].dtype in ("str", object) else X[name].dtype.kind for name in X}
    assert kinds == {"a": "f", "b": "f", "town": "object", "member": "b", "rented": "f", "day": "M", "visits": "f"}
    assert set(X["town"].dropna()) == {"Ulm", "Bonn", "Köln"}
    assert X["town"].isna().any()
    assert X["visits"].isna().any()
    assert (y.dtype, len(y), set(weight)) == (np.bool_, 60, {1.0, 2.0})
    assert all(one is not other for (one, *_), (other, *_) in zip(Spy.seen, Spy.seen[1:], strict=False))


def test_rows_without_pandas(monkeypatch):
    table = waves(town=pl.Series([[None, "Ulm", "Bonn"][i % 3] for i in range(90)]), visits=pl.Series([None, 1, 2] * 30))
    monkeypatch.setattr("lamina.comparison.foreign_fit.find_spec", lambda name: None)
    X = rows_for_sklearn(table, Schema.infer(table, target="y"))
    assert X.schema == {"a": pl.Float64, "b": pl.Float64, "town": pl.String, "visits": pl.Float64}
    labels = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder=SimpleImputer())
    assert make_pipeline(labels, LogisticRegression()).fit(X, table["y"].to_numpy()).score(X, table["y"].to_numpy()) > 0.9


@pytest.mark.usefixtures("local")
def test_an_estimator_that_changes_its_rows_changes_only_its_own():
    families = {"mine": Own(), "spoils": Own("spoil"), "linear": "linear"}
    board = lamina.compare(waves(), "y", families=families, **FEW)
    assert not failures(board)
    assert score(board, "mine") == score(board, "spoils") > 0.9
    assert "mine and spoils make the same predictions: they count as one" in board.notes


@pytest.mark.usefixtures("local")
def test_what_fails_says_why_and_the_others_finish():
    table = waves()
    value = table["a"][int(np.argmax(table["b"].to_numpy()))]
    names = ("other labels", "too few", "nan", "a column", "a low sum")
    board = lamina.compare(
        table, "y", families={"linear": "linear", "late": Own(value=value)} | {n: Own(n) for n in names}, **FEW
    )
    late = next(line for line in board.lines if line.name == "late")
    assert re.fullmatch(r"in fold [12], Own raised RuntimeError: these rows are not liked", late.candidate.failed)
    assert failures(board) | {"late": ""} == {
        "late": "",
        "other labels": "in fold 1, its predict holds 'sideways', which is no class of the target",
        "too few": "in fold 1, its predict returns 29 values for 30 rows",
        "nan": "in fold 1, its predict_proba returns nan in row 3, expected a probability",
        "a column": "in fold 1, its predict_proba has the shape (30, 1), expected (30, 2): rows and classes",
        "a low sum": "in fold 1, its predict_proba sums to 0.9 in row 1, expected 1; divide by the sum, or "
        "CalibratedClassifierCV(estimator) gives probabilities",
    }
    assert board.model.family.name == "linear"


@pytest.mark.usefixtures("local")
def test_columns_that_are_no_numbers_are_named_with_the_remedy():
    table = waves(town=pl.Series([["Ulm", "Bonn"][i % 2] for i in range(90)]), c=pl.Series([None, 1.5, 2.5] * 30))
    table = table.with_columns(day=pl.Series([dt.date(2024, 1, 1 + i % 28) for i in range(90)]))
    families = {
        "forest": RandomForestClassifier(5),
        "lost": make_pipeline(make_column_transformer((StandardScaler(), ["income"])), LogisticRegression()),
        "nan": make_pipeline(make_column_transformer((StandardScaler(), ["c"])), LogisticRegression()),
        "search": GridSearchCV(LogisticRegression(), {"C": [1.0]}),
        "day": make_pipeline(make_column_transformer(("passthrough", ["a", "day"])), LogisticRegression()),
        "constant": "constant",
    }
    failed = failures(lamina.compare(table, "y", families=families, **FEW))
    encoder = "town, day are no numbers: it needs a pipeline with an encoder such as OneHotEncoder"
    assert re.search(
        rf"RandomForestClassifier raised ValueError: could not convert string to float: '\w+'; {encoder}$", failed["forest"]
    )
    assert re.search(rf"GridSearchCV raised ValueError: could not convert .*; {encoder}$", failed["search"])
    assert failed["lost"].endswith("; it gets 5 columns: a, b, town, c, day")
    assert failed["day"].endswith("; day is no number: it needs a pipeline with an encoder such as FunctionTransformer")
    assert failed["nan"].endswith(
        "raised ValueError: Input X contains NaN; values are missing: it needs a pipeline with an imputer such as SimpleImputer"
    )


@pytest.mark.usefixtures("local")
def test_texts_for_a_vectorizer():
    draw = np.random.default_rng(0)
    words = np.array(["good", "bad", "film", "actor", "the", "plot"])
    texts = [" ".join(draw.choice(words, size=9)) for _ in range(90)]
    table = {"review": texts, "y": ["pos" if text.count("good") > text.count("bad") else "neg" for text in texts]}
    mine, kinds = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10)), {"review": "text"}
    families = {"mine": mine, "search": GridSearchCV(mine, {"logisticregression__C": [1.0, 10.0]}, cv=2)}
    board = lamina.compare(table, "y", families={**families, "constant": "constant"}, kinds=kinds, **FEW)
    assert not failures(board)
    assert min(score(board, "mine"), score(board, "search")) > 0.75
    board = lamina.compare({**table, "n": np.arange(90) % 7}, "y", families=families, kinds=kinds, **FEW)
    assert failures(board)["mine"].endswith(
        "; name the column of texts: ColumnTransformer([('text', TfidfVectorizer(), 'review')])"
    )


@pytest.mark.usefixtures("local")
def test_a_class_that_a_fold_lacks_has_probability_zero():
    table = waves(y=pl.Series(["rare"] * 2 + waves()["y"].to_list()[2:]), part=pl.Series(["test"] * 20 + ["train"] * 70))
    families = {"mine": LogisticRegression(), "linear": "linear"}
    board = lamina.compare(table, "y", families=families, split="part", workers=1, monitor=None)
    assert not failures(board)
    assert all(3.4 < line.others["log_loss"] < 5 for line in board.lines)  # 2 of 20 rows have probability 0, at least 1e-15
    iris = load_iris(as_frame=True).frame
    board = lamina.compare(iris, "target", families=[LogisticRegression(max_iter=200), "constant"], metric="log_loss", **FEW)
    assert 0 < score(board, "LogisticRegression") < 0.5 < score(board, "baseline")


@pytest.mark.usefixtures("local")
def test_values_and_labels():
    diabetes = load_diabetes(as_frame=True).frame[:200]
    families = {
        "ridge": make_pipeline(StandardScaler(), Ridge()),
        "near": KNeighborsRegressor(),
        "infinite": Infinite(),
        "own": "linear",
    }
    board = lamina.compare(diabetes, "target", families=families, **FEW)
    assert failures(board) == {"infinite": "in fold 1, its predict returns inf in row 1, expected finite values"}
    assert score(board, "ridge") == pytest.approx(score(board, "own"), abs=0.1)
    x = np.random.default_rng(0).normal(size=(90, 2))
    two = {"a": x[:, 0], "b": x[:, 1], "p": x[:, 0] * 2, "q": x[:, 1] - x[:, 0]}
    board = lamina.compare(two, ["p", "q"], families=[LinearRegression(), GradientBoostingRegressor(), "linear"], **FEW)
    assert score(board, "LinearRegression") > 0.999
    assert failures(board)["GradientBoostingRegressor"].endswith("wrap it in MultiOutputClassifier or MultiOutputRegressor")
    labels = {
        "a": x[:, 0],
        "b": x[:, 1],
        "p": x[:, 0] > 0,
        "q": [None if i % 9 == 0 else bool(v > 0) for i, v in enumerate(x[:, 1])],
    }
    families = {"forest": RandomForestClassifier(10), "many": MultiOutputClassifier(LogisticRegression()), "linear": "linear"}
    board = lamina.compare(labels, ["p", "q"], families=families, **FEW)
    assert not failures(board)
    assert min(line.score for line in board.lines) > 0.9
    assert "forest: it is fitted without the rows that lack a label" in board.notes


@pytest.mark.usefixtures("local")
def test_weights_reach_the_last_step_or_are_noted():
    """Rows of the class down count nothing, so that the other class is predicted."""
    table = waves(w=pl.when(pl.col("y") == "down").then(1e-9).otherwise(1.0))
    weighted = make_pipeline(StandardScaler(), LogisticRegression(C=1e-6))
    search = GridSearchCV(weighted, {"logisticregression__C": [1e-6]}, cv=2)
    families = {"pipeline": weighted, "search": search, "near": KNeighborsClassifier(), "constant": "constant"}
    board = lamina.compare(table, "y", families=families, weight="w", metric="balanced_accuracy", **FEW)
    assert not failures(board)
    assert score(board, "pipeline") == score(board, "search") == 0.5
    assert [note for note in board.notes if "sample_weight" in note] == [
        "near: its fit takes no sample_weight: it is fitted without weights, and scored with them"
    ]


@pytest.mark.usefixtures("local")
def test_a_metric_of_probabilities_needs_predict_proba(tmp_path):
    """A change of the metric in the same run is possible both ways."""
    options = {"families": {"vectors": LinearSVC(), "linear": "linear"}, "run": tmp_path / "run", **FEW}
    board = lamina.compare(waves(), "y", metric="log_loss", **options)
    assert failures(board)["vectors"] == (
        "in fold 1, LinearSVC has no predict_proba, which log-loss needs; CalibratedClassifierCV(estimator) gives "
        "probabilities, or take metric='accuracy'"
    )
    board = lamina.compare(waves(), "y", metric="accuracy", **options)
    assert not failures(board)
    board = lamina.compare(waves(), "y", metric="auc", **options)
    assert failures(board)["vectors"] == "in fold 1, its predictions have no AUC: it has no predict_proba"
    calibrated = {"vectors": CalibratedClassifierCV(LinearSVC()), "linear": "linear"}
    assert not failures(lamina.compare(waves(), "y", families=calibrated, metric="log_loss", **FEW))


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (
            RandomForestClassifier,
            r"'mine' is the class RandomForestClassifier, expected an instance: RandomForestClassifier\(\)",
        ),
        (lamina.Forest, r"'mine' is the class Forest, expected an instance: Forest\(\)"),
        (
            object(),
            "'mine' is <object object at .*, expected the name of a family, a family such as .* fit, predict and get_params",
        ),
        (StandardScaler(), "'mine' is StandardScaler.*, expected the name of a family"),
        (KMeans(), "'mine' is a clusterer, KMeans, but the task is classification: down, up; give a classifier"),
        (
            Ridge(),
            "'mine' is a regressor, Ridge, but the task is classification: down, up; give a classifier, or name the task",
        ),
        (make_pipeline(StandardScaler(), Ridge()), "'mine' is a regressor, Pipeline, but the task is classification"),
        (lamina.Regressor("linear"), "'mine' is a regressor, Regressor, but the task is classification"),
        (
            Plain(),
            "'mine' is <.*Plain object .*, which scikit-learn cannot clone: .*; derive its class from sklearn.base.BaseEst",
        ),
        (
            make_pipeline(FunctionTransformer(lambda X: X), LogisticRegression()),
            "'mine' is Pipeline, which cannot be sent to the worker processes: .*lambda.*; define it at the top level of",
        ),
    ],
)
def test_what_is_no_candidate_is_refused_before_any_work(tmp_path, estimator, message):
    with pytest.raises(OptionError, match=f"^candidate {message}") as raised:
        lamina.compare(waves(), "y", families={"mine": estimator, "linear": "linear"}, run=tmp_path / "run", **FEW)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_class_of_the_script_itself_is_refused(monkeypatch):
    monkeypatch.setattr(Own, "__module__", "__main__")
    match = "PicklingError: the class Own is defined in the script or notebook itself; define it at the top level of a module"
    with pytest.raises(OptionError, match=match):
        lamina.compare(waves(), "y", families=[Own()], **FEW)


@pytest.mark.usefixtures("local")
def test_names_and_families_of_estimators():
    fitted = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    families = [fitted, LogisticRegression(C=2.0), lamina.Classifier("linear"), lamina.Classifier("linear", unique=True)]
    board = lamina.compare(waves(), "y", families=families, **FEW)
    assert {line.name: line.family["name"] for line in board.lines} == {
        "LogisticRegression": "estimator",
        "LogisticRegression 2": "estimator",
        "linear": "linear",
        "Classifier": "estimator",
    }
    assert fitted.n_features_in_ == 1
    assert board.to_json() == type(board).from_json(board.to_json()).to_json()
    assert lamina.compare(waves(), "y", families=LogisticRegression(), **FEW).verdict.call == "alone"


def test_parameters_are_compared_by_their_values():
    pipeline = make_pipeline(FunctionTransformer(np.log1p), GridSearchCV(KNeighborsClassifier(), {"p": [1, 2]}))
    described = described_value(pipeline)
    again = described_value(pickle.loads(pickle.dumps(pipeline)))
    assert described == again == json.loads(json.dumps(described))
    assert described["params"]["steps"][0][1]["params"]["func"] == "numpy.log1p"
    assert described_value(LogisticRegression(C=2.0)) != described_value(LogisticRegression(C=3.0))
    assert "0x" not in json.dumps(described_value({"a": object(), "b": make_column_selector("x"), "c": np.arange(3)}))


SURE = {"mine": KNeighborsClassifier(1), "linear": "linear", "baseline": "constant"}


def xor(count=400):
    """A target that neighbours learn and a linear model does not."""
    x = np.random.default_rng(0).normal(size=(count, 2))
    return pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(x[:, 0] * x[:, 1] > 0, "p", "q")})


@pytest.mark.usefixtures("local")
def test_a_winner_that_is_no_family(tmp_path):
    run = tmp_path / "run"
    first = lamina.compare(xor(), "y", families={"linear": "linear", "forest": "forest"}, run=run, **FEW)
    assert (first.outside, first.verdict.take, (run / "model.lamina").exists()) == (False, "forest", True)
    board = lamina.compare(xor(), "y", families=SURE, run=run, **FEW)
    assert (board.verdict.call, board.verdict.take, board.outside, board.model) == ("wins", "mine", True, None)
    assert re.search(
        r"Use mine, unless a family of lamina matters more than 0\.\d+ of accuracy\. mine is an estimator and no family of "
        r"lamina, so it is in no \.lamina file: fit it to all rows yourself\. "
        r"The best of lamina's own is (linear|baseline) \(accuracy 0\.\d+\)\. "
        r"lamina\.fit\(\.\.\., teacher=ESTIMATOR\) fits a network to its predictions, which is saved as any model\.$",
        board.verdict.words,
    )
    assert not (run / "model.lamina").exists()
    assert Run.open(run).finished
    assert lamina.resume(run, monitor=None) == board
    cli = CliRunner()
    for command in (["resume", str(run)], ["info", str(run)]):
        result = cli.invoke(app, command)
        assert result.exit_code == 0, result.output
        assert "mine is an estimator and no family of lamina" in " ".join(result.output.split())
    assert "finished" in result.output


@pytest.mark.usefixtures("local")
def test_of_equal_models_the_family_is_preferred():
    board = lamina.compare(waves(300), "y", families={"mine": LogisticRegression(C=100), "linear": "linear"}, rope=0.2, **FEW)
    assert (board.verdict.call, board.verdict.take) == ("tie", "linear")
    assert "Of equal models a family of lamina is preferred: use linear." in board.verdict.words
    assert "no .lamina" not in board.verdict.words


def without_results(run, fold):
    """Remove the results from a fold on, and the end, as after a crash."""
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    kept = [line for line in lines if line["event"] == "compare" or (line["event"] == "result" and line["fold"] < fold)]
    (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    (run / "board.json").unlink()


def test_worker_processes_and_resuming(tmp_path, cache, monkeypatch):
    """The pickle of a run is read only where this account has written it; the same call needs none."""
    run, other, families = tmp_path / "run", tmp_path / "other", {**SURE, "own": Own("print")}
    board = lamina.compare(xor(), "y", families=families, run=run, **FEW)  # in a process of its own
    assert (board.verdict.take, failures(board)) == ("mine", {})
    monkeypatch.setattr(runner, "_Worker", LocalWorker)
    without_results(run, 1)
    shutil.copytree(run, other)
    settings = json.loads((other / "run.json").read_text())
    command = pickle.dumps(Command(f"touch {tmp_path / 'ran'}"))
    settings["candidates"]["mine"]["pickle"] = base64.b64encode(command).decode()
    (other / "run.json").write_text(json.dumps(settings))
    with pytest.raises(RunError, match="candidate 'mine' of .* is a pickle that this account has not written here, .* repeat"):
        lamina.resume(other, monitor=None)
    assert CliRunner().invoke(app, ["info", str(other)]).exit_code == 0
    with monkeypatch.context() as moved:
        moved.delattr("tests.comparison.estimators.Own")
        with pytest.raises(
            RunError, match="candidate 'own' of .*: .*Own cannot be loaded: AttributeError: .*; make its module imp"
        ):
            lamina.resume(run, monitor=None)
    resumed = lamina.resume(run, monitor=None)
    assert [score(resumed, name) for name in families] == [score(board, name) for name in families]
    shutil.rmtree(cache)
    with pytest.raises(RunError, match="was begun with another 'mine'"):
        lamina.compare(xor(), "y", families={**families, "mine": KNeighborsClassifier(2)}, run=other, **FEW)
    assert lamina.compare(xor(), "y", families=families, run=other, **FEW).verdict.take == "mine"
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("local")
def test_methods_that_only_a_fitted_estimator_has():
    stacked = StackingClassifier([("a", LogisticRegression()), ("b", KNeighborsClassifier())], cv=2)
    assert not hasattr(stacked, "predict_proba")
    board = lamina.compare(waves(), "y", families={"mine": stacked, "constant": "constant"}, metric="log_loss", **FEW)
    assert not failures(board)


@pytest.mark.usefixtures("local")
def test_the_configuration_of_scikit_learn_holds_in_the_workers():
    table = waves(w=pl.when(pl.col("y") == "down").then(1e-9).otherwise(1.0))
    with config_context(transform_output="pandas", enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        last = LogisticRegression(C=1e-6).set_fit_request(sample_weight=True)
        named = make_pipeline(scaler, make_column_transformer(("passthrough", ["a"])), last)  # needs the names of columns
        families = {"mine": named, "constant": "constant"}
        board = lamina.compare(table, "y", families=families, weight="w", metric="balanced_accuracy", **FEW)
    assert not failures(board)
    assert (score(board, "mine"), board.notes) == (0.5, ("mine predicts the same for every row",))


@pytest.mark.usefixtures("local")
def test_the_seed_is_that_of_the_comparison():
    families = {"mine": RandomForestClassifier(3), "constant": "constant"}
    scores = [score(lamina.compare(waves(), "y", families=families, seed=seed, **FEW), "mine") for seed in (1, 1, 2)]
    assert scores[0] == scores[1] != scores[2]
