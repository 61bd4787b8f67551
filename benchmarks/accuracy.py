"""Test scores and fit times on real tables, images, texts and series, compared with the peers.

**Tables**

Rows are split 80/20 by ``train_test_split(random_state=0)``, stratified for classes; all models have the same training and test
rows. Seeds vary the model, not the split. Nothing is tuned for a set.

- *lamina*: ``Classifier()`` / ``Regressor()`` with their defaults, on the pandas frame. *lamina, plain net*: the network and
  recipe of the peers, on the same frame.
- *scikit-learn, skorch, Keras on JAX, PyTorch loop*: hidden layers 256-256, relu, Adam at 1e-3, batches of 256, at most 200
  epochs, early stopping with patience 10 on 15 % of the training rows; before them the usual pipeline: numbers standardised,
  categories one-hot (the 100 most frequent; the rest together), dates as numbers; a regression target standardised.
- *histogram boosting*: scikit-learn's, defaults, categories native (the 254 most frequent).

Seconds are wall time from frame to fitted model, with encoding, without imports; every library has its default number of
threads. The order alternates between seeds.

**Images, texts, series**

Training and test rows as published, or split once (``benchmarks/datasets.py``). *lamina*: ``lamina.fit`` with its defaults;
*lamina, <family>*: the same with that family by name; *+ GloVe*: its token embeddings start with word vectors that were trained
on 6 billion words of other text (``word_vectors=``). The peers are in ``benchmarks/nets.py``. Accuracy on the test rows, which
are used for nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measure
from benchmarks.datasets import MEDIA, SETS
from benchmarks.nets import MEDIA_PEERS

HIDDEN, BATCH_SIZE, EPOCHS, PATIENCE = (256, 256), 256, 200, 10
PLAIN = ("scikit-learn", "skorch", "Keras on JAX", "PyTorch loop")
MODELS = ("lamina", "lamina, plain net", *PLAIN, "histogram boosting")
FAMILIES = {
    "image": ("feedforward", "convolutional"),
    "text": ("feedforward", "convolutional", "recurrent", "attention", "hierarchical"),
    "series": ("feedforward", "convolutional", "recurrent", "attention"),
}
TITLE = f"# Accuracy\n\n{(__doc__ or '').split(chr(10), 2)[2].strip()}"


def options(parser: argparse.ArgumentParser) -> None:
    every = list(dict.fromkeys([*MODELS, *(model for name in MEDIA for model in models(name))]))
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=[*SETS, *MEDIA], help="all tables")
    parser.add_argument("--models", nargs="+", default=every, choices=every, help="all that suit the set")
    parser.add_argument("--rows", type=int, help="at most so many training and test rows of images, texts and series (all)")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each (3)")
    parser.add_argument("--time-limit", type=float, default=1800, help="seconds for one fit; beyond it the row says so (1800)")
    parser.add_argument("--out", default="accuracy", help="stem of the files under benchmarks/results")


def main(arguments: argparse.Namespace) -> None:
    report = measure.Report(arguments.out, TITLE, render)
    for name in arguments.sets:
        media = name in MEDIA
        job, limit = ("score_media", {"rows": arguments.rows}) if media else ("score", {})
        kwargs = {"name": name, **limit}
        for seed, model in measure.alternate([m for m in models(name) if m in arguments.models], arguments.seeds):
            result = measure.run(f"benchmarks.accuracy:{job}", timeout=arguments.time_limit, model=model, seed=seed, **kwargs)
            report.add(set=name, task="media" if media else SETS[name].task, model=model, seed=seed, **result)


def models(name: str) -> tuple[str, ...]:
    """The models for a set.

    Example:
        >>> models("mnist")[:3]
        ('lamina', 'lamina, feedforward', 'lamina, convolutional')
    """
    if name not in MEDIA:
        return MODELS
    kind = MEDIA[name].kind
    peers = () if name == "cifar10" else MEDIA_PEERS[kind]  # LeNet-5 reads gray images
    more = ("lamina, lenet5", "lamina, lenet5_1998") if name == "mnist" else ()
    if kind == "text":
        more = tuple(f"lamina, {family} + GloVe" for family in FAMILIES[kind] if family != "feedforward")
    return ("lamina", *(f"lamina, {family}" for family in FAMILIES[kind]), *more, *peers)


def score_media(name: str, model: str, seed: int, rows: int | None = None) -> dict[str, Any]:
    """One fit on images, texts or series: its accuracy on the test rows, and its seconds."""
    import numpy as np

    from benchmarks import datasets, nets

    kind = MEDIA[name].kind
    train, test = (part.some(rows) for part in datasets.load_rows(name))
    if model.startswith("lamina"):
        import lamina
        from lamina.families import make_family

        family, _, vectors = (model.partition(", ")[2] or "auto").partition(" + ")
        if family.startswith("lenet5"):
            family = lamina.Convolutional(architecture=family)
        elif vectors:
            family = make_family(family)(word_vectors=datasets.glove())
        started = time.perf_counter()
        fitted = lamina.fit(
            {kind: train.values, "label": train.labels}, "label", kinds={kind: kind}, family=family, seed=seed, monitor=None
        )
        seconds = time.perf_counter() - started
        predictions = fitted.predict({kind: test.values})
        more = {"epochs": len(fitted.model_.card["history"]), "parameters": fitted.model_.card["parameters"]}
    else:
        for package in ("torch", "keras") if ", " in model else ("sklearn.linear_model",):
            __import__(package)
        started = time.perf_counter()
        predict = nets.fit_peer(model, kind, train, seed)
        seconds, more = time.perf_counter() - started, {}
        predictions = predict(test.values)
    return {"seconds": seconds, "accuracy": float(np.mean(np.asarray(predictions) == test.labels)), "rows": len(train), **more}


def score(name: str, model: str, seed: int) -> dict[str, Any]:
    """One fit: its scores on the test rows, and its seconds."""
    from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
    from sklearn.model_selection import train_test_split

    from benchmarks import datasets

    frame, source = datasets.load(name), SETS[name]
    target = frame.pop(source.target)
    classify = source.task == "classification"
    parts = train_test_split(frame, target, random_state=0, test_size=0.2, stratify=target if classify else None)
    train, test, train_target, test_target = parts
    fit = _lamina if model.startswith("lamina") else _boosting if model == "histogram boosting" else _plain
    start, predict, classes = fit(model, source, seed, len(target.unique()) if classify else 0)
    started = time.perf_counter()
    start(train, train_target)
    seconds = time.perf_counter() - started
    predictions = predict(test)
    if not classify:
        return {
            "seconds": seconds,
            "rmse": float(root_mean_squared_error(test_target, predictions)),
            "r2": float(r2_score(test_target, predictions)),
        }
    labels = classes()
    return {
        "seconds": seconds,
        "accuracy": float(accuracy_score(test_target, labels[predictions.argmax(1)])),
        "log_loss": float(log_loss(test_target, predictions, labels=labels)),
    }


# Each of these imports what it needs and returns three functions: fit(frame, target), predict(frame) -> probabilities or
# numbers, and the classes in the order of the probabilities.
Learner = tuple[Callable[[Any, Any], Any], Callable[[Any], Any], Callable[[], Any]]


def _lamina(model: str, source: Any, seed: int, classes: int) -> Learner:
    import lamina
    from benchmarks.peers import plain

    kind = lamina.Classifier if classes else lamina.Regressor
    learner = kind(random_state=seed)
    if model == "lamina, plain net":
        family, recipe = plain(lamina, HIDDEN, BATCH_SIZE, EPOCHS, PATIENCE)
        learner.set_params(family=family, recipe=recipe)
    return learner.fit, lambda frame: _proba(learner, frame, classes), lambda: learner.classes_


def _boosting(model: str, source: Any, seed: int, classes: int) -> Learner:
    import numpy as np
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=254)
    columns = make_column_transformer(
        (codes, make_column_selector(dtype_exclude="number")), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    learner = make_pipeline(columns, kind(random_state=seed))

    def fit(frame: Any, target: Any) -> None:
        frame = _dates_as_numbers(frame, source)
        learner[-1].set_params(categorical_features=list(frame.select_dtypes(exclude="number").columns))
        learner.fit(frame, target)

    return fit, lambda frame: _proba(learner, _dates_as_numbers(frame, source), classes), lambda: learner.classes_


def _plain(model: str, source: Any, seed: int, classes: int) -> Learner:
    import numpy as np
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.preprocessing import LabelEncoder, OneHotEncoder, StandardScaler

    from benchmarks.peers import PEERS

    learner = PEERS[model](HIDDEN, classes, BATCH_SIZE, EPOCHS, patience=PATIENCE, seed=seed)
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=101, sparse_output=False, dtype=np.float32),
            make_column_selector(dtype_exclude="number"),
        ),
    )
    labels, scale = LabelEncoder(), StandardScaler()

    def fit(frame: Any, target: Any) -> None:
        X = columns.fit_transform(_dates_as_numbers(frame, source)).astype(np.float32)
        if classes:
            y = labels.fit_transform(target)
        else:
            y = scale.fit_transform(target.to_numpy(np.float64)[:, None])[:, 0].astype(np.float32)
        learner.fit(X, y)

    def predict(frame: Any) -> Any:
        predictions = learner.predict(columns.transform(_dates_as_numbers(frame, source)).astype(np.float32))
        return predictions if classes else scale.inverse_transform(predictions[:, None].astype(np.float64))[:, 0]

    return fit, predict, lambda: labels.classes_


def _proba(learner: Any, frame: Any, classes: int) -> Any:
    import numpy as np

    return np.asarray(learner.predict_proba(frame) if classes else learner.predict(frame))


def _dates_as_numbers(frame: Any, source: Any) -> Any:
    """Dates as hours since 1970, for peers that need numbers."""
    import pandas as pd

    hours = {
        name: (pd.to_datetime(frame[name], utc=True) - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(hours=1)
        for name in source.dates
    }
    return frame.assign(**hours)


# ---------------------------------------------------------------- the page
def render(results: list[dict[str, Any]]) -> str:
    return "\n\n".join(
        _set(name, [r for r in results if r["set"] == name]) for name in dict.fromkeys(r["set"] for r in results)
    )


def _set(name: str, results: list[dict[str, Any]]) -> str:
    keys = {"classification": ("accuracy", "log_loss"), "regression": ("rmse", "r2"), "media": ("accuracy",)}[
        results[0]["task"]
    ]
    rows = []
    for model in dict.fromkeys(result["model"] for result in results):
        own = [result for result in results if result["model"] == model]
        good = [result for result in own if "error" not in result]
        failed = [result["error"] for result in own if "error" in result]
        cells = [measure.mean_sd([result[key] for result in good]) if good else "" for key in keys]
        seconds = measure.mean_sd([result["seconds"] for result in good], digits=1) if good else ""
        rows.append([model, *cells, seconds, f"{len(good)} of {len(own)}" + (f"; failed: {failed[0]}" if failed else "")])
    names = {"accuracy": "accuracy", "log_loss": "log-loss", "rmse": "RMSE", "r2": "R²"}
    heading = f"{name} (target {SETS[name].target})" if name in SETS else f"{name} ({MEDIA[name].kind})"
    return measure.table([heading, *(names[key] for key in keys), "seconds", "seeds"], rows)
